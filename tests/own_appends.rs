//! Records that the broker makes itself go the way of what clients send.

mod support;

use actormq::actors::commitlog_writer::{Batch, Outcome};
use actormq::actors::log::draft::{DraftError, QueueCode};
use actormq::protocol::names::{QueueKey, Topic};
use actormq::protocol::properties;
use actormq::protocol::record::NewRecord;
use support::{Server, until};

const TEXT: &str = "UNIQ_KEY\u{1}u-1\u{2}KEYS\u{1}k\u{2}TAGS\u{1}TagA\u{2}";

fn record(topic: &str, queue: u32) -> NewRecord<'_> {
    NewRecord {
        topic,
        queue,
        flag: 3,
        sys_flag: 8,
        born_timestamp_ms: 1_700_000_000_000,
        born_host: ([10, 0, 0, 1], 1).into(),
        store_host: ([10, 0, 0, 2], 2).into(),
        reconsume_times: 4,
        prepared_transaction_offset: 99,
        body: b"own",
        properties: &[],
    }
}

#[actix::test]
async fn a_batch_of_own_records_is_stored_found_and_told_of_in_the_order_it_was_made() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.make_topic("A", "2").await;
    client.make_topic("B", "1").await;
    assert_eq!(client.send("A", 0, "", "before").await, 0);
    let log = server.broker.doors.log.clone();
    let (a, b) = (log.topics.get("A").unwrap(), log.topics.get("B").unwrap());
    let seen = properties::scan(TEXT);
    let pieces: [&[u8]; 1] = [TEXT.as_bytes()];
    let mut batch = Batch { durable: true, ..Batch::default() };
    // Queue 0 of A is open, the others have to be opened first.
    for (entry, queue, code) in [
        (&b, 0, QueueCode::Tag),
        (&a, 0, QueueCode::Fixed(7)),
        (&a, 1, QueueCode::DueAfter(60_000)),
        (&a, 0, QueueCode::Unqueued),
        (&b, 0, QueueCode::Tag),
    ] {
        let record = NewRecord { properties: &pieces, ..record(&entry.config.topic, queue) };
        log.own.add(&mut batch, entry, (record, seen), code).unwrap();
    }
    let missing = log.own.add(&mut batch, &b, (record("B", 1), seen), QueueCode::Tag);
    assert_eq!(missing, Err(DraftError::Queue { topic: b.config.topic.clone(), queue: 1 }));
    let large = NewRecord { body: &vec![0; 16 << 20], ..record("B", 0) };
    let large = log.own.add(&mut batch, &b, (large, seen), QueueCode::Tag);
    assert!(matches!(large, Err(DraftError::Size { .. })), "{large:?}");
    let placed = log.own.append(batch).await;
    assert!(placed.iter().all(|one| one.outcome == Outcome::Stored && one.store_timestamp_ms > 0), "{placed:?}");
    let offsets: Vec<u64> = placed.iter().map(|one| one.queue_offset).collect();
    assert_eq!(offsets, [0, 1, 0, 0, 1]);

    let codes = async |topic: &str, queue| {
        let key = QueueKey { topic: Topic::new(topic).unwrap(), queue };
        log.entries(&key, 0, 10).await.unwrap().iter().map(|entry| entry.tag_code).collect::<Vec<_>>()
    };
    assert_eq!(codes("A", 0).await, [0, 7]);
    assert_eq!(codes("A", 1).await, [placed[2].store_timestamp_ms + 60_000]);
    assert_eq!(codes("B", 0).await, [2_598_919, 2_598_919]);
    let stored = log.stored_at(placed[3].at).await.unwrap().unwrap();
    let parts = stored.parts().unwrap();
    assert_eq!((parts.topic, parts.queue, parts.body, parts.properties), ("A", 0, &b"own"[..], TEXT));
    assert_eq!((parts.flag, parts.sys_flag, parts.reconsume_times), (3, 8, 4));
    assert_eq!((parts.prepared_transaction_offset, parts.store_host), (99, ([10, 0, 0, 2], 2).into()));
    assert_eq!(parts.again(), NewRecord { prepared_transaction_offset: 0, ..record("A", 0) });
    assert!(log.stored_at(placed[3].at + 1).await.unwrap().is_none());
    assert_eq!(client.read_all("B", 0).await, [(0, "own".to_owned()), (1, "own".to_owned())]);
    until("the keys of the own records", async || (client.by_key("B", "k").await.len() == 2).then_some(())).await;
    server.stop().await;
}

#[actix::test]
async fn own_records_of_a_topic_that_is_deleted_are_refused() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.make_topic("A", "1").await;
    client.make_topic("B", "1").await;
    let log = server.broker.doors.log.clone();
    let (a, b) = (log.topics.get("A").unwrap(), log.topics.get("B").unwrap());
    client.delete_topic("A").await;
    let mut batch = Batch::default();
    for (entry, topic) in [(&a, "A"), (&b, "B")] {
        log.own.add(&mut batch, entry, (record(topic, 0), properties::scan("")), QueueCode::Tag).unwrap();
    }
    let placed = log.own.append(batch).await;
    assert_eq!((placed[0].outcome, placed[1].outcome), (Outcome::TopicGone, Outcome::Stored));
    assert!(log.own.append(Batch::default()).await.is_empty());
    server.stop().await;
}
