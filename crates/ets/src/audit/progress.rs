//! A progress bar with the time that is left, on a terminal only.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// How far the audit has come. It passes over every event twice: by stream and by leaf.
pub struct Progress {
    is_shown: bool,
    total: u64,
    done: u64,
    begun: Instant,
    shown: Instant,
}

impl Progress {
    /// Shown if standard error is a terminal, unless `quiet`.
    pub fn new(quiet: bool) -> Self {
        let now = Instant::now();
        Progress {
            is_shown: !quiet && std::io::stderr().is_terminal(),
            total: 0,
            done: 0,
            begun: now,
            shown: now,
        }
    }

    /// About so many events are to come.
    pub fn expect(&mut self, events: u64) {
        self.total = events.saturating_mul(2);
        self.begun = Instant::now();
    }

    /// So many more have passed.
    pub fn add(&mut self, events: u64) {
        self.done = self.done.saturating_add(events);
        if !self.is_shown || self.shown.elapsed() < Duration::from_millis(200) {
            return;
        }
        self.shown = Instant::now();
        let line = line(self.done, self.total, self.begun.elapsed());
        let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        if self.is_shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn line(done: u64, total: u64, elapsed: Duration) -> String {
    const WIDTH: u64 = 30;
    // An estimate may be too small.
    let total = total.max(done).max(1);
    let filled = (done.saturating_mul(WIDTH) / total) as usize;
    let bar = format!("{}{}", "#".repeat(filled), "-".repeat(WIDTH as usize - filled));
    let left = elapsed.as_secs_f64() * (total - done) as f64 / done.max(1) as f64;
    let left = left as u64;
    format!("[{bar}] {:3} %  {}:{:02} left", done * 100 / total, left / 60, left % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_tells_how_much_is_left() {
        let at = |done, total| line(done, total, Duration::from_secs(30));
        assert_eq!(at(50, 200), "[#######-----------------------]  25 %  1:30 left");
        assert_eq!(at(300, 200), "[##############################] 100 %  0:00 left");
        assert!(at(0, 0).contains("  0 %"));
    }
}
