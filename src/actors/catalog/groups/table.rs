//! What everybody may read of the consumer groups: published by their owner, written by nobody else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use dashmap::DashMap;

pub use crate::protocol::body::groups::SubscriptionGroupConfig as GroupConfig;
use crate::protocol::body::groups::SubscriptionGroupTable;
use crate::protocol::body::version::DataVersion;
use crate::protocol::names::{Group, Topic};

/// Attribute of a group: the custom filter that its messages have to pass.
pub const FILTER_ATTRIBUTE: &str = "actormq.filter";
/// Attribute of a group: the expression that its custom filter is given.
pub const FILTER_EXPRESSION_ATTRIBUTE: &str = "actormq.filter.expression";

/// Bit of what is forbidden: the group may not pull the topic's messages.
pub const FORBIDDEN_READ: i32 = 4;

/// All consumer groups of this broker. Cheap to read from any thread; only [`super::Groups`] writes. It outlives its
/// owner, so that an owner that is rebuilt goes on from it.
#[derive(Debug, Default)]
pub struct GroupTable {
    groups: DashMap<Group, Arc<GroupConfig>>,
    /// Bits by group and topic; never 0.
    forbidden: DashMap<(Group, Topic), i32>,
    forbidden_count: AtomicUsize,
    version: AtomicU64,
}

impl GroupTable {
    #[must_use]
    pub fn get(&self, group: &str) -> Option<Arc<GroupConfig>> {
        self.groups.get(group).map(|config| Arc::clone(&config))
    }

    #[must_use]
    pub fn contains(&self, group: &str) -> bool {
        self.groups.contains_key(group)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The names of all groups, in order.
    #[must_use]
    pub fn names(&self) -> Vec<Group> {
        let mut names: Vec<_> = self.groups.iter().map(|entry| entry.key().clone()).collect();
        names.sort_unstable();
        names
    }

    /// What `group` may not do with `topic`: bits, mostly none.
    #[must_use]
    pub fn forbidden(&self, group: &Group, topic: &Topic) -> i32 {
        if self.forbidden_pairs() == 0 {
            return 0;
        }
        self.forbidden.get(&(group.clone(), topic.clone())).map_or(0, |bits| *bits)
    }

    #[must_use]
    pub fn may_read(&self, group: &Group, topic: &Topic) -> bool {
        self.forbidden(group, topic) & FORBIDDEN_READ == 0
    }

    /// Pairs of group and topic of which something is forbidden.
    #[must_use]
    pub fn forbidden_pairs(&self) -> usize {
        self.forbidden_count.load(Ordering::Acquire)
    }

    /// Differs after every change. What was looked up after reading a version holds for as long as that version does.
    #[inline]
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Everything, as the file has it.
    pub(super) fn to_body(&self, version: DataVersion) -> SubscriptionGroupTable {
        let groups = self.groups.iter().map(|entry| (entry.key().to_string(), GroupConfig::clone(&entry)));
        let mut forbidden: BTreeMap<String, BTreeMap<String, i32>> = BTreeMap::new();
        for entry in &self.forbidden {
            let (group, topic) = entry.key();
            forbidden.entry(group.to_string()).or_default().insert(topic.to_string(), *entry.value());
        }
        SubscriptionGroupTable {
            data_version: version,
            forbidden_table: forbidden,
            subscription_group_table: groups.collect(),
        }
    }

    /// The owner's: publishes `config`, under the group's name, in place of what the group had.
    pub(super) fn publish(&self, group: Group, config: GroupConfig) -> Arc<GroupConfig> {
        let config = Arc::new(GroupConfig { group_name: group.to_string(), ..config });
        self.groups.insert(group, Arc::clone(&config));
        self.version.fetch_add(1, Ordering::Release);
        config
    }

    /// A table without an owner.
    #[cfg(test)]
    pub(crate) fn publish_for_tests(&self, group: Group, config: GroupConfig) -> Arc<GroupConfig> {
        self.publish(group, config)
    }

    /// The owner's: the group goes, and with it what it was forbidden. Whether it was there.
    pub(super) fn remove(&self, group: &Group) -> bool {
        self.forbidden.retain(|(of, _), _| of != group);
        self.forbidden_count.store(self.forbidden.len(), Ordering::Release);
        let was_there = self.groups.remove(group).is_some();
        self.version.fetch_add(1, Ordering::Release);
        was_there
    }

    /// The owner's: from now on `bits` is what `group` may not do with `topic`.
    pub(super) fn forbid(&self, group: &Group, topic: &Topic, bits: i32) {
        let pair = (group.clone(), topic.clone());
        if bits == 0 {
            self.forbidden.remove(&pair);
        } else {
            self.forbidden.insert(pair, bits);
        }
        self.forbidden_count.store(self.forbidden.len(), Ordering::Release);
        self.version.fetch_add(1, Ordering::Release);
    }
}
