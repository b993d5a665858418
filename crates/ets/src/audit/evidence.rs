//! What somebody kept outside the ledger, against which it is held: the auditor's own
//! memory, kept checkpoint notes, and published statements.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ets_core::anchor::AnchorStatement;
use ets_core::checkpoint::DomainRoot;
use ets_core::hash::{Digest, to_hex};
use ets_core::name::DomainName;
use ets_core::registry::Registry;
use ets_core::trust::TrustFile;
use ets_core::verify::{KeptCheckpoint, KeptRoot};
use uuid::Uuid;

use crate::anchor::git;
use crate::output;

/// How far a piece of evidence is out of the server's reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// The auditor, or who trusts him, kept it.
    Witnessed,
    /// It was published where the server could not take it back.
    Anchored,
}

/// Roots that one source states together.
pub struct Evidence {
    /// The file, for people.
    pub source: String,
    pub standing: Standing,
    pub roots: Vec<DomainRoot>,
    /// The checkpoint's MetaRoot, where the source states it.
    pub meta_root: Option<Digest>,
}

/// All that was kept, by domain, for the tree verifier.
pub fn by_domain(evidence: &[Evidence]) -> BTreeMap<DomainName, Vec<KeptRoot>> {
    let mut all = BTreeMap::<_, Vec<_>>::new();
    for kept in evidence {
        for root in &kept.roots {
            all.entry(root.domain.clone()).or_default().push(KeptRoot {
                tree_size: root.tree_size,
                root: root.root,
                source: kept.source.clone(),
            });
        }
    }
    all
}

/// A statement as evidence.
pub fn of_statement(statement: &AnchorStatement, source: String, standing: Standing) -> Evidence {
    Evidence {
        source,
        standing,
        roots: statement.domain_roots().to_vec(),
        meta_root: Some(*statement.meta_root()),
    }
}

/// The published statements of this ledger: a file with one, or a folder in which
/// they lie as `LEDGER_ID/NUMBER.json`.
///
/// # Errors
/// A message that names the file: it cannot be read, is no statement, or another
/// ledger's.
pub fn anchors(path: &Path, ledger_id: &Uuid) -> Result<Vec<Evidence>, String> {
    let published = statements(path, ledger_id)?.into_iter();
    Ok(published
        .map(|(file, statement)| {
            of_statement(&statement, format!("anchor {}", file.display()), Standing::Anchored)
        })
        .collect())
}

/// The same with the file of each, as they are.
///
/// # Errors
/// As [`anchors`].
pub fn statements(path: &Path, ledger_id: &Uuid) -> Result<Vec<(PathBuf, AnchorStatement)>, String> {
    let read = |file: &Path| -> Result<(PathBuf, AnchorStatement), String> {
        let text = output::read_text(file, AnchorStatement::MAX_BYTES)?;
        let statement = AnchorStatement::parse(text.trim_end_matches('\n'))
            .map_err(|error| format!("{} is no statement of a checkpoint: {error}", file.display()))?;
        if statement.ledger_id() != ledger_id {
            return Err(format!("{} is of another ledger, {}", file.display(), statement.ledger_id()));
        }
        Ok((file.to_owned(), statement))
    };
    let failed = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        return Ok(vec![read(path)?]);
    }
    let folder = path.join(ledger_id.hyphenated().to_string());
    let mut files = Vec::new();
    match fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(format!("cannot read {}: {error}", folder.display())),
        Ok(entries) => {
            for entry in entries {
                let file: PathBuf = entry.map_err(failed)?.path();
                if file.extension().is_some_and(|extension| extension == "json") {
                    files.push(file);
                }
            }
        }
    }
    files.sort();
    files.iter().map(|file| read(file)).collect()
}

/// The published statements of this ledger in a git repository, as its default branch
/// has them now.
///
/// # Errors
/// A message that names the repository: it cannot be cloned; or as [`anchors`].
pub fn repository(url: &str, ledger_id: &Uuid) -> Result<Vec<Evidence>, String> {
    let mut name = [0; 8];
    getrandom::fill(&mut name).map_err(|error| format!("no random bytes: {error}"))?;
    let folder = std::env::temp_dir().join(format!("ets-anchors-{}", to_hex(&name)));
    fs::create_dir(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    // `--` before the URL: it may not be an option of git's.
    let cloned = git(&folder, &["clone", "--quiet", "--depth", "1", "--", url, "clone"]);
    let found = cloned
        .map_err(|problem| format!("cannot fetch {url}: {problem}"))
        .and_then(|_| anchors(&folder.join("clone"), ledger_id));
    let _ = fs::remove_dir_all(&folder);
    let inside = format!("anchor {}/", folder.join("clone").display());
    Ok(found?
        .into_iter()
        .map(|kept| Evidence { source: kept.source.replacen(&inside, &format!("anchor {url} "), 1), ..kept })
        .collect())
}

/// A checkpoint note that was kept.
///
/// # Errors
/// A message that names the file: it cannot be read, is no note of this ledger's,
/// or not signed by a key of its server.
pub fn note(path: &Path, registry: &Registry) -> Result<Evidence, String> {
    let text = output::read_text(path, AnchorStatement::MAX_BYTES)?;
    let wrong = |error| format!("{} is no checkpoint of this ledger: {error}", path.display());
    let kept = KeptCheckpoint::parse(&text, registry).map_err(wrong)?;
    kept.signature().map_err(wrong)?;
    Ok(Evidence {
        source: format!("checkpoint {}", path.display()),
        standing: Standing::Witnessed,
        roots: vec![kept.root],
        meta_root: None,
    })
}

/// The checkpoints in a trust file.
pub fn trusted(file: &TrustFile, path: &Path) -> Vec<Evidence> {
    let each = file.checkpoints.iter().map(|checkpoint| Evidence {
        source: format!("checkpoint {} in {}", checkpoint.checkpoint_id, path.display()),
        standing: Standing::Witnessed,
        roots: checkpoint.domain_roots.clone(),
        meta_root: None,
    });
    each.collect()
}
