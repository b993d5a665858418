//! What the database keeps beside the events: ids, heads, and the tables that are made
//! from the registry.

use std::collections::HashSet;

use ets_core::hash::genesis_hash;
use ets_core::name::{DomainName, REGISTRY, StreamName};
use ets_core::state::state_hash;
use ets_core::time::Timestamp;
use ets_core::verify::{Finding, FindingClass, VerifiedRegistry, projections};
use uuid::Uuid;

use super::super::copy::Row;
use super::super::multiset::Multiset;
use super::super::source::{Source, Tables};
use super::findings::Findings;
use super::pass::Pass;

/// An id is one event's, in one domain.
pub fn ids(source: &dyn Source, pass: &Pass, findings: &mut Findings) -> Result<(), String> {
    let mut before: Option<(Uuid, String)> = None;
    let mut ids = Multiset::new(pass.key);
    source.ids(&mut |row| {
        let (id, domain) = (row.uuid(0).unwrap_or_default(), row.text(1).unwrap_or_default().to_owned());
        ids.add(&[id.as_bytes(), domain.as_bytes()]);
        match &before {
            Some((other, also_in)) if *other == id => findings.add(Finding {
                domain: Some(domain.clone()),
                event_id: Some(id),
                expected: Some("1".into()),
                ..Finding::new(
                    FindingClass::Tampering,
                    "event_id",
                    format!("the id is there twice, also in {also_in}"),
                )
            }),
            Some((other, _)) if *other > id => {
                return Err("the server does not give ids in their order".to_owned());
            }
            _ => {}
        }
        before = Some((id, domain));
        Ok(())
    })?;
    if ids != pass.ids {
        findings.add(Finding::new(
            FindingClass::Tampering,
            "answers",
            "asked for its events by stream and by id, the server gave different ones",
        ));
    }
    Ok(())
}

/// Every head, and every state that is kept, against the end of its stream.
pub fn heads(
    source: &dyn Tables,
    ledger_id: Uuid,
    pass: &Pass,
    findings: &mut Findings,
) -> Result<(), String> {
    let mut seen = HashSet::new();
    source.heads(&mut |row| {
        let place = (row.text(0).unwrap_or_default().to_owned(), row.text(1).unwrap_or_default().to_owned());
        let at = |check, sequence: Option<u64>, detail: String| Finding {
            domain: Some(place.0.clone()),
            stream: Some(place.1.clone()),
            sequence: sequence.and_then(|sequence| i64::try_from(sequence).ok()),
            ..Finding::new(FindingClass::Projection, check, detail)
        };
        match pass.ends.get(&place) {
            // A head that was locked before the first event of its stream.
            None if is_unused(&row, ledger_id, &place) => return Ok(()),
            None => findings.add(at("stream_head", None, "the head of a stream that has no event".into())),
            Some(end) => {
                let is_right = row.int(2).and_then(|n| u64::try_from(n).ok()) == Some(end.sequence)
                    && row.bytes(3) == Some(end.current_hash.as_bytes())
                    && row.uuid(4).as_ref() == Some(end.event_id.as_uuid())
                    && row.unix_micros(5).and_then(Timestamp::from_unix_micros) == Some(end.timestamp)
                    && row.int(6).and_then(|n| u64::try_from(n).ok()) == Some(end.registry_version);
                if !is_right {
                    let detail = "the head is not the stream's last event".to_owned();
                    findings.add(at("stream_head", Some(end.sequence), detail));
                }
                if let (Some(expected), Some(text)) = (end.state_hash, row.jsonb(7)) {
                    let kept = ets_core::canonical::parse_json(text, &ets_core::canonical::Limits::CEILING);
                    let kept = kept.ok().map(|state| state_hash(&state));
                    if kept != Some(expected) {
                        findings.add(Finding {
                            expected: Some(expected.to_string()),
                            actual: kept.map(|hash| hash.to_string()),
                            ..at("state", Some(end.sequence), "the kept state is not the replayed one".into())
                        });
                    }
                }
            }
        }
        seen.insert(place);
        Ok(())
    })?;
    let mut missing: Vec<_> = pass.ends.iter().filter(|(place, _)| !seen.contains(*place)).collect();
    missing.sort_by_key(|(place, _)| *place);
    for ((domain, stream), end) in missing {
        findings.add(Finding {
            domain: Some(domain.clone()),
            stream: Some(stream.clone()),
            sequence: i64::try_from(end.sequence).ok(),
            ..Finding::new(FindingClass::Projection, "stream_head", "the head is missing")
        });
    }
    Ok(())
}

fn is_unused(row: &Row, ledger_id: Uuid, (domain, stream): &(String, String)) -> bool {
    let (Ok(domain), Ok(stream)) = (domain.parse::<DomainName>(), stream.parse::<StreamName>()) else {
        return false;
    };
    row.int(2) == Some(0) && row.bytes(3) == Some(genesis_hash(&ledger_id, &domain, &stream).as_bytes())
}

/// The tables that are made from the registry.
pub fn tables(
    source: &dyn Tables,
    verified: &VerifiedRegistry,
    findings: &mut Findings,
) -> Result<(), String> {
    let Some(registry) = verified.registry.as_ref().filter(|_| verified.damaged_from.is_none()) else {
        findings.add(Finding {
            domain: Some(REGISTRY.to_owned()),
            ..Finding::new(
                FindingClass::Unverifiable,
                "projections",
                "the registry is damaged: the tables made from it cannot be compared",
            )
        });
        return Ok(());
    };
    for table in projections(registry) {
        let stored = source.projection(table.name, table.columns)?;
        let mut found = Vec::new();
        table.compare(&stored, &mut found);
        findings.extend(found);
    }
    Ok(())
}
