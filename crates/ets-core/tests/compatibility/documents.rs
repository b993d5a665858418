//! Random documents: some of anything, most made to fit a schema, more or less.

use serde_json::{Map, Value, json};

use super::random_schemas::{NAMES, scalar};
use crate::common::Random;

const OTHER_NAMES: [&str; 3] = ["x-b", "other", ""];

/// Any document, small.
pub fn any(random: &mut Random, depth: usize) -> Value {
    match random.below(if depth == 0 { 4 } else { 8 }) {
        4 | 5 => (0..random.below(4)).map(|_| any(random, depth - 1)).collect(),
        6 | 7 => {
            let count = random.below(4);
            (0..count).map(|_| (name(random), any(random, depth - 1))).collect::<Map<_, _>>().into()
        }
        _ => scalar(random),
    }
}

fn name(random: &mut Random) -> String {
    if random.below(5) == 0 { random.pick(&OTHER_NAMES) } else { random.pick(&NAMES) }.to_string()
}

/// A document that follows the schema where it can, without a guarantee.
pub fn fitting(random: &mut Random, root: &Value, schema: &Value, depth: usize) -> Value {
    let Some(members) = schema.as_object() else { return any(random, depth.min(2)) };
    if depth == 0 {
        return scalar(random);
    }
    let refer =
        members.get("$ref").and_then(Value::as_str).and_then(|to| root.pointer(to.strip_prefix('#')?));
    if let Some(target) = refer {
        return fitting(random, root, target, depth - 1);
    }
    if let Some(value) = members.get("const") {
        return value.clone();
    }
    if let Some(values) = members.get("enum").and_then(Value::as_array)
        && !values.is_empty()
    {
        return random.pick(values).clone();
    }
    for keyword in ["anyOf", "oneOf", "allOf"] {
        if let Some(schemas) = members.get(keyword).and_then(Value::as_array)
            && !schemas.is_empty()
            && random.below(3) > 0
        {
            let at = random.below(schemas.len());
            let inner = fitting(random, root, &schemas[at], depth - 1);
            return complete(random, root, members, inner, depth);
        }
    }
    let named = match members.get("type") {
        Some(Value::String(name)) => name.clone(),
        Some(Value::Array(names)) if !names.is_empty() => {
            random.pick(names).as_str().unwrap_or_default().to_owned()
        }
        _ => likely(random, members).to_owned(),
    };
    let bound = |keyword: &str| members.get(keyword).and_then(Value::as_f64);
    match named.as_str() {
        "null" => json!(null),
        "boolean" => json!(random.below(2) == 0),
        "integer" | "number" => {
            let low = bound("minimum").or(bound("exclusiveMinimum")).or(bound("maximum")).unwrap_or(0.0);
            let step = bound("multipleOf").unwrap_or(if named == "integer" { 1.0 } else { 0.5 });
            let number = (low / step).ceil() * step + step * random.below(3) as f64;
            if number.fract() == 0.0 { json!(number as i64) } else { json!(number) }
        }
        "string" => random
            .pick(&[
                json!(""),
                json!("a"),
                json!("b"),
                json!("ab"),
                json!("x-a"),
                json!("x-b"),
                json!("2020-01-01"),
                json!("abc"),
                json!("00000000-0000-4000-8000-000000000000"),
            ])
            .clone(),
        "array" => complete(random, root, members, json!([]), depth),
        _ => complete(random, root, members, json!({}), depth),
    }
}

/// The type that a schema without one speaks of.
fn likely(random: &mut Random, members: &Map<String, Value>) -> &'static str {
    let has = |keywords: &[&str]| keywords.iter().any(|keyword| members.contains_key(*keyword));
    if random.below(5) > 0 {
        if has(&[
            "properties",
            "required",
            "additionalProperties",
            "patternProperties",
            "propertyNames",
            "minProperties",
            "dependentRequired",
            "dependentSchemas",
            "unevaluatedProperties",
        ]) {
            return "object";
        }
        if has(&["items", "prefixItems", "contains", "minItems", "maxItems", "uniqueItems"]) {
            return "array";
        }
        if has(&["minimum", "maximum", "multipleOf", "exclusiveMinimum", "exclusiveMaximum"]) {
            return "number";
        }
        if has(&["minLength", "maxLength", "pattern", "format"]) {
            return "string";
        }
    }
    let types: [&'static str; 7] = ["null", "boolean", "integer", "number", "string", "array", "object"];
    types[random.below(types.len())]
}

