use std::collections::BTreeMap;

use proptest::prelude::*;

use super::clients::{ConsumeType, ConsumerData, HeartbeatData, SubscriptionData};
use super::groups::{SubscriptionGroupConfig, SubscriptionGroupTable};
use super::lists::{KvConfig, KvTable, TopicList};
use super::locks::LockBatchRequest;
use super::offsets::{ConsumerOffsets, ConsumerStatus, DelayOffsets, ResetOffsets};
use super::queue::MessageQueue;
use super::registration::{INFLATED_BYTES_MAX, RegisterBrokerBody, TOPICS_MAX};
use super::route::{BrokerData, ClusterInfo, RouteForm, TopicRouteData};
use super::stats::{ConsumeProgress, ConsumeStats, ConsumeStatsList};
use super::topics::{MappedTopicTable, TopicConfig, TopicTable};
use super::version::DataVersion;
use super::*;
use crate::protocol::code::version as release;
use crate::protocol::compression::{self, Compression};

fn name() -> impl Strategy<Value = String> {
    "[%A-Za-z_|-]{1,12}"
}

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(any::<char>(), 0..8).prop_map(String::from_iter)
}

fn data_version() -> impl Strategy<Value = DataVersion> {
    (any::<i64>(), any::<i64>(), any::<i64>()).prop_map(|(counter, state_version, timestamp)| DataVersion {
        counter,
        state_version,
        timestamp,
    })
}

fn topic() -> impl Strategy<Value = TopicConfig> {
    (name(), prop::collection::btree_map(text(), text(), 0..3), any::<(bool, i32, i32, i32, i32)>()).prop_map(
        |(topic_name, attributes, (order, perm, read, write, flag))| TopicConfig {
            attributes,
            order,
            perm,
            read_queue_nums: read,
            topic_name,
            topic_sys_flag: flag,
            write_queue_nums: write,
            ..TopicConfig::default()
        },
    )
}

fn topics() -> impl Strategy<Value = TopicTable> {
    (data_version(), prop::collection::vec(topic(), 0..5)).prop_map(|(data_version, topics)| TopicTable {
        data_version,
        topic_config_table: topics.into_iter().map(|topic| (topic.topic_name.clone(), topic)).collect(),
    })
}

fn queue() -> impl Strategy<Value = MessageQueue> {
    (name(), text(), any::<i32>()).prop_map(|(topic, broker_name, queue_id)| MessageQueue {
        topic,
        broker_name,
        queue_id,
    })
}

fn route() -> impl Strategy<Value = TopicRouteData> {
    let broker = (prop::collection::btree_map(any::<i64>(), text(), 0..4), text(), any::<Option<bool>>()).prop_map(
        |(broker_addrs, broker_name, zone)| BrokerData {
            broker_addrs,
            broker_name,
            cluster: "c".into(),
            enable_acting_master: zone == Some(true),
            zone_name: zone.map(|zone| zone.to_string()),
        },
    );
    (prop::collection::vec(broker, 0..3), prop::option::of(text())).prop_map(|(broker_datas, order_topic_conf)| {
        TopicRouteData { broker_datas, order_topic_conf, ..TopicRouteData::default() }
    })
}

fn subscription() -> impl Strategy<Value = SubscriptionData> {
    (name(), text(), any::<i64>(), prop::collection::vec((text(), any::<i32>()), 0..3)).prop_map(
        |(topic, sub_string, sub_version, tags)| SubscriptionData {
            code_set: tags.iter().map(|(_, code)| *code).collect(),
            sub_string,
            sub_version,
            tags_set: tags.into_iter().map(|(tag, _)| tag).collect(),
            topic,
            ..SubscriptionData::default()
        },
    )
}

fn comes_back<T: Body + PartialEq + std::fmt::Debug>(body: &T) {
    assert_eq!(&T::decode(&body.encode()).unwrap(), body);
}

fn file_comes_back<T: ConfigFile + PartialEq + std::fmt::Debug>(file: &T) {
    comes_back(file);
    assert_eq!(&T::decode_file(&file.encode_file()).unwrap(), file);
}

