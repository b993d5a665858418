//! The registry is a ledger: what may be registered, and by whom.

use ets_core::key::SecretKey;
use ets_tests::{
    Appended, Cluster, DOMAIN, Ledger, SCHEMA, Signer, digest, error_of, hash_of, order, refused,
};
use postgres::Client;
use serde_json::{Value, json};

#[test]
fn every_change_is_an_event_and_a_projection() {
    let mut ledger = Ledger::new();
    let kinds: Vec<String> = ledger.one(
        "SELECT array_agg(schema_version ORDER BY sequence) FROM ets.ledger_event WHERE domain = 'ets.registry'",
        &[],
    );
    assert_eq!(
        kinds,
        ["ets.ledger/1.0.0", "ets.domain/1.0.0", "ets.schema/1.0.0", "ets.key/1.0.0", "ets.grant/1.0.0"]
    );
    let versions: Vec<i64> = ledger.one(
        "SELECT array_agg(sequence - registry_version ORDER BY sequence) FROM ets.ledger_event WHERE domain = 'ets.registry'",
        &[],
    );
    assert_eq!(versions, [1; 5], "a registry event is judged against the one before it");
    let owner: String =
        ledger.one("SELECT owner FROM ets.signing_key WHERE key_id = $1", &[&Signer::new(1).key_id()]);
    assert_eq!(owner, "alice");
    assert_eq!(ledger.findings(), Vec::<String>::new());
}

#[test]
fn what_cannot_be_registered() {
    let mut ledger = Ledger::new();
    let (alice, bob) = (ledger.alice.public_key(), Signer::new(2).public_key());
    let before = ledger.contents();
    for (sql, code) in [
        ("SELECT ets.create_domain('orders')", "ET010"),
        ("SELECT ets.create_domain('ets.more')", "22023 ET010 ET016 ET004 ET007"),
        ("SELECT ets.create_domain('')", "22023 ET010 ET007"),
        ("SELECT ets.register_schema('order/1.0.0', 'orders', '{\"type\": \"array\"}')", "ET006 ET010"),
        ("SELECT ets.register_schema('other/1.0.0', 'nowhere', '{}')", "ET011"),
        ("SELECT ets.register_schema('other/1.0', 'orders', '{}')", "ET006"),
        ("SELECT ets.register_schema('ets.other/1.0.0', 'orders', '{}')", "ET006 ET010"),
        ("SELECT ets.register_schema('other/1.0.0', 'orders', '{\"type\": \"nothing\"}')", "ET006"),
        ("SELECT ets.register_schema('other/1.0.0', 'orders', '3')", "ET006 ET007"),
        (
            "SELECT ets.register_schema('other/1.0.0', 'orders', '{\"$ref\": \"file:///etc/passwd\"}')",
            "ET006",
        ),
        (
            "SELECT ets.register_schema('other/1.0.0', 'orders', '{\"$ref\": \"https://example.com/\"}')",
            "ET006",
        ),
        ("SELECT ets.register_schema('other/1.0.0', 'orders', '{}', 'not a pointer')", "22023 ET006 ET007"),
        ("SELECT ets.retire_schema('other/1.0.0', 'x')", "ET011 ET006"),
        ("SELECT ets.grant_authority(repeat('0', 64), 'orders')", "ET011 ET004"),
        ("SELECT ets.grant_authority('x', 'orders')", "ET011 22023 ET004 ET010"),
        ("SELECT ets.revoke_key(repeat('0', 64), 'x')", "ET004"),
        ("SELECT ets.revoke_authority(repeat('0', 64), 'orders')", "ET004 ET011"),
    ] {
        let error = error_of(ledger.client.simple_query(sql));
        assert!(code.split(' ').any(|code| code == error.code().code()), "{sql}: {error:?}");
        assert_eq!(ledger.contents(), before, "{sql}");
    }
    refused(ledger.client.query("SELECT ets.register_key($1, 'again')", &[&alice]), "ET010");
    ledger.client.execute("SELECT ets.register_key($1, 'bob')", &[&bob]).expect("key");
    let key = Signer::new(2).key_id();
    refused(ledger.client.query("SELECT ets.grant_authority($1, 'ets.audit')", &[&key]), "ET016");
    refused(ledger.client.query("SELECT ets.revoke_authority($1, 'orders')", &[&key]), "ET011");
}

