//! The one place where order is made.
//!
//! Owns: the end of the log, the next offset of every open queue, appends that wait for space, for a queue or at the gate.
//! Hears: [`Append`] from sessions, [`QueueOpened`], [`CloseQueue`] and [`Forget`] from the queues, `Prepared` and
//! `SpaceFailed` from the segments' keeper, `Flushed` from the flusher, `Reached` from the dispatch reader, `Stop`.
//! Tells: [`Appended`] to sessions, `Dispatch` and `OpenQueue` to the queues, `IndexKeys`, [`Flush`], [`Advance`],
//! `ReadOn` to the dispatch reader.
//!
//! Invariants: queue offsets are dense and grow with physical offsets; an append is answered, and its records shown to
//! queues, only when its end is readable: written, or flushed where the broker flushes before it answers.

mod gate;
mod hears;
mod keys;
mod messages;
mod telling;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::prelude::*;

use self::gate::Gate;
pub use self::keys::KeyWay;
use self::keys::Keys;
pub use self::messages::{
    Append, Appended, Batch, CloseQueue, Forget, Notice, Outcome, Put, QueueOpened, Reply, Token,
};
use self::telling::EndOfTurn;
pub use self::telling::Teller;
use crate::actors::log::flusher::Flush;
use crate::actors::log::segments::Advance;
use crate::actors::log::{LogClock, QueueSlot};
use crate::protocol::names::LogOffset;
use crate::protocol::record::{BLANK_BYTES, PHYSICAL_OFFSET_AT, QUEUE_OFFSET_AT};
use crate::store::commit_log::{CommitLog, Room};

/// A queue whose next offset is not known here.
const CLOSED: u64 = u64::MAX;
/// A queue that was asked for its next offset.
const OPENING: u64 = u64::MAX - 1;
/// A queue whose topic was deleted.
const GONE: u64 = u64::MAX - 2;
/// How long a key may wait to be handed over: one wake-up of the index's thread for many keys.
const INDEX_DELAY: Duration = Duration::from_millis(10);
/// The segments' keeper hears of the writer's progress each time it made this many bytes.
const ADVANCE_STEP_BYTES: u64 = 2 * 1024 * 1024;

/// How the writer is told to work.
#[derive(Debug, Clone)]
pub struct WriterSettings {
    /// Answer and show records only when they are on the disk.
    pub sync_flush: bool,
    /// How long an answer waits for the disk.
    pub sync_timeout: Duration,
    /// How often the disk is brought up to date where nobody waits for it.
    pub flush_interval: Duration,
}

/// Whom the writer tells.
#[derive(Debug, Clone)]
pub struct Neighbours {
    pub flusher: Recipient<Flush>,
    pub segments: Recipient<Advance>,
}

/// The writer. See the module.
pub struct CommitlogWriter {
    log: CommitLog,
    settings: WriterSettings,
    neighbours: Neighbours,
    clock: LogClock,
    /// Bytes that sessions have under way to here, shared with them: they add, the writer takes off.
    backlog_bytes: Arc<AtomicUsize>,
    /// By slot: the next offset, or [`CLOSED`], [`OPENING`], [`GONE`].
    next_offsets: Vec<u64>,
    waiting: Waiting,
    gate: Gate,
    teller: Teller,
    keys: Keys,
    advanced: LogOffset,
    stopping: Option<tokio::sync::oneshot::Sender<()>>,
}

/// Appends that cannot be written yet.
#[derive(Default)]
struct Waiting {
    /// For space, in order. While there is one, all others queue up behind it.
    space: VecDeque<Append>,
    /// Why there is no space, once taking it has failed.
    space_error: Option<String>,
    /// For the first offset of their queue.
    queues: HashMap<QueueSlot, Vec<Append>>,
}

impl CommitlogWriter {
    #[must_use]
    pub fn new(
        log: CommitLog,
        settings: WriterSettings,
        neighbours: Neighbours,
        (teller, index): (Teller, Option<KeyWay>),
        backlog_bytes: Arc<AtomicUsize>,
    ) -> Self {
        let advanced = log.end();
        Self {
            log,
            settings,
            neighbours,
            clock: LogClock::default(),
            backlog_bytes,
            next_offsets: Vec::new(),
            waiting: Waiting::default(),
            gate: Gate::default(),
            teller,
            keys: Keys::new(index),
            advanced,
            stopping: None,
        }
    }