/// Any of the types that a peer's bytes are read into.
fn read_as_everything(bytes: &[u8]) {
    let _ = HeartbeatData::decode(bytes);
    let _ = TopicRouteData::decode(bytes);
    let _ = ClusterInfo::decode(bytes);
    let _ = MappedTopicTable::decode(bytes);
    let _ = RegisterBrokerBody::decode(bytes);
    let _ = SubscriptionGroupConfig::decode(bytes);
    let _ = SubscriptionGroupTable::decode_file(bytes);
    let _ = ConsumeStatsList::decode(bytes);
    let _ = ConsumerStatus::decode(bytes);
    let _ = LockBatchRequest::decode(bytes);
    let _ = ConsumerOffsets::decode_file(bytes);
    let _ = KvConfig::decode_file(bytes);
    let _ = TopicList::decode(bytes);
    let _ = RegisterBrokerBody::decode_compressed(bytes, release::V5_5_0);
    let _ = TopicConfig::from_text(&String::from_utf8_lossy(bytes));
}

proptest! {
    #[test]
    fn topics_come_back(table in topics(), mapping in data_version()) {
        file_comes_back(&table);
        let topics = MappedTopicTable {
            data_version: table.data_version,
            mapping_data_version: mapping,
            topic_config_table: table.topic_config_table,
            ..MappedTopicTable::default()
        };
        comes_back(&RegisterBrokerBody { filter_server_list: vec!["a".into()], topics });
    }

    #[test]
    fn compressed_registrations_come_back(table in topics(), servers in prop::collection::vec(text(), 0..3)) {
        let in_text = |topic: TopicConfig| TopicConfig { order: false, topic_sys_flag: 0, ..topic };
        let topics = MappedTopicTable {
            data_version: table.data_version,
            topic_config_table: table.topic_config_table.into_iter().map(|(name, topic)| (name, in_text(topic))).collect(),
            ..MappedTopicTable::default()
        };
        let body = RegisterBrokerBody { filter_server_list: servers, topics };
        prop_assert_eq!(RegisterBrokerBody::decode_compressed(&body.encode_compressed(), release::CURRENT).unwrap(), body);
    }

    #[test]
    fn routes_come_back_in_both_forms(route in route()) {
        comes_back(&route);
        prop_assert_eq!(TopicRouteData::decode(&route.encode_for(RouteForm::Standard)).unwrap(), route);
    }

    #[test]
    fn heartbeats_come_back(subscriptions in prop::collection::vec(subscription(), 0..4), fingerprint: i32) {
        let consumer = ConsumerData {
            consume_type: Some(ConsumeType::ConsumePop),
            group_name: "g".into(),
            subscription_data_set: subscriptions,
            ..ConsumerData::default()
        };
        comes_back(&HeartbeatData {
            client_id: "c".into(),
            consumer_data_set: vec![consumer],
            heartbeat_fingerprint: fingerprint,
            ..HeartbeatData::default()
        });
    }

    #[test]
    fn tables_of_queues_come_back(
        queues in prop::collection::btree_map(queue(), any::<i64>(), 0..5),
        tps in prop::num::f64::NORMAL,
    ) {
        comes_back(&ResetOffsets { offset_table: queues.clone() });
        comes_back(&ConsumerStatus {
            consumer_table: BTreeMap::from([("c".into(), queues.clone())]),
            message_queue_table: queues.clone(),
        });
        let progress = |offset| ConsumeProgress { broker_offset: offset, ..ConsumeProgress::default() };
        let offset_table = queues.into_iter().map(|(queue, offset)| (queue, progress(offset))).collect();
        let stats = ConsumeStats { consume_tps: tps, offset_table };
        comes_back(&ConsumeStatsList {
            consume_stats_list: vec![BTreeMap::from([("g".into(), vec![stats])])],
            ..ConsumeStatsList::default()
        });
    }

    #[test]
    fn offsets_come_back(
        offset_table in prop::collection::btree_map(text(), prop::collection::btree_map(any::<i32>(), any::<i64>(), 0..4), 0..4),
        data_version in data_version(),
        table in prop::collection::btree_map(text(), text(), 0..4),
    ) {
        for levels in offset_table.values() {
            file_comes_back(&DelayOffsets { data_version, offset_table: levels.clone() });
        }
        file_comes_back(&ConsumerOffsets { data_version, offset_table, ..ConsumerOffsets::default() });
        comes_back(&KvTable { table });
    }

    #[test]
    fn any_bytes_are_a_body_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        read_as_everything(&bytes);
        let _ = RegisterBrokerBody::decode_compressed(&compression::compress(Compression::Zlib, &bytes, 1), 0);
    }

    #[test]
    fn any_json_is_a_body_or_an_error(
        field in "dataVersion|offsetTable|topicConfigTable|consumerDataSet|brokerDatas|topicList|attributes|table",
        value in r#"(\{("a"|0|\{"q":1\}):)?([0-9]{1,20}|"[0-9a-z{}]{0,4}"|null|true|\[\{\}\]|\{\})\}?"#,
    ) {
        read_as_everything(format!("{{\"{field}\":{value}}}").as_bytes());
    }

    #[test]
    fn damaged_bodies_are_bodies_or_errors(route in route(), table in topics(), at: prop::sample::Index, byte: u8) {
        let topics = MappedTopicTable { topic_config_table: table.topic_config_table, ..MappedTopicTable::default() };
        let body = RegisterBrokerBody { topics, ..RegisterBrokerBody::default() };
        for mut bytes in [route.encode(), body.encode(), body.encode_compressed()] {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            read_as_everything(&bytes);
        }
    }
}

