//! Colours and a progress bar, on a terminal only.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// Standard output.
pub struct Screen {
    terminal: bool,
    colours: bool,
}

impl Screen {
    /// Looks at what standard output is.
    pub fn new() -> Self {
        let terminal = std::io::stdout().is_terminal();
        Screen { terminal, colours: terminal && std::env::var_os("NO_COLOR").is_none() }
    }

    /// A heading: what happens next.
    pub fn step(&self, text: &str) {
        println!("\n{}", self.paint("1", text));
    }

    /// One fact, indented.
    pub fn fact(&self, text: &str) {
        println!("  {}", printable(text));
    }

    /// A labelled fact.
    pub fn item(&self, label: &str, text: &str) {
        println!("  {}  {}", self.paint("2", &format!("{label:<11}")), printable(text));
    }

    /// Something that went as it should.
    pub fn good(&self, text: &str) {
        println!("  {} {}", self.paint("1;32", "✓"), printable(text));
    }

    /// Something that was found to be wrong.
    pub fn bad(&self, text: &str) {
        println!("  {} {}", self.paint("1;31", "✗"), printable(text));
    }

    /// A bar for `total` things, which appears if they take longer than a second.
    pub fn progress(&self, total: usize) -> Progress<'_> {
        Progress { screen: self, total, started: Instant::now(), drawn: false }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// See [`Screen::progress`].
pub struct Progress<'a> {
    screen: &'a Screen,
    total: usize,
    started: Instant,
    drawn: bool,
}

impl Progress<'_> {
    /// Shows that `done` of them are done.
    pub fn show(&mut self, done: usize) {
        const WIDTH: usize = 40;
        if !self.screen.terminal || (!self.drawn && self.started.elapsed() < Duration::from_secs(1)) {
            return;
        }
        let filled = WIDTH * done / self.total.max(1);
        let bar = self.screen.paint("32", &"█".repeat(filled)) + &"·".repeat(WIDTH - filled);
        print!("\r  {bar} {done}/{}", self.total);
        let _ = std::io::stdout().flush();
        self.drawn = true;
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if self.drawn {
            print!("\r\x1b[K");
            let _ = std::io::stdout().flush();
        }
    }
}

/// `text` without control characters: a commit may say anything.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
