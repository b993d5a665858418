//! A ledger over HTTP. It holds no truth: every handler is one statement, the
//! database decides, and whoever asked can check the answer.

pub mod auth;
pub mod config;
pub mod database;
pub mod explorer;
pub mod handlers;
pub mod listen;
pub mod metrics;
pub mod notice;
pub mod openapi;
pub mod pool;
pub mod problem;
pub mod router;
