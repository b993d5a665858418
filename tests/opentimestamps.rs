//! `ets anchor --ots` on a real ledger, against a calendar made of the reference
//! library's own parts: what `ets.anchor` has on the way from a promise to a block, and
//! what that library reads in it. The format itself is tested in ets-core.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use ets_tests::{Cluster, Ledger, checkout, order, publish, test_data};
use serde_json::Value;

fn python(script: &str) -> Command {
    let mut command = Command::new("python3");
    command.arg("-B").arg(checkout().join("tests/opentimestamps").join(script));
    command.env("PYTHONPATH", test_data(&["python", "tests/opentimestamps"]));
    command
}

/// The calendar; it ends with this.
struct Calendar {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    url: String,
}

impl Calendar {
    fn start() -> Self {
        let mut process = python("calendar_server.py")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("python3: {error}"));
        let orders = process.stdin.take().expect("piped");
        let answers = BufReader::new(process.stdout.take().expect("piped"));
        let mut calendar = Calendar { process, orders, answers, url: String::new() };
        calendar.url = calendar.answer();
        assert!(
            calendar.url.starts_with("http://127.0.0.1:"),
            "the calendar did not start: {}",
            calendar.url
        );
        calendar
    }

    /// How to answer from now on.
    fn mode(&mut self, mode: &str) {
        writeln!(self.orders, "{mode}").expect("it runs");
        assert_eq!(self.answer(), mode);
    }

    /// A new block with all that waits: `HEIGHT HEADER`.
    fn mine(&mut self) -> String {
        writeln!(self.orders, "mine").expect("it runs");
        self.answer()
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("a line");
        line.trim().to_owned()
    }
}

impl Drop for Calendar {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// States and details of the lines, in order.
fn said(lines: &[Value]) -> Vec<(i64, &str, &str)> {
    lines
        .iter()
        .map(|line| {
            (
                line["checkpoint_id"].as_i64().expect("a number"),
                line["state"].as_str().expect("a state"),
                line["detail"].as_str().unwrap_or_default(),
            )
        })
        .collect()
}

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, content).expect("a file");
    path
}

/// What the reference library reads in the evidence of a checkpoint, line by line.
fn read(ledger: &mut Ledger, folder: &Path, checkpoint: i64, header: Option<&str>) -> Vec<String> {
    let sql = "SELECT evidence FROM ets.anchor WHERE checkpoint_id = $1";
    let proof = write(folder, "proof.ots", ledger.one::<Vec<u8>>(sql, &[&checkpoint]));
    let sql = "SELECT statement FROM ets.anchor WHERE checkpoint_id = $1";
    let statement = write(folder, "statement.json", ledger.one::<String>(sql, &[&checkpoint]));
    let output = python("read.py").arg(proof).arg(statement).args(header).output().expect("python3");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the reference library does not read it: {complaint}");
    String::from_utf8(output.stdout).expect("UTF-8").lines().map(str::to_owned).collect()
}

