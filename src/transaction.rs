//! What one transaction remembers in the backend: open frames, the heads that it
//! has locked, the ids that it made.
//!
//! A head's row stays locked until the transaction ends, so what is remembered
//! of it cannot become wrong except by a rollback. That of the whole clears the
//! memory; that of a savepoint puts it back as it was when the savepoint was set,
//! and not emptier: an INSERT around it (whose rows call a function that catches
//! an exception) has heads in memory that no row holds yet. It is never trusted
//! over a lock.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use ets_core::event::{EventId, Header};
use ets_core::hash::Digest;
use ets_core::name::{DomainName, StreamName};
use ets_core::time::Timestamp;
use pgrx::pg_sys;

use crate::checks::{Checked, Checks};
use crate::error::{Error, Result};
use crate::gate::Inspected;
use crate::{db, ddl_guard, events, high_water, ledger, receiver};

/// The last event of a stream whose head this transaction has locked.
#[derive(Debug, Clone)]
pub struct Head {
    /// Position of the last event; 0 if there is none yet.
    pub sequence: u64,
    /// Its `current_hash`, or the stream's genesis hash.
    pub hash: Digest,
    /// Its id; none if there is none yet.
    pub last_event_id: Option<EventId>,
    /// Its timestamp.
    pub last_timestamp: Timestamp,
    /// Its registry_version.
    pub registry_version: u64,
    /// The stream's state, where the domain keeps one.
    pub state: Option<serde_json::Value>,
    /// Where the head's row lies: block and offset.
    pub tid: (u32, u16),
    /// Whether the row is behind what is remembered here.
    pub dirty: bool,
}

/// An event that `ets.append` has admitted and is about to insert.
pub struct Expected {
    /// What the row must hold beside the payload.
    pub header: Header,
    /// The payload's datum that the INSERT was given.
    pub payload: pg_sys::Datum,
    /// The top-level transaction's id.
    pub transaction_id: u64,
}

struct Frame {
    subtransaction: pg_sys::SubTransactionId,
    passed: u64,
    /// None before there are any, and while they are used.
    checks: Option<Checks>,
}

/// `TopSubTransactionId` (access/xact.h): the transaction itself, outside all savepoints.
const TOP_LEVEL: pg_sys::SubTransactionId = 1;

type HeadKey = (DomainName, StreamName);

/// The heads that this transaction has locked, and how to take back what its open
/// savepoints did to them.
#[derive(Default)]
struct Heads {
    /// Each head by domain and stream, and the subtransaction that remembered it last.
    known: HashMap<DomainName, HashMap<StreamName, Known>>,
    /// Those whose rows are behind.
    dirty: HashSet<HeadKey>,
    /// What a subtransaction found when it first touched a head, oldest first. A
    /// subtransaction's entries and those of its children are the last ones while
    /// it is open, and have its number or a greater one.
    undo: Vec<Undo>,
}

/// A head, and the subtransaction that remembered it last.
type Known = (Head, pg_sys::SubTransactionId);

struct Undo {
    subtransaction: pg_sys::SubTransactionId,
    key: HeadKey,
    before: Option<Known>,
}

impl Heads {
    fn known(&self, domain: &DomainName, stream: &StreamName) -> Option<&Known> {
        self.known.get(domain)?.get(stream)
    }

    fn remember(
        &mut self,
        domain: &DomainName,
        stream: &StreamName,
        head: Head,
        subtransaction: pg_sys::SubTransactionId,
    ) {
        let known = self.known.get_mut(domain).and_then(|streams| streams.get_mut(stream));
        if let Some((before, toucher)) = known
            && *toucher == subtransaction
            && before.dirty == head.dirty
        {
            // As for each row of a statement but its first.
            *before = head;
            return;
        }
        let key = (domain.clone(), stream.clone());
        self.mark(&key, head.dirty);
        let before = self.put(key.clone(), (head, subtransaction));
        let touched_before = before.as_ref().is_some_and(|(_, toucher)| *toucher == subtransaction);
        if subtransaction != TOP_LEVEL && !touched_before {
            self.undo.push(Undo { subtransaction, key, before });
        }
    }

    fn put(&mut self, (domain, stream): HeadKey, known: Known) -> Option<Known> {
        self.known.entry(domain).or_default().insert(stream, known)
    }

    fn remove(&mut self, (domain, stream): &HeadKey) {
        if let Some(streams) = self.known.get_mut(domain) {
            streams.remove(stream);
        }
    }

    fn mark(&mut self, key: &HeadKey, is_dirty: bool) {
        if is_dirty {
            self.dirty.insert(key.clone());
        } else {
            self.dirty.remove(key);
        }
    }

