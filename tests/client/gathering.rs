//! Sends that travel together, and sends around brokers that are slow or gone.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use actormq::client::{
    Client, ClientError, ClientOptions, Compression, Gather, Message, MessageQueue, ProducerOptions, Target,
};
use actormq::embed;
use futures_util::future::join_all;
use futures_util::poll;

use crate::cluster::{Cluster, Fault, SEND};
use crate::{SOON, client};

const BATCH: i32 = 320;

fn gathering(gather: Gather) -> ProducerOptions {
    ProducerOptions { gather: Some(gather), ..ProducerOptions::new("p") }
}

#[tokio::test]
async fn gathered_sends_share_requests_and_each_has_its_own_receipt() {
    let cluster = embed::Cluster::start().await.unwrap();
    let client = cluster.client().await.unwrap();
    let producer = client.producer_with(gathering(Gather::default())).await.unwrap();
    producer.send(Message::new("T", "first")).await.unwrap();
    let queue = MessageQueue::clone(&producer.queues("T").await.unwrap()[0]);
    let sends = (0..300).map(|n| {
        let message = Message::new("T", format!("m{n}")).tag("t").key(format!("k{n}"));
        producer.send_to(message, if n % 2 == 0 { Target::Queue(&queue) } else { Target::Any })
    });
    let receipts: Vec<_> = join_all(sends).await.into_iter().map(Result::unwrap).collect();
    let places: BTreeSet<_> = receipts.iter().map(|receipt| (receipt.queue.clone(), receipt.queue_offset)).collect();
    assert_eq!(places.len(), 300, "no two messages have one place");
    assert!(receipts.iter().step_by(2).all(|receipt| receipt.queue == queue));
    let mut consumer = client.pull_consumer("g").await.unwrap();
    consumer.assign(&client.queues("T").await.unwrap(), "*".into()).await.unwrap();
    for (n, receipt) in receipts.iter().enumerate().step_by(29) {
        consumer.seek(&receipt.queue, receipt.queue_offset).unwrap();
        let wanted = |message: &&actormq::client::ReceivedMessage| message.message_id() == receipt.message_id;
        let begun = Instant::now();
        let message = loop {
            assert!(begun.elapsed() < SOON, "{receipt:?}");
            if let Some(found) = consumer.poll(SOON).await.unwrap().iter().find(wanted) {
                break found.clone();
            }
        };
        assert_eq!((&*message.queue, message.queue_offset), (&receipt.queue, receipt.queue_offset));
        assert_eq!(message.offset_message_id(), receipt.offset_message_id);
        assert_eq!((&message.body[..], message.keys()), (format!("m{n}").as_bytes(), Some(&*format!("k{n}"))));
    }
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_batch_leaves_when_it_is_full_when_its_time_comes_or_when_nothing_is_under_way() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    let client = client(&cluster).await;
    let linger = Duration::from_millis(300);
    let slow = Gather { linger, when_idle: false, ..Gather::default() };
    let producer = client.producer_with(gathering(slow.clone())).await.unwrap();
    let begun = Instant::now();
    for receipt in join_all((0..50).map(|n| producer.send(Message::new("T", format!("m{n}"))))).await {
        receipt.unwrap();
    }
    assert!(begun.elapsed() >= linger, "{:?}", begun.elapsed());
    assert_eq!((cluster.count("a", BATCH), cluster.stored("T")), (1, 50));
    let hours = Gather { linger: Duration::from_secs(3600), bytes: 4096, when_idle: false, ..slow };
    let full = client.producer_with(gathering(hours.clone())).await.unwrap();
    join_all((0..4).map(|_| full.send(Message::new("T", vec![b'x'; 1000]))))
        .await
        .into_iter()
        .for_each(|r| drop(r.unwrap()));
    assert_eq!(cluster.count("a", BATCH), 2, "four of a thousand bytes fill one of 4096");
    let idle = client.producer_with(gathering(Gather { when_idle: true, ..hours })).await.unwrap();
    for n in 0..10 {
        idle.send(Message::new("T", format!("m{n}"))).await.unwrap();
    }
    assert_eq!(cluster.count("a", BATCH), 12, "a lone message does not wait");
}

