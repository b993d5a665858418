//! Acting with the rights of the role that owns the ledger's tables, and with a
//! search_path that nobody else has set.

use pgrx::pg_sys::{self, Oid};

use crate::db;
use crate::error::{Error, Result};
use crate::ledger;

/// While this lives, the gate's own statements run with the rights of a table's owner,
/// as under SECURITY DEFINER: the sender needs none but on what it called.
pub struct Owner {
    user: Oid,
    context: i32,
}

impl Owner {
    /// Becomes the owner of an open relation.
    ///
    /// # Safety
    /// `relation` is open.
    pub unsafe fn of(relation: pg_sys::Relation) -> Owner {
        // SAFETY: per the contract.
        Owner::become_role(unsafe { (*(*relation).rd_rel).relowner })
    }

    /// Becomes the owner of `ets.ledger_event`; before `ets.init` there is nobody to become.
    pub fn of_events() -> Option<Owner> {
        let table = ledger::table(c"ledger_event")?;
        // SAFETY: reads the catalog's caches; the tuple is released when it has been read.
        unsafe {
            let row = pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::RELOID as i32, table.into());
            if row.is_null() {
                return None;
            }
            let owner = (*pg_sys::GETSTRUCT(row).cast::<pg_sys::FormData_pg_class>()).relowner;
            pg_sys::ReleaseSysCache(row);
            Some(Owner::become_role(owner))
        }
    }

    fn become_role(role: Oid) -> Owner {
        let (mut user, mut context) = (Oid::INVALID, 0);
        // SAFETY: as referential-integrity triggers do (utils/adt/ri_triggers.c);
        // after an error the transaction's abort puts the user back.
        unsafe {
            pg_sys::GetUserIdAndSecContext(&mut user, &mut context);
            let flags = (pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_NOFORCE_RLS) as i32;
            pg_sys::SetUserIdAndSecContext(role, context | flags);
        }
        Owner { user, context }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // SAFETY: puts back what become_role found.
        unsafe { pg_sys::SetUserIdAndSecContext(self.user, self.context) }
    }
}

/// Runs `body` with nothing but the catalog in the search_path, as a function with
/// `SET search_path = pg_catalog, pg_temp` runs.
pub fn with_catalog_path<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    // SAFETY: ended below, or by the transaction's abort.
    let level = unsafe { pg_sys::NewGUCNestLevel() };
    let result = set_search_path().and_then(|()| body());
    if !matches!(result, Err(Error::Postgres)) {
        db::catch(|| unsafe { AtEOXact_GUC(false, level) })?;
    }
    result
}

fn set_search_path() -> Result<()> {
    // SAFETY: valid C strings; the setting ends with its nest level.
    db::catch(|| unsafe {
        set_config_option(
            c"search_path".as_ptr(),
            c"pg_catalog, pg_temp".as_ptr(),
            pg_sys::GucContext::PGC_USERSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_SAVE,
            true,
            0,
            false,
        );
    })
}

crate::server_functions! {
    fn AtEOXact_GUC(is_commit: bool, level: std::ffi::c_int);
    fn set_config_option(
        name: *const std::ffi::c_char,
        value: *const std::ffi::c_char,
        context: pg_sys::GucContext::Type,
        source: pg_sys::GucSource::Type,
        action: pg_sys::GucAction::Type,
        change: bool,
        level: std::ffi::c_int,
        is_reload: bool,
    ) -> std::ffi::c_int;
}
