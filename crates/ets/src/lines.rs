//! The lines of an export, read one after the other and checked as they come.

use std::io::{self, BufRead as _, BufReader, Read};

use ets_core::export::{ExportHeader, ExportReader, Step};

/// The longest line, in bytes: an event document is far below.
const MAX_LINE: u64 = 256 << 20;

/// An export that is being read.
pub struct ExportLines<R> {
    input: BufReader<R>,
    reader: ExportReader,
    line: Vec<u8>,
}

/// Why there is no next line.
pub enum Broken {
    /// The input failed.
    Input(io::Error),
    /// The line, or its absence, is wrong; it is named.
    Line(String),
}

impl<R: Read> ExportLines<R> {
    /// Before the first line.
    pub fn new(input: R) -> Self {
        let input = BufReader::with_capacity(1 << 20, input);
        ExportLines { input, reader: ExportReader::new(), line: Vec::new() }
    }

    /// What the next line is; none after the last of a whole export.
    ///
    /// # Errors
    /// [`Broken`]; nothing more can be read then.
    pub fn next_step(&mut self) -> Result<Option<Step>, Broken> {
        self.line.clear();
        (&mut self.input).take(MAX_LINE).read_until(b'\n', &mut self.line).map_err(Broken::Input)?;
        let wrong = |error: &dyn std::fmt::Display| Broken::Line(error.to_string());
        if self.line.is_empty() {
            return self.reader.finish().map(|()| None).map_err(|error| wrong(&error));
        }
        let text = std::str::from_utf8(self.line.strip_suffix(b"\n").unwrap_or(&self.line));
        let text =
            text.map_err(|_| wrong(&format_args!("line {} is not UTF-8 text", self.reader.lines() + 1)))?;
        self.reader.push(text).map(Some).map_err(|error| wrong(&error))
    }

    /// The bytes of the line that was read last, with its line feed.
    pub fn line(&self) -> &[u8] {
        &self.line
    }

    /// The first line, once it was read.
    pub fn header(&self) -> Option<&ExportHeader> {
        self.reader.header()
    }
}
