//! Attacks that no SQL can carry out: on the data directory, and on the clock.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use ets_tests::{Cluster, order};
use postgres::Client;

use super::levels::Report;
use super::scene::{Scene, append_onto, by_name};

/// Carries out the attack of this name, on a server of its own.
pub fn carry_out(name: &str) -> Report {
    let attack = match name {
        "heap_file" => heap_file,
        "clock" => clock,
        _ => panic!("no attack {name}"),
    };
    let cluster = Cluster::start("tamper", &["fsync=off"]);
    let mut scene = Scene::new(&cluster, false);
    attack(&cluster, &mut scene);
    let mut client = scene.connect();
    client.batch_execute("BEGIN").expect("a transaction");
    let mut report = Report::of(&scene, &mut client);
    report.audit(&scene, scene.database());
    report
}

/// The text `order/1.0.0` in the payload of the second event becomes another: in
/// the file, which the server has written and does not read again meanwhile.
fn heap_file(cluster: &Cluster, scene: &mut Scene) {
    let mut client = scene.connect();
    let sql = "SELECT current_setting('data_directory') || '/' || pg_relation_filepath('ets.ledger_event'),
        uuid_send(event_id) FROM ets.ledger_event WHERE event_id = $1";
    let row = client.query_one(sql, &[&scene.events["orders/a#2"]]).expect("the file and the id");
    let (path, id): (String, Vec<u8>) = (row.get(0), row.get(1));
    client.batch_execute("CHECKPOINT").expect("everything is in the file");
    drop(client);
    cluster.kill();
    edit(Path::new(&path), &id, b"order/1.0.0", b"order/1.0.8");
    cluster.run();
}

/// Replaces the first `old` after `start`.
fn edit(path: &Path, start: &[u8], old: &[u8], new: &[u8]) {
    let find = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).position(|window| window == part);
    let mut file = fs::read(path).expect("the heap file");
    let row = find(&file, start).expect("the row is in the file");
    let place = row + find(&file[row..], old).expect("the payload is stored as it is");
    file[place..place + new.len()].copy_from_slice(new);
    fs::write(path, file).expect("root writes every file");
}

/// The server believes that it is yesterday. The gate goes on, and in a stream
/// that it knows neither ids nor times go back.
fn clock(cluster: &Cluster, scene: &mut Scene) {
    cluster.kill();
    let library = yesterday(cluster.folder());
    cluster.run_with(&[("LD_PRELOAD", &library)]);
    let mut client = scene.connect();
    let went_back =
        "SELECT clock_timestamp() < max(\"timestamp\") - interval '12 hours' FROM ets.ledger_event";
    assert!(client.query_one(went_back, &[]).expect("the clock").get::<_, bool>(0));
    for (stream, amount) in [("a", 6), ("new", 1)] {
        append_at_head(&mut client, stream, amount);
    }
    client.query_one("SELECT ets.seal()", &[]).expect("a seal");
    let ordered = "SELECT bool_and(after.event_id > before.event_id AND after.\"timestamp\" >= before.\"timestamp\")
        FROM ets.ledger_event AS before JOIN ets.ledger_event AS after
          ON (after.domain, after.stream, after.sequence) = (before.domain, before.stream, before.sequence + 1)";
    assert!(client.query_one(ordered, &[]).expect("streams").get::<_, bool>(0));
    scene.look(&mut client);
}

fn append_at_head(client: &mut Client, stream: &str, amount: i64) {
    let previous: Vec<u8> =
        client.query_one("SELECT head_hash FROM ets.head('orders', $1)", &[&stream]).expect("a head").get(0);
    append_onto(client, &by_name("alice"), "order/1.0.0", &order(stream, amount), &previous)
        .expect("an append");
}

/// A library that takes a day off the clock of the program that loads it.
fn yesterday(folder: &Path) -> String {
    const SOURCE: &str = r"
        #define _GNU_SOURCE
        #include <sys/syscall.h>
        #include <sys/time.h>
        #include <time.h>
        #include <unistd.h>
        int clock_gettime(clockid_t clock, struct timespec *now) {
          long result = syscall(SYS_clock_gettime, clock, now);
          if (result == 0 && clock == CLOCK_REALTIME) now->tv_sec -= 86400;
          return (int) result;
        }
        int gettimeofday(struct timeval *restrict now, void *restrict zone) {
          struct timespec precise;
          (void) zone;
          if (clock_gettime(CLOCK_REALTIME, &precise) != 0) return -1;
          now->tv_sec = precise.tv_sec;
          now->tv_usec = precise.tv_nsec / 1000;
          return 0;
        }";
    let (source, library) = (folder.join("yesterday.c"), folder.join("yesterday.so"));
    fs::write(&source, SOURCE).expect("the source");
    let status =
        Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).status();
    assert!(status.expect("cc runs: it links every Rust program").success());
    fs::set_permissions(&library, fs::Permissions::from_mode(0o755)).expect("the server reads it");
    library.display().to_string()
}
