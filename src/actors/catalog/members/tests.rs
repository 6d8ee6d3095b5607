use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::oneshot;

use super::*;
use crate::actors::Peer;
use crate::actors::catalog::testing::{Listener, Pushed, change, connection, settings};
use crate::actors::crash::Crash;
use crate::actors::supervision;
use crate::protocol::body::groups::SubscriptionGroupConfig;
use crate::protocol::names::Topic;

struct Broker {
    config: Arc<ArcSwap<BrokerConfig>>,
    groups: Arc<GroupTable>,
    table: Arc<SubscriptionTable>,
    members: Addr<Members>,
    connections: AtomicU64,
}

/// A client behind a connection of its own.
struct Guest {
    id: &'static str,
    listener: Addr<Listener>,
    peer: Peer,
}

impl Broker {
    fn open() -> Self {
        let config = settings(&tempfile::tempdir().unwrap());
        let (groups, table) = (Arc::<GroupTable>::default(), Arc::<SubscriptionTable>::default());
        let members = Members::new(Arc::clone(&config), Arc::clone(&groups), Arc::clone(&table));
        let members = supervision::start_here(members, |_| {});
        Self { config, groups, table, members, connections: AtomicU64::new(0) }
    }

    fn guest(&self, id: &'static str) -> Guest {
        let (listener, peer) = connection(self.connections.fetch_add(1, Ordering::Relaxed));
        Guest { id, listener, peer }
    }

    async fn ids(&self, group: &str) -> Vec<String> {
        let ids = self.members.send(ListConsumerIds { group: group_of(group) }).await.unwrap();
        ids.iter().map(|id| id.to_string()).collect()
    }

    async fn beat(&self, guest: &Guest, beat: Beat) -> HeartbeatReply {
        let (reply, answer) = oneshot::channel();
        let client = Client { peer: guest.peer.clone(), id: guest.id.into(), language: 0, version: 513 };
        self.members.do_send(Heartbeat {
            client,
            fingerprint: beat.fingerprint,
            without_subscriptions: beat.without,
            consumers: beat.consumers,
            producers: beat.producers.iter().map(|group| Arc::from(*group)).collect(),
            reply,
        });
        answer.await.unwrap()
    }

    async fn join(&self, guest: &Guest, group: &str, topics: &[&str]) -> HeartbeatReply {
        self.beat(guest, Beat { consumers: vec![consumer(group, topics)], ..Beat::default() }).await
    }

    async fn leave(&self, guest: &Guest) {
        self.members.send(Disconnected { connection: guest.peer.connection }).await.unwrap();
    }
}

#[derive(Default)]
struct Beat {
    fingerprint: i32,
    without: bool,
    consumers: Vec<Consumer>,
    producers: Vec<&'static str>,
}

impl Guest {
    /// Groups of the notices since the last question.
    async fn notices(&self) -> Vec<String> {
        tokio::time::sleep(NOTICE_DELAY * 2).await;
        let pushed = self.listener.send(Pushed).await.unwrap();
        assert!(pushed.iter().all(|push| push.code == 40));
        pushed.into_iter().flat_map(|push| push.fields).map(|(name, group)| format!("{name}={group}")).collect()
    }
}

fn group_of(name: &str) -> Group {
    Group::new(name).unwrap()
}

fn wish(topic: &str, expression: &str, version: i64) -> Subscription {
    let mut subscription =
        Subscription::new(Topic::new(topic).unwrap(), None, Some(expression.into()), BTreeSet::new());
    subscription.version = version;
    subscription
}

fn consumer(group: &str, topics: &[&str]) -> Consumer {
    Consumer {
        group: group_of(group),
        consume_type: Some(ConsumeType::ConsumePassively),
        model: Some(MessageModel::Clustering),
        from: None,
        subscriptions: topics.iter().map(|topic| wish(topic, "*", 1)).collect(),
    }
}

#[actix::test]
async fn consumers_join_and_leave_and_the_others_are_told_once() {
    tokio::time::pause();
    let broker = Broker::open();
    let (a, b) = (broker.guest("a"), broker.guest("b"));
    broker.join(&a, "g", &["T"]).await;
    assert_eq!(a.notices().await, ["consumerGroup=g"]);
    broker.join(&b, "g", &["T"]).await;
    broker.join(&b, "g", &["T"]).await;
    assert_eq!(
        (a.notices().await, b.notices().await),
        (vec!["consumerGroup=g".into()], vec!["consumerGroup=g".into()])
    );
    assert_eq!(broker.ids("g").await, ["a", "b"]);
    broker.leave(&b).await;
    assert_eq!(broker.ids("g").await, ["a"]);
    assert_eq!((a.notices().await.len(), b.notices().await.len()), (1, 0));
    broker.leave(&a).await;
    assert!(broker.ids("g").await.is_empty() && broker.table.group("g").is_none());
}

