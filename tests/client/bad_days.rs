//! Bad days: servers that are down, slow, deaf or mad, and ends in the middle of everything. Each ends in a recovery or a
//! typed error, and in time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use actormq::client::{
    Client, ClientError, ClientOptions, Message, MessageQueue, Outcome, ProducerOptions, PushOptions, ReceivedMessage,
    Retry, Target,
};
use actormq::embed;
use futures_util::future::join_all;
use tokio::time::timeout;

use crate::cluster::{Cluster, Fault, HEARTBEAT, PULL, ROUTE, SEND};
use crate::{Inbox, SOON, bodies, client, from_first};

/// Lets connections through to `address` from a port that was free before.
async fn forward(port: tokio::net::TcpListener, address: String) {
    while let Ok((mut from, _)) = port.accept().await {
        let mut to = tokio::net::TcpStream::connect(&address).await.unwrap();
        tokio::spawn(async move { tokio::io::copy_bidirectional(&mut from, &mut to).await });
    }
}

fn message(n: usize) -> Message {
    Message::new("T", format!("m{n}"))
}

async fn short_tempered(cluster: &Cluster, send_timeout: Duration) -> (Client, actormq::client::Producer) {
    let client = client(cluster).await;
    let producer = client.producer_with(ProducerOptions { send_timeout, ..ProducerOptions::new("p") }).await.unwrap();
    (client, producer)
}

#[tokio::test]
async fn name_servers_that_are_down_at_the_start_are_found_when_they_come() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = port.local_addr().unwrap();
    drop(port);
    let client = Client::connect(ClientOptions::new(&address.to_string())).await.unwrap();
    let producer = client.producer("p").await.unwrap();
    let error = producer.send(message(0)).await.unwrap_err();
    assert!(matches!(error, ClientError::NoNameServer { .. }) && error.is_unreachable(), "{error}");
    let inbox = Inbox::default();
    let listener = |_: Vec<ReceivedMessage>| async { Outcome::Consumed };
    let refused = client.push_consumer(from_first("g")).subscribe("T", "*").start(listener).await;
    assert!(matches!(refused, Err(ClientError::NoNameServer { .. })));
    let port = tokio::net::TcpListener::bind(address).await.unwrap();
    tokio::spawn(forward(port, cluster.name_server.clone()));
    let consumer = inbox.start(&client, from_first("g")).await;
    producer.send(message(0)).await.unwrap();
    cluster.until("the message", |_| inbox.set() == bodies(0..1)).await;
    consumer.shutdown().await.unwrap();
}

