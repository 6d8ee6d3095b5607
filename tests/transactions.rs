//! Messages that nobody gets before their producer says so, whatever happens in between.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use actormq::actors::crash::Crash;
use actormq::config::BrokerConfig;
use actormq::protocol::body::Body;
use actormq::protocol::body::clients::{HeartbeatData, ProducerData};
use actormq::protocol::frame::{Codec, FLAG_ONEWAY};
use actormq::protocol::header::send::SendMessageRequestV2;
use actormq::protocol::header::transactions::EndTransactionRequest;
use actormq::protocol::properties;
use actormq::protocol::record::Record;
use actormq::protocol::uniq_key;
use support::{Answered, Client, Server, batch_body, fields, pull, short_send, until};
use tokio::io::AsyncWriteExt;

const HALF: &str = "RMQ_SYS_TRANS_HALF_TOPIC";
const OP: &str = "RMQ_SYS_TRANS_OP_HALF_TOPIC";
const ASIDE: &str = "TRANS_CHECK_MAX_TIME_TOPIC";
const GROUP: &str = "CID_RMQ_SYS_TRANS";
const COMMIT: i32 = 8;
const ROLLBACK: i32 = 12;
const UNKNOWN: i32 = 0;
const CHECK: i32 = 39;

/// A check every few milliseconds, of everything older than a second.
fn eager(config: &mut BrokerConfig) {
    let rules = &mut config.send.transactions;
    (rules.check_interval_ms, rules.timeout_ms, rules.op_interval_ms) = (20, 1_000, 10);
}

/// No check but the first, which comes late.
fn patient(config: &mut BrokerConfig) {
    config.send.transactions.op_interval_ms = 10;
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64
}

/// A half message as its producer knows it.
#[derive(Debug, Clone)]
struct Half {
    queue_offset: i64,
    log_offset: i64,
    key: String,
}

fn header<'a>(topic: &'a str, queue: i32, properties: &'a str, age: Duration) -> SendMessageRequestV2<'a> {
    let born_timestamp = now_ms() - age.as_millis() as i64;
    SendMessageRequestV2 { sys_flag: 4, born_timestamp, ..short_send(topic, queue, properties) }
}

fn text(key: &str, more: &str) -> String {
    format!("UNIQ_KEY\u{1}{key}\u{2}TAGS\u{1}t\u{2}WAIT\u{1}true\u{2}TRAN_MSG\u{1}true\u{2}PGROUP\u{1}p\u{2}{more}")
}

/// A half message that was born ten seconds ago: old enough to be asked about.
async fn half(client: &mut Client, key: &str, more: &str) -> Half {
    let properties = text(key, more);
    let answer = client.ask(310, &header("T", 1, &properties, Duration::from_secs(10)), key.as_bytes()).await;
    assert_eq!((answer.code, answer.number("queueId")), (0, 1), "{answer:?}");
    assert_eq!(answer.field("transactionId"), key);
    let (_, at) = uniq_key::decode_offset_id(&answer.field("msgId")).unwrap();
    Half { queue_offset: answer.number("queueOffset"), log_offset: at as i64, key: key.into() }
}

fn end_of(half: &Half, verdict: i32, asked: bool) -> EndTransactionRequest<'_> {
    EndTransactionRequest {
        topic: None,
        producer_group: "p",
        tran_state_table_offset: half.queue_offset,
        commit_log_offset: half.log_offset,
        commit_or_rollback: verdict,
        from_transaction_check: asked,
        msg_id: &half.key,
        transaction_id: Some(&half.key),
    }
}

async fn end(client: &mut Client, half: &Half, verdict: i32) -> Answered {
    client.ask(37, &end_of(half, verdict, false), b"").await
}

/// Says that there is a producer behind this connection.
async fn produce(client: &mut Client, id: &str) {
    let producer = ProducerData { group_name: "p".into() };
    let beat = HeartbeatData { client_id: id.into(), producer_data_set: vec![producer], ..HeartbeatData::default() };
    assert_eq!(client.ask(34, &fields(&[]), &beat.encode()).await.code, 0);
}

