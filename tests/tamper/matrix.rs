//! The matrix as data: `tests/tamper_matrix.txt`, read and written.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Where an attack can be found, in the order of the file and of the documentation.
pub const LEVELS: [&str; 9] = [
    "at once",
    "next insert",
    "next seal",
    "event_document",
    "rebuild",
    "verify",
    "replay",
    "outside checkpoint",
    "ets audit",
];

/// What the file says before its first group.
pub struct Matrix {
    /// Its comment.
    pub preamble: String,
    /// In the order of the file.
    pub groups: Vec<Group>,
}

/// Attacks on one kind of thing.
pub struct Group {
    pub title: String,
    pub attacks: Vec<Attack>,
}

/// One attack, and what finds it.
pub struct Attack {
    /// What is done, in words.
    pub title: String,
    pub how: How,
    /// The event that a finding must name, such as `orders/a#2`.
    pub names: Option<String>,
    /// What a finding must say, where what was changed is no event.
    pub says: Option<String>,
    /// What a reader should know of it.
    pub note: Option<String>,
    /// What each level finds, by its name.
    pub found: BTreeMap<String, String>,
}

/// How an attack is carried out.
pub enum How {
    /// Statements, with every guard switched off before and on again after.
    Rows(String),
    /// Statements as they are, by a superuser.
    Sql(String),
    /// A procedure of the tests, by its name.
    ByHand(String),
}

impl Matrix {
    /// Reads the file. It is ours, so that a mistake in it ends the test.
    pub fn parse(text: &str) -> Matrix {
        let mut matrix = Matrix { preamble: String::new(), groups: Vec::new() };
        let mut fields: Vec<(String, String)> = Vec::new();
        let mut attack: Option<String> = None;
        let settle = |attack: &mut Option<String>, fields: &mut Vec<_>, groups: &mut Vec<Group>| {
            let fields = std::mem::take(fields);
            if let Some(title) = attack.take() {
                groups
                    .last_mut()
                    .expect("an attack belongs to a group")
                    .attacks
                    .push(Attack::of(title, fields));
            }
        };
        for line in text.lines() {
            if line.starts_with('#') {
                let _ = writeln!(matrix.preamble, "{line}");
            } else if let Some(title) = line.strip_prefix("== ") {
                settle(&mut attack, &mut fields, &mut matrix.groups);
                matrix.groups.push(Group { title: title.to_owned(), attacks: Vec::new() });
            } else if let Some(title) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                settle(&mut attack, &mut fields, &mut matrix.groups);
                attack = Some(title.to_owned());
            } else if let Some(more) = line.strip_prefix("  ") {
                let (_, value) = fields.last_mut().unwrap_or_else(|| panic!("nothing to go on with: {line}"));
                let _ = write!(value, "\n  {more}");
            } else if !line.is_empty() {
                let (key, value) = line.split_once(": ").unwrap_or_else(|| panic!("no `key: value`: {line}"));
                fields.push((key.to_owned(), value.to_owned()));
            }
        }
        settle(&mut attack, &mut fields, &mut matrix.groups);
        matrix
    }

    /// The file's text.
    pub fn render(&self) -> String {
        let mut out = self.preamble.clone();
        for group in &self.groups {
            let _ = write!(out, "\n== {}\n", group.title);
            group.attacks.iter().for_each(|attack| attack.render(&mut out));
        }
        out
    }

    /// The tables of the documentation.
    pub fn as_markdown(&self) -> String {
        let mut out = String::new();
        for group in &self.groups {
            let _ = write!(out, "\n### {}\n\n| the attack | what finds it |\n|---|---|\n", group.title);
            for attack in &group.attacks {
                let found: Vec<String> = LEVELS
                    .iter()
                    .filter_map(|level| Some((level, attack.found.get(*level)?)))
                    .map(|(level, found)| format!("**{level}**: {found}"))
                    .collect();
                let found = if found.is_empty() { "nothing".to_owned() } else { found.join("<br>") };
                let note = attack.note.as_ref().map_or(String::new(), |note| format!("<br>*{note}*"));
                let _ = writeln!(out, "| {} | {found}{note} |", attack.title);
            }
        }
        out
    }
}

impl Attack {
    fn of(title: String, fields: Vec<(String, String)>) -> Attack {
        let mut fields: BTreeMap<String, String> = fields.into_iter().collect();
        let mut take = |key: &str| fields.remove(key);
        let how = match (take("rows"), take("sql"), take("by hand")) {
            (Some(sql), None, None) => How::Rows(sql),
            (None, Some(sql), None) => How::Sql(sql),
            (None, None, Some(name)) => How::ByHand(name),
            _ => panic!("{title}: one of rows, sql and by hand"),
        };
        let (names, says, note) = (take("names"), take("says"), take("note"));
        for key in fields.keys() {
            assert!(LEVELS.contains(&key.as_str()), "{title}: {key} is no level");
        }
        Attack { title, how, names, says, note, found: fields }
    }

    fn render(&self, out: &mut String) {
        let (key, what) = match &self.how {
            How::Rows(sql) => ("rows", sql),
            How::Sql(sql) => ("sql", sql),
            How::ByHand(name) => ("by hand", name),
        };
        let _ = write!(out, "\n[{}]\n{key}: {what}\n", self.title);
        for (key, value) in [("names", &self.names), ("says", &self.says), ("note", &self.note)] {
            if let Some(value) = value {
                let _ = writeln!(out, "{key}: {value}");
            }
        }
        for level in LEVELS {
            if let Some(found) = self.found.get(level) {
                let _ = writeln!(out, "{level}: {found}");
            }
        }
    }
}
