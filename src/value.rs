//! SQL values as Rust values, both ways. Only the types that the ledger uses.

use std::ffi::CString;

use ets_core::canonical::{Limits, Payload};
use ets_core::event::EventId;
use ets_core::hash::Digest;
use ets_core::key::{KeyId, Signature};
use ets_core::time::Timestamp;
use pgrx::pg_sys::{self, Datum, Oid};

use crate::error::Result;
use crate::jsonb;

/// Microseconds from 1970, where Unix counts from, to 2000, where Postgres does.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// An argument of a statement, or a column of a result.
#[derive(Debug, Clone)]
pub enum Value {
    /// NULL of the type of the value inside.
    Null(Type),
    /// `boolean`
    Bool(bool),
    /// `integer`
    Int4(i32),
    /// `bigint`
    Int(i64),
    /// `double precision`
    Float(f64),
    /// `text`
    Text(String),
    /// `bytea`
    Bytes(Vec<u8>),
    /// `uuid`
    Uuid([u8; 16]),
    /// `timestamptz`
    Timestamp(Timestamp),
    /// `jsonb`, from its text
    Jsonb(String),
    /// `json`, as its text
    Json(String),
    /// A datum of this type that is there already and outlives the call
    Made(Datum, Oid),
    /// `tid`
    Tid(u32, u16),
    /// `uuid[]`
    UuidArray(Vec<[u8; 16]>),
    /// `bigint[]`
    IntArray(Vec<i64>),
}

/// The type of a NULL.
#[derive(Debug, Clone, Copy)]
pub enum Type {
    /// `boolean`
    Bool,
    /// `bigint`
    Int,
    /// `text`
    Text,
    /// `bytea`
    Bytes,
    /// `uuid`
    Uuid,
    /// `timestamptz`
    Timestamp,
    /// `jsonb`
    Jsonb,
}

impl Value {
    /// `value`, or NULL of its type.
    pub fn or_null<T: Into<Value>>(value: Option<T>, kind: Type) -> Value {
        value.map_or(Value::Null(kind), Into::into)
    }

    /// A count or position as `bigint`; the ledger's never reach 2^63.
    pub fn count(number: u64) -> Value {
        Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }

    /// The SQL type.
    pub fn type_oid(&self) -> Oid {
        match self {
            Value::Bool(_) | Value::Null(Type::Bool) => pg_sys::BOOLOID,
            Value::Int4(_) => pg_sys::INT4OID,
            Value::Int(_) | Value::Null(Type::Int) => pg_sys::INT8OID,
            Value::Text(_) | Value::Null(Type::Text) => pg_sys::TEXTOID,
            Value::Float(_) => pg_sys::FLOAT8OID,
            Value::Bytes(_) | Value::Null(Type::Bytes) => pg_sys::BYTEAOID,
            Value::Uuid(_) | Value::Null(Type::Uuid) => pg_sys::UUIDOID,
            Value::Timestamp(_) | Value::Null(Type::Timestamp) => pg_sys::TIMESTAMPTZOID,
            Value::Jsonb(_) | Value::Null(Type::Jsonb) => pg_sys::JSONBOID,
            Value::Made(_, kind) => *kind,
            Value::Json(_) => pg_sys::JSONOID,
            Value::Tid(..) => pg_sys::TIDOID,
            Value::UuidArray(_) => pg_sys::UUIDARRAYOID,
            Value::IntArray(_) => pg_sys::INT8ARRAYOID,
        }
    }

    /// The datum, allocated in the current memory context; none for NULL.
    pub fn to_datum(&self) -> Option<Datum> {
        Some(match self {
            Value::Null(_) => return None,
            Value::Bool(value) => Datum::from(*value),
            Value::Int4(value) => Datum::from(*value),
            Value::Int(value) => Datum::from(*value),
            Value::Float(value) => Datum::from(value.to_bits()),
            Value::Text(text) | Value::Json(text) => varlena(text.as_bytes()),
            Value::Bytes(bytes) => varlena(bytes),
            Value::Uuid(bytes) => fixed(bytes),
            Value::Timestamp(moment) => Datum::from(moment.unix_micros() - POSTGRES_EPOCH),
            Value::Jsonb(text) => jsonb(text),
            Value::Made(datum, _) => *datum,
            Value::Tid(block, offset) => {
                let mut bytes = [0; 6];
                bytes[..2].copy_from_slice(&((block >> 16) as u16).to_ne_bytes());
                bytes[2..4].copy_from_slice(&(*block as u16).to_ne_bytes());
                bytes[4..].copy_from_slice(&offset.to_ne_bytes());
                fixed(&bytes)
            }
            Value::UuidArray(items) => {
                array(items.iter().map(|item| fixed(item)), pg_sys::UUIDOID, 16, false, b'c')
            }
            Value::IntArray(items) => {
                array(items.iter().map(|item| Datum::from(*item)), pg_sys::INT8OID, 8, true, b'd')
            }
        })
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Value::Int(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Value::count(value)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text)
    }
}

