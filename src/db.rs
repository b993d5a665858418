//! The only file that speaks SPI.
//!
//! Statements are literals with parameters, prepared once a backend. Every
//! relation and operator in them is qualified, because some run inside triggers
//! under the caller's search_path. What comes back is owned by Rust before the
//! SPI connection ends.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::{CString, c_char, c_int, c_long};

use cee_scape::{SigJmpBufFields, call_with_sigsetjmp};
use pgrx::pg_sys::{self, Datum, Oid};

use crate::error::{Error, Result};
use crate::value::Value;

/// Which rows a statement sees, and whether it may write.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Reads with the snapshot of the calling query. Assigns no transaction id,
    /// so it works on a standby and in parallel workers.
    Query,
    /// Reads what has committed by now, even in a transaction with an older
    /// snapshot: a revocation must count at once.
    Latest,
    /// Reads and writes as a statement of the transaction's own.
    Write,
}

/// Runs `sql` and hands each row to `each`.
pub fn query<T>(
    view: View,
    sql: &'static str,
    arguments: &[Value],
    mut each: impl FnMut(&Row) -> Result<T>,
) -> Result<Vec<T>> {
    connected(|| {
        execute(view, sql, arguments)?;
        // SAFETY: after a successful execution the tuple table, if any, belongs
        // to this connection until SPI_finish.
        unsafe {
            let table = pg_sys::SPI_tuptable;
            if table.is_null() {
                return Ok(Vec::new());
            }
            let count = usize::try_from((*table).numvals).unwrap_or(0);
            let mut rows = Vec::with_capacity(count);
            for index in 0..count {
                let row = Row::new(*(*table).vals.add(index), (*table).tupdesc);
                rows.push(each(&row)?);
            }
            Ok(rows)
        }
    })
}

/// The first row of `sql`, if it has one.
pub fn first<T>(
    view: View,
    sql: &'static str,
    arguments: &[Value],
    each: impl FnMut(&Row) -> Result<T>,
) -> Result<Option<T>> {
    Ok(query(view, sql, arguments, each)?.into_iter().next())
}

/// Runs `sql` for what it does; the number of rows it touched.
pub fn run(sql: &'static str, arguments: &[Value]) -> Result<u64> {
    connected(|| {
        execute(View::Write, sql, arguments)?;
        // SAFETY: a static that the execution has set.
        Ok(unsafe { pg_sys::SPI_processed })
    })
}

/// As [`run`], for the ledger's own tables: their guards let it through.
pub fn write(sql: &'static str, arguments: &[Value]) -> Result<u64> {
    let _writing = Writing::begin();
    run(sql, arguments)
}

/// As [`first`] with [`View::Write`], past the guards of the ledger's own tables.
pub fn write_returning<T>(
    sql: &'static str,
    arguments: &[Value],
    each: impl FnMut(&Row) -> Result<T>,
) -> Result<Option<T>> {
    let _writing = Writing::begin();
    first(View::Write, sql, arguments, each)
}

/// Runs a script of several statements, unprepared.
pub fn script(sql: &str) -> Result<()> {
    let _writing = Writing::begin();
    let sql = CString::new(sql).map_err(|_| Error::parameter("script", "contains a NUL"))?;
    connected(|| {
        let text = sql.as_ptr();
        // SAFETY: a valid C string that outlives the call.
        catch(|| unsafe { SPI_execute(text, false, 0) }).and_then(success)
    })
}

/// Reads `sql` in batches through a cursor, with the snapshot of the calling
/// query, in bounded memory; `each` may run statements of its own.
pub fn scan(
    view: View,
    sql: &'static str,
    arguments: &[Value],
    batch: c_long,
    mut each: impl FnMut(&Row) -> Result<()>,
) -> Result<()> {
    scan_while(view, sql, arguments, batch, |row| each(row).map(|()| true))
}

/// As [`scan`], for as long as `each` answers true.
pub fn scan_while(
    view: View,
    sql: &'static str,
    arguments: &[Value],
    batch: c_long,
    mut each: impl FnMut(&Row) -> Result<bool>,
) -> Result<()> {
    scan_batches_while(view, sql, arguments, batch, |rows| {
        for row in rows {
            if !each(row)? {
                return Ok(false);
            }
        }
        Ok(true)
    })
}

