//! The extension `pg_ets`: SQL on one side, ets-core on the other.
//!
//! Nothing here hashes, signs or judges: that is ets-core's, which the offline
//! verifier and the auditor use as well. An append goes from `api/append.rs` or
//! `triggers.rs` through `gate.rs`; `db.rs` is the only file that speaks SPI.

#[cfg(not(panic = "unwind"))]
compile_error!("a panic must unwind: aborting would take the whole cluster down");

mod anchors;
mod api;
mod checks;
mod clock;
mod conveyor;
mod db;
mod ddl_guard;
mod declared;
mod error;
mod event_row;
mod events;
mod export;
mod function;
mod gate;
mod gucs;
mod head_row;
mod heads;
mod high_water;
mod history;
mod jsonb;
mod keys;
mod ledger;
mod owner;
mod projections;
mod receiver;
mod replay;
mod rows;
mod rule_function;
mod runs;
mod seal;
mod server_functions;
mod threads;
mod transaction;
mod triggers;
mod value;
mod verification;

pgrx::pg_module_magic!(name, version);

pgrx::extension_sql_file!("../sql/types.sql", name = "types", bootstrap);
pgrx::extension_sql_file!("../sql/functions/triggers.sql", name = "triggers", requires = ["types"]);
pgrx::extension_sql_file!("../sql/functions/canonical.sql", name = "canonical", requires = ["triggers"]);
pgrx::extension_sql_file!("../sql/functions/schema.sql", name = "schema", requires = ["canonical"]);
pgrx::extension_sql_file!("../sql/functions/append.sql", name = "append", requires = ["schema"]);
pgrx::extension_sql_file!("../sql/functions/read.sql", name = "read", requires = ["append"]);
pgrx::extension_sql_file!("../sql/functions/registry.sql", name = "registry", requires = ["read"]);
pgrx::extension_sql_file!("../sql/functions/forest.sql", name = "forest", requires = ["registry"]);
pgrx::extension_sql_file!("../sql/functions/bundle.sql", name = "bundle", requires = ["forest"]);
pgrx::extension_sql_file!("../sql/functions/tlog.sql", name = "tlog", requires = ["bundle"]);
pgrx::extension_sql_file!("../sql/functions/verify.sql", name = "verify", requires = ["tlog"]);
pgrx::extension_sql_file!("../sql/functions/runs.sql", name = "runs", requires = ["verify"]);
pgrx::extension_sql_file!("../sql/functions/schedule.sql", name = "schedule", requires = ["runs"]);
pgrx::extension_sql_file!("../sql/functions/replay.sql", name = "replay", requires = ["schedule"]);
pgrx::extension_sql_file!("../sql/functions/setup.sql", name = "setup", requires = ["replay"]);
pgrx::extension_sql_file!("../sql/functions/replica.sql", name = "replica", requires = ["setup"]);
pgrx::extension_sql_file!("../sql/functions/anchor.sql", name = "anchor", requires = ["replica"]);
pgrx::extension_sql_file!("../sql/functions/access.sql", name = "access", requires = ["anchor"]);
pgrx::extension_sql_file!("../sql/privileges.sql", name = "privileges", finalize);

/// Called when the library is loaded into a backend.
#[pgrx::pg_guard]
extern "C-unwind" fn _PG_init() {
    gucs::register();
}
