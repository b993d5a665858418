//! The server's clock and the ids that it makes: what ets-core must not have.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use ets_core::event::EventId;
use ets_core::time::Timestamp;
use pgrx::pg_sys;

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

/// A new id: the milliseconds of the clock, twelve bits of the part of a millisecond (RFC
/// 9562, section 6.2, method 3), so that what follows on one server is nearly always
/// greater, then 62 random bits.
pub fn new_id() -> Result<EventId> {
    let outside = || Error::new(sqlstate::FIELD, "the server's clock is outside the years 1970 to 9999");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| outside())?;
    let millis = u64::try_from(now.as_millis()).map_err(|_| outside())?;
    let part = u64::from(now.subsec_nanos() % 1_000_000) * 4096 / 1_000_000;
    let mut rest = [0; 10];
    rest[..2].copy_from_slice(&(part as u16).to_be_bytes());
    rest[2..].copy_from_slice(&random()?);
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &rest).into_uuid();
    EventId::from_uuid(id).ok_or_else(outside)
}

/// Eight random bytes of the operating system's, which is asked for many at a time, and
/// by each process anew: backends forked from one postmaster never share a sequence.
fn random() -> Result<[u8; 8]> {
    struct Pool {
        owner: i32,
        unused: Vec<[u8; 8]>,
    }
    thread_local! {
        static POOL: RefCell<Pool> = const { RefCell::new(Pool { owner: 0, unused: Vec::new() }) };
    }
    // SAFETY: reads a static that is set once a process.
    let process = unsafe { pg_sys::MyProcPid };
    POOL.with_borrow_mut(|pool| {
        if pool.owner != process || pool.unused.is_empty() {
            let mut fresh = [0; 512];
            getrandom::fill(&mut fresh).map_err(|error| {
                Error::new(c"58000", format!("the system gives no random bytes: {error}"))
            })?;
            pool.owner = process;
            pool.unused = fresh.as_chunks().0.to_vec();
        }
        Ok(pool.unused.pop().unwrap_or_default())
    })
}
