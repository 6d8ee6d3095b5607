//! Clients that ask each other, administrators that ask consumers, and what is written of messages; with Java at the other end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use actormq::client::admin::{Reset, ResetTo, Step};
use actormq::client::{
    Client, ClientError, ClientOptions, Message, MessageModel, Outcome, Producer, ProducerOptions, PushConsumer,
    PushOptions, ReceivedMessage, StartFrom, TRACE_TOPIC,
};

use crate::cases::Cases;
use crate::java::Java;
use crate::ledger::{Ledger, listen};
use crate::{LIMIT, World, name, numbered, patient, text, until};

pub fn add(cases: &mut Cases) {
    cases.add("asking: ours asks, ours replies", ours_asks_ours);
    cases.add("asking: ours asks, Java replies", ours_asks_java);
    cases.add("asking: Java asks, ours replies", java_asks_ours);
    cases.add("asking: a story written by ours, read by mqadmin", story_of_ours);
    cases.add("asking: a story written by Java, read by ours", story_of_java);
    cases.add("asking: mqadmin asks our consumers how they run, where they are, and to consume", ours_is_asked);
    cases.add("asking: ours asks Java's consumer how it runs and to consume, and resets it", java_is_asked);
    cases.add("asking: broadcasting to Java and ours, which go on from each other's files", broadcast);
    cases.add_alone("asking: mqadmin resets and skips for our consumer, by the broker", |world| reset(world, true));
    cases.add_alone("asking: mqadmin resets and skips for our consumer, by the consumer", |world| reset(world, false));
}

fn from_first(group: &str) -> PushOptions {
    PushOptions { start_from: StartFrom::First, ..PushOptions::new(group) }
}

/// Replies with each body twice over, but to "silence".
async fn echo(client: &Client, topic: &str) -> (PushConsumer, Arc<Producer>) {
    let replies = Arc::new(client.producer_with(patient(&name("replier"))).await.unwrap());
    let producer = Arc::clone(&replies);
    let listener = move |batch: Vec<ReceivedMessage>| {
        let producer = Arc::clone(&producer);
        async move {
            for request in batch.iter().filter(|request| &request.body[..] != b"silence") {
                producer.send(request.reply_with(request.body.repeat(2)).unwrap()).await.unwrap();
            }
            Outcome::Consumed
        }
    };
    let consumer = client.push_consumer(from_first(&name("echo"))).subscribe(topic, "*").start(listener).await.unwrap();
    (consumer, replies)
}

/// Asks for some echoes at once, and into the silence.
async fn ask_all(client: &Client, topic: &str) {
    let producer = client.producer_with(patient(&name("asker"))).await.unwrap();
    let bodies: Vec<String> = numbered(0..20).chain(["long ".repeat(10_000)]).collect();
    let asked = bodies.iter().map(|body| producer.request(Message::new(topic, body.clone()), LIMIT));
    for (body, reply) in bodies.iter().zip(futures_util::future::try_join_all(asked).await.unwrap()) {
        assert_eq!((text(&reply), reply.topic()), (body.repeat(2), "DefaultCluster_REPLY_TOPIC"));
    }
    let error = producer.request(Message::new(topic, "silence"), Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(&error, ClientError::Timeout { trouble, .. } if trouble.contains("nobody replied")), "{error}");
    producer.shutdown().await.unwrap();
}

async fn ours_asks_ours(world: Arc<World>) {
    let topic = world.topic("request", 2).await;
    let (asks, answers) = (world.another().await, world.another().await);
    let (consumer, _replies) = echo(&answers, &topic).await;
    ask_all(&asks, &topic).await;
    consumer.shutdown().await.unwrap();
    asks.shutdown().await;
    answers.shutdown().await;
}

async fn ours_asks_java(world: Arc<World>) {
    let topic = world.topic("request", 2).await;
    let mut java = Java::partner(&world, Arc::default()).await;
    assert_eq!(java.order(&format!("echo {} {topic}", name("echo"))).await, "echoes");
    let asks = world.another().await;
    ask_all(&asks, &topic).await;
    asks.shutdown().await;
    java.stop().await;
}

