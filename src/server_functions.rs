//! Declarations of functions of the server, compared with its headers.

use pgrx::pg_sys::{self, Datum, Oid};

/// Declares C functions of the server by hand, because pgrx's catch errors on
/// their own and lose the SQLSTATEs of class ET.
///
/// What it declares is compared with what pgrx read from the headers of the
/// PostgreSQL that is built for: a function that has another parameter in one
/// major than in the next does not compile, where it would crash.
#[macro_export]
macro_rules! server_functions {
    ($($(#[cfg($major:meta)])? $vis:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)?;)*) => {
        unsafe extern "C-unwind" {
            $($(#[cfg($major)])? $vis fn $name($($argument: $type),*) $(-> $result)?;)*
        }
        const _: () = {
            $($(#[cfg($major)])? let _: unsafe fn($($type),*) $(-> $result)? = pgrx::pg_sys::$name;)*
        };
    };
}

// What more than one file calls.
crate::server_functions! {
    pub(crate) fn table_open(relation: Oid, lock: i32) -> pg_sys::Relation;
    pub(crate) fn table_close(relation: pg_sys::Relation, lock: i32);
    #[cfg(any(feature = "pg15", feature = "pg16"))]
    pub(crate) fn heap_form_tuple(
        descriptor: pg_sys::TupleDesc,
        values: *mut Datum,
        nulls: *mut bool,
    ) -> pg_sys::HeapTuple;
    #[cfg(not(any(feature = "pg15", feature = "pg16")))]
    pub(crate) fn heap_form_tuple(
        descriptor: pg_sys::TupleDesc,
        values: *const Datum,
        nulls: *const bool,
    ) -> pg_sys::HeapTuple;
    pub(crate) fn CommandCounterIncrement();
}
