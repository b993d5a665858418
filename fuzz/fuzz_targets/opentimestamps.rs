//! Garbage for what reads OpenTimestamps proofs: never a panic, what is read is written
//! again as it is understood, and without a block's header nothing is attested.
#![no_main]

use ets_core::anchor::opentimestamps::{BlockHeaders, Proof, Standing};
use ets_core::hash::Digest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let nothing = BlockHeaders::default();
    let _ = Proof::submitted(Digest([0; 32]), &[0; 16], bytes);
    let Ok(proof) = Proof::parse(bytes) else { return };
    assert!(!matches!(proof.standing(&nothing), Standing::Attested { .. } | Standing::Contradicted { .. }));
    assert_eq!(Proof::parse(&proof.to_bytes()).as_ref(), Ok(&proof));
    for promise in proof.promises() {
        let _ = proof.clone().fulfilled(&promise, bytes);
    }
});
