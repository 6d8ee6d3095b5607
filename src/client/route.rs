//! Where the queues of a topic are: pure values made of a name server's answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::protocol::body::route::{BrokerData, QueueData, TopicRouteData};
use crate::rules::assignment::MessageQueue;

const PERM_READ: i32 = 4;
const PERM_WRITE: i32 = 2;
/// Id of a master among the brokers of one name.
pub(super) const MASTER: i64 = 0;
/// Queues that a producer gives a topic which its first message makes.
pub const NEW_TOPIC_QUEUES: i32 = 4;
/// More queues than a topic can have on a broker; a route that claims more is cut.
const QUEUES_MAX: i32 = 65_536;

/// Broker addresses by id.
pub(super) type Addresses = BTreeMap<i64, String>;

/// The queues of one topic, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Route {
    /// Queues that a consumer may read.
    pub(super) readable: Vec<Arc<MessageQueue>>,
    /// Queues that a producer may write: their brokers have a master.
    pub(super) writable: Vec<Arc<MessageQueue>>,
    pub(super) brokers: BTreeMap<String, Addresses>,
    /// Made of the auto-create topic's route: the topic itself does not exist yet.
    pub(super) provisional: bool,
}

impl Route {
    pub(super) fn of(topic: &str, data: &TopicRouteData) -> Self {
        let brokers = brokers(&data.broker_datas);
        let mut route = Self { brokers, ..Self::default() };
        for queues in &data.queue_datas {
            route.add(topic, queues);
        }
        route.readable.sort();
        route.writable.sort();
        route
    }

    /// The route that a topic will have once a first message made it, by the route of the auto-create topic.
    pub(super) fn of_new_topic(topic: &str, template: &TopicRouteData) -> Self {
        let mut data = template.clone();
        for queues in &mut data.queue_datas {
            let count = queues.read_queue_nums.min(NEW_TOPIC_QUEUES);
            (queues.read_queue_nums, queues.write_queue_nums) = (count, count);
        }
        Self { provisional: true, ..Self::of(topic, &data) }
    }

    fn add(&mut self, topic: &str, queues: &QueueData) {
        let Some(addresses) = self.brokers.get(&queues.broker_name) else {
            return;
        };
        let has_master = addresses.contains_key(&MASTER);
        let topic: Arc<str> = topic.into();
        let broker: Arc<str> = queues.broker_name.as_str().into();
        let list = |count: i32| {
            let (topic, broker) = (Arc::clone(&topic), Arc::clone(&broker));
            (0..count.clamp(0, QUEUES_MAX) as u32).map(move |queue| {
                Arc::new(MessageQueue { topic: Arc::clone(&topic), broker: Arc::clone(&broker), queue })
            })
        };
        if queues.perm & PERM_READ != 0 {
            self.readable.extend(list(queues.read_queue_nums));
        }
        if queues.perm & PERM_WRITE != 0 && has_master {
            self.writable.extend(list(queues.write_queue_nums));
        }
    }
}

fn brokers(list: &[BrokerData]) -> BTreeMap<String, Addresses> {
    list.iter()
        .filter(|broker| !broker.broker_addrs.is_empty())
        .map(|broker| (broker.broker_name.clone(), broker.broker_addrs.clone()))
        .collect()
}

/// All routes in use.
#[derive(Debug, Clone, Default)]
pub(super) struct RouteTable {
    pub(super) topics: FxHashMap<Arc<str>, Arc<Route>>,
    /// Of all routes together.
    pub(super) brokers: BTreeMap<String, Addresses>,
}

impl RouteTable {
    /// The table with `topic` set to `route`, or without it.
    pub(super) fn with(&self, topic: &Arc<str>, route: Option<Arc<Route>>) -> Self {
        let mut topics = self.topics.clone();
        match route {
            Some(route) => topics.insert(Arc::clone(topic), route),
            None => topics.remove(topic),
        };
        let mut brokers = BTreeMap::new();
        for route in topics.values() {
            brokers.extend(route.brokers.clone());
        }
        Self { topics, brokers }
    }

    /// The broker with `id`, else its master, else whichever there is.
    pub(super) fn address(&self, broker: &str, id: i64) -> Option<(&str, i64)> {
        let addresses = self.brokers.get(broker)?;
        let wanted = addresses.get_key_value(&id).or_else(|| addresses.get_key_value(&MASTER));
        let (id, address) = wanted.or_else(|| addresses.first_key_value())?;
        Some((address, *id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data() -> TopicRouteData {
        let queues = |name: &str, perm| QueueData {
            broker_name: name.into(),
            perm,
            read_queue_nums: 8,
            write_queue_nums: 2,
            topic_sys_flag: 0,
        };
        let broker = |name: &str, id, address: &str| BrokerData {
            broker_name: name.into(),
            broker_addrs: BTreeMap::from([(id, address.to_owned())]),
            ..BrokerData::default()
        };
        TopicRouteData {
            queue_datas: vec![queues("b", 6), queues("a", 6), queues("gone", 6), queues("slave", 6), queues("ro", 4)],
            broker_datas: vec![
                broker("b", 0, "b:1"),
                broker("a", 0, "a:1"),
                broker("slave", 1, "s:1"),
                broker("ro", 0, "r:1"),
            ],
            ..TopicRouteData::default()
        }
    }

    #[test]
    fn queues_are_sorted_and_need_permission_and_a_master() {
        let route = Route::of("T", &data());
        assert_eq!(route.readable.len(), 4 * 8);
        let writable: Vec<_> = route.writable.iter().map(|q| (q.broker.as_ref(), q.queue)).collect();
        assert_eq!(writable, [("a", 0), ("a", 1), ("b", 0), ("b", 1)]);
    }

    #[test]
    fn a_new_topic_gets_at_most_four_queues_a_broker() {
        let route = Route::of_new_topic("New", &data());
        assert!(route.provisional);
        assert_eq!(route.writable.len(), 2 * 4);
        assert!(route.writable.iter().all(|queue| &*queue.topic == "New"));
    }

    #[test]
    fn an_address_is_the_wanted_one_or_the_next_best() {
        let table = RouteTable::default().with(&"T".into(), Some(Arc::new(Route::of("T", &data()))));
        assert_eq!(table.address("a", 1), Some(("a:1", 0)));
        assert_eq!(table.address("slave", 0), Some(("s:1", 1)));
        assert_eq!(table.address("gone", 0), None);
        assert!(table.with(&"T".into(), None).brokers.is_empty());
    }
}
