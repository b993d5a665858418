//! One table row for each keyword and direction.

use serde_json::{Value, json};

use super::{compatible, incompatible, undecidable};

/// The narrower schema, the wider one, and where the wider one is narrowed.
fn widens(narrow: Value, wide: Value, pointers: &[&str]) {
    compatible(narrow.clone(), wide.clone());
    incompatible(wide, narrow, pointers);
}

#[test]
fn types() {
    widens(json!({"type": "string"}), json!({"type": ["string", "null"]}), &["/type"]);
    widens(json!({"type": "string"}), json!({}), &["/type"]);
    widens(json!({"type": "integer"}), json!({"type": "number"}), &["/type"]);
    widens(json!({"type": ["integer", "null"]}), json!({"type": ["null", "number", "array"]}), &["/type"]);
    compatible(json!({"type": ["integer", "number"]}), json!({"type": "number"}));
    compatible(json!({"type": "number"}), json!({"type": ["integer", "number"]}));
    incompatible(json!({"type": "string"}), json!({"type": "object"}), &["/type"]);
    compatible(json!({"type": "number", "multipleOf": 1}), json!({"type": "integer"}));
    compatible(json!(true), json!({}));
    compatible(json!(false), json!({"type": "string"}));
    widens(json!(false), json!({"type": "string"}), &[""]);
    compatible(json!({}), json!({"type": ["null", "boolean", "number", "string", "array", "object"]}));
}

#[test]
fn enumerations() {
    widens(json!({"enum": ["a", "b"]}), json!({"enum": ["c", "b", "a"]}), &["/enum"]);
    widens(json!({"const": "a"}), json!({"enum": ["a", "b"]}), &["/const"]);
    widens(json!({"const": "a"}), json!({"type": "string"}), &["/const"]);
    widens(json!({"enum": [1, "a"]}), json!({"type": ["integer", "string"]}), &["/enum"]);
    compatible(json!({"const": 1}), json!({"const": 1.0}));
    compatible(json!({"type": "boolean"}), json!({"enum": [true, false, null]}));
    incompatible(json!({"type": "boolean"}), json!({"const": true}), &["/const"]);
    compatible(json!({"type": "integer", "minimum": 1, "maximum": 3}), json!({"enum": [1, 2, 3]}));
    compatible(json!({"enum": ["a", "b", 7], "type": "string"}), json!({"enum": ["a", "b"]}));
    compatible(json!({"enum": ["aa", "ab"]}), json!({"type": "string", "pattern": "^a", "maxLength": 2}));
    incompatible(json!({"enum": ["aa", "b"]}), json!({"type": "string", "pattern": "^a"}), &["/pattern"]);
    compatible(
        json!({"const": {"a": [1]}}),
        json!({"properties": {"a": {"type": "array"}}, "required": ["a"]}),
    );
    // A value that the old schema lists and refuses.
    compatible(json!({"enum": ["a", "bb"], "maxLength": 1}), json!({"const": "a"}));
}

#[test]
fn numbers() {
    widens(json!({"minimum": 5}), json!({"minimum": 4.5}), &["/minimum"]);
    widens(json!({"maximum": 5}), json!({"maximum": 6}), &["/maximum"]);
    widens(json!({"exclusiveMinimum": 5}), json!({"minimum": 5}), &["/exclusiveMinimum"]);
    widens(json!({"exclusiveMaximum": 5}), json!({"maximum": 5}), &["/exclusiveMaximum"]);
    widens(json!({"exclusiveMinimum": 1.5}), json!({"minimum": 1.5}), &["/exclusiveMinimum"]);
    widens(json!({"exclusiveMaximum": 1.5}), json!({"maximum": 1.5}), &["/exclusiveMaximum"]);
    compatible(json!({"type": "integer", "exclusiveMinimum": 0}), json!({"minimum": 1}));
    incompatible(json!({"type": "number", "exclusiveMinimum": 0}), json!({"minimum": 1}), &["/minimum"]);
    compatible(json!({"type": "integer", "minimum": 0.5}), json!({"minimum": 1}));
    widens(json!({"multipleOf": 6}), json!({"multipleOf": 3}), &["/multipleOf"]);
    compatible(json!({"multipleOf": 0.01}), json!({"multipleOf": 0.01, "title": "money"}));
    compatible(json!({"type": "integer"}), json!({"multipleOf": 1}));
    incompatible(json!({"type": "number"}), json!({"multipleOf": 1}), &["/multipleOf"]);
    // Bounds say nothing of what is no number.
    incompatible(json!({"minimum": 1}), json!({"type": "number", "minimum": 1}), &["/type"]);
    compatible(json!({"type": "string"}), json!({"minimum": 1}));
    compatible(json!({"minimum": 9007199254740993i64}), json!({"minimum": 9007199254740992i64}));
    compatible(json!({"type": "number", "minimum": 2, "maximum": 1}), json!(false));
}

