//! Keys under a passphrase: ours for openssl, openssl's for us.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

const COULD_NOT: i32 = 2;

/// A folder of one test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ets-keys-{}-{name}", std::process::id()));
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

fn ets(arguments: &[&str], passphrase: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ets"));
    command.args(arguments).env_remove("ETS_PASSPHRASE");
    if let Some(passphrase) = passphrase {
        command.env("ETS_PASSPHRASE", passphrase);
    }
    command.output().unwrap()
}

fn openssl(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(arguments).output().expect("openssl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn refused(output: &Output, says: &str) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(COULD_NOT), "{errors}");
    assert!(errors.contains(says) && output.stdout.is_empty(), "{errors}");
}

#[test]
fn an_encrypted_key_opens_with_its_passphrase_alone_and_in_openssl() {
    let folder = Folder::new("ours");
    let key = folder.file("root.pem");
    let pass = folder.write("pass", "correct horse\nand a second line\n");
    let made = ets(&["keygen", "--encrypt", "--passphrase-file", &pass, &key], None);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert!(fs::read_to_string(&key).unwrap().starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));

    assert_eq!(ets(&["key-id", &key], Some("correct horse")).stdout, made.stdout);
    assert_eq!(ets(&["key-id", "--passphrase-file", &pass, &key], Some("wrong")).stdout, made.stdout);
    refused(&ets(&["key-id", &key], Some("wrong")), "does not open with this passphrase");
    refused(&ets(&["key-id", &key], Some("")), "is empty");
    refused(&ets(&["key-id", &key], None), "needs a passphrase");

    let der = openssl(&["pkey", "-in", &key, "-passin", "pass:correct horse", "-pubout", "-outform", "DER"]);
    let public: String = der[der.len() - 32..].iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(String::from_utf8_lossy(&made.stdout).contains(&public));
}

#[test]
fn keys_that_openssl_encrypted_are_read() {
    let folder = Folder::new("theirs");
    let plain = folder.file("plain.pem");
    let expected = ets(&["keygen", &plain], None).stdout;
    for (name, options) in [
        ("aes256.pem", &["-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA256"][..]),
        ("aes128.pem", &["-v2", "aes-128-cbc"]),
        ("scrypt.pem", &["-scrypt", "-v2", "aes-256-cbc"]),
    ] {
        let file = folder.file(name);
        let common = ["pkcs8", "-topk8", "-in", &plain, "-out", &file, "-passout", "pass:tr0ub4dor"];
        openssl(&[&common[..], options].concat());
        let read = ets(&["key-id", &file], Some("tr0ub4dor"));
        assert_eq!(read.stdout, expected, "{name}: {}", String::from_utf8_lossy(&read.stderr));
        refused(&ets(&["key-id", &file], Some("other")), "does not open with this passphrase");
    }
    let broken = folder.write(
        "broken.pem",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMC4C\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    refused(&ets(&["key-id", &broken], Some("x")), "is no encrypted PKCS #8 PEM");
}

/// The costs of a key file are chosen by whoever wrote it.
#[test]
fn a_key_that_would_take_all_memory_or_time_is_refused() {
    let folder = Folder::new("costly");
    let (plain, der, pem) = (folder.file("plain.pem"), folder.file("key.der"), folder.file("key.pem"));
    assert!(ets(&["keygen", &plain], None).status.success());
    openssl(&[
        "pkcs8", "-topk8", "-scrypt", "-in", &plain, "-outform", "DER", "-out", &der, "-passout", "pass:x",
    ]);
    // N = 16384, r = 8, p = 1 in DER; and then p = 127.
    let mut bytes = fs::read(&der).unwrap();
    let costs = [2, 2, 0x40, 0, 2, 1, 8, 2, 1, 1];
    let at = bytes.windows(costs.len()).position(|window| window == costs).unwrap();
    bytes[at + costs.len() - 1] = 127;
    fs::write(&der, bytes).unwrap();
    let base64 = String::from_utf8(openssl(&["base64", "-in", &der])).unwrap();
    let text =
        format!("-----BEGIN ENCRYPTED PRIVATE KEY-----\n{base64}-----END ENCRYPTED PRIVATE KEY-----\n");
    fs::write(&pem, text).unwrap();
    refused(&ets(&["key-id", &pem], Some("x")), "than is reasonable");
}

#[test]
fn an_existing_key_is_kept_before_anybody_is_asked() {
    let folder = Folder::new("kept");
    let key = folder.write("root.pem", "mine");
    refused(&ets(&["keygen", "--encrypt", &key], None), "exists");
    assert_eq!(fs::read_to_string(&key).unwrap(), "mine");
}

const HEAD: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// `ets sign` by a shell command.
fn sign_with(folder: &Folder, command: &str, public_key: &str) -> Output {
    let payload = folder.write("payload.json", "{\"a\":1}");
    let by = ["--signer", command, "--public-key", public_key, "--signer-timeout", "2"];
    let what = ["sign", "--schema-version", "order/1.0.0", "--previous-hash", HEAD, &payload];
    ets(&[&what[..], &by].concat(), None)
}

#[test]
fn a_program_signs_and_its_answer_is_verified() {
    let folder = Folder::new("signer");
    let (key, other) = (folder.file("key.pem"), folder.file("other.pem"));
    let made = String::from_utf8(ets(&["keygen", &key], None).stdout).unwrap();
    assert!(ets(&["keygen", &other], None).status.success());
    let public = made.rsplit('"').nth(1).unwrap();
    let message = folder.file("message");
    let by = |key: &str| {
        format!("cat > '{message}' && openssl pkeyutl -sign -rawin -inkey '{key}' -in '{message}'")
    };
    let signed = sign_with(&folder, &by(&key), public);
    assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
    assert_eq!(fs::metadata(&message).unwrap().len(), 32);
    let payload = folder.file("payload.json");
    let by_key = ["--key", &key, "--schema-version", "order/1.0.0", "--previous-hash", HEAD, &payload];
    assert_eq!(ets(&[&["sign"][..], &by_key].concat(), None).stdout, signed.stdout);

    refused(&sign_with(&folder, &by(&other), public), "is no signature of --public-key");
    refused(&sign_with(&folder, "head -c 63 /dev/zero", public), "answered 63 bytes");
    refused(&sign_with(&folder, "cat /dev/zero", public), "more than the 64 bytes");
    refused(&sign_with(&folder, "exit 3", public), "answered 0 bytes");
    refused(&sign_with(&folder, "exec sleep 30", public), "no answer within 2 s");
    refused(&sign_with(&folder, "true", "abc"), "--public-key is");
}

#[test]
fn the_authority_signs_only_after_the_head_that_it_knows() {
    let folder = Folder::new("after");
    let key = folder.file("root.pem");
    assert!(ets(&["keygen", &key], None).status.success());
    let payload = "{\"schema_version\":\"ets.domain/1.0.0\"}";
    let hash = ets_core::hash::event_hash(payload.as_bytes(), &HEAD.parse().unwrap());
    let request = format!(
        "{{\"payload\":{payload},\"schema_version\":\"ets.domain/1.0.0\",\"previous_hash\":\"{HEAD}\",\"current_hash\":\"{hash}\"}}"
    );
    let request = folder.write("request.json", &request);
    let sign =
        |after: &str| ets(&["authority", "sign", "--yes", "--key", &key, "--after", after, &request], None);
    let signed = sign(HEAD);
    assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
    refused(&sign(&"0".repeat(64)), "do not sign it");
    refused(&sign("abc"), "--after is");
}