    fn take(&mut self, append: Append, ctx: &mut Context<Self>) {
        if !self.waiting.space.is_empty() {
            self.waiting.space.push_back(append);
            return;
        }
        if let Some(append) = self.hold_back(append)
            && let Some(append) = self.write(append, ctx)
        {
            self.wait_for_space(append);
        }
    }

    /// The next offset of a queue, or what is the matter with it.
    #[inline]
    fn next(&self, slot: QueueSlot) -> u64 {
        self.next_offsets.get(slot.0 as usize).copied().unwrap_or(CLOSED)
    }

    fn set_next(&mut self, slot: QueueSlot, next: u64) {
        let at = slot.0 as usize;
        if self.next_offsets.len() <= at {
            self.next_offsets.resize(at + 1, CLOSED);
        }
        self.next_offsets[at] = next;
    }

    /// Takes out the records whose queue is not open; they follow when it is.
    fn hold_back(&mut self, mut append: Append) -> Option<Append> {
        if append.batch.puts.iter().all(|put| self.next(put.slot) < GONE) {
            return Some(append);
        }
        for (slot, batch) in append.batch.split_off(|put| self.next(put.slot) >= GONE) {
            let held = Append { batch, reply: append.reply.clone() };
            match self.next(slot) {
                GONE => self.answer(held, Outcome::TopicGone),
                state => {
                    if state == CLOSED {
                        self.set_next(slot, OPENING);
                        self.teller.open(slot, held.batch.first_key());
                    }
                    self.waiting.queues.entry(slot).or_default().push(held);
                }
            }
        }
        (!append.batch.puts.is_empty()).then_some(append)
    }

    /// Numbers the records and copies them into the log. Gives the append back when there is no space for all of it.
    fn write(&mut self, mut append: Append, ctx: &mut Context<Self>) -> Option<Append> {
        if !self.has_room(&append.batch) {
            return Some(append);
        }
        let timestamp_ms = self.clock.now_ms();
        let batch = &mut *append.batch;
        let mut run_start = 0;
        let mut run_end = 0;
        for put in &mut batch.puts {
            let (start, size) = (put.start as usize, put.size as usize);
            if self.log.room(run_end - run_start, size) == Room::Next {
                self.log.append(&batch.bytes[run_start..run_end]);
                self.log.roll();
                run_start = start;
            }
            put.at = self.log.end() + (start - run_start) as u64;
            let next = &mut self.next_offsets[put.slot.0 as usize];
            if put.due {
                put.tag_code += timestamp_ms;
            }
            if put.queued {
                put.queue_offset = *next;
                *next += 1;
            }
            let record = &mut batch.bytes[start..start + size];
            record[QUEUE_OFFSET_AT..QUEUE_OFFSET_AT + 8].copy_from_slice(&put.queue_offset.to_be_bytes());
            record[PHYSICAL_OFFSET_AT..PHYSICAL_OFFSET_AT + 8].copy_from_slice(&put.at.to_be_bytes());
            let timestamp_at = usize::from(put.timestamp_at);
            record[timestamp_at..timestamp_at + 8].copy_from_slice(&timestamp_ms.to_be_bytes());
            run_end = start + size;
        }
        self.log.append(&batch.bytes[run_start..run_end]);
        self.log.publish();
        batch.store_timestamp_ms = timestamp_ms;
        if self.keys.gather(&append.batch) {
            ctx.run_later(INDEX_DELAY, |writer, _| writer.keys.hand_over(writer.log.end()));
        }
        if self.keys.are_many() {
            self.keys.hand_over(self.log.end());
        }
        self.pass(append);
        self.advance();
        None
    }

    /// Whether all records fit into prepared space, where need be after rolling once.
    fn has_room(&self, batch: &Batch) -> bool {
        match self.log.room(0, batch.bytes.len()) {
            Room::Here => true,
            // The next segment takes at least what this one cannot; a batch is far smaller than a segment.
            Room::Next => true,
            Room::NotYet => false,
        }
    }

