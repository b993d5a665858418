//! The verifying replica: two clusters, a subscription, and a gate that judges
//! every event again as it is applied.

use std::thread::sleep;
use std::time::{Duration, Instant};

use ets_tests::{
    Appended, Cluster, DOMAIN, Ledger, Signer, append, checkout, findings, head, order, refused, tamper,
};
use postgres::Client;
use serde_json::Value;

/// What a replica subscribes to.
const TABLES: [&str; 4] = ["ledger_event", "merkle_leaf", "domain_root", "checkpoint"];

/// A publisher with the small ledger.
struct Publisher {
    cluster: Cluster,
    database: String,
    client: Client,
    alice: Signer,
}

impl Publisher {
    fn start() -> Self {
        let cluster = Cluster::start("publisher", &["wal_level=logical", "fsync=off"]);
        let database = cluster.create_database();
        let mut client = cluster.connect(&database);
        let (_, alice) = Ledger::set_up(&mut client);
        Publisher { cluster, database, client, alice }
    }

    fn append(&mut self, stream: &str, amount: i64) -> Appended {
        let previous = head(&mut self.client, stream).0;
        append(&mut self.client, &self.alice, &order(stream, amount), &previous).expect("append")
    }

    fn seal(&mut self) -> i64 {
        self.client.query_one("SELECT checkpoint_id FROM ets.seal()", &[]).expect("seal").get(0)
    }

    fn connection_string(&self) -> String {
        let settings = self.cluster.environment(&self.database);
        let of = |name: &str| settings.iter().find(|(key, _)| *key == name).expect("it is set").1.clone();
        format!(
            "host={} port={} user={} dbname={}",
            of("PGHOST"),
            of("PGPORT"),
            of("PGUSER"),
            of("PGDATABASE")
        )
    }
}

/// A replica on a cluster of its own: joined, seeded by an import, subscribed.
struct Replica {
    cluster: Cluster,
    database: String,
    client: Client,
}

impl Replica {
    fn subscribe(publisher: &mut Publisher, domain: Option<&str>, options: &str) -> Self {
        let filter = domain.map_or(String::new(), |domain| {
            format!(" WHERE (domain = 'ets.registry' OR domain = '{domain}')")
        });
        publisher
            .client
            .batch_execute(&format!(
                "CREATE PUBLICATION ledger FOR TABLE ets.ledger_event{filter}, ets.merkle_leaf{filter},
                    ets.domain_root, ets.checkpoint"
            ))
            .expect("publication");
        publisher
            .client
            .execute("SELECT pg_create_logical_replication_slot('replica', 'pgoutput')", &[])
            .expect("slot");
        // What the slot will send a second time: the export has it, too.
        publisher.append("twice", 1);
        publisher.seal();
        let cluster = Cluster::start("replica", &["fsync=off"]);
        let database = cluster.create_database();
        let mut client = cluster.connect(&database);
        let first: String = publisher
            .client
            .query_one(
                "SELECT ets.event_document(event_id)::text FROM ets.ledger_event
                  WHERE domain = 'ets.registry' AND sequence = 1",
                &[],
            )
            .expect("the first event")
            .get(0);
        client.execute("SELECT ets.join($1::text::json, $2)", &[&first, &domain]).expect("join");
        let lines = publisher
            .client
            .query("SELECT line FROM ets.export($1) ORDER BY line_number", &[&domain])
            .expect("export");
        let export: Vec<String> = lines.iter().map(|row| row.get(0)).collect();
        client.execute("SELECT ets.import($1)", &[&export.join("\n")]).expect("import");
        let subscription = format!(
            "CREATE SUBSCRIPTION ledger CONNECTION '{}' PUBLICATION ledger
               WITH (create_slot = false, slot_name = 'replica', copy_data = false{options})",
            publisher.connection_string()
        );
        client.batch_execute(&subscription).expect("subscription");
        Replica { cluster, database, client }
    }

    /// Waits until `sql` answers true.
    #[track_caller]
    fn until(&mut self, sql: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.client.query_one(sql, &[]).expect(sql).get::<_, bool>(0) {
            assert!(Instant::now() < deadline, "never true: {sql}\n{}", self.cluster.log());
            sleep(Duration::from_millis(50));
        }
    }

