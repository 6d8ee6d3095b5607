//! The owner's side of the topic table: writes what [`Published`] shows, and knows which topics each group has.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use dashmap::Entry;

use super::Name;
use super::published::{Published, Share, TopicRoutes};
use crate::protocol::body::static_topics::TopicQueueMappingInfo;
use crate::protocol::names::DERIVED_TOPIC_BYTES_MAX;

/// Most shares of all topics together: a thousand groups of four thousand topics, or forty of a hundred thousand.
pub const SHARES_MAX: usize = 4_000_000;
/// Most queues of static topics that all mappings name together.
pub const MAPPED_QUEUES_MAX: usize = 4_000_000;
/// Longest name of a topic, in bytes. Any characters are taken: the names of brokers and clusters are topics too.
pub const TOPIC_NAME_BYTES_MAX: usize = DERIVED_TOPIC_BYTES_MAX;

/// Why a share or a mapping was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    #[error("a topic's name of {0} bytes, 1 to {TOPIC_NAME_BYTES_MAX} are allowed")]
    Name(usize),
    #[error("the name server holds {SHARES_MAX} topics of broker groups and takes no more")]
    TooManyShares,
    #[error("the name server holds mappings of {MAPPED_QUEUES_MAX} queues and takes no more")]
    TooManyMappedQueues,
}

/// Writes the topics of [`Published`].
#[derive(Debug)]
pub struct Shares {
    published: Arc<Published>,
    /// Exactly the shares that are published: topics by group.
    by_group: HashMap<Name, HashSet<Name>>,
    count: usize,
    mapped_queues: usize,
}

impl Shares {
    #[must_use]
    pub fn new(published: Arc<Published>) -> Self {
        Self { published, by_group: HashMap::new(), count: 0, mapped_queues: 0 }
    }

    /// `group` has a share of `topic`.
    #[must_use]
    pub fn has(&self, group: &str, topic: &str) -> bool {
        self.by_group.get(group).is_some_and(|topics| topics.contains(topic))
    }

    /// Sets the share that `group` has of `topic`.
    ///
    /// # Errors
    /// [`ShareError`] when the name is no topic's or the table is full.
    pub fn put(&mut self, group: &Name, topic: &Name, share: Share) -> Result<(), ShareError> {
        if topic.is_empty() || topic.len() > TOPIC_NAME_BYTES_MAX {
            return Err(ShareError::Name(topic.len()));
        }
        if !self.has(group, topic) && self.count >= SHARES_MAX {
            return Err(ShareError::TooManyShares);
        }
        let mut entry = self.published.topics.entry(Arc::clone(topic)).or_default();
        let topic = Arc::clone(entry.key());
        match entry.shares.get(group) {
            Some(before) if *before == share => return Ok(()),
            Some(_) => {}
            None => {
                self.by_group.entry(Arc::clone(group)).or_default().insert(topic);
                self.count += 1;
            }
        }
        Arc::make_mut(&mut entry).shares.insert(Arc::clone(group), share);
        Ok(())
    }

    /// Sets a static topic's mapping, under the name of the group that it says it is of. Passed over when the topic has no
    /// share.
    ///
    /// # Errors
    /// [`ShareError`] when the mapping names too many queues.
    pub fn put_mapping(&mut self, topic: &str, mapping: TopicQueueMappingInfo) -> Result<(), ShareError> {
        let Some(mut entry) = self.published.topics.get_mut(topic) else {
            return Ok(());
        };
        let group = Name::from(mapping.bname.as_deref().unwrap_or_default());
        let before = entry.mappings.get(&group);
        if before.is_some_and(|before| **before == mapping) {
            return Ok(());
        }
        let remaining = self.mapped_queues - before.map_or(0, |before| weight(before));
        if remaining + weight(&mapping) > MAPPED_QUEUES_MAX {
            return Err(ShareError::TooManyMappedQueues);
        }
        self.mapped_queues = remaining + weight(&mapping);
        Arc::make_mut(&mut entry).mappings.insert(group, Arc::new(mapping));
        Ok(())
    }

    /// Takes `topic` from `group`; true when it had it.
    pub fn remove(&mut self, group: &str, topic: &str) -> bool {
        let Some(topics) = self.by_group.get_mut(group) else {
            return false;
        };
        if !topics.remove(topic) {
            return false;
        }
        if topics.is_empty() {
            self.by_group.remove(group);
        }
        self.unpublish(group, topic);
        true
    }

    /// Takes everything from `group`.
    pub fn remove_group(&mut self, group: &str) {
        for topic in self.by_group.remove(group).unwrap_or_default() {
            self.unpublish(group, &topic);
        }
    }

    /// Takes `topic` from every group.
    pub fn remove_topic(&mut self, topic: &str) {
        let groups: Vec<Name> = match self.published.topics.get(topic) {
            Some(entry) => entry.shares.keys().cloned().collect(),
            None => return,
        };
        for group in groups {
            self.remove(&group, topic);
        }
    }

