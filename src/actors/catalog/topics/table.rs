//! What everybody may read of the topics: published by their owner, written by nobody else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;

use crate::actors::log::QueueSlot;
use crate::protocol::names::{QueueId, Topic};

/// Bit of a permission: new topics may be cut from this one.
pub const PERM_INHERIT: u32 = 1;
/// Bit of a permission: producers may send.
pub const PERM_WRITE: u32 = 2;
/// Bit of a permission: consumers may pull.
pub const PERM_READ: u32 = 4;

/// Most queues that one topic may have.
pub const TOPIC_QUEUES_MAX: u32 = 65_536;

/// How many tags a message may have. No part of the broker looks at it: it is kept for those who ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TopicFilter {
    #[default]
    SingleTag,
    MultiTag,
}

/// What is known of a topic whether or not it has messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicConfig {
    pub topic: Topic,
    /// Queues that are read from; at most [`TOPIC_QUEUES_MAX`].
    pub read_queues: u32,
    /// Queues that are written to; at most [`TOPIC_QUEUES_MAX`].
    pub write_queues: u32,
    /// Bits [`PERM_INHERIT`], [`PERM_WRITE`], [`PERM_READ`]; others are kept.
    pub perm: u32,
    pub filter: TopicFilter,
    /// Bits: 1 unit, 2 unit subscribers.
    pub sys_flag: i32,
    pub order: bool,
    /// By name without sign, as `message.type`.
    pub attributes: BTreeMap<String, String>,
}

impl TopicConfig {
    /// A topic that can be read and written, of `queues` queues.
    #[must_use]
    pub fn new(topic: Topic, queues: u32) -> Self {
        Self {
            topic,
            read_queues: queues,
            write_queues: queues,
            perm: PERM_READ | PERM_WRITE,
            filter: TopicFilter::SingleTag,
            sys_flag: 0,
            order: false,
            attributes: BTreeMap::new(),
        }
    }

    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.perm & PERM_READ != 0
    }

    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.perm & PERM_WRITE != 0
    }

    #[must_use]
    pub fn is_inherited(&self) -> bool {
        self.perm & PERM_INHERIT != 0
    }

    /// Queues that the topic has for reading, writing or both.
    #[must_use]
    pub fn queues(&self) -> u32 {
        self.read_queues.max(self.write_queues)
    }

    /// Its queues are of RocketMQ's batch kind (attribute `queue.type`).
    #[must_use]
    pub fn has_batch_queues(&self) -> bool {
        self.attribute_is("queue.type", "BatchCQ")
    }

    /// Only the newest message of each key is kept (attribute `cleanup.policy`).
    #[must_use]
    pub fn is_compacted(&self) -> bool {
        self.attribute_is("cleanup.policy", "COMPACTION")
    }

    fn attribute_is(&self, name: &str, value: &str) -> bool {
        self.attributes.get(name).is_some_and(|found| found.eq_ignore_ascii_case(value))
    }
}

/// A topic and the numbers of its queues. Never changes: a change publishes another entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicEntry {
    pub config: TopicConfig,
    /// By queue id; as many as [`TopicConfig::queues`].
    pub slots: Box<[QueueSlot]>,
}

impl TopicEntry {
    /// The number of `queue`; `None` when the topic has no such queue.
    #[inline]
    #[must_use]
    pub fn slot(&self, queue: QueueId) -> Option<QueueSlot> {
        self.slots.get(queue as usize).copied()
    }
}

/// All topics of this broker. Cheap to read from any thread; only [`super::Topics`] writes.
#[derive(Debug, Default)]
pub struct TopicTable {
    entries: DashMap<Topic, Arc<TopicEntry>>,
    version: AtomicU64,
}

impl TopicTable {
    #[must_use]
    pub fn get(&self, topic: &str) -> Option<Arc<TopicEntry>> {
        self.entries.get(topic).map(|entry| Arc::clone(&entry))
    }

    #[must_use]
    pub fn contains(&self, topic: &str) -> bool {
        self.entries.contains_key(topic)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Differs after every change. What was looked up after reading a version holds for as long as that version does:
    /// read the version first, then the entries.
    #[inline]
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The entries of all topics, in no order.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<TopicEntry>> {
        self.entries.iter().map(|entry| Arc::clone(&entry)).collect()
    }

    /// The owner's: publishes `entry` in place of what the topic had.
    pub(super) fn publish(&self, entry: TopicEntry) -> Arc<TopicEntry> {
        let entry = Arc::new(entry);
        self.entries.insert(entry.config.topic.clone(), Arc::clone(&entry));
        self.version.fetch_add(1, Ordering::Release);
        entry
    }

    /// The owner's.
    pub(super) fn remove(&self, topic: &str) -> Option<Arc<TopicEntry>> {
        let (_, entry) = self.entries.remove(topic)?;
        self.version.fetch_add(1, Ordering::Release);
        Some(entry)
    }
}
