//! Filtering by SQL92 at the broker: pulls that bring their expression, subscriptions that heartbeats brought, waiting, bad
//! expressions, and the client library over all of it.

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use actormq::client::{Filter, Message, Outcome, PullOptions, PushOptions, ReceivedMessage, StartFrom};
use actormq::embed::{Cluster, ClusterOptions};
use actormq::protocol::body::Body;
use actormq::protocol::body::clients::{
    CheckClientRequest, ConsumeFromWhere, ConsumeType, ConsumerData, HeartbeatData, MessageModel, SubscriptionData,
};
use actormq::protocol::code::ResponseCode;
use actormq::protocol::header::pull::PullMessageRequest;
use actormq::rules::sql;
use support::{Client, MAY_WAIT, Server, patient_pull, pull};

const FILTERED: i32 = 20;
const AT_END: i32 = 19;

async fn server() -> Server {
    Server::start_with(|config| config.pull.sql_filter = true).await
}

fn sql_pull<'a>(topic: &'a str, from: i64, expression: &'a str) -> PullMessageRequest<'a> {
    PullMessageRequest { subscription: expression.into(), expression_type: "SQL92".into(), ..pull(topic, 0, from) }
}

/// A message whose property `n` is its number.
async fn send_numbered(client: &mut Client, topic: &str, numbers: std::ops::Range<i64>) {
    for n in numbers {
        client.send(topic, 0, &format!("n\u{1}{n}\u{2}TAGS\u{1}t{}\u{2}", n % 2), &format!("b{n}")).await;
    }
}

async fn heartbeat(client: &mut Client, topic: &str, subscription: (&str, &str, i64)) {
    beat(client, topic, subscription, 0).await;
}

async fn beat(
    client: &mut Client,
    topic: &str,
    (kind, expression, version): (&str, &str, i64),
    heartbeat_fingerprint: i32,
) {
    let subscription = SubscriptionData {
        class_filter_mode: false,
        code_set: Vec::new(),
        expression_type: Some(kind.into()),
        sub_string: expression.into(),
        sub_version: version,
        tags_set: Vec::new(),
        topic: topic.into(),
    };
    let consumer = ConsumerData {
        consume_from_where: Some(ConsumeFromWhere::ConsumeFromFirstOffset),
        consume_type: Some(ConsumeType::ConsumePassively),
        group_name: "g".into(),
        message_model: Some(MessageModel::Clustering),
        subscription_data_set: vec![subscription],
        unit_mode: false,
    };
    let beat = HeartbeatData {
        client_id: "c".into(),
        consumer_data_set: vec![consumer],
        heartbeat_fingerprint,
        ..HeartbeatData::default()
    };
    assert_eq!(client.command(34, &[], &beat.encode()).await.code, 0);
}

async fn check(client: &mut Client, kind: &str, expression: &str) -> support::Answered {
    let subscription = SubscriptionData {
        class_filter_mode: false,
        code_set: Vec::new(),
        expression_type: Some(kind.into()),
        sub_string: expression.into(),
        sub_version: 1,
        tags_set: Vec::new(),
        topic: "T".into(),
    };
    let body = CheckClientRequest {
        client_id: "c".into(),
        group: "g".into(),
        namespace: None,
        subscription_data: Some(subscription),
    };
    client.command(46, &[], &body.encode()).await
}

#[actix::test]
async fn a_pull_gets_what_its_expression_is_true_of_in_both_codes() {
    let server = server().await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    send_numbered(&mut client, "T", 0..10).await;
    for code in [11, 361] {
        let found = client.ask(code, &sql_pull("T", 0, "n BETWEEN 3 AND 5 OR TAGS = 't1' AND n > 8"), b"").await;
        assert_eq!((found.code, found.number("nextBeginOffset")), (0, 10), "{found:?}");
        assert_eq!(found.bodies(), ["b3", "b4", "b5", "b9"]);
        let none = client.ask(code, &sql_pull("T", 0, "absent > 3"), b"").await;
        assert_eq!((none.code, none.number("nextBeginOffset")), (FILTERED, 10), "{none:?}");
        let end = client.ask(code, &sql_pull("T", 10, "n > 3"), b"").await;
        assert_eq!(end.code, AT_END);
    }
    // As many as were asked for, and then on from the first that was left.
    let two = client.ask(11, &PullMessageRequest { max_msg_nums: 2, ..sql_pull("T", 0, "n > 2") }, b"").await;
    assert_eq!((two.bodies(), two.number("nextBeginOffset")), (vec!["b3".into(), "b4".into()], 5));
    server.stop().await;
}

