//! The checkpoints, one after the other, as `ets_core::verify` judges them; and the
//! file outside the data directory.

use ets_core::verify::{
    CheckpointRow, CheckpointsVerifier, Finding, FindingClass, RootRow, VerifiedRegistry,
};
use uuid::Uuid;

use super::Findings;
use super::chains::BATCH;
use crate::db::{self, View};
use crate::error::Result;
use crate::high_water::{self, Standing};

/// Verifies the checkpoints of the numbers from `first` on. That each root is its
/// tree's, `trees` verifies.
pub fn verify(verified: &VerifiedRegistry, first: u64, findings: &mut Findings) -> Result<()> {
    if findings.is_full() {
        return Ok(());
    }
    let known = i64::try_from(first).unwrap_or(i64::MAX).max(1) - 1;
    let mut verifier = CheckpointsVerifier::new(verified, known);
    db::scan_while(
        View::Query,
        "SELECT checkpoint.checkpoint_id, checkpoint.version, checkpoint.checkpoint_event_id, checkpoint.meta_root,
                root.checkpoint_id, root.domain, root.tree_size, root.root_hash, root.note, leaf.event_id
           FROM (SELECT * FROM ets.checkpoint AS each WHERE each.checkpoint_id >= $1) AS checkpoint
           FULL JOIN (SELECT * FROM ets.domain_root AS each WHERE each.checkpoint_id >= $1) AS root
             ON root.checkpoint_id = checkpoint.checkpoint_id
           LEFT JOIN ets.merkle_leaf AS leaf
             ON leaf.domain = root.domain AND leaf.leaf_index = root.tree_size - 1
          ORDER BY coalesce(checkpoint.checkpoint_id, root.checkpoint_id), root.domain",
        // Before the first nothing may be, either.
        &[if known == 0 { i64::MIN } else { known }.into()],
        BATCH,
        |row| {
            let checkpoint = row.int(1).map(|_| CheckpointRow {
                version: row.text(2).unwrap_or_default(),
                checkpoint_event_id: row.uuid(3).map(Uuid::from_bytes),
                meta_root: row.bytes(4).unwrap_or_default(),
            });
            let root = row.text(6).map(|domain| RootRow {
                domain,
                tree_size: row.int(7),
                root_hash: row.bytes(8),
                note: row.text(9),
                last_event_id: row.uuid(10).map(Uuid::from_bytes),
            });
            let id = row.int(1).or(row.int(5)).unwrap_or(0);
            Ok(findings.collect(|found| verifier.push(id, checkpoint, root, found)))
        },
    )?;
    findings.collect(|found| verifier.finish(found));
    high_water(findings)
}

/// The file outside the data directory knows no checkpoint that is not here.
fn high_water(findings: &mut Findings) -> Result<()> {
    let standing = high_water::standing()?;
    let Some(problem) = standing.problem() else { return Ok(()) };
    let class = match standing {
        Standing::Unreadable(_) => FindingClass::Unverifiable,
        _ => FindingClass::Seal,
    };
    let (expected, actual) = match standing {
        Standing::Differs { kept, here, .. } => (Some(kept), here),
        _ => (None, None),
    };
    findings.add(Finding { expected, actual, ..Finding::new(class, "high_water", problem) });
    Ok(())
}
