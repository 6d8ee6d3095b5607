//! Each kind of actor ends by a panic while messages flow, and its parent keeps its rule.

mod support;

use std::path::Path;
use std::sync::{Arc, Mutex};

use actormq::actors::Stop;
use actormq::actors::crash::{Crash, CrashQueue};
use actormq::actors::log::QueueSlot;
use actormq::actors::log::flusher::Fatal;
use actormq::protocol::body::Body;
use actormq::protocol::body::clients::{ConsumeType, ConsumerData, HeartbeatData, MessageModel, SubscriptionData};
use actormq::protocol::header::pull::PullMessageRequest;
use support::{Client, MAY_WAIT, Server, fields, patient_pull, pull, short_send, until};

/// What the process would have said as it ended.
type Said = Arc<Mutex<Vec<String>>>;

fn recording() -> (Said, Fatal) {
    let said = Said::default();
    let fatal: Fatal = Arc::new({
        let said = said.clone();
        move |reason| said.lock().unwrap().push(reason)
    });
    (said, fatal)
}

fn slot(server: &Server, topic: &str) -> QueueSlot {
    server.broker.doors.topics.table.get(topic).unwrap().slot(0).unwrap()
}

fn crash_queue(server: &Server, topic: &str) {
    let slot = slot(server, topic);
    server.broker.doors.log.queues_of(slot).do_send(CrashQueue { slot });
}

fn numbered(name: &str, count: usize) -> Vec<(u64, String)> {
    (0..count).map(|i| (i as u64, format!("{name}-{i}"))).collect()
}

/// All messages of the queue, once it can be asked.
async fn all_of(client: &mut Client, topic: &str) -> Vec<(u64, String)> {
    until("the queue's return", async || {
        let answer = client.ask(11, &pull(topic, 0, 0), b"").await;
        assert!([0, 14, 19].contains(&answer.code), "{answer:?}");
        (answer.code != 14).then_some(())
    })
    .await;
    client.read_all(topic, 0).await
}

async fn join(client: &mut Client, id: &str) {
    let subscription =
        SubscriptionData { topic: "T".into(), sub_string: "*".into(), sub_version: 1, ..SubscriptionData::default() };
    let consumer = ConsumerData {
        group_name: "g".into(),
        consume_type: Some(ConsumeType::ConsumePassively),
        message_model: Some(MessageModel::Clustering),
        subscription_data_set: vec![subscription],
        ..ConsumerData::default()
    };
    let heartbeat =
        HeartbeatData { client_id: id.into(), consumer_data_set: vec![consumer], ..HeartbeatData::default() };
    let body = heartbeat.encode();
    until("a heartbeat that is taken", async || (client.ask(34, &fields(&[]), &body).await.code == 0).then_some(()))
        .await;
}

async fn members(client: &mut Client) -> String {
    let answer = client.ask(38, &fields(&[("consumerGroup", "g")]), b"").await;
    String::from_utf8_lossy(&answer.body).into_owned()
}

#[actix::test]
async fn the_end_of_a_session_touches_nobody_else() {
    let server = Server::start().await;
    let (mut ending, mut staying) = (server.client().await, server.client().await);
    staying.make_topic("T", "1").await;
    join(&mut ending, "ending").await;
    join(&mut staying, "staying").await;
    assert!(members(&mut staying).await.contains("ending"));
    let waiting = staying.submit(11, &patient_pull("T", 0, 0, 600_000), b"").await;
    ending.submit(11, &patient_pull("T", 0, 0, 600_000), b"").await;
    assert_eq!(ending.max_offset("T", "0").await, 0);
    server.broker.crash_session(ending.socket.local_addr().unwrap());
    ending.is_hung_up().await;
    assert_eq!(staying.send("T", 0, "", "m-0").await, 0);
    assert_eq!(staying.answer(waiting).await.bodies(), ["m-0"]);
    // The group hears of its loss as of any other.
    until("the member's leaving", async || (!members(&mut staying).await.contains("ending")).then_some(())).await;
    assert!(members(&mut staying).await.contains("staying"));
    let mut again = server.client().await;
    assert_eq!(again.send("T", 0, "", "m-1").await, 1);
    assert_eq!(staying.read_all("T", 0).await, numbered("m", 2));
    server.stop().await;
}

