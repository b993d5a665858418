//! Threads inside a backend, for pure work on bytes.
//!
//! A thread here calls nothing of Postgres, and blocks every signal, so that
//! cancellation and timeouts reach the backend's own thread as always.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// The least index whose item satisfies `test`, looked for on `threads` threads.
pub fn first_where<T: Sync>(items: &[T], threads: usize, test: impl Fn(&T) -> bool + Sync) -> Option<usize> {
    let found = AtomicUsize::new(usize::MAX);
    in_parts(items, threads, |start, items| {
        for (offset, item) in items.iter().enumerate() {
            let index = start + offset;
            if index >= found.load(Ordering::Relaxed) {
                return;
            }
            if test(item) {
                found.fetch_min(index, Ordering::Relaxed);
                return;
            }
        }
    });
    Some(found.into_inner()).filter(|index| *index != usize::MAX)
}

/// The indexes of all items that satisfy `test`, ascending, looked for on
/// `threads` threads.
pub fn all_where<T: Sync>(items: &[T], threads: usize, test: impl Fn(&T) -> bool + Sync) -> Vec<usize> {
    let found = Mutex::new(Vec::new());
    in_parts(items, threads, |start, items| {
        let mut here: Vec<usize> = items
            .iter()
            .enumerate()
            .filter(|(_, item)| test(item))
            .map(|(offset, _)| start + offset)
            .collect();
        // A thread that panicked has ended the scope: nobody is left to see this.
        found.lock().unwrap_or_else(PoisonError::into_inner).append(&mut here);
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_unstable();
    found
}

/// Runs `work` on as many parts of `items` as there are to be threads; it is told
/// where its part starts.
fn in_parts<T: Sync>(items: &[T], threads: usize, work: impl Fn(usize, &[T]) + Sync) {
    let chunk = items.len().div_ceil(threads.max(1)).max(1);
    let signals = block_signals();
    std::thread::scope(|scope| {
        let mut parts = items.chunks(chunk).enumerate();
        let own = parts.next();
        for (part, items) in parts {
            let work = &work;
            // Without a further thread the work is done here.
            let spawned = std::thread::Builder::new().spawn_scoped(scope, move || work(part * chunk, items));
            if spawned.is_err() {
                work(part * chunk, items);
            }
        }
        restore_signals(&signals);
        if let Some((part, items)) = own {
            work(part * chunk, items);
        }
    });
}

/// Does `work` on every item, on a thread each.
pub fn each<T: Send>(items: &mut [T], work: impl Fn(&mut T) + Sync) {
    let signals = block_signals();
    std::thread::scope(|scope| {
        let mut items = items.iter_mut();
        let own = items.next();
        let work = &work;
        for item in items {
            // A thread that cannot be had takes its closure with it: so the item
            // is lent to it, and done here if it was not taken.
            let lent = std::sync::Mutex::new(Some(item));
            let lent = std::sync::Arc::new(lent);
            let taken = std::sync::Arc::clone(&lent);
            let take = |lent: &std::sync::Mutex<Option<_>>| {
                lent.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
            };
            let spawned = std::thread::Builder::new().spawn_scoped(scope, move || {
                if let Some(item) = take(&taken) {
                    work(item);
                }
            });
            if spawned.is_err()
                && let Some(item) = take(&lent)
            {
                work(item);
            }
        }
        restore_signals(&signals);
        if let Some(item) = own {
            work(item);
        }
    });
}

/// Blocks every signal for this thread; those that it starts inherit that.
fn block_signals() -> libc::sigset_t {
    // SAFETY: plain calls on local sets.
    unsafe {
        let mut all = std::mem::zeroed();
        let mut before = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        before
    }
}

fn restore_signals(before: &libc::sigset_t) {
    // SAFETY: the set comes from block_signals.
    unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, before, std::ptr::null_mut());
    }
}
