//! The client library against a cluster made by hand, over real sockets.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actormq::client::{
    Client, ClientError, ClientOptions, FlowLimits, Message, MessageQueue, Outcome, ProducerOptions, PullOptions,
    PushConsumer, PushOptions, ReceivedMessage, StartFrom, Target,
};
use tokio::io::{AsyncBufReadExt, BufReader};

#[path = "client/cluster.rs"]
mod cluster;
use cluster::{Cluster, Fault, HEARTBEAT, PULL, ROUTE, SEND, UNREGISTER};

const SOON: Duration = Duration::from_secs(20);

async fn client(cluster: &Cluster) -> Client {
    Client::connect(ClientOptions::new(&cluster.name_server)).await.unwrap()
}

/// Bodies in the order in which a listener got them.
#[derive(Clone, Default)]
struct Inbox(Arc<Mutex<Vec<String>>>);

impl Inbox {
    fn put(&self, batch: &[ReceivedMessage]) {
        let bodies = batch.iter().map(|message| String::from_utf8_lossy(&message.body).into_owned());
        self.0.lock().unwrap().extend(bodies);
    }

    fn set(&self) -> BTreeSet<String> {
        self.0.lock().unwrap().iter().cloned().collect()
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    async fn start(&self, client: &Client, options: PushOptions) -> PushConsumer {
        let inbox = self.clone();
        let listener = move |batch: Vec<ReceivedMessage>| {
            inbox.put(&batch);
            async { Outcome::Consumed }
        };
        client.push_consumer(options).subscribe("T", "*").start(listener).await.unwrap()
    }
}

fn from_first(group: &str) -> PushOptions {
    PushOptions { start_from: StartFrom::First, ..PushOptions::new(group) }
}

fn bodies(range: std::ops::Range<u32>) -> BTreeSet<String> {
    range.map(|n| format!("m{n}")).collect()
}

// ---- producers

#[tokio::test]
async fn sends_go_round_all_queues_and_keys_stay_with_theirs() {
    let cluster = Cluster::start(&["a", "b"], &[("T", 4)]).await;
    let client = client(&cluster).await;
    let producer = client.producer("p").await.unwrap();
    let mut queues = BTreeSet::new();
    for _ in 0..8 {
        let receipt = producer.send(Message::new("T", "hello").tag("t").key("k")).await.unwrap();
        assert!(receipt.message_id.len() >= 32);
        queues.insert(receipt.queue);
    }
    assert_eq!(queues.len(), 8);
    let chosen = MessageQueue::new("T", "b", 2);
    let receipt = producer.send_to(Message::new("T", "x"), Target::Queue(&chosen)).await.unwrap();
    assert_eq!((receipt.queue, receipt.queue_offset), (chosen, 1));
    let mut by_key = BTreeSet::new();
    for _ in 0..3 {
        by_key.insert(producer.send_to(Message::new("T", "x"), Target::Key("order-7")).await.unwrap().queue);
    }
    assert_eq!(by_key.len(), 1);
    let last = producer.send_to(Message::new("T", "x"), Target::Select(|queues| queues.len() - 1)).await.unwrap();
    assert_eq!(last.queue, MessageQueue::new("T", "b", 3));
    producer.shutdown().await.unwrap();
    assert_eq!(cluster.count("a", UNREGISTER), 1);
    client.shutdown().await;
}

#[tokio::test]
async fn many_sends_are_under_way_at_once() {
    let cluster = Cluster::start(&["a"], &[("T", 4)]).await;
    let client = client(&cluster).await;
    let producer = client.producer("p").await.unwrap();
    let sends = (0..500).map(|n| producer.send(Message::new("T", format!("m{n}"))));
    let receipts = futures_util::future::join_all(sends).await;
    let ids: BTreeSet<_> = receipts.into_iter().map(|receipt| receipt.unwrap().message_id).collect();
    assert_eq!((ids.len(), cluster.stored("T")), (500, 500));
    assert_eq!(cluster.count("namesrv", ROUTE), 1, "one question, however many wait for the route");
}

#[tokio::test]
async fn batches_and_oneway_sends_arrive() {
    let cluster = Cluster::start(&["a"], &[("T", 4)]).await;
    let client = client(&cluster).await;
    let producer = client.producer("p").await.unwrap();
    let messages: Vec<_> = (0..10).map(|n| Message::new("T", format!("m{n}"))).collect();
    let receipts = producer.send_batch(&messages).await.unwrap();
    assert_eq!(receipts.len(), 1);
    assert_eq!(receipts[0].message_id.split(',').count(), 10);
    producer.send_oneway(Message::new("T", "x")).await.unwrap();
    cluster.until("the oneway message is stored", |cluster| cluster.stored("T") == 11).await;
}

#[tokio::test]
async fn another_broker_takes_what_one_does_not() {
    for fault in [Fault::Refuse(2), Fault::Refuse(14), Fault::Close, Fault::Garbage, Fault::Oversized] {
        let cluster = Cluster::start(&["a", "b"], &[("T", 2)]).await;
        cluster.fault("a", SEND, Some(fault));
        let client = client(&cluster).await;
        let producer = client.producer("p").await.unwrap();
        for _ in 0..4 {
            let receipt = producer.send(Message::new("T", "x")).await.unwrap();
            assert_eq!(&*receipt.queue.broker, "b", "{fault:?}");
        }
        assert!(cluster.count("a", SEND) > 0, "{fault:?}");
        let to_a = MessageQueue::new("T", "a", 0);
        let refused = producer.send_to(Message::new("T", "x"), Target::Queue(&to_a)).await;
        assert!(refused.is_err(), "a chosen queue is never another");
    }
}

#[tokio::test]
async fn a_refusal_that_stands_is_not_tried_again() {
    let cluster = Cluster::start(&["a", "b"], &[("T", 2)]).await;
    cluster.fault("a", SEND, Some(Fault::Refuse(13)));
    cluster.fault("b", SEND, Some(Fault::Refuse(13)));
    let client = client(&cluster).await;
    let error = client.producer("p").await.unwrap().send(Message::new("T", "x")).await.unwrap_err();
    assert!(matches!(&error, ClientError::Refused { code: 13, remark, .. } if remark == "said so"), "{error}");
    assert!(error.to_string().contains("MESSAGE_ILLEGAL"), "{error}");
    assert_eq!(cluster.count("a", SEND) + cluster.count("b", SEND), 1);
}

#[tokio::test]
async fn the_timeout_is_for_the_whole_send() {
    let cluster = Cluster::start(&["a"], &[("T", 2)]).await;
    cluster.fault("a", SEND, Some(Fault::Silence));
    let client = client(&cluster).await;
    let send_timeout = Duration::from_millis(300);
    let producer = client.producer_with(ProducerOptions { send_timeout, ..ProducerOptions::new("p") }).await.unwrap();
    let begun = Instant::now();
    let error = producer.send(Message::new("T", "x")).await.unwrap_err();
    assert!(error.is_unreachable() && begun.elapsed() < Duration::from_secs(2), "{error} {:?}", begun.elapsed());
    cluster.fault("a", SEND, None);
    assert!(producer.send(Message::new("T", "x")).await.is_ok(), "a late or missing answer spoils nothing");
}

#[tokio::test]
async fn a_topic_that_is_not_there() {
    let cluster = Cluster::start(&["a"], &[]).await;
    let client = client(&cluster).await;
    let producer = client.producer("p").await.unwrap();
    let error = producer.send(Message::new("new", "x")).await.unwrap_err();
    assert!(matches!(&error, ClientError::TopicNotFound { topic } if topic == "new"), "{error}");
    cluster.add_topic("TBW102", 8);
    let queues: BTreeSet<_> = producer.queues("new").await.unwrap().iter().map(|queue| queue.queue).collect();
    assert_eq!(queues, BTreeSet::from([0, 1, 2, 3]));
    assert!(producer.send(Message::new("new", "x")).await.is_ok());
}

#[tokio::test]
async fn the_next_name_server_answers_when_one_does_not() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    let dead = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let garbage = Cluster::start(&[], &[]).await;
    garbage.fault("namesrv", ROUTE, Some(Fault::Garbage));
    let addresses = format!("{dead};{};{}", garbage.name_server, cluster.name_server);
    for _ in 0..8 {
        let client = Client::connect(ClientOptions::new(&addresses)).await.unwrap();
        let producer = client.producer("p").await.unwrap();
        assert!(producer.send(Message::new("T", "x")).await.is_ok());
    }
    let none = Client::connect(ClientOptions::new(&dead.to_string())).await.unwrap();
    let error = none.producer("p").await.unwrap().send(Message::new("T", "x")).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("no name server answers at {dead}: is it running?")), "{error}");
}

