//! `ets.import`: an export, line by line, all of it or nothing.
//!
//! A line that is refused ends the statement, and the error's DETAIL has its
//! number. Memory is bounded: an event is stored before the next line is read.

use std::cell::RefCell;

use ets_core::event::{Event, EventId};
use ets_core::export::{
    ExportError, ExportHeader, ExportProblem, ExportReader, Manifest, SealedCheckpoint, Step,
};
use ets_core::hash::{Digest, SPECIFICATION_VERSION};
use ets_core::name::DomainName;
use serde_json::json;
use uuid::Uuid;

use super::{checkpoint, require_importer};
use crate::db::{self, View};
use crate::error::{Error, Result, sqlstate};
use crate::gate::import::{Arrival, admit};
use crate::seal::{self, Checkpoint};
use crate::{events, ledger, receiver};

/// An import under way.
pub struct Import {
    reader: ExportReader,
    /// Leaves whose events are stored, of one domain.
    leaves: Option<(DomainName, Vec<(u64, EventId)>)>,
    imported: Imported,
}

/// What an import did.
#[derive(Debug, Default)]
pub struct Imported {
    /// The lines read.
    pub lines: u64,
    /// Events that are new here.
    pub new_events: u64,
    /// Events that were here already.
    pub stored_events: u64,
    /// Checkpoints that are new here.
    pub checkpoints: u64,
    /// The last checkpoint of the export; 0 if it has none.
    pub checkpoint_id: u64,
    /// Its MetaRoot.
    pub meta_root: Option<Digest>,
}

thread_local! {
    /// The import of the COPY or INSERT that is running.
    static STATEMENT: RefCell<Option<Import>> = const { RefCell::new(None) };
}

/// Begins the import of a statement on `ets.import_lines`.
pub fn begin_statement() -> Result<()> {
    if STATEMENT.with_borrow(Option::is_some) {
        return Err(Error::parameter("line", "comes from within another import"));
    }
    let import = Import::begin()?;
    STATEMENT.set(Some(import));
    Ok(())
}

/// Takes a line of the statement.
pub fn take_line(line: &str) -> Result<()> {
    let mut import = STATEMENT.take().ok_or_else(|| Error::parameter("line", "comes outside an import"))?;
    import.line(line)?;
    STATEMENT.set(Some(import));
    Ok(())
}

/// Ends the statement's import.
pub fn end_statement() -> Result<()> {
    match STATEMENT.take() {
        Some(import) => import.finish().map(drop),
        None => Ok(()),
    }
}

/// Forgets the import of a statement that has failed.
pub fn forget_import() {
    STATEMENT.set(None);
}

impl Import {
    /// Begins an import.
    ///
    /// # Errors
    /// 42501 for whoever may not; ET013 where nothing is received.
    pub fn begin() -> Result<Self> {
        require_importer()?;
        ledger::id()?;
        if receiver::receiving()?.is_none() {
            return Err(receiver::receives_nothing()?);
        }
        Ok(Import { reader: ExportReader::new(), leaves: None, imported: Imported::default() })
    }

    /// Takes the next line, without its newline.
    pub fn line(&mut self, line: &str) -> Result<()> {
        let number = self.reader.lines() + 1;
        db::in_scratch(|| self.take(line)).map_err(|error| match error {
            Error::Postgres => error,
            refused => refused.with_detail_member("line", number.into()),
        })
    }

    /// After the last line.
    ///
    /// # Errors
    /// 22023 if the manifest has not come.
    pub fn finish(mut self) -> Result<Imported> {
        self.reader.finish().map_err(refused)?;
        self.imported.lines = self.reader.lines();
        Ok(self.imported)
    }

    fn take(&mut self, line: &str) -> Result<()> {
        let step = self.reader.push(line).map_err(refused)?;
        if !matches!(step, Step::Event(_, Some(_))) {
            self.write_leaves()?;
        }
        match step {
            Step::Header(header) => check_header(&header),
            Step::Leaves => Ok(()),
            Step::Event(event, leaf_index) => self.event(&event, leaf_index),
            Step::Checkpoint(sealed) => self.checkpoint(sealed),
            Step::Manifest(manifest) => self.manifest(&manifest),
        }
    }

    fn event(&mut self, event: &Event, leaf_index: Option<u64>) -> Result<()> {
        match admit(event)? {
            Arrival::New => {
                events::insert(&event.header, &event.payload, None)?;
                self.imported.new_events += 1;
            }
            Arrival::Stored => self.imported.stored_events += 1,
        }
        let Some(leaf_index) = leaf_index else { return Ok(()) };
        let domain = &event.header.domain;
        if self.leaves.as_ref().is_some_and(|(held, _)| held != domain) {
            self.write_leaves()?;
        }
        let leaves = self.leaves.get_or_insert_with(|| (domain.clone(), Vec::new()));
        leaves.1.push((leaf_index, event.header.event_id));
        Ok(())
    }

