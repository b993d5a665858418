//! Whether what keeps the tables append-only is there, enabled, and ours.

use ets_core::verify::{Finding, FindingClass};

use super::{Findings, finding};
use crate::db::{self, View};
use crate::error::Result;

/// The triggers of `sql/arm.sql` on the events: name, function, and the bits of
/// `pg_trigger.tgtype` (catalog/pg_trigger.h).
const ON_EVENTS: [(&str, &str, i64); 5] = [
    ("zz_ets_open", "gate", BEFORE | INSERT),
    ("zz_ets_gate", "gate", ROW | BEFORE | INSERT),
    ("zz_ets_settle", "gate", INSERT),
    ("ets_guard", "guard", BEFORE | UPDATE | DELETE | TRUNCATE),
    ("ets_guard_row", "guard", ROW | BEFORE | UPDATE | DELETE),
];

/// Those on each of the other tables.
const ON_OTHERS: [(&str, i64); 2] = [
    ("ets_guard", BEFORE | INSERT | UPDATE | DELETE | TRUNCATE),
    ("ets_guard_row", ROW | BEFORE | INSERT | UPDATE | DELETE),
];

/// The other tables, each with the triggers [`ON_OTHERS`].
pub fn guarded_tables() -> impl Iterator<Item = &'static str> {
    include_str!("../../sql/guarded_tables.txt").lines()
}

/// The event triggers of `sql/arm.sql`, which call `ets.ddl_guard`.
const ON_DDL: [&str; 2] = ["ets_ddl_start", "ets_ddl_end"];

const REARM: &str = "SELECT ets.arm() makes it again";

const ROW: i64 = 1;
const BEFORE: i64 = 2;
const INSERT: i64 = 4;
const DELETE: i64 = 8;
const UPDATE: i64 = 16;
const TRUNCATE: i64 = 32;

/// A trigger as the catalog has it.
struct Trigger {
    table: String,
    name: String,
    function: String,
    kind: i64,
    /// ALWAYS: in a replication role as well.
    is_always: bool,
    /// Whether the function is this extension's, in C, under its own symbol.
    is_ours: bool,
    /// Whether it has a WHEN or a list of columns.
    is_conditional: bool,
}

/// Verifies the triggers and event triggers.
pub fn verify(findings: &mut Findings) -> Result<()> {
    let triggers = triggers()?;
    let on_events = ON_EVENTS.iter().map(|(name, function, kind)| ("ledger_event", *name, *function, *kind));
    let on_others =
        guarded_tables().flat_map(|table| ON_OTHERS.map(|(name, kind)| (table, name, "guard", kind)));
    for (table, name, function, kind) in on_events.chain(on_others) {
        let found = triggers.iter().find(|trigger| trigger.table == table && trigger.name == name);
        let problem = match found {
            None => "is missing",
            Some(trigger) if !trigger.is_always => "is not enabled ALWAYS",
            Some(trigger) if trigger.function != function || !trigger.is_ours => "calls another function",
            Some(trigger) if trigger.kind != kind => "is for other statements",
            Some(trigger) if trigger.is_conditional => "has a condition",
            Some(_) => continue,
        };
        findings.add(guard("trigger", format!("the trigger {name} on ets.{table} {problem}; {REARM}")));
    }
    // A row trigger of somebody else could change or drop a row before the gate sees it.
    for trigger in &triggers {
        let is_gates = ON_EVENTS.iter().any(|(name, ..)| *name == trigger.name);
        if trigger.table == "ledger_event" && !is_gates && trigger.kind & ROW != 0 {
            findings.add(guard(
                "trigger",
                format!("there is a further row trigger {} on ets.ledger_event: remove it", trigger.name),
            ));
        }
    }
    event_triggers(findings)?;
    ways_past_triggers(findings)
}

