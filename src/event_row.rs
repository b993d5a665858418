//! The row of an admitted event, stored without a statement.
//!
//! Through SPI, most of what an INSERT of one row costs is starting and ending the
//! executor, and the transition table that tells a statement's last trigger how many
//! rows it stored. So where the table is as this extension made it, the row is stored
//! as logical replication stores one: the table's constraints and its indexes see it. Its
//! triggers are the gate's, which has admitted the row; what else they do is done by
//! [`crate::events`]. Any other table, with a trigger of somebody else's, a rule, row
//! security or parts, gets the statement.

use std::ffi::{CStr, c_char, c_int};

use pgrx::pg_sys::{self, Datum, Oid};

use crate::db;
use crate::error::Result;
use crate::ledger;
use crate::server_functions::{CommandCounterIncrement, heap_form_tuple, table_close, table_open};
use crate::triggers::{self, column};

/// `ets.ledger_event`, open for a statement's rows.
pub struct Target {
    relation: pg_sys::Relation,
    state: *mut pg_sys::EState,
    result: Box<pg_sys::ResultRelInfo>,
    slot: *mut pg_sys::TupleTableSlot,
}

impl Target {
    /// Opens the table; none if it wants an INSERT. After an error of Postgres the
    /// transaction's abort closes it.
    pub fn open() -> Result<Option<Target>> {
        let Some(table) = ledger::table(c"ledger_event") else { return Ok(None) };
        let mut target = Target {
            relation: std::ptr::null_mut(),
            state: std::ptr::null_mut(),
            // SAFETY: InitResultRelInfo fills it in; zeroes are what makeNode leaves.
            result: Box::new(unsafe { std::mem::zeroed() }),
            slot: std::ptr::null_mut(),
        };
        // SAFETY: C calls only, and no destructors: what they write to is plain.
        db::catch(|| unsafe {
            PreventCommandIfReadOnly(c"INSERT".as_ptr());
            let relation = table_open(table, pg_sys::RowExclusiveLock as i32);
            if is_as_made(relation) {
                target.relation = relation;
                target.state = CreateExecutorState();
                target.result.type_ = pg_sys::NodeTag::T_ResultRelInfo;
                InitResultRelInfo(&mut *target.result, relation, 0, std::ptr::null_mut(), 0);
                target.result.ri_TrigDesc = std::ptr::null_mut();
                ExecOpenIndices(&mut *target.result, false);
                target.slot =
                    MakeSingleTupleTableSlot((*relation).rd_att, &raw const pg_sys::TTSOpsHeapTuple);
            } else {
                table_close(relation, pg_sys::NoLock as i32);
            }
        })?;
        Ok((!target.relation.is_null()).then_some(target))
    }

    /// Puts a row into the table and its indexes.
    pub fn insert(&mut self, values: &mut [Datum; column::COUNT]) -> Result<()> {
        let mut nulls = [false; column::COUNT];
        // SAFETY: as in `open`; the row has as many values as the table columns.
        db::catch(|| unsafe {
            let tuple = heap_form_tuple((*self.relation).rd_att, values.as_mut_ptr(), nulls.as_mut_ptr());
            ExecStoreHeapTuple(tuple, self.slot, true);
            ExecSimpleRelationInsert(&mut *self.result, self.state, self.slot);
            // The tuple is not needed for longer than what it was made of.
            if let Some(clear) = (*(*self.slot).tts_ops).clear {
                clear(self.slot);
            }
            let each_tuple = (*self.state).es_per_tuple_exprcontext;
            if !each_tuple.is_null() {
                MemoryContextReset((*each_tuple).ecxt_per_tuple_memory);
            }
        })
    }

    /// Closes the table; what was stored can be read from now on.
    pub fn close(mut self) -> Result<()> {
        // SAFETY: as in `open`.
        db::catch(|| unsafe {
            ExecDropSingleTupleTableSlot(self.slot);
            ExecCloseIndices(&mut *self.result);
            FreeExecutorState(self.state);
            // The lock on the table stays until the transaction ends, as after any INSERT.
            table_close(self.relation, pg_sys::NoLock as i32);
            CommandCounterIncrement();
        })
    }
}

