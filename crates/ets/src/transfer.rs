//! `ets export` and `ets import`: a ledger as a file, out of one database and into another.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use ets_core::event::Event;
use ets_core::export::{Manifest, Step};
use ets_core::key::PublicKey;
use ets_core::name::DomainName;
use postgres::Transaction;
use serde_json::json;

use crate::keys::public_key;
use crate::lines::{Broken, ExportLines};
use crate::{database, output};

/// COPY writes and takes lines as they are: JSON has neither of these bytes.
const AS_THEY_ARE: &str = "(FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')";

/// Write a ledger, or one domain of it, as an export.
///
/// Lines of JSON: the events in the order of their leaves, the checkpoints, and a manifest that
/// the server's key signs. `ets audit --export` verifies it, `ets import` takes it into another
/// database. Every line is checked on its way, and a file is written whole or not at all.
#[derive(clap::Args)]
#[command(after_help = "It needs a role that may read the ledger:
  SELECT ets.grant_access('auditor_role', 'auditor')

Examples:
  ets export --dsn 'dbname=shop' --output ledger.ndjson
  ets export --dsn 'dbname=shop' --domain orders --from-checkpoint 7 | gzip > orders.gz

Exits with 0, or with 2 if there is no export.")]
pub struct ExportArguments {
    /// The database: a libpq connection string or URL; PGHOST, PGUSER, … fill the gaps
    #[arg(long, value_name = "DSN", default_value = "")]
    dsn: String,
    /// One domain beside the registry; all by default
    #[arg(long, value_name = "NAME")]
    domain: Option<DomainName>,
    /// What came after this checkpoint
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    from_checkpoint: i64,
    /// What came up to this checkpoint; all, and what is not sealed, by default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    to_checkpoint: Option<i64>,
    /// The file to write, which must not exist; standard output by default
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Take an export into another database, through its gate.
///
/// All of it is taken in, or nothing; importing the same again changes nothing. Prints what the
/// export holds, as a JSON object.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  ets import --dsn 'dbname=copy' --join --root-key 8a88… ledger.ndjson    into a new database
  ets import --dsn 'dbname=copy' later.ndjson                            what came since

The new database needs CREATE EXTENSION pg_ets, and --join a superuser.
Exits with 0, or with 2 if nothing was imported.")]
pub struct ImportArguments {
    /// The database: a libpq connection string or URL; PGHOST, PGUSER, … fill the gaps
    #[arg(long, value_name = "DSN", default_value = "")]
    dsn: String,
    /// Join the database to the export's ledger first; needs --root-key
    #[arg(long, requires = "root_key")]
    join: bool,
    /// The root public key that the ledger must have, 64 lowercase hex digits
    #[arg(long, value_name = "HEX")]
    root_key: Option<String>,
    /// The export; with --join a file, which is read twice, otherwise also `-` for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Runs `ets export`.
///
/// # Errors
/// A message for the user: no connection, what the server said, or a file that cannot be written.
pub fn export(arguments: &ExportArguments, json: bool) -> Result<u8, String> {
    let path = arguments.output.as_deref();
    if let Some(path) = path.filter(|path| path.exists()) {
        return Err(format!("cannot write {}: it exists already", path.display()));
    }
    let mut client = database::connect(&arguments.dsn)?;
    let literal = |text: Option<String>| text.unwrap_or_else(|| "NULL".to_owned());
    // A domain's name has no quote in it.
    let domain = literal(arguments.domain.as_ref().map(|name| format!("'{name}'")));
    let to = literal(arguments.to_checkpoint.map(|number| number.to_string()));
    let sql = format!(
        "COPY (SELECT line FROM ets.export({domain}, {}, {to}) ORDER BY line_number) TO STDOUT WITH {AS_THEY_ARE}",
        arguments.from_checkpoint
    );
    let lines = client.copy_out(&sql).map_err(|error| database::message(&error))?;
    let Some(path) = path else {
        read_lines(lines, |_, bytes| put(&mut io::stdout().lock(), bytes))?;
        return Ok(0);
    };
    let unfinished = unfinished(path);
    let failed = |error: io::Error| format!("cannot write {}: {error}", unfinished.display());
    let mut file = BufWriter::new(File::create(&unfinished).map_err(failed)?);
    let written = read_lines(lines, |_, bytes| put(&mut file, bytes)).and_then(|manifest| {
        let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
        file.sync_all().map_err(failed)?;
        // A link, unlike a rename, does not replace what came in between.
        fs::hard_link(&unfinished, path)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok(manifest)
    });
    let _ = fs::remove_file(&unfinished);
    let said = summary(&written?);
    if json {
        output::line(&said)?;
    } else {
        eprintln!("{said}");
    }
    Ok(0)
}

/// Runs `ets import`.
///
/// # Errors
/// A message for the user: no connection, what the server said of which line, or an
/// export of another ledger.
pub fn import(arguments: &ImportArguments) -> Result<u8, String> {
    let root_key = arguments.root_key.as_deref().map(|hex| public_key("--root-key", hex)).transpose()?;
    let refused = |error: postgres::Error| database::message(&error);
    let first = if arguments.join { Some(first_event(&arguments.file)?) } else { None };
    let mut client = database::connect(&arguments.dsn)?;
    let mut transaction = client.transaction().map_err(refused)?;
    let mut reader = open(&arguments.file)?;
    if let (Some((first, domain)), Some(key)) = (&first, &root_key) {
        check_root(first.header.public_key, key)?;
        let domain = domain.as_ref().map(DomainName::as_str);
        transaction
            .execute("SELECT ets.join(($1::text)::json, $2)", &[&first.document(), &domain])
            .map_err(refused)?;
    }
    let manifest = send(&mut transaction, &mut reader, root_key.as_ref())?;
    transaction.commit().map_err(refused)?;
    output::line(&summary(&manifest))?;
    Ok(0)
}

/// Sends the lines, each checked before.
fn send(
    transaction: &mut Transaction<'_>,
    lines: impl Read,
    root_key: Option<&PublicKey>,
) -> Result<Manifest, String> {
    let sql = format!("COPY ets.import_lines FROM STDIN WITH {AS_THEY_ARE}");
    let mut copy = transaction.copy_in(&sql).map_err(|error| match error.code() {
        // The view is made when the database joins.
        Some(&postgres::error::SqlState::UNDEFINED_TABLE) => {
            "the database has joined no ledger yet: --join with --root-key does, as superuser".to_owned()
        }
        _ => database::message(&error),
    })?;
    let mut lost = None;
    let read = read_lines(lines, |step, bytes| {
        if let (Step::Header(header), Some(key)) = (step, root_key) {
            check_root(*header.trust_root.root_public_key.as_bytes(), key)?;
        }
        // What the server says, it says at the end.
        copy.write_all(bytes).map_err(|error| lost.insert(error).to_string())
    });
    match (read, lost) {
        (Ok(manifest), _) => {
            copy.finish().map_err(|error| database::message(&error))?;
            Ok(manifest)
        }
        (Err(message), None) => Err(message),
        (Err(_), Some(error)) => {
            let said = error.get_ref().and_then(|error| error.downcast_ref::<postgres::Error>());
            Err(said.map_or_else(|| format!("the connection was lost: {error}"), database::message))
        }
    }
}

fn check_root(actual: [u8; 32], expected: &PublicKey) -> Result<(), String> {
    if actual == *expected.as_bytes() {
        return Ok(());
    }
    Err(format!("the export is of a ledger with another root key, {}", ets_core::hash::to_hex(&actual)))
}

/// The ledger's first event, and the one domain that the export is of, if it is of one.
fn first_event(path: &Path) -> Result<(Event, Option<DomainName>), String> {
    let mut found = None;
    let mut domain = None;
    let read = read_lines(open(path)?, |step, _| match step {
        Step::Header(header) => {
            domain = header.domain.clone();
            Ok(())
        }
        Step::Event(event, _) => {
            found = Some(event.clone());
            Err(String::new())
        }
        _ => Ok(()),
    });
    match (found, read) {
        (Some(event), _)
            if event.header.sequence == 1 && event.header.domain.as_str() == ets_core::name::REGISTRY =>
        {
            Ok((event, domain))
        }
        (None, Err(message)) => Err(message),
        _ => Err(format!(
            "{} does not begin with the ledger's first event: it continues a checkpoint",
            path.display()
        )),
    }
}

fn open(path: &Path) -> Result<Box<dyn Read>, String> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(io::stdin()));
    }
    let file = File::open(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(Box::new(file))
}