// ---- consumers

#[tokio::test]
async fn two_clients_share_and_hand_over_without_loss() {
    let cluster = Cluster::start(&["a", "b"], &[("T", 4)]).await;
    (0..200).for_each(|n| _ = cluster.store(["a", "b"][n % 2], "T", n as u32 / 2 % 4, &format!("m{n}"), ""));
    let (one, two) = (client(&cluster).await, client(&cluster).await);
    let inbox = Inbox::default();
    let first = inbox.start(&one, from_first("g")).await;
    cluster.until("the first consumer has everything", |_| inbox.set() == bodies(0..200)).await;
    let second = inbox.start(&two, from_first("g")).await;
    let shares = async || (first.queues().await.unwrap(), second.queues().await.unwrap());
    while shares().await.1.len() != 4 || shares().await.0.len() != 4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (mine, yours) = shares().await;
    assert_eq!(mine.iter().chain(&yours).collect::<BTreeSet<_>>().len(), 8);
    (200..400).for_each(|n| _ = cluster.store(["a", "b"][n % 2], "T", n as u32 / 2 % 4, &format!("m{n}"), ""));
    cluster.until("both have everything", |_| inbox.set() == bodies(0..400)).await;
    first.shutdown().await.unwrap();
    (400..500).for_each(|n| _ = cluster.store(["a", "b"][n % 2], "T", n as u32 / 2 % 4, &format!("m{n}"), ""));
    cluster.until("the second took over", |_| inbox.set() == bodies(0..500)).await;
    second.shutdown().await.unwrap();
    for (broker, queue) in ["a", "b"].into_iter().flat_map(|broker| (0..4).map(move |queue| (broker, queue))) {
        let ends = cluster.committed("g", broker, "T", queue).unwrap();
        assert_eq!(ends, cluster.end(broker, "T", queue), "{broker}/{queue}");
    }
    assert!(inbox.len() < 600, "{} deliveries of 500 messages", inbox.len());
    assert_eq!(cluster.members("g"), 0);
}

