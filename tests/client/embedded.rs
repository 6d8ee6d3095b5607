//! Servers inside this process.

use std::time::{Duration, Instant};

use actormq::client::{Message, MessageQueue};
use actormq::embed::{Cluster, ClusterOptions, EmbedError};

use crate::{Inbox, SOON, bodies, from_first};

async fn exchange(cluster: &Cluster) {
    let client = cluster.client().await.unwrap();
    let producer = client.producer("p").await.unwrap();
    for n in 0..20 {
        producer.send(Message::new("T", format!("m{n}"))).await.unwrap();
    }
    let inbox = Inbox::default();
    let consumer = inbox.start(&client, from_first("g")).await;
    let begun = Instant::now();
    while inbox.set() != bodies(0..20) {
        assert!(begun.elapsed() < SOON, "{:?}", inbox.set());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    consumer.shutdown().await.unwrap();
    client.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_clusters_live_in_one_process_and_share_nothing() {
    let (one, two) = (Cluster::start().await.unwrap(), Cluster::start().await.unwrap());
    assert!(one.name_server() != two.name_server() && one.broker() != two.broker());
    exchange(&one).await;
    assert!(two.client().await.unwrap().queues("T").await.is_err());
    exchange(&two).await;
    let directory = one.directory().to_owned();
    assert!(directory.exists());
    one.shutdown().await;
    assert!(!directory.exists(), "the temporary directory is gone");
    exchange(&two).await;
}

#[actix::test]
async fn a_cluster_starts_within_actix_and_ends_when_dropped() {
    let cluster = Cluster::start().await.unwrap();
    exchange(&cluster).await;
    let (broker, directory) = (cluster.broker(), cluster.directory().to_owned());
    drop(cluster);
    assert!(!directory.exists());
    assert!(tokio::net::TcpStream::connect(broker).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_directory_of_ones_own_keeps_the_messages() {
    let directory = tempfile::tempdir().unwrap();
    let start = || ClusterOptions::new().directory(directory.path()).start();
    let cluster = start().await.unwrap();
    exchange(&cluster).await;
    cluster.shutdown().await;
    let cluster = start().await.unwrap();
    let client = cluster.client().await.unwrap();
    let consumer = client.pull_consumer("other").await.unwrap();
    let mut stored = 0;
    for queue in client.queues("T").await.unwrap() {
        stored += consumer.max_offset(&MessageQueue::clone(&queue)).await.unwrap();
    }
    assert_eq!(stored, 20);
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_cluster_that_cannot_start_says_why() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = ClusterOptions::new().broker(|config| config.network.listen_port = port).start().await.unwrap_err();
    assert!(matches!(error, EmbedError::Start(_)), "{error}");
    assert!(error.to_string().contains("another server may be running there"), "{error}");
}
