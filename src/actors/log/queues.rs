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

use std::collections::HashMap;
use std::time::Duration;

use actix::prelude::*;

use self::child::{Built, Child, State};
use super::QueueSlot;
use super::queue_files::{Round, RoundId};
use crate::actors::Stop;
use crate::actors::commitlog_writer::{Notice, QueueOpened};
use crate::actors::crash::{CountQueues, Crash, CrashQueue};
use crate::actors::topic_queue::{Ask, Entries, QueueMessage, Retire, Retired, Unwatched, WriteOut};
use crate::protocol::names::{LogOffset, QueueKey, QueueOffset};
use crate::store::consume_queue::Entry;
pub use child::QueueRecipe;

/// Notices that may gather before their queues hear of them.
const PENDING_MAX: usize = 16 * 1024;
/// How often queues that nobody waits for hear of their entries and write them.
const ROUND_INTERVAL: Duration = Duration::from_secs(1);
/// A queue to which nothing happens for this many rounds is asked to end.
const IDLE_ROUNDS: u64 = 60;
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
    children: HashMap<QueueSlot, Child>,
    /// Where queues end whose actor has ended in this process; others are looked up in their files.
    ends: HashMap<QueueSlot, QueueOffset>,
    pending: Vec<Notice>,
    round: u64,
    /// Everything below was dispatched to here.
    seen: LogOffset,
}

impl Queues {
    #[must_use]
    pub fn new(arbiter: usize, recipe: QueueRecipe) -> Self {
        let seen = recipe.view.readable();
        Self { arbiter, recipe, children: HashMap::new(), ends: HashMap::new(), pending: Vec::new(), round: 0, seen }
    }

    /// The child of `slot`; one that is not there is built.
    fn child(&mut self, slot: QueueSlot, key: &QueueKey, ctx: &mut Context<Self>) -> &mut Child {
        let (recipe, ends) = (&self.recipe, &self.ends);
        self.children.entry(slot).or_insert_with(|| {
            let known_end = ends.get(&slot).copied();
            recipe.build(slot, key.clone(), known_end, ctx);
            Child::opening(key.clone())
        })
    }

    /// Tells the queues everything that gathered.
    fn tell(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let mut buckets: Vec<(QueueSlot, QueueOffset, Vec<u8>)> = Vec::new();
        let mut places: HashMap<QueueSlot, usize, rustc_hash::FxBuildHasher> = HashMap::default();
        for notice in self.pending.drain(..) {
            let place = *places.entry(notice.slot).or_insert_with(|| {
                buckets.push((notice.slot, notice.queue_offset, Vec::new()));
                buckets.len() - 1
            });
            let entry = Entry { at: notice.at, size: notice.size, tag_code: notice.tag_code };
            buckets[place].2.extend_from_slice(&entry.encode());
        }
        for (slot, from, bytes) in buckets {
            if let Some(child) = self.children.get_mut(&slot) {
                child.active = self.round;
                child.dirty = true;
                child.entries(Entries { from, bytes });
            } else {
                // The writer opens a queue before it numbers its records, so only a deleted topic's come here.
                tracing::debug!(slot = slot.0, "entries for a queue that is gone");
            }
        }
    }

    fn write_regularly(&mut self, ctx: &mut Context<Self>) {
        self.write_round();
        ctx.run_later(ROUND_INTERVAL, Self::write_regularly);
    }

    /// Lets all queues write what they have; their files then hold everything below what was seen.
    fn write_round(&mut self) {
        let upto = self.seen;
        self.tell();
        self.round += 1;
        let id = RoundId { arbiter: self.arbiter, number: self.round };
        let mut writing = 0;
        let mut whole = true;
        for child in self.children.values_mut() {
            match &child.state {
                State::Open(addr) if child.dirty => {
                    addr.do_send(WriteOut { round: id });
                    child.dirty = false;
                    writing += 1;
                }
                State::Open(addr) if child.active + IDLE_ROUNDS == self.round => {
                    child.retiring = true;
                    addr.do_send(Retire);
                }
                State::Open(_) => {}
                State::Opening(opening) => whole &= opening.entries.is_empty(),
                State::Broken { .. } => whole = false,
            }
        }
        if whole {
            self.recipe.rounds.do_send(Round { id, queues: writing, upto });
        }
    }
}

impl Actor for Queues {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_later(ROUND_INTERVAL, Self::write_regularly);
    }
}

impl Handler<Dispatch> for Queues {
    type Result = ();

    fn handle(&mut self, mut dispatch: Dispatch, _: &mut Self::Context) {
        self.seen = self.seen.max(dispatch.upto);
        let watched = |notice: &Notice| self.children.get(&notice.slot).is_some_and(Child::is_watched);
        let watched = dispatch.notices.iter().any(watched);
        self.pending.append(&mut dispatch.notices);
        if watched || self.pending.len() >= PENDING_MAX {
            self.tell();
        }
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
        self.tell();
        self.child(open.slot, &key, ctx).tell_end(open.slot, &writer);
    }
}

impl Handler<ToQueue> for Queues {
    type Result = ();

    fn handle(&mut self, message: ToQueue, ctx: &mut Self::Context) {
        self.tell();
        let round = self.round;
        let child = self.child(message.slot, &message.key, ctx);
        child.active = round;
        child.ask(QueueMessage { ask: message.ask }, ASKS_WAITING_MAX);
    }
}

impl Handler<Unwatched> for Queues {
    type Result = ();

    fn handle(&mut self, message: Unwatched, _: &mut Self::Context) {
        if let Some(child) = self.children.get_mut(&message.slot) {
            child.unwatched(message.watched);
        }
    }
}

impl Handler<Retired> for Queues {
    type Result = ();

    fn handle(&mut self, message: Retired, _: &mut Self::Context) {
        // A queue to which somebody came meanwhile goes on; the writer asks it for its end again.
        if self.children.get(&message.slot).is_some_and(|child| child.retiring) {
            self.ends.insert(message.slot, message.end);
            self.children.remove(&message.slot);
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
        self.ends.remove(&ended.slot);
        let delay = child.break_down();
        let (recipe, key) = (self.recipe.clone(), child.key.clone());
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
        self.tell();
        for slot in &message.slots {
            self.ends.remove(slot);
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
