//! The row of a head, found by its key and moved on without a statement.
//!
//! Every append reads the registry's head and moves one head on. Through SPI each
//! of the two costs more than the work itself: starting and ending the executor.
//! So both are done here with the calls that the executor would end in, as
//! extensions do on tables of their own. Only the simple case is: whatever is not
//! as hoped is left to [`crate::heads`], which locks the row by a statement.

use pgrx::pg_sys::{self, Datum, Oid};

use crate::db;
use crate::error::{Error, Result, sqlstate};
use crate::ledger;
use crate::server_functions::{CommandCounterIncrement, heap_form_tuple, table_close, table_open};
use crate::value::Value;

/// The columns of `ets.stream_head`, by their place from 0.
pub mod column {
    /// The domain's name.
    pub const DOMAIN: usize = 0;
    /// The stream's name.
    pub const STREAM: usize = 1;
    /// The sequence of the last event.
    pub const SEQUENCE: usize = 2;
    /// `current_hash` of the last event.
    pub const HEAD_HASH: usize = 3;
    /// The id of the last event.
    pub const LAST_EVENT_ID: usize = 4;
    /// The timestamp of the last event.
    pub const LAST_TIMESTAMP: usize = 5;
    /// The registry_version of the last event.
    pub const REGISTRY_VERSION: usize = 6;
    /// The kept state, or NULL.
    pub const STATE: usize = 7;
    /// How many there are.
    pub const COUNT: usize = 8;
}

/// The values of a row; what is NULL is none.
pub struct HeadRow {
    datums: [Datum; column::COUNT],
    nulls: [bool; column::COUNT],
}

impl HeadRow {
    /// A column as it is; none if it is NULL. By-reference values live as long as
    /// the call that handed the row out.
    pub fn datum(&self, column: usize) -> Option<Datum> {
        (!self.nulls[column]).then_some(self.datums[column])
    }
}

/// Reads the head of a stream with the active snapshot and hands its row to
/// `each`; none if the stream has none.
pub fn read<T>(domain: &str, stream: &str, each: impl FnOnce(&HeadRow) -> Result<T>) -> Result<Option<T>> {
    let key = [Value::from(domain).to_datum(), Value::from(stream).to_datum()];
    let table = table()?;
    let mut found = Found::new();
    // SAFETY: `find` is C calls only, and `close` ends what it began.
    db::catch(|| unsafe { find(table, pg_sys::AccessShareLock as i32, key, &mut found) })?;
    let result = match found.row() {
        Some(row) => each(row).map(Some),
        None => found.check_layout().map(|()| None),
    };
    db::catch(|| unsafe { close(&found, pg_sys::AccessShareLock as i32) })?;
    result
}

/// Finds the head of a stream, newest version, and moves it on to what `next`
/// makes of its row; the sequence and the place of the new row.
///
/// None if `next` gives none, if there is no row, or if somebody else was faster:
/// then nothing was changed. Waits for a transaction that holds the row.
pub fn advance(
    domain: &str,
    stream: &str,
    next: impl FnOnce(&HeadRow) -> Result<Option<[Value; column::COUNT]>>,
) -> Result<Option<(u32, u16)>> {
    let key = [Value::from(domain).to_datum(), Value::from(stream).to_datum()];
    let lock = pg_sys::RowExclusiveLock as i32;
    let table = table()?;
    let mut found = Found::new();
    // SAFETY: as in `read`. As the statement would be, refused on a standby.
    db::catch(|| unsafe { PreventCommandIfReadOnly(c"INSERT".as_ptr()) })?;
    db::catch(|| unsafe { find(table, lock, key, &mut found) })?;
    let values = match found.row() {
        Some(row) if found.only_key_is_indexed => next(row),
        _ => Ok(None),
    };
    let place = match values {
        Ok(Some(values)) => {
            let mut row = HeadRow { datums: [Datum::null(); column::COUNT], nulls: [true; column::COUNT] };
            for (index, value) in values.iter().enumerate() {
                if let Some(datum) = value.to_datum() {
                    (row.datums[index], row.nulls[index]) = (datum, false);
                }
            }
            // SAFETY: as in `read`; the row has as many values as the table columns.
            db::catch(|| unsafe { replace(&found, &mut row) }).map(Ok)
        }
        Ok(None) => Ok(Ok(None)),
        Err(error) => Ok(Err(error)),
    }?;
    // The lock on the table stays until the transaction ends, as after any UPDATE.
    db::catch(|| unsafe { close(&found, pg_sys::NoLock as i32) })?;
    place
}

