//! `bench delay`: messages that come due together, and how far behind their time they are delivered.
//!
//! A level delays each message from when it was stored, so they come due as fast as they were sent; with --all-at-once the
//! server stands still until all are due. Nobody reads while they are delivered. Afterwards all are read, and their
//! own times tell when each was made and when it was stored in its topic.

use super::args::DelayArgs;
use super::call::Caller;
use super::cases;
use super::engine::Engine;
use super::error::BenchError;
use super::figures::Figures;
use super::parking::raise_open_files;
use super::plain::{self, IN_FLIGHT};
use super::pulling::Backlog;
use super::read_through::ReadThrough;
use super::record::Stored;
use super::report::{Outcome, Report};
use super::setup;
use super::tally::Tally;
use super::timeline::Timeline;
use super::timing::{Clock, Window};
use super::until::Until;
use super::usage::{Memory, Watch};
use super::wire::{Waiting, Wire};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Between two looks at how many messages were delivered.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);
/// So long the number of delivered messages may stand still when all are due.
const PATIENCE: Duration = Duration::from_secs(30);
/// Messages read at once when all were delivered.
const READ_MAX_NUM: u32 = 32;
const READERS: u32 = 4;
const FILES: u64 = 1_100;
const MILLI: u64 = 1_000_000;

/// When messages were stored and came due, in nanoseconds of the run's clock.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// What the ends of all queues add up to when all are delivered.
    expected: u64,
    delay: u64,
    began: u64,
    ended: u64,
}

impl Plan {
    fn first_due(&self) -> u64 {
        self.began + self.delay
    }

    fn last_due(&self) -> u64 {
        self.ended + self.delay
    }
}

/// What the delivered messages say of themselves.
#[derive(Debug)]
struct Delivered {
    tally: Tally,
    /// Messages that came before their time.
    early: u64,
    /// First and last store time, in milliseconds since 1970.
    first_ms: u64,
    last_ms: u64,
}

/// Runs `bench delay`.
///
/// # Errors
/// When the flags contradict each other, or the broker cannot be driven to the end.
pub fn delay(args: &DelayArgs) -> Result<Report, BenchError> {
    let (target, load) = (&args.target, &args.load);
    plain::check_one_thread("delay", load)?;
    raise_open_files(2 * u64::from(load.connections) + FILES)?;
    let topic = setup::topic_name(target, "ActormqBenchDelay");
    let plain_topic = format!("{topic}Plain");
    let mut caller = setup::prepare(target, &topic)?;
    setup::prepare(target, &plain_topic)?;
    let delay_ms = caller.delay_ms(args.level)?;
    let mut figures = Figures::default();
    let alone = plain::rate(target, load, &plain_topic)?;
    figures.add("plain_per_s", "plain sends alone, messages/s", alone);

    let clock = Clock::start();
    let before = setup::backlogs(&mut caller, &topic, target.queues)?;
    let plan = store(args, &topic, (clock, delay_ms), &mut figures)?;
    let plan = Plan { expected: setup::total(&before) + args.messages, ..plan };
    let mut watch = Watch::new(args.output.pid, clock);
    let (ends, beside) = watch.span(|| deliver(args, &topic, plan, clock))?;
    let backlogs: Vec<Backlog> = before.iter().zip(&ends).map(|(before, end)| (before.1, end.1)).collect();
    let delivered = read(args, &topic, &backlogs, delay_ms)?;

    let window = Window { start: clock.at_wall(delivered.first_ms), end: clock.at_wall(delivered.last_ms + 1) };
    let missing = args.messages.saturating_sub(delivered.tally.messages);
    let outcome = Outcome::of(&delivered.tally, window, missing);
    figures.add("share_of_plain", "delivered, as a share of plain sends", outcome.messages_per_s / alone);
    let behind_ms = window.end.saturating_sub(plan.last_due()) / MILLI;
    figures.add("behind_ms", "last delivered after last due, ms", behind_ms as f64);
    figures.add("early", "delivered before their time", delivered.early as f64);
    figures.add("repeated", "delivered more than once", delivered.tally.messages.saturating_sub(args.messages) as f64);
    if let Some(beside) = beside {
        let meanwhile = beside.per_second(window.start, window.end);
        figures.add("plain_meanwhile_per_s", "plain sends meanwhile, messages/s", meanwhile);
        figures.add("plain_meanwhile_share", "plain sends meanwhile, as a share", meanwhile / alone);
    }
    let mut setting = setup::setting(target, load, &topic, (load.in_flight.unwrap_or(IN_FLIGHT), 1), 0);
    setting.duration_s = window.seconds();
    Ok(Report { figures, ..cases::report("delay", setting, outcome, &watch) })
}