#[tokio::test]
async fn brokers_know_a_consumer_before_its_first_pull() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    let client = client(&cluster).await;
    let consumer = Inbox::default().start(&client, from_first("g")).await;
    cluster.until("a pull", |cluster| cluster.count("a", PULL) > 0).await;
    let order: Vec<_> = cluster.with(|state| state.seen.iter().map(|(_, code, _)| *code).collect());
    let first = |code| order.iter().position(|seen| *seen == code).unwrap();
    assert!(first(HEARTBEAT) < first(PULL), "{order:?}");
    let beat = cluster.with(|state| state.heartbeats[0].clone());
    let topics: Vec<_> = beat.consumer_data_set[0].subscription_data_set.iter().map(|s| s.topic.clone()).collect();
    assert_eq!((topics, beat.client_id.as_str()), (vec!["%RETRY%g".to_owned(), "T".to_owned()], client.id()));
    assert!(beat.heartbeat_fingerprint != 0);
    consumer.shutdown().await.unwrap();
    assert_eq!(cluster.count("a", UNREGISTER), 1);
}

#[tokio::test]
async fn later_heartbeats_are_brief_where_the_broker_offers_it() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    let heartbeat_interval = Duration::from_millis(30);
    let options = ClientOptions { heartbeat_interval, ..ClientOptions::new(&cluster.name_server) };
    let client = Client::connect(options).await.unwrap();
    let _consumer = Inbox::default().start(&client, from_first("g")).await;
    let brief = |cluster: &Cluster| cluster.with(|state| state.heartbeats.iter().any(|beat| beat.without_sub));
    cluster.until("a brief heartbeat", brief).await;
    cluster.cut("a");
    let beats = cluster.with(|state| state.heartbeats.len());
    let full_again = |cluster: &Cluster| {
        cluster.with(|state| state.heartbeats[beats..].first().is_some_and(|beat| !beat.without_sub))
    };
    cluster.until("a full one on the new connection", full_again).await;
}