/// The table's oid.
fn table() -> Result<Oid> {
    ledger::table(c"stream_head").ok_or_else(ledger::not_initialised)
}

/// What a scan has open.
struct Found {
    relation: pg_sys::Relation,
    index: Oid,
    scan: pg_sys::SysScanDesc,
    tuple: pg_sys::HeapTuple,
    row: HeadRow,
    has_layout: bool,
    only_key_is_indexed: bool,
}

impl Found {
    fn new() -> Self {
        Found {
            relation: std::ptr::null_mut(),
            index: Oid::INVALID,
            scan: std::ptr::null_mut(),
            tuple: std::ptr::null_mut(),
            row: HeadRow { datums: [Datum::null(); column::COUNT], nulls: [true; column::COUNT] },
            has_layout: false,
            only_key_is_indexed: false,
        }
    }

    fn row(&self) -> Option<&HeadRow> {
        (self.has_layout && !self.tuple.is_null()).then_some(&self.row)
    }

    fn check_layout(&self) -> Result<()> {
        if self.has_layout {
            return Ok(());
        }
        Err(Error::new(sqlstate::STATE, "ets.stream_head is not the table that this version of pg_ets made")
            .hint("SELECT ets.arm() after an update of the extension, then ets.verify_ledger()"))
    }
}

/// Opens the table and looks the row up.
///
/// # Safety
/// To be called inside `catch`: it has no destructors. A snapshot is active.
unsafe fn find(table: Oid, lock: i32, key: [Option<Datum>; 2], found: &mut Found) {
    unsafe {
        let relation = table_open(table, lock);
        found.relation = relation;
        let descriptor = (*relation).rd_att;
        found.has_layout = (*(*relation).rd_rel).relkind as u8 == pg_sys::RELKIND_RELATION
            && (*descriptor).natts == column::COUNT as i32;
        if !found.has_layout {
            return;
        }
        found.index = RelationGetPrimaryKeyIndex(
            relation,
            #[cfg(feature = "pg18")]
            false,
        );
        let indexes = RelationGetIndexList(relation);
        found.only_key_is_indexed = found.index != Oid::INVALID
            && !indexes.is_null()
            && (*indexes).length == 1
            && (*relation).rd_tableam == GetHeapamTableAmRoutine();
        let mut keys: [pg_sys::ScanKeyData; 2] = std::mem::zeroed();
        for (place, column) in [column::DOMAIN, column::STREAM].into_iter().enumerate() {
            ScanKeyEntryInitialize(
                &mut keys[place],
                0,
                column as i16 + 1,
                pg_sys::BTEqualStrategyNumber as u16,
                Oid::INVALID,
                pg_sys::C_COLLATION_OID,
                Oid::from(pg_sys::F_TEXTEQ),
                match key[place] {
                    Some(datum) => datum,
                    None => Datum::null(),
                },
            );
        }
        let by_index = found.index != Oid::INVALID;
        found.scan = systable_beginscan(
            relation,
            found.index,
            by_index,
            pg_sys::GetActiveSnapshot(),
            2,
            keys.as_mut_ptr(),
        );
        found.tuple = systable_getnext(found.scan);
        if !found.tuple.is_null() {
            pg_sys::heap_deform_tuple(
                found.tuple,
                descriptor,
                found.row.datums.as_mut_ptr(),
                found.row.nulls.as_mut_ptr(),
            );
        }
    }
}