/// Adds what the schema says of members and items to a document.
fn complete(
    random: &mut Random,
    root: &Value,
    members: &Map<String, Value>,
    document: Value,
    depth: usize,
) -> Value {
    let inside = depth.saturating_sub(1);
    match document {
        Value::Object(mut object) => {
            let count = |keyword: &str| members.get(keyword).and_then(Value::as_u64).unwrap_or(0) as usize;
            let mut names: Vec<String> = members
                .get("required")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(|name| name.as_str().map(str::to_owned))
                .collect();
            let described = members.get("properties").and_then(Value::as_object);
            names.extend(described.into_iter().flat_map(Map::keys).filter(|_| random.below(2) == 0).cloned());
            if random.below(3) == 0 {
                names.push(name(random));
            }
            while names.len() < count("minProperties").min(4) {
                names.push(name(random));
                if random.below(8) == 0 {
                    break;
                }
            }
            for name in names {
                let schema = described.and_then(|described| described.get(&name));
                let schema = schema.or_else(|| {
                    let patterns = members.get("patternProperties").and_then(Value::as_object)?;
                    patterns
                        .iter()
                        .find(|(pattern, _)| name.starts_with(pattern.trim_start_matches('^')))
                        .map(|(_, s)| s)
                });
                let schema = schema.or(members.get("additionalProperties"));
                if schema == Some(&Value::Bool(false)) && random.below(6) > 0 {
                    continue;
                }
                let value = fitting(random, root, schema.unwrap_or(&Value::Bool(true)), inside);
                object.entry(name).or_insert(value);
            }
            Value::Object(object)
        }
        Value::Array(mut items) => {
            let count = |keyword: &str| members.get(keyword).and_then(Value::as_u64);
            let least = count("minItems").unwrap_or(0).min(4) as usize;
            let most = count("maxItems").unwrap_or(3).min(4) as usize;
            let length = least + random.below(most.saturating_sub(least) + 1);
            let prefix = members.get("prefixItems").and_then(Value::as_array);
            while items.len() < length {
                let of_place = prefix.and_then(|prefix| prefix.get(items.len()));
                let contained = members.get("contains").filter(|_| random.below(2) == 0);
                let schema = contained.or(of_place).or(members.get("items"));
                items.push(fitting(random, root, schema.unwrap_or(&Value::Bool(true)), inside));
            }
            Value::Array(items)
        }
        other => other,
    }
}

/// The document with one thing changed.
pub fn mutated(random: &mut Random, document: &Value) -> Value {
    match document {
        Value::Object(members) if random.below(4) > 0 => {
            let mut members = members.clone();
            let names: Vec<String> = members.keys().cloned().collect();
            match random.below(3) {
                0 if !names.is_empty() => {
                    members.remove(random.pick(&names));
                }
                1 if !names.is_empty() => {
                    let name = random.pick(&names).clone();
                    let value = mutated(random, &members[&name]);
                    members.insert(name, value);
                }
                _ => {
                    let name = name(random);
                    members.insert(name, any(random, 1));
                }
            }
            Value::Object(members)
        }
        Value::Array(items) if random.below(4) > 0 => {
            let mut items = items.clone();
            match random.below(3) {
                0 if !items.is_empty() => {
                    items.remove(random.below(items.len()));
                }
                1 if !items.is_empty() => {
                    let at = random.below(items.len());
                    items[at] = mutated(random, &items[at]);
                }
                _ => {
                    let copy = items.first().cloned().filter(|_| random.below(2) == 0);
                    items.push(copy.unwrap_or_else(|| any(random, 1)));
                }
            }
            Value::Array(items)
        }
        _ => any(random, 1),
    }
}

/// A document for a schema: fitting, changed, or anything.
pub fn document(random: &mut Random, schema: &Value) -> Value {
    match random.below(8) {
        0 => any(random, 3),
        1 | 2 => {
            let document = fitting(random, schema, schema, 5);
            mutated(random, &document)
        }
        _ => fitting(random, schema, schema, 5),
    }
}