#[tokio::test]
async fn consuming_goes_on_when_connections_break() {
    let cluster = Cluster::start(&["a"], &[("T", 2)]).await;
    let client = client(&cluster).await;
    let inbox = Inbox::default();
    let _consumer = inbox.start(&client, from_first("g")).await;
    for round in 0..3 {
        (round * 10..round * 10 + 10).for_each(|n| _ = cluster.store("a", "T", n % 2, &format!("m{n}"), ""));
        cluster.until("the round's messages", |_| inbox.set() == bodies(0..round * 10 + 10)).await;
        cluster.cut("a");
    }
}

#[tokio::test]
async fn broken_answers_to_pulls_are_survived() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    cluster.fault("a", PULL, Some(Fault::Garbage));
    let client = client(&cluster).await;
    let inbox = Inbox::default();
    let _consumer = inbox.start(&client, from_first("g")).await;
    cluster.store("a", "T", 0, "m0", "");
    for fault in [Fault::Garbage, Fault::Oversized, Fault::Close, Fault::Refuse(1), Fault::Refuse(215)] {
        cluster.fault("a", PULL, Some(fault));
        let before = cluster.count("a", PULL);
        cluster.until("a pull meets the fault", |cluster| cluster.count("a", PULL) > before).await;
    }
    cluster.fault("a", PULL, None);
    cluster.until("the message", |_| inbox.set() == bodies(0..1)).await;
}

#[tokio::test]
async fn what_a_listener_panics_over_or_gives_back_comes_again() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    (0..3).for_each(|n| _ = cluster.store("a", "T", 0, &format!("m{n}"), ""));
    let client = client(&cluster).await;
    let calls = Arc::new(AtomicUsize::new(0));
    let (inbox, counted) = (Inbox::default(), Arc::clone(&calls));
    let seen = inbox.clone();
    let listener = move |batch: Vec<ReceivedMessage>| {
        let call = counted.fetch_add(1, Ordering::Relaxed);
        let inbox = seen.clone();
        async move {
            assert!(call != 0, "the first call panics");
            if call == 1 {
                return Outcome::Later;
            }
            inbox.put(&batch);
            Outcome::Consumed
        }
    };
    let options = PushOptions { retry_delay: Duration::from_millis(50), concurrency: 1, ..from_first("g") };
    let consumer = client.push_consumer(options).subscribe("T", "*").start(listener).await.unwrap();
    cluster.until("all messages", |_| inbox.set() == bodies(0..3)).await;
    assert_eq!(calls.load(Ordering::Relaxed), 5);
    consumer.shutdown().await.unwrap();
    assert_eq!(cluster.committed("g", "a", "T", 0), Some(3));
}

#[tokio::test]
async fn a_listener_that_hangs_is_left_behind_at_shutdown_and_its_message_stays() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    (0..5).for_each(|n| _ = cluster.store("a", "T", 0, &format!("m{n}"), ""));
    let client = client(&cluster).await;
    let inbox = Inbox::default();
    let seen = inbox.clone();
    let listener = move |batch: Vec<ReceivedMessage>| {
        let inbox = seen.clone();
        async move {
            if &batch[0].body[..] == b"m2" {
                std::future::pending::<()>().await;
            }
            inbox.put(&batch);
            Outcome::Consumed
        }
    };
    let options = PushOptions { patience: Duration::from_millis(50), concurrency: 2, ..from_first("g") };
    let consumer = client.push_consumer(options).subscribe("T", "*").start(listener).await.unwrap();
    cluster.until("the others are consumed", |_| inbox.len() == 4).await;
    consumer.shutdown().await.unwrap();
    assert_eq!(cluster.committed("g", "a", "T", 0), Some(2));
}

