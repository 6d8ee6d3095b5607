//! What a broker asks of clients for others: administrators' questions passed on to consumers, new offsets told to them,
//! and replies handed to whoever asked.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use actormq::protocol::body::Body;
use actormq::protocol::body::clients::{ConsumeType, ConsumerData, HeartbeatData, MessageModel, ProducerData};
use actormq::protocol::body::offsets::{ConsumerStatus, ResetOffsets};
use actormq::protocol::body::queue::MessageQueue;
use actormq::protocol::code::version;
use actormq::protocol::properties;
use actormq::protocol::record::Record;
use support::{Client, Server, fields, long_send, short_send, until};

const RUNNING: i32 = 307;
const CONSUME: i32 = 309;
const STATUS: i32 = 223;
const STATUS_OF_CLIENT: i32 = 221;
const RESET: i32 = 222;
const RESET_OF_CLIENT: i32 = 220;
const REPLY: i32 = 324;
const REPLY_V2: i32 = 325;
const PUSH_REPLY: i32 = 326;
const REPLIES: &str = "DefaultCluster_REPLY_TOPIC";

impl Client {
    /// Is a consumer and a producer of `group`, by that id.
    async fn join(&mut self, id: &str, group: &str) {
        let consumer = ConsumerData {
            group_name: group.into(),
            consume_type: Some(ConsumeType::ConsumePassively),
            message_model: Some(MessageModel::Broadcasting),
            ..ConsumerData::default()
        };
        let heartbeat = HeartbeatData {
            client_id: id.into(),
            consumer_data_set: vec![consumer],
            producer_data_set: vec![ProducerData { group_name: group.into() }],
            ..HeartbeatData::default()
        };
        assert_eq!(self.command(34, &[], &heartbeat.encode()).await.code, 0);
    }
}

fn queue(number: i32) -> MessageQueue {
    MessageQueue { topic: "T".into(), broker_name: "broker-a".into(), queue_id: number }
}

#[actix::test]
async fn a_question_goes_to_the_consumer_that_is_named_and_its_answer_comes_back() {
    let server = Server::start().await;
    let (mut admin, mut one, mut two) = (server.client().await, server.client().await, server.client().await);
    one.join("one", "g").await;
    two.join("two", "g").await;
    let header = fields(&[("consumerGroup", "g"), ("clientId", "two"), ("jstackEnable", "true")]);
    let waits = admin.submit(RUNNING, &header, b"").await;
    let asked = two.push().await;
    assert_eq!(
        (asked.code, asked.field("consumerGroup"), asked.field("clientId")),
        (RUNNING, "g".into(), "two".into())
    );
    assert_eq!(asked.field("jstackEnable"), "true");
    // What nobody asked for, and an answer that comes twice, are passed over.
    two.reply(&asked, 0, None, b"{\"jstack\":\"here\"}").await;
    two.reply(&asked, 1, None, b"again").await;
    let answer = admin.answer(waits).await;
    assert_eq!((answer.code, &answer.body[..]), (0, &b"{\"jstack\":\"here\"}"[..]));
    let waits = admin.submit(RUNNING, &header, b"").await;
    let asked = two.push().await;
    two.reply(&asked, 1, Some("not now"), b"").await;
    let answer = admin.answer(waits).await;
    assert_eq!((answer.code, answer.remark()), (1, "not now"));
    assert!(one.pushed.is_empty());
    server.stop().await;
}

