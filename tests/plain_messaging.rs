//! Messages go in, and come out: every form of send and pull in every header codec, over real sockets.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use actormq::actors::log::flusher::Fatal;
use actormq::client::{Client as OwnClient, ClientOptions, Message};
use actormq::config::NamesrvConfig;
use actormq::protocol::code::ResponseCode;
use actormq::protocol::frame::Codec;
use actormq::protocol::header::pull::PullMessageRequest;
use actormq::protocol::header::query::ViewMessageRequest;
use actormq::protocol::header::send::SendMessageRequestV2;
use actormq::protocol::{properties, uniq_key};
use actormq::server::namesrv::NameServer;
use support::{
    Server, batch_body, fields, key_query, long_send, name_server, patient_pull, pull, short_send, topic_fields, until,
};

const CODECS: [Codec; 3] = [Codec::Json, Codec::Binary, Codec::MessagePack];
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

#[actix::test]
async fn each_send_is_stored_as_it_was_sent_and_each_pull_gets_it_in_each_codec() {
    let server = Server::start().await;
    for codec in CODECS {
        let topic = &format!("T-{codec:?}");
        let mut client = server.client().await.with_codec(codec);
        let text = "UNIQ_KEY\u{1}u-0\u{2}TAGS\u{1}a\u{2}own\u{1}value\u{2}";
        let first = client.ask(10, &long_send(topic, 1, text), b"long").await;
        assert_eq!((first.code, first.codec, first.number("queueOffset")), (0, codec, 0), "{first:?}");
        assert_eq!((first.number("queueId"), first.field("transactionId").as_str()), (1, "u-0"));
        let second = client.ask(310, &short_send(topic, 1, text), b"short").await;
        assert_eq!((second.code, second.number("queueOffset")), (0, 1));
        let batch = SendMessageRequestV2 { batch: Some(true), ..short_send(topic, 1, "") };
        let third = client.ask(320, &batch, &batch_body(&[("b0", text), ("b1", text), ("b2", text)])).await;
        assert_eq!((third.code, third.number("queueOffset")), (0, 2));
        assert_eq!(third.field("msgId").split(',').count(), 3);
        client.oneway(310, &short_send(topic, 1, text), b"oneway").await;

        let mut seen = Vec::new();
        for code in [11, 361] {
            let all = until("the message that nobody answers for", async || {
                let answer = client.ask(code, &pull(topic, 1, 0), b"").await;
                (answer.records().len() == 6).then_some(answer)
            })
            .await;
            assert_eq!((all.code, all.codec, all.number("nextBeginOffset")), (0, codec, 6));
            assert_eq!(
                (all.number("minOffset"), all.number("maxOffset"), all.number("suggestWhichBrokerId")),
                (0, 6, 0)
            );
            assert_eq!(all.bodies(), ["long", "short", "b0", "b1", "b2", "oneway"]);
            for (record, offset) in all.records().iter().zip(0..) {
                assert_eq!((record.topic, record.queue, record.queue_offset), (topic.as_str(), 1, offset));
                assert_eq!((record.born_timestamp_ms, record.reconsume_times), (1_700_000_000_000, 0));
                assert_eq!(record.born_host, client.socket.local_addr().unwrap());
                assert_eq!(record.store_host, server.broker.address);
                assert_eq!(properties::value(record.properties, "own"), Some("value"));
                assert_eq!(properties::value(record.properties, "UNIQ_KEY"), Some("u-0"));
            }
            assert_eq!(all.records()[0].flag, 7);
            let id = uniq_key::encode_offset_id(server.broker.address, all.records()[0].physical_offset);
            assert_eq!(first.field("msgId"), &*id);
            seen.push(all.body);
        }
        assert_eq!(seen[0], seen[1]);
    }
    server.stop().await;
}

#[actix::test]
async fn many_requests_in_one_write_are_all_answered_in_order() {
    let server = Server::start().await;
    let mut client = server.client().await.with_codec(Codec::Binary);
    client.make_topic("T", "1").await;
    let mut bytes = Vec::new();
    let mut numbers = Vec::new();
    for i in 0..500 {
        let (number, request) = client.request((310, 0), &short_send("T", 0, ""), format!("m{i}").as_bytes());
        bytes.extend(request);
        numbers.push(number);
    }
    tokio::io::AsyncWriteExt::write_all(&mut client.socket, &bytes).await.unwrap();
    for (number, offset) in numbers.into_iter().zip(0..) {
        assert_eq!(client.answer(number).await.number("queueOffset"), offset);
    }
    let all = client.read_all("T", 0).await;
    assert!(all.into_iter().eq((0..500).map(|i| (i, format!("m{i}")))));
    server.stop().await;
}

