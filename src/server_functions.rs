//! Declarations of functions of the server, compared with its headers.

/// Declares C functions of the server by hand, because pgrx's catch errors on
/// their own and lose the SQLSTATEs of class ET.
///
/// What it declares is compared with what pgrx read from the headers of the
/// PostgreSQL that is built for: a function that has another parameter in one
/// major than in the next does not compile, where it would crash.
#[macro_export]
macro_rules! server_functions {
    ($($(#[cfg($major:meta)])? fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)?;)*) => {
        unsafe extern "C-unwind" {
            $($(#[cfg($major)])? fn $name($($argument: $type),*) $(-> $result)?;)*
        }
        const _: () = {
            $($(#[cfg($major)])? let _: unsafe fn($($type),*) $(-> $result)? = pgrx::pg_sys::$name;)*
        };
    };
}
