//! CPU time and memory of a process, from `/proc` (Linux; see proc(5)).

use super::error::BenchError;
use super::timing::{Clock, Window};
use serde::Serialize;
use std::time::Duration;

/// Between two looks at the server's memory.
const SAMPLE_NANOS: u64 = 100_000_000;

/// Memory that is the process's own, in KiB: pages of mapped files are left out, for the kernel can take them back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    pub rss_anon_kib: u64,
    pub rss_shmem_kib: u64,
    /// Page tables.
    pub vm_pte_kib: u64,
}

impl Memory {
    pub fn total_kib(&self) -> u64 {
        self.rss_anon_kib + self.rss_shmem_kib + self.vm_pte_kib
    }

    /// # Errors
    /// When the process cannot be read.
    pub fn of(pid: u32) -> Result<Memory, BenchError> {
        let status = read(&pid.to_string(), "status")?;
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .and_then(|value| value.split_whitespace().next()?.parse().ok())
                .unwrap_or(0)
        };
        Ok(Memory { rss_anon_kib: field("RssAnon"), rss_shmem_kib: field("RssShmem"), vm_pte_kib: field("VmPTE") })
    }
}

/// User and system time of all threads of `process` (a pid, or `self`) so far.
fn cpu_time(process: &str) -> Result<Duration, BenchError> {
    let stat = read(process, "stat")?;
    // The program's name, in parentheses, may hold anything; fields are counted from behind it.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    // SAFETY: plain system call without pointers.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as f64;
    Ok(Duration::from_secs_f64(ticks as f64 / per_second))
}

fn read(process: &str, file: &str) -> Result<String, BenchError> {
    std::fs::read_to_string(format!("/proc/{process}/{file}"))
        .map_err(|source| BenchError::Process { pid: process.to_owned(), source })
}

/// What a run cost the server and the generator.
#[derive(Debug)]
pub struct Watch {
    pub pid: Option<u32>,
    clock: Clock,
    /// CPU time inside the window.
    pub server_cpu: Duration,
    pub own_cpu: Duration,
    /// At the window's end.
    pub memory_end: Memory,
    /// The largest total seen from the warm-up on.
    pub memory_peak: Memory,
}

impl Watch {
    pub fn new(pid: Option<u32>, clock: Clock) -> Watch {
        Watch {
            pid,
            clock,
            server_cpu: Duration::ZERO,
            own_cpu: Duration::ZERO,
            memory_end: Memory::default(),
            memory_peak: Memory::default(),
        }
    }

    /// Looks on until the window's end, or until `ended` says that the load is over.
    ///
    /// # Errors
    /// When the server's process is not there any more.
    pub fn observe(&mut self, window: Window, ended: impl Fn() -> bool) -> Result<(), BenchError> {
        self.look_until(window.start, &ended)?;
        let before = self.cpu_times()?;
        self.look_until(window.end, &ended)?;
        let after = self.cpu_times()?;
        self.server_cpu = after.0.saturating_sub(before.0);
        self.own_cpu = after.1.saturating_sub(before.1);
        Ok(())
    }

    /// Runs `what`, and notes what it cost in place of a window.
    ///
    /// # Errors
    /// When `what` fails, or the server's process is not there any more.
    pub fn span<T>(&mut self, what: impl FnOnce() -> Result<T, BenchError>) -> Result<T, BenchError> {
        let before = self.cpu_times()?;
        let made = what()?;
        let after = self.cpu_times()?;
        self.server_cpu = after.0.saturating_sub(before.0);
        self.own_cpu = after.1.saturating_sub(before.1);
        // One look at the server's memory, and none where there is no server to look at.
        self.look_until(0, &|| true)?;
        Ok(made)
    }

    fn look_until(&mut self, moment: u64, ended: &impl Fn() -> bool) -> Result<(), BenchError> {
        loop {
            if let Some(pid) = self.pid {
                self.memory_end = Memory::of(pid)?;
                if self.memory_end.total_kib() > self.memory_peak.total_kib() {
                    self.memory_peak = self.memory_end;
                }
            }
            let left = moment.saturating_sub(self.clock.now());
            if left == 0 || ended() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_nanos(left.min(SAMPLE_NANOS)));
        }
    }

    /// The server's and the generator's.
    fn cpu_times(&self) -> Result<(Duration, Duration), BenchError> {
        let server = match self.pid {
            Some(pid) => cpu_time(&pid.to_string())?,
            None => Duration::ZERO,
        };
        Ok((server, cpu_time("self")?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_cpu_time() {
        let pid = std::process::id();
        assert!(Memory::of(pid).unwrap().rss_anon_kib > 0);
        let before = cpu_time("self").unwrap();
        while cpu_time("self").unwrap() < before + Duration::from_millis(20) {
            std::hint::black_box((0..10_000u64).sum::<u64>());
        }
    }

    #[test]
    fn a_process_that_is_not_there_is_a_wrong_call() {
        let error = Memory::of(u32::MAX).unwrap_err();
        assert_eq!(error.exit_code(), 2);
    }
}
