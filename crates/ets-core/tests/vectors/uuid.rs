//! Event ids: UUID version 7 (RFC 9562, section 5.7).

use ::uuid::Uuid;
use ets_core::event::EventId;

use crate::common::{Random, cases, json, member};

fn id(bits: u128) -> EventId {
    EventId::from_uuid(Uuid::from_u128(bits)).unwrap()
}

/// A random id, with a bias for fields that are nearly full.
fn random_id(random: &mut Random) -> EventId {
    let mut field = |bits: u32| {
        let all = u64::MAX >> (64 - bits);
        u128::from(match random.below(3) {
            0 => all,
            1 => all - 1,
            _ => random.next() & all,
        })
    };
    let (millis, rand_a, rand_b) = (field(47), field(12), field(62));
    id(millis << 80 | 7 << 76 | rand_a << 64 | 2 << 62 | rand_b)
}

#[test]
fn rfc_9562() {
    let file = json("uuid/uuidv7.json");
    for case in cases(&file, "v7", 1) {
        let id: EventId = member(case, "uuid").parse().unwrap();
        assert_eq!(id.to_string(), member(case, "uuid"));
        assert_eq!(Some(id.unix_millis()), case["unix_ts_ms"].as_u64());
    }
    for case in cases(&file, "not_v7", 6) {
        let text = member(case, "uuid");
        assert!(text.parse::<EventId>().is_err(), "{text}");
        let uuid = Uuid::parse_str(text).unwrap();
        assert_eq!(EventId::from_uuid(uuid), None);
        assert_eq!(EventId::from_slice(uuid.as_bytes()), None);
    }
    let sorted: Vec<EventId> =
        cases(&file["order"], "sorted", 4).iter().map(|id| id.as_str().unwrap().parse().unwrap()).collect();
    assert!(sorted.is_sorted_by(|a, b| a < b));
    assert!(sorted.is_sorted_by(|a, b| a.to_string() < b.to_string()));
}

#[test]
fn one_spelling_and_one_variant() {
    for bad in [
        "017F22E2-79B0-7CC3-98C4-DC0C0C07398F",
        "017f22e279b07cc398c4dc0c0c07398f",
        "{017f22e2-79b0-7cc3-98c4-dc0c0c07398f}",
        "urn:uuid:017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398",
        " 017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
        // Version 7, of the NCS, the Microsoft and the future variant.
        "017f22e2-79b0-7cc3-18c4-dc0c0c07398f",
        "017f22e2-79b0-7cc3-d8c4-dc0c0c07398f",
        "017f22e2-79b0-7cc3-f8c4-dc0c0c07398f",
        "",
    ] {
        assert!(bad.parse::<EventId>().is_err(), "{bad}");
    }
    assert_eq!(EventId::from_slice(&[0; 15]), None);
}

#[test]
fn a_successor_is_the_next_greater_version_7_id() {
    let mut random = Random::new();
    for _ in 0..20_000 {
        let before = random_id(&mut random);
        let after = before.successor().unwrap();
        assert!(before < after, "{before} {after}");
        // Still version 7 and the same variant, in both readings.
        assert_eq!(EventId::from_slice(after.as_uuid().as_bytes()), Some(after));
        assert_eq!(after.to_string().parse(), Ok(after));
        // Nothing lies between: only the 122 free bits count.
        let count = |id: EventId| {
            let bits = id.as_uuid().as_u128();
            bits >> 80 << 74 | (bits >> 64 & 0xfff) << 62 | (bits & ((1 << 62) - 1))
        };
        assert_eq!(count(after), count(before) + 1);
        assert!(after.unix_millis() - before.unix_millis() <= 1);
    }
    let carry: EventId = "017f22e2-79b0-7fff-bfff-ffffffffffff".parse().unwrap();
    assert_eq!(carry.successor().unwrap().to_string(), "017f22e2-79b1-7000-8000-000000000000");
    assert_eq!(id(u128::MAX ^ 8 << 76 ^ 1 << 62).successor(), None, "there is none after the last");
}