/// What a broker asks about.
fn asked(push: &Answered) -> Half {
    assert_eq!(push.code, CHECK, "{push:?}");
    let record = Record::read(&push.body).unwrap();
    record.check_crc().unwrap();
    let half = Half {
        queue_offset: push.number("tranStateTableOffset"),
        log_offset: push.number("commitLogOffset"),
        key: push.field("transactionId"),
    };
    assert_eq!((record.queue_offset as i64, record.physical_offset as i64), (half.queue_offset, half.log_offset));
    half
}

async fn keys(client: &mut Client) -> Vec<String> {
    client.read_all("T", 1).await.into_iter().map(|(_, body)| body).collect()
}

async fn records(client: &mut Client, topic: &str, queue: i32) -> Answered {
    let answer = client.ask(11, &pull(topic, queue, 0), b"").await;
    assert_eq!(answer.code, 0, "{answer:?}");
    answer
}

async fn op_bodies(client: &mut Client) -> String {
    client.read_all(OP, 0).await.into_iter().map(|(_, body)| body).collect()
}

/// Waits until the check has come to the end of both queues: nobody is asked about anything any more.
async fn settled(client: &mut Client) {
    until("an end of both queues", async || {
        for topic in [HALF, OP] {
            let end = client.max_offset(topic, "0").await;
            let header = [("consumerGroup", GROUP), ("topic", topic), ("queueId", "0")];
            let kept = client.ask(14, &fields(&header), b"").await;
            if end > 0 && (kept.code != 0 || kept.number("offset") != end) {
                return None;
            }
        }
        Some(())
    })
    .await;
}

async fn start(change: impl FnOnce(&mut BrokerConfig)) -> (Server, Client) {
    let server = Server::start_with(change).await;
    let mut client = server.client().await;
    client.make_topic("T", "2").await;
    (server, client)
}

#[actix::test]
async fn nobody_gets_a_message_before_it_is_committed() {
    let (server, mut client) = start(patient).await;
    let first = half(&mut client, "K1", "REAL_TOPIC\u{1}Forged\u{2}").await;
    let second = half(&mut client, "K2", "").await;
    assert_eq!((first.queue_offset, second.queue_offset), (0, 1));
    assert_eq!(keys(&mut client).await, Vec::<String>::new());
    let halves = records(&mut client, HALF, 0).await;
    let stored = halves.records()[0];
    let value = |name| properties::value(stored.properties, name);
    assert_eq!(
        (value("REAL_TOPIC"), value("REAL_QID"), value("__transactionId__")),
        (Some("T"), Some("1"), Some("K1"))
    );
    assert_eq!(
        (value("PGROUP"), value("TRAN_MSG"), value("CLUSTER")),
        (Some("p"), Some("true"), Some("DefaultCluster"))
    );
    assert_eq!((stored.sys_flag & 0xC, stored.queue, stored.body), (0, 0, &b"K1"[..]));

    assert_eq!(end(&mut client, &first, COMMIT).await.code, 0);
    assert_eq!(end(&mut client, &second, ROLLBACK).await.code, 0);
    let committed = records(&mut client, "T", 1).await;
    let [message] = committed.records()[..] else { panic!("{committed:?}") };
    assert_eq!((message.sys_flag & 0xC, message.prepared_transaction_offset), (8, first.log_offset));
    assert_eq!((message.topic, message.queue, message.flag, message.body), ("T", 1, 7, &b"K1"[..]));
    assert_eq!(message.born_timestamp_ms, stored.born_timestamp_ms);
    let value = |name| properties::value(message.properties, name);
    assert_eq!((value("TRAN_MSG"), value("PGROUP"), value("UNIQ_KEY")), (Some("true"), Some("p"), Some("K1")));
    assert_eq!((value("REAL_TOPIC"), value("REAL_QID"), value("TAGS")), (None, None, Some("t")));
    until("what the op messages tell", async || (op_bodies(&mut client).await == "0,1,").then_some(())).await;
    let ops = records(&mut client, OP, 0).await;
    assert_eq!(properties::value(ops.records()[0].properties, "TAGS"), Some("d"));
    assert_eq!(client.by_key("T", "K1").await, ["K1"]);
    server.stop().await;
}

