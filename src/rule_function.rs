//! SQL functions as rules: for what only the application's own tables can say.
//!
//! A superuser registers a function; the registry's event pins its source. The
//! gate compares the pin before each call and calls the function as the role that
//! sent the statement, in a security-restricted operation and under a fixed
//! search_path: never with rights of the function's owner, of the ledger's, or of
//! somebody who has put a table in its way.

use std::cell::RefCell;
use std::collections::HashMap;

use ets_core::canonical::to_jcs;
use ets_core::hash::{Digest, sha256};
use ets_core::registry::RuleFunction;
use pgrx::pg_sys;
use serde_json::{Value as Json, json};

use crate::db::{self, Row, View};
use crate::error::{Error, Result, sqlstate};
use crate::value::Value;

/// A function that can be a rule: its name as it is registered, and its pin.
pub struct Pinned {
    /// Schema-qualified, with argument types: `app.check(jsonb, jsonb)`.
    pub function: String,
    /// SHA-256 of its source.
    pub prosrc_sha256: Digest,
}

/// What is to be registered of a function.
///
/// # Errors
/// ET011 for no function, ET006 for one that cannot be a rule.
pub fn describe(function: u32) -> Result<Pinned> {
    let found = db::first(View::Latest, BY_OID, &[i64::from(function).into()], Stored::of)?;
    let stored = found.ok_or_else(|| {
        Error::new(sqlstate::NOT_FOUND, "no such function").detail(json!({"argument": "rule"}))
    })?;
    match stored.objection {
        None => Ok(Pinned { function: stored.function, prosrc_sha256: stored.prosrc_sha256 }),
        Some(objection) => Err(Error::new(
            sqlstate::SCHEMA,
            format!("function {} cannot be a rule: {objection}", stored.function),
        )
        .detail(json!({"function": stored.function, "reason": objection}))
        .hint("a rule function is LANGUAGE sql or plpgsql, takes (payload jsonb, event jsonb) and returns boolean, STABLE or IMMUTABLE, SECURITY INVOKER, without SET")),
    }
}

/// Calls each function with the payload's canonical text and the event's members;
/// all must answer true.
///
/// # Errors
/// ET008 if one does not, ET014 if one is not what was registered; what a
/// function raises itself is raised as it is.
pub fn check<'a>(
    functions: impl Iterator<Item = &'a RuleFunction>,
    payload: &str,
    event: impl FnOnce() -> Json,
) -> Result<()> {
    let mut functions = functions.peekable();
    if functions.peek().is_none() {
        return Ok(());
    }
    let event = to_jcs(&event());
    as_sender(|| {
        for function in functions {
            check_one(function, payload, &event)?;
        }
        Ok(())
    })
}

fn check_one(function: &RuleFunction, payload: &str, event: &str) -> Result<()> {
    let name = function.function.as_str();
    let changed = |reason: &str| {
        Error::new(sqlstate::REDUCER, format!("rule function {name} is not what was registered: {reason}"))
            .detail(json!({"function": name, "reason": reason}))
            .hint("put the function back as it was, or register a version of the schema with another one")
    };
    let stored = db::first(View::Latest, BY_NAME, &[name.into()], Stored::of)?;
    let stored = stored.ok_or_else(|| changed("it is gone"))?;
    if stored.prosrc_sha256 != function.prosrc_sha256 {
        return Err(changed("its source has changed"));
    }
    if let Some(objection) = stored.objection {
        return Err(changed(&objection));
    }
    let holds = db::first(
        View::Latest,
        call_of(&stored.call),
        &[Value::Jsonb(payload.to_owned()), Value::Jsonb(event.to_owned())],
        |row| Ok(row.bool(1) == Some(true)),
    )?;
    if holds == Some(true) {
        return Ok(());
    }
    Err(Error::new(sqlstate::RULE, format!("the event violates rule function {name}"))
        .detail(json!({"rules": [{"rule": name}]}))
        .hint("the function decides by the application's own tables; whoever registered it knows why"))
}

/// A function as the catalog has it.
struct Stored {
    function: String,
    /// The name to call it by.
    call: String,
    prosrc_sha256: Digest,
    /// Why it cannot be a rule.
    objection: Option<String>,
}

