//! A database that receives a ledger: by `ets.import` and by logical replication.
//!
//! `ets.join` makes it. What arrives passes the gate in its import mode
//! (`gate/import.rs`) and takes no append or seal of its own; with each checkpoint
//! that arrives, the trees are grown from the rows and compared with its roots
//! ([`checkpoint`]). `ets.promote` ends it. Which mode a row is judged in follows
//! from the code that brings it, never from a setting.

pub mod checkpoint;
pub mod import;
pub mod refusal;

use std::cell::Cell;

use ets_core::hash::Digest;
use ets_core::name::{DomainName, REGISTRY};
use pgrx::pg_sys;
use serde_json::json;

use crate::db::{self, View};
use crate::error::{Error, Result, sqlstate};
use crate::ledger;
use crate::value::Value;

pub use import::forget_import;

/// What `ets.join` wrote down, and `ets.promote`.
#[derive(Debug, Clone)]
pub struct Receiver {
    /// `current_hash` of the ledger's first event.
    pub first_hash: Digest,
    /// The one domain that is held beside `ets.registry`; none: all.
    pub domain: Option<DomainName>,
    /// Whether it takes appends of its own.
    pub is_promoted: bool,
    /// Whether the promotion is declared in `ets.audit`.
    pub is_declared: bool,
}

thread_local! {
    /// Whether this ledger is known to take its own appends. It does not end:
    /// only `ets.join` makes a receiver, and a new ledger with it.
    static OWN: Cell<bool> = const { Cell::new(false) };
}

/// The row of `ets.receiver`; none where the ledger was made here, or by an
/// earlier layout.
pub fn find() -> Result<Option<Receiver>> {
    if ledger::table(c"receiver").is_none() {
        return Ok(None);
    }
    db::first(
        View::Latest,
        "SELECT receiver.first_hash, receiver.domain, receiver.promoted_at IS NOT NULL,
                receiver.promotion_id IS NOT NULL FROM ets.receiver AS receiver",
        &[],
        |row| {
            let impossible =
                || Error::new(sqlstate::CORRUPTED, "ets.receiver holds an impossible first_hash");
            Ok(Receiver {
                first_hash: row
                    .bytes(1)
                    .and_then(|bytes| Digest::try_from(&bytes[..]).ok())
                    .ok_or_else(impossible)?,
                domain: row.text(2).map(|name| name.parse()).transpose()?,
                is_promoted: row.bool(3) == Some(true),
                is_declared: row.bool(4) == Some(true),
            })
        },
    )
}

/// The row of `ets.receiver` while this database receives.
pub fn receiving() -> Result<Option<Receiver>> {
    if OWN.get() {
        return Ok(None);
    }
    let found = find()?.filter(|receiver| !receiver.is_promoted);
    if found.is_none() && ledger::is_known() {
        OWN.set(true);
    }
    Ok(found)
}

/// Refuses (ET013) what a database does not do while it receives.
pub fn refuse_own(what: &str) -> Result<()> {
    match receiving()? {
        None => Ok(()),
        Some(_) => Err(Error::new(
            sqlstate::STATE,
            format!("this database receives another's events: no {what} of its own before ets.promote"),
        )
        .detail(json!({"state": "receives", "refused": what}))
        .hint("go to the database that publishes; SELECT ets.promote() makes this one take its place")),
    }
}

/// Refuses what arrives where nothing is received (ET013), or in a domain that is
/// not held (ET010).
pub fn require(domain: &DomainName) -> Result<Receiver> {
    let Some(receiver) = receiving()? else { return Err(receives_nothing()?) };
    if holds(receiver.domain.as_ref(), domain.as_str()) {
        return Ok(receiver);
    }
    Err(Error::new(sqlstate::FIELD, format!("this database does not hold domain {domain}"))
        .detail(json!({"domain": domain.as_str(), "held": receiver.domain.map(|held| held.to_string())}))
        .hint("give the publication a row filter: domain IN ('ets.registry', the one domain)"))
}

/// ET013 where nothing is received.
pub fn receives_nothing() -> Result<Error> {
    let (state, hint) = match find()? {
        Some(_) => ("was promoted and receives nothing more", "ALTER SUBSCRIPTION … DISABLE, then drop it"),
        None => ("is a ledger of its own and receives nothing", "ets.join makes a database that receives"),
    };
    Ok(Error::new(sqlstate::STATE, format!("this database {state}"))
        .detail(json!({"state": "takes its own appends"}))
        .hint(hint))
}

/// Whether a domain is held by a database that holds `held` only, or everything.
pub fn holds(held: Option<&DomainName>, domain: &str) -> bool {
    domain == REGISTRY || held.is_none_or(|held| held.as_str() == domain)
}

/// The one domain that is held beside `ets.registry`; none: all.
pub fn held_domain() -> Result<Option<DomainName>> {
    Ok(find()?.and_then(|receiver| receiver.domain))
}

/// Forgets what the backend knows.
pub fn forget() {
    OWN.set(false);
}

/// Whether this process applies what a publisher sends. No statement can say so.
pub fn is_apply_worker() -> bool {
    // SAFETY: reads a static.
    unsafe { IsLogicalWorker() }
}

/// Refuses (42501) whoever may not bring events with their server-assigned
/// fields: judged is the role that the session acts as, or the subscription's
/// owner, never a definer.
pub fn require_importer() -> Result<()> {
    // SAFETY: reads a static and looks a role up.
    let role = unsafe { pg_sys::GetOuterUserId() };
    if unsafe { pg_sys::superuser_arg(role) } {
        return Ok(());
    }
    let may = db::first(
        View::Query,
        "SELECT pg_catalog.has_function_privilege($1::pg_catalog.oid, 'ets.import(text)', 'EXECUTE')",
        &[i64::from(role.to_u32()).into()],
        |row| Ok(row.bool(1)),
    )?;
    if may.flatten() == Some(true) {
        return Ok(());
    }
    Err(Error::new(sqlstate::PRIVILEGE, "importing is for superusers and importers")
        .detail(json!({"function": "ets.import"}))
        .hint("SELECT ets.grant_access(role, 'importer')"))
}

/// Writes the row: this database receives from now on.
pub fn begin(first_hash: &Digest, domain: Option<&DomainName>) -> Result<()> {
    db::write(
        "INSERT INTO ets.receiver (first_hash, domain, joined_at) VALUES ($1, $2, pg_catalog.clock_timestamp())",
        &[first_hash.into(), Value::or_null(domain.map(DomainName::as_str), crate::value::Type::Text)],
    )?;
    Ok(())
}

crate::server_functions! {
    // replication/logicalworker.h
    fn IsLogicalWorker() -> bool;
}
