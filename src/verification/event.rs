//! Every check of one event.

use ets_core::bundle::ProofBundle;
use ets_core::event::{Event, EventId};
use ets_core::hash::{Digest, genesis_hash};
use ets_core::merkle::{TILE_WIDTH, TileSource};
use ets_core::name::{DomainName, REGISTRY};
use ets_core::registry::Registry;
use ets_core::trust::TrustRoot;
use ets_core::verify::{
    self, ChainVerifier, Check, Finding, FindingClass, Trust, VerifiedRegistry, verify_document,
};
use uuid::Uuid;

use super::stored::StoredRow;
use super::{Findings, chains, ledger_id};
use crate::api::bundle::evidence;
use crate::db::{self, View};
use crate::error::{Error, Result};
use crate::function::no_event;
use crate::ledger;
use crate::seal::StoredTiles;

/// The checks that only a sealed event allows.
const SEALED: [&str; 5] = ["leaf", "inclusion", "registry_inclusion", "meta_root", "note"];

/// Verifies an event against this database's ledger, whose root is trusted.
///
/// # Errors
/// ET013 before there is a ledger, ET011 for an unknown event.
pub fn event(id: EventId) -> Result<Vec<Check>> {
    let ledger_id = ledger_id()?;
    let stored =
        db::first(View::Query, crate::select_events!("WHERE event.event_id = $1"), &[id.into()], |row| {
            Ok(StoredRow::of(row))
        })?
        .ok_or_else(|| no_event(id.as_uuid().as_bytes()))?;
    let event = match stored.raw().parse() {
        Ok(event) => event,
        // The row holds no event: there is nothing to make the other checks on.
        Err(finding) => return Ok(vec![failed("canonical", finding.detail)]),
    };

    let mut checks = verify_document(&event);
    if let Some(canonical) = checks.first_mut().filter(|_| !event.payload.is_stored_form()) {
        *canonical = failed("canonical", "the stored payload is not its canonical value");
    }
    checks.push(chain(ledger_id, &event)?);
    let mut found = Findings::all();
    let verified = chains::registry(ledger_id, &mut found)?;
    checks.push(registry_check(&verified, &found.rows));
    checks.extend(judgement(ledger_id, &verified, &event, &found.rows));
    checks.extend(sealed(verified.registry.as_ref(), event)?);
    Ok(checks)
}

/// The event continues the one before it in its stream.
fn chain(ledger_id: Uuid, event: &Event) -> Result<Check> {
    const NAME: &str = "chain";
    let header = &event.header;
    if header.sequence == 1 {
        let genesis = genesis_hash(&ledger_id, &header.domain, &header.stream);
        return Ok(if header.previous_hash == genesis {
            passed(NAME, "the stream's first event begins at its genesis hash")
        } else {
            failed(NAME, "the stream's first event does not begin at its genesis hash")
        });
    }
    let before = db::query(
        View::Query,
        "SELECT event.current_hash, event.event_id FROM ets.ledger_event AS event
          WHERE event.domain = $1 AND event.stream = $2 AND event.sequence = $3 - 1",
        &[header.domain.as_str().into(), header.stream.as_str().into(), header.sequence.into()],
        |row| Ok((row.bytes(1), row.uuid(2))),
    )?;
    let number = header.sequence.saturating_sub(1);
    let [(hash, id)] = before.as_slice() else {
        let how = if before.is_empty() { "is missing" } else { "is there twice" };
        return Ok(failed(NAME, format!("event {number} of the stream {how}")));
    };
    Ok(if hash.as_deref() != Some(header.previous_hash.as_bytes()) {
        failed(NAME, format!("previous_hash is not the current_hash of event {number}"))
    } else if id.as_ref().is_none_or(|id| id >= header.event_id.as_uuid().as_bytes()) {
        failed(NAME, format!("event_id is not greater than that of event {number}"))
    } else {
        passed(NAME, format!("previous_hash is the current_hash of event {number}"))
    })
}

