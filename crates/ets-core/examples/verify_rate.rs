//! How many Ed25519 signatures one thread verifies strictly in a second: what a
//! verification of a ledger is measured against.
//!
//! usage: cargo run --release -p ets-core --example verify_rate -- NUMBER

use std::hint::black_box;
use std::time::Instant;

use ets_core::hash::sha256;
use ets_core::key::SecretKey;

fn main() {
    let number: u32 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(20_000);
    let secret = SecretKey::from_seed(&[7; 32]);
    let key = secret.public_key();
    let signed: Vec<_> = (0..number.clamp(1, 1000))
        .map(|n| {
            let hash = sha256(&[&n.to_be_bytes()]);
            (hash, secret.sign(&hash))
        })
        .collect();
    let begun = Instant::now();
    let valid = signed
        .iter()
        .cycle()
        .take(number as usize)
        .filter(|(hash, signature)| key.verify(black_box(hash), black_box(signature)))
        .count();
    let seconds = begun.elapsed().as_secs_f64();
    assert_eq!(valid, number as usize, "a signature did not verify");
    println!("{:.0}", f64::from(number) / seconds);
}