#[test]
fn the_last_root_key_cannot_be_revoked() {
    let mut ledger = Ledger::new();
    let root: String =
        ledger.one("SELECT ets.key_id(decode(ets.trust_root() ->> 'root_public_key', 'hex'))", &[]);
    let before = ledger.contents();
    refused(ledger.client.query("SELECT ets.revoke_key($1, 'oops')", &[&root]), "ET016");
    refused(ledger.client.query("SELECT ets.revoke_authority($1, 'ets.registry')", &[&root]), "ET016");
    assert_eq!(ledger.contents(), before);
}

#[test]
fn a_grant_that_is_covered_in_part_is_not_revoked() {
    let mut ledger = Ledger::new();
    let bob = Signer::new(2);
    ledger.client.execute("SELECT ets.register_key($1, 'bob')", &[&bob.public_key()]).expect("key");
    let grant = "SELECT ets.grant_authority($1, 'orders', '*', 'eu-*')";
    ledger.client.execute(grant, &[&bob.key_id()]).expect("grant");
    let revoke = "SELECT ets.revoke_authority($1, 'orders', 'order/1.0.0', 'eu-*')";
    refused(ledger.client.query(revoke, &[&bob.key_id()]), "ET016");
    ledger.client.execute("SELECT ets.revoke_authority($1, 'orders')", &[&bob.key_id()]).expect("covers it");
}

#[test]
fn a_key_is_valid_from_and_until() {
    let mut ledger = Ledger::new();
    for (seed, from, until) in
        [(11, "now() + interval '1 hour'", "NULL"), (12, "NULL", "now() - interval '1 hour'")]
    {
        let signer = Signer::new(seed);
        let sql = format!("SELECT ets.register_key($1, 'temp', {from}, {until})");
        ledger.client.execute(sql.as_str(), &[&signer.public_key()]).expect("key");
        ledger
            .client
            .execute("SELECT ets.grant_authority($1, $2)", &[&signer.key_id(), &DOMAIN])
            .expect("grant");
        let genesis = ledger.head("v").0;
        refused(ets_tests::append(&mut ledger.client, &signer, &order("v", 1), &genesis), "ET004");
    }
}

/// A ledger whose root key never touches the server.
struct External {
    client: Client,
    root: SecretKey,
    head: Vec<u8>,
}

impl External {
    fn new() -> Self {
        let mut client = Cluster::shared().database().connect();
        let root = SecretKey::from_seed(&[77; 32]);
        let key = root.public_key().as_bytes().to_vec();
        client.execute("SELECT ets.init('test.example/external', $1)", &[&key]).expect("ets.init");
        let trust: Value = client.query_one("SELECT ets.trust_root()", &[]).expect("trust root").get(0);
        refused(client.query("SELECT ets.seal()", &[]), "ET013");
        refused(client.query("SELECT ets.create_domain('orders')", &[]), "ET013");
        let sql = "SELECT ets.genesis_hash('ets.registry', 'main', ($1::text)::uuid)";
        let head = client.query_one(sql, &[&trust["ledger_id"].as_str()]).expect("genesis").get(0);
        let mut external = External { client, root, head };
        let first = json!({
            "schema_version": "ets.ledger/1.0.0",
            "ledger_id": trust["ledger_id"],
            "origin": "test.example/external",
            "specification": "1.1",
            "algorithm": "ed25519",
            "root_public_key": trust["root_public_key"],
            "server_public_key": trust["server_public_key"],
        });
        external.append(&first, "ets.ledger/1.0.0").expect("the first event");
        external
    }

    fn append(&mut self, payload: &Value, kind: &str) -> Result<Appended, postgres::Error> {
        let hash = hash_of(payload, &self.head);
        let signature = self.root.sign(&hash).0.to_vec();
        let key = self.root.public_key().as_bytes().to_vec();
        let sql = format!("SELECT {} FROM ets.append($1, $2, $3, $4, $5)", Appended::COLUMNS);
        let row = self.client.query_one(sql.as_str(), &[payload, &kind, &key, &self.head, &signature])?;
        self.head = hash.0.to_vec();
        Ok(Appended::from_row(&row))
    }
}

