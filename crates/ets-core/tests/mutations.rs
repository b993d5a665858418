//! Garbage, and what is nearly right: bundles, documents, proofs, notes, statements
//! and exports that were changed at random. Nothing panics, and nothing matches unless
//! the change left the meaning as it was. `ETS_MUTATIONS=N` makes more of each.

mod sample;

use ets_core::anchor::AnchorStatement;
use ets_core::bundle::BUNDLE_LIMITS;
use ets_core::canonical::parse_json;
use ets_core::export::ExportReader;
use ets_core::hash::{Digest, sha256};
use ets_core::name::DomainName;
use ets_core::note::{self, VerifierKey};
use ets_core::tlog::TlogProof;
use ets_core::trust::TrustFile;
use ets_core::verify::{Trust, Verdict, verify_text, verify_tlog_proof};
use serde_json::Value;

/// Mutations of each text.
fn count() -> u64 {
    std::env::var("ETS_MUTATIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(1500)
}

/// Numbers that look like chance, the same in every run.
struct Dice {
    seed: Digest,
}

impl Dice {
    fn new(name: &str, number: u64) -> Self {
        Dice { seed: sha256(&[name.as_bytes(), &number.to_be_bytes()]) }
    }

    /// One of `sides`, from 0.
    fn throw(&mut self, sides: usize) -> usize {
        self.seed = sha256(&[self.seed.as_bytes()]);
        let number = u64::from_be_bytes(self.seed.as_bytes()[..8].try_into().expect("8 of 32 bytes"));
        (number % sides.max(1) as u64) as usize
    }
}

/// Changes some bytes: flips, removes, inserts, repeats or moves them.
fn bytes(text: &str, dice: &mut Dice) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=dice.throw(3) {
        let place = dice.throw(bytes.len());
        let end = (place + 1 + dice.throw(40)).min(bytes.len());
        match dice.throw(6) {
            0 => bytes[place] ^= 1 << dice.throw(7),
            1 => bytes[place] = b"0123456789abcdef{}[]\",:. \n"[dice.throw(26)],
            2 => drop(bytes.drain(place..end)),
            3 => bytes.truncate(place),
            4 => {
                let part = bytes[place..end].to_vec();
                let to = dice.throw(bytes.len());
                bytes.splice(to..to, part);
            }
            _ => bytes.insert(place, dice.throw(256) as u8),
        }
        if bytes.is_empty() {
            break;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Changes the value at some place of a JSON text: another's, none, or a wrong one.
fn values(text: &str, dice: &mut Dice) -> String {
    let mut value: Value = serde_json::from_str(text).expect("ours is JSON");
    let mut pointers = Vec::new();
    collect(&value, String::new(), &mut pointers);
    let (from, to) = (dice.throw(pointers.len()), dice.throw(pointers.len()));
    let other = match dice.throw(7) {
        0 => Value::Null,
        1 => Value::from(dice.throw(1000)),
        2 => Value::from(""),
        3 => Value::Array(Vec::new()),
        _ => value.pointer(&pointers[from]).cloned().unwrap_or_default(),
    };
    if let Some((parent, name)) = pointers[to].rsplit_once('/')
        && dice.throw(4) == 0
    {
        match value.pointer_mut(parent) {
            Some(Value::Object(members)) => drop(members.remove(name)),
            Some(Value::Array(items)) => drop(items.remove(name.parse().expect("an index"))),
            _ => {}
        }
    } else if let Some(place) = value.pointer_mut(&pointers[to]) {
        *place = other;
    }
    value.to_string()
}

fn collect(value: &Value, at: String, pointers: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let name = name.replace('~', "~0").replace('/', "~1");
                // Such a name would need unescaping where it is removed.
                if !name.contains('~') {
                    collect(value, format!("{at}/{name}"), pointers);
                }
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                collect(value, format!("{at}/{index}"), pointers);
            }
        }
        _ => {}
    }
    pointers.push(at);
}

/// Whether two texts hold the same JSON value, but for what no proof covers
/// (docs/formats.md): the checkpoint's number, a label of the server's; and in a stream
/// bundle, whose one inclusion proof is its last event's, what the server adds to the others.
fn is_same(one: &str, other: &str) -> bool {
    let covered = |text: &str| {
        let mut value = parse_json(text, &BUNDLE_LIMITS).ok()?;
        *value.pointer_mut("/checkpoint/checkpoint_id")? = Value::Null;
        if let Some(Value::Array(events)) = value.get_mut("events") {
            let others = events.len().saturating_sub(1);
            for event in events.iter_mut().take(others) {
                for name in ["event_id", "timestamp", "registry_version", "schema_version"] {
                    *event.get_mut(name)? = Value::Null;
                }
            }
        }
        Some(value)
    };
    covered(one).is_some() && covered(one) == covered(other)
}

