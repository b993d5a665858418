//! `ets verify`.

use std::path::{Path, PathBuf};

use ets_core::bundle::BUNDLE_LIMITS;
use ets_core::event::Event;
use ets_core::note::VerifierKey;
use ets_core::tlog::TlogProof;
use ets_core::trust::TrustFile;
use ets_core::verify::{Check, Trust, Verdict, verify_text, verify_tlog_proof};
use serde_json::json;

use crate::keys::public_key;
use crate::output::{self, printable};

/// Verify proof bundles, stream bundles, event documents and tlog-proofs.
///
/// Each file is recognised by its content. Name the ledger that you trust, with
/// its root key or its trust file; without one a bundle vouches for itself, and
/// the verdict is UNVERIFIABLE at best.
///
/// Exits with 0 if every file is MATCH, 1 if any is MISMATCH, and otherwise with 2:
/// UNVERIFIABLE (a check could not be made, which is never a pass), an unreadable file,
/// or wrong usage. With --json, one object a line for each file.
#[derive(clap::Args)]
#[command(after_help = "Where the files come from, in SQL:
  SELECT ets.proof_bundle(event_id)             one event, with what proves it
  SELECT ets.stream_bundle('orders', 'main')    a whole stream
  SELECT ets.event_document(event_id)           an event, which proves only itself
  SELECT ets.tlog_proof(event_id)               the same for tools of transparency logs: with
                                                --event and --verifier-key
  SELECT ets.trust_root()                       a trust file: get it from somebody you trust

Example:
  ets verify bundle.json --root-key 8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c")]
pub struct Arguments {
    /// Files to verify; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The ledger's root public key, 64 lowercase hex digits
    #[arg(long, value_name = "HEX", conflicts_with = "trust")]
    root_key: Option<String>,
    /// A trust file: what ets.trust_root() returned, and checkpoints that you kept
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// For a tlog-proof: the key that signs the domain's notes, as ets.verifier_key(domain) gives it
    #[arg(long, value_name = "NAME+HASH+KEY")]
    verifier_key: Option<String>,
    /// For a tlog-proof: the document of the event that it proves
    #[arg(long, value_name = "FILE")]
    event: Option<PathBuf>,
}

/// Runs the command; the exit code.
///
/// # Errors
/// A message for the user, if the arguments are wrong.
pub fn run(arguments: &Arguments, json: bool) -> Result<u8, String> {
    let trust = trust(arguments)?;
    let verifier_key = arguments.verifier_key.as_deref().map(str::parse::<VerifierKey>).transpose();
    let verifier_key = verifier_key.map_err(|error| format!("--verifier-key is {error}"))?;
    let event = arguments.event.as_deref().map(event).transpose()?;
    let mut worst = Verdict::Match;
    for file in &arguments.files {
        let checks = match output::read_text(file, BUNDLE_LIMITS.max_bytes) {
            Ok(text) if TlogProof::is_named_by(&text) => {
                verify_tlog_proof(&text, verifier_key.as_ref(), event.as_ref())
            }
            Ok(text) => verify_text(&text, &trust),
            Err(message) => vec![Check { name: "format", passed: None, detail: message }],
        };
        let verdict = Verdict::of(&checks);
        if json {
            output::line(&as_json(file, &checks, verdict))?;
        } else {
            output::line(&as_text(file, &checks, verdict, output::in_colour()))?;
        }
        worst = match (worst, verdict) {
            (Verdict::Mismatch, _) | (_, Verdict::Mismatch) => Verdict::Mismatch,
            (Verdict::Unverifiable, _) => Verdict::Unverifiable,
            (Verdict::Match, verdict) => verdict,
        };
    }
    Ok(worst.exit_code())
}

fn event(path: &Path) -> Result<Event, String> {
    let text = output::read_text(path, BUNDLE_LIMITS.max_bytes)?;
    Event::parse(&text).map_err(|error| format!("{} is no event document: {error}", path.display()))
}

fn trust(arguments: &Arguments) -> Result<Trust, String> {
    if let Some(path) = &arguments.trust {
        let text = output::read_text(path, TrustFile::MAX_BYTES)?;
        let file = TrustFile::parse(&text)
            .map_err(|error| format!("{} is no trust file: {error}", path.display()))?;
        return Ok(Trust::File(file));
    }
    let Some(hex) = &arguments.root_key else { return Ok(Trust::Nothing) };
    Ok(Trust::RootKey(public_key("--root-key", hex)?))
}

fn as_text(file: &Path, checks: &[Check], verdict: Verdict, colour: bool) -> String {
    const GREEN: &str = "32";
    const RED: &str = "31";
    const YELLOW: &str = "33";
    let painted = |text: &str, code: &str| match colour {
        true => format!("\x1b[1;{code}m{text}\x1b[0m"),
        false => text.to_owned(),
    };
    let mut out = format!("{}\n", printable(&file.display().to_string()));
    for check in checks {
        let (word, code) = match check.passed {
            Some(true) => ("passed ", GREEN),
            Some(false) => ("FAILED ", RED),
            None => ("unknown", YELLOW),
        };
        out.push_str(&format!(
            "  {}  {:<18}  {}\n",
            painted(word, code),
            check.name,
            printable(&check.detail)
        ));
    }
    out + &output::painted(verdict, colour)
}

fn as_json(file: &Path, checks: &[Check], verdict: Verdict) -> String {
    let checks: Vec<_> = checks
        .iter()
        .map(|check| json!({"check": check.name, "detail": check.detail, "passed": check.passed}))
        .collect();
    json!({"checks": checks, "file": file.display().to_string(), "verdict": verdict.as_str()}).to_string()
}
