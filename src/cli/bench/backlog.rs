//! `bench backlog`: the whole way of messages at a fixed rate, alone and while a newcomer reads a long backlog.

use super::args::BacklogArgs;
use super::cases;
use super::engine::{Engine, drive};
use super::error::BenchError;
use super::figures::Figures;
use super::parking::raise_open_files;
use super::pulling::Backlog;
use super::read_through::ReadThrough;
use super::record::Stored;
use super::report::{Outcome, Report};
use super::setup;
use super::tally::Tally;
use super::timing::{Clock, Window};
use super::until::Until;
use super::usage::Watch;
use super::wire::{Waiting, Wire};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const NEWCOMER_GROUP: &str = "actormq_bench_newcomer";
const NEWCOMER_MAX_NUM: u32 = 32;
const BODY: u32 = 128;
const FILES: u64 = 1_100;

/// Runs `bench backlog`.
///
/// # Errors
/// When the flags contradict each other, or the broker cannot be driven to the end.
pub fn backlog(args: &BacklogArgs) -> Result<Report, BenchError> {
    let live = &args.live;
    cases::check_e2e(live)?;
    raise_open_files(u64::from(live.load.connections) + u64::from(args.newcomers) + FILES)?;
    let topic = setup::topic_name(&live.target, "ActormqBenchLive");
    let old = format!("{topic}Backlog");
    setup::prepare(&live.target, &topic)?;
    let backlogs = fill(args, &old)?;
    let mut figures = Figures::default();

    let clock = Clock::start();
    let window = Window::after(clock.now(), live.load.warmup, live.load.duration);
    let mut watch = Watch::new(live.output.pid, clock);
    let engine = cases::e2e_engine(live, &topic, (clock, window))?;
    let alone = cases::both_outcomes(drive(vec![engine], window, &mut watch)?, window);
    figures.add("alone_p50_us", "latency alone, p50, µs", alone.latency_us.p50);
    figures.add("alone_p99_us", "latency alone, p99, µs", alone.latency_us.p99);
    figures.add("alone_max_us", "latency alone, max, µs", alone.latency_us.max);

    let (outcome, seconds, watch) = beside(args, &topic, (&old, &backlogs), &mut figures)?;
    let growth = outcome.latency_us.p99 / alone.latency_us.p99.max(f64::MIN_POSITIVE);
    figures.add("p99_ratio", "p99 beside the newcomer, by p99 alone", growth);
    let in_flight = live.load.in_flight.unwrap_or(64);
    let mut setting = setup::setting(&live.target, &live.load, &topic, (in_flight, 1), live.rate);
    setting.duration_s = seconds;
    let mut outcome = outcome;
    outcome.unanswered += alone.unanswered;
    outcome.first_refusal = alone.first_refusal.or(outcome.first_refusal);
    Ok(Report { figures, ..cases::report("backlog", setting, outcome, &watch) })
}

/// Sends what the newcomer will find, or what is missing of it from an earlier run.
fn fill(args: &BacklogArgs, old: &str) -> Result<Vec<Backlog>, BenchError> {
    let target = &args.live.target;
    let mut caller = setup::prepare(target, old)?;
    let there: u64 = setup::backlogs(&mut caller, old, target.queues)?.iter().map(|queue| queue.1 - queue.0).sum();
    let spec = setup::send_spec(target, old, BODY, 1);
    setup::fill_backlog(&mut caller, target, spec, args.messages.saturating_sub(there))
}

/// The live load, from its warm-up until the newcomer has read all.
fn beside(
    args: &BacklogArgs,
    topic: &str,
    (old, backlogs): (&str, &[Backlog]),
    figures: &mut Figures,
) -> Result<(Outcome, f64, Watch), BenchError> {
    let live = &args.live;
    let clock = Clock::start();
    let from = Window::after(clock.now(), live.load.warmup, 0.0).start;
    let for_ever = Window { start: from, end: u64::MAX };
    let engine = cases::e2e_engine(live, topic, (clock, for_ever))?;
    let newcomer = newcomer(args, old, backlogs, clock)?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut watch = Watch::new(live.output.pid, clock);
    let (read, work) = std::thread::scope(|scope| {
        let work = Until { work: engine.work, stop: stop.clone() };
        let others = scope.spawn(move || Engine { wire: engine.wire, work }.run(for_ever));
        std::thread::sleep(std::time::Duration::from_nanos(from.saturating_sub(clock.now())));
        let read = watch.span(|| newcomer.run(Window { start: 0, end: u64::MAX }));
        stop.store(true, Ordering::Relaxed);
        let work = others.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (read, work)
    });
    let (read, work) = (read?.tally, work?.work);
    let window = Window { start: from, end: clock.now() };
    let seconds = window.seconds();
    figures.add("newcomer_messages", "messages that the newcomer read", read.messages as f64);
    figures.add("newcomer_per_s", "messages/s that the newcomer read", read.messages as f64 / seconds);
    let mut outcome = cases::both_outcomes(vec![work], window);
    outcome.unanswered += missing(backlogs, &read);
    for (code, count) in read.refused {
        *outcome.refused.entry(code).or_default() += count;
    }
    outcome.first_refusal = outcome.first_refusal.or(read.first_refusal);
    Ok((outcome, seconds, watch))
}

fn missing(backlogs: &[Backlog], read: &Tally) -> u64 {
    backlogs.iter().map(|queue| queue.1 - queue.0).sum::<u64>().saturating_sub(read.messages)
}

fn newcomer(
    args: &BacklogArgs,
    old: &str,
    backlogs: &[Backlog],
    clock: Clock,
) -> Result<Engine<ReadThrough<impl FnMut(Stored<'_>) + Send + use<>>>, BenchError> {
    let target = &args.live.target;
    let links = setup::consumers(target, NEWCOMER_GROUP, old, args.newcomers)?;
    let mut spec = setup::pull_spec(target, old, NEWCOMER_MAX_NUM, None);
    spec.group = NEWCOMER_GROUP.to_owned();
    Ok(Engine {
        wire: Wire::new(&target.broker, links, clock, Waiting::Answers)?,
        work: ReadThrough::new(spec, backlogs, args.newcomers, |_| {}),
    })
}
