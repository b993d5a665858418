//! `ets`: what an actor or an auditor needs outside the database.
//!
//! It reads files and the command line; what is true is decided by `ets-core`.

mod anchor;
mod audit;
mod authority;
mod database;
mod http;
mod keys;
mod ledger;
mod output;
mod passphrase;
mod sign;
mod signer;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Sign events for a pg_ets ledger, append them, and verify what it proves with no
/// database and no network.
#[derive(Parser)]
#[command(name = "ets", version, subcommand_required = true, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Verify(verify::Arguments),
    Audit(audit::Arguments),
    Anchor(Box<anchor::Arguments>),
    Keygen(keys::KeygenArguments),
    KeyId(keys::KeyIdArguments),
    Sign(sign::Arguments),
    Authority(authority::Arguments),
    Head(ledger::HeadArguments),
    Prepare(ledger::PrepareArguments),
    Append(ledger::AppendArguments),
}

/// What the program exits with when it was not used as it should be, or could
/// not read what it was given: the same as UNVERIFIABLE, since nothing was verified.
const COULD_NOT: u8 = 2;

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Audit(arguments) => audit::run(&arguments),
        Command::Anchor(arguments) => anchor::run(&arguments),
        Command::Keygen(arguments) => keys::keygen(&arguments),
        Command::KeyId(arguments) => keys::key_id(&arguments),
        Command::Sign(arguments) => sign::run(&arguments),
        Command::Authority(arguments) => authority::run(&arguments),
        Command::Head(arguments) => ledger::head(&arguments),
        Command::Prepare(arguments) => ledger::prepare(&arguments),
        Command::Append(arguments) => ledger::append(&arguments),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(message) => {
            eprintln!("ets: {message}");
            ExitCode::from(COULD_NOT)
        }
    }
}
