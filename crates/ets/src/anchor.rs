//! `ets anchor`.

mod file;
mod git;
mod service;
mod timestamp;

use std::path::PathBuf;
use std::time::Duration;

use ets_core::anchor::AnchorStatement;
use ets_core::checkpoint::DomainRoot;
use ets_core::event::EventId;
use ets_core::hash::Digest;
use ets_core::name::DomainName;
use postgres::Client;
use serde_json::json;

use crate::{database, output};
use file::Folder;
use git::Repository;
use service::{Failure, Outcome, Service, Source};
use timestamp::TimestampArguments;

/// Publish sealed checkpoints where the server cannot take them back.
///
/// What is published is a statement: the ledger's id and name, the checkpoint, each
/// domain's size and root, and the MetaRoot, which is computed again before anything goes
/// out. A later checkpoint covers those before it, so the last one is published, unless
/// --checkpoint names another. What came of it is recorded in ets.anchor, and declared in
/// ets.audit once it is confirmed; what failed is tried again by the next call, later and later.
///
/// Exits with 0 if everything is published, 1 if something failed, and with 2 if nothing could be tried, or for wrong usage.
#[derive(clap::Args)]
#[command(after_help = "It needs a role that may record anchors:
  SELECT ets.grant_access('anchor_role', 'admin')

Examples:
  ets anchor --dsn 'dbname=shop' --git /srv/anchors --push
  ets anchor --dsn 'dbname=shop' --file /mnt/worm --git /srv/anchors --watch 300
  ets anchor --dsn 'dbname=shop' --tsa https://tsa.example --tsa-ca tsa-ca.pem

ets audit --anchors compares a ledger with what was published. docs/anchors.md has a
policy for production: two independent places, and an alarm on lag.")]
pub struct Arguments {
    /// The database: a libpq connection string or URL; what it leaves out comes from PGHOST, PGUSER and so on
    #[arg(long, value_name = "DSN", default_value = "")]
    dsn: String,
    /// A folder for statements, as LEDGER_ID/CHECKPOINT_ID.json; may be repeated
    #[arg(long, value_name = "DIR")]
    file: Vec<PathBuf>,
    /// The worktree of a git repository, where each is committed; may be repeated
    #[arg(long, value_name = "DIR")]
    git: Vec<PathBuf>,
    /// Push each commit to the branch's upstream
    #[arg(long, requires = "git")]
    push: bool,
    #[command(flatten)]
    timestamps: TimestampArguments,
    /// For https, trust the certificates in this PEM file instead of the public ones
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// How long a service may take for an answer
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = clap::value_parser!(u64).range(1..=600))]
    time_out: u64,
    /// The checkpoint to publish; the last by default
    #[arg(long, value_name = "N", conflicts_with = "watch")]
    checkpoint: Option<i64>,
    /// Go on, and look for a new checkpoint every so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    watch: Option<u64>,
    /// One JSON object a line for each place, for programs
    #[arg(long)]
    json: bool,
}

/// Runs the command; the exit code.
///
/// # Errors
/// A message for the user, if nothing could be tried.
pub fn run(arguments: &Arguments) -> Result<u8, String> {
    let services = services(arguments)?;
    let Some(seconds) = arguments.watch else {
        let mut client = database::connect(&arguments.dsn)?;
        return once(&mut client, &services, arguments);
    };
    loop {
        // A server that is gone for a while ends nothing: what it missed is published later.
        let round =
            database::connect(&arguments.dsn).and_then(|mut client| once(&mut client, &services, arguments));
        if let Err(problem) = round {
            eprintln!("ets: {problem}");
        }
        std::thread::sleep(Duration::from_secs(seconds));
    }
}

fn services(arguments: &Arguments) -> Result<Vec<Box<dyn Service>>, String> {
    let mut services: Vec<Box<dyn Service>> = Vec::new();
    for path in &arguments.file {
        services.push(Box::new(Folder::open(path)?));
    }
    for path in &arguments.git {
        services.push(Box::new(Repository::open(path, arguments.push)?));
    }
    let (time_out, authorities) = (Duration::from_secs(arguments.time_out), arguments.ca_file.as_deref());
    for authority in arguments.timestamps.open(time_out, authorities)? {
        services.push(Box::new(authority));
    }
    if services.is_empty() {
        return Err("say where to publish: --file or --git or --tsa".to_owned());
    }
    Ok(services)
}