#[test]
fn with_an_external_root_the_server_asks_for_signatures() {
    let mut external = External::new();
    let error = refused(external.client.query("SELECT ets.create_domain('orders')", &[]), "ET015");
    let (kind, payload) = (error.detail["schema_version"].as_str().expect("kind"), &error.detail["payload"]);
    assert_eq!(error.detail["current_hash"], digest(&hash_of(payload, &external.head).0).to_string());
    let event = external.append(payload, kind).expect("what was asked for, signed");
    assert_eq!(event.sequence, 2);
    let domains: i64 = external
        .client
        .query_one("SELECT count(*) FROM ets.domain WHERE domain = 'orders'", &[])
        .expect("one")
        .get(0);
    assert_eq!(domains, 1);
    assert_eq!(ets_tests::findings(&mut external.client), Vec::<String>::new());
}

#[test]
fn a_registry_event_relabelled_as_another_kind_is_refused() {
    let mut external = External::new();
    let domain = json!({"schema_version": "ets.domain/1.0.0", "domain": "orders"});
    for kind in ["ets.key/1.0.0", "ets.schema/1.0.0", "ets.grant/1.0.0", "ets.ledger/1.0.0"] {
        let error = error_of(external.append(&domain, kind));
        assert!(matches!(error.code().code(), "ET007" | "ET010" | "ET013" | "ET006"), "{kind}: {error:?}");
    }
    for payload in [
        json!({"domain": "orders"}),
        json!({"schema_version": "ets.domain/1.0.0", "domain": "orders", "more": 1}),
        json!({"schema_version": "ets.domain/1.0.0", "domain": null}),
    ] {
        refused(external.append(&payload, "ets.domain/1.0.0"), "ET007");
    }
    assert_eq!(external.append(&domain, "ets.domain/1.0.0").expect("as what it is").sequence, 2);
}

#[test]
fn a_registry_event_of_a_key_without_authority_is_refused() {
    let mut ledger = Ledger::new();
    let sql = "SELECT head_hash FROM ets.head('ets.registry')";
    let previous: Vec<u8> = ledger.one(sql, &[]);
    let payload = json!({"schema_version": "ets.domain/1.0.0", "domain": "mine"});
    let signature = ledger.alice.sign(&payload, &previous);
    let append = "SELECT ets.append($1, 'ets.domain/1.0.0', $2, $3, $4)";
    let key = ledger.alice.public_key();
    refused(ledger.client.query(append, &[&payload, &key, &previous, &signature]), "ET004");
    let payload = json!({"schema": SCHEMA});
    let signature = ledger.alice.sign(&payload, &previous);
    let append = "SELECT ets.append($1, 'ets.verification/1.0.0', $2, $3, $4)";
    let error = error_of(ledger.client.query(append, &[&payload, &key, &previous, &signature]));
    assert!(matches!(error.code().code(), "ET004" | "ET006" | "ET007"), "{error:?}");
}