#[tokio::test]
async fn pulling_pauses_while_the_listener_is_behind() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    (0..1000).for_each(|n| _ = cluster.store("a", "T", 0, &format!("m{n}"), ""));
    let client = client(&cluster).await;
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let (inbox, passes) = (Inbox::default(), Arc::clone(&gate));
    let seen = inbox.clone();
    let listener = move |batch: Vec<ReceivedMessage>| {
        let (inbox, passes) = (seen.clone(), Arc::clone(&passes));
        async move {
            passes.acquire().await.unwrap().forget();
            inbox.put(&batch);
            Outcome::Consumed
        }
    };
    let flow = FlowLimits { messages: 40, ..FlowLimits::default() };
    let options = PushOptions { flow, pull_batch: 8, ..from_first("g") };
    let consumer = client.push_consumer(options).subscribe("T", "*").start(listener).await.unwrap();
    cluster.until("the backlog is full", |cluster| cluster.with(|state| state.pulled_messages) >= 40).await;
    gate.add_permits(10);
    cluster.until("ten went through", |_| inbox.len() == 10).await;
    let pulled = cluster.with(|state| state.pulled_messages);
    assert!(pulled <= 40 + 10 + 8, "{pulled} messages were pulled for a backlog of 40");
    gate.add_permits(10_000);
    cluster.until("all went through", |_| inbox.set() == bodies(0..1000)).await;
    consumer.suspend();
    cluster.store("a", "T", 0, "m1000", "");
    consumer.resume();
    cluster.until("the last one", |_| inbox.set() == bodies(0..1001)).await;
}

#[tokio::test]
async fn a_group_begins_where_it_committed_or_where_it_is_told() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    (0..10).for_each(|n| _ = cluster.store("a", "T", 0, &format!("m{n}"), ""));
    let client = client(&cluster).await;
    cluster.commit("committed", "a", "T", 0, 7);
    let inbox = Inbox::default();
    let consumer = inbox.start(&client, from_first("committed")).await;
    cluster.until("what is left", |_| inbox.set() == bodies(7..10)).await;
    consumer.shutdown().await.unwrap();
    let inbox = Inbox::default();
    let consumer = inbox.start(&client, PushOptions::new("last")).await;
    cluster.until("a pull at the end", |cluster| cluster.pulled_at("last", "10")).await;
    cluster.store("a", "T", 0, "m10", "");
    cluster.until("the new message", |_| inbox.set() == bodies(10..11)).await;
    let taken = client.push_consumer(from_first("last")).subscribe("T", "*");
    let taken = taken.start(|_| async { Outcome::Consumed }).await;
    assert!(matches!(taken, Err(ClientError::GroupTaken { .. })));
    drop(consumer);
    cluster.until("a dropped consumer leaves", |cluster| cluster.members("last") == 0).await;
}

#[tokio::test]
async fn tags_that_share_a_hash_are_told_apart() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    for (n, tag) in ["Aa", "BB", "x"].into_iter().enumerate() {
        cluster.store("a", "T", 0, &format!("m{n}"), &format!("TAGS\u{1}{tag}\u{2}"));
    }
    let client = client(&cluster).await;
    let inbox = Inbox::default();
    let seen = inbox.clone();
    let listener = move |batch: Vec<ReceivedMessage>| {
        seen.put(&batch);
        async { Outcome::Consumed }
    };
    let consumer = client.push_consumer(from_first("g")).subscribe("T", "Aa || x").start(listener).await.unwrap();
    cluster.until("both wanted", |_| inbox.set() == BTreeSet::from(["m0".to_owned(), "m2".to_owned()])).await;
    consumer.shutdown().await.unwrap();
    assert_eq!(cluster.committed("g", "a", "T", 0), Some(3), "what was not wanted counts as consumed");
}

