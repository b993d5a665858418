use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::canonical::{Limits, Payload};
use crate::checkpoint::{DomainRoot, meta_root};
use crate::event::{EventId, Header};
use crate::hash::{SPECIFICATION_VERSION, event_hash};
use crate::key::SecretKey;
use crate::merkle::root_of;
use crate::trust::TrustRoot;

fn key() -> SecretKey {
    SecretKey::from_seed(&[7; 32])
}

fn event(domain: &str, number: u64) -> Event {
    let payload = Payload::from_value(json!({"n": number}), &Limits::CEILING).expect("canonical");
    let previous_hash = Digest([u8::try_from(number).expect("small"); 32]);
    let current_hash = event_hash(payload.canonical().as_bytes(), &previous_hash);
    let id = u128::from(number) << 80 | 7 << 76 | 2 << 62;
    Event {
        header: Header {
            event_id: EventId::from_uuid(Uuid::from_u128(id)).expect("version 7"),
            domain: domain.parse().expect("a domain"),
            stream: "main".parse().expect("a stream"),
            sequence: number,
            schema_version: "a/1.0.0".parse().expect("a schema"),
            key_id: key().public_key().key_id(),
            public_key: *key().public_key().as_bytes(),
            previous_hash,
            current_hash,
            signature: key().sign(&current_hash),
            timestamp: "2026-01-01T00:00:00.000000Z".parse().expect("a time"),
            registry_version: 1,
        },
        payload,
    }
}

/// Two checkpoints over two domains, and an event that is not sealed.
fn export() -> Vec<String> {
    let header = ExportHeader {
        trust_root: TrustRoot {
            ledger_id: Uuid::from_u128(5),
            origin: "test.example/export".parse().expect("an origin"),
            root_public_key: key().public_key(),
            server_public_key: key().public_key(),
        },
        domain: None,
        from_checkpoint: 0,
        from_roots: Vec::new(),
    };
    let (mut writer, first) = ExportWriter::begin(header, None);
    let mut lines = vec![first];
    let mut trees: BTreeMap<String, Vec<Event>> = BTreeMap::new();
    for (checkpoint_id, new) in [(1, [("ets.registry", 1..3), ("a", 3..6)]), (2, [("a", 6..7), ("b", 7..9)])]
    {
        let mut greatest = None;
        for (domain, numbers) in new {
            let events: Vec<Event> = numbers.map(|number| event(domain, number)).collect();
            let tree = trees.entry(domain.to_owned()).or_default();
            lines.push(writer.leaves(&Leaves {
                domain: domain.parse().expect("a domain"),
                first: tree.len() as u64,
                hashes: events.iter().map(|event| event.header.leaf_hash()).collect(),
            }));
            lines.extend(events.iter().map(|event| writer.event(event)));
            greatest = greatest.max(events.iter().map(|event| event.header.event_id).max());
            tree.extend(events);
        }
        let roots: Vec<DomainRoot> = trees
            .iter()
            .map(|(domain, events)| DomainRoot {
                domain: domain.parse().expect("a domain"),
                tree_size: events.len() as u64,
                root: root_of(&events.iter().map(|event| event.header.leaf_hash()).collect::<Vec<_>>()),
            })
            .collect();
        let checkpoint_event_id = greatest.expect("an event");
        lines.push(writer.checkpoint(&SealedCheckpoint {
            checkpoint_id,
            checkpoint_event_id,
            meta_root:
                meta_root(SPECIFICATION_VERSION, &checkpoint_event_id, &roots).expect("distinct domains"),
            created_at: "2026-01-01T00:00:00.000000Z".parse().expect("a time"),
            roots: roots.into_iter().map(|root| (root, Some("a note\n".to_owned()))).collect(),
        }));
    }
    lines.push(writer.event(&event("b", 9)));
    lines.push(writer.finish(&key()));
    lines
}

fn read<'a>(lines: impl IntoIterator<Item = &'a String>) -> Result<Vec<Step>, ExportError> {
    let mut reader = ExportReader::new();
    let steps = lines.into_iter().map(|line| reader.push(line)).collect::<Result<Vec<_>, _>>()?;
    reader.finish()?;
    Ok(steps)
}