/// Puts `row` in the place of the row that was found; where it lies now. None if
/// that is no longer the newest version.
///
/// # Safety
/// As [`find`], which has found a row of a heap whose only index is the key's.
unsafe fn replace(found: &Found, row: &mut HeadRow) -> Option<(u32, u16)> {
    unsafe {
        let relation = found.relation;
        let mut old = (*found.tuple).t_self;
        let tuple = heap_form_tuple((*relation).rd_att, row.datums.as_mut_ptr(), row.nulls.as_mut_ptr());
        let mut failure: pg_sys::TM_FailureData = std::mem::zeroed();
        let mut mode: pg_sys::LockTupleMode::Type = pg_sys::LockTupleMode::LockTupleNoKeyExclusive;
        let result = heap_update(
            relation,
            &mut old,
            tuple,
            GetCurrentCommandId(true),
            std::ptr::null_mut(),
            true,
            &mut failure,
            &mut mode,
            // Which indexes need an entry: asked of the new row itself, below.
            #[cfg(not(feature = "pg15"))]
            &mut std::mem::zeroed(),
        );
        if result != pg_sys::TM_Result::TM_Ok {
            return None;
        }
        // A version on the page of the old one is found through the old one's entry.
        if u32::from((*(*tuple).t_data).t_infomask2) & pg_sys::HEAP_ONLY_TUPLE == 0 {
            let index = index_open(found.index, pg_sys::RowExclusiveLock as i32);
            let mut key = [row.datums[column::DOMAIN], row.datums[column::STREAM]];
            let mut nulls = [false; 2];
            index_insert(
                index,
                key.as_mut_ptr(),
                nulls.as_mut_ptr(),
                &mut (*tuple).t_self,
                relation,
                pg_sys::IndexUniqueCheck::UNIQUE_CHECK_YES,
                true,
                BuildIndexInfo(index),
            );
            index_close(index, pg_sys::RowExclusiveLock as i32);
        }
        CommandCounterIncrement();
        let place = (*tuple).t_self;
        let block = u32::from(place.ip_blkid.bi_hi) << 16 | u32::from(place.ip_blkid.bi_lo);
        Some((block, place.ip_posid))
    }
}

/// Ends the scan and closes the table.
///
/// # Safety
/// As [`find`].
unsafe fn close(found: &Found, lock: i32) {
    unsafe {
        if !found.scan.is_null() {
            systable_endscan(found.scan);
        }
        table_close(found.relation, lock);
    }
}

crate::server_functions! {
    fn index_open(relation: Oid, lock: i32) -> pg_sys::Relation;
    fn index_close(relation: pg_sys::Relation, lock: i32);
    #[cfg(not(feature = "pg18"))]
    fn RelationGetPrimaryKeyIndex(relation: pg_sys::Relation) -> Oid;
    #[cfg(feature = "pg18")]
    fn RelationGetPrimaryKeyIndex(relation: pg_sys::Relation, deferrable_too: bool) -> Oid;
    fn RelationGetIndexList(relation: pg_sys::Relation) -> *mut pg_sys::List;
    fn GetHeapamTableAmRoutine() -> *const pg_sys::TableAmRoutine;
    fn ScanKeyEntryInitialize(
        entry: *mut pg_sys::ScanKeyData,
        flags: i32,
        attribute: i16,
        strategy: u16,
        subtype: Oid,
        collation: Oid,
        procedure: Oid,
        argument: Datum,
    );
    fn systable_beginscan(
        heap: pg_sys::Relation,
        index: Oid,
        use_index: bool,
        snapshot: pg_sys::Snapshot,
        count: i32,
        keys: *mut pg_sys::ScanKeyData,
    ) -> pg_sys::SysScanDesc;
    fn systable_getnext(scan: pg_sys::SysScanDesc) -> pg_sys::HeapTuple;
    fn systable_endscan(scan: pg_sys::SysScanDesc);
    #[cfg(feature = "pg15")]
    fn heap_update(
        relation: pg_sys::Relation,
        old: *mut pg_sys::ItemPointerData,
        tuple: pg_sys::HeapTuple,
        command: pg_sys::CommandId,
        crosscheck: pg_sys::Snapshot,
        wait: bool,
        failure: *mut pg_sys::TM_FailureData,
        mode: *mut pg_sys::LockTupleMode::Type,
    ) -> pg_sys::TM_Result::Type;
    #[cfg(not(feature = "pg15"))]
    fn heap_update(
        relation: pg_sys::Relation,
        old: *mut pg_sys::ItemPointerData,
        tuple: pg_sys::HeapTuple,
        command: pg_sys::CommandId,
        crosscheck: pg_sys::Snapshot,
        wait: bool,
        failure: *mut pg_sys::TM_FailureData,
        mode: *mut pg_sys::LockTupleMode::Type,
        indexes: *mut pg_sys::TU_UpdateIndexes::Type,
    ) -> pg_sys::TM_Result::Type;
    fn index_insert(
        index: pg_sys::Relation,
        values: *mut Datum,
        nulls: *mut bool,
        place: *mut pg_sys::ItemPointerData,
        heap: pg_sys::Relation,
        unique: pg_sys::IndexUniqueCheck::Type,
        unchanged: bool,
        info: *mut pg_sys::IndexInfo,
    ) -> bool;
    fn BuildIndexInfo(index: pg_sys::Relation) -> *mut pg_sys::IndexInfo;
    fn PreventCommandIfReadOnly(command: *const std::ffi::c_char);
    fn GetCurrentCommandId(used: bool) -> pg_sys::CommandId;
}
