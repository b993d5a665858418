//! The worked examples of `docs/rules.md` are judged as their files say: each
//! event is refused by the rules that it names, or makes the state that it names.

mod sample;

use std::path::Path;

use ets_core::canonical::Limits;
use ets_core::event::Event;
use ets_core::expression::{EventScope, Scope};
use ets_core::registry::{CompiledSchema, Registry};
use ets_core::replay::StreamReplay;
use ets_core::rule::RuleRefusal;
use ets_core::state::state_hash;
use ets_core::verify::{
    ChainVerifier, FindingClass, Trust, Verdict, verify_proof_bundle, verify_stream_bundle,
};
use sample::{Ledger, secret_key};
use serde_json::Value;

const EXAMPLES: [&str; 2] = ["accounts", "approval"];

fn example(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../docs/examples/rules/{name}.json"));
    serde_json::from_str(&std::fs::read_to_string(path).expect("the example's file")).expect("JSON")
}

fn list<'a>(value: &'a Value, member: &str) -> &'a [Value] {
    value[member].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().expect(member)
}

/// A ledger with the example's domain, schemas and actors, and no event of it yet.
fn ledger_of(example: &Value) -> Ledger {
    let domain = text(example, "domain");
    let mut ledger = sample::started();
    ledger.register(serde_json::json!({"schema_version": "ets.domain/1.0.0", "domain": domain}));
    for schema in list(example, "schemas") {
        ledger.register_schema(text(schema, "name"), domain, schema.clone());
    }
    let mut owners: Vec<&str> = list(example, "events").iter().map(|event| text(event, "owner")).collect();
    owners.sort_unstable();
    owners.dedup();
    for owner in owners {
        ledger.admit(owner, domain);
    }
    ledger
}

fn append(ledger: &mut Ledger, example: &Value, event: &Value) -> Event {
    let key = secret_key(text(event, "owner"));
    ledger.append(&key, text(example, "domain"), text(example, "stream"), event["payload"].clone());
    ledger.events.last().expect("an event").clone()
}

fn compiled(registry: &Registry, event: &Event) -> CompiledSchema {
    let record = registry.schema(&event.header.schema_version).expect("a schema");
    assert_eq!(record.stream_of(event.payload.value()).as_ref(), Ok(&event.header.stream));
    record.compile().expect("a compiled schema")
}

/// The names of the rules that are not true, judged as the gate does: first those
/// that need no head. Both steps together are all rules.
fn violated(schema: &CompiledSchema, scope: &Scope<'_>) -> Vec<String> {
    let names = |judged: Result<(), RuleRefusal>| match judged {
        Ok(()) => Vec::new(),
        Err(RuleRefusal::Violated(rules)) => rules.into_iter().map(|rule| rule.name).collect(),
        Err(failed) => panic!("{failed}"),
    };
    let mut by_steps = names(schema.rules.check_without_head(scope));
    by_steps.extend(names(schema.rules.check_with_head(scope)));
    assert_eq!(by_steps, names(schema.rules.check(scope)));
    by_steps
}

#[test]
fn each_event_of_the_examples_is_judged_as_it_says() {
    for name in EXAMPLES {
        let example = example(name);
        let mut ledger = ledger_of(&example);
        let registry = ledger.folded();
        let mut state = Value::Null;
        for said in list(&example, "events") {
            let event = append(&mut ledger, &example, said);
            let schema = compiled(&registry, &event);
            let payload = event.payload.value();
            assert_eq!(schema.validator.validate(payload), [], "{payload}");
            let key_id = event.header.key_id.to_string();
            let scope = Scope {
                payload,
                event: EventScope {
                    schema_version: event.header.schema_version.as_str(),
                    key_id: &key_id,
                    owner: registry
                        .owner_at(&event.header.key_id, event.header.registry_version)
                        .expect("an owner"),
                    domain: event.header.domain.as_str(),
                    stream: event.header.stream.as_str(),
                    sequence: event.header.sequence,
                },
                state: &state,
            };
            let expected: Vec<&str> = list(said, "violated").iter().filter_map(Value::as_str).collect();
            assert_eq!(violated(&schema, &scope), expected, "{payload}");
            if expected.is_empty() {
                let next = schema.reducer.next_state(&scope, &Limits::DEFAULT).expect("a state");
                assert_eq!(next.value(), &said["state"], "{payload}");
                state = next.into_value();
            } else {
                assert!(said.get("state").is_none());
                ledger.events.pop();
            }
        }
    }
}

