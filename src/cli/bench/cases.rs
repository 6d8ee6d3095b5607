//! The plain cases from their flags to their report.

use super::args::{E2eArgs, PullArgs, SendArgs};
use super::both_ways::BothWays;
use super::call::{Caller, links};
use super::engine::{Engine, drive};
use super::error::BenchError;
use super::figures::Figures;
use super::key_sample::{self, KeysFound};
use super::parking::{ParkingLot, raise_open_files};
use super::pulling::{PullWork, Readers};
use super::report::{GeneratorUsage, Latency, Outcome, Report, ServerUsage, Setting};
use super::sending::{SendPlan, SendWork};
use super::setup;
use super::tally::Tally;
use super::template::TIMING_LENGTH;
use super::timing::{Clock, Pace, Window};
use super::usage::Watch;
use super::wire::{Wire, Work};

/// As long as a Java push consumer lets its pulls wait.
const SUSPEND_MS: u64 = 15_000;
/// Messages that a parked pull asks for.
const E2E_MAX_NUM: u32 = 32;
/// Connections and other files of a run that has no parked connections.
const FILES_BESIDE_CONNECTIONS: u64 = 1_100;

/// Runs `bench send`.
///
/// # Errors
/// When the flags contradict each other, or the broker cannot be driven to the end.
pub fn send(args: &SendArgs) -> Result<Report, BenchError> {
    let (target, load) = (&args.target, &args.load);
    let topic = setup::topic_name(target, "ActormqBench");
    let in_flight = load.in_flight.unwrap_or(64);
    setup::check_batch(args.batch, load.body)?;
    setup::check_threads(load)?;
    let files = u64::from(load.connections) + u64::from(args.parked);
    raise_open_files(files + FILES_BESIDE_CONNECTIONS)?;
    setup::prepare(target, &topic)?;
    let clock = Clock::start();
    let lot = ParkingLot::open(args.parked, target, args.output.pid, clock)?;
    let shares = setup::share_out(links(target, load.connections)?, load.threads);
    let window = Window::after(clock.now(), load.warmup, load.duration);
    let threads = shares.len();
    let requests_per_second = args.rate as f64 / f64::from(args.batch) / threads as f64;
    let pace = (args.rate > 0).then_some(requests_per_second);
    let mut engines = Vec::new();
    for (thread, links) in (0..).zip(shares) {
        let plan = SendPlan {
            spec: setup::send_spec(target, &topic, load.body, args.batch),
            queues: target.queues,
            connections: links.len(),
            in_flight: in_flight as usize,
            pace: pace.map(|per_second| Pace::new(clock.now(), per_second)),
            limit: u64::MAX,
            keys_wanted: (args.keys_check as usize).div_ceil(threads),
            run: None,
            thread,
        };
        let waiting = setup::waiting(pace, load.connections * in_flight);
        engines.push(Engine {
            wire: Wire::new(&target.broker, links, clock, waiting)?,
            work: SendWork::new(plan, clock, window),
        });
    }
    let mut watch = Watch::new(args.output.pid, clock);
    let works = drive(engines, window, &mut watch)?;
    let parked = lot.map(ParkingLot::close).transpose()?;
    let sent = Sent::of(works);
    let outcome = Outcome::of(&sent.tally, window, sent.unanswered);
    let setting = setup::setting(target, load, &topic, (in_flight, args.batch), args.rate);
    let mut report = report("send", setting, outcome, &watch);
    report.keys = check_keys(args, &topic, sent.keys)?;
    report.parked = parked;
    Ok(report)
}

/// What all sending threads did together.
struct Sent {
    tally: Tally,
    keys: Vec<String>,
    unanswered: u64,
}

impl Sent {
    fn of(works: Vec<SendWork>) -> Sent {
        let mut sent = Sent { tally: Tally::new(), keys: Vec::new(), unanswered: 0 };
        for work in works {
            sent.unanswered += work.under_way() as u64;
            sent.tally.merge(work.tally);
            sent.keys.extend(work.sample.into_keys());
        }
        sent
    }
}

/// On a connection of its own: one from before the run may have been idle for too long.
fn check_keys(args: &SendArgs, topic: &str, mut keys: Vec<String>) -> Result<Option<KeysFound>, BenchError> {
    if args.keys_check == 0 {
        return Ok(None);
    }
    keys.truncate(args.keys_check as usize);
    let mut caller = Caller::connect(&args.target.broker, args.target.codec)?;
    key_sample::check(&mut caller, topic, &keys).map(Some)
}