impl From<Digest> for Value {
    fn from(digest: Digest) -> Self {
        Value::Bytes(digest.as_bytes().to_vec())
    }
}

impl From<&Digest> for Value {
    fn from(digest: &Digest) -> Self {
        (*digest).into()
    }
}

impl From<Signature> for Value {
    fn from(signature: Signature) -> Self {
        Value::Bytes(signature.0.to_vec())
    }
}

impl From<[u8; 32]> for Value {
    fn from(bytes: [u8; 32]) -> Self {
        Value::Bytes(bytes.to_vec())
    }
}

impl From<EventId> for Value {
    fn from(id: EventId) -> Self {
        Value::Uuid(*id.as_uuid().as_bytes())
    }
}

impl From<KeyId> for Value {
    fn from(id: KeyId) -> Self {
        Value::Text(id.to_string())
    }
}

impl From<Timestamp> for Value {
    fn from(moment: Timestamp) -> Self {
        Value::Timestamp(moment)
    }
}

/// A `timestamptz` in microseconds since 1970. Infinity stays at the end of the range.
pub fn unix_micros(postgres_micros: i64) -> i64 {
    postgres_micros.saturating_add(POSTGRES_EPOCH)
}

/// The bytes of a `bytea`.
///
/// # Safety
/// `datum` is a live `bytea`, or another varlena.
pub unsafe fn bytes_of(datum: Datum) -> Vec<u8> {
    let mut bytes = Vec::new();
    // SAFETY: per the contract.
    unsafe { append_bytes(datum, &mut bytes) };
    bytes
}

/// Appends the bytes of a `bytea` or `text`.
///
/// # Safety
/// `datum` is a live varlena.
pub unsafe fn append_bytes(datum: Datum, out: &mut Vec<u8>) {
    // SAFETY: per the contract; a detoasted copy is freed when it has been read.
    unsafe {
        let stored = datum.cast_mut_ptr();
        let value = pg_sys::pg_detoast_datum_packed(stored);
        out.extend_from_slice(pgrx::varlena::varlena_to_byte_slice(value));
        if value != stored {
            pg_sys::pfree(value.cast());
        }
    }
}

