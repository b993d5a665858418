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
mod lines;
mod output;
mod passphrase;
mod sign;
mod signer;
mod transfer;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

/// Sign events for a pg_ets ledger, append them, and verify what it proves with no
/// database and no network.
#[derive(Parser)]
#[command(name = "ets", version, subcommand_required = true, arg_required_else_help = true)]
struct Arguments {
    /// JSON for programs, also of what goes wrong: {"error": …} on standard error
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Verify(verify::Arguments),
    Audit(Box<audit::Arguments>),
    Anchor(Box<anchor::Arguments>),
    Keygen(keys::KeygenArguments),
    KeyId(keys::KeyIdArguments),
    Sign(sign::Arguments),
    Authority(authority::Arguments),
    Head(ledger::HeadArguments),
    Prepare(ledger::PrepareArguments),
    Append(ledger::AppendArguments),
    Export(transfer::ExportArguments),
    Import(transfer::ImportArguments),
}

/// What the program exits with when it was not used as it should be, or could
/// not read what it was given: the same as UNVERIFIABLE, since nothing was verified.
const COULD_NOT: u8 = 2;

/// The program's commands and options, for its manual pages and completions.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Runs the program with the arguments of this process; what it exits with.
pub fn run() -> ExitCode {
    let Arguments { json, command } = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        // Help is no error. What was not understood cannot say whether it wanted JSON, but shows it.
        Err(error) if error.use_stderr() && std::env::args().any(|argument| argument == "--json") => {
            let text = error.to_string();
            let message = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
            eprintln!("{}", serde_json::json!({"error": message}));
            return ExitCode::from(COULD_NOT);
        }
        Err(error) => error.exit(),
    };
    let result = match command {
        Command::Verify(arguments) => verify::run(&arguments, json),
        Command::Audit(arguments) => audit::run(&arguments, json),
        Command::Anchor(arguments) => anchor::run(&arguments, json),
        Command::Keygen(arguments) => keys::keygen(&arguments),
        Command::KeyId(arguments) => keys::key_id(&arguments),
        Command::Sign(arguments) => sign::run(&arguments),
        Command::Authority(arguments) => authority::run(&arguments),
        Command::Head(arguments) => ledger::head(&arguments),
        Command::Prepare(arguments) => ledger::prepare(&arguments),
        Command::Append(arguments) => ledger::append(&arguments),
        Command::Export(arguments) => transfer::export(&arguments, json),
        Command::Import(arguments) => transfer::import(&arguments),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(message) => {
            match json {
                true => eprintln!("{}", serde_json::json!({"error": message})),
                false => eprintln!("ets: {message}"),
            }
            ExitCode::from(COULD_NOT)
        }
    }
}
