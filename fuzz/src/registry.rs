//! Registry events that anybody with the root key could sign.

use std::sync::OnceLock;

use ets_core::canonical::{Limits, parse_json};
use ets_core::name::SchemaVersion;
use ets_core::registry::Registry;

use crate::sample::{self, Ledger};

fn begun() -> &'static (Vec<ets_core::event::Event>, Registry) {
    static BEGUN: OnceLock<(Vec<ets_core::event::Event>, Registry)> = OnceLock::new();
    BEGUN.get_or_init(|| {
        let ledger = sample::ledger();
        (ledger.events.clone(), ledger.folded())
    })
}

/// Payloads, a line each, signed by root and put onto a registry: what is checked is
/// applied, what is refused changes nothing, and nobody who was not let in gets in.
pub fn registry_events(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (events, registry) = begun();
    let mut registry = registry.clone();
    let mut ledger = Ledger { trust_root: sample::started().trust_root, events: events.clone() };
    for line in text.lines().take(8) {
        let Ok(payload) = parse_json(line, &Limits::DEFAULT) else { continue };
        // The gate takes nothing else for the registry.
        if payload["schema_version"].as_str().is_none_or(|name| name.parse::<SchemaVersion>().is_err()) {
            continue;
        }
        ledger.register(payload);
        let event = ledger.events.last().expect("it was added").clone();
        let before = (registry.version(), registry.head());
        let roots = registry.root_keys(u64::MAX).len();
        let checked = registry.check(&event);
        let applied = registry.apply(&event);
        assert_eq!(checked.is_ok(), applied.is_ok(), "{line}");
        match applied {
            Ok(()) => {
                assert_eq!((registry.version(), registry.head()), (before.0 + 1, event.header.current_hash))
            }
            Err(error) => {
                assert_eq!((registry.version(), registry.head()), before);
                assert!(error.sqlstate().len() == 5 && error.detail().is_object());
                ledger.events.pop();
            }
        }
        // The last root key cannot be locked out.
        assert!(roots == 0 || !registry.root_keys(u64::MAX).is_empty(), "{line}");
    }
}
