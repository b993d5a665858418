//! The ledger of this database, and its registry as the backend knows it.
//!
//! The gate asks neither the projections nor the catalog who may do what: it
//! folds the registry's own events, and keeps the fold for as long as the
//! registry's head is the one that it folded up to. A key that somebody sneaks
//! into `ets.signing_key` gains nothing.

use std::cell::{Cell, RefCell};
use std::ffi::CStr;
use std::sync::Arc;

use ets_core::event::Event;
use ets_core::hash::Digest;
use ets_core::key::PublicKey;
use ets_core::name::{DomainName, MAIN, Origin, REGISTRY, StreamName};
use ets_core::registry::{Registry, payload};
use pgrx::pg_sys;
use serde_json::json;
use uuid::Uuid;

use crate::db::{self, View};
use crate::error::{Error, Result, sqlstate};
use crate::{function, heads, receiver, rows, transaction};

thread_local! {
    static LEDGER_ID: Cell<Option<Uuid>> = const { Cell::new(None) };
    static REGISTRY_FOLD: RefCell<Option<Arc<Registry>>> = const { RefCell::new(None) };
    /// Whether the fold has been compared with the registry's head since it last moved.
    static IS_NEWEST: Cell<bool> = const { Cell::new(false) };
    /// The tables whose invalidation says that it may have moved.
    static WATCHED: Cell<[pg_sys::Oid; 3]> = const { Cell::new([pg_sys::Oid::INVALID; 3]) };
}

/// Whether `ets.init` has run in this database.
pub fn exists() -> bool {
    table(c"ledger").is_some()
}

/// The table of this name in schema ets, if there is one.
pub fn table(name: &CStr) -> Option<pg_sys::Oid> {
    // SAFETY: looks two names up in the catalog's caches.
    let table = unsafe {
        match pg_sys::get_namespace_oid(c"ets".as_ptr(), true) {
            pg_sys::Oid::INVALID => return None,
            schema => pg_sys::get_relname_relid(name.as_ptr(), schema),
        }
    };
    (table != pg_sys::Oid::INVALID).then_some(table)
}

/// The id of this database's ledger.
///
/// # Errors
/// ET013 before `ets.init`.
pub fn id() -> Result<Uuid> {
    if let Some(id) = LEDGER_ID.get() {
        return Ok(id);
    }
    if !exists() {
        return Err(not_initialised());
    }
    let id = db::first(View::Latest, "SELECT ledger.ledger_id FROM ets.ledger AS ledger", &[], |row| {
        Ok(row.uuid(1))
    })?
    .flatten()
    .map(Uuid::from_bytes)
    .ok_or_else(not_initialised)?;
    // Remembered only once it is known that the row will stay: before the
    // registry has begun, a rollback may take the whole ledger away again.
    if REGISTRY_FOLD.with_borrow(Option::is_some) {
        LEDGER_ID.set(Some(id));
    }
    Ok(id)
}

/// Whether this is the database, of the cluster, that `ets.init` made the ledger
/// in. After a restore into another, or `CREATE DATABASE … TEMPLATE`, it is not.
pub fn was_made_here() -> Result<bool> {
    let here = db::first(
        View::Latest,
        "SELECT true FROM ets.ledger AS ledger, pg_catalog.pg_control_system() AS system, pg_catalog.pg_database AS database
          WHERE database.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
            AND ledger.system_identifier OPERATOR(pg_catalog.=) system.system_identifier
            AND ledger.database_oid OPERATOR(pg_catalog.=) database.oid",
        &[],
        |_| Ok(()),
    )?;
    Ok(here.is_some())
}

/// What `ets.init` wrote down about the ledger.
pub struct Announced {
    /// The ledger's id.
    pub ledger_id: Uuid,
    /// Its name.
    pub origin: Origin,
    /// The key that signs the first event.
    pub root_public_key: PublicKey,
    /// The server's key.
    pub server_public_key: PublicKey,
}

impl Announced {
    /// The payload of the first event.
    pub fn payload(&self) -> serde_json::Value {
        payload::ledger(&self.ledger_id, &self.origin, &self.root_public_key, &self.server_public_key)
    }

    /// Whether the server's key is root too.
    pub fn has_local_authority(&self) -> bool {
        self.root_public_key == self.server_public_key
    }
}

