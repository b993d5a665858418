//! Checkpoints as whoever publishes them states them.

use std::process::Command;

use ets_core::anchor::AnchorStatement;
use ets_core::checkpoint::DomainRoot;
use ets_core::event::EventId;
use postgres::Client;
use serde_json::Value;

use crate::signer::digest;
use crate::{Ledger, program};

/// The statement of a checkpoint, made here from its rows.
pub fn statement(client: &mut Client, checkpoint: i64) -> AnchorStatement {
    let sql = "SELECT ledger_id, origin, checkpoint_event_id, meta_root FROM ets.ledger, ets.checkpoint WHERE checkpoint_id = $1";
    let row = client.query_one(sql, &[&checkpoint]).expect("a checkpoint");
    let sql = "SELECT domain, tree_size, root_hash FROM ets.domain_root WHERE checkpoint_id = $1";
    let roots = client.query(sql, &[&checkpoint]).expect("roots");
    let roots = roots.iter().map(|root| DomainRoot {
        domain: root.get::<_, &str>(0).parse().expect("a domain"),
        tree_size: u64::try_from(root.get::<_, i64>(1)).expect("a size"),
        root: digest(root.get(2)),
    });
    let statement = AnchorStatement::new(
        row.get(0),
        row.get::<_, &str>(1).parse().expect("an origin"),
        u64::try_from(checkpoint).expect("a number"),
        EventId::from_uuid(row.get(2)).expect("a version 7"),
        roots.collect(),
    )
    .expect("a statement");
    assert_eq!(statement.meta_root(), &digest(row.get(3)));
    statement
}

/// Records that a checkpoint was published, as `ets anchor` does; the anchor's number.
pub fn anchored(client: &mut Client, checkpoint: i64) -> i64 {
    let statement = statement(client, checkpoint);
    let sql = "SELECT ets.record_anchor($1, 'test here', 'confirmed', $2, 'proof')";
    client.query_one(sql, &[&checkpoint, &statement.to_jcs()]).expect("an anchor").get(0)
}

/// `ets anchor` with these arguments: its exit code, its lines, what it complained of.
pub fn publish(ledger: &Ledger, arguments: &[&str]) -> (Option<i32>, Vec<Value>, String) {
    let mut command = Command::new(program("ets"));
    command.env_clear().envs(ledger.database.environment());
    // Where git is.
    command.env("PATH", std::env::var_os("PATH").expect("a PATH"));
    let output = command.args(["anchor", "--json"]).args(arguments).output().expect("ets runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let lines = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    (output.status.code(), lines, String::from_utf8_lossy(&output.stderr).into_owned())
}
