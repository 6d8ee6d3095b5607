//! Delay levels: messages wait in SCHEDULE_TOPIC_XXXX, and come when they are due; not before, and not twice.

mod support;

use std::path::Path;
use std::sync::Arc;

use actormq::actors::crash::{CountQueues, Crash};
use actormq::actors::delay::EncodeDelayOffsets;
use actormq::actors::log::flusher::Fatal;
use actormq::config::{BrokerConfig, DelayLevels};
use actormq::protocol::code::ResponseCode;
use actormq::protocol::frame::Codec;
use actormq::protocol::header::send::SendMessageRequestV2;
use actormq::protocol::names::{QueueKey, SCHEDULE_TOPIC, Topic};
use actormq::protocol::uniq_key;
use support::process::{Process, broker_arguments};
use support::{Client, Server, batch_body, fields, pull, short_send, until};
use tempfile::TempDir;

/// Level 1: a second. Level 2: later than any test here ends. Level 3, the last: two seconds.
fn levels(config: &mut BrokerConfig) {
    config.delay.levels = DelayLevels::parse("1s 1d 2s").unwrap();
}

async fn start() -> Server {
    Server::start_with(levels).await
}

async fn start_in(directory: TempDir) -> Server {
    let fatal: Fatal = Arc::new(|reason| panic!("{reason}"));
    Server::start_in(directory, &fatal, levels).await
}

async fn restarted(server: Server) -> Server {
    server.broker.stop().await;
    start_in(server.directory).await
}

fn key(level: u32) -> QueueKey {
    QueueKey { topic: Topic::new(SCHEDULE_TOPIC).unwrap(), queue: level - 1 }
}

/// All of a queue, once it holds so many.
async fn arrived(client: &mut Client, topic: &str, queue: i32, count: usize) -> Vec<(u64, String)> {
    until(&format!("{count} messages in {topic}"), async || {
        (client.max_offset(topic, &queue.to_string()).await >= count as i64).then_some(())
    })
    .await;
    client.read_all(topic, queue).await
}

fn numbered(count: usize) -> Vec<(u64, String)> {
    (0..count).map(|i| (i as u64, format!("m{i}"))).collect()
}

fn progress_file(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("config/delayOffset.json")).unwrap_or_default()
}

#[actix::test]
async fn a_delayed_message_waits_and_comes_as_rocketmq_delivers_it() {
    let server = start().await;
    let mut client = server.client().await.with_codec(Codec::Binary);
    client.make_topic("T", "4").await;
    let text = "UNIQ_KEY\u{1}u-0\u{2}KEYS\u{1}k\u{2}TAGS\u{1}TagA\u{2}own\u{1}v\u{2}DELAY\u{1}99\u{2}WAIT\u{1}true\u{2}\
                TIMER_DELAY_SEC\u{1}9\u{2}";
    let sent = SendMessageRequestV2 { reconsume_times: Some(2), ..short_send("T", 3, text) };
    let answer = client.ask(310, &sent, b"late").await;
    assert_eq!((answer.code, answer.number("queueId"), answer.number("queueOffset")), (0, 3, 0), "{answer:?}");
    assert_eq!(answer.field("transactionId"), "u-0");
    assert_eq!(client.max_offset("T", "3").await, 0);

    // Where it waits, a message by its id, as RocketMQ shows it.
    let (_, at) = uniq_key::decode_offset_id(&answer.field("msgId")).unwrap();
    let waiting = client.ask(33, &fields(&[("offset", &at.to_string())]), b"").await;
    let waiting = waiting.records().remove(0);
    assert_eq!((waiting.topic, waiting.queue, waiting.queue_offset), (SCHEDULE_TOPIC, 2, 0));
    let expected = "UNIQ_KEY\u{1}u-0\u{2}KEYS\u{1}k\u{2}TAGS\u{1}TagA\u{2}own\u{1}v\u{2}DELAY\u{1}3\u{2}WAIT\u{1}true\u{2}\
                    REAL_TOPIC\u{1}T\u{2}REAL_QID\u{1}3\u{2}\
                    MSG_REGION\u{1}DefaultRegion\u{2}TRACE_ON\u{1}true\u{2}CLUSTER\u{1}DefaultCluster\u{2}";
    assert_eq!(waiting.properties, expected);
    let entries = server.broker.doors.log.entries(&key(3), 0, 10).await.unwrap();
    assert_eq!((entries.len(), entries[0].tag_code), (1, waiting.store_timestamp_ms + 2_000));

    until("the message", async || (client.max_offset("T", "3").await == 1).then_some(())).await;
    let came = client.ask(11, &pull("T", 3, 0), b"").await;
    let record = came.records().remove(0);
    assert_eq!((record.topic, record.queue, record.body), ("T", 3, &b"late"[..]));
    assert_eq!(record.properties, expected);
    assert_eq!((record.born_timestamp_ms, record.born_host), (waiting.born_timestamp_ms, waiting.born_host));
    assert_eq!((record.reconsume_times, record.flag, record.sys_flag), (2, 7, waiting.sys_flag));
    let waited = record.store_timestamp_ms - waiting.store_timestamp_ms;
    assert!(waited >= 2_000, "delivered after {waited} ms");
    let topic = QueueKey { topic: Topic::new("T").unwrap(), queue: 3 };
    assert_eq!(server.broker.doors.log.entries(&topic, 0, 10).await.unwrap()[0].tag_code, 2_598_919);
    assert_eq!(client.by_key("T", "k").await, ["late"]);
    let progress = client.ask(45, &fields(&[]), b"").await;
    assert!(String::from_utf8_lossy(&progress.body).contains("\"offsetTable\":{3:1}"), "{progress:?}");
    server.stop().await;
}

