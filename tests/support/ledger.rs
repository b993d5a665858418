//! A small ledger of orders, ready to append to.

use postgres::types::ToSql;
use postgres::{Client, GenericClient, Row};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cluster::{Cluster, Database};
use crate::signer::Signer;

/// The domain of the small ledger.
pub const DOMAIN: &str = "orders";
/// Its schema; `/order` names the stream and `/schema` this version.
pub const SCHEMA: &str = "order/1.0.0";

/// A payload that the schema admits, for the stream `order`.
pub fn order(order: &str, amount: i64) -> Value {
    json!({"schema": SCHEMA, "order": order, "amount": amount})
}

/// A database with a ledger, a domain, a schema, and a key with a grant.
pub struct Ledger {
    /// Where it is.
    pub database: Database,
    /// A superuser's connection to it.
    pub client: Client,
    /// Its id.
    pub id: Uuid,
    /// The holder of the key that may append orders.
    pub alice: Signer,
}

impl Ledger {
    /// On the shared server.
    pub fn new() -> Self {
        let database = Cluster::shared().database();
        let mut client = database.connect();
        let (id, alice) = Ledger::set_up(&mut client);
        Ledger { database, client, id, alice }
    }

    /// Makes the small ledger in the database of `client`.
    pub fn set_up(client: &mut Client) -> (Uuid, Signer) {
        let id = client.query_one("SELECT ets.init('test.example/ets')", &[]).expect("ets.init").get(0);
        let alice = Signer::new(1);
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "schema": {"const": SCHEMA},
                "order": {"type": "string"},
                "amount": {"type": "integer", "minimum": 0},
                "note": {}
            },
            "required": ["schema", "order", "amount"],
            "additionalProperties": false
        });
        client
            .execute("SELECT ets.create_domain($1, 'Orders and what became of them')", &[&DOMAIN])
            .expect("domain");
        client
            .execute(
                "SELECT ets.register_schema($1, $2, $3, '/order', '/schema')",
                &[&SCHEMA, &DOMAIN, &schema],
            )
            .expect("schema");
        register(client, &alice, "alice");
        (id, alice)
    }

    /// Appends `payload` to its stream, signed by alice.
    pub fn append(&mut self, payload: &Value) -> Appended {
        let stream = payload["order"].as_str().expect("an order names its stream");
        let previous = head(&mut self.client, stream).0;
        append(&mut self.client, &self.alice, payload, &previous).expect("the append is valid")
    }

    /// Appends as alice what is signed for `previous`.
    ///
    /// # Errors
    /// What the gate said.
    pub fn try_append(&mut self, payload: &Value, previous: &[u8]) -> Result<Appended, postgres::Error> {
        append(&mut self.client, &self.alice, payload, previous)
    }

    /// Hash and sequence of the head of `stream`.
    pub fn head(&mut self, stream: &str) -> (Vec<u8>, i64) {
        head(&mut self.client, stream)
    }

    /// Seals, and gives the checkpoint's number.
    pub fn seal(&mut self) -> i64 {
        self.client.query_one("SELECT checkpoint_id FROM ets.seal()", &[]).expect("ets.seal").get(0)
    }

    /// What a full verification finds, a line a finding.
    pub fn findings(&mut self) -> Vec<String> {
        findings(&mut self.client)
    }

    /// Everything that a refused statement must leave alone, as one text.
    pub fn contents(&mut self) -> String {
        let sql = "SELECT jsonb_build_object(
            'events', (SELECT jsonb_agg(to_jsonb(e) ORDER BY event_id) FROM ets.ledger_event e),
            'heads', (SELECT jsonb_agg(to_jsonb(h) ORDER BY domain, stream) FROM ets.stream_head h),
            'keys', (SELECT jsonb_agg(to_jsonb(k) ORDER BY to_jsonb(k)::text) FROM ets.signing_key k),
            'grants', (SELECT jsonb_agg(to_jsonb(g) ORDER BY to_jsonb(g)::text) FROM ets.authority_grant g),
            'checkpoints', (SELECT jsonb_agg(to_jsonb(c) ORDER BY checkpoint_id) FROM ets.checkpoint c)
        )::text";
        self.one(sql, &[])
    }

    /// The one value of a query.
    pub fn one<T: for<'a> postgres::types::FromSql<'a>>(
        &mut self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> T {
        self.client.query_one(sql, values).unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0)
    }

    /// Registers a key of `owner` with a grant over the orders.
    pub fn register(&mut self, signer: &Signer, owner: &str) {
        register(&mut self.client, signer, owner);
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Ledger::new()
    }
}

