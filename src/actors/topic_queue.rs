//! One ConsumeQueue: where its messages lie, and who waits for more of them.
//!
//! Owns: the queue's files for reading, the entries that are not in them yet, its waiting pulls.
//! Hears: [`Entries`], [`Ask`], [`Retire`] and `Stop` from its parent, [`EntriesWritten`] from the queue files.
//! Tells: [`Pulled`] to sessions, [`WriteEntries`] to the queue files, [`Unwatched`] and [`Retired`] to its parent.
//!
//! Invariants: entries are dense; nothing is answered that lies beyond the readable end of the log; a waiting pull is
//! answered when a message comes that its filter lets through, at its deadline, or when the queue ends; a pull that a custom
//! filter has is answered within the filter's patience, and meanwhile holds up no other.

mod filtering;
mod messages;
mod pace;
mod pull;
mod sifting;
mod tail;

use std::time::Instant;

use actix::prelude::*;
use tokio::sync::oneshot;

pub use self::messages::{
    Ask, Entries, PullAsk, PullStatus, Pulled, PulledTo, QueueMessage, Retire, Retired, Unwatched, Wish,
};
use self::pace::Paces;
pub use self::pull::Limits;
use self::pull::{Examined, Source};
use self::tail::Tail;
use crate::actors::Stop;
use crate::actors::commitlog_writer::CloseQueue;
use crate::actors::log::QueueSlot;
use crate::actors::log::ahead::Ahead;
use crate::actors::log::doors::{Boundary, QueueEntry, QueueError, QueueRange};
use crate::actors::log::queue_files::{EntriesWritten, RoundId, WriteEntries};
use crate::protocol::names::{QueueKey, QueueOffset};
use crate::protocol::record::store_timestamp_at;
use crate::rules::sql;
use crate::store::consume_queue::{ConsumeQueue, ENTRY_BYTES, Entry};
use crate::store::log_view::LogView;

/// Pulls that wait at one queue at most; one more is answered as if its time had come.
const WAITING_MAX: usize = 20_000;

/// Who this queue is and whom it knows.
#[derive(Clone)]
pub struct QueueRoots {
    pub slot: QueueSlot,
    pub key: QueueKey,
    pub view: LogView,
    pub limits: Limits,
    pub ahead: Ahead,
    pub files: Recipient<WriteEntries>,
    pub parent: (Recipient<Unwatched>, Recipient<Retired>),
    pub writer: Recipient<CloseQueue>,
}

/// One ConsumeQueue. See the module.
pub struct TopicQueue {
    roots: QueueRoots,
    queue: ConsumeQueue,
    tail: Tail,
    waiting: Vec<Waiting>,
    /// Pulls that a custom filter has.
    filtering: usize,
    /// How much their filters let through.
    paces: Paces,
    scratch: sql::Scratch,
    /// When the timer for waiting pulls rings, if it is set.
    alarm: Option<Instant>,
    /// Pulls that may wait, counted since the start: the parent counts too, so that neither misses the other's last word.
    watched: u64,
}

struct Waiting {
    pull: PullAsk,
    deadline: Instant,
}

impl TopicQueue {
    /// A queue whose files were opened; `unwritten` are entries that follow what is in them.
    #[must_use]
    pub fn new(roots: QueueRoots, queue: ConsumeQueue, unwritten: Vec<u8>) -> Self {
        let tail = Tail::new(queue.end(), unwritten, &roots.ahead);
        let (waiting, paces, scratch) = (Vec::new(), Paces::default(), sql::Scratch::default());
        Self { roots, queue, tail, waiting, filtering: 0, paces, scratch, alarm: None, watched: 0 }
    }

    fn range(&self) -> QueueRange {
        QueueRange { min: self.queue.min(), max: self.tail.end() }
    }

