//! The SQL functions, one file a noun. Each reads its arguments, makes its call
//! into ets-core or the gate, and answers; their declarations are in
//! `sql/functions/`.

pub mod anchor;
pub mod append;
pub mod bundle;
pub mod canonical;
pub mod forest;
pub mod read;
pub mod registry;
pub mod replay;
pub mod replica;
pub mod runs;
pub mod schema;
pub mod setup;
pub mod tlog;
pub mod verify;
