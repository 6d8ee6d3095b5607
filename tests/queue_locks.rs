//! Consumers that take queues for themselves alone: locks over sockets.

mod support;

use std::time::Duration;

use actormq::actors::crash::Crash;
use actormq::actors::queue_locks::LOCK_LIFE;
use actormq::protocol::body::Body;
use actormq::protocol::body::groups::SubscriptionGroupConfig;
use actormq::protocol::body::locks::{LockBatchRequest, LockBatchResponse};
use actormq::protocol::body::queue::MessageQueue;
use actormq::protocol::frame::Codec;
use actormq::protocol::header::send::SendMessageRequestV2;
use support::{Client, Server, fields, short_send, until};

const NONE: [i32; 0] = [];
const LOCK: i32 = 41;
const UNLOCK: i32 = 42;

fn request(group: &str, id: &str, numbers: &[i32]) -> Vec<u8> {
    let queue =
        |queue_id: &i32| MessageQueue { topic: "T".into(), broker_name: "broker-a".into(), queue_id: *queue_id };
    let mq_set = numbers.iter().map(queue).collect();
    LockBatchRequest { client_id: id.into(), consumer_group: group.into(), mq_set, only_this_broker: false }.encode()
}

fn granted(body: &LockBatchResponse) -> Vec<i32> {
    let mut numbers: Vec<_> = body.locked.iter().map(|queue| queue.queue_id).collect();
    numbers.sort_unstable();
    numbers
}

async fn lock(client: &mut Client, id: &str, numbers: &[i32]) -> Vec<i32> {
    granted(&client.ask(LOCK, &fields(&[]), &request("g", id, numbers)).await.body())
}

async fn unlock(client: &mut Client, id: &str, numbers: &[i32]) {
    let answer = client.ask(UNLOCK, &fields(&[]), &request("g", id, numbers)).await;
    assert_eq!((answer.code, answer.body.len()), (0, 0), "{answer:?}");
}

#[actix::test]
async fn a_queue_is_one_consumers_own_until_it_gives_it_back() {
    let server = Server::start().await;
    let (mut a, mut b) = (server.client().await, server.client().await.with_codec(Codec::Binary));
    assert_eq!(lock(&mut a, "a", &[0, 1, 2]).await, [0, 1, 2]);
    assert_eq!(lock(&mut b, "b", &[2, 3]).await, [3]);
    unlock(&mut b, "b", &[0, 1, 2]).await;
    assert_eq!(lock(&mut b, "b", &[0, 1, 2]).await, NONE, "a stranger's unlock does nothing");
    let other = b.ask(LOCK, &fields(&[]), &request("other", "b", &[0, 1])).await;
    assert_eq!(granted(&other.body()), [0, 1], "another group is independent");
    unlock(&mut a, "a", &[0]).await;
    assert_eq!(lock(&mut b, "b", &[0, 1]).await, [0]);
    // As Java writes it: sets in any order, fields that may be absent or unknown.
    let body = br#"{"consumerGroup":"g","clientId":"a","mqSet":[{"queueId":1,"brokerName":"broker-a","topic":"T"}],"onlyThisBroker":true,"later":1}"#;
    let answer = a.ask(LOCK, &fields(&[]), body).await;
    assert_eq!(
        std::str::from_utf8(&answer.body).unwrap(),
        r#"{"lockOKMQSet":[{"brokerName":"broker-a","queueId":1,"topic":"T"}]}"#
    );
    server.stop().await;
}

#[actix::test]
async fn a_lock_outlives_its_connection_but_not_its_time() {
    let server = Server::start().await;
    let (mut a, mut b) = (server.client().await, server.client().await);
    assert_eq!(lock(&mut a, "a", &[0, 1]).await, [0, 1]);
    drop(a);
    assert_eq!(lock(&mut b, "b", &[0, 1]).await, NONE, "what died may only be slow");
    assert!(server.broker.doors.members.locks.table.holds_any("g"));
    tokio::time::pause();
    tokio::time::advance(LOCK_LIFE - Duration::from_secs(20)).await;
    tokio::time::resume();
    assert_eq!(lock(&mut b, "b", &[0, 1]).await, NONE);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(21)).await;
    tokio::time::resume();
    assert!(!server.broker.doors.members.locks.table.holds_any("g"));
    assert_eq!(lock(&mut b, "b", &[0, 1]).await, [0, 1]);
    server.stop().await;
}