/// What an append returned, as far as tests look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The id that it has.
    pub event_id: Uuid,
    /// The stream it went to.
    pub stream: String,
    /// Its place there.
    pub sequence: i64,
    /// The hash before.
    pub previous_hash: Vec<u8>,
    /// Its hash.
    pub current_hash: Vec<u8>,
    /// The registry's sequence that it was judged against.
    pub registry_version: i64,
}

impl Appended {
    /// The columns that [`Appended::from_row`] wants.
    pub const COLUMNS: &str = "event_id, stream, sequence, previous_hash, current_hash, registry_version";

    /// From a row with [`Appended::COLUMNS`].
    pub fn from_row(row: &Row) -> Self {
        Appended {
            event_id: row.get(0),
            stream: row.get(1),
            sequence: row.get(2),
            previous_hash: row.get(3),
            current_hash: row.get(4),
            registry_version: row.get(5),
        }
    }
}

/// Appends `payload`, signed by `signer` for `previous`.
///
/// # Errors
/// What the gate said.
pub fn append(
    client: &mut impl GenericClient,
    signer: &Signer,
    payload: &Value,
    previous: &[u8],
) -> Result<Appended, postgres::Error> {
    let sql = format!("SELECT {} FROM ets.append($1, $2, $3, $4, $5)", Appended::COLUMNS);
    let signature = signer.sign(payload, previous);
    client
        .query_one(sql.as_str(), &[payload, &SCHEMA, &signer.public_key(), &previous, &signature])
        .map(|row| Appended::from_row(&row))
}

/// Hash and sequence of the head of `stream`.
pub fn head(client: &mut impl GenericClient, stream: &str) -> (Vec<u8>, i64) {
    let row = client.query_one("SELECT head_hash, sequence FROM ets.head($1, $2)", &[&DOMAIN, &stream]);
    let row = row.expect("every stream has a head");
    (row.get(0), row.get(1))
}

/// What a full verification finds, a line a finding.
pub fn findings(client: &mut impl GenericClient) -> Vec<String> {
    let rows = client.query("SELECT to_jsonb(f)::text FROM ets.verify_ledger() f", &[]);
    rows.expect("ets.verify_ledger").iter().map(|row| row.get(0)).collect()
}

/// Does `sql` with every guard switched off, as a superuser can, and arms again.
pub fn tamper(client: &mut Client, sql: &str) {
    let disarm = "DO $$ DECLARE t name; BEGIN
        FOR t IN SELECT evtname FROM pg_event_trigger LOOP EXECUTE format('ALTER EVENT TRIGGER %I DISABLE', t); END LOOP;
        FOR t IN SELECT relname FROM pg_class WHERE relnamespace = 'ets'::regnamespace AND relkind = 'r' LOOP
            EXECUTE format('ALTER TABLE ets.%I DISABLE TRIGGER ALL', t);
        END LOOP;
    END $$";
    client.batch_execute(disarm).expect("a superuser can");
    client.batch_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    client.batch_execute("SELECT ets.arm()").expect("armed again");
}

fn register(client: &mut Client, signer: &Signer, owner: &str) {
    client.execute("SELECT ets.register_key($1, $2)", &[&signer.public_key(), &owner]).expect("key");
    client.execute("SELECT ets.grant_authority($1, $2)", &[&signer.key_id(), &DOMAIN]).expect("grant");
}