#[actix::test]
async fn a_topic_queue_comes_back_with_every_message() {
    let server = Server::start().await;
    let (mut producer, mut consumer) = (server.client().await, server.client().await);
    producer.make_topic("T", "1").await;
    producer.make_topic("Other", "1").await;
    let other = consumer.submit(11, &patient_pull("Other", 0, 0, 600_000), b"").await;
    let mut sent = 0;
    for round in 0..4 {
        for _ in 0..50 {
            assert_eq!(producer.send("T", 0, "TAGS\u{1}a\u{2}", &format!("m-{sent}")).await, sent as i64);
            sent += 1;
        }
        if round % 2 == 0 {
            // Some of its entries are in its files then, some are not.
            server.broker.doors.log.queues_of(slot(&server, "T")).send(Stop).await.unwrap();
            assert_eq!(producer.send("T", 0, "", &format!("m-{sent}")).await, sent as i64);
            sent += 1;
        }
        assert_eq!(all_of(&mut consumer, "T").await, numbered("m", sent));
        let waiting = consumer.submit(11, &patient_pull("T", 0, sent as i64, 600_000), b"").await;
        assert_eq!(consumer.max_offset("T", "0").await, sent as i64);
        crash_queue(&server, "T");
        // Messages go on while it is away, and the pull that waited is not forgotten.
        for _ in 0..50 {
            assert_eq!(producer.send("T", 0, "", &format!("m-{sent}")).await, sent as i64);
            sent += 1;
        }
        let answer = consumer.answer(waiting).await;
        assert!(answer.code == 0 || answer.code == 14, "{answer:?}");
        assert_eq!(all_of(&mut consumer, "T").await, numbered("m", sent));
    }
    producer.send("Other", 0, "", "other").await;
    assert_eq!(consumer.answer(other).await.bodies(), ["other"]);
    server.stop().await;
}

#[actix::test]
async fn a_topic_queue_does_not_come_back_with_messages_of_a_deleted_topic() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    for i in 0..30 {
        client.send("T", 0, "", &format!("old-{i}")).await;
    }
    client.delete_topic("T").await;
    client.make_topic("T", "1").await;
    assert_eq!(all_of(&mut client, "T").await, []);
    crash_queue(&server, "T");
    for i in 0..3 {
        assert_eq!(client.send("T", 0, "", &format!("new-{i}")).await, i);
    }
    assert_eq!(all_of(&mut client, "T").await, numbered("new", 3));
    crash_queue(&server, "T");
    assert_eq!(client.send("T", 0, "", "new-3").await, 3);
    assert_eq!(all_of(&mut client, "T").await, numbered("new", 4));
    server.stop().await;
}

#[actix::test]
async fn a_waiting_pull_hears_that_its_topic_was_deleted() {
    let server = Server::start().await;
    let (mut client, mut consumer) = (server.client().await, server.client().await);
    client.make_topic("T", "1").await;
    let waiting = consumer.submit(11, &patient_pull("T", 0, 0, 600_000), b"").await;
    assert_eq!(consumer.max_offset("T", "0").await, 0);
    client.delete_topic("T").await;
    let answer = consumer.answer(waiting).await;
    assert!(answer.code != 0 && !answer.remark().is_empty(), "{answer:?}");
    server.stop().await;
}

