//! Messages that consumers could not take: handed back, delivered again, and in the end dead letters.

mod support;

use std::collections::BTreeMap;

use actormq::actors::catalog::topics::{EnsureTopic, TopicConfig};
use actormq::config::{BrokerConfig, DelayLevels};
use actormq::protocol::body::Body;
use actormq::protocol::body::groups::SubscriptionGroupConfig;
use actormq::protocol::code::ResponseCode;
use actormq::protocol::header::send::{ConsumerSendMsgBackRequest, SendMessageRequestV2};
use actormq::protocol::names::{SCHEDULE_TOPIC, Topic};
use actormq::protocol::properties::Properties;
use actormq::protocol::uniq_key;
use support::{Answered, Client, Server, batch_body, fields, pull, short_send, until};

const RETRY: &str = "%RETRY%g";
const DEAD: &str = "%DLQ%g";

fn levels(config: &mut BrokerConfig) {
    config.delay.levels = DelayLevels::parse("0s 0s 1s 1s 1d").unwrap();
}

async fn start() -> Server {
    Server::start_with(levels).await
}

fn back(offset: i64) -> ConsumerSendMsgBackRequest {
    ConsumerSendMsgBackRequest {
        offset,
        group: "g".into(),
        delay_level: 0,
        origin_msg_id: None,
        origin_topic: Some("T".into()),
        unit_mode: false,
        max_reconsume_times: None,
    }
}

async fn make_group(client: &mut Client, config: SubscriptionGroupConfig) {
    let config = SubscriptionGroupConfig { group_name: "g".into(), ..config };
    let answer = client.ask(200, &fields(&[]), &config.encode()).await;
    assert_eq!(answer.code, 0, "{answer:?}");
}

/// The message at this place of a queue, once it is there.
async fn message(client: &mut Client, topic: &str, offset: i64) -> Answered {
    until(&format!("message {offset} of {topic}"), async || {
        let answer = client.ask(11, &pull(topic, 0, offset), b"").await;
        (answer.code == 0).then_some(answer)
    })
    .await
}

fn place(answer: &Answered) -> i64 {
    answer.records()[0].physical_offset as i64
}

fn changed(answer: &Answered) -> BTreeMap<String, String> {
    let record = &answer.records()[0];
    let all = Properties::read(record.properties);
    let names = ["RETRY_TOPIC", "ORIGIN_MESSAGE_ID", "REAL_TOPIC", "REAL_QID", "DELAY", "WAIT", "own", "UNIQ_KEY"];
    names.iter().filter_map(|name| Some(((*name).to_owned(), all.get(name)?.to_owned()))).collect()
}