#[actix::test]
async fn ends_that_make_no_sense_change_nothing() {
    let (server, mut client) = start(patient).await;
    client.send("T", 1, "PGROUP\u{1}p\u{2}REAL_TOPIC\u{1}T\u{2}REAL_QID\u{1}1\u{2}", "plain").await;
    let open = half(&mut client, "K", "").await;
    let good = end_of(&open, COMMIT, false);
    let cases = [
        (EndTransactionRequest { producer_group: "q", ..good.clone() }, "The producer group wrong"),
        (
            EndTransactionRequest { tran_state_table_offset: 7, ..good.clone() },
            "The transaction state table offset wrong",
        ),
        (
            EndTransactionRequest { tran_state_table_offset: -1, ..good.clone() },
            "The transaction state table offset wrong",
        ),
        (EndTransactionRequest { commit_log_offset: -1, ..good.clone() }, "Find prepared transaction message failed"),
        (
            EndTransactionRequest { commit_log_offset: i64::MAX, ..good.clone() },
            "Find prepared transaction message failed",
        ),
        (
            EndTransactionRequest { commit_log_offset: open.log_offset + 1, ..good.clone() },
            "Find prepared transaction message failed",
        ),
        // A plain message lies there.
        (
            EndTransactionRequest { commit_log_offset: 0, tran_state_table_offset: 0, ..good.clone() },
            "Find prepared transaction message failed",
        ),
        (EndTransactionRequest { commit_or_rollback: 7, ..good.clone() }, "commitOrRollback"),
    ];
    for (request, remark) in cases {
        let answer = client.ask(37, &request, b"").await;
        assert!(answer.code == 1 && answer.remark().contains(remark), "{request:?}: {answer:?}");
    }
    assert_eq!(client.command(37, &[("producerGroup", "p")], b"").await.code, 1);
    assert_eq!(end(&mut client, &open, UNKNOWN).await.code, 0);
    assert_eq!(keys(&mut client).await, ["plain"]);

    assert_eq!(end(&mut client, &open, COMMIT).await.code, 0);
    assert_eq!(end(&mut client, &open, COMMIT).await.code, 0, "a producer that did not hear the answer says it again");
    let otherwise = end(&mut client, &open, ROLLBACK).await;
    assert!(otherwise.code == 1 && otherwise.remark().contains("committed already"), "{otherwise:?}");
    assert_eq!(keys(&mut client).await, ["plain", "K"], "a message is committed once");
    let gone = half(&mut client, "L", "").await;
    client.delete_topic("T").await;
    assert_eq!(end(&mut client, &gone, COMMIT).await.code, 17);
    client.make_topic("T", "2").await;
    assert_eq!(end(&mut client, &gone, COMMIT).await.code, 0);
    assert_eq!(keys(&mut client).await, ["L"]);
    server.stop().await;
}

#[actix::test]
async fn ends_of_one_read_are_answered_each_for_itself() {
    for codec in [Codec::Json, Codec::Binary, Codec::MessagePack] {
        let (server, client) = start(patient).await;
        let mut client = client.with_codec(codec);
        let mut halves = Vec::new();
        for key in ["A", "B", "C", "D"] {
            halves.push(half(&mut client, key, "").await);
        }
        let [a, b, c, d] = &halves[..] else { panic!("{}", halves.len()) };
        let stranger = EndTransactionRequest { producer_group: "q", ..end_of(c, COMMIT, false) };
        let wishes = [
            (end_of(a, COMMIT, false), 0, ""),
            (stranger, 1, "The producer group wrong"),
            (end_of(b, ROLLBACK, false), 0, ""),
            (end_of(b, COMMIT, false), 1, "rolled back already"),
            (end_of(c, UNKNOWN, false), 0, "stays open"),
            (EndTransactionRequest { commit_log_offset: 3, ..end_of(c, COMMIT, false) }, 1, "Find prepared"),
            (end_of(d, COMMIT, false), 0, ""),
        ];
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for (wish, code, remark) in &wishes {
            let (opaque, frame) = client.request((37, 0), wish, b"");
            bytes.extend(frame);
            expected.push((opaque, *code, *remark));
        }
        let (silent, frame) = client.request((37, FLAG_ONEWAY), &end_of(c, COMMIT, false), b"");
        bytes.extend(frame);
        client.socket.write_all(&bytes).await.unwrap();
        for (opaque, code, remark) in expected {
            let answer = client.answer(opaque).await;
            assert!(answer.code == code && answer.remark().contains(remark), "{remark}: {answer:?}");
        }
        until("all that was committed", async || (keys(&mut client).await == ["A", "D", "C"]).then_some(())).await;
        assert!(!client.has_answer(silent), "{codec:?}");
        server.stop().await;
    }
}