/// The row of `ets.ledger`.
///
/// # Errors
/// ET013 before `ets.init`.
pub fn announced() -> Result<Announced> {
    if !exists() {
        return Err(not_initialised());
    }
    db::first(
        View::Latest,
        "SELECT ledger.ledger_id, ledger.origin, ledger.root_public_key, ledger.server_public_key
           FROM ets.ledger AS ledger",
        &[],
        |row| {
            Ok(Announced {
                ledger_id: row.uuid(1).map(Uuid::from_bytes).unwrap_or_default(),
                origin: row.text(2).unwrap_or_default().parse()?,
                root_public_key: key_column(row, 3)?,
                server_public_key: key_column(row, 4)?,
            })
        },
    )?
    .ok_or_else(not_initialised)
}

fn key_column(row: &db::Row, column: usize) -> Result<PublicKey> {
    let bytes = row.bytes(column).unwrap_or_default();
    Ok(PublicKey::from_bytes(&function::exact_bytes(&bytes, "a key in ets.ledger", sqlstate::CORRUPTED)?)?)
}

/// Whether the backend knows a registry: then the ledger will stay.
pub fn is_known() -> bool {
    REGISTRY_FOLD.with_borrow(Option::is_some)
}

/// The registry as the backend knows it, without looking whether it has moved:
/// for checks that are made again under a lock. None before the first event.
pub fn known_registry() -> Result<Option<Arc<Registry>>> {
    match REGISTRY_FOLD.with_borrow(Clone::clone) {
        Some(known) => Ok(Some(known)),
        None => registry_if_begun(View::Latest),
    }
}

/// The registry as it is now: with everything that has committed, and what this
/// transaction itself has registered.
///
/// # Errors
/// ET013 if the ledger has no first event yet.
pub fn registry(view: View) -> Result<Arc<Registry>> {
    registry_if_begun(view)?.ok_or_else(|| {
        Error::new(sqlstate::STATE, "the ledger has no first event yet")
            .detail(json!({"state": "waits for its first event"}))
            .hint("sign the ets.ledger/1.0.0 event with the root key, as ets.prepare shows it, and append it")
    })
}

/// As [`registry`]; none before the ledger's first event.
pub fn registry_if_begun(view: View) -> Result<Option<Arc<Registry>>> {
    if REGISTRY_FOLD.with_borrow(Option::is_none) && !exists() {
        return Err(not_initialised());
    }
    if view != View::Latest {
        return fold(view);
    }
    if let Some(newest) = unmoved()? {
        return Ok(Some(newest));
    }
    watch()?;
    // One snapshot for the head and the events behind it: between two,
    // another session may register something.
    let found = db::with_latest_snapshot(|| fold(View::Query));
    if !matches!(found, Ok(Some(_))) {
        IS_NEWEST.set(false);
    }
    found
}

/// The registry as the backend knows it, if nobody has committed an event of it since it was
/// compared: then its head need not be looked at again. Whoever registers something tells
/// all backends ([`tell`]) after its commit can be seen and before its session goes on.
fn unmoved() -> Result<Option<Arc<Registry>>> {
    if !IS_NEWEST.get() {
        return Ok(None);
    }
    db::catch(|| unsafe { AcceptInvalidationMessages() })?;
    Ok(if IS_NEWEST.get() { REGISTRY_FOLD.with_borrow(Clone::clone) } else { None })
}

/// From here on, what moves the registry is heard. To be called before it is looked at.
fn watch() -> Result<()> {
    thread_local! {
        static IS_WATCHING: Cell<bool> = const { Cell::new(false) };
    }
    if !IS_WATCHING.replace(true) {
        // SAFETY: the callback is a function of this library, which stays loaded.
        db::catch(|| unsafe { CacheRegisterRelcacheCallback(Some(invalidated), pg_sys::Datum::null()) })?;
    }
    // Whoever changes the tables themselves, past their guards, is heard too.
    let tables = [c"ledger", c"ledger_event", c"stream_head"];
    WATCHED.set(tables.map(|name| table(name).unwrap_or(pg_sys::Oid::INVALID)));
    db::catch(|| unsafe { AcceptInvalidationMessages() })?;
    IS_NEWEST.set(true);
    Ok(())
}

unsafe extern "C-unwind" fn invalidated(_argument: pg_sys::Datum, table: pg_sys::Oid) {
    // None is meant where a backend has missed messages: any may have been of the registry.
    if table == pg_sys::Oid::INVALID || WATCHED.get().contains(&table) {
        IS_NEWEST.set(false);
    }
}

