//! What was acknowledged is there after the process was killed, over real sockets with the real binary.

mod support;

use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use actormq::protocol::body::topics::MappedTopicConfig;
use actormq::protocol::header::transactions::EndTransactionRequest;
use actormq::protocol::record::Record;
use actormq::protocol::uniq_key;
use support::process::{self, Process};
use support::{Client, batch_body, short_send, until};

const SEGMENT_BYTES: u64 = 1024 * 1024;

fn keyed(key: &str) -> String {
    format!("KEYS\u{1}{key}\u{2}UNIQ_KEY\u{1}u-{key}\u{2}TAGS\u{1}a\u{2}")
}

/// Names of the queue's messages from offset 0 on, as the senders numbered them.
fn numbered(name: &str, count: usize) -> Vec<(u64, String)> {
    (0..count).map(|i| (i as u64, format!("{name}-{i}"))).collect()
}

fn segment(dir: &Path, base: u64) -> PathBuf {
    dir.join("commitlog").join(format!("{base:020}"))
}

/// Offset of the last whole record of the first segment, and the end of it.
fn last_record(dir: &Path) -> (u64, u64) {
    let bytes = std::fs::read(segment(dir, 0)).unwrap();
    let (mut last, mut end) = (0, 0);
    while let Ok(record) = Record::read(&bytes[end..]) {
        (last, end) = (end, end + record.size);
    }
    (last as u64, end as u64)
}

#[actix::test]
async fn a_kill_in_the_middle_of_a_stream_loses_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let server = Process::broker(dir.path());
    let mut client = server.client().await;
    client.make_topic("T", "2").await;
    // The list of topics is written within a second; a kill before that keeps only queues with messages.
    let topics = dir.path().join("config/topics.json");
    until("the list of topics", async || {
        std::fs::read_to_string(&topics).is_ok_and(|text| text.contains("\"T\"")).then_some(())
    })
    .await;
    for i in 0..20 {
        client.send("T", 0, &keyed(&format!("k{i}")), &format!("m-{i}")).await;
    }
    // Killed while answers come: those that came are the ones that count.
    let mut stream = server.client().await;
    let mut numbers = Vec::new();
    let mut bytes = Vec::new();
    for i in 20..2_000 {
        let (number, request) =
            stream.request((310, 0), &short_send("T", 0, &keyed(&format!("k{i}"))), format!("m-{i}").as_bytes());
        numbers.push(number);
        bytes.extend(request);
    }
    let (mut reading, mut acknowledged) = (numbers.into_iter(), 20);
    let killed = {
        tokio::io::AsyncWriteExt::write_all(&mut stream.socket, &bytes).await.unwrap();
        for number in reading.by_ref().take(300) {
            assert_eq!(stream.answer(number).await.number("queueOffset"), acknowledged);
            acknowledged += 1;
        }
        server.kill()
    };
    assert!(!killed.0.success());
    for number in reading {
        let Some(answer) = stream.try_answer(number).await else { break };
        assert_eq!((answer.code, answer.number("queueOffset")), (0, acknowledged));
        acknowledged += 1;
    }
    assert!(dir.path().join("abort").exists());

    let server = Process::broker(dir.path());
    let mut client = server.client().await;
    let all = client.read_all("T", 0).await;
    assert!(all.len() >= acknowledged as usize, "{} of {acknowledged}", all.len());
    assert_eq!(all, numbered("m", all.len()));
    assert_eq!(client.send("T", 0, "", "next").await, all.len() as i64);
    assert_eq!(client.send("T", 1, "", "other").await, 0);
    for key in [0, 19, 20, acknowledged - 1] {
        assert_eq!(client.by_key("T", &format!("k{key}")).await, [format!("m-{key}")]);
    }
    server.kill();
}