fn triggers() -> Result<Vec<Trigger>> {
    db::query(
        View::Query,
        "SELECT class.relname::pg_catalog.text, trigger.tgname::pg_catalog.text, function.proname::pg_catalog.text,
                trigger.tgtype::pg_catalog.int8, trigger.tgenabled = 'A',
                function.pronamespace = class.relnamespace AND language.lanname = 'c'
                    AND function.prosrc = 'ets_' || function.proname
                    AND EXISTS (SELECT FROM pg_catalog.pg_depend AS member
                                  JOIN pg_catalog.pg_extension AS extension ON extension.oid = member.refobjid
                                 WHERE member.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
                                   AND member.objid = function.oid AND member.deptype = 'e'
                                   AND member.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
                                   AND extension.extname = 'pg_ets'),
                trigger.tgqual IS NOT NULL OR trigger.tgattr::pg_catalog.text <> ''
           FROM pg_catalog.pg_trigger AS trigger
           JOIN pg_catalog.pg_class AS class ON class.oid = trigger.tgrelid
           JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = class.relnamespace
           JOIN pg_catalog.pg_proc AS function ON function.oid = trigger.tgfoid
           JOIN pg_catalog.pg_language AS language ON language.oid = function.prolang
          WHERE namespace.nspname = 'ets' AND NOT trigger.tgisinternal
          ORDER BY 1, 2",
        &[],
        |row| {
            Ok(Trigger {
                table: row.text(1).unwrap_or_default(),
                name: row.text(2).unwrap_or_default(),
                function: row.text(3).unwrap_or_default(),
                kind: row.int(4).unwrap_or(0),
                is_always: row.bool(5) == Some(true),
                is_ours: row.bool(6) == Some(true),
                is_conditional: row.bool(7) != Some(false),
            })
        },
    )
}

/// The event triggers that keep DDL from disarming the ledger.
fn event_triggers(findings: &mut Findings) -> Result<()> {
    let armed = db::query(
        View::Query,
        "SELECT trigger.evtname::pg_catalog.text, trigger.evtenabled = 'A',
                namespace.nspname = 'ets' AND function.proname = 'ddl_guard' AND function.prosrc = 'ets_ddl_guard'
           FROM pg_catalog.pg_event_trigger AS trigger
           JOIN pg_catalog.pg_proc AS function ON function.oid = trigger.evtfoid
           JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = function.pronamespace",
        &[],
        |row| Ok((row.text(1).unwrap_or_default(), row.bool(2) == Some(true), row.bool(3) == Some(true))),
    )?;
    for name in ON_DDL {
        let problem = match armed.iter().find(|(armed, ..)| armed == name) {
            None => "is missing",
            Some((_, false, _)) => "is not enabled ALWAYS",
            Some((_, _, false)) => "calls another function",
            Some(_) => continue,
        };
        findings.add(guard("event_trigger", format!("the event trigger {name} {problem}; {REARM}")));
    }
    // From PostgreSQL 17 a setting can silence them all.
    let setting =
        db::first(View::Query, "SELECT pg_catalog.current_setting('event_triggers', true)", &[], |row| {
            Ok(row.text(1))
        })?;
    if setting.flatten().as_deref() == Some("off") {
        let detail = "the setting event_triggers is off, so DDL is not judged: set it to on";
        findings.add(guard("event_trigger", detail.to_owned()));
    }
    Ok(())
}

/// Rules rewrite statements, and parts of a table have triggers of their own.
fn ways_past_triggers(findings: &mut Findings) -> Result<()> {
    let found = db::query(
        View::Query,
        "WITH ledger_table AS (
           SELECT class.oid FROM pg_catalog.pg_class AS class
             JOIN pg_catalog.pg_namespace AS namespace ON namespace.oid = class.relnamespace
            WHERE namespace.nspname = 'ets' AND class.relkind IN ('r', 'p'))
         SELECT 'rule', pg_catalog.format('there is a rule %s on %s: remove it', rule.rulename,
                                          rule.ev_class::pg_catalog.regclass)
           FROM pg_catalog.pg_rewrite AS rule
          WHERE rule.ev_class IN (SELECT oid FROM ledger_table)
          UNION ALL
         SELECT 'inheritance', pg_catalog.format('%s inherits from %s: remove it', part.inhrelid::pg_catalog.regclass,
                                                 part.inhparent::pg_catalog.regclass)
           FROM pg_catalog.pg_inherits AS part
          WHERE part.inhparent IN (SELECT oid FROM ledger_table) OR part.inhrelid IN (SELECT oid FROM ledger_table)",
        &[],
        |row| Ok((row.text(1).unwrap_or_default(), row.text(2).unwrap_or_default())),
    )?;
    for (kind, detail) in found {
        findings.add(guard(if kind == "rule" { "rule" } else { "inheritance" }, detail));
    }
    Ok(())
}

fn guard(check: &'static str, detail: String) -> Finding {
    finding(FindingClass::Guard, check, detail)
}
