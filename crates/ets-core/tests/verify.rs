//! Bundles and rows are verified: what is right passes, and every change is found.

mod sample;

use ets_core::bundle::{BUNDLE_LIMITS, ProofBundle, RegistryEntry, RegistryPart, StreamBundle};
use ets_core::canonical::parse_json;
use ets_core::event::Event;
use ets_core::trust::TrustFile;
use ets_core::verify::{
    ChainVerifier, Check, Finding, FindingClass, RawEvent, RegistryVerifier, Trust, Verdict,
    VerifiedRegistry, rehash, verify_document, verify_proof_bundle, verify_stream_bundle,
};
use sample::Ledger;
use serde_json::{Value, json};

fn trust(ledger: &Ledger) -> Trust {
    Trust::Root(ledger.trust_root.clone())
}

fn bundle(ledger: &Ledger) -> ProofBundle {
    ledger.proof_bundle(&ledger.stream("decisions", "order-42")[1])
}

fn failed(checks: &[Check]) -> Vec<&'static str> {
    checks.iter().filter(|check| check.passed == Some(false)).map(|check| check.name).collect()
}

fn unknown(checks: &[Check]) -> Vec<&'static str> {
    checks.iter().filter(|check| check.passed.is_none()).map(|check| check.name).collect()
}

#[test]
fn every_event_of_the_sample_has_a_bundle_that_matches() {
    let ledger = sample::ledger();
    for event in &ledger.events {
        let checks = verify_proof_bundle(&ledger.proof_bundle(event), &trust(&ledger));
        assert_eq!(Verdict::of(&checks), Verdict::Match, "{checks:#?}");
        assert_eq!(Verdict::of(&verify_document(event)), Verdict::Match);
    }
    for (domain, stream) in [("decisions", "order-42"), ("decisions", "order-43")] {
        let checks = verify_stream_bundle(&ledger.stream_bundle(domain, stream), &trust(&ledger));
        assert_eq!(Verdict::of(&checks), Verdict::Match, "{checks:#?}");
    }
}

#[test]
fn a_bundle_without_a_named_ledger_cannot_match() {
    let ledger = sample::ledger();
    let checks = verify_proof_bundle(&bundle(&ledger), &Trust::Nothing);
    assert_eq!(Verdict::of(&checks), Verdict::Unverifiable);
    assert_eq!(unknown(&checks), ["trust_root"]);
    let key = ledger.trust_root.root_public_key.clone();
    assert_eq!(Verdict::of(&verify_proof_bundle(&bundle(&ledger), &Trust::RootKey(key))), Verdict::Match);
    let other = sample::secret_key("somebody else").public_key();
    let checks = verify_proof_bundle(&bundle(&ledger), &Trust::RootKey(other));
    assert_eq!(failed(&checks), ["trust_root"]);
}

/// Changes every leaf value of a bundle, one at a time.
#[test]
fn no_changed_value_goes_unseen() {
    let ledger = sample::ledger();
    // With as much registry as the event needs, and with more.
    for registry_size in [7, 8, 9] {
        let event = ledger.stream("decisions", "order-42")[1].clone();
        let evidence = ledger.evidence(&event, registry_size);
        let text = ProofBundle { event, evidence }.to_jcs();
        let whole = parse_json(&text, &BUNDLE_LIMITS).unwrap();
        let mut changed = 0;
        for pointer in leaves(&whole) {
            for variant in variants(&whole, &pointer) {
                changed += 1;
                let verdict = ProofBundle::from_value(variant)
                    .map(|bundle| Verdict::of(&verify_proof_bundle(&bundle, &trust(&ledger))));
                // The one member that no hash covers, and says so.
                let is_label = pointer == "/checkpoint/checkpoint_id";
                assert_eq!(verdict == Ok(Verdict::Match), is_label, "{pointer}: {verdict:?}");
            }
        }
        assert!(changed > 200, "{changed}");
    }
}

