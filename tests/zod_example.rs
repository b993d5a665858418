//! The example for users of Zod works as its README says.

use std::process::Command;

use ets_tests::{Cluster, program, test_data};
use serde_json::Value;

#[test]
fn the_zod_example_appends_and_its_proof_verifies_offline() {
    let folder = test_data(&["npm", "examples/zod"]);
    let npm = |script: &str, environment: &[(&str, String)]| {
        let output = Command::new("npm")
            .args(["run", "--silent", script])
            .current_dir(&folder)
            .envs(environment.iter().map(|(name, value)| (*name, value.as_str())))
            .output()
            .expect("npm runs");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{script}: {printed}{}", String::from_utf8_lossy(&output.stderr));
        printed
    };
    npm("build", &[]);
    let database = Cluster::shared().database();
    let mut client = database.connect();
    client.batch_execute("SELECT ets.init('acme.example/shop')").expect("ets.init");
    // A second run finds schema and key registered, and the stream begun.
    for sequence in 1..=2 {
        let printed = npm("start", &database.environment());
        assert!(printed.contains(&format!("sequence {sequence}\n")), "{printed}");
        assert!(printed.contains("refused before signing: lines.0.quantity"), "{printed}");
        assert!(printed.contains("refused by the ledger: ET007 /lines/0/quantity"), "{printed}");
    }
    let trust: Value = client.query_one("SELECT ets.trust_root()", &[]).expect("trust root").get(0);
    let output = Command::new(program("ets"))
        .env_clear()
        .args(["verify", "--root-key", trust["root_public_key"].as_str().expect("a key")])
        .arg(folder.join("order.bundle.json"))
        .output()
        .expect("ets runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(ets_tests::findings(&mut client), Vec::<String>::new());
}
