//! Replay computes the states that the events make, says what is wrong, and never
//! passes what it could not judge.

mod sample;

use std::path::Path;

use ets_core::canonical::{Limits, Payload};
use ets_core::event::Event;
use ets_core::replay::StreamReplay;
use ets_core::verify::{
    ChainVerifier, Finding, RegistryVerifier, Trust, Verdict, verify_proof_bundle, verify_stream_bundle,
};
use sample::{Ledger, secret_key};
use serde_json::{Value, json};

/// A ledger whose one domain `d` has an actor and these schemas.
fn ledger(keep_state: bool, schemas: &[(&str, Value)]) -> Ledger {
    let mut ledger = sample::started();
    let mut domain = json!({"schema_version": "ets.domain/1.0.0", "domain": "d"});
    if keep_state {
        domain["keep_state"] = json!(true);
    }
    ledger.register(domain);
    for (name, members) in schemas {
        ledger.register_schema(name, "d", members.clone());
    }
    ledger.admit("actor", "d");
    ledger
}

fn append(ledger: &mut Ledger, payload: Value) {
    ledger.append(&secret_key("actor"), "d", "main", payload);
}

fn rule(name: &str, expr: &str) -> Value {
    json!({"name": name, "expr": expr, "message": "because"})
}

fn places(findings: &[Finding]) -> Vec<(&'static str, &'static str, i64)> {
    findings.iter().map(|f| (f.class.as_str(), f.check, f.sequence.unwrap_or(0))).collect()
}

fn replay(ledger: &Ledger, events: &[Event]) -> (Option<Value>, Vec<Finding>) {
    let registry = ledger.folded();
    let (mut replay, mut findings) = (StreamReplay::new(&registry), Vec::new());
    events.iter().for_each(|event| replay.push(event, &mut findings));
    (replay.take_state(), findings)
}

/// What the accounts of the example do, written down once more.
#[derive(Clone, Default)]
struct Account {
    balance: i64,
    frozen: bool,
}

impl Account {
    fn takes(&self, payload: &Value) -> bool {
        let amount = payload["amount"].as_i64().unwrap_or(0);
        match payload["schema_version"].as_str() {
            Some("deposit/1.0.0") => !self.frozen,
            Some("withdrawal/1.0.0") => !self.frozen && self.balance >= amount,
            _ => true,
        }
    }

    fn apply(&mut self, payload: &Value) {
        let amount = payload["amount"].as_i64().unwrap_or(0);
        match payload["schema_version"].as_str() {
            Some("deposit/1.0.0") => self.balance += amount,
            Some("withdrawal/1.0.0") => self.balance -= amount,
            _ => self.frozen = payload["frozen"] == true,
        }
    }
}

/// The next of a fixed sequence of numbers below `bound` (a linear congruential
/// generator: Knuth's MMIX constants).
fn draw(seed: &mut u64, bound: u64) -> u64 {
    *seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
    (*seed >> 33) % bound
}