#[actix::test]
async fn many_that_join_at_once_cost_one_notice_each() {
    tokio::time::pause();
    let broker = Broker::open();
    let mut guests = Vec::new();
    for number in 0..40 {
        let guest = broker.guest(format!("c{number:02}").leak());
        broker.join(&guest, "g", &["T"]).await;
        guests.push(guest);
    }
    let mut notices = 0;
    for guest in &guests {
        notices += guest.notices().await.len();
    }
    assert_eq!(notices, 40);
    assert_eq!(broker.ids("g").await.len(), 40);
}

#[actix::test]
async fn nobody_is_told_of_broadcasting_groups_nor_where_the_settings_say_so() {
    tokio::time::pause();
    let broker = Broker::open();
    let guest = broker.guest("a");
    let broadcast = Consumer { model: Some(MessageModel::Broadcasting), ..consumer("b", &["T"]) };
    let quiet = SubscriptionGroupConfig { notify_consumer_ids_changed_enable: false, ..Default::default() };
    broker.groups.publish_for_tests(group_of("q"), quiet);
    broker.beat(&guest, Beat { consumers: vec![broadcast, consumer("q", &["T"])], ..Beat::default() }).await;
    assert!(guest.notices().await.is_empty());
    change(&broker.config, |config| config.clients.notify_members_changed = false);
    broker.join(&guest, "g", &["T"]).await;
    assert!(guest.notices().await.is_empty());
    assert!(broker.table.group("b").unwrap().is_broadcasting());
}

#[actix::test]
async fn a_heartbeat_after_its_connection_closed_registers_nobody() {
    let broker = Broker::open();
    let guest = broker.guest("a");
    broker.join(&guest, "g", &["T"]).await;
    broker.leave(&guest).await;
    broker.beat(&guest, Beat { consumers: vec![consumer("g", &["T"])], producers: vec!["p"], ..Beat::default() }).await;
    assert!(broker.ids("g").await.is_empty());
    assert!(broker.members.send(ListProducers { group: None }).await.unwrap().is_empty());
}

#[actix::test]
async fn two_clients_on_one_connection_are_two_and_one_client_on_two_is_one() {
    let broker = Broker::open();
    let a = broker.guest("a");
    let b = Guest { id: "b", listener: a.listener.clone(), peer: a.peer.clone() };
    let again = broker.guest("a");
    for guest in [&a, &b, &again] {
        broker.join(guest, "g", &["T"]).await;
    }
    assert_eq!(broker.ids("g").await, ["a", "b"]);
    let found = broker.members.send(FindConsumer { group: group_of("g"), client_id: "a".into() }).await.unwrap();
    assert_eq!(found.unwrap().peer.connection, again.peer.connection);
    let leave = Unregister {
        connection: a.peer.connection,
        client_id: "b".into(),
        producer_group: None,
        consumer_group: Some("g".into()),
    };
    broker.members.send(leave).await.unwrap();
    assert_eq!(broker.ids("g").await, ["a"]);
    assert_eq!(broker.members.send(ListConsumers { group: group_of("g") }).await.unwrap().unwrap().clients.len(), 2);
}

#[actix::test]
async fn the_silent_are_gone_after_two_minutes() {
    tokio::time::pause();
    let broker = Broker::open();
    let (a, b) = (broker.guest("a"), broker.guest("b"));
    for guest in [&a, &b] {
        let consumers = vec![consumer("g", &["T"])];
        broker.beat(guest, Beat { consumers, producers: vec!["p"], ..Beat::default() }).await;
    }
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_secs(29)).await;
        broker.join(&a, "g", &["T"]).await;
        assert_eq!(broker.ids("g").await, ["a", "b"]);
    }
    a.notices().await;
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(broker.ids("g").await, ["a"]);
    assert_eq!(a.notices().await, ["consumerGroup=g"]);
    assert!(broker.members.send(ListProducers { group: None }).await.unwrap().is_empty());
}