#[actix::test]
async fn levels_that_nobody_uses_cost_no_queue() {
    let server = start().await;
    let mut client = server.client().await;
    let open = async || server.broker.doors.log.queues[0].send(CountQueues).await.unwrap();
    client.make_topic("T", "1").await;
    client.send("T", 0, "", "m0").await;
    assert_eq!(client.ask(28, &fields(&[]), b"").await.code, 0);
    assert_eq!(open().await, 1);
    client.send("T", 0, "DELAY\u{1}1\u{2}", "m1").await;
    assert_eq!(arrived(&mut client, "T", 0, 2).await, numbered(2));
    let runtime = client.ask(28, &fields(&[]), b"").await;
    assert!(String::from_utf8_lossy(&runtime.body).contains("\"scheduleMessageOffset_1\":\"1,1\""), "{runtime:?}");
    server.stop().await;
}

#[actix::test]
async fn what_cannot_be_delayed_is_stored_at_once_or_refused() {
    let server = start().await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    // A property without a value is none.
    for level in ["0", "-1", "-2147483648", ""] {
        client.send("T", 0, &format!("DELAY\u{1}{level}\u{2}"), "now").await;
    }
    assert_eq!(client.read_all("T", 0).await.len(), 4);
    for (text, code) in [
        ("DELAY\u{1}soon\u{2}", ResponseCode::SystemError),
        ("DELAY\u{1}99999999999\u{2}", ResponseCode::SystemError),
        ("DELAY\u{1}1.5\u{2}", ResponseCode::SystemError),
        ("TIMER_DELAY_SEC\u{1}5\u{2}", ResponseCode::MessageIllegal),
        ("TIMER_DELAY_MS\u{1}5\u{2}DELAY\u{1}0\u{2}", ResponseCode::MessageIllegal),
        ("TIMER_DELIVER_MS\u{1}5\u{2}", ResponseCode::MessageIllegal),
    ] {
        let answer = client.ask(310, &short_send("T", 0, text), b"never").await;
        assert_eq!(answer.code, code.number(), "{text:?}: {answer:?}");
        assert!(answer.remark().contains("DELAY") || answer.remark().contains("timed"), "{answer:?}");
    }
    let to_schedule = client.ask(310, &short_send(SCHEDULE_TOPIC, 0, "DELAY\u{1}1\u{2}"), b"never").await;
    assert_eq!(to_schedule.code, ResponseCode::NoPermission.number());
    // As for RocketMQ: the batch's own level is refused, its messages' are not looked at.
    let batch = SendMessageRequestV2 { batch: Some(true), ..short_send("T", 0, "DELAY\u{1}1\u{2}") };
    let refused = client.ask(320, &batch, &batch_body(&[("never", "")])).await;
    assert_eq!(refused.code, ResponseCode::MessageIllegal.number(), "{refused:?}");
    let batch = SendMessageRequestV2 { batch: Some(true), ..short_send("T", 0, "") };
    assert_eq!(client.ask(320, &batch, &batch_body(&[("now", "DELAY\u{1}1\u{2}")])).await.code, 0);
    assert_eq!(client.read_all("T", 0).await.len(), 5);
    server.stop().await;
}

