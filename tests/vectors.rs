//! Our words against RocketMQ's own: every vector under `tests/vectors/` that this room can read. The files say what
//! they hold; a Java program beside them wrote them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use actormq::protocol::body::registration::{RegisterBrokerBody, body_crc};
use actormq::protocol::body::route::{RouteForm, TopicRouteData};
use actormq::protocol::body::topics::TopicConfig;
use actormq::protocol::body::{Body, ConfigFile, clients, groups, lists, offsets, route, stats, topics, version};
use actormq::protocol::code::{Language, RequestCode, ResponseCode, version as release};
use actormq::protocol::compression::{self, Compression};
use actormq::protocol::fields::{self, FieldSink};
use actormq::protocol::frame::{Codec, Ext, Frame};
use actormq::protocol::header::{admin, clients as client, groups as group, namesrv, offsets as offset, pull, query};
use actormq::protocol::header::{send, topics as topic};
use actormq::protocol::uniq_key;
use serde::Serialize;

fn file(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lines of a vector file, cut at tabs, without the lines that say what is in it.
fn vectors(name: &str) -> Vec<Vec<String>> {
    let text = String::from_utf8(file(name)).unwrap();
    let lines = text.split('\n').filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap() as u8;
    text.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

#[test]
fn codes_are_rocketmqs() {
    let (mut requests, mut responses) = (BTreeSet::new(), BTreeSet::new());
    for vector in vectors("codes.txt") {
        let (name, number) = (vector[1].as_str(), vector[2].parse::<i32>().unwrap());
        match vector[0].as_str() {
            "request" => {
                assert_eq!(RequestCode::from_number(number).name(), name);
                requests.insert(number);
            }
            "response" => {
                assert_eq!(ResponseCode::from_number(number).name(), name);
                responses.insert(number);
            }
            _ => {
                let language = Language::from_ordinal(u8::try_from(number).unwrap()).unwrap();
                assert_eq!(language.name(), name);
            }
        }
    }
    // What we name beyond 5.5.0: the ACL 1.0 requests, and codes that only clients make.
    let extra = RequestCode::ALL.iter().filter(|code| !requests.contains(&code.number()));
    assert!(extra.clone().all(|code| (50..=54).contains(&code.number())) && extra.count() == 5);
    let extra = ResponseCode::ALL.iter().filter(|code| !responses.contains(&code.number()));
    assert!(extra.clone().all(|code| (10_001..=10_007).contains(&code.number())) && extra.count() == 7);
}

/// Texts of one body by form.
type Forms = BTreeMap<String, String>;

fn bodies() -> BTreeMap<String, Forms> {
    let mut bodies: BTreeMap<String, Forms> = BTreeMap::new();
    for vector in vectors("bodies.txt") {
        bodies.entry(vector[0].clone()).or_default().insert(vector[1].clone(), vector[2].clone());
    }
    bodies
}

/// Reads the body in every form, and writes it as 5.5.0 does.
fn check<T: Body + PartialEq + Debug>(name: &str, forms: &Forms) {
    let decode = |form: &str, text: &String| {
        T::decode(text.as_bytes()).unwrap_or_else(|error| panic!("{name}, {form}: {error}"))
    };
    let new = decode("new", &forms["new"]);
    assert_eq!(String::from_utf8(new.encode()).unwrap(), forms["new"], "{name}");
    for (form, text) in forms.iter().filter(|(form, _)| form.as_str() != "standard_old") {
        let found = decode(form, text);
        // Fastjson 1 escapes one control character that fastjson 2 does not; all else is the same.
        assert_eq!(found, new, "{name}, {form}");
    }
}

type Check = fn(&str, &Forms);

const CHECKS: [(&str, Check); 38] = [
    ("broker_stats", check::<stats::BrokerStatsData>),
    ("check_client", check::<clients::CheckClientRequest>),
    ("cluster", check::<route::ClusterInfo>),
    ("consume_queue", check::<stats::ConsumeQueueEntries>),
    ("consume_stats", check::<stats::ConsumeStats>),
    ("consume_stats_empty", check::<stats::ConsumeStats>),
    ("consume_stats_list", check::<stats::ConsumeStatsList>),
    ("consume_time_span", check::<stats::ConsumeTimeSpans>),
    ("consumer_connection", check::<clients::ConsumerConnection>),
    ("consumer_list", check::<clients::ConsumerList>),
    ("consumer_offsets_all", check::<offsets::ConsumerOffsets>),
    ("consumer_status", check::<offsets::ConsumerStatus>),
    ("correction_offset", check::<offsets::CorrectionOffsets>),
    ("create_topic_list", check::<topics::CreateTopicList>),
    ("data_version", check::<version::DataVersion>),
    ("group_config", check::<groups::SubscriptionGroupConfig>),
    ("group_config_customized", check::<groups::SubscriptionGroupConfig>),
    ("group_config_full", check::<groups::SubscriptionGroupConfig>),
    ("group_config_list", check::<groups::SubscriptionGroupList>),
    ("group_forbidden", check::<groups::GroupForbidden>),
    ("group_list", check::<lists::GroupList>),
    ("group_table", check::<groups::SubscriptionGroupTable>),
    ("heartbeat", check::<clients::HeartbeatData>),
    ("heartbeat_v2", check::<clients::HeartbeatData>),
    ("kv_table", check::<lists::KvTable>),
    ("member_group", check::<route::GetBrokerMemberGroupResponse>),
    ("producer_connection", check::<clients::ProducerConnection>),
    ("producer_table", check::<clients::ProducerTableInfo>),
    ("query_subscription", check::<clients::QuerySubscriptionResponse>),
    ("register_broker", check::<RegisterBrokerBody>),
    ("reset_offset", check::<offsets::ResetOffsets>),
    ("route", check::<TopicRouteData>),
    ("topic_config", check::<TopicConfig>),
    ("topic_config_mapping", check::<topics::MappedTopicConfig>),
    ("topic_config_mapping_static", check::<topics::MappedTopicConfig>),
    ("topic_list", check::<lists::TopicList>),
    ("topic_list_address", check::<lists::TopicList>),
    ("topic_stats", check::<stats::TopicStatsTable>),
];

const TABLE_CHECKS: [(&str, Check); 3] = [
    ("topic_table", check::<topics::TopicTable>),
    ("topic_table_mapping", check::<topics::MappedTopicTable>),
    ("topic_table_static", check::<topics::MappedTopicTable>),
];

#[test]
fn bodies_are_read_in_every_form_and_written_as_rocketmq_does() {
    let mut bodies = bodies();
    for (name, check) in CHECKS.iter().chain(&TABLE_CHECKS) {
        check(name, &bodies.remove(*name).unwrap_or_else(|| panic!("no vector {name}")));
    }
    // Checked by other tests.
    for name in ["consumer_offsets", "topic_config_text", "topic_config_text_plain"] {
        bodies.remove(name).unwrap();
    }
    assert!(bodies.is_empty(), "vectors that nothing checks: {:?}", bodies.keys());
}

#[test]
fn offsets_without_the_derived_tables_are_the_same_offsets() {
    let bodies = bodies();
    let all = offsets::ConsumerOffsets::decode(bodies["consumer_offsets_all"]["new"].as_bytes()).unwrap();
    let bare = offsets::ConsumerOffsets::decode(bodies["consumer_offsets"]["new"].as_bytes()).unwrap();
    assert_eq!(all, bare);
    assert_eq!(all.offset_table["TopicTest@cg"], BTreeMap::from([(0, 12), (1, 7)]));
}

#[test]
fn a_route_has_the_form_that_its_reader_wants() {
    let forms = &bodies()["route"];
    let route = TopicRouteData::decode(forms["new"].as_bytes()).unwrap();
    let standard = route.encode_for(RouteForm::for_client(release::V4_9_4, None));
    assert_eq!(String::from_utf8(standard.clone()).unwrap(), forms["standard_new"]);
    assert!(serde_json::from_slice::<serde_json::Value>(&standard).is_ok());
    assert_eq!(route.encode_for(RouteForm::for_client(317, Some(true))), standard);
    assert_eq!(route.encode_for(RouteForm::for_client(317, None)), route.encode());
    assert_eq!(TopicRouteData::decode(forms["standard_old"].as_bytes()).unwrap(), route);
}

#[test]
fn the_text_form_of_a_topic_comes_back() {
    let bodies = bodies();
    for name in ["topic_config_text", "topic_config_text_plain"] {
        let text = &bodies[name]["new"];
        assert_eq!(&TopicConfig::from_text(text).unwrap().to_text(), text);
    }
    let old = TopicConfig::from_text("T 4 8 6 MULTI_TAG").unwrap();
    assert_eq!((old.read_queue_nums, old.write_queue_nums, old.attributes.len()), (4, 8, 0));
    for broken in ["", "T", "T 4 4 6", "T x 4 6 SINGLE_TAG", " 4 4 6 SINGLE_TAG", "T 4 4 6 OTHER"] {
        assert!(TopicConfig::from_text(broken).is_err(), "{broken}");
    }
}

fn check_file<T: ConfigFile + PartialEq + Debug>(name: &str) {
    let new = file(&format!("config/{name}.new.json"));
    let value = T::decode_file(&new).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(String::from_utf8(value.encode_file()).unwrap(), String::from_utf8(new).unwrap());
    let old = T::decode_file(&file(&format!("config/{name}.old.json"))).unwrap();
    assert_eq!(old, value, "{name}");
    // One step further back: the same without line breaks, as a body.
    assert_eq!(T::decode(&value.encode()).unwrap(), value, "{name}");
}

#[test]
fn configuration_files_are_read_and_written_as_rocketmq_does() {
    check_file::<topics::TopicTable>("topics");
    check_file::<groups::SubscriptionGroupTable>("subscriptionGroup");
    check_file::<offsets::ConsumerOffsets>("consumerOffset");
    check_file::<offsets::DelayOffsets>("delayOffset");
    check_file::<lists::KvConfig>("kvConfig");
}

#[test]
fn files_of_4_9_lack_fields_and_are_read() {
    let topics = br#"{"dataVersion":{"counter":2,"timestamp":5},"topicConfigTable":{"T":{"order":false,"perm":6,
        "readQueueNums":8,"topicFilterType":"SINGLE_TAG","topicName":"T","topicSysFlag":0,"writeQueueNums":8}}}"#;
    let topics = topics::TopicTable::decode_file(topics).unwrap();
    assert_eq!((topics.data_version.counter, topics.topic_config_table["T"].read_queue_nums), (2, 8));
    let groups = br#"{"dataVersion":{"counter":2,"timestamp":5},"subscriptionGroupTable":{"g":{"brokerId":0,
        "consumeBroadcastEnable":true,"consumeEnable":true,"consumeFromMinEnable":true,"groupName":"g",
        "notifyConsumerIdsChangedEnable":true,"retryMaxTimes":3,"retryQueueNums":1,"whichBrokerWhenConsumeSlowly":1}}}"#;
    let groups = groups::SubscriptionGroupTable::decode_file(groups).unwrap();
    let group = &groups.subscription_group_table["g"];
    assert_eq!((group.retry_max_times, group.consume_timeout_minute), (3, 15));
    let offsets = offsets::ConsumerOffsets::decode_file(br#"{"offsetTable":{"T@g":{0:1,1:2,}}}"#).unwrap();
    assert_eq!(offsets.offset_table["T@g"][&1], 2);
}

