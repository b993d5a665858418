//! The tables of a ledger's database, read by one transaction that sees one moment.
//!
//! It asks for rows and for their order, and relies on neither: what comes is
//! compared, counted and put to the proof by whoever called.

use std::cell::RefCell;

use ets_core::anchor::{AnchorRecord, AnchorState};
use ets_core::canonical::{Limits, parse_json, to_jcs};
use ets_core::hash::to_hex;
use ets_core::name::REGISTRY;
use ets_core::time::Timestamp;
use ets_core::verify::{CheckpointRow, Columns, RootRow, SealedRoot};
use postgres::Client;

use super::copy::{Row, Rows};
use super::source::{EachCheckpoint, EachRow, SealPosition, Source, Tables};
use crate::database;

/// The thirteen members of an event in the order of `ets.event`; the payload, or NULL.
macro_rules! members {
    ($payload:literal) => {
        concat!(
            "event.event_id, event.domain, event.stream, event.sequence, ",
            $payload,
            ", event.schema_version, event.key_id, event.public_key, event.previous_hash,
             event.current_hash, event.signature, event.timestamp, event.registry_version"
        )
    };
}

/// An open connection with its snapshot.
pub struct Server {
    client: RefCell<Client>,
}

impl Server {
    /// Connects, and begins the one transaction. Row-level security, which would hide
    /// rows, makes it fail instead.
    ///
    /// # Errors
    /// A message for the user.
    pub fn connect(dsn: &str) -> Result<Self, String> {
        let mut client = database::connect(dsn)?;
        let begin = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;
             SET LOCAL row_security = off; SET LOCAL search_path = pg_catalog; SET LOCAL statement_timeout = 0;
             SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL standard_conforming_strings = on";
        client.batch_execute(begin).map_err(|error| database::message(&error))?;
        Ok(Server { client: RefCell::new(client) })
    }

    fn events(&self, condition: &str, each: EachRow) -> Result<(), String> {
        const MEMBERS: &str = members!("event.payload");
        self.copy(
            &format!(
                "SELECT {MEMBERS}, leaf.leaf_index, event.transaction_id
                   FROM ets.ledger_event AS event
                   LEFT JOIN ets.merkle_leaf AS leaf ON leaf.event_id = event.event_id AND leaf.domain = event.domain
                  WHERE {condition}
                  ORDER BY event.domain, event.stream, event.sequence, event.event_id"
            ),
            each,
        )
    }

    fn texts(&self, sql: &str) -> Result<Vec<String>, String> {
        let mut client = self.client.borrow_mut();
        let rows = client.query(sql, &[]).map_err(|error| database::message(&error))?;
        rows.iter()
            .filter_map(|row| {
                row.try_get::<_, Option<String>>(0).map_err(|error| database::message(&error)).transpose()
            })
            .collect()
    }

    fn copy(&self, sql: &str, each: EachRow) -> Result<(), String> {
        let mut client = self.client.borrow_mut();
        let reader = client
            .copy_out(&format!("COPY ({sql}) TO STDOUT (FORMAT binary)"))
            .map_err(|error| database::message(&error))?;
        let mut rows = Rows::new(reader)?;
        while let Some(row) = rows.next_row()? {
            each(row)?;
        }
        Ok(())
    }
}

impl Source for Server {
    fn registry(&self, each: EachRow) -> Result<(), String> {
        self.events("event.domain = 'ets.registry' AND event.stream = 'main'", each)
    }

    fn others(&self, each: EachRow) -> Result<(), String> {
        self.events("NOT (event.domain = 'ets.registry' AND event.stream = 'main')", each)
    }

    fn leaves(&self, domain: &str, (from, to): (i64, i64), each: EachRow) -> Result<(), String> {
        const MEMBERS: &str = members!("NULL::pg_catalog.jsonb");
        let members = MEMBERS.replacen("event.event_id", "leaf.event_id", 1);
        let domain = quoted(domain);
        self.copy(
            &format!(
                "SELECT {members}, leaf.leaf_index, CASE WHEN event.event_id IS NOT NULL THEN 1::pg_catalog.int8 END
                   FROM (SELECT * FROM ets.merkle_leaf AS each
                          WHERE each.domain = {domain} AND each.leaf_index >= {from} AND each.leaf_index < {to}) AS leaf
                   LEFT JOIN ets.ledger_event AS event ON event.event_id = leaf.event_id AND event.domain = leaf.domain
                  ORDER BY leaf.leaf_index"
            ),
            each,
        )
    }

