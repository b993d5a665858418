//! What the server answers, as an OpenAPI 3.1 document, made from one table.

use serde_json::{Map, Value, json};

/// Of a parameter: its name, where it is, what it must be, whether it must be there, and what it is.
struct Parameter {
    name: &'static str,
    place: &'static str,
    schema: fn() -> Value,
    is_required: bool,
    meaning: &'static str,
}

struct Operation {
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    parameters: &'static [Parameter],
    /// The schema of a JSON body.
    body: Option<fn() -> Value>,
    /// Status, media type and schema of the answer.
    answer: (u16, &'static str, fn() -> Value),
    /// Which problems it may answer beside 400, 401, 403, 500 and 503.
    problems: &'static [u16],
}

fn text() -> Value {
    json!({"type": "string"})
}
fn name() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": 256})
}
fn uuid() -> Value {
    json!({"type": "string", "format": "uuid"})
}
fn position() -> Value {
    json!({"type": "integer", "minimum": -1, "maximum": i64::MAX})
}
fn size() -> Value {
    json!({"type": "integer", "minimum": 0, "maximum": i64::MAX})
}
fn limit() -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": 1000, "default": 100})
}
fn before() -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": i64::MAX})
}
fn hours() -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": 8784, "default": 24})
}
fn event() -> Value {
    json!({"$ref": "#/components/schemas/Event"})
}
fn signed() -> Value {
    json!({"$ref": "#/components/schemas/SignedEvent"})
}
fn signed_events() -> Value {
    json!({"type": "array", "items": signed(), "minItems": 1})
}
fn events() -> Value {
    json!({"type": "object", "required": ["events"], "properties": {"events": {"type": "array", "items": event()}}})
}
fn object() -> Value {
    json!({"type": "object"})
}
fn bytes() -> Value {
    json!({"type": "string", "format": "binary"})
}
fn verdict() -> Value {
    json!({"type": "object", "required": ["verdict", "checks"], "properties": {
        "verdict": {"enum": ["MATCH", "MISMATCH", "UNVERIFIABLE"]},
        "checks": {"type": "array", "items": {"type": "object", "required": ["name", "passed", "detail"], "properties": {
            "name": text(), "passed": {"type": ["boolean", "null"]}, "detail": {"type": ["string", "null"]}}}},
    }})
}
fn to_verify() -> Value {
    json!({"description": "{\"event_id\": …}, an event's document, or a bundle", "anyOf": [
        {"type": "object", "required": ["event_id"], "properties": {"event_id": uuid()}},
        {"type": "object", "required": ["format"]},
        uuid(),
    ]})
}
fn to_prepare() -> Value {
    json!({"type": "object", "required": ["payload", "schema_version"], "additionalProperties": false,
           "properties": {"payload": {}, "schema_version": text()}})
}

const DOMAIN: Parameter =
    Parameter { name: "domain", place: "query", schema: name, is_required: true, meaning: "The domain" };
const STREAM: Parameter =
    Parameter { name: "stream", place: "query", schema: name, is_required: false, meaning: "The stream" };
const EVENT_ID: Parameter =
    Parameter { name: "event_id", place: "path", schema: uuid, is_required: true, meaning: "The event's id" };
const LIMIT: Parameter = Parameter {
    name: "limit",
    place: "query",
    schema: limit,
    is_required: false,
    meaning: "At most so many",
};
const LOG: Parameter =
    Parameter { name: "domain", place: "path", schema: name, is_required: true, meaning: "The domain" };

const JSON: &str = "application/json";

