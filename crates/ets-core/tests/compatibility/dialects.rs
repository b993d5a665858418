//! Draft-07, draft 2020-12, and from one to the other.

use serde_json::{Value, json};

use super::{compatible, incompatible, undecidable};

fn seven(mut schema: Value) -> Value {
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema
}

#[test]
fn tuples_are_spelled_differently() {
    let old = seven(json!({"items": [{"type": "string"}, {"type": "integer"}], "additionalItems": false}));
    let new = json!({"prefixItems": [{"type": "string"}, {"type": "number"}], "items": false});
    compatible(old.clone(), new.clone());
    incompatible(new, old, &["/items/1/type"]);
    // additionalItems is nothing beside a single schema.
    compatible(seven(json!({"items": true})), seven(json!({"items": true, "additionalItems": false})));
    compatible(json!({}), json!({"additionalItems": false}));
}

#[test]
fn what_stands_beside_a_reference_counts_in_one_only() {
    let schema = json!({"properties": {"a": {"$ref": "#/definitions/a", "maxLength": 3}},
                        "definitions": {"a": {"type": "string"}}});
    incompatible(seven(schema.clone()), schema.clone(), &["/properties/a/maxLength"]);
    compatible(schema.clone(), seven(schema));
}

#[test]
fn a_keyword_of_one_is_nothing_in_the_other() {
    for keyword in [
        json!({"dependentRequired": {"a": ["b"]}}),
        json!({"dependentSchemas": {"a": false}}),
        json!({"prefixItems": [false]}),
        json!({"unevaluatedProperties": false}),
        json!({"unevaluatedItems": false}),
    ] {
        compatible(json!({}), seven(keyword.clone()));
        compatible(keyword.clone(), seven(keyword.clone()));
    }
    for (keyword, pointer) in [
        (json!({"dependentRequired": {"a": ["b"]}}), "/dependentRequired"),
        (json!({"dependentSchemas": {"a": false}}), "/dependentSchemas/a"),
        (json!({"prefixItems": [false]}), "/prefixItems/0"),
        (json!({"unevaluatedProperties": false}), "/unevaluatedProperties"),
        (json!({"unevaluatedItems": false}), "/unevaluatedItems"),
    ] {
        incompatible(seven(keyword.clone()), keyword, &[pointer]);
    }
    compatible(
        json!({"contains": {"const": 1}, "minContains": 2}),
        seven(json!({"contains": {"const": 1}, "minContains": 3})),
    );
    compatible(json!({}), seven(json!({"format": "uuid"})));
    compatible(json!({"contentEncoding": "hex"}), json!({"contentEncoding": "base64"}));
    incompatible(seven(json!({})), seven(json!({"contentEncoding": "base64"})), &["/contentEncoding"]);
    compatible(seven(json!({"contentEncoding": "base64"})), json!({"contentEncoding": "base64"}));
}

#[test]
fn references_that_depend_on_the_way_are_left_undecided() {
    let embedded = |title: &str| json!({"title": title, "$ref": "urn:part", "$defs": {"b": {"$id": "urn:part", "type": "string"}}});
    compatible(embedded("one"), embedded("one"));
    undecidable(embedded("one"), embedded("two"));
    let dynamic = |title: &str| json!({"title": title, "$dynamicAnchor": "node", "properties": {"next": {"$dynamicRef": "#node"}}});
    compatible(dynamic("one"), dynamic("one"));
    undecidable(dynamic("one"), dynamic("two"));
    let with_id =
        |id: &str| json!({"$id": id, "$ref": format!("{id}#/$defs/a"), "$defs": {"a": {"type": "string"}}});
    compatible(with_id("https://example.com/order/1"), with_id("https://example.com/order/2"));
}

#[test]
fn a_new_schema_that_refuses_deep_documents_is_left_undecided() {
    let multiplying = |title: &str, kind: &str| json!({"title": title, "properties": {"a": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}, "v": {"type": kind}}});
    undecidable(multiplying("one", "integer"), multiplying("one", "number"));
    compatible(multiplying("one", "integer"), multiplying("two", "integer"));
    compatible(multiplying("one", "integer"), json!({"properties": {"v": {"type": "number"}}}));
}
