//! Threads inside a backend, for pure work on bytes.
//!
//! A thread here calls nothing of Postgres, and blocks every signal, so that
//! cancellation and timeouts reach the backend's own thread as always.

use std::sync::atomic::{AtomicUsize, Ordering};

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

/// Blocks every signal for this thread; those that it starts inherit that.
pub(crate) fn block_signals() -> libc::sigset_t {
    // SAFETY: plain calls on local sets.
    unsafe {
        let mut all = std::mem::zeroed();
        let mut before = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        before
    }
}

/// Puts back what [`block_signals`] found.
pub(crate) fn restore_signals(before: &libc::sigset_t) {
    // SAFETY: the set comes from block_signals.
    unsafe {
        libc::pthread_sigmask(libc::SIG_SETMASK, before, std::ptr::null_mut());
    }
}