    /// As it was when the subtransaction began.
    fn roll_back(&mut self, ended: pg_sys::SubTransactionId) {
        while let Some(undo) = self.undo.pop_if(|undo| undo.subtransaction >= ended) {
            self.mark(&undo.key, undo.before.as_ref().is_some_and(|(head, _)| head.dirty));
            match undo.before {
                Some(before) => {
                    self.put(undo.key, before);
                }
                None => self.remove(&undo.key),
            }
        }
    }

    /// What a savepoint directly in the transaction did is the transaction's own
    /// from its release on, and can no longer be taken back alone.
    fn release_into(&mut self, parent: pg_sys::SubTransactionId) {
        if parent == TOP_LEVEL {
            self.undo.clear();
        }
    }

    fn clear(&mut self) {
        self.known.clear();
        self.dirty.clear();
        self.undo.clear();
    }
}

/// As many ids as a transaction can remember; an older one counts as the client's.
const MAX_MADE_IDS: usize = 1 << 20;

thread_local! {
    static FRAMES: RefCell<Vec<Frame>> = const { RefCell::new(Vec::new()) };
    static HEADS: RefCell<Heads> = RefCell::new(Heads::default());
    static MADE_IDS: RefCell<HashSet<EventId>> = RefCell::new(HashSet::new());
    static EXPECTED: RefCell<VecDeque<Expected>> = const { RefCell::new(VecDeque::new()) };
    static APPENDED: Cell<bool> = const { Cell::new(false) };
    static REGISTRY_TOUCHED: Cell<bool> = const { Cell::new(false) };
    static REGISTERED: Cell<bool> = const { Cell::new(false) };
}

/// Opens the frame of an INSERT statement.
pub fn open_frame() {
    watch();
    // SAFETY: reads a static of the transaction manager.
    let subtransaction = unsafe { pg_sys::GetCurrentSubTransactionId() };
    let frame = Frame { subtransaction, passed: 0, checks: None };
    FRAMES.with_borrow_mut(|frames| frames.push(frame));
}

/// Lets the innermost statement end only when the row that it brings now has passed its checks.
///
/// # Errors
/// As [`finish_checks`], if a row before it is known to be refused by now.
pub fn check_later(inspected: Inspected) -> Result<()> {
    let row = FRAMES.with_borrow(|frames| frames.last().map_or(0, |frame| frame.passed) + 1);
    with_checks(taken_checks().unwrap_or_default(), |checks| checks.push(row, Arc::new(inspected)))
}

/// Ends when all rows of the innermost statement have passed their checks.
///
/// # Errors
/// The refusal of the first row that has one; the detail says which, counted from 1.
pub fn finish_checks() -> Result<()> {
    taken_checks().map_or(Ok(()), |checks| with_checks(checks, Checks::finish))
}

/// `error` of a row, or the refusal of a row before it.
pub fn first_refusal(error: Error) -> Error {
    match error {
        Error::Postgres => error,
        refused => finish_checks().err().unwrap_or(refused),
    }
}

/// The checks leave the frame while they are used, and are lost if that breaks off: then
/// the statement is as well.
fn taken_checks() -> Option<Checks> {
    FRAMES.with_borrow_mut(|frames| frames.last_mut().and_then(|frame| frame.checks.take()))
}

fn with_checks(mut checks: Checks, body: impl FnOnce(&mut Checks) -> Checked) -> Result<()> {
    body(&mut checks).map_err(|(row, error)| error.with_detail_member("row", row.into()))?;
    FRAMES.with_borrow_mut(|frames| {
        if let Some(frame) = frames.last_mut() {
            frame.checks = Some(checks);
        }
    });
    Ok(())
}

/// Counts a row that passed the gate; false if no statement is open.
pub fn count_row() -> bool {
    APPENDED.set(true);
    FRAMES.with_borrow_mut(|frames| frames.last_mut().map(|frame| frame.passed += 1).is_some())
}

/// Whether a statement is open.
pub fn has_frame() -> bool {
    FRAMES.with_borrow(|frames| !frames.is_empty())
}

/// Closes the innermost frame: the number of its rows that passed the gate.
pub fn close_frame() -> Option<u64> {
    FRAMES.with_borrow_mut(|frames| frames.pop().map(|frame| frame.passed))
}

/// The head of a stream, if this transaction has locked it.
pub fn head(domain: &DomainName, stream: &StreamName) -> Option<Head> {
    HEADS.with_borrow(|heads| heads.known(domain, stream).map(|(head, _)| head.clone()))
}

/// Whether this transaction has locked the head of a stream.
pub fn has_head(domain: &DomainName, stream: &StreamName) -> bool {
    HEADS.with_borrow(|heads| heads.known(domain, stream).is_some())
}

