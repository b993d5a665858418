//! SQL functions as rules: what they see, whose rights they have, and what their
//! owner gains by replacing them.

use ets_tests::{Ledger, refused};
use postgres::Client;
use serde_json::json;

/// A ledger whose schema `sale/1.0.0` asks a function of the application, owned
/// by a role of its own.
fn shop() -> Ledger {
    let mut ledger = Ledger::new();
    let owner = owner_of(&ledger);
    ledger
        .client
        .batch_execute(&format!(
            r#"CREATE ROLE {owner} LOGIN;
               CREATE SCHEMA app AUTHORIZATION {owner};
               CREATE TABLE app.customer (id text PRIMARY KEY);
               INSERT INTO app.customer VALUES ('known');
               CREATE FUNCTION app.is_customer(payload jsonb, event jsonb) RETURNS boolean STABLE LANGUAGE sql
                 AS 'SELECT EXISTS (SELECT FROM app.customer AS customer WHERE customer.id = payload->>''customer'')';
               ALTER FUNCTION app.is_customer(jsonb, jsonb) OWNER TO {owner};
               SELECT ets.create_domain('sales');
               SELECT ets.register_schema('sale/1.0.0', 'sales', '{{"type": "object"}}');
               SELECT ets.register_rule_function('sale/1.0.0', 'app.is_customer(jsonb, jsonb)');
               SELECT ets.create_local_key('till', 'till', 'postgres');
               SELECT ets.grant_authority(key_id, 'sales') FROM ets.local_key WHERE name = 'till'"#
        ))
        .expect("a shop");
    ledger
}

/// Roles belong to the cluster, which the tests share: one for each database.
fn owner_of(ledger: &Ledger) -> String {
    format!("app_{}", ledger.id.simple())
}

fn sell(client: &mut Client, customer: &str) -> Result<u64, postgres::Error> {
    client.execute("SELECT ets.append_signed($1, 'sale/1.0.0')", &[&json!({"customer": customer})])
}

#[test]
fn a_function_looks_into_the_applications_tables() {
    let mut ledger = shop();
    let client = &mut ledger.client;
    sell(client, "known").expect("a customer");
    let refusal = refused(sell(client, "stranger"), "ET008");
    assert_eq!(
        refusal.detail,
        json!({"rules": [{"rule": "app.is_customer(jsonb, jsonb)"}], "schema_version": "sale/1.0.0"})
    );
    // What has committed by now counts, whatever the transaction's snapshot is.
    let mut other = ledger.database.connect();
    let mut transaction = client
        .build_transaction()
        .isolation_level(postgres::IsolationLevel::RepeatableRead)
        .start()
        .expect("begin");
    transaction.query_one("SELECT count(*) FROM app.customer", &[]).expect("a snapshot");
    other.execute("INSERT INTO app.customer VALUES ('new')", &[]).expect("a new customer");
    transaction
        .execute("SELECT ets.append_signed('{\"customer\": \"new\"}', 'sale/1.0.0')", &[])
        .expect("the newest state of the table");
    transaction.commit().expect("commit");
    let registered: serde_json::Value = ledger
        .one("SELECT rule_functions->0->'function' FROM ets.schema_version WHERE name = 'sale/1.0.0'", &[]);
    assert_eq!(registered, json!("app.is_customer(jsonb, jsonb)"));
    // Nobody can ask the function again about then: not checked is not passed.
    let findings = ledger.findings();
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert!(findings[0].contains("unverifiable") && findings[0].contains("rules"), "{findings:#?}");
}