#[actix::test]
async fn messages_from_the_disk_are_filtered_too() {
    let server = server().await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    send_numbered(&mut client, "T", 0..10).await;
    let directory = {
        server.broker.stop().await;
        server.directory
    };
    let fatal: actormq::actors::log::flusher::Fatal = std::sync::Arc::new(|reason| panic!("{reason}"));
    let server = Server::start_in(directory, &fatal, |config| config.pull.sql_filter = true).await;
    let mut client = server.client().await;
    let found = client.ask(11, &sql_pull("T", 0, "n IN ('2', '7')"), b"").await;
    assert_eq!(found.bodies(), ["b2", "b7"]);
    server.stop().await;
}

#[actix::test]
async fn a_waiting_pull_sleeps_through_what_it_does_not_want() {
    let server = server().await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    send_numbered(&mut client, "T", 0..3).await;
    let wish = sql_pull("T", 3, "n >= 6");
    let waiting = PullMessageRequest { sys_flag: wish.sys_flag | MAY_WAIT, suspend_timeout_millis: 20_000, ..wish };
    let mut consumer = server.client().await;
    let asked = consumer.submit(11, &waiting, b"").await;
    // The queue answers in order: it has the pull by now.
    assert_eq!(consumer.max_offset("T", "0").await, 3);
    // What does not match, in several appends; none of them answers the pull.
    send_numbered(&mut client, "T", 3..6).await;
    assert!(!consumer.has_answer(asked));
    send_numbered(&mut client, "T", 6..7).await;
    let found = consumer.answer(asked).await;
    assert_eq!((found.code, found.bodies(), found.number("nextBeginOffset")), (0, vec!["b6".to_owned()], 7));
    // At its end the pull says how far it looked.
    let begun = Instant::now();
    let short = PullMessageRequest { suspend_timeout_millis: 300, queue_offset: 7, ..waiting.clone() };
    let asked = consumer.submit(11, &short, b"").await;
    assert_eq!(consumer.max_offset("T", "0").await, 7);
    client.send("T", 0, "n\u{1}1\u{2}", "unwanted").await;
    let none = consumer.answer(asked).await;
    assert!(begun.elapsed() >= Duration::from_millis(250), "{none:?}");
    assert!([AT_END, FILTERED].contains(&none.code) && none.number("nextBeginOffset") == 8, "{none:?}");
    server.stop().await;
}

