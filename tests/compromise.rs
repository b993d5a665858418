//! A revocation that says since when a key may have been in other hands: what was
//! signed with it from then on, and was in no checkpoint before, is a finding of its
//! own class and leaves the verdict alone.

use ets_core::key::{SecretKey, key_possession_hash};
use ets_tests::{Ledger, Signer, append, head, order, refused, tamper};
use serde_json::json;

/// Appends the order as `signer` to the end of its stream; "stream#sequence".
fn sign(ledger: &mut Ledger, signer: &Signer, stream: &str) -> String {
    let previous = head(&mut ledger.client, stream).0;
    let event = append(&mut ledger.client, signer, &order(stream, 1), &previous).expect("an append");
    format!("{stream}#{}", event.sequence)
}

/// The moment that the server calls now, to the microsecond, as registrations spell it.
fn moment(ledger: &mut Ledger) -> String {
    ledger.one(
        "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') FROM pg_sleep(0.002)",
        &[],
    )
}

fn revoke(ledger: &mut Ledger, signer: &Signer, since: &str) {
    let sql = "SELECT ets.revoke_key($1, 'stolen', $2::text::timestamptz)";
    ledger.client.execute(sql, &[&signer.key_id(), &since]).expect("revocation");
}

/// What is found, as "class stream#sequence", by the query that follows FROM.
fn found(ledger: &mut Ledger, from: &str) -> Vec<String> {
    let sql = format!(
        "SELECT concat(class, ' ', stream, '#', sequence) FROM {from} AS f ORDER BY stream, sequence"
    );
    ledger.client.query(&sql, &[]).expect(from).iter().map(|row| row.get(0)).collect()
}

fn last_run(ledger: &mut Ledger) -> (String, i64) {
    let sql = "SELECT verdict, finding_count FROM ets.verification_run WHERE check_name = 'verify' ORDER BY run_id DESC LIMIT 1";
    let row = ledger.client.query_one(sql, &[]).expect("a run");
    (row.get(0), row.get(1))
}

fn compromised(events: &[&String]) -> Vec<String> {
    events.iter().map(|event| format!("compromised {event}")).collect()
}

#[test]
fn what_a_stolen_key_signed_is_found_unless_a_checkpoint_had_it_before() {
    let mut ledger = Ledger::new();
    let bob = Signer::new(2);
    ledger.register(&bob, "bob");
    sign(&mut ledger, &bob, "before");
    let since = moment(&mut ledger);
    let unsealed = sign(&mut ledger, &bob, "c");
    ledger.append(&order("by-another", 1));
    ledger.seal();
    let sealed = sign(&mut ledger, &bob, "d");
    ledger.seal();
    assert_eq!(found(&mut ledger, "ets.verify_ledger()"), Vec::<String>::new(), "not yet revoked");

    revoke(&mut ledger, &bob, &since);
    let expected = compromised(&[&unsealed, &sealed]);
    for _ in 0..2 {
        assert_eq!(found(&mut ledger, "ets.verify_ledger()"), expected);
        assert_eq!(last_run(&mut ledger), ("MATCH".to_owned(), 0));
        assert_eq!(found(&mut ledger, "ets.finding"), expected, "each is kept once");
        assert_eq!(found(&mut ledger, "ets.open_findings"), expected, "and stays open");
    }
    ledger.client.batch_execute("CALL ets.run_verification()").expect("a batched run");
    assert_eq!(found(&mut ledger, "ets.finding"), expected);
    assert_eq!(found(&mut ledger, "ets.verify_ledger(incremental => true)"), expected);
    assert_eq!(found(&mut ledger, "ets.verify_ledger('orders')"), expected);
    assert_eq!(found(&mut ledger, "ets.verify_ledger('ets.registry')"), Vec::<String>::new());
    assert_eq!(found(&mut ledger, "ets.verify_ledger(max_findings => 1)"), expected[..1]);
    let row = ledger.client.query_one(
        "SELECT check_name, expected, actual, event_id = (SELECT event_id FROM ets.ledger_event
                 WHERE stream = 'c'), detail FROM ets.finding WHERE stream = 'c'",
        &[],
    );
    let row = row.expect("one finding");
    assert_eq!(row.get::<_, &str>(0), "compromised_since");
    assert_eq!(row.get::<_, &str>(1), format!("before {since}"));
    assert!(row.get::<_, &str>(2) >= since.as_str(), "{}", row.get::<_, &str>(2));
    assert!(row.get::<_, bool>(3));
    let state: String = ledger.one("SELECT state FROM ets.status WHERE item = 'open findings'", &[]);
    assert_eq!(state, "warning");
}

