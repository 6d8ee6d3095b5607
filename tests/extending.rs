//! Actors that a program adds to its broker: filters that work and filters that do not, interceptors, listeners.

#[path = "extending/batches.rs"]
mod batches;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use actix::prelude::*;
use actormq::client::{Filter, Message, Outcome, PushOptions, ReceivedMessage, StartFrom};
use actormq::embed::ClusterOptions;
use actormq::protocol::code::ResponseCode;
use actormq::protocol::header::pull::PullMessageRequest;
use actormq::protocol::header::send::SendMessageRequestV2;
use actormq::protocol::properties;
use actormq::server::broker::Broker;
use actormq::server::extending::{
    Additions, Bits, BrokerEvent, FilterAnswer, FilterBatch, FilterError, InterceptAnswer, InterceptBatch, Verdict,
};
use support::{Client, MAY_WAIT, PATIENCE, Server, batch_body, fields, pull, short_send, until};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// SERVICE_NOT_AVAILABLE: clients ask again.
const AGAIN: i32 = 14;

/// Lets through messages whose body has the expression in it; behaves badly when the expression asks for it.
struct Words {
    incarnation: usize,
}

impl Actor for Words {
    type Context = Context<Self>;
}

impl Handler<FilterBatch> for Words {
    type Result = ResponseFuture<FilterAnswer>;

    fn handle(&mut self, batch: FilterBatch, ctx: &mut Context<Self>) -> Self::Result {
        let bits = |batch: &FilterBatch, word: &str| -> Bits {
            let has = |body: &[u8]| std::str::from_utf8(body).is_ok_and(|body| body.contains(word));
            batch.messages.iter().map(|message| has(message.body())).collect()
        };
        let word = batch.expression.to_string();
        let answer = match word.as_str() {
            "!panic" => panic!("as it was told"),
            "!stop" => {
                ctx.stop();
                Err(FilterError::Failed("it stops".into()))
            }
            "!few" => Ok(Bits::from_iter([true])),
            "!fail" => Err(FilterError::Failed("its database is away".into())),
            "!wrong" => Err(FilterError::Expression("a word is wanted".into())),
            "!hang" => return Box::pin(std::future::pending()),
            "!slow" => {
                return Box::pin(async move {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    Ok(bits(&batch, "b1"))
                });
            }
            "!incarnation" => Ok(bits(&batch, &format!("b{}", self.incarnation))),
            "!group" => Ok(batch.messages.iter().map(|_| &*batch.group == "g").collect()),
            word => Ok(bits(&batch, word)),
        };
        Box::pin(std::future::ready(answer))
    }
}

fn words() -> Additions {
    let mut additions = Additions::default();
    let made = AtomicUsize::new(0);
    additions.filter_kept("WORDS", move || Words { incarnation: made.fetch_add(1, Ordering::Relaxed) });
    additions
}

async fn server_with_messages(additions: Additions) -> (Server, Client) {
    let server = Server::start_with_additions(additions, |_| {}).await;
    let mut client = server.client().await;
    client.make_topic("T", "2").await;
    for n in 0..6 {
        client.send("T", 0, &format!("TAGS\u{1}t{}\u{2}", n % 2), &format!("b{n}")).await;
    }
    (server, client)
}

fn by_words<'a>(from: i64, expression: &'a str) -> PullMessageRequest<'a> {
    PullMessageRequest { subscription: expression.into(), expression_type: "WORDS".into(), ..pull("T", 0, from) }
}

#[actix::test]
async fn a_filter_is_named_by_type_by_sql_or_by_its_group() {
    let (server, mut client) = server_with_messages(words()).await;
    let by_type = client.ask(11, &by_words(0, "b3"), b"").await;
    assert_eq!((by_type.code, by_type.bodies(), by_type.number("nextBeginOffset")), (0, vec!["b3".to_owned()], 6));
    let sql = PullMessageRequest { expression_type: "SQL92".into(), ..by_words(0, "FILTER('WORDS', 'b4')") };
    assert_eq!(client.ask(361, &sql, b"").await.bodies(), ["b4"]);
    let group = r#"{"groupName":"g","attributes":{"+actormq.filter":"WORDS","+actormq.filter.expression":"b5"}}"#;
    assert_eq!(client.command(200, &[], group.as_bytes()).await.code, 0);
    assert_eq!(client.ask(11, &pull("T", 0, 0), b"").await.bodies(), ["b5"]);
    // The group's filter and the consumer's tags both have to agree.
    let tagged = PullMessageRequest { subscription: "t0".into(), ..pull("T", 0, 0) };
    assert_eq!(client.ask(11, &tagged, b"").await.code, 20);
    let group = r#"{"groupName":"g","attributes":{"-actormq.filter":""}}"#;
    assert_eq!(client.command(200, &[], group.as_bytes()).await.code, 0);
    assert_eq!(client.ask(11, &pull("T", 0, 0), b"").await.records().len(), 6);
    assert_eq!(client.ask(11, &by_words(0, "!group"), b"").await.records().len(), 6);
    // As many as are asked for, then on from the first that was left.
    let two = client.ask(11, &PullMessageRequest { max_msg_nums: 2, ..by_words(0, "b") }, b"").await;
    assert_eq!((two.bodies().len(), two.number("nextBeginOffset")), (2, 2));
    server.stop().await;
}

