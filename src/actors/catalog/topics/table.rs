//! What everybody may read of the topics: published by their owner, written by nobody else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use dashmap::DashMap;

use crate::actors::log::QueueSlot;
use crate::metrics::Counter;
pub use crate::protocol::body::topics::TopicFilterType as TopicFilter;
use crate::protocol::hash;
use crate::protocol::names::{QueueId, Topic};

/// Bit of a permission: new topics may be cut from this one.
pub const PERM_INHERIT: u32 = 1;
/// Bit of a permission: producers may send.
pub const PERM_WRITE: u32 = 2;
/// Bit of a permission: consumers may pull.
pub const PERM_READ: u32 = 4;

/// Most queues that one topic may have.
pub const TOPIC_QUEUES_MAX: u32 = 65_536;

/// Most queue numbers that one process gives out.
pub const SLOTS_MAX: u32 = 1 << 22;

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
#[derive(Debug, Clone)]
pub struct TopicEntry {
    pub config: TopicConfig,
    /// By queue id; as many as [`TopicConfig::queues`].
    pub slots: Box<[QueueSlot]>,
    /// Numbers of the queues that the topic lost when it shrank. Their files are still there: they are its queues again,
    /// with these numbers, when it grows.
    spare: Box<[QueueSlot]>,
    /// What the topic takes, counted by whoever stores for it; shared by all its entries.
    pub counters: Arc<TopicCounters>,
    /// The file has the topic; shared by all its entries.
    listed: Arc<AtomicBool>,
    /// Hash of `topic#`, with which the hashes of its messages' keys begin.
    pub key_prefix: i32,
}

/// What a topic took since it was made or the broker started.
#[derive(Debug, Default)]
pub struct TopicCounters {
    /// Messages stored.
    pub messages: Counter,
    /// Bytes of their records.
    pub bytes: Counter,
}

impl TopicCounters {
    /// So many messages, whose records take so many bytes, are on their way to the log.
    pub fn count(&self, messages: usize, bytes: usize) {
        self.messages.add(messages as u64);
        self.bytes.add(bytes as u64);
    }
}

impl TopicEntry {
    /// The number of `queue`; `None` when the topic has no such queue.
    #[inline]
    #[must_use]
    pub fn slot(&self, queue: QueueId) -> Option<QueueSlot> {
        self.slots.get(queue as usize).copied()
    }

    /// The number of `queue`, also when the topic lost it as it shrank.
    #[must_use]
    pub fn slot_with_files(&self, queue: QueueId) -> Option<QueueSlot> {
        let spare = (queue as usize).checked_sub(self.slots.len());
        self.slot(queue).or_else(|| self.spare.get(spare?).copied())
    }

    /// The topic is there after a crash, too. Until it is, what is sent to it waits for its owner.
    #[inline]
    #[must_use]
    pub fn is_listed(&self) -> bool {
        self.listed.load(Ordering::Acquire)
    }

    /// The owner's: the file has the topic.
    pub(super) fn note_listed(&self) {
        self.listed.store(true, Ordering::Release);
    }

    /// The numbers of all queues that have files, also of those that the topic lost when it shrank.
    #[must_use]
    pub fn all_slots(&self) -> Vec<QueueSlot> {
        [&*self.slots, &*self.spare].concat()
    }
}

/// All topics of this broker. Cheap to read from any thread; only [`super::Topics`] writes. It outlives its owner, so that
/// an owner that is rebuilt goes on from it.
#[derive(Debug, Default)]
pub struct TopicTable {
    entries: DashMap<Topic, Arc<TopicEntry>>,
    version: AtomicU64,
    /// The number that the next queue gets.
    next_slot: AtomicU32,
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

    /// How many queue numbers were given out: all are below.
    #[must_use]
    pub fn slots_given(&self) -> u32 {
        self.next_slot.load(Ordering::Acquire)
    }

