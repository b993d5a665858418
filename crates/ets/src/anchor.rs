//! `ets anchor`.

mod file;
mod git;
mod ledger;
mod opentimestamps;
mod record;
mod service;
mod timestamp;
mod witness;

use std::path::{Path, PathBuf};
use std::time::Duration;

use ets_core::anchor::AnchorStatement;
use postgres::Client;
use serde_json::json;

use crate::{database, output};
use file::Folder;
use git::Repository;
pub use git::git;
use ledger::LedgerArguments;
use opentimestamps::CalendarArguments;
use record::{Came, Database, Known, Recorded};
pub use service::{Service, Verdict};
use timestamp::TimestampArguments;
use witness::WitnessArguments;

/// After so many attempts in a row that failed, a service is not asked for other proofs
/// that it owes until the next round: each may take the whole time-out.
const MOST_IN_VAIN: u32 = 3;

/// Publish sealed checkpoints where the server cannot take them back.
///
/// What is published is a statement: the ledger's id and name, the checkpoint, each
/// domain's size and root, and the MetaRoot, which is computed again before anything goes
/// out. A later checkpoint covers those before it, so the last one is published, unless
/// --checkpoint names another. What came of it is recorded in ets.anchor, and declared in
/// ets.audit once it is confirmed; what failed is tried again by the next call, later and later.
///
/// Exits with 0 if everything is published or asked for, 1 if something failed, and with 2 if nothing could be tried, or
/// for wrong usage. With --verify: 0 if all evidence holds, 1 if some is broken, 2 if some was not looked at.
/// With --json, one object a line for each place.
#[derive(clap::Args)]
#[command(after_help = "It needs a role that may record anchors:
  SELECT ets.grant_access('anchor_role', 'admin')
and with --witness 'reader' too.

Examples:
  ets anchor --dsn 'dbname=shop' --git /srv/anchors --push
  ets anchor --dsn 'dbname=shop' --file /mnt/worm --git /srv/anchors --watch 300
  ets anchor --dsn 'dbname=shop' --git /srv/anchors --verify
  ets anchor --dsn 'dbname=shop' --tsa https://tsa.example --tsa-ca tsa-ca.pem
  ets anchor --dsn 'dbname=shop' --ots https://calendar.example --block-headers headers.txt

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
    judged: JudgedArguments,
    #[command(flatten)]
    other_ledger: LedgerArguments,
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
    /// Publish nothing: verify the evidence of every anchor whose service is named here
    #[arg(long, conflicts_with_all = ["watch", "checkpoint", "push"])]
    verify: bool,
}

/// The services whose evidence anybody can judge who believes them: it needs no look at
/// the place where it was published.
#[derive(clap::Args)]
pub struct JudgedArguments {
    #[command(flatten)]
    timestamps: TimestampArguments,
    #[command(flatten)]
    calendars: CalendarArguments,
    #[command(flatten)]
    witnesses: WitnessArguments,
}

impl JudgedArguments {
    /// The services that are named, with the files of whom to believe read. `time_out` is for
    /// a whole answer, `authorities` the certificates to trust for https.
    ///
    /// # Errors
    /// A message for the user.
    pub fn open(
        &self,
        time_out: Duration,
        authorities: Option<&Path>,
    ) -> Result<Vec<Box<dyn Service>>, String> {
        let mut services: Vec<Box<dyn Service>> = Vec::new();
        for authority in self.timestamps.open(time_out, authorities)? {
            services.push(Box::new(authority));
        }
        for calendar in self.calendars.open(time_out, authorities)? {
            services.push(Box::new(calendar));
        }
        if let Some(witnesses) = self.witnesses.open(time_out, authorities)? {
            services.push(Box::new(witnesses));
        }
        Ok(services)
    }
}