async fn java_asks_ours(world: Arc<World>) {
    let topic = world.topic("request", 2).await;
    let answers = world.another().await;
    let (consumer, _replies) = echo(&answers, &topic).await;
    let mut java = Java::partner(&world, Arc::default()).await;
    for body in ["one".to_owned(), "two".to_owned(), "long ".repeat(10_000)] {
        let reply = java.order(&format!("ask {topic} {} 30000", Java::encoded(&body))).await;
        assert_eq!(Java::decoded(&reply, "reply "), body.repeat(2));
    }
    let late = java.order(&format!("ask {topic} {} 1000", Java::encoded("silence"))).await;
    assert_eq!(late, "failed RequestTimeoutException");
    java.stop().await;
    consumer.shutdown().await.unwrap();
    answers.shutdown().await;
}

/// What a command of RocketMQ's tool prints, each run of blanks as one.
async fn mqadmin(java: &mut Java, words: &str) -> String {
    let said = java.order(&format!("mqadmin {words}")).await;
    Java::decoded(&said, "said ")
}

async fn story_of_ours(world: Arc<World>) {
    let (topic, group) = (world.topic("traced", 1).await, name("traced"));
    let client = world.another().await;
    let options = ProducerOptions { trace: Some(TRACE_TOPIC.to_owned()), ..patient(&name("tracing")) };
    let producer = client.producer_with(options.clone()).await.unwrap();
    let consumer = client.push_consumer(from_first(&group)).subscribe(&topic, "*").traced(TRACE_TOPIC);
    let calls = Arc::<Ledger>::default();
    let heard = Arc::clone(&calls);
    let listener = move |batch: Vec<ReceivedMessage>| {
        batch.iter().for_each(|message| heard.write("ours", text(message)));
        async { Outcome::Consumed }
    };
    let consumer = consumer.start(listener).await.unwrap();
    let sent = producer.send(Message::new(&topic, "m0").tag("t").key("k")).await.unwrap();
    until("it is consumed", async || calls.len() == 1).await;
    consumer.shutdown().await.unwrap();
    producer.shutdown().await.unwrap();
    let mut java = Java::partner(&world, Arc::default()).await;
    let mut story = String::new();
    until("mqadmin tells the whole story", async || {
        story = mqadmin(&mut java, &format!("queryMsgTraceById -i {}", sent.message_id)).await;
        let told = [format!("Pub {}", options.group), group.clone(), "success".to_owned()];
        told.iter().all(|part| story.contains(part))
    })
    .await;
    java.stop().await;
    client.shutdown().await;
}

async fn story_of_java(world: Arc<World>) {
    let (topic, group) = (world.topic("traced", 1).await, name("traced"));
    let ledger = Arc::<Ledger>::default();
    let mut java = Java::partner(&world, Arc::clone(&ledger)).await;
    java.order(&format!("consume {group} {topic}")).await;
    let sent = java.order(&format!("send {topic} {}", Java::encoded("m0"))).await;
    let id = sent.split(' ').nth(1).unwrap_or_else(|| panic!("Java says {sent}")).to_owned();
    until("it is consumed", async || ledger.len() == 1).await;
    let story = async || world.admin.story(TRACE_TOPIC, &id).await.unwrap_or_default();
    until("the whole story", async || story().await.len() == 3).await;
    let story = story().await;
    let [Step::Sent(first), Step::Consuming(second), Step::Consumed(third)] = story.as_slice() else {
        panic!("{story:?}");
    };
    assert_eq!(
        (first.topic.as_str(), first.tags.as_deref(), first.keys.as_deref()),
        (&*topic, Some("tag"), Some("key"))
    );
    assert!(first.success && first.stored.store_host.contains(':') && first.body_bytes == 2, "{first:?}");
    assert_eq!((second.group.as_str(), second.retries, &second.request_id), (&*group, 0, &third.request_id));
    assert!(third.success && third.outcome == 0, "{third:?}");
    let shown = crate::shell::says(&world, &["message", "trace", &id]).await;
    for part in ["sent to ", "stored at", "consuming", "consumed", &group] {
        assert!(shown.contains(part), "no `{part}` in:\n{shown}");
    }
    java.stop().await;
}

