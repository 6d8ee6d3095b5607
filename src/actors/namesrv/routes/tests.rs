use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::super::published::TopicKind;
use super::*;
use crate::protocol::body::static_topics::TopicQueueMappingInfo;

const SHARE: Share = Share { read_queues: 4, write_queues: 4, perm: 6, sys_flag: 0 };

/// A broker `name/id` at `address` with topics, over a connection of the address's own.
fn broker(group: &str, id: i64, address: &str, topics: &[&str]) -> Registration {
    Registration {
        broker: Identity { cluster: "c".into(), group: group.into(), address: address.into(), id },
        ha_address: Some(format!("{address}-ha").into()),
        zone: None,
        heartbeat_timeout: Duration::from_secs(120),
        acting_master: Some(false),
        version: DataVersion { counter: 1, state_version: 0, timestamp: 1 },
        topics: topics.iter().map(|topic| ((*topic).into(), SHARE)).collect(),
        mappings: BTreeMap::new(),
        filter_servers: Some(Vec::new()),
        connection: ConnectionId(address.bytes().map(u64::from).sum()),
    }
}

fn tables() -> RouteTables {
    RouteTables::new(Arc::default())
}

fn register(tables: &mut RouteTables, registration: Registration) -> Outcome {
    tables.register(registration, false, Instant::now()).unwrap()
}

fn addresses(tables: &RouteTables, group: &str) -> Vec<(i64, String)> {
    let brokers = tables.published.brokers();
    let group = brokers.groups.get(group);
    group.into_iter().flat_map(|group| &group.addresses).map(|(id, address)| (*id, address.to_string())).collect()
}

fn perm(tables: &RouteTables, topic: &str, group: &str) -> Option<i32> {
    Some(tables.published.route(topic)?.topic.shares.get(group)?.perm)
}

fn topics(tables: &RouteTables) -> Vec<String> {
    tables.published.topic_names(TopicKind::All).iter().map(ToString::to_string).collect()
}

#[test]
fn a_slave_is_told_of_its_master() {
    let mut tables = tables();
    let slave = register(&mut tables, broker("b", 1, "s", &[]));
    assert_eq!(slave.told, Registered::default());
    let master = register(&mut tables, broker("b", 0, "m", &["T", "U"]));
    assert_eq!(master.told, Registered::default());
    let slave = register(&mut tables, broker("b", 1, "s", &[]));
    let told = Registered { ha_address: Some("m-ha".into()), master_address: Some("m".into()) };
    assert_eq!((slave.told, slave.is_new), (told, false));
    assert_eq!(addresses(&tables, "b"), [(0, "m".into()), (1, "s".into())]);
}

#[test]
fn only_the_master_tells_topics() {
    let mut tables = tables();
    let mut old_slave = broker("b", 1, "s", &["A", "B"]);
    old_slave.acting_master = None;
    register(&mut tables, old_slave);
    assert!(topics(&tables).is_empty());
    register(&mut tables, broker("b", 0, "m", &["T", "U"]));
    register(&mut tables, broker("b", 1, "s", &["A", "B"]));
    assert_eq!(topics(&tables), ["T", "U"]);
}

#[test]
fn the_first_slave_of_a_group_that_allows_it_tells_topics_for_reading() {
    let mut tables = tables();
    let mut slave = broker("b", 1, "s", &["T", "U"]);
    slave.acting_master = Some(true);
    register(&mut tables, slave.clone());
    slave.broker.id = 2;
    slave.broker.address = "s2".into();
    slave.topics.push(("V".into(), SHARE));
    register(&mut tables, slave);
    assert_eq!(topics(&tables), ["T", "U"]);
    assert_eq!(perm(&tables, "T", "b"), Some(4));
    let mut route = tables.published.route("T").unwrap();
    route.show_acting_masters("T");
    let shown: Vec<_> = route.groups[0].addresses.iter().map(|(id, address)| (*id, &**address)).collect();
    assert_eq!(shown, [(0, "s"), (2, "s2")]);
    assert_eq!(addresses(&tables, "b"), [(1, "s".into()), (2, "s2".into())]);
}

#[test]
fn a_group_that_loses_its_master_is_for_reading() {
    let mut tables = tables();
    for (id, address) in [(0, "m"), (1, "s")] {
        let mut member = broker("b", id, address, &["T", "U"]);
        member.acting_master = Some(true);
        register(&mut tables, member);
    }
    let change = tables.unregister(&broker("b", 0, "m", &[]).broker).unwrap();
    assert_eq!((change.left.as_deref(), change.group.addresses.len()), (Some("m"), 1));
    assert_eq!(perm(&tables, "T", "b"), Some(4));
    assert_eq!(tables.unregister(&broker("b", 0, "m", &[]).broker), None);
}