const OPERATIONS: &[Operation] = &[
    Operation {
        method: "post",
        path: "/api/ledger/event",
        summary: "Append a signed event; a retry gets the event that is stored",
        parameters: &[],
        body: Some(signed),
        answer: (201, JSON, event),
        problems: &[404, 405, 409, 413, 422],
    },
    Operation {
        method: "post",
        path: "/api/ledger/events",
        summary: "Append many, an array or one a line (application/x-ndjson): all or none",
        parameters: &[],
        body: Some(signed_events),
        answer: (201, JSON, events),
        problems: &[404, 405, 409, 413, 422],
    },
    Operation {
        method: "get",
        path: "/api/ledger/events",
        summary: "The events of a stream after a sequence, or the sealed ones of a domain after a leaf index",
        parameters: &[
            DOMAIN,
            STREAM,
            Parameter {
                name: "after",
                place: "query",
                schema: position,
                is_required: false,
                meaning: "Go on behind it",
            },
            LIMIT,
        ],
        body: None,
        answer: (200, JSON, events),
        problems: &[404, 409],
    },
    Operation {
        method: "get",
        path: "/api/ledger/event/{event_id}",
        summary: "An event's document",
        parameters: &[EVENT_ID],
        body: None,
        answer: (200, JSON, event),
        problems: &[404, 409, 422],
    },
    Operation {
        method: "get",
        path: "/api/ledger/head",
        summary: "The hash that the next event of a stream is signed onto",
        parameters: &[DOMAIN, STREAM],
        body: None,
        answer: (200, JSON, object),
        problems: &[404, 409, 422],
    },
    Operation {
        method: "post",
        path: "/api/ledger/prepare",
        summary: "What is to be signed for a payload: compute it yourself, and compare",
        parameters: &[],
        body: Some(to_prepare),
        answer: (200, JSON, object),
        problems: &[404, 409, 413, 422],
    },
    Operation {
        method: "post",
        path: "/api/ledger/verify",
        summary: "Verify an event, a document or a bundle; a MISMATCH is an answer",
        parameters: &[],
        body: Some(to_verify),
        answer: (200, JSON, verdict),
        problems: &[404, 409, 413, 422],
    },
    Operation {
        method: "get",
        path: "/api/merkle/proof/{event_id}",
        summary: "An event's proof bundle; with Accept: text/plain its tlog-proof",
        parameters: &[EVENT_ID],
        body: None,
        answer: (200, JSON, object),
        problems: &[404, 409, 422],
    },
    Operation {
        method: "get",
        path: "/api/ledger/consistency",
        summary: "The proof that a domain's tree begins with a smaller one",
        parameters: &[
            DOMAIN,
            Parameter {
                name: "from",
                place: "query",
                schema: size,
                is_required: true,
                meaning: "The smaller size",
            },
            Parameter {
                name: "to",
                place: "query",
                schema: size,
                is_required: true,
                meaning: "The larger size",
            },
        ],
        body: None,
        answer: (200, JSON, object),
        problems: &[404, 409, 422],
    },
    Operation {
        method: "get",
        path: "/api/ledger/replay",
        summary: "States computed again from their events, a line for each stream",
        parameters: &[
            DOMAIN,
            STREAM,
            Parameter {
                name: "until",
                place: "query",
                schema: uuid,
                is_required: false,
                meaning: "Up to this event",
            },
        ],
        body: None,
        answer: (200, "application/x-ndjson", text),
        problems: &[404, 409, 422],
    },
    Operation {
        method: "get",
        path: "/api/ledger/trust-root",
        summary: "What a verifier must know, and should have from elsewhere",
        parameters: &[],
        body: None,
        answer: (200, JSON, object),
        problems: &[409],
    },
    Operation {
        method: "get",
        path: "/api/ledger/domains",
        summary: "The domains with their trees at the last checkpoint",
        parameters: &[],
        body: None,
        answer: (200, JSON, object),
        problems: &[409],
    },
    Operation {
        method: "get",
        path: "/api/ledger/checkpoints",
        summary: "The checkpoints, the newest first",
        parameters: &[
            Parameter {
                name: "before",
                place: "query",
                schema: before,
                is_required: false,
                meaning: "Those before it",
            },
            LIMIT,
        ],
        body: None,
        answer: (200, JSON, object),
        problems: &[409],
    },
    Operation {
        method: "get",
        path: "/api/ledger/streams",
        summary: "The streams of a domain",
        parameters: &[
            DOMAIN,
            Parameter {
                name: "after",
                place: "query",
                schema: name,
                is_required: false,
                meaning: "Those behind it",
            },
            LIMIT,
        ],
        body: None,
        answer: (200, JSON, object),
        problems: &[409],
    },
    Operation {
        method: "get",
        path: "/api/ledger/search",
        summary: "Events by id or hash",
        parameters: &[Parameter {
            name: "q",
            place: "query",
            schema: text,
            is_required: true,
            meaning: "An event id, or 64 hex digits",
        }],
        body: None,
        answer: (200, JSON, events),
        problems: &[409],
    },
    Operation {
        method: "get",
        path: "/api/ledger/status",
        summary: "How the ledger is, and what verification found",
        parameters: &[],
        body: None,
        answer: (200, JSON, object),
        problems: &[409],
    },
    Operation {
        method: "get",
        path: "/api/ledger/activity",
        summary: "Appends and seals of the last hours",
        parameters: &[Parameter {
            name: "hours",
            place: "query",
            schema: hours,
            is_required: false,
            meaning: "How many",
        }],
        body: None,
        answer: (200, JSON, object),
        problems: &[409],
    },
    Operation {
        method: "get",
        path: "/api/ledger/feed",
        summary: "Events as they are sealed in a domain, or appended to a stream (server-sent events)",
        parameters: &[
            DOMAIN,
            STREAM,
            Parameter {
                name: "after",
                place: "query",
                schema: position,
                is_required: false,
                meaning: "Go on behind it",
            },
        ],
        body: None,
        answer: (200, "text/event-stream", text),
        problems: &[404, 409],
    },
    Operation {
        method: "get",
        path: "/tlog/{domain}/checkpoint",
        summary: "The signed note of a domain's last root (C2SP tlog-checkpoint)",
        parameters: &[LOG],
        body: None,
        answer: (200, "text/plain", text),
        problems: &[404, 409, 422],
    },
    Operation {
        method: "get",
        path: "/tlog/{domain}/tile/{tile}",
        summary: "A tile of a domain's tree (C2SP tlog-tiles); its path has slashes in it",
        parameters: &[
            LOG,
            Parameter {
                name: "tile",
                place: "path",
                schema: text,
                is_required: true,
                meaning: "L/N or entries/N, perhaps with .p/W",
            },
        ],
        body: None,
        answer: (200, "application/octet-stream", bytes),
        problems: &[404, 409, 422],
    },
    Operation {
        method: "get",
        path: "/healthz",
        summary: "Whether the process answers",
        parameters: &[],
        body: None,
        answer: (200, JSON, object),
        problems: &[],
    },
    Operation {
        method: "get",
        path: "/readyz",
        summary: "Whether the ledger answers",
        parameters: &[],
        body: None,
        answer: (200, JSON, object),
        problems: &[],
    },
    Operation {
        method: "get",
        path: "/metrics",
        summary: "Figures for Prometheus",
        parameters: &[],
        body: None,
        answer: (200, "application/openmetrics-text", text),
        problems: &[],
    },
];