#[actix::test]
async fn consumers_that_are_gone_old_or_silent_are_told_apart() {
    let server = Server::start().await;
    let (mut admin, mut old, mut young) = (server.client().await, server.client().await, server.client().await);
    old.version = version::V3_1_8_SNAPSHOT - 1;
    old.join("old", "g").await;
    young.join("young", "g").await;
    let about = |id: &'static str| fields(&[("consumerGroup", "g"), ("clientId", id)]);
    for (group, id) in [("g", "nobody"), ("h", "young"), ("a b", "young"), ("", "")] {
        let answer = admin.command(RUNNING, &[("consumerGroup", group), ("clientId", id)], b"").await;
        assert_eq!(answer.code, 1, "{answer:?}");
        assert_eq!(answer.remark(), format!("The Consumer <{group}> <{id}> not online"));
    }
    let answer = admin.ask(RUNNING, &about("old"), b"").await;
    assert!(answer.code == 1 && answer.remark().contains("too low"), "{answer:?}");
    let silent = admin.submit(RUNNING, &about("young"), b"").await;
    let leaves = admin.submit(RUNNING, &about("young"), b"").await;
    let asked = (young.push().await, young.push().await);
    assert_eq!((asked.0.code, asked.1.code), (RUNNING, RUNNING));
    let answer = admin.answer(silent).await;
    assert!(answer.code == 207 && answer.remark().contains("Timeout"), "{answer:?}");
    let answer = admin.answer(leaves).await;
    assert_eq!(answer.code, 207);
    let waits = admin.submit(RUNNING, &about("young"), b"").await;
    young.push().await;
    drop(young);
    let answer = admin.answer(waits).await;
    assert!(answer.code == 1 && answer.remark().contains("closed"), "{answer:?}");
    server.stop().await;
}

#[actix::test]
async fn a_stored_message_is_given_to_one_consumer() {
    let server = Server::start().await;
    let (mut admin, mut consumer) = (server.client().await, server.client().await);
    consumer.join("one", "g").await;
    admin.make_topic("T", "1").await;
    let sent = admin.ask(310, &short_send("T", 0, "KEYS\u{1}k\u{2}"), b"hello").await;
    let id = sent.field("msgId");
    let header = fields(&[("consumerGroup", "g"), ("clientId", "one"), ("msgId", &id), ("topic", "T")]);
    let waits = admin.submit(CONSUME, &header, b"").await;
    let asked = consumer.push().await;
    assert_eq!(
        (asked.code, asked.field("brokerName"), asked.field("topicSysFlag")),
        (CONSUME, "broker-a".into(), "0".into())
    );
    let record = Record::read(&asked.body).unwrap();
    assert_eq!(
        (record.topic, record.body, properties::value(record.properties, "KEYS")),
        ("T", &b"hello"[..], Some("k"))
    );
    consumer.reply(&asked, 0, None, b"{\"consumeResult\":\"CR_SUCCESS\"}").await;
    assert_eq!(&admin.answer(waits).await.body[..], b"{\"consumeResult\":\"CR_SUCCESS\"}");
    for bad in ["", "no id", "7F00000100002A9F00000000000FFFFF"] {
        let header = fields(&[("consumerGroup", "g"), ("clientId", "one"), ("msgId", bad)]);
        let answer = admin.ask(CONSUME, &header, b"").await;
        assert!(answer.code == 1 && answer.remark().contains("no message"), "{answer:?}");
    }
    server.stop().await;
}

#[actix::test]
async fn where_the_consumers_of_a_group_are_is_gathered_from_them() {
    let server = Server::start().await;
    let (mut admin, mut one, mut two) = (server.client().await, server.client().await, server.client().await);
    let header = fields(&[("topic", "T"), ("group", "g")]);
    assert_eq!(admin.ask(STATUS, &header, b"").await.code, 1);
    one.join("one", "g").await;
    two.join("two", "g").await;
    let waits = admin.submit(STATUS, &header, b"").await;
    let (first, second) = (one.push().await, two.push().await);
    assert_eq!((first.code, second.field("topic")), (STATUS_OF_CLIENT, "T".into()));
    let at = ConsumerStatus { message_queue_table: BTreeMap::from([(queue(0), 7)]), ..ConsumerStatus::default() };
    one.reply(&first, 0, None, &at.encode()).await;
    two.reply(&second, 0, None, b"no status").await;
    let all: ConsumerStatus = admin.answer(waits).await.body();
    assert_eq!(all.consumer_table, BTreeMap::from([("one".to_owned(), BTreeMap::from([(queue(0), 7)]))]));
    let header = fields(&[("topic", "T"), ("group", "g"), ("clientAddr", "two")]);
    let waits = admin.submit(STATUS, &header, b"").await;
    let asked = two.push().await;
    two.reply(&asked, 0, None, &at.encode()).await;
    let all: ConsumerStatus = admin.answer(waits).await.body();
    assert_eq!(all.consumer_table.keys().collect::<Vec<_>>(), ["two"]);
    assert!(one.pushed.is_empty());
    server.stop().await;
}

