//! The same expressions in another implementation, the `cel` crate: random ones
//! of the part of the language that both have.
//!
//! Left out of the generator is what the profile decides otherwise than CEL or
//! that crate: a `double` that is not finite, the text of a `double`, the order
//! of a map's keys, and patterns. It compares an `int` with a `double` as doubles,
//! so its greatest integer here is one that is a double too.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use ets_core::expression::{EvaluationError, Type};
use serde_json::{Number, Value, json};

use super::{Random, evaluate};

#[test]
fn another_implementation_agrees() {
    // Its parser and evaluator recurse generously.
    let thread = std::thread::Builder::new().stack_size(64 << 20).spawn(compare).expect("a thread");
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn compare() {
    let payload = json!({
        "n": 7, "m": -3, "zero": 0, "big": 9_007_199_254_740_991_i64, "d": 2.5, "s": "abc", "t": "é€", "yes": true,
        "nothing": null, "list": [1, 2, 3], "mixed": [1, "a", null, 2.5], "map": {"a": 1, "b": {"c": 2}}, "none": [],
    });
    let mut context = cel::Context::default();
    context.add_variable_from_value("payload", theirs(&payload));
    let mut random = Random(0x0dd0_c0de);
    let (mut values, mut errors, mut different) = (0, 0, Vec::new());
    for _ in 0..10_000 {
        let kind = Kind::ALL[random.below(Kind::ALL.len())];
        let mut source = String::new();
        write_expression(&mut source, &mut random, kind, 4, 0);
        if source.len() > 2000 {
            continue;
        }
        let ours = evaluate(&source, &payload, &Value::Null);
        let program = cel::Program::compile(&source).expect("an expression of both");
        let other = program.execute(&context).ok().map(|value| back(&value));
        match (&ours, &other) {
            (Ok(mine), Some(Some(other))) if mine == other => values += 1,
            (Err(_), None) | (Err(EvaluationError::NotJson { .. }), Some(None)) => errors += 1,
            // It joins a list and a map, for which CEL has no `+`.
            (
                Err(EvaluationError::TypeMismatch {
                    operation: "+",
                    left: Type::List,
                    right: Some(Type::Map),
                }),
                _,
            ) => {}
            _ => different.push(format!("{source}\n  here {ours:?}\n  there {other:?}")),
        }
    }
    assert!(
        different.is_empty(),
        "{} differ:\n{}",
        different.len(),
        different[..different.len().min(12)].join("\n")
    );
    assert!(values > 2_000 && errors > 500, "{values} values, {errors} errors");
}

/// A payload as the other one's value, numbers under the rule of the profile.
fn theirs(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(value) => cel::Value::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => cel::Value::Int(integer),
            None => cel::Value::Float(number.as_f64().expect("a number")),
        },
        Value::String(text) => cel::Value::String(Arc::new(text.clone())),
        Value::Array(items) => cel::Value::List(Arc::new(items.iter().map(theirs).collect())),
        Value::Object(members) => {
            let map: HashMap<_, _> = members
                .iter()
                .map(|(key, value)| (cel::objects::Key::from(key.as_str()), theirs(value)))
                .collect();
            cel::Value::Map(cel::objects::Map { map: Arc::new(map) })
        }
    }
}

