//! How many Ed25519 signatures a core verifies in a second with the library's own
//! `verify_strict`, while every core does: what a verification of a ledger, which uses all
//! of them too, is measured against.
//!
//! usage: cargo run --release -p ets-core --example verify_rate -- NUMBER-A-CORE

use std::hint::black_box;
use std::time::Instant;

use ed25519_dalek::{Signer, SigningKey};
use ets_core::hash::sha256;

fn main() {
    let number: u32 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(20_000);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let secret = SigningKey::from_bytes(&[7; 32]);
    let key = secret.verifying_key();
    let signed: Vec<_> = (0..number.clamp(1, 1000))
        .map(|n| {
            let hash = sha256(&[&n.to_be_bytes()]);
            (hash, secret.sign(hash.as_bytes()))
        })
        .collect();
    let verify_all = || {
        signed
            .iter()
            .cycle()
            .take(number as usize)
            .filter(|(hash, signature)| {
                key.verify_strict(black_box(hash.as_bytes()), black_box(signature)).is_ok()
            })
            .count()
    };
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(verify_all)).collect();
        for thread in threads {
            let valid = thread.join().expect("no thread panics");
            assert_eq!(valid, number as usize, "a signature did not verify");
        }
    });
    println!("{:.0}", f64::from(number) / begun.elapsed().as_secs_f64());
}
