//! Black-box tests on a real server. `make test` runs them; by hand:
//! `scripts/private-pg cargo test -p ets-tests`.

mod access;
mod api_surface;
mod append;
mod bad_input;
mod compromise;
mod concurrency;
mod crash;
mod determinism;
mod evolution;
mod export;
mod external_authority;
mod fuzz_args;
mod guards;
mod hostile;
mod json_schema_suite;
mod privileges;
mod proofs;
mod readme;
mod registry;
mod replay;
mod replica;
mod restore;
mod rule_functions;
mod rules;
mod runs;
mod schedule;
mod sealing;
mod standby;
mod tamper;
mod tlog;
mod validate;
mod verifiers;
mod webhooks;
mod zod;
mod zod_example;