/// Whether what the event is judged by is itself in order.
fn registry_check(verified: &VerifiedRegistry, found: &[Finding]) -> Check {
    const NAME: &str = "registry";
    match (&verified.registry, found.first()) {
        (_, Some(first)) => failed(NAME, format!("the registry has findings, the first: {first}")),
        (None, None) => unknown(NAME, "there is no registry"),
        (Some(registry), None) => {
            passed(NAME, format!("the registry's {} events are in order", registry.version()))
        }
    }
}

/// The checks `authority`, `schema`, `schema_pointer` and `rules`, at the event's
/// own registry version.
fn judgement(
    ledger_id: Uuid,
    verified: &VerifiedRegistry,
    event: &Event,
    of_registry: &[Finding],
) -> Vec<Check> {
    let header = &event.header;
    let Some(registry) = &verified.registry else {
        return ["authority", "schema", "schema_pointer", "rules"]
            .map(|name| unknown(name, "there is no registry to judge by"))
            .into();
    };
    if header.domain.as_str() == REGISTRY {
        let own = |class| {
            of_registry.iter().find(|finding| {
                finding.event_id == Some(*header.event_id.as_uuid()) && finding.class == class
            })
        };
        let judged = |name, class, good: &str| match own(class) {
            Some(finding) => failed(name, finding.detail.clone()),
            None => passed(name, good),
        };
        return vec![
            judged(
                "authority",
                FindingClass::Authority,
                "the signer had the right to make this registry event",
            ),
            judged("schema", FindingClass::Schema, "the registry takes this event"),
        ];
    }
    let version = header.registry_version;
    if verified.damaged_from.is_some_and(|from| from <= version) {
        return ["authority", "schema", "schema_pointer", "rules"]
            .map(|name| unknown(name, format!("the registry is damaged before version {version}")))
            .into();
    }
    let mut found = Vec::new();
    ChainVerifier::judging_by(ledger_id, verified).push(event, &mut found);
    let first = |wanted: &dyn Fn(&Finding) -> bool| found.iter().find(|finding| wanted(finding));

    let authority = match first(&|f| matches!(f.check, "authority" | "registry_version")) {
        Some(finding) => failed("authority", finding.detail.clone()),
        None => passed(
            "authority",
            format!(
                "at registry version {version} the key could append {} to {}/{}",
                header.schema_version, header.domain, header.stream
            ),
        ),
    };
    let Ok(record) = registry.schema_at(&header.schema_version, version) else {
        let detail = first(&|f| f.check == "schema_version").map_or("unknown", |f| f.detail.as_str());
        return vec![
            authority,
            failed("schema", detail),
            unknown("schema_pointer", "there is no schema"),
            unknown("rules", "there is no schema"),
        ];
    };
    let schema = match first(&|f| f.class == FindingClass::Schema && f.check != "schema_version") {
        Some(finding) => failed("schema", finding.detail.clone()),
        None => match first(&|f| f.class == FindingClass::Unverifiable && f.check == "schema") {
            Some(finding) => unknown("schema", finding.detail.clone()),
            None => passed("schema", format!("the payload fits {}", header.schema_version)),
        },
    };
    let pointer = match (&record.schema_pointer, record.check_pointer(event.payload.value())) {
        (_, Err(error)) => failed("schema_pointer", error.to_string()),
        (Some(_), Ok(())) => passed("schema_pointer", "the signature covers the schema version"),
        (None, Ok(())) => {
            passed("schema_pointer", "the schema has none: the schema version is the server's word")
        }
    };
    let rules = match first(&|f| f.class == FindingClass::Rule) {
        Some(finding) => failed("rules", finding.detail.clone()),
        None => match first(&|f| f.class == FindingClass::Unverifiable && f.check == "rules") {
            Some(finding) => unknown("rules", finding.detail.clone()),
            None if record.rules.as_array().is_some_and(Vec::is_empty) => {
                passed("rules", format!("{} has no rules", header.schema_version))
            }
            None => passed("rules", format!("the rules of {} hold", header.schema_version)),
        },
    };
    vec![authority, schema, pointer, rules]
}