#[actix::test]
async fn where_consumers_reset_themselves_they_are_told_where_to_go_on() {
    let server = Server::start_with(|config| config.clients.server_side_reset = false).await;
    let (mut admin, mut consumer) = (server.client().await, server.client().await);
    let back = fields(&[("topic", "T"), ("group", "g"), ("timestamp", "0"), ("isForce", "true")]);
    assert_eq!(admin.ask(RESET, &back, b"").await.code, 17);
    admin.make_topic("T", "1").await;
    let answer = admin.ask(RESET, &back, b"").await;
    assert!(answer.code == 1 && answer.remark().contains("<g> not exist"), "{answer:?}");
    for n in 0..3 {
        admin.send("T", 0, "", &format!("m{n}")).await;
    }
    consumer.join("one", "g").await;
    admin.commit("g", "T", "1").await;
    let to_the_end = fields(&[("topic", "T"), ("group", "g"), ("timestamp", "-1"), ("isForce", "false")]);
    for (header, wanted) in [(&back, 0), (&to_the_end, 1)] {
        let answer: ResetOffsets = admin.ask(RESET, header, b"").await.body();
        assert_eq!(answer.offset_table, BTreeMap::from([(queue(0), wanted)]));
        let told = consumer.push().await;
        assert_eq!((told.code, told.field("topic"), told.field("group")), (RESET_OF_CLIENT, "T".into(), "g".into()));
        assert_eq!(ResetOffsets::decode(&told.body).unwrap().offset_table, answer.offset_table);
    }
    assert_eq!(admin.committed("g", "T").await, 1);
    consumer.command(35, &[("clientID", "one"), ("consumerGroup", "g")], b"").await;
    let answer = admin.ask(RESET, &back, b"").await;
    assert!(answer.code == 206 && answer.remark().contains("not online"), "{answer:?}");
    server.stop().await;
}

fn reply_properties(asker: &str) -> String {
    format!("MSG_TYPE\u{1}reply\u{2}CORRELATION_ID\u{1}c1\u{2}REPLY_TO_CLIENT\u{1}{asker}\u{2}TTL\u{1}3000\u{2}")
}

#[actix::test]
async fn a_reply_goes_to_the_client_that_asked_and_is_stored() {
    let server = Server::start().await;
    let (mut replies, mut asks) = (server.client().await, server.client().await);
    asks.join("asker", "p").await;
    let text = reply_properties("asker");
    let waits = replies.submit(REPLY, &long_send(REPLIES, 0, &text), b"pong").await;
    let pushed = asks.push().await;
    assert_eq!((pushed.code, &pushed.body[..], pushed.field("topic")), (PUSH_REPLY, &b"pong"[..], REPLIES.into()));
    let all = pushed.field("properties");
    assert_eq!(properties::value(&all, "CORRELATION_ID"), Some("c1"));
    assert!(properties::value(&all, "PUSH_REPLY_TIME").unwrap().parse::<i64>().unwrap() > 0);
    for name in ["bornHost", "storeHost", "storeTimestamp", "producerGroup", "sysFlag", "bornTimestamp"] {
        assert!(!pushed.field(name).is_empty(), "{name}");
    }
    asks.reply(&pushed, 0, None, b"").await;
    let answer = replies.answer(waits).await;
    assert_eq!((answer.code, answer.field("queueOffset"), answer.field("TRACE_ON")), (0, "0".into(), "true".into()));
    let waits = replies.submit(REPLY_V2, &short_send(REPLIES, 0, &text), b"second").await;
    let pushed = asks.push().await;
    asks.reply(&pushed, 1, Some("too late"), b"").await;
    let answer = replies.answer(waits).await;
    assert!(answer.code == 1 && answer.remark().contains("too late"), "{answer:?}");
    let stored: Vec<_> = replies.read_all(REPLIES, 0).await.into_iter().map(|(_, body)| body).collect();
    assert_eq!(stored, ["pong", "second"]);
    server.stop().await;
}