/// The document.
pub fn document() -> Value {
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let at = paths.entry(operation.path).or_insert_with(|| json!({}));
        at[operation.method] = described(operation);
    }
    let hash = || json!({"type": "string", "pattern": "^[0-9a-f]{64}$"});
    let signature = || json!({"type": "string", "pattern": "^[0-9a-f]{128}$"});
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "pg_ets",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A ledger of signed events. Every answer can be checked by whoever asked: see docs/formats.md.",
        },
        "paths": paths,
        "components": {
            "schemas": {
                "SignedEvent": {"type": "object", "additionalProperties": false,
                    "required": ["payload", "schema_version", "public_key", "previous_hash", "signature"],
                    "properties": {
                        "payload": {}, "schema_version": text(), "public_key": hash(), "previous_hash": hash(),
                        "signature": signature(), "event_id": {"type": ["string", "null"], "format": "uuid"},
                    }},
                "Event": {"type": "object",
                    "required": ["event_id", "domain", "stream", "sequence", "payload", "schema_version", "key_id", "public_key",
                                 "previous_hash", "current_hash", "signature", "timestamp", "registry_version"],
                    "properties": {
                        "event_id": uuid(), "domain": text(), "stream": text(), "sequence": {"type": "integer"}, "payload": {},
                        "schema_version": text(), "key_id": hash(), "public_key": hash(), "previous_hash": hash(),
                        "current_hash": hash(), "signature": signature(), "timestamp": text(),
                        "registry_version": {"type": "integer"},
                    }},
                "Problem": {"type": "object", "required": ["type", "title", "status"], "properties": {
                    "type": text(), "title": text(), "status": {"type": "integer"}, "sqlstate": text(), "hint": text(),
                    "errors": {"type": "object"},
                }},
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    })
}