    fn write_leaves(&mut self) -> Result<()> {
        match self.leaves.take() {
            Some((domain, leaves)) => checkpoint::write_leaves(&domain, &leaves),
            None => Ok(()),
        }
    }

    fn checkpoint(&mut self, sealed: SealedCheckpoint) -> Result<()> {
        let row = Checkpoint {
            checkpoint_id: sealed.checkpoint_id,
            version: SPECIFICATION_VERSION.to_owned(),
            checkpoint_event_id: sealed.checkpoint_event_id,
            meta_root: sealed.meta_root,
            created_at: sealed.created_at,
        };
        if !checkpoint::is_new(&row)? {
            return Ok(());
        }
        for (root, note) in &sealed.roots {
            if checkpoint::is_new_root(row.checkpoint_id, root)? {
                seal::write_root(row.checkpoint_id, root, note.as_deref())?;
            }
        }
        checkpoint::settle(&row, &sealed.roots)?;
        seal::write_row(&row)?;
        self.imported.checkpoints += 1;
        Ok(())
    }

    fn manifest(&mut self, manifest: &Manifest) -> Result<()> {
        let registry = ledger::registry(View::Latest)?;
        let server_key = registry.server_key_at(registry.version());
        if server_key != Some(&manifest.public_key.key_id()) {
            return Err(Error::new(
                sqlstate::SIGNATURE,
                "the manifest is not signed by the ledger's server key",
            )
            .detail(json!({
                "expected": server_key.map(ToString::to_string),
                "actual": manifest.public_key.key_id().to_string(),
            }))
            .hint(
                "ets.export signs with the key that ets.trust_root() or the last ets.server_key event names",
            ));
        }
        self.imported.checkpoint_id = manifest.checkpoint_id;
        self.imported.meta_root = manifest.meta_root;
        Ok(())
    }
}

/// The export must be this ledger's, of what is held here, and begin no later than
/// where this database stands.
fn check_header(header: &ExportHeader) -> Result<()> {
    let announced = ledger::announced()?;
    let root = &header.trust_root;
    if root.ledger_id != announced.ledger_id
        || root.origin != announced.origin
        || root.root_public_key != announced.root_public_key
    {
        let named = |id: &Uuid| id.hyphenated().to_string();
        return Err(Error::new(sqlstate::FIELD, "the export is another ledger's")
            .detail(json!({"expected": named(&announced.ledger_id), "actual": named(&root.ledger_id)}))
            .hint("ets.join was given the first event of the ledger that this database receives"));
    }
    let held = receiver::held_domain()?;
    if header.domain != held {
        let named = |domain: &Option<DomainName>| domain.as_ref().map(DomainName::to_string);
        return Err(Error::new(sqlstate::FIELD, "the export is not of the domains that this database holds")
            .detail(json!({"expected": named(&held), "actual": named(&header.domain)}))
            .hint("ets.export takes the one domain that ets.join was given; without one, all"));
    }
    let last = seal::last_checkpoint(View::Latest)?.map_or(0, |last| last.checkpoint_id);
    if header.from_checkpoint > last {
        return Err(Error::new(
            sqlstate::FIELD,
            format!(
                "the export continues checkpoint {}, the last one here is {last}",
                header.from_checkpoint
            ),
        )
        .detail(json!({"from_checkpoint": header.from_checkpoint, "last_checkpoint": last}))
        .hint("export from the last checkpoint here, or an earlier one"));
    }
    if header.from_checkpoint > 0
        && seal::domain_roots(View::Latest, header.from_checkpoint)? != header.from_roots
    {
        return Err(Error::new(
            sqlstate::HASH,
            format!("checkpoint {} has other roots here than in the export", header.from_checkpoint),
        )
        .detail(json!({"checkpoint_id": header.from_checkpoint}))
        .hint("SELECT * FROM ets.compare_roots(…) says where the two databases part"));
    }
    Ok(())
}

fn refused(error: ExportError) -> Error {
    let code = match error.problem.sqlstate() {
        "ET002" => sqlstate::HASH,
        "ET003" => sqlstate::SIGNATURE,
        "ET010" => sqlstate::FIELD,
        _ => sqlstate::PARAMETER,
    };
    let hint = match error.problem {
        ExportProblem::Truncated => "the export was cut off: export again, to its end",
        _ => "nothing of this export was taken in; it must arrive as ets.export wrote it",
    };
    Error::new(code, format!("line {} of the export: {}", error.line, error.problem))
        .detail(json!({"line": error.line}))
        .hint(hint)
}