#[tokio::test]
async fn a_batch_whose_first_sender_gave_up_leaves_with_the_others() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    let client = client(&cluster).await;
    let hours = Gather { linger: Duration::from_secs(3600), ..Gather::default() };
    let producer = client.producer_with(gathering(hours)).await.unwrap();
    producer.send(Message::new("T", "makes the route known")).await.unwrap();
    let mut first = Box::pin(producer.send(Message::new("T", "first")));
    assert!(poll!(first.as_mut()).is_pending());
    let mut second = Box::pin(producer.send(Message::new("T", "second")));
    assert!(poll!(second.as_mut()).is_pending());
    drop(first);
    second.await.unwrap();
    assert_eq!((cluster.count("a", BATCH), cluster.stored("T")), (2, 3), "what was given up may arrive");
}

#[tokio::test]
async fn what_cannot_be_gathered_travels_alone() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    let client = client(&cluster).await;
    let producer = client.producer_with(gathering(Gather::default())).await.unwrap();
    producer.send(Message::new("T", "later").property("DELAY", "3")).await.unwrap();
    producer.send(Message::new("T", vec![1; 100_000])).await.unwrap();
    assert_eq!((cluster.count("a", SEND), cluster.count("a", BATCH)), (2, 0));
    let none = Gather { held_bytes: 10, ..Gather::default() };
    let full = client.producer_with(gathering(none)).await.unwrap();
    full.send(Message::new("T", "more than ten bytes")).await.unwrap();
    assert_eq!((cluster.count("a", SEND), cluster.count("a", BATCH)), (3, 0));
    let bad = client.producer_with(gathering(Gather { bytes: 0, ..Gather::default() })).await;
    assert!(matches!(bad, Err(ClientError::Option { option: "gather.bytes", .. })));
}

#[tokio::test]
async fn gathered_sends_fail_together_and_none_is_left_waiting() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    cluster.fault("a", BATCH, Some(Fault::Silence));
    let client = client(&cluster).await;
    let options = ProducerOptions { send_timeout: Duration::from_millis(200), ..gathering(Gather::default()) };
    let producer = client.producer_with(options).await.unwrap();
    for result in join_all((0..20).map(|_| producer.send(Message::new("T", "x")))).await {
        assert!(matches!(result, Err(ClientError::Timeout { .. })), "{result:?}");
    }
    let patient = client.producer_with(gathering(Gather::default())).await.unwrap();
    let waiting = join_all((0..20).map(|_| patient.send(Message::new("T", "x"))));
    let ends = async {
        cluster.until("a batch is under way", |cluster| cluster.count("a", BATCH) > 1).await;
        client.shutdown().await;
    };
    let (results, ()) = tokio::time::timeout(SOON, async { tokio::join!(waiting, ends) }).await.unwrap();
    assert!(results.iter().all(|result| matches!(result, Err(ClientError::ShutDown | ClientError::Channel(_)))));
    let after = tokio::time::timeout(SOON, patient.send(Message::new("T", "x"))).await.unwrap();
    assert!(after.is_err(), "{after:?}");
}

#[tokio::test]
async fn a_batch_that_lingers_hears_that_its_client_was_shut_down() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    let client = client(&cluster).await;
    let hours = Gather { linger: Duration::from_secs(3600), when_idle: false, ..Gather::default() };
    let producer = client.producer_with(gathering(hours)).await.unwrap();
    let mut waiting = Box::pin(producer.send(Message::new("T", "waits for its like")));
    assert!(poll!(waiting.as_mut()).is_pending());
    client.shutdown().await;
    for send in [waiting, Box::pin(producer.send(Message::new("T", "too late")))] {
        let sent = tokio::time::timeout(SOON, send).await.unwrap();
        assert!(matches!(sent, Err(ClientError::ShutDown)), "{sent:?}");
    }
    assert_eq!(cluster.count("a", BATCH), 0);
}

