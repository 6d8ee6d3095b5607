//! More sends than the log takes: what else the same connection asks is served, nothing is lost, nothing overtakes.

mod support;

use actormq::config::{BrokerConfig, FlushMode};
use support::{Client, Server, fields, pull, short_send, until};

/// Sends that fill the credit of a connection, 16 MiB, and some of what may wait beyond it.
const SENDS: usize = 19;
const BODY_BYTES: usize = 1024 * 1024;

fn synchronous(config: &mut BrokerConfig) {
    config.flush.mode = FlushMode::Sync;
    // The stall is not to be taken for a slow disk.
    config.flush.sync_timeout_ms = 600_000;
    config.store.commit_log_segment_bytes = 64 * 1024 * 1024;
}

async fn heartbeat(client: &mut Client) {
    let body = r#"{"clientID":"c","consumerDataSet":[],"producerDataSet":[{"groupName":"p"}]}"#;
    assert_eq!(client.ask(34, &fields(&[]), body.as_bytes()).await.code, 0);
}

#[actix::test]
async fn a_connection_whose_sends_wait_is_heard_all_the_same() {
    let server = Server::start_with(synchronous).await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    // It makes the group.
    assert_eq!(client.ask(11, &pull("T", 0, 0), b"").await.code, 19);
    let (stalled, until_dropped) = std::sync::mpsc::channel();
    server.broker.stall_disk(until_dropped);
    let body = vec![b'x'; BODY_BYTES];
    let mut numbers = Vec::new();
    for i in 0..SENDS {
        numbers.push(client.submit(310, &short_send("T", 0, ""), &body).await);
        if i % 4 == 3 {
            heartbeat(&mut client).await;
        }
    }
    heartbeat(&mut client).await;
    client.commit("g", "T", "3").await;
    assert_eq!(client.committed("g", "T").await, 3);
    // One behind those that wait: it must not overtake them.
    numbers.push(client.submit(310, &short_send("T", 0, ""), b"last").await);
    heartbeat(&mut client).await;
    assert!(!numbers.iter().any(|number| client.has_answer(*number)));
    drop(stalled);
    for (number, offset) in numbers.into_iter().zip(0..) {
        let answer = client.answer(number).await;
        assert_eq!((answer.code, answer.number("queueOffset")), (0, offset));
    }
    let all = client.read_all("T", 0).await;
    assert_eq!((all.len(), all.last().map(|(_, body)| body.as_str())), (SENDS + 1, Some("last")));
    server.stop().await;
}

#[actix::test]
async fn a_connection_that_sends_on_and_on_is_held_back_and_goes_on_when_the_log_does() {
    let server = Server::start_with(synchronous).await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    let (stalled, until_dropped) = std::sync::mpsc::channel();
    server.broker.stall_disk(until_dropped);
    let body = vec![b'x'; BODY_BYTES];
    // More than credit, waiting sends and both sockets' buffers hold.
    let pumping = async move {
        let mut numbers = Vec::new();
        for _ in 0..60 {
            numbers.push(client.submit(310, &short_send("T", 0, ""), &body).await);
        }
        (client, numbers)
    };
    tokio::pin!(pumping);
    let mut other = server.client().await;
    tokio::select! {
        _ = &mut pumping => panic!("the broker read everything"),
        () = async {
            for _ in 0..200 {
                heartbeat(&mut other).await;
            }
        } => {}
    }
    drop(stalled);
    let (mut client, numbers) = pumping.await;
    for (number, offset) in numbers.into_iter().zip(0..) {
        let answer = client.answer(number).await;
        assert_eq!((answer.code, answer.number("queueOffset")), (0, offset));
    }
    server.stop().await;
}

#[actix::test]
async fn a_connection_whose_sends_wait_in_vain_is_closed() {
    let server = Server::start_with(|config| {
        synchronous(config);
        config.network.idle_seconds_max = 1;
    })
    .await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    let (stalled, until_dropped) = std::sync::mpsc::channel();
    server.broker.stall_disk(until_dropped);
    let body = vec![b'x'; BODY_BYTES];
    let closed = async {
        let (_, request) = client.request((310, 0), &short_send("T", 0, ""), &body);
        while tokio::io::AsyncWriteExt::write_all(&mut client.socket, &request).await.is_ok() {}
    };
    tokio::time::timeout(support::PATIENCE, closed).await.expect("the connection was never closed");
    drop(stalled);
    // What came before is stored, and the broker serves others.
    let mut other = server.client().await;
    let stored = until("the sends that were taken", async || {
        let end = other.max_offset("T", "0").await;
        (end >= 15).then_some(())
    });
    stored.await;
    server.stop().await;
}