/// A power cut as the files show it: the index's header was written, its items were not, and the machine booted anew.
#[actix::test]
async fn keys_whose_index_did_not_reach_the_disk_are_indexed_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = Process::broker(dir.path());
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    for i in 0..20 {
        client.send("T", 0, &keyed(&format!("k{i}")), &format!("m-{i}")).await;
    }
    client.by_key("T", "k19").await;
    let checkpoint = dir.path().join("checkpoint");
    let number = |at: usize| {
        let bytes = std::fs::read(&checkpoint).unwrap();
        u64::from_be_bytes(*bytes[at..].first_chunk().unwrap())
    };
    let (dispatched, indexed, boot) = (40, 2072, 2080);
    until("a checkpoint behind all messages", async || (number(dispatched) > 20 * 100).then_some(())).await;
    server.kill();
    let file = std::fs::OpenOptions::new().write(true).open(&checkpoint).unwrap();
    file.write_all_at(&0u64.to_be_bytes(), indexed as u64).unwrap();
    file.write_all_at(&(number(boot) ^ 1).to_be_bytes(), boot as u64).unwrap();
    let index = std::fs::read_dir(dir.path().join("index")).unwrap().next().unwrap().unwrap().path();
    let index = std::fs::OpenOptions::new().write(true).open(index).unwrap();
    let length = index.metadata().unwrap().len();
    index.set_len(40).and_then(|()| index.set_len(length)).unwrap();
    let server = Process::broker(dir.path());
    let mut client = server.client().await;
    for i in 0..20 {
        assert_eq!(client.by_key("T", &format!("k{i}")).await, [format!("m-{i}")]);
    }
    assert_eq!(client.read_all("T", 0).await, numbered("m", 20));
    assert_eq!(client.send("T", 0, &keyed("k20"), "m-20").await, 20);
    assert_eq!(client.by_key("T", "k20").await, ["m-20"]);
    until("an index that is on the disk", async || (number(indexed) >= number(dispatched)).then_some(())).await;
    server.kill();
}

#[actix::test]
async fn consumer_offsets_survive_a_kill_once_they_were_saved_and_never_pass_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let server = Process::broker(dir.path());
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    for i in 0..10 {
        client.send("T", 0, "", &format!("m-{i}")).await;
    }
    // A first pull makes the group.
    client.read_all("T", 0).await;
    client.commit("g", "T", "7").await;
    let file = dir.path().join("config/consumerOffset.json");
    until("the saved offset", async || {
        std::fs::read_to_string(&file).ok().filter(|text| text.contains("T@g") && text.contains('7'))
    })
    .await;
    server.kill();
    let server = Process::broker(dir.path());
    let mut client = server.client().await;
    assert_eq!(client.committed("g", "T").await, 7);
    server.kill();
    // The log lost its second half: the group goes on at its end.
    let (mut at, mut cut) = (0, 0);
    let bytes = std::fs::read(segment(dir.path(), 0)).unwrap();
    for _ in 0..5 {
        cut = at + Record::read(&bytes[at as usize..]).unwrap().size as u64;
        at = cut;
    }
    wipe(dir.path(), cut, SEGMENT_BYTES);
    std::fs::remove_file(dir.path().join("checkpoint")).unwrap();
    let server = Process::broker(dir.path());
    let mut client = server.client().await;
    assert_eq!(client.read_all("T", 0).await, numbered("m", 5));
    assert_eq!(client.committed("g", "T").await, 5);
    assert_eq!(client.send("T", 0, "", "m-5").await, 5);
    server.kill();
}

fn wipe(dir: &Path, from: u64, to: u64) {
    let file = std::fs::OpenOptions::new().write(true).open(segment(dir, 0)).unwrap();
    file.write_all_at(&vec![0; (to - from) as usize], from).unwrap();
}

#[actix::test]
async fn a_stop_in_order_leaves_no_abort_file_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let server = Process::broker(dir.path());
        let mut client = server.client().await;
        if round == 0 {
            client.make_topic("T", "1").await;
        }
        assert!(dir.path().join("abort").exists());
        assert_eq!(client.read_all("T", 0).await, numbered("m", round * 50));
        for i in round * 50..(round + 1) * 50 {
            assert_eq!(client.send("T", 0, &keyed(&format!("k{i}")), &format!("m-{i}")).await, i as i64);
        }
        client.commit("g", "T", &(round * 50).to_string()).await;
        let (status, stderr) = server.terminate();
        assert!(status.success(), "{status}: {stderr}");
        assert!(!dir.path().join("abort").exists(), "{stderr}");
    }
    let server = Process::broker(dir.path());
    let mut client = server.client().await;
    assert_eq!(client.read_all("T", 0).await, numbered("m", 150));
    assert_eq!(client.committed("g", "T").await, 100);
    assert_eq!(client.by_key("T", "k0").await, ["m-0"]);
    assert_eq!(client.by_key("T", "k149").await, ["m-149"]);
    server.kill();
}

