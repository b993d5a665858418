//! What the ledger's SQL declares, read from the text that this library was built
//! with: so that verification can tell what somebody has replaced since, and the
//! event triggers what must not be.

use std::sync::OnceLock;

use crate::api::setup;

/// The extension's functions, in the order of `lib.rs`.
const FUNCTIONS: [&str; 17] = [
    include_str!("../sql/functions/triggers.sql"),
    include_str!("../sql/functions/canonical.sql"),
    include_str!("../sql/functions/schema.sql"),
    include_str!("../sql/functions/append.sql"),
    include_str!("../sql/functions/read.sql"),
    include_str!("../sql/functions/registry.sql"),
    include_str!("../sql/functions/forest.sql"),
    include_str!("../sql/functions/bundle.sql"),
    include_str!("../sql/functions/tlog.sql"),
    include_str!("../sql/functions/verify.sql"),
    include_str!("../sql/functions/runs.sql"),
    include_str!("../sql/functions/schedule.sql"),
    include_str!("../sql/functions/replay.sql"),
    include_str!("../sql/functions/replica.sql"),
    include_str!("../sql/functions/anchor.sql"),
    include_str!("../sql/functions/access.sql"),
    include_str!("../sql/functions/setup.sql"),
];

/// A function or procedure; no two have one name.
#[derive(Debug)]
pub struct Function {
    /// Its name, without the schema.
    pub name: &'static str,
    /// `c`, `plpgsql` or `sql`.
    pub language: &'static str,
    /// The symbol of a C function, or the body.
    pub source: &'static str,
    /// `i`, `s` or `v`, as `pg_proc.provolatile` has it.
    pub volatility: &'static str,
    /// Whether it has its definer's rights.
    pub is_definer: bool,
    /// Its settings, as `pg_proc.proconfig` has them; at most the search_path.
    pub settings: &'static str,
}

/// A view that `ets.arm` makes.
#[derive(Debug)]
pub struct View {
    /// Its name, without the schema.
    pub name: &'static str,
    /// An EXPLAIN of what stands in the catalog, and one of what should.
    pub explain: [&'static str; 2],
}

/// All functions and procedures of the extension.
pub fn functions() -> &'static [Function] {
    static DECLARED: OnceLock<Vec<Function>> = OnceLock::new();
    DECLARED.get_or_init(|| FUNCTIONS.iter().flat_map(|script| functions_of(script)).collect())
}

/// Whether a function of the extension has this name.
pub fn is_function(name: &str) -> bool {
    functions().iter().any(|function| function.name == name)
}

/// The views of the ledger.
pub fn views() -> &'static [View] {
    static DECLARED: OnceLock<Vec<View>> = OnceLock::new();
    DECLARED.get_or_init(|| views_of(setup::arming_script().leak()))
}

/// The indexes that the ledger's tables are made with, but for their keys.
pub fn indexes() -> impl Iterator<Item = &'static str> {
    setup::LAYOUTS
        .iter()
        .flat_map(|script| script.split("CREATE INDEX ").skip(1))
        .filter_map(|statement| statement.split_once(' ').map(|(name, _)| name))
}

fn functions_of(script: &'static str) -> impl Iterator<Item = Function> {
    script.split("\nCREATE ").skip(1).filter_map(|statement| {
        let rest =
            statement.strip_prefix("FUNCTION ets.").or_else(|| statement.strip_prefix("PROCEDURE ets."))?;
        let (name, _) = rest.split_once('(')?;
        let (head, body) = rest.split_once("\n  AS ")?;
        let source = match body.strip_prefix("$$") {
            Some(body) => body.split_once("$$;")?.0,
            None => body.strip_prefix("'MODULE_PATHNAME', '")?.split_once('\'')?.0,
        };
        let volatility = match () {
            () if head.contains(" IMMUTABLE") => "i",
            () if head.contains(" STABLE") => "s",
            () => "v",
        };
        Some(Function {
            name,
            language: head.split_once("LANGUAGE ")?.1.split_whitespace().next()?,
            source,
            volatility,
            is_definer: head.contains(" SECURITY DEFINER"),
            settings: match head.contains(" SET search_path = pg_catalog, pg_temp") {
                true => "search_path=pg_catalog, pg_temp",
                false => "",
            },
        })
    })
}

fn views_of(script: &'static str) -> Vec<View> {
    let statements = script.split("\nCREATE OR REPLACE VIEW ets.").skip(1);
    let declared = statements.filter_map(|statement| {
        let (name, rest) = statement.split_once(" AS\n")?;
        let (query, _) = rest.split_once(";\nCOMMENT ON VIEW ")?;
        // The same shape as a view has where it is used.
        let expected = format!("EXPLAIN (VERBOSE, COSTS OFF) SELECT * FROM (\n{query}) AS {name}");
        let stored = format!("EXPLAIN (VERBOSE, COSTS OFF) SELECT * FROM ets.{name}");
        Some(View { name, explain: [stored.leak(), expected.leak()] })
    });
    declared.collect()
}