#[test]
fn registrations_are_read_in_both_forms() {
    let vectors = vectors("registration.txt");
    let of = |form: &str| vectors.iter().find(|vector| vector[0] == form).unwrap();
    for vector in &vectors {
        assert_eq!(body_crc(&unhex(&vector[2])).to_string(), vector[1]);
    }
    let plain = RegisterBrokerBody::decode(&unhex(&of("plain")[2])).unwrap();
    let bytes = unhex(&of("compressed")[2]);
    let compressed = RegisterBrokerBody::decode_compressed(&bytes, release::V5_5_0).unwrap();
    assert_eq!(compressed.filter_server_list, ["127.0.0.1:9999"]);
    assert_eq!(compressed.topics.data_version, plain.topics.data_version);
    assert_eq!(compressed.topics.topic_queue_mapping_info_map, plain.topics.topic_queue_mapping_info_map);
    let (packed, whole) =
        (&compressed.topics.topic_config_table["TopicTest"], &plain.topics.topic_config_table["TopicTest"]);
    // The text form has neither order nor topicSysFlag.
    assert_eq!(packed, &TopicConfig { order: false, topic_sys_flag: 0, ..whole.clone() });
    let old = RegisterBrokerBody::decode_compressed(&bytes, 407).unwrap();
    assert!(old.topics.topic_queue_mapping_info_map.is_empty());
    let again = RegisterBrokerBody::decode_compressed(&compressed.encode_compressed(), release::V5_5_0).unwrap();
    assert_eq!(again, compressed);
}

