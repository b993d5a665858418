//! Threads inside a backend, for pure work on bytes.
//!
//! A thread here calls nothing of Postgres, and blocks every signal, so that
//! cancellation and timeouts reach the backend's own thread as always.

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