    fn ids(&self, each: EachRow) -> Result<(), String> {
        let sql = "SELECT event.event_id, event.domain FROM ets.ledger_event AS event ORDER BY event.event_id, event.domain";
        self.copy(sql, each)
    }

    fn checkpoints(&self, each: EachCheckpoint) -> Result<(), String> {
        let sql = "SELECT checkpoint.checkpoint_id, checkpoint.version, checkpoint.checkpoint_event_id, checkpoint.meta_root,
                          root.checkpoint_id, root.domain, root.tree_size, root.root_hash, root.note, leaf.event_id,
                          checkpoint.created_at
                     FROM ets.checkpoint AS checkpoint
                     FULL JOIN ets.domain_root AS root ON root.checkpoint_id = checkpoint.checkpoint_id
                     LEFT JOIN ets.merkle_leaf AS leaf ON leaf.domain = root.domain AND leaf.leaf_index = root.tree_size - 1
                    ORDER BY coalesce(checkpoint.checkpoint_id, root.checkpoint_id), root.domain";
        self.copy(sql, &mut |row| {
            let checkpoint = row.int(0).map(|_| CheckpointRow {
                version: row.text(1).unwrap_or_default().to_owned(),
                checkpoint_event_id: row.uuid(2),
                meta_root: row.bytes(3).unwrap_or_default().to_vec(),
            });
            let root = row.text(5).map(|domain| RootRow {
                domain: domain.to_owned(),
                tree_size: row.int(6),
                root_hash: row.bytes(7).map(<[u8]>::to_vec),
                note: row.text(8).map(str::to_owned),
                last_event_id: row.uuid(9),
            });
            let created_at = row.unix_micros(10).and_then(Timestamp::from_unix_micros);
            each(row.int(0).or(row.int(4)).unwrap_or(0), checkpoint, root, created_at)
        })
    }

    fn sealed_roots(&self, domain: &str) -> Result<Vec<SealedRoot>, String> {
        let (domain, registry) = (quoted(domain), quoted(REGISTRY));
        let mut sealed = Vec::new();
        self.copy(
            &format!(
                "SELECT each.tree_size, each.root_hash, each.checkpoint_id, before.tree_size
                   FROM (SELECT root.tree_size, root.root_hash, pg_catalog.min(root.checkpoint_id) AS checkpoint_id
                           FROM ets.domain_root AS root WHERE root.domain = {domain}
                          GROUP BY root.tree_size, root.root_hash) AS each
                   LEFT JOIN ets.domain_root AS before
                     ON before.checkpoint_id = each.checkpoint_id - 1 AND before.domain = {registry}
                  ORDER BY each.tree_size, each.checkpoint_id"
            ),
            &mut |row| {
                let count = |column| row.int(column).and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
                sealed.push(SealedRoot {
                    tree_size: count(0),
                    root: row.bytes(1).unwrap_or_default().to_vec(),
                    checkpoint_id: row.int(2).unwrap_or(0),
                    registry_before: count(3),
                });
                Ok(())
            },
        )?;
        sealed.sort_by_key(|sealed| (sealed.tree_size, sealed.checkpoint_id));
        Ok(sealed)
    }

    fn domains(&self) -> Result<Vec<String>, String> {
        let sql = "SELECT root.domain FROM ets.domain_root AS root UNION
                   SELECT leaf.domain FROM ets.merkle_leaf AS leaf UNION
                   SELECT tile.domain FROM ets.merkle_tile AS tile";
        self.texts(sql)
    }

    fn tiles(&self, domain: &str, each: EachRow) -> Result<(), String> {
        let domain = quoted(domain);
        self.copy(
            &format!(
                "SELECT tile.level::pg_catalog.int8, tile.tile_index FROM ets.merkle_tile AS tile WHERE tile.domain = {domain}
                  ORDER BY tile.level, tile.tile_index"
            ),
            each,
        )
    }