/// Whether an INSERT would do no more than [`Target::insert`] and the gate's own triggers.
///
/// # Safety
/// `relation` is open.
unsafe fn is_as_made(relation: pg_sys::Relation) -> bool {
    unsafe {
        let class = (*relation).rd_rel;
        (*class).relkind as u8 == pg_sys::RELKIND_RELATION
            && (*(*relation).rd_att).natts == column::COUNT as i32
            && !(*class).relhasrules
            && !(*class).relrowsecurity
            && has_gate_alone((*relation).trigdesc)
            && pg_class_aclcheck(
                (*relation).rd_id,
                pg_sys::GetUserId(),
                pg_sys::ACL_INSERT as pg_sys::AclMode,
            ) == pg_sys::AclResult::ACLCHECK_OK
    }
}

/// Whether the triggers that fire on INSERT are the gate's three, all switched on.
///
/// # Safety
/// `triggers` is that of an open relation, or null.
unsafe fn has_gate_alone(triggers: *const pg_sys::TriggerDesc) -> bool {
    const GATE: [&CStr; 3] = [c"zz_ets_gate", c"zz_ets_open", c"zz_ets_settle"];
    unsafe {
        if triggers.is_null() {
            return false;
        }
        let all = std::slice::from_raw_parts((*triggers).triggers, (*triggers).numtriggers as usize);
        let mut on_insert =
            all.iter().filter(|trigger| trigger.tgtype & pg_sys::TRIGGER_TYPE_INSERT as i16 != 0);
        let mut function = None;
        let are_the_gates = GATE.iter().all(|name| {
            on_insert.next().is_some_and(|trigger| {
                CStr::from_ptr(trigger.tgname) == *name
                    && *function.get_or_insert(trigger.tgfoid) == trigger.tgfoid
                    && trigger.tgenabled == pg_sys::TRIGGER_FIRES_ALWAYS as c_char
                    && trigger.tgqual.is_null()
            })
        });
        are_the_gates && on_insert.next().is_none() && function.is_some_and(|function| is_gate(function))
    }
}

/// Whether calling the function means calling the gate, and nothing around it.
///
/// # Safety
/// Inside `catch`.
unsafe fn is_gate(function: Oid) -> bool {
    unsafe {
        let mut found: pg_sys::FmgrInfo = std::mem::zeroed();
        fmgr_info(function, &mut found);
        found.fn_addr.is_some_and(|address| address as usize == triggers::ets_gate as *const () as usize)
    }
}

crate::server_functions! {
    fn PreventCommandIfReadOnly(command: *const c_char);
    fn pg_class_aclcheck(table: Oid, role: Oid, mode: pg_sys::AclMode) -> pg_sys::AclResult::Type;
    fn fmgr_info(function: Oid, found: *mut pg_sys::FmgrInfo);
    fn CreateExecutorState() -> *mut pg_sys::EState;
    fn FreeExecutorState(state: *mut pg_sys::EState);
    fn InitResultRelInfo(
        target: *mut pg_sys::ResultRelInfo,
        relation: pg_sys::Relation,
        range_table_index: pg_sys::Index,
        partitioned: *mut pg_sys::ResultRelInfo,
        instrument: c_int,
    );
    fn ExecOpenIndices(target: *mut pg_sys::ResultRelInfo, speculative: bool);
    fn ExecCloseIndices(target: *mut pg_sys::ResultRelInfo);
    fn MakeSingleTupleTableSlot(
        descriptor: pg_sys::TupleDesc,
        kind: *const pg_sys::TupleTableSlotOps,
    ) -> *mut pg_sys::TupleTableSlot;
    fn ExecStoreHeapTuple(
        tuple: pg_sys::HeapTuple,
        slot: *mut pg_sys::TupleTableSlot,
        free: bool,
    ) -> *mut pg_sys::TupleTableSlot;
    fn MemoryContextReset(context: pg_sys::MemoryContext);
    fn ExecDropSingleTupleTableSlot(slot: *mut pg_sys::TupleTableSlot);
    fn ExecSimpleRelationInsert(
        target: *mut pg_sys::ResultRelInfo,
        state: *mut pg_sys::EState,
        slot: *mut pg_sys::TupleTableSlot,
    );
}