#[test]
fn no_changed_bundle_or_document_matches() {
    let ledger = sample::ledger();
    let trust = Trust::RootKey(ledger.trust_root.root_public_key.clone());
    let event = &ledger.stream("decisions", "order-42")[1];
    let texts = [ledger.proof_bundle(event).to_jcs(), ledger.stream_bundle("decisions", "order-42").to_jcs()];
    // A document by itself proves nothing of its ledger, changed or not.
    let document = event.document();
    assert_eq!(Verdict::of(&verify_text(&document, &trust)), Verdict::Unverifiable);
    for number in 0..count() {
        let changed = values(&document, &mut Dice::new("document", number));
        assert_ne!(Verdict::of(&verify_text(&changed, &trust)), Verdict::Match);
    }
    for text in &texts {
        assert_eq!(Verdict::of(&verify_text(text, &trust)), Verdict::Match);
        let mut seen = [0_u64; 3];
        for number in 0..count() {
            let mut dice = Dice::new(&text[..40], number);
            let changed = if number % 2 == 0 { bytes(text, &mut dice) } else { values(text, &mut dice) };
            let verdict = Verdict::of(&verify_text(&changed, &trust));
            assert!(
                verdict != Verdict::Match || is_same(text, &changed),
                "mutation {number} matches: {changed}"
            );
            seen[usize::from(verdict.exit_code())] += 1;
        }
        assert!(seen[1] > 0 && seen[2] > 0, "both kinds of refusal occur: {seen:?}");
    }
}

#[test]
fn no_changed_tlog_proof_matches() {
    let ledger = sample::ledger();
    let event = &ledger.stream("decisions", "order-42")[1];
    let bundle = ledger.proof_bundle(event);
    let note = bundle.evidence.checkpoint.note.clone().expect("a note");
    let inclusion = &bundle.evidence.inclusion;
    let text = TlogProof { leaf_index: inclusion.leaf_index, path: &inclusion.path, note: &note }.to_string();
    let domain: DomainName = "decisions".parse().expect("a name");
    let key =
        VerifierKey::of_domain(&ledger.trust_root.origin, &domain, &ledger.trust_root.server_public_key);
    let verdict = |text: &str| Verdict::of(&verify_tlog_proof(text, Some(&key), Some(event)));
    assert_eq!(verdict(&text), Verdict::Match);
    for number in 0..count() {
        let changed = bytes(&text, &mut Dice::new("tlog", number));
        assert!(verdict(&changed) != Verdict::Match || changed == text, "mutation {number}: {changed}");
    }
    let server = &ledger.trust_root.server_public_key;
    let open = |text: &str| note::open_checkpoint(text, &ledger.trust_root.origin, &domain, server);
    let stated = open(&note).expect("the server's note");
    for number in 0..count() {
        let changed = bytes(&note, &mut Dice::new("note", number));
        // Signatures of others may come and go; what the server's covers does not.
        assert!(open(&changed).map_or(true, |changed| changed == stated), "mutation {number}: {changed}");
    }
}

#[test]
fn readers_of_files_never_panic() {
    let ledger = sample::ledger();
    let bundle = ledger.proof_bundle(&ledger.stream("decisions", "order-42")[1]);
    let checkpoint = bundle.evidence.checkpoint;
    let statement = AnchorStatement::new(
        ledger.trust_root.ledger_id,
        ledger.trust_root.origin.clone(),
        checkpoint.checkpoint_id,
        checkpoint.checkpoint_event_id,
        checkpoint.domain_roots.clone(),
    )
    .expect("a statement");
    let trust = TrustFile { trust_root: ledger.trust_root.clone(), checkpoints: vec![checkpoint] }.to_jcs();
    for number in 0..count() {
        let mut dice = Dice::new("files", number);
        let changed = bytes(statement.to_jcs(), &mut dice);
        // Any other statement is another checkpoint's, whole in itself.
        if let Ok(other) = AnchorStatement::parse(&changed) {
            assert_eq!(other.to_jcs(), changed);
            assert!(other != statement || changed == statement.to_jcs());
        }
        let _ = TrustFile::parse(&bytes(&trust, &mut dice));
        let _ = TrustFile::parse(&values(&trust, &mut dice));
        let mut reader = ExportReader::new();
        for line in bytes(&trust, &mut dice).lines() {
            let _ = reader.push(line);
        }
        assert!(reader.finish().is_err(), "no manifest has come");
    }
}
