//! `ets audit`.

mod copy;
mod evidence;
mod examine;
mod export;
mod html;
mod memory;
mod multiset;
mod progress;
mod report;
mod server;
mod source;

use std::num::NonZero;
use std::path::PathBuf;

use ets_core::key::PublicKey;
use ets_core::trust::TrustFile;
use ets_core::verify::{Finding, FindingClass, VerifiedRegistry};

use crate::keys::public_key;
use crate::output;
use evidence::{Evidence, Standing};
use export::Export;
use memory::Memory;
use progress::Progress;
use report::Report;
use server::Server;
use source::Source;

/// Audit a ledger from outside: pull its rows, trust none of its functions, and do
/// everything again.
///
/// Every hash, signature, chain, authority, schema, rule and state is made again from
/// the rows; every leaf, tile, root, MetaRoot and signed checkpoint; every table that is
/// derived from them. What the audit saw is kept in the file of --state, and the next one demands
/// that the ledger continues it: so a rewritten history shows even where everything
/// inside is consistent.
///
/// Beside the verdict it says how far trust goes. SELF-CONSISTENT: nothing outside the
/// server was compared. WITNESSED: it continues what you, or who you trust, kept. ANCHORED: it
/// continues what was published.
///
/// Exits with 0 for MATCH, 1 for MISMATCH, and otherwise with 2: UNVERIFIABLE (a
/// check could not be made, or nobody said whose ledger it should be), a server that
/// cannot be read, or wrong usage.
#[derive(clap::Args)]
#[command(after_help = "It needs a role that may read the ledger's tables:
  SELECT ets.grant_access('auditor_role', 'auditor')

Examples:
  ets audit --dsn 'host=db.example dbname=shop user=auditor' --root-key 8a88… --state shop.audit
  ets audit --dsn … --state shop.audit --anchors anchors/ --html report.html
  ets audit --dsn … --state shop.audit --anchors-git https://git.example/anchors.git
  ets audit --export ledger.ndjson --root-key 8a88…

A daily timer that remembers, and compares what was published elsewhere, is the
detection of a rewritten history within a day: docs/audit.md has the systemd unit.")]
pub struct Arguments {
    /// The database: a libpq connection string or URL; what it leaves out comes from PGHOST, PGUSER and so on
    #[arg(long, value_name = "DSN", default_value = "")]
    dsn: String,
    /// An export in a file instead (ets export, or SELECT line FROM ets.export())
    #[arg(long, value_name = "FILE", conflicts_with = "dsn")]
    export: Option<PathBuf>,
    /// The ledger's root public key, 64 lowercase hex digits
    #[arg(long, value_name = "HEX", conflicts_with = "trust")]
    root_key: Option<String>,
    /// A trust file: what ets.trust_root() returned, and checkpoints that you kept
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// What the last audit saw, and this one will; made if it is not there
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Published statements: a file, or a folder with LEDGER_ID/NUMBER.json in it; may be repeated
    #[arg(long, value_name = "PATH")]
    anchors: Vec<PathBuf>,
    /// A git repository that statements are pushed to, by `ets anchor --git`: cloned for this audit; may be repeated
    #[arg(long, value_name = "URL")]
    anchors_git: Vec<String>,
    /// A checkpoint note that you kept (ets.checkpoint_note); may be repeated
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// Threads; all cores by default
    #[arg(long, value_name = "N")]
    threads: Option<NonZero<usize>>,
    /// Findings that are shown; all are counted
    #[arg(long, value_name = "N", default_value_t = 1000)]
    max_findings: usize,
    /// Write the report as one HTML page, too
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// No progress bar
    #[arg(long)]
    quiet: bool,
}

/// Who the user says the ledger's root is.
enum Named {
    Key(PublicKey),
    File(Box<TrustFile>, PathBuf),
    Nothing,
}

