//! The library against our own name server and broker in a process of their own.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actormq::client::{Client, ClientOptions, Message, MessageQueue, Outcome, ReceivedMessage, Target};
use actormq::protocol::frame::{self, Codec, Frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::server::Server;
use crate::{Inbox, SOON, bodies, from_first};

async fn client_of(server: &Server) -> Client {
    Client::connect(ClientOptions::new(&server.name_server)).await.unwrap()
}

async fn send_all(client: &Client, range: std::ops::Range<u32>) {
    let producer = client.producer("p").await.unwrap();
    for n in range {
        producer.send(Message::new("T", format!("m{n}"))).await.unwrap();
    }
    producer.shutdown().await.unwrap();
}

async fn until(what: &str, ready: impl Fn() -> bool) {
    let begun = Instant::now();
    while !ready() {
        assert!(begun.elapsed() < Duration::from_secs(30), "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_is_sent_to_our_broker_is_received_from_it() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let client = client_of(&server).await;
    let producer = client.producer("p").await.unwrap();
    let long = "long ".repeat(10_000);
    let message = Message::new("T", long.clone()).tag("t").key("k1").key("k2").property("p", "v");
    let sent = producer.send(message).await.unwrap();
    let batch: Vec<_> = (0..10).map(|n| Message::new("T", format!("m{n}")).tag("b")).collect();
    let batch = producer.send_batch(&batch).await.unwrap();
    assert_eq!(batch[0].offset_message_id.split(',').count(), 10);
    let received = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&received);
    let listener = move |batch: Vec<ReceivedMessage>| {
        all.lock().unwrap().extend(batch);
        async { Outcome::Consumed }
    };
    let consumer = client.push_consumer(from_first("g")).subscribe("T", "t || b").start(listener).await.unwrap();
    until("all messages", || received.lock().unwrap().len() == 11).await;
    let messages = received.lock().unwrap().clone();
    let first = messages.iter().find(|message| message.tags() == Some("t")).unwrap();
    assert!(first.body == long.as_bytes() && first.sys_flag & 1 == 1, "it travelled compressed");
    assert_eq!((first.keys(), first.property("p"), first.topic()), (Some("k1 k2"), Some("v"), "T"));
    assert_eq!(
        (first.message_id(), first.offset_message_id()),
        (sent.message_id.to_string(), sent.offset_message_id.to_string())
    );
    assert_eq!((&*first.queue, first.queue_offset), (&sent.queue, sent.queue_offset));
    assert_eq!(consumer.lag().await.unwrap(), Some(0));
    consumer.shutdown().await.unwrap();
    client.shutdown().await;
}

#[tokio::test]
async fn members_come_and_go_at_our_broker_and_nothing_is_lost() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let (one, two) = (client_of(&server).await, client_of(&server).await);
    let inbox = Inbox::default();
    send_all(&one, 0..100).await;
    let first = inbox.start(&one, from_first("g")).await;
    until("the first has everything", || inbox.set() == bodies(0..100)).await;
    let second = inbox.start(&two, from_first("g")).await;
    while second.queues().await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    send_all(&one, 100..200).await;
    until("both have everything", || inbox.set() == bodies(0..200)).await;
    first.shutdown().await.unwrap();
    send_all(&one, 200..300).await;
    until("the second took over", || inbox.set() == bodies(0..300)).await;
    second.shutdown().await.unwrap();
    let third = inbox.start(&two, from_first("g")).await;
    send_all(&one, 300..310).await;
    until("the third goes on where the second ended", || inbox.set() == bodies(0..310)).await;
    third.shutdown().await.unwrap();
    assert!(inbox.len() < 400, "{} deliveries of 310 messages", inbox.len());
}

#[tokio::test]
async fn consuming_survives_a_crash_of_our_servers() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let client = client_of(&server).await;
    let inbox = Inbox::default();
    let consumer = inbox.start(&client, from_first("g")).await;
    send_all(&client, 0..50).await;
    until("the messages before", || inbox.set() == bodies(0..50)).await;
    let server = server.crash_and_restart();
    let again = client_of(&server).await;
    let producer = again.producer("p").await.unwrap();
    let begun = Instant::now();
    // The broker needs a moment to be in the routes again.
    while let Err(error) = producer.send(Message::new("T", "m50")).await {
        assert!(begun.elapsed() < SOON, "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    send_all(&again, 51..60).await;
    until("the messages after", || inbox.set() == bodies(0..60)).await;
    consumer.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_pull_consumer_finds_its_way_at_our_broker() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let client = client_of(&server).await;
    let producer = client.producer("p").await.unwrap();
    let queue = MessageQueue::clone(&producer.queues("T").await.unwrap()[0]);
    let mut stored = Vec::new();
    for n in 0..5 {
        let receipt = producer.send_to(Message::new("T", format!("m{n}")), Target::Queue(&queue)).await.unwrap();
        stored.push(receipt.queue_offset);
    }
    assert_eq!(stored, [0, 1, 2, 3, 4]);
    let begun = Instant::now();
    while client.queues("T").await.is_err() {
        assert!(begun.elapsed() < SOON, "the topic never came into the routes");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut consumer = client.pull_consumer("g").await.unwrap();
    consumer.assign(std::slice::from_ref(&queue), "*".into()).await.unwrap();
    let mut all = Vec::new();
    while all.len() < 5 {
        all.extend(consumer.poll(SOON).await.unwrap());
    }
    consumer.commit().await.unwrap();
    assert_eq!(consumer.committed(&queue).await.unwrap(), Some(5));
    consumer.seek_to_time(&queue, all[0].store_timestamp_ms).await.unwrap();
    assert_eq!(consumer.poll(SOON).await.unwrap()[0].queue_offset, 0);
    consumer.seek(&queue, 3).unwrap();
    assert_eq!(consumer.poll(SOON).await.unwrap()[0].queue_offset, 3);
    let (min, max) = (consumer.min_offset(&queue).await.unwrap(), consumer.max_offset(&queue).await.unwrap());
    assert_eq!((min, max), (0, 5));
    consumer.shutdown().await.unwrap();
}

/// Passes frames on to `address` and notes the codec of each that a client sends.
async fn eavesdrop(address: String) -> (String, Arc<Mutex<Vec<Codec>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = listener.local_addr().unwrap().to_string();
    let heard = Arc::<Mutex<Vec<Codec>>>::default();
    let notes = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = tokio::net::TcpStream::connect(&address).await.unwrap();
            let ((mut asks, mut hears), (mut answers, mut asked)) = (client.into_split(), server.into_split());
            tokio::spawn(async move { tokio::io::copy(&mut answers, &mut hears).await });
            let notes = Arc::clone(&notes);
            tokio::spawn(async move {
                let mut prefix = [0; 4];
                while asks.read_exact(&mut prefix).await.is_ok() {
                    let mut bytes = prefix.to_vec();
                    bytes.resize(frame::length(&prefix).unwrap().unwrap(), 0);
                    asks.read_exact(&mut bytes[4..]).await.unwrap();
                    notes.lock().unwrap().push(Frame::cut(&bytes).unwrap().codec);
                    asked.write_all(&bytes).await.unwrap();
                }
            });
        }
    });
    (here, heard)
}

#[tokio::test]
async fn a_name_server_that_says_so_is_asked_by_message_pack() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let (address, heard) = eavesdrop(server.name_server.clone()).await;
    let client = Client::connect(ClientOptions::new(&address)).await.unwrap();
    send_all(&client, 0..1).await;
    for _ in 0..3 {
        assert!(!client.queues("T").await.unwrap().is_empty());
    }
    assert!(client.queues("Nowhere").await.is_err());
    let heard = heard.lock().unwrap().clone();
    assert_eq!((heard.first(), heard.last()), (Some(&Codec::Binary), Some(&Codec::MessagePack)), "{heard:?}");
    client.shutdown().await;
}
