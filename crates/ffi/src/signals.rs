//! Threads of a library in somebody else's process.
#![expect(unsafe_code, reason = "signal masks have no safe interface here")]

/// Blocks SIGPIPE in the calling thread, so that a peer who hangs up is an error of one connection and not
/// the end of the process: a program that is not written in Rust need not ignore that signal.
pub(crate) fn block_sigpipe() {
    let mut pipe = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigemptyset` fills the set in before anything reads it; all pointers are of this frame, and
    // the old mask is not asked for.
    let blocked = unsafe {
        libc::sigemptyset(pipe.as_mut_ptr());
        libc::sigaddset(pipe.as_mut_ptr(), libc::SIGPIPE);
        libc::pthread_sigmask(libc::SIG_BLOCK, pipe.as_ptr(), std::ptr::null_mut())
    };
    if blocked != 0 {
        tracing::warn!(blocked, "SIGPIPE could not be blocked");
    }
}

#[cfg(test)]
mod tests {
    /// Bit of a signal in the masks of `/proc`.
    const SIGPIPE_BIT: u64 = 1 << (libc::SIGPIPE - 1);

    #[test]
    fn the_signal_is_blocked_in_the_thread_that_asked_for_it() {
        let is_blocked = || {
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
            u64::from_str_radix(mask.trim(), 16).unwrap() & SIGPIPE_BIT != 0
        };
        let other = std::thread::spawn(move || {
            super::block_sigpipe();
            is_blocked()
        });
        assert!(other.join().unwrap());
        assert!(!is_blocked());
    }
}