#[test]
fn a_checkpoint_from_before_the_moment_covers_what_it_holds() {
    let mut ledger = Ledger::new();
    let bob = Signer::new(2);
    ledger.register(&bob, "bob");
    sign(&mut ledger, &bob, "a");
    ledger.seal();
    let since = moment(&mut ledger);
    let later = sign(&mut ledger, &bob, "a");
    ledger.seal();
    // The event states a time after the moment, but was sealed before it: its time is the
    // server's word, the checkpoint's order is not.
    tamper(
        &mut ledger.client,
        "UPDATE ets.ledger_event SET timestamp = now() + interval '1 hour' WHERE stream = 'a' AND sequence = 1",
    );
    revoke(&mut ledger, &bob, &since);
    let all = found(&mut ledger, "ets.verify_ledger()");
    let found: Vec<&String> = all.iter().filter(|line| line.starts_with("compromised")).collect();
    assert_eq!(found, [&format!("compromised {later}")]);
    assert_eq!(last_run(&mut ledger).0, "MISMATCH", "{all:?}");
}

#[test]
fn a_key_that_a_thief_rotated_falls_with_the_stolen_one() {
    let mut ledger = Ledger::new();
    let (bob, heir) = (Signer::new(2), Signer::new(3));
    let (old, new) = (SecretKey::from_seed(&[2; 32]).public_key(), SecretKey::from_seed(&[3; 32]));
    ledger.register(&bob, "bob");
    let since = moment(&mut ledger);
    let new_public = new.public_key();
    let proof = new.sign(&key_possession_hash(&ledger.id, old.as_bytes(), new_public.as_bytes()));
    let payload = json!({
        "schema_version": "ets.key_rotation/1.0.0", "key_id": bob.key_id(), "algorithm": "ed25519",
        "public_key": new_public.to_string(), "proof": proof.to_string(),
    });
    let previous: Vec<u8> = ledger.one("SELECT head_hash FROM ets.head('ets.registry')", &[]);
    let rotate = "SELECT sequence FROM ets.rotate_key($1, $2, $3, $4)";
    let signature = bob.sign(&payload, &previous);
    let rotation: i64 =
        ledger.one(rotate, &[&bob.key_id(), &heir.public_key(), &proof.0.as_slice(), &signature]);
    let by_heir = sign(&mut ledger, &heir, "a");
    revoke(&mut ledger, &bob, &since);
    let previous = ledger.head("b").0;
    refused(append(&mut ledger.client, &heir, &order("b", 1), &previous), "ET004");
    // The rotation is an event that the stolen key signed.
    let found = found(&mut ledger, "ets.verify_ledger()");
    assert_eq!(found, [format!("compromised {by_heir}"), format!("compromised main#{rotation}")]);
    assert_eq!(last_run(&mut ledger), ("MATCH".to_owned(), 0));
}

#[test]
fn a_replaced_server_key_can_be_compromised_too() {
    let mut ledger = Ledger::new();
    let since = moment(&mut ledger);
    ledger.append(&order("a", 1));
    ledger.seal();
    assert_eq!(found(&mut ledger, "ets.verify_ledger()"), Vec::<String>::new());
    let sql = "SELECT ets.rotate_server_key('its file was copied', $1::text::timestamptz)";
    ledger.client.execute(sql, &[&since]).expect("rotated");
    let all = found(&mut ledger, "ets.verify_ledger()");
    // The statement of the run before, and the rotation itself.
    assert!(!all.is_empty() && all.iter().all(|line| line.starts_with("compromised main#")), "{all:?}");
    assert_eq!(last_run(&mut ledger), ("MATCH".to_owned(), 0));
    let old: i64 = ledger.one(
        "SELECT count(*) FROM ets.finding f JOIN ets.ledger_event e USING (event_id)
          WHERE f.class = 'compromised' AND e.key_id <> (SELECT server_key_id FROM ets.ledger)",
        &[],
    );
    assert_eq!(old, 0, "what the new key signed is not meant");
}
