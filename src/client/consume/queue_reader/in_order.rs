//! Consuming a queue's messages one after the other, under a lock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

use super::listening::{Back, again};
use super::{AFTER_ERROR, QueueReader};
use crate::client::consume::desk::returns::Outcome;
use crate::client::consume::queue_locks::{Lease, QueueLocks, Renewed, Take};
use crate::client::consume::received::ReceivedMessage;

/// Wait before a lock is asked for again that another member has.
const LOCK_AGAIN: Duration = Duration::from_millis(500);

/// What a reader in order needs beside what others do.
pub(super) struct InOrder {
    /// Behind the batch that is with the listener.
    waiting: VecDeque<ReceivedMessage>,
    turn: Turn,
    /// The reader's epoch when a batch was handed to the listener: what it did in an older one counts no longer.
    handed: u64,
    /// `None`: nobody else is there.
    lock: Option<Lock>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Free,
    Listener,
    /// A batch was not consumed: some of it goes back to the broker, or it waits until it may be tried again.
    PutOff,
}

struct Lock {
    owner: Addr<QueueLocks>,
    lease: Option<Lease>,
    asking: bool,
}

impl InOrder {
    pub(super) fn alone() -> Self {
        Self { waiting: VecDeque::new(), turn: Turn::Free, handed: 0, lock: None }
    }

    pub(super) fn locked(owner: Addr<QueueLocks>) -> Self {
        Self { lock: Some(Lock { owner, lease: None, asking: false }), ..Self::alone() }
    }

    pub(super) fn needs_lock(&self) -> bool {
        self.lock.as_ref().is_some_and(|lock| !lock.lease.as_ref().is_some_and(Lease::holds))
    }

    /// Whether what the listener did with its batch is to be looked at.
    pub(super) fn counts(&self, epoch: u64) -> bool {
        self.handed == epoch
    }

    /// Whether there is a lock that could be lost.
    fn had_lock(&self) -> bool {
        self.lock.as_ref().is_some_and(|lock| lock.lease.is_some())
    }

    pub(super) fn bring(&mut self, messages: Vec<ReceivedMessage>) {
        self.waiting.extend(messages);
    }
}

impl QueueReader {
    /// Asks for the queue's lock until it is ours.
    pub(super) fn lock(&mut self, ctx: &mut Context<Self>) {
        let Some(lock) = self.in_order.as_mut().and_then(|in_order| in_order.lock.as_mut()) else {
            return;
        };
        if lock.asking || !self.closing.is_empty() {
            return;
        }
        lock.asking = true;
        let take = Take { queue: Arc::clone(&self.reading.queue), holder: ctx.address().recipient() };
        let asking = lock.owner.send(take);
        ctx.spawn(asking.into_actor(self).map(|answer, reader, ctx| {
            if let Some(lock) = reader.in_order.as_mut().and_then(|in_order| in_order.lock.as_mut()) {
                lock.asking = false;
            }
            match answer {
                Ok(Ok(Some(lease))) => reader.locked(lease, ctx),
                Ok(Ok(None)) => {
                    reader.lost();
                    ctx.run_later(LOCK_AGAIN, Self::lock);
                }
                Ok(Err(error)) => {
                    tracing::debug!(queue = %reader.reading.queue, %error, "not locked");
                    ctx.run_later(AFTER_ERROR, Self::lock);
                }
                Err(_) => tracing::debug!(queue = %reader.reading.queue, "the client is shutting down"),
            }
        }));
    }

    fn locked(&mut self, lease: Lease, ctx: &mut Context<Self>) {
        if let Some(lock) = self.in_order.as_mut().and_then(|in_order| in_order.lock.as_mut()) {
            lock.lease = Some(lease);
        }
        if self.backlog.is_none() {
            // Whoever had the queue committed before it gave the lock back.
            self.epoch += 1;
            self.pulls.forget();
            self.begin(ctx);
        }
        self.next_turn(ctx);
    }

    /// Somebody else has the queue: what was read of it is theirs, and so is how far it is consumed.
    fn lost(&mut self) {
        let Some(in_order) = self.in_order.as_mut().filter(|in_order| in_order.had_lock()) else {
            return;
        };
        tracing::warn!(queue = %self.reading.queue, "the lock of the queue is lost");
        if let Some(lock) = &mut in_order.lock {
            lock.lease = None;
        }
        self.start_over();
        self.backlog = None;
        self.reading.progress.forget();
    }

