//! Sending to a cluster that does not always take it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use actormq::client::{Client, ClientError, ClientOptions, Message, MessageQueue, ProducerOptions, Target};

use crate::client;
use crate::cluster::{Cluster, Fault, ROUTE, SEND, UNREGISTER};

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
    let last = producer.send_to(Message::new("T", "x"), Target::Select(&|queues| queues.len() - 1)).await.unwrap();
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

/// An HTTP server that answers everything with `body`.
async fn address_server(body: String) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let length = socket.read(&mut request).await.unwrap();
            assert!(request[..length].starts_with(b"GET /rocketmq/nsaddr HTTP/1.1\r\n"));
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            socket.write_all((head + &body).as_bytes()).await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn name_servers_are_found_by_an_address_server_or_by_a_host_name() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    let port = cluster.name_server.rsplit_once(':').unwrap().1;
    let by_http = ClientOptions::from_address_server(address_server(cluster.name_server.clone()).await);
    for options in [by_http, ClientOptions::new(&format!("localhost:{port}"))] {
        let client = Client::connect(options).await.unwrap();
        assert!(client.producer("p").await.unwrap().send(Message::new("T", "x")).await.is_ok());
    }
    let empty = ClientOptions::from_address_server(address_server("\n".into()).await);
    let client = Client::connect(empty).await.unwrap();
    let error = client.queues("T").await.unwrap_err();
    assert!(matches!(error, ClientError::Lookup(_)) && error.is_unreachable(), "{error}");
}
