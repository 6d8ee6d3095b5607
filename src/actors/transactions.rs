//! Transactions: what becomes of half messages.
//!
//! Owns: ends of transactions that no op message tells yet; what was done lately to which half message; when the check
//! runs.
//! Hears: [`EndHalves`] from sessions, `Move` and `Moved` from its own check, `Stop`.
//! Tells: the writer committed messages, op messages and copies of half messages; the members whom to ask; the offsets how
//! far the check has come.
//!
//! Invariants: a half message stays until an op message ends it or a copy takes its place, so whatever ends at any point,
//! its producer is asked again. An op message follows the committed message that it is about, within
//! `transactionOpBatchInterval`; a broker that is killed between the two asks once more. Nothing is kept for a half
//! message that has not ended: the check reads the two queues from where it came to, as `check` tells.

mod check;
mod claims;
mod ended;
mod messages;
mod ops;
pub mod records;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use arc_swap::ArcSwap;
use tokio::sync::oneshot;
use tokio::time::Instant;

use self::check::Check;
use self::claims::{Claims, Granted, Half, Moving};
pub use self::messages::{End, EndError, EndHalves, Endings, Verdict};
use self::messages::{Movable, Move, Moved};
use self::ops::PendingOps;
use crate::actors::Stop;
use crate::actors::catalog::members::Members;
use crate::actors::catalog::offsets::Offsets;
use crate::actors::catalog::topics::Topics;
use crate::actors::commitlog_writer::Batch;
use crate::actors::door::Door;
use crate::actors::log::doors::LogDoors;
use crate::actors::log::draft::QueueCode;
use crate::actors::log::own_appends::Placed;
use crate::config::{BrokerConfig, BrokerRole};
use crate::protocol::names::{HALF_TOPIC, LogOffset, QueueKey, Topic};
use crate::protocol::record::{NewRecord, Record};
use crate::store::consume_queue::queue_dir;

/// Committed messages are handed to the writer when they have this many bytes, also while more are coming.
const BATCH_BYTES_MAX: usize = 512 * 1024;
/// Ends that wait for their op messages at most, in bytes of these; past them none is taken.
const PENDING_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest pause between two looks at the clock: a changed interval is heeded so soon.
const TICK_MAX: Duration = Duration::from_secs(1);

/// Whom the transactions tell and ask. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ways {
    pub config: Arc<ArcSwap<BrokerConfig>>,
    pub log: LogDoors,
    pub topics: Door<Topics>,
    pub offsets: Door<Offsets>,
    pub members: Door<Members>,
}

/// Messages that are being committed.
#[derive(Default)]
struct Committing {
    batch: Batch,
    /// One for each record of the batch.
    halves: Vec<Ending>,
    /// Those who wait for the batch, with what is known so far.
    waiting: Vec<(Endings, oneshot::Sender<Endings>)>,
}

/// A half message that is being committed, and where its answer goes.
struct Ending {
    half: Half,
    /// Number of who waits for it.
    waiting: usize,
    /// Number of its end among those of who waits.
    end: usize,
}

/// The owner.
pub struct Transactions {
    ways: Ways,
    claims: Claims,
    committing: Committing,
    /// Where the properties of a committed message are made.
    text: Vec<u8>,
    pending: PendingOps,
    /// An op message is due.
    armed: bool,
    /// When the last check ended; `None` while one runs.
    checked: Option<Instant>,
    /// There were half messages when the owner began.
    was_used: bool,
    /// The readable end of the log below which every half message has ended.
    all_ended_at: Option<LogOffset>,
    /// Nothing more is moved; whoever stops the broker waits until the check that runs has heard so.
    stopping: Option<oneshot::Sender<()>>,
    stopped: bool,
}

/// Whether a queue of half messages has files. Looks at the disk, once at the start.
fn was_ever_used(ways: &Ways) -> bool {
    let Some(entry) = ways.log.topics.get(HALF_TOPIC) else { return false };
    let root = &ways.config.load().store.data_dir;
    let key = |queue| QueueKey { topic: entry.config.topic.clone(), queue };
    (0..entry.config.read_queues).any(|queue| queue_dir(root, &key(queue)).exists())
}

/// Whether a half message was sent since the broker started. Where there never was one, nothing is searched, and idle
/// queues cost nothing.
fn is_used(ways: &Ways) -> bool {
    ways.log.topics.get(HALF_TOPIC).is_some_and(|entry| entry.counters.messages.value() > 0)
}

/// The wait for something that the owner began, which it then goes on with.
type Step = ResponseActFuture<Transactions, ()>;