fn expected(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Sends a message to T; its place in the log.
async fn send(client: &mut Client) -> i64 {
    let text = "UNIQ_KEY\u{1}u\u{2}TAGS\u{1}TagA\u{2}own\u{1}v\u{2}WAIT\u{1}true\u{2}";
    let answer = client.ask(310, &short_send("T", 0, text), b"hello").await;
    assert_eq!(answer.code, 0, "{answer:?}");
    uniq_key::decode_offset_id(&answer.field("msgId")).unwrap().1 as i64
}

#[actix::test]
async fn a_message_handed_back_comes_again_until_it_is_a_dead_letter() {
    let server = start().await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    make_group(&mut client, SubscriptionGroupConfig { retry_max_times: 2, ..SubscriptionGroupConfig::default() }).await;
    let first = send(&mut client).await;
    let id = uniq_key::encode_offset_id(server.broker.address, first as u64).to_string();
    assert_eq!(client.ask(36, &back(first), b"").await.code, 0);
    let again = message(&mut client, RETRY, 0).await;
    let record = &again.records()[0];
    assert_eq!((record.topic, record.queue, record.body, record.reconsume_times), (RETRY, 0, &b"hello"[..], 1));
    assert_eq!((record.born_timestamp_ms, record.flag), (1_700_000_000_000, 7));
    assert_eq!(record.born_host, client.socket.local_addr().unwrap());
    let same = [("ORIGIN_MESSAGE_ID", &*id), ("RETRY_TOPIC", "T"), ("WAIT", "false"), ("own", "v"), ("UNIQ_KEY", "u")];
    let here = [("REAL_TOPIC", RETRY), ("REAL_QID", "0"), ("DELAY", "3")];
    assert_eq!(changed(&again), expected(&[&same[..], &here[..]].concat()));

    assert_eq!(client.ask(36, &back(place(&again)), b"").await.code, 0);
    let twice = message(&mut client, RETRY, 1).await;
    assert_eq!(twice.records()[0].reconsume_times, 2);
    let here = [("REAL_TOPIC", RETRY), ("REAL_QID", "0"), ("DELAY", "4")];
    assert_eq!(changed(&twice), expected(&[&same[..], &here[..]].concat()));

    assert_eq!(client.ask(36, &back(place(&twice)), b"").await.code, 0);
    let dead = message(&mut client, DEAD, 0).await;
    assert_eq!((dead.records()[0].reconsume_times, dead.records()[0].topic), (3, DEAD));
    let here = [("REAL_TOPIC", RETRY), ("REAL_QID", "0"), ("DELAY", "0")];
    assert_eq!(changed(&dead), expected(&[&same[..], &here[..]].concat()));
    assert_eq!(client.max_offset(RETRY, "0").await, 2);
    let topics = &server.broker.doors.topics.table;
    let derived = |topic: &str| topics.get(topic).map(|entry| (entry.config.queues(), entry.config.perm));
    assert_eq!((derived(RETRY), derived(DEAD)), (Some((1, 6)), Some((1, 6))));
    server.stop().await;
}

#[actix::test]
async fn the_consumers_wish_goes_before_the_groups_settings() {
    let server = start().await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    let at = send(&mut client).await;
    // A level of its own; beyond the last it is the last.
    assert_eq!(client.ask(36, &ConsumerSendMsgBackRequest { delay_level: 1, ..back(at) }, b"").await.code, 0);
    assert_eq!(changed(&message(&mut client, RETRY, 0).await)["DELAY"], "1");
    assert_eq!(client.ask(36, &ConsumerSendMsgBackRequest { delay_level: 99, ..back(at) }, b"").await.code, 0);
    assert_eq!(client.max_offset(SCHEDULE_TOPIC, "4").await, 1);
    // To the dead letters at once.
    let dead = [
        ConsumerSendMsgBackRequest { delay_level: -1, ..back(at) },
        ConsumerSendMsgBackRequest { max_reconsume_times: Some(0), ..back(at) },
    ];
    for (request, count) in dead.iter().zip(1..) {
        assert_eq!(client.ask(36, request, b"").await.code, 0);
        assert_eq!(client.max_offset(DEAD, "0").await, count);
    }
    // Clients before 3.4.9 have no such field.
    let (_, mut bytes) = client.request((36, 0), &dead[1], b"");
    let at = bytes.windows(3).position(|three| three == b"513").unwrap();
    bytes[at..at + 3].copy_from_slice(b"120");
    tokio::io::AsyncWriteExt::write_all(&mut client.socket, &bytes).await.unwrap();
    assert_eq!(client.frame().await.unwrap().code, 0);
    assert_eq!((client.max_offset(DEAD, "0").await, client.max_offset(SCHEDULE_TOPIC, "2").await), (2, 1));
    server.stop().await;
}

#[actix::test]
async fn what_cannot_be_handed_back_is_refused_and_changes_nothing() {
    let server = start().await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    let at = send(&mut client).await;
    client.send("T", 0, "DELAY\u{1}5\u{2}", "waiting").await;
    let end = server.broker.doors.log.log_range().1 as i64;
    let entries = client
        .ask(321, &fields(&[("topic", SCHEDULE_TOPIC), ("queueId", "4"), ("index", "0"), ("count", "1")]), b"")
        .await;
    let scheduled: serde_json::Value = serde_json::from_slice(&entries.body).unwrap();
    let scheduled = scheduled["queueData"][0]["physicOffset"].as_i64().unwrap();
    for offset in [-1, at + 1, end, i64::MAX, i64::MIN, scheduled] {
        let answer = client.ask(36, &back(offset), b"").await;
        assert_eq!(answer.code, ResponseCode::SystemError.number(), "{offset}: {answer:?}");
        assert!(answer.remark().starts_with(&format!("look message by offset failed, {offset}")), "{answer:?}");
    }
    let missing = client.ask(36, &fields(&[("group", "g")]), b"").await;
    assert_eq!(missing.code, ResponseCode::SystemError.number(), "{missing:?}");
    // Retries switched off: success, and nothing is done.
    make_group(&mut client, SubscriptionGroupConfig { retry_queue_nums: 0, ..SubscriptionGroupConfig::default() })
        .await;
    assert_eq!(client.ask(36, &back(at), b"").await.code, 0);
    make_group(&mut client, SubscriptionGroupConfig::default()).await;
    let config = TopicConfig { perm: 4, ..TopicConfig::new(Topic::new(DEAD).unwrap(), 1) };
    server.broker.doors.topics.owner.ask(EnsureTopic { config }).await.unwrap().unwrap();
    let closed = client.ask(36, &ConsumerSendMsgBackRequest { delay_level: -1, ..back(at) }, b"").await;
    assert_eq!(closed.code, ResponseCode::NoPermission.number(), "{closed:?}");
    assert!(closed.remark().contains(DEAD), "{closed:?}");
    for (topic, queue) in [(RETRY, "0"), (DEAD, "0"), (SCHEDULE_TOPIC, "2")] {
        assert_eq!(client.max_offset(topic, queue).await, 0, "{topic}");
    }
    server.stop().await;
}

#[actix::test]
async fn absurd_wishes_of_who_hands_back_are_taken_as_rocketmq_takes_them() {
    let server = start().await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    let at = send(&mut client).await;
    let dead = [
        ConsumerSendMsgBackRequest { max_reconsume_times: Some(-1), ..back(at) },
        ConsumerSendMsgBackRequest { max_reconsume_times: Some(i32::MIN), ..back(at) },
        ConsumerSendMsgBackRequest { delay_level: i32::MIN, ..back(at) },
        ConsumerSendMsgBackRequest { delay_level: -1, max_reconsume_times: Some(i32::MAX), ..back(at) },
    ];
    for (request, count) in dead.iter().zip(1..) {
        assert_eq!(client.ask(36, request, b"").await.code, 0, "{request:?}");
        assert_eq!(client.max_offset(DEAD, "0").await, count, "{request:?}");
    }
    // The last level, and what the request says of the message's origin is not believed.
    let origin = |topic: Option<&str>, id: &str| ConsumerSendMsgBackRequest {
        origin_topic: topic.map(str::to_owned),
        origin_msg_id: Some(id.to_owned()),
        delay_level: i32::MAX,
        max_reconsume_times: Some(i32::MAX),
        ..back(at)
    };
    let again = [origin(Some("Other"), ""), origin(None, "no id"), origin(Some("../x"), &"9".repeat(5_000))];
    for (request, count) in again.iter().zip(1..) {
        assert_eq!(client.ask(36, request, b"").await.code, 0);
        assert_eq!(client.max_offset(SCHEDULE_TOPIC, "4").await, count);
    }
    assert_eq!(changed(&message(&mut client, DEAD, 0).await)["RETRY_TOPIC"], "T");
    for group in ["", " ", "a/b", "../x", &"g".repeat(1_000)] {
        let answer = client.ask(36, &ConsumerSendMsgBackRequest { group: group.into(), ..back(at) }, b"").await;
        assert!(answer.code != 0 && answer.remark().contains("group"), "{group}: {answer:?}");
    }
    // Sent to the retry topic by hand.
    for (times, max) in [(i32::MIN, None), (-1, Some(i32::MIN)), (i32::MAX, Some(-1)), (0, Some(i32::MAX))] {
        let text = "RETRY_TOPIC\u{1}T\u{2}MAX_RECONSUME_TIMES\u{1}often\u{2}RECONSUME_TIME\u{1}?\u{2}";
        let hand = SendMessageRequestV2 {
            reconsume_times: Some(times),
            max_reconsume_times: max,
            ..short_send(RETRY, 0, text)
        };
        assert_eq!(client.ask(310, &hand, b"by hand").await.code, 0, "{times} {max:?}");
    }
    assert_eq!((client.max_offset(RETRY, "0").await, client.max_offset(DEAD, "0").await), (2, 6));
    assert_eq!(client.read_all("T", 0).await.len(), 1, "the message itself is as it was");
    server.stop().await;
}

#[actix::test]
async fn another_groups_message_is_copied_and_stays_where_it_is() {
    let server = start().await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    let at = send(&mut client).await;
    let other = ConsumerSendMsgBackRequest { group: "other".into(), delay_level: 1, ..back(at) };
    assert_eq!(client.ask(36, &other, b"").await.code, 0);
    let theirs = message(&mut client, "%RETRY%other", 0).await;
    let ours = ConsumerSendMsgBackRequest { delay_level: 1, ..back(place(&theirs)) };
    assert_eq!(client.ask(36, &ours, b"").await.code, 0);
    let copy = message(&mut client, RETRY, 0).await;
    assert_eq!((copy.records()[0].topic, copy.records()[0].reconsume_times), (RETRY, 2));
    assert_eq!(client.max_offset("%RETRY%other", "0").await, 1);
    server.stop().await;
}

#[actix::test]
async fn a_group_that_does_not_make_itself_is_missed() {
    let server = Server::start_with(|config| config.clients.auto_create_group = false).await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    let at = send(&mut client).await;
    for answer in [
        client.ask(36, &back(at), b"").await,
        client.ask(310, &short_send(RETRY, 0, "DELAY\u{1}3\u{2}"), b"again").await,
    ] {
        assert_eq!(answer.code, ResponseCode::SubscriptionGroupNotExist.number(), "{answer:?}");
        assert!(answer.remark().starts_with("subscription group not exist, g"), "{answer:?}");
    }
    server.stop().await;
    let server = Server::start_with(|config| config.identity.permission = 4).await;
    let mut client = server.client().await;
    let answer = client.ask(36, &back(0), b"").await;
    assert_eq!(answer.code, ResponseCode::NoPermission.number(), "{answer:?}");
    server.stop().await;
}

#[actix::test]
async fn a_client_may_send_to_the_retry_topic_itself() {
    let server = start().await;
    let mut client = server.client().await;
    let text = "RETRY_TOPIC\u{1}T\u{2}DELAY\u{1}1\u{2}";
    let again = |times, max| SendMessageRequestV2 {
        reconsume_times: Some(times),
        max_reconsume_times: max,
        ..short_send(RETRY, 0, text)
    };
    // The group and its topic are made on the way.
    let answer = client.ask(310, &again(16, None), b"again").await;
    assert_eq!((answer.code, answer.number("queueId")), (0, 0), "{answer:?}");
    assert_eq!(message(&mut client, RETRY, 0).await.records()[0].reconsume_times, 16);
    assert!(server.broker.doors.groups.table.get("g").is_some());
    for (times, max) in [(17, None), (4, Some(3))] {
        assert_eq!(client.ask(310, &again(times, max), b"given up").await.code, 0);
    }
    assert_eq!(client.ask(310, &again(3, Some(3)), b"again").await.code, 0);
    let dead = message(&mut client, DEAD, 0).await;
    assert_eq!((dead.records().len(), dead.records()[0].topic), (2, DEAD));
    let said = changed(&dead);
    assert_eq!((&*said["RETRY_TOPIC"], &*said["DELAY"], said.contains_key("REAL_TOPIC")), ("T", "-1", false));
    message(&mut client, RETRY, 1).await;
    let batch = SendMessageRequestV2 { batch: Some(true), ..again(0, None) };
    let refused = client.ask(320, &batch, &batch_body(&[("never", "")])).await;
    assert_eq!(refused.code, ResponseCode::MessageIllegal.number(), "{refused:?}");
    assert!(refused.remark().contains("does not support retry group"), "{refused:?}");
    let nameless = client.ask(310, &short_send("%RETRY%", 0, ""), b"never").await;
    assert_eq!(nameless.code, ResponseCode::SubscriptionGroupNotExist.number(), "{nameless:?}");
    server.stop().await;
}
