//! The topic queues of one arbiter: their parent.
//!
//! Owns: which queues have an actor, what they have not been told yet, the rounds in which they write.
//! Hears: [`Dispatch`] and [`OpenQueue`] from the writer, [`ToQueue`] from sessions and handlers, [`Unwatched`] and
//! [`Retired`] from its queues, [`DropQueues`], `Stop`.
//! Tells: `Entries` and questions to its queues, [`QueueOpened`] to the writer, [`Round`] to the queue files.
//!
//! Invariants: a queue hears its entries in order, before any question that was asked after they were dispatched; a queue
//! that ended by a panic is built again from disk and log; a queue that nobody waits for costs a few bytes in a buffer.

mod child;
mod pending;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use actix::prelude::*;
use rustc_hash::FxBuildHasher;

use self::child::{Built, Child, State};
use self::pending::Pending;
use super::QueueSlot;
use super::queue_files::{Round, RoundId, RoundWritten};
use crate::actors::Stop;
use crate::actors::commitlog_writer::{Notice, QueueOpened};
use crate::actors::crash::{CountQueues, Crash, CrashQueue};
use crate::actors::topic_queue::{Ask, QueueMessage, Retire, Retired, Unwatched};
use crate::protocol::names::{LogOffset, QueueKey, QueueOffset};
pub use child::QueueRecipe;

/// Entries for which a round comes before its time: so many in all and for each queue that has some.
const ROUND_ENTRIES_MIN: usize = 128 * 1024;
const ROUND_ENTRIES_EACH: usize = 32;
/// A round that did not end after this time has lost a queue; the next one is not held up by it.
const ROUND_PATIENCE: Duration = Duration::from_secs(10);
/// How often queues that nobody waits for hear of their entries and write them.
const ROUND_INTERVAL: Duration = Duration::from_secs(1);
/// A queue to which nothing happens for so many [`ROUND_INTERVAL`]s is asked to end.
const IDLE_TICKS: u64 = 60;
/// Questions that wait while their queue is being opened.
const ASKS_WAITING_MAX: usize = 20_000;

/// From the writer: records became readable. In log order.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Dispatch {
    /// Of this arbiter's queues; all of them below `upto`.
    pub notices: Vec<Notice>,
    /// End of the log that was dispatched with this.
    pub upto: LogOffset,
}

/// From the writer: where does this queue go on? `key` is `None` when the record does not say, which is an error.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct OpenQueue {
    pub slot: QueueSlot,
    pub key: Option<QueueKey>,
}

/// A question for a queue.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct ToQueue {
    pub slot: QueueSlot,
    pub key: QueueKey,
    pub ask: Ask,
}

/// From whoever deletes a topic, when the writer writes to it no more: end these queues.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct DropQueues {
    pub slots: Vec<QueueSlot>,
}

/// The parent. See the module.
pub struct Queues {
    arbiter: usize,
    recipe: QueueRecipe,
    /// By slot.
    children: HashMap<QueueSlot, Child, FxBuildHasher>,
    /// Where queues end whose actor has ended in this process; others are looked up in their files.
    ends: HashMap<QueueSlot, QueueOffset>,
    pending: Pending,
    round: u64,
    /// When the round began that is being written.
    writing: Option<Instant>,
    /// Counts [`ROUND_INTERVAL`]s.
    tick: u64,
    /// Everything below was dispatched to here.
    seen: LogOffset,
}

impl Queues {
    /// The queues of the arbiter with this number, of so many.
    #[must_use]
    pub fn new(arbiter: usize, arbiters: usize, recipe: QueueRecipe) -> Self {
        let pending = Pending::new(arbiters, recipe.ahead.clone());
        let seen = recipe.view.readable();
        Self {
            arbiter,
            recipe,
            children: HashMap::default(),
            ends: HashMap::new(),
            pending,
            round: 0,
            writing: None,
            tick: 0,
            seen,
        }
    }