fn compressed(plain: &[u8]) -> Result<RegisterBrokerBody, DecodeError> {
    RegisterBrokerBody::decode_compressed(&compression::compress(Compression::Zlib, plain, 9), release::CURRENT)
}

#[test]
fn a_registration_that_swells_is_refused() {
    let bomb = compression::compress(Compression::Zlib, &vec![0; INFLATED_BYTES_MAX + 1], 9);
    let error = RegisterBrokerBody::decode_compressed(&bomb, release::CURRENT).unwrap_err();
    assert!(matches!(error, DecodeError::Compressed(_)), "{error}");
}

#[test]
fn a_registration_that_lies_about_its_parts_is_refused() {
    let part = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
    let announced = |topics: u32| [part(b"{}"), topics.to_be_bytes().to_vec()].concat();
    assert_eq!(compressed(b"\0\0\0").unwrap_err(), DecodeError::Truncated("the data version"));
    assert_eq!(compressed(b"\xff\xff\xff\xff{}").unwrap_err(), DecodeError::Truncated("the data version"));
    assert_eq!(compressed(&announced(1)).unwrap_err(), DecodeError::Truncated("a topic"));
    assert!(matches!(compressed(&announced(TOPICS_MAX + 1)).unwrap_err(), DecodeError::TooMany { .. }));
    let no_topic = [announced(1), part(b"T 4")].concat();
    assert_eq!(compressed(&no_topic).unwrap_err(), DecodeError::TopicText("T 4".into()));
    let whole = [announced(0), part(b"no list"), 0u32.to_be_bytes().to_vec()].concat();
    assert_eq!(compressed(&whole).unwrap(), RegisterBrokerBody::default());
}

#[test]
fn errors_say_what_was_wanted() {
    let error = HeartbeatData::decode(b"{\"clientID\":}").unwrap_err();
    assert_eq!(error.to_string(), "the body is no heartbeat: a value wanted at byte 12");
    let error = TopicConfig::decode(br#"{"perm":"many"}"#).unwrap_err();
    assert_eq!(error.to_string(), "the body is no topic configuration: an integer wanted, a string found");
}

#[test]
fn what_clients_send_beside_java_is_read() {
    let go = br#"{"clientID":"c","producerDataSet":[],"consumerDataSet":[{"groupName":"g","consumeType":"CONSUME_PASSIVELY",
        "messageModel":"CLUSTERING","consumeFromWhere":"CONSUME_FROM_LAST_OFFSET","subscriptionDataSet":[{"classFilterMode":false,
        "topic":"T","subString":"a || b","tagsSet":["a","b"],"codeSet":["97","98"],"subVersion":1,"expressionType":"TAG"}],
        "unitMode":false}]}"#;
    let heartbeat = HeartbeatData::decode(go).unwrap();
    let subscription = &heartbeat.consumer_data_set[0].subscription_data_set[0];
    assert_eq!(subscription.code_set, [97, 98]);
    let lower =
        br#"{"clientID":"c","consumerDataSet":[{"groupName":"g","consumeType":"consume_actively","messageModel":1}]}"#;
    let consumer = &HeartbeatData::decode(lower).unwrap().consumer_data_set[0];
    assert_eq!(consumer.consume_type, Some(ConsumeType::ConsumeActively));
    assert_eq!(consumer.message_model, Some(super::clients::MessageModel::Clustering));
}