    #[track_caller]
    fn until_checkpoint(&mut self, checkpoint_id: i64) {
        self.until(&format!(
            "SELECT EXISTS (SELECT FROM ets.checkpoint WHERE checkpoint_id = {checkpoint_id})"
        ));
    }

    fn status(&mut self) -> (String, String) {
        let row = self.client.query_one("SELECT state, value FROM ets.status WHERE item = 'replica'", &[]);
        let row = row.expect("the item");
        (row.get(0), row.get(1))
    }
}

/// What both must have alike, tiles and projections included, of these domains.
fn contents(client: &mut Client, domains: &str) -> Value {
    let sql = format!(
        "SELECT jsonb_build_object(
            'events', (SELECT jsonb_agg(to_jsonb(e) - 'transaction_id' ORDER BY event_id) FROM ets.ledger_event e WHERE {domains}),
            'heads', (SELECT jsonb_agg(to_jsonb(h) ORDER BY domain, stream) FROM ets.stream_head h WHERE {domains}),
            'keys', (SELECT jsonb_agg(to_jsonb(k) ORDER BY key_id) FROM ets.signing_key k),
            'leaves', (SELECT jsonb_agg(to_jsonb(l) ORDER BY domain, leaf_index) FROM ets.merkle_leaf l WHERE {domains}),
            'tiles', (SELECT jsonb_agg(to_jsonb(t) ORDER BY domain, level, tile_index) FROM ets.merkle_tile t WHERE {domains}),
            'roots', (SELECT jsonb_agg(to_jsonb(r) ORDER BY checkpoint_id, domain) FROM ets.domain_root r),
            'checkpoints', (SELECT jsonb_agg(to_jsonb(c) ORDER BY checkpoint_id) FROM ets.checkpoint c))"
    );
    client.query_one(sql.as_str(), &[]).expect("the tables").get(0)
}