/// Random streams of account events, refused ones among them: replay finds exactly
/// those, and of the accepted ones alone makes the state that plain code makes.
#[test]
fn random_accounts_are_what_plain_code_makes_of_them() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples/rules/accounts.json");
    let example: Value = serde_json::from_str(&std::fs::read_to_string(path).expect("a file")).expect("JSON");
    let mut ledger = sample::started();
    ledger.register(json!({"schema_version": "ets.domain/1.0.0", "domain": "accounts"}));
    for schema in example["schemas"].as_array().expect("schemas") {
        ledger.register_schema(schema["name"].as_str().expect("a name"), "accounts", schema.clone());
    }
    ledger.admit("actor", "accounts");
    let registry = ledger.folded();
    let mut seed = 42;
    let (mut accepted, mut refused) = (0, 0);
    for number in 0..6 {
        let name = format!("acc-{number}");
        let mut account = Account::default();
        let mut replay = StreamReplay::new(&registry).trusting_signatures();
        let mut findings = Vec::new();
        for _ in 0..60 {
            let amount = draw(&mut seed, 1000) + 1;
            let payload = match draw(&mut seed, 8) {
                0 => json!({"schema_version": "freeze/1.0.0", "account": name, "frozen": true}),
                1 => json!({"schema_version": "freeze/1.0.0", "account": name, "frozen": false}),
                2..=4 => json!({"schema_version": "deposit/1.0.0", "account": name, "amount": amount}),
                _ => json!({"schema_version": "withdrawal/1.0.0", "account": name, "amount": amount}),
            };
            ledger.append(&secret_key("actor"), "accounts", &name, payload.clone());
            let event = ledger.events.last().expect("an event");
            if account.takes(&payload) {
                accepted += 1;
                account.apply(&payload);
                replay.push(event, &mut findings);
                assert_eq!(findings, []);
                let state = json!({"balance": account.balance, "frozen": account.frozen});
                assert_eq!(replay.state(), Some(&state), "{payload}");
            } else {
                refused += 1;
                // Seen by a replayer of its own: it ends here, and the stream goes on without it.
                let head = ledger.stream("accounts", &name);
                let mut other = StreamReplay::new(&registry).trusting_signatures();
                head.iter().for_each(|event| other.push(event, &mut findings));
                let sequence = i64::try_from(head.len()).expect("a sequence");
                assert_eq!(places(&findings), [("rule", "rules", sequence)], "{payload}");
                findings.clear();
                ledger.events.pop();
            }
        }
    }
    assert!(accepted > 100 && refused > 50, "{accepted} {refused}");
}

#[test]
fn a_replay_goes_on_from_a_kept_state_as_from_the_first_event() {
    let sum = json!({"reducer": "(state == null ? 0 : state) + payload.n", "rules": [rule("up", "state == null || payload.n > 0")]});
    let mut ledger = ledger(true, &[("a/1.0.0", sum)]);
    for n in 1..=9 {
        append(&mut ledger, json!({"schema_version": "a/1.0.0", "n": n}));
    }
    let events = ledger.stream("d", "main");
    assert_eq!(replay(&ledger, &events), (Some(json!(45)), vec![]));
    let registry = ledger.folded();
    for at in 1..events.len() {
        let (state, _) = replay(&ledger, &events[..at]);
        let last = &events[at - 1].header;
        let (mut replay, mut findings) = (StreamReplay::new(&registry), Vec::new());
        replay.resume(&last.domain, &last.stream, last.sequence, last.current_hash, state.expect("a state"));
        assert_eq!(replay.sequence(), last.sequence);
        events[at..].iter().for_each(|event| replay.push(event, &mut findings));
        assert_eq!((findings.as_slice(), replay.state()), (&[][..], Some(&json!(45))));
    }
    // From another head, or past a missing event, it is no continuation.
    let (mut replay, mut findings) = (StreamReplay::new(&registry), Vec::new());
    let third = &events[2].header;
    replay.resume(&third.domain, &third.stream, 3, events[1].header.current_hash, json!(6));
    replay.push(&events[3], &mut findings);
    assert_eq!(places(&findings), [("tampering", "previous_hash", 4)]);
    assert_eq!(replay.state(), None);
}

#[test]
fn streams_follow_one_another_and_each_begins_with_nothing() {
    let mut ledger = ledger(true, &[("a/1.0.0", json!({"stream_pointer": "/s", "reducer": "replace"}))]);
    for stream in ["one", "two"] {
        ledger.append(&secret_key("actor"), "d", stream, json!({"schema_version": "a/1.0.0", "s": stream}));
    }
    let registry = ledger.folded();
    let (mut replay, mut findings) = (StreamReplay::new(&registry), Vec::new());
    assert_eq!(replay.state(), Some(&Value::Null));
    for stream in ["one", "two"] {
        replay.push(&ledger.stream("d", stream)[0], &mut findings);
        assert_eq!(replay.state().map(|state| &state["s"]), Some(&json!(stream)));
        assert_eq!(replay.sequence(), 1);
    }
    assert_eq!(findings, []);
}

