//! Export and import, and databases that receive a ledger.

use ets_core::canonical::{Limits, Payload};
use ets_core::checkpoint::domain_roots_to_value;
use ets_core::event::Event;
use ets_core::name::DomainName;
use ets_core::registry::Registry;
use ets_core::trust::TrustRoot;
use serde_json::json;

use crate::api::append::sign_and_append;
use crate::api::setup::{NewLedger, require_superuser};
use crate::db::{self, View};
use crate::error::{self, Error, Result, sqlstate};
use crate::export::{Range, export};
use crate::function::{Call, Record, Rows};
use crate::receiver::import::Import;
use crate::value::{Type, Value};
use crate::{keys, ledger, receiver, seal, transaction};

crate::sql_functions! {
    ets_export pg_finfo_ets_export => export_lines;
    ets_import pg_finfo_ets_import => import;
    ets_join pg_finfo_ets_join => join;
    ets_promote pg_finfo_ets_promote => promote;
}

fn export_lines(call: &Call) -> Result<Rows> {
    let mut rows = Rows::open(call)?;
    let range = Range {
        domain: call.text(0).map(|name| name.parse()).transpose()?,
        from: call.required_count(1, "from_checkpoint")?,
        to: match call.int(2) {
            None => None,
            Some(_) => Some(call.required_count(2, "to_checkpoint")?),
        },
    };
    let mut number: u64 = 0;
    export(range, |line| {
        number += 1;
        rows.put(&[number.into(), line.into()])
    })?;
    Ok(rows)
}

fn import(call: &Call) -> Result<Record> {
    let text = call.required_text(0, "export")?;
    let mut import = Import::begin()?;
    for line in text.strip_suffix('\n').unwrap_or(&text).split('\n') {
        pgrx::check_for_interrupts!();
        import.line(line)?;
    }
    let done = import.finish()?;
    Ok(Record(vec![
        done.lines.into(),
        done.new_events.into(),
        done.stored_events.into(),
        done.checkpoints.into(),
        done.checkpoint_id.into(),
        Value::or_null(done.meta_root, Type::Bytes),
    ]))
}

/// The first event is proven by its own root key's signature alone: that it is the
/// right ledger's, whoever calls this knows, by its root key.
fn join(call: &Call) -> Result<Value> {
    require_superuser("ets.join")?;
    let first = Event::parse(&call.required_text(0, "first_event")?)?;
    let domain: Option<DomainName> = call.text(1).map(|name| name.parse()).transpose()?;
    let id = first.header.event_id;
    if !first.check_hash() {
        return Err(Error::new(sqlstate::HASH, format!("event {id} does not hash to its current_hash"))
            .detail(json!({"event_id": id.to_string(), "computed": first.computed_hash().to_string()}))
            .hint("ets.event_document gives the first event as it is"));
    }
    if !first.header.check_key_id() || !first.header.check_signature() {
        return Err(Error::new(sqlstate::SIGNATURE, format!("the signature of event {id} does not hold"))
            .detail(json!({"event_id": id.to_string()}))
            .hint("ets.event_document gives the first event as it is"));
    }
    let registry = Registry::start(&first)?;
    let root = TrustRoot::of(registry.ledger()).ok_or_else(ledger::not_initialised)?;
    let ledger = NewLedger {
        ledger_id: root.ledger_id,
        origin: root.origin,
        root: root.root_public_key,
        server: root.server_public_key,
    };
    ledger.make()?;
    receiver::begin(&first.header.current_hash, domain.as_ref())?;
    Ok(Value::Uuid(*ledger.ledger_id.as_bytes()))
}

