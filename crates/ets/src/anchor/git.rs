//! Checkpoints as commits: the files of [`Folder`] in a git repository's worktree.
//!
//! A commit proves what its copies prove: push to a host, or let others fetch, and
//! no administrator of the ledger can rewrite what they have.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use ets_core::anchor::AnchorStatement;

use super::file::Folder;
use super::service::{Failure, Outcome, Service, Source, Verdict};

/// How long git may take for one command; a push goes over a network.
const TIME_OUT: Duration = Duration::from_secs(60);

/// A git repository with a worktree.
pub struct Repository {
    folder: Folder,
    pushes: bool,
}

impl Repository {
    /// The repository whose worktree is at `path`; with `pushes`, each commit goes on
    /// to the branch's upstream.
    ///
    /// # Errors
    /// A message for the user.
    pub fn open(path: &Path, pushes: bool) -> Result<Self, String> {
        let repository = Repository { folder: Folder::open(path)?, pushes };
        repository.git(&["rev-parse", "--is-inside-work-tree"])?;
        Ok(repository)
    }

    /// Runs git in the worktree; what it printed.
    fn git(&self, arguments: &[&str]) -> Result<String, String> {
        git(self.folder.path(), arguments)
    }

    /// The commit that last touched the statement's file, if it holds the statement.
    fn commit_of(&self, statement: &AnchorStatement) -> Option<String> {
        let commit = self.git(&["log", "-1", "--format=%H", "--", &Folder::relative(statement)]).ok()?;
        let commit = commit.trim().to_owned();
        self.holds(&commit, statement).is_ok().then_some(commit)
    }

    /// Whether the commit holds the statement as it is.
    fn holds(&self, commit: &str, statement: &AnchorStatement) -> Result<(), String> {
        if !(40..=64).contains(&commit.len()) || !commit.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err("the evidence is no commit id".into());
        }
        // Relative to the worktree's folder, which need not be the repository's top.
        let object = format!("{commit}:./{}", Folder::relative(statement));
        match self.git(&["cat-file", "blob", &object])? == statement.to_jcs() {
            true => Ok(()),
            false => Err(format!("commit {commit} holds another statement")),
        }
    }
}

impl Service for Repository {
    fn name(&self) -> String {
        format!("git {}", self.folder.path().display())
    }

    fn publish(
        &self,
        statement: &AnchorStatement,
        _: Option<&[u8]>,
        _: &mut dyn Source,
    ) -> Result<Outcome, Failure> {
        self.folder.write(statement)?;
        let commit = match self.commit_of(statement) {
            Some(commit) => commit,
            None => {
                let file = Folder::relative(statement);
                let message = format!(
                    "Checkpoint {} of {}\n\nMetaRoot {}",
                    statement.checkpoint_id(),
                    statement.origin(),
                    statement.meta_root()
                );
                self.git(&["add", "--", &file]).map_err(Failure::passing)?;
                self.git(&["commit", "--quiet", "-m", &message, "--", &file]).map_err(Failure::passing)?;
                self.commit_of(statement)
                    .ok_or_else(|| Failure::lasting("git changed the statement as it committed it"))?
            }
        };
        if self.pushes {
            self.git(&["push", "--quiet"]).map_err(Failure::passing)?;
        }
        Ok(Outcome::Confirmed(commit.into_bytes()))
    }

    fn verify(&self, statement: &AnchorStatement, evidence: &[u8]) -> Result<Verdict, String> {
        let commit = std::str::from_utf8(evidence).map_err(|_| "the evidence is no commit id")?;
        self.holds(commit, statement)?;
        let folder = self.folder.path().display();
        Ok(Verdict::Holds(format!("commit {commit} in {folder} holds the statement")))
    }
}

/// Runs git in a folder; what it printed. It never asks anybody anything.
///
/// # Errors
/// In one line: what git said, or that it took too long.
pub fn git(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let what = arguments.first().copied().unwrap_or_default();
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(arguments);
    command.env("GIT_TERMINAL_PROMPT", "0").stdin(Stdio::null());
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot run git: {error}"))?;
    // Both are read while it runs: a full pipe would stop it.
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let reader = |pipe: Option<Box<dyn std::io::Read + Send>>| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(pipe) = pipe {
                let _ = pipe.take(AnchorStatement::MAX_BYTES as u64 + 1).read_to_end(&mut bytes);
            }
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let out = reader(out.map(|pipe| Box::new(pipe) as _));
    let err = reader(err.map(|pipe| Box::new(pipe) as _));
    let end = Instant::now() + TIME_OUT;
    let status = loop {
        match child.try_wait().map_err(|error| format!("git {what}: {error}"))? {
            Some(status) => break status,
            None if Instant::now() < end => sleep(Duration::from_millis(10)),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("git {what} took longer than {} seconds", TIME_OUT.as_secs()));
            }
        }
    };
    let (out, err) = (out.join().unwrap_or_default(), err.join().unwrap_or_default());
    if status.success() {
        return Ok(out);
    }
    let said = err.lines().chain(out.lines()).map(str::trim).find(|line| !line.is_empty());
    Err(format!("git {what} failed: {}", said.unwrap_or("it said nothing")))
}
