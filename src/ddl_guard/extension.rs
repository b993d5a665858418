//! Other extensions: none may put its objects into the ledger's schema. Whoever owns
//! the database may create a trusted one, whose functions a superuser then owns and
//! PUBLIC may call.

use std::ffi::CStr;

use pgrx::pg_sys::{self, Oid};

use super::{Concern, items, string};

/// The ledger's schema.
const SCHEMA: &CStr = c"ets";
/// The one extension that belongs there.
const OWN: &CStr = c"pg_ets";

/// CREATE EXTENSION … SCHEMA ets, or with the ledger's schema first in the search_path.
///
/// # Safety
/// As for [`super::concern`].
pub(super) unsafe fn created(statement: &pg_sys::CreateExtensionStmt) -> Concern {
    // SAFETY: names are NUL-terminated, options are DefElems; the search path is a list of oids.
    unsafe {
        let name = CStr::from_ptr(statement.extname);
        if name == OWN {
            return Concern::None;
        }
        let schema = items::<pg_sys::DefElem>(statement.options)
            .find(|option| CStr::from_ptr((**option).defname) == c"schema")
            .map(|option| string((*option).arg) == Some(SCHEMA));
        refused_if(schema.unwrap_or_else(|| is_first_in_path()), name)
    }
}

/// ALTER EXTENSION … SET SCHEMA ets.
///
/// # Safety
/// As for [`super::concern`].
pub(super) unsafe fn moved(statement: &pg_sys::AlterObjectSchemaStmt) -> Concern {
    // SAFETY: names are NUL-terminated; the object of an extension is its name.
    unsafe {
        let name = string(statement.object).unwrap_or_default();
        refused_if(name != OWN && CStr::from_ptr(statement.newschema) == SCHEMA, name)
    }
}

unsafe fn is_first_in_path() -> bool {
    // SAFETY: per the callers.
    unsafe {
        let ets = pg_sys::get_namespace_oid(SCHEMA.as_ptr(), true);
        pg_sys::fetch_search_path(false)
            .as_ref()
            .is_some_and(|path| path.length > 0 && (*path.elements).oid_value == ets && ets != Oid::INVALID)
    }
}

fn refused_if(refused: bool, name: &CStr) -> Concern {
    Concern::refused_if(refused.then(|| format!("schema ets by extension {}", name.to_string_lossy())))
}