/// Publishes one checkpoint everywhere; the exit code.
fn once(client: &mut Client, services: &[Box<dyn Service>], arguments: &Arguments) -> Result<u8, String> {
    let Some(statement) = read(client, arguments.checkpoint)? else {
        if let Some(checkpoint) = arguments.checkpoint {
            return Err(format!("there is no checkpoint {checkpoint}"));
        }
        output::line(if arguments.json { "{\"checkpoint_id\":null}" } else { "nothing is sealed yet" })?;
        return Ok(0);
    };
    let mut code = 0;
    for service in services {
        let name = service.name();
        let came = match known(client, &statement, &name)? {
            Known::Confirmed(evidence) => match service.verify(&statement, &evidence) {
                Ok(_) => Ok(Came::There),
                Err(problem) => Ok(Came::Gone(problem)),
            },
            // Not yet time to ask again; whoever calls once does not wait.
            Known::Open { is_waiting: true, .. } if arguments.watch.is_some() => continue,
            Known::Open { evidence, .. } => {
                service.publish(&statement, evidence.as_deref(), &mut Database { client }).map(Came::Out)
            }
        };
        let (state, detail) = settle(client, &statement, &name, came)?;
        if matches!(state, "failed" | "gone") {
            code = 1;
        }
        let checkpoint = statement.checkpoint_id();
        let meta_root = statement.meta_root().to_string();
        output::line(&if arguments.json {
            json!({"checkpoint_id": checkpoint, "detail": detail, "meta_root": meta_root, "service": name, "state": state})
                .to_string()
        } else {
            let detail = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
            output::printable(&format!("checkpoint {checkpoint} {meta_root}  {state}  {name}{detail}"))
        })?;
    }
    Ok(code)
}

/// How an attempt ended.
enum Came {
    Out(Outcome),
    /// It had been confirmed, and still verifies.
    There,
    /// It had been confirmed, and is not there any more.
    Gone(String),
}

/// Records what came of an attempt; the state in a word, and what there is to say.
fn settle(
    client: &mut Client,
    statement: &AnchorStatement,
    service: &str,
    came: Result<Came, Failure>,
) -> Result<(&'static str, Option<String>), String> {
    let (state, evidence, failure) = match came {
        Ok(Came::There) => return Ok(("confirmed", None)),
        // The record stays: it was confirmed then. That it is gone is for people.
        Ok(Came::Gone(problem)) => return Ok(("gone", Some(problem))),
        Ok(Came::Out(Outcome::Confirmed(evidence))) => ("confirmed", Some(evidence), None),
        Ok(Came::Out(Outcome::Pending(evidence))) => ("pending", Some(evidence), None),
        Err(failure) => ("failed", None, Some(failure)),
    };
    let reason = failure.as_ref().map(|failure| failure.reason.as_str());
    let retry = failure.as_ref().is_none_or(|failure| failure.retry);
    let checkpoint = i64::try_from(statement.checkpoint_id()).map_err(|error| error.to_string())?;
    let sql = "SELECT ets.record_anchor($1, $2, $3, $4, $5, $6, NULL, $7)";
    client
        .query_one(sql, &[&checkpoint, &service, &state, &statement.to_jcs(), &evidence, &reason, &retry])
        .map_err(|error| format!("cannot record what came of {service}: {}", database::message(&error)))?;
    Ok((state, failure.map(|failure| failure.reason)))
}

/// What `ets.anchor` has of a checkpoint and a service.
enum Known {
    /// Nothing, or what is to be tried again, with what an earlier attempt got, and
    /// whether the next attempt is later.
    Open {
        evidence: Option<Vec<u8>>,
        is_waiting: bool,
    },
    Confirmed(Vec<u8>),
}