#[test]
fn its_owner_gains_nothing_by_replacing_it() {
    let mut ledger = shop();
    let owner = owner_of(&ledger);
    let mut theirs = ledger.database.connect();
    theirs.batch_execute(&format!("SET ROLE {owner}")).expect("the owner");
    for change in [
        &format!(
            "CREATE OR REPLACE FUNCTION app.is_customer(payload jsonb, event jsonb) RETURNS boolean STABLE LANGUAGE plpgsql
               AS $$ BEGIN ALTER ROLE {owner} SUPERUSER; RETURN true; END $$"
        ),
        "CREATE OR REPLACE FUNCTION app.is_customer(payload jsonb, event jsonb) RETURNS boolean STABLE LANGUAGE sql AS 'SELECT true'",
        "ALTER FUNCTION app.is_customer(jsonb, jsonb) SECURITY DEFINER",
        "ALTER FUNCTION app.is_customer(jsonb, jsonb) VOLATILE",
        "ALTER FUNCTION app.is_customer(jsonb, jsonb) SET search_path = app",
        "CREATE OR REPLACE FUNCTION app.is_customer(payload jsonb, event jsonb) RETURNS boolean STABLE LANGUAGE sql
           BEGIN ATOMIC SELECT true; END",
        "DROP FUNCTION app.is_customer(jsonb, jsonb)",
    ] {
        theirs.batch_execute(change).unwrap_or_else(|error| panic!("{change}: {error:?}"));
        refused(sell(&mut ledger.client, "known"), "ET014");
        refused(sell(&mut ledger.client, "stranger"), "ET014");
        theirs
            .batch_execute(
                "DROP FUNCTION IF EXISTS app.is_customer(jsonb, jsonb);
                 CREATE FUNCTION app.is_customer(payload jsonb, event jsonb) RETURNS boolean STABLE LANGUAGE sql
                   AS 'SELECT EXISTS (SELECT FROM app.customer AS customer WHERE customer.id = payload->>''customer'')'",
            )
            .expect("as it was");
        sell(&mut ledger.client, "known").unwrap_or_else(|error| panic!("after {change}: {error:?}"));
    }
    let superuser: bool = ledger.one("SELECT rolsuper FROM pg_roles WHERE rolname = $1", &[&owner]);
    assert!(!superuser);
}

/// The function has the sender's rights and no others, a search_path that the
/// sender does not choose, and cannot leave anything behind in the session.
#[test]
fn it_runs_as_the_sender_in_a_restricted_operation() {
    let mut ledger = shop();
    let sender = format!("sender_{}", ledger.id.simple());
    ledger
        .client
        .batch_execute(&format!(
            "CREATE ROLE {sender} LOGIN;
             GRANT USAGE ON SCHEMA ets, app TO {sender};
             GRANT EXECUTE ON FUNCTION ets.append_signed(jsonb, text, text) TO {sender};
             SELECT ets.create_local_key('sender', 'sender', '{sender}');
             SELECT ets.grant_authority(key_id, 'sales') FROM ets.local_key WHERE name = 'sender';
             CREATE FUNCTION app.is_sender(payload jsonb, event jsonb) RETURNS boolean STABLE LANGUAGE plpgsql
               AS $$ BEGIN
                 RETURN upper('a') = 'A' AND current_user = '{sender}' AND event->>'owner' = 'sender'
                    AND event->>'domain' = 'sales' AND event->>'stream' = 'main'
                    AND event->>'schema_version' = 'asked/1.0.0' AND length(event->>'key_id') = 64;
               END $$;
             CREATE FUNCTION app.makes(payload jsonb, event jsonb) RETURNS boolean STABLE LANGUAGE plpgsql
               AS $$ BEGIN CREATE TEMP TABLE left_behind (); RETURN true; END $$;
             SELECT ets.register_schema('asked/1.0.0', 'sales', 'true');
             SELECT ets.register_rule_function('asked/1.0.0', 'app.is_sender(jsonb, jsonb)');
             SELECT ets.register_schema('making/1.0.0', 'sales', 'true');
             SELECT ets.register_rule_function('making/1.0.0', 'app.makes(jsonb, jsonb)');
             CREATE SCHEMA hostile AUTHORIZATION {sender};
             CREATE FUNCTION hostile.upper(text) RETURNS text LANGUAGE sql AS 'SELECT ''b''';
             GRANT ALL ON SCHEMA hostile TO {sender}"
        ))
        .expect("a sender");
    let mut theirs = ledger.database.connect();
    theirs
        .batch_execute(&format!("SET ROLE {sender}; SET search_path = hostile, pg_catalog"))
        .expect("the sender");
    theirs
        .execute("SELECT ets.append_signed('{}', 'asked/1.0.0')", &[])
        .expect("as the sender, under the catalog's search_path");
    let path: String = theirs.query_one("SHOW search_path", &[]).expect("show").get(0);
    assert_eq!(path, "hostile, pg_catalog", "the session's own setting is back");
    refused(ledger.client.execute("SELECT ets.append_signed('{}', 'asked/1.0.0', 'till')", &[]), "ET008");
    // The sender may not read the table, so neither may the function for it.
    refused(sell(&mut theirs, "known"), "42501");
    refused(theirs.execute("SELECT ets.append_signed('{}', 'making/1.0.0')", &[]), "0A000");
    // A plain INSERT, too.
    ledger.client.batch_execute("GRANT SELECT ON app.customer TO PUBLIC").expect("grant");
    sell(&mut theirs, "known").expect("now it may");
}