/// Stores the delayed messages.
fn store(
    args: &DelayArgs,
    topic: &str,
    (clock, delay_ms): (Clock, u64),
    figures: &mut Figures,
) -> Result<Plan, BenchError> {
    let (target, load) = (&args.target, &args.load);
    let mut spec = setup::send_spec(target, topic, load.body, 1);
    spec.properties = format!("DELAY\u{1}{}\u{2}", args.level);
    let memory_before = args.output.pid.map(Memory::of).transpose()?;
    let began = clock.now();
    let shape = (load.connections, load.in_flight.unwrap_or(IN_FLIGHT));
    setup::store(target, &spec, args.messages, shape)?;
    let plan = Plan { expected: 0, delay: delay_ms * MILLI, began, ended: clock.now() };
    let memory_after = args.output.pid.map(Memory::of).transpose()?;
    let taken = (plan.ended - plan.began) as f64 / 1e9;
    figures.add("stored_per_s", "delayed sends, messages/s", args.messages as f64 / taken);
    let spare = plan.first_due() as f64 / 1e9 - plan.ended as f64 / 1e9;
    figures.add("stored_before_due_s", "all stored before the first was due, s", (spare * 1e3).round() / 1e3);
    figures.add_growth((memory_before, memory_after), args.messages);
    Ok(plan)
}

/// Waits until all are delivered, or nothing moves any more; returns where the queues end, and the sends beside.
fn deliver(
    args: &DelayArgs,
    topic: &str,
    plan: Plan,
    clock: Clock,
) -> Result<(Vec<Backlog>, Option<Timeline>), BenchError> {
    if args.all_at_once
        && let Some(pid) = args.output.pid
    {
        let stopped = Stopped::stop(pid)?;
        sleep_until(clock, plan.last_due());
        drop(stopped);
    }
    // So that the sends run at full speed when the first is due.
    sleep_until(clock, plan.first_due().saturating_sub(500 * MILLI));
    let mut caller = Caller::connect(&args.target.broker, args.target.codec)?;
    std::thread::scope(|scope| {
        let stop = Arc::new(AtomicBool::new(false));
        let sends = args.while_sending.then(|| {
            let stop = stop.clone();
            scope.spawn(move || beside(args, &format!("{topic}Plain"), clock, stop))
        });
        let ends = watch_ends((topic, args.target.queues), plan, &mut caller, clock);
        stop.store(true, Ordering::Relaxed);
        let sends =
            sends.map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).transpose();
        Ok((ends?, sends?))
    })
}

/// Plain sends until `stop`.
fn beside(args: &DelayArgs, topic: &str, clock: Clock, stop: Arc<AtomicBool>) -> Result<Timeline, BenchError> {
    let for_ever = Window { start: 0, end: u64::MAX };
    let engine = plain::engine((&args.target, &args.load), topic, 1, (clock, for_ever))?;
    let work = Until { work: Timeline::new(engine.work), stop };
    Ok(Engine { wire: engine.wire, work }.run(for_ever)?.work)
}

fn watch_ends(
    (topic, queues): (&str, u32),
    plan: Plan,
    caller: &mut Caller,
    clock: Clock,
) -> Result<Vec<Backlog>, BenchError> {
    let (mut seen, mut moved) = (0, Instant::now());
    loop {
        let ends = setup::backlogs(caller, topic, queues)?;
        let total = setup::total(&ends);
        if total != seen || clock.now() < plan.last_due() {
            (seen, moved) = (total, Instant::now());
        }
        if total >= plan.expected || moved.elapsed() > PATIENCE {
            return Ok(ends);
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
}

/// Reads all that was delivered.
fn read(args: &DelayArgs, topic: &str, backlogs: &[Backlog], delay_ms: u64) -> Result<Delivered, BenchError> {
    let target = &args.target;
    let mut times = Tally::new();
    let (mut early, mut first_ms, mut last_ms) = (0, u64::MAX, 0);
    let see = |record: Stored<'_>| {
        let due = record.born_ms + delay_ms;
        early += u64::from(record.stored_ms < due);
        times.time(record.stored_ms.saturating_sub(due) * MILLI);
        first_ms = first_ms.min(record.stored_ms);
        last_ms = last_ms.max(record.stored_ms);
    };
    let readers = READERS.min(target.queues);
    let links = setup::consumers(target, setup::CONSUMER_GROUP, topic, readers)?;
    let spec = setup::pull_spec(target, topic, READ_MAX_NUM, None);
    let engine = Engine {
        wire: Wire::new(&target.broker, links, Clock::start(), Waiting::Answers)?,
        work: ReadThrough::new(spec, backlogs, readers, see),
    };
    let mut tally = engine.run(Window { start: 0, end: u64::MAX })?.tally;
    tally.latency = times.latency;
    if tally.messages == 0 {
        return Err(BenchError::WrongCall(format!("nothing was delivered to {topic}")));
    }
    Ok(Delivered { tally, early, first_ms, last_ms })
}

fn sleep_until(clock: Clock, moment: u64) {
    std::thread::sleep(Duration::from_nanos(moment.saturating_sub(clock.now())));
}

/// A process that stands still; it goes on when this is dropped.
#[derive(Debug)]
struct Stopped(i32);

impl Stopped {
    fn stop(pid: u32) -> Result<Stopped, BenchError> {
        let failed = |source| BenchError::Process { pid: pid.to_string(), source };
        // 0 and what does not fit would name other processes than this one.
        let id =
            i32::try_from(pid).ok().filter(|id| *id > 1).ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))?;
        // SAFETY: plain system call without pointers.
        match unsafe { libc::kill(id, libc::SIGSTOP) } {
            0 => Ok(Stopped(id)),
            _ => Err(failed(std::io::Error::last_os_error())),
        }
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // SAFETY: plain system call without pointers. If the process has ended, there is nobody to go on.
        unsafe { libc::kill(self.0, libc::SIGCONT) };
    }
}
