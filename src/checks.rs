//! The signatures and schemas of a statement's rows, checked beside it.
//!
//! What a row costs most, steps 4 and 5 of the gate, needs nothing of Postgres. So a
//! statement of many rows goes on storing while threads check the rows before, and ends
//! only when every one has passed: until then nothing that it stored can commit. Which
//! refusal is raised does not depend on the threads: that of the first row that has one.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::error::Error;
use crate::gate::{self, Inspected};
use crate::gucs;
use crate::threads::{block_signals, restore_signals};

/// Rows that are checked together: worth waking a thread for.
const ROWS_A_PART: usize = 32;
/// How many bytes of payloads may wait before the statement checks some itself.
const BYTES_WAITING: usize = 1 << 20;

/// A row and its number, by which a refusal names it.
type Job = (u64, Arc<Inspected>);

/// Or the first row that is refused, and why.
pub type Checked = Result<(), (u64, Error)>;

/// What waits to be checked, and the threads that do it.
#[derive(Default)]
pub struct Checks {
    next: Vec<Job>,
    belt: Arc<Belt>,
    threads: Vec<JoinHandle<()>>,
}

impl Checks {
    /// Takes a row to be checked before [`Checks::finish`] returns. If a row is known to be
    /// refused by now, that is answered here.
    pub fn push(&mut self, row: u64, inspected: Arc<Inspected>) -> Checked {
        let size = inspected.payload().canonical().len();
        self.next.push((row, inspected));
        if self.next.len() < ROWS_A_PART && size < BYTES_WAITING / ROWS_A_PART {
            return Ok(());
        }
        self.start();
        let (is_too_much, is_refused) = self.belt.put(std::mem::take(&mut self.next));
        if is_refused {
            return self.finish();
        }
        if is_too_much || self.threads.is_empty() {
            self.belt.check_next();
        }
        Ok(())
    }

    /// Ends when all rows have been checked.
    pub fn finish(&mut self) -> Checked {
        self.belt.put(std::mem::take(&mut self.next));
        while self.belt.check_next() {
            pgrx::check_for_interrupts!();
        }
        self.belt.wait().map_or(Ok(()), Err)
    }

    fn start(&mut self) {
        if !self.threads.is_empty() {
            return;
        }
        let signals = block_signals();
        for _ in 1..gucs::worker_threads() {
            let belt = Arc::clone(&self.belt);
            // A thread that cannot be had is one fewer.
            self.threads.extend(std::thread::Builder::new().spawn(move || belt.work()));
        }
        restore_signals(&signals);
    }
}

impl Drop for Checks {
    /// Leaves what has not been checked.
    fn drop(&mut self) {
        if self.threads.is_empty() {
            return;
        }
        self.belt.end();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[derive(Default)]
struct Belt {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    parts: VecDeque<Vec<Job>>,
    /// Bytes of the payloads in `parts`.
    bytes: usize,
    /// Parts that somebody is checking.
    in_work: usize,
    refusal: Option<(u64, Error)>,
    is_ended: bool,
}

impl State {
    /// The next part; rows behind a refused one need no check.
    fn take(&mut self) -> Option<Vec<Job>> {
        let part = self.parts.pop_front()?;
        self.bytes -= bytes_of(&part);
        self.in_work += 1;
        Some(part)
    }
}

fn bytes_of(part: &[Job]) -> usize {
    part.iter().map(|(_, inspected)| inspected.payload().canonical().len()).sum()
}

impl Belt {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether too much waits now, and whether a row is refused already.
    fn put(&self, part: Vec<Job>) -> (bool, bool) {
        let mut state = self.lock();
        if !part.is_empty() {
            state.bytes += bytes_of(&part);
            state.parts.push_back(part);
            self.changed.notify_all();
        }
        (state.bytes > BYTES_WAITING, state.refusal.is_some())
    }

    /// Checks a part that [`State::take`] gave.
    fn check(&self, part: Vec<Job>) {
        let working = Working(self);
        let first = part.first().map_or(0, |(row, _)| *row);
        if self.lock().refusal.as_ref().is_none_or(|(row, _)| first < *row) {
            let events: Vec<&Inspected> = part.iter().map(|(_, inspected)| &**inspected).collect();
            if let Err((index, error)) = gate::check_apart(&events) {
                self.refuse(part[index].0, error);
            }
        }
        drop(part);
        drop(working);
    }

    fn refuse(&self, row: u64, error: Error) {
        let mut state = self.lock();
        if state.refusal.as_ref().is_none_or(|(first, _)| row < *first) {
            state.refusal = Some((row, error));
        }
    }

    /// What a thread does.
    fn work(&self) {
        let mut state = self.lock();
        while !state.is_ended {
            match state.take() {
                Some(part) => {
                    drop(state);
                    self.check(part);
                    state = self.lock();
                }
                None => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Checks the part that waits longest, if one does.
    fn check_next(&self) -> bool {
        let part = self.lock().take();
        let is_there = part.is_some();
        part.into_iter().for_each(|part| self.check(part));
        is_there
    }

    /// Waits for what is being checked, and answers the first refusal.
    fn wait(&self) -> Option<(u64, Error)> {
        let mut state = self.lock();
        while state.in_work > 0 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.refusal.take()
    }

    fn end(&self) {
        self.lock().is_ended = true;
        self.changed.notify_all();
    }
}

/// A part that is being checked. If the check panics, its rows have not passed.
struct Working<'a>(&'a Belt);

impl Drop for Working<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.refuse(0, Error::new(c"XX000", "a check of a row's signature or schema broke off"));
        }
        self.0.lock().in_work -= 1;
        self.0.changed.notify_all();
    }
}
