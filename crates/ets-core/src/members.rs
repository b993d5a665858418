//! Reading JSON objects that have exactly the members they should have.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

use crate::canonical::CanonicalError;
use crate::event::DocumentError;

/// An object whose members are taken out one by one; what is left at the end is
/// refused.
pub(crate) struct Members {
    pointer: String,
    members: Map<String, Value>,
}

impl Members {
    /// `value`, which stands at `pointer`, as an object.
    pub(crate) fn of(value: Value, pointer: String) -> Result<Self, FormatError> {
        match value {
            Value::Object(members) => Ok(Members { pointer, members }),
            _ => Err(FormatError::Invalid(pointer)),
        }
    }

    /// Whether the object has the member.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// The JSON pointer of a member.
    pub(crate) fn at(&self, name: &str) -> String {
        format!("{}/{}", self.pointer, name.replace('~', "~0").replace('/', "~1"))
    }

    /// Any member that must be there.
    pub(crate) fn value(&mut self, name: &str) -> Result<Value, FormatError> {
        self.members.remove(name).ok_or_else(|| FormatError::Missing(self.at(name)))
    }

    pub(crate) fn object(&mut self, name: &str) -> Result<Members, FormatError> {
        let value = self.value(name)?;
        Members::of(value, self.at(name))
    }

    /// A string that `T` accepts.
    pub(crate) fn parsed<T: FromStr>(&mut self, name: &str) -> Result<T, FormatError> {
        self.parsed_by(name, |text| text.parse().ok())
    }

    /// A string that `read` accepts.
    pub(crate) fn parsed_by<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, FormatError> {
        let value = self.value(name)?;
        value.as_str().and_then(read).ok_or_else(|| FormatError::Invalid(self.at(name)))
    }

    /// A number from 0 to 2^64 − 1.
    pub(crate) fn number(&mut self, name: &str) -> Result<u64, FormatError> {
        let value = self.value(name)?;
        value.as_u64().ok_or_else(|| FormatError::Invalid(self.at(name)))
    }

    /// An array, each element read by `read`, which is told where it stands.
    pub(crate) fn list<T>(
        &mut self,
        name: &str,
        read: impl Fn(Value, String) -> Result<T, FormatError>,
    ) -> Result<Vec<T>, FormatError> {
        let pointer = self.at(name);
        match self.value(name)? {
            Value::Array(elements) => elements
                .into_iter()
                .enumerate()
                .map(|(index, element)| read(element, format!("{pointer}/{index}")))
                .collect(),
            _ => Err(FormatError::Invalid(pointer)),
        }
    }

    /// Refuses whatever has not been taken.
    pub(crate) fn end(self) -> Result<(), FormatError> {
        match self.members.keys().next() {
            Some(name) => Err(FormatError::Unknown(self.at(name))),
            None => Ok(()),
        }
    }
}

/// Why a text is not of its format; members are named by JSON pointer (RFC 6901).
#[derive(Debug, Clone, PartialEq)]
pub enum FormatError {
    /// It has no canonical form, or is too large or too deep.
    Json(CanonicalError),
    /// A member is absent.
    Missing(String),
    /// A member has another type, value or spelling than it may have.
    Invalid(String),
    /// A member that the format does not have.
    Unknown(String),
    /// What stands there is no event document, and why.
    Event(String, DocumentError),
}

impl From<CanonicalError> for FormatError {
    fn from(error: CanonicalError) -> Self {
        FormatError::Json(error)
    }
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |pointer: &str| match pointer {
            "" => "the whole document".to_owned(),
            _ => pointer.to_owned(),
        };
        match self {
            FormatError::Json(error) => fmt::Display::fmt(error, f),
            FormatError::Missing(pointer) => write!(f, "{pointer} is missing"),
            FormatError::Invalid(pointer) => write!(f, "{} is not valid", named(pointer)),
            FormatError::Unknown(pointer) => write!(f, "{pointer} is not a member of this format"),
            FormatError::Event(pointer, error) => write!(f, "{}: {error}", named(pointer)),
        }
    }
}

impl std::error::Error for FormatError {}