/// One changed row is one row's findings: what follows stands on a state that is
/// lost, which is said once and never passed, until a reducer needs none.
#[test]
fn after_a_damaged_row_the_state_is_lost_until_it_is_replaced() {
    let counted = json!({"rules": [rule("grows", "state == null || payload.n > state.n")]});
    let set = json!({"reducer": "replace"});
    let mut ledger = ledger(false, &[("a/1.0.0", counted), ("b/1.0.0", set)]);
    for (schema, n) in [("a", 1), ("a", 2), ("a", 3), ("a", 4), ("b", 5), ("a", 6), ("a", 6)] {
        append(&mut ledger, json!({"schema_version": format!("{schema}/1.0.0"), "n": n}));
    }
    let good = ledger.stream("d", "main");
    let expected = [("rule", "rules", 7)];
    let (state, findings) = replay(&ledger, &good);
    assert_eq!(
        (places(&findings), state.map(|state| state["n"].clone())),
        (expected.to_vec(), Some(json!(6)))
    );

    let mut changed = good.clone();
    let payload = json!({"schema_version": "a/1.0.0", "n": 99});
    changed[1].payload = Payload::from_value(payload, &Limits::CEILING).expect("a payload");
    let lost = ("unverifiable", "rules", 3);
    let (_, findings) = replay(&ledger, &changed);
    assert_eq!(places(&findings), [("tampering", "current_hash", 2), lost, expected[0]]);
    let registry = ledger.folded();
    let mut verifier = ChainVerifier::new(ledger.trust_root.ledger_id, Some(&registry));
    let mut verified = Vec::new();
    changed.iter().for_each(|event| verifier.push(event, &mut verified));
    assert_eq!(verified, findings);

    let mut missing = good.clone();
    missing.remove(1);
    let (_, findings) = replay(&ledger, &missing);
    assert_eq!(places(&findings), [("tampering", "sequence", 2), lost, expected[0]]);

    let late = good[3..].to_vec();
    let (_, findings) = replay(&ledger, &late);
    assert_eq!(places(&findings), [("tampering", "sequence", 1), ("unverifiable", "rules", 4), expected[0]]);
}

#[test]
fn without_signatures_hashes_and_links_are_still_checked() {
    let mut ledger = ledger(false, &[("a/1.0.0", json!({}))]);
    for n in 0..3 {
        append(&mut ledger, json!({"schema_version": "a/1.0.0", "n": n}));
    }
    let registry = ledger.folded();
    let mut events = ledger.stream("d", "main");
    events[1].header.signature.0[5] ^= 1;
    let found = |trusting: bool, events: &[Event]| {
        let mut replay = StreamReplay::new(&registry);
        if trusting {
            replay = replay.trusting_signatures();
        }
        let mut findings = Vec::new();
        events.iter().for_each(|event| replay.push(event, &mut findings));
        places(&findings)
    };
    assert_eq!(found(false, &events), [("tampering", "signature", 2)]);
    assert_eq!(found(true, &events), []);
    events[1].header.current_hash.0[5] ^= 1;
    let changed = found(true, &events);
    assert_eq!(changed, [("tampering", "current_hash", 2)]);
}

/// A reducer that fails is held against an event only where the gate had reduced
/// it; elsewhere the state is merely not known.
#[test]
fn a_reducer_that_fails_is_a_finding_where_states_are_kept() {
    for (keep_state, class) in [(true, "rule"), (false, "unverifiable")] {
        let mut ledger = ledger(keep_state, &[("a/1.0.0", json!({"reducer": "10 / payload.n"}))]);
        for n in [5, 0, 2] {
            append(&mut ledger, json!({"schema_version": "a/1.0.0", "n": n}));
        }
        let (state, findings) = replay(&ledger, &ledger.stream("d", "main"));
        assert_eq!(places(&findings), [(class, "reducer", 2)]);
        // The third event needs no state before it.
        assert_eq!(state, Some(json!(5)));
        let registry = ledger.folded();
        let mut verifier = ChainVerifier::new(ledger.trust_root.ledger_id, Some(&registry));
        let mut verified = Vec::new();
        ledger.stream("d", "main").iter().for_each(|event| verifier.push(event, &mut verified));
        assert_eq!(verified, [], "the gate's checks need no state here");
    }
}

