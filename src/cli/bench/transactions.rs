//! `bench transactions`: half messages, each committed as soon as it is acknowledged.

use super::args::TransactionArgs;
use super::call::links;
use super::cases;
use super::ending::{CommitTemplate, Half, log_offset};
use super::engine::{Engine, drive};
use super::error::BenchError;
use super::figures::Figures;
use super::frame::Answer;
use super::lane::Lane;
use super::parking::raise_open_files;
use super::plain::{self, IN_FLIGHT};
use super::report::{Latency, Outcome, Report};
use super::setup;
use super::tally::Tally;
use super::template::{HALF_MESSAGE, PRODUCER_GROUP, SendSpec, SendStamp, SendTemplate};
use super::timing::{Clock, Window};
use super::unique_key::{KEY_LENGTH, UniqueKeys};
use super::usage::{Memory, Watch};
use super::wire::{Link, Waiting, Wire, Work};
use std::io;
use std::iter::Cycle;
use std::ops::Range;
use std::time::Duration;

const FILES: u64 = 1_100;
/// How long the server gets to take in the last half messages before its memory is read.
const SETTLE: Duration = Duration::from_secs(2);

/// Runs `bench transactions`.
///
/// # Errors
/// When the flags contradict each other, or the broker cannot be driven to the end.
pub fn transactions(args: &TransactionArgs) -> Result<Report, BenchError> {
    let (target, load) = (&args.target, &args.load);
    plain::check_one_thread("transactions", load)?;
    raise_open_files(u64::from(load.connections) + FILES)?;
    let topic = setup::topic_name(target, "ActormqBenchTransactions");
    let in_flight = load.in_flight.unwrap_or(IN_FLIGHT);
    setup::prepare(target, &topic)?;
    let spec = SendSpec {
        properties: format!("TRAN_MSG\u{1}true\u{2}PGROUP\u{1}{PRODUCER_GROUP}\u{2}"),
        sys_flag: HALF_MESSAGE,
        ..setup::send_spec(target, &topic, load.body, 1)
    };
    let mut figures = Figures::default();
    let alone = plain::rate(target, load, &topic)?;
    figures.add("plain_per_s", "plain sends alone, messages/s", alone);
    leave_open(args, &spec, in_flight, &mut figures)?;

    let clock = Clock::start();
    let window = Window::after(clock.now(), load.warmup, load.duration);
    let lanes = (0..load.connections).map(|_| Lane::new(in_flight as usize)).collect();
    let work = TransactionWork {
        halves: SendTemplate::new(&spec),
        commits: CommitTemplate::new(target.codec, &topic, &target.broker_name),
        keys: UniqueKeys::new(0),
        clock,
        window,
        lanes,
        open: vec![vec![Open::default(); in_flight as usize]; load.connections as usize],
        queues: (0..target.queues).cycle(),
        body: u64::from(load.body),
        closed: false,
        tally: Tally::new(),
        half_tally: Tally::new(),
    };
    let wire = Wire::new(&target.broker, links(target, load.connections)?, clock, Waiting::Answers)?;
    let mut watch = Watch::new(args.output.pid, clock);
    let works = drive(vec![Engine { wire, work }], window, &mut watch)?;
    let (mut tally, mut halves, mut unanswered) = (Tally::new(), Tally::new(), 0);
    for work in works {
        unanswered += work.under_way() as u64;
        tally.merge(work.tally);
        halves.merge(work.half_tally);
    }
    let mut outcome = Outcome::of(&tally, window, unanswered);
    outcome.send_latency_us = Some(Latency::of(&halves.latency));
    figures.add("share_of_plain", "transactions, as a share of plain sends", outcome.messages_per_s / alone);
    let setting = setup::setting(target, load, &topic, (in_flight, 1), 0);
    Ok(Report { figures, ..cases::report("transactions", setting, outcome, &watch) })
}