    fn source(&mut self) -> Source<'_> {
        Source { view: &self.roots.view, queue: &mut self.queue, tail: &self.tail, scratch: &mut self.scratch }
    }

    /// Answers the pull, or makes it wait.
    fn pull(&mut self, pull: PullAsk, ctx: &mut Context<Self>) {
        self.watched += u64::from(pull.hold.is_some());
        let deadline = pull.hold.map(|hold| Instant::now() + hold);
        self.look(pull, deadline, ctx);
        self.tell_if_unwatched();
    }

    /// Answers the pull, or makes it wait until `deadline`.
    fn look(&mut self, pull: PullAsk, deadline: Option<Instant>, ctx: &mut Context<Self>) {
        let limits = self.roots.limits;
        match self.source().examine(&pull, &limits, false) {
            Ok(Examined::Done(pulled)) => match deadline {
                Some(deadline) if pulled.may_wait() => self.wait(pull, deadline, ctx),
                _ => pull.reply.do_send(pulled),
            },
            Ok(Examined::Sift(from)) => self.sift(pull, from, deadline, ctx),
            Ok(Examined::Cold) => self.pull_cold(pull, ctx),
            Err(error) => pull.fail(&error),
        }
    }

    /// Reads what is not in memory on a thread where waiting is allowed.
    fn pull_cold(&mut self, pull: PullAsk, ctx: &mut Context<Self>) {
        let (view, limits) = (self.roots.view.clone(), self.roots.limits);
        let (mut queue, tail) = (self.queue.another(), self.tail.copy());
        let read = async move {
            let read = tokio::task::spawn_blocking(move || {
                let mut scratch = sql::Scratch::default();
                let mut source = Source { view: &view, queue: &mut queue, tail: &tail, scratch: &mut scratch };
                match source.examine(&pull, &limits, true) {
                    Ok(Examined::Done(pulled)) => pull.reply.do_send(pulled),
                    Ok(Examined::Sift(_) | Examined::Cold) => pull.fail("a read that may wait said that it would"),
                    Err(error) => pull.fail(&error),
                }
            });
            if let Err(error) = read.await {
                tracing::error!(%error, "a cold read ended by a panic");
            }
        };
        ctx.spawn(actix::fut::wrap_future(read));
    }

    fn wait(&mut self, pull: PullAsk, deadline: Instant, ctx: &mut Context<Self>) {
        if self.waiting.len() >= WAITING_MAX {
            self.give_up(pull, ctx);
            return;
        }
        self.waiting.push(Waiting { pull, deadline });
        self.set_alarm(deadline, ctx);
    }

    fn set_alarm(&mut self, deadline: Instant, ctx: &mut Context<Self>) {
        if self.alarm.is_none_or(|alarm| deadline < alarm) {
            self.alarm = Some(deadline);
            ctx.run_later(deadline.saturating_duration_since(Instant::now()), |queue, ctx| queue.ring(ctx));
        }
    }

    fn ring(&mut self, ctx: &mut Context<Self>) {
        self.alarm = None;
        let now = Instant::now();
        let due: Vec<Waiting> = self.waiting.extract_if(.., |waiting| waiting.deadline <= now).collect();
        due.into_iter().for_each(|waiting| self.give_up(waiting.pull, ctx));
        if let Some(next) = self.waiting.iter().map(|waiting| waiting.deadline).min() {
            self.set_alarm(next, ctx);
        }
        self.tell_if_unwatched();
    }

    /// Answers a pull whose time has come with whatever there is, mostly nothing.
    fn give_up(&mut self, mut pull: PullAsk, ctx: &mut Context<Self>) {
        pull.hold = None;
        let limits = self.roots.limits;
        match self.source().examine(&pull, &limits, false) {
            Ok(Examined::Done(pulled)) => pull.reply.do_send(pulled),
            Ok(Examined::Sift(from)) => self.sift(pull, from, None, ctx),
            Ok(Examined::Cold) => pull.fail("the message is not in memory; pull again"),
            Err(error) => pull.fail(&error),
        }
    }

    /// Serves the waiting pulls that the new entries are for.
    fn wake(&mut self, new_bytes: usize, ctx: &mut Context<Self>) {
        if self.waiting.is_empty() {
            return;
        }
        let end = self.tail.end();
        let new = self.tail.newest(new_bytes).as_chunks::<ENTRY_BYTES>().0;
        let mut waiting = std::mem::take(&mut self.waiting);
        let (view, tail) = (&self.roots.view, &self.tail);
        let mut source = Source { view, queue: &mut self.queue, tail, scratch: &mut self.scratch };
        let wanted = |waiting: &mut Waiting| {
            let wish = &waiting.pull.wish;
            let wanted = new.iter().any(|entry| source.may_want(wish, &Entry::decode(entry)));
            if !wanted && wish.needs_records() {
                // They are not looked at again.
                waiting.pull.from = end as i64;
            }
            wanted
        };
        let woken: Vec<Waiting> = waiting.extract_if(.., wanted).collect();
        self.waiting = waiting;
        for Waiting { pull, deadline } in woken {
            self.look(pull, Some(deadline), ctx);
        }
        self.tell_if_unwatched();
    }

    fn tell_if_unwatched(&self) {
        if self.waiting.is_empty() && self.filtering == 0 {
            self.roots.parent.0.do_send(Unwatched { slot: self.roots.slot, watched: self.watched });
        }
    }

    /// Hands what is only in memory to the queue files.
    fn write_out(&mut self, round: RoundId, ctx: &mut Context<Self>) {
        let (from, entries) = self.tail.hand_over();
        let (slot, key, reply) = (self.roots.slot, self.roots.key.clone(), ctx.address().recipient());
        self.roots.files.do_send(WriteEntries { round, slot, key, from, entries, reply });
    }

    fn entry(&mut self, offset: QueueOffset) -> Result<Option<Entry>, QueueError> {
        self.source().entry(offset).map_err(|error| QueueError::Read(error.to_string()))
    }

    fn store_time(&mut self, offset: QueueOffset) -> Result<Option<i64>, QueueError> {
        let Some(entry) = self.entry(offset)? else { return Ok(None) };
        let head = self.roots.view.read(entry.at, 80).map_err(|error| QueueError::Read(error.to_string()))?;
        let timestamp = head.and_then(|head| {
            let at = store_timestamp_at(crate::protocol::record::sys_flag_of(&head)?);
            Some(i64::from_be_bytes(*head.get(at..)?.first_chunk::<8>()?))
        });
        Ok(timestamp)
    }

    fn offset_by_time(&mut self, timestamp_ms: i64, boundary: Boundary) -> Result<QueueOffset, QueueError> {
        let range = self.range();
        let (mut from, mut to) = (range.min, range.max);
        while from < to {
            let middle = from + (to - from) / 2;
            let stored = self.store_time(middle)?.unwrap_or(i64::MIN);
            let before = if boundary == Boundary::Lower { stored < timestamp_ms } else { stored <= timestamp_ms };
            if before {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        Ok(if boundary == Boundary::Lower { from } else { from.saturating_sub(1).max(range.min) })
    }

    /// Gives entries from `from` on, perhaps fewer than there are; those of the files are read where waiting is allowed.
    fn entries(&self, from: QueueOffset, count: usize, reply: oneshot::Sender<Result<Vec<QueueEntry>, QueueError>>) {
        let from = from.max(self.queue.min());
        let mut found = Vec::new();
        if from >= self.tail.start() {
            while let Some(bytes) = self.tail.from(from + found.len() as u64).filter(|bytes| !bytes.is_empty()) {
                push_entries(&mut found, from, bytes, count);
                if found.len() >= count {
                    break;
                }
            }
            // A reply that nobody waits for any more is dropped.
            let _ = reply.send(Ok(found));
            return;
        }
        let (mut queue, count) = (self.queue.another(), count.min((self.tail.start() - from) as usize));
        tokio::task::spawn_blocking(move || {
            while found.len() < count {
                match queue.read(from + found.len() as u64, true) {
                    Ok(None | Some([])) => break,
                    Ok(Some(bytes)) => push_entries(&mut found, from, bytes, count),
                    Err(error) => return drop(reply.send(Err(QueueError::Read(error.to_string())))),
                }
            }
            let _ = reply.send(Ok(found));
        });
    }
}

/// Adds whole entries to those from `from` on, until there are `count`.
fn push_entries(found: &mut Vec<QueueEntry>, from: QueueOffset, bytes: &[u8], count: usize) {
    for bytes in bytes.as_chunks::<ENTRY_BYTES>().0.iter().take(count - found.len()) {
        let (Entry { at, size, tag_code }, offset) = (Entry::decode(bytes), from + found.len() as u64);
        found.push(QueueEntry { offset, at, size, tag_code });
    }
}

impl Actor for TopicQueue {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(0);
    }
}

