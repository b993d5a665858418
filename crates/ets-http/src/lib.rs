//! What an HTTP server in front of a ledger answers. It holds no truth: the
//! database decides, and a client can check every answer.

pub mod explorer;
pub mod problem;