#[actix::test]
async fn half_messages_that_make_no_sense_are_refused() {
    let (server, mut client) = start(patient).await;
    let age = Duration::from_secs(1);
    let delayed = text("K", "DELAY\u{1}3\u{2}");
    let long = text("K", &format!("x\u{1}{}\u{2}", "y".repeat(32_600)));
    for properties in [&delayed, &long] {
        let answer = client.ask(310, &header("T", 0, properties, age), b"").await;
        assert_eq!(answer.code, 13, "{answer:?}");
    }
    let half = text("K", "");
    let body = batch_body(&[("a", ""), ("b", &half)]);
    let answer = client.ask(310, &SendMessageRequestV2 { batch: Some(true), ..short_send("T", 0, "") }, &body).await;
    assert_eq!(answer.code, 13, "{answer:?}");
    // Marked by its sysFlag only: RocketMQ would store it for nobody.
    let answer = client.ask(310, &header("T", 0, "", age), b"").await;
    assert_eq!(answer.code, 13, "{answer:?}");
    let off = client.command(25, &[], b"rejectTransactionMessage=true").await;
    assert_eq!(off.code, 0, "{off:?}");
    let answer = client.ask(310, &header("T", 0, &half, age), b"").await;
    assert!(answer.code == 16 && answer.remark().contains("sending transaction message is forbidden"), "{answer:?}");
    assert_eq!(client.max_offset(HALF, "0").await, 0);
    server.stop().await;
}

#[actix::test]
async fn absurd_properties_and_births_of_half_messages_harm_nobody() {
    let (server, mut client) = start(eager).await;
    let first = half(&mut client, "first", "").await;
    assert_eq!(end(&mut client, &first, COMMIT).await.code, 0);
    let odd = [
        "CHECK_IMMUNITY_TIME_IN_SECONDS\u{1}soon\u{2}",
        "CHECK_IMMUNITY_TIME_IN_SECONDS\u{1}-9\u{2}",
        "CHECK_IMMUNITY_TIME_IN_SECONDS\u{1}99999999999999999999\u{2}",
        "CHECK_IMMUNITY_TIME_IN_SECONDS\u{1}\u{2}",
        "TRANSACTION_CHECK_TIMES\u{1}many\u{2}",
        "TRANSACTION_CHECK_TIMES\u{1}99\u{2}",
        "TRAN_PREPARED_QUEUE_OFFSET\u{1}0\u{2}",
        "TRAN_PREPARED_QUEUE_OFFSET\u{1}-1\u{2}",
        "REAL_TOPIC\u{1}../x\u{2}REAL_QID\u{1}-7\u{2}",
        "DELAY\u{1}0\u{2}",
        "DELAY\u{1}-1\u{2}",
        "\u{2}\u{1}\u{2}no pair\u{2}",
    ];
    let mut wanted = vec!["first".to_owned()];
    for (number, more) in odd.iter().enumerate() {
        wanted.push(format!("odd{number:02}"));
        half(&mut client, &wanted[number + 1], more).await;
    }
    let refused = client.ask(310, &header("T", 1, &text("K", "DELAY\u{1}soon\u{2}"), Duration::ZERO), b"").await;
    assert!(refused.code == 1 && refused.remark().contains("DELAY"), "{refused:?}");
    let mut born = async |key: &str, born_timestamp| {
        let properties = text(key, "");
        let send = SendMessageRequestV2 { born_timestamp, ..header("T", 1, &properties, Duration::ZERO) };
        assert_eq!(client.ask(310, &send, key.as_bytes()).await.code, 0);
    };
    // By its clock the first is older than anything the log keeps, and is put aside at once; the other is not born yet.
    born("ancient", i64::MIN).await;
    born("unborn", i64::MAX).await;
    wanted.push("unborn".into());
    let mut producer = server.client().await;
    produce(&mut producer, "one").await;
    let mut answered = std::collections::BTreeSet::new();
    while answered.len() < wanted.len() - 1 {
        let question = asked(&producer.push().await);
        producer.oneway(37, &end_of(&question, COMMIT, true), b"").await;
        answered.insert(question.key);
    }
    settled(&mut client).await;
    let mut all = keys(&mut client).await;
    all.sort();
    wanted.sort();
    assert_eq!(all, wanted);
    assert_eq!(records(&mut client, ASIDE, 0).await.bodies(), ["ancient"]);
    for record in records(&mut client, HALF, 0).await.records() {
        assert_eq!(properties::value(record.properties, "TRAN_PREPARED_QUEUE_OFFSET"), None, "nobody was immune");
    }
    server.stop().await;
}