impl Transactions {
    #[must_use]
    pub fn new(ways: Ways) -> Self {
        Self {
            was_used: was_ever_used(&ways),
            ways,
            all_ended_at: None,
            claims: Claims::default(),
            committing: Committing::default(),
            text: Vec::new(),
            pending: PendingOps::default(),
            armed: false,
            checked: Some(Instant::now()),
            stopping: None,
            stopped: false,
        }
    }

    fn end(&mut self, EndHalves { ends, reply }: EndHalves, context: &mut Context<Self>) {
        let committing = self.committing.halves.len();
        let mut endings = Endings::with_capacity(ends.len());
        for end in &ends {
            let ending = self.end_one(end, endings.len(), context);
            endings.push(ending);
        }
        if self.committing.halves.len() == committing {
            let _ = reply.send(endings);
            return;
        }
        self.committing.waiting.push((endings, reply));
        if self.committing.batch.bytes.len() >= BATCH_BYTES_MAX {
            let stored = self.store_committed();
            context.spawn(stored);
        } else if self.committing.waiting.len() == 1 {
            // Heard after everything that is in the mailbox now.
            context.notify(Gathered);
        }
    }

    /// What is known at once of an end; a commit succeeds until storing its message fails.
    fn end_one(&mut self, end: &End, number: usize, context: &mut Context<Self>) -> Result<(), EndError> {
        let waiting = self.pending.bytes();
        if waiting > PENDING_BYTES_MAX {
            return Err(EndError::Crowded(waiting));
        }
        let record = end.half.parts().map_err(|_| EndError::NoTarget)?;
        let half = match self.claims.end((record.queue, record.queue_offset), end.verdict)? {
            Granted::Now(half) => half,
            Granted::Before => return Ok(()),
        };
        if end.verdict == Verdict::Rollback {
            self.note(half, context);
            return Ok(());
        }
        if let Err(error) = self.put(&record) {
            self.claims.release(half);
            return Err(error);
        }
        let waiting = self.committing.waiting.len();
        self.committing.halves.push(Ending { half, waiting, end: number });
        Ok(())
    }

    fn put(&mut self, half: &Record<'_>) -> Result<(), EndError> {
        self.text.clear();
        let committed = records::Committed::of(half, &mut self.text).ok_or(EndError::NoTarget)?;
        let entry = match self.ways.log.topics.get(committed.topic) {
            Some(entry) => entry,
            None => return Err(Topic::new(committed.topic).map_or(EndError::NoTarget, EndError::TopicGone)),
        };
        let pieces: [&[u8]; 1] = [&self.text];
        let record = NewRecord { properties: &pieces, ..committed.record(half) };
        let what = (record, committed.seen);
        Ok(self.ways.log.own.add(&mut self.committing.batch, &entry, what, QueueCode::Tag)?)
    }

    /// Stores what is being committed; resolves when all of it is answered.
    fn store_committed(&mut self) -> Step {
        let Committing { batch, halves, mut waiting } = std::mem::take(&mut self.committing);
        let stored = self.ways.log.own.append(batch);
        Box::pin(actix::fut::wrap_future::<_, Self>(stored).map(move |placed, transactions, context| {
            for (Ending { half, waiting: who, end }, placed) in halves.into_iter().zip(placed) {
                let stored = transactions.stored(half, placed, context);
                if let Some(ending) = waiting.get_mut(who).and_then(|(endings, _)| endings.get_mut(end)) {
                    *ending = stored;
                }
            }
            // Whoever waited may be gone.
            waiting.into_iter().for_each(|(endings, reply)| drop(reply.send(endings)));
        }))
    }

    fn stored(&mut self, half: Half, placed: Placed, context: &mut Context<Self>) -> Result<(), EndError> {
        if placed.is_stored() {
            self.claims.committed(half);
            self.note(half, context);
            return Ok(());
        }
        self.claims.release(half);
        Err(EndError::NotStored(placed.outcome))
    }

    /// Notes that `half` ended, for the next op message.
    fn note(&mut self, half: Half, context: &mut Context<Self>) {
        let rules = &self.ways.config.load().send.transactions;
        if self.pending.note(half) >= rules.op_bytes_max as usize {
            let written = self.write_ops();
            context.spawn(written);
        } else if !self.armed {
            self.armed = true;
            let pause = Duration::from_millis(rules.op_interval_ms.into());
            context.run_later(pause, |transactions, context| {
                transactions.armed = false;
                let written = transactions.write_ops();
                context.spawn(written);
            });
        }
    }

