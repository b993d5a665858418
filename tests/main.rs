//! Black-box tests on a real server. `make test` runs them; by hand:
//! `scripts/private-pg cargo test -p ets-tests`.
