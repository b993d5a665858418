//! Black-box tests on a real server. `make test` runs them; by hand:
//! `scripts/private-pg cargo test -p ets-tests`.

mod api_surface;
mod append;
mod bad_input;
mod concurrency;
mod crash;
mod fuzz_args;
mod guards;
mod privileges;
mod proofs;
mod readme;
mod registry;
mod replay;
mod runs;
mod schedule;
mod tamper;