/// The text of a `text`. The database's encoding is UTF-8, which `ets.init` demands.
///
/// # Safety
/// `datum` is a live `text`.
pub unsafe fn text_of(datum: Datum) -> String {
    // SAFETY: per the contract.
    let bytes = unsafe { bytes_of(datum) };
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// The 16 bytes of a `uuid`.
///
/// # Safety
/// `datum` is a live `uuid`.
pub unsafe fn uuid_of(datum: Datum) -> [u8; 16] {
    // SAFETY: per the contract; a uuid is 16 bytes by reference.
    unsafe { *datum.cast_mut_ptr::<[u8; 16]>() }
}

/// The text of a `jsonb`, as Postgres prints it.
///
/// # Safety
/// `datum` is a live `jsonb`.
pub unsafe fn jsonb_text_of(datum: Datum) -> String {
    let mut text = Vec::new();
    // SAFETY: per the contract.
    unsafe { append_jsonb(datum, &mut text) };
    String::from_utf8(text).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// The payload that a `jsonb` is.
///
/// # Errors
/// ET001 if it has no canonical form, or is beyond the limits.
///
/// # Safety
/// `datum` is a live `jsonb`.
pub unsafe fn payload_of(datum: Datum, limits: &Limits) -> Result<Payload> {
    // SAFETY: per the contract; a detoasted copy is freed when it has been read.
    let read = unsafe {
        let stored = datum.cast_mut_ptr();
        let value = pg_sys::pg_detoast_datum(stored);
        let read = jsonb::read(pgrx::varlena::varlena_to_byte_slice(value), limits);
        if value != stored {
            pg_sys::pfree(value.cast());
        }
        read
    };
    Ok(match read {
        Some((value, stored_form)) => Payload::from_read(value, stored_form, limits)?,
        // SAFETY: per the contract.
        None => Payload::parse(&unsafe { jsonb_text_of(datum) }, limits)?,
    })
}

/// The `jsonb` of a payload, allocated in the current memory context.
pub fn payload_datum(payload: &Payload) -> Datum {
    match jsonb::write(payload.value()) {
        Some(bytes) => fixed(&bytes),
        None => jsonb(payload.canonical()),
    }
}

/// Appends the text of a `jsonb`, as Postgres prints it.
///
/// # Safety
/// `datum` is a live `jsonb`.
pub unsafe fn append_jsonb(datum: Datum, out: &mut Vec<u8>) {
    // SAFETY: per the contract; the text is copied before anything is freed.
    unsafe {
        let stored = datum.cast_mut_ptr();
        let value = pg_sys::pg_detoast_datum(stored);
        let length = pgrx::varlena::varsize_any(value);
        let mut text = std::mem::zeroed();
        pg_sys::initStringInfo(&mut text);
        pg_sys::JsonbToCString(&mut text, &raw mut (*value.cast::<pg_sys::Jsonb>()).root, length as i32);
        out.extend_from_slice(std::slice::from_raw_parts(text.data.cast(), text.len.max(0) as usize));
        pg_sys::pfree(text.data.cast());
        if value != stored {
            pg_sys::pfree(value.cast());
        }
    }
}

/// The items of a `bytea[]`; none if one is NULL.
///
/// # Safety
/// `datum` is a live `bytea[]`.
pub unsafe fn bytes_array_of(datum: Datum) -> Option<Vec<Vec<u8>>> {
    let (mut items, mut nulls, mut count) = (std::ptr::null_mut(), std::ptr::null_mut(), 0);
    // SAFETY: per the contract; deconstruct_array allocates as many items as it counts.
    unsafe {
        pg_sys::deconstruct_array(
            pg_sys::pg_detoast_datum(datum.cast_mut_ptr()).cast(),
            pg_sys::BYTEAOID,
            -1,
            false,
            b'i' as std::ffi::c_char,
            &mut items,
            &mut nulls,
            &mut count,
        );
        (0..usize::try_from(count).unwrap_or(0))
            .map(|index| (!*nulls.add(index)).then(|| bytes_of(*items.add(index))))
            .collect()
    }
}

/// The block and offset of a `tid`.
///
/// # Safety
/// `datum` is a live `tid`.
pub unsafe fn tid_of(datum: Datum) -> (u32, u16) {
    // SAFETY: per the contract; an ItemPointerData is three 16-bit numbers.
    let [high, low, offset] = unsafe { *datum.cast_mut_ptr::<[u16; 3]>() };
    (u32::from(high) << 16 | u32::from(low), offset)
}

fn varlena(bytes: &[u8]) -> Datum {
    // SAFETY: cstring_to_text_with_len copies that many bytes; text and bytea
    // have the same layout.
    unsafe { Datum::from(pg_sys::cstring_to_text_with_len(bytes.as_ptr().cast(), bytes.len() as i32)) }
}

fn fixed(bytes: &[u8]) -> Datum {
    // SAFETY: a fresh allocation of just that size.
    unsafe {
        let copy = pg_sys::palloc(bytes.len());
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), copy.cast(), bytes.len());
        Datum::from(copy)
    }
}

fn jsonb(text: &str) -> Datum {
    let text = CString::new(text).unwrap_or_default();
    // SAFETY: jsonb_in takes one C string. It is given only canonical text, which it accepts.
    unsafe {
        pgrx::direct_function_call_as_datum(pg_sys::jsonb_in, &[Some(Datum::from(text.as_ptr()))])
            .unwrap_or(Datum::null())
    }
}

fn array(items: impl Iterator<Item = Datum>, kind: Oid, length: i32, by_value: bool, align: u8) -> Datum {
    let mut items: Vec<Datum> = items.collect();
    // SAFETY: the items are of that type; construct_array copies them.
    unsafe {
        Datum::from(pg_sys::construct_array(
            items.as_mut_ptr(),
            items.len() as i32,
            kind,
            length,
            by_value,
            align as std::ffi::c_char,
        ))
    }
}