/// Sends the half messages that nobody ends, and sees what they cost.
fn leave_open(
    args: &TransactionArgs,
    spec: &SendSpec,
    in_flight: u32,
    figures: &mut Figures,
) -> Result<(), BenchError> {
    if args.uncommitted == 0 {
        return Ok(());
    }
    let memory = || args.output.pid.map(Memory::of).transpose();
    let before = memory()?;
    let clock = Clock::start();
    let stored = setup::store(&args.target, spec, args.uncommitted, (args.load.connections, in_flight))?;
    let seconds = clock.now() as f64 / 1e9;
    std::thread::sleep(SETTLE);
    figures.add("uncommitted", "half messages left open", stored as f64);
    figures.add("halves_per_s", "half messages alone, messages/s", stored as f64 / seconds);
    figures.add_growth((before, memory()?), stored);
    Ok(())
}

/// What a slot's transaction has come to.
#[derive(Clone, Copy, Debug, Default)]
struct Open {
    began: u64,
    key: [u8; KEY_LENGTH],
    committing: bool,
}

/// Keeps a number of transactions under way on each connection.
#[derive(Debug)]
struct TransactionWork {
    halves: SendTemplate,
    commits: CommitTemplate,
    keys: UniqueKeys,
    clock: Clock,
    window: Window,
    lanes: Vec<Lane>,
    /// By link and slot.
    open: Vec<Vec<Open>>,
    queues: Cycle<Range<u32>>,
    body: u64,
    closed: bool,
    /// Of whole transactions.
    tally: Tally,
    /// From half message to its answer.
    half_tally: Tally,
}

impl TransactionWork {
    /// Begins transactions on all free slots of `link`.
    fn fill(&mut self, link: usize, now: u64, out: &mut Vec<u8>) {
        self.keys.tell_time(self.clock.wall_millis(now));
        while !self.closed
            && let Some(slot) = self.lanes[link].next_slot()
            && let Some(opaque) = self.lanes[link].take(now)
        {
            let queue = self.queues.next().unwrap_or(0);
            let stamp = SendStamp { opaque, queue, timing: None };
            let key_at = self.halves.append(out, stamp, &mut self.keys);
            let mut key = [0; KEY_LENGTH];
            key.copy_from_slice(&out[key_at..key_at + KEY_LENGTH]);
            self.open[link][slot] = Open { began: now, key, committing: false };
        }
    }

    /// The half message is stored: its slot commits it.
    fn commit(&mut self, link: usize, slot: usize, answer: &Answer<'_>, now: u64, out: &mut Vec<u8>) -> bool {
        let open = &mut self.open[link][slot];
        let places = answer.number("queueOffset").zip(answer.text("msgId").and_then(|id| log_offset(&id)));
        let Some((queue_offset, log_offset)) = places else {
            return false;
        };
        // The slot that was freed last is the next to be taken.
        let Some(opaque) = self.lanes[link].take(now) else {
            return false;
        };
        open.committing = true;
        if self.window.holds(now) {
            self.half_tally.time(now - open.began);
        }
        self.commits.append(out, opaque, Half { queue_offset, log_offset, key: open.key });
        true
    }
}

impl Work for TransactionWork {
    fn pump(&mut self, links: &mut [Link], now: u64) -> io::Result<()> {
        for (index, link) in links.iter_mut().enumerate() {
            self.fill(index, now, &mut link.out);
            link.flush()?;
        }
        Ok(())
    }

    #[inline]
    fn answered(&mut self, link: usize, answer: &Answer<'_>, now: u64, out: &mut Vec<u8>) {
        let Some(settled) = self.lanes[link].settle(answer.opaque) else {
            return;
        };
        let open = self.open[link][settled.slot];
        if answer.code == 0 && !open.committing {
            if self.commit(link, settled.slot, answer, now, out) {
                return;
            }
            self.tally.refuse(answer);
        } else if answer.code == 0 {
            self.tally.messages_in_all += 1;
            if self.window.holds(now) {
                self.tally.count(1, self.body);
                self.tally.time(now - open.began);
            }
        } else {
            self.tally.refuse(answer);
        }
        self.fill(link, now, out);
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