#[test]
fn a_replica_follows_verifies_and_takes_over() {
    let mut publisher = Publisher::start();
    publisher.append("a", 1);
    publisher.seal();
    publisher.append("a", 2); // not sealed when the replica is seeded
    let mut replica = Replica::subscribe(&mut publisher, None, "");

    publisher.append("a", 3);
    publisher.append("b", 1);
    publisher
        .client
        .execute("SELECT ets.create_domain('later', 'while the replica follows')", &[])
        .expect("domain");
    publisher
        .client
        .execute("SELECT ets.revoke_key($1, 'lost')", &[&publisher.alice.key_id()])
        .expect("revocation");
    let checkpoint = publisher.seal();
    replica.until_checkpoint(checkpoint);
    assert_eq!(contents(&mut replica.client, "true"), contents(&mut publisher.client, "true"));
    assert_eq!(findings(&mut replica.client), Vec::<String>::new());
    assert_eq!(replica.status().0, "ok", "{:?}", replica.status());

    // It takes nothing of its own.
    let bob = Signer::new(2);
    let previous = head(&mut replica.client, "a").0;
    refused(append(&mut replica.client, &bob, &order("a", 9), &previous), "ET013");
    refused(replica.client.execute("SELECT ets.seal()", &[]), "ET013");
    refused(replica.client.execute("SELECT ets.create_domain('mine')", &[]), "ET013");
    refused(replica.client.execute("SELECT ets.promote()", &[]), "ET013");

    // Both agree.
    replica.client.batch_execute("CREATE EXTENSION dblink").expect("dblink");
    let compare = "SELECT count(*), count(*) FILTER (WHERE agrees) FROM ets.compare_roots($1)";
    let server = publisher.connection_string();
    let agreement = |replica: &mut Replica| -> (i64, i64) {
        let row = replica.client.query_one(compare, &[&server]).expect("compare_roots");
        (row.get(0), row.get(1))
    };
    assert_eq!(agreement(&mut replica), (4, 4));

    // The publisher is lost: the replica goes on, with the server's key that was copied to it.
    let key = |cluster: &Cluster, database: &str| -> String {
        let sql = "SELECT regexp_replace(current_setting('data_directory'), '[^/]+$', 'pg_ets_keys/') || ledger_id || '.pem' FROM ets.ledger";
        cluster.connect(database).query_one(sql, &[]).expect("the key's file").get(0)
    };
    replica.client.batch_execute("ALTER SUBSCRIPTION ledger DISABLE").expect("disabled");
    let promoted: String = replica.client.query_one("SELECT ets.promote()", &[]).expect("promote").get(0);
    assert!(promoted.ends_with("not declared"), "{promoted}");
    assert_eq!(replica.status().0, "warning");
    let (from, to) = (key(&publisher.cluster, &publisher.database), key(&replica.cluster, &replica.database));
    let folder = std::path::Path::new(&to).parent().expect("a folder").to_owned();
    replica
        .client
        .batch_execute(&format!(
            "COPY (SELECT 1) TO PROGRAM 'mkdir -p -m 700 {folder} && cp {from} {to} && chmod 600 {to}'",
            folder = folder.display()
        ))
        .expect("the key is copied");
    let promoted: String = replica.client.query_one("SELECT ets.promote()", &[]).expect("promote").get(0);
    assert!(promoted.contains("declared by event"), "{promoted}");
    assert_eq!(replica.status().0, "ok");
    refused(replica.client.execute("SELECT ets.promote()", &[]), "ET013");
    let declared = "SELECT payload FROM ets.ledger_event WHERE schema_version = 'ets.promotion/1.0.0'";
    let declared: Value = replica.client.query_one(declared, &[]).expect("declared").get(0);
    assert_eq!(declared["checkpoint_id"], checkpoint);

    // From here on it is a ledger of its own.
    replica
        .client
        .execute("SELECT ets.register_key($1, 'bob')", &[&bob.public_key()])
        .expect("the server's key is root here, too");
    replica.client.execute("SELECT ets.grant_authority($1, $2)", &[&bob.key_id(), &DOMAIN]).expect("grant");
    let previous = head(&mut replica.client, "a").0;
    assert_eq!(append(&mut replica.client, &bob, &order("a", 4), &previous).expect("append").sequence, 4);
    let sealed: i64 =
        replica.client.query_one("SELECT checkpoint_id FROM ets.seal()", &[]).expect("seal").get(0);
    assert_eq!(sealed, checkpoint + 1);
    assert_eq!(findings(&mut replica.client), Vec::<String>::new());

    // What the publisher adds makes another ledger of the same name; the comparison says from where on.
    publisher.client.execute("SELECT ets.create_domain('apart')", &[]).expect("domain");
    publisher.seal();
    let parted = "SELECT parted_at, first_leaf FROM ets.compare_roots($1) WHERE domain = 'ets.registry' AND NOT agrees";
    let row = replica.client.query_one(parted, &[&server]).expect("they part");
    let shared: i64 = replica
        .client
        .query_one(
            "SELECT tree_size FROM ets.domain_root WHERE domain = 'ets.registry' AND checkpoint_id = $1",
            &[&checkpoint],
        )
        .expect("the last common root")
        .get(0);
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (checkpoint + 1, shared));
}

#[test]
fn one_domain_can_be_followed() {
    let mut publisher = Publisher::start();
    publisher.append("a", 1);
    findings(&mut publisher.client); // which the server declares in ets.audit
    publisher.seal();
    let mut replica = Replica::subscribe(&mut publisher, Some(DOMAIN), "");
    publisher.append("a", 2);
    findings(&mut publisher.client);
    let checkpoint = publisher.seal();
    replica.until_checkpoint(checkpoint);
    let domains = "domain IN ('ets.registry', 'orders')";
    assert_eq!(contents(&mut replica.client, domains), contents(&mut publisher.client, domains));
    let others: i64 = replica
        .client
        .query_one("SELECT count(*) FROM ets.ledger_event WHERE domain = 'ets.audit'", &[])
        .expect("count")
        .get(0);
    assert_eq!(others, 0);
    assert_eq!(findings(&mut replica.client), Vec::<String>::new());
    replica.client.batch_execute("ALTER SUBSCRIPTION ledger DISABLE").expect("disabled");
    let refusal = refused(replica.client.execute("SELECT ets.promote()", &[]), "ET013");
    assert_eq!(refusal.detail["domain"], DOMAIN);
}

