//! The belt of jobs of [`ets_core::conveyor`], for a backend: its threads know nothing
//! of Postgres, and signals reach the backend's own thread as always.

pub use ets_core::conveyor::Conveyor;

use crate::threads::{block_signals, restore_signals};

/// As [`ets_core::conveyor::with_conveyor`].
pub fn with_conveyor<J: Send, R: Send, S: Send, T>(
    states: Vec<S>,
    work: impl Fn(&mut S, J) -> R + Sync,
    feed: impl FnOnce(&mut Conveyor<J, R>) -> T,
) -> T {
    let starting = |start: &mut dyn FnMut()| {
        let signals = block_signals();
        start();
        restore_signals(&signals);
    };
    ets_core::conveyor::with_conveyor(states, work, starting, feed)
}
