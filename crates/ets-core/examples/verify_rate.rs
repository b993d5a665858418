//! How many Ed25519 signatures one thread verifies in a second with the library's own
//! `verify_strict`: what a verification of a ledger is measured against.
//!
//! usage: cargo run --release -p ets-core --example verify_rate -- NUMBER

use std::hint::black_box;
use std::time::Instant;

use ed25519_dalek::{Signer, SigningKey};
use ets_core::hash::sha256;

fn main() {
    let number: u32 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(20_000);
    let secret = SigningKey::from_bytes(&[7; 32]);
    let key = secret.verifying_key();
    let signed: Vec<_> = (0..number.clamp(1, 1000))
        .map(|n| {
            let hash = sha256(&[&n.to_be_bytes()]);
            (hash, secret.sign(hash.as_bytes()))
        })
        .collect();
    let begun = Instant::now();
    let valid = signed
        .iter()
        .cycle()
        .take(number as usize)
        .filter(|(hash, signature)| {
            key.verify_strict(black_box(hash.as_bytes()), black_box(signature)).is_ok()
        })
        .count();
    let seconds = begun.elapsed().as_secs_f64();
    assert_eq!(valid, number as usize, "a signature did not verify");
    println!("{:.0}", f64::from(number) / seconds);
}