#[tokio::test]
async fn a_batch_is_tried_again_at_another_broker() {
    let cluster = Cluster::start(&["a", "b"], &[("T", 1)]).await;
    let client = client(&cluster).await;
    let producer = client.producer_with(gathering(Gather::default())).await.unwrap();
    for n in 0..2 {
        producer.send(Message::new("T", format!("makes a connection known: {n}"))).await.unwrap();
    }
    for fault in [Fault::Refuse(14), Fault::Headless, Fault::Close] {
        let before = cluster.count("a", BATCH);
        cluster.fault("a", BATCH, Some(fault));
        while cluster.count("a", BATCH) == before {
            for receipt in join_all((0..20).map(|_| producer.send(Message::new("T", "x")))).await {
                assert_eq!(&*receipt.unwrap().queue.broker, "b");
            }
        }
    }
}

#[tokio::test]
async fn every_compression_is_understood_by_our_broker_and_consumer() {
    let cluster = embed::Cluster::start().await.unwrap();
    let client = cluster.client().await.unwrap();
    let body = "compress me ".repeat(1000);
    for compression in [Compression::Zlib, Compression::Lz4, Compression::Zstd] {
        let options = ProducerOptions { compression, ..ProducerOptions::new("p") };
        let producer = client.producer_with(options).await.unwrap();
        let receipt = producer.send(Message::new("T", body.clone())).await.unwrap();
        let mut consumer = client.pull_consumer("g").await.unwrap();
        consumer.assign(std::slice::from_ref(&receipt.queue), "*".into()).await.unwrap();
        consumer.seek(&receipt.queue, receipt.queue_offset).unwrap();
        let message = consumer.poll(SOON).await.unwrap().remove(0);
        assert_eq!((&message.body[..], message.sys_flag & 1), (body.as_bytes(), 1), "{compression:?}");
        consumer.shutdown().await.unwrap();
    }
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_slow_broker_is_left_out_for_a_while_when_that_is_asked_for() {
    let cluster = Cluster::start(&["a", "b"], &[("T", 2)]).await;
    cluster.fault("a", SEND, Some(Fault::Slow(600)));
    let client = client(&cluster).await;
    let options = ProducerOptions { avoid_slow_brokers: true, ..ProducerOptions::new("p") };
    let producer = client.producer_with(options).await.unwrap();
    while cluster.count("a", SEND) == 0 {
        producer.send(Message::new("T", "x")).await.unwrap();
    }
    for _ in 0..20 {
        assert_eq!(&*producer.send(Message::new("T", "x")).await.unwrap().queue.broker, "b");
    }
    let to_a = MessageQueue::new("T", "a", 0);
    assert!(producer.send_to(Message::new("T", "x"), Target::Queue(&to_a)).await.is_ok(), "a chosen queue is served");
}

#[tokio::test]
async fn a_chosen_queue_is_tried_again_in_place_when_the_connection_breaks() {
    let cluster = Cluster::start(&["a", "b"], &[("T", 2)]).await;
    cluster.fault("a", SEND, Some(Fault::CloseOnce));
    let client = client(&cluster).await;
    let producer = client.producer("p").await.unwrap();
    let to_a = MessageQueue::new("T", "a", 1);
    let receipt = producer.send_to(Message::new("T", "x"), Target::Queue(&to_a)).await.unwrap();
    assert_eq!((&receipt.queue, cluster.count("a", SEND), cluster.count("b", SEND)), (&to_a, 2, 0));
    cluster.fault("a", SEND, Some(Fault::Refuse(14)));
    let error = producer.send_to(Message::new("T", "x"), Target::Queue(&to_a)).await.unwrap_err();
    assert!(matches!(error, ClientError::Refused { code: 14, .. }) && cluster.count("a", SEND) == 3, "{error}");
}

#[tokio::test]
async fn a_broker_that_does_not_answer_costs_one_try_and_not_the_whole_send() {
    let cluster = Cluster::start(&["a", "b"], &[("T", 2)]).await;
    cluster.fault("a", SEND, Some(Fault::Silence));
    let client = Client::connect(ClientOptions::new(&cluster.name_server)).await.unwrap();
    let try_timeout = Some(Duration::from_millis(50));
    let producer = client.producer_with(ProducerOptions { try_timeout, ..ProducerOptions::new("p") }).await.unwrap();
    for _ in 0..4 {
        assert_eq!(&*producer.send(Message::new("T", "x")).await.unwrap().queue.broker, "b");
    }
    assert!(cluster.count("a", SEND) > 0);
}
