//! Lists in the documentation that are what a test found.

use std::fs;
use std::sync::{Mutex, PoisonError};

use crate::cluster::checkout;

/// Compares `found` with the block of `document` that follows the line
/// `<!-- name -->`, so that a change of it is seen in review.
/// `UPDATE_GOLDEN=1 make test` writes the block anew.
#[track_caller]
pub fn assert_documented(document: &str, name: &str, found: &str) {
    assert_block(document, name, found, (&format!("<!-- {name} -->\n```text\n"), "```\n"));
}

/// As [`assert_documented`], of Markdown between `<!-- name -->` and
/// `<!-- end of name -->`.
#[track_caller]
pub fn assert_generated(document: &str, name: &str, found: &str) {
    let end = format!("<!-- end of {name} -->\n");
    assert_block(document, name, found, (&format!("<!-- {name} -->\n"), &end));
}

#[track_caller]
fn assert_block(document: &str, name: &str, found: &str, (opening, closing): (&str, &str)) {
    // Several tests share a document, and each may write it.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let path = checkout().join(document);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{document}: {error}"));
    let (before, rest) = text.split_once(opening).unwrap_or_else(|| panic!("{document} has no block {name}"));
    let (block, after) = rest.split_once(closing).expect("a block has an end");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, format!("{before}{opening}{found}{closing}{after}")).expect("the document is ours");
        return;
    }
    drop(guard);
    for (line, expected) in found.lines().zip(block.lines()) {
        assert_eq!(line, expected, "{document}, {name}: if this change is wanted: UPDATE_GOLDEN=1");
    }
    assert_eq!(found, block, "{document}, {name}: if this change is wanted: UPDATE_GOLDEN=1");
}