#[tokio::test]
async fn name_servers_that_vanish_later_stop_nobody_who_knows_the_way() {
    let cluster = Cluster::start(&["a"], &[("T", 2)]).await;
    let interval = Duration::from_millis(20);
    let (route_interval, request_timeout) = (interval, Duration::from_millis(100));
    let options = ClientOptions { route_interval, request_timeout, ..ClientOptions::new(&cluster.name_server) };
    let client = Client::connect(options).await.unwrap();
    let producer = client.producer("p").await.unwrap();
    producer.send(message(0)).await.unwrap();
    cluster.fault("namesrv", ROUTE, Some(Fault::Silence));
    let asked = cluster.count("namesrv", ROUTE);
    cluster.until("routes were asked for in vain", |cluster| cluster.count("namesrv", ROUTE) > asked + 3).await;
    for n in 1..10 {
        producer.send(message(n)).await.unwrap();
    }
    let error = client.queues("U").await.unwrap_err();
    assert!(error.is_unreachable(), "{error}");
    cluster.fault("namesrv", ROUTE, None);
    cluster.add_topic("U", 3);
    assert_eq!(client.queues("U").await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_broker_that_vanishes_in_mid_send_loses_nothing_that_was_acknowledged() {
    let cluster = Cluster::start(&["a", "b"], &[("T", 4)]).await;
    cluster.fault("a", SEND, Some(Fault::Slow(50)));
    let client = client(&cluster).await;
    let producer = client.producer("p").await.unwrap();
    let cut = async {
        cluster.until("sends are under way", |cluster| cluster.count("a", SEND) > 20).await;
        cluster.cut("a");
    };
    let (receipts, ()) = tokio::join!(join_all((0..200).map(|n| producer.send(message(n)))), cut);
    let stored = |receipt: &actormq::client::SendReceipt| {
        let end = cluster.end(&receipt.queue.broker, "T", receipt.queue.queue);
        assert!(receipt.queue_offset < end, "{receipt:?}");
    };
    receipts.into_iter().for_each(|receipt| stored(&receipt.unwrap()));
    assert!(cluster.stored("T") >= 200);
}

#[tokio::test]
async fn answers_in_any_order_reach_whom_they_are_for() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    cluster.fault("a", SEND, Some(Fault::Reversed(50)));
    let client = client(&cluster).await;
    let producer = client.producer("p").await.unwrap();
    let receipts = join_all((0..50).map(|n| producer.send(message(n)))).await;
    let offsets: BTreeSet<_> = receipts.iter().map(|receipt| receipt.as_ref().unwrap().queue_offset).collect();
    assert_eq!(offsets, (0..50).collect());
    cluster.fault("a", SEND, None);
    let queue = MessageQueue::new("T", "a", 0);
    let mut consumer = client.pull_consumer("g").await.unwrap();
    consumer.assign(std::slice::from_ref(&queue), "*".into()).await.unwrap();
    for receipt in receipts.into_iter().map(Result::unwrap).step_by(7) {
        consumer.seek(&queue, receipt.queue_offset).unwrap();
        assert_eq!(consumer.next().await.unwrap().message_id(), receipt.message_id);
    }
}

#[tokio::test]
async fn answers_that_are_late_or_never_come_cost_the_time_and_nothing_else() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    for fault in [Fault::Slow(400), Fault::Silence] {
        let (client, producer) = short_tempered(&cluster, Duration::from_millis(150)).await;
        cluster.fault("a", SEND, Some(fault));
        let begun = Instant::now();
        for result in join_all((0..20).map(|n| producer.send(message(n)))).await {
            assert!(matches!(result, Err(ClientError::Timeout { what: "sending", .. })), "{result:?}");
        }
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        cluster.fault("a", SEND, None);
        // The late answers come in between and find nobody.
        for n in 0..50 {
            let receipt = producer.send(message(n)).await.unwrap();
            assert!(receipt.queue_offset < cluster.end("a", "T", 0));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        client.shutdown().await;
    }
}

#[tokio::test]
async fn answers_that_cannot_be_read_are_errors_that_say_so() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    let client = client(&cluster).await;
    let producer = client.producer("p").await.unwrap();
    cluster.fault("a", SEND, Some(Fault::Headless));
    let to_a = MessageQueue::new("T", "a", 0);
    let error = producer.send_to(message(0), Target::Queue(&to_a)).await.unwrap_err();
    assert!(matches!(&error, ClientError::Answer { .. }), "{error}");
    for fault in [Fault::Garbage, Fault::Oversized] {
        cluster.fault("a", SEND, Some(fault));
        let error = producer.send(message(0)).await.unwrap_err();
        assert!(matches!(&error, ClientError::Channel(_)), "{fault:?} {error}");
    }
    cluster.fault("a", SEND, None);
    producer.send(message(0)).await.unwrap();
    // Heartbeats that fail in every way do not stop a consumer.
    for fault in [Fault::Garbage, Fault::Headless, Fault::Refuse(1), Fault::Close, Fault::Silence] {
        cluster.fault("a", HEARTBEAT, Some(fault));
        let options =
            ClientOptions { request_timeout: Duration::from_millis(200), ..ClientOptions::new(&cluster.name_server) };
        let other = Client::connect(options).await.unwrap();
        let inbox = Inbox::default();
        let consumer = timeout(SOON, inbox.start(&other, from_first("g"))).await.unwrap();
        cluster.fault("a", HEARTBEAT, None);
        producer.send(message(1)).await.unwrap();
        cluster.until("it consumes", |_| inbox.len() > 0).await;
        consumer.shutdown().await.unwrap();
        other.shutdown().await;
    }
}

#[tokio::test]
async fn a_broker_that_does_not_read_fills_a_bounded_buffer_and_then_sends_time_out() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    let client = client(&cluster).await;
    let (send_timeout, compress_from_bytes) = (Duration::from_millis(500), usize::MAX);
    let options = ProducerOptions { send_timeout, compress_from_bytes, ..ProducerOptions::new("p") };
    let producer = client.producer_with(options).await.unwrap();
    producer.send(message(0)).await.unwrap();
    cluster.fault("a", SEND, Some(Fault::Deaf));
    let noise = bytes::Bytes::from(vec![7; 1024 * 1024]);
    let begun = Instant::now();
    for result in join_all((0..64).map(|_| producer.send(Message::new("T", noise.clone())))).await {
        assert!(matches!(result, Err(ClientError::Timeout { .. })), "{result:?}");
    }
    let mut oneway = Ok(());
    for _ in 0..64 {
        if oneway.is_ok() {
            oneway = producer.send_oneway(Message::new("T", noise.clone())).await;
        }
    }
    assert!(matches!(oneway, Err(ClientError::Timeout { .. } | ClientError::Channel(_))), "{oneway:?}");
    assert!(begun.elapsed() < SOON * 2, "{:?}", begun.elapsed());
    timeout(SOON, client.shutdown()).await.unwrap();
}