#[test]
fn strings() {
    widens(json!({"minLength": 2}), json!({"minLength": 1}), &["/minLength"]);
    widens(json!({"maxLength": 2}), json!({"maxLength": 3}), &["/maxLength"]);
    compatible(json!({"minLength": 2.0}), json!({"minLength": 2}));
    widens(json!({"pattern": "^a+$"}), json!({}), &["/pattern"]);
    compatible(json!({"pattern": "^ab"}), json!({"pattern": "^a"}));
    incompatible(json!({"pattern": "^a"}), json!({"pattern": "^ab"}), &["/pattern"]);
    undecidable(json!({"type": "string", "pattern": "^[ab]$"}), json!({"pattern": "^[abc]$"}));
    widens(json!({"format": "date"}), json!({}), &["/format"]);
    compatible(json!({}), json!({"format": "of-nobody"}));
    incompatible(json!({"format": "date"}), json!({"format": "date-time"}), &["/format"]);
    // They say nothing of what is no string.
    compatible(json!({"type": "integer"}), json!({"minLength": 9, "pattern": "^a", "format": "date"}));
}

#[test]
fn arrays() {
    widens(json!({"minItems": 2}), json!({"minItems": 1}), &["/minItems"]);
    widens(json!({"maxItems": 1}), json!({"maxItems": 2}), &["/maxItems"]);
    widens(json!({"uniqueItems": true}), json!({"uniqueItems": false}), &["/uniqueItems"]);
    compatible(json!({"maxItems": 1}), json!({"uniqueItems": true}));
    widens(json!({"items": {"type": "integer"}}), json!({"items": {"type": "number"}}), &["/items/type"]);
    incompatible(json!({"type": "array"}), json!({"items": {"type": "number"}}), &["/items"]);
    widens(
        json!({"prefixItems": [{"type": "string"}], "items": false}),
        json!({"prefixItems": [{"type": "string"}, {"type": "null"}], "items": false}),
        &["/items"],
    );
    incompatible(
        json!({"prefixItems": [{"type": "string"}]}),
        json!({"prefixItems": [{"type": "string"}, {"type": "null"}]}),
        &["/prefixItems/1"],
    );
    compatible(
        json!({"prefixItems": [{"type": "string"}, {"type": "integer"}], "items": {"type": "null"}}),
        json!({"items": {"type": ["string", "number", "null"]}}),
    );
    compatible(
        json!({"items": {"const": 1}}),
        json!({"prefixItems": [{"type": "integer"}], "items": {"type": "number"}}),
    );
    // Places that no array has.
    compatible(json!({"maxItems": 1}), json!({"prefixItems": [{}, {"type": "null"}]}));
    compatible(json!({"prefixItems": [true, false]}), json!({"maxItems": 1}));
    compatible(json!({"type": "string"}), json!({"items": false, "minItems": 3, "contains": false}));
}

#[test]
fn contained_items() {
    widens(json!({"contains": {"const": 1}}), json!({"contains": {"type": "integer"}}), &["/contains"]);
    widens(json!({"contains": {"const": 1}}), json!({}), &["/contains"]);
    widens(
        json!({"contains": {"const": 1}, "minContains": 2}),
        json!({"contains": {"const": 1}}),
        &["/minContains"],
    );
    widens(
        json!({"contains": {"const": 1}, "maxContains": 2}),
        json!({"contains": {"const": 1}, "maxContains": 3}),
        &["/maxContains"],
    );
    compatible(json!({}), json!({"contains": {"const": 1}, "minContains": 0}));
    compatible(json!({"items": {"const": 1}, "minItems": 1}), json!({"contains": {"type": "integer"}}));
    compatible(
        json!({"items": {"type": "string"}}),
        json!({"contains": {"type": "integer"}, "minContains": 0, "maxContains": 1}),
    );
    // At most as many of fewer: the other direction of the items.
    compatible(
        json!({"contains": {"type": "integer"}, "maxContains": 2}),
        json!({"contains": {"const": 1}, "minContains": 0, "maxContains": 2}),
    );
    incompatible(
        json!({"contains": {"const": 1}, "maxContains": 2}),
        json!({"contains": {"type": "integer"}, "maxContains": 2}),
        &["/maxContains"],
    );
}