fn scan_batches_while(
    view: View,
    sql: &'static str,
    arguments: &[Value],
    batch: c_long,
    mut each: impl FnMut(&[Row]) -> Result<bool>,
) -> Result<()> {
    connected(|| {
        let plan = prepared(sql, arguments)?;
        let (mut datums, nulls) = datums(arguments);
        let pushed = push_latest(view);
        let portal = catch(|| unsafe {
            SPI_cursor_open(std::ptr::null(), plan, datums.as_mut_ptr(), nulls.as_ptr(), view != View::Write)
        });
        pop_latest(pushed, &portal);
        let portal = portal?;
        loop {
            pgrx::check_for_interrupts!();
            catch(|| unsafe { SPI_cursor_fetch(portal, true, batch) })?;
            // SAFETY: the fetch has set the tuple table; it is freed below, and
            // nothing borrowed from it leaves `each`.
            let goes_on = unsafe {
                let table = pg_sys::SPI_tuptable;
                let count = usize::try_from((*table).numvals).unwrap_or(0);
                let result = in_scratch(|| {
                    let rows: Vec<Row> = (0..count)
                        .map(|index| Row::new(*(*table).vals.add(index), (*table).tupdesc))
                        .collect();
                    Ok(count > 0 && each(&rows)?)
                });
                pg_sys::SPI_freetuptable(table);
                result?
            };
            if !goes_on {
                break;
            }
        }
        catch(|| unsafe { SPI_cursor_close(portal) })
    })
}

/// Runs `body` so that all its [`View::Query`] reads share one snapshot, the
/// newest there is when it begins.
pub fn with_latest_snapshot<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    let pushed = push_latest(View::Latest);
    let result = body();
    pop_latest(pushed, &result);
    result
}

/// Runs `body` with a memory context of its own that is emptied afterwards, so
/// that a loop over millions of rows holds bounded memory.
pub fn in_scratch<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    // SAFETY: the context is created, entered, left and deleted in this order;
    // if `body` fails, the transaction's abort deletes it with its parent.
    unsafe {
        let context = pg_sys::AllocSetContextCreateExtended(
            pg_sys::CurrentMemoryContext,
            c"pg_ets scratch".as_ptr(),
            0,
            8 << 10,
            1 << 20,
        );
        let outer = pg_sys::MemoryContextSwitchTo(context);
        let result = body();
        pg_sys::MemoryContextSwitchTo(outer);
        pg_sys::MemoryContextDelete(context);
        result
    }
}

/// Runs `body`, whose statements find their rows by a key, without sequential
/// scans. While a table is small or its statistics are old, the planner would
/// prefer one, and keep that plan while the table grows.
pub fn by_key<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            // SAFETY: a static of the planner, read by this thread alone.
            unsafe { pg_sys::enable_seqscan = self.0 }
        }
    }
    // SAFETY: as above.
    let _restore = unsafe {
        let restore = Restore(pg_sys::enable_seqscan);
        pg_sys::enable_seqscan = false;
        restore
    };
    body()
}

/// Runs `body`, whose scans read a table in the order of an index from some place
/// on and may stop early, without sorts: a planner that expects them to go on to
/// the end would sort all that is left, again for every part.
pub fn by_index<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    struct Restore([bool; 3]);
    impl Drop for Restore {
        fn drop(&mut self) {
            // SAFETY: statics of the planner, read by this thread alone.
            unsafe {
                [pg_sys::enable_sort, pg_sys::enable_bitmapscan, pg_sys::enable_incremental_sort] = self.0;
            }
        }
    }
    by_key(|| {
        // SAFETY: as above.
        let _restore = unsafe {
            let before = [pg_sys::enable_sort, pg_sys::enable_bitmapscan, pg_sys::enable_incremental_sort];
            [pg_sys::enable_sort, pg_sys::enable_bitmapscan, pg_sys::enable_incremental_sort] = [false; 3];
            Restore(before)
        };
        body()
    })
}

/// Runs `body` in a savepoint of its own. If it fails, what it did is rolled back
/// and the transaction goes on; the text says why it failed.
///
/// # Errors
/// A cancelled statement and a server that stops end the transaction all the same.
pub fn attempt<T>(body: impl FnOnce() -> Result<T>) -> Result<std::result::Result<T, String>> {
    // Class 57, as MAKE_SQLSTATE packs it: six bits a character, the first lowest.
    const OPERATOR_INTERVENTION: c_int = 5 | 7 << 6;
    // SAFETY: what PL/pgSQL does for a block with an exception handler: context
    // and resource owner are put back however the savepoint ends.
    unsafe {
        let (context, owner) = (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner);
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(context);
        let result = body();
        pg_sys::MemoryContextSwitchTo(context);
        let ended = match result {
            Ok(value) => {
                pg_sys::ReleaseCurrentSubTransaction();
                Ok(value)
            }
            Err(error) => {
                let problem = match error {
                    Error::Postgres => {
                        let report = pg_sys::CopyErrorData();
                        if (*report).sqlerrcode & 0xfff == OPERATOR_INTERVENTION {
                            return Err(Error::Postgres);
                        }
                        pg_sys::FlushErrorState();
                        std::ffi::CStr::from_ptr((*report).message).to_string_lossy().into_owned()
                    }
                    refused => refused.to_string(),
                };
                pg_sys::RollbackAndReleaseCurrentSubTransaction();
                Err(problem)
            }
        };
        pg_sys::MemoryContextSwitchTo(context);
        pg_sys::CurrentResourceOwner = owner;
        Ok(ended)
    }
}

