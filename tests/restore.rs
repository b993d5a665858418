//! What survives: dumps in every format, base backups, a return to the past.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use ets_tests::{Cluster, Dump, Ledger, Signer, anchored, append, findings, head, order, tamper};
use postgres::Client;

const DUMPS: [Dump; 3] = [Dump::Plain, Dump::Custom, Dump::Directory];

/// A ledger with two checkpoints and something unsealed.
fn ledger_with_checkpoints() -> Ledger {
    let mut ledger = Ledger::new();
    for amount in 1..=5 {
        ledger.append(&order("a", amount));
        ledger.append(&order("b", amount));
    }
    ledger.seal();
    ledger.append(&order("a", 6));
    ledger.client.batch_execute("SELECT ets.create_domain('empty')").expect("domain");
    ledger.seal();
    ledger.append(&order("c", 1));
    ledger
}

/// Every row of every table, but what says where the data lies.
fn rows(client: &mut Client) -> String {
    let tables = client
        .query(
            "SELECT relname::text FROM pg_class WHERE relnamespace = 'ets'::regnamespace AND relkind = 'r' ORDER BY 1",
            &[],
        )
        .expect("tables");
    let mut text = String::new();
    for table in tables {
        let table: String = table.get(0);
        let sql = format!(
            "SELECT coalesce(jsonb_agg(to_jsonb(t) ORDER BY to_jsonb(t)::text), '[]')::text FROM ets.{table} t"
        );
        let content: String = client.query_one(&sql, &[]).expect("rows").get(0);
        text.push_str(&format!("{table}: {content}\n"));
    }
    text
}

fn status(client: &mut Client, item: &str) -> String {
    let sql = "SELECT state || ': ' || value FROM ets.status WHERE item = $1";
    client.query_one(sql, &[&item]).expect("an item of ets.status").get(0)
}

/// Every tree, rebuilt from the rows: its size and root, as long as it is the stored one.
fn rebuilt(client: &mut Client) -> Vec<(String, i64, Vec<u8>)> {
    let sql = "SELECT domain, tree_size, rebuilt_root, matches FROM ets.rebuild_merkle() ORDER BY domain";
    let trees = client.query(sql, &[]).expect("rebuild");
    assert!(trees.iter().all(|tree| tree.get::<_, bool>(3)));
    trees.iter().map(|tree| (tree.get(0), tree.get(1), tree.get(2))).collect()
}

/// The last checkpoint's note of the orders: what an auditor keeps.
fn kept_note(client: &mut Client) -> String {
    client.query_one("SELECT ets.checkpoint_note('orders')", &[]).expect("a note").get(0)
}

/// The checks that fail when a kept checkpoint is held against the ledger.
fn against_kept(client: &mut Client, note: &str) -> Vec<String> {
    let sql = "SELECT check_name FROM ets.verify_checkpoint($1) WHERE passed IS NOT TRUE";
    client.query(sql, &[&note]).expect("verify_checkpoint").iter().map(|row| row.get(0)).collect()
}

/// How many restores the server has declared.
fn restores(client: &mut Client) -> i64 {
    let sql = "SELECT count(*) FROM ets.ledger_event WHERE schema_version = 'ets.restore/1.0.0'";
    client.query_one(sql, &[]).expect("count").get(0)
}

/// Appends and seals in turn: each event gets one leaf, whatever ids its
/// transaction has here and the others' had elsewhere.
fn goes_on(client: &mut Client) {
    for round in 0..4 {
        let (previous, sequence) = head(client, "a");
        let next = append(client, &Signer::new(1), &order("a", round), &previous).expect("the next append");
        assert_eq!(next.sequence, sequence + 1);
        let last = "SELECT max(checkpoint_id) FROM ets.checkpoint";
        let last: i64 = client.query_one(last, &[]).expect("last").get(0);
        let sealed: i64 = client.query_one("SELECT checkpoint_id FROM ets.seal()", &[]).expect("seal").get(0);
        assert_eq!(sealed, last + 1);
        let leaves =
            "SELECT (SELECT count(*) FROM ets.ledger_event) - (SELECT count(*) FROM ets.merkle_leaf)";
        assert_eq!(
            client.query_one(leaves, &[]).expect("count").get::<_, i64>(0),
            0,
            "one leaf for each event"
        );
    }
    assert_eq!(findings(client), Vec::<String>::new());
}