#[actix::test]
async fn a_bad_expression_is_refused_with_its_place() {
    let server = server().await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    send_numbered(&mut client, "T", 0..2).await;
    let parse_failed = ResponseCode::SubscriptionParseFailed.number();
    for (bad, place) in [("n > ", "character 5"), ("n = 'x", "character 5"), ("n BETWEEN 5 AND 3", "character 17")] {
        let pulled = client.ask(11, &sql_pull("T", 0, bad), b"").await;
        assert_eq!(pulled.code, parse_failed, "{pulled:?}");
        assert!(pulled.remark().contains(place), "{}", pulled.remark());
        let checked = check(&mut client, "SQL92", bad).await;
        assert_eq!(checked.code, parse_failed);
        assert!(checked.remark().contains(place), "{}", checked.remark());
    }
    for costly in
        ["(".repeat(5_000), "NOT ".repeat(4_000), "a=1 OR ".repeat(2_000), "x".repeat(sql::TEXT_BYTES_MAX + 1)]
    {
        let begun = Instant::now();
        let answer = client.ask(11, &sql_pull("T", 0, &costly), b"").await;
        assert_eq!(answer.code, parse_failed);
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
    assert_eq!(check(&mut client, "SQL92", "n > 3").await.code, 0);
    assert_eq!(check(&mut client, "TAG", "a || b").await.code, 0);
    let unknown = check(&mut client, "GEO", "1 2 3").await;
    assert_eq!(unknown.code, parse_failed);
    assert!(unknown.remark().contains("no filter GEO"), "{}", unknown.remark());
    assert_eq!(client.ask(11, &sql_pull("T", 0, "n = 1"), b"").await.bodies(), ["b1"]);
    server.stop().await;
}

#[actix::test]
async fn subscriptions_of_heartbeats_filter_with_rocketmqs_codes() {
    let server = server().await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    send_numbered(&mut client, "T", 0..4).await;
    let pull_of = |version| PullMessageRequest { sys_flag: 0, sub_version: version, ..sql_pull("T", 0, "") };
    heartbeat(&mut client, "T", ("SQL92", "n >= 2", 5)).await;
    let found = client.ask(11, &pull_of(5), b"").await;
    assert_eq!(found.bodies(), ["b2", "b3"], "{found:?}");
    let newer = client.ask(11, &pull_of(6), b"").await;
    assert_eq!(newer.code, ResponseCode::FilterDataNotLatest.number(), "{newer:?}");
    // A client that sends fingerprints does not tell of versions that it raised.
    beat(&mut client, "T", ("SQL92", "n >= 2", 5), 77).await;
    assert_eq!(client.ask(11, &pull_of(6), b"").await.bodies(), ["b2", "b3"]);
    heartbeat(&mut client, "T", ("SQL92", "n = 1", 6)).await;
    assert_eq!(client.ask(11, &pull_of(6), b"").await.bodies(), ["b1"]);
    heartbeat(&mut client, "T", ("SQL92", "n = ", 7)).await;
    let bad = client.ask(11, &pull_of(7), b"").await;
    assert_eq!(bad.code, ResponseCode::FilterDataNotExist.number(), "{bad:?}");
    assert!(bad.remark().contains("at character 5"), "{}", bad.remark());
    server.stop().await;
}

#[actix::test]
async fn without_the_setting_nobody_filters_by_properties() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    send_numbered(&mut client, "T", 0..2).await;
    let remark = "The broker does not support consumer to filter message by SQL92";
    let pulled = client.ask(11, &sql_pull("T", 0, "n = 1"), b"").await;
    assert_eq!((pulled.code, pulled.remark()), (1, remark));
    let checked = check(&mut client, "SQL92", "n = 1").await;
    assert_eq!((checked.code, checked.remark()), (1, remark));
    // It can be switched on while the broker runs.
    assert_eq!(client.command(25, &[], b"enablePropertyFilter=true\n").await.code, 0);
    assert_eq!(client.ask(11, &sql_pull("T", 0, "n = 1"), b"").await.bodies(), ["b1"]);
    server.stop().await;
}

#[actix::test]
async fn one_pull_passes_over_many_messages_and_says_how_far_it_came() {
    let server = server().await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    let body: Vec<(&str, &str)> = vec![("x", "TAGS\u{1}no\u{2}n\u{1}1\u{2}"); 2_000];
    let batch =
        actormq::protocol::header::send::SendMessageRequestV2 { batch: Some(true), ..support::short_send("T", 0, "") };
    assert_eq!(client.ask(320, &batch, &support::batch_body(&body)).await.code, 0);
    client.send("T", 0, "TAGS\u{1}yes\u{2}n\u{1}2\u{2}", "the last").await;
    // By tag only the 20 bytes of each entry are looked at: one answer for all.
    let tagged = PullMessageRequest { subscription: "yes".into(), ..pull("T", 0, 0) };
    assert_eq!(client.ask(11, &tagged, b"").await.bodies(), ["the last"]);
    // By properties each answer is bounded, and moves on.
    let (mut from, mut pulls) = (0, 0);
    loop {
        let answer = client.ask(11, &sql_pull("T", from, "n = 2"), b"").await;
        pulls += 1;
        if answer.code == 0 {
            assert_eq!(answer.bodies(), ["the last"]);
            break;
        }
        assert_eq!(answer.code, FILTERED, "{answer:?}");
        assert!(answer.number("nextBeginOffset") > from && pulls < 100);
        from = answer.number("nextBeginOffset");
    }
    assert!(pulls > 1);
    server.stop().await;
}

