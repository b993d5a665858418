//! Threads inside a backend, for pure work on bytes.
//!
//! A thread here calls nothing of Postgres, and blocks every signal, so that
//! cancellation and timeouts reach the backend's own thread as always.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The least index whose item satisfies `test`, looked for on `threads` threads.
pub fn first_where<T: Sync>(items: &[T], threads: usize, test: impl Fn(&T) -> bool + Sync) -> Option<usize> {
    let found = AtomicUsize::new(usize::MAX);
    let chunk = items.len().div_ceil(threads.max(1)).max(1);
    let search = |part: usize, items: &[T]| {
        for (offset, item) in items.iter().enumerate() {
            let index = part * chunk + offset;
            if index >= found.load(Ordering::Relaxed) {
                return;
            }
            if test(item) {
                found.fetch_min(index, Ordering::Relaxed);
                return;
            }
        }
    };
    let signals = block_signals();
    std::thread::scope(|scope| {
        let mut parts = items.chunks(chunk).enumerate();
        let own = parts.next();
        for (part, items) in parts {
            let search = &search;
            // Without a further thread the work is done here.
            let spawned = std::thread::Builder::new().spawn_scoped(scope, move || search(part, items));
            if spawned.is_err() {
                search(part, items);
            }
        }
        restore_signals(&signals);
        if let Some((part, items)) = own {
            search(part, items);
        }
    });
    Some(found.into_inner()).filter(|index| *index != usize::MAX)
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