    /// What was read, and what is under way, counts no longer.
    pub(super) fn start_over(&mut self) {
        if let Some(in_order) = &mut self.in_order {
            in_order.waiting.clear();
        }
        self.epoch += 1;
        self.pulls.forget();
    }

    /// Hands the next batch to a listener, if none has one and the queue is ours.
    pub(super) fn next_turn(&mut self, ctx: &mut Context<Self>) {
        let Some(in_order) = &mut self.in_order else {
            return;
        };
        if in_order.turn != Turn::Free || in_order.waiting.is_empty() || !self.closing.is_empty() {
            return;
        }
        if in_order.needs_lock() {
            return self.lock(ctx);
        }
        let count = self.reading.listening.options.consume_batch.min(in_order.waiting.len());
        let batch: Vec<_> = in_order.waiting.drain(..count).collect();
        in_order.turn = Turn::Listener;
        in_order.handed = self.epoch;
        self.hand_out(batch, ctx);
    }

    pub(super) fn listener_is_free(&mut self) {
        if let Some(in_order) = &mut self.in_order {
            in_order.turn = Turn::Free;
        }
    }

    /// Whether a listener may still tell what it did. After its desk was closed none does.
    pub(super) fn listener_is_busy(&self) -> bool {
        let listening = self.in_order.as_ref().is_some_and(|in_order| in_order.turn == Turn::Listener);
        listening && !self.reading.listening.desk.is_closed()
    }

    /// Gives up what was tried often enough, and lets the rest wait.
    pub(super) fn put_off(&mut self, batch: Vec<ReceivedMessage>, outcome: Outcome, ctx: &mut Context<Self>) {
        let Some(in_order) = &mut self.in_order else {
            return;
        };
        in_order.turn = Turn::PutOff;
        let options = &self.reading.listening.options;
        let most = options.retry.max_reconsume_times.filter(|_| !options.broadcasts()).map(i32::from);
        let is_over = |message: &ReceivedMessage| {
            outcome == Outcome::GiveUp || most.is_some_and(|most| message.reconsume_times >= most)
        };
        let (over, rest): (Vec<_>, Vec<_>) = batch.into_iter().partition(is_over);
        if over.is_empty() {
            return self.rest(rest, ctx);
        }
        if self.reading.listening.options.broadcasts() {
            tracing::warn!(queue = %self.reading.queue, messages = over.len(), "given up while broadcasting: dropped");
            self.finish(&over);
            return self.rest(rest, ctx);
        }
        self.giving_back += 1;
        let (way_back, me, epoch) = (Arc::clone(&self.reading.listening.way_back), ctx.address(), self.epoch);
        drop(actix::spawn(async move {
            let mut given = way_back.give_up(over).await;
            given.left.extend(rest);
            given.left.sort_by_key(|message| message.queue_offset);
            me.do_send(Back { given, epoch });
        }));
    }

    /// Tries `left` again in a while, before all that is behind it.
    pub(super) fn rest(&mut self, left: Vec<ReceivedMessage>, ctx: &mut Context<Self>) {
        if left.is_empty() {
            self.listener_is_free();
            return self.next_turn(ctx);
        }
        let epoch = self.epoch;
        ctx.run_later(self.reading.listening.options.retry.suspend, move |reader, ctx| {
            reader.listener_is_free();
            if let Some(in_order) = reader.in_order.as_mut().filter(|_| reader.epoch == epoch) {
                again(left).into_iter().rev().for_each(|message| in_order.waiting.push_front(message));
            }
            reader.next_turn(ctx);
        });
    }
}

impl Handler<Renewed> for QueueReader {
    type Result = ();

    fn handle(&mut self, Renewed(lease): Renewed, ctx: &mut Context<Self>) {
        match lease {
            Some(lease) => self.locked(lease, ctx),
            None if self.in_order.as_ref().is_some_and(InOrder::had_lock) => {
                self.lost();
                self.lock(ctx);
            }
            None => {}
        }
    }
}
