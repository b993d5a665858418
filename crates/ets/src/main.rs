//! `ets`: see the library.

fn main() -> std::process::ExitCode {
    ets::run()
}
