//! Random pairs. Whenever one is called compatible, no document that the old
//! schema accepts is refused by the new one.

use std::collections::BTreeMap;
use std::time::Instant;

use ets_core::schema::Validator;
use ets_core::schema::compatibility::{Compatibility, compatibility};
use serde_json::{Value, json};

use super::documents;
use super::random_schemas::{self, Making};
use super::transformations::widen;
use super::{shows, verdict};
use crate::common::Random;

/// The documents of pairs called compatible that are judged in a run.
const DOCUMENTS: usize = 150_000;
/// Pairs that are made compatible, and that are made incompatible.
const CONSTRUCTED: usize = 2_000;

/// A random schema that the ledger would take.
fn taken(random: &mut Random, twisted: bool) -> (Value, Validator) {
    loop {
        let schema = random_schemas::document(random, twisted);
        if let Ok(validator) = Validator::compile(&schema) {
            return (schema, validator);
        }
    }
}

/// A random schema with everything in it but what makes a change here a change
/// elsewhere.
fn taken_untied(random: &mut Random) -> (Value, Validator) {
    if random.below(3) > 0 {
        return taken(random, false);
    }
    loop {
        let schema = random_schemas::schema(random, Making { twisted: true, definitions: 0 }, 3);
        if !schema.to_string().contains("unevaluated")
            && let Ok(validator) = Validator::compile(&schema)
        {
            return (schema, validator);
        }
    }
}

/// One to three changes that widen, with their names.
fn widened(random: &mut Random, schema: &Value) -> Option<(Vec<&'static str>, Value)> {
    let (mut names, mut new) = (Vec::new(), schema.clone());
    for _ in 0..1 + random.below(3) {
        if let Some((name, wider)) = widen(random, &new) {
            names.push(name);
            new = wider;
        }
    }
    (!names.is_empty() && Validator::compile(&new).is_ok()).then_some((names, new))
}

/// The schema with a part replaced by another, which may be wider, narrower or neither.
fn altered(random: &mut Random, schema: &Value) -> Value {
    match schema {
        Value::Object(members) if !members.is_empty() && random.below(5) > 0 => {
            let mut members = members.clone();
            let names: Vec<String> = members.keys().cloned().collect();
            let name = random.pick(&names).clone();
            let value = altered(random, &members[&name]);
            match random.below(6) {
                0 => {
                    members.remove(&name);
                }
                _ => {
                    members.insert(name, value);
                }
            }
            Value::Object(members)
        }
        Value::Array(values) if !values.is_empty() => {
            let mut values = values.clone();
            let at = random.below(values.len());
            values[at] = altered(random, &values[at]);
            Value::Array(values)
        }
        Value::Number(number) => json!(number.as_i64().unwrap_or(1) + random.below(3) as i64 - 1),
        Value::String(_) => random_schemas::scalar(random),
        _ => random_schemas::schema(random, Making { twisted: true, definitions: 0 }, 1),
    }
}

fn in_draft_07(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(members) = schema.as_object_mut() {
        members.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
    }
    schema
}

#[test]
fn what_is_called_compatible_accepts_what_was_accepted() {
    let start = Instant::now();
    let mut random = Random::new();
    let (mut pairs, mut judged, mut accepted) = (0, 0, 0);
    let mut said = BTreeMap::<&str, usize>::new();
    while accepted < DOCUMENTS {
        pairs += 1;
        let (old, _) = taken(&mut random, true);
        let old = if random.below(8) == 0 { in_draft_07(&old) } else { old };
        let new = match random.below(10) {
            0 => taken(&mut random, true).0,
            1 => in_draft_07(&old),
            2..=5 => altered(&mut random, &old),
            _ => match widened(&mut random, &old) {
                Some((_, new)) if random.below(4) == 0 => altered(&mut random, &new),
                Some((_, new)) => new,
                None => continue,
            },
        };
        let (old, new) = if random.below(6) == 0 { (new, old) } else { (old, new) };
        let Ok(answer) = compatibility(&old, &new) else { continue };
        *said.entry(answer.word()).or_default() += 1;
        if answer != Compatibility::Compatible {
            continue;
        }
        let validators =
            (Validator::compile(&old).expect("a schema"), Validator::compile(&new).expect("a schema"));
        for _ in 0..40 {
            let about = if random.below(4) == 0 { &new } else { &old };
            let document = documents::document(&mut random, about);
            judged += 1;
            if validators.0.is_valid(&document) {
                accepted += 1;
                assert!(validators.1.is_valid(&document), "{old}\n -> {new}\n refuses {document}");
            }
        }
    }
    println!("{pairs} pairs {said:?}; {judged} documents, {accepted} accepted; {:?}", start.elapsed());
}

#[test]
fn pairs_that_are_made_compatible_are_called_compatible() {
    let start = Instant::now();
    let mut random = Random::new();
    let (mut called, mut made, mut documents) = (0, 0, 0);
    let mut by_change = BTreeMap::<&str, (usize, usize)>::new();
    while made < CONSTRUCTED {
        let (old, validator) = taken_untied(&mut random);
        let Some((changes, new)) = widened(&mut random, &old) else { continue };
        if old == new {
            continue;
        }
        made += 1;
        let wider = Validator::compile(&new).expect("a schema");
        for _ in 0..10 {
            let document = documents::document(&mut random, &old);
            documents += 1;
            assert!(
                !shows(&validator, &wider, &document),
                "{changes:?} is wrong: {old}\n -> {new}: {document}"
            );
        }
        let answer = verdict(&old, &new);
        assert!(!matches!(answer, Compatibility::Incompatible(_)), "{answer:?}: {old}\n -> {new}");
        let is_called = answer == Compatibility::Compatible;
        called += usize::from(is_called);
        if !is_called && std::env::var_os("ETS_SHOW").is_some() {
            println!("{changes:?}\n{old}\n{new}\n{answer:?}\n");
        }
        for change in changes {
            let (called, made) = by_change.entry(change).or_default();
            *called += usize::from(is_called);
            *made += 1;
        }
    }
    println!("{called} of {made} called compatible, {documents} documents; {:?}", start.elapsed());
    for (change, (called, made)) in &by_change {
        println!("  {called:5} of {made:5} with: {change}");
    }
    assert!(called * 100 >= made * 80, "{called} of {made}");
    assert!(by_change.len() >= 30, "{by_change:?}");
}

#[test]
fn pairs_that_are_made_incompatible_are_never_called_compatible() {
    let start = Instant::now();
    let mut random = Random::new();
    let (mut shown, mut made) = (0, 0);
    while made < CONSTRUCTED {
        // The wider one first: a document that only it accepts is the proof.
        let (new, narrow) = taken_untied(&mut random);
        let Some((changes, old)) = widened(&mut random, &new) else { continue };
        let wide = Validator::compile(&old).expect("a schema");
        let mut tried = (0..30).map(|_| documents::document(&mut random, &old)).collect::<Vec<_>>();
        tried.retain(|document| shows(&wide, &narrow, document));
        let Some(document) = tried.first() else { continue };
        made += 1;
        let answer = verdict(&old, &new);
        assert_ne!(answer, Compatibility::Compatible, "{old}\n -> {new}\n refuses {document}");
        let is_shown = matches!(answer, Compatibility::Incompatible(_));
        shown += usize::from(is_shown);
        if !is_shown && std::env::var_os("ETS_SHOW").is_some() {
            println!("{changes:?}\n{old}\n{new}\n{document}\n{answer:?}\n");
        }
    }
    println!("{shown} of {made} called incompatible; {:?}", start.elapsed());
    assert!(shown * 100 >= made * 80, "{shown} of {made}");
}
