//! Streams of any schema, signed from what the server was last seen to have.

use std::collections::HashMap;

use ets_core::canonical::{Limits, Payload};
use ets_core::hash::event_hash;
use postgres::Client;
use uuid::Uuid;

use crate::cluster::{Cluster, Database};
use crate::ledger::findings;
use crate::signer::{Signer, digest};

/// A ledger, and a writer who remembers the head of each domain's `main`.
///
/// Schemas and payloads are JSON text, so that no number is read as something
/// else on its way to the server.
pub struct Chain {
    /// Where it is.
    pub database: Database,
    /// A superuser's connection to it.
    pub client: Client,
    signer: Signer,
    heads: HashMap<String, Vec<u8>>,
}

impl Chain {
    /// A ledger without domains, on the shared server.
    pub fn new() -> Self {
        let database = Cluster::shared().database();
        let mut client = database.connect();
        let signer = Signer::new(3);
        client.batch_execute("SELECT ets.init('test.example/chain')").expect("ets.init");
        client.execute("SELECT ets.register_key($1, 'writer')", &[&signer.public_key()]).expect("key");
        Chain { database, client, signer, heads: HashMap::new() }
    }

    /// Creates a domain that the writer may append to.
    pub fn create_domain(&mut self, domain: &str) {
        self.client.execute("SELECT ets.create_domain($1)", &[&domain]).expect("domain");
        let grant = "SELECT ets.grant_authority($1, $2)";
        self.client.execute(grant, &[&self.signer.key_id(), &domain]).expect("grant");
        let genesis = self.client.query_one("SELECT ets.genesis_hash($1)", &[&domain]).expect("genesis");
        self.heads.insert(domain.to_owned(), genesis.get(0));
    }

    /// Registers a schema version; its events replace each other as state.
    ///
    /// # Errors
    /// What the server said.
    pub fn register(&mut self, name: &str, domain: &str, schema: &str) -> Result<(), postgres::Error> {
        let sql = "SELECT ets.register_schema($1, $2, $3::text::jsonb, reducer => 'replace')";
        self.client.execute(sql, &[&name, &domain, &schema]).map(drop)
    }

    /// Signs a payload onto the head of `domain` and appends it.
    ///
    /// # Errors
    /// What the gate said.
    pub fn append(&mut self, name: &str, domain: &str, payload: &str) -> Result<Uuid, postgres::Error> {
        let head = self.heads.get_mut(domain).expect("a domain of this chain");
        // What has no canonical form cannot be signed; the gate must refuse it before it looks.
        let signature = Payload::parse(payload, &Limits::CEILING).map_or(vec![0; 64], |payload| {
            self.signer.sign_hash(&event_hash(payload.canonical().as_bytes(), &digest(head)))
        });
        let sql = "SELECT event_id, current_hash FROM ets.append($1::text::jsonb, $2, $3, $4, $5)";
        let key = self.signer.public_key();
        let row = self.client.query_one(sql, &[&payload, &name, &key, head, &signature])?;
        *head = row.get(1);
        Ok(row.get(0))
    }

    /// How many violations `ets.validate` sees.
    ///
    /// # Errors
    /// What the server said.
    pub fn violations(&mut self, schema: &str, payload: &str) -> Result<i64, postgres::Error> {
        let sql = "SELECT count(*) FROM ets.validate($1::text::jsonb, $2::text::jsonb)";
        self.client.query_one(sql, &[&schema, &payload]).map(|row| row.get(0))
    }

    /// What a full verification finds, a line a finding.
    pub fn findings(&mut self) -> Vec<String> {
        findings(&mut self.client)
    }
}

impl Default for Chain {
    fn default() -> Self {
        Chain::new()
    }
}