#[actix::test]
async fn nothing_comes_early_whenever_it_says_it_was_born_and_nothing_waits_longer_for_it() {
    let server = start().await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    let births = [i64::MIN, -1, 0, 1, i64::MAX];
    let mut stored_ms = Vec::new();
    for born_timestamp in births {
        let send = SendMessageRequestV2 { born_timestamp, ..short_send("T", 0, "DELAY\u{1}3\u{2}") };
        let answer = client.ask(310, &send, b"odd").await;
        assert_eq!(answer.code, 0, "{answer:?}");
        let (_, at) = uniq_key::decode_offset_id(&answer.field("msgId")).unwrap();
        let waiting = client.ask(33, &fields(&[("offset", &at.to_string())]), b"").await;
        stored_ms.push(waiting.records()[0].store_timestamp_ms);
    }
    assert_eq!(arrived(&mut client, "T", 0, births.len()).await.len(), births.len());
    let came = client.ask(11, &pull("T", 0, 0), b"").await;
    for ((record, stored_ms), born) in came.records().iter().zip(stored_ms).zip(births) {
        assert_eq!(record.born_timestamp_ms, born);
        assert!(record.store_timestamp_ms >= stored_ms + 2_000, "{record:?}");
    }
    server.stop().await;
}

#[actix::test]
async fn many_that_are_due_together_come_in_their_order_and_once() {
    const COUNT: usize = 10_000;
    let server = start().await;
    let mut client = server.client().await.with_codec(Codec::Binary);
    client.make_topic("T", "2").await;
    client.send("T", 0, "DELAY\u{1}2\u{2}", "stays").await;
    let mut bytes = Vec::new();
    for i in 0..COUNT {
        let text = if i % 2 == 0 { "DELAY\u{1}1\u{2}" } else { "DELAY\u{1}3\u{2}" };
        bytes.extend(
            client.request((310, 2), &short_send("T", (i % 2) as i32, text), format!("m{}", i / 2).as_bytes()).1,
        );
    }
    tokio::io::AsyncWriteExt::write_all(&mut client.socket, &bytes).await.unwrap();
    for queue in [0, 1] {
        assert_eq!(arrived(&mut client, "T", queue, COUNT / 2).await, numbered(COUNT / 2));
    }
    let server = restarted(server).await;
    let mut client = server.client().await.with_codec(Codec::Binary);
    client.send("T", 0, "DELAY\u{1}1\u{2}", "last").await;
    assert_eq!(arrived(&mut client, "T", 0, COUNT / 2 + 1).await.last().unwrap().1, "last");
    assert_eq!(client.max_offset("T", "1").await, COUNT as i64 / 2);
    server.stop().await;
}

#[actix::test]
async fn a_clean_restart_repeats_nothing_and_forgets_nothing() {
    let server = start().await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    for i in 0..20 {
        client.send("T", 0, "DELAY\u{1}1\u{2}", &format!("m{i}")).await;
    }
    arrived(&mut client, "T", 0, 20).await;
    for i in 20..40 {
        client.send("T", 0, "DELAY\u{1}1\u{2}", &format!("m{i}")).await;
    }
    let server = restarted(server).await;
    let dir = server.directory.path().join("data");
    assert!(progress_file(&dir).contains("offsetTable"), "{}", progress_file(&dir));
    let mut client = server.client().await;
    assert_eq!(arrived(&mut client, "T", 0, 40).await, numbered(40));
    client.send("T", 0, "DELAY\u{1}1\u{2}", "m40").await;
    assert_eq!(arrived(&mut client, "T", 0, 41).await, numbered(41));
    server.broker.stop().await;
    assert!(progress_file(&dir).contains("1:41"), "{}", progress_file(&dir));
}