/// Tampers on the publisher with all guards off, and expects the replica to stop.
fn stopped_by(sql: &str, table: &str, code: &str) {
    let mut publisher = Publisher::start();
    publisher.append("a", 1);
    publisher.seal();
    let mut replica = Replica::subscribe(&mut publisher, None, ", disable_on_error = true");
    publisher.append("a", 2);
    let checkpoint = publisher.seal();
    replica.until_checkpoint(checkpoint);
    let before = contents(&mut replica.client, "true");
    tamper(&mut publisher.client, sql);

    replica.until("SELECT NOT subenabled FROM pg_subscription");
    assert_eq!(contents(&mut replica.client, "true"), before, "{sql}");
    let log = replica.cluster.log();
    assert!(log.contains("logical replication"), "{log}");
    let refused = "SELECT EXISTS (SELECT FROM ets.open_findings WHERE check_name = 'subscription')";
    replica.until(refused);
    let row = replica
        .client
        .query_one(
            "SELECT detail, actual, class FROM ets.open_findings WHERE check_name = 'subscription'",
            &[],
        )
        .expect("one finding");
    let (detail, actual, class): (String, String, String) = (row.get(0), row.get(1), row.get(2));
    assert_eq!((actual.as_str(), class.as_str()), (code, "tampering"), "{detail}");
    assert!(detail.contains(&format!("ets.{table}")), "{detail}");
    // The error in the log is the gate's, in its words.
    let message = detail.split(": ").nth(1).expect("the message");
    assert!(log.contains(message), "{message} is not in:\n{log}");
    assert_eq!(replica.status().0, "failed");
    assert_eq!(findings(&mut replica.client), Vec::<String>::new(), "nothing bad is in its tables");
}

#[test]
fn a_forged_event_stops_the_apply_worker() {
    stopped_by(
        "INSERT INTO ets.ledger_event SELECT gen_random_uuid(), jsonb_set(payload, '{amount}', '77'), schema_version, key_id,
             public_key, current_hash, sha256('forged'), signature, timestamp, domain, stream, sequence + 1, registry_version, transaction_id
           FROM ets.ledger_event WHERE domain = 'orders' AND stream = 'a' AND sequence = 2",
        "ledger_event",
        "ET010",
    );
}

#[test]
fn an_event_without_its_signature_stops_the_apply_worker() {
    // Hashed right, linked right, in order; only the signature is another event's.
    stopped_by(
        "INSERT INTO ets.ledger_event SELECT ets.uuid_v7(), '{\"schema\": \"order/1.0.0\", \"order\": \"a\", \"amount\": 77}',
             schema_version, key_id, public_key, current_hash,
             ets.event_hash('{\"schema\": \"order/1.0.0\", \"order\": \"a\", \"amount\": 77}', current_hash), signature, now(),
             domain, stream, sequence + 1, registry_version, transaction_id
           FROM ets.ledger_event WHERE domain = 'orders' AND stream = 'a' AND sequence = 2",
        "ledger_event",
        "ET003",
    );
}

#[test]
fn a_changed_event_stops_the_apply_worker() {
    stopped_by(
        "UPDATE ets.ledger_event SET payload = jsonb_set(payload, '{amount}', '77') WHERE domain = 'orders' AND stream = 'a' AND sequence = 2",
        "ledger_event",
        "ET009",
    );
}

#[test]
fn a_truncated_table_stops_the_apply_worker() {
    stopped_by("TRUNCATE ets.ledger_event", "ledger_event", "ET009");
}