#[tokio::test]
async fn a_pull_consumer_reads_what_it_is_told() {
    let cluster = Cluster::start(&["a"], &[("T", 2)]).await;
    (0..40).for_each(|n| _ = cluster.store("a", "T", 0, &format!("m{n}"), ""));
    let client = client(&cluster).await;
    let queues = client.queues("T").await.unwrap();
    let hold = Duration::from_millis(200);
    let mut consumer = client.pull_consumer_with(PullOptions { hold, ..PullOptions::new("g") }).await.unwrap();
    consumer.assign(&queues, "*".into()).await.unwrap();
    let first = consumer.poll(SOON).await.unwrap();
    assert_eq!((first.len(), first[0].queue_offset, consumer.position(&queues[0])), (32, 0, Some(32)));
    assert_eq!(consumer.committed(&queues[0]).await.unwrap(), None);
    consumer.commit().await.unwrap();
    assert_eq!(consumer.committed(&queues[0]).await.unwrap(), Some(32));
    // A dropped poll loses nothing.
    assert_eq!(consumer.poll(SOON).await.unwrap().len(), 8);
    assert!(tokio::time::timeout(Duration::from_millis(20), consumer.poll(SOON)).await.is_err());
    cluster.store("a", "T", 0, "m40", "");
    assert_eq!(consumer.poll(SOON).await.unwrap().len(), 1);
    assert!(consumer.poll(Duration::from_millis(20)).await.unwrap().is_empty());
    consumer.seek(&queues[0], 38).unwrap();
    let again: Vec<_> = consumer.poll(SOON).await.unwrap().iter().map(|message| message.queue_offset).collect();
    assert_eq!(again, [38, 39, 40]);
    consumer.seek(&queues[0], 99).unwrap();
    assert!(consumer.poll(Duration::from_millis(100)).await.unwrap().is_empty());
    assert_eq!(consumer.position(&queues[0]), Some(41), "the broker says where the queue ends");
    let (min, max) = (consumer.min_offset(&queues[0]).await.unwrap(), consumer.max_offset(&queues[0]).await.unwrap());
    assert_eq!((min, max), (0, 41));
    consumer.assign(&queues[1..], "*".into()).await.unwrap();
    assert!(matches!(consumer.seek(&queues[0], 0), Err(ClientError::NotAssigned { .. })));
    cluster.store("a", "T", 1, "late", "");
    assert_eq!(&consumer.poll(SOON).await.unwrap()[0].body[..], b"late");
    consumer.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_client_that_is_dropped_closes_its_connections() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    let client = client(&cluster).await;
    let producer = client.producer("p").await.unwrap();
    producer.send(Message::new("T", "x")).await.unwrap();
    drop(client);
    assert!(producer.send(Message::new("T", "x")).await.is_ok(), "the producer keeps it alive");
    drop(producer);
    cluster.until("the connection is closed", |cluster| cluster.open_connections("a") == 0).await;
}

#[actix::test]
async fn clients_work_within_actix_too() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    let client = client(&cluster).await;
    let inbox = Inbox::default();
    let consumer = inbox.start(&client, from_first("g")).await;
    let producer = client.producer("p").await.unwrap();
    producer.send(Message::new("T", "m0")).await.unwrap();
    cluster.until("the message", |_| inbox.set() == bodies(0..1)).await;
    consumer.shutdown().await.unwrap();
    client.shutdown().await;
    let error = producer.send(Message::new("T", "x")).await.unwrap_err();
    assert!(matches!(error, ClientError::ShutDown | ClientError::Channel(_)), "{error}");
}

#[test]
fn public_types_may_cross_threads() {
    fn crosses<T: Send + Sync>() {}
    crosses::<Client>();
    crosses::<actormq::client::Producer>();
    crosses::<actormq::client::PullConsumer>();
    crosses::<PushConsumer>();
    crosses::<ReceivedMessage>();
    crosses::<ClientError>();
}