#[test]
fn no_changed_value_of_a_stream_bundle_goes_unseen() {
    let ledger = sample::ledger();
    let whole = parse_json(&ledger.stream_bundle("decisions", "order-42").to_jcs(), &BUNDLE_LIMITS).unwrap();
    let last = whole["events"].as_array().unwrap().len() - 1;
    for pointer in leaves(&whole) {
        for variant in variants(&whole, &pointer) {
            let verdict = StreamBundle::from_value(variant)
                .map(|bundle| Verdict::of(&verify_stream_bundle(&bundle, &trust(&ledger))));
            // What the page says: no leaf of an earlier event is shown. A change
            // passes only as long as it keeps the order of the stream.
            let is_word = ["event_id", "timestamp", "registry_version"]
                .iter()
                .any(|name| (0..last).any(|at| pointer == format!("/events/{at}/{name}")));
            if pointer == "/checkpoint/checkpoint_id" {
                assert_eq!(verdict, Ok(Verdict::Match));
            } else if !is_word {
                assert_ne!(verdict, Ok(Verdict::Match), "{pointer}");
            }
        }
    }
}

/// Nobody can hide a registry event: not by leaving it out, not by another order,
/// not by leaving out the payload of one that matters.
#[test]
fn the_registry_of_a_bundle_is_the_sealed_one() {
    let ledger = sample::ledger();
    let good = bundle(&ledger);
    for index in 0..good.evidence.registry.events.len() {
        let mut without = good.clone();
        without.evidence.registry.events.remove(index);
        assert_ne!(Verdict::of(&verify_proof_bundle(&without, &trust(&ledger))), Verdict::Match);
        let mut twice = good.clone();
        let entry = twice.evidence.registry.events[index].clone();
        twice.evidence.registry.events.insert(index, entry);
        assert_eq!(Verdict::of(&verify_proof_bundle(&twice, &trust(&ledger))), Verdict::Mismatch);
    }
    let mut short = good.clone();
    short.evidence = ledger.evidence(&good.event, 5);
    let checks = verify_proof_bundle(&short, &trust(&ledger));
    assert_eq!(Verdict::of(&checks), Verdict::Unverifiable, "{checks:#?}");
    assert_eq!(unknown(&checks), ["authority"]);

    let mut without_schema = good.clone();
    omit(&mut without_schema, 2);
    let checks = verify_proof_bundle(&without_schema, &trust(&ledger));
    assert_eq!((failed(&checks), unknown(&checks)), (vec![], vec!["schema", "rules"]));

    // A grant without its payload is refused even if its type says it may be.
    let mut without_grant = good;
    omit(&mut without_grant, 4);
    assert!(ProofBundle::parse(&without_grant.to_jcs()).is_err());
    assert!(failed(&verify_proof_bundle(&without_grant, &trust(&ledger))).contains(&"registry"));
}

fn omit(bundle: &mut ProofBundle, index: usize) {
    let entry = &mut bundle.evidence.registry.events[index];
    *entry = RegistryEntry::Header(entry.header().clone());
}

#[test]
fn authority_is_judged_as_of_the_event() {
    let mut ledger = sample::ledger();
    let agent = sample::secret_key("agent-7");
    let payload =
        |order: &str| json!({"schema_version": "decision/1.0.0", "order": order, "verdict": "approve"});
    ledger.append(&sample::secret_key("nobody"), "decisions", "order-1", payload("order-1"));
    ledger.append(&agent, "decisions", "other", payload("other"));
    ledger.append(&agent, "decisions", "order-2", payload("order-3"));
    ledger.append(
        &agent,
        "decisions",
        "order-4",
        json!({"schema_version": "decision/1.0.0", "order": "order-4"}),
    );
    ledger.append(&agent, "agents", "main", json!({"schema_version": "agent-report/1.0.0"}));
    ledger.register(json!({
        "schema_version": "ets.key_revocation/1.0.0", "key_id": agent.public_key().key_id().to_string(),
        "reason": "lost",
    }));
    ledger.append(&agent, "decisions", "order-5", payload("order-5"));
    let first = ledger.events.len() - 7;
    let checks_of = |offset: usize| {
        verify_proof_bundle(&ledger.proof_bundle(&ledger.events[first + offset]), &trust(&ledger))
    };
    for (offset, expected) in [
        (0, &["authority"][..]),
        (1, &["authority"]),
        (2, &["schema"]),
        (3, &["schema"]),
        (4, &["authority"]),
        (5, &[]),
        (6, &["authority"]),
    ] {
        assert_eq!(failed(&checks_of(offset)), expected, "{offset}");
    }
    // What was appended before the revocation stays good.
    let checks = verify_proof_bundle(&bundle(&ledger), &trust(&ledger));
    assert_eq!(Verdict::of(&checks), Verdict::Match);
}