#[test]
fn a_checkpoint_comes_into_a_block() {
    let mut ledger = Ledger::new();
    ledger.append(&order("a", 1));
    let first = ledger.seal();
    let mut calendar = Calendar::start();
    let url = calendar.url.clone();
    let folder = Cluster::shared().folder().join("opentimestamps");
    fs::create_dir(&folder).expect("a new folder");
    let places = ["--ots", &url, "--time-out", "2"];
    let row = "SELECT state || ' ' || (evidence IS NULL) || ' ' || coalesce(reason, '-') FROM ets.anchor WHERE checkpoint_id = $1";

    // What is no promise of this calendar's is none.
    for (attempt, (mode, says, retries)) in [
        ("garbage", "is no timestamp: no operation has the tag 0x3c", true),
        ("endless", "digest: ", true),
        ("slow", "timeout", true),
        ("cut", "digest: ", true),
        ("broken", "HTTP status 503: back soon\u{fffd}[31m", true),
        ("refusing", "HTTP status 400: no", false),
        ("nothing", "promises nothing", true),
        ("stranger", "promises for the calendar https://other.example: name that one", false),
    ]
    .into_iter()
    .enumerate()
    {
        calendar.mode(mode);
        let (code, lines, _) = publish(&ledger, &places);
        assert_eq!((code, said(&lines)[0].1), (Some(1), "failed"), "{mode}: {lines:?}");
        let found: String = ledger.one(row, &[&first]);
        assert!(found.starts_with("failed true ") && found.contains(says), "{mode}: {found}");
        let sql = "SELECT attempts = $1 AND (next_attempt IS NOT NULL) = $2 FROM ets.anchor";
        assert!(ledger.one::<bool>(sql, &[&i32::try_from(attempt + 1).expect("small"), &retries]), "{mode}");
    }

    // A promise, which the reference library reads.
    calendar.mode("well");
    let (code, lines, _) = publish(&ledger, &places);
    assert_eq!((code, said(&lines)[0].1), (Some(0), "pending"), "{lines:?}");
    assert_eq!(lines[0]["service"], format!("opentimestamps {}", calendar.url));
    assert_eq!(ledger.one::<String>(row, &[&first]), "pending false -");
    assert_eq!(read(&mut ledger, &folder, first, None), [format!("pending {}", calendar.url)]);
    ledger.append(&order("a", 2));
    let second = ledger.seal();
    let (code, lines, _) = publish(&ledger, &places);
    let brought = format!("{} has not brought it into a block", calendar.url);
    let waiting = format!("{brought}: Pending confirmation in Bitcoin blockchain");
    assert_eq!(said(&lines), [(first, "pending", &*waiting), (second, "pending", &*brought)]);
    assert_eq!(code, Some(0));

    // In a block: whatever else than the way to it is answered loses nothing.
    let header = calendar.mine();
    for (mode, state) in
        [("garbage", "failed"), ("broken", "failed"), ("slow", "failed"), ("again", "pending")]
    {
        calendar.mode(mode);
        let (_, lines, _) = publish(&ledger, &places);
        assert_eq!(
            said(&lines).iter().map(|line| line.1).collect::<Vec<_>>(),
            [state; 2],
            "{mode}: {lines:?}"
        );
        for checkpoint in [first, second] {
            let kept = read(&mut ledger, &folder, checkpoint, None);
            assert_eq!(kept, [format!("pending {}", calendar.url)], "{mode}");
        }
    }
    // The way of something else leads elsewhere, as the header says.
    let headers = write(&folder, "headers", &header);
    let with = |headers: &Path| {
        let known = ["--block-headers", headers.to_str().expect("UTF-8"), "--minimum-difficulty", "0"];
        [&places[..], &known].concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let run = |ledger: &Ledger, arguments: &[String], more: &[&str]| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(more.iter().copied()).collect();
        publish(ledger, &arguments)
    };
    calendar.mode("replayed");
    let (code, lines, _) = run(&ledger, &with(&headers), &[]);
    let elsewhere = "it does not lead to the Merkle root of Bitcoin block 900001 in --block-headers";
    assert_eq!(said(&lines), [(first, "failed", elsewhere), (second, "failed", elsewhere)]);
    assert_eq!(code, Some(1));
    // Without the header it cannot be told, and is kept until it can.
    let (_, lines, _) = publish(&ledger, &places);
    let missing = "it leads to Bitcoin block 900001, whose header --block-headers does not give";
    assert_eq!(said(&lines), [(first, "pending", missing), (second, "pending", missing)]);
    calendar.mode("well");
    let (_, lines, _) = publish(&ledger, &places);
    assert_eq!(said(&lines), [(first, "pending", missing), (second, "pending", missing)]);

    // The header of another block in its place, and one that cost nothing.
    let other = calendar.mine();
    let (_, other) = other.split_once(' ').expect("HEIGHT HEADER");
    let others = write(&folder, "others", format!("900001 {other}\n"));
    let (code, lines, _) = run(&ledger, &with(&others), &["--checkpoint", &first.to_string()]);
    assert_eq!((code, said(&lines)), (Some(1), vec![(first, "failed", elsewhere)]));
    let (code, lines, problem) = run(&ledger, &with(&headers)[..6], &[]);
    assert_eq!((code, lines.len()), (Some(2), 0));
    assert!(
        problem.contains("line 1: the header's difficulty (nBits 207fffff) is below the minimum"),
        "{problem}"
    );

    // And its own.
    for checkpoint in [first, second] {
        let (code, lines, _) = run(&ledger, &with(&headers), &["--checkpoint", &checkpoint.to_string()]);
        assert_eq!((code, said(&lines)), (Some(0), vec![(checkpoint, "confirmed", "")]));
        let hex = header.split_once(' ').expect("HEIGHT HEADER").1;
        let block = "bitcoin 900001 1800000000".to_owned();
        let attested = read(&mut ledger, &folder, checkpoint, Some(hex));
        assert!(attested.contains(&block), "{attested:?}");
    }
    // Who has no header cannot tell, and does not say that it is gone.
    let (code, lines, _) = publish(&ledger, &[&places[..], &["--checkpoint", &first.to_string()]].concat());
    assert_eq!((code, said(&lines)), (Some(0), vec![(first, "confirmed", "")]));
    let proven = "the statement existed when Bitcoin block 900001 was mined, at 2027-01-15T08:00:00.000000Z by its header";
    for (arguments, code, state, detail) in [
        (with(&headers), 0, "holds", proven),
        (places.map(str::to_owned).to_vec(), 2, "unknown", missing),
        (with(&others), 1, "broken", elsewhere),
    ] {
        let (found, lines, _) = run(&ledger, &arguments, &["--verify"]);
        assert_eq!(
            (found, said(&lines)),
            (Some(code), vec![(first, state, detail), (second, state, detail)])
        );
    }
    let sql = "SELECT passed, detail FROM ets.verify_anchor(1) WHERE check_name = 'anchor_evidence'";
    let row = ledger.client.query_one(sql, &[]).expect("a check");
    assert_eq!(row.get::<_, Option<bool>>(0), None);
    assert_eq!(
        row.get::<_, &str>(1),
        "it leads to Bitcoin block 900001, whose header is not in the database"
    );
    ledger.seal();
    assert_eq!(ledger.findings(), Vec::<String>::new());

    // An audit believes it with the header of its own node, and not without.
    for (arguments, code, trust, says) in [
        (with(&headers), 0, "ANCHORED", proven),
        (vec!["--ots".to_owned(), url.clone()], 0, "SELF-CONSISTENT", missing),
        (with(&others), 1, "null", elsewhere),
    ] {
        let arguments: Vec<&str> =
            arguments.iter().map(String::as_str).filter(|part| !["--time-out", "2"].contains(part)).collect();
        let report = ets_tests::audit(&mut ledger, &arguments, code);
        assert_eq!(report["trust"].as_str().unwrap_or("null"), trust, "{report}");
        let text = report.to_string();
        assert!(text.contains(&format!("anchor 1 of checkpoint {first}")) && text.contains(says), "{text}");
    }
}

#[test]
fn what_is_named_wrongly_is_refused() {
    let ledger = Ledger::new();
    for (arguments, says) in [
        (&["--ots", "ftp://calendar.example"][..], "https://"),
        (&["--block-headers", "x", "--file", "/"], "--ots"),
        (&["--ots", "https://calendar.example", "--minimum-difficulty", "1"], "--block-headers"),
        (&["--ots", "https://calendar.example", "--block-headers", "/nowhere"], "cannot read /nowhere"),
    ] {
        let (code, lines, problem) = publish(&ledger, arguments);
        assert_eq!((code, lines.len()), (Some(2), 0), "{arguments:?}");
        assert!(problem.contains(says), "{problem}");
    }
}