#[test]
fn a_forged_checkpoint_stops_the_apply_worker() {
    stopped_by(
        "INSERT INTO ets.domain_root SELECT checkpoint_id + 1, domain, tree_size, root_hash, NULL FROM ets.domain_root WHERE checkpoint_id = (SELECT max(checkpoint_id) FROM ets.checkpoint);
         INSERT INTO ets.checkpoint SELECT checkpoint_id + 1, version, checkpoint_event_id, sha256('another root'), created_at
           FROM ets.checkpoint WHERE checkpoint_id = (SELECT max(checkpoint_id) FROM ets.checkpoint)",
        "checkpoint",
        "ET002",
    );
}

#[test]
fn an_initial_copy_brings_nothing_past_the_gate() {
    // copy_data = true copies each table by itself, before what it depends on.
    let mut publisher = Publisher::start();
    publisher.append("a", 1);
    publisher.seal();
    let tables: Vec<String> = TABLES.iter().map(|table| format!("ets.{table}")).collect();
    publisher
        .client
        .batch_execute(&format!("CREATE PUBLICATION ledger FOR TABLE {}", tables.join(", ")))
        .expect("publication");
    let cluster = Cluster::start("ledger", &["fsync=off"]);
    let database = cluster.create_database();
    let mut client = cluster.connect(&database);
    client.batch_execute("SELECT ets.init('test.example/own')").expect("a ledger of its own");
    let own: i64 = client.query_one("SELECT count(*) FROM ets.ledger_event", &[]).expect("count").get(0);
    let subscription = format!(
        "CREATE SUBSCRIPTION ledger CONNECTION '{}' PUBLICATION ledger",
        publisher.connection_string()
    );
    client.batch_execute(&subscription).expect("subscription");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !cluster.log().contains("is a ledger of its own and receives nothing") {
        assert!(Instant::now() < deadline, "{}", cluster.log());
        sleep(Duration::from_millis(50));
    }
    let now: i64 = client.query_one("SELECT count(*) FROM ets.ledger_event", &[]).expect("count").get(0);
    assert_eq!(now, own);
    client
        .batch_execute("ALTER SUBSCRIPTION ledger DISABLE; ALTER SUBSCRIPTION ledger SET (slot_name = NONE); DROP SUBSCRIPTION ledger")
        .expect("dropped");
}

#[test]
fn the_steps_of_the_documentation_work() {
    let mut publisher = Publisher::start();
    publisher.append("a", 1);
    publisher.seal();
    let replica = Cluster::start("replica", &["fsync=off"]);
    let database = replica.create_database();
    replica.connect(&database).batch_execute("DROP EXTENSION pg_ets").expect("the steps create it");
    let first: String = publisher
        .client
        .query_one("SELECT ets.event_document(event_id)::text FROM ets.ledger_event WHERE domain = 'ets.registry' AND sequence = 1", &[])
        .expect("the first event")
        .get(0);
    let file = std::env::temp_dir().join(format!("ledger-{}.ndjson", std::process::id()));
    let text = std::fs::read_to_string(checkout().join("docs/replica.md")).expect("docs/replica.md");
    let blocks: Vec<&str> =
        text.split("```sql\n").skip(1).map(|rest| rest.split("```").next().expect("a block ends")).collect();
    assert_eq!(blocks.len(), 7, "the steps have changed");
    for block in blocks {
        let script = block
            .replace("host=publisher dbname=app user=replicator", &publisher.connection_string())
            .replace("ledger.ndjson", &file.display().to_string())
            .replace(":'first_event'", &format!("'{first}'"));
        let (cluster, name) = match block.lines().next() {
            Some("-- on the publisher") => (&publisher.cluster, &publisher.database),
            Some("-- on the replica") => (&replica, &database),
            other => panic!("where is this to be run? {other:?}"),
        };
        if let Err(error) = cluster.psql(name, &script) {
            panic!("{error}\nin:\n{script}");
        }
    }
    std::fs::remove_file(&file).expect("the export was written");
    let mut client = replica.connect(&database);
    let domains = "domain IS NOT NULL";
    assert_eq!(contents(&mut client, domains), contents(&mut publisher.client, domains));
    let previous = head(&mut client, "a").0;
    assert_eq!(append(&mut client, &publisher.alice, &order("a", 2), &previous).expect("append").sequence, 2);
}
