//! Exports: a ledger, or one domain and the registry, as lines of JSON.
//!
//! ```text
//! {"format":"ets-export/1", …}    which ledger, and the checkpoint that it continues
//! {"leaves": …}                   the next leaves of a domain's tree, at most 256, and then
//! {"event_id": …}                 as many event documents, in their order
//! {"checkpoint": …}               the seal that took in the leaves before it
//! …
//! {"event_id": …}                 events that no seal had taken in yet
//! {"manifest": …}                 what there was, over the hash of every line, signed by the server
//! ```
//!
//! Every line is JCS text and ends with a newline. [`ExportWriter`] and
//! [`ExportReader`] see to the order and to what the manifest says. That the
//! events are true of each other, the roots of their trees, and the key the
//! server's, is for whoever takes them in.

mod line;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use line::{DomainTally, ExportHeader, Leaves, Manifest, SealedCheckpoint};
pub use reader::{ExportError, ExportProblem, ExportReader, Step};
pub use writer::ExportWriter;

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::event::Event;
use crate::hash::Digest;
use crate::name::DomainName;

/// The member `format` of an export's first line.
pub const EXPORT_FORMAT: &str = "ets-export/1";
/// The most leaves that one line announces.
pub const MAX_LEAVES: usize = 256;

/// What the manifest says of the lines before it, counted as they go by.
#[derive(Default)]
struct Tally {
    lines: u64,
    hasher: Sha256,
    events: u64,
    domains: BTreeMap<DomainName, DomainTally>,
}

impl Tally {
    fn line(&mut self, line: &str) {
        self.lines += 1;
        self.hasher.update(line.as_bytes());
        self.hasher.update(b"\n");
    }

    fn event(&mut self, event: &Event) {
        self.events += 1;
        let hash = event.header.current_hash;
        self.domains
            .entry(event.header.domain.clone())
            .and_modify(|tally| {
                tally.events += 1;
                tally.last_hash = hash;
            })
            .or_insert_with(|| DomainTally {
                domain: event.header.domain.clone(),
                events: 1,
                first_hash: hash,
                last_hash: hash,
            });
    }

    fn hash(&self) -> Digest {
        Digest(self.hasher.clone().finalize().into())
    }

    fn domains(&self) -> Vec<DomainTally> {
        self.domains.values().cloned().collect()
    }
}
