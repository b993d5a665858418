//! A session that appends for ever keeps its size. `bench/memory` asks for a million events.

use ets_tests::{Ledger, order, setting};

/// What the process holds of its own, in KiB: without the server's shared buffers.
fn own_memory(process: i32) -> i64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).expect("the process is there");
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("Linux says it");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// What PostgreSQL accounts for of that, in bytes.
fn contexts(ledger: &mut Ledger) -> i64 {
    ledger.one("SELECT sum(total_bytes)::bigint FROM pg_backend_memory_contexts", &[])
}

#[test]
fn a_session_that_appends_for_long_does_not_grow() {
    let events = i64::try_from(setting("ETS_MEMORY_EVENTS", 20_000)).expect("a number");
    let mut ledger = Ledger::new();
    let create = "SELECT ets.create_local_key('clerk', 'clerk', 'postgres');
        SELECT ets.grant_authority((SELECT key_id FROM ets.local_key WHERE name = 'clerk'), 'orders')";
    ledger.client.batch_execute(create).expect("a local key");
    let process: i32 = ledger.one("SELECT pg_backend_pid()", &[]);
    let append = ledger
        .client
        .prepare("SELECT sequence FROM ets.append_signed($1, 'order/1.0.0', 'clerk')")
        .expect("prepared");
    let sample = |ledger: &mut Ledger, done: i64| {
        let sizes = (own_memory(process), contexts(ledger) / 1024);
        println!("{done} events: {} KiB of its own, {} KiB in memory contexts", sizes.0, sizes.1);
        sizes
    };
    // Some by a statement each, many by one; caches fill in the first quarter.
    let many = "SELECT count(ets.append_signed(jsonb_build_object(
        'schema', 'order/1.0.0', 'order', 's' || n % 50, 'amount', n), 'order/1.0.0', 'clerk'))
        FROM generate_series($1, $1 + 899::bigint) n";
    let mut first = None;
    for done in (0..events).step_by(1000) {
        if first.is_none() && done >= events / 4 {
            first = Some(sample(&mut ledger, done));
        }
        for amount in done..done + 100 {
            let payload = order(&format!("s{}", amount % 50), amount);
            ledger.client.query_one(&append, &[&payload]).expect("append");
        }
        assert_eq!(ledger.one::<i64>(many, &[&(done + 100)]), 900);
    }
    let (first, last) = (first.expect("a first sample"), sample(&mut ledger, events));
    let stored: i64 = ledger.one("SELECT count(*) FROM ets.ledger_event WHERE domain = 'orders'", &[]);
    assert_eq!(stored, events);
    // A leak of 100 bytes an event would be 1.5 MiB of the 20,000, and 75 of the million.
    assert!(last.0 - first.0 < 1024, "its own memory grew from {} to {} KiB", first.0, last.0);
    assert!(last.1 - first.1 < 256, "its contexts grew from {} to {} KiB", first.1, last.1);
}