#[actix::test]
async fn a_producer_is_asked_about_what_nobody_ended() {
    let (server, mut client) = start(eager).await;
    let mut producer = server.client().await;
    produce(&mut producer, "one").await;
    let open = half(&mut client, "K", "").await;
    let push = producer.push().await;
    let question = asked(&push);
    assert_eq!((question.key.as_str(), push.field("msgId").as_str(), push.field("topic").as_str()), ("K", "K", HALF));
    assert_eq!(push.field("bname"), "broker-a");
    assert_ne!(question.queue_offset, open.queue_offset, "it is about the copy");
    let record = Record::read(&push.body).unwrap();
    let value = |name| properties::value(record.properties, name);
    assert_eq!((record.topic, record.queue, record.body), ("T", 1, &b"K"[..]));
    assert_eq!(
        (value("PGROUP"), value("TRANSACTION_CHECK_TIMES"), value("WAIT")),
        (Some("p"), Some("1"), Some("false"))
    );
    // It does not know, and is asked again.
    producer.oneway(37, &end_of(&question, UNKNOWN, true), b"").await;
    let push = producer.push().await;
    let again = asked(&push);
    let record = Record::read(&push.body).unwrap();
    assert_eq!(properties::value(record.properties, "TRANSACTION_CHECK_TIMES"), Some("2"));
    producer.oneway(37, &end_of(&again, COMMIT, true), b"").await;
    settled(&mut client).await;
    assert_eq!(keys(&mut client).await, ["K"]);
    // An end that comes late, for a copy that is none any more, is known to have come.
    assert_eq!(end(&mut client, &open, COMMIT).await.code, 0);
    assert_eq!(end(&mut client, &question, ROLLBACK).await.code, 1);
    assert_eq!(keys(&mut client).await, ["K"]);
    server.stop().await;
}

#[actix::test]
async fn any_producer_of_the_group_is_asked_and_a_closed_one_never() {
    let (server, mut client) = start(eager).await;
    let (mut one, mut two, mut gone) = (server.client().await, server.client().await, server.client().await);
    for (producer, id) in [(&mut one, "one"), (&mut two, "two"), (&mut gone, "gone")] {
        produce(producer, id).await;
    }
    drop(gone);
    half(&mut client, "K", "").await;
    let (first, second) = (asked(&one.push().await), asked(&two.push().await));
    assert_eq!((first.key.as_str(), second.key.as_str()), ("K", "K"));
    // The one that is asked need not be the one that sent it.
    two.oneway(37, &end_of(&second, ROLLBACK, true), b"").await;
    until("an end", async || (!op_bodies(&mut client).await.is_empty()).then_some(())).await;
    settled(&mut client).await;
    assert_eq!(keys(&mut client).await, Vec::<String>::new());
    server.stop().await;
}

#[actix::test]
async fn what_is_asked_about_too_often_is_put_aside_and_can_be_taken_up_again() {
    let (server, mut client) = start(|config| {
        eager(config);
        config.send.transactions.checks_max = 2;
    })
    .await;
    let mut producer = server.client().await;
    produce(&mut producer, "one").await;
    half(&mut client, "K", "").await;
    asked(&producer.push().await);
    asked(&producer.push().await);
    let aside = until("the message aside", async || {
        let answer = client.ask(11, &pull(ASIDE, 0, 0), b"").await;
        (answer.code == 0).then_some(answer)
    })
    .await;
    let record = aside.records()[0];
    assert_eq!((record.topic, record.body), (ASIDE, &b"K"[..]));
    settled(&mut client).await;
    assert!(producer.pushed.is_empty());
    let id = uniq_key::encode_offset_id(record.store_host, record.physical_offset).to_string();
    for wrong in ["", "K", &id.replace(&id[id.len() - 2..], "FF")] {
        let answer = client.command(323, &[("msgId", wrong)], b"").await;
        assert!(answer.code == 1 && !answer.remark().is_empty(), "{wrong}: {answer:?}");
    }
    assert_eq!(client.command(323, &[("msgId", &id)], b"").await.code, 0);
    let question = asked(&producer.push().await);
    producer.oneway(37, &end_of(&question, COMMIT, true), b"").await;
    settled(&mut client).await;
    assert_eq!(keys(&mut client).await, ["K"]);
    server.stop().await;
}

