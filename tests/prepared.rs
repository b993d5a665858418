//! Prepared transactions, savepoints and rolled-back parts of a transaction, around
//! everything that writes; and a server that is killed while one is prepared.

use ets_core::hash::to_hex;
use ets_tests::{Cluster, DOMAIN, Ledger, Signer, append, error_of, findings, head, order, refused};
use postgres::Client;

fn count(client: &mut Client, table: &str) -> i64 {
    client.query_one(&format!("SELECT count(*) FROM ets.{table}"), &[]).expect("count").get(0)
}

/// One event for alice's stream, without committing.
fn bring(client: &mut Client, stream: &str) -> i64 {
    let (previous, sequence) = head(client, stream);
    append(client, &Signer::new(1), &order(stream, sequence), &previous).expect("append").sequence
}

/// What may be prepared, is there after COMMIT PREPARED and was never after ROLLBACK
/// PREPARED, whether the server was killed between or not.
#[test]
fn what_is_prepared_is_all_there_or_never_was_also_after_a_kill() {
    let cluster = Cluster::start("prepared", &["max_prepared_transactions=10"]);
    let database = cluster.create_database();
    let mut client = cluster.connect(&database);
    Ledger::set_up(&mut client);
    bring(&mut client, "s");
    let mut sequence = 1;
    for (round, (kill, commit)) in
        [(false, true), (false, false), (true, true), (true, false)].into_iter().enumerate()
    {
        let (domains, heads) = (count(&mut client, "domain"), head(&mut client, "s"));
        // Appends, and a registry change in another; both wait at once.
        client.batch_execute("BEGIN").expect("begin");
        bring(&mut client, "s");
        client.batch_execute("SAVEPOINT a").expect("savepoint");
        bring(&mut client, "s");
        client.batch_execute("ROLLBACK TO a").expect("rolled back");
        bring(&mut client, "s");
        client.batch_execute("PREPARE TRANSACTION 'events'").expect("prepared");
        client
            .batch_execute(&format!(
                "BEGIN; SELECT ets.create_domain('d{round}'); PREPARE TRANSACTION 'registry'"
            ))
            .expect("prepared");
        if kill {
            drop(client);
            cluster.kill();
            cluster.run();
            client = cluster.connect(&database);
        }
        assert_eq!(head(&mut client, "s"), heads, "nobody sees it yet");
        assert_eq!(findings(&mut client), Vec::<String>::new());
        client.batch_execute("SET lock_timeout = '100ms'").expect("set");
        let next = append(&mut client, &Signer::new(1), &order("s", 77), &heads.0);
        assert_eq!(error_of(next).code().code(), "55P03", "its stream waits");
        refused(client.batch_execute("SELECT ets.create_domain('other')"), "55P03");
        client.batch_execute("SELECT ets.seal()").expect("a seal does not wait");
        let end = if commit { "COMMIT" } else { "ROLLBACK" };
        client.batch_execute(&format!("{end} PREPARED 'events'")).expect("the end");
        client.batch_execute(&format!("{end} PREPARED 'registry'")).expect("the end");
        if commit {
            sequence += 2;
        }
        assert_eq!(head(&mut client, "s").1, sequence, "{kill} {commit}");
        assert_eq!(count(&mut client, "domain"), domains + i64::from(commit), "{kill} {commit}");
        assert_eq!(findings(&mut client), Vec::<String>::new());
        assert_eq!(bring(&mut client, "s"), sequence + 1);
        sequence += 1;
        client.batch_execute("SELECT ets.seal()").expect("seal");
        assert_eq!(findings(&mut client), Vec::<String>::new());
    }
    // A seal sends a NOTIFY, which PostgreSQL does not prepare: nothing of it is there.
    let checkpoints = count(&mut client, "checkpoint");
    bring(&mut client, "s");
    client.batch_execute("BEGIN; SELECT ets.seal()").expect("seal");
    refused(client.batch_execute("PREPARE TRANSACTION 'seal'"), "0A000");
    client.batch_execute("ROLLBACK").expect("it is over");
    assert_eq!(count(&mut client, "checkpoint"), checkpoints);
    client.batch_execute("SELECT ets.seal()").expect("seal");
    assert_eq!(count(&mut client, "checkpoint"), checkpoints + 1);
    assert_eq!(findings(&mut client), Vec::<String>::new());
}

#[test]
fn a_seal_after_an_append_of_its_transaction_is_refused_also_across_savepoints() {
    let mut ledger = Ledger::new();
    let client = &mut ledger.client;
    client.batch_execute("BEGIN").expect("begin");
    bring(client, "s");
    client.batch_execute("SAVEPOINT a").expect("savepoint");
    refused(client.batch_execute("SELECT ets.seal()"), "25001");
    client.batch_execute("ROLLBACK TO a; RELEASE a; COMMIT").expect("the append is kept");
    // A seal that is rolled back to a savepoint never was, and the next has its number.
    client.batch_execute("BEGIN; SAVEPOINT a; SELECT ets.seal(); ROLLBACK TO a; COMMIT").expect("commit");
    assert_eq!(count(client, "checkpoint"), 0);
    client.batch_execute("SELECT ets.seal()").expect("seal");
    assert_eq!(head(client, "s").1, 1);
    assert_eq!(findings(client), Vec::<String>::new());
}

/// A registry change that is taken back does not count for what follows in the transaction.
#[test]
fn a_registry_change_that_is_rolled_back_in_part_never_was() {
    let mut ledger = Ledger::new();
    let (alice, bob) = (ledger.alice.key_id(), Signer::new(2));
    let client = &mut ledger.client;
    client.batch_execute("BEGIN; SAVEPOINT a").expect("begin");
    client.batch_execute(&format!("SELECT ets.revoke_key('{alice}', 'a test')")).expect("revoked");
    client.batch_execute("SAVEPOINT b").expect("savepoint");
    let (previous, _) = head(client, "s");
    refused(append(client, &Signer::new(1), &order("s", 1), &previous), "ET004");
    client.batch_execute("ROLLBACK TO a").expect("taken back");
    assert_eq!(bring(client, "s"), 1, "alice's key lives");
    // And one that is not: bob may, in the same transaction.
    let key = to_hex(&bob.public_key());
    client.batch_execute(&format!("SELECT ets.register_key('\\x{key}', 'bob')")).expect("key");
    client
        .batch_execute(&format!("SELECT ets.grant_authority('{}', '{DOMAIN}')", bob.key_id()))
        .expect("grant");
    let (previous, _) = head(client, "s");
    append(client, &bob, &order("s", 2), &previous).expect("bob may");
    client.batch_execute("COMMIT").expect("commit");
    assert_eq!(head(client, "s").1, 2);
    client.batch_execute("SELECT ets.seal()").expect("seal");
    assert_eq!(findings(client), Vec::<String>::new());
    // An exception block in PL/pgSQL is a subtransaction too.
    let block = format!(
        "DO $$ BEGIN
             BEGIN PERFORM ets.revoke_key('{alice}', 'a test'); RAISE EXCEPTION 'no'; EXCEPTION WHEN raise_exception THEN NULL; END;
         END $$"
    );
    client.batch_execute(&block).expect("the block");
    assert_eq!(bring(client, "s"), 3);
    assert_eq!(findings(client), Vec::<String>::new());
}