#[actix::test]
async fn replies_that_wait_to_be_heard_hold_up_nothing_else_and_are_bounded() {
    /// More than the broker serves of one connection at once, and than it asks of one client.
    const COUNT: usize = 6_000;
    let server = Server::start().await;
    let mut client = server.client().await;
    client.join("asker", "p").await;
    let text = reply_properties("asker");
    let mut waiting = Vec::new();
    for _ in 0..COUNT {
        waiting.push(client.submit(REPLY_V2, &short_send(REPLIES, 0, &text), b"pong").await);
    }
    // The client that is to hear them says nothing yet, and is served all the same.
    let served = tokio::time::timeout(Duration::from_secs(5), client.max_offset(REPLIES, "0")).await;
    assert!(served.is_ok(), "the connection stands still");
    let mut heard = 0;
    while let Some(pushed) = client.pushed.pop_front() {
        client.reply(&pushed, 0, None, b"").await;
        heard += 1;
    }
    assert!((1..=1_024).contains(&heard), "{heard} questions at once");
    let mut taken = 0;
    for number in waiting {
        taken += usize::from(client.answer(number).await.code == 0);
    }
    assert_eq!(taken, heard, "what was heard is taken, the rest is refused");
    server.stop().await;
}

#[actix::test]
async fn replies_that_nobody_waits_for_are_refused_and_storing_them_is_a_setting() {
    let server = Server::start_with(|config| config.send.store_replies = false).await;
    let mut client = server.client().await;
    let nobody = reply_properties("nobody");
    let answer = client.ask(REPLY_V2, &short_send(REPLIES, 0, &nobody), b"x").await;
    assert!(answer.code == 1 && answer.remark().contains("<nobody> not found"), "{answer:?}");
    let answer = client.ask(REPLY_V2, &short_send(REPLIES, 0, "MSG_TYPE\u{1}reply\u{2}"), b"x").await;
    assert!(answer.code == 1 && answer.remark().contains("REPLY_TO_CLIENT"), "{answer:?}");
    for (topic, queue, code) in [("missing", 0, 17), ("SCHEDULE_TOPIC_XXXX", 0, 16), ("a b", 0, 29), (REPLIES, 9, 29)] {
        let answer = client.ask(REPLY_V2, &short_send(topic, queue, &nobody), b"x").await;
        assert_eq!(answer.code, code, "{answer:?}");
    }
    let answer = client.ask(REPLY_V2, &short_send(REPLIES, 0, &nobody), &vec![0; 4 * 1024 * 1024 + 1]).await;
    assert_eq!(answer.code, 13, "{answer:?}");
    assert_eq!(client.command(REPLY, &[("topic", REPLIES)], b"x").await.code, 1);
    assert_eq!(client.max_offset(REPLIES, "0").await, 0);
    // A client that is gone is forgotten.
    let mut asks = server.client().await;
    asks.join("asker", "p").await;
    drop(asks);
    let text = reply_properties("asker");
    until("the asker is gone", async || {
        let answer = client.ask(REPLY_V2, &short_send(REPLIES, 0, &text), b"x").await;
        answer.remark().contains("not found").then_some(())
    })
    .await;
    server.stop().await;
}
