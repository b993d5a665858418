//! Reading files within bounds, and colours where somebody sees them.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read, Write as _};
use std::path::Path;

use ets_core::verify::Verdict;

/// The text of a file, or of standard input for `-`.
///
/// # Errors
/// A message that names the file, if it cannot be read, is larger than
/// `max_bytes` or not UTF-8.
pub fn read_text(path: &Path, max_bytes: usize) -> Result<String, String> {
    let failed = |error: &dyn Display| format!("cannot read {}: {error}", path.display());
    let reader: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).map_err(|error| failed(&error))?)
    };
    let mut bytes = Vec::new();
    let limit = u64::try_from(max_bytes).unwrap_or(u64::MAX);
    reader.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if bytes.len() > max_bytes {
        return Err(failed(&format_args!("it is larger than {max_bytes} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| failed(&"it is not UTF-8 text"))
}

/// Writes a line to standard output. A reader that has gone away ends the
/// program quietly, as it does with other tools in a pipe.
///
/// # Errors
/// A message, if standard output cannot be written to.
pub fn line(text: &str) -> Result<(), String> {
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(format!("cannot write: {error}")),
        _ => Ok(()),
    }
}

/// Whether to use colours: only on a terminal, and not where `NO_COLOR` is set.
pub fn in_colour() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A verdict, in bold green, red or yellow if `colour`.
pub fn painted(verdict: Verdict, colour: bool) -> String {
    let code = match verdict {
        Verdict::Match => 32,
        Verdict::Mismatch => 31,
        Verdict::Unverifiable => 33,
    };
    if colour { format!("\x1b[1;{code}m{verdict}\x1b[0m") } else { verdict.to_string() }
}

/// `text` without control characters: what a file says goes to a terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
