//! Threads inside a backend, for pure work on bytes.
//!
//! A thread here calls nothing of Postgres, and blocks every signal, so that
//! cancellation and timeouts reach the backend's own thread as always.

/// Calls `check` on as many parts of `items` as there are to be threads.
///
/// # Errors
/// The least index at which a part failed, and why.
pub fn check_parts<T: Sync, E: Send>(
    items: &[T],
    threads: usize,
    check: impl Fn(&[T]) -> Result<(), (usize, E)> + Sync,
) -> Result<(), (usize, E)> {
    let chunk = items.len().div_ceil(threads.max(1)).max(1);
    let check =
        |part: usize, items: &[T]| check(items).map_err(|(place, error)| (part * chunk + place, error));
    let signals = block_signals();
    std::thread::scope(|scope| {
        let mut parts = items.chunks(chunk).enumerate();
        let own = parts.next();
        let begun: Vec<_> = parts
            .map(|(part, items)| {
                let check = &check;
                // Without a further thread the work is done here.
                std::thread::Builder::new()
                    .spawn_scoped(scope, move || check(part, items))
                    .map_err(|_| (part, items))
            })
            .collect();
        restore_signals(&signals);
        let mut checked = own.map_or(Ok(()), |(part, items)| check(part, items));
        for begun in begun {
            let other = match begun {
                Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                Err((part, items)) => check(part, items),
            };
            checked = checked.and(other);
        }
        checked
    })
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