#[test]
fn a_change_of_one_topic_needs_a_whole_registration_before_it() {
    let mut tables = tables();
    let early = tables.register(broker("b", 0, "m", &["T"]), false, Instant::now());
    assert_eq!(early, Err(RegistrationError::NotRegisteredYet));
    assert!(tables.live().is_empty() && tables.published.brokers().groups.is_empty());
    register(&mut tables, broker("b", 0, "m", &["T", "U"]));
    register(&mut tables, broker("b", 0, "m", &["V"]));
    assert_eq!(topics(&tables), ["T", "U", "V"]);
    // Nor does it pass for a broker that takes another's place in a group.
    let other_id = tables.register(broker("b", 1, "s", &["T"]), false, Instant::now());
    assert_eq!(other_id, Err(RegistrationError::NotRegisteredYet));
}

#[test]
fn a_slave_that_becomes_master_leaves_its_old_id() {
    let mut tables = tables();
    register(&mut tables, broker("b", 1, "s", &[]));
    let promoted = register(&mut tables, broker("b", 0, "s", &["T", "U"]));
    assert_eq!(addresses(&tables, "b"), [(0, "s".into())]);
    assert!(promoted.lowest_id.is_some() && !promoted.is_new);
    assert_eq!(topics(&tables), ["T", "U"]);
}

#[test]
fn a_place_goes_to_the_later_state() {
    let mut tables = tables();
    let mut elected = broker("b", 0, "new", &["T", "U"]);
    elected.version.state_version = 7;
    register(&mut tables, elected.clone());
    register(&mut tables, broker("b", 1, "old", &[]));
    let stale = register(&mut tables, broker("b", 0, "old", &["T", "U"]));
    assert_eq!(stale.conflicts_with.as_deref(), Some("new"));
    assert_eq!(addresses(&tables, "b"), [(0, "new".into())]);
    assert_eq!(tables.live().len(), 1);
    elected.broker.address = "newer".into();
    assert_eq!(register(&mut tables, elected).conflicts_with, None);
    assert_eq!(addresses(&tables, "b"), [(0, "newer".into())]);
    assert_eq!(tables.live().len(), 1);
}

#[test]
fn a_process_with_another_name_leaves_its_old_group() {
    let mut tables = tables();
    register(&mut tables, broker("old", 0, "m", &["T", "U"]));
    register(&mut tables, broker("new", 0, "m", &["V", "W"]));
    assert_eq!(topics(&tables), ["V", "W"]);
    assert_eq!(addresses(&tables, "old"), []);
    let brokers = tables.published.brokers();
    assert_eq!(brokers.clusters["c"].iter().map(|name| &**name).collect::<Vec<_>>(), ["new"]);
}

#[test]
fn topics_change_with_the_version_only() {
    let mut tables = tables();
    register(&mut tables, broker("b", 0, "m", &["T", "U"]));
    assert_eq!(tables.wipe_write_permission("b"), 2);
    tables.delete_topic("U", Some("c"));
    register(&mut tables, broker("b", 0, "m", &["T", "U"]));
    assert_eq!((perm(&tables, "T", "b"), perm(&tables, "U", "b")), (Some(4), Some(6)));
    let mut changed = broker("b", 0, "m", &["T", "U"]);
    changed.version.counter = 2;
    register(&mut tables, changed);
    assert_eq!(perm(&tables, "T", "b"), Some(6));
}

#[test]
fn topics_that_are_no_longer_named_go_when_asked_for() {
    let mut tables = tables();
    register(&mut tables, broker("b", 0, "m", &["T", "U", "V"]));
    register(&mut tables, broker("x", 0, "other", &["T", "W"]));
    tables.register(broker("b", 0, "m", &["U", "V"]), true, Instant::now()).unwrap();
    assert_eq!(topics(&tables), ["T", "U", "V", "W"]);
    assert_eq!(perm(&tables, "T", "b"), None);
    tables.register(broker("b", 0, "m", &["U"]), true, Instant::now()).unwrap();
    assert_eq!(topics(&tables), ["T", "U", "V", "W"]);
}

#[test]
fn static_topics_carry_their_mapping() {
    let mut tables = tables();
    let mapping = TopicQueueMappingInfo {
        bname: Some("b".into()),
        curr_id_map: BTreeMap::from([(0, 3)]),
        topic: Some("T".into()),
        ..Default::default()
    };
    let mut registration = broker("b", 0, "m", &["T", "U"]);
    registration.mappings.insert("T".into(), mapping.clone());
    register(&mut tables, registration);
    assert_eq!(*tables.published.route("T").unwrap().topic.mappings["b"], mapping);
    assert!(tables.published.route("U").unwrap().topic.mappings.is_empty());
}

#[test]
fn silence_and_lost_connections_end_a_broker() {
    let mut tables = tables();
    let start = Instant::now();
    for (group, seconds) in [("a", 0), ("b", 60)] {
        let mut registration = broker(group, 0, group, &["T", "U"]);
        registration.heartbeat_timeout = Duration::from_secs(30);
        registration.filter_servers = Some(vec!["f".into()]);
        tables.register(registration, false, start + Duration::from_secs(seconds)).unwrap();
    }
    let gone = tables.expire(start + Duration::from_secs(90));
    assert_eq!(gone.iter().map(|(key, _)| &*key.address).collect::<Vec<_>>(), ["a"]);
    assert_eq!(tables.published.route("T").unwrap().filter_servers.len(), 1);
    assert_eq!(tables.disconnect(ConnectionId(12345)).len(), 0);
    assert_eq!(tables.disconnect(ConnectionId(u64::from(b'b'))).len(), 1);
    assert!(topics(&tables).is_empty());
    let brokers = tables.published.brokers();
    assert!(brokers.groups.is_empty() && brokers.clusters.is_empty() && brokers.filter_servers.is_empty());
}