/// The server's key changes hands: notes are its successor's from then on, and
/// a bundle carries the registry up to there.
#[test]
fn a_note_is_signed_by_the_servers_key_of_its_checkpoint() {
    let mut ledger = sample::ledger();
    let statement = json!({
        "schema_version": "ets.restore/1.0.0",
        "recorded": {"system_identifier": "1", "timeline": 1, "database_oid": 1},
        "found": {"system_identifier": "2", "timeline": 1, "database_oid": 1},
    });
    ledger.append(&sample::secret_key("server"), "ets.audit", "main", statement.clone());
    let good = ledger.proof_bundle(ledger.events.last().unwrap());
    assert_eq!(Verdict::of(&verify_proof_bundle(&good, &trust(&ledger))), Verdict::Match);
    ledger.append(&sample::secret_key("root"), "ets.audit", "main", statement);
    let forged = ledger.proof_bundle(ledger.events.last().unwrap());
    assert_eq!(failed(&verify_proof_bundle(&forged, &trust(&ledger))), ["authority"]);

    let before = u64::try_from(ledger.registry().len()).unwrap();
    ledger.register(json!({
        "schema_version": "ets.server_key/1.0.0", "algorithm": "ed25519", "reason": "new host",
        "public_key": sample::secret_key("server 2").public_key().to_string(),
    }));
    let event = ledger.stream("decisions", "order-42")[1].clone();
    let registry = ledger.folded();
    assert_eq!(RegistryPart::size_for(&registry, &event.header, before), 7);
    assert_eq!(RegistryPart::size_for(&registry, &event.header, before + 1), before + 1);
    // The sample goes on signing with the first key.
    let evidence = ledger.evidence(&event, ledger.registry().len());
    let checks = verify_proof_bundle(&ProofBundle { event, evidence }, &trust(&ledger));
    assert_eq!(failed(&checks), ["note"]);
}

#[test]
fn notes_and_kept_checkpoints_say_who_made_the_checkpoint() {
    let ledger = sample::ledger();
    let mut silent = bundle(&ledger);
    silent.evidence.checkpoint.note = None;
    let checks = verify_proof_bundle(&silent, &trust(&ledger));
    assert_eq!((Verdict::of(&checks), unknown(&checks)), (Verdict::Unverifiable, vec!["note"]));

    let kept = TrustFile {
        trust_root: ledger.trust_root.clone(),
        checkpoints: vec![silent.evidence.checkpoint.clone()],
    };
    let checks = verify_proof_bundle(&silent, &Trust::File(kept.clone()));
    assert_eq!(Verdict::of(&checks), Verdict::Match, "{checks:#?}");

    // Another history of the same size, signed by the same server.
    let mut other = Ledger { trust_root: ledger.trust_root.clone(), events: Vec::new() };
    for event in &ledger.events {
        let (header, payload) = (&event.header, event.payload.value().clone());
        let is_agent = header.domain.as_str() == "decisions";
        let key = sample::secret_key(if is_agent { "agent-7" } else { "root" });
        let mut payload = payload;
        if payload["verdict"] == "refuse" {
            payload["verdict"] = "approve".into();
        }
        other.append(&key, header.domain.as_str(), header.stream.as_str(), payload);
    }
    let checks = verify_proof_bundle(&bundle(&other), &trust(&ledger));
    assert_eq!(Verdict::of(&checks), Verdict::Match);
    let checks = verify_proof_bundle(&bundle(&other), &Trust::File(kept));
    assert_eq!(failed(&checks), ["kept_checkpoint"]);
}

/// A ledger's rows as a database gives them, which a test may change.
struct Rows(Vec<Row>);

#[derive(Clone)]
struct Row {
    event: Event,
    payload: String,
    current_hash: Vec<u8>,
    previous_hash: Vec<u8>,
    signature: Vec<u8>,
    sequence: i64,
    registry_version: i64,
    timestamp: Option<i64>,
    key_id: String,
}

