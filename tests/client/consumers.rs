//! Consuming from a cluster that breaks connections, with listeners that fail.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use actormq::client::{
    Client, ClientError, ClientOptions, FlowLimits, Message, Outcome, PullOptions, PushConsumer, PushOptions,
    ReceivedMessage, Retry, StartFrom,
};

use crate::cluster::{Cluster, Fault, HEARTBEAT, PULL, UNREGISTER};
use crate::{Inbox, SOON, bodies, client, from_first};

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
async fn an_answer_that_cannot_be_read_is_asked_for_again_whatever_was_asked_for_meanwhile() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    (0..200).for_each(|n| _ = cluster.store("a", "T", 0, &format!("m{n}"), ""));
    cluster.fault("a", PULL, Some(Fault::TornOnce));
    let client = client(&cluster).await;
    let inbox = Inbox::default();
    let consumer = inbox.start(&client, from_first("g")).await;
    cluster.until("it has everything", |_| inbox.set() == bodies(0..200)).await;
    consumer.shutdown().await.unwrap();
    assert_eq!(inbox.len(), 200, "each once");
    assert_eq!(cluster.committed("g", "a", "T", 0), Some(200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn listeners_that_block_their_threads_run_side_by_side() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    (0..8).for_each(|n| _ = cluster.store("a", "T", 0, &format!("m{n}"), ""));
    let client = client(&cluster).await;
    let inbox = Inbox::default();
    let listener = {
        let (inbox, came, others) = (inbox.clone(), Mutex::new(0_usize), Condvar::new());
        move |batch: Vec<ReceivedMessage>| {
            // None of two goes on before the other is there.
            let mut here = came.lock().unwrap();
            *here += 1;
            others.notify_all();
            let both = here.next_multiple_of(2);
            drop(others.wait_timeout_while(here, SOON, |here| *here < both).unwrap());
            inbox.put(&batch);
            async { Outcome::Consumed }
        }
    };
    let options = PushOptions { concurrency: 2, consume_batch: 1, ..from_first("g") };
    let consumer = client.push_consumer(options).subscribe("T", "*").start(listener).await.unwrap();
    cluster.until("it has everything", |_| inbox.set() == bodies(0..8)).await;
    consumer.shutdown().await.unwrap();
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
    let options = PushOptions {
        retry: Retry { delay: Duration::from_millis(50), ..Retry::default() },
        concurrency: 1,
        ..from_first("g")
    };
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
    let mut consumer = client
        .pull_consumer_with(PullOptions { hold, start_from: StartFrom::First, ..PullOptions::new("g") })
        .await
        .unwrap();
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