    /// Writes op messages of all ends that wait for one; what cannot be stored waits on.
    fn write_ops(&mut self) -> Step {
        let bytes_max = self.ways.config.load().send.transactions.op_bytes_max as usize;
        let texts = self.pending.take(bytes_max);
        let (batch, texts) = ops::batch(&self.ways.log, texts);
        let stored = self.ways.log.own.append(batch);
        Box::pin(actix::fut::wrap_future::<_, Self>(stored).map(move |placed, transactions, context| {
            let failed: Vec<_> =
                texts.into_iter().zip(placed).filter(|(_, placed)| !placed.is_stored()).map(|(text, _)| text).collect();
            if failed.is_empty() {
                return;
            }
            tracing::warn!(
                op_messages = failed.len(),
                "ends of transactions could not be stored; they are tried again"
            );
            transactions.pending.put_back(failed);
            if !transactions.armed {
                transactions.armed = true;
                context.run_later(TICK_MAX, |transactions, context| {
                    transactions.armed = false;
                    let written = transactions.write_ops();
                    context.spawn(written);
                });
            }
        }))
    }

    /// Looks at the clock, and begins a check when it is time.
    fn tick(&mut self, context: &mut Context<Self>) {
        let config = self.ways.config.load();
        let interval = Duration::from_millis(config.send.transactions.check_interval_ms);
        let is_due = self.checked.is_some_and(|checked| checked.elapsed() >= interval);
        // A half message counts before it can be read, so the end of the log tells what a search could not see yet.
        let readable = self.ways.log.log_range().1;
        let is_used = self.was_used || is_used(&self.ways);
        if is_due
            && is_used
            && self.all_ended_at != Some(readable)
            && !self.stopped
            && config.identity.role != BrokerRole::Slave
        {
            self.checked = None;
            let check = Check::new(self.ways.clone(), context.address());
            // What ended is to be told before it is asked about.
            let checked = self.write_ops().then(move |(), _, _| actix::fut::wrap_future::<_, Self>(check.run())).map(
                move |all_ended, transactions, _| {
                    transactions.checked = Some(Instant::now());
                    transactions.all_ended_at = all_ended.then_some(readable);
                    if let Some(waiting) = transactions.stopping.take() {
                        let _ = waiting.send(());
                    }
                },
            );
            context.spawn(checked);
        }
        context.run_later(interval.min(TICK_MAX), Self::tick);
    }
}

/// To itself: everything that came along with the first commit is heard.
#[derive(Message)]
#[rtype(result = "()")]
struct Gathered;

impl Actor for Transactions {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        self.tick(context);
    }
}

impl Handler<EndHalves> for Transactions {
    type Result = ();

    fn handle(&mut self, ends: EndHalves, context: &mut Context<Self>) {
        self.end(ends, context);
    }
}

impl Handler<Gathered> for Transactions {
    type Result = ();

    fn handle(&mut self, _: Gathered, context: &mut Context<Self>) {
        let stored = self.store_committed();
        context.spawn(stored);
    }
}

impl Handler<Move> for Transactions {
    type Result = MessageResult<Move>;

    fn handle(&mut self, wish: Move, _: &mut Context<Self>) -> Self::Result {
        if self.stopped {
            return MessageResult(Movable { until: wish.offsets.first().copied(), ..Movable::default() });
        }
        let mut movable = Movable::default();
        for offset in wish.offsets {
            match self.claims.begin_move((wish.queue, offset)) {
                Moving::Begun => drop(movable.free.insert(offset)),
                Moving::Needless => {}
                Moving::UnderWay => {
                    movable.until = Some(offset);
                    break;
                }
            }
        }
        MessageResult(movable)
    }
}

impl Handler<Moved> for Transactions {
    type Result = ();

    fn handle(&mut self, moved: Moved, _: &mut Context<Self>) {
        for (offset, place) in moved.places {
            match place {
                Some(to) => self.claims.moved((moved.queue, offset), to),
                None => self.claims.release((moved.queue, offset)),
            }
        }
    }
}

impl Handler<Stop> for Transactions {
    type Result = Step;

    /// Sessions are gone: nothing more comes. How far the check came is told before the answer.
    fn handle(&mut self, _: Stop, _: &mut Context<Self>) -> Self::Result {
        self.stopped = true;
        let (told, check_ended) = oneshot::channel();
        if self.checked.is_none() {
            self.stopping = Some(told);
        }
        let check_ended = actix::fut::wrap_future::<_, Self>(check_ended).map(|_, _, _| ());
        let settled = self.store_committed().then(|(), transactions, _| transactions.write_ops());
        Box::pin(settled.then(move |(), _, _| check_ended))
    }
}