/// Runs the command; the exit code.
///
/// # Errors
/// A message for the user, if nothing could be tried.
pub fn run(arguments: &Arguments, json: bool) -> Result<u8, String> {
    let services = services(arguments)?;
    let Some(seconds) = arguments.watch else {
        let mut client = database::connect(&arguments.dsn)?;
        if arguments.verify {
            return verify(&mut client, &services, json);
        }
        return once(&mut client, &services, arguments, json);
    };
    loop {
        // A server that is gone for a while ends nothing: what it missed is published later.
        let round = database::connect(&arguments.dsn)
            .and_then(|mut client| once(&mut client, &services, arguments, json));
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
    services.extend(arguments.judged.open(time_out, authorities)?);
    if let Some(ledger) = arguments.other_ledger.open(time_out)? {
        services.push(Box::new(ledger));
    }
    if services.is_empty() {
        return Err("say where to publish: --file, --git, --tsa, --ots, --witness or --ledger".to_owned());
    }
    Ok(services)
}

/// Publishes one checkpoint everywhere, and asks for proofs of earlier ones that are
/// still owed; the exit code.
fn once(
    client: &mut Client,
    services: &[Box<dyn Service>],
    arguments: &Arguments,
    json: bool,
) -> Result<u8, String> {
    let Some(statement) = record::read(client, arguments.checkpoint)? else {
        if let Some(checkpoint) = arguments.checkpoint {
            return Err(format!("there is no checkpoint {checkpoint}"));
        }
        output::line(if json { "{\"checkpoint_id\":null}" } else { "nothing is sealed yet" })?;
        return Ok(0);
    };
    let mut code = 0;
    for service in services {
        let owed = match arguments.checkpoint {
            Some(_) => Vec::new(),
            None if !service.proves_later() => Vec::new(),
            None => record::owed(client, &service.name(), statement.checkpoint_id())?,
        };
        let mut in_vain = 0;
        for checkpoint in owed {
            if in_vain == MOST_IN_VAIN {
                break;
            }
            if let Some(earlier) = record::read(client, Some(checkpoint))? {
                let came = attempt(client, service.as_ref(), &earlier, arguments.watch.is_some(), json)?;
                in_vain = if came == 0 { 0 } else { in_vain + 1 };
                code = code.max(came);
            }
        }
        code = code.max(attempt(client, service.as_ref(), &statement, arguments.watch.is_some(), json)?);
    }
    Ok(code)
}

/// Publishes a checkpoint at a service, or goes on with it, or looks whether it is
/// still there; the exit code.
fn attempt(
    client: &mut Client,
    service: &dyn Service,
    statement: &AnchorStatement,
    is_watching: bool,
    json: bool,
) -> Result<u8, String> {
    let name = service.name();
    let came = match record::known(client, statement, &name)? {
        Known::Confirmed(evidence) => match service.verify(statement, &evidence) {
            Ok(_) => Ok(Came::There),
            Err(problem) => Ok(Came::Gone(problem)),
        },
        // Not yet time to ask again; whoever calls once does not wait.
        Known::Open { is_waiting: true, .. } if is_watching => return Ok(0),
        Known::Open { evidence, .. } => {
            service.publish(statement, evidence.as_deref(), &mut Database { client }).map(Came::Out)
        }
    };
    let (state, detail) = record::settle(client, statement, &name, came)?;
    let checkpoint = statement.checkpoint_id();
    let meta_root = statement.meta_root().to_string();
    output::line(&if json {
        json!({"checkpoint_id": checkpoint, "detail": detail, "meta_root": meta_root, "service": name, "state": state})
            .to_string()
    } else {
        let detail = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
        output::printable(&format!("checkpoint {checkpoint} {meta_root}  {state}  {name}{detail}"))
    })?;
    Ok(u8::from(matches!(state, "failed" | "gone")))
}

/// Verifies every confirmed anchor whose service is named; the exit code.
fn verify(client: &mut Client, services: &[Box<dyn Service>], json: bool) -> Result<u8, String> {
    let mut worst = 0;
    for anchor in record::confirmed(client)? {
        let service = services.iter().find(|service| service.name() == anchor.service);
        let (state, detail) = match (service, AnchorStatement::parse(&anchor.statement)) {
            (_, Err(error)) => ("broken", error.to_string()),
            (None, _) => ("unknown", "not looked at: its service is not named here".to_owned()),
            (Some(service), Ok(statement)) => match service.verify(&statement, &anchor.evidence) {
                Ok(Verdict::Holds(proven)) => ("holds", proven),
                Ok(Verdict::Unknown(lacking)) => ("unknown", lacking),
                Err(problem) => ("broken", problem),
            },
        };
        worst = match (worst, state) {
            (1, _) | (_, "broken") => 1,
            (worst, "holds") => worst,
            _ => 2,
        };
        let Recorded { anchor_id, checkpoint_id, service, .. } = anchor;
        output::line(&if json {
            json!({
                "anchor_id": anchor_id, "checkpoint_id": checkpoint_id, "detail": detail, "service": service, "state": state,
            })
            .to_string()
        } else {
            output::printable(&format!(
                "anchor {anchor_id} of checkpoint {checkpoint_id}  {state}  {service}: {detail}"
            ))
        })?;
    }
    Ok(worst)
}