#[test]
fn members() {
    widens(json!({"required": ["a", "b"]}), json!({"required": ["a"]}), &["/required"]);
    // Open: any value was allowed.
    incompatible(
        json!({"type": "object"}),
        json!({"type": "object", "properties": {"a": {"type": "string"}}}),
        &["/properties/a"],
    );
    compatible(json!({"type": "object"}), json!({"type": "object", "properties": {"a": {}, "b": true}}));
    // Closed: the member could not be there.
    widens(
        json!({"properties": {"a": {"type": "string"}}, "additionalProperties": false}),
        json!({"properties": {"a": {"type": "string"}, "b": {"type": "null"}}, "additionalProperties": false}),
        &["/additionalProperties"],
    );
    widens(
        json!({"properties": {"a": {}}, "additionalProperties": false}),
        json!({"properties": {"a": {}}}),
        &["/additionalProperties"],
    );
    widens(
        json!({"additionalProperties": {"type": "integer"}}),
        json!({"additionalProperties": {"type": "number"}}),
        &["/additionalProperties/type"],
    );
    // What one schema leaves to additionalProperties, another names.
    compatible(
        json!({"additionalProperties": {"type": "integer"}}),
        json!({"properties": {"a": {"type": "number"}}, "additionalProperties": {"type": "integer"}}),
    );
    incompatible(
        json!({"properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "integer"}}),
        json!({"additionalProperties": {"type": "integer"}}),
        &["/additionalProperties/type"],
    );
    widens(json!({"minProperties": 2}), json!({"minProperties": 1}), &["/minProperties"]);
    widens(json!({"maxProperties": 1}), json!({"maxProperties": 2}), &["/maxProperties"]);
    compatible(json!({"required": ["a", "b"]}), json!({"minProperties": 2}));
    compatible(json!({"properties": {"a": {}}, "additionalProperties": false}), json!({"maxProperties": 1}));
    // They say nothing of what is no object.
    compatible(json!({"type": "array"}), json!({"required": ["a"], "additionalProperties": false}));
}

#[test]
fn patterns_of_names() {
    // A name may match both.
    incompatible(
        json!({"patternProperties": {"^x": {"type": "integer"}}}),
        json!({"patternProperties": {"^x-a": {"type": "string"}}}),
        &["/patternProperties/^x-a/type"],
    );
    widens(
        json!({"patternProperties": {"^x-": {"type": "integer"}}}),
        json!({"patternProperties": {"^x-": {"type": "number"}}}),
        &["/patternProperties/^x-/type"],
    );
    compatible(
        json!({"patternProperties": {"^x-": {"type": "integer"}}, "additionalProperties": false}),
        json!({"additionalProperties": {"type": "number"}}),
    );
    compatible(
        json!({"patternProperties": {"^x-": {"type": "integer"}}}),
        json!({"properties": {"x-a": {"type": "number"}}}),
    );
    incompatible(
        json!({"patternProperties": {"^x-": {"type": "integer"}}}),
        json!({"properties": {"x-a": {"type": "string"}}}),
        &["/properties/x-a/type"],
    );
    // additionalProperties does not reach what a pattern matches.
    incompatible(
        json!({"patternProperties": {"^x-": true}, "additionalProperties": false}),
        json!({"patternProperties": {"^x-a": true}, "additionalProperties": false}),
        &["/additionalProperties"],
    );
    compatible(
        json!({"patternProperties": {"^x-a": true}, "additionalProperties": false}),
        json!({"patternProperties": {"^x-": true}, "additionalProperties": false}),
    );
    widens(
        json!({"propertyNames": {"maxLength": 2}}),
        json!({"propertyNames": {"maxLength": 3}}),
        &["/propertyNames"],
    );
    compatible(json!({"propertyNames": {"enum": ["a"]}}), json!({"properties": {"b": false}}));
    compatible(
        json!({"propertyNames": {"enum": ["a"]}}),
        json!({"properties": {"a": true}, "additionalProperties": false}),
    );
    compatible(
        json!({"patternProperties": {"^a": true}, "additionalProperties": false}),
        json!({"propertyNames": {"pattern": "^a"}}),
    );
}

#[test]
fn members_that_depend_on_members() {
    // Being required, too, says nothing of what is no object.
    incompatible(
        json!({"type": ["integer", "object"], "required": ["b"], "dependentSchemas": {"b": false}}),
        json!({"type": "object"}),
        &["/type"],
    );
    compatible(json!({"not": {"required": ["a"]}}), json!({"type": "object"}));
    widens(
        json!({"dependentRequired": {"a": ["b", "c"]}}),
        json!({"dependentRequired": {"a": ["b"]}}),
        &["/dependentRequired"],
    );
    compatible(
        json!({"dependentRequired": {"a": ["b"], "b": ["c"]}}),
        json!({"dependentRequired": {"a": ["c"]}}),
    );
    compatible(json!({"required": ["b"]}), json!({"dependentRequired": {"a": ["b"]}}));
    widens(
        json!({"dependentSchemas": {"a": {"required": ["b"], "maxProperties": 3}}}),
        json!({"dependentSchemas": {"a": {"required": ["b"]}}}),
        &["/dependentSchemas/a/maxProperties"],
    );
    compatible(
        json!({"dependentSchemas": {"a": {"required": ["b"]}}}),
        json!({"dependentRequired": {"a": ["b"]}}),
    );
    incompatible(json!({"properties": {"a": {}}}), json!({"dependencies": {"a": ["b"]}}), &["/dependencies"]);
}

#[test]
fn compositions() {
    compatible(json!({"allOf": [{"minimum": 1}, {"maximum": 5}]}), json!({"minimum": 0, "maximum": 5}));
    compatible(json!({"minimum": 0, "maximum": 5}), json!({"allOf": [{"minimum": 0}, {"maximum": 5}]}));
    incompatible(
        json!({"minimum": 0}),
        json!({"allOf": [{"minimum": 0}, {"maximum": 5}]}),
        &["/allOf/1/maximum"],
    );
    widens(
        json!({"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        json!({"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "null"}]}),
        &["/anyOf"],
    );
    compatible(json!({"type": ["string", "null"]}), json!({"anyOf": [{"type": "null"}, {"type": "string"}]}));
    compatible(json!({"type": ["string", "null"]}), json!({"oneOf": [{"type": "null"}, {"type": "string"}]}));
    // More than one is as bad as none.
    incompatible(
        json!({"type": "integer"}),
        json!({"oneOf": [{"type": "integer"}, {"type": "number"}]}),
        &["/oneOf"],
    );
    compatible(
        json!({"oneOf": [{"minLength": 3}, {"type": "string"}]}),
        json!({"oneOf": [{"minLength": 3}, {"type": "string"}], "title": "same"}),
    );
    compatible(json!({"type": "string"}), json!({"not": {"type": "integer"}}));
    incompatible(json!({"type": ["string", "integer"]}), json!({"not": {"type": "integer"}}), &["/not"]);
    compatible(json!({"not": {"type": "number"}}), json!({"not": {"type": "integer"}}));
    compatible(json!({"not": {"enum": ["a", "b"]}}), json!({"not": {"const": "a"}}));
    incompatible(json!({"not": {"const": "a"}}), json!({"not": {"enum": ["a", "b"]}}), &["/not"]);
    compatible(json!({"not": {"not": {"type": "string"}}}), json!({"type": "string"}));
    compatible(json!({"not": {}}), json!({"type": "string"}));
}

