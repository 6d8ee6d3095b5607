//! More messages than the ConsumeQueues' files take: what waits in memory stays bounded, and every queue hears of every
//! message, whoever tells it.

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use actormq::actors::log::flusher::Fatal;
use actormq::store::disk::{Disk, Faults};
use support::{Server, batch_body, patient_pull, short_send};

const QUEUES: i32 = 4;
const BATCHES: usize = 400;
const IN_A_BATCH: usize = 32;
const ENTRIES_MAX: u32 = 1_000;

#[actix::test]
async fn the_reader_of_the_log_tells_what_the_writer_could_not() {
    let faults = Arc::new(Faults::default());
    let fatal: Fatal = Arc::new(|reason| panic!("{reason}"));
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start_on_disk(Disk::breakable(faults.clone()), directory, &fatal, |config| {
        config.store.entries_in_memory_max = ENTRIES_MAX;
    })
    .await;
    let mut consumer = server.client().await;
    let mut producer = server.client().await;
    consumer.make_topic("T", "4").await;
    let all = (BATCHES * IN_A_BATCH) as i64;
    let mut sent = vec![0_usize; QUEUES as usize];
    faults.full.store(true, Ordering::Release);
    for round in 0..BATCHES {
        let queue = round % QUEUES as usize;
        let texts: Vec<String> = (0..IN_A_BATCH).map(|number| format!("{queue}-{}", sent[queue] + number)).collect();
        sent[queue] += IN_A_BATCH;
        let messages: Vec<(&str, &str)> = texts.iter().map(|text| (text.as_str(), "")).collect();
        let answer = producer.ask(320, &short_send("T", queue as i32, ""), &batch_body(&messages)).await;
        assert_eq!(answer.code, 0, "{}", answer.remark());
    }
    let mut told = 0;
    for queue in 0..QUEUES {
        told += consumer.max_offset("T", &queue.to_string()).await;
    }
    // A turn of the writer may pass the bound before it is looked at.
    assert!(told < all / 2, "the queues were told of {told} of {all} messages though nothing could be written");
    faults.full.store(false, Ordering::Release);
    for queue in 0..QUEUES {
        let mut bodies = Vec::new();
        while bodies.len() < sent[queue as usize] {
            let from = bodies.len() as i64;
            bodies.extend(consumer.ask(11, &patient_pull("T", queue, from, 20_000), b"").await.bodies());
        }
        let expected: Vec<String> = (0..sent[queue as usize]).map(|number| format!("{queue}-{number}")).collect();
        assert_eq!(bodies, expected);
    }
    // From here on the writer tells again.
    assert_eq!(consumer.send("T", 0, "", "last").await, sent[0] as i64);
    let last = consumer.ask(11, &patient_pull("T", 0, sent[0] as i64, 20_000), b"").await;
    assert_eq!(last.bodies(), ["last"]);
    server.stop().await;
}
