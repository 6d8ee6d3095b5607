//! The disk is full or fails while messages flow.

mod support;

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use actormq::actors::log::flusher::Fatal;
use actormq::store::disk::{Disk, Faults};
use support::{Client, Server, short_send, topic_fields, until};

fn not_fatal() -> Fatal {
    Arc::new(|reason| panic!("{reason}"))
}

async fn start(faults: &Arc<Faults>, fatal: &Fatal) -> Server {
    let disk = Disk::breakable(faults.clone());
    Server::start_on_disk(disk, tempfile::tempdir().unwrap(), fatal, |_| {}).await
}

/// A body that names the message and is long enough to fill the space ahead soon.
fn body(number: usize) -> String {
    format!("{number:05}-{}", "x".repeat(60_000))
}

fn numbers(all: &[(u64, String)]) -> Vec<usize> {
    all.iter().map(|(_, body)| body[..5].parse().unwrap()).collect()
}

/// What the checkpoint says that every queue and the index hold.
fn dispatched(server: &Server) -> u64 {
    let bytes = std::fs::read(server.directory.path().join("data/checkpoint")).unwrap();
    u64::from_be_bytes(*bytes[40..].first_chunk().unwrap())
}

async fn send_until_refused(client: &mut Client, stored: &mut Vec<usize>) -> String {
    for number in stored.len().. {
        let answer = client.ask(310, &short_send("T", 0, "KEYS\u{1}k\u{2}"), body(number).as_bytes()).await;
        if answer.code != 0 {
            assert_eq!(answer.code, 14, "{answer:?}");
            return answer.remark().to_owned();
        }
        stored.push(number);
    }
    unreachable!("a disk without an end")
}

#[actix::test]
async fn a_full_disk_refuses_sends_and_nothing_else_until_there_is_space() {
    let faults = Arc::new(Faults::default());
    let server = start(&faults, &not_fatal()).await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    let mut stored = Vec::new();
    for round in 0..3 {
        faults.full.store(true, Ordering::Release);
        let remark = send_until_refused(&mut client, &mut stored).await;
        assert!(remark.contains("disk is full"), "{remark}");
        let mut reader = server.client().await;
        assert_eq!(numbers(&reader.read_all("T", 0).await), stored);
        faults.full.store(false, Ordering::Release);
        let number = stored.len();
        let offset = until("space for a message", async || {
            let answer = client.ask(310, &short_send("T", 0, "KEYS\u{1}k\u{2}"), body(number).as_bytes()).await;
            (answer.code == 0).then(|| answer.number("queueOffset"))
        })
        .await;
        assert_eq!(offset, number as i64, "round {round}");
        stored.push(number);
    }
    assert_eq!(numbers(&client.read_all("T", 0).await), stored);
    let keyed = until("the keys of all", async || {
        let header = support::key_query("T", "k");
        let answer = client.ask(12, &header, b"").await;
        let newest = answer.bodies().first().map(|body| body[..5].parse::<usize>().unwrap());
        newest.filter(|newest| *newest == stored.len() - 1)
    })
    .await;
    assert_eq!(keyed, stored.len() - 1);
    server.stop().await;
}

#[actix::test]
async fn queues_that_cannot_be_written_are_read_and_hold_the_checkpoint_back() {
    let faults = Arc::new(Faults::default());
    let server = start(&faults, &not_fatal()).await;
    let mut client = server.client().await;
    client.make_topic("T", "2").await;
    assert_eq!(client.send("T", 0, "", "m-0").await, 0);
    let end = async |server: &Server| {
        let end = server.broker.doors.log.log_range().1;
        until("a checkpoint at the end", async || (dispatched(server) == end).then_some(())).await;
        end
    };
    let before = end(&server).await;
    faults.full.store(true, Ordering::Release);
    // The log has space ahead; the file of the queue has none.
    for i in 1..5 {
        assert_eq!(client.send("T", 0, "", &format!("m-{i}")).await, i);
    }
    let queue = server.directory.path().join("data/consumequeue/T/0/00000000000000000000");
    let flushed = &server.broker.doors.log.view.ends().flushed;
    let log_end = server.broker.doors.log.log_range().1;
    until("a synced log", async || (flushed.load(Ordering::Acquire) >= log_end).then_some(())).await;
    // It was tried again in several rounds, and nothing has moved.
    until("more attempts", async || (faults.refusals.load(Ordering::Acquire) >= 4).then_some(())).await;
    assert_eq!(dispatched(&server), before);
    assert_eq!(std::fs::read(&queue).unwrap()[20..40], [0; 20]);
    assert_eq!(client.read_all("T", 0).await.len(), 5);
    faults.full.store(false, Ordering::Release);
    assert!(end(&server).await > before);
    assert_ne!(std::fs::read(&queue).unwrap()[80..100], [0; 20]);
    server.stop().await;
}

#[actix::test]
async fn a_topic_that_the_list_cannot_take_is_refused_until_it_can() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.make_topic("A", "1").await;
    let config = server.directory.path().join("data/config");
    let saved = |name: &str| std::fs::read_to_string(config.join("topics.json")).is_ok_and(|text| text.contains(name));
    assert!(saved("\"A\""), "the list has what was answered for");
    let blocked = config.join("topics.json.tmp");
    std::fs::create_dir(&blocked).unwrap();
    for _ in 0..2 {
        let made = client.ask(17, &topic_fields("B", "1"), b"").await;
        let sent = client.ask(310, &short_send("C", 0, ""), b"never").await;
        for refused in [made, sent] {
            assert!(refused.code == 1 && refused.remark().contains("could not be saved"), "{refused:?}");
        }
    }
    assert_eq!(client.send("A", 0, "", "m-0").await, 0, "what was there serves on");
    assert!(!saved("\"B\"") && saved("\"A\""));
    std::fs::remove_dir(&blocked).unwrap();
    assert_eq!(client.send("C", 0, "", "m-0").await, 0);
    client.make_topic("B", "1").await;
    assert!(saved("\"B\"") && saved("\"C\""));
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
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

#[actix::test]
async fn a_sync_that_fails_ends_the_process_and_the_next_one_has_what_was_acknowledged() {
    let faults = Arc::new(Faults::default());
    let said = Arc::new(Mutex::new(Vec::new()));
    let fatal: Fatal = Arc::new({
        let said = said.clone();
        move |reason| said.lock().unwrap().push(reason)
    });
    let server = start(&faults, &fatal).await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    for i in 0..50 {
        assert_eq!(client.send("T", 0, "", &format!("m-{i}")).await, i);
    }
    faults.unsynced.store(true, Ordering::Release);
    assert_eq!(client.send("T", 0, "", "m-50").await, 50);
    let reason = until("the end", async || said.lock().unwrap().first().cloned()).await;
    assert!(reason.contains("cannot sync") && reason.contains("commitlog"), "{reason}");
    // The directory as the process would leave it, for the next one.
    let directory = tempfile::tempdir().unwrap();
    copy(server.directory.path(), directory.path());
    let next = Server::start_in(directory, &not_fatal(), |_| {}).await;
    assert!(next.broker.found.crashed);
    let all = next.client().await.read_all("T", 0).await;
    let wanted: Vec<(u64, String)> = (0..51).map(|i| (i, format!("m-{i}"))).collect();
    assert_eq!(all, wanted);
    next.stop().await;
}