#[actix::test]
async fn our_own_client_finds_the_broker_and_gets_what_it_sent() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = NamesrvConfig::default();
    config.files.data_dir = directory.path().to_owned();
    config.network.bind_address = [127, 0, 0, 1].into();
    config.network.listen_port = 0;
    let fatal: Fatal = Arc::new(|reason| panic!("{reason}"));
    let names = NameServer::start(config, &fatal).unwrap();
    let server = Server::start_with(|config| config.registration.namesrv_addresses = vec![name_server(names.address)]);
    let server = server.await;
    let mut asking = support::Client::connect(names.address).await;
    until("the registration", async || {
        let answer = asking.ask(105, &fields(&[("topic", "TBW102")]), b"").await;
        (answer.code == 0).then_some(())
    })
    .await;
    let client = OwnClient::connect(ClientOptions::new(&names.address.to_string())).await.unwrap();
    let producer = client.producer("p").await.unwrap();
    let receipt = producer.send(Message::new("Own", "hello").tag("a").key("k")).await.unwrap();
    let batch = ["b0", "b1"].map(|body| Message::new("Own", body));
    producer.send_batch(&batch).await.unwrap();
    producer.send_oneway(Message::new("Own", "x".repeat(10_000))).await.unwrap();
    let mut consumer = client.pull_consumer("g").await.unwrap();
    let queues = until("the route to the new topic", async || {
        client.queues("Own").await.ok().filter(|queues| !queues.is_empty())
    })
    .await;
    consumer.assign(&queues, "*".into()).await.unwrap();
    let mut received = Vec::new();
    while received.len() < 4 {
        let some = consumer.poll(support::PATIENCE).await.unwrap();
        assert!(!some.is_empty(), "only {} messages came", received.len());
        received.extend(some);
    }
    let first = received.iter().find(|message| &message.body[..] == b"hello").unwrap();
    assert_eq!((first.tags(), first.keys()), (Some("a"), Some("k")));
    assert_eq!((first.message_id(), first.queue_offset), (receipt.message_id.to_string(), receipt.queue_offset));
    // It was compressed on its way.
    assert!(received.iter().any(|message| message.body.len() == 10_000));
    consumer.commit().await.unwrap();
    assert_eq!(consumer.committed(&first.queue).await.unwrap(), consumer.position(&first.queue));
    consumer.shutdown().await.unwrap();
    producer.shutdown().await.unwrap();
    client.shutdown().await;
    server.stop().await;
    names.stop().await;
}

#[actix::test]
async fn a_waiting_pull_wakes_when_its_message_comes() {
    let server = Server::start().await;
    let (mut consumer, mut producer) = (server.client().await, server.client().await);
    for (queues, topic) in [("1", "Young"), ("2", "Used")] {
        producer.make_topic(topic, queues).await;
    }
    producer.send("Used", 0, "", "before").await;
    for (topic, from) in [("Young", 0), ("Used", 1)] {
        let asked = consumer.submit(11, &patient_pull(topic, 0, from, 600_000), b"").await;
        let other = consumer.submit(11, &patient_pull(topic, 0, from, 600_000), b"").await;
        // An answer to a later question says that the pulls wait by now.
        assert_eq!(consumer.max_offset(topic, "0").await, from);
        let began = Instant::now();
        assert_eq!(producer.send(topic, 0, "", "news").await, from);
        for waiting in [asked, other] {
            let answer = consumer.answer(waiting).await;
            assert_eq!((answer.code, answer.number("nextBeginOffset")), (0, from + 1));
            assert_eq!(answer.bodies(), ["news"]);
        }
        assert!(began.elapsed() < support::PATIENCE);
    }
    server.stop().await;
}

#[actix::test]
async fn a_waiting_pull_gives_up_at_its_deadline() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    client.send("T", 0, "", "first").await;
    let hold = Duration::from_millis(300);
    let began = Instant::now();
    let answer = client.ask(11, &patient_pull("T", 0, 1, 300), b"").await;
    let took = began.elapsed();
    assert_eq!((answer.code, answer.number("nextBeginOffset")), (ResponseCode::PullNotFound.number(), 1));
    assert!(took >= hold, "{took:?}");
    assert!(took < hold + Duration::from_secs(2), "{took:?}");
    // The shorter of two waits ends first, whoever came first.
    let long = client.submit(11, &patient_pull("T", 0, 1, 400), b"").await;
    let short = client.submit(11, &patient_pull("T", 0, 1, 100), b"").await;
    client.answer(short).await;
    assert!(began.elapsed() >= took + Duration::from_millis(100));
    client.answer(long).await;
    assert!(began.elapsed() >= took + Duration::from_millis(400));
    server.stop().await;
}

