//! A refused change as a finding.
//!
//! The error of an apply worker rolls its transaction back, and with it whatever
//! the transaction could have written about it. So it is remembered, and written
//! in a transaction of its own when the worker's process ends, as Postgres itself
//! removes temporary tables then.

use std::cell::RefCell;
use std::ffi::c_int;

use ets_core::event::Header;
use ets_core::verify::{Finding, FindingClass};
use pgrx::pg_sys;

use crate::db;
use crate::error::{Error, Result};
use crate::runs;

thread_local! {
    static REFUSED: RefCell<Option<Finding>> = const { RefCell::new(None) };
    static IS_REGISTERED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Remembers why a change was refused; of which event, where it could be read.
pub fn remember(error: &Error, table: &str, header: Option<&Header>) {
    if error.sqlstate().is_none() {
        return;
    }
    REFUSED.set(Some(Finding {
        class: FindingClass::Tampering,
        domain: header.map(|header| header.domain.to_string()),
        stream: header.map(|header| header.stream.to_string()),
        sequence: header.and_then(|header| i64::try_from(header.sequence).ok()),
        event_id: header.map(|header| *header.event_id.as_uuid()),
        check: "subscription",
        expected: None,
        actual: error.sqlstate().map(|code| code.to_string_lossy().into_owned()),
        detail: format!("a row for ets.{table} was refused as it was applied: {error}"),
    }));
    if !IS_REGISTERED.replace(true) {
        // SAFETY: the callback is a function of this library, which stays loaded.
        unsafe { before_shmem_exit(Some(write_down), pg_sys::Datum::null()) }
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn write_down(_code: c_int, _argument: pg_sys::Datum) {
    let Some(finding) = REFUSED.take() else { return };
    // SAFETY: the failed transaction is ended first. The new one is none of the
    // publisher's: it must not move the subscription's progress.
    unsafe {
        pg_sys::AbortOutOfAnyTransaction();
        pg_sys::replorigin_session_origin = pg_sys::InvalidRepOriginId as pg_sys::RepOriginId;
        let written = db::catch(|| {
            pg_sys::StartTransactionCommand();
            pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        })
        .and_then(|()| record(&finding))
        .and_then(|()| {
            db::catch(|| {
                pg_sys::PopActiveSnapshot();
                pg_sys::CommitTransactionCommand();
            })
        });
        if written.is_err() {
            // The log and ets.status still tell.
            pg_sys::FlushErrorState();
            pg_sys::AbortOutOfAnyTransaction();
        }
    }
}

fn record(finding: &Finding) -> Result<()> {
    runs::record_refusal(finding)
}

crate::server_functions! {
    // storage/ipc.h
    fn before_shmem_exit(
        function: pg_sys::pg_on_exit_callback,
        argument: pg_sys::Datum,
    );
}