#[test]
fn every_dump_restores_into_a_new_cluster() {
    let mut ledger = ledger_with_checkpoints();
    anchored(&mut ledger.client, 2);
    assert_eq!(ledger.findings(), Vec::<String>::new());
    let note = kept_note(&mut ledger.client);
    let expected = rows(&mut ledger.client);
    let trees = rebuilt(&mut ledger.client);
    let expected_after = rows(&mut ledger.client);
    let elsewhere = Cluster::bare("restored", &["fsync=off"]);
    for dump in DUMPS {
        let path = Cluster::shared().dump(&ledger.database.name, dump);
        let name = format!("{dump:?}").to_lowercase();
        elsewhere.restore(&path, dump, &name, "");
        let mut client = elsewhere.connect(&name);
        assert_eq!(rows(&mut client), expected_after, "{dump:?}");
        assert_eq!(status(&mut client, "origin of the data"), "warning: unverified since restore");
        assert!(status(&mut client, "guards").starts_with("ok"), "{dump:?}");
        ets_tests::refused(client.batch_execute("DELETE FROM ets.ledger_event"), "ET009");
        ets_tests::refused(client.batch_execute("DROP TABLE ets.ledger_event"), "ET009");
        assert_eq!(rebuilt(&mut client), trees, "{dump:?}");
        assert_eq!(status(&mut client, "origin of the data"), "warning: unverified since restore");
        assert_eq!(findings(&mut client), Vec::<String>::new());
        assert_eq!(status(&mut client, "origin of the data"), "ok: verified since restore", "{dump:?}");
        // The key file did not come along: nothing could be declared.
        assert_eq!(restores(&mut client), 0);
        assert_eq!(against_kept(&mut client, &note), Vec::<String>::new());
        goes_on(&mut client);
        assert_eq!(against_kept(&mut client, &note), Vec::<String>::new());
    }
    assert_ne!(expected, expected_after, "the rebuild is recorded");
}

#[test]
fn a_verified_restore_is_declared_once_where_the_key_is() {
    let ledger = ledger_with_checkpoints();
    // In the same cluster the key file is found.
    let copy = Cluster::shared().copy_by_dump(&ledger.database.name, "");
    let mut client = Cluster::shared().connect(&copy);
    assert_eq!(restores(&mut client), 0);
    assert_eq!(findings(&mut client), Vec::<String>::new());
    assert_eq!(restores(&mut client), 1);
    assert_eq!(findings(&mut client), Vec::<String>::new());
    assert_eq!(restores(&mut client), 1);
    let sql = "SELECT payload -> 'recorded' = payload -> 'found' FROM ets.ledger_event WHERE schema_version = 'ets.restore/1.0.0'";
    assert!(!client.query_one(sql, &[]).expect("the statement").get::<_, bool>(0));
    goes_on(&mut client);
}

