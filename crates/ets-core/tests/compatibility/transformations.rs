//! Pairs that are compatible by construction: a schema, and the same one with
//! something allowed that was not, or said in other words.

use serde_json::{Map, Value, json};

use super::random_schemas::{Making, NAMES, scalar, schema};
use crate::common::Random;

/// A wider schema, or one that says the same; none if this change does not apply.
type Change = fn(&mut Random, &Map<String, Value>) -> Option<Value>;

/// Every change, by name.
pub const CHANGES: [(&str, Change); 30] = [
    ("integer becomes number", integer_becomes_number),
    ("a type more", type_more),
    ("a value more", value_more),
    ("const becomes enum", const_becomes_enum),
    ("lower bounds fall", lower_bounds_fall),
    ("upper bounds rise", upper_bounds_rise),
    ("exclusive becomes inclusive", exclusive_becomes_inclusive),
    ("a divisor of the divisor", divisor_of_divisor),
    ("an assertion less", assertion_less),
    ("a required member less", required_less),
    ("an optional member of a closed object", member_of_closed),
    ("additional members of some type", additional_of_type),
    ("closed becomes open", closed_becomes_open),
    ("an open member is no longer described", undescribed),
    ("an alternative more", alternative_more),
    ("becomes an alternative", becomes_alternative),
    ("nullable", nullable),
    ("nullable, exclusively", nullable_exclusively),
    ("annotations", annotations),
    ("wrapped in allOf", wrapped),
    ("split into allOf", split),
    ("allOf taken in", taken_in),
    ("alternatives in another order", reordered),
    ("the types spelled as alternatives", types_as_alternatives),
    ("an alternative for each value", values_as_alternatives),
    ("excludes less", excludes_less),
    ("contains less", contains_less),
    ("fewer dependents", fewer_dependents),
    ("a condition less", condition_less),
    ("described, not restricted", described),
];

/// Applies a change somewhere where wider inside is wider outside. The name says
/// what was done.
pub fn widen(random: &mut Random, root: &Value) -> Option<(&'static str, Value)> {
    if random.below(24) == 0 {
        return in_other_dialect(root).map(|new| ("in the other dialect", new));
    }
    if random.below(12) == 0 {
        return moved_into_definitions(random, root).map(|new| ("moved into $defs", new));
    }
    let mut places = Vec::new();
    note_places(root, String::new(), &mut places);
    if places.is_empty() {
        return None;
    }
    // The change first: those that fit everywhere would crowd out the others.
    for _ in 0..10 {
        let (name, change) = *random.pick(&CHANGES);
        for _ in 0..2 * places.len() {
            let pointer = random.pick(&places).clone();
            let Some(changed) = change(random, root.pointer(&pointer)?.as_object()?) else { continue };
            let mut new = root.clone();
            let definitions = root.get("$defs").filter(|_| pointer.is_empty()).cloned();
            *new.pointer_mut(&pointer)? = changed;
            if let (Some(definitions), Some(members)) = (definitions, new.as_object_mut()) {
                members.insert("$defs".to_owned(), definitions);
            }
            return Some((name, new));
        }
    }
    None
}

/// The schemas that may become wider, and through which the whole becomes wider.
fn note_places(schema: &Value, pointer: String, places: &mut Vec<String>) {
    let Some(members) = schema.as_object() else { return };
    places.push(pointer.clone());
    for (keyword, value) in members {
        match (keyword.as_str(), value) {
            ("additionalProperties" | "items", inner) => {
                note_places(inner, format!("{pointer}/{keyword}"), places);
            }
            ("properties" | "patternProperties" | "$defs", Value::Object(named)) => {
                for (name, inner) in named {
                    note_places(
                        inner,
                        format!("{pointer}/{keyword}/{}", name.replace('~', "~0").replace('/', "~1")),
                        places,
                    );
                }
            }
            ("allOf" | "anyOf" | "prefixItems", Value::Array(schemas)) => {
                for (at, inner) in schemas.iter().enumerate() {
                    note_places(inner, format!("{pointer}/{keyword}/{at}"), places);
                }
            }
            _ => {}
        }
    }
}

fn with(members: &Map<String, Value>, keyword: &str, value: Value) -> Option<Value> {
    let mut members = members.clone();
    members.insert(keyword.to_owned(), value);
    Some(Value::Object(members))
}

fn without(members: &Map<String, Value>, keyword: &str) -> Option<Value> {
    let mut members = members.clone();
    members.remove(keyword)?;
    Some(Value::Object(members))
}

