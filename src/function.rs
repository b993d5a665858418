//! The boundary between SQL and Rust: arguments in, results out, errors raised.
//!
//! The SQL declarations are in `sql/functions/`, so that names, defaults,
//! volatility and comments can be read where a DBA looks for them. A function
//! here gets its [`Call`] and returns what it answers; nothing of Rust is alive
//! when an error leaves ([`crate::error`] says why this is not left to pgrx).

use ets_core::canonical::{Limits, Payload};
use ets_core::event::{Event, EventId};
use ets_core::hash::{Digest, bytes_of};
use pgrx::pg_sys::{self, Datum, FunctionCallInfo};

use crate::error::{Error, Result, sqlstate};
use crate::value::{self, Value};

/// Exports functions to `LANGUAGE c`: each with the record that says it follows
/// the version-1 calling convention.
#[macro_export]
macro_rules! sql_functions {
    ($($symbol:ident $record:ident => $function:path;)*) => {$(
        #[doc(hidden)]
        #[unsafe(no_mangle)]
        pub extern "C" fn $record() -> &'static pgrx::pg_sys::Pg_finfo_record {
            const VERSION_1: pgrx::pg_sys::Pg_finfo_record = pgrx::pg_sys::Pg_finfo_record { api_version: 1 };
            &VERSION_1
        }

        #[doc(hidden)]
        #[unsafe(no_mangle)]
        #[pgrx::pg_guard]
        pub unsafe extern "C-unwind" fn $symbol(info: pgrx::pg_sys::FunctionCallInfo) -> pgrx::pg_sys::Datum {
            $crate::function::answer(info, $function)
        }
    )*};
}

/// Calls `function` and hands its answer, or its error, to Postgres.
pub fn answer<R: Answer>(info: FunctionCallInfo, function: fn(&Call) -> Result<R>) -> Datum {
    let call = Call { info };
    match function(&call).and_then(|answer| answer.into_datum(&call)) {
        Ok(datum) => datum,
        Err(error) => error.raise(),
    }
}

/// The arguments of one call. Positions count from 0.
pub struct Call {
    info: FunctionCallInfo,
}

impl Call {
    /// What Postgres passed, for triggers.
    pub fn info(&self) -> FunctionCallInfo {
        self.info
    }

    /// Argument `position` as it is; none if it is NULL.
    pub fn datum(&self, position: usize) -> Option<Datum> {
        // SAFETY: SQL declares as many arguments as the functions ask for.
        let argument = unsafe { (*self.info).args.as_slice((*self.info).nargs.max(0) as usize)[position] };
        (!argument.isnull).then_some(argument.value)
    }

    /// An optional `text`.
    pub fn text(&self, position: usize) -> Option<String> {
        self.datum(position).map(|datum| unsafe { value::text_of(datum) })
    }

    /// An optional `bytea`.
    pub fn bytes(&self, position: usize) -> Option<Vec<u8>> {
        self.datum(position).map(|datum| unsafe { value::bytes_of(datum) })
    }

    /// An optional `bigint`.
    pub fn int(&self, position: usize) -> Option<i64> {
        self.datum(position).map(|datum| datum.value() as i64)
    }

    /// An optional `integer`.
    pub fn int4(&self, position: usize) -> Option<i32> {
        self.datum(position).map(|datum| datum.value() as i32)
    }

    /// An optional `boolean`.
    pub fn bool(&self, position: usize) -> Option<bool> {
        self.datum(position).map(|datum| datum.value() & 0xff != 0)
    }

    /// An optional `uuid`.
    pub fn uuid(&self, position: usize) -> Option<[u8; 16]> {
        self.datum(position).map(|datum| unsafe { value::uuid_of(datum) })
    }

    /// An optional `jsonb`, as its text.
    pub fn jsonb(&self, position: usize) -> Option<String> {
        self.datum(position).map(|datum| unsafe { value::jsonb_text_of(datum) })
    }

    /// An optional `timestamptz`, in microseconds since 1970.
    pub fn unix_micros(&self, position: usize) -> Option<i64> {
        self.int(position).map(value::unix_micros)
    }

    /// A `text` that must not be NULL (22004).
    pub fn required_text(&self, position: usize, name: &str) -> Result<String> {
        self.text(position).ok_or_else(|| Error::null(name))
    }

    /// A `jsonb` that must not be NULL (22004), as its text.
    pub fn required_jsonb(&self, position: usize, name: &str) -> Result<String> {
        self.jsonb(position).ok_or_else(|| Error::null(name))
    }

