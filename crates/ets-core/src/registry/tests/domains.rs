//! Domains.

use super::*;

#[test]
fn a_domain_is_created_once_and_never_under_ets() {
    let mut book = Book::new();
    let payload = payload::domain(&domain("sales"), Some("orders"), true);
    let created = book.say(ROOT, payload.clone());
    let record = book.registry.domain("sales").expect("a domain");
    assert_eq!((record.keep_state, record.registered_at), (true, created));
    assert_eq!(record.description.as_deref(), Some("orders"));
    assert_eq!(book.refuse(ROOT, payload).sqlstate(), "ET010");
    for name in ["ets.mine", "ETS.mine", "ets.audit", "ets.registry", "Ets."] {
        assert!(matches!(
            book.refuse(ROOT, payload::domain(&domain(name), None, false)),
            RegistryError::DomainReserved { .. }
        ));
    }
    // Names are compared by bytes.
    book.domain("Sales");
    assert_eq!(
        book.refuse(ROOT, json!({"schema_version": "ets.domain/1.0.0", "domain": "a b"})).sqlstate(),
        "ET007"
    );
}

#[test]
fn domains_of_a_checkpoint_are_those_that_its_registry_tree_created() {
    let mut book = Book::new();
    let names = |at| book_names(&book.registry, at);
    assert_eq!(names(0), Vec::<String>::new());
    assert_eq!(names(1), ["ets.audit", "ets.registry"]);
    book.domain("a");
    book.key(5, "x");
    book.domain("Z");
    let names = |at| book_names(&book.registry, at);
    assert_eq!(names(1), ["ets.audit", "ets.registry"]);
    assert_eq!(names(3), ["a", "ets.audit", "ets.registry"]);
    assert_eq!(names(4), ["Z", "a", "ets.audit", "ets.registry"]);
}

fn book_names(registry: &Registry, at: u64) -> Vec<String> {
    registry.domains_at(at).iter().map(ToString::to_string).collect()
}

#[test]
fn a_ledger_has_at_most_1024_domains() {
    let mut registry = Registry::start(&first(ROOT, SERVER)).expect("a first event");
    for number in 2..MAX_DOMAINS {
        let payload = payload::domain(&domain(&format!("d{number}")), None, false);
        let event = sign(ROOT, payload, registry.head(), registry.version() + 1, at(1));
        registry.apply(&event).expect("a domain");
    }
    let payload = payload::domain(&domain("one-more"), None, false);
    let event = sign(ROOT, payload, registry.head(), registry.version() + 1, at(1));
    assert_eq!(registry.apply(&event), Err(RegistryError::TooManyDomains { limit: MAX_DOMAINS }));
}