    /// Lets the append through the gate, or makes it wait there.
    fn pass(&mut self, append: Append) {
        let notices = append.batch.puts.iter().filter(|put| put.queued).map(Notice::from);
        let end = self.log.end();
        if !self.settings.sync_flush {
            self.log.make_readable(end);
            self.teller.dispatch(notices, end);
            self.answer(append, Outcome::Stored);
            return;
        }
        let notices = notices.collect();
        let waiting = if append.batch.durable {
            Some(append)
        } else {
            self.answer(append, Outcome::Stored);
            None
        };
        self.gate.wait(end, waiting, notices);
        self.flush();
    }

    fn answer(&mut self, append: Append, outcome: Outcome) {
        let Append { mut batch, reply } = append;
        self.backlog_bytes.fetch_sub(batch.bytes.len(), Ordering::Relaxed);
        batch.outcome = outcome;
        reply.tell(batch);
    }

    /// Tells all arbiters and the index how far the log is.
    fn mark(&mut self) {
        self.teller.mark(self.log.view().readable());
        self.keys.hand_over(self.log.end());
        self.teller.marked = self.log.end();
    }

    fn advance(&mut self) {
        if self.log.end() - self.advanced >= ADVANCE_STEP_BYTES {
            self.advanced = self.log.end();
            self.neighbours.segments.do_send(Advance { written: self.advanced, needed: 0 });
        }
    }

    fn wait_for_space(&mut self, append: Append) {
        if self.waiting.space_error.is_some() {
            self.answer(append, Outcome::NoSpace);
            return;
        }
        // Twice its size: the rest of a segment that cannot take it is passed over.
        let needed = 2 * (append.batch.bytes.len() + BLANK_BYTES) as u64;
        self.neighbours.segments.do_send(Advance { written: self.log.end(), needed });
        self.waiting.space.push_back(append);
    }

    fn flush(&mut self) {
        let written = self.log.end();
        if self.gate.begin_flush() {
            self.neighbours.flusher.do_send(Flush { upto: written, timestamp_ms: self.clock.last_ms() });
        }
    }

    fn flushed(&mut self, upto: LogOffset) {
        self.gate.end_flush();
        if self.settings.sync_flush {
            self.log.make_readable(upto);
            for (end, append, notices) in self.gate.open(upto) {
                if let Some(append) = append {
                    self.answer(append, Outcome::Stored);
                }
                self.teller.dispatch(notices.into_iter(), end);
            }
        }
        if (self.settings.sync_flush || self.stopping.is_some()) && self.log.end() > upto {
            self.flush();
        } else if let Some(stopped) = self.stopping.take() {
            // Whoever asked may be gone; the log is safe all the same.
            let _ = stopped.send(());
        }
    }

    fn give_up_on_flush(&mut self, ctx: &mut Context<Self>) {
        for append in self.gate.overdue(self.settings.sync_timeout) {
            self.answer(append, Outcome::FlushTimedOut);
        }
        ctx.run_later(self.settings.sync_timeout / 8, Self::give_up_on_flush);
    }

    fn flush_regularly(&mut self, ctx: &mut Context<Self>) {
        if !self.settings.sync_flush && self.log.end() > self.log.view().ends().flushed.load(Ordering::Acquire) {
            self.flush();
        }
        if self.teller.marked != self.log.end() {
            self.mark();
        }
        ctx.run_later(self.settings.flush_interval, Self::flush_regularly);
    }
}

impl Actor for CommitlogWriter {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.neighbours.segments.do_send(Advance { written: self.log.end(), needed: 0 });
        ctx.spawn(EndOfTurn);
        ctx.run_later(self.settings.flush_interval, Self::flush_regularly);
        if self.settings.sync_flush {
            ctx.run_later(self.settings.sync_timeout / 8, Self::give_up_on_flush);
        }
    }
}

impl Handler<Append> for CommitlogWriter {
    type Result = ();

    fn handle(&mut self, append: Append, ctx: &mut Self::Context) {
        if self.stopping.is_some() {
            self.answer(append, Outcome::Stopping);
        } else {
            self.take(append, ctx);
        }
    }
}