#[test]
fn what_cannot_be_pinned_cannot_be_a_rule() {
    let mut ledger = shop();
    ledger
        .client
        .batch_execute(
            "CREATE FUNCTION app.volatile(jsonb, jsonb) RETURNS boolean LANGUAGE sql AS 'SELECT true';
             CREATE FUNCTION app.definer(jsonb, jsonb) RETURNS boolean STABLE LANGUAGE sql SECURITY DEFINER AS 'SELECT true';
             CREATE FUNCTION app.with_set(jsonb, jsonb) RETURNS boolean STABLE LANGUAGE sql SET search_path = app AS 'SELECT true';
             CREATE FUNCTION app.one(jsonb) RETURNS boolean STABLE LANGUAGE sql AS 'SELECT true';
             CREATE FUNCTION app.wrong(text, jsonb) RETURNS boolean STABLE LANGUAGE sql AS 'SELECT true';
             CREATE FUNCTION app.number(jsonb, jsonb) RETURNS integer STABLE LANGUAGE sql AS 'SELECT 1';
             CREATE FUNCTION app.set(jsonb, jsonb) RETURNS SETOF boolean STABLE LANGUAGE sql AS 'SELECT true';
             CREATE FUNCTION app.parsed(jsonb, jsonb) RETURNS boolean STABLE LANGUAGE sql BEGIN ATOMIC SELECT true; END;
             CREATE FUNCTION app.null(jsonb, jsonb) RETURNS boolean STABLE LANGUAGE sql AS 'SELECT NULL::boolean'",
        )
        .expect("functions");
    let mut register = |function: &str| {
        ledger
            .client
            .execute("SELECT ets.register_rule_function('sale/1.0.0', $1::text::regprocedure)", &[&function])
    };
    for function in [
        "app.volatile(jsonb,jsonb)",
        "app.definer(jsonb,jsonb)",
        "app.with_set(jsonb,jsonb)",
        "app.one(jsonb)",
        "app.wrong(text,jsonb)",
        "app.number(jsonb,jsonb)",
        "app.set(jsonb,jsonb)",
        "app.parsed(jsonb,jsonb)",
        "jsonb_contains(jsonb,jsonb)",
        "app.is_customer(jsonb,jsonb)",
    ] {
        refused(register(function), if function.contains("is_customer") { "ET010" } else { "ET006" });
    }
    register("app.null(jsonb,jsonb)").expect("what it answers is another question");
    refused(sell(&mut ledger.client, "known"), "ET008");
    refused(
        ledger
            .client
            .execute("SELECT ets.register_rule_function('none/1.0.0', 'app.null(jsonb,jsonb)')", &[]),
        "ET006",
    );
    refused(ledger.client.execute("SELECT ets.register_rule_function('sale/1.0.0', 0)", &[]), "ET011");
    let owner = owner_of(&ledger);
    ledger
        .client
        .batch_execute(&format!(
            "GRANT USAGE ON SCHEMA ets TO {owner};
             GRANT EXECUTE ON FUNCTION ets.register_rule_function(text, regprocedure) TO {owner}; SET ROLE {owner}"
        ))
        .expect("its owner, who is no superuser");
    refused(
        ledger
            .client
            .execute("SELECT ets.register_rule_function('sale/1.0.0', 'app.definer(jsonb,jsonb)')", &[]),
        "42501",
    );
}