impl Rows {
    fn of(ledger: &Ledger) -> Self {
        let mut events = ledger.events.clone();
        events.sort_by_key(|event| {
            let header = &event.header;
            (header.domain.clone(), header.stream.clone(), header.sequence)
        });
        Rows(events.into_iter().map(Row::of).collect())
    }

    fn at(&mut self, domain: &str, stream: &str, sequence: u64) -> &mut Row {
        self.0
            .iter_mut()
            .find(|row| {
                let header = &row.event.header;
                (header.domain.as_str(), header.stream.as_str(), header.sequence)
                    == (domain, stream, sequence)
            })
            .unwrap()
    }

    fn verify(&self, ledger: &Ledger) -> Vec<Finding> {
        let mut findings = Vec::new();
        let is_registry = |row: &&Row| row.event.header.domain.as_str() == "ets.registry";
        let mut registry = RegistryVerifier::new(ledger.trust_root.ledger_id);
        self.0.iter().filter(is_registry).for_each(|row| registry.push_raw(&row.raw(), &mut findings));
        let verified: VerifiedRegistry = registry.finish();
        let mut chain = ChainVerifier::judging_by(ledger.trust_root.ledger_id, &verified);
        for row in self.0.iter().filter(|row| !is_registry(row)) {
            chain.push_raw(&row.raw(), &mut findings);
        }
        findings
    }
}

impl Row {
    fn of(event: Event) -> Self {
        let header = &event.header;
        Row {
            payload: event.payload.canonical().to_owned(),
            current_hash: header.current_hash.as_bytes().to_vec(),
            previous_hash: header.previous_hash.as_bytes().to_vec(),
            signature: header.signature.0.to_vec(),
            sequence: header.sequence.try_into().unwrap(),
            registry_version: header.registry_version.try_into().unwrap(),
            timestamp: Some(header.timestamp.unix_micros()),
            key_id: header.key_id.to_string(),
            event,
        }
    }

    fn raw(&self) -> RawEvent<'_> {
        let header = &self.event.header;
        RawEvent {
            event_id: Some(*header.event_id.as_uuid()),
            domain: Some(header.domain.as_str()),
            stream: Some(header.stream.as_str()),
            sequence: Some(self.sequence),
            payload: Some(&self.payload),
            schema_version: Some(header.schema_version.as_str()),
            key_id: Some(&self.key_id),
            public_key: Some(&header.public_key),
            previous_hash: Some(&self.previous_hash),
            current_hash: Some(&self.current_hash),
            signature: Some(&self.signature),
            timestamp: self.timestamp,
            registry_version: Some(self.registry_version),
        }
    }
}

/// The row and check of each finding.
fn places(findings: &[Finding]) -> Vec<(String, i64, &'static str)> {
    findings
        .iter()
        .map(|finding| {
            let place = format!("{}/{}", finding.domain.clone().unwrap(), finding.stream.clone().unwrap());
            (place, finding.sequence.unwrap(), finding.check)
        })
        .collect()
}

#[test]
fn an_untouched_ledger_has_no_findings() {
    let ledger = sample::ledger();
    assert_eq!(Rows::of(&ledger).verify(&ledger), []);
}

type Change = fn(&mut Row);