#[actix::test]
async fn a_message_may_have_a_time_of_its_own() {
    let (server, mut client) = start(eager).await;
    let mut producer = server.client().await;
    produce(&mut producer, "one").await;
    let immune = half(&mut client, "K", "CHECK_IMMUNITY_TIME_IN_SECONDS\u{1}3600\u{2}").await;
    half(&mut client, "L", "").await;
    for _ in 0..5 {
        assert_eq!(asked(&producer.push().await).key, "L", "the other is asked about again and again");
    }
    assert!(client.max_offset(HALF, "0").await > immune.queue_offset + 5, "it was stored again meanwhile");
    assert_eq!(end(&mut client, &immune, COMMIT).await.code, 0, "under the offset that its producer knows");
    for _ in 0..3 {
        assert_eq!(asked(&producer.push().await).key, "L");
    }
    assert_eq!(keys(&mut client).await, ["K"]);
    // Its time is over: now the producer is asked, and may answer.
    let over = half(&mut client, "M", "CHECK_IMMUNITY_TIME_IN_SECONDS\u{1}2\u{2}").await;
    let answer = end(&mut client, &over, COMMIT).await;
    assert!(answer.code == 604 && !answer.remark().is_empty(), "{answer:?}");
    let question = loop {
        let question = asked(&producer.push().await);
        if question.key == "M" {
            break question;
        }
    };
    assert_eq!(client.ask(37, &end_of(&question, COMMIT, true), b"").await.code, 0);
    assert_eq!(keys(&mut client).await, ["K", "M"]);
    server.stop().await;
}

#[actix::test]
async fn many_are_asked_about_at_once() {
    const COUNT: usize = 1_500;
    let (server, mut client) = start(eager).await;
    let mut numbers = Vec::new();
    for i in 0..COUNT {
        let properties = text(&format!("K{i}"), "");
        let header = header("T", 1, &properties, Duration::from_secs(10));
        numbers.push(client.submit(310, &header, b"m").await);
    }
    for number in numbers {
        assert_eq!(client.answer(number).await.code, 0);
    }
    let mut producer = server.client().await;
    produce(&mut producer, "one").await;
    let mut ended = BTreeMap::new();
    while ended.len() < COUNT {
        let question = asked(&producer.push().await);
        // Those that were asked about before the producer came are asked about again.
        producer.oneway(37, &end_of(&question, COMMIT, true), b"").await;
        ended.insert(question.key, ());
    }
    // Nobody says when a oneway request is done.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while client.read_all("T", 1).await.len() < COUNT {
        assert!(tokio::time::Instant::now() < deadline, "not all are committed");
        settled(&mut client).await;
    }
    assert_eq!(client.read_all("T", 1).await.len(), COUNT);
    server.stop().await;
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        let to = to.join(name);
        if from.is_dir() {
            std::fs::create_dir_all(&to).unwrap();
            copy(&from, &to);
        } else {
            std::fs::copy(&from, &to).unwrap();
        }
    }
}

/// How a broker ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stop {
    InOrder,
    /// What is left is the disk as it is at that moment.
    Kill,
}

async fn stopped(server: Server, how: Stop) -> Server {
    match how {
        Stop::InOrder => {
            server.broker.stop().await;
            Server::start_in(server.directory, &fatal(), eager).await
        }
        Stop::Kill => {
            let left = tempfile::tempdir().unwrap();
            copy(server.directory.path(), left.path());
            server.stop().await;
            Server::start_in(left, &fatal(), eager).await
        }
    }
}

fn fatal() -> actormq::actors::log::flusher::Fatal {
    std::sync::Arc::new(|reason| panic!("{reason}"))
}