fn some_schema(random: &mut Random) -> Value {
    schema(random, Making { twisted: true, definitions: 0 }, 1)
}

fn type_names(members: &Map<String, Value>) -> Option<Vec<Value>> {
    match members.get("type")? {
        Value::Array(names) => Some(names.clone()),
        name => Some(vec![name.clone()]),
    }
}

fn integer_becomes_number(_: &mut Random, members: &Map<String, Value>) -> Option<Value> {
    let names = type_names(members)?;
    let wider: Vec<Value> =
        names.iter().map(|name| if name == "integer" { json!("number") } else { name.clone() }).collect();
    if wider == names || wider.iter().filter(|name| *name == "number").count() > 1 {
        return None;
    }
    with(members, "type", if wider.len() == 1 { wider[0].clone() } else { json!(wider) })
}

fn type_more(random: &mut Random, members: &Map<String, Value>) -> Option<Value> {
    let mut names = type_names(members)?;
    let more = json!(*random.pick(&["null", "string", "array", "boolean"]));
    if names.contains(&more) {
        return None;
    }
    names.push(more);
    with(members, "type", json!(names))
}

fn value_more(random: &mut Random, members: &Map<String, Value>) -> Option<Value> {
    let mut values = members.get("enum")?.as_array()?.clone();
    values.insert(random.below(values.len() + 1), scalar(random));
    with(members, "enum", json!(values))
}

fn const_becomes_enum(random: &mut Random, members: &Map<String, Value>) -> Option<Value> {
    let value = members.get("const")?.clone();
    if members.contains_key("enum") {
        return None;
    }
    with(without(members, "const")?.as_object()?, "enum", json!([scalar(random), value]))
}

fn moved(members: &Map<String, Value>, keywords: &[&str], by: f64) -> Option<Value> {
    let keyword = keywords.iter().find(|keyword| members.contains_key(**keyword))?;
    let limit = members[*keyword].as_f64()? + by;
    if limit < 0.0 && !keyword.contains("imum") {
        return None;
    }
    with(members, keyword, if limit.fract() == 0.0 { json!(limit as i64) } else { json!(limit) })
}

fn lower_bounds_fall(random: &mut Random, members: &Map<String, Value>) -> Option<Value> {
    let keywords = ["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"];
    moved(members, &keywords, -1.0 - random.below(2) as f64)
}

fn upper_bounds_rise(random: &mut Random, members: &Map<String, Value>) -> Option<Value> {
    let keywords = ["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"];
    moved(members, &keywords, 1.0 + random.below(2) as f64)
}