#[test]
fn compressed_bodies_are_inflated() {
    for vector in vectors("compressed.txt") {
        let kind = Compression::of_sys_flag(vector[1].parse().unwrap()).unwrap();
        assert_eq!(format!("{kind:?}").to_uppercase(), vector[0]);
        assert_eq!(kind.sys_flag().to_string(), vector[1]);
        let (plain, packed) = (unhex(&vector[2]), unhex(&vector[3]));
        assert_eq!(compression::decompress(kind, &packed, plain.len()).unwrap(), plain, "{}", vector[0]);
    }
}

#[test]
fn ids_are_rocketmqs() {
    for vector in vectors("ids.txt") {
        let address: IpAddr = vector[1].parse().unwrap();
        if vector[0] == "offset" {
            let host = SocketAddr::new(address, vector[2].parse().unwrap());
            let offset = vector[3].parse().unwrap();
            assert_eq!(&*uniq_key::encode_offset_id(host, offset), vector[4]);
            assert_eq!(uniq_key::decode_offset_id(&vector[4]), Ok((host, offset)));
        } else {
            let origin = uniq_key::decode_unique_key(&vector[3]).unwrap().origin;
            assert_eq!((origin.address, origin.process_id.to_string()), (address, vector[2].clone()));
        }
    }
}

