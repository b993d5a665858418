//! Findings: one thing that verification found wrong, and where.

use std::fmt;

use uuid::Uuid;

use super::Verdict;
use crate::event::Header;

/// One thing that verification found wrong. It names the row; it never holds a
/// payload value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind of wrong it is.
    pub class: FindingClass,
    /// The domain of the row, as it is stored.
    pub domain: Option<String>,
    /// The stream of the row, as it is stored.
    pub stream: Option<String>,
    /// The sequence of the row, or of the first row that is missing.
    pub sequence: Option<i64>,
    /// The id of the row, if there is a row.
    pub event_id: Option<Uuid>,
    /// What was checked, such as `previous_hash`.
    pub check: &'static str,
    /// What should have been there, where it can be said in a word.
    pub expected: Option<String>,
    /// What was there.
    pub actual: Option<String>,
    /// What it means, in one line.
    pub detail: String,
}

impl Finding {
    /// A finding of no place yet.
    pub fn new(class: FindingClass, check: &'static str, detail: impl Into<String>) -> Self {
        Finding {
            class,
            domain: None,
            stream: None,
            sequence: None,
            event_id: None,
            check,
            expected: None,
            actual: None,
            detail: detail.into(),
        }
    }
}

/// As much of a stored text as a finding should repeat: its first 100 characters.
pub fn clipped(text: &str) -> String {
    const SHOWN: usize = 100;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FindingClass {
    /// Stored bytes are not what was hashed, signed, chained or sealed.
    Tampering,
    /// The signer had no right to append this.
    Authority,
    /// The signer had lost the right by the time the event was sealed.
    LateAuthority,
    /// Signed when the key may have been in other hands: whether its owner signed
    /// cannot be told. Nothing is wrong with the bytes.
    Compromised,
    /// The payload does not fit its schema, or the schema the event.
    Schema,
    /// A business rule is not true of the event, or its reducer fails.
    Rule,
    /// A table derived from the registry or from events differs from them.
    Projection,
    /// A tree, root or checkpoint differs from the rows.
    Seal,
    /// An event without a leaf two seals later.
    Unsealed,
    /// A guard is missing.
    Guard,
    /// Something could not be checked.
    Unverifiable,
}

impl FindingClass {
    /// Every class, as declared.
    pub const ALL: [FindingClass; 11] = [
        FindingClass::Tampering,
        FindingClass::Authority,
        FindingClass::LateAuthority,
        FindingClass::Compromised,
        FindingClass::Schema,
        FindingClass::Rule,
        FindingClass::Projection,
        FindingClass::Seal,
        FindingClass::Unsealed,
        FindingClass::Guard,
        FindingClass::Unverifiable,
    ];

    /// The name in SQL and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            FindingClass::Tampering => "tampering",
            FindingClass::Authority => "authority",
            FindingClass::LateAuthority => "late_authority",
            FindingClass::Compromised => "compromised",
            FindingClass::Schema => "schema",
            FindingClass::Rule => "rule",
            FindingClass::Projection => "projection",
            FindingClass::Seal => "seal",
            FindingClass::Unsealed => "unsealed",
            FindingClass::Guard => "guard",
            FindingClass::Unverifiable => "unverifiable",
        }
    }

    /// What one finding of this class makes of the verdict over many.
    ///
    /// A revocation never invalidates what was valid, so [`FindingClass::Compromised`]
    /// leaves the verdict as it is: every byte is what was appended, and the finding
    /// says beside it that somebody else than the owner may have signed.
    pub fn verdict(self) -> Verdict {
        match self {
            FindingClass::Compromised => Verdict::Match,
            FindingClass::Unverifiable => Verdict::Unverifiable,
            _ => Verdict::Mismatch,
        }
    }
}

impl fmt::Display for FindingClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.class)?;
        if let Some(domain) = &self.domain {
            write!(f, "{domain}")?;
        }
        if let Some(stream) = &self.stream {
            write!(f, "/{stream}")?;
        }
        if let Some(sequence) = self.sequence {
            write!(f, " #{sequence}")?;
        }
        if let Some(event_id) = self.event_id {
            write!(f, " ({event_id})")?;
        }
        write!(f, ": {}: {}", self.check, self.detail)
    }
}

/// A finding without its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flaw {
    pub(super) class: FindingClass,
    pub(super) check: &'static str,
    pub(super) expected: Option<String>,
    pub(super) actual: Option<String>,
    pub(super) detail: String,
}

impl Flaw {
    pub(super) fn new(class: FindingClass, check: &'static str, detail: impl Into<String>) -> Self {
        Flaw { class, check, expected: None, actual: None, detail: detail.into() }
    }

    pub(super) fn tampering(check: &'static str, detail: impl Into<String>) -> Self {
        Flaw::new(FindingClass::Tampering, check, detail)
    }

    pub(super) fn compared(mut self, expected: impl ToString, actual: impl ToString) -> Self {
        self.expected = Some(expected.to_string());
        self.actual = Some(actual.to_string());
        self
    }

    /// The flaw as a finding about the event with this header.
    pub(super) fn of(self, header: &Header) -> Finding {
        Finding {
            class: self.class,
            domain: Some(header.domain.to_string()),
            stream: Some(header.stream.to_string()),
            sequence: i64::try_from(header.sequence).ok(),
            event_id: Some(*header.event_id.as_uuid()),
            check: self.check,
            expected: self.expected,
            actual: self.actual,
            detail: self.detail,
        }
    }
}
