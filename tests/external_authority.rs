//! A ledger whose root key never touches the server, with the real program `ets`
//! on the other side: it signs what the server asks for, and nothing else.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use ets_tests::{Cluster, Signer, append, findings, order, program, refused};
use postgres::Client;
use serde_json::{Value, json};

/// Somebody's folder, with key files that `ets keygen` makes for its owner alone.
struct Desk(PathBuf);

impl Desk {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("ets-desk-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        Desk(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Makes a key file; the public key in hex.
    fn keygen(&self, name: &str) -> String {
        let output = ets(&["keygen", self.path(name).to_str().expect("UTF-8")], "");
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice::<Value>(&output.stdout).expect("JSON")["public_key"]
            .as_str()
            .expect("hex")
            .to_owned()
    }

    /// Runs `ets authority COMMAND --key KEY … -` with `input`.
    fn authority(&self, command: &str, key: &str, more: &[&str], input: &str) -> Output {
        let key = self.path(key);
        let mut arguments = vec!["authority", command, "--key", key.to_str().expect("UTF-8")];
        arguments.extend(more);
        ets(&arguments, input)
    }

    /// What `ets authority sign` makes of a refusal's DETAIL, signed with `key`.
    fn signed(&self, key: &str, request: &Value) -> String {
        let output = self.authority("sign", key, &["--yes", "-"], &request.to_string());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let shown = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(shown.contains(request["payload"]["schema_version"].as_str().expect("a kind")), "{shown}");
        String::from_utf8(output.stdout).expect("JSON")
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn ets(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(program("ets"))
        .env_clear()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ets runs");
    // One that needs no input may have gone already.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    child.wait_with_output().expect("ets ends")
}

/// Appends one signed element, as a script would.
fn append_element(client: &mut Client, element: &str) -> Result<i64, postgres::Error> {
    let sql = "SELECT sequence FROM ets.append_batch(($1::text)::json)";
    Ok(client.query_one(sql, &[&format!("[{element}]")])?.get(0))
}

/// What the server asks to have signed for a registry function.
fn request(client: &mut Client, sql: &str) -> Value {
    refused(client.batch_execute(sql), "ET015").detail
}

/// The function's change, signed with `key` by the program and appended.
fn change(client: &mut Client, desk: &Desk, key: &str, sql: &str) -> Result<i64, postgres::Error> {
    let request = request(client, sql);
    append_element(client, &desk.signed(key, &request))
}

/// A ledger with an external root, its first event signed by the program.
fn begun(desk: &Desk) -> (Client, Value) {
    let mut client = Cluster::shared().database().connect();
    let root = desk.keygen("root.pem");
    client
        .execute("SELECT ets.init('test.example/external', decode($1, 'hex'))", &[&root])
        .expect("ets.init");
    let trust: Value = client.query_one("SELECT ets.trust_root()", &[]).expect("a trust root").get(0);
    refused(client.batch_execute("SELECT ets.create_domain('orders')"), "ET013");
    let first = desk.authority("first", "root.pem", &["--yes", "-"], &trust.to_string());
    assert_eq!(first.status.code(), Some(0), "{first:?}");
    let first = String::from_utf8(first.stdout).expect("JSON");
    assert_eq!(append_element(&mut client, &first).expect("the first event"), 1);
    (client, trust)
}

#[test]
fn everything_from_the_first_event_on_is_signed_off_the_server() {
    let desk = Desk::new("whole");
    let (mut client, trust) = begun(&desk);
    let alice = Signer::new(1);
    let hex =
        |signer: &Signer| signer.public_key().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let schema = json!({"type": "object", "properties": {"order": {"type": "string"}}});
    let mut sequence = 1;
    for sql in [
        "SELECT ets.create_domain('orders')".to_owned(),
        format!("SELECT ets.register_schema('order/1.0.0', 'orders', '{schema}', '/order', '/schema')"),
        format!("SELECT ets.register_key('\\x{}', 'alice')", hex(&alice)),
        format!("SELECT ets.grant_authority('{}', 'orders')", alice.key_id()),
    ] {
        sequence += 1;
        assert_eq!(change(&mut client, &desk, "root.pem", &sql).expect(&sql), sequence);
    }
    let genesis = ets_tests::head(&mut client, "a").0;
    append(&mut client, &alice, &order("a", 1), &genesis).expect("alice may");

    // A delegate: grants inside its scope, and neither for itself nor against root.
    let delegate = desk.keygen("delegate.pem");
    let delegate_id = ets(&["key-id", &delegate], "");
    let delegate_id: Value = serde_json::from_slice(&delegate_id.stdout).expect("JSON");
    let delegate_id = delegate_id["key_id"].as_str().expect("hex").to_owned();
    for sql in [
        format!("SELECT ets.register_key('\\x{delegate}', 'deputy')"),
        format!("SELECT ets.grant_authority('{delegate_id}', 'ets.registry', 'ets.grant*', 'orders')"),
    ] {
        change(&mut client, &desk, "root.pem", &sql).expect(&sql);
    }
    let bob = Signer::new(2);
    change(&mut client, &desk, "root.pem", &format!("SELECT ets.register_key('\\x{}', 'bob')", hex(&bob)))
        .expect("root registers bob");
    let by_delegate = |client: &mut Client, sql: &str| change(client, &desk, "delegate.pem", sql);
    by_delegate(&mut client, &format!("SELECT ets.grant_authority('{}', 'orders')", bob.key_id()))
        .expect("inside its scope");
    refused(
        by_delegate(&mut client, &format!("SELECT ets.grant_authority('{delegate_id}', 'orders')")),
        "ET016",
    );
    let wider =
        format!("SELECT ets.grant_authority('{}', 'ets.registry', 'ets.grant*', 'orders')", bob.key_id());
    refused(by_delegate(&mut client, &wider), "ET004");
    let root_id: String = client
        .query_one("SELECT key_id FROM ets.signing_key WHERE owner = 'root'", &[])
        .expect("root")
        .get(0);
    refused(by_delegate(&mut client, &format!("SELECT ets.revoke_key('{root_id}', 'mine now')")), "ET004");
    refused(by_delegate(&mut client, "SELECT ets.create_domain('mine')"), "ET004");
    // Nor can root be locked out by itself.
    let last = format!("SELECT ets.revoke_key('{root_id}', 'oops')");
    refused(change(&mut client, &desk, "root.pem", &last), "ET016");

    // Root rotates itself: the program proves possession of the new key.
    let new = desk.keygen("new.pem");
    let old = trust["root_public_key"].as_str().expect("hex");
    let ledger_id = trust["ledger_id"].as_str().expect("an id");
    let proof = desk.authority("possession", "new.pem", &["--ledger-id", ledger_id, "--old", old], "");
    let proof: Value = serde_json::from_slice(&proof.stdout).expect("JSON");
    assert_eq!(proof["public_key"], new.as_str());
    let payload = json!({
        "schema_version": "ets.key_rotation/1.0.0", "key_id": root_id, "public_key": new,
        "algorithm": "ed25519", "proof": proof["proof"],
    });
    let sql = "SELECT encode(previous_hash, 'hex'), encode(current_hash, 'hex') FROM ets.prepare($1, 'ets.key_rotation/1.0.0')";
    let prepared = client.query_one(sql, &[&payload]).expect("ets.prepare");
    let rotation = json!({
        "schema_version": "ets.key_rotation/1.0.0", "payload": payload,
        "previous_hash": prepared.get::<_, String>(0), "current_hash": prepared.get::<_, String>(1),
    });
    append_element(&mut client, &desk.signed("root.pem", &rotation)).expect("a rotation");
    let domain = "SELECT ets.create_domain('accounts')";
    refused(change(&mut client, &desk, "root.pem", domain), "ET004");
    change(&mut client, &desk, "new.pem", domain).expect("the new root may");
    let revocation = format!("SELECT ets.revoke_key('{}', 'left')", bob.key_id());
    change(&mut client, &desk, "new.pem", &revocation).expect("a revocation");
    let genesis = ets_tests::head(&mut client, "b").0;
    refused(append(&mut client, &bob, &order("b", 1), &genesis), "ET004");
    client.query("SELECT * FROM ets.seal()", &[]).expect("a seal");
    assert_eq!(findings(&mut client), Vec::<String>::new());
}

#[test]
fn the_program_signs_only_what_fits_together() {
    let desk = Desk::new("refusals");
    let (mut client, trust) = begun(&desk);
    let good = request(&mut client, "SELECT ets.create_domain('orders')");
    let refuses = |command: &str, more: &[&str], input: &str| {
        let output = desk.authority(command, "root.pem", more, input);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    // Nobody is asked, nothing is signed.
    assert!(refuses("sign", &["-"], &good.to_string()).contains("--yes"));
    let changed = |change: fn(&mut Value)| {
        let mut request = good.clone();
        change(&mut request);
        request.to_string()
    };
    for input in [
        changed(|request| request["payload"]["domain"] = json!("theirs")),
        changed(|request| request["previous_hash"] = json!("00".repeat(32))),
        changed(|request| request["current_hash"] = json!("00".repeat(32))),
        changed(|request| request["current_hash"] = json!("zz")),
        changed(|request| request["schema_version"] = json!("ets.grant/1.0.0")),
        changed(|request| {
            request["payload"]["schema_version"] = json!("order/1.0.0");
            request["schema_version"] = json!("order/1.0.0");
        }),
        changed(|request| request["payload"] = json!([1])),
        changed(|request| drop(request.as_object_mut().expect("an object").remove("payload"))),
        good.to_string().replacen('{', "{\"payload\":{},", 1),
        "{".to_owned(),
        String::new(),
        "null".to_owned(),
    ] {
        let said = refuses("sign", &["--yes", "-"], &input);
        assert!(said.starts_with("ets: "), "{input}: {said}");
    }
    // Another's ledger, and what is no trust root.
    let mut foreign = trust.clone();
    foreign["root_public_key"] = foreign["server_public_key"].clone();
    assert!(refuses("first", &["--yes", "-"], &foreign.to_string()).contains("root key"));
    refuses("first", &["--yes", "-"], "{}");
    refuses("possession", &["--ledger-id", trust["ledger_id"].as_str().expect("an id"), "--old", "ff"], "");
    // What a terminal would obey, or show in another order, is shown as what it is.
    let tricky = request(&mut client, "SELECT ets.create_domain('shown', E'\\u202Ea\\u009Bb\\u007Fc')");
    let output = desk.authority("sign", "root.pem", &["--yes", "-"], &tricky.to_string());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let shown = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(shown.contains("\\u202ea\\u009bb\\u007fc") && shown.is_ascii(), "{shown:?}");
    // What was asked for before another change came is signed for a head that has moved.
    let signed = desk.signed("root.pem", &good);
    change(&mut client, &desk, "root.pem", "SELECT ets.create_domain('accounts')").expect("another change");
    refused(append_element(&mut client, &signed), "ET005");
    // Sent twice after a lost answer, it is one event.
    let again = request(&mut client, "SELECT ets.create_domain('orders')");
    let signed = desk.signed("root.pem", &again);
    let sequence = append_element(&mut client, &signed).expect("appended");
    let key = good["payload"].clone();
    assert_eq!(key["domain"], "orders");
    let element: Value = serde_json::from_str(&signed).expect("JSON");
    let sql =
        "SELECT sequence FROM ets.append($1, $2, decode($3, 'hex'), decode($4, 'hex'), decode($5, 'hex'))";
    let text = |name: &str| element[name].as_str().expect("text").to_owned();
    let retried: i64 = client
        .query_one(
            sql,
            &[
                &element["payload"],
                &text("schema_version"),
                &text("public_key"),
                &text("previous_hash"),
                &text("signature"),
            ],
        )
        .expect("a retry")
        .get(0);
    assert_eq!(retried, sequence);
}
