//! Checkpoints as files: `DIR/<ledger_id>/<checkpoint_id>.json` holds the statement.
//!
//! A file proves what its place proves: a disk that the ledger's administrator
//! cannot write, or a medium that is written once.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use ets_core::anchor::AnchorStatement;

use super::service::{Failure, Outcome, Service, Source, Verdict};

/// A folder of statements.
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The folder at `path`, which must exist.
    ///
    /// # Errors
    /// A message for the user.
    pub fn open(path: &Path) -> Result<Self, String> {
        let path = path.canonicalize().map_err(|error| format!("cannot open {}: {error}", path.display()))?;
        if path.is_dir() { Ok(Folder { path }) } else { Err(format!("{} is no directory", path.display())) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file of a statement, relative to the folder.
    pub fn relative(statement: &AnchorStatement) -> String {
        format!("{}/{}.json", statement.ledger_id().hyphenated(), statement.checkpoint_id())
    }

    /// Writes the statement: whole or not at all, and never over another. Whether it
    /// was not there before.
    pub fn write(&self, statement: &AnchorStatement) -> Result<bool, Failure> {
        let file = self.path.join(Folder::relative(statement));
        let failed = |error: io::Error| Failure::passing(format!("cannot write {}: {error}", file.display()));
        match self.read(statement) {
            Ok(()) => return Ok(false),
            Err(Unlike::Absent) => {}
            Err(unlike) => return Err(unlike.into_failure(&file)),
        }
        let folder = file.parent().unwrap_or(&self.path);
        fs::create_dir_all(folder).map_err(failed)?;
        let unfinished =
            folder.join(format!(".{}.{}.unfinished", statement.checkpoint_id(), std::process::id()));
        let written = write_new(&unfinished, statement.to_jcs()).and_then(|()| {
            // A link, unlike a rename, does not replace what came in between.
            fs::hard_link(&unfinished, &file).or_else(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => Ok(()),
                _ => Err(error),
            })
        });
        let _ = fs::remove_file(&unfinished);
        written.and_then(|()| sync(folder)).and_then(|()| sync(&self.path)).map_err(failed)?;
        self.read(statement).map_err(|unlike| unlike.into_failure(&file))?;
        Ok(true)
    }

    /// Whether the statement is there as it is.
    fn read(&self, statement: &AnchorStatement) -> Result<(), Unlike> {
        match fs::read(self.path.join(Folder::relative(statement))) {
            Ok(found) if found == statement.to_jcs().as_bytes() => Ok(()),
            Ok(_) => Err(Unlike::Different),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Unlike::Absent),
            Err(error) => Err(Unlike::Unreadable(error)),
        }
    }
}

enum Unlike {
    Absent,
    Different,
    Unreadable(io::Error),
}

impl Unlike {
    fn into_failure(self, file: &Path) -> Failure {
        let file = file.display();
        match self {
            Unlike::Absent => Failure::passing(format!("{file} is not there")),
            Unlike::Different => Failure::lasting(format!(
                "{file} holds another statement: two ledgers have one id, or one was rewritten"
            )),
            Unlike::Unreadable(error) => Failure::passing(format!("cannot read {file}: {error}")),
        }
    }
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

impl Service for Folder {
    fn name(&self) -> String {
        format!("file {}", self.path.display())
    }

    fn publish(
        &self,
        statement: &AnchorStatement,
        _: Option<&[u8]>,
        _: &mut dyn Source,
    ) -> Result<Outcome, Failure> {
        self.write(statement)?;
        Ok(Outcome::Confirmed(Folder::relative(statement).into_bytes()))
    }

    fn verify(&self, statement: &AnchorStatement, evidence: &[u8]) -> Result<Verdict, String> {
        let relative = Folder::relative(statement);
        if evidence != relative.as_bytes() {
            return Err(format!("the evidence is not the name {relative}"));
        }
        let file = self.path.join(&relative);
        self.read(statement).map_err(|unlike| unlike.into_failure(&file).reason)?;
        Ok(Verdict::Holds(format!("{} holds the statement", file.display())))
    }
}