/// Runs the command; the exit code.
///
/// # Errors
/// A message for the user: the arguments are wrong, or something cannot be read.
pub fn run(arguments: &Arguments, json: bool) -> Result<u8, String> {
    let named = named(arguments)?;
    let memory = arguments.state.as_deref().map(Memory::read).transpose()?.flatten();
    let mut progress = Progress::new(arguments.quiet || json);
    let export = arguments.export.as_deref().map(Export::read).transpose()?;
    let server = if export.is_none() { Some(Server::connect(&arguments.dsn)?) } else { None };
    let source = export.as_ref().map(|export| export as &dyn Source);
    let source = source.or(server.as_ref().map(|server| server as _)).ok_or("there is nothing to audit")?;
    let mut opened = examine::open(source, arguments.max_findings).map_err(|message| {
        let broken = export.as_ref().and_then(|export| export.broken.as_deref());
        broken
            .map_or(message.clone(), |broken| format!("{message}; the export was read no further: {broken}"))
    })?;
    let own = export.iter().flat_map(|export| export.findings(opened.verified.registry.as_ref()));
    own.collect::<Vec<_>>().into_iter().for_each(|finding| opened.add(finding));
    let (is_named, wrong) = compare_root(&opened.verified, &named, memory.as_ref());
    wrong.into_iter().for_each(|finding| opened.add(finding));
    let kept = gather(arguments, &named, memory.as_ref(), &opened.verified)?;
    let examined =
        examine::examine(source, opened, &kept, memory.as_ref(), arguments.threads, &mut progress)?;
    progress.clear();

    let mut report = Report::of(&examined, &kept, is_named);
    if let Some(path) = &arguments.state {
        report.remembered = remember(&examined, &report, path)?;
    }
    if let Some(path) = &arguments.html {
        std::fs::write(path, html::page(&report))
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    output::line(&if json { report.to_json() } else { report.to_text(output::in_colour()) })?;
    Ok(report.verdict.exit_code())
}

fn named(arguments: &Arguments) -> Result<Named, String> {
    if let Some(path) = &arguments.trust {
        let text = output::read_text(path, TrustFile::MAX_BYTES)?;
        let file = TrustFile::parse(&text)
            .map_err(|error| format!("{} is no trust file: {error}", path.display()))?;
        return Ok(Named::File(Box::new(file), path.clone()));
    }
    let Some(hex) = &arguments.root_key else { return Ok(Named::Nothing) };
    public_key("--root-key", hex).map(Named::Key)
}

/// Whether somebody said whose ledger it should be; and what is wrong if it is another's.
fn compare_root(verified: &VerifiedRegistry, named: &Named, memory: Option<&Memory>) -> (bool, Vec<Finding>) {
    let mut wrong = Vec::new();
    let ledger = verified.registry.as_ref().map(|registry| registry.ledger());
    let mut compare = |what: &'static str, expected: String, actual: Option<String>| {
        if actual.as_ref() != Some(&expected) {
            let detail = match what {
                "root_key" => "the ledger's first event is not signed by the root key that you named",
                _ => "this is another ledger than the one you named",
            };
            wrong.push(Finding {
                domain: Some(ets_core::name::REGISTRY.to_owned()),
                sequence: Some(1),
                expected: Some(expected),
                actual,
                ..Finding::new(FindingClass::Tampering, what, detail)
            });
        }
    };
    let root_key = || ledger.map(|ledger| ets_core::hash::to_hex(&ledger.root_public_key));
    let ledger_id = || ledger.map(|ledger| ledger.ledger_id.to_string());
    match named {
        Named::Key(key) => compare("root_key", key.to_string(), root_key()),
        Named::File(file, _) => {
            compare("root_key", file.trust_root.root_public_key.to_string(), root_key());
            compare("ledger_id", file.trust_root.ledger_id.to_string(), ledger_id());
        }
        Named::Nothing => {}
    }
    if let Some(memory) = memory {
        compare("root_key", memory.root_public_key.to_string(), root_key());
        compare("ledger_id", memory.ledger_id.to_string(), ledger_id());
    }
    (memory.is_some() || !matches!(named, Named::Nothing), wrong)
}

/// Everything that was kept outside.
fn gather(
    arguments: &Arguments,
    named: &Named,
    memory: Option<&Memory>,
    verified: &VerifiedRegistry,
) -> Result<Vec<Evidence>, String> {
    let mut kept = Vec::new();
    if let Some(statement) = memory.and_then(|memory| memory.statement.as_ref()) {
        let source = format!("the last audit (checkpoint {})", statement.checkpoint_id());
        kept.push(evidence::of_statement(statement, source, Standing::Witnessed));
    }
    if let Named::File(file, path) = named {
        kept.extend(evidence::trusted(file, path));
    }
    let Some(registry) = &verified.registry else {
        return Ok(kept);
    };
    for path in &arguments.checkpoint {
        kept.push(evidence::note(path, registry)?);
    }
    for path in &arguments.anchors {
        kept.extend(evidence::anchors(path, &registry.ledger().ledger_id)?);
    }
    for url in &arguments.anchors_git {
        kept.extend(evidence::repository(url, &registry.ledger().ledger_id)?);
    }
    Ok(kept)
}

/// Remembers what was seen, unless something was wrong with it; what to say of it.
fn remember(examined: &examine::Examined, report: &Report, path: &std::path::Path) -> Result<String, String> {
    let key = examined.verified.registry.as_ref();
    let key = key.and_then(|registry| PublicKey::from_bytes(&registry.ledger().root_public_key).ok());
    let Some(root_public_key) = key.filter(|_| report.can_be_remembered()) else {
        return Ok(format!("{} was left as it was", path.display()));
    };
    let memory = Memory {
        ledger_id: examined.ledger_id,
        root_public_key,
        statement: examined.statement(),
        unsealed: examined.ends.clone(),
    };
    memory.write(path)?;
    Ok(format!("{} holds what this audit saw", path.display()))
}