/// What the producer of these stories wants of its `i`-th transaction.
fn wish(i: usize) -> i32 {
    if i % 3 == 1 { ROLLBACK } else { COMMIT }
}

/// Answers questions until nothing is open, and compares what was committed with what was wished.
async fn comes_out_right(server: &Server, count: usize, how: Stop, step: usize) {
    let mut client = server.client().await;
    let mut producer = server.client().await;
    produce(&mut producer, "after").await;
    let wanted: Vec<String> = (0..count).filter(|i| wish(*i) == COMMIT).map(|i| format!("K{i}")).collect();
    let all = until("every transaction's end", async || {
        while let Ok(Some(push)) = tokio::time::timeout(Duration::from_millis(20), producer.frame()).await {
            let question = asked(&push);
            let i: usize = question.key[1..].parse().unwrap();
            producer.oneway(37, &end_of(&question, wish(i), true), b"").await;
        }
        let mut all = keys(&mut client).await;
        all.sort();
        let mut each = all.clone();
        each.dedup();
        let mut wanted = wanted.clone();
        wanted.sort();
        (each == wanted).then_some(all)
    })
    .await;
    settled(&mut client).await;
    if how == Stop::InOrder {
        assert_eq!(all.len(), wanted.len(), "step {step}: committed once each, but {all:?}");
    }
}

/// Six transactions, broken off after the given step: halves stored, ends sent, op messages written, asked, answered.
async fn broken_off(step: usize, how: Stop) {
    const COUNT: usize = 6;
    let (server, mut client) = start(|config| {
        eager(config);
        config.send.transactions.op_interval_ms = if step < 2 { 600_000 } else { 10 };
        config.send.transactions.check_interval_ms = if step < 3 { 600_000 } else { 20 };
    })
    .await;
    let mut producer = server.client().await;
    produce(&mut producer, "before").await;
    let mut halves = Vec::new();
    for i in 0..COUNT {
        halves.push(half(&mut client, &format!("K{i}"), "").await);
    }
    if step >= 1 {
        for (i, half) in halves.iter().enumerate().take(COUNT / 2) {
            let code = end(&mut client, half, wish(i)).await.code;
            assert!(code == 0 || step >= 3 && code == 14, "{code}");
        }
    }
    if step == 2 {
        until("op messages", async || (!op_bodies(&mut client).await.is_empty()).then_some(())).await;
    }
    if step >= 3 {
        let question = asked(&producer.push().await);
        let i: usize = question.key[1..].parse().unwrap();
        if step >= 4 {
            let answer = producer.ask(37, &end_of(&question, wish(i), true), b"").await;
            assert!([0, 14].contains(&answer.code), "{answer:?}");
        }
    }
    drop((client, producer));
    let server = stopped(server, how).await;
    comes_out_right(&server, COUNT, how, step).await;
    server.stop().await;
}

#[actix::test]
async fn transactions_survive_a_restart_at_every_step() {
    for step in 0..5 {
        broken_off(step, Stop::InOrder).await;
    }
}

#[actix::test]
async fn transactions_survive_a_kill_at_every_step() {
    for step in 0..5 {
        broken_off(step, Stop::Kill).await;
    }
}

#[actix::test]
async fn the_owner_comes_back_after_a_panic() {
    let (server, mut client) = start(eager).await;
    let mut producer = server.client().await;
    produce(&mut producer, "one").await;
    let open = half(&mut client, "K", "").await;
    server.broker.doors.transactions.tell(Crash);
    let answer = until("the owner's return", async || {
        let answer = end(&mut client, &open, COMMIT).await;
        assert!([0, 14].contains(&answer.code), "{answer:?}");
        (answer.code == 0).then_some(answer)
    })
    .await;
    assert_eq!(answer.code, 0);
    // It may have been asked about again meanwhile.
    half(&mut client, "L", "").await;
    loop {
        let question = asked(&producer.push().await);
        producer.oneway(37, &end_of(&question, COMMIT, true), b"").await;
        if question.key == "L" {
            break;
        }
    }
    until("both", async || {
        let mut all = keys(&mut client).await;
        all.sort();
        all.dedup();
        (all == ["K", "L"]).then_some(())
    })
    .await;
    server.stop().await;
}
