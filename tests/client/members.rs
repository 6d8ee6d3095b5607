//! Members of groups: who subscribes, who broadcasts, who reads by itself; actors that listen.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::prelude::*;
use actormq::client::{
    Client, ClientError, ClientOptions, Delivery, MessageModel, Outcome, PullOptions, PushOptions, ReceivedMessage,
    Retry, StartFrom, ToActor, YoungTopics,
};
use futures_util::{StreamExt, TryStreamExt};

use crate::cluster::{Cluster, PULL};
use crate::{Inbox, SOON, bodies, client, from_first};

fn store(cluster: &Cluster, range: std::ops::Range<u32>) {
    range.for_each(|n| _ = cluster.store("a", "T", n % 4, &format!("m{n}"), ""));
}

fn pull_options() -> PullOptions {
    let hold = Duration::from_millis(100);
    PullOptions { hold, start_from: StartFrom::First, ..PullOptions::new("g") }
}

fn texts(messages: &[ReceivedMessage]) -> BTreeSet<String> {
    messages.iter().map(|message| String::from_utf8_lossy(&message.body).into_owned()).collect()
}

#[tokio::test]
async fn pull_consumers_that_subscribe_share_and_hand_over() {
    let cluster = Cluster::start(&["a"], &[("T", 4)]).await;
    store(&cluster, 0..40);
    let (one, two) = (client(&cluster).await, client(&cluster).await);
    let mut first = one.pull_consumer_with(pull_options()).await.unwrap();
    first.subscribe("T", "*").await.unwrap();
    let mut seen = BTreeSet::new();
    while seen.len() < 40 {
        seen.extend(texts(&first.poll(SOON).await.unwrap()));
    }
    assert_eq!((seen, first.queues().len()), (bodies(0..40), 4));
    first.commit().await.unwrap();
    let mut second = two.pull_consumer_with(pull_options()).await.unwrap();
    second.subscribe("T", "*").await.unwrap();
    while first.queues().len() != 2 || second.queues().len() != 2 {
        assert!(first.poll(Duration::from_millis(20)).await.unwrap().is_empty());
        second.poll(Duration::from_millis(20)).await.unwrap();
    }
    store(&cluster, 40..80);
    let (mut of_first, mut of_second) = (BTreeSet::new(), BTreeSet::new());
    while of_first.len() + of_second.len() < 40 {
        of_first.extend(texts(&first.poll(Duration::from_millis(20)).await.unwrap()));
        of_second.extend(texts(&second.poll(Duration::from_millis(20)).await.unwrap()));
    }
    assert_eq!(of_first.len(), 20);
    assert_eq!(of_first.union(&of_second).cloned().collect::<BTreeSet<_>>(), bodies(40..80), "nothing comes again");
    first.shutdown().await.unwrap();
    while second.queues().len() != 4 {
        second.poll(Duration::from_millis(20)).await.unwrap();
    }
    store(&cluster, 80..90);
    let mut last = BTreeSet::new();
    while last.len() < 10 {
        last.extend(texts(&second.poll(SOON).await.unwrap()));
    }
    assert_eq!(last, bodies(80..90), "the first committed what it was given");
    let queue = second.queues()[0].clone();
    let error = second.assign(&[queue], "*".into()).await.unwrap_err();
    assert!(error.to_string().contains("either subscribes or is assigned"), "{error}");
    second.unsubscribe("T").await.unwrap();
    cluster
        .until("the queues are committed", |c| {
            (0..4).all(|q| c.committed("g", "a", "T", q) == Some(c.end("a", "T", q)))
        })
        .await;
}

#[tokio::test]
async fn what_a_pull_consumer_was_given_is_committed_when_it_asks_for_more() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    (0..3).for_each(|n| _ = cluster.store("a", "T", 0, &format!("m{n}"), ""));
    let client = client(&cluster).await;
    let auto_commit = Some(Duration::from_millis(20));
    let mut consumer = client.pull_consumer_with(PullOptions { auto_commit, ..pull_options() }).await.unwrap();
    consumer.subscribe("T", "*").await.unwrap();
    let messages: Vec<_> = consumer.stream().take(2).try_collect().await.unwrap();
    assert_eq!(texts(&messages), bodies(0..2));
    cluster.until("the first is committed", |cluster| cluster.committed("g", "a", "T", 0) == Some(1)).await;
    assert_eq!(&consumer.next().await.unwrap().body[..], b"m2");
    cluster.until("the second is committed", |cluster| cluster.committed("g", "a", "T", 0) == Some(2)).await;
    consumer.shutdown().await.unwrap();
    assert_eq!(cluster.committed("g", "a", "T", 0), Some(3), "an orderly end commits what was given");
}