    /// The child of `slot`, which was told everything; one that is not there is built.
    fn child(&mut self, slot: QueueSlot, key: &QueueKey, ctx: &mut Context<Self>) -> &mut Child {
        let Self { recipe, ends, pending, .. } = self;
        let child = self.children.entry(slot).or_insert_with(|| {
            let known_end = ends.get(&slot).copied();
            recipe.build(slot, key.clone(), known_end, ctx);
            pending.know(slot, false);
            Child::opening(key.clone())
        });
        if let Some(entries) = pending.take(slot) {
            child.entries(entries);
        }
        child
    }

    /// Tells the queue everything, and notes whether somebody waits there.
    fn look_at(&mut self, slot: QueueSlot) {
        let Some(child) = self.children.get_mut(&slot) else { return };
        self.pending.know(slot, child.is_watched());
        if let Some(entries) = self.pending.take(slot) {
            child.entries(entries);
        }
    }

    fn work_regularly(&mut self, ctx: &mut Context<Self>) {
        self.tick += 1;
        if self.is_round_over() {
            self.write_round();
        }
        self.retire_idle();
        ctx.run_later(ROUND_INTERVAL, Self::work_regularly);
    }

    fn is_round_over(&self) -> bool {
        self.writing.is_none_or(|began| began.elapsed() >= ROUND_PATIENCE)
    }

    /// Lets all queues write what they have; their files then hold everything below what was seen.
    fn write_round(&mut self) {
        let upto = self.seen;
        self.round += 1;
        let id = RoundId { arbiter: self.arbiter, number: self.round };
        let mut writing = 0;
        let mut whole = true;
        for slot in self.pending.take_dirty() {
            let Some(child) = self.children.get_mut(&slot) else { continue };
            child.active = self.tick;
            let entries = self.pending.take(slot).unwrap_or_else(|| self.pending.nothing(child.told_end()));
            if child.write_out(entries, id) {
                writing += 1;
            } else {
                whole = false;
                self.pending.mark_dirty(slot);
            }
        }
        let round = Round { id, queues: writing, upto: whole.then_some(upto) };
        self.writing = Some(Instant::now());
        self.recipe.rounds.do_send(round);
    }

    fn retire_idle(&mut self) {
        for (slot, child) in &mut self.children {
            if let State::Open(addr) = &child.state
                && self.pending.is_clean(*slot)
                && child.active + IDLE_TICKS == self.tick
            {
                child.retiring = true;
                addr.do_send(Retire);
            }
        }
    }
}

impl Actor for Queues {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_later(ROUND_INTERVAL, Self::work_regularly);
    }
}

impl Handler<Dispatch> for Queues {
    type Result = ();

    fn handle(&mut self, dispatch: Dispatch, _: &mut Self::Context) {
        self.pending.note(&dispatch.notices);
        self.seen = self.seen.max(dispatch.upto);
        for slot in self.pending.take_awaited() {
            self.look_at(slot);
        }
        if self.pending.are_many(ROUND_ENTRIES_EACH, ROUND_ENTRIES_MIN) && self.is_round_over() {
            self.write_round();
        }
    }
}

impl Handler<RoundWritten> for Queues {
    type Result = ();

    fn handle(&mut self, written: RoundWritten, _: &mut Self::Context) {
        if written.id.number == self.round {
            self.writing = None;
        }
        written.failed.into_iter().for_each(|slot| self.pending.mark_dirty(slot));
    }
}

impl Handler<OpenQueue> for Queues {
    type Result = ();

    fn handle(&mut self, open: OpenQueue, ctx: &mut Self::Context) {
        let Some(key) = open.key else {
            let next = Err("the record does not say which queue it is for".into());
            self.recipe.writer.do_send(QueueOpened { slot: open.slot, next });
            return;
        };
        let writer = self.recipe.writer.clone();
        self.child(open.slot, &key, ctx).tell_end(open.slot, &writer);
    }
}

impl Handler<ToQueue> for Queues {
    type Result = ();

