//! What can be told of patterns without their automata.

/// A regular expression, as far as it is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pattern<'p> {
    /// Begins with this text; the empty text is every string.
    Prefix(&'p str),
    /// Is this text.
    Exact(&'p str),
    /// Something else.
    Other(&'p str),
}

impl<'p> Pattern<'p> {
    pub fn read(text: &'p str) -> Self {
        if text.is_empty() {
            return Pattern::Prefix("");
        }
        let Some(rest) = text.strip_prefix('^') else { return Pattern::Other(text) };
        let (rest, is_whole) = match rest.strip_suffix('$') {
            Some(rest) => (rest, true),
            // At the end it adds nothing; a dot does not match a line break.
            None => (rest.strip_suffix(".*").unwrap_or(rest), false),
        };
        let is_literal = rest.chars().all(|c| c.is_ascii_alphanumeric() || "_-:@/ ,".contains(c));
        match (is_literal, is_whole) {
            (false, _) => Pattern::Other(text),
            (true, true) => Pattern::Exact(rest),
            (true, false) => Pattern::Prefix(rest),
        }
    }

    /// Whether it matches every string.
    pub fn is_any(self) -> bool {
        self == Pattern::Prefix("")
    }

    /// Whether every string that this matches is matched by the other.
    pub fn implies(self, other: Pattern<'_>) -> bool {
        match (self, other) {
            (_, Pattern::Prefix("")) => true,
            (Pattern::Prefix(one) | Pattern::Exact(one), Pattern::Prefix(two)) => one.starts_with(two),
            (one, two) => one == two,
        }
    }

    /// Whether no string is matched by both.
    pub fn excludes(self, other: Pattern<'_>) -> bool {
        match (self, other) {
            (Pattern::Prefix(one), Pattern::Prefix(two)) => !one.starts_with(two) && !two.starts_with(one),
            (Pattern::Exact(one), Pattern::Prefix(two)) | (Pattern::Prefix(two), Pattern::Exact(one)) => {
                !one.starts_with(two)
            }
            (Pattern::Exact(one), Pattern::Exact(two)) => one != two,
            _ => false,
        }
    }
}