#[actix::test]
async fn a_kill_loses_nothing_that_was_delayed() {
    let directory = tempfile::tempdir().unwrap();
    let mut arguments = broker_arguments(directory.path());
    arguments.extend(["--set".into(), "messageDelayLevel=1s 3s".into()]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let process = Process::start(&arguments);
    let mut client = process.client().await;
    client.make_topic("T", "2").await;
    for i in 0..20 {
        client.send("T", 0, "DELAY\u{1}1\u{2}", &format!("m{i}")).await;
        client.send("T", 1, "DELAY\u{1}2\u{2}", &format!("m{i}")).await;
    }
    arrived(&mut client, "T", 0, 20).await;
    process.kill();
    let process = Process::start(&arguments);
    let mut client = process.client().await;
    // Those that had come may come again, for the file is written every ten seconds; the others come once.
    assert_eq!(arrived(&mut client, "T", 1, 20).await, numbered(20));
    let all = client.read_all("T", 0).await;
    assert_eq!(all[..20], numbered(20));
    assert!(all[20..].iter().all(|(_, body)| body.starts_with('m')));
    process.terminate();
}

#[actix::test]
async fn the_scheduler_is_built_again_after_a_panic_and_goes_on_where_it_was() {
    let server = start().await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    for i in 0..10 {
        client.send("T", 0, "DELAY\u{1}1\u{2}", &format!("m{i}")).await;
    }
    arrived(&mut client, "T", 0, 10).await;
    until("the progress", async || (server.broker.doors.delay.progress.of(1) == 10).then_some(())).await;
    for i in 10..20 {
        client.send("T", 0, "DELAY\u{1}1\u{2}", &format!("m{i}")).await;
    }
    server.broker.doors.delay.owner.tell(Crash);
    assert_eq!(arrived(&mut client, "T", 0, 20).await, numbered(20));
    until("the new scheduler's answer", async || server.broker.doors.delay.owner.ask(EncodeDelayOffsets).await.ok())
        .await;
    server.stop().await;
}

#[actix::test]
async fn progress_beyond_the_queue_is_lowered_before_the_first_message() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().join("data");
    std::fs::create_dir_all(dir.join("config")).unwrap();
    std::fs::write(dir.join("config/delayOffset.json"), "{\"offsetTable\":{1:1000,25:7}}").unwrap();
    let server = start_in(directory).await;
    assert!(!progress_file(&dir).contains("1000"), "{}", progress_file(&dir));
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    client.send("T", 0, "DELAY\u{1}1\u{2}", "m0").await;
    assert_eq!(arrived(&mut client, "T", 0, 1).await, numbered(1));
    server.broker.stop().await;
    // A level that only another broker's settings have is kept for it.
    assert!(progress_file(&dir).contains("25:7"), "{}", progress_file(&dir));
}

#[actix::test]
async fn queues_that_are_rebuilt_from_the_log_know_when_their_messages_are_due() {
    let server = start().await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    for i in 0..5 {
        client.send("T", 0, "DELAY\u{1}1\u{2}", &format!("m{i}")).await;
        client.send("T", 0, "DELAY\u{1}2\u{2}", "stays").await;
    }
    let before = server.broker.doors.log.entries(&key(2), 0, 10).await.unwrap();
    server.broker.stop().await;
    let dir = server.directory.path().join("data");
    std::fs::remove_dir_all(dir.join("consumequeue").join(SCHEDULE_TOPIC)).unwrap();
    std::fs::remove_file(dir.join("checkpoint")).unwrap();
    std::fs::write(dir.join("abort"), "").unwrap();
    let server = start_in(server.directory).await;
    assert_eq!(server.broker.doors.log.entries(&key(2), 0, 10).await.unwrap(), before);
    assert_eq!(before.len(), 5);
    let mut client = server.client().await;
    assert_eq!(arrived(&mut client, "T", 0, 5).await, numbered(5));
    server.stop().await;
}

#[actix::test]
async fn a_deleted_topics_messages_do_not_come_to_its_namesake() {
    let server = start().await;
    let mut client = server.client().await;
    client.make_topic("T", "2").await;
    client.make_topic("Other", "1").await;
    client.send("T", 1, "DELAY\u{1}1\u{2}", "old").await;
    client.delete_topic("T").await;
    client.make_topic("T", "1").await;
    client.send("T", 0, "DELAY\u{1}1\u{2}", "new").await;
    client.send("Other", 0, "DELAY\u{1}1\u{2}", "m0").await;
    assert_eq!(arrived(&mut client, "Other", 0, 1).await, numbered(1));
    assert_eq!(client.read_all("T", 0).await, [(0, "new".to_owned())]);
    server.stop().await;
}