#[actix::test]
async fn names_that_are_not_there_are_refused_with_those_that_are() {
    let (server, mut client) = server_with_messages(words()).await;
    let refused = |kind: &'static str, expression: &'static str| PullMessageRequest {
        expression_type: kind.into(),
        ..by_words(0, expression)
    };
    for (kind, expression) in [("SQL92", "FILTER('GEO', 'x')"), ("SQL92", "FILTER('WORDS' 'x')")] {
        let answer = client.ask(11, &refused(kind, expression), b"").await;
        assert_eq!(answer.code, ResponseCode::SubscriptionParseFailed.number(), "{answer:?}");
        assert!(answer.remark().contains("WORDS") || answer.remark().contains("FILTER"), "{answer:?}");
    }
    // SQL92 itself is still switched off, and what is neither says so as Apache does.
    assert_eq!(client.ask(11, &refused("SQL92", "a = 1"), b"").await.code, 1);
    assert_eq!(client.ask(11, &refused("GEO", "x"), b"").await.code, 1);
    let group = r#"{"groupName":"g","attributes":{"+actormq.filter":"GEO"}}"#;
    assert_eq!(client.command(200, &[], group.as_bytes()).await.code, 0);
    let answer = client.ask(11, &pull("T", 0, 0), b"").await;
    assert_eq!(answer.code, ResponseCode::FilterDataNotExist.number());
    assert!(answer.remark().contains("there are: WORDS"), "{answer:?}");
    let unknown = r#"{"groupName":"g","attributes":{"+colour":"red"}}"#;
    assert_eq!(client.command(200, &[], unknown.as_bytes()).await.code, 1);
    server.stop().await;
}

#[actix::test]
async fn a_waiting_pull_is_answered_when_its_filter_lets_a_message_through() {
    let (server, mut client) = server_with_messages(words()).await;
    let wish = by_words(6, "b8");
    let waiting = PullMessageRequest { sys_flag: wish.sys_flag | MAY_WAIT, suspend_timeout_millis: 20_000, ..wish };
    let mut consumer = server.client().await;
    let asked = consumer.submit(11, &waiting, b"").await;
    for n in 6..8 {
        client.send("T", 0, "", &format!("b{n}")).await;
    }
    assert!(!consumer.has_answer(asked));
    client.send("T", 0, "", "b8").await;
    let found = consumer.answer(asked).await;
    assert_eq!((found.bodies(), found.number("nextBeginOffset")), (vec!["b8".to_owned()], 9));
    // Nothing comes: the answer says that the filter looked at all of it.
    let short =
        PullMessageRequest { queue_offset: 8, suspend_timeout_millis: 200, subscription: "no".into(), ..waiting };
    let asked = consumer.submit(11, &short, b"").await;
    let none = consumer.answer(asked).await;
    assert!([19, 20].contains(&none.code) && none.number("nextBeginOffset") == 9, "{none:?}");
    server.stop().await;
}

#[actix::test]
async fn whatever_a_filter_does_its_consumer_hears_and_loses_nothing() {
    let (server, mut client) = server_with_messages(words()).await;
    for (expression, code, reason) in [
        ("!few", AGAIN, "1 bits for 6 messages"),
        ("!fail", AGAIN, "its database is away"),
        ("!wrong", ResponseCode::SubscriptionParseFailed.number(), "a word is wanted"),
        ("!stop", AGAIN, "it stops"),
        ("!panic", AGAIN, "ended before it answered"),
    ] {
        until("the filter to be there", async || {
            let answer = client.ask(11, &by_words(0, "b"), b"").await;
            (answer.code == 0).then_some(())
        })
        .await;
        let bad = client.ask(11, &by_words(0, expression), b"").await;
        assert_eq!(bad.code, code, "{expression}: {bad:?}");
        assert!(bad.remark().contains(reason) && bad.remark().contains("WORDS"), "{expression}: {bad:?}");
        assert_eq!(bad.number("nextBeginOffset"), 0, "{expression}: no message is passed over");
    }
    // It was built again, twice, and serves.
    let back = until("the filter to be back", async || {
        let answer = client.ask(11, &by_words(0, "!incarnation"), b"").await;
        (answer.code == 0).then_some(answer)
    })
    .await;
    assert_eq!(back.bodies(), ["b2"]);
    server.stop().await;
}

