//! The history of a git repository, as commits in the order of their making.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use ets_core::time::Timestamp;
use serde_json::{Value, json};

/// What a commit's message is cut to, in bytes: events are facts, not archives.
const MESSAGE_BYTES: usize = 10_000;
/// How many changed files an event names; the counts cover all of them.
const NAMED_FILES: usize = 200;

/// One commit.
pub struct Commit {
    /// Its hash.
    pub id: String,
    /// `Name <email>`, in a form that can name a stream.
    pub author: String,
    /// The first line of its message.
    pub subject: String,
    /// What becomes the event.
    pub payload: Value,
}

/// Every commit reachable from HEAD, parents before children.
///
/// # Errors
/// What git said, in words for a user.
pub fn history(repository: &Path, schema: &str) -> Result<Vec<Commit>, String> {
    // No field of a commit can contain NUL, so NUL separates fields and commits.
    const FIELDS: [&str; 9] = ["%H", "%P", "%aN", "%aE", "%at", "%cN", "%cE", "%ct", "%B"];
    let format = format!("--format=tformat:{}", FIELDS.join("%x00"));
    let log = git(repository, &["log", "-z", "--reverse", "--topo-order", "--encoding=UTF-8", &format], "")?;
    // A byte that is not UTF-8 in spite of --encoding becomes U+FFFD.
    let log = String::from_utf8_lossy(&log);
    let fields: Vec<&str> = log.split('\0').collect();
    let commits = fields.chunks_exact(FIELDS.len());
    let ids: String = commits.clone().map(|fields| format!("{}\n", fields[0])).collect();
    let mut changes = changes(repository, ids)?;
    Ok(commits
        .map(|fields| {
            let [id, parents, name, email, written, committer, committer_email, committed, message] = fields
            else {
                unreachable!("chunks have nine fields")
            };
            let changes = changes.remove(*id).unwrap_or_default();
            let author = identity(name, email);
            let payload = json!({
                "schema_version": schema,
                "commit": id,
                "parents": parents.split_ascii_whitespace().collect::<Vec<_>>(),
                "author": author,
                "authored_at": moment(written),
                "committer": identity(committer, committer_email),
                "committed_at": moment(committed),
                "message": beginning(message, MESSAGE_BYTES),
                "message_bytes": message.len(),
                "files": changes.iter().take(NAMED_FILES).map(Change::to_json).collect::<Vec<_>>(),
                "files_changed": changes.len(),
                "lines_added": changes.iter().filter_map(|change| change.added).sum::<u64>(),
                "lines_removed": changes.iter().filter_map(|change| change.removed).sum::<u64>(),
            });
            let subject = message.lines().next().unwrap_or_default().to_owned();
            Commit { id: (*id).to_owned(), author, subject, payload }
        })
        .collect())
}

/// A file in a commit; without counts if it is binary.
struct Change {
    path: String,
    added: Option<u64>,
    removed: Option<u64>,
}

impl Change {
    fn to_json(&self) -> Value {
        json!({"path": self.path, "added": self.added, "removed": self.removed})
    }
}

/// The changed files of each commit; none of a merge, as in `git log`.
fn changes(repository: &Path, ids: String) -> Result<HashMap<String, Vec<Change>>, String> {
    let arguments = ["diff-tree", "--stdin", "-r", "--root", "--no-renames", "--numstat", "-z"];
    let output = git(repository, &arguments, &ids)?;
    let output = String::from_utf8_lossy(&output);
    let mut changes: HashMap<String, Vec<Change>> = HashMap::new();
    let mut commit = String::new();
    for record in output.split('\0').filter(|record| !record.is_empty()) {
        // Either a commit's hash or `added TAB removed TAB path`.
        let mut fields = record.splitn(3, '\t');
        match (fields.next(), fields.next(), fields.next()) {
            (Some(added), Some(removed), Some(path)) => {
                changes.entry(commit.clone()).or_default().push(Change {
                    path: beginning(path, 1000).to_owned(),
                    added: added.parse().ok(),
                    removed: removed.parse().ok(),
                })
            }
            _ => commit = record.trim_end().to_owned(),
        }
    }
    Ok(changes)
}

fn git(repository: &Path, arguments: &[&str], input: &str) -> Result<Vec<u8>, String> {
    let mut child = Command::new("git")
        .arg("-C")
        .arg(repository)
        // Reading is harmless whoever owns the checkout; signatures would be mixed into the log.
        .args(["-c", "safe.directory=*", "-c", "log.showSignature=false"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot run git: {error}"))?;
    let mut stdin = child.stdin.take();
    thread::scope(|scope| {
        // In a thread: git writes while it reads.
        scope.spawn(move || stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes())));
        child.wait_with_output()
    })
    .map_err(|error| format!("cannot read from git: {error}"))
    .and_then(|output| match output.status.success() {
        true => Ok(output.stdout),
        false => Err(format!("git says: {}", String::from_utf8_lossy(&output.stderr).trim())),
    })
}