#[test]
fn a_doctored_dump_is_found() {
    let mut ledger = ledger_with_checkpoints();
    let note = kept_note(&mut ledger.client);
    let path = Cluster::shared().dump(&ledger.database.name, Dump::Plain);
    let dump = fs::read_to_string(&path).expect("an SQL script");
    let restore = |name: &str, text: &str| {
        let database = format!("{}_{name}", ledger.database.name);
        let file = path.with_extension(name);
        fs::write(&file, text).expect("the doctored script");
        Cluster::shared().restore(&file, Dump::Plain, &database, "");
        Cluster::shared().connect(&database)
    };

    // A changed payload is found by itself, and named.
    let changed = dump.replacen(r#""amount": 3"#, r#""amount": 30000"#, 1);
    assert_ne!(changed, dump);
    let mut client = restore("changed", &changed);
    let found = findings(&mut client);
    let event: uuid::Uuid = client
        .query_one("SELECT event_id FROM ets.ledger_event WHERE payload ->> 'amount' = '30000'", &[])
        .expect("the changed event")
        .get(0);
    assert!(found.iter().any(|finding| finding.contains(&event.to_string())), "{found:#?}");
    assert_eq!(status(&mut client, "origin of the data"), "warning: unverified since restore");

    // A removed tail, with everything that speaks of it: only a checkpoint kept elsewhere tells.
    let mut client = restore("cut", &dump);
    assert_eq!(against_kept(&mut client, &note), Vec::<String>::new());
    tamper(
        &mut client,
        "DELETE FROM ets.ledger_event WHERE domain = 'orders' AND stream = 'a' AND sequence = 6;
         DELETE FROM ets.ledger_event WHERE domain = 'orders' AND stream = 'c';
         DELETE FROM ets.stream_head WHERE stream = 'c';
         UPDATE ets.stream_head SET (sequence, head_hash, last_event_id, last_timestamp, registry_version) =
           (SELECT sequence, current_hash, event_id, \"timestamp\", registry_version FROM ets.ledger_event
             WHERE domain = 'orders' AND stream = 'a' AND sequence = 5) WHERE stream = 'a';
         DELETE FROM ets.merkle_leaf WHERE domain = 'orders' AND leaf_index = 10;
         UPDATE ets.merkle_tile SET hashes = substr(hashes, 1, 320) WHERE domain = 'orders' AND level = 0;
         DELETE FROM ets.domain_root WHERE checkpoint_id = 2;
         DELETE FROM ets.checkpoint WHERE checkpoint_id = 2;
         DELETE FROM ets.merkle_leaf WHERE domain = 'ets.registry' AND leaf_index >=
           (SELECT tree_size FROM ets.domain_root WHERE domain = 'ets.registry');
         UPDATE ets.merkle_tile SET hashes = substr(hashes, 1, 32 * (SELECT tree_size::int FROM ets.domain_root
           WHERE domain = 'ets.registry')) WHERE domain = 'ets.registry' AND level = 0;",
    );
    assert_eq!(findings(&mut client), Vec::<String>::new(), "consistent in itself");
    assert_eq!(against_kept(&mut client, &note), ["tree_size", "root"]);
    client.query_one("SELECT ets.seal()", &[]).expect("seal");
    let previous = head(&mut client, "z").0;
    append(&mut client, &Signer::new(1), &order("z", 1), &previous).expect("another event");
    client.query_one("SELECT ets.seal()", &[]).expect("seal");
    assert_eq!(findings(&mut client), Vec::<String>::new());
    assert_eq!(against_kept(&mut client, &note), ["root"], "grown again, to another tree");
}

#[test]
fn a_base_backup_goes_on_and_one_of_the_past_is_a_rollback() {
    let cluster = Cluster::bare("primary", &["fsync=off", "wal_level=replica", "archive_mode=on"]);
    let high_water = cluster.folder().join("high_water");
    fs::create_dir(&high_water).expect("a folder");
    ets_tests::give_to_server(&high_water);
    let archive = cluster.folder().join("archive");
    fs::create_dir(&archive).expect("a folder");
    ets_tests::give_to_server(&archive);
    let mut client = cluster.connect("postgres");
    let command = format!("ALTER SYSTEM SET archive_command = 'cp %p \"{}/%f\"'", archive.display());
    client.batch_execute(&command).expect("archive_command");
    let directory = format!("ALTER SYSTEM SET ets.high_water_directory = '{}'", high_water.display());
    client.batch_execute("LOAD 'pg_ets'").expect("the library knows its settings");
    client.batch_execute(&directory).expect("high_water_directory");
    client.batch_execute("SELECT pg_reload_conf()").expect("reload");
    client.batch_execute("CREATE DATABASE ledger").expect("database");
    let mut client = cluster.connect("ledger");
    client.batch_execute("CREATE EXTENSION pg_ets").expect("extension");
    let (id, _) = Ledger::set_up(&mut client);
    let add = |client: &mut Client, amount: i64| {
        let (previous, _) = head(client, "a");
        append(client, &Signer::new(1), &order("a", amount), &previous).expect("append");
        client.query_one("SELECT ets.seal()", &[]).expect("seal");
    };
    add(&mut client, 1);
    assert_eq!(findings(&mut client), Vec::<String>::new());
    let backup = cluster.base_backup("backup", &["fsync=off"]);
    let past = cluster.base_backup("past", &["fsync=off"]);
    let past_again = cluster.base_backup("past", &["fsync=off"]);
    for copy in [&backup, &past] {
        // Their files were lost, or are elsewhere.
        fs::remove_file(copy.data().join("postgresql.auto.conf")).expect("ALTER SYSTEM's file");
    }
    add(&mut client, 2);
    client.batch_execute("SELECT pg_create_restore_point('before')").expect("restore point");
    add(&mut client, 3);
    let note = kept_note(&mut client);
    let file = high_water.join(format!("{id}.json"));
    let written: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&file).expect("the file")).expect("JSON");
    assert_eq!(written["checkpoint_id"], 3);
    assert_eq!(status(&mut client, "high water"), format!("ok: {}", high_water.display()));
    assert_eq!(findings(&mut client), Vec::<String>::new());
    client.batch_execute("SELECT pg_switch_wal()").expect("switch");
    let archived = "SELECT last_archived_wal IS NOT NULL AND last_archived_wal >= pg_walfile_name(pg_current_wal_lsn() - 1) FROM pg_stat_archiver";
    let deadline = Instant::now() + Duration::from_secs(30);
    while !client.query_one(archived, &[]).expect("archiver").get::<_, bool>(0) {
        assert!(Instant::now() < deadline, "the WAL is not archived");
        thread::sleep(Duration::from_millis(50));
    }

    // Both copies lack the key files, which no backup of the data directory holds.
    let restore = format!("restore_command = 'cp \"{}/%f\" \"%p\"'\n", archive.display());
    backup.configure(&format!("{restore}archive_mode = off\n"));
    backup.touch("recovery.signal");
    backup.run();
    let mut whole = backup.connect("ledger");
    wait_for_promotion(&mut whole);
    assert_eq!(findings(&mut whole), Vec::<String>::new());
    assert_eq!(against_kept(&mut whole, &note), Vec::<String>::new(), "all of the archive is there");

    past.configure(&format!(
        "{restore}archive_mode = off\nrecovery_target_name = 'before'\nrecovery_target_action = 'promote'\n"
    ));
    past.touch("recovery.signal");
    past.run();
    let mut rolled_back = past.connect("ledger");
    wait_for_promotion(&mut rolled_back);
    let events: i64 = rolled_back
        .query_one("SELECT count(*) FROM ets.ledger_event WHERE domain = 'orders'", &[])
        .expect("count")
        .get(0);
    assert_eq!(events, 2);
    assert_eq!(findings(&mut rolled_back), Vec::<String>::new(), "nothing inside tells");
    assert_eq!(against_kept(&mut rolled_back, &note), ["tree_size", "root"], "a kept checkpoint does");
    drop(past);

    // So does the file that each seal writes outside the data directory.
    past_again.configure(&format!(
        "{restore}archive_mode = off\nrecovery_target_name = 'before'\nrecovery_target_action = 'promote'\n"
    ));
    past_again.touch("recovery.signal");
    past_again.run();
    let mut rolled_back = past_again.connect("ledger");
    wait_for_promotion(&mut rolled_back);
    let found = findings(&mut rolled_back);
    assert!(
        found.len() == 1 && found[0].contains("high_water") && found[0].contains("checkpoint 3"),
        "{found:?}"
    );
    let kept = fs::read_to_string(&file).expect("the file");
    let add = |client: &mut Client, amount: i64| {
        let (previous, _) = head(client, "a");
        append(client, &Signer::new(1), &order("a", amount), &previous).expect("append");
        client.query_one("SELECT ets.seal()", &[]).expect("seal");
    };
    add(&mut rolled_back, 30);
    assert_eq!(fs::read_to_string(&file).expect("the file"), kept, "evidence is not overwritten");
    assert!(past_again.log().contains("this is an older copy of the ledger; it stays as it is"));
    let found = findings(&mut rolled_back);
    assert!(found.len() == 1 && found[0].contains("checkpoint 3 is another"), "{found:?}");
    // The return was meant: the administrator moves the file away.
    fs::rename(&file, file.with_extension("before")).expect("moved");
    add(&mut rolled_back, 31);
    assert_eq!(findings(&mut rolled_back), Vec::<String>::new());
    assert!(fs::read_to_string(&file).expect("a new file").contains("\"checkpoint_id\":4"));
}

fn wait_for_promotion(client: &mut Client) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while client.query_one("SELECT pg_is_in_recovery()", &[]).expect("recovery").get::<_, bool>(0) {
        assert!(Instant::now() < deadline, "the recovery does not end");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_ledger_outlives_its_extension() {
    let mut ledger = ledger_with_checkpoints();
    let before = rows(&mut ledger.client);
    ledger.client.batch_execute("DROP EXTENSION pg_ets CASCADE").expect("dropped");
    assert_eq!(rows(&mut ledger.client), before);
    ledger.client = ledger.database.connect();
    ledger.client.batch_execute("CREATE EXTENSION pg_ets").expect("created");
    assert!(status(&mut ledger.client, "guards").starts_with("failed"), "nothing is armed");
    ledger.client.batch_execute("SELECT ets.arm()").expect("armed");
    assert!(status(&mut ledger.client, "guards").starts_with("ok"));
    assert_eq!(rows(&mut ledger.client), before);
    goes_on(&mut ledger.client);
}