#[tokio::test]
async fn members_that_want_different_things_are_told() {
    let cluster = embed::Cluster::start().await.unwrap();
    let (one, two) = (cluster.client().await.unwrap(), cluster.client().await.unwrap());
    one.producer("p").await.unwrap().send(message(0)).await.unwrap();
    let start = async |client: &Client, filter: &str| {
        let listener = |_: Vec<ReceivedMessage>| async { Outcome::Consumed };
        client.push_consumer(PushOptions::new("g")).subscribe("T", filter).start(listener).await.unwrap()
    };
    let first = start(&one, "a").await;
    first.check_agreement().await.unwrap();
    let second = start(&two, "b").await;
    let error = first.check_agreement().await.unwrap_err();
    let ClientError::Disagreement { topic, ours, theirs, .. } = &error else { panic!("{error}") };
    assert_eq!((topic.as_str(), ours.as_str(), theirs.as_str()), ("T", "a", "b"));
    assert!(error.to_string().contains("let all members subscribe to the same"), "{error}");
    second.subscribe("T", "a").await.unwrap();
    first.check_agreement().await.unwrap();
    first.shutdown().await.unwrap();
    second.shutdown().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_listener_that_always_panics_loses_nothing_and_holds_nobody_up() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    (0..5).for_each(|n| _ = cluster.store("a", "T", 0, &format!("m{n}"), ""));
    let client = client(&cluster).await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let listener = move |_: Vec<ReceivedMessage>| -> std::future::Ready<Outcome> {
        counted.fetch_add(1, Ordering::Relaxed);
        panic!("not this one");
    };
    let options =
        PushOptions { retry: Retry { delay: Duration::from_millis(5), ..Retry::default() }, ..from_first("g") };
    let consumer = client.push_consumer(options).subscribe("T", "*").start(listener).await.unwrap();
    cluster.until("each came again", |_| calls.load(Ordering::Relaxed) > 20).await;
    timeout(SOON, consumer.shutdown()).await.unwrap().unwrap();
    assert!(cluster.committed("g", "a", "T", 0).is_none_or(|offset| offset == 0));
}

#[tokio::test]
async fn a_shutdown_in_the_middle_of_everything_ends_everything() {
    let cluster = Cluster::start(&["a", "b"], &[("T", 4)]).await;
    (0..200).for_each(|n| _ = cluster.store("a", "T", n % 4, &format!("m{n}"), ""));
    for code in [SEND, PULL, 14] {
        cluster.fault("b", code, Some(Fault::Silence));
    }
    let client = client(&cluster).await;
    let producer = client.producer("p").await.unwrap();
    let inbox = Inbox::default();
    let push = inbox.start(&client, from_first("g")).await;
    let mut pull = client.pull_consumer("h").await.unwrap();
    pull.subscribe("T", "*").await.unwrap();
    let sends = join_all((0..100).map(|n| producer.send(message(n))));
    let end = async {
        cluster.until("all is under way", |cluster| cluster.count("b", SEND) > 0 && inbox.len() > 0).await;
        client.shutdown().await;
    };
    let polls = async {
        loop {
            match pull.next().await {
                Ok(_) | Err(ClientError::Refused { .. }) => {}
                Err(ClientError::ShutDown) => return,
                Err(error) => assert!(matches!(error, ClientError::Channel(_)), "{error}"),
            }
        }
    };
    let all = async { tokio::join!(sends, polls, end) };
    let (sent, (), ()) = timeout(SOON, all).await.expect("everything ends");
    let typed = |error: &ClientError| matches!(error, ClientError::ShutDown | ClientError::Channel(_));
    assert!(sent.iter().all(|result| result.as_ref().map_or_else(typed, |_| true)), "{sent:?}");
    assert!(matches!(push.queues().await, Err(ClientError::ShutDown)));
    assert!(matches!(timeout(SOON, push.shutdown()).await.unwrap(), Err(ClientError::ShutDown)));
    assert!(matches!(timeout(SOON, pull.shutdown()).await.unwrap(), Err(ClientError::ShutDown)));
}

#[tokio::test]
async fn a_consumer_shuts_down_in_time_when_no_broker_answers() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    cluster.store("a", "T", 0, "m0", "");
    let request_timeout = Duration::from_millis(200);
    let options = ClientOptions { request_timeout, ..ClientOptions::new(&cluster.name_server) };
    let client = Client::connect(options).await.unwrap();
    let inbox = Inbox::default();
    let consumer = inbox.start(&client, from_first("g")).await;
    cluster.until("the message", |_| inbox.len() == 1).await;
    for code in [PULL, 15, 35, HEARTBEAT] {
        cluster.fault("a", code, Some(Fault::Silence));
    }
    let begun = Instant::now();
    timeout(SOON, consumer.shutdown()).await.unwrap().unwrap();
    client.shutdown().await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
