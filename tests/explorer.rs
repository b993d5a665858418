//! The explorer: what the page decides in the browser, first in Node.

use std::process::Command;

use ets_tests::checkout;

#[test]
fn what_the_page_decides_is_right() {
    let output = Command::new("node")
        .args(["--test", "tests/explorer/verify.test.mjs"])
        .current_dir(checkout())
        .output()
        .expect("node runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
