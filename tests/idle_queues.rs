//! A queue to which nothing happens for a minute has no actor any more, and nobody notices.

mod support;

use std::time::Duration;

use actormq::actors::crash::CountQueues;
use support::{Client, Server, patient_pull, until};

fn numbered(count: usize) -> Vec<(u64, String)> {
    (0..count).map(|i| (i as u64, format!("m-{i}"))).collect()
}

/// Waits until the queue's file holds so many entries: what is not written keeps its actor.
async fn written(server: &Server, count: usize) {
    let file = server.directory.path().join("data/consumequeue/T/0/00000000000000000000");
    let end = count * 20;
    until("the entries in the file", async || {
        std::fs::read(&file).ok().filter(|bytes| bytes.len() >= end && bytes[end - 12..end - 8] != [0; 4])
    })
    .await;
}

/// Lets a minute of rounds pass for the arbiter of this test, on which the queues live, in no time.
async fn a_minute() {
    tokio::time::pause();
    // A timer rings at the end of its millisecond, and the first round may just have begun.
    for _ in 0..62 {
        tokio::time::advance(Duration::from_millis(1_002)).await;
        tokio::task::yield_now().await;
    }
    tokio::time::resume();
}

async fn queues(server: &Server) -> usize {
    server.broker.doors.log.queues[0].send(CountQueues).await.unwrap()
}

async fn retired(server: &Server, count: usize) {
    written(server, count).await;
    a_minute().await;
    until("no queue", async || (queues(server).await == 0).then_some(())).await;
}

async fn started() -> (Server, Client) {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    for i in 0..10 {
        assert_eq!(client.send("T", 0, "", &format!("m-{i}")).await, i);
    }
    assert_eq!(queues(&server).await, 1);
    (server, client)
}

#[actix::test]
async fn a_retired_queue_goes_on_where_it_was() {
    let (server, _) = started().await;
    for count in 10..13 {
        retired(&server, count).await;
        // Time went by: the old connection may have been closed as idle.
        let mut client = server.client().await;
        assert_eq!(client.send("T", 0, "", &format!("m-{count}")).await, count as i64);
        assert_eq!(queues(&server).await, 1);
        assert_eq!(client.read_all("T", 0).await, numbered(count + 1));
    }
    server.stop().await;
}

#[actix::test]
async fn a_retired_queue_is_pulled_from_and_wakes_who_waits() {
    let (server, _) = started().await;
    retired(&server, 10).await;
    let mut client = server.client().await;
    assert_eq!(client.read_all("T", 0).await, numbered(10));
    assert_eq!(client.max_offset("T", "0").await, 10);
    retired(&server, 10).await;
    let mut reader = server.client().await;
    let pull = reader.submit(11, &patient_pull("T", 0, 10, 20_000), b"").await;
    let mut client = server.client().await;
    assert_eq!(client.send("T", 0, "", "m-10").await, 10);
    assert_eq!(reader.answer(pull).await.bodies(), ["m-10"]);
    server.stop().await;
}

#[actix::test]
async fn sends_that_meet_the_closing_queue_are_numbered_densely() {
    let (server, _) = started().await;
    let mut count = 10;
    for round in 0..20 {
        written(&server, count).await;
        let mut client = server.client().await;
        a_minute().await;
        // Somewhere between the last round, the writer's answer and the end of the actor.
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        assert_eq!(client.send("T", 0, "", &format!("m-{count}")).await, count as i64, "round {round}");
        count += 1;
    }
    assert_eq!(server.client().await.read_all("T", 0).await, numbered(count));
    server.stop().await;
}