/// What people read: who may append what now, and what changed when and by whom.
#[test]
fn the_views_of_the_registry_say_who_may_what_and_how_it_came() {
    let mut ledger = Ledger::new();
    let (bob, carol, later) = (Signer::new(2), Signer::new(3), Signer::new(4));
    ledger.register(&bob, "bob");
    ledger
        .client
        .execute("SELECT ets.register_key($1, 'carol', NULL, '2031-01-01T00:00:00Z')", &[&carol.public_key()])
        .expect("key");
    let grant = "SELECT ets.grant_authority($1, 'ets.registry', 'ets.grant/1.0.0', 'orders')";
    ledger.client.execute(grant, &[&carol.key_id()]).expect("a delegate");
    ledger
        .client
        .execute("SELECT ets.register_key($1, 'dora', '2031-01-01T00:00:00Z')", &[&later.public_key()])
        .expect("key");
    ledger.client.execute("SELECT ets.grant_authority($1, 'orders')", &[&later.key_id()]).expect("grant");
    let authority = "SELECT concat(owner, ': ', schemas, ' to ', streams, ' of ', domain, ' by ', registry_sequence,
                            CASE WHEN is_root THEN ' root' END, ' until ' || (not_after AT TIME ZONE 'UTC')::date)
                       FROM ets.authority ORDER BY owner, domain";
    let lines = |ledger: &mut Ledger, sql: &str| -> Vec<String> {
        ledger.client.query(sql, &[]).expect(sql).iter().map(|row| row.get(0)).collect()
    };
    let held = lines(&mut ledger, authority);
    assert_eq!(
        held,
        [
            "alice: * to * of orders by 5",
            "bob: * to * of orders by 7",
            "carol: ets.grant/1.0.0 to orders of ets.registry by 9 until 2031-01-01",
            "root: * to * of ets.audit by 1",
            "root: * to * of ets.registry by 1 root",
        ],
        "dora's key is not valid yet"
    );
    ledger
        .client
        .execute("SELECT ets.revoke_authority($1, 'orders', reason => 'moved')", &[&ledger.alice.key_id()])
        .expect("revoked");
    ledger
        .client
        .execute("SELECT ets.revoke_key($1, 'left', '2026-01-02T03:04:05Z')", &[&bob.key_id()])
        .expect("revoked");
    ledger.client.execute("SELECT ets.retire_schema($1, 'old')", &[&SCHEMA]).expect("retired");
    ledger.client.batch_execute("SELECT ets.rotate_server_key('yearly')").expect("rotated");
    let held = lines(&mut ledger, authority);
    assert_eq!(held.len(), 3, "{held:?}");
    assert!(held[1].starts_with("root: * to * of ets.audit by 15"), "{held:?}");

    let history = lines(
        &mut ledger,
        "SELECT concat(sequence, ' ', kind, ' by ', by_owner, ': ', change) FROM ets.registry_history ORDER BY sequence",
    );
    assert_eq!(
        history,
        [
            "1 ledger by root: ledger test.example/ets begun",
            "2 domain by root: domain orders created",
            "3 schema by root: schema order/1.0.0 of orders registered",
            "4 key by root: key of alice registered",
            "5 grant by root: alice may append * to streams * of orders",
            "6 key by root: key of bob registered",
            "7 grant by root: bob may append * to streams * of orders",
            "8 key by root: key of carol registered, until 2031-01-01T00:00:00.000000Z",
            "9 grant by root: carol may append ets.grant/1.0.0 to streams orders of ets.registry",
            "10 key by root: key of dora registered, from 2031-01-01T00:00:00.000000Z",
            "11 grant by root: dora may append * to streams * of orders",
            "12 grant_revocation by root: alice may no longer append * to streams * of orders: moved",
            "13 key_revocation by root: key of bob revoked: left, compromised since 2026-01-02T03:04:05.000000Z",
            "14 schema_retirement by root: schema order/1.0.0 retired: old",
            "15 server_key by root: the server's key replaced: yearly",
        ]
    );
    let signed =
        lines(&mut ledger, "SELECT concat(custody, ' ', owner, ' ', events) FROM ets.signatures ORDER BY 1");
    assert_eq!(signed, ["server root 15"]);
    ledger.register(&Signer::new(5), "eve");
    let previous = ledger.head("e").0;
    ledger
        .client
        .batch_execute("SELECT ets.register_schema('free/1.0.0', 'orders', 'true')")
        .expect("a schema");
    let payload = json!({"any": 1});
    let eve = Signer::new(5);
    let main: Vec<u8> = ledger.one("SELECT head_hash FROM ets.head('orders')", &[]);
    assert_ne!(previous, main);
    let sql = "SELECT sequence FROM ets.append($1, 'free/1.0.0', $2, $3, $4)";
    let sequence: i64 = ledger.one(sql, &[&payload, &eve.public_key(), &main, &eve.sign(&payload, &main)]);
    assert_eq!(sequence, 1);
    let signed =
        lines(&mut ledger, "SELECT concat(custody, ' ', owner, ' ', events) FROM ets.signatures ORDER BY 1");
    assert_eq!(signed, ["actor eve 1", "server root 15", "server root 3"], "before and after the rotation");
    let sql = "SELECT count(*) FROM ets.registry_history h JOIN ets.ledger_event e USING (event_id)
                WHERE h.sequence = e.sequence AND h.\"timestamp\" = e.\"timestamp\" AND h.by_key_id = e.key_id AND h.subject IS NOT NULL";
    assert_eq!(ledger.one::<i64>(sql, &[]), 18);
}
