//! A ledger as its auditor sees it.

use std::process::Command;

use serde_json::Value;

use crate::{Ledger, program};

/// `ets audit` of a ledger whose root key is named, with more arguments; its report.
/// Panics unless it ends with this exit code.
pub fn audit(ledger: &mut Ledger, arguments: &[&str], code: i32) -> Value {
    let root: String = ledger.one("SELECT ets.trust_root()->>'root_public_key'", &[]);
    let mut command = Command::new(program("ets"));
    command.env_clear().envs(ledger.database.environment());
    let output = command.args(["audit", "--json", "--root-key", &root]).args(arguments).output();
    let output = output.expect("ets runs");
    let complaint = String::from_utf8_lossy(&output.stderr);
    let report =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {complaint}"));
    assert_eq!(output.status.code(), Some(code), "{report:#} {complaint}");
    report
}