#[actix::test]
async fn a_consumer_waits_for_a_filter_that_its_broker_comes_back_without() {
    let (server, mut client) = server_with_messages(words()).await;
    let group = r#"{"groupName":"g","attributes":{"+actormq.filter":"WORDS","+actormq.filter.expression":"b"}}"#;
    assert_eq!(client.command(200, &[], group.as_bytes()).await.code, 0);
    let first = client.ask(11, &PullMessageRequest { max_msg_nums: 2, ..pull("T", 0, 0) }, b"").await;
    assert_eq!(first.bodies(), ["b0", "b1"]);
    client.commit("g", "T", "2").await;
    server.broker.stop().await;

    let server = Server::start_with_additions_in(server.directory, Additions::default(), |_| {}).await;
    let mut client = server.client().await;
    let from = client.committed("g", "T").await;
    for wish in [pull("T", 0, from), by_words(from, "b")] {
        let refused = client.ask(11, &wish, b"").await;
        assert!(refused.code != 0 && !refused.remark().is_empty(), "{refused:?}");
        assert!(refused.bodies().is_empty(), "it gets nothing that its filter did not see");
    }
    client.send("T", 0, "", "b6").await;
    server.broker.stop().await;

    let server = Server::start_with_additions_in(server.directory, words(), |_| {}).await;
    let mut client = server.client().await;
    let from = client.committed("g", "T").await;
    let rest = client.ask(11, &pull("T", 0, from), b"").await;
    assert_eq!(rest.bodies(), ["b2", "b3", "b4", "b5", "b6"]);
    server.stop().await;
}

#[actix::test]
async fn a_slow_or_hanging_filter_delays_only_its_own_pulls() {
    let (server, mut client) = server_with_messages(words()).await;
    let mut hung = server.client().await;
    let asked: Vec<i32> = {
        let mut asked = Vec::new();
        for _ in 0..20 {
            asked.push(hung.submit(11, &by_words(0, "!hang"), b"").await);
        }
        asked
    };
    let begun = Instant::now();
    for _ in 0..20 {
        assert_eq!(client.ask(11, &pull("T", 0, 0), b"").await.records().len(), 6);
        client.send("T", 1, "", "more").await;
    }
    assert!(begun.elapsed() < Duration::from_secs(4), "others waited: {:?}", begun.elapsed());
    for opaque in asked {
        let answer = tokio::time::timeout(PATIENCE, hung.answer(opaque)).await.unwrap();
        assert_eq!(answer.code, AGAIN, "{answer:?}");
        assert!(answer.remark().contains("no answer within"), "{answer:?}");
        assert_eq!(answer.number("nextBeginOffset"), 0);
    }
    server.stop().await;
}

#[actix::test]
async fn a_slow_filter_is_waited_for() {
    let (server, mut client) = server_with_messages(words()).await;
    let answer = client.ask(11, &by_words(0, "!slow"), b"").await;
    assert_eq!((answer.code, answer.bodies()), (0, vec!["b1".to_owned()]));
    server.stop().await;
}

#[actix::test]
async fn a_filter_may_run_in_the_program_and_end_there() {
    let mut additions = Additions::default();
    let running = Words { incarnation: 0 }.start();
    additions.filter("WORDS", running.clone().recipient());
    let (server, mut client) = server_with_messages(additions).await;
    assert_eq!(client.ask(11, &by_words(0, "b3"), b"").await.bodies(), ["b3"]);
    let _ = client.ask(11, &by_words(0, "!stop"), b"").await;
    let gone = until("the filter to be gone", async || {
        let answer = client.ask(11, &by_words(0, "b3"), b"").await;
        (answer.code == AGAIN).then_some(answer)
    })
    .await;
    assert!(gone.remark().contains("WORDS"), "{gone:?}");
    server.stop().await;
}