/// Tells all backends, when this transaction commits, that the registry has moved.
pub fn tell() -> Result<()> {
    let table = table(c"ledger").ok_or_else(not_initialised)?;
    db::catch(|| unsafe { CacheInvalidateRelcacheByRelid(table) })
}

/// The registry in the rows that `view` sees.
fn fold(view: View) -> Result<Option<Arc<Registry>>> {
    let (domain, stream) = (DomainName::registry(), StreamName::main());
    let Some((head, version)) = heads::peek(view, &domain, &stream)? else {
        forget();
        return Ok(None);
    };
    let known = REGISTRY_FOLD.with_borrow(Clone::clone);
    if let Some(known) = known.filter(|known| known.version() <= version) {
        if known.version() == version && known.head() == head {
            return Ok(Some(known));
        }
        // It has grown, if its first new event continues what is known.
        let known_head = known.head();
        let mut grown = known;
        match extend(&mut grown, view, known_head) {
            Ok(()) if grown.version() == version && grown.head() == head => {
                return Ok(Some(remember(grown)));
            }
            // Not a registry that reads differently, but a statement that has failed.
            Err(Error::Postgres) => return Err(Error::Postgres),
            _ => {}
        }
    }
    let mut fold = None;
    for event in events_after(view, 0)? {
        check_link(&event)?;
        match &mut fold {
            None => fold = Some(Registry::start(&event)?),
            Some(registry) => registry.apply_admitted(&event)?,
        }
    }
    match fold {
        Some(fold) if fold.head() == head && fold.version() == version => Ok(Some(remember(Arc::new(fold)))),
        _ => Err(Error::new(sqlstate::HASH, "the registry's events and its head do not agree")
            .detail(json!({"domain": REGISTRY, "stream": MAIN}))
            .hint("run ets.verify_ledger('ets.registry') to see what was changed")),
    }
}

/// Makes a fold known that is ahead of what has committed: the gate has just
/// admitted its last event. If that is rolled back, the fold is forgotten.
pub fn remember_uncommitted(registry: Arc<Registry>) {
    transaction::touch_registry();
    remember(registry);
}

fn remember(registry: Arc<Registry>) -> Arc<Registry> {
    // A query's snapshot may show an older one than the newest.
    IS_NEWEST.set(false);
    REGISTRY_FOLD.set(Some(Arc::clone(&registry)));
    registry
}

/// Forgets what the backend knows of the ledger.
pub fn forget() {
    IS_NEWEST.set(false);
    REGISTRY_FOLD.set(None);
    LEDGER_ID.set(None);
    receiver::forget();
}

/// `ET013`, before there is a ledger.
pub fn not_initialised() -> Error {
    Error::new(sqlstate::STATE, "the ledger is not initialised")
        .detail(json!({"state": "not initialised"}))
        .hint("SELECT ets.init('your.example/name')")
}

fn extend(registry: &mut Arc<Registry>, view: View, head: Digest) -> Result<()> {
    let mut previous = head;
    for event in events_after(view, registry.version())? {
        check_link(&event)?;
        if event.header.previous_hash != previous {
            return Err(Error::new(sqlstate::HASH, "the registry was rewritten"));
        }
        previous = event.header.current_hash;
        Arc::make_mut(registry).apply_admitted(&event)?;
    }
    Ok(())
}

/// A registry event whose payload was changed in place must not count.
fn check_link(event: &Event) -> Result<()> {
    if event.check_hash() {
        Ok(())
    } else {
        Err(Error::new(sqlstate::HASH, format!("registry event {} does not hash", event.header.sequence))
            .detail(json!({"domain": REGISTRY, "event_id": event.header.event_id.to_string()}))
            .hint("run ets.verify_ledger('ets.registry') to see what was changed"))
    }
}

fn events_after(view: View, sequence: u64) -> Result<Vec<Event>> {
    db::query(
        view,
        crate::select_events!(
            "WHERE event.domain OPERATOR(pg_catalog.=) $1 AND event.stream OPERATOR(pg_catalog.=) $2
            AND event.sequence OPERATOR(pg_catalog.>) $3
          ORDER BY event.sequence USING OPERATOR(pg_catalog.<)"
        ),
        &[REGISTRY.into(), MAIN.into(), sequence.into()],
        rows::event,
    )
}

crate::server_functions! {
    fn AcceptInvalidationMessages();
    fn CacheRegisterRelcacheCallback(callback: pg_sys::RelcacheCallbackFunction, argument: pg_sys::Datum);
    fn CacheInvalidateRelcacheByRelid(table: pg_sys::Oid);
}