    /// The entries of all topics, by rising name.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<TopicEntry>> {
        let mut all = self.unordered();
        all.sort_unstable_by(|a, b| a.config.topic.cmp(&b.config.topic));
        all
    }

    /// The entries of all topics, in no order.
    pub(super) fn unordered(&self) -> Vec<Arc<TopicEntry>> {
        self.entries.iter().map(|entry| Arc::clone(&entry)).collect()
    }

    /// Those that took messages, in no order.
    pub(in crate::actors::catalog) fn active(&self) -> Vec<Arc<TopicEntry>> {
        let active = self.entries.iter().filter(|entry| entry.counters.messages.value() > 0);
        active.map(|entry| Arc::clone(&entry)).collect()
    }

    /// How many new numbers these configurations need together; no topic twice.
    pub(super) fn missing_slots<'a>(&self, configs: impl IntoIterator<Item = &'a TopicConfig>) -> u64 {
        let missing = |config: &TopicConfig| {
            let there = self.get(&config.topic).map_or(0, |entry| entry.slots.len() + entry.spare.len());
            u64::from(config.queues()).saturating_sub(there as u64)
        };
        configs.into_iter().map(missing).sum()
    }

    /// The owner's: publishes `config` in place of what the topic had. The caller saw to it that the numbers suffice.
    pub(super) fn publish(&self, config: TopicConfig) -> Arc<TopicEntry> {
        let old = self.get(&config.topic);
        let counters = old.as_ref().map(|old| Arc::clone(&old.counters)).unwrap_or_default();
        let listed = old.as_ref().map(|old| Arc::clone(&old.listed)).unwrap_or_default();
        let mut slots = old.map_or(Vec::new(), |old| old.all_slots());
        let queues = config.queues() as usize;
        let missing = queues.saturating_sub(slots.len()) as u32;
        let first = self.next_slot.fetch_add(missing, Ordering::AcqRel);
        assert!(first <= SLOTS_MAX - missing, "queue numbers ran out unnoticed");
        slots.extend((first..first + missing).map(QueueSlot));
        let spare = slots.split_off(queues);
        let key_prefix = hash::hash_from(hash::hash(&config.topic), "#");
        let (slots, spare) = (slots.into(), spare.into());
        let entry = Arc::new(TopicEntry { config, slots, spare, counters, listed, key_prefix });
        self.entries.insert(entry.config.topic.clone(), Arc::clone(&entry));
        self.version.fetch_add(1, Ordering::Release);
        entry
    }

    /// A table without an owner.
    #[cfg(test)]
    pub(crate) fn publish_for_tests(&self, config: TopicConfig) -> Arc<TopicEntry> {
        self.publish(config)
    }

    /// The owner's. Made again, the topic gets other numbers.
    pub(super) fn remove(&self, topic: &str) -> Option<Arc<TopicEntry>> {
        let (_, entry) = self.entries.remove(topic)?;
        self.version.fetch_add(1, Ordering::Release);
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(table: &TopicTable, topic: &str, queues: u32) -> Vec<u32> {
        let entry = table.publish(TopicConfig::new(Topic::new(topic).unwrap(), queues));
        entry.slots.iter().map(|slot| slot.0).collect()
    }

    #[test]
    fn queues_keep_their_numbers_and_a_new_incarnation_gets_others() {
        let table = TopicTable::default();
        assert_eq!(publish(&table, "a", 2), [0, 1]);
        assert_eq!(publish(&table, "b", 1), [2]);
        assert_eq!(publish(&table, "a", 3), [0, 1, 3]);
        assert_eq!(publish(&table, "a", 1), [0]);
        assert_eq!(table.get("a").unwrap().slot(1), None);
        assert_eq!(publish(&table, "a", 4), [0, 1, 3, 4]);
        table.remove("a");
        assert_eq!(publish(&table, "a", 2), [5, 6]);
        assert_eq!(table.slots_given(), 7);
    }

    #[test]
    fn every_change_shows_in_the_version() {
        let table = TopicTable::default();
        let empty = table.version();
        publish(&table, "a", 1);
        let made = table.version();
        table.remove("a");
        assert!(empty < made && made < table.version());
        assert!(table.remove("a").is_none());
    }
}
