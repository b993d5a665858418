//! Writing an export.

use super::{ExportHeader, Leaves, Manifest, SealedCheckpoint, Tally};
use crate::checkpoint::DomainRoot;
use crate::event::Event;
use crate::hash::Digest;
use crate::key::{SecretKey, Signature};

/// Makes the lines of an export, without their newlines, and counts them.
pub struct ExportWriter {
    header: ExportHeader,
    tally: Tally,
    checkpoint: (u64, Vec<DomainRoot>, Option<Digest>),
}

impl ExportWriter {
    /// An export that begins with this header; and its first line. `meta_root` is
    /// that of the checkpoint which it continues, if it continues one.
    pub fn begin(header: ExportHeader, meta_root: Option<Digest>) -> (Self, String) {
        let line = header.to_line();
        let checkpoint = (header.from_checkpoint, header.from_roots.clone(), meta_root);
        let mut writer = ExportWriter { header, tally: Tally::default(), checkpoint };
        writer.tally.line(&line);
        (writer, line)
    }

    /// The line before the events of these leaves.
    pub fn leaves(&mut self, leaves: &Leaves) -> String {
        self.count(leaves.to_line())
    }

    /// An event's line: its document.
    pub fn event(&mut self, event: &Event) -> String {
        self.tally.event(event);
        self.count(event.document())
    }

    /// The line after the events that a checkpoint is the first to cover.
    pub fn checkpoint(&mut self, checkpoint: &SealedCheckpoint) -> String {
        self.checkpoint = (checkpoint.checkpoint_id, checkpoint.domain_roots(), Some(checkpoint.meta_root));
        self.count(checkpoint.to_line())
    }

    /// The last line, signed with the server's key.
    pub fn finish(self, key: &SecretKey) -> String {
        let (checkpoint_id, domain_roots, meta_root) = self.checkpoint;
        let manifest = Manifest {
            ledger_id: self.header.trust_root.ledger_id,
            lines: self.tally.lines,
            lines_sha256: self.tally.hash(),
            events: self.tally.events,
            domains: self.tally.domains(),
            checkpoint_id,
            domain_roots,
            meta_root,
            public_key: key.public_key(),
            signature: Signature([0; 64]),
        };
        manifest.signed_by(key).to_line()
    }

    fn count(&mut self, line: String) -> String {
        self.tally.line(&line);
        line
    }
}