/// The checks of the event's place in the last checkpoint.
fn sealed(registry: Option<&Registry>, event: Event) -> Result<Vec<Check>> {
    let header = &event.header;
    let all = |detail: &str| SEALED.iter().map(|name| unknown(name, detail)).collect();
    let Some((index, is_checkpointed)) = leaf(header.event_id, &header.domain)? else {
        return Ok(all("not sealed yet"));
    };
    if !is_checkpointed {
        return Ok(vec![failed("leaf", "the event has a leaf that is in no checkpoint")]);
    }
    let mut checks = vec![leaf_check(&event, index)?];
    let Some(registry) = registry else {
        checks.extend(SEALED.iter().skip(1).map(|name| unknown(name, "there is no registry to judge by")));
        return Ok(checks);
    };
    let needed = [header.schema_version.clone()];
    let evidence = match evidence(registry, header, &needed, header.registry_version) {
        Ok(evidence) => evidence,
        Err(Error::Postgres) => return Err(Error::Postgres),
        Err(refused) => {
            checks.push(failed("inclusion", refused.to_string()));
            checks.extend(
                SEALED.iter().skip(2).map(|name| unknown(name, "the event's inclusion could not be shown")),
            );
            return Ok(checks);
        }
    };
    let trust = own_root()?.map_or(Trust::Nothing, Trust::Root);
    let bundle = ProofBundle { event, evidence };
    checks.extend(
        verify::verify_proof_bundle(&bundle, &trust)
            .into_iter()
            .filter(|check| check.name == "trust_root" || SEALED.contains(&check.name)),
    );
    Ok(checks)
}

/// The event's leaf in its domain, and whether the last checkpoint has it.
fn leaf(id: EventId, domain: &DomainName) -> Result<Option<(u64, bool)>> {
    let found = db::first(
        View::Query,
        "SELECT leaf.leaf_index, leaf.leaf_index < coalesce((
                    SELECT root.tree_size FROM ets.domain_root AS root WHERE root.domain = leaf.domain
                     ORDER BY root.checkpoint_id DESC LIMIT 1), 0)
           FROM ets.merkle_leaf AS leaf WHERE leaf.event_id = $1 AND leaf.domain = $2
          ORDER BY leaf.leaf_index LIMIT 1",
        &[id.into(), domain.as_str().into()],
        |row| Ok((row.int(1).and_then(|index| u64::try_from(index).ok()), row.bool(2) == Some(true))),
    )?;
    Ok(found.and_then(|(index, is_checkpointed)| Some((index?, is_checkpointed))))
}

/// The stored leaf hash is that of the row's header.
fn leaf_check(event: &Event, index: u64) -> Result<Check> {
    const NAME: &str = "leaf";
    let mut tiles = StoredTiles { domain: &event.header.domain, view: View::Query };
    let hashes = match tiles.tile(0, index / TILE_WIDTH as u64) {
        Ok(hashes) => hashes,
        Err(Error::Postgres) => return Err(Error::Postgres),
        Err(refused) => return Ok(failed(NAME, refused.to_string())),
    };
    let stored: Option<&Digest> = hashes.get((index % TILE_WIDTH as u64) as usize);
    Ok(match stored {
        None => failed(NAME, format!("the tile of leaf {index} is missing")),
        Some(stored) if *stored == event.header.leaf_hash() => {
            passed(NAME, format!("the row's header hashes to leaf {index} as it was sealed"))
        }
        Some(_) => failed(NAME, format!("the row's header does not hash to leaf {index} as it was sealed")),
    })
}

/// The root of this database's ledger, if its row holds one.
fn own_root() -> Result<Option<TrustRoot>> {
    match ledger::announced() {
        Ok(announced) => Ok(Some(TrustRoot {
            ledger_id: announced.ledger_id,
            origin: announced.origin,
            root_public_key: announced.root_public_key,
            server_public_key: announced.server_public_key,
        })),
        Err(Error::Postgres) => Err(Error::Postgres),
        Err(_) => Ok(None),
    }
}

fn passed(name: &'static str, detail: impl Into<String>) -> Check {
    Check { name, passed: Some(true), detail: detail.into() }
}

fn failed(name: &'static str, detail: impl Into<String>) -> Check {
    Check { name, passed: Some(false), detail: detail.into() }
}

fn unknown(name: &'static str, detail: impl Into<String>) -> Check {
    Check { name, passed: None, detail: detail.into() }
}
