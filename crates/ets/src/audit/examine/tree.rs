//! A domain's tree: every leaf, tile and root.

use ets_core::checkpoint::DomainRoot;
use ets_core::name::DomainName;
use ets_core::verify::{Finding, StoredLeaf, TreeVerifier, leaf_of};

use super::super::copy::Row;
use super::super::multiset::Multiset;
use super::super::progress::Progress;
use super::super::source::{LEAF_INDEX, Source, Tiles};
use super::findings::Findings;
use super::pass::add_leaf;

/// Leaves that are held in memory at once.
const LEAVES: i64 = 16_384;

/// A tree under examination.
pub struct Tree<'a, 'r> {
    pub verifier: TreeVerifier<'r, Tiles<'a>>,
    pub in_leaves: &'a mut Multiset,
    pub threads: usize,
}

impl Tree<'_, '_> {
    /// Every leaf, tile and root of the tree; its root as the rows make it.
    pub fn walk(
        &mut self,
        source: &dyn Source,
        domain: &DomainName,
        findings: &mut Findings,
        progress: &mut Progress,
    ) -> Result<Option<DomainRoot>, String> {
        let name = domain.as_str();
        let mut found = Vec::new();
        self.verifier.begin(&mut found);
        let size = i64::try_from(self.verifier.tree_size()).unwrap_or(i64::MAX);
        let mut from = i64::MIN;
        loop {
            // The first part looks before leaf 0, and the last behind the end, where nothing may be.
            let next = from.max(0).saturating_add(LEAVES);
            let to = if next < size { next } else { i64::MAX };
            let mut rows = Vec::new();
            source.leaves(name, (from, to), &mut |row| {
                rows.push(row);
                Ok(())
            })?;
            progress.add(rows.len() as u64);
            self.part(&rows, &mut found)?;
            findings.extend(std::mem::take(&mut found));
            if to == i64::MAX {
                break;
            }
            from = to;
        }
        self.verifier.fill(self.verifier.tree_size(), &mut found)?;
        self.verifier.finish(&mut found)?;
        let mut further = Vec::new();
        source.tiles(name, &mut |row| {
            further.extend(self.verifier.further_tile(row.int(0).unwrap_or(-1), row.int(1).unwrap_or(-1)));
            Ok(())
        })?;
        findings.extend(found);
        findings.extend(further);
        let tree_size = self.verifier.size();
        Ok(self.verifier.rebuilt_root().map(|root| DomainRoot { domain: domain.clone(), tree_size, root }))
    }

    fn part(&mut self, rows: &[Row], findings: &mut Vec<Finding>) -> Result<(), String> {
        let has_event = |row: &Row| row.int(LEAF_INDEX + 1).is_some();
        let make =
            |row: &Row| if has_event(row) { leaf_of(&row.event(), false, &mut Vec::new()) } else { None };
        let chunk = rows.len().div_ceil(self.threads).max(1);
        let made: Vec<_> = std::thread::scope(|scope| {
            let parts: Vec<_> = rows
                .chunks(chunk)
                .map(|part| scope.spawn(move || part.iter().map(make).collect::<Vec<_>>()))
                .collect();
            parts.into_iter().flat_map(|part| part.join().unwrap_or_default()).collect()
        });
        if made.len() != rows.len() {
            return Err("a thread was lost".to_owned());
        }
        for (row, made) in rows.iter().zip(made) {
            let leaf_index = row.int(LEAF_INDEX).unwrap_or(-1);
            if let Some(made) = &made {
                add_leaf(self.in_leaves, made.header.domain.as_str(), leaf_index, &made.leaf);
            }
            let raw = has_event(row).then(|| row.event());
            let leaf = StoredLeaf { leaf_index, event_id: row.uuid(0), row: raw, made, findings: Vec::new() };
            self.verifier.push(leaf, findings)?;
        }
        Ok(())
    }
}
