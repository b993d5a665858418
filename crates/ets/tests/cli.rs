//! The program as its users meet it: files in, lines and exit codes out.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

const MATCH: i32 = 0;
const MISMATCH: i32 = 1;
const UNVERIFIABLE: i32 = 2;

fn ets(arguments: &[&str]) -> Output {
    ets_with(arguments, "")
}

fn ets_with(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ets"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that refuses its arguments does not wait for input.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples").join(name);
    path.canonicalize().unwrap().to_str().unwrap().to_owned()
}

fn root_key() -> String {
    let trust: Value =
        serde_json::from_str(&fs::read_to_string(example("trust-file.json")).unwrap()).unwrap();
    trust["root_public_key"].as_str().unwrap().to_owned()
}

/// A folder of this test alone, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ets-cli-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, content: &str) -> String {
        fs::write(self.0.join(name), content).unwrap();
        self.file(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_examples_match_when_the_ledger_is_named() {
    for name in ["proof-bundle.json", "stream-bundle.json"] {
        for trust in [["--root-key", &root_key()], ["--trust", &example("trust-file.json")]] {
            let output = ets(&["verify", &example(name), trust[0], trust[1]]);
            let out = text(&output.stdout);
            assert_eq!(code(&output), MATCH, "{out}");
            assert!(
                out.ends_with("\nMATCH\n") && !out.contains("unknown") && !out.contains("FAILED"),
                "{out}"
            );
            assert!(!out.contains('\x1b'), "colours where nobody sees them");
        }
    }
}

#[test]
fn a_bundle_that_vouches_for_itself_is_unverifiable() {
    let output = ets(&["verify", &example("proof-bundle.json")]);
    assert_eq!(code(&output), UNVERIFIABLE);
    let out = text(&output.stdout);
    assert!(out.contains(&format!("trusting the bundle's own root key {}", root_key())), "{out}");
    assert!(out.ends_with("\nUNVERIFIABLE\n"));

    let output = ets(&["verify", &example("event-document.json"), "--root-key", &root_key()]);
    assert_eq!(code(&output), UNVERIFIABLE);
}

#[test]
fn another_ledgers_root_key_is_a_mismatch() {
    let output = ets(&["verify", &example("proof-bundle.json"), "--root-key", RFC_8410_PUBLIC_KEY]);
    assert_eq!(code(&output), MISMATCH);
    assert!(text(&output.stdout).contains("FAILED   trust_root"));
}

#[test]
fn the_worst_of_several_files_decides() {
    let folder = Folder::new("several");
    let good = example("proof-bundle.json");
    let bad =
        folder.write("bad.json", &fs::read_to_string(&good).unwrap().replace("refuse\"}", "approve\"}"));
    let document = example("event-document.json");
    let key = root_key();
    for (files, expected) in [
        (vec![good.as_str(), &good], MATCH),
        (vec![&good, &document], UNVERIFIABLE),
        (vec![&document, &bad, &good], MISMATCH),
        (vec![&bad, "no such file"], MISMATCH),
        (vec![&good, "no such file"], UNVERIFIABLE),
    ] {
        let output = ets(&[&["verify", "--root-key", &key][..], &files].concat());
        assert_eq!(code(&output), expected, "{files:?} {}", text(&output.stdout));
    }
}

#[test]
fn programs_get_one_json_object_a_line() {
    let output =
        ets(&["verify", "--json", &example("proof-bundle.json"), "no such file", "--root-key", &root_key()]);
    let lines: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[0]["verdict"], &lines[1]["verdict"]), (&json!("MATCH"), &json!("UNVERIFIABLE")));
    let checks = lines[0]["checks"].as_array().unwrap();
    assert!(checks.iter().all(|check| check["passed"] == true && check["detail"].is_string()));
    let names: Vec<&str> = checks.iter().map(|check| check["check"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "format",
            "trust_root",
            "canonical",
            "key_id",
            "hash",
            "signature",
            "registry",
            "authority",
            "schema",
            "rules",
            "inclusion",
            "registry_inclusion",
            "meta_root",
            "note"
        ]
    );
    assert_eq!(lines[1]["checks"][0]["passed"], Value::Null);
}

/// A program of its own for every changed value of the example: none is a MATCH,
/// but that of the one member that no hash covers.
#[test]
fn every_tampered_copy_is_caught() {
    let whole: Value =
        serde_json::from_str(&fs::read_to_string(example("proof-bundle.json")).unwrap()).unwrap();
    let key = root_key();
    let mut copies = 0;
    for pointer in leaves(&whole) {
        let mut copy = whole.clone();
        let value = copy.pointer_mut(&pointer).unwrap();
        *value = match &*value {
            Value::String(text) => {
                let end = if text.ends_with('0') { "1" } else { "0" };
                Value::String(
                    text.chars().take(text.chars().count().saturating_sub(1)).collect::<String>() + end,
                )
            }
            Value::Number(number) if number.is_u64() => json!(number.as_u64().unwrap() + 1),
            Value::Number(_) => json!(7),
            Value::Bool(b) => json!(!b),
            _ => json!("other"),
        };
        let output = ets_with(&["verify", "-", "--root-key", &key], &copy.to_string());
        let is_label = pointer == "/checkpoint/checkpoint_id";
        assert_eq!(code(&output) == MATCH, is_label, "{pointer}: {}", text(&output.stdout));
        copies += 1;
    }
    assert!(copies > 120, "{copies}");
}