#[actix::test]
async fn nothing_of_a_deleted_topic_comes_back_and_nothing_of_the_new_one_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let server = Process::broker(dir.path());
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    client.make_topic("Gone", "1").await;
    client.make_topic("Other", "1").await;
    for i in 0..30 {
        client.send("T", 0, "", &format!("old-{i}")).await;
        client.send("Gone", 0, "", &format!("gone-{i}")).await;
        client.send("Other", 0, "", &format!("other-{i}")).await;
    }
    client.delete_topic("T").await;
    client.delete_topic("Gone").await;
    client.make_topic("T", "1").await;
    // The list of topics goes to its file at most once a second; messages are safe at once.
    let file = dir.path().join("config/topics.json");
    until("the saved topics", async || {
        std::fs::read_to_string(&file).ok().filter(|text| text.contains("\"T\"") && !text.contains("\"Gone\""))
    })
    .await;
    for i in 0..10 {
        assert_eq!(client.send("T", 0, "", &format!("new-{i}")).await, i);
    }
    server.kill();
    // Once from what the last process noted, once from the log alone.
    for checkpoint_is_there in [true, false] {
        if !checkpoint_is_there {
            std::fs::remove_file(dir.path().join("checkpoint")).unwrap();
        }
        let server = Process::broker(dir.path());
        let mut client = server.client().await;
        assert_eq!(client.read_all("T", 0).await, numbered("new", 10));
        assert_eq!(client.read_all("Other", 0).await, numbered("other", 30));
        let gone = client.ask(11, &support::pull("Gone", 0, 0), b"").await;
        assert_eq!(gone.code, 17, "{gone:?}");
        server.kill();
    }
    let server = Process::broker(dir.path());
    let mut client = server.client().await;
    client.make_topic("Gone", "1").await;
    assert_eq!(client.send("Gone", 0, "", "gone-0").await, 0);
    assert_eq!(client.read_all("Gone", 0).await, numbered("gone", 1));
    server.kill();
}

#[actix::test]
async fn a_torn_tail_is_cut() {
    type Tear = fn(&std::fs::File, (u64, u64));
    let tears: [(&str, Tear, usize); 4] = [
        ("garbage behind the last record", |file, (_, end)| file.write_all_at(&[0xAB; 5_000], end).unwrap(), 10),
        (
            "a record whose end is missing",
            |file, (last, end)| {
                let middle = last + (end - last) / 2;
                file.write_all_at(&vec![0; (end - middle) as usize], middle).unwrap();
            },
            9,
        ),
        ("a record with a flipped byte in its body", |file, (last, _)| file.write_all_at(b"M", last + 88).unwrap(), 9),
        (
            "a length that lies",
            |file, (_, end)| {
                file.write_all_at(&[0x7F, 0xFF, 0xFF, 0xFF, 0xDA, 0xA3, 0x20, 0xA7], end).unwrap();
            },
            10,
        ),
    ];
    for (what, tear, whole) in tears {
        let dir = tempfile::tempdir().unwrap();
        let server = Process::broker(dir.path());
        let mut client = server.client().await;
        client.make_topic("T", "1").await;
        for i in 0..10 {
            client.send("T", 0, &keyed(&format!("k{i}")), &format!("m-{i}")).await;
        }
        // Without a checkpoint the directory is another program's, whose topics are all in the list.
        let file = dir.path().join("config/topics.json");
        until("the saved topics", async || std::fs::read_to_string(&file).ok().filter(|text| text.contains("\"T\"")))
            .await;
        server.kill();
        let last = last_record(dir.path());
        tear(&std::fs::OpenOptions::new().write(true).open(segment(dir.path(), 0)).unwrap(), last);
        // The log is read from its start where nothing says that it is whole.
        let _ = std::fs::remove_file(dir.path().join("checkpoint"));
        let server = Process::broker(dir.path());
        let mut client = server.client().await;
        assert_eq!(client.read_all("T", 0).await, numbered("m", whole), "{what}");
        assert_eq!(client.send("T", 0, "", &format!("m-{whole}")).await, whole as i64, "{what}");
        server.kill();
        let server = Process::broker(dir.path());
        assert_eq!(server.client().await.read_all("T", 0).await, numbered("m", whole + 1), "{what}");
        server.kill();
    }
}

