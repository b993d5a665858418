//! `ets authority`: what the holder of a root key does, whose secret never touches
//! the server.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;

use ets_core::canonical::{Limits, Payload, parse_json};
use ets_core::hash::{Digest, SPECIFICATION_VERSION, event_hash, genesis_hash};
use ets_core::key::{ALGORITHM, key_possession_hash};
use ets_core::name::{DomainName, SchemaVersion, StreamName};
use ets_core::trust::TrustFile;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::keys::public_key;
use crate::output;
use crate::sign::element;
use crate::signer::{self, Signer};

/// Sign what changes a ledger's registry, where the root key is kept off the server.
///
/// Each command prints one element of the array that `ets.append_batch` takes. It
/// shows on standard error what it is about to sign, and asks; `--yes` answers.
#[derive(clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "The way of a change, with the secret in root.pem on another machine:
  ets keygen root.pem                                    prints the public key, in hex
  SELECT ets.init('acme.example/prod', '\\x…')            on the server, with that key
  SELECT ets.trust_root()                                > trust.json
  ets authority first --key root.pem trust.json          > first.json
  SELECT * FROM ets.append_batch('[…]')                  with what first.json holds
  SELECT ets.create_domain('orders')                     is refused with ET015; its DETAIL > request.json
  ets authority sign --key root.pem request.json         > signed.json
  SELECT * FROM ets.append_batch('[…]')                  with what signed.json holds")]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    First(FirstArguments),
    Sign(SignArguments),
    Possession(PossessionArguments),
}

/// Sign the first event of a ledger: its id, its name, its root key and its server's.
#[derive(clap::Args)]
struct FirstArguments {
    #[command(flatten)]
    signer: signer::SignerArguments,
    /// Sign without asking
    #[arg(long)]
    yes: bool,
    /// What ets.trust_root() returned; `-` is standard input
    #[arg(value_name = "FILE")]
    trust_root: PathBuf,
}

/// Sign the change that a registry function asked for.
#[derive(clap::Args)]
struct SignArguments {
    #[command(flatten)]
    signer: signer::SignerArguments,
    /// Sign without asking
    #[arg(long)]
    yes: bool,
    /// The registry's head as you know it, 64 lowercase hex digits: a change after another is not signed
    #[arg(long, value_name = "HASH")]
    after: Option<String>,
    /// The DETAIL of the refusal with ET015; `-` is standard input
    #[arg(value_name = "FILE")]
    request: PathBuf,
}

/// Show that the holder of a new key takes over from an old one: the `proof` of ets.rotate_key.
#[derive(clap::Args)]
struct PossessionArguments {
    #[command(flatten)]
    signer: signer::SignerArguments,
    /// The ledger's id, as ets.trust_root() has it
    #[arg(long, value_name = "UUID")]
    ledger_id: Uuid,
    /// The old public key, 64 lowercase hex digits
    #[arg(long, value_name = "HEX")]
    old: String,
}

/// Runs the command.
///
/// # Errors
/// A message for the user: a file cannot be read or is not what it should be, what it
/// says does not fit together, or the answer was no.
pub fn run(arguments: &Arguments) -> Result<u8, String> {
    match &arguments.command {
        Command::First(first) => sign_first(first),
        Command::Sign(request) => sign_request(request),
        Command::Possession(possession) => prove_possession(possession),
    }
}

fn sign_first(arguments: &FirstArguments) -> Result<u8, String> {
    let text = output::read_text(&arguments.trust_root, TrustFile::MAX_BYTES)?;
    let root = TrustFile::parse(&text)
        .map_err(|error| format!("{} is no trust root: {error}", arguments.trust_root.display()))?
        .trust_root;
    let key = arguments.signer.open()?;
    if key.public_key() != root.root_public_key {
        return Err(format!(
            "the ledger's root key is {}, this one is {}",
            root.root_public_key,
            key.public_key()
        ));
    }
    let payload = json!({
        "schema_version": "ets.ledger/1.0.0",
        "ledger_id": root.ledger_id.hyphenated().to_string(),
        "origin": root.origin.as_str(),
        "specification": SPECIFICATION_VERSION,
        "algorithm": ALGORITHM,
        "root_public_key": root.root_public_key.to_string(),
        "server_public_key": root.server_public_key.to_string(),
    });
    let main = StreamName::main();
    let previous_hash = genesis_hash(&root.ledger_id, &DomainName::registry(), &main);
    sign(&key, payload, &previous_hash, arguments.yes)
}