    fn handle(&mut self, message: ToQueue, ctx: &mut Self::Context) {
        let tick = self.tick;
        let child = self.child(message.slot, &message.key, ctx);
        child.active = tick;
        child.ask(QueueMessage { ask: message.ask }, ASKS_WAITING_MAX);
        let watched = child.is_watched();
        self.pending.know(message.slot, watched);
    }
}

impl Handler<Unwatched> for Queues {
    type Result = ();

    fn handle(&mut self, message: Unwatched, _: &mut Self::Context) {
        if let Some(child) = self.children.get_mut(&message.slot) {
            child.unwatched(message.watched);
            let watched = child.is_watched();
            self.pending.know(message.slot, watched);
        }
    }
}

impl Handler<Retired> for Queues {
    type Result = ();

    fn handle(&mut self, message: Retired, _: &mut Self::Context) {
        // A queue to which somebody came meanwhile goes on; the writer asks it for its end again.
        let is_quiet = self.pending.is_told(message.slot) && self.pending.is_clean(message.slot);
        if is_quiet && self.children.get(&message.slot).is_some_and(|child| child.retiring) {
            self.ends.insert(message.slot, message.end);
            self.children.remove(&message.slot);
            self.pending.forget(message.slot);
        }
    }
}

impl Handler<Built> for Queues {
    type Result = ();

    fn handle(&mut self, built: Built, ctx: &mut Self::Context) {
        let writer = self.recipe.writer.clone();
        let Some(child) = self.children.get_mut(&built.slot) else { return };
        match built.result {
            Ok(queue) => {
                let addr = self.recipe.start(built.slot, child.key.clone(), queue.0, queue.1, ctx);
                child.opened(addr, queue.2, built.slot, &writer);
                self.look_at(built.slot);
            }
            Err(error) => {
                tracing::error!(queue = %child.key, %error, "a queue cannot be opened");
                child.failed(&error, built.slot, &writer);
                let (recipe, key) = (self.recipe.clone(), child.key.clone());
                let delay = child.back_off();
                ctx.run_later(delay, move |_, ctx| recipe.rebuild(built.slot, key, ctx));
            }
        }
    }
}

impl Handler<child::Ended> for Queues {
    type Result = ();

    fn handle(&mut self, ended: child::Ended, ctx: &mut Self::Context) {
        let Some(child) = self.children.get_mut(&ended.slot) else { return };
        tracing::error!(queue = %child.key, reason = %ended.reason, "a queue ended by a panic; it is built again from disk");
        let delay = child.break_down();
        let (recipe, key) = (self.recipe.clone(), child.key.clone());
        self.ends.remove(&ended.slot);
        self.pending.know(ended.slot, false);
        self.pending.mark_dirty(ended.slot);
        ctx.run_later(delay, move |queues, ctx| {
            if let Some(child) = queues.children.get_mut(&ended.slot) {
                child.reopen();
                recipe.rebuild(ended.slot, key, ctx);
            }
        });
    }
}

impl Handler<CrashQueue> for Queues {
    type Result = ();

    fn handle(&mut self, crash: CrashQueue, _: &mut Self::Context) {
        if let Some(State::Open(queue)) = self.children.get(&crash.slot).map(|child| &child.state) {
            queue.do_send(Crash);
        }
    }
}

impl Handler<CountQueues> for Queues {
    type Result = usize;

    fn handle(&mut self, _: CountQueues, _: &mut Self::Context) -> usize {
        self.children.len()
    }
}

impl Handler<DropQueues> for Queues {
    type Result = ();

    fn handle(&mut self, message: DropQueues, _: &mut Self::Context) {
        for slot in &message.slots {
            self.ends.remove(slot);
            self.pending.forget(*slot);
            if let Some(child) = self.children.remove(slot) {
                child.end();
            }
        }
    }
}

impl Handler<Stop> for Queues {
    type Result = ();

    fn handle(&mut self, _: Stop, _: &mut Self::Context) {
        self.write_round();
    }
}