    /// Takes from `group` every topic that is not in `kept`; returns how many.
    pub fn retain(&mut self, group: &str, kept: &HashSet<&str>) -> usize {
        let Some(topics) = self.by_group.get(group) else {
            return 0;
        };
        let gone: Vec<Name> = topics.iter().filter(|topic| !kept.contains(&***topic)).cloned().collect();
        for topic in &gone {
            self.remove(group, topic);
        }
        gone.len()
    }

    /// Changes the permission of every topic of `group`; returns how many topics it has.
    pub fn change_permissions(&mut self, group: &str, change: impl Fn(i32) -> i32) -> usize {
        let Some(topics) = self.by_group.get(group) else {
            return 0;
        };
        for topic in topics {
            let Some(mut entry) = self.published.topics.get_mut(topic) else {
                continue;
            };
            if entry.shares.get(group).is_some_and(|share| change(share.perm) != share.perm)
                && let Some(share) = Arc::make_mut(&mut entry).shares.get_mut(group)
            {
                share.perm = change(share.perm);
            }
        }
        topics.len()
    }

    /// A topic without shares is no topic: its mappings go with the last one.
    fn unpublish(&mut self, group: &str, topic: &str) {
        let Entry::Occupied(mut entry) = self.published.topics.entry(Name::from(topic)) else {
            debug_assert!(false, "a share that was not published: {group} {topic}");
            return;
        };
        Arc::make_mut(entry.get_mut()).shares.remove(group);
        self.count -= 1;
        if entry.get().shares.is_empty() {
            let gone: Arc<TopicRoutes> = entry.remove();
            self.mapped_queues -= gone.mappings.values().map(|mapping| weight(mapping)).sum::<usize>();
        }
    }
}

/// What a mapping counts against [`MAPPED_QUEUES_MAX`]; one without queues takes memory too.
fn weight(mapping: &TopicQueueMappingInfo) -> usize {
    mapping.curr_id_map.len() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(perm: i32) -> Share {
        Share { read_queues: 4, write_queues: 4, perm, sys_flag: 0 }
    }

    fn names(shares: &Shares) -> Vec<String> {
        let mut names: Vec<_> = shares.published.topics.iter().map(|entry| entry.key().to_string()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_topic_goes_with_its_last_share_and_its_mappings() {
        let mut shares = Shares::new(Arc::default());
        for group in ["a", "b"] {
            shares.put(&group.into(), &"T".into(), share(6)).unwrap();
        }
        shares.put(&"a".into(), &"T".into(), share(4)).unwrap();
        let mapping = TopicQueueMappingInfo { bname: Some("a".into()), ..Default::default() };
        shares.put_mapping("T", mapping.clone()).unwrap();
        shares.put_mapping("absent", mapping).unwrap();
        assert_eq!((shares.count, shares.mapped_queues), (2, 1));
        assert!(shares.remove("a", "T"));
        assert!(!shares.remove("a", "T"));
        assert_eq!(names(&shares), ["T"]);
        shares.remove_group("b");
        assert_eq!((shares.count, shares.mapped_queues), (0, 0));
        assert!(names(&shares).is_empty());
        assert!(shares.by_group.is_empty());
    }

    #[test]
    fn what_readers_hold_does_not_change() {
        let mut shares = Shares::new(Arc::default());
        shares.put(&"a".into(), &"T".into(), share(6)).unwrap();
        let held = Arc::clone(&*shares.published.topics.get("T").unwrap());
        assert_eq!(shares.change_permissions("a", |perm| perm & !2), 1);
        assert_eq!(held.shares["a"].perm, 6);
        assert_eq!(shares.published.topics.get("T").unwrap().shares["a"].perm, 4);
        assert_eq!(shares.change_permissions("unknown", |_| 0), 0);
    }

    #[test]
    fn names_and_sets_are_bounded() {
        let mut shares = Shares::new(Arc::default());
        assert_eq!(shares.put(&"a".into(), &"".into(), share(6)), Err(ShareError::Name(0)));
        let long: Name = "x".repeat(256).into();
        assert_eq!(shares.put(&"a".into(), &long, share(6)), Err(ShareError::Name(256)));
        shares.count = SHARES_MAX;
        assert_eq!(shares.put(&"a".into(), &"T".into(), share(6)), Err(ShareError::TooManyShares));
        assert!(names(&shares).is_empty());
    }

    #[test]
    fn retaining_takes_what_is_not_kept() {
        let mut shares = Shares::new(Arc::default());
        for topic in ["A", "B", "C"] {
            shares.put(&"a".into(), &topic.into(), share(6)).unwrap();
        }
        shares.put(&"b".into(), &"A".into(), share(6)).unwrap();
        assert_eq!(shares.retain("a", &HashSet::from(["B"])), 2);
        assert_eq!(names(&shares), ["A", "B"]);
        assert_eq!(shares.retain("unknown", &HashSet::new()), 0);
    }
}