#[tokio::test]
async fn a_paused_queue_gives_nothing_and_is_not_asked() {
    let cluster = Cluster::start(&["a"], &[("T", 2)]).await;
    let client = client(&cluster).await;
    let mut consumer = client.pull_consumer_with(pull_options()).await.unwrap();
    let queues = client.queues("T").await.unwrap();
    consumer.assign(&queues, "*".into()).await.unwrap();
    consumer.pause(&queues[0]).unwrap();
    assert!(consumer.poll(Duration::from_millis(150)).await.unwrap().is_empty());
    cluster.store("a", "T", 0, "m0", "");
    cluster.store("a", "T", 1, "m1", "");
    assert_eq!(texts(&consumer.poll(SOON).await.unwrap()), bodies(1..2));
    let asked = |cluster: &Cluster| {
        let of_first = |fields: &std::collections::HashMap<String, String>| fields["queueId"] == "0";
        cluster.with(|state| state.seen.iter().filter(|(_, code, fields)| *code == PULL && of_first(fields)).count())
    };
    let before = asked(&cluster);
    assert!(consumer.poll(Duration::from_millis(250)).await.unwrap().is_empty());
    assert_eq!(asked(&cluster), before);
    consumer.resume(&queues[0]).unwrap();
    assert_eq!(texts(&consumer.poll(SOON).await.unwrap()), bodies(0..1));
    consumer.pause(&queues[0]).unwrap();
    consumer.shutdown().await.unwrap();
}

#[tokio::test]
async fn broadcasting_reaches_every_member_and_offsets_are_kept_in_a_file() {
    let cluster = Cluster::start(&["a"], &[("T", 4)]).await;
    store(&cluster, 0..20);
    let directory = tempfile::tempdir().unwrap();
    let start = async |instance: &str, inbox: &Inbox| {
        let options = ClientOptions { instance: Some(instance.into()), ..ClientOptions::new(&cluster.name_server) };
        let client = Client::connect(options).await.unwrap();
        let model = MessageModel::Broadcasting { directory: Some(directory.path().to_owned()) };
        (inbox.start(&client, PushOptions { model, ..from_first("g") }).await, client)
    };
    let (one, two) = (Inbox::default(), Inbox::default());
    let (first, one_client) = start("one", &one).await;
    let (second, _two_client) = start("two", &two).await;
    cluster.until("both have all", |_| one.set() == bodies(0..20) && two.set() == bodies(0..20)).await;
    assert_eq!((first.queues().await.unwrap().len(), second.queues().await.unwrap().len()), (4, 4));
    first.shutdown().await.unwrap();
    one_client.shutdown().await;
    assert!((0..4).all(|queue| cluster.committed("g", "a", "T", queue).is_none()), "brokers are told nothing");
    let files: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let file = files.iter().find(|path| path.to_string_lossy().ends_with("@one")).unwrap().join("g/offsets.json");
    assert!(std::fs::read_to_string(&file).unwrap().contains("offsetTable"));
    store(&cluster, 20..30);
    let again = Inbox::default();
    let (first, _one_client) = start("one", &again).await;
    cluster.until("what came since", |_| again.set() == bodies(20..30) && two.set() == bodies(0..30)).await;
    assert_eq!((again.len(), two.len()), (10, 30), "nothing comes twice");
    first.shutdown().await.unwrap();
    second.shutdown().await.unwrap();
}

/// Gives its first delivery back.
struct Ears {
    heard: Arc<Mutex<BTreeSet<String>>>,
    deliveries: usize,
}

impl Actor for Ears {
    type Context = Context<Self>;
}

impl Handler<Delivery> for Ears {
    type Result = Outcome;