    fn tile(&self, domain: &str, level: u8, index: u64) -> Result<Option<Vec<u8>>, String> {
        // No tree has so many.
        let Ok(index) = i64::try_from(index) else { return Ok(None) };
        let sql = "SELECT tile.hashes FROM ets.merkle_tile AS tile
                    WHERE tile.domain = $1 AND tile.level = $2 AND tile.tile_index = $3";
        let mut client = self.client.borrow_mut();
        let row = client
            .query_opt(sql, &[&domain, &i32::from(level), &index])
            .map_err(|error| database::message(&error))?;
        row.map(|row| row.try_get(0).map_err(|error| database::message(&error))).transpose()
    }

    fn seal_position(&self) -> Result<Option<SealPosition>, String> {
        let sql = "SELECT position.snapshot::pg_catalog.text
                     FROM ets.seal_position AS position
                     JOIN pg_catalog.pg_control_system() AS system ON system.system_identifier = position.system_identifier
                     JOIN pg_catalog.pg_database AS database
                       ON database.oid = position.database_oid AND database.datname = pg_catalog.current_database()
                     JOIN pg_catalog.pg_class AS class
                       ON class.oid = position.relation_oid AND class.oid = 'ets.ledger_event'::pg_catalog.regclass
                    WHERE NOT position.has_foreign_ids";
        let Some(text) = self.texts(sql)?.pop() else { return Ok(None) };
        let parse = || -> Option<SealPosition> {
            let mut parts = text.split(':');
            let (xmin, xmax) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            let running = parts.next()?.split(',').filter(|id| !id.is_empty());
            let running = running.map(|id| id.parse().ok()).collect::<Option<_>>()?;
            Some(SealPosition::new(xmin, xmax, running))
        };
        Ok(parse())
    }

    fn estimate(&self) -> u64 {
        let sql = "SELECT greatest(class.reltuples, 0)::pg_catalog.int8::pg_catalog.text FROM pg_catalog.pg_class AS class
                    WHERE class.oid = 'ets.ledger_event'::pg_catalog.regclass";
        let sealed = "SELECT pg_catalog.sum(root.tree_size)::pg_catalog.text FROM ets.domain_root AS root
                       WHERE root.checkpoint_id = (SELECT pg_catalog.max(last.checkpoint_id) FROM ets.checkpoint AS last)";
        let number = |sql: &str| {
            self.texts(sql).ok().and_then(|mut texts| texts.pop()).and_then(|text| text.parse::<u64>().ok())
        };
        number(sql).unwrap_or(0).max(number(sealed).unwrap_or(0))
    }

    fn tables(&self) -> Option<&dyn Tables> {
        Some(self)
    }

    fn lacks(&self) -> Vec<String> {
        Vec::new()
    }
}

impl Tables for Server {
    fn heads(&self, each: EachRow) -> Result<(), String> {
        let sql = "SELECT head.domain, head.stream, head.sequence, head.head_hash, head.last_event_id,
                          head.last_timestamp, head.registry_version, head.state
                     FROM ets.stream_head AS head ORDER BY head.domain, head.stream";
        self.copy(sql, each)
    }

    fn projection(&self, table: &str, columns: &[&str]) -> Result<Vec<Columns>, String> {
        let list: Vec<String> = columns.iter().map(|column| format!("kept.{column}")).collect();
        let sql = format!("SELECT {} FROM ets.{table} AS kept", list.join(", "));
        let mut client = self.client.borrow_mut();
        let rows = client.query(&sql, &[]).map_err(|error| database::message(&error))?;
        rows.iter().map(|row| (0..columns.len()).map(|column| column_text(row, column)).collect()).collect()
    }

