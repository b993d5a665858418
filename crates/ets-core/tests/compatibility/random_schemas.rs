//! Random schemas over so few names, strings and numbers that their documents
//! collide.

use serde_json::{Map, Value, json};

use crate::common::Random;

pub const NAMES: [&str; 4] = ["a", "b", "x-a", "kind"];
pub const PATTERNS: [&str; 5] = ["^x-", "^a", "b$", "^[a-z]+$", "^x-a$"];
const TYPES: [&str; 7] = ["null", "boolean", "integer", "number", "string", "array", "object"];

/// How a random schema is made.
#[derive(Clone, Copy)]
pub struct Making {
    /// With keywords under which a wider schema inside makes a narrower one
    /// outside, or whose meaning depends on what is around.
    pub twisted: bool,
    /// References to `$defs/d0` … may occur.
    pub definitions: usize,
}

/// A schema document.
pub fn document(random: &mut Random, twisted: bool) -> Value {
    let definitions = random.below(3);
    let making = Making { twisted, definitions };
    let mut root = schema(random, making, 3);
    if definitions > 0 && root.is_boolean() {
        root = json!({});
    }
    if let Some(members) = root.as_object_mut()
        && definitions > 0
    {
        let inside = Making { definitions: 0, ..making };
        let named = |random: &mut Random, at: usize| {
            // Recursion goes through a member or an item.
            let recursive = json!({"$ref": format!("#/$defs/d{at}")});
            match random.below(4) {
                0 => json!({"properties": {"a": recursive, "b": schema(random, inside, 1)}}),
                1 => json!({"items": recursive, "maxItems": 2}),
                _ => schema(random, inside, 2),
            }
        };
        let definitions: Map<String, Value> =
            (0..definitions).map(|at| (format!("d{at}"), named(random, at))).collect();
        members.insert("$defs".to_owned(), Value::Object(definitions));
    }
    root
}

/// A schema with a few keywords.
pub fn schema(random: &mut Random, making: Making, depth: usize) -> Value {
    match random.below(24) {
        0 => return json!(true),
        1 if making.twisted => return json!(false),
        2 | 3 if making.definitions > 0 => {
            return json!({"$ref": format!("#/$defs/d{}", random.below(making.definitions))});
        }
        _ => {}
    }
    let mut members = Map::new();
    if random.below(3) > 0 {
        members.insert("type".to_owned(), types(random));
    }
    for _ in 0..1 + random.below(3) {
        if depth == 0 || random.below(2) == 0 {
            assertion(random, &mut members);
        } else {
            applicator(random, making, depth - 1, &mut members);
        }
    }
    Value::Object(members)
}

fn types(random: &mut Random) -> Value {
    if random.below(3) > 0 {
        return json!(*random.pick(&TYPES));
    }
    let mut names: Vec<&str> = (0..2 + random.below(2)).map(|_| *random.pick(&TYPES)).collect();
    names.sort_unstable();
    names.dedup();
    json!(names)
}

/// A value without structure, of a few.
pub fn scalar(random: &mut Random) -> Value {
    random
        .pick(&[
            json!(null),
            json!(true),
            json!(false),
            json!(0),
            json!(1),
            json!(2),
            json!(1.5),
            json!(6),
            json!(""),
            json!("a"),
            json!("b"),
            json!("ab"),
            json!("x-a"),
            json!("2020-01-01"),
        ])
        .clone()
}

fn assertion(random: &mut Random, members: &mut Map<String, Value>) {
    let small = json!(random.below(4));
    let (keyword, value) = match random.below(19) {
        0 => ("enum", (0..1 + random.below(3)).map(|_| scalar(random)).collect()),
        1 => ("const", scalar(random)),
        2 => ("minimum", random.pick(&[json!(0), json!(1), json!(1.5), json!(2)]).clone()),
        3 => ("maximum", random.pick(&[json!(1), json!(2), json!(2.5), json!(6)]).clone()),
        4 => ("exclusiveMinimum", small),
        5 => ("exclusiveMaximum", json!(random.below(7))),
        6 => ("multipleOf", random.pick(&[json!(1), json!(2), json!(3), json!(0.5), json!(6)]).clone()),
        7 => ("minLength", small),
        8 => ("maxLength", small),
        9 => ("pattern", json!(*random.pick(&PATTERNS))),
        10 => ("format", json!(*random.pick(&["date", "uuid", "of-nobody"]))),
        11 => ("minItems", small),
        12 => ("maxItems", small),
        13 => ("uniqueItems", json!(true)),
        14 => ("minProperties", small),
        15 => ("maxProperties", small),
        16 => ("dependentRequired", json!({*random.pick(&NAMES): [*random.pick(&NAMES)]})),
        _ => {
            let mut names: Vec<&str> = (0..1 + random.below(2)).map(|_| *random.pick(&NAMES)).collect();
            names.sort_unstable();
            names.dedup();
            ("required", json!(names))
        }
    };
    members.insert(keyword.to_owned(), value);
}

fn applicator(random: &mut Random, making: Making, depth: usize, members: &mut Map<String, Value>) {
    let one = |random: &mut Random| schema(random, making, depth);
    let keyword = match random.below(if making.twisted { 20 } else { 12 }) {
        0..=3 => "properties",
        4 => "patternProperties",
        5 | 6 => "additionalProperties",
        7 => "items",
        8 => "prefixItems",
        9 => "anyOf",
        10 => "allOf",
        11 => "propertyNames",
        12 => "oneOf",
        13 => "not",
        14 => "if",
        15 => "contains",
        16 => "dependentSchemas",
        17 => "unevaluatedProperties",
        18 => "unevaluatedItems",
        _ => "dependencies",
    };
    let value = match keyword {
        "properties" => {
            let count = 1 + random.below(3);
            (0..count).map(|_| (random.pick(&NAMES).to_string(), one(random))).collect::<Map<_, _>>().into()
        }
        "patternProperties" => json!({*random.pick(&PATTERNS): one(random)}),
        "additionalProperties" | "unevaluatedProperties" | "unevaluatedItems" if random.below(2) == 0 => {
            json!(false)
        }
        "prefixItems" | "anyOf" | "allOf" | "oneOf" => {
            (0..1 + random.below(3)).map(|_| one(random)).collect()
        }
        "propertyNames" => random
            .pick(&[json!({"maxLength": 1}), json!({"enum": ["a", "b"]}), json!({"pattern": "^x-"})])
            .clone(),
        "dependentSchemas" => json!({*random.pick(&NAMES): one(random)}),
        "dependencies" if random.below(2) == 0 => json!({*random.pick(&NAMES): [*random.pick(&NAMES)]}),
        "dependencies" => json!({*random.pick(&NAMES): one(random)}),
        _ => one(random),
    };
    members.insert(keyword.to_owned(), value);
    if keyword == "if" {
        let (then, other) = (one(random), one(random));
        members.insert("then".to_owned(), then);
        members.insert("else".to_owned(), other);
    }
    if keyword == "contains" && random.below(2) == 0 {
        members.insert("maxContains".to_owned(), json!(1 + random.below(2)));
        members.insert("minContains".to_owned(), json!(random.below(2)));
    }
}