#[actix::test]
async fn a_pull_from_where_nothing_is_says_where_to_go_on() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    let corrections = async |client: &mut support::Client, cases: &[(i64, i32, i64)]| {
        for (from, code, next) in cases {
            let answer = client.ask(11, &pull("T", 0, *from), b"").await;
            assert_eq!((answer.code, answer.number("nextBeginOffset")), (*code, *next), "from {from}: {answer:?}");
        }
    };
    corrections(&mut client, &[(0, 19, 0), (5, 21, 0), (-1, 21, 0)]).await;
    for body in ["m0", "m1", "m2"] {
        client.send("T", 0, "TAGS\u{1}a\u{2}", body).await;
    }
    corrections(
        &mut client,
        &[(-1, 21, 0), (i64::MIN, 21, 0), (0, 0, 3), (2, 0, 3), (3, 19, 3), (4, 21, 3), (1_000, 21, 3)],
    )
    .await;
    // A pull that may wait does not where waiting is of no use.
    let answer = client.ask(11, &patient_pull("T", 0, 1_000, 600_000), b"").await;
    assert_eq!((answer.code, answer.number("nextBeginOffset")), (21, 3));
    let unwanted = PullMessageRequest { subscription: "b".into(), ..pull("T", 0, 0) };
    let answer = client.ask(11, &unwanted, b"").await;
    assert_eq!((answer.code, answer.number("nextBeginOffset")), (20, 3), "{answer:?}");
    server.stop().await;
}

#[actix::test]
async fn only_messages_with_a_wanted_tag_come() {
    let server = Server::start().await;
    let (mut consumer, mut producer) = (server.client().await, server.client().await);
    producer.make_topic("T", "1").await;
    for (tag, body) in [("a", "0"), ("b", "1"), ("c", "2"), ("b", "3")] {
        producer.send("T", 0, &format!("TAGS\u{1}{tag}\u{2}"), body).await;
    }
    producer.send("T", 0, "", "without").await;
    let wanted = |expression: &'static str, from| PullMessageRequest {
        subscription: expression.into(),
        ..patient_pull("T", 0, from, 600_000)
    };
    assert_eq!(consumer.ask(11, &wanted("b", 0), b"").await.bodies(), ["1", "3"]);
    assert_eq!(consumer.ask(11, &wanted("a || c", 0), b"").await.bodies(), ["0", "2"]);
    assert_eq!(consumer.ask(11, &wanted("*", 0), b"").await.bodies().len(), 5);
    let asked = consumer.submit(11, &wanted("b", 5), b"").await;
    assert_eq!(consumer.max_offset("T", "0").await, 5);
    producer.send("T", 0, "TAGS\u{1}a\u{2}", "not for it").await;
    producer.send("T", 0, "TAGS\u{1}b\u{2}", "for it").await;
    let answer = consumer.answer(asked).await;
    assert_eq!((answer.code, answer.bodies()), (0, vec!["for it".to_owned()]), "{answer:?}");
    assert_eq!(answer.number("nextBeginOffset"), 7);
    server.stop().await;
}

#[actix::test]
async fn one_answer_holds_no_more_than_it_may() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.make_topic("Many", "1").await;
    client.make_topic("Large", "1").await;
    for i in 0..40 {
        client.send("Many", 0, "", &i.to_string()).await;
    }
    let many = PullMessageRequest { max_msg_nums: 1_000, ..pull("Many", 0, 0) };
    assert_eq!(client.ask(11, &many, b"").await.records().len(), 32);
    let few = PullMessageRequest { max_msg_nums: 3, ..pull("Many", 0, 0) };
    assert_eq!(client.ask(11, &few, b"").await.records().len(), 3);
    let body = "x".repeat(60 * 1024);
    for _ in 0..6 {
        client.send("Large", 0, "", &body).await;
    }
    let huge = "x".repeat(1024 * 1024);
    client.send("Large", 0, "", &huge).await;
    let answer = client.ask(11, &pull("Large", 0, 0), b"").await;
    assert_eq!(answer.records().len(), 4);
    assert!(answer.body.len() <= 256 * 1024);
    // The first message comes however large it is.
    assert_eq!(client.ask(11, &pull("Large", 0, 6), b"").await.bodies(), [huge]);
    server.stop().await;
}