/// The columns of [`Stored`]. A function with a body that is parsed already has no
/// source that could be pinned. A volatile one could write, and under REPEATABLE
/// READ it would see the tables as they were. SET clauses and SECURITY DEFINER can
/// be changed without the source.
macro_rules! select_function {
    ($where:literal) => {
        concat!(
            "SELECT pg_catalog.format('%I.%I(jsonb, jsonb)', space.nspname, proc.proname),
                    pg_catalog.format('%I.%I', space.nspname, proc.proname),
                    proc.prosrc,
                    CASE WHEN proc.prokind OPERATOR(pg_catalog.<>) 'f' OR proc.proretset
                              OR proc.prorettype OPERATOR(pg_catalog.<>) 'pg_catalog.bool'::pg_catalog.regtype
                           THEN 'it does not return boolean'
                         WHEN proc.proargtypes::pg_catalog.oid[] OPERATOR(pg_catalog.<>)
                              '[0:1]={3802,3802}'::pg_catalog.oid[] THEN 'its arguments are not (jsonb, jsonb)'
                         WHEN language.lanname NOT IN ('sql', 'plpgsql') OR proc.prosqlbody IS NOT NULL
                           THEN 'it is not written in sql or plpgsql, as a string'
                         WHEN proc.provolatile OPERATOR(pg_catalog.=) 'v' THEN 'it is VOLATILE'
                         WHEN proc.prosecdef THEN 'it is SECURITY DEFINER'
                         WHEN proc.proconfig IS NOT NULL THEN 'it has a SET clause'
                    END
               FROM pg_catalog.pg_proc AS proc
               JOIN pg_catalog.pg_namespace AS space ON space.oid OPERATOR(pg_catalog.=) proc.pronamespace
               JOIN pg_catalog.pg_language AS language ON language.oid OPERATOR(pg_catalog.=) proc.prolang
              WHERE ",
            $where
        )
    };
}

const BY_OID: &str = select_function!("proc.oid OPERATOR(pg_catalog.=) $1::pg_catalog.oid");
const BY_NAME: &str = select_function!("proc.oid OPERATOR(pg_catalog.=) pg_catalog.to_regprocedure($1)");

impl Stored {
    fn of(row: &Row) -> Result<Stored> {
        Ok(Stored {
            function: row.text(1).unwrap_or_default(),
            call: row.text(2).unwrap_or_default(),
            prosrc_sha256: sha256(&[row.text(3).unwrap_or_default().as_bytes()]),
            objection: row.text(4),
        })
    }
}

/// The statement that calls a function. It lives as long as the backend, as
/// prepared statements do; there are no more than functions were registered.
fn call_of(name: &str) -> &'static str {
    thread_local! {
        static CALLS: RefCell<HashMap<String, &'static str>> = RefCell::new(HashMap::new());
    }
    if let Some(call) = CALLS.with_borrow(|calls| calls.get(name).copied()) {
        return call;
    }
    let call: &'static str = Box::leak(format!("SELECT {name}($1, $2)").into_boxed_str());
    CALLS.with_borrow_mut(|calls| calls.insert(name.to_owned(), call));
    call
}

/// Runs `body` with the rights of the role that the session acts as, which is
/// restricted for as long, and with nothing but the catalog in the search_path.
fn as_sender<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    let (mut user, mut context) = (pg_sys::Oid::INVALID, 0);
    // SAFETY: as CREATE MATERIALIZED VIEW does (commands/matview.c).
    let level = unsafe {
        pg_sys::GetUserIdAndSecContext(&mut user, &mut context);
        let flags = (pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_RESTRICTED_OPERATION) as i32;
        pg_sys::SetUserIdAndSecContext(pg_sys::GetOuterUserId(), context | flags);
        pg_sys::NewGUCNestLevel()
    };
    let result = set_search_path().and_then(|()| body());
    // After an error of Postgres the transaction's abort puts both back.
    if !matches!(result, Err(Error::Postgres)) {
        // SAFETY: puts back what was found.
        db::catch(|| unsafe { AtEOXact_GUC(false, level) })?;
        unsafe { pg_sys::SetUserIdAndSecContext(user, context) }
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