#[actix::test]
async fn subscriptions_outlive_their_owner_until_members_had_the_time_to_come_back() {
    tokio::time::pause();
    let mut broker = Broker::open();
    let (a, b) = (broker.guest("a"), broker.guest("b"));
    broker.join(&a, "g", &["T"]).await;
    broker.join(&b, "h", &["T"]).await;
    assert!(broker.members.send(Crash).await.is_err());
    broker.members = Members::new(broker.config.clone(), broker.groups.clone(), broker.table.clone()).start();
    assert!(broker.ids("g").await.is_empty());
    assert!(broker.table.lookup("g", "T").is_some() && broker.table.lookup("h", "T").is_some());
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_secs(29)).await;
        broker.join(&a, "g", &["T"]).await;
        assert!(broker.table.group("h").is_some());
    }
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert!(broker.table.group("g").is_some() && broker.table.group("h").is_none());
}

#[actix::test]
async fn subscriptions_follow_the_newest_heartbeat_of_a_higher_version() {
    let broker = Broker::open();
    let guest = broker.guest("a");
    let with =
        |subscriptions| Beat { consumers: vec![Consumer { subscriptions, ..consumer("g", &[]) }], ..Beat::default() };
    broker.beat(&guest, with(vec![wish("T", "a", 5), wish("U", "*", 5)])).await;
    let version = broker.table.version();
    broker.beat(&guest, with(vec![wish("T", "b", 4), wish("U", "*", 5)])).await;
    assert_eq!(broker.table.lookup("g", "T").unwrap().expression, "a");
    assert_eq!(broker.table.version(), version);
    broker.beat(&guest, with(vec![wish("T", "b", 6)])).await;
    let renewed = broker.table.lookup("g", "T").unwrap();
    assert_eq!((renewed.expression.as_str(), renewed.codes(), renewed.version), ("b", &[98][..], 6));
    assert!(broker.table.lookup("g", "U").is_none());
    assert_eq!(broker.table.groups_of("T"), [group_of("g")].into());
    assert!(broker.table.version() > version);
}

#[actix::test]
async fn subscriptions_may_be_left_out_once_they_are_known() {
    let broker = Broker::open();
    let guest = broker.guest("a");
    let beat = async |fingerprint, without| {
        let topics: &[&str] = if without { &[] } else { &["T"] };
        let beat = Beat { fingerprint, without, consumers: vec![consumer("g", topics)], ..Beat::default() };
        broker.beat(&guest, beat).await.send_subscriptions
    };
    assert!(beat(0, false).await, "clients that know no fingerprints are always told so");
    broker.leave(&guest).await;
    let guest = broker.guest("a");
    let beat = async |fingerprint, without| {
        let topics: &[&str] = if without { &[] } else { &["T"] };
        let beat = Beat { fingerprint, without, consumers: vec![consumer("g", topics)], ..Beat::default() };
        broker.beat(&guest, beat).await.send_subscriptions
    };
    assert!(beat(7, true).await, "a broker that knows nothing asks for them");
    assert!(!beat(7, false).await);
    assert!(!beat(7, true).await);
    assert!(broker.table.lookup("g", "T").is_some());
    assert!(beat(8, true).await);
    assert_eq!(broker.ids("g").await, ["a"]);
}

#[actix::test]
async fn producers_are_listed_by_group() {
    let broker = Broker::open();
    let (a, b) = (broker.guest("a"), broker.guest("b"));
    broker.beat(&a, Beat { producers: vec!["p", "with.a.dot"], ..Beat::default() }).await;
    broker.beat(&b, Beat { producers: vec!["p"], ..Beat::default() }).await;
    let all = broker.members.send(ListProducers { group: None }).await.unwrap();
    let counts: Vec<_> = all.iter().map(|(group, producers)| (group.to_string(), producers.len())).collect();
    assert_eq!(counts, [("p".into(), 2), ("with.a.dot".into(), 1)]);
    broker.leave(&a).await;
    let one = broker.members.send(ListProducers { group: Some("p".into()) }).await.unwrap();
    assert_eq!(one.values().map(Vec::len).sum::<usize>(), 1);
}

#[test]
fn a_registry_takes_no_more_than_its_bound() {
    actix::System::new().block_on(async {
        let mut registry = Registry::new(2);
        for (number, wanted) in [(0, Put::Joined), (1, Put::Joined), (2, Put::NoRoom), (1, Put::Known)] {
            let (_, peer) = connection(number);
            let client = Client { peer, id: "x".into(), language: 0, version: 0 };
            assert_eq!(registry.put(&group_of("g"), member(&client)), wanted, "{number}");
        }
        assert_eq!(registry.remove_connection(ConnectionId(0)).len(), 1);
        assert!(registry.remove_connection(ConnectionId(0)).is_empty());
        let (_, peer) = connection(3);
        let client = Client { peer, id: "x".into(), language: 0, version: 0 };
        assert_eq!(registry.put(&group_of("g"), member(&client)), Put::Joined);
    });
}