/// Each change of one row is found in that row, and nowhere else.
#[test]
fn a_changed_row_is_named_and_no_other() {
    let ledger = sample::ledger();
    let changes: [(&str, Change); 12] = [
        ("current_hash", |row| {
            row.payload = row.payload.replacen("approve", "refuse", 1).replacen("decided", "did", 1)
        }),
        ("payload", |row| row.payload = row.payload.replace("12.5", "12.50")),
        ("payload", |row| row.payload = "{\"n\":1e400}".into()),
        ("current_hash", |row| row.current_hash[0] ^= 1),
        ("current_hash", |row| row.current_hash.truncate(31)),
        ("previous_hash", |row| row.previous_hash[31] ^= 1),
        ("signature", |row| row.signature[5] ^= 1),
        ("signature", |row| row.signature.clear()),
        ("key_id", |row| row.key_id = "0".repeat(64)),
        ("timestamp", |row| row.timestamp = Some(1)),
        ("timestamp", |row| row.timestamp = None),
        ("registry_version", |row| row.registry_version = 99),
    ];
    for (at, stream, sequence) in
        [("decisions", "order-42", 1), ("decisions", "order-42", 3), ("ets.registry", "main", 2)]
    {
        for (index, (check, change)) in changes.iter().enumerate() {
            let mut rows = Rows::of(&ledger);
            let row = rows.at(at, stream, sequence);
            let before = row.clone();
            change(row);
            let is_same = row.raw_text() == before.raw_text();
            let mut findings = rows.verify(&ledger);
            // A registry event that cannot be read leaves others unjudged.
            findings.retain(|finding| finding.class != FindingClass::Unverifiable);
            let places = places(&findings);
            if is_same || (*check == "timestamp" && sequence == 1 && row_time_is_free(index)) {
                continue;
            }
            assert!(!places.is_empty(), "{at} {sequence} change {index}");
            assert!(places.iter().any(|(_, _, name)| name == check), "change {index}: {findings:#?}");
            for (place, number, _) in &places {
                assert_eq!(
                    (place.as_str(), *number),
                    (format!("{at}/{stream}").as_str(), i64::try_from(sequence).unwrap()),
                    "change {index}: {findings:#?}"
                );
            }
        }
    }
}

/// The first timestamp of a stream has nothing before it: only its leaf tells.
fn row_time_is_free(index: usize) -> bool {
    index == 9
}

impl Row {
    fn raw_text(&self) -> String {
        format!("{:?}", self.raw())
    }
}

/// The leaf comes from the row alone: any change of payload or header makes
/// another, or none.
#[test]
fn a_rehashed_row_makes_its_leaf_only_if_nothing_was_changed() {
    let ledger = sample::ledger();
    let mut rows = Rows::of(&ledger);
    for row in &rows.0 {
        let mut findings = Vec::new();
        let made = rehash(&row.raw(), &mut findings).unwrap();
        assert_eq!(made.leaf, row.event.header.leaf_hash());
        assert_eq!((made.header, findings), (row.event.header.clone(), Vec::new()));
    }
    let sound = rows.at("decisions", "order-42", 1).clone();
    let leaf = sound.event.header.leaf_hash();
    let changed = |raw: RawEvent, checks: &[&str]| {
        let mut findings = Vec::new();
        let made = rehash(&raw, &mut findings);
        assert!(made.is_none_or(|made| made.leaf != leaf));
        assert_eq!(findings.iter().map(|finding| finding.check).collect::<Vec<_>>(), checks);
    };
    changed(RawEvent { payload: Some("{}"), ..sound.raw() }, &["current_hash"]);
    changed(RawEvent { payload: Some("1e400"), ..sound.raw() }, &["payload"]);
    changed(RawEvent { registry_version: Some(99), ..sound.raw() }, &[]);
    changed(RawEvent { sequence: None, ..sound.raw() }, &["sequence"]);
    // The payload still makes the hash that was sealed; the row says another.
    let mut findings = Vec::new();
    let made = rehash(&RawEvent { current_hash: Some(&[7; 32]), ..sound.raw() }, &mut findings);
    assert_eq!(made.map(|made| made.leaf), Some(leaf));
    assert_eq!(findings.first().map(|finding| finding.check), Some("current_hash"));
}

#[test]
fn missing_repeated_and_moved_rows_are_named() {
    let ledger = sample::ledger();
    let mut rows = Rows::of(&ledger);
    rows.0.retain(|row| row.event.header.stream.as_str() != "order-42" || row.sequence != 2);
    let findings = rows.verify(&ledger);
    assert_eq!(places(&findings), [("decisions/order-42".into(), 2, "sequence")]);
    assert_eq!((findings[0].class, findings[0].event_id), (FindingClass::Tampering, None));

    let mut rows = Rows::of(&ledger);
    let copy = rows.at("decisions", "order-43", 1).clone();
    let at = rows.0.iter().position(|row| row.raw_text() == copy.raw_text()).unwrap();
    rows.0.insert(at, copy);
    let found = places(&rows.verify(&ledger));
    assert!(found.contains(&("decisions/order-43".into(), 1, "sequence")), "{found:?}");

    // A missing grant is one finding, not one for each event under it.
    let mut rows = Rows::of(&ledger);
    rows.0.retain(|row| row.event.header.domain.as_str() != "ets.registry" || row.sequence != 5);
    assert_eq!(places(&rows.verify(&ledger)), [("ets.registry/main".into(), 5, "sequence")]);
}

