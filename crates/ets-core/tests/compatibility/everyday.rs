//! What developers do to a schema from one version to the next.

use serde_json::{Value, json};

use super::{compatible, incompatible};

fn order() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "id": {"type": "string", "format": "uuid"},
            "amount": {"type": "integer", "minimum": 1, "maximum": 1000},
            "currency": {"enum": ["EUR", "USD"]},
            "note": {"type": "string", "maxLength": 80},
            "lines": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "properties": {"sku": {"type": "string", "pattern": "^[A-Z]{3}-[0-9]+$"}, "count": {"type": "integer"}},
                    "required": ["sku", "count"],
                    "additionalProperties": false
                }
            },
            "payment": {"oneOf": [
                {"type": "object", "properties": {"kind": {"const": "card"}, "last4": {"type": "string"}},
                 "required": ["kind", "last4"], "additionalProperties": false},
                {"type": "object", "properties": {"kind": {"const": "transfer"}, "iban": {"type": "string"}},
                 "required": ["kind", "iban"], "additionalProperties": false}
            ]}
        },
        "required": ["id", "amount", "currency", "lines"],
        "additionalProperties": false
    })
}

/// The order with something put at a pointer.
fn order_with(pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let mut order = order();
    order
        .pointer_mut(parent)
        .expect("a place")
        .as_object_mut()
        .expect("an object")
        .insert(name.to_owned(), value);
    order
}

#[test]
fn what_may_be_done() {
    for (pointer, value) in [
        ("/properties/customer", json!({"type": "string", "minLength": 1})),
        ("/properties/currency", json!({"enum": ["EUR", "USD", "CHF"]})),
        ("/properties/amount", json!({"type": "number", "minimum": 0, "maximum": 5000})),
        ("/properties/note", json!({"type": ["string", "null"], "maxLength": 80})),
        ("/properties/note", json!({"anyOf": [{"type": "string", "maxLength": 200}, {"type": "null"}]})),
        ("/properties/note", json!({"oneOf": [{"type": "null"}, {"type": "string", "maxLength": 80}]})),
        ("/properties/id", json!({"type": "string"})),
        ("/properties/id", json!({"type": "string", "format": "uuid", "title": "Id", "examples": ["x"]})),
        ("/properties/id", json!({"allOf": [{"type": "string"}, {"format": "uuid"}]})),
        ("/properties/lines/minItems", json!(0)),
        ("/properties/lines/items/required", json!(["sku"])),
        ("/properties/lines/items/properties/colour", json!({"enum": ["red", "blue"]})),
        ("/required", json!(["id", "amount"])),
        ("/additionalProperties", json!(true)),
        ("/additionalProperties", json!({"type": "string"})),
        ("/minProperties", json!(4)),
        ("/$defs", json!({"unused": false})),
        ("/properties/lines/items/properties/sku/pattern", json!("")),
    ] {
        compatible(order(), order_with(pointer, value));
    }
}

#[test]
fn what_may_not_be_done() {
    for (pointer, value, reason) in [
        ("/required", json!(["id", "amount", "currency", "lines", "note"]), "/required"),
        ("/properties/currency", json!({"enum": ["EUR"]}), "/properties/currency/enum"),
        ("/properties/amount/minimum", json!(2), "/properties/amount/minimum"),
        ("/properties/amount/maximum", json!(999), "/properties/amount/maximum"),
        ("/properties/amount", json!({"type": "string"}), "/properties/amount/type"),
        ("/properties/note/maxLength", json!(79), "/properties/note/maxLength"),
        ("/properties/note/minLength", json!(1), "/properties/note/minLength"),
        ("/properties/note/format", json!("email"), "/properties/note/format"),
        ("/properties/lines/maxItems", json!(5), "/properties/lines/maxItems"),
        ("/properties/lines/uniqueItems", json!(true), "/properties/lines/uniqueItems"),
        (
            "/properties/lines/items/properties/count/minimum",
            json!(0),
            "/properties/lines/items/properties/count/minimum",
        ),
        ("/maxProperties", json!(4), "/maxProperties"),
        ("/not", json!({"required": ["note"]}), "/not"),
        ("/properties/note", json!(false), "/properties/note"),
    ] {
        incompatible(order(), order_with(pointer, value), &[reason]);
    }
}

#[test]
fn several_reasons_are_all_given() {
    let mut new = order_with("/properties/amount/minimum", json!(5));
    new["required"] = json!(["id", "amount", "currency", "lines", "payment"]);
    new["properties"]["currency"] = json!({"const": "EUR"});
    let reasons = ["/properties/amount/minimum", "/required", "/properties/currency/const"];
    incompatible(order(), new, &reasons);
}

#[test]
fn another_kind_of_payment() {
    let mut new = order();
    let kinds = new["properties"]["payment"]["oneOf"].as_array_mut().expect("alternatives");
    kinds.push(
        json!({"type": "object", "properties": {"kind": {"const": "cash"}, "till": {"type": "integer"}},
        "required": ["kind"], "additionalProperties": false}),
    );
    compatible(order(), new.clone());
    incompatible(new, order(), &["/properties/payment/oneOf"]);
    let mut any = order();
    any["properties"]["payment"]["anyOf"] = any["properties"]["payment"]["oneOf"].take();
    any["properties"]["payment"].as_object_mut().expect("an object").remove("oneOf");
    compatible(order(), any);
}

#[test]
fn parts_move_into_definitions_and_back() {
    let mut new = order();
    let line = std::mem::replace(&mut new["properties"]["lines"]["items"], json!({"$ref": "#/$defs/line"}));
    new["$defs"] = json!({ "line": line });
    compatible(order(), new.clone());
    compatible(new, order());
}

#[test]
fn a_discriminated_union_in_other_words() {
    let kinds = |keyword: &str, extra: Option<Value>| {
        let mut schemas = vec![
            json!({"properties": {"kind": {"const": "a"}, "x": {"type": "integer"}}, "required": ["kind", "x"]}),
            json!({"properties": {"kind": {"const": "b"}, "y": {"type": "integer"}}, "required": ["kind"]}),
        ];
        schemas.extend(extra);
        json!({"type": "object", keyword: schemas})
    };
    let third = json!({"properties": {"kind": {"const": "c"}}, "required": ["kind"]});
    compatible(kinds("oneOf", None), kinds("anyOf", Some(third.clone())));
    compatible(kinds("anyOf", None), kinds("oneOf", Some(third)));
    let tagged = json!({
        "type": "object",
        "properties": {"kind": {"enum": ["a", "b"]}, "x": {"type": "integer"}, "y": {"type": "integer"}},
        "required": ["kind", "x"]
    });
    compatible(tagged, kinds("oneOf", None));
}