async fn ours_is_asked(world: Arc<World>) {
    let topic = world.topic("asked", 1).await;
    let mut java = Java::partner(&world, Arc::default()).await;
    for ordered in [false, true] {
        let (group, client, ledger) = (name("asked"), world.another().await, Arc::<Ledger>::default());
        let heard = Arc::clone(&ledger);
        let listener = move |batch: Vec<ReceivedMessage>| {
            batch.iter().for_each(|message| heard.write("ours", text(message)));
            async { Outcome::Consumed }
        };
        let builder = client.push_consumer(from_first(&group)).subscribe(&topic, "*");
        let consumer =
            if ordered { builder.start_in_order(listener).await } else { builder.start(listener).await }.unwrap();
        let body = if ordered { "m1" } else { "m0" };
        let sent = world.producer.send(Message::new(&topic, body)).await.unwrap();
        until("it is consumed", async || ledger.bodies().contains(body) && consumer.lag().await.unwrap() == Some(0))
            .await;
        let id = client.id();
        let running = mqadmin(&mut java, &format!("consumerStatus -g {group} -i {id}")).await;
        let in_order = format!("PROP_CONSUMEORDERLY : {ordered}");
        for part in ["PROP_CONSUME_TYPE : CONSUME_PASSIVELY", &in_order, &format!("Topic: {topic}"), "#Pull RT"] {
            assert!(running.contains(part), "no `{part}` in:\n{running}");
        }
        let at = sent.queue_offset + 1;
        let status = Java::decoded(&java.order(&format!("where {group} {topic}")).await, "said ");
        assert!(status.starts_with(&format!("{{{id}={{")) && status.contains(&format!("queueId=0]={at}")), "{status}");
        let words = format!("queryMsgById -t {topic} -i {} -g {group} -d {id}", sent.offset_message_id);
        let given = mqadmin(&mut java, &words).await;
        assert!(given.contains("consumeResult=CR_SUCCESS") && given.contains(&format!("order={ordered}")), "{given}");
        assert_eq!(ledger.repeated().keys().collect::<Vec<_>>(), [body]);
        consumer.shutdown().await.unwrap();
        client.shutdown().await;
    }
    java.stop().await;
}

async fn java_is_asked(world: Arc<World>) {
    let (topic, group) = (world.topic("asked", 1).await, name("asked"));
    let ledger = Arc::<Ledger>::default();
    let mut java = Java::partner(&world, Arc::clone(&ledger)).await;
    let consumes = java.order(&format!("consume {group} {topic}")).await;
    let id = consumes.strip_prefix("consumes ").unwrap_or_else(|| panic!("Java says {consumes}")).to_owned();
    let sent = world.producer.send(Message::new(&topic, "m0")).await.unwrap();
    until("it is consumed", async || ledger.len() == 1).await;
    let info = world.admin.running_info(&group, &id).await.unwrap();
    let property = |name: &str| info.properties.get(name).map(String::as_str);
    assert_eq!(
        (property("PROP_CONSUME_TYPE"), property("PROP_CONSUMEORDERLY")),
        (Some("CONSUME_PASSIVELY"), Some("false"))
    );
    let topics: BTreeSet<_> = info.subscription_set.iter().map(|of| of.topic.clone()).collect();
    assert_eq!(topics, [format!("%RETRY%{group}"), topic.clone()].into());
    assert!(
        info.mq_table.keys().any(|queue| queue.topic == topic) && info.status_table.contains_key(&topic),
        "{info:?}"
    );
    let consumed = world.admin.consume_directly(&group, &id, &sent.offset_message_id).await.unwrap();
    assert_eq!((consumed.consume_result.as_deref(), consumed.order), (Some("CR_SUCCESS"), false));
    until("it came twice", async || ledger.repeated().get("m0").is_some_and(|times| times.len() == 2)).await;
    let progress = async || world.admin.progress(&group, Some(&topic)).await.unwrap_or_default();
    until("it is committed", async || progress().await.iter().any(|queue| queue.committed_offset == 1)).await;
    let to_first = Reset { group: group.clone(), topic: topic.clone(), to: ResetTo::First, broker: None, queue: None };
    world.admin.reset(&to_first).await.unwrap();
    world.send(&topic, ["m1".to_owned()]).await;
    until("all of it again", async || {
        ledger.bodies().contains("m1") && ledger.repeated().get("m0").is_some_and(|times| times.len() >= 3)
    })
    .await;
    java.stop().await;
}