    fn handle(&mut self, Delivery(batch): Delivery, _: &mut Context<Self>) -> Outcome {
        self.deliveries += 1;
        if self.deliveries == 1 {
            return Outcome::Later;
        }
        self.heard.lock().unwrap().extend(texts(&batch));
        Outcome::Consumed
    }
}

#[actix::test]
async fn an_actor_listens() {
    let cluster = Cluster::start(&["a"], &[("T", 4)]).await;
    store(&cluster, 0..50);
    let client = client(&cluster).await;
    let heard = Arc::new(Mutex::new(BTreeSet::new()));
    let ears = Ears { heard: Arc::clone(&heard), deliveries: 0 }.start();
    let options = PushOptions {
        retry: Retry { delay: Duration::from_millis(10), ..Retry::default() },
        consume_batch: 7,
        ..from_first("g")
    };
    let builder = client.push_consumer(options).subscribe("T", "*");
    let consumer = builder.start(ToActor(ears.recipient())).await.unwrap();
    cluster.until("all messages", |_| *heard.lock().unwrap() == bodies(0..50)).await;
    consumer.shutdown().await.unwrap();
    let ends: i64 = (0..4).map(|queue| cluster.committed("g", "a", "T", queue).unwrap()).sum();
    assert_eq!(ends, 50);
}

#[tokio::test]
async fn topics_come_and_go_while_a_consumer_runs() {
    let cluster = Cluster::start(&["a"], &[("T", 1), ("U", 1)]).await;
    let client = client(&cluster).await;
    let inbox = Inbox::default();
    let consumer = inbox.start(&client, from_first("g")).await;
    cluster.store("a", "T", 0, "m0", "");
    cluster.until("the first topic", |_| inbox.set() == bodies(0..1)).await;
    cluster.store("a", "U", 0, "m1", "TAGS\u{1}yes\u{2}");
    cluster.store("a", "U", 0, "m2", "TAGS\u{1}no\u{2}");
    consumer.subscribe("U", "yes").await.unwrap();
    cluster.until("the second topic", |_| inbox.set() == bodies(0..2)).await;
    let told = |cluster: &Cluster| {
        let topics = |beat: &actormq::protocol::body::clients::HeartbeatData| {
            beat.consumer_data_set.iter().flat_map(|c| &c.subscription_data_set).any(|s| s.topic == "U")
        };
        cluster.with(|state| state.heartbeats.last().is_some_and(topics))
    };
    assert!(told(&cluster), "brokers know what the group wants");
    consumer.unsubscribe("T").await.unwrap();
    while consumer.queues().await.unwrap().iter().any(|queue| &*queue.topic == "T") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    cluster.until("the last offset", |cluster| cluster.committed("g", "a", "T", 0) == Some(1)).await;
    consumer.subscribe("U", "no").await.unwrap();
    cluster.store("a", "U", 0, "m3", "TAGS\u{1}no\u{2}");
    cluster.store("a", "U", 0, "m4", "TAGS\u{1}yes\u{2}");
    cluster.until("by the new filter", |_| inbox.set().contains("m3")).await;
    assert!(!inbox.set().contains("m4"));
    consumer.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_consumer_begins_at_a_time_and_a_topic_may_come_later() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    let client = client(&cluster).await;
    let options = PushOptions { start_from: StartFrom::Time(7), young_topics: YoungTopics::AsAsked, ..from_first("g") };
    let inbox = Inbox::default();
    let seen = inbox.clone();
    let listener = move |batch: Vec<ReceivedMessage>| {
        seen.put(&batch);
        async { Outcome::Consumed }
    };
    let consumer = client.push_consumer(options).subscribe("Late", "*").start(listener).await.unwrap();
    assert!(matches!(client.queues("Late").await, Err(ClientError::TopicNotFound { .. })));
    cluster.add_topic("Late", 1);
    cluster.store("a", "Late", 0, "m0", "");
    cluster.until("the topic's first message", |_| inbox.set() == bodies(0..1)).await;
    let asked = cluster.with(|state| {
        state.seen.iter().find(|(_, code, _)| *code == 29).map(|(_, _, fields)| fields["timestamp"].clone())
    });
    assert_eq!(asked.as_deref(), Some("7"));
    consumer.shutdown().await.unwrap();
}