fn known(client: &mut Client, statement: &AnchorStatement, service: &str) -> Result<Known, String> {
    let checkpoint = i64::try_from(statement.checkpoint_id()).map_err(|error| error.to_string())?;
    let sql = "SELECT anchor.state, anchor.evidence, anchor.next_attempt > pg_catalog.clock_timestamp() FROM ets.anchor AS anchor
                WHERE anchor.checkpoint_id = $1 AND anchor.service = $2";
    let row = client.query_opt(sql, &[&checkpoint, &service]).map_err(|error| database::message(&error))?;
    let Some(row) = row else { return Ok(Known::Open { evidence: None, is_waiting: false }) };
    Ok(match (row.get(0), row.get(1)) {
        ("confirmed", Some(evidence)) => Known::Confirmed(evidence),
        (_, evidence) => {
            Known::Open { evidence, is_waiting: row.get::<_, Option<bool>>(2).unwrap_or_default() }
        }
    })
}

/// What services may ask for, from the database itself.
struct Database<'a> {
    client: &'a mut Client,
}

impl Source for Database<'_> {
    fn checkpoint_note(&mut self, domain: &DomainName) -> Result<String, Failure> {
        let row = self.client.query_one("SELECT ets.checkpoint_note($1)", &[&domain.as_str()]);
        row.map(|row| row.get(0)).map_err(|error| Failure::passing(database::message(&error)))
    }

    fn consistency_proof(&mut self, domain: &DomainName, from: u64, to: u64) -> Result<Vec<Digest>, Failure> {
        let size = |size: u64| {
            i64::try_from(size).map_err(|_| Failure::lasting(format!("no tree has the size {size}")))
        };
        let sql = "SELECT proof.hash FROM ets.consistency_proof($1, $2, $3) AS proof ORDER BY proof.step";
        let rows = self.client.query(sql, &[&domain.as_str(), &size(from)?, &size(to)?]);
        let rows = rows.map_err(|error| Failure::passing(database::message(&error)))?;
        let hash = |row: &postgres::Row| Digest::try_from(row.get::<_, &[u8]>(0));
        rows.iter()
            .map(hash)
            .collect::<Result<_, _>>()
            .map_err(|_| Failure::passing("a step of the consistency proof is no hash"))
    }
}

/// A checkpoint as it goes out, its MetaRoot computed from its roots and compared.
fn read(client: &mut Client, checkpoint: Option<i64>) -> Result<Option<AnchorStatement>, String> {
    let refused = |error: postgres::Error| database::message(&error);
    let mut transaction = client
        .build_transaction()
        .isolation_level(postgres::IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .map_err(refused)?;
    let sql = "SELECT ledger.ledger_id, ledger.origin, checkpoint.checkpoint_id, checkpoint.checkpoint_event_id,
                      checkpoint.meta_root
                 FROM ets.ledger AS ledger, ets.checkpoint AS checkpoint
                WHERE checkpoint.checkpoint_id = coalesce($1, (SELECT max(last.checkpoint_id) FROM ets.checkpoint AS last))";
    let Some(row) = transaction.query_opt(sql, &[&checkpoint]).map_err(refused)? else { return Ok(None) };
    let number: i64 = row.get(2);
    let sql = "SELECT root.domain, root.tree_size, root.root_hash FROM ets.domain_root AS root
                WHERE root.checkpoint_id = $1 ORDER BY root.domain";
    let rows = transaction.query(sql, &[&number]).map_err(refused)?;
    let wrong = |what: &str| format!("checkpoint {number} is not what was sealed: {what}");
    let mut roots = Vec::new();
    for root in &rows {
        roots.push(DomainRoot {
            domain: root.get::<_, &str>(0).parse().map_err(|_| wrong("a tree of no domain"))?,
            tree_size: u64::try_from(root.get::<_, i64>(1)).map_err(|_| wrong("a size below 0"))?,
            root: Digest::try_from(root.get::<_, &[u8]>(2)).map_err(|_| wrong("a root that is none"))?,
        });
    }
    let meta_root: &[u8] = row.get(4);
    let statement = AnchorStatement::new(
        row.get(0),
        row.get::<_, &str>(1).parse().map_err(|_| wrong("the ledger's origin is none"))?,
        u64::try_from(number).map_err(|_| wrong("its number"))?,
        EventId::from_uuid(row.get(3)).ok_or_else(|| wrong("its event id is no UUID of version 7"))?,
        roots,
    )
    .map_err(|error| wrong(&error.to_string()))?;
    if statement.meta_root().as_bytes()[..] != *meta_root {
        return Err(wrong("its domain roots give another MetaRoot"));
    }
    Ok(Some(statement))
}
