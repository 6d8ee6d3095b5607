//! How many files and connections the process may have open at once.

/// Takes as many file descriptors as the process may: they bound how many clients can connect.
pub fn raise_limit() {
    let raised = read().is_some_and(|mut limit| {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: `limit` outlives the call, which reads nothing else.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) == 0 }
    });
    if !raised {
        tracing::warn!("the limit of open files cannot be raised; it bounds how many clients can connect");
    }
}

/// File descriptors that the process may have; 0 when that cannot be told.
#[must_use]
pub fn limit() -> usize {
    read().map_or(0, |limit| usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX))
}

fn read() -> Option<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` outlives the call, which writes nothing else.
    let read = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 };
    read.then_some(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_a_limit() {
        raise_limit();
        assert!(limit() >= 256);
    }
}