#[test]
fn garbage_is_never_a_match_and_never_a_crash() {
    let deep = "[".repeat(200_000);
    let escape = json!({"format": "\u{1b}[2J", "\u{1b}[31m": 1}).to_string();
    for input in ["", "null", "{}", "[1,2", "{\"format\":\"ets-proof-bundle/9\"}", &deep, &escape] {
        let output = ets_with(&["verify", "-"], input);
        assert_eq!(code(&output), MISMATCH, "{input:.30}");
        assert!(!text(&output.stdout).contains('\x1b'));
    }
    let folder = Folder::new("garbage");
    fs::write(folder.file("binary"), [0xff, 0xfe, 0x00]).unwrap();
    assert_eq!(code(&ets(&["verify", &folder.file("binary")])), UNVERIFIABLE);
    assert_eq!(code(&ets(&["verify", folder.0.to_str().unwrap()])), UNVERIFIABLE);
}

#[test]
fn wrong_usage_is_explained_and_is_no_pass() {
    let bundle = example("proof-bundle.json");
    let weak = "0".repeat(64);
    for (arguments, says) in [
        (vec![], "Usage"),
        (vec!["verify"], "FILE"),
        (vec!["verify", &bundle, "--root-key", "abc"], "--root-key is not 64 lowercase hexadecimal digits"),
        (vec!["verify", &bundle, "--root-key", &weak], "small order"),
        (vec!["verify", &bundle, "--root-key", &weak, "--trust", "x"], "cannot be used with"),
        (vec!["verify", &bundle, "--trust", "no such file"], "cannot read no such file"),
        (vec!["verify", &bundle, "--trust", &bundle], "is no trust file"),
        (vec!["verfy"], "unrecognized subcommand"),
    ] {
        let output = ets(&arguments);
        assert_eq!(code(&output), UNVERIFIABLE, "{arguments:?}");
        assert!(text(&output.stderr).contains(says), "{arguments:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty());
    }
    assert_eq!(code(&ets(&["verify", "--help"])), 0);
}

#[test]
fn a_new_key_is_its_owners_alone_and_signs() {
    let folder = Folder::new("keys");
    let file = folder.file("me.pem");
    let made = ets(&["keygen", &file]);
    assert_eq!(code(&made), 0, "{}", text(&made.stderr));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let key: Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!(ets(&["key-id", &file]).stdout, made.stdout);
    assert_eq!(ets(&["key-id", key["public_key"].as_str().unwrap()]).stdout, made.stdout);
    // Other programs read it: the last 32 bytes of the DER form are the key (RFC 8410).
    let other = Command::new("openssl").args(["pkey", "-pubout", "-outform", "DER", "-in", &file]).output();
    let other = other.expect("openssl runs");
    assert!(other.status.success(), "{}", text(&other.stderr));
    let last: String =
        other.stdout[other.stdout.len() - 32..].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(last, key["public_key"].as_str().unwrap());
    // A key that exists is never written over.
    let before = fs::read(&file).unwrap();
    assert_eq!(code(&ets(&["keygen", &file])), UNVERIFIABLE);
    assert_eq!(fs::read(&file).unwrap(), before);

    let head = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let sign = |payload: &str| {
        ets_with(
            &["sign", "--key", &file, "--schema-version", "order/1.0.0", "--previous-hash", head, "-"],
            payload,
        )
    };
    let signed = sign("{ \"b\": 1.10, \"a\": [] }");
    let element: Value = serde_json::from_slice(&signed.stdout).unwrap();
    assert_eq!(element["payload"], json!({"a": [], "b": 1.1}));
    assert_eq!(element["public_key"], key["public_key"]);
    let hash = ets_core::hash::event_hash(b"{\"a\":[],\"b\":1.1}", &head.parse().unwrap());
    let public_key = ets_core::hash::from_hex(element["public_key"].as_str().unwrap()).unwrap();
    let signature = ets_core::hash::from_hex(element["signature"].as_str().unwrap()).unwrap();
    assert!(ets_core::key::verify_strict(&public_key, hash.as_bytes(), &signature));

    for refused in ["{\"n\":9007199254740993}", "{\"a\":1,\"a\":2}", "", "{"] {
        let output = sign(refused);
        assert_eq!(code(&output), UNVERIFIABLE);
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
}

/// RFC 8410, section 10.3 and 10.1: the key that every other tool reads.
const RFC_8410_SECRET_KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
";
const RFC_8410_PUBLIC_KEY: &str = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";

#[test]
fn keys_of_other_tools_are_read() {
    let folder = Folder::new("rfc8410");
    let file = folder.write("key.pem", RFC_8410_SECRET_KEY);
    let key: Value = serde_json::from_slice(&ets(&["key-id", &file]).stdout).unwrap();
    assert_eq!(key["public_key"], RFC_8410_PUBLIC_KEY);
    let broken = folder.write("broken.pem", &RFC_8410_SECRET_KEY.replace("MC4C", "MC4D"));
    let output = ets(&["key-id", &broken]);
    assert_eq!(code(&output), UNVERIFIABLE);
    assert!(text(&output.stderr).contains("holds no Ed25519 secret key"));
}

/// Pointers of all values that are no arrays or objects.
fn leaves(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut add = |name: &str, child: &Value| {
        let name = name.replace('~', "~0").replace('/', "~1");
        found.extend(leaves(child).into_iter().map(|below| format!("/{name}{below}")));
    };
    match value {
        Value::Object(members) => members.iter().for_each(|(name, child)| add(name, child)),
        Value::Array(items) => items.iter().enumerate().for_each(|(at, child)| add(&at.to_string(), child)),
        _ => found.push(String::new()),
    }
    found
}