#[actix::test]
async fn a_body_may_have_four_mebibytes() {
    let server = Server::start().await;
    let mut client = server.client().await.with_codec(Codec::Binary);
    client.make_topic("T", "1").await;
    let body = vec![b'x'; BODY_BYTES_MAX + 1];
    let stored = client.ask(310, &short_send("T", 0, ""), &body[1..]).await;
    assert_eq!((stored.code, stored.number("queueOffset")), (0, 0));
    let refused = client.ask(310, &short_send("T", 0, ""), &body).await;
    assert_eq!(refused.code, ResponseCode::MessageIllegal.number(), "{refused:?}");
    assert!(refused.remark().contains("4194304"), "{refused:?}");
    let answer = client.ask(11, &pull("T", 0, 0), b"").await;
    assert_eq!(answer.records()[0].body, &body[1..]);
    assert_eq!(client.max_offset("T", "0").await, 1);
    server.stop().await;
}

#[actix::test]
async fn a_queue_that_is_not_there_is_refused() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.make_topic("T", "2").await;
    for queue in [2, 3, i32::MAX] {
        let sent = client.ask(310, &short_send("T", queue, ""), b"x").await;
        assert_eq!(sent.code, 29, "{sent:?}");
        assert!(sent.remark().contains("queueId"), "{sent:?}");
        let pulled = client.ask(11, &pull("T", queue, 0), b"").await;
        assert_eq!(pulled.code, 29, "{pulled:?}");
    }
    assert_eq!(client.ask(11, &pull("T", -1, 0), b"").await.code, 29);
    // The broker chooses where the sender does not.
    let chosen = client.ask(310, &short_send("T", -1, ""), b"x").await;
    assert!(chosen.code == 0 && (0..2).contains(&chosen.number("queueId")), "{chosen:?}");
    assert_eq!(client.ask(11, &pull("absent", 0, 0), b"").await.code, 17);
    server.stop().await;
}

#[actix::test]
async fn topics_of_the_broker_itself_are_closed() {
    let server = Server::start().await;
    let mut client = server.client().await;
    for topic in ["SCHEDULE_TOPIC_XXXX", "RMQ_SYS_TRANS_HALF_TOPIC", "RMQ_SYS_TRANS_OP_HALF_TOPIC", "SELF_TEST_TOPIC"] {
        let refused = client.ask(310, &short_send(topic, 0, ""), b"x").await;
        assert_eq!(refused.code, ResponseCode::NoPermission.number(), "{topic}: {refused:?}");
    }
    let mut read_only = topic_fields("ReadOnly", "1");
    read_only.insert("perm", "4");
    client.ask(17, &read_only, b"").await;
    assert_eq!(client.max_offset("ReadOnly", "0").await, 0);
    server.stop().await;
}

#[actix::test]
async fn what_is_not_there_yet_is_refused_and_never_stored_as_something_else() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    let asks =
        [("TIMER_DELAY_SEC", "5", 13), ("TIMER_DELAY_MS", "5000", 13), ("TIMER_DELIVER_MS", "1900000000000", 13)];
    for (name, value, code) in asks {
        let text = format!("TAGS\u{1}a\u{2}{name}\u{1}{value}\u{2}");
        for batch in [None, Some(true)] {
            let header = SendMessageRequestV2 { batch, ..short_send("T", 0, if batch.is_some() { "" } else { &text }) };
            let body = if batch.is_some() { batch_body(&[("good", ""), ("bad", &text)]) } else { b"x".to_vec() };
            let refused = client.ask(310, &header, &body).await;
            assert_eq!(refused.code, code, "{name}: {refused:?}");
            assert!(!refused.remark().is_empty());
        }
    }
    for (topic, attribute) in [("B", "+queue.type=BatchCQ"), ("C", "+cleanup.policy=COMPACTION")] {
        let mut made = topic_fields(topic, "1");
        made.insert("attributes", attribute);
        let answer = client.ask(17, &made, b"").await;
        assert_eq!(answer.code, 0, "{answer:?}");
        let refused = client.ask(310, &short_send(topic, 0, ""), b"x").await;
        assert_eq!(refused.code, 13, "{refused:?}");
        assert_eq!(client.max_offset(topic, "0").await, 0);
    }
    assert_eq!(client.max_offset("T", "0").await, 0);
    server.stop().await;
}

