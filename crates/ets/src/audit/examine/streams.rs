//! Every stream but the registry's: what can be said of a row alone on all threads, the
//! rest in order.

use std::collections::HashSet;

use ets_core::conveyor::with_conveyor;
use ets_core::event::Header;
use ets_core::hash::Digest;
use ets_core::registry::Registry;
use ets_core::replay::StreamReplay;
use ets_core::state::state_hash;
use ets_core::verify::{ChainVerifier, Inspected, Inspector, VerifiedRegistry};
use uuid::Uuid;

use super::super::copy::Row;
use super::super::progress::Progress;
use super::super::source::{LEAF_INDEX, Source};
use super::anchors::Declared;
use super::findings::Findings;
use super::pass::Pass;

/// A row with what can be said of it alone.
struct Seen {
    row: Row,
    inspected: Inspected,
    /// For a domain whose states are kept.
    replayed: Option<Inspected>,
    leaf: Option<Digest>,
}

/// Verifies every stream but the registry's: what can be said of a row alone on all
/// threads, the rest in order.
pub fn streams(
    source: &dyn Source,
    ledger_id: Uuid,
    verified: &VerifiedRegistry,
    threads: usize,
    pass: &mut Pass,
    findings: &mut Findings,
    progress: &mut Progress,
) -> Result<(), String> {
    const ROWS: usize = 512;
    const BYTES: usize = 1 << 20;
    let keeping: HashSet<String> = verified
        .registry
        .iter()
        .filter(|_| verified.damaged_from.is_none())
        .flat_map(|registry| {
            registry.domains_at(registry.version()).into_iter().map(move |name| (registry, name))
        })
        .filter(|(registry, name)| registry.keeps_state(name))
        .map(|(_, name)| name.to_string())
        .collect();
    let inspectors = (0..threads).map(|_| {
        let replaying = Inspector::judging_by(verified).replaying().trusting_signatures();
        (Inspector::judging_by(verified), replaying)
    });
    let work = |(gate, replaying): &mut (Inspector<'_>, Inspector<'_>), rows: Vec<Row>| -> Vec<Seen> {
        let raw: Vec<_> = rows.iter().map(Row::event).collect();
        let inspected = gate.inspect_each(&raw);
        let replayed: Vec<_> = raw
            .iter()
            .map(|raw| raw.domain.is_some_and(|name| keeping.contains(name)).then(|| replaying.inspect(raw)))
            .collect();
        drop(raw);
        rows.into_iter()
            .zip(inspected)
            .zip(replayed)
            .map(|((row, inspected), replayed)| {
                let leaf = inspected.header().map(Header::leaf_hash);
                Seen { row, inspected, replayed, leaf }
            })
            .collect()
    };
    let mut follow = Follow {
        chain: ChainVerifier::judging_by(ledger_id, verified),
        replay: StreamReplay::judging_by(ledger_id, verified).trusting_signatures(),
        registry: verified.registry.as_ref(),
        replayed: None,
    };
    with_conveyor(
        inspectors.collect(),
        work,
        |start| start(),
        |belt| {
            let (mut rows, mut bytes) = (Vec::new(), 0);
            source.others(&mut |row| {
                bytes += row.size();
                rows.push(row);
                if rows.len() >= ROWS || bytes >= BYTES {
                    bytes = 0;
                    belt.put(std::mem::take(&mut rows));
                    while let Some(seen) = belt.take() {
                        follow.rows(seen, pass, findings, progress);
                    }
                }
                Ok(())
            })?;
            belt.put(rows);
            while let Some(seen) = belt.take_last() {
                follow.rows(seen, pass, findings, progress);
            }
            follow.end_stream(pass);
            Ok(())
        },
    )
}

/// Holds each row against the one before it.
struct Follow<'r> {
    chain: ChainVerifier<'r>,
    replay: StreamReplay<'r>,
    registry: Option<&'r Registry>,
    /// The stream whose states are being computed.
    replayed: Option<(String, String)>,
}

impl Follow<'_> {
    fn rows(&mut self, seen: Vec<Seen>, pass: &mut Pass, findings: &mut Findings, progress: &mut Progress) {
        let mut found = Vec::new();
        progress.add(seen.len() as u64);
        for Seen { row, inspected, replayed, leaf } in seen {
            let stream = inspected.stream().map(|(domain, stream)| (domain.to_owned(), stream.to_owned()));
            if self.replayed.is_some() && self.replayed != stream {
                self.end_stream(pass);
            }
            let header = inspected.header();
            if !pass.place(&row, header.zip(leaf), &mut found) {
                continue;
            }
            if let (Some(registry), Some(header)) = (self.registry, header) {
                found.extend(pass.compromised(registry, header, row.int(LEAF_INDEX)));
            }
            pass.declared.extend(header.and_then(|header| Declared::of(&row, header)));
            self.chain.push_inspected(inspected, &mut found);
            if let Some(replayed) = replayed {
                // What is wrong with the rows is said above.
                self.replay.push_inspected(replayed, &mut Vec::new());
                self.replayed = stream;
            }
            found.drain(..).for_each(|finding| findings.add(finding));
        }
        findings.extend(found);
    }

    fn end_stream(&mut self, pass: &mut Pass) {
        let Some(stream) = self.replayed.take() else { return };
        let state = self.replay.take_state();
        if let (Some(end), Some(state)) = (pass.ends.get_mut(&stream), state) {
            end.state_hash = Some(state_hash(&state));
        }
    }
}
