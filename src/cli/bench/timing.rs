//! The run's clock, the measured window, and when a paced message is due.

use super::error::BenchError;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Nanoseconds since the run's beginning; one epoch for all threads.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch: Instant,
    epoch_millis: u64,
}

impl Clock {
    pub fn start() -> Clock {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { epoch: Instant::now(), epoch_millis: wall.as_millis() as u64 }
    }

    /// Nanoseconds since the epoch.
    #[inline]
    pub fn now(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    /// Wall time in milliseconds at `now` of this clock.
    #[inline]
    pub fn wall_millis(&self, now: u64) -> u64 {
        self.epoch_millis + now / 1_000_000
    }

    /// Nanoseconds of this clock at the wall time `millis`; 0 for what lies before its epoch.
    pub fn at_wall(&self, millis: u64) -> u64 {
        millis.saturating_sub(self.epoch_millis) * 1_000_000
    }
}

/// What is measured, in nanoseconds of the run's clock; before it the load warms up.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub start: u64,
    pub end: u64,
}

impl Window {
    /// Begins `warmup_s` seconds after `now` and lasts `duration_s` seconds.
    pub fn after(now: u64, warmup_s: f64, duration_s: f64) -> Window {
        let start = now + nanos(warmup_s);
        Window { start, end: start + nanos(duration_s) }
    }

    #[inline]
    pub fn holds(&self, at: u64) -> bool {
        (self.start..self.end).contains(&at)
    }

    pub fn seconds(&self) -> f64 {
        (self.end - self.start) as f64 / 1e9
    }
}

fn nanos(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

/// When each request of a fixed rate is due. What the server is late with is never forgiven: the next due time does
/// not depend on any answer.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    first: u64,
    interval: f64,
    sent: u64,
}

impl Pace {
    /// `per_second` requests from `first` on.
    pub fn new(first: u64, per_second: f64) -> Pace {
        Pace { first, interval: 1e9 / per_second, sent: 0 }
    }

    /// When the next request is due.
    #[inline]
    pub fn due(&self) -> u64 {
        self.first + (self.sent as f64 * self.interval) as u64
    }

    /// The request that was due is on its way.
    #[inline]
    pub fn advance(&mut self) {
        self.sent += 1;
    }
}

/// Wakes more often than this cost more than they tell.
const TICK_NANOS_MIN: u64 = 50_000;

/// A kernel timer that makes a poll return on time: epoll itself waits in whole milliseconds.
#[derive(Debug)]
pub struct Ticker {
    file: File,
}

impl Ticker {
    /// Ticks once per request at `per_second`, but at most every 50 µs.
    ///
    /// # Errors
    /// When the kernel gives no timer.
    pub fn new(per_second: f64) -> Result<Ticker, BenchError> {
        let nanos = ((1e9 / per_second) as u64).clamp(TICK_NANOS_MIN, 1_000_000_000);
        let interval = Duration::from_nanos(nanos);
        let spec = libc::timespec {
            tv_sec: interval.as_secs() as libc::time_t,
            tv_nsec: interval.subsec_nanos() as libc::c_long,
        };
        let timer = libc::itimerspec { it_interval: spec, it_value: spec };
        // SAFETY: plain system call without pointers; the result is checked below.
        let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC) };
        if fd < 0 {
            return Err(timer_error());
        }
        // SAFETY: `fd` is open and owned by nobody else; the file closes it.
        let file = unsafe { File::from_raw_fd(fd) };
        // SAFETY: `timer` outlives the call, and a null pointer for the old value is allowed.
        let set = unsafe { libc::timerfd_settime(fd, 0, &timer, std::ptr::null_mut()) };
        if set < 0 {
            return Err(timer_error());
        }
        Ok(Ticker { file })
    }

    pub fn fd(&self) -> i32 {
        self.file.as_raw_fd()
    }

    /// Takes a tick; the kernel starts the next interval only then.
    pub fn take(&self) {
        // Nothing to read means that the tick was taken before.
        let _ = (&self.file).read(&mut [0; 8]);
    }
}

fn timer_error() -> BenchError {
    BenchError::System { action: "set up a timer", source: std::io::Error::last_os_error() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_times_do_not_drift() {
        let mut pace = Pace::new(500, 10_000.0);
        for _ in 0..30_000 {
            pace.advance();
        }
        assert_eq!(pace.due(), 500 + 3_000_000_000);
    }

    #[test]
    fn a_window_begins_after_the_warmup() {
        let window = Window::after(1_000, 0.5, 2.0);
        assert!(!window.holds(500_000_999));
        assert!(window.holds(500_001_000));
        assert!(!window.holds(2_500_001_000));
    }
}
