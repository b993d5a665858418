//! The extension's functions and the ledger's views and indexes, as the catalog
//! has them, against what this library's SQL declares. Who replaces them past the
//! event triggers leaves every row as it is.

use ets_core::verify::{Finding, FindingClass};

use super::{Findings, finding};
use crate::db::{self, View};
use crate::declared::{self, Function};
use crate::error::Result;

/// Verifies functions, views and indexes.
pub fn verify(findings: &mut Findings) -> Result<()> {
    functions(findings)?;
    views(findings)?;
    indexes(findings)
}

/// A function as the catalog has it.
struct Stored {
    name: String,
    language: String,
    source: String,
    library: Option<String>,
    volatility: String,
    is_definer: bool,
    settings: String,
    /// Whether the extension has it as a member, of the extension's owner, and it
    /// answers NULL by itself.
    is_members: bool,
}

fn functions(findings: &mut Findings) -> Result<()> {
    let stored = stored_functions()?;
    let remedy = remedy()?;
    let mut add = |name: &str, what: &str| {
        findings.add(guard("function", format!("the function ets.{name} {what}; {remedy}")));
    };
    for declared in declared::functions() {
        let mut named = stored.iter().filter(|stored| stored.name == declared.name);
        match named.next() {
            None => add(declared.name, "is missing"),
            Some(first) => {
                for stored in std::iter::once(first).chain(named) {
                    if let Some(what) = difference(declared, stored) {
                        add(declared.name, what);
                    }
                }
            }
        }
    }
    for stored in stored.iter().filter(|stored| stored.is_members && !declared::is_function(&stored.name)) {
        add(&stored.name, "is the extension's, and this library does not know it");
    }
    Ok(())
}

/// What puts the functions right: after a new library was installed, an update.
fn remedy() -> Result<String> {
    let library = env!("CARGO_PKG_VERSION");
    let version = db::first(
        View::Query,
        "SELECT extension.extversion FROM pg_catalog.pg_extension AS extension WHERE extension.extname = 'pg_ets'",
        &[],
        |row| Ok(row.text(1)),
    )?;
    Ok(match version.flatten() {
        Some(version) if version != library => format!(
            "the extension is of version {version} and its library of {library}: ALTER EXTENSION pg_ets UPDATE, \
             then SELECT ets.arm()"
        ),
        _ => "DROP EXTENSION pg_ets CASCADE, CREATE EXTENSION pg_ets and ets.arm() make it again".to_owned(),
    })
}

/// How a function of the right name is another than the declared one.
fn difference(declared: &Function, stored: &Stored) -> Option<&'static str> {
    let library = (declared.language == "c").then_some("$libdir/pg_ets");
    match () {
        () if !stored.is_members => Some("is there a second time, or is not the extension's own"),
        () if stored.language != declared.language || stored.source != declared.source => {
            Some("has another body")
        }
        () if stored.library.as_deref() != library => Some("calls another library"),
        () if stored.volatility != declared.volatility => Some("has another volatility"),
        () if stored.is_definer != declared.is_definer => Some("has another's rights"),
        () if stored.settings != declared.settings => Some("has other settings"),
        () => None,
    }
}

/// Every function in schema `ets`.
fn stored_functions() -> Result<Vec<Stored>> {
    db::query(
        View::Query,
        "SELECT function.proname::pg_catalog.text, language.lanname::pg_catalog.text, function.prosrc, function.probin,
                function.provolatile::pg_catalog.text, function.prosecdef,
                coalesce(pg_catalog.array_to_string(function.proconfig, '; '), ''),
                NOT function.proisstrict AND EXISTS (
                  SELECT FROM pg_catalog.pg_depend AS member
                    JOIN pg_catalog.pg_extension AS extension ON extension.oid = member.refobjid
                   WHERE member.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
                     AND member.objid = function.oid AND member.deptype = 'e'
                     AND member.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
                     AND extension.extname = 'pg_ets' AND extension.extowner = function.proowner)
           FROM pg_catalog.pg_proc AS function
           JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = function.pronamespace
           JOIN pg_catalog.pg_language AS language ON language.oid = function.prolang
          WHERE namespace.nspname = 'ets'
          ORDER BY function.proname, function.oid",
        &[],
        |row| {
            Ok(Stored {
                name: row.text(1).unwrap_or_default(),
                language: row.text(2).unwrap_or_default(),
                source: row.text(3).unwrap_or_default(),
                library: row.text(4),
                volatility: row.text(5).unwrap_or_default(),
                is_definer: row.bool(6) == Some(true),
                settings: row.text(7).unwrap_or_default(),
                is_members: row.bool(8) == Some(true),
            })
        },
    )
}

/// A view is what it should be if the planner makes the same of it as of the text
/// that it was made from: how the catalog writes a view differs between versions
/// of PostgreSQL.
fn views(findings: &mut Findings) -> Result<()> {
    let stored = db::query(
        View::Query,
        "SELECT class.relname::pg_catalog.text FROM pg_catalog.pg_class AS class
           JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = class.relnamespace
          WHERE namespace.nspname = 'ets' AND class.relkind = 'v'",
        &[],
        |row| Ok(row.text(1).unwrap_or_default()),
    )?;
    for view in declared::views() {
        let problem = if !stored.iter().any(|name| name == view.name) {
            "is missing"
        } else if !same_plan(view)? && !same_plan(view)? {
            // Twice, since new statistics may come between two plans.
            "is another than ets.arm() made"
        } else {
            continue;
        };
        let detail = format!("the view ets.{} {problem}; SELECT ets.arm() makes it again", view.name);
        findings.add(guard("view", detail));
    }
    Ok(())
}

fn same_plan(view: &declared::View) -> Result<bool> {
    // EXPLAIN writes nothing, but is no query either.
    let plan = |sql| -> Result<Vec<String>> {
        let lines = db::query(View::Write, sql, &[], |row| Ok(row.text(1).unwrap_or_default()))?;
        // Where the server counts statements: a name that the view has, and its text has not.
        Ok(lines.into_iter().filter(|line| !line.starts_with("Query Identifier:")).collect())
    };
    let [stored, expected] = view.explain;
    Ok(plan(stored)? == plan(expected)?)
}

fn indexes(findings: &mut Findings) -> Result<()> {
    let stored = db::query(
        View::Query,
        "SELECT class.relname::pg_catalog.text FROM pg_catalog.pg_index AS index
           JOIN pg_catalog.pg_class AS class ON class.oid = index.indexrelid
           JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = class.relnamespace
          WHERE namespace.nspname = 'ets' AND index.indisvalid",
        &[],
        |row| Ok(row.text(1).unwrap_or_default()),
    )?;
    for name in declared::indexes().filter(|name| !stored.iter().any(|stored| stored == name)) {
        let detail = format!("the index ets.{name} is missing or invalid: create it again as it was");
        findings.add(guard("index", detail));
    }
    Ok(())
}

fn guard(check: &'static str, detail: String) -> Finding {
    finding(FindingClass::Guard, check, detail)
}