/// The JSON of its value, if JSON has it.
fn back(value: &cel::Value) -> Option<Value> {
    Some(match value {
        cel::Value::Null => Value::Null,
        cel::Value::Bool(value) => Value::Bool(*value),
        cel::Value::Int(value) => Value::from(*value),
        cel::Value::Float(value) => Value::Number(Number::from_f64(*value)?),
        cel::Value::String(text) => Value::String(text.to_string()),
        cel::Value::List(items) => Value::Array(items.iter().map(back).collect::<Option<_>>()?),
        cel::Value::Map(map) => Value::Object(
            map.map
                .iter()
                .map(|(key, value)| match key {
                    cel::objects::Key::String(key) => Some((key.to_string(), back(value)?)),
                    _ => None,
                })
                .collect::<Option<_>>()?,
        ),
        _ => return None,
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Bool,
    Int,
    Double,
    Text,
    List,
    Map,
}

impl Kind {
    const ALL: [Kind; 6] = [Kind::Bool, Kind::Int, Kind::Double, Kind::Text, Kind::List, Kind::Map];
}

/// Writes an expression that mostly has a value of this kind. `variables` are
/// those of the macros around: `v0`, `v1` …, mostly integers.
fn write_expression(out: &mut String, random: &mut Random, kind: Kind, depth: usize, variables: usize) {
    // Now and then something of another kind, so that errors are compared too.
    let kind = if random.below(24) == 0 { Kind::ALL[random.below(Kind::ALL.len())] } else { kind };
    if depth == 0 || random.below(6) == 0 {
        return write_leaf(out, random, kind, variables);
    }
    let any = Kind::ALL[random.below(Kind::ALL.len())];
    let pick = random.below(1000);
    let mut put = |pieces: &[Piece]| {
        for piece in pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Of(kind) => write_expression(out, random, *kind, depth - 1, variables),
                Piece::Under(kind) => write_expression(out, random, *kind, depth - 1, variables + 1),
                Piece::Variable => write!(out, "v{variables}").expect("a string"),
            }
        }
    };
    use Kind::{Bool, Double, Int, List, Map, Text as Str};
    use Piece::{Of, Text, Under, Variable};
    match kind {
        Bool => match pick % 14 {
            0 => put(&[Text("("), Of(Bool), Text(" && "), Of(Bool), Text(")")]),
            1 => put(&[Text("("), Of(Bool), Text(" || "), Of(Bool), Text(")")]),
            2 => put(&[Text("!("), Of(Bool), Text(")")]),
            3 => put(&[Text("("), Of(any), Text(" == "), Of(any), Text(")")]),
            4 => put(&[Text("("), Of(Int), Text(" < "), Of(Double), Text(")")]),
            5 => put(&[Text("("), Of(Str), Text(" >= "), Of(Str), Text(")")]),
            6 => put(&[Text("("), Of(Int), Text(" in "), Of(List), Text(")")]),
            7 => put(&[Of(List), Text(".all("), Variable, Text(", "), Under(Bool), Text(")")]),
            8 => put(&[Of(List), Text(".exists("), Variable, Text(", "), Under(Bool), Text(")")]),
            9 => put(&[Of(List), Text(".exists_one("), Variable, Text(", "), Under(Bool), Text(")")]),
            10 => put(&[Of(Str), Text(".contains("), Of(Str), Text(")")]),
            11 => put(&[Of(Str), Text(".startsWith("), Of(Str), Text(")")]),
            12 => put(&[Text("("), Of(Str), Text(" in "), Of(Map), Text(")")]),
            _ => put(&[Text("("), Of(Int), Text(" != "), Of(Int), Text(")")]),
        },
        Int => match pick % 9 {
            0 => put(&[Text("("), Of(Int), Text(" + "), Of(Int), Text(")")]),
            1 => put(&[Text("("), Of(Int), Text(" - "), Of(Int), Text(")")]),
            2 => put(&[Text("("), Of(Int), Text(" * "), Of(Int), Text(")")]),
            3 => put(&[Text("("), Of(Int), Text(" / "), Of(Int), Text(")")]),
            4 => put(&[Text("("), Of(Int), Text(" % "), Of(Int), Text(")")]),
            5 => put(&[Text("-("), Of(Int), Text(")")]),
            6 => put(&[Text("size("), Of(if pick.is_multiple_of(2) { List } else { Str }), Text(")")]),
            7 => put(&[Of(List), Text("["), Of(Int), Text("]")]),
            _ => put(&[Text("("), Of(Bool), Text(" ? "), Of(Int), Text(" : "), Of(Int), Text(")")]),
        },
        Double => match pick % 5 {
            0 => put(&[Text("("), Of(Double), Text(" + "), Of(Double), Text(")")]),
            1 => put(&[Text("("), Of(Double), Text(" * "), Of(Double), Text(")")]),
            2 => put(&[Text("("), Of(Double), Text(" / 4.0)")]),
            3 => put(&[Text("double("), Of(Int), Text(")")]),
            _ => put(&[Text("(-("), Of(Double), Text("))")]),
        },
        Str => match pick % 3 {
            0 => put(&[Text("("), Of(Str), Text(" + "), Of(Str), Text(")")]),
            1 => put(&[Text("string("), Of(Int), Text(")")]),
            _ => put(&[Text("("), Of(Bool), Text(" ? "), Of(Str), Text(" : "), Of(Str), Text(")")]),
        },
        List => match pick % 4 {
            0 => put(&[Text("["), Of(Int), Text(", "), Of(any), Text("]")]),
            1 => put(&[Text("("), Of(List), Text(" + "), Of(List), Text(")")]),
            2 => put(&[Of(List), Text(".map("), Variable, Text(", "), Under(any), Text(")")]),
            _ => put(&[Of(List), Text(".filter("), Variable, Text(", "), Under(Bool), Text(")")]),
        },
        Map => put(&[Text("{'a': "), Of(any), Text(", "), Of(Str), Text(": "), Of(Int), Text("}")]),
    }
}

enum Piece {
    Text(&'static str),
    Of(Kind),
    /// Inside the macro whose variable was just named.
    Under(Kind),
    Variable,
}

fn write_leaf(out: &mut String, random: &mut Random, kind: Kind, variables: usize) {
    let leaves: &[&str] = match kind {
        Kind::Bool => {
            &["true", "false", "payload.yes", "has(payload.n)", "has(payload.x)", "payload.missing"]
        }
        Kind::Int if variables > 0 && random.below(2) == 0 => {
            write!(out, "v{}", random.below(variables)).expect("a string");
            return;
        }
        Kind::Int => &[
            "0",
            "1",
            "-2",
            "4611686018427387904",
            "payload.n",
            "payload.m",
            "payload.big",
            "payload.map.b.c",
        ],
        Kind::Double => &["0.0", "1.5", "-2.25", "1e3", "payload.d", "9007199254740992.0"],
        Kind::Text => &["''", "'a'", "'é'", "payload.s", "payload.t", "payload['s']"],
        Kind::List => &["[]", "[1, 2]", "payload.list", "payload.mixed", "payload.none"],
        Kind::Map => &["{'k': 1}", "payload.map", "payload.map.b", "{}", "payload"],
    };
    out.push_str(leaves[random.below(leaves.len())]);
}
