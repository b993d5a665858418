//! What the server signs about an anchor: the payload of `ets.anchoring/1.0.0`.

use serde_json::{Value, json};

use super::AnchorStatement;
use crate::hash::sha256;

/// The schema of the declaration.
pub const ANCHORING: &str = "ets.anchoring/1.0.0";
/// The longest name of a service, in characters.
pub const MAX_SERVICE_CHARACTERS: usize = 255;
/// The longest reference, in characters.
pub const MAX_REFERENCE_CHARACTERS: usize = 1024;

/// The payload that declares an anchor: which checkpoint, where it was published,
/// where there (`reference`, if the service gave one), and the SHA-256 of the evidence.
pub fn declaration(
    anchor_id: u64,
    statement: &AnchorStatement,
    service: &str,
    reference: Option<&str>,
    evidence: &[u8],
) -> Value {
    let mut payload = json!({
        "schema_version": ANCHORING,
        "anchor_id": anchor_id,
        "checkpoint_id": statement.checkpoint_id(),
        "meta_root": statement.meta_root().to_string(),
        "service": service,
        "evidence_sha256": sha256(&[evidence]).to_string(),
    });
    if let Some(reference) = reference {
        payload["reference"] = json!(reference);
    }
    payload
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::SchemaVersion;
    use crate::registry::builtin;

    #[test]
    fn a_declaration_fits_its_schema() {
        let statement = AnchorStatement::new(
            "019c1c38-0000-7000-8000-000000000001".parse().unwrap(),
            "acme.example/prod".parse().unwrap(),
            7,
            "019c1c39-8cbe-74f4-a014-ffe5d747b220".parse().unwrap(),
            Vec::new(),
        )
        .unwrap();
        let name: SchemaVersion = ANCHORING.parse().unwrap();
        let schema = builtin::validator(&name).unwrap();
        for reference in [None, Some("block 1")] {
            let payload = declaration(1, &statement, "git /anchors", reference, b"evidence");
            assert_eq!(schema.validate(&payload), Vec::new(), "{payload}");
            assert_eq!(payload["meta_root"], statement.meta_root().to_string());
        }
        assert_ne!(
            declaration(1, &statement, "git /anchors", None, b"evidence"),
            declaration(1, &statement, "git /anchors", None, b"Evidence"),
        );
    }
}