fn exclusive_becomes_inclusive(_: &mut Random, members: &Map<String, Value>) -> Option<Value> {
    let pairs = [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")];
    let (exclusive, inclusive) =
        pairs.into_iter().find(|(one, two)| members.contains_key(*one) && !members.contains_key(*two))?;
    let limit = members[exclusive].clone();
    with(without(members, exclusive)?.as_object()?, inclusive, limit)
}

fn divisor_of_divisor(random: &mut Random, members: &Map<String, Value>) -> Option<Value> {
    let multiple = members.get("multipleOf")?.as_u64()?;
    let divisors: Vec<u64> = (1..multiple).filter(|divisor| multiple % divisor == 0).collect();
    if divisors.is_empty() {
        return None;
    }
    with(members, "multipleOf", json!(*random.pick(&divisors)))
}

fn assertion_less(random: &mut Random, members: &Map<String, Value>) -> Option<Value> {
    let free = [
        "type",
        "enum",
        "const",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "pattern",
        "format",
        "minItems",
        "maxItems",
        "uniqueItems",
        "minProperties",
        "maxProperties",
        "required",
        "propertyNames",
        "anyOf",
        "allOf",
        "oneOf",
        "not",
        "dependentRequired",
        "dependentSchemas",
        "dependencies",
        "$ref",
    ];
    // What is evaluated must stay the same.
    if members.keys().any(|keyword| keyword.starts_with("unevaluated")) {
        return None;
    }
    let keyword = random.pick(&free);
    without(members, keyword)
}

fn required_less(random: &mut Random, members: &Map<String, Value>) -> Option<Value> {
    let mut names = members.get("required")?.as_array()?.clone();
    if names.is_empty() {
        return None;
    }
    names.remove(random.below(names.len()));
    with(members, "required", json!(names))
}

fn is_closed(members: &Map<String, Value>) -> bool {
    members.get("additionalProperties") == Some(&json!(false))
}

fn member_of_closed(random: &mut Random, members: &Map<String, Value>) -> Option<Value> {
    let name = *random.pick(&["new", NAMES[0], NAMES[2]]);
    let mut named =
        members.get("properties").map_or_else(Default::default, |p| p.as_object().cloned().unwrap());
    if !is_closed(members) || named.contains_key(name) || members.contains_key("patternProperties") {
        return None;
    }
    named.insert(name.to_owned(), some_schema(random));
    with(members, "properties", Value::Object(named))
}

fn additional_of_type(random: &mut Random, members: &Map<String, Value>) -> Option<Value> {
    if is_closed(members) { with(members, "additionalProperties", some_schema(random)) } else { None }
}

fn closed_becomes_open(_: &mut Random, members: &Map<String, Value>) -> Option<Value> {
    if is_closed(members) { without(members, "additionalProperties") } else { None }
}

fn undescribed(random: &mut Random, members: &Map<String, Value>) -> Option<Value> {
    let mut named = members.get("properties")?.as_object()?.clone();
    let is_open = members.get("additionalProperties").is_none_or(|rest| *rest == json!(true));
    if !is_open || members.keys().any(|keyword| keyword.starts_with("unevaluated")) {
        return None;
    }
    let names: Vec<String> = named.keys().cloned().collect();
    if names.is_empty() {
        return None;
    }
    named.remove(random.pick(&names));
    with(members, "properties", Value::Object(named))
}

fn alternative_more(random: &mut Random, members: &Map<String, Value>) -> Option<Value> {
    let mut schemas = members.get("anyOf")?.as_array()?.clone();
    if members.keys().any(|keyword| keyword.starts_with("unevaluated")) {
        return None;
    }
    schemas.insert(random.below(schemas.len() + 1), some_schema(random));
    with(members, "anyOf", json!(schemas))
}

fn becomes_alternative(random: &mut Random, members: &Map<String, Value>) -> Option<Value> {
    Some(json!({"anyOf": [some_schema(random), members]}))
}

fn nullable(_: &mut Random, members: &Map<String, Value>) -> Option<Value> {
    Some(json!({"anyOf": [members, {"type": "null"}]}))
}

fn nullable_exclusively(_: &mut Random, members: &Map<String, Value>) -> Option<Value> {
    let has_null = type_names(members)?.iter().any(|name| name == "null");
    (!has_null).then(|| json!({"oneOf": [{"type": "null"}, members]}))
}

fn annotations(_: &mut Random, members: &Map<String, Value>) -> Option<Value> {
    let members = with(members, "title", json!("new"))?;
    let members = with(members.as_object()?, "default", json!([1]))?;
    with(members.as_object()?, "x-unknown", json!({"type": "null"}))
}

fn wrapped(_: &mut Random, members: &Map<String, Value>) -> Option<Value> {
    Some(json!({"allOf": [members]}))
}

/// Keywords that mean something only together.
const TOGETHER: [&[&str]; 4] = [
    &["properties", "patternProperties", "additionalProperties"],
    &["prefixItems", "items"],
    &["contains", "minContains", "maxContains"],
    &["if", "then", "else"],
];

fn split(_: &mut Random, members: &Map<String, Value>) -> Option<Value> {
    if members.len() < 2 || members.keys().any(|keyword| keyword.starts_with("unevaluated")) {
        return None;
    }
    let mut parts: Vec<(usize, Map<String, Value>)> = Vec::new();
    for (at, (keyword, value)) in members.iter().enumerate() {
        let group = TOGETHER.iter().position(|group| group.contains(&keyword.as_str())).unwrap_or(10 + at);
        match parts.iter_mut().find(|(known, _)| *known == group) {
            Some((_, part)) => {
                part.insert(keyword.clone(), value.clone());
            }
            None => parts.push((group, Map::from_iter([(keyword.clone(), value.clone())]))),
        }
    }
    let parts: Vec<Value> = parts.into_iter().map(|(_, part)| Value::Object(part)).collect();
    Some(json!({ "allOf": parts }))
}

fn taken_in(_: &mut Random, members: &Map<String, Value>) -> Option<Value> {
    let schemas = members.get("allOf")?.as_array()?;
    let [Value::Object(only)] = schemas.as_slice() else { return None };
    let is_apart = TOGETHER.iter().all(|group| {
        !group.iter().any(|keyword| members.contains_key(*keyword))
            || !group.iter().any(|keyword| only.contains_key(*keyword))
    });
    let has_twice = only.keys().any(|keyword| members.contains_key(keyword));
    let is_unevaluated =
        |members: &Map<String, Value>| members.keys().any(|keyword| keyword.starts_with("unevaluated"));
    if !is_apart || has_twice || is_unevaluated(members) || is_unevaluated(only) {
        return None;
    }
    let mut all = members.clone();
    all.remove("allOf");
    all.extend(only.clone());
    Some(Value::Object(all))
}

fn reordered(_: &mut Random, members: &Map<String, Value>) -> Option<Value> {
    let keyword =
        ["anyOf", "oneOf", "allOf", "enum"].into_iter().find(|keyword| members.contains_key(*keyword))?;
    let values: Vec<Value> = members[keyword].as_array()?.iter().rev().cloned().collect();
    with(members, keyword, json!(values))
}

fn types_as_alternatives(random: &mut Random, members: &Map<String, Value>) -> Option<Value> {
    let names = type_names(members)?;
    let overlap = names.iter().any(|name| name == "number") && names.iter().any(|name| name == "integer");
    let keyword = if random.below(2) == 0 || overlap { "anyOf" } else { "oneOf" };
    if members.contains_key(keyword) {
        return None;
    }
    let schemas: Vec<Value> = names.iter().map(|name| json!({ "type": name })).collect();
    with(without(members, "type")?.as_object()?, keyword, json!(schemas))
}

fn values_as_alternatives(_: &mut Random, members: &Map<String, Value>) -> Option<Value> {
    let values = members.get("enum")?.as_array()?;
    if members.contains_key("anyOf") {
        return None;
    }
    let schemas: Vec<Value> = values.iter().map(|value| json!({ "const": value })).collect();
    with(without(members, "enum")?.as_object()?, "anyOf", json!(schemas))
}

fn excludes_less(random: &mut Random, members: &Map<String, Value>) -> Option<Value> {
    let excluded = members.get("not")?.clone();
    with(members, "not", json!({"allOf": [excluded, some_schema(random)]}))
}

fn contains_less(_: &mut Random, members: &Map<String, Value>) -> Option<Value> {
    match members.get("maxContains").and_then(Value::as_u64) {
        Some(most) => with(members, "maxContains", json!(most + 1)),
        None if members.contains_key("contains") && !members.contains_key("unevaluatedItems") => {
            without(members, "contains")
        }
        None => None,
    }
}

fn fewer_dependents(random: &mut Random, members: &Map<String, Value>) -> Option<Value> {
    let mut dependents = members.get("dependentRequired")?.as_object()?.clone();
    let names: Vec<String> = dependents.keys().cloned().collect();
    if names.is_empty() {
        return None;
    }
    dependents.remove(random.pick(&names));
    with(members, "dependentRequired", Value::Object(dependents))
}

fn condition_less(random: &mut Random, members: &Map<String, Value>) -> Option<Value> {
    if members.keys().any(|keyword| keyword.starts_with("unevaluated")) {
        return None;
    }
    if random.below(2) == 0 { without(members, "then") } else { without(members, "else") }
}

fn described(_: &mut Random, members: &Map<String, Value>) -> Option<Value> {
    let is_open = !["additionalProperties", "patternProperties", "unevaluatedProperties"]
        .iter()
        .any(|keyword| members.contains_key(*keyword));
    let mut named = members.get("properties")?.as_object()?.clone();
    if !is_open || named.contains_key("new") {
        return None;
    }
    named.insert("new".to_owned(), json!({"description": "anything"}));
    with(members, "properties", Value::Object(named))
}

fn moved_into_definitions(random: &mut Random, root: &Value) -> Option<Value> {
    let mut places = Vec::new();
    note_places(root, String::new(), &mut places);
    if places.is_empty() {
        return None;
    }
    let pointer = random.pick(&places).clone();
    if pointer.is_empty() || pointer.starts_with("/$defs") {
        return None;
    }
    let mut new = root.clone();
    let moved = std::mem::replace(new.pointer_mut(&pointer)?, json!({"$ref": "#/$defs/moved"}));
    let definitions = new.as_object_mut()?.entry("$defs").or_insert_with(|| json!({}));
    definitions.as_object_mut()?.insert("moved".to_owned(), moved);
    Some(new)
}

/// The same in draft-07, where all keywords mean the same there.
fn in_other_dialect(root: &Value) -> Option<Value> {
    let text = root.to_string();
    let differs = ["prefixItems", "Contains", "dependent", "unevaluated", "$ref", "uuid", "$schema"];
    if differs.iter().any(|keyword| text.contains(keyword)) {
        return None;
    }
    with(root.as_object()?, "$schema", json!("http://json-schema.org/draft-07/schema#"))
}