async fn broadcast(world: Arc<World>) {
    let (topic, group) = (world.topic("broadcast", 2).await, name("broadcast"));
    let (of_java, of_ours) = (Arc::<Ledger>::default(), Arc::<Ledger>::default());
    let mut java = Java::partner(&world, Arc::clone(&of_java)).await;
    let (javas, own) = (name("java"), name("ours"));
    let order = format!("broadcast {group} {topic} {javas}");
    let consumes = java.order(&order).await;
    assert!(consumes.starts_with("consumes "), "{consumes}");
    let directory = Java::home().join(".rocketmq_offsets");
    let start = async |instance: &str, ledger: &Arc<Ledger>| {
        let options = ClientOptions { instance: Some(instance.into()), ..ClientOptions::new(&world.name_server) };
        let client = Client::connect(options).await.unwrap();
        let model = MessageModel::Broadcasting { directory: Some(directory.clone()) };
        let options = PushOptions { model, ..from_first(&group) };
        (listen(&client, options, &topic, instance, ledger).await, client)
    };
    let (consumer, client) = start(&own, &of_ours).await;
    world.send(&topic, numbered(0..20)).await;
    until("both have all", async || of_java.len() == 20 && of_ours.len() == 20).await;
    assert_eq!(java.order("leave").await, "left");
    consumer.shutdown().await.unwrap();
    client.shutdown().await;
    world.send(&topic, numbered(20..30)).await;
    // Each goes on where the other was.
    let since = Arc::<Ledger>::default();
    let (consumer, client) = start(&javas, &since).await;
    assert!(java.order(&format!("broadcast {group} {topic} {own}")).await.starts_with("consumes "));
    until("what came since", async || of_java.len() == 30 && since.len() == 10).await;
    assert_eq!(since.bodies(), numbered(20..30).collect());
    assert!(of_java.repeated().is_empty() && since.repeated().is_empty() && of_ours.repeated().is_empty());
    consumer.shutdown().await.unwrap();
    client.shutdown().await;
    java.stop().await;
}

async fn reset(world: Arc<World>, by_broker: bool) {
    let (topic, group) = (world.topic("reset", 1).await, name("reset"));
    let broker = world.admin.cluster().await.unwrap().brokers[0].address.clone();
    let leave_it = async |by_broker: bool| {
        let settings = BTreeMap::from([("useServerSideResetOffset".to_owned(), by_broker.to_string())]);
        world.admin.update_broker_settings(&broker, &settings).await.unwrap();
    };
    leave_it(by_broker).await;
    let (client, ledger) = (world.another().await, Arc::<Ledger>::default());
    let consumer = listen(&client, from_first(&group), &topic, "a", &ledger).await;
    let progress = async |wanted: i64| {
        let progress = world.admin.progress(&group, Some(&topic)).await.unwrap_or_default();
        progress.iter().any(|queue| queue.committed_offset == wanted)
    };
    world.send(&topic, numbered(0..5)).await;
    until("all is consumed and committed", async || ledger.len() == 5 && progress(5).await).await;
    let mut java = Java::partner(&world, Arc::default()).await;
    let said = mqadmin(&mut java, &format!("resetOffsetByTime -g {group} -t {topic} -s 0")).await;
    assert!(said.contains("broker-a 0 0"), "{said}");
    world.send(&topic, numbered(5..6)).await;
    until("all of it again", async || {
        ledger.has(6) && numbered(0..5).all(|body| ledger.repeated().contains_key(&body))
    })
    .await;
    until("that is committed, too", async || progress(6).await).await;
    consumer.suspend();
    let sent = ledger.until_silent(&world, &topic, 6).await;
    let seen = ledger.len();
    until("all is stored", async || world.admin.topic_status(&topic).await.unwrap().messages() == sent as i64).await;
    let said = mqadmin(&mut java, &format!("skipAccumulatedMessage -g {group} -t {topic}")).await;
    assert!(said.contains(&format!("broker-a 0 {sent}")), "{said}");
    consumer.resume();
    world.send(&topic, ["last".to_owned()]).await;
    until("what comes after", async || ledger.bodies().contains("last")).await;
    until("that is committed", async || progress(sent as i64 + 1).await).await;
    assert_eq!(ledger.len(), seen + 1, "the rest is skipped");
    leave_it(true).await;
    java.stop().await;
    consumer.shutdown().await.unwrap();
    client.shutdown().await;
}