fn described(operation: &Operation) -> Value {
    let (status, kind, schema) = operation.answer;
    let mut responses = Map::new();
    responses.insert(
        status.to_string(),
        json!({"description": operation.summary, "content": {kind: {"schema": schema()}}}),
    );
    if operation.path.starts_with("/api/merkle/proof/")
        && let Some(response) = responses.get_mut("200")
    {
        response["content"]["text/plain"] = json!({"schema": text()});
    }
    for problem in [400, 401, 403, 500, 503].iter().chain(operation.problems) {
        let content =
            json!({"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}});
        responses.insert(problem.to_string(), json!({"description": reason(*problem), "content": content}));
    }
    let parameters: Vec<Value> = operation
        .parameters
        .iter()
        .map(|parameter| {
            json!({
                "name": parameter.name, "in": parameter.place, "required": parameter.is_required,
                "description": parameter.meaning, "schema": (parameter.schema)(),
            })
        })
        .collect();
    let mut described = json!({
        "summary": operation.summary, "operationId": operation_id(operation), "parameters": parameters, "responses": responses,
    });
    if let Some(body) = operation.body {
        described["requestBody"] = json!({"required": true, "content": {JSON: {"schema": body()}}});
    }
    described
}

/// `get_api_ledger_head`.
fn operation_id(operation: &Operation) -> String {
    let path = operation.path.replace(['{', '}'], "").replace(['/', '-', '.'], "_");
    format!("{}{path}", operation.method)
}

fn reason(status: u16) -> &'static str {
    match status {
        400 => "The request is wrong in itself",
        401 => "A token is missing, or a signature is not valid",
        403 => "Not allowed",
        404 => "There is no such thing",
        405 => "The ledger is append-only",
        409 => "Not now: another event was faster, or nothing is sealed yet",
        413 => "The body is too large",
        422 => "The ledger does not take this",
        503 => "Not in this moment, or not on this server",
        _ => "Something is wrong here",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What the router answers is in the document, and nothing else is.
    #[test]
    fn the_document_and_the_router_have_the_same_operations() {
        let router = include_str!("router.rs");
        let mut routed = BTreeSet::new();
        for line in router.lines().filter_map(|line| line.trim().strip_prefix(".route(\"")) {
            let (path, methods) = line.split_once("\", ").expect("a path and who answers");
            // The page and its files are for people, and the document is itself.
            if path == "/" || path.starts_with("/assets/") || path == "/openapi.json" {
                continue;
            }
            for method in ["get", "post"] {
                if methods.starts_with(&format!("{method}(")) || methods.contains(&format!(".{method}(")) {
                    routed.insert((path.replace("{*", "{"), method));
                }
            }
        }
        let documented: BTreeSet<(String, &str)> =
            OPERATIONS.iter().map(|operation| (operation.path.to_owned(), operation.method)).collect();
        assert!(routed.len() > 20, "the router is not read: {routed:?}");
        assert_eq!(routed, documented);
    }
}