fn promote(_: &Call) -> Result<Value> {
    require_superuser("ets.promote")?;
    ledger::announced()?;
    let Some(receiver) = receiver::find()? else { return Err(receiver::receives_nothing()?) };
    if receiver.is_declared {
        return Err(receiver::receives_nothing()?);
    }
    if let Some(domain) = &receiver.domain {
        return Err(Error::new(
            sqlstate::STATE,
            format!("this database holds domain {domain} only and cannot go on"),
        )
        .detail(json!({"state": "holds one domain", "domain": domain.as_str()}))
        .hint("a database that was joined without a domain holds all, and can be promoted"));
    }
    if !receiver.is_promoted {
        refuse_while_subscribed()?;
        ledger::registry(View::Latest)?;
        db::write("UPDATE ets.receiver SET promoted_at = pg_catalog.clock_timestamp()", &[])?;
        // If this is rolled back, nothing that was read meanwhile may stay known.
        transaction::touch_registry();
        ledger::forget();
    }
    let key = match keys::server_key() {
        Ok(key) => key,
        Err(error) if error.sqlstate() == Some(sqlstate::NO_KEY) => {
            error::warn(
                "promoted, but not declared in ets.audit: the server's key is not here",
                "copy the key file, or register a new server key with the root key; then SELECT ets.promote() again",
            );
            return Ok("takes appends of its own from here on; not declared".into());
        }
        Err(error) => return Err(error),
    };
    let payload = Payload::from_value(statement()?, &Limits::CEILING)?;
    let event = sign_and_append(payload, PROMOTION.parse()?, &key)?;
    db::write("UPDATE ets.receiver SET promotion_id = $1", &[event.header.event_id.into()])?;
    Ok(format!("takes appends of its own from here on; declared by event {}", event.header.event_id).into())
}

const PROMOTION: &str = "ets.promotion/1.0.0";

/// A subscription that goes on would bring events that this database no longer takes.
fn refuse_while_subscribed() -> Result<()> {
    let enabled = db::first(
        View::Latest,
        "SELECT subscription.subname::pg_catalog.text FROM pg_catalog.pg_subscription AS subscription
           JOIN pg_catalog.pg_database AS database ON database.oid OPERATOR(pg_catalog.=) subscription.subdbid
          WHERE subscription.subenabled AND database.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
            AND EXISTS (SELECT FROM pg_catalog.pg_subscription_rel AS part
                         WHERE part.srsubid OPERATOR(pg_catalog.=) subscription.oid
                           AND part.srrelid OPERATOR(pg_catalog.=) 'ets.ledger_event'::pg_catalog.regclass)
          LIMIT 1",
        &[],
        |row| Ok(row.text(1).unwrap_or_default()),
    )?;
    match enabled {
        None => Ok(()),
        Some(name) => Err(Error::new(sqlstate::STATE, format!("subscription {name} still brings events"))
            .detail(json!({"state": "receives", "subscription": name}))
            .hint("ALTER SUBSCRIPTION … DISABLE first: two databases must not both go on")),
    }
}

/// The payload of the promotion's statement.
fn statement() -> Result<serde_json::Value> {
    let instance = db::first(
        View::Latest,
        "SELECT system.system_identifier, checkpoint.timeline_id::pg_catalog.int8, database.oid::pg_catalog.int8
           FROM pg_catalog.pg_control_system() AS system, pg_catalog.pg_control_checkpoint() AS checkpoint,
                pg_catalog.pg_database AS database
          WHERE database.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()",
        &[],
        |row| {
            Ok(json!({
                // The catalog shows as signed what is not.
                "system_identifier": row.int(1).map(|id| (id as u64).to_string()),
                "timeline": row.int(2), "database_oid": row.int(3),
            }))
        },
    )?;
    let mut payload = json!({"schema_version": PROMOTION, "instance": instance, "domain_roots": []});
    if let Some(last) = seal::last_checkpoint(View::Latest)? {
        payload["checkpoint_id"] = last.checkpoint_id.into();
        payload["domain_roots"] =
            domain_roots_to_value(&seal::domain_roots(View::Latest, last.checkpoint_id)?);
    }
    Ok(payload)
}