#[actix::test]
async fn the_owners_of_facts_come_back_with_them() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    join(&mut client, "one").await;
    assert_eq!(client.send("T", 0, "", "m-0").await, 0);
    let doors = &server.broker.doors;
    for round in 1..4 {
        doors.topics.owner.tell(Crash);
        doors.groups.owner.tell(Crash);
        doors.offsets.owner.tell(Crash);
        doors.members.owner.tell(Crash);
        doors.statistics.tell(Crash);
        doors.settings.owner.tell(Crash);
        // Messages of known topics need none of them, nor do members whose subscription is known.
        assert_eq!(client.send("T", 0, "", &format!("m-{round}")).await, round);
        let known = PullMessageRequest { sys_flag: MAY_WAIT, ..patient_pull("T", 0, round, 600_000) };
        let found = client.ask(11, &known, b"").await;
        assert_eq!(found.bodies(), [format!("m-{round}")], "{found:?}");
        let made = format!("New-{round}");
        let header = support::topic_fields(&made, "1");
        until("a topic made", async || (client.ask(17, &header, b"").await.code == 0).then_some(())).await;
        assert_eq!(client.send(&made, 0, "", "hello").await, 0);
        let commit = round.to_string();
        let commit = fields(&[("consumerGroup", "g"), ("topic", "T"), ("queueId", "0"), ("commitOffset", &commit)]);
        let asked = fields(&[("consumerGroup", "g"), ("topic", "T"), ("queueId", "0")]);
        until("an offset that is kept", async || {
            client.ask(15, &commit, b"").await;
            let answer = client.ask(14, &asked, b"").await;
            (answer.code == 0 && answer.number("offset") == round).then_some(())
        })
        .await;
        join(&mut client, "one").await;
        assert!(members(&mut client).await.contains("one"));
        until("figures", async || (client.ask(28, &fields(&[]), b"").await.code == 0).then_some(())).await;
        until("settings", async || (client.ask(26, &fields(&[]), b"").await.code == 0).then_some(())).await;
        let group = fields(&[("groupName", "g"), ("group", "g")]);
        until("the group", async || (client.ask(352, &group, b"").await.code == 0).then_some(())).await;
    }
    for round in 1..4 {
        assert_eq!(client.read_all(&format!("New-{round}"), 0).await, [(0, "hello".to_owned())]);
    }
    server.stop().await;
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[actix::test]
async fn the_end_of_the_writer_ends_the_process_and_recovery_finds_what_was_acknowledged() {
    let (said, fatal) = recording();
    let server = Server::start_in(tempfile::tempdir().unwrap(), &fatal, |_| {}).await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    let mut numbers = Vec::new();
    for i in 0..400 {
        if i == 200 {
            client.answer(numbers[100]).await;
            server.broker.doors.log.writer.do_send(Crash);
        }
        numbers.push(client.submit(310, &short_send("T", 0, ""), format!("m-{i}").as_bytes()).await);
    }
    until("the reason for the end", async || (!said.lock().unwrap().is_empty()).then_some(())).await;
    let reasons = said.lock().unwrap().clone();
    assert_eq!(reasons, ["the CommitLog writer ended by a panic: a crash was asked for"]);
    // A question that comes after all answers there will be.
    assert_eq!(client.ask(30, &fields(&[("topic", "T"), ("queueId", "0")]), b"").await.code, 0);
    let acknowledged = numbers.iter().filter(|number| client.has_answer(**number)).count();
    assert!((100..400).contains(&acknowledged), "{acknowledged}");
    // The disk as the end of the process leaves it.
    let left = tempfile::tempdir().unwrap();
    copy(server.directory.path(), left.path());
    assert!(left.path().join("data/abort").exists());
    let (_, fatal) = recording();
    let recovered = Server::start_in(left, &fatal, |_| {}).await;
    assert!(recovered.broker.found.crashed);
    let mut client = recovered.client().await;
    let all = client.read_all("T", 0).await;
    assert!(all.len() >= acknowledged, "{} of {acknowledged}", all.len());
    assert_eq!(all, numbered("m", all.len()));
    assert_eq!(client.send("T", 0, "", "next").await, all.len() as i64);
    recovered.stop().await;
}

#[actix::test]
async fn the_end_of_whom_nothing_works_without_ends_the_process_with_its_name() {
    for number in 0.. {
        let (said, fatal) = recording();
        let server = Server::start_in(tempfile::tempdir().unwrap(), &fatal, |_| {}).await;
        let Some((who, pillar)) = server.broker.pillars.0.get(number) else {
            assert_eq!(number, 7, "one of the actors is not tried");
            return;
        };
        let mut client = server.client().await;
        client.make_topic("T", "1").await;
        assert_eq!(client.send("T", 0, "KEYS\u{1}k\u{2}", "m-0").await, 0);
        pillar.do_send(Crash);
        until("the reason for the end", async || (!said.lock().unwrap().is_empty()).then_some(())).await;
        assert_eq!(said.lock().unwrap()[0], format!("{who} ended by a panic: a crash was asked for"));
    }
}
