//! `bench locks`: many orderly consumers that do nothing but keep their queues locked.

use super::args::{LoadArgs, LockArgs, TargetArgs};
use super::call::{Caller, LOCK_BATCH};
use super::cases;
use super::engine::{Engine, drive};
use super::error::BenchError;
use super::figures::Figures;
use super::frame::{Answer, Codec, Draft, write_opaque};
use super::lane::Lane;
use super::parking::raise_open_files;
use super::report::{Outcome, Report};
use super::setup::{self, CONSUMER_GROUP};
use super::tally::Tally;
use super::timing::{Clock, Pace, Window};
use super::usage::Watch;
use super::wire::{Link, Waiting, Wire, Work};
use std::io;

const FILES: u64 = 1_100;
/// Renewals of one consumer that may wait for an answer.
const IN_FLIGHT: usize = 4;
/// Topics have no more queues.
const QUEUES_MAX: u32 = 65_536;
/// What the answer says once for each queue that is locked.
const PER_QUEUE: &[u8] = b"\"queueId\"";

/// Runs `bench locks`.
///
/// # Errors
/// When the flags contradict each other, or the broker cannot be driven to the end.
pub fn locks(args: &LockArgs) -> Result<Report, BenchError> {
    let queues = args.clients.saturating_mul(args.queues_each);
    if queues > QUEUES_MAX || args.interval <= 0.0 {
        let text = format!("{queues} queues, every {} s: at most {QUEUES_MAX}, and more than 0 s", args.interval);
        return Err(BenchError::WrongCall(text));
    }
    raise_open_files(u64::from(args.clients) + FILES)?;
    let (target, load) = plain_flags(args, queues);
    setup::prepare(&target, &args.target.topic)?;
    let (links, requests) = take_locks(args, &target)?;

    let clock = Clock::start();
    let mut watch = Watch::new(args.output.pid, clock);
    let idle = Window::after(clock.now(), 0.0, args.idle);
    watch.observe(idle, || false)?;
    let idle_cores = watch.server_cpu.as_secs_f64() / args.idle.max(f64::MIN_POSITIVE);

    let window = Window::after(clock.now(), 0.0, args.duration);
    let per_second = f64::from(args.clients) / args.interval;
    let work = LockWork {
        lanes: links.iter().map(|_| Lane::new(IN_FLIGHT)).collect(),
        requests,
        codec: target.codec,
        pace: Pace::new(clock.now(), per_second),
        window,
        turn: 0,
        expected: args.queues_each as usize,
        lost: 0,
        closed: false,
        tally: Tally::new(),
    };
    let wire = Wire::new(&target.broker, links, clock, Waiting::Ticks(per_second))?;
    let mut works = drive(vec![Engine { wire, work }], window, &mut watch)?;
    let mut figures = Figures::default();
    let (mut tally, mut unanswered) = (Tally::new(), 0);
    for work in works.drain(..) {
        figures.add("locks_lost", "queues that a renewal did not bring", work.lost as f64);
        unanswered += work.under_way() as u64;
        tally.merge(work.tally);
    }
    let outcome = Outcome::of(&tally, window, unanswered);
    figures.add("locked_queues", "queues locked", f64::from(queues));
    if args.output.pid.is_some() {
        let cores = watch.server_cpu.as_secs_f64() / args.duration.max(f64::MIN_POSITIVE);
        figures.add("idle_percent", "server CPU without renewals, % of a core", idle_cores * 100.0);
        figures.add("renewal_percent", "server CPU with them, % of a core", cores * 100.0);
    }
    let setting = setup::setting(&target, &load, &args.target.topic, (1, args.queues_each), per_second as u64);
    Ok(Report { figures, ..cases::report("locks", setting, outcome, &watch) })
}