#[test]
fn a_rule_that_has_no_answer_is_a_finding() {
    let mut ledger = ledger(false, &[("a/1.0.0", json!({"rules": [rule("half", "10 / payload.n > 1")]}))]);
    for n in [5, 0] {
        append(&mut ledger, json!({"schema_version": "a/1.0.0", "n": n}));
    }
    let (_, findings) = replay(&ledger, &ledger.stream("d", "main"));
    assert_eq!(places(&findings), [("rule", "rules", 2)]);
    assert!(findings[0].detail.contains("\"half\" failed"), "{}", findings[0]);
}

/// What only its database can evaluate is said once for the schema, from the
/// version on from which it counts, and is never a pass.
#[test]
fn rule_functions_are_unverifiable_outside_their_database() {
    let mut ledger = ledger(false, &[("a/1.0.0", json!({})), ("b/1.0.0", json!({}))]);
    append(&mut ledger, json!({"schema_version": "a/1.0.0"}));
    ledger.register(json!({
        "schema_version": "ets.rule_function/1.0.0", "name": "a/1.0.0",
        "function": "app.check(jsonb)", "prosrc_sha256": "00".repeat(32),
    }));
    for schema in ["b", "a", "a"] {
        append(&mut ledger, json!({"schema_version": format!("{schema}/1.0.0")}));
    }
    let events = ledger.stream("d", "main");
    let (state, findings) = replay(&ledger, &events);
    assert_eq!(places(&findings), [("unverifiable", "rules", 3)]);
    assert!(state.is_some() && findings[0].detail.contains("app.check(jsonb)"));
    let trust = Trust::Root(ledger.trust_root.clone());
    for (event, verdict) in events.iter().zip(["MATCH", "MATCH", "UNVERIFIABLE", "UNVERIFIABLE"]) {
        let checks = verify_proof_bundle(&ledger.proof_bundle(event), &trust);
        assert_eq!(Verdict::of(&checks).as_str(), verdict, "{checks:#?}");
    }
    let checks = verify_stream_bundle(&ledger.stream_bundle("d", "main"), &trust);
    assert_eq!(Verdict::of(&checks), Verdict::Unverifiable, "{checks:#?}");
}

/// A ledger that a later version has written to: what it says of its engine is
/// kept, what is judged by it is not, and the rest is verified as ever.
#[test]
fn an_unknown_engine_is_unverifiable_and_nothing_else() {
    let future = json!({"engine": "draft2020-12/1+cel/2", "rules": [rule("r", "anything::else")]});
    let mut ledger = ledger(true, &[("a/1.0.0", json!({}))]);
    let registry = ledger.folded();
    assert!(registry.keeps_state(&"d".parse().expect("a domain")));
    ledger.register_schema("f/1.0.0", "d", future);
    for schema in ["a", "f", "a"] {
        append(&mut ledger, json!({"schema_version": format!("{schema}/1.0.0")}));
    }
    let mut verifier = RegistryVerifier::new(ledger.trust_root.ledger_id);
    let mut findings = Vec::new();
    ledger.registry().iter().for_each(|event| verifier.push(event, &mut findings));
    let verified = verifier.finish();
    let sequence = i64::try_from(ledger.registry().len()).expect("a sequence");
    assert_eq!(places(&findings), [("unverifiable", "registry", sequence)]);
    assert_eq!(verified.damaged_from, None);
    findings.clear();
    let mut chain = ChainVerifier::judging_by(ledger.trust_root.ledger_id, &verified);
    ledger.stream("d", "main").iter().for_each(|event| chain.push(event, &mut findings));
    assert_eq!(places(&findings), [("unverifiable", "schema", 2), ("unverifiable", "rules", 2)]);
    findings.clear();
    let mut replay = StreamReplay::judging_by(ledger.trust_root.ledger_id, &verified);
    ledger.stream("d", "main").iter().for_each(|event| replay.push(event, &mut findings));
    assert_eq!(places(&findings), [("unverifiable", "rules", 2)]);
    assert_eq!(replay.state(), None);
}
