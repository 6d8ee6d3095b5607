//! Which consumer of a group may consume which queue in order.
//!
//! Owns: who holds which queue for which group, and until when.
//! Hears: [`Lock`], [`Unlock`], `Stop`.
//! Tells: nobody.
//! Publishes: [`LockTable`].
//!
//! Invariants: a queue has one holder within a group, and keeps it until the holder gives it back or says nothing for
//! [`LOCK_LIFE`]; what all locks together hold of memory is bounded. The locks themselves are what is published, so an
//! owner that is built again goes on where the last one ended.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use dashmap::DashMap;
use tokio::time::Instant;

use crate::actors::Stop;
use crate::protocol::body::queue::MessageQueue;
use crate::protocol::names::{DERIVED_TOPIC_BYTES_MAX, Group};

/// How long a lock holds that is not renewed. Clients renew every 20 s.
pub const LOCK_LIFE: Duration = Duration::from_secs(60);
/// What all locks together may take, in bytes; a lock past them is not given.
pub const LOCK_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Pause between two searches for locks that nobody renews.
const EXPIRY_SCAN_INTERVAL: Duration = Duration::from_secs(60);
/// What a lock takes beside its names, about.
const LOCK_BYTES: usize = 192;
/// Longest name of a queue's broker, in bytes.
const BROKER_NAME_BYTES_MAX: usize = 255;

/// From a session: a consumer wants these queues, or wants to keep them. Answers with those that are its own now.
#[derive(Message, Debug)]
#[rtype(result = "Vec<MessageQueue>")]
pub struct Lock {
    pub group: Group,
    pub client_id: Arc<str>,
    pub queues: Vec<MessageQueue>,
}

/// From a session: a consumer gives these queues back. Those that are not its own stay as they are.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Unlock {
    pub group: Group,
    pub client_id: Arc<str>,
    pub queues: Vec<MessageQueue>,
}

/// One queue's lock.
#[derive(Debug)]
struct Held {
    client_id: Arc<str>,
    until: Instant,
}

/// The locks of one group; at least one.
#[derive(Debug)]
struct GroupLocks {
    queues: HashMap<MessageQueue, Held>,
    /// When the last of them ends, if none is renewed.
    until: Instant,
}

/// The locks of all groups. Cheap to ask from any thread; only [`QueueLocks`] writes.
#[derive(Debug, Default)]
pub struct LockTable {
    groups: DashMap<Group, GroupLocks>,
}

impl LockTable {
    /// Whether a consumer of `group` holds any queue now.
    #[must_use]
    pub fn holds_any(&self, group: &str) -> bool {
        self.groups.get(group).is_some_and(|locks| locks.until >= Instant::now())
    }
}

/// The owner.
pub struct QueueLocks {
    table: Arc<LockTable>,
    bytes: usize,
    bytes_max: usize,
}

impl QueueLocks {
    /// Goes on with the locks of `table`.
    #[must_use]
    pub fn new(table: Arc<LockTable>) -> Self {
        let bytes =
            table.groups.iter().map(|group| group.queues.iter().map(|(queue, held)| cost(queue, held)).sum::<usize>());
        let bytes = bytes.sum();
        Self { table, bytes, bytes_max: LOCK_BYTES_MAX }
    }

    fn lock(&mut self, wish: Lock, now: Instant) -> Vec<MessageQueue> {
        let until = now + LOCK_LIFE;
        let mut group = self
            .table
            .groups
            .entry(wish.group.clone())
            .or_insert_with(|| GroupLocks { queues: HashMap::new(), until: now });
        let mut granted = Vec::with_capacity(wish.queues.len());
        for queue in wish.queues {
            if let Some(held) = group.queues.get_mut(&queue) {
                if held.client_id != wish.client_id {
                    if held.until >= now {
                        continue;
                    }
                    tracing::info!(group = %wish.group, ?queue, from = %held.client_id, to = %wish.client_id, "a lock that was not renewed changes hands");
                    self.bytes = self.bytes.saturating_sub(cost(&queue, held));
                    held.client_id = wish.client_id.clone();
                    self.bytes += cost(&queue, held);
                }
                held.until = until;
            } else {
                let held = Held { client_id: wish.client_id.clone(), until };
                let bytes = cost(&queue, &held);
                if !is_nameable(&queue) || self.bytes + bytes > self.bytes_max {
                    tracing::warn!(group = %wish.group, client = %wish.client_id, "a lock is not given: its queue's name is too long, or there are too many");
                    continue;
                }
                self.bytes += bytes;
                group.queues.insert(queue.clone(), held);
            }
            granted.push(queue);
        }
        if !granted.is_empty() {
            group.until = until;
        }
        let none = group.queues.is_empty();
        drop(group);
        if none {
            self.table.groups.remove(&wish.group);
        }
        granted
    }

    fn unlock(&mut self, wish: &Unlock) {
        let Some(mut group) = self.table.groups.get_mut(&wish.group) else { return };
        for queue in &wish.queues {
            match group.queues.get(queue) {
                Some(held) if held.client_id == wish.client_id => {
                    self.bytes = self.bytes.saturating_sub(cost(queue, held));
                    group.queues.remove(queue);
                }
                Some(held) => {
                    tracing::debug!(group = %wish.group, ?queue, holder = %held.client_id, by = %wish.client_id, "a stranger unlocks a queue");
                }
                None => {}
            }
        }
        let last = group.queues.values().map(|held| held.until).max();
        if let Some(until) = last {
            group.until = until;
        }
        drop(group);
        if last.is_none() {
            self.table.groups.remove(&wish.group);
        }
    }

    /// Forgets locks that ended.
    fn expire(&mut self, now: Instant) {
        let bytes = &mut self.bytes;
        self.table.groups.retain(|_, group| {
            group.queues.retain(|queue, held| {
                let keep = held.until >= now;
                if !keep {
                    *bytes = bytes.saturating_sub(cost(queue, held));
                }
                keep
            });
            !group.queues.is_empty()
        });
    }

    fn expire_again(&mut self, context: &mut Context<Self>) {
        self.expire(Instant::now());
        context.run_later(EXPIRY_SCAN_INTERVAL, Self::expire_again);
    }
}

fn cost(queue: &MessageQueue, held: &Held) -> usize {
    LOCK_BYTES + queue.topic.len() + queue.broker_name.len() + held.client_id.len()
}

fn is_nameable(queue: &MessageQueue) -> bool {
    queue.topic.len() <= DERIVED_TOPIC_BYTES_MAX && queue.broker_name.len() <= BROKER_NAME_BYTES_MAX
}

impl Actor for QueueLocks {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.run_later(EXPIRY_SCAN_INTERVAL, Self::expire_again);
    }
}

impl Handler<Lock> for QueueLocks {
    type Result = Vec<MessageQueue>;

    fn handle(&mut self, wish: Lock, _: &mut Context<Self>) -> Self::Result {
        self.lock(wish, Instant::now())
    }
}

impl Handler<Unlock> for QueueLocks {
    type Result = ();

    fn handle(&mut self, wish: Unlock, _: &mut Context<Self>) {
        self.unlock(&wish);
    }
}

impl Handler<Stop> for QueueLocks {
    type Result = ();

    fn handle(&mut self, _: Stop, _: &mut Context<Self>) {}
}