#[actix::test]
async fn a_broker_with_two_filters_of_one_name_does_not_start() {
    let config = |directory: &tempfile::TempDir| {
        let mut config = actormq::config::BrokerConfig::default();
        config.network.bind_address = [127, 0, 0, 1].into();
        config.network.listen_port = 0;
        config.store.data_dir = directory.path().join("data");
        config
    };
    for (one, other, reason) in [("A", "A", "two filters"), ("A", "SQL92", "RocketMQ's own")] {
        let directory = tempfile::tempdir().unwrap();
        let builder = Broker::builder(config(&directory)).io_threads(1).fatal(Arc::new(|reason| panic!("{reason}")));
        let builder = builder.filter_kept(one, || Words { incarnation: 0 });
        let started = builder.filter(other, Words { incarnation: 0 }.start()).start().await;
        let error = started.err().expect("it must not start").to_string();
        assert!(error.contains(reason), "{error}");
    }
}

/// Does to a message what its property `do` says.
struct Censor;

impl Actor for Censor {
    type Context = Context<Self>;
}

impl Handler<InterceptBatch> for Censor {
    type Result = InterceptAnswer;

    fn handle(&mut self, batch: InterceptBatch, _: &mut Context<Self>) -> InterceptAnswer {
        let verdicts = batch.messages.iter().map(|message| {
            let wish = message.properties.iter().find(|(name, _)| name == "do").map(|(_, value)| value.as_str());
            let mut properties = message.properties.clone();
            properties.push(("seen".into(), "yes".into()));
            match wish {
                None => Verdict::Pass,
                Some("change") => Verdict::Change { properties },
                Some("redirect") => Verdict::Redirect { topic: "Other".into(), properties },
                Some("nowhere") => Verdict::Redirect { topic: "Nowhere".into(), properties },
                Some("break") => Verdict::Change { properties: vec![("a\u{1}".into(), "b".into())] },
                Some("panic") => panic!("as it was told"),
                Some(_) => Verdict::Reject { reason: "not today".into() },
            }
        });
        Ok(verdicts.collect())
    }
}

#[actix::test]
async fn an_interceptor_changes_redirects_and_rejects() {
    let mut additions = Additions::default();
    additions.interceptor(Censor.start().recipient());
    let (server, mut client) = server_with_messages(additions).await;
    client.make_topic("Other", "1").await;
    let told = |wish: &str| format!("do\u{1}{wish}\u{2}");
    client.send("T", 1, "", "as it is").await;
    client.send("T", 1, &told("change"), "changed").await;
    client.send("T", 1, &told("redirect"), "elsewhere").await;
    for (wish, code, reason) in [
        ("reject", ResponseCode::MessageIllegal.number(), "not today"),
        ("nowhere", ResponseCode::TopicNotExist.number(), "Nowhere"),
        ("break", ResponseCode::MessageIllegal.number(), "cannot be stored"),
    ] {
        let refused = client.ask(310, &short_send("T", 1, &told(wish)), b"refused").await;
        assert_eq!(refused.code, code, "{refused:?}");
        assert!(refused.remark().contains(reason), "{refused:?}");
    }
    let batch = SendMessageRequestV2 { batch: Some(true), ..short_send("T", 1, "") };
    let (change, reject) = (told("change"), told("reject"));
    let stored = client.ask(320, &batch, &batch_body(&[("one", ""), ("two", &change)])).await;
    assert_eq!(stored.code, 0, "{stored:?}");
    let refused = client.ask(320, &batch, &batch_body(&[("three", ""), ("four", &reject)])).await;
    assert_eq!(refused.code, ResponseCode::MessageIllegal.number());

    let all = client.ask(11, &pull("T", 1, 0), b"").await;
    assert_eq!(all.bodies(), ["as it is", "changed", "one", "two"]);
    let seen: Vec<bool> =
        all.records().iter().map(|record| properties::value(record.properties, "seen").is_some()).collect();
    assert_eq!(seen, [false, true, false, true]);
    assert_eq!(client.ask(11, &pull("Other", 0, 0), b"").await.bodies(), ["elsewhere"]);
    // Its end is told to producers, who try again; nothing is stored behind its back.
    let lost = client.ask(310, &short_send("T", 1, &told("panic")), b"lost").await;
    assert_eq!(lost.code, AGAIN, "{lost:?}");
    assert_eq!(client.ask(310, &short_send("T", 1, ""), b"lost too").await.code, AGAIN);
    assert_eq!(client.max_offset("T", "1").await, 4);
    server.stop().await;
}

