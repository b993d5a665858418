//! Settings.

use std::ffi::CString;

use ets_core::canonical::{
    DEFAULT_PAYLOAD_BYTES, DEFAULT_PAYLOAD_DEPTH, Limits, MAX_PAYLOAD_BYTES, MAX_PAYLOAD_DEPTH,
};
use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting};

/// Where the secret keys lie. Only postgresql.conf sets it: who could point it
/// elsewhere could make the server sign with another key.
static SERVER_KEY_DIRECTORY: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
/// Where each seal writes what it sealed. Only postgresql.conf sets it: who could
/// point it elsewhere could hide that a data directory went back.
static HIGH_WATER_DIRECTORY: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
/// How far a client's event_id may be from now.
static MAX_CLOCK_SKEW: GucSetting<i32> = GucSetting::<i32>::new(300);
/// The largest payload that an append may have, in bytes of its canonical text.
static MAX_BYTES: GucSetting<i32> = GucSetting::<i32>::new(DEFAULT_PAYLOAD_BYTES as i32);
/// The deepest nesting that an append may have.
static MAX_DEPTH: GucSetting<i32> = GucSetting::<i32>::new(DEFAULT_PAYLOAD_DEPTH as i32);

/// How many threads a step inside a backend may use; 0 for one a core.
static WORKER_THREADS: GucSetting<i32> = GucSetting::<i32>::new(0);

/// Within which time every event shall have been rehashed, however long ago it was sealed.
static REBUILD_PERIOD: GucSetting<i32> = GucSetting::<i32>::new(86_400);

/// `ets.rebuild_period`, in seconds.
pub fn rebuild_period_seconds() -> f64 {
    f64::from(REBUILD_PERIOD.get().max(1))
}

/// `ets.worker_threads`, with 0 resolved to the number of cores.
pub fn worker_threads() -> usize {
    match usize::try_from(WORKER_THREADS.get()) {
        Ok(threads) if threads > 0 => threads,
        _ => std::thread::available_parallelism().map_or(1, usize::from),
    }
}

/// Limits of new appends. Import, replay and verification know only the ceilings.
pub fn payload_limits() -> Limits {
    Limits {
        max_bytes: usize::try_from(MAX_BYTES.get()).unwrap_or(DEFAULT_PAYLOAD_BYTES),
        max_depth: usize::try_from(MAX_DEPTH.get()).unwrap_or(DEFAULT_PAYLOAD_DEPTH),
    }
}

/// `ets.max_clock_skew`, in milliseconds.
pub fn max_clock_skew_millis() -> u64 {
    u64::try_from(MAX_CLOCK_SKEW.get()).unwrap_or(0) * 1000
}

/// `ets.server_key_directory`, if it is set.
pub fn server_key_directory() -> Option<String> {
    directory(&SERVER_KEY_DIRECTORY)
}

/// `ets.high_water_directory`, if it is set.
pub fn high_water_directory() -> Option<String> {
    directory(&HIGH_WATER_DIRECTORY)
}

fn directory(setting: &GucSetting<Option<CString>>) -> Option<String> {
    setting.get().and_then(|directory| directory.into_string().ok()).filter(|directory| !directory.is_empty())
}

/// Makes the settings known to Postgres.
pub fn register() {
    GucRegistry::define_string_guc(
        c"ets.server_key_directory",
        c"Directory of the server's and the local secret keys.",
        c"Unset: pg_ets_keys beside the data directory. A file below the data directory is part of every base backup.",
        &SERVER_KEY_DIRECTORY,
        GucContext::Sighup,
        GucFlags::SUPERUSER_ONLY,
    );
    GucRegistry::define_string_guc(
        c"ets.high_water_directory",
        c"Directory outside the data directory where each seal writes what it sealed.",
        c"By this file a data directory that was put back to an earlier moment is found out. Unset: none is written.",
        &HIGH_WATER_DIRECTORY,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"ets.max_clock_skew",
        c"How far the time in a client's event_id may be from the server's clock.",
        c"Ids that the server makes are not concerned.",
        &MAX_CLOCK_SKEW,
        0,
        86_400,
        GucContext::Suset,
        GucFlags::UNIT_S,
    );
    GucRegistry::define_int_guc(
        c"ets.max_payload_bytes",
        c"Largest payload of an append, in bytes of its canonical text.",
        c"Limits new appends only; events that are stored already stay valid.",
        &MAX_BYTES,
        1,
        MAX_PAYLOAD_BYTES as i32,
        GucContext::Suset,
        GucFlags::UNIT_BYTE,
    );
    GucRegistry::define_int_guc(
        c"ets.max_payload_depth",
        c"Deepest nesting of arrays and objects in the payload of an append.",
        c"Limits new appends only; events that are stored already stay valid.",
        &MAX_DEPTH,
        0,
        MAX_PAYLOAD_DEPTH as i32,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"ets.rebuild_period",
        c"Within which time incremental runs verify every old event again.",
        c"Each run takes the share that is due; ets.status shows how long the last round took.",
        &REBUILD_PERIOD,
        60,
        31_536_000,
        GucContext::Suset,
        GucFlags::UNIT_S,
    );
    GucRegistry::define_int_guc(
        c"ets.worker_threads",
        c"How many threads checking a batch of signatures, a verification, or a seal, may use.",
        c"0: as many as there are cores.",
        &WORKER_THREADS,
        0,
        64,
        GucContext::Userset,
        GucFlags::default(),
    );
}