impl Drop for TopicQueue {
    /// Whoever still waits hears that the queue is gone, also when it ended by a panic.
    fn drop(&mut self) {
        self.waiting.drain(..).for_each(|waiting| waiting.pull.unavailable());
    }
}

impl Handler<Entries> for TopicQueue {
    type Result = ();

    fn handle(&mut self, entries: Entries, ctx: &mut Self::Context) {
        // Entries come twice after a rebuild: what is there already is passed over, a gap can only be a lost message.
        let (from, end, round) = (entries.from, self.tail.end(), entries.round);
        let new_bytes = self.tail.append(entries);
        assert!(new_bytes.is_some(), "{}: entries from {from} after {end}", self.roots.key);
        self.wake(new_bytes.unwrap_or_default(), ctx);
        if let Some(round) = round {
            self.write_out(round, ctx);
        }
    }
}

impl Handler<QueueMessage> for TopicQueue {
    type Result = ();

    fn handle(&mut self, message: QueueMessage, ctx: &mut Self::Context) {
        // A reply that nobody waits for any more is dropped.
        match message.ask {
            Ask::Pull(pull) => self.pull(pull, ctx),
            Ask::Range(reply) => drop(reply.send(self.range())),
            Ask::OffsetByTime { timestamp_ms, boundary, reply } => {
                let _ = reply.send(self.offset_by_time(timestamp_ms, boundary));
            }
            Ask::StoreTime { offset, reply } => drop(reply.send(self.store_time(offset))),
            Ask::Entries { from, count, reply } => self.entries(from, count, reply),
        }
    }
}

impl Handler<EntriesWritten> for TopicQueue {
    type Result = ();

    fn handle(&mut self, written: EntriesWritten, _: &mut Self::Context) {
        self.queue.grown(written.upto);
        self.tail.written(written.upto);
    }
}

impl Handler<Retire> for TopicQueue {
    type Result = ();

    fn handle(&mut self, _: Retire, ctx: &mut Self::Context) {
        if !self.waiting.is_empty() || self.filtering > 0 || !self.tail.is_empty() {
            return;
        }
        self.queue.rest();
        let end = self.tail.end();
        let asked = self.roots.writer.send(CloseQueue { slot: self.roots.slot, end });
        // The parent ends the actor by letting go of its address, unless somebody came meanwhile.
        ctx.spawn(actix::fut::wrap_future::<_, Self>(asked).map(move |agreed, queue, _| {
            if agreed.is_ok_and(|agreed| agreed) {
                queue.roots.parent.1.do_send(Retired { slot: queue.roots.slot, end });
            }
        }));
    }
}

impl Handler<Stop> for TopicQueue {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