#[test]
fn conditions() {
    let condition = json!({"properties": {"kind": {"const": "card"}}, "required": ["kind"]});
    let with = |then: Value| json!({"type": "object", "if": condition.clone(), "then": then});
    widens(
        with(json!({"required": ["number", "name"]})),
        with(json!({"required": ["number"]})),
        &["/then/required"],
    );
    compatible(with(json!({"required": ["number"]})), json!({"type": "object"}));
    compatible(
        json!({"required": ["number"]}),
        json!({"if": {"minProperties": 1}, "then": {"required": ["number"]}}),
    );
    compatible(
        json!({"if": {"type": "string"}, "then": {"maxLength": 3}, "else": {"type": "null"}}),
        json!({"type": ["string", "null"], "maxLength": 4}),
    );
    incompatible(
        json!({"type": ["string", "null"]}),
        json!({"if": {"type": "string"}, "else": {"type": "integer"}}),
        &["/else/type"],
    );
    // Without `if` the others are nothing.
    compatible(json!({}), json!({"then": false, "else": false}));
}

#[test]
fn unevaluated_members_and_items() {
    let closed = |parts: Value| json!({"allOf": parts, "unevaluatedProperties": false});
    widens(
        closed(json!([{"properties": {"a": {}}}])),
        closed(json!([{"properties": {"a": {}}}, {"properties": {"b": {}}}])),
        &["/unevaluatedProperties"],
    );
    compatible(
        json!({"properties": {"a": {}}, "additionalProperties": false}),
        closed(json!([{"properties": {"a": {}}}])),
    );
    compatible(
        closed(json!([{"properties": {"a": {}}}])),
        json!({"properties": {"a": {}}, "additionalProperties": false}),
    );
    let depends = |title: &str| {
        json!({"title": title, "anyOf": [{"properties": {"a": {}}}, {"required": ["b"]}],
               "unevaluatedProperties": false})
    };
    compatible(depends("one"), depends("two"));
    undecidable(
        json!({"type": "object", "properties": {"a": true}, "additionalProperties": false, "required": ["a"]}),
        json!({"anyOf": [{"properties": {"a": {}}}, {"required": ["b"]}], "unevaluatedProperties": false}),
    );
    compatible(
        json!({"prefixItems": [{}, {}], "unevaluatedItems": false}),
        json!({"allOf": [{"prefixItems": [{}, {}, {}]}], "unevaluatedItems": false}),
    );
    incompatible(
        json!({"prefixItems": [{}, {}], "items": {"type": "string"}}),
        json!({"prefixItems": [{}, {}], "unevaluatedItems": {"type": "null"}}),
        &["/unevaluatedItems/type"],
    );
}

