//! More messages than the ConsumeQueues' files take: what waits in memory stays bounded, and every queue hears of every
//! message, whoever tells it.

mod support;

use support::process::{Process, broker_arguments};
use support::{batch_body, patient_pull, short_send};

const QUEUES: i32 = 4;
const BATCHES: usize = 600;
const IN_A_BATCH: usize = 32;

#[actix::test]
async fn the_reader_of_the_log_tells_what_the_writer_could_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut arguments = broker_arguments(dir.path());
    // A bound that a burst passes long before the files of its entries are written.
    arguments.extend(["--set".into(), "actormqEntriesInMemoryMax=1000".into()]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let server = Process::start(&arguments);
    let mut consumer = server.client().await;
    consumer.make_topic("T", "4").await;
    let mut producers = [server.client().await, server.client().await];
    let mut sent = vec![0_usize; QUEUES as usize];
    for round in 0..BATCHES {
        let queue = round % QUEUES as usize;
        let texts: Vec<String> = (0..IN_A_BATCH).map(|number| format!("{queue}-{}", sent[queue] + number)).collect();
        sent[queue] += IN_A_BATCH;
        let messages: Vec<(&str, &str)> = texts.iter().map(|text| (text.as_str(), "")).collect();
        // A queue's batches go over one connection, which keeps their order.
        producers[queue % 2].submit(320, &short_send("T", queue as i32, ""), &batch_body(&messages)).await;
    }
    for queue in 0..QUEUES {
        let mut bodies = Vec::new();
        while bodies.len() < sent[queue as usize] {
            let from = bodies.len() as i64;
            bodies.extend(consumer.ask(11, &patient_pull("T", queue, from, 20_000), b"").await.bodies());
        }
        let expected: Vec<String> = (0..sent[queue as usize]).map(|number| format!("{queue}-{number}")).collect();
        assert_eq!(bodies, expected);
    }
    let (status, log) = server.terminate();
    assert!(status.success(), "{log}");
    assert!(log.contains("consumers hear of them late"), "the bound was never reached: {log}");
    assert!(log.contains("up to date again"), "{log}");
    let server = Process::start(&arguments);
    let mut consumer = server.client().await;
    for queue in 0..QUEUES {
        assert_eq!(consumer.max_offset("T", &queue.to_string()).await, sent[queue as usize] as i64);
    }
    server.kill();
}