/// The fields of a header as texts.
#[derive(Default)]
struct Pairs(BTreeMap<String, String>);

impl FieldSink for Pairs {
    fn field(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        let mut text = Vec::new();
        write(&mut text);
        self.0.insert(name.to_owned(), String::from_utf8(text).unwrap());
    }
}

type Reread = fn(&Ext<'static>) -> BTreeMap<String, String>;

fn written(header: &impl Serialize) -> BTreeMap<String, String> {
    let mut pairs = Pairs::default();
    fields::encode(header, &mut pairs).unwrap();
    pairs.0
}

/// A header class of RocketMQ, and how to read its ext fields into our struct and write them again.
macro_rules! reread {
    ($($class:literal: $header:ty,)*) => {
        const HEADERS: &[(&str, Reread)] = &[$(($class, |ext| {
            let header: $header = ext.decode().unwrap();
            written(&header)
        }),)*];
    };
}

reread! {
    "AddWritePermOfBrokerRequestHeader": namesrv::AddWritePermOfBrokerRequest,
    "AddWritePermOfBrokerResponseHeader": namesrv::AddWritePermOfBrokerResponse,
    "BrokerHeartbeatRequestHeader": namesrv::BrokerHeartbeatRequest,
    "CloneGroupOffsetRequestHeader": group::CloneGroupOffsetRequest,
    "ConsumeMessageDirectlyResultRequestHeader": client::ConsumeMessageDirectlyResultRequest,
    "ConsumerSendMsgBackRequestHeader": send::ConsumerSendMsgBackRequest,
    "CreateTopicRequestHeader": topic::CreateTopicRequest,
    "DeleteKVConfigRequestHeader": namesrv::DeleteKvConfigRequest,
    "DeleteSubscriptionGroupRequestHeader": group::DeleteSubscriptionGroupRequest,
    "DeleteTopicFromNamesrvRequestHeader": namesrv::DeleteTopicFromNamesrvRequest,
    "DeleteTopicRequestHeader": topic::DeleteTopicRequest,
    "GetAllSubscriptionGroupRequestHeader": group::GetAllSubscriptionGroupRequest,
    "GetAllSubscriptionGroupResponseHeader": group::GetAllSubscriptionGroupResponse,
    "GetAllTopicConfigRequestHeader": topic::GetAllTopicConfigRequest,
    "GetAllTopicConfigResponseHeader": topic::GetAllTopicConfigResponse,
    "GetBrokerConfigResponseHeader": admin::GetBrokerConfigResponse,
    "GetBrokerMemberGroupRequestHeader": namesrv::GetBrokerMemberGroupRequest,
    "GetConsumeStatsInBrokerHeader": group::GetConsumeStatsInBrokerRequest,
    "GetConsumeStatsRequestHeader": group::GetConsumeStatsRequest,
    "GetConsumerConnectionListRequestHeader": client::GetConsumerConnectionListRequest,
    "GetConsumerListByGroupRequestHeader": client::GetConsumerListByGroupRequest,
    "GetConsumerRunningInfoRequestHeader": client::GetConsumerRunningInfoRequest,
    "GetConsumerStatusRequestHeader": group::GetConsumerStatusRequest,
    "GetEarliestMsgStoretimeRequestHeader": offset::GetEarliestMsgStoretimeRequest,
    "GetEarliestMsgStoretimeResponseHeader": offset::GetEarliestMsgStoretimeResponse,
    "GetKVConfigRequestHeader": namesrv::GetKvConfigRequest,
    "GetKVConfigResponseHeader": namesrv::GetKvConfigResponse,
    "GetKVListByNamespaceRequestHeader": namesrv::GetKvListByNamespaceRequest,
    "GetMaxOffsetRequestHeader": offset::GetMaxOffsetRequest,
    "GetMaxOffsetResponseHeader": offset::GetMaxOffsetResponse,
    "GetMinOffsetRequestHeader": offset::GetMinOffsetRequest,
    "GetMinOffsetResponseHeader": offset::GetMinOffsetResponse,
    "GetProducerConnectionListRequestHeader": client::GetProducerConnectionListRequest,
    "GetRouteInfoRequestHeader": namesrv::GetRouteInfoRequest,
    "GetSubscriptionGroupConfigRequestHeader": group::GetSubscriptionGroupConfigRequest,
    "GetTopicConfigRequestHeader": topic::GetTopicConfigRequest,
    "GetTopicStatsInfoRequestHeader": topic::GetTopicStatsInfoRequest,
    "GetTopicsByClusterRequestHeader": namesrv::GetTopicsByClusterRequest,
    "NotifyConsumerIdsChangedRequestHeader": client::NotifyConsumerIdsChangedRequest,
    "NotifyMinBrokerIdChangeRequestHeader": admin::NotifyMinBrokerIdChangeRequest,
    "PullMessageRequestHeader": pull::PullMessageRequest<'_>,
    "PullMessageResponseHeader": pull::PullMessageResponse,
    "PutKVConfigRequestHeader": namesrv::PutKvConfigRequest,
    "QueryConsumeQueueRequestHeader": query::QueryConsumeQueueRequest,
    "QueryConsumeTimeSpanRequestHeader": group::QueryConsumeTimeSpanRequest,
    "QueryConsumerOffsetRequestHeader": offset::QueryConsumerOffsetRequest,
    "QueryConsumerOffsetResponseHeader": offset::QueryConsumerOffsetResponse,
    "QueryCorrectionOffsetHeader": group::QueryCorrectionOffsetRequest,
    "QueryDataVersionRequestHeader": namesrv::QueryDataVersionRequest,
    "QueryDataVersionResponseHeader": namesrv::QueryDataVersionResponse,
    "QueryMessageRequestHeader": query::QueryMessageRequest,
    "QueryMessageResponseHeader": query::QueryMessageResponse,
    "QuerySubscriptionByConsumerRequestHeader": group::QuerySubscriptionByConsumerRequest,
    "QueryTopicConsumeByWhoRequestHeader": topic::QueryTopicConsumeByWhoRequest,
    "QueryTopicsByConsumerRequestHeader": group::QueryTopicsByConsumerRequest,
    "RegisterBrokerRequestHeader": namesrv::RegisterBrokerRequest,
    "RegisterBrokerResponseHeader": namesrv::RegisterBrokerResponse,
    "RegisterTopicRequestHeader": namesrv::RegisterTopicRequest,
    "ResetOffsetRequestHeader": group::ResetOffsetRequest,
    "SearchOffsetRequestHeader": offset::SearchOffsetRequest,
    "SearchOffsetResponseHeader": offset::SearchOffsetResponse,
    "SendMessageRequestHeader": send::SendMessageRequest<'_>,
    "SendMessageRequestHeaderV2": send::SendMessageRequestV2<'_>,
    "SendMessageResponseHeader": send::SendMessageResponse,
    "UnRegisterBrokerRequestHeader": namesrv::UnregisterBrokerRequest,
    "UnregisterClientRequestHeader": client::UnregisterClientRequest,
    "UpdateConsumerOffsetRequestHeader": offset::UpdateConsumerOffsetRequest,
    "UpdateGroupForbiddenRequestHeader": group::UpdateGroupForbiddenRequest,
    "ViewBrokerStatsDataRequestHeader": admin::ViewBrokerStatsDataRequest,
    "ViewMessageRequestHeader": query::ViewMessageRequest,
    "WipeWritePermOfBrokerRequestHeader": namesrv::WipeWritePermOfBrokerRequest,
    "WipeWritePermOfBrokerResponseHeader": namesrv::WipeWritePermOfBrokerResponse,
}

#[test]
fn every_field_of_every_header_is_understood() {
    let vectors = vectors("frames.txt");
    for (class, reread) in HEADERS {
        let mut seen = 0;
        for vector in vectors.iter().filter(|vector| vector[0] == *class) {
            let bytes = unhex(&vector[10]);
            let frame = Frame::cut(&bytes).unwrap();
            assert_eq!(frame.codec, if vector[1] == "JSON" { Codec::Json } else { Codec::Binary });
            let mut expected: BTreeMap<String, String> = serde_json::from_str(&vector[8]).unwrap();
            // The lite topics of 5.5 are not served.
            expected.remove("liteTopic");
            assert_eq!(reread(&frame.head().unwrap().ext.into_owned()), expected, "{class}, {}", vector[1]);
            seen += 1;
        }
        assert_eq!(seen, 2, "{class}");
    }
}

#[test]
fn what_a_sender_may_leave_out_is_not_missed() {
    let ext = |pairs: &[(&'static str, &'static str)]| {
        Ext::Pairs(pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
    };
    let terse = ext(&[("a", "g"), ("b", "T"), ("e", "-1")]);
    let header: send::SendMessageRequestV2<'_> = terse.decode().unwrap();
    assert_eq!((header.queue_id, header.properties.as_ref(), header.batch), (-1, "", None));
    assert!(ext(&[("a", "g"), ("e", "0")]).decode::<send::SendMessageRequestV2<'_>>().is_err());
    let all = ext(&[]).decode::<topic::GetAllTopicConfigRequest>().unwrap();
    assert_eq!(all.topic_seq, None);
}