#[test]
fn an_event_by_a_key_without_authority_is_a_finding() {
    let mut ledger = sample::ledger();
    let payload = json!({"schema_version": "decision/1.0.0", "order": "order-9", "verdict": "approve"});
    ledger.append(&sample::secret_key("nobody"), "decisions", "order-9", payload.clone());
    // A registry event by a key that is not root: found, and without effect.
    let nobody = sample::secret_key("nobody");
    ledger.append(
        &nobody,
        "ets.registry",
        "main",
        json!({
            "schema_version": "ets.key/1.0.0", "public_key": nobody.public_key().to_string(),
            "algorithm": "ed25519", "owner": "nobody", "custody": "actor",
        }),
    );
    let findings = Rows::of(&ledger).verify(&ledger);
    let found = places(&findings);
    assert_eq!(
        found,
        [("ets.registry/main".into(), 10, "registry"), ("decisions/order-9".into(), 1, "authority")]
    );
    assert!(findings.iter().all(|finding| finding.class == FindingClass::Authority));
}

#[test]
fn a_row_of_nothing_but_garbage_is_a_finding() {
    let ledger = sample::ledger();
    let verified = RegistryVerifier::new(ledger.trust_root.ledger_id).finish();
    let mut chain = ChainVerifier::judging_by(ledger.trust_root.ledger_id, &verified);
    let mut findings = Vec::new();
    let rows = [
        RawEvent::default(),
        RawEvent { domain: Some("a b"), stream: Some("*"), sequence: Some(-1), ..RawEvent::default() },
        RawEvent { domain: Some("a"), stream: Some("b"), sequence: Some(i64::MAX), ..RawEvent::default() },
        RawEvent { domain: Some("a"), stream: Some("b"), sequence: Some(i64::MIN), ..RawEvent::default() },
    ];
    for (index, row) in rows.iter().enumerate() {
        chain.push_raw(row, &mut findings);
        assert!(findings.len() > index);
    }
}

/// Pointers of all values that are no arrays or objects.
fn leaves(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut add = |name: &str, child: &Value| {
        let name = name.replace('~', "~0").replace('/', "~1");
        found.extend(leaves(child).into_iter().map(|below| format!("/{name}{below}")));
    };
    match value {
        Value::Object(members) => members.iter().for_each(|(name, child)| add(name, child)),
        Value::Array(items) => items.iter().enumerate().for_each(|(at, child)| add(&at.to_string(), child)),
        _ => found.push(String::new()),
    }
    found
}

/// Copies of `whole` with another value at `pointer`, of its own kind.
fn variants(whole: &Value, pointer: &str) -> Vec<Value> {
    let others: Vec<Value> = match whole.pointer(pointer) {
        Some(Value::String(text)) => {
            // The first and the last character, each by a neighbour that is still of its kind.
            let other = |c: char| match c {
                '0'..='8' | 'a'..='e' | 'A'..='Y' | 'g'..='y' => {
                    char::from_u32(u32::from(c) + 1).unwrap_or('x')
                }
                '9' => '8',
                'f' => 'e',
                _ => 'x',
            };
            let mut first: Vec<char> = text.chars().collect();
            let mut last = first.clone();
            first.first_mut().into_iter().for_each(|c| *c = other(*c));
            last.iter_mut().rev().find(|c| **c != '\n').into_iter().for_each(|c| *c = other(*c));
            [first, last].into_iter().map(|chars| Value::String(chars.into_iter().collect())).collect()
        }
        Some(Value::Number(number)) => match number.as_u64() {
            Some(n) => vec![json!(n + 1), json!(n.saturating_sub(1))],
            None => vec![json!(1)],
        },
        Some(Value::Bool(b)) => vec![json!(!b)],
        _ => vec![json!(0)],
    };
    let mut variants = Vec::new();
    for other in others {
        let mut variant = whole.clone();
        if let Some(value) = variant.pointer_mut(pointer).filter(|value| **value != other) {
            *value = other;
            variants.push(variant);
        }
    }
    variants
}
