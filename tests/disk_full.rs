//! The disk is full: errors say so, nothing acknowledged is lost, and with room again it goes on.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ets_tests::{Cluster, Ledger, Signer, append, findings, hash_of, head, order};
use postgres::Client;
use serde_json::{Value, json};

use crate::append::batch_event;

/// A small file system in memory, on a folder. It is unmounted when this is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounting is root's; by another user, the one who runs these tests needs a way of his own.
    fn mount(folder: &Path, mebibytes: u32, owner: u32, group: u32) -> SmallDisk {
        fs::create_dir_all(folder).expect("a folder");
        let options = format!("size={mebibytes}m,mode=0700,uid={owner},gid={group}");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder);
        let mounted = command.status().expect("mount runs");
        assert!(mounted.success(), "a small file system can be mounted, which takes root");
        SmallDisk(folder.to_owned())
    }

    /// Fills it but for so many KiB.
    fn fill(&self, left: u64) {
        let free = self.free();
        let mut file = File::create(self.0.join("ballast")).expect("a file");
        for _ in 0..free.saturating_sub(left) {
            if file.write_all(&[1; 1024]).is_err() {
                break;
            }
        }
        assert!(self.free() <= left.max(64), "the disk is full");
    }

    fn make_room(&self) {
        fs::remove_file(self.0.join("ballast")).expect("the ballast was there");
    }

    /// KiB.
    fn free(&self) -> u64 {
        let output =
            Command::new("df").args(["-k", "--output=avail"]).arg(&self.0).output().expect("df runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines()
            .nth(1)
            .and_then(|line| line.trim().parse().ok())
            .unwrap_or_else(|| panic!("df says {text}"))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Appends with a note of this size until an error; counts what was acknowledged.
fn append_until_error(client: &mut Client, stream: &str, acknowledged: &mut Vec<Vec<u8>>) -> postgres::Error {
    let deadline = Instant::now() + Duration::from_secs(60);
    let (mut previous, sequence) = head(client, stream);
    for amount in sequence.. {
        assert!(Instant::now() < deadline, "the disk does not get full");
        let mut payload = order(stream, amount);
        // Compressed it would hardly need room.
        payload["note"] =
            (0..40).map(|part| hash_of(&json!([amount, part]), &previous).to_string()).collect();
        match append(client, &Signer::new(1), &payload, &previous) {
            Ok(event) => {
                previous.clone_from(&event.current_hash);
                acknowledged.push(event.current_hash);
            }
            Err(error) => return error,
        }
    }
    unreachable!("the numbers do not end")
}

fn is_disk_full(error: &postgres::Error) -> bool {
    error.as_db_error().is_some_and(|said| said.code().code() == "53100")
}

/// Everything acknowledged is there, nothing is wrong, and the ledger goes on.
fn check(client: &mut Client, acknowledged: &[Vec<u8>]) {
    let sql = "SELECT count(*) FROM ets.ledger_event WHERE domain = 'orders' AND current_hash = ANY ($1)";
    let found: i64 = client.query_one(sql, &[&acknowledged]).expect("count").get(0);
    assert_eq!(found, acknowledged.len() as i64, "everything acknowledged is there");
    assert_eq!(findings(client), Vec::<String>::new());
    let (previous, sequence) = head(client, "next");
    let event =
        append(client, &Signer::new(1), &order("next", sequence), &previous).expect("the next append");
    assert_eq!(event.sequence, sequence + 1);
    client.batch_execute("SELECT ets.seal()").expect("the next seal");
    assert_eq!(findings(client), Vec::<String>::new());
}

fn batch(client: &mut Client, stream: &str) -> String {
    let mut previous = head(client, stream).0;
    let events = (0..2000).map(|amount| {
        let payload = order(stream, amount);
        let event = batch_event(&Signer::new(1), &payload, &previous);
        previous = hash_of(&payload, &previous).0.to_vec();
        event
    });
    Value::Array(events.collect()).to_string()
}

#[test]
fn tables_on_a_full_disk_refuse_with_53100_and_go_on_when_there_is_room() {
    let cluster = Cluster::start("full-tables", &["fsync=off", "autovacuum=off"]);
    let owner = fs::metadata(cluster.data()).expect("the data");
    let folder = cluster.folder().join("small");
    let disk = SmallDisk::mount(&folder, 48, owner.uid(), owner.gid());
    let mut admin = cluster.connect("postgres");
    admin
        .batch_execute(&format!("CREATE TABLESPACE small LOCATION '{}'", folder.display()))
        .expect("a tablespace");
    let database = cluster.create_database();
    admin.batch_execute(&format!("ALTER DATABASE {database} SET TABLESPACE small")).expect("moved");
    let mut client = cluster.connect(&database);
    Ledger::set_up(&mut client);
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        disk.fill(if round == 0 { 512 } else { 0 });
        let error = append_until_error(&mut client, "large", &mut acknowledged);
        assert!(is_disk_full(&error), "{error:?}");
        let brought = batch(&mut client, "together");
        let sql = "SELECT count(*) FROM ets.append_batch($1::text::json)";
        let error = client.query_one(sql, &[&brought]).expect_err("no room for a batch");
        assert!(is_disk_full(&error), "{error:?}");
        assert_eq!(head(&mut client, "together").1, 0, "nothing of the batch is there");
        // Each of these writes a little: it fits into what is there, or is refused.
        for sql in [
            "SELECT ets.seal()",
            "SELECT count(*) FROM ets.rebuild_merkle()",
            "SELECT count(*) FROM ets.verify_ledger()",
        ] {
            if let Err(error) = client.batch_execute(sql) {
                assert!(is_disk_full(&error), "{sql}: {error:?}");
            }
        }
        disk.make_room();
        check(&mut client, &acknowledged);
    }
    assert!(!acknowledged.is_empty());
    drop((client, admin));
    drop(cluster);
    drop(disk);
}

#[test]
fn a_full_disk_of_the_wal_stops_the_server_and_loses_nothing() {
    let cluster =
        Cluster::start("full-wal", &["max_wal_size=64MB", "min_wal_size=32MB", "restart_after_crash=off"]);
    let database = cluster.create_database();
    Ledger::set_up(&mut cluster.connect(&database));
    cluster.kill();
    let owner = fs::metadata(cluster.data()).expect("the data");
    let folder = cluster.folder().join("small");
    let disk = SmallDisk::mount(&folder, 112, owner.uid(), owner.gid());
    let (wal, there) = (cluster.data().join("pg_wal"), folder.join("wal"));
    let moved = Command::new("cp").arg("-a").args([&wal, &there]).status().expect("cp runs");
    assert!(moved.success());
    fs::remove_dir_all(&wal).expect("it is copied");
    symlink(&there, &wal).expect("a link");
    cluster.run();

    let mut acknowledged = Vec::new();
    for _ in 0..2 {
        disk.fill(0);
        let mut client = cluster.connect(&database);
        client.batch_execute("SET synchronous_commit = on").expect("set");
        let error = append_until_error(&mut client, "large", &mut acknowledged);
        // The server panics, or ends the statement before it has to.
        assert!(
            is_disk_full(&error)
                || error.is_closed()
                || error.as_db_error().is_some_and(|said| said.code().code() == "57P02"),
            "{error:?}"
        );
        drop(client);
        cluster.kill();
        disk.make_room();
        cluster.run();
        check(&mut cluster.connect(&database), &acknowledged);
    }
    assert!(cluster.log().contains("No space left on device"), "it was full");
    assert!(!acknowledged.is_empty());
    drop(cluster);
    drop(disk);
}
