//! Strings that may be of a shape.

use serde_json::Value;

use super::document::Node;
use super::number;
use super::shape::Shape;

/// One string of each format that the evaluator knows, and some of none.
const STRINGS: [&str; 24] = [
    "a",
    "",
    "b",
    "0",
    "A",
    "x y",
    "é",
    "aa",
    "ab",
    "foo",
    "\n",
    "2020-01-01",
    "2020-01-01T00:00:00Z",
    "00:00:00Z",
    "P1D",
    "a@b.co",
    "example.com",
    "127.0.0.1",
    "::1",
    "http://example.com",
    "/a",
    "http://example.com/{id}",
    "00000000-0000-4000-8000-000000000000",
    "[",
];

/// Strings for a shape, those first that its patterns suggest.
pub(super) fn strings(shape: &Shape<'_>, target: Option<Node<'_>>, longest: u64) -> Vec<Value> {
    let mut texts: Vec<String> = shape.patterns.iter().flat_map(|pattern| of_pattern(pattern)).collect();
    texts.extend(STRINGS.map(str::to_owned));
    let count = |keyword: &str| target?.get(keyword).and_then(number::count);
    let mut lengths = vec![shape.length.min];
    lengths.extend(count("minLength").and_then(|count| count.checked_sub(1)));
    lengths.extend(count("maxLength").and_then(|count| count.checked_add(1)));
    lengths.push(shape.length.max);
    lengths.retain(|length| shape.length.min <= *length && *length <= shape.length.max);
    let lengths = lengths.into_iter().filter(|length| *length <= longest);
    for length in lengths.filter_map(|length| usize::try_from(length).ok()) {
        let begin = texts.first().cloned().unwrap_or_default();
        let padded = begin.chars().chain(std::iter::repeat('a')).take(length);
        texts.insert(0, padded.collect());
    }
    texts.retain(|text| {
        let length = text.chars().count() as u64;
        shape.length.min <= length && length <= shape.length.max
    });
    texts.into_iter().map(Value::from).collect()
}

/// Strings that the pattern may match: the shortest, and one with every repeated
/// part once more.
pub(super) fn of_pattern(pattern: &str) -> Vec<String> {
    let chars: Vec<char> = pattern.chars().collect();
    [0, 1].into_iter().filter_map(|more| Reader { chars: &chars, at: 0, more }.alternatives(0)).collect()
}

struct Reader<'p> {
    chars: &'p [char],
    at: usize,
    /// How often more than needed a part is repeated.
    more: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    /// The first of the alternatives up to the end of the group.
    fn alternatives(&mut self, depth: usize) -> Option<String> {
        if depth > 8 {
            return None;
        }
        let mut first = None;
        let mut text = String::new();
        while let Some(next) = self.peek() {
            self.at += 1;
            let part = match next {
                ')' if depth > 0 => break,
                '|' => {
                    first.get_or_insert(std::mem::take(&mut text));
                    continue;
                }
                '^' | '$' => continue,
                '(' => {
                    if self.chars.get(self.at..self.at + 2) == Some(&['?', ':']) {
                        self.at += 2;
                    }
                    self.alternatives(depth + 1)?
                }
                '[' => self.class()?.to_string(),
                '.' => "a".to_owned(),
                '\\' => self.escape()?.to_string(),
                other => other.to_string(),
            };
            let times = self.times()?;
            (0..times).for_each(|_| text.push_str(&part));
        }
        Some(first.unwrap_or(text))
    }

    fn escape(&mut self) -> Option<char> {
        let escaped = self.peek()?;
        self.at += 1;
        Some(match escaped {
            'd' => '0',
            'w' => 'a',
            's' => ' ',
            'S' | 'D' => 'a',
            'W' => '-',
            'n' => '\n',
            't' => '\t',
            other if other.is_ascii_alphanumeric() => return None,
            other => other,
        })
    }

    /// One character of a class.
    fn class(&mut self) -> Option<char> {
        let is_negated = self.peek() == Some('^');
        let mut chosen = None;
        let begin = self.at;
        while let Some(next) = self.peek() {
            self.at += 1;
            match next {
                ']' if self.at > begin + 1 => break,
                '\\' => chosen = chosen.or(self.escape()),
                other => chosen = chosen.or(Some(other)),
            }
        }
        if is_negated { Some('~') } else { chosen }
    }

    /// How often the part before is to be repeated.
    fn times(&mut self) -> Option<usize> {
        let times = match self.peek() {
            Some('?' | '*') => self.more,
            Some('+') => 1 + self.more,
            Some('{') => {
                let end = self.chars.get(self.at..)?.iter().position(|c| *c == '}')?;
                let inside: String = self.chars.get(self.at + 1..self.at + end)?.iter().collect();
                self.at += end;
                inside.split(',').next()?.parse::<usize>().ok().filter(|times| *times <= 64)?
            }
            _ => return Some(1),
        };
        self.at += 1;
        if self.peek() == Some('?') {
            self.at += 1;
        }
        Some(times)
    }
}