    /// A `jsonb` that must not be NULL (22004) and is a payload (ET001).
    pub fn required_payload(&self, position: usize, limits: &Limits) -> Result<Payload> {
        let datum = self.datum(position).ok_or_else(|| Error::null("payload"))?;
        // SAFETY: the argument is declared jsonb.
        unsafe { value::payload_of(datum, limits) }
    }

    /// A `bigint` that must not be NULL (22004).
    pub fn required_int(&self, position: usize, name: &str) -> Result<i64> {
        self.int(position).ok_or_else(|| Error::null(name))
    }

    /// A `bigint` that must be neither NULL (22004) nor negative (22023).
    pub fn required_count(&self, position: usize, name: &str) -> Result<u64> {
        let number = self.required_int(position, name)?;
        u64::try_from(number).map_err(|_| Error::parameter(name, "must not be negative"))
    }

    /// A `bytea` of `N` bytes that must not be NULL (22004); of another length
    /// it is refused with `code`.
    pub fn required_bytes<const N: usize>(
        &self,
        position: usize,
        name: &str,
        code: &'static std::ffi::CStr,
    ) -> Result<[u8; N]> {
        exact_bytes(&self.bytes(position).ok_or_else(|| Error::null(name))?, name, code)
    }

    /// A hash that must not be NULL: 32 bytes (22023 for other lengths).
    pub fn required_digest(&self, position: usize, name: &str) -> Result<Digest> {
        self.required_bytes(position, name, sqlstate::PARAMETER).map(Digest)
    }

    /// A `bytea[]` in which nothing may be NULL (22004).
    pub fn required_bytes_array(&self, position: usize, name: &str) -> Result<Vec<Vec<u8>>> {
        let datum = self.datum(position).ok_or_else(|| Error::null(name))?;
        // SAFETY: the argument is declared bytea[].
        unsafe { value::bytes_array_of(datum) }.ok_or_else(|| Error::null(name))
    }

    /// A `uuid` that must not be NULL (22004).
    pub fn required_uuid(&self, position: usize, name: &str) -> Result<[u8; 16]> {
        self.uuid(position).ok_or_else(|| Error::null(name))
    }

    /// An event id that must not be NULL. One that is no UUID version 7 names no event (ET011).
    pub fn required_event_id(&self, position: usize, name: &str) -> Result<EventId> {
        let bytes = self.required_uuid(position, name)?;
        EventId::from_slice(&bytes).ok_or_else(|| no_event(&bytes))
    }
}

/// `ET011` for an event id that no event has.
pub fn no_event(id: &[u8; 16]) -> Error {
    let text = uuid::Uuid::from_bytes(*id).to_string();
    Error::new(sqlstate::NOT_FOUND, format!("no event {text}"))
        .detail(serde_json::json!({"event_id": text}))
        .hint("event ids are UUIDs of version 7, as ets.append returns them")
}

/// `bytes` as exactly `N`, else refused with `code`.
pub fn exact_bytes<const N: usize>(
    bytes: &[u8],
    name: &str,
    code: &'static std::ffi::CStr,
) -> Result<[u8; N]> {
    bytes_of(bytes).map_err(|error| {
        Error::new(code, format!("{name} has {error}"))
            .detail(serde_json::json!({
                "argument": name, "expected_bytes": error.expected, "actual_bytes": error.actual,
            }))
            .hint("hashes and keys have 32 bytes, signatures 64; write bytea as '\\x…'")
    })
}

/// What a function can answer.
pub trait Answer {
    /// The result as Postgres wants it.
    fn into_datum(self, call: &Call) -> Result<Datum>;
}

impl Answer for Value {
    fn into_datum(self, call: &Call) -> Result<Datum> {
        Ok(self.to_datum().unwrap_or_else(|| null(call)))
    }
}

impl Answer for Option<Value> {
    fn into_datum(self, call: &Call) -> Result<Datum> {
        Ok(self.and_then(|value| value.to_datum()).unwrap_or_else(|| null(call)))
    }
}

impl Answer for () {
    fn into_datum(self, _: &Call) -> Result<Datum> {
        Ok(Datum::null())
    }
}

/// A value that is a datum already, as triggers answer.
impl Answer for Datum {
    fn into_datum(self, _: &Call) -> Result<Datum> {
        Ok(self)
    }
}

/// One row of the function's composite result type.
pub struct Record(pub Vec<Value>);

impl Answer for Record {
    fn into_datum(self, call: &Call) -> Result<Datum> {
        // SAFETY: the descriptor is that of the result type in the catalog; as
        // many columns are formed as it has.
        unsafe {
            let descriptor = pg_sys::BlessTupleDesc(result_descriptor(call)?);
            let (mut datums, mut nulls) = columns(&self.0, descriptor)?;
            let tuple = pg_sys::heap_form_tuple(descriptor, datums.as_mut_ptr(), nulls.as_mut_ptr());
            Ok(pg_sys::HeapTupleHeaderGetDatum((*tuple).t_data))
        }
    }
}