/// The flags of the other cases, as far as they are used here.
fn plain_flags(args: &LockArgs, queues: u32) -> (TargetArgs, LoadArgs) {
    let target = TargetArgs {
        broker: args.target.broker.clone(),
        topic: Some(args.target.topic.clone()),
        queues,
        no_create: false,
        codec: Codec::Json,
        broker_name: args.target.broker_name.clone(),
    };
    let load = LoadArgs {
        connections: args.clients,
        in_flight: None,
        body: 0,
        duration: args.duration,
        warmup: args.idle,
        threads: 1,
    };
    (target, load)
}

/// Connects all consumers, each of which locks its queues; returns the connections and their renewals.
fn take_locks(args: &LockArgs, target: &TargetArgs) -> Result<(Vec<Link>, Vec<Draft>), BenchError> {
    let pid = std::process::id();
    let (mut links, mut requests) = (Vec::new(), Vec::new());
    for client in 0..args.clients {
        let first = client * args.queues_each;
        let queue = |queue: u32| {
            let (topic, broker) = (&args.target.topic, &args.target.broker_name);
            serde_json::json!({ "brokerName": broker, "queueId": queue, "topic": topic })
        };
        let body = serde_json::json!({
            "clientId": format!("127.0.0.1@{pid}#{client}"),
            "consumerGroup": CONSUMER_GROUP,
            "mqSet": (first..first + args.queues_each).map(queue).collect::<Vec<_>>(),
            "onlyThisBroker": false,
        })
        .to_string();
        let mut caller = Caller::connect(&target.broker, target.codec)?;
        let reply = caller.call(LOCK_BATCH, &[], body.as_bytes())?;
        let granted = locked(&reply.body);
        if reply.code != 0 || granted != args.queues_each as usize {
            let remark = format!(": {granted} of {} locked; who holds the others? {}", args.queues_each, reply.remark);
            return Err(BenchError::Refused { action: "lock queues", code: reply.code, remark });
        }
        links.push(caller.into_link());
        requests.push(Draft::new(target.codec, LOCK_BATCH, &[], body.as_bytes()));
    }
    Ok((links, requests))
}

/// How many queues an answer says are the client's.
fn locked(body: &[u8]) -> usize {
    body.windows(PER_QUEUE.len()).filter(|part| *part == PER_QUEUE).count()
}

/// Each consumer's renewal in turn, evenly spread over the interval.
#[derive(Debug)]
struct LockWork {
    lanes: Vec<Lane>,
    requests: Vec<Draft>,
    codec: Codec,
    pace: Pace,
    window: Window,
    turn: usize,
    /// Queues that each answer has to name.
    expected: usize,
    lost: usize,
    closed: bool,
    tally: Tally,
}

impl Work for LockWork {
    fn pump(&mut self, links: &mut [Link], now: u64) -> io::Result<()> {
        while !self.closed && self.pace.due() <= now {
            let Some(opaque) = self.lanes[self.turn].take(self.pace.due()) else {
                return Ok(());
            };
            let draft = &self.requests[self.turn];
            let out = &mut links[self.turn].out;
            let start = out.len();
            out.extend_from_slice(&draft.bytes);
            write_opaque(self.codec, &mut out[start..], draft.opaque_at, opaque);
            links[self.turn].flush()?;
            self.turn = (self.turn + 1) % self.lanes.len();
            self.pace.advance();
        }
        Ok(())
    }

    fn answered(&mut self, link: usize, answer: &Answer<'_>, now: u64, _: &mut Vec<u8>) {
        let Some(settled) = self.lanes[link].settle(answer.opaque) else {
            return;
        };
        if answer.code != 0 {
            self.tally.refuse(answer);
            return;
        }
        self.lost += self.expected.saturating_sub(locked(answer.body));
        self.tally.messages_in_all += 1;
        if self.window.holds(settled.since) {
            self.tally.count(1, answer.body.len() as u64);
            self.tally.time(now - settled.since);
        }
    }

    fn close(&mut self) {
        self.closed = true;
    }

    fn under_way(&self) -> usize {
        self.lanes.iter().map(Lane::under_way).sum()
    }

    fn is_over(&self) -> bool {
        self.tally.is_hopeless()
    }
}