#[test]
fn zones_keep_to_themselves_while_their_masters_live() {
    let mut tables = tables();
    for (group, id, zone) in [("a", 0, "z1"), ("b", 0, "z2"), ("d", 1, "z2")] {
        let mut registration = broker(group, id, group, &["T", "U"]);
        registration.zone = Some(zone.into());
        registration.acting_master = Some(true);
        register(&mut tables, registration);
    }
    let mut route = tables.published.route("T").unwrap();
    route.keep_zone("Z1");
    assert_eq!(route.groups.iter().map(|group| &*group.name).collect::<Vec<_>>(), ["a", "d"]);
    assert_eq!(route.topic.shares.keys().map(|name| &**name).collect::<Vec<_>>(), ["a", "d"]);
    assert_eq!(tables.published.route("T").unwrap().groups.len(), 3);
}

#[test]
fn names_are_bounded() {
    let mut tables = tables();
    for (group, address) in [("", "m"), ("b", ""), (&*"x".repeat(256), "m")] {
        let refused = tables.register(broker(group, 0, address, &[]), false, Instant::now());
        assert!(matches!(refused, Err(RegistrationError::Name { .. })), "{group} {address}");
    }
    assert!(tables.published.brokers().groups.is_empty());
}

#[derive(Debug, Clone)]
enum Event {
    Register { cluster: u8, group: u8, id: i64, address: u8, state: i64, topics: Vec<u8>, acting: Option<bool> },
    Unregister { cluster: u8, group: u8, address: u8 },
    Disconnect(u8),
    Expire(u64),
    DeleteTopic(u8),
}

fn events() -> impl Strategy<Value = Event> {
    let register =
        (0..2u8, 0..3u8, 0..3i64, 0..4u8, 0..3i64, prop::collection::vec(0..4u8, 0..4), any::<Option<bool>>());
    prop_oneof![
        6 => register.prop_map(|(cluster, group, id, address, state, topics, acting)| Event::Register {
            cluster, group, id, address, state, topics, acting
        }),
        1 => (0..2u8, 0..3u8, 0..4u8)
            .prop_map(|(cluster, group, address)| Event::Unregister { cluster, group, address }),
        1 => (0..4u8).prop_map(Event::Disconnect),
        1 => (0..200u64).prop_map(Event::Expire),
        1 => (0..4u8).prop_map(Event::DeleteTopic),
    ]
}

fn name(kind: &str, number: u8) -> Name {
    format!("{kind}{number}").into()
}

fn apply(tables: &mut RouteTables, event: Event, now: &mut Instant) {
    match event {
        Event::Register { cluster, group, id, address, state, topics, acting } => {
            let mut registration = broker("", id, "", &[]);
            registration.broker.cluster = name("c", cluster);
            registration.broker.group = name("g", group);
            registration.broker.address = name("a", address);
            registration.version.state_version = state;
            registration.acting_master = acting;
            registration.topics = topics.into_iter().map(|topic| (name("t", topic), SHARE)).collect();
            registration.connection = ConnectionId(address.into());
            // Refusals are as good as anything here.
            let _ = tables.register(registration, state == 2, *now);
        }
        Event::Unregister { cluster, group, address } => {
            let (cluster, group, address) = (name("c", cluster), name("g", group), name("a", address));
            tables.unregister(&Identity { cluster, group, address, id: 0 });
        }
        Event::Disconnect(address) => drop(tables.disconnect(ConnectionId(address.into()))),
        Event::Expire(seconds) => {
            *now += Duration::from_secs(seconds);
            tables.expire(*now);
        }
        Event::DeleteTopic(topic) => tables.delete_topic(&name("t", topic), None),
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_tables_fit_each_other(history in prop::collection::vec(events(), 1..40)) {
        let mut tables = tables();
        let mut now = Instant::now();
        for event in history {
            apply(&mut tables, event, &mut now);
            let brokers = tables.published.brokers();
            let mut places = 0;
            for (name, group) in &brokers.groups {
                prop_assert!(!group.addresses.is_empty());
                prop_assert!(brokers.clusters.values().any(|groups| groups.contains(name)));
                let distinct: BTreeSet<_> = group.addresses.values().collect();
                prop_assert_eq!(distinct.len(), group.addresses.len());
                for address in group.addresses.values() {
                    prop_assert!(tables.key_of(name, address).is_some(), "{} of {} is not there", address, name);
                }
                places += group.addresses.len();
            }
            prop_assert_eq!(places, tables.live().len());
            prop_assert!(brokers.clusters.values().flatten().all(|name| brokers.groups.contains_key(name)));
            for topic in tables.published.topic_names(TopicKind::All) {
                let route = tables.published.route(&topic);
                prop_assert!(route.is_some_and(|route| route.groups.len() == route.topic.shares.len()));
            }
        }
    }
}
