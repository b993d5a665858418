//! Refusals of the database as problem details (RFC 9457).

use serde_json::{Value, json};

/// The media type of [`body`].
pub const MEDIA_TYPE: &str = "application/problem+json";

/// The HTTP status for a refusal: the classes of docs/errors.md, then
/// PostgreSQL's own. 503 may be tried again as it is; 500 is nobody's request.
pub fn status(sqlstate: &str) -> u16 {
    match sqlstate {
        "ET001" => 400,
        "ET003" => 401,
        "ET004" | "42501" => 403,
        "ET009" => 405,
        "ET011" => 404,
        "ET005" | "ET012" | "ET013" => 409,
        "ET002" | "ET006" | "ET007" | "ET008" | "ET010" | "ET014" | "ET016" => 422,
        // Deadlock, serialization failure, cancelled by its time limit, read-only server.
        "ET015" | "40001" | "40P01" | "57014" | "25006" => 503,
        // Connection lost, resources gone, server starting or stopping.
        _ if ["08", "53", "57"].contains(&sqlstate.get(..2).unwrap_or_default()) => 503,
        // Data exceptions: NULL, an argument out of its range, malformed text.
        _ if sqlstate.starts_with("22") => 400,
        _ => 500,
    }
}

/// The problem document. `detail` is the DETAIL of the refusal, kept as it is
/// where it is the JSON object that the ledger writes; PostgreSQL's own DETAIL
/// is prose that may quote values, and is left out.
pub fn body(sqlstate: &str, message: &str, detail: Option<&str>, hint: Option<&str>) -> Value {
    let mut body = json!({
        "type": "about:blank",
        "title": message,
        "status": status(sqlstate),
        "sqlstate": sqlstate,
    });
    if let Some(detail @ Value::Object(_)) = detail.and_then(|text| serde_json::from_str(text).ok()) {
        body["errors"] = detail;
    }
    if let Some(hint) = hint {
        body["hint"] = hint.into();
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_has_the_status_of_the_contract() {
        let statuses = [400, 422, 401, 403, 409, 422, 422, 422, 405, 422, 404, 409, 409, 422, 503, 422];
        for (number, expected) in (1..).zip(statuses) {
            assert_eq!(status(&format!("ET{number:03}")), expected, "ET{number:03}");
        }
        for (sqlstate, expected) in [
            ("22004", 400),
            ("42501", 403),
            ("57P01", 503),
            ("08006", 503),
            ("XX001", 500),
            ("", 500),
            ("é", 500),
        ] {
            assert_eq!(status(sqlstate), expected, "{sqlstate}");
        }
    }

    #[test]
    fn the_detail_for_programs_is_kept_and_prose_is_not() {
        let kept = body("ET005", "not the head", Some(r#"{"sequence":3}"#), Some("sign again"));
        assert_eq!(
            (&kept["status"], &kept["errors"], &kept["hint"]),
            (&json!(409), &json!({"sequence": 3}), &json!("sign again"))
        );
        let prose = body("22P02", "invalid input", Some("Token \"secret\" is invalid."), None);
        assert!(prose.get("errors").is_none() && prose.get("hint").is_none());
    }
}
