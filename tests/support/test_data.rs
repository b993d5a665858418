//! What tests need and the checkout does not hold.

use std::path::PathBuf;
use std::process::Command;

use crate::cluster::checkout;

/// The folder that `scripts/test-data` prints for `arguments`; it fetches what
/// is not there yet. A test that gets nothing fails.
pub fn test_data(arguments: &[&str]) -> PathBuf {
    let output = Command::new(checkout().join("scripts/test-data"))
        .args(arguments)
        .output()
        .expect("scripts/test-data runs");
    assert!(
        output.status.success(),
        "scripts/test-data {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}
