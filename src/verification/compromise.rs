//! Events signed when their key may have been in other hands.

use ets_core::registry::Registry;
use ets_core::verify::compromised;

use super::Findings;
use super::chains::BATCH;
use crate::db::{self, View};
use crate::error::Result;
use crate::rows;
use crate::value::{Type, Value};

/// Every event of a key that a revocation or rotation calls compromised, from that
/// moment on, unless a checkpoint of before that moment covers it.
pub fn find(registry: &Registry, domain: Option<&str>, findings: &mut Findings) -> Result<()> {
    for (key_id, since) in registry.compromised_keys() {
        let key_id = key_id.to_string();
        db::scan_while(
            View::Query,
            crate::select_events!(
                "WHERE event.key_id = $1 AND event.timestamp >= $2 AND ($3 IS NULL OR event.domain = $3)
                   AND NOT EXISTS (
                         SELECT FROM ets.merkle_leaf AS leaf
                           JOIN ets.domain_root AS root
                             ON root.domain = leaf.domain AND root.tree_size > leaf.leaf_index
                          WHERE leaf.event_id = event.event_id AND leaf.domain = event.domain
                            AND root.checkpoint_id = (
                                  SELECT max(before.checkpoint_id) FROM ets.checkpoint AS before
                                   WHERE before.created_at < $2))
                 ORDER BY event.domain, event.stream, event.sequence"
            ),
            &[key_id.as_str().into(), since.into(), Value::or_null(domain, Type::Text)],
            BATCH,
            |row| {
                // What is no event at all has a finding of its own.
                if let Ok(header) = rows::header(row)
                    && let Some(finding) = compromised(registry, &header)
                {
                    findings.add(finding);
                }
                Ok(!findings.is_full())
            },
        )?;
    }
    Ok(())
}