/// Whether a statement that the ledger's own code issued is running now: the
/// guards of its tables let nothing else through.
pub fn is_writing() -> bool {
    WRITING.get() > 0
}

/// Forgets that anything is running: called when a transaction has ended.
pub fn forget_writing() {
    WRITING.set(0);
}

thread_local! {
    static PLANS: RefCell<HashMap<*const u8, pg_sys::SPIPlanPtr>> = RefCell::new(HashMap::new());
    static WRITING: Cell<u32> = const { Cell::new(0) };
}

struct Writing;

impl Writing {
    fn begin() -> Self {
        WRITING.set(WRITING.get() + 1);
        Writing
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        WRITING.set(WRITING.get().saturating_sub(1));
    }
}

/// Runs `body` between SPI_connect and SPI_finish. After an error of Postgres the
/// connection is left to the abort of the transaction, which closes it.
fn connected<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    // SAFETY: connect and finish are paired on every path that goes on.
    catch(|| unsafe { SPI_connect() })?;
    let result = body();
    // A refusal of ours may be handled by whoever asked, and the statement goes on.
    if !matches!(result, Err(Error::Postgres)) {
        catch(|| unsafe { SPI_finish() })?;
    }
    result
}

fn execute(view: View, sql: &'static str, arguments: &[Value]) -> Result<()> {
    let plan = prepared(sql, arguments)?;
    let (mut datums, nulls) = datums(arguments);
    let pushed = push_latest(view);
    let (datums, nulls, read_only) = (datums.as_mut_ptr(), nulls.as_ptr(), view != View::Write);
    // SAFETY: the plan was prepared for these argument types.
    let result = catch(|| unsafe { SPI_execute_plan(plan, datums, nulls, read_only, 0) }).and_then(success);
    pop_latest(pushed, &result);
    result
}

fn prepared(sql: &'static str, arguments: &[Value]) -> Result<pg_sys::SPIPlanPtr> {
    let key = sql.as_ptr();
    if let Some(plan) = PLANS.with_borrow(|plans| plans.get(&key).copied()) {
        return Ok(plan);
    }
    let text = CString::new(sql).map_err(|_| Error::parameter("statement", "contains a NUL"))?;
    let mut types: Vec<Oid> = arguments.iter().map(Value::type_oid).collect();
    let (text, count, types) = (text.as_ptr(), types.len() as c_int, types.as_mut_ptr());
    // SAFETY: text and types outlive the call, which copies them.
    let plan = catch(|| unsafe {
        let plan = SPI_prepare(text, count, types);
        if !plan.is_null() {
            SPI_keepplan(plan);
        }
        plan
    })?;
    if plan.is_null() {
        return Err(Error::parameter("statement", "could not be prepared"));
    }
    PLANS.with_borrow_mut(|plans| plans.insert(key, plan));
    Ok(plan)
}

fn datums(arguments: &[Value]) -> (Vec<Datum>, Vec<c_char>) {
    arguments
        .iter()
        .map(|value| match value.to_datum() {
            Some(datum) => (datum, b' ' as c_char),
            None => (Datum::null(), b'n' as c_char),
        })
        .unzip()
}

/// Makes the newest snapshot the active one, past that of a REPEATABLE READ
/// transaction; with the effects of this transaction's own commands.
fn push_latest(view: View) -> bool {
    // A parallel query cannot take a new snapshot; it is reading only, and the
    // one that it shares with its leader will do.
    // SAFETY: popped by pop_latest, or by the abort if the statement fails.
    let push = view == View::Latest && !unsafe { pg_sys::IsInParallelMode() };
    if push {
        unsafe {
            pg_sys::CommandCounterIncrement();
            pg_sys::PushActiveSnapshot(pg_sys::GetLatestSnapshot());
        }
    }
    push
}

/// After an error of Postgres the snapshots, its own above this one among them,
/// are left to the abort of the transaction.
fn pop_latest<T>(pushed: bool, result: &Result<T>) {
    if pushed && !matches!(result, Err(Error::Postgres)) {
        // SAFETY: pushed by push_latest just before.
        unsafe { pg_sys::PopActiveSnapshot() }
    }
}

fn success(code: c_int) -> Result<()> {
    if code >= 0 {
        Ok(())
    } else {
        Err(Error::parameter("statement", format_args!("failed with SPI code {code}")))
    }
}