#[actix::test]
async fn messages_are_found_by_key_unique_key_and_id() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    client.make_topic("U", "1").await;
    let text = "KEYS\u{1}order-1 shared\u{2}UNIQ_KEY\u{1}unique-1\u{2}";
    let sent = client.ask(310, &short_send("T", 0, text), b"one").await;
    client.send("T", 0, "KEYS\u{1}order-2 shared\u{2}UNIQ_KEY\u{1}unique-2\u{2}", "two").await;
    client.send("U", 0, text, "elsewhere").await;
    assert_eq!(client.by_key("U", "order-1").await, ["elsewhere"]);
    assert_eq!(client.by_key("T", "order-1").await, ["one"]);
    assert_eq!(client.by_key("T", "order-2").await, ["two"]);
    let mut both = client.by_key("T", "shared").await;
    both.sort();
    assert_eq!(both, ["one", "two"]);
    let mut unique = key_query("T", "unique-2");
    unique.insert("_UNIQUE_KEY_QUERY", "true");
    assert_eq!(client.ask(12, &unique, b"").await.bodies(), ["two"]);
    let absent = client.ask(12, &key_query("T", "absent"), b"").await;
    assert_eq!(absent.code, ResponseCode::QueryNotFound.number());
    let (_, at) = uniq_key::decode_offset_id(&sent.field("msgId")).unwrap();
    let found = client.ask(33, &ViewMessageRequest { topic: None, offset: at as i64 }, b"").await;
    assert_eq!((found.code, found.bodies()), (0, vec!["one".to_owned()]));
    for nowhere in [-1, 1 << 40, i64::MAX] {
        let missing = client.ask(33, &ViewMessageRequest { topic: None, offset: nowhere }, b"").await;
        assert_eq!(missing.code, 1, "{missing:?}");
    }
    server.stop().await;
}

#[actix::test]
async fn whoever_makes_a_topic_finds_its_route_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = NamesrvConfig::default();
    config.files.data_dir = directory.path().to_owned();
    config.network.bind_address = [127, 0, 0, 1].into();
    config.network.listen_port = 0;
    let fatal: Fatal = Arc::new(|reason| panic!("{reason}"));
    let names = NameServer::start(config, &fatal).unwrap();
    let server = Server::start_with(|config| config.registration.namesrv_addresses = vec![name_server(names.address)]);
    let server = server.await;
    let (mut asking, mut client) = (support::Client::connect(names.address).await, server.client().await);
    until("the registration", async || {
        let answer = asking.ask(105, &fields(&[("topic", "TBW102")]), b"").await;
        (answer.code == 0).then_some(())
    })
    .await;
    for i in 0..20 {
        let (made, sent, group) = (format!("Made{i}"), format!("Sent{i}"), format!("g{i}"));
        client.make_topic(&made, "4").await;
        client.send(&sent, 0, "", "x").await;
        let heartbeat = format!(
            r#"{{"clientID":"c","consumerDataSet":[{{"consumeFromWhere":"CONSUME_FROM_FIRST_OFFSET",
            "consumeType":"CONSUME_PASSIVELY","groupName":"{group}","messageModel":"CLUSTERING",
            "subscriptionDataSet":[],"unitMode":false}}],"producerDataSet":[]}}"#
        );
        assert_eq!(client.ask(34, &fields(&[]), heartbeat.as_bytes()).await.code, 0);
        for topic in [made, sent, format!("%RETRY%{group}")] {
            assert_eq!(asking.ask(105, &fields(&[("topic", &topic)]), b"").await.code, 0, "{topic}");
        }
    }
    server.stop().await;
}

#[actix::test]
async fn sends_to_a_new_topic_keep_their_order_and_hold_up_no_others() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let server = Server::start_with(|config| config.registration.namesrv_addresses = vec![name_server(address)]).await;
    let _held = silent.accept().await.unwrap();
    let mut client = server.client().await;
    // The name server takes this connection, and never says that it knows the topic.
    let mut numbers = Vec::new();
    for i in 0..50 {
        numbers.push(client.submit(310, &short_send("New", 0, ""), format!("m{i}").as_bytes()).await);
    }
    client.send("BenchmarkTest", 0, "", "of another topic").await;
    assert!(!numbers.iter().any(|number| client.has_answer(*number)), "answered before the topic was announced");
    numbers.push(client.submit(310, &short_send("New", 0, ""), b"m50").await);
    for (number, offset) in numbers.into_iter().zip(0..) {
        assert_eq!(client.answer(number).await.number("queueOffset"), offset);
    }
    let all = client.read_all("New", 0).await;
    assert!(all.into_iter().eq((0..51).map(|i| (i, format!("m{i}")))));
    let refused = [0; 3].map(|_| short_send("Not", 0, ""));
    let mut numbers = Vec::new();
    for mut send in refused {
        send.default_topic = "Unknown".into();
        numbers.push(client.submit(310, &send, b"x").await);
    }
    for number in numbers {
        assert_eq!(client.answer(number).await.code, 17);
    }
    server.stop().await;
}
