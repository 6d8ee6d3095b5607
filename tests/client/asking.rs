//! Clients that ask each other, and administrators that ask consumers, by way of our broker.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actormq::client::admin::{KeyQuery, ProcessQueueInfo, Reset, ResetTo, Step};
use actormq::client::{
    Client, ClientError, Message, Outcome, Producer, ProducerOptions, PushConsumer, PushOptions, ReceivedMessage,
    TRACE_TOPIC, Target,
};
use actormq::embed::{Cluster, ClusterOptions};
use tokio::sync::Notify;

use crate::{Inbox, SOON, bodies, from_first};

async fn until(what: &str, mut ready: impl AsyncFnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !ready().await {
        assert!(begun.elapsed() < SOON, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Answers each request with its body, twice over; counts the answers that were taken.
async fn echo(client: &Client, producer: &Arc<Producer>, taken: &Arc<AtomicUsize>) -> PushConsumer {
    let (producer, taken) = (Arc::clone(producer), Arc::clone(taken));
    let listener = move |batch: Vec<ReceivedMessage>| {
        let (producer, taken) = (Arc::clone(&producer), Arc::clone(&taken));
        async move {
            for request in &batch {
                let Ok(reply) = request.reply_with(request.body.repeat(2)) else { continue };
                match producer.send(reply.key("echo")).await {
                    Ok(_) => drop(taken.fetch_add(1, Ordering::Relaxed)),
                    Err(error) => tracing::warn!(%error, "a reply was not heard"),
                }
            }
            Outcome::Consumed
        }
    };
    client.push_consumer(from_first("echoes")).subscribe("T", "*").start(listener).await.unwrap()
}

#[tokio::test]
async fn requests_find_their_replies_and_others_their_deadline() {
    let cluster = Cluster::start().await.unwrap();
    let (asks, answers) = (cluster.client().await.unwrap(), cluster.client().await.unwrap());
    let producer = asks.producer("askers").await.unwrap();
    // Nobody consumes yet, so nobody replies.
    let error = producer.request(Message::new("T", "early"), Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(&error, ClientError::Timeout { trouble, .. } if trouble.contains("nobody replied")), "{error}");
    let replier = Arc::new(answers.producer("repliers").await.unwrap());
    let taken = Arc::default();
    let consumer = echo(&answers, &replier, &taken).await;
    let long = "long ".repeat(4_000);
    let texts: Vec<String> = (0..50).map(|n| format!("q{n}")).chain([long]).collect();
    let asked = texts.iter().map(|text| producer.request(Message::new("T", text.clone()), SOON));
    for (text, reply) in texts.iter().zip(futures_util::future::join_all(asked).await) {
        let reply = reply.unwrap();
        assert_eq!(reply.body, text.repeat(2).as_bytes());
        assert_eq!((reply.topic(), reply.keys()), ("DefaultCluster_REPLY_TOPIC", Some("echo")));
        assert!(reply.property("ARRIVE_TIME").is_some() && reply.property("PUSH_REPLY_TIME").is_some());
    }
    until("whoever replies hears that all are taken", async || taken.load(Ordering::Relaxed) >= texts.len()).await;
    consumer.shutdown().await.unwrap();
    asks.shutdown().await;
    answers.shutdown().await;
    cluster.shutdown().await;
}

async fn send(client: &Client, range: std::ops::Range<u32>) -> String {
    let producer = client.producer("p").await.unwrap();
    let mut id = String::new();
    for n in range {
        id = producer.send(Message::new("T", format!("m{n}"))).await.unwrap().offset_message_id.into();
    }
    producer.shutdown().await.unwrap();
    id
}

#[tokio::test]
async fn a_consumer_tells_how_it_runs_and_consumes_what_it_is_given() {
    let cluster = Cluster::start().await.unwrap();
    let client = cluster.client().await.unwrap();
    let id = send(&client, 0..10).await;
    let got = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&got);
    let listener = move |batch: Vec<ReceivedMessage>| {
        let message = batch[0].clone();
        let again = {
            let mut all = all.lock().unwrap();
            all.push(String::from_utf8_lossy(&message.body).into_owned());
            all.iter().filter(|body| *body == "m9").count()
        };
        async move {
            assert_ne!(again, 3, "a panic was asked for");
            if again == 2 { Outcome::Later } else { Outcome::Consumed }
        }
    };
    let consumer = client.push_consumer(from_first("g")).subscribe("T", "*").start(listener).await.unwrap();
    until("all are consumed", async || got.lock().unwrap().len() == 10 && consumer.lag().await.unwrap() == Some(0))
        .await;
    let admin = client.admin();
    let info = admin.running_info("g", client.id()).await.unwrap();
    let property = |name: &str| info.properties.get(name).map(String::as_str);
    assert_eq!(
        (property("PROP_CONSUME_TYPE"), property("PROP_CONSUMEORDERLY")),
        (Some("CONSUME_PASSIVELY"), Some("false"))
    );
    assert_eq!(property("PROP_CLIENT_VERSION"), Some("V5_5_0"));
    let topics: Vec<_> = info.subscription_set.iter().map(|of| of.topic.as_str()).collect();
    assert_eq!(topics, ["%RETRY%g", "T"]);
    let queues: Vec<_> = info.mq_table.iter().filter(|(queue, _)| queue.topic == "T").collect();
    assert_eq!((queues.len(), queues.iter().map(|(_, info)| info.commit_offset).sum::<i64>()), (4, 10));
    assert!(queues.iter().all(|(_, info)| info.last_pull_timestamp > 0 && info.cached_msg_count == 0));
    assert!(info.status_table["T"].consumed_rate > 0.0 && info.status_table["T"].pulled_rate > 0.0);
    for (result, count) in [("CR_LATER", 11), ("CR_THROW_EXCEPTION", 12), ("CR_SUCCESS", 13)] {
        let consumed = admin.consume_directly("g", client.id(), &id).await.unwrap();
        assert_eq!(consumed.consume_result.as_deref(), Some(result));
        assert_eq!(got.lock().unwrap().len(), count);
    }
    assert_eq!(got.lock().unwrap()[10..], ["m9", "m9", "m9"]);
    for (group, member) in [("g", "nobody"), ("h", client.id())] {
        let refused = admin.running_info(group, member).await.unwrap_err();
        assert!(refused.to_string().contains("not online"), "{refused}");
    }
    consumer.shutdown().await.unwrap();
    client.shutdown().await;
    cluster.shutdown().await;
}

#[tokio::test]
async fn no_more_messages_are_given_to_a_listener_than_it_takes_at_once() {
    let cluster = Cluster::start().await.unwrap();
    let client = cluster.client().await.unwrap();
    let id = send(&client, 0..1).await;
    let (calls, may_end) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (counted, ended) = (Arc::clone(&calls), Arc::clone(&may_end));
    let listener = move |_: Vec<ReceivedMessage>| {
        let (call, ended) = (counted.fetch_add(1, Ordering::Relaxed), Arc::clone(&ended));
        async move {
            if call == 1 {
                ended.notified().await;
            }
            Outcome::Consumed
        }
    };
    let options = PushOptions { concurrency: 1, ..from_first("g") };
    let consumer = client.push_consumer(options).subscribe("T", "*").start(listener).await.unwrap();
    until("it is consumed", async || calls.load(Ordering::Relaxed) == 1).await;
    let admin = client.admin();
    let first = admin.consume_directly("g", client.id(), &id);
    let then = async {
        until("the listener is busy", async || calls.load(Ordering::Relaxed) == 2).await;
        let refused = admin.consume_directly("g", client.id(), &id).await.unwrap_err();
        assert!(refused.to_string().contains("as many messages"), "{refused}");
        may_end.notify_one();
    };
    let (first, ()) = futures_util::future::join(first, then).await;
    assert_eq!(first.unwrap().consume_result.as_deref(), Some("CR_SUCCESS"));
    until("there is room again", async || admin.consume_directly("g", client.id(), &id).await.is_ok()).await;
    consumer.shutdown().await.unwrap();
    client.shutdown().await;
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_live_group_goes_on_where_it_is_told_by_either_kind_of_reset() {
    for server_side in [true, false] {
        let options = ClusterOptions::new().broker(move |config| config.clients.server_side_reset = server_side);
        let cluster = options.start().await.unwrap();
        let client = cluster.client().await.unwrap();
        send(&client, 0..40).await;
        let inbox = Inbox::default();
        let consumer = inbox.start(&client, from_first("g")).await;
        let committed = async || {
            let queues = client.admin().progress("g", Some("T")).await.unwrap();
            queues.iter().map(|queue| queue.committed_offset).sum::<i64>()
        };
        until("all are consumed and committed", async || inbox.len() == 40 && committed().await == 40).await;
        let reset = |to| Reset { group: "g".into(), topic: "T".into(), to, broker: None, queue: None };
        let done = client.admin().reset(&reset(ResetTo::First)).await.unwrap();
        assert_eq!((done.len(), done.iter().map(|queue| queue.offset).sum::<i64>()), (4, 0));
        send(&client, 40..44).await;
        // A pull that waits at the broker may bring the last four before the consumer hears.
        until("everything came again", async || inbox.len() >= 84 && inbox.set() == bodies(0..44)).await;
        until("and is committed", async || committed().await == 44).await;
        assert!(inbox.len() <= 88, "{} of 84, server-side: {server_side}", inbox.len());
        // What waits is skipped: the consumer holds still meanwhile.
        consumer.suspend();
        send(&client, 44..60).await;
        client.admin().reset(&reset(ResetTo::Last)).await.unwrap();
        consumer.resume();
        send(&client, 60..64).await;
        until("what came after", async || (60..64).all(|n| inbox.set().contains(&format!("m{n}")))).await;
        until("all of that is committed", async || committed().await == 64).await;
        consumer.shutdown().await.unwrap();
        client.shutdown().await;
        cluster.shutdown().await;
    }
}

/// What a listener got, which holds back the sixth message when it comes first, and then wants it again.
#[derive(Default)]
struct Held {
    got: Mutex<Vec<String>>,
    may_end: Notify,
}

impl Held {
    async fn take(&self, message: &ReceivedMessage) -> Outcome {
        let body = String::from_utf8_lossy(&message.body).into_owned();
        let calls = {
            let mut got = self.got.lock().unwrap();
            got.push(body.clone());
            got.len()
        };
        if body == "m5" && calls == 6 {
            self.may_end.notified().await;
            return Outcome::Later;
        }
        Outcome::Consumed
    }

    fn got(&self) -> Vec<String> {
        self.got.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn a_consumer_in_order_that_is_told_to_go_back_reads_again_and_nothing_stale_comes_between() {
    reset_in_order(false).await;
}

#[tokio::test]
async fn a_consumer_in_order_whose_broker_goes_back_reads_again_and_nothing_stale_comes_between() {
    reset_in_order(true).await;
}

async fn reset_in_order(server_side: bool) {
    let options = ClusterOptions::new().broker(move |config| config.clients.server_side_reset = server_side);
    let cluster = options.start().await.unwrap();
    let client = cluster.client().await.unwrap();
    let producer = client.producer("p").await.unwrap();
    let mut id = String::new();
    for n in 0..10 {
        let message = Message::new("T", format!("m{n}"));
        id = producer.send_to(message, Target::Select(&|_| 0)).await.unwrap().offset_message_id.into();
    }
    let held = Arc::<Held>::default();
    let listening = Arc::clone(&held);
    let listener = move |batch: Vec<ReceivedMessage>| {
        let held = Arc::clone(&listening);
        async move { held.take(&batch[0]).await }
    };
    let options = PushOptions { commit_interval: Duration::from_millis(100), ..from_first("g") };
    let consumer = client.push_consumer(options).subscribe("T", "*").start_in_order(listener).await.unwrap();
    let admin = client.admin();
    let info = async || admin.running_info("g", client.id()).await.unwrap();
    let of_queue = async |wanted: fn(&ProcessQueueInfo) -> bool| {
        info().await.mq_table.iter().any(|(queue, info)| queue.topic == "T" && queue.queue_id == 0 && wanted(info))
    };
    until("six were given, the rest waits", async || {
        held.got().len() == 6 && of_queue(|info| (info.commit_offset, info.cached_msg_count) == (5, 5)).await
    })
    .await;
    // A group is reset where it has committed, as RocketMQ has it.
    until("the broker knows where the group is", async || {
        let queues = admin.progress("g", Some("T")).await.unwrap();
        queues.len() == 4 && queues.iter().all(|queue| queue.committed_offset == if queue.queue == 0 { 5 } else { 0 })
    })
    .await;
    assert_eq!(info().await.properties.get("PROP_CONSUMEORDERLY").map(String::as_str), Some("true"));
    let reset = Reset { group: "g".into(), topic: "T".into(), to: ResetTo::First, broker: None, queue: None };
    admin.reset(&reset).await.unwrap();
    until("the reader heard of it", async || of_queue(|info| info.commit_offset == 0).await).await;
    assert_eq!(held.got().len(), 6, "one at a time");
    held.may_end.notify_one();
    let expected: Vec<_> = (0..6).chain(0..10).map(|n| format!("m{n}")).collect();
    until("all came again", async || held.got().len() >= expected.len()).await;
    until("and is consumed", async || consumer.lag().await.unwrap() == Some(0)).await;
    assert_eq!(held.got(), expected);
    let consumed = admin.consume_directly("g", client.id(), &id).await.unwrap();
    assert_eq!((consumed.order, consumed.consume_result.as_deref()), (true, Some("CR_SUCCESS")));
    producer.shutdown().await.unwrap();
    consumer.shutdown().await.unwrap();
    client.shutdown().await;
    cluster.shutdown().await;
}

#[tokio::test]
async fn the_story_of_a_message_is_written_and_read_back() {
    let cluster = ClusterOptions::new().broker(|config| config.topics.trace_topic = true).start().await.unwrap();
    let client = cluster.client().await.unwrap();
    let producer =
        client.producer_with(ProducerOptions { trace: Some(TRACE_TOPIC.to_owned()), ..ProducerOptions::new("p") });
    let producer = producer.await.unwrap();
    let sent = producer.send(Message::new("T", "hello").tag("t").key("k1").key("k2")).await.unwrap();
    let other = producer.send(Message::new("U", "other")).await.unwrap();
    let calls = Arc::new(Mutex::new(0));
    let count = Arc::clone(&calls);
    let listener = move |_: Vec<ReceivedMessage>| {
        *count.lock().unwrap() += 1;
        async { Outcome::Consumed }
    };
    let consumer = client.push_consumer(from_first("g")).subscribe("T", "*").traced(TRACE_TOPIC);
    let consumer = consumer.start(listener).await.unwrap();
    until("it is consumed", async || *calls.lock().unwrap() == 1).await;
    // Both write what they have not written yet.
    consumer.shutdown().await.unwrap();
    producer.shutdown().await.unwrap();
    let admin = client.admin();
    // The index comes after the message.
    until("the story", async || admin.story(TRACE_TOPIC, &sent.message_id).await.unwrap().len() == 3).await;
    let story = admin.story(TRACE_TOPIC, &sent.message_id).await.unwrap();
    let [Step::Sent(first), Step::Consuming(second), Step::Consumed(third)] = story.as_slice() else {
        panic!("{story:?}");
    };
    assert_eq!((first.topic.as_str(), first.group.as_str(), first.stored.region.as_str()), ("T", "p", "DefaultRegion"));
    assert_eq!((first.tags.as_deref(), first.keys.as_deref(), first.body_bytes), (Some("t"), Some("k1 k2"), 5));
    assert!(
        first.success
            && first.stored.offset_message_id == sent.offset_message_id
            && first.stored.store_host.contains(':')
    );
    assert_eq!((second.group.as_str(), second.retries, &second.request_id), ("g", 0, &third.request_id));
    assert_eq!((third.success, third.outcome, third.group.as_deref()), (true, 0, Some("g")));
    let by_key = admin.messages_by_key(&KeyQuery::new(TRACE_TOPIC, "k2")).await.unwrap();
    assert_eq!(by_key.len(), 2);
    until("the other story", async || admin.story(TRACE_TOPIC, &other.message_id).await.unwrap().len() == 1).await;
    let shown = |id: String| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_actormq"));
        command.args(["message", "trace", &id, "--namesrv", cluster.name_server()]).output().unwrap()
    };
    let shown_one = shown(sent.message_id.to_string());
    let text = String::from_utf8_lossy(&shown_one.stdout);
    for part in ["sent to T", "stored at", "consuming", "consumed"] {
        assert!(text.contains(part), "no `{part}` in:\n{text}{}", String::from_utf8_lossy(&shown_one.stderr));
    }
    assert_eq!(shown("unknown".into()).status.code(), Some(1));
    client.shutdown().await;
    cluster.shutdown().await;
}