#[actix::test]
async fn a_hole_in_the_log_is_no_tail_and_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let server = Process::broker(dir.path());
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    let body = "x".repeat(200_000);
    for _ in 0..12 {
        client.send("T", 0, "", &body).await;
    }
    server.kill();
    assert!(segment(dir.path(), SEGMENT_BYTES).exists());
    let mut file = std::fs::OpenOptions::new().read(true).write(true).open(segment(dir.path(), 0)).unwrap();
    let mut first = [0; 4];
    file.read_exact(&mut first).unwrap();
    let hole = u64::from(u32::from_be_bytes(first));
    file.seek(SeekFrom::Start(hole)).unwrap();
    file.write_all(&[0; 100]).unwrap();
    let _ = std::fs::remove_file(dir.path().join("checkpoint"));
    let before = std::fs::read(segment(dir.path(), SEGMENT_BYTES)).unwrap();
    let arguments = process::broker_arguments(dir.path());
    let (status, _, stderr) = process::run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(status.code(), Some(1), "{stderr}");
    let line = stderr.lines().find(|line| line.starts_with("actormq: ")).unwrap();
    assert!(line.contains("00000000000000000000") && line.contains(&format!("offset {hole}")), "{line}");
    assert!(std::fs::read(segment(dir.path(), SEGMENT_BYTES)).unwrap() == before);
}

#[actix::test]
async fn a_log_of_several_segments_is_whole_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let server = Process::broker(dir.path());
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    let long = "x".repeat(3_000);
    let text = |i: usize| format!("{i}-{long}");
    for batch in 0..100 {
        let texts: Vec<String> = (batch * 10..(batch + 1) * 10).map(text).collect();
        let messages: Vec<(&str, &str)> = texts.iter().map(|text| (text.as_str(), "")).collect();
        let answer = client.ask(320, &short_send("T", 0, ""), &batch_body(&messages)).await;
        assert_eq!(answer.number("queueOffset"), batch as i64 * 10);
    }
    server.kill();
    assert!(segment(dir.path(), 2 * SEGMENT_BYTES).exists());
    let server = Process::broker(dir.path());
    let all = server.client().await.read_all("T", 0).await;
    assert_eq!(all.len(), 1_000);
    assert!(all.into_iter().enumerate().all(|(i, (offset, body))| offset == i as u64 && body == text(i)));
    server.kill();
}

#[actix::test]
async fn topics_made_just_before_a_kill_are_there_with_their_messages() {
    let dir = tempfile::tempdir().unwrap();
    let server = Process::broker(dir.path());
    let mut client = server.client().await;
    for topic in ["A", "B", "C"] {
        client.make_topic(topic, "2").await;
        for i in 0..3 {
            client.send(topic, 1, "", &format!("{topic}-{i}")).await;
        }
    }
    client.send("MadeByItself", 3, "", "auto-0").await;
    client.delete_topic("B").await;
    server.kill();
    let server = Process::broker(dir.path());
    let mut client = server.client().await;
    assert_eq!(client.read_all("A", 1).await, numbered("A", 3));
    assert_eq!(client.read_all("C", 1).await, numbered("C", 3));
    assert_eq!(client.read_all("MadeByItself", 3).await, numbered("auto", 1));
    // At most its name comes back.
    let deleted = client.ask(11, &support::pull("B", 1, 0), b"").await;
    assert!(deleted.body.is_empty() && deleted.code != 0, "{deleted:?}");
    assert_eq!(client.send("A", 1, "", "A-3").await, 3);
    server.kill();
}

/// The place of a half message that is the first thing sent to its topic; nothing where its answer did not come.
async fn half_sent(client: &mut Client, number: i32) -> Option<EndTransactionRequest<'static>> {
    let answer = client.try_answer(number).await?;
    assert_eq!(answer.code, 0, "{answer:?}");
    let (_, at) = uniq_key::decode_offset_id(&answer.field("msgId")).unwrap();
    Some(EndTransactionRequest {
        topic: None,
        producer_group: "p",
        tran_state_table_offset: answer.number("queueOffset"),
        commit_log_offset: at as i64,
        commit_or_rollback: 8,
        from_transaction_check: false,
        msg_id: "half",
        transaction_id: None,
    })
}