/// Remembers a head that is locked now.
pub fn remember_head(domain: &DomainName, stream: &StreamName, head: Head) {
    watch();
    // SAFETY: reads a static of the transaction manager.
    let subtransaction = unsafe { pg_sys::GetCurrentSubTransactionId() };
    HEADS.with_borrow_mut(|heads| heads.remember(domain, stream, head, subtransaction));
}

/// The heads whose rows are behind.
pub fn dirty_heads() -> Vec<(HeadKey, Head)> {
    HEADS.with_borrow(|heads| {
        let with_head = |key: &HeadKey| Some((key.clone(), heads.known(&key.0, &key.1)?.0.clone()));
        heads.dirty.iter().filter_map(with_head).collect()
    })
}

/// Remembers an id that the server made.
pub fn remember_id(id: EventId) {
    watch();
    MADE_IDS.with_borrow_mut(|ids| {
        if ids.len() >= MAX_MADE_IDS {
            ids.clear();
        }
        ids.insert(id);
    });
}

/// Whether the server made this id in this transaction; forgets it, so that it
/// serves for one event only.
pub fn take_id(id: EventId) -> bool {
    MADE_IDS.with_borrow_mut(|ids| ids.remove(&id))
}

/// Announces a row that the next INSERT of `ets.append` brings.
pub fn expect(expected: Expected) {
    watch();
    EXPECTED.with_borrow_mut(|queue| queue.push_back(expected));
}

/// The row that is expected next.
pub fn take_expected() -> Option<Expected> {
    EXPECTED.with_borrow_mut(VecDeque::pop_front)
}

/// Whether this transaction has appended: then a seal in it would not know its own rows.
pub fn has_appended() -> bool {
    APPENDED.get()
}

/// Says that the backend's fold of the registry holds an event of this transaction.
pub fn touch_registry() {
    watch();
    REGISTRY_TOUCHED.set(true);
}

/// Asks to be told when transactions end, once a backend.
pub fn watch() {
    if !REGISTERED.replace(true) {
        // SAFETY: the callbacks are functions of this library, which stays loaded.
        unsafe {
            pg_sys::RegisterXactCallback(Some(transaction_ended), std::ptr::null_mut());
            pg_sys::RegisterSubXactCallback(Some(subtransaction_ended), std::ptr::null_mut());
        }
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn transaction_ended(
    event: pg_sys::XactEvent::Type,
    _argument: *mut std::ffi::c_void,
) {
    use pg_sys::XactEvent::{
        XACT_EVENT_ABORT, XACT_EVENT_COMMIT, XACT_EVENT_PRE_COMMIT, XACT_EVENT_PRE_PREPARE,
        XACT_EVENT_PREPARE,
    };
    // The end of a statement is a trigger's: without it rows would commit unchecked.
    if matches!(event, XACT_EVENT_PRE_COMMIT | XACT_EVENT_PRE_PREPARE) && has_frame() {
        events::not_armed().raise();
    }
    if matches!(event, XACT_EVENT_ABORT | XACT_EVENT_COMMIT | XACT_EVENT_PREPARE) {
        FRAMES.with_borrow_mut(Vec::clear);
        HEADS.with_borrow_mut(Heads::clear);
        MADE_IDS.with_borrow_mut(HashSet::clear);
        EXPECTED.with_borrow_mut(VecDeque::clear);
        APPENDED.set(false);
        receiver::forget_import();
        db::forget_writing();
        ddl_guard::forget_from(0);
        high_water::transaction_ended(event == XACT_EVENT_COMMIT);
        if REGISTRY_TOUCHED.replace(false) && event != XACT_EVENT_COMMIT {
            ledger::forget();
        }
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn subtransaction_ended(
    event: pg_sys::SubXactEvent::Type,
    ended: pg_sys::SubTransactionId,
    parent: pg_sys::SubTransactionId,
    _argument: *mut std::ffi::c_void,
) {
    if event == pg_sys::SubXactEvent::SUBXACT_EVENT_ABORT_SUB {
        // Frames of the savepoint and of what began inside it are gone; those
        // around it go on, and so do the heads that they have moved.
        FRAMES.with_borrow_mut(|frames| frames.retain(|frame| frame.subtransaction < ended));
        HEADS.with_borrow_mut(|heads| heads.roll_back(ended));
        EXPECTED.with_borrow_mut(VecDeque::clear);
        receiver::forget_import();
        ddl_guard::forget_from(ended);
        if REGISTRY_TOUCHED.get() {
            ledger::forget();
        }
    } else if event == pg_sys::SubXactEvent::SUBXACT_EVENT_COMMIT_SUB {
        HEADS.with_borrow_mut(|heads| heads.release_into(parent));
    }
}
