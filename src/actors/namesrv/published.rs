//! What everybody may read of the routes: written by the name server's actor, by nobody else.
//!
//! A reader may see a topic's new queues a moment before or after its other queues; it never sees half a topic or half a
//! broker group. Brokers are published before their topics, and taken away after them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arc_swap::ArcSwap;
use dashmap::DashMap;

use super::Name;
use crate::protocol::body::static_topics::TopicQueueMappingInfo;

/// Id of a group's master; those of slaves are above it.
pub const MASTER_ID: i64 = 0;
/// Bit of a permission: producers may send.
pub const PERM_WRITE: i32 = 2;
/// Bit of a permission: consumers may pull.
pub const PERM_READ: i32 = 4;
/// Bit of a topic's flags: the topic belongs to a unit.
const FLAG_UNIT: i32 = 1;
/// Bit of a topic's flags: subscribers of other units exist.
const FLAG_UNIT_SUBSCRIBERS: i32 = 2;
/// Topics with this prefix are for finding the members of a group, so their routes show nobody in the master's place.
const MEMBER_TOPIC_PREFIX: &str = "rmq_sys_SYNC_BROKER_MEMBER_";

/// What one broker group has of one topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    pub read_queues: i32,
    pub write_queues: i32,
    /// Bits [`PERM_READ`], [`PERM_WRITE`]; others are kept.
    pub perm: i32,
    /// Bits: 1 unit, 2 unit subscribers.
    pub sys_flag: i32,
}

/// Where one topic is, by the names of broker groups; never without a share.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TopicRoutes {
    pub shares: BTreeMap<Name, Share>,
    /// Of a static topic: which of its queues lie where. Kept as the brokers gave it.
    pub mappings: BTreeMap<Name, Arc<TopicQueueMappingInfo>>,
}

impl TopicRoutes {
    /// A topic's flags are those of its first group.
    fn flags(&self) -> i32 {
        self.shares.values().next().map_or(0, |share| share.sys_flag)
    }
}

/// A master and its slaves: the brokers of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub cluster: Name,
    pub name: Name,
    /// By broker id; never empty.
    pub addresses: BTreeMap<i64, Name>,
    pub zone: Option<Name>,
    /// Without a master, the slave with the lowest id may stand in for reading.
    pub acting_master: bool,
}

/// Who one broker process is, wherever it registered: two processes differ in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BrokerKey {
    pub cluster: Name,
    /// `host:port`, as the broker gave it.
    pub address: Name,
}

/// All brokers.
#[derive(Debug, Clone, Default)]
pub struct Brokers {
    /// By name.
    pub groups: BTreeMap<Name, Arc<Group>>,
    /// Names of groups by cluster.
    pub clusters: BTreeMap<Name, BTreeSet<Name>>,
    /// Only brokers that have any.
    pub filter_servers: BTreeMap<BrokerKey, Arc<[Name]>>,
}

/// The tables that answer queries.
#[derive(Debug, Default)]
pub struct Published {
    pub(super) topics: DashMap<Name, Arc<TopicRoutes>>,
    pub(super) brokers: ArcSwap<Brokers>,
}

/// The answer to a route query.
#[derive(Debug, Clone)]
pub struct Route {
    pub topic: Arc<TopicRoutes>,
    pub groups: Vec<Arc<Group>>,
    /// By broker address; only brokers that have any.
    pub filter_servers: BTreeMap<Name, Arc<[Name]>>,
}

/// Which topics a list is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicKind {
    All,
    Unit,
    UnitSubscribers,
    /// Those of [`TopicKind::UnitSubscribers`] that belong to no unit themselves.
    UnitSubscribersOnly,
}

impl TopicKind {
    fn holds(self, flags: i32) -> bool {
        let unit = flags & FLAG_UNIT != 0;
        let subscribers = flags & FLAG_UNIT_SUBSCRIBERS != 0;
        match self {
            TopicKind::All => true,
            TopicKind::Unit => unit,
            TopicKind::UnitSubscribers => subscribers,
            TopicKind::UnitSubscribersOnly => subscribers && !unit,
        }
    }
}

impl Published {
    #[must_use]
    pub fn brokers(&self) -> Arc<Brokers> {
        self.brokers.load_full()
    }

    /// Where `topic` is; `None` when no group that is here has it.
    #[must_use]
    pub fn route(&self, topic: &str) -> Option<Route> {
        let found = Arc::clone(&*self.topics.get(topic)?);
        let brokers = self.brokers.load();
        let groups: Vec<_> = found.shares.keys().filter_map(|name| brokers.groups.get(name).map(Arc::clone)).collect();
        if groups.is_empty() {
            return None;
        }
        let filter_servers = if brokers.filter_servers.is_empty() {
            BTreeMap::new()
        } else {
            groups.iter().flat_map(|group| filter_servers(&brokers, group)).collect()
        };
        Some(Route { topic: found, groups, filter_servers })
    }

    /// Names of the topics of one kind, in order.
    #[must_use]
    pub fn topic_names(&self, kind: TopicKind) -> BTreeSet<Name> {
        let kept = self.topics.iter().filter(|entry| kind.holds(entry.value().flags()));
        kept.map(|entry| Arc::clone(entry.key())).collect()
    }

    /// Names of the topics that any group of `cluster` has, in order; none for an unknown cluster.
    #[must_use]
    pub fn topic_names_in(&self, cluster: &str) -> BTreeSet<Name> {
        let brokers = self.brokers.load();
        let Some(groups) = brokers.clusters.get(cluster) else {
            return BTreeSet::new();
        };
        let kept = self.topics.iter().filter(|entry| entry.value().shares.keys().any(|name| groups.contains(name)));
        kept.map(|entry| Arc::clone(entry.key())).collect()
    }
}

fn filter_servers<'a>(brokers: &'a Brokers, group: &'a Group) -> impl Iterator<Item = (Name, Arc<[Name]>)> + 'a {
    group.addresses.values().filter_map(|address| {
        let key = BrokerKey { cluster: Arc::clone(&group.cluster), address: Arc::clone(address) };
        brokers.filter_servers.get(&key).map(|servers| (Arc::clone(address), Arc::clone(servers)))
    })
}

impl Route {
    /// Shows the slave with the lowest id in the master's place, in groups that allow it, have no master, and have the
    /// topic without write permission.
    pub fn show_acting_masters(&mut self, topic: &str) {
        if topic.starts_with(MEMBER_TOPIC_PREFIX) {
            return;
        }
        for group in &mut self.groups {
            let is_read_only = self.topic.shares.get(&group.name).is_some_and(|share| share.perm & PERM_WRITE == 0);
            if !group.acting_master || group.addresses.contains_key(&MASTER_ID) || !is_read_only {
                continue;
            }
            let group = Arc::make_mut(group);
            if let Some((_, address)) = group.addresses.pop_first() {
                group.addresses.insert(MASTER_ID, address);
            }
        }
    }

    /// Leaves out the groups of other zones, unless they have lost their master.
    pub fn keep_zone(&mut self, zone: &str) {
        let is_kept = |group: &Group| {
            !group.addresses.contains_key(&MASTER_ID)
                || group.zone.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(zone))
        };
        let (kept, removed): (Vec<_>, Vec<_>) = self.groups.drain(..).partition(|group| is_kept(group));
        self.groups = kept;
        if removed.is_empty() {
            return;
        }
        let topic = Arc::make_mut(&mut self.topic);
        for group in removed {
            topic.shares.remove(&group.name);
            for address in group.addresses.values() {
                self.filter_servers.remove(address);
            }
        }
    }
}