#[actix::test]
async fn topics_without_messages_that_were_answered_for_are_there_after_a_kill() {
    const COUNT: usize = 300;
    const HALF: &str = "TRAN_MSG\u{1}true\u{2}PGROUP\u{1}p\u{2}";
    let dir = tempfile::tempdir().unwrap();
    let server = Process::broker(dir.path());
    let (mut one, mut other) = (server.client().await, server.client().await);
    one.make_topic("Made", "3").await;
    one.make_topic("Changed", "1").await;
    let mut numbers = Vec::new();
    for i in 0..COUNT {
        // Both are first in turn: whoever finds the topic made by the other waits with it.
        let topic = format!("First{i}");
        let (early, late) = if i % 2 == 0 { (&mut one, &mut other) } else { (&mut other, &mut one) };
        let pair = [
            early.submit(310, &short_send(&topic, 1, HALF), b"half").await,
            late.submit(310, &short_send(&topic, 1, HALF), b"half").await,
        ];
        numbers.push(if i % 2 == 0 { pair } else { [pair[1], pair[0]] });
    }
    other.make_topic("Changed", "5").await;
    let mut halves = Vec::new();
    for (i, [number, late]) in numbers.iter().enumerate() {
        halves.extend(half_sent(&mut one, *number).await.map(|half| (i, half)));
        halves.extend(half_sent(&mut other, *late).await.map(|half| (i, half)));
    }
    one.make_topic("Last", "2").await;
    server.kill();
    assert_eq!(halves.len(), 2 * COUNT);

    let server = Process::broker(dir.path());
    let mut client = server.client().await;
    for (topic, queues) in [("Made", 3), ("Changed", 5), ("Last", 2)] {
        let answer = client.command(351, &[("topic", topic)], b"").await;
        let config: MappedTopicConfig = answer.body();
        assert_eq!(config.write_queue_nums, queues, "{topic}");
    }
    for (i, half) in &halves {
        let answer = client.ask(37, half, b"").await;
        assert_eq!(answer.code, 0, "First{i}: {answer:?}");
    }
    for i in 0..COUNT {
        assert_eq!(client.read_all(&format!("First{i}"), 1).await.len(), 2);
    }
    server.kill();
}

#[actix::test]
async fn a_topic_is_listed_when_its_first_send_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Process::broker(dir.path());
    for round in 0..5 {
        let topic = format!("Round{round}");
        let mut client = server.client().await;
        let number =
            client.submit(310, &short_send(&topic, 1, "TRAN_MSG\u{1}true\u{2}PGROUP\u{1}p\u{2}"), b"half").await;
        let half = half_sent(&mut client, number).await.unwrap();
        server.kill();
        server = Process::broker(dir.path());
        let answer = server.client().await.ask(37, &half, b"").await;
        assert_eq!(answer.code, 0, "{answer:?}");
        assert_eq!(server.client().await.read_all(&topic, 1).await, [(0, "half".to_owned())]);
    }
    server.kill();
}

#[actix::test]
async fn a_queue_whose_file_has_a_wrong_length_is_made_again_after_any_end() {
    for crash in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let server = Process::broker(dir.path());
        let mut client = server.client().await;
        client.make_topic("T", "2").await;
        for i in 0..20 {
            client.send("T", 0, "", &format!("m-{i}")).await;
            client.send("T", 1, "", &format!("n-{i}")).await;
        }
        let queue = dir.path().join("consumequeue/T/0");
        let file = queue.join("00000000000000000000");
        until("the queues' files", async || {
            (file.exists() && dir.path().join("consumequeue/T/1/00000000000000000000").exists()).then_some(())
        })
        .await;
        if crash {
            server.kill()
        } else {
            server.terminate()
        };
        std::fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(70).unwrap();
        let server = Process::broker(dir.path());
        let mut client = server.client().await;
        assert_eq!(client.read_all("T", 0).await, numbered("m", 20));
        assert_eq!(client.read_all("T", 1).await, numbered("n", 20));
        assert_eq!(client.send("T", 0, "", "m-20").await, 20);
        let (_, stderr) = server.kill();
        assert!(stderr.contains("made again from the whole log") && stderr.contains("it is 70 bytes long"), "{stderr}");
        assert_eq!(queue.with_extension("bad").read_dir().unwrap().count(), 1);
    }
}