#[test]
fn what_is_written_is_read() {
    let lines = export();
    let steps = read(&lines).expect("a good export");
    assert_eq!(steps.len(), lines.len());
    let places: Vec<Option<u64>> = steps
        .iter()
        .filter_map(|step| match step {
            Step::Event(_, leaf) => Some(*leaf),
            _ => None,
        })
        .collect();
    assert_eq!(places, [Some(0), Some(1), Some(0), Some(1), Some(2), Some(3), Some(0), Some(1), None]);
    let Some(Step::Manifest(manifest)) = steps.last() else { panic!("no manifest") };
    assert_eq!((manifest.events, manifest.lines, manifest.checkpoint_id), (9, lines.len() as u64 - 1, 2));
    assert!(lines.iter().all(|line| !line.contains('\n')));
}

#[test]
fn a_cut_at_any_line_is_refused() {
    let lines = export();
    for end in 0..lines.len() {
        let error = read(&lines[..end]).expect_err("it is cut");
        assert_eq!(error, ExportError { line: end as u64 + 1, problem: ExportProblem::Truncated });
    }
}

#[test]
fn a_line_left_out_is_refused_where_it_is_missed() {
    let lines = export();
    for left_out in 0..lines.len() - 1 {
        let rest = lines.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, line)| line);
        let error = read(rest).expect_err("a line is missing");
        let missed_at = left_out as u64 + 1..=lines.len() as u64 - 1;
        assert!(missed_at.contains(&error.line), "{left_out}: {error}");
    }
}

#[test]
fn two_lines_in_the_other_order_are_refused_there() {
    for first in 0..export().len() - 1 {
        let mut lines = export();
        lines.swap(first, first + 1);
        let error = read(&lines).expect_err("the order is another");
        // The two last checkpoints' events apart, which the manifest tells.
        let at = error.line as usize - 1;
        assert!(at == first || at == first + 1 || at == lines.len() - 1, "{first}: {error}");
    }
}

#[test]
fn an_edit_of_any_line_is_refused_by_its_end() {
    let lines = export();
    for edited in 0..lines.len() {
        for (from, to) in [("\"1", "\"2"), (":1", ":3"), ("\"a", "\"c"), ("f", "e"), ("0", "1")] {
            let mut changed = lines.clone();
            changed[edited] = changed[edited].replacen(from, to, 1);
            if changed == lines {
                continue;
            }
            let error = read(&changed).expect_err("a line was edited");
            assert!(error.line > edited as u64, "{edited} {from}: {error}");
        }
    }
}

#[test]
fn an_edited_header_is_refused_at_its_line() {
    let mut lines = export();
    let at = lines.iter().position(|line| line.contains("\"event_id\"")).expect("an event");
    lines[at] = lines[at].replace("2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:00.000001Z");
    let error = read(&lines).expect_err("the time is another");
    assert_eq!(error.line, at as u64 + 1);
    assert!(matches!(error.problem, ExportProblem::LeafHash { .. }), "{error}");
}

#[test]
fn another_keys_manifest_is_read_and_a_wrong_signature_is_not() {
    let mut lines = export();
    let last = lines.len() - 1;
    let signature = lines[last].rfind("\"signature\":\"").expect("signed") + 13;
    let digit = if lines[last].as_bytes()[signature] == b'0' { "1" } else { "0" };
    lines[last].replace_range(signature..=signature, digit);
    let error = read(&lines).expect_err("a bad signature");
    assert_eq!(error.problem, ExportProblem::Signature);
}

#[test]
fn what_is_no_export_is_refused_at_the_first_line() {
    for line in [
        "",
        "{}",
        "[]",
        "null",
        "{\"format\":\"ets-export/2\"}",
        "{\"manifest\":{}}",
        "\u{0}",
        "{\"event_id\":1}",
    ] {
        assert_eq!(read(&[line.to_owned()]).expect_err(line).line, 1, "{line}");
    }
}