/// A set of rows, kept in a tuple store that spills to disk.
pub struct Rows {
    store: *mut pg_sys::Tuplestorestate,
    descriptor: pg_sys::TupleDesc,
}

impl Rows {
    /// Opens the function's result set.
    pub fn open(call: &Call) -> Result<Rows> {
        // SAFETY: this is what InitMaterializedSRF does (utils/fmgr/funcapi.c).
        unsafe {
            let result: *mut pg_sys::ReturnSetInfo = (*call.info).resultinfo.cast();
            let usable = !result.is_null()
                && (*result).type_ == pg_sys::NodeTag::T_ReturnSetInfo
                && (*result).allowedModes as u32 & pg_sys::SetFunctionReturnMode::SFRM_Materialize != 0;
            if !usable {
                return Err(Error::new(
                    c"0A000",
                    "set-returning function called where a set cannot be returned",
                )
                .hint("call it in FROM"));
            }
            let outer = pg_sys::MemoryContextSwitchTo((*(*result).econtext).ecxt_per_query_memory);
            let descriptor = result_descriptor(call)
                .map(|descriptor| pg_sys::BlessTupleDesc(pg_sys::CreateTupleDescCopy(descriptor)));
            let random =
                (*result).allowedModes as u32 & pg_sys::SetFunctionReturnMode::SFRM_Materialize_Random != 0;
            let store = pg_sys::tuplestore_begin_heap(random, false, pg_sys::work_mem);
            pg_sys::MemoryContextSwitchTo(outer);
            let descriptor = descriptor?;
            (*result).returnMode = pg_sys::SetFunctionReturnMode::SFRM_Materialize;
            (*result).setResult = store;
            (*result).setDesc = descriptor;
            Ok(Rows { store, descriptor })
        }
    }

    /// Adds a row.
    pub fn put(&mut self, row: &[Value]) -> Result<()> {
        // SAFETY: store and descriptor live as long as the query; put copies.
        unsafe {
            let (mut datums, mut nulls) = columns(row, self.descriptor)?;
            pg_sys::tuplestore_putvalues(
                self.store,
                self.descriptor,
                datums.as_mut_ptr(),
                nulls.as_mut_ptr(),
            );
        }
        Ok(())
    }
}

impl Answer for Rows {
    fn into_datum(self, call: &Call) -> Result<Datum> {
        Ok(null(call))
    }
}

fn null(call: &Call) -> Datum {
    // SAFETY: the call's own result flag.
    unsafe { (*call.info).isnull = true }
    Datum::null()
}

unsafe fn result_descriptor(call: &Call) -> Result<pg_sys::TupleDesc> {
    let mut descriptor = std::ptr::null_mut();
    // SAFETY: fills in the descriptor of the declared or expected row type.
    let class = unsafe { pg_sys::get_call_result_type(call.info, std::ptr::null_mut(), &mut descriptor) };
    if class == pg_sys::TypeFuncClass::TYPEFUNC_COMPOSITE && !descriptor.is_null() {
        Ok(descriptor)
    } else {
        Err(Error::new(c"0A000", "function returning a row called where a row type is not known"))
    }
}

unsafe fn columns(row: &[Value], descriptor: pg_sys::TupleDesc) -> Result<(Vec<Datum>, Vec<bool>)> {
    // SAFETY: a live descriptor.
    let expected = usize::try_from(unsafe { (*descriptor).natts }).unwrap_or(0);
    if expected != row.len() {
        return Err(Error::new(
            c"42804",
            format!("{} columns where the result type has {expected}", row.len()),
        )
        .hint("the SQL objects are of another version: ALTER EXTENSION pg_ets UPDATE"));
    }
    Ok(row
        .iter()
        .map(|value| match value.to_datum() {
            Some(datum) => (datum, false),
            None => (Datum::null(), true),
        })
        .unzip())
}

/// An event as the composite type `ets.event`.
pub fn event_columns(event: &Event) -> Vec<Value> {
    let header = &event.header;
    vec![
        header.event_id.into(),
        header.domain.as_str().into(),
        header.stream.as_str().into(),
        header.sequence.into(),
        Value::Jsonb(event.payload.canonical().to_owned()),
        header.schema_version.as_str().into(),
        header.key_id.into(),
        header.public_key.into(),
        header.previous_hash.into(),
        header.current_hash.into(),
        header.signature.into(),
        header.timestamp.into(),
        header.registry_version.into(),
    ]
}