/// Calls into Postgres and stops an error at this frame, leaving it on Postgres'
/// error stack with its SQLSTATE, detail, hint and context as they are.
///
/// `call` must do nothing but call C: its frames are jumped over.
pub fn catch<T>(call: impl FnOnce() -> T) -> Result<T> {
    // SAFETY: this is PG_TRY and PG_CATCH (utils/elog.h) without the flush. The
    // statics are those of this, the backend's only, thread.
    unsafe {
        let context = pg_sys::CurrentMemoryContext;
        let exception_stack = pg_sys::PG_exception_stack;
        let context_stack = pg_sys::error_context_stack;
        let mut result = None;
        let jumped = call_with_sigsetjmp(false, |buffer: &SigJmpBufFields| {
            pg_sys::PG_exception_stack = std::ptr::from_ref(buffer).cast_mut().cast();
            result = Some(call());
            0
        });
        pg_sys::PG_exception_stack = exception_stack;
        pg_sys::error_context_stack = context_stack;
        match result {
            Some(value) if jumped == 0 => Ok(value),
            _ => {
                pg_sys::CurrentMemoryContext = context;
                Err(Error::Postgres)
            }
        }
    }
}

/// One row of a result, numbered from 1 as SQL does.
pub struct Row {
    datums: Vec<Datum>,
    nulls: Vec<bool>,
}

impl Row {
    unsafe fn new(tuple: pg_sys::HeapTuple, descriptor: pg_sys::TupleDesc) -> Self {
        // SAFETY: both come from the same live tuple table.
        unsafe {
            let count = usize::try_from((*descriptor).natts).unwrap_or(0);
            let mut row = Row { datums: vec![Datum::null(); count], nulls: vec![true; count] };
            pg_sys::heap_deform_tuple(tuple, descriptor, row.datums.as_mut_ptr(), row.nulls.as_mut_ptr());
            row
        }
    }

    /// Column `number` as it is; none if it is NULL.
    pub fn datum(&self, number: usize) -> Option<Datum> {
        let index = number.wrapping_sub(1);
        (self.nulls.get(index) == Some(&false)).then(|| self.datums[index])
    }

    /// A `text` column.
    pub fn text(&self, number: usize) -> Option<String> {
        self.datum(number).map(|datum| unsafe { crate::value::text_of(datum) })
    }

    /// A `bytea` column.
    pub fn bytes(&self, number: usize) -> Option<Vec<u8>> {
        self.datum(number).map(|datum| unsafe { crate::value::bytes_of(datum) })
    }

    /// Appends the bytes of a `text` or `bytea` column; whether there is any.
    pub fn append_bytes(&self, number: usize, out: &mut Vec<u8>) -> bool {
        self.datum(number).map(|datum| unsafe { crate::value::append_bytes(datum, out) }).is_some()
    }

    /// Appends the text of a `jsonb` column; whether there is any.
    pub fn append_jsonb(&self, number: usize, out: &mut Vec<u8>) -> bool {
        self.datum(number).map(|datum| unsafe { crate::value::append_jsonb(datum, out) }).is_some()
    }

    /// A `uuid` column.
    pub fn uuid(&self, number: usize) -> Option<[u8; 16]> {
        self.datum(number).map(|datum| unsafe { crate::value::uuid_of(datum) })
    }

    /// A `bigint` column.
    pub fn int(&self, number: usize) -> Option<i64> {
        self.datum(number).map(|datum| datum.value() as i64)
    }

    /// A `boolean` column.
    pub fn bool(&self, number: usize) -> Option<bool> {
        self.datum(number).map(|datum| datum.value() & 0xff != 0)
    }

    /// A `jsonb` column, as its text.
    pub fn jsonb(&self, number: usize) -> Option<String> {
        self.datum(number).map(|datum| unsafe { crate::value::jsonb_text_of(datum) })
    }

    /// A `timestamptz` column, in microseconds since 1970.
    pub fn unix_micros(&self, number: usize) -> Option<i64> {
        self.int(number).map(crate::value::unix_micros)
    }
}

crate::server_functions! {
    fn SPI_connect() -> c_int;
    fn SPI_finish() -> c_int;
    fn SPI_prepare(sql: *const c_char, count: c_int, types: *mut Oid) -> pg_sys::SPIPlanPtr;
    fn SPI_keepplan(plan: pg_sys::SPIPlanPtr) -> c_int;
    fn SPI_execute(sql: *const c_char, read_only: bool, count: c_long) -> c_int;
    fn SPI_execute_plan(
        plan: pg_sys::SPIPlanPtr,
        values: *mut Datum,
        nulls: *const c_char,
        read_only: bool,
        count: c_long,
    ) -> c_int;
    fn SPI_cursor_open(
        name: *const c_char,
        plan: pg_sys::SPIPlanPtr,
        values: *mut Datum,
        nulls: *const c_char,
        read_only: bool,
    ) -> pg_sys::Portal;
    fn SPI_cursor_fetch(portal: pg_sys::Portal, forward: bool, count: c_long);
    fn SPI_cursor_close(portal: pg_sys::Portal);
}