    fn anchors(&self) -> Result<Vec<AnchorRecord>, String> {
        if !self.has_table("anchor")? {
            return Ok(Vec::new());
        }
        let mut anchors = Vec::new();
        let sql =
            "SELECT anchor.anchor_id, anchor.checkpoint_id, anchor.service, anchor.state, anchor.statement,
                          anchor.evidence, anchor.reference, anchor.declaration_id
                     FROM ets.anchor AS anchor ORDER BY anchor.anchor_id";
        self.copy(sql, &mut |row| {
            let text = |column| row.text(column).map(str::to_owned);
            anchors.push(AnchorRecord {
                anchor_id: row.int(0).unwrap_or_default(),
                checkpoint_id: row.int(1).unwrap_or_default(),
                service: text(2).unwrap_or_default(),
                state: row.text(3).and_then(AnchorState::of),
                statement: text(4).unwrap_or_default(),
                evidence: row.bytes(5).map(<[u8]>::to_vec),
                reference: text(6),
                declaration_id: row.uuid(7),
            });
            Ok(())
        })?;
        Ok(anchors)
    }

    fn receivers(&self) -> Result<Vec<Option<Timestamp>>, String> {
        if !self.has_table("receiver")? {
            return Ok(Vec::new());
        }
        let mut promoted = Vec::new();
        self.copy("SELECT receiver.promoted_at FROM ets.receiver AS receiver", &mut |row| {
            promoted.push(row.unix_micros(0).and_then(Timestamp::from_unix_micros));
            Ok(())
        })?;
        Ok(promoted)
    }
}

impl Server {
    /// Whether the ledger's layout has this table.
    fn has_table(&self, name: &str) -> Result<bool, String> {
        let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_class AS class JOIN pg_catalog.pg_namespace AS namespace
                     ON namespace.oid = class.relnamespace WHERE namespace.nspname = 'ets' AND class.relname = $1)";
        let row = self.client.borrow_mut().query_one(sql, &[&name]);
        row.map(|row| row.get(0)).map_err(|error| database::message(&error))
    }
}

/// A column as [`Columns`] has it.
fn column_text(row: &postgres::Row, column: usize) -> Result<Option<String>, String> {
    use postgres::types::Type;
    let kind = row.columns().get(column).map(|column| column.type_().clone());
    let failed = |error: postgres::Error| database::message(&error);
    Ok(match kind {
        Some(Type::INT8) => row.try_get::<_, Option<i64>>(column).map_err(failed)?.map(|n| n.to_string()),
        Some(Type::BOOL) => row.try_get::<_, Option<bool>>(column).map_err(failed)?.map(|b| b.to_string()),
        Some(Type::BYTEA) => row.try_get::<_, Option<&[u8]>>(column).map_err(failed)?.map(to_hex),
        Some(Type::UUID) => {
            row.try_get::<_, Option<uuid::Uuid>>(column).map_err(failed)?.map(|id| id.to_string())
        }
        Some(Type::TIMESTAMPTZ) => row
            .try_get::<_, Option<Moment>>(column)
            .map_err(failed)?
            .map(|moment| moment.0.map_or_else(|| "no moment".to_owned(), |moment| moment.to_string())),
        Some(Type::JSONB) => row
            .try_get::<_, Option<JsonText>>(column)
            .map_err(failed)?
            .map(|json| parse_json(&json.0, &Limits::CEILING).map_or(json.0.clone(), |value| to_jcs(&value))),
        _ => row.try_get(column).map_err(failed)?,
    })
}

/// A `timestamptz`; none if it is no moment that a ledger knows.
struct Moment(Option<Timestamp>);

impl<'a> postgres::types::FromSql<'a> for Moment {
    fn from_sql(
        _: &postgres::types::Type,
        raw: &'a [u8],
    ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        let row = Row::of_columns(&[Some(raw)]);
        Ok(Moment(row.unix_micros(0).and_then(Timestamp::from_unix_micros)))
    }

    postgres::types::accepts!(TIMESTAMPTZ);
}

/// A `jsonb` as its text.
struct JsonText(String);

impl<'a> postgres::types::FromSql<'a> for JsonText {
    fn from_sql(
        _: &postgres::types::Type,
        raw: &'a [u8],
    ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        let row = Row::of_columns(&[Some(raw)]);
        Ok(JsonText(row.jsonb(0).ok_or("a jsonb of another format")?.to_owned()))
    }

    postgres::types::accepts!(JSONB);
}

/// `text` as a literal, under `standard_conforming_strings`.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