#[test]
fn references() {
    let through =
        |keyword: &str, schema: Value| json!({"$ref": format!("#/{keyword}/a"), keyword: {"a": schema}});
    compatible(through("$defs", json!({"type": "integer"})), json!({"type": "number"}));
    compatible(json!({"type": "integer"}), through("$defs", json!({"type": "number"})));
    incompatible(json!({"type": "number"}), through("$defs", json!({"type": "integer"})), &["/$defs/a/type"]);
    compatible(
        json!({"$ref": "#a", "$defs": {"x": {"$anchor": "a", "type": "integer"}}}),
        json!({"type": "number"}),
    );
    // The words are the same, what they lead to is not.
    let same_words =
        |schema: Value| json!({"properties": {"p": {"$ref": "#/$defs/a"}}, "$defs": {"a": schema}});
    incompatible(
        same_words(json!({"type": ["string", "null"]})),
        same_words(json!({"type": "string"})),
        &["/$defs/a/type"],
    );
}

#[test]
fn recursion() {
    let list = |value: Value| {
        json!({"$ref": "#/$defs/list", "$defs": {"list": {"type": ["object", "null"],
               "properties": {"value": value, "next": {"$ref": "#/$defs/list"}}, "additionalProperties": false}}})
    };
    widens(
        list(json!({"type": "integer"})),
        list(json!({"type": "number"})),
        &["/$defs/list/properties/value/type"],
    );
    // A tree spelled out once more than the other.
    let tree = json!({"items": {"$ref": "#"}, "type": "array"});
    let unrolled = json!({"type": "array", "items": {"type": "array", "items": {"$ref": "#"}}});
    compatible(tree.clone(), unrolled.clone());
    compatible(unrolled, tree);
    // Nothing satisfies what must hold itself: documents end.
    compatible(
        json!({"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#"}}}),
        json!({"type": "string"}),
    );
    // What denies itself proves nothing.
    compatible(
        json!({"type": "object", "properties": {"a": {"not": {"$ref": "#"}}}}),
        json!({"type": "object"}),
    );
}