#[actix::test]
async fn the_order_of_a_connection_stays_before_an_interceptor() {
    let mut additions = Additions::default();
    additions.interceptor(Censor.start().recipient());
    let (server, mut client) = server_with_messages(additions).await;
    let mut asked = Vec::new();
    for n in 0..200 {
        asked.push(client.submit(310, &short_send("T", 1, ""), format!("{n:03}").as_bytes()).await);
    }
    for (n, opaque) in asked.into_iter().enumerate() {
        assert_eq!(client.answer(opaque).await.number("queueOffset"), n as i64);
    }
    server.stop().await;
}

struct Chronicle(UnboundedSender<BrokerEvent>);

impl Actor for Chronicle {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(1_000);
    }
}

impl Handler<BrokerEvent> for Chronicle {
    type Result = ();

    fn handle(&mut self, event: BrokerEvent, _: &mut Context<Self>) {
        let _ = self.0.send(event);
    }
}

async fn next(events: &mut UnboundedReceiver<BrokerEvent>, wanted: impl Fn(&BrokerEvent) -> bool) -> BrokerEvent {
    let found = async {
        loop {
            let event = events.recv().await.unwrap();
            if wanted(&event) {
                return event;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("no such event")
}

#[actix::test]
async fn a_listener_hears_of_appends_deliveries_and_groups() {
    let (told, mut events) = unbounded_channel();
    let mut additions = Additions::default();
    additions.listener(Chronicle(told).start().recipient());
    let (server, mut client) = server_with_messages(additions).await;
    for n in 0..6 {
        let event = next(&mut events, |event| matches!(event, BrokerEvent::Appended { .. })).await;
        let BrokerEvent::Appended { queue, offset } = event else { unreachable!() };
        assert_eq!((&*queue.topic, queue.queue, offset), ("T", 0, n));
    }
    assert_eq!(client.ask(11, &pull("T", 0, 2), b"").await.records().len(), 4);
    let event = next(&mut events, |event| matches!(event, BrokerEvent::Delivered { .. })).await;
    let BrokerEvent::Delivered { group, queue, messages, next: after } = event else { unreachable!() };
    assert_eq!((&*group, &*queue.topic, messages, after), ("g", "T", 4, 6));

    let beat = r#"{"clientID":"c","consumerDataSet":[{"consumeFromWhere":"CONSUME_FROM_FIRST_OFFSET",
        "consumeType":"CONSUME_PASSIVELY","groupName":"g","messageModel":"CLUSTERING","subscriptionDataSet":[],
        "unitMode":false}],"producerDataSet":[]}"#;
    assert_eq!(client.command(34, &[], beat.as_bytes()).await.code, 0);
    let joined = |event: &BrokerEvent| matches!(event, BrokerEvent::GroupChanged { consumers: 1, .. });
    next(&mut events, joined).await;
    let farewell = fields(&[("clientID", "c"), ("consumerGroup", "g")]);
    assert_eq!(client.ask(35, &farewell, b"").await.code, 0);
    next(&mut events, |event| matches!(event, BrokerEvent::GroupChanged { consumers: 0, .. })).await;
    server.stop().await;
}

#[actix::test]
async fn our_consumer_names_a_filter_of_an_embedded_broker() {
    let cluster = ClusterOptions::new().filter_kept("WORDS", || Words { incarnation: 0 }).start().await.unwrap();
    let client = cluster.client().await.unwrap();
    let producer = client.producer("p").await.unwrap();
    for n in 0..6 {
        producer.send(Message::new("T", format!("b{n}"))).await.unwrap();
    }
    let (seen, mut received) = unbounded_channel();
    let options = PushOptions { start_from: StartFrom::First, ..PushOptions::new("g") };
    let consumer = client.push_consumer(options).subscribe("T", Filter::custom("WORDS", "b4"));
    let consumer = consumer
        .start(move |batch: Vec<ReceivedMessage>| {
            let _ = seen.send(batch.len());
            async { Outcome::Consumed }
        })
        .await
        .unwrap();
    assert_eq!(received.recv().await, Some(1));
    let unknown = client.push_consumer(PushOptions::new("h")).subscribe("T", Filter::custom("GEO", "1 2 3"));
    assert!(unknown.start(|_: Vec<ReceivedMessage>| async { Outcome::Consumed }).await.is_err());
    consumer.shutdown().await.unwrap();
    client.shutdown().await;
    cluster.shutdown().await;
}