#[test]
fn what_was_accepted_replays_and_verifies_to_the_same_state() {
    for name in EXAMPLES {
        let example = example(name);
        let mut ledger = ledger_of(&example);
        for said in list(&example, "events").iter().filter(|said| said.get("state").is_some()) {
            append(&mut ledger, &example, said);
        }
        let registry = ledger.folded();
        let events = ledger.stream(text(&example, "domain"), text(&example, "stream"));
        let (mut replay, mut findings) = (StreamReplay::new(&registry), Vec::new());
        let states: Vec<&Value> =
            list(&example, "events").iter().filter_map(|said| said.get("state")).collect();
        assert_eq!(events.len(), states.len());
        for (event, state) in events.iter().zip(&states) {
            replay.push(event, &mut findings);
            assert_eq!((findings.as_slice(), replay.state()), (&[][..], Some(*state)));
            assert_eq!(replay.sequence(), event.header.sequence);
        }
        let state = replay.take_state().expect("a state");
        assert_eq!(state_hash(&state), state_hash(states.last().expect("a state")));

        let mut verifier = ChainVerifier::new(ledger.trust_root.ledger_id, Some(&registry));
        events.iter().for_each(|event| verifier.push(event, &mut findings));
        assert_eq!(findings, []);

        let trust = Trust::Root(ledger.trust_root.clone());
        let bundle = ledger.stream_bundle(text(&example, "domain"), text(&example, "stream"));
        let checks = verify_stream_bundle(&bundle, &trust);
        assert_eq!(Verdict::of(&checks), Verdict::Match, "{checks:#?}");
    }
}

/// Whoever gets a refused event past the gate is found: by name of the check and
/// place of the row.
#[test]
fn a_refused_event_in_the_chain_is_a_finding_and_fails_its_bundle() {
    for name in EXAMPLES {
        let example = example(name);
        for (at, refused) in list(&example, "events").iter().enumerate() {
            if refused.get("violated").is_none() {
                continue;
            }
            let mut ledger = ledger_of(&example);
            for said in list(&example, "events").iter().take(at).filter(|said| said.get("state").is_some()) {
                append(&mut ledger, &example, said);
            }
            let event = append(&mut ledger, &example, refused);
            let registry = ledger.folded();
            let (domain, stream) = (text(&example, "domain"), text(&example, "stream"));
            let events = ledger.stream(domain, stream);
            let (mut replay, mut found) = (StreamReplay::new(&registry), Vec::new());
            events.iter().for_each(|event| replay.push(event, &mut found));
            let mut verifier = ChainVerifier::new(ledger.trust_root.ledger_id, Some(&registry));
            let mut verified = Vec::new();
            events.iter().for_each(|event| verifier.push(event, &mut verified));
            assert_eq!(found, verified);
            let finding = found.first().expect("a finding");
            assert_eq!((finding.class, finding.check), (FindingClass::Rule, "rules"));
            assert_eq!(finding.event_id, Some(*event.header.event_id.as_uuid()));
            let first = list(refused, "violated").first().and_then(Value::as_str).expect("a rule");
            assert!(finding.detail.contains(&format!("{first:?}")), "{finding}");

            let trust = Trust::Root(ledger.trust_root.clone());
            let checks = verify_stream_bundle(&ledger.stream_bundle(domain, stream), &trust);
            let rules = checks.iter().find(|check| check.name == "rules").expect("the check");
            assert_eq!(rules.passed, Some(false), "{checks:#?}");
        }
    }
}

/// One event shows what its rules say of itself; what they say of the state before
/// it only the stream shows. The first event has no state before it.
#[test]
fn a_proof_bundle_shows_the_rules_that_need_no_state() {
    let example = example("approval");
    let mut ledger = ledger_of(&example);
    for said in list(&example, "events").iter().filter(|said| said.get("state").is_some()) {
        append(&mut ledger, &example, said);
    }
    let trust = Trust::Root(ledger.trust_root.clone());
    let events = ledger.stream("payments", text(&example, "stream"));
    let rules = |event: &Event| {
        let checks = verify_proof_bundle(&ledger.proof_bundle(event), &trust);
        let rules = checks.iter().find(|check| check.name == "rules").expect("the check").passed;
        (rules, Verdict::of(&checks))
    };
    assert_eq!(rules(&events[0]), (Some(true), Verdict::Match));
    assert_eq!(rules(&events[1]), (None, Verdict::Unverifiable));

    // The second request is violated by itself: it says event.sequence == 1.
    let again = list(&example, "events")
        .iter()
        .find(|said| said["violated"] == serde_json::json!(["first"]))
        .expect("a second request");
    let event = append(&mut ledger, &example, again);
    let checks = verify_proof_bundle(&ledger.proof_bundle(&event), &trust);
    let failed: Vec<_> =
        checks.iter().filter(|check| check.passed == Some(false)).map(|check| check.name).collect();
    assert_eq!(failed, ["rules"], "{checks:#?}");

    // A withdrawal from nothing: the state before a first event is known.
    let accounts = self::example("accounts");
    let mut ledger = ledger_of(&accounts);
    let event = append(&mut ledger, &accounts, &list(&accounts, "events")[0]);
    let trust = Trust::Root(ledger.trust_root.clone());
    let checks = verify_proof_bundle(&ledger.proof_bundle(&event), &trust);
    assert_eq!(Verdict::of(&checks), Verdict::Mismatch, "{checks:#?}");
}
