//! The server's clock and the ids that it makes: what ets-core must not have.

use ets_core::event::EventId;
use ets_core::time::Timestamp;
use pgrx::pg_sys;
use uuid::Uuid;

use crate::error::{Error, Result, sqlstate};
use crate::value;

/// Now, to the microsecond.
///
/// # Errors
/// ET010 while the server's clock is outside the years 1970 to 9999.
pub fn now() -> Result<Timestamp> {
    // SAFETY: reads the clock.
    let micros = value::unix_micros(unsafe { pg_sys::GetCurrentTimestamp() });
    Timestamp::from_unix_micros(micros)
        .ok_or_else(|| Error::new(sqlstate::FIELD, "the server's clock is outside the years 1970 to 9999"))
}

/// Now, in milliseconds since 1970.
pub fn unix_millis() -> u64 {
    // SAFETY: reads the clock.
    let micros = value::unix_micros(unsafe { pg_sys::GetCurrentTimestamp() });
    u64::try_from(micros / 1000).unwrap_or(0)
}

/// A new id: the milliseconds of the clock, then bits from the operating
/// system's random source, asked afresh each time, so that backends forked from
/// one postmaster never share a sequence.
pub fn new_id() -> Result<EventId> {
    EventId::from_uuid(Uuid::now_v7())
        .ok_or_else(|| Error::new(sqlstate::FIELD, "the server's clock is outside the years 1970 to 9999"))
}
