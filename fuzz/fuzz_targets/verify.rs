//! Garbage for everything that reads a file of somebody else's. Without a named ledger
//! nothing may match, whatever it says of itself.
#![no_main]

use ets_core::anchor::AnchorStatement;
use ets_core::export::ExportReader;
use ets_core::note::Note;
use ets_core::trust::TrustFile;
use ets_core::verify::{Trust, Verdict, verify_text, verify_tlog_proof};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    assert_ne!(Verdict::of(&verify_text(text, &Trust::Nothing)), Verdict::Match);
    assert_ne!(Verdict::of(&verify_tlog_proof(text, None, None)), Verdict::Match);
    if let Ok(statement) = AnchorStatement::parse(text) {
        assert_eq!(statement.to_jcs(), text);
    }
    let _ = TrustFile::parse(text);
    let _ = text.parse::<Note>();
    let mut export = ExportReader::new();
    for line in text.lines() {
        if export.push(line).is_err() {
            break;
        }
    }
});