#[actix::test]
async fn a_plain_pull_beside_costly_expressions_is_answered() {
    let server = server().await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    let long = format!("a\u{1}{}\u{2}", "x".repeat(30_000));
    for _ in 0..20 {
        client.send("T", 0, &long, "b").await;
    }
    let costly = format!("a CONTAINS 'y'{}", " OR a CONTAINS 'y'".repeat(500));
    let mut busy = server.client().await;
    let asked = busy.submit(11, &sql_pull("T", 0, &costly), b"").await;
    assert!(!client.ask(11, &pull("T", 0, 0), b"").await.records().is_empty());
    let answer = busy.answer(asked).await;
    assert_eq!(answer.code, FILTERED);
    assert!(answer.number("nextBeginOffset") < 20, "one pull may not look at all of it");
    let tagged = client.ask(11, &patient_pull("T", 0, 20, 50), b"").await;
    assert_eq!(tagged.code, AT_END);
    server.stop().await;
}

async fn cluster() -> Cluster {
    ClusterOptions::new().broker(|config| config.pull.sql_filter = true).start().await.unwrap()
}

fn numbered(n: usize) -> Message {
    Message::new("T", format!("m{n}")).property("n", n.to_string())
}

#[tokio::test]
async fn our_consumers_filter_by_sql() {
    let cluster = cluster().await;
    let client = cluster.client().await.unwrap();
    let producer = client.producer("p").await.unwrap();
    for n in 0..20 {
        producer.send(numbered(n)).await.unwrap();
    }
    let (seen, mut received) = tokio::sync::mpsc::unbounded_channel();
    let options = PushOptions { start_from: StartFrom::First, ..PushOptions::new("g") };
    let push = client.push_consumer(options).subscribe("T", Filter::sql("n >= 15"));
    let push = push
        .start(move |batch: Vec<ReceivedMessage>| {
            let seen = seen.clone();
            async move {
                for message in batch {
                    let _ = seen.send(String::from_utf8_lossy(&message.body).into_owned());
                }
                Outcome::Consumed
            }
        })
        .await
        .unwrap();
    let mut found = BTreeMap::new();
    while found.len() < 5 {
        *found.entry(received.recv().await.unwrap()).or_insert(0) += 1;
    }
    assert_eq!(found.keys().map(String::as_str).collect::<Vec<_>>(), ["m15", "m16", "m17", "m18", "m19"]);
    push.shutdown().await.unwrap();

    let options = PullOptions { start_from: StartFrom::First, ..PullOptions::new("g2") };
    let mut pulling = client.pull_consumer_with(options).await.unwrap();
    pulling.subscribe("T", Filter::sql("n < 2")).await.unwrap();
    let mut bodies = Vec::new();
    while bodies.len() < 2 {
        let batch = pulling.poll(Duration::from_secs(20)).await.unwrap();
        bodies.extend(batch.iter().map(|message| String::from_utf8_lossy(&message.body).into_owned()));
    }
    bodies.sort();
    assert_eq!(bodies, ["m0", "m1"]);

    let wrong = client.push_consumer(PushOptions::new("g3")).subscribe("T", Filter::sql("n >"));
    let error = wrong.start(|_: Vec<ReceivedMessage>| async { Outcome::Consumed }).await.err().unwrap();
    assert!(error.to_string().contains("at character 4"), "{error}");
    client.shutdown().await;
    cluster.shutdown().await;
}