/// `Name <email>` without what a stream's name cannot hold: control characters,
/// `*`, more than 255 bytes.
fn identity(name: &str, email: &str) -> String {
    let text: String = format!("{name} <{email}>")
        .chars()
        .map(|character| if character.is_control() || character == '*' { '\u{fffd}' } else { character })
        .collect();
    beginning(&text, 255).to_owned()
}

/// Seconds since 1970 as a time; null if it is none that a ledger can write.
fn moment(seconds: &str) -> Option<String> {
    let micros = seconds.parse::<i64>().ok()?.checked_mul(1_000_000)?;
    Timestamp::from_unix_micros(micros).map(|moment| moment.to_string())
}

/// At most `bytes` of `text`, whole characters only.
fn beginning(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_identity_names_a_stream() {
        let long = "é".repeat(300);
        for (name, email) in [("Ada", "ada@example.com"), ("", ""), ("*\n\u{85}", "a*b"), (&long, "x")] {
            let identity = identity(name, email);
            assert!(identity.parse::<ets_core::name::StreamName>().is_ok(), "{identity:?}");
        }
    }

    #[test]
    fn times_that_no_ledger_can_write_are_left_out() {
        assert_eq!(moment("0").as_deref(), Some("1970-01-01T00:00:00.000000Z"));
        for absurd in ["", "-1", "253402300800", "9223372036854775807", "99999999999999999999"] {
            assert_eq!(moment(absurd), None, "{absurd}");
        }
    }

    /// Commits as `git fast-import` takes them: as odd as a history can be.
    #[test]
    fn an_odd_history_is_read_whole() {
        let folder = std::env::temp_dir().join(format!("git-ledger-test-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        git(&folder, &["init", "-q", "-b", "main", "."], "").unwrap();
        let huge = "é\n".repeat(400_000);
        let commits: Vec<(&str, String, &str)> = vec![
            ("Ada <ada@example.com> 0 +0000", "first\n".to_owned(), "M 100644 inline a\tb\ndata 4\na\nb\n"),
            ("<> 1700000000 +0000", String::new(), ""),
            ("*evil* <a> 253402300800 +0000", "year 10000".to_owned(), ""),
            (
                "Ada <ada@example.com> 1700000000 -1200",
                huge.clone(),
                "D a\tb\nM 100644 inline b\ndata 2\n\0\n",
            ),
        ];
        let mut stream = Vec::new();
        for (number, (identity, message, changes)) in commits.iter().enumerate() {
            let mark = number + 1;
            let header = format!(
                "commit refs/heads/main\nmark :{mark}\nauthor {identity}\ncommitter {identity}\ndata {}\n{message}\n",
                message.len()
            );
            stream.extend_from_slice(header.as_bytes());
            stream.extend_from_slice(changes.as_bytes());
            stream.push(b'\n');
        }
        // A merge with a message in Latin-1 that claims to be UTF-8.
        stream.extend_from_slice(
            b"commit refs/heads/main\nauthor \xe9 <e@x> 1 +0000\ncommitter C <c@x> 1 +0000\ndata 3\n\xe9\xff!\nmerge :1\n",
        );
        import(&folder, &stream);
        let read = history(&folder, "git-commit/1.0.0").unwrap();
        std::fs::remove_dir_all(&folder).unwrap();

        assert_eq!(read.len(), 5);
        let payloads: Vec<_> = read.iter().map(|commit| &commit.payload).collect();
        assert_eq!(payloads[0]["files"], json!([{"path": "a\tb", "added": 2, "removed": 0}]));
        assert_eq!(payloads[0]["authored_at"], "1970-01-01T00:00:00.000000Z");
        assert_eq!(payloads[1]["message"], "");
        assert_eq!(payloads[1]["files"], json!([]));
        assert_eq!(payloads[2]["authored_at"], Value::Null);
        assert!(!read[2].author.contains('*'));
        assert_eq!(payloads[3]["message_bytes"], huge.len());
        assert!(payloads[3]["message"].as_str().unwrap().len() <= MESSAGE_BYTES);
        assert_eq!(payloads[3]["files_changed"], 2);
        assert!(payloads[3]["files"].as_array().unwrap().iter().any(|file| file["added"] == Value::Null));
        assert_eq!(payloads[4]["parents"].as_array().unwrap().len(), 2);
        assert_eq!(payloads[4]["message"], "\u{fffd}\u{fffd}!");
        let schema: Value = serde_json::from_str(include_str!("git-commit.schema.json")).unwrap();
        for payload in payloads {
            let members: Vec<_> = payload.as_object().unwrap().keys().collect();
            let allowed = schema["properties"].as_object().unwrap();
            assert!(members.iter().all(|member| allowed.contains_key(*member)), "{members:?}");
        }
    }

    fn import(folder: &Path, stream: &[u8]) {
        let mut child = Command::new("git")
            .arg("-C")
            .arg(folder)
            .args(["fast-import", "--quiet", "--date-format=raw-permissive"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(stream).unwrap();
        assert!(child.wait().unwrap().success());
    }
}
