//! Making the ledger, and arming it again.

use ets_core::canonical::{Limits, Payload};
use ets_core::key::PublicKey;
use ets_core::name::{Origin, SchemaVersion};
use pgrx::pg_sys;
use serde_json::json;
use uuid::Uuid;

use crate::api::append::sign_and_append;
use crate::api::canonical::new_secret_key;
use crate::db::{self, View};
use crate::error::{self, Error, Result, sqlstate};
use crate::function::{Call, exact_bytes};
use crate::value::Value;
use crate::verification::guarded_tables;
use crate::{keys, ledger};

crate::sql_functions! {
    ets_init pg_finfo_ets_init => init;
    ets_arm pg_finfo_ets_arm => arm;
    ets_trust_root pg_finfo_ets_trust_root => trust_root;
}

/// The scripts that make the tables, in order: `ets.init` runs all, `ets.arm`
/// those that a ledger of an earlier layout lacks. A released one is never edited.
pub const LAYOUTS: [&str; 4] = [
    include_str!("../../sql/tables.sql"),
    include_str!("../../sql/tables_2.sql"),
    include_str!("../../sql/tables_3.sql"),
    include_str!("../../sql/tables_4.sql"),
];

fn init(call: &Call) -> Result<Value> {
    require_superuser("ets.init")?;
    let origin: Origin = call.required_text(0, "origin")?.parse()?;
    let authority = call
        .bytes(1)
        .map(|bytes| exact_bytes(&bytes, "authority_public_key", sqlstate::SIGNATURE))
        .transpose()?
        .map(|bytes| PublicKey::from_bytes(&bytes))
        .transpose()?;
    let server_key = new_secret_key()?;
    let server = server_key.public_key();
    let ledger_id = Uuid::now_v7();
    let root = authority.clone().unwrap_or_else(|| server.clone());
    NewLedger { ledger_id, origin, root, server }.make()?;
    keys::create(&ledger_id, &server_key, true)?;
    if authority.is_none() {
        let payload = Payload::from_value(ledger::announced()?.payload(), &Limits::CEILING)?;
        let kind: SchemaVersion = "ets.ledger/1.0.0".parse()?;
        sign_and_append(payload, kind, &server_key)?;
        error::warn(
            "the root key lies on this server: its administrator can grant himself anything",
            "register a second root key that is kept elsewhere, or init with authority_public_key",
        );
    }
    Ok(Value::Uuid(*ledger_id.as_bytes()))
}

/// A ledger that is about to be made in this database.
pub struct NewLedger {
    /// Its id.
    pub ledger_id: Uuid,
    /// Its name.
    pub origin: Origin,
    /// The key that signs, or signed, the first event.
    pub root: PublicKey,
    /// The server's first key.
    pub server: PublicKey,
}

impl NewLedger {
    /// Makes tables, triggers and views, and the ledger's row.
    ///
    /// # Errors
    /// ET013 where there is a ledger, or the database's encoding is not UTF8.
    pub fn make(&self) -> Result<()> {
        // SAFETY: reads statics.
        if unsafe { pg_sys::GetDatabaseEncoding() } != pg_sys::pg_enc::PG_UTF8 as i32 {
            return Err(Error::new(sqlstate::STATE, "the database's encoding is not UTF8")
                .detail(json!({"state": "encoding is not UTF8"}))
                .hint("CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"));
        }
        if ledger::exists() {
            return Err(Error::new(sqlstate::STATE, "the ledger is initialised already")
                .detail(json!({"state": "initialised"}))
                .hint("a database has one ledger; SELECT ets.arm() makes its triggers again"));
        }
        ledger::forget();
        for tables in LAYOUTS {
            db::script(tables)?;
        }
        db::write(
            "INSERT INTO ets.ledger (ledger_id, origin, root_key_id, root_public_key, server_key_id,
                server_public_key, layout_version, system_identifier, timeline, database_oid)
         SELECT $1, $2, $3, $4, $5, $6, $7, system.system_identifier, checkpoint.timeline_id, database.oid
           FROM pg_catalog.pg_control_system() AS system, pg_catalog.pg_control_checkpoint() AS checkpoint,
                pg_catalog.pg_database AS database
          WHERE database.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()",
            &[
                Value::Uuid(*self.ledger_id.as_bytes()),
                self.origin.as_str().into(),
                self.root.key_id().into(),
                (*self.root.as_bytes()).into(),
                self.server.key_id().into(),
                (*self.server.as_bytes()).into(),
                (LAYOUTS.len() as u64).into(),
            ],
        )?;
        db::script(&arming_script())?;
        Ok(())
    }
}

fn arm(_: &Call) -> Result<Value> {
    require_superuser("ets.arm")?;
    ledger::announced()?;
    let added = add_tables()?;
    db::script(&arming_script())?;
    let done = "triggers, event triggers, views and the default of event_id are in place";
    Ok(match added {
        0 => done.into(),
        _ => format!("tables of layout {} made; {done}", LAYOUTS.len()).into(),
    })
}

/// Makes the tables that a ledger of an earlier layout lacks; how many scripts ran.
fn add_tables() -> Result<usize> {
    let layout = db::first(
        View::Latest,
        "SELECT ledger.layout_version::pg_catalog.int8 FROM ets.ledger AS ledger",
        &[],
        |row| Ok(row.int(1)),
    )?;
    let present = layout.flatten().and_then(|version| usize::try_from(version).ok()).unwrap_or(0);
    let missing = LAYOUTS.get(present..).ok_or_else(|| {
        Error::new(
            sqlstate::STATE,
            format!("the ledger's tables are of layout {present}, which is newer than this pg_ets"),
        )
        .detail(json!({"layout_version": present, "newest_known": LAYOUTS.len()}))
        .hint("install the pg_ets that made them, or a newer one")
    })?;
    for tables in missing {
        db::script(tables)?;
    }
    if !missing.is_empty() {
        let layout = LAYOUTS.len() as u64;
        db::write("UPDATE ets.ledger SET layout_version = $1", &[layout.into()])?;
    }
    Ok(missing.len())
}

/// `sql/arm.sql` with the tables that have the trigger `ets_guard`.
pub fn arming_script() -> String {
    let names: Vec<String> = guarded_tables().map(|name| format!("'{name}'")).collect();
    include_str!("../../sql/arm.sql").replace(":guarded_tables", &names.join(", "))
}

fn trust_root(_: &Call) -> Result<Value> {
    let announced = ledger::announced()?;
    Ok(Value::Jsonb(
        json!({
            "ledger_id": announced.ledger_id.hyphenated().to_string(),
            "origin": announced.origin.as_str(),
            "root_public_key": announced.root_public_key.to_string(),
            "server_public_key": announced.server_public_key.to_string(),
        })
        .to_string(),
    ))
}

/// These functions run with their definer's rights: the role that counts is the
/// one that the session acts as.
pub fn require_superuser(function: &str) -> Result<()> {
    // SAFETY: looks a role up.
    if unsafe { pg_sys::superuser_arg(pg_sys::GetOuterUserId()) } {
        return Ok(());
    }
    Err(Error::new(sqlstate::PRIVILEGE, format!("{function} is for superusers"))
        .detail(json!({"function": function}))
        .hint("ask the database's administrator"))
}