/// Reads an export to its end; `each` gets every line with what it is, and may end it.
fn read_lines(
    lines: impl Read,
    mut each: impl FnMut(&Step, &[u8]) -> Result<(), String>,
) -> Result<Manifest, String> {
    let mut lines = ExportLines::new(lines);
    let mut manifest = None;
    let failed = |broken| match broken {
        Broken::Line(problem) => problem,
        Broken::Input(error) => {
            let said = error.get_ref().and_then(|error| error.downcast_ref::<postgres::Error>());
            said.map_or_else(|| format!("the export broke off: {error}"), database::message)
        }
    };
    while let Some(step) = lines.next_step().map_err(failed)? {
        each(&step, lines.line())?;
        if let Step::Manifest(last) = step {
            manifest = Some(last);
        }
    }
    manifest.ok_or_else(|| "the export has no manifest".to_owned())
}

fn put(out: &mut impl Write, bytes: &[u8]) -> Result<(), String> {
    out.write_all(bytes).map_err(|error| format!("cannot write: {error}"))
}

fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.unfinished", std::process::id()));
    path.with_file_name(name)
}

fn summary(manifest: &Manifest) -> String {
    json!({
        "checkpoint_id": manifest.checkpoint_id,
        "events": manifest.events,
        "ledger_id": manifest.ledger_id.to_string(),
        "lines": manifest.lines + 1,
        "meta_root": manifest.meta_root.map(|root| root.to_string()),
    })
    .to_string()
}