#[actix::test]
async fn requests_of_one_connection_are_heard_in_its_order() {
    let server = Server::start().await;
    let (mut a, mut b) = (server.client().await, server.client().await);
    let numbers: Vec<i32> = (0..8).collect();
    for _ in 0..50 {
        let mut bytes = Vec::new();
        for round in 0..8 {
            let code = if round % 2 == 0 { LOCK } else { UNLOCK };
            bytes.extend(a.request((code, 0), &fields(&[]), &request("g", "a", &numbers)).1);
        }
        let (last, more) = a.request((LOCK, 0), &fields(&[]), &request("g", "a", &numbers));
        bytes.extend(more);
        tokio::io::AsyncWriteExt::write_all(&mut a.socket, &bytes).await.unwrap();
        assert_eq!(granted(&a.answer(last).await.body()), numbers);
        assert_eq!(lock(&mut b, "b", &numbers).await, NONE);
        unlock(&mut a, "a", &numbers).await;
    }
    server.stop().await;
}

#[actix::test]
async fn locks_outlive_a_panic_of_their_owner() {
    let server = Server::start().await;
    let (mut a, mut b) = (server.client().await, server.client().await);
    assert_eq!(lock(&mut a, "a", &[0, 1]).await, [0, 1]);
    server.broker.doors.members.locks.owner.tell(Crash);
    let answer = until("the owner's return", async || {
        let answer = b.ask(LOCK, &fields(&[]), &request("g", "b", &[0, 1, 2])).await;
        assert!([0, 14].contains(&answer.code), "{answer:?}");
        (answer.code == 0).then_some(answer)
    })
    .await;
    assert_eq!(granted(&answer.body()), [2]);
    assert_eq!(lock(&mut a, "a", &[0, 1, 2]).await, [0, 1]);
    server.stop().await;
}

#[actix::test]
async fn what_makes_no_sense_is_refused_and_harms_nothing() {
    let server = Server::start().await;
    let mut client = server.client().await;
    assert_eq!(lock(&mut client, "a", &[0]).await, [0]);
    let deep = "[".repeat(10_000);
    let bodies: [&[u8]; 7] = [
        b"",
        b"{",
        deep.as_bytes(),
        br#"{"consumerGroup":"g","clientId":"a","mqSet":7}"#,
        br#"{"consumerGroup":"","clientId":"a","mqSet":[]}"#,
        br#"{"consumerGroup":"a/b","clientId":"a","mqSet":[]}"#,
        br#"{"consumerGroup":"g","mqSet":[{"topic":"T","brokerName":"broker-a","queueId":0}]}"#,
    ];
    for code in [LOCK, UNLOCK] {
        for body in bodies {
            let answer = client.ask(code, &fields(&[]), body).await;
            assert_eq!(answer.code, 1, "{code} {}: {answer:?}", String::from_utf8_lossy(body));
            assert!(!answer.remark().is_empty());
        }
    }
    let mut other = server.client().await;
    assert_eq!(lock(&mut other, "b", &[0]).await, NONE);
    server.stop().await;
}

#[actix::test]
async fn what_a_consumer_sends_to_its_retry_topic_is_given_up_while_its_group_holds_a_queue() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let group = SubscriptionGroupConfig { group_name: "g".into(), ..SubscriptionGroupConfig::default() };
    assert_eq!(client.ask(200, &fields(&[]), &group.encode()).await.code, 0);
    let again = SendMessageRequestV2 { reconsume_times: Some(1), ..short_send("%RETRY%g", 0, "") };
    assert_eq!(client.ask(310, &again, b"free").await.code, 0);
    assert_eq!(lock(&mut client, "a", &[0]).await, [0]);
    assert_eq!(client.ask(310, &again, b"held").await.code, 0);
    unlock(&mut client, "a", &[0]).await;
    assert_eq!(client.ask(310, &again, b"free again").await.code, 0);
    let of = async |client: &mut Client, topic: &str| {
        client.read_all(topic, 0).await.into_iter().map(|(_, body)| body).collect::<Vec<_>>()
    };
    assert_eq!(of(&mut client, "%RETRY%g").await, ["free", "free again"]);
    assert_eq!(of(&mut client, "%DLQ%g").await, ["held"]);
    server.stop().await;
}