// ---- the command line

async fn call(cluster: &Cluster, words: &[&str]) -> (i32, String, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_actormq"));
    command.args(words).args(["-n", &cluster.name_server]).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn a_message_goes_through_the_shell() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    let words = ["send", "--topic", "T", "--body", "hello", "--tag", "t", "--key", "k", "--count", "3"];
    let (status, out, _) = call(&cluster, &words).await;
    assert_eq!((status, out.lines().count()), (0, 3), "{out}");
    assert!(out.contains("T a/0 offset 0"), "{out}");
    let (status, out, _) = call(&cluster, &["consume", "--topic", "T", "--group", "g", "--json", "--count", "2"]).await;
    let lines: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((status, lines.len()), (0, 2));
    let first = &lines[0];
    assert_eq!((&first["topic"], &first["brokerName"], &first["body"]), (&"T".into(), &"a".into(), &"hello".into()));
    assert_eq!((&first["queueId"], &first["queueOffset"]), (&0.into(), &0.into()));
    assert_eq!((&first["tags"], &first["keys"], &first["reconsumeTimes"]), (&"t".into(), &"k".into(), &0.into()));
    assert_eq!(first["properties"]["UNIQ_KEY"], first["msgId"]);
    assert_eq!(cluster.committed("g", "a", "T", 0), Some(2), "only what was printed");
    let (status, out, _) = call(&cluster, &["consume", "--topic", "T", "--group", "g"]).await;
    assert_eq!((status, out.lines().count()), (0, 1), "the rest, and no waiting");
    assert!(out.contains("a/0 offset 2  tag t  keys k  hello"), "{out}");
}

#[tokio::test]
async fn statuses_tell_what_happened() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    let (status, _, error) = call(&cluster, &["send", "--topic", "nope", "--body", "x"]).await;
    assert_eq!(status, 1);
    assert!(error.contains("topic nope does not exist"), "{error}");
    let (status, ..) =
        call(&cluster, &["consume", "--topic", "T", "--group", "g", "--count", "1", "--timeout", "0.2"]).await;
    assert_eq!(status, 3);
    let (status, ..) = call(&cluster, &["send", "--topic", "T", "--body", "x", "--queue", "7"]).await;
    assert_eq!(status, 1);
    let (status, ..) = call(&cluster, &["send", "--topic", "a b", "--body", "x"]).await;
    assert_eq!(status, 2);
    let (status, ..) = call(&cluster, &["consume", "--topic", "T"]).await;
    assert_eq!(status, 2);
    let nobody = cluster.behind("127.0.0.1:1");
    let (status, _, error) = call(&nobody, &["send", "--topic", "T", "--body", "x"]).await;
    assert_eq!(status, 3);
    let advice = "no name server answers at 127.0.0.1:1: is it running? start one with `actormq standalone`";
    assert!(error.contains(advice), "{error}");
}

#[tokio::test]
async fn lines_of_standard_input_are_messages_and_following_waits_for_them() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    let start = |words: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_actormq"));
        command.args(words).args(["-n", &cluster.name_server]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
    };
    let mut follower = start(&["consume", "--topic", "T", "--group", "g", "--follow"]);
    cluster.until("the follower pulls", |cluster| cluster.count("a", PULL) > 0).await;
    let mut sender = start(&["send", "--topic", "T", "-"]);
    std::io::Write::write_all(&mut sender.stdin.take().unwrap(), b"one\n\ntwo\r\nthree").unwrap();
    let pipe = std::os::fd::OwnedFd::from(follower.stdout.take().unwrap());
    let mut lines = BufReader::new(tokio::net::unix::pipe::Receiver::from_owned_fd(pipe).unwrap()).lines();
    for body in ["one", "two", "three"] {
        let line = lines.next_line().await.unwrap().unwrap();
        assert!(line.ends_with(body), "{line}");
    }
    follower.kill().unwrap();
    follower.wait().unwrap();
    assert!(sender.wait().unwrap().success());
}