/// Runs `bench pull`.
///
/// # Errors
/// As [`send`]; also when there is nothing to pull.
pub fn pull(args: &PullArgs) -> Result<Report, BenchError> {
    let (target, load) = (&args.target, &args.load);
    let topic = setup::topic_name(target, "ActormqBenchPull");
    let in_flight = load.in_flight.unwrap_or(1);
    setup::check_threads(load)?;
    raise_open_files(u64::from(load.connections) + FILES_BESIDE_CONNECTIONS)?;
    let mut caller = setup::prepare(target, &topic)?;
    let clock = Clock::start();
    let backlog = setup::send_spec(target, &topic, load.body, 1);
    let backlogs = setup::fill_backlog(&mut caller, target, backlog, args.prefill)?;
    let spec = setup::pull_spec(target, &topic, args.max_num, None);
    let links = setup::consumers(target, setup::CONSUMER_GROUP, &topic, load.connections)?;
    let window = Window::after(clock.now(), load.warmup, load.duration);
    let mut engines = Vec::new();
    let mut first = 0;
    for links in setup::share_out(links, load.threads) {
        let readers = Readers { lanes: links.len(), in_flight: in_flight as usize, first };
        first += readers.lanes * readers.in_flight;
        let waiting = setup::waiting(None, load.connections * in_flight);
        engines.push(Engine {
            wire: Wire::new(&target.broker, links, clock, waiting)?,
            work: PullWork::new(spec.clone(), window, backlogs.clone(), readers),
        });
    }
    let mut watch = Watch::new(args.output.pid, clock);
    let mut tally = Tally::new();
    let mut unanswered = 0;
    for work in drive(engines, window, &mut watch)? {
        unanswered += work.under_way() as u64;
        tally.merge(work.tally);
    }
    let outcome = Outcome::of(&tally, window, unanswered);
    let setting = setup::setting(target, load, &topic, (in_flight, args.max_num), 0);
    Ok(report("pull", setting, outcome, &watch))
}

/// Runs `bench e2e`, on one thread, so that sender and receiver read one clock.
///
/// # Errors
/// As [`send`].
pub fn e2e(args: &E2eArgs) -> Result<Report, BenchError> {
    let (target, load) = (&args.target, &args.load);
    check_e2e(args)?;
    let topic = setup::topic_name(target, "ActormqBenchE2e");
    setup::prepare(target, &topic)?;
    let clock = Clock::start();
    let window = Window::after(clock.now(), load.warmup, load.duration);
    let engine = e2e_engine(args, &topic, (clock, window))?;
    let mut watch = Watch::new(args.output.pid, clock);
    let works = drive(vec![engine], window, &mut watch)?;
    let setting = setup::setting(target, load, &topic, (load.in_flight.unwrap_or(64), 1), args.rate);
    let outcome = both_outcomes(works, window);
    Ok(report("e2e", setting, outcome, &watch))
}

/// Sends at the rate asked for, and parked pulls, for `topic`, which is there.
///
/// # Errors
/// When the broker takes no connections.
pub fn e2e_engine(
    args: &E2eArgs,
    topic: &str,
    (clock, window): (Clock, Window),
) -> Result<Engine<BothWays>, BenchError> {
    let (target, load) = (&args.target, &args.load);
    let in_flight = load.in_flight.unwrap_or(64);
    let mut caller = Caller::connect(&target.broker, target.codec)?;
    let backlogs = setup::backlogs(&mut caller, topic, target.queues)?;
    let consumers = args.consumers.min(target.queues);
    let mut links = links(target, load.connections)?;
    links.extend(setup::consumers(target, setup::CONSUMER_GROUP, topic, consumers)?);
    let run = clock.wall_millis(0) << 16 | u64::from(std::process::id() & 0xFFFF);
    let plan = SendPlan {
        spec: setup::send_spec(target, topic, load.body, 1),
        queues: target.queues,
        connections: load.connections as usize,
        in_flight: in_flight as usize,
        pace: Some(Pace::new(clock.now(), args.rate as f64)),
        limit: u64::MAX,
        keys_wanted: 0,
        run: Some(run),
        thread: 0,
    };
    let waiting = setup::waiting(Some(args.rate as f64), 0);
    Ok(Engine {
        wire: Wire::new(&target.broker, links, clock, waiting)?,
        work: BothWays::new(
            SendWork::new(plan, clock, window),
            setup::pull_spec(target, topic, E2E_MAX_NUM, Some(SUSPEND_MS)),
            setup::cursors_at_end(&backlogs, consumers),
            (run, window),
        ),
    })
}

/// # Errors
/// When the flags of `bench e2e` contradict each other.
pub fn check_e2e(args: &E2eArgs) -> Result<(), BenchError> {
    if (args.load.body as usize) < TIMING_LENGTH {
        return Err(BenchError::WrongCall(format!(
            "--body {} is too short for e2e: a body carries {TIMING_LENGTH} bytes of timing",
            args.load.body
        )));
    }
    if args.load.threads > 1 {
        return Err(BenchError::WrongCall("e2e runs on one thread: leave out --threads".into()));
    }
    raise_open_files(u64::from(args.load.connections) + FILES_BESIDE_CONNECTIONS)
}

/// What sender and receiver say together.
pub fn both_outcomes(works: Vec<BothWays>, window: Window) -> Outcome {
    let (mut sent, mut received) = (Tally::new(), Tally::new());
    let mut missing = 0;
    for work in works {
        missing += work.under_way() as u64;
        sent.merge(work.sender.tally);
        received.merge(work.received);
    }
    let send_latency = Latency::of(&sent.latency);
    // Latency and rate are the receiver's; refusals are everyone's.
    received.requests = sent.requests;
    for (code, count) in sent.refused {
        *received.refused.entry(code).or_default() += count;
    }
    received.first_refusal = sent.first_refusal.or(received.first_refusal);
    let mut outcome = Outcome::of(&received, window, missing);
    outcome.send_latency_us = Some(send_latency);
    outcome
}

/// A report without what only some cases tell.
pub fn report(case: &'static str, setting: Setting, outcome: Outcome, watch: &Watch) -> Report {
    let messages = outcome.messages;
    let seconds = setting.duration_s;
    Report {
        case,
        setting,
        outcome,
        figures: Figures::default(),
        keys: None,
        server: ServerUsage::of(watch, messages, seconds),
        generator: GeneratorUsage::of(watch, messages, seconds),
        parked: None,
    }
}
