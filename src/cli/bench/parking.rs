//! Extra connections that each hold one parked pull while the load runs.

use super::args::TargetArgs;
use super::call;
use super::engine::Engine;
use super::error::BenchError;
use super::pulling::ParkedWork;
use super::report::Parked;
use super::setup::pull_spec;
use super::timing::{Clock, Window};
use super::usage::Memory;
use super::wire::{Waiting, Wire};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Longer than most runs, shorter than the 120 s after which idle connections are closed.
const SUSPEND_MS: u64 = 60_000;
/// Queues of the empty topic that the pulls wait on.
const QUEUES: u32 = 8;
/// How long the server gets to take in the last pulls before its memory is read.
const SETTLE: Duration = Duration::from_secs(2);

/// The parked connections, on a thread of their own that sleeps nearly all the time.
pub struct ParkingLot {
    connections: u32,
    memory_before: Option<Memory>,
    memory_after: Option<Memory>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<ParkedWork, BenchError>>,
}

impl ParkingLot {
    /// Opens `connections` connections and parks a pull on each, on a topic where nothing is ever sent; none for 0.
    /// Reads the memory of `pid` before and after. [`raise_open_files`] comes first.
    ///
    /// # Errors
    /// When the broker does not take so many connections.
    pub fn open(
        connections: u32,
        target: &TargetArgs,
        pid: Option<u32>,
        clock: Clock,
    ) -> Result<Option<ParkingLot>, BenchError> {
        if connections == 0 {
            return Ok(None);
        }
        let topic = "ActormqBenchParked";
        let mut caller = call::Caller::connect(&target.broker, target.codec)?;
        if !target.no_create {
            caller.create_topic(topic, QUEUES)?;
        }
        let memory_before = pid.map(Memory::of).transpose()?;
        let links = call::links(target, connections)?;
        let stop = Arc::new(AtomicBool::new(false));
        let spec = pull_spec(target, topic, 32, Some(SUSPEND_MS));
        let work = ParkedWork::new(spec, links.len(), QUEUES, stop.clone());
        let wire = Wire::new(&target.broker, links, clock, Waiting::Answers)?;
        let for_ever = Window { start: 0, end: u64::MAX };
        let thread = std::thread::spawn(move || Engine { wire, work }.run(for_ever));
        std::thread::sleep(SETTLE);
        let memory_after = pid.map(Memory::of).transpose()?;
        Ok(Some(ParkingLot { connections, memory_before, memory_after, stop, thread }))
    }

    /// Closes the connections and tells what they cost.
    ///
    /// # Errors
    /// When the broker closed one of them during the run.
    pub fn close(self) -> Result<Parked, BenchError> {
        self.stop.store(true, Ordering::Relaxed);
        let work = self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let before = self.memory_before.map(|memory| memory.total_kib());
        let after = self.memory_after.map(|memory| memory.total_kib());
        let grown =
            before.zip(after).map(|(before, after)| after.saturating_sub(before) as f64 / f64::from(self.connections));
        Ok(Parked {
            connections: self.connections,
            memory_before_kib: before,
            memory_after_kib: after,
            kib_each: grown,
            not_held: work.not_held,
        })
    }
}

/// Lets this process open `wanted` files more than it usually may.
pub fn raise_open_files(wanted: u64) -> Result<(), BenchError> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for the answer.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } < 0 {
        return Err(limit_error());
    }
    if limit.rlim_cur >= wanted {
        return Ok(());
    }
    limit.rlim_cur = wanted;
    // Only the superuser can raise the hard limit; for others the call fails and says so.
    limit.rlim_max = limit.rlim_max.max(wanted);
    // SAFETY: `limit` is a valid value that outlives the call.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } < 0 {
        return Err(limit_error());
    }
    Ok(())
}

fn limit_error() -> BenchError {
    BenchError::System {
        action: "open so many files (raise the limit with ulimit -n)",
        source: std::io::Error::last_os_error(),
    }
}