fn sign_request(arguments: &SignArguments) -> Result<u8, String> {
    let text = output::read_text(&arguments.request, 4 * Limits::CEILING.max_bytes)?;
    let wrong = |what: &str| format!("{}: {what}", arguments.request.display());
    // The payload, and two levels around it.
    let limits = Limits { max_depth: Limits::CEILING.max_depth + 2, ..Limits::CEILING };
    let request = parse_json(&text, &limits).map_err(|error| wrong(&error.to_string()))?;
    let member = |name: &str| request.get(name).ok_or_else(|| wrong(&format!("there is no {name}")));
    let hash = |name: &str| -> Result<Digest, String> {
        let text = member(name)?.as_str().unwrap_or_default();
        text.parse().map_err(|error| wrong(&format!("{name} is {error}")))
    };
    let payload = member("payload")?.clone();
    // A registry event names its own kind; what the label beside it says is not signed.
    if payload.get("schema_version") != Some(member("schema_version")?) {
        return Err(wrong("the payload names another schema_version"));
    }
    let (previous_hash, asked) = (hash("previous_hash")?, hash("current_hash")?);
    if let Some(text) = &arguments.after {
        let after: Digest = text.parse().map_err(|error| format!("--after is {error}"))?;
        if after != previous_hash {
            return Err(wrong(&format!("it comes after {previous_hash}, not after {after}: do not sign it")));
        }
    }
    let canonical = canonical(payload.clone())?;
    if event_hash(canonical.canonical().as_bytes(), &previous_hash) != asked {
        return Err(wrong("current_hash is not the hash of payload and previous_hash: do not sign it"));
    }
    sign(&arguments.signer.open()?, payload, &previous_hash, arguments.yes)
}

fn prove_possession(arguments: &PossessionArguments) -> Result<u8, String> {
    let old = public_key("--old", &arguments.old)?;
    let key = arguments.signer.open()?;
    let proof =
        key.sign(&key_possession_hash(&arguments.ledger_id, old.as_bytes(), key.public_key().as_bytes()))?;
    output::line(&json!({"proof": proof, "public_key": key.public_key().to_string()}).to_string())?;
    Ok(0)
}

/// Shows, asks, signs and prints.
fn sign(key: &Signer, payload: Value, previous_hash: &Digest, yes: bool) -> Result<u8, String> {
    let kind = payload["schema_version"].as_str().unwrap_or_default();
    let schema_version: SchemaVersion = kind.parse().map_err(|error| format!("schema_version: {error}"))?;
    if !kind.starts_with("ets.") {
        return Err(format!("{kind} changes no registry; ets sign signs events of applications"));
    }
    let pretty = serde_json::to_string_pretty(&payload).unwrap_or_else(|_| payload.to_string());
    eprintln!("to sign with {}, after {previous_hash}:\n{}", key.public_key().key_id(), plain(&pretty));
    if !yes {
        confirm()?;
    }
    output::line(&element(key, &canonical(payload)?, &schema_version, previous_hash)?)?;
    Ok(0)
}

/// `text` in ASCII: nothing that a terminal obeys, or shows in another order than it
/// is signed, comes from the payload.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character == '\n' || character == ' ' || character.is_ascii_graphic() {
            out.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

fn canonical(payload: Value) -> Result<Payload, String> {
    Payload::from_value(payload, &Limits::CEILING).map_err(|error| format!("the payload: {error}"))
}

fn confirm() -> Result<(), String> {
    if !io::stdin().is_terminal() {
        return Err("not signed: nobody is there to ask; --yes signs without asking".into());
    }
    eprint!("sign it? [y/N] ");
    let _ = io::stderr().flush();
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(|error| format!("not signed: {error}"))?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err("not signed".into()),
    }
}
