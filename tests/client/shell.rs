//! `actormq send` and `actormq consume` as processes.

use std::process::Stdio;

use actormq::client::{Client, ClientOptions, Outcome, ReceivedMessage};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::mpsc;

use crate::cluster::{Cluster, PULL};
use crate::server::Server;
use crate::{SOON, from_first};

async fn call(cluster: &Cluster, words: &[&str]) -> (i32, String, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_actormq"));
    command.args(words).args(["-n", &cluster.name_server]).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn a_message_goes_through_the_shell() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    let words = ["send", "--topic", "T", "--body", "hello", "--tag", "t", "--key", "k", "--count", "3"];
    let (status, out, _) = call(&cluster, &words).await;
    assert_eq!((status, out.lines().count()), (0, 3), "{out}");
    assert!(out.contains("T a/0 offset 0"), "{out}");
    let (status, out, _) = call(&cluster, &["consume", "--topic", "T", "--group", "g", "--json", "--count", "2"]).await;
    let lines: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((status, lines.len()), (0, 2));
    let first = &lines[0];
    assert_eq!((&first["topic"], &first["brokerName"], &first["body"]), (&"T".into(), &"a".into(), &"hello".into()));
    assert_eq!((&first["queueId"], &first["queueOffset"]), (&0.into(), &0.into()));
    assert_eq!((&first["tags"], &first["keys"], &first["reconsumeTimes"]), (&"t".into(), &"k".into(), &0.into()));
    assert_eq!(first["properties"]["UNIQ_KEY"], first["msgId"]);
    assert_eq!(cluster.committed("g", "a", "T", 0), Some(2), "only what was printed");
    let (status, out, _) = call(&cluster, &["consume", "--topic", "T", "--group", "g"]).await;
    assert_eq!((status, out.lines().count()), (0, 1), "the rest, and no waiting");
    assert!(out.contains("a/0 offset 2  tag t  keys k  hello"), "{out}");
}

#[tokio::test]
async fn statuses_tell_what_happened() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    let (status, _, error) = call(&cluster, &["send", "--topic", "nope", "--body", "x"]).await;
    assert_eq!(status, 1);
    assert!(error.contains("topic nope does not exist"), "{error}");
    let (status, ..) =
        call(&cluster, &["consume", "--topic", "T", "--group", "g", "--count", "1", "--timeout", "0.2"]).await;
    assert_eq!(status, 3);
    let (status, ..) = call(&cluster, &["send", "--topic", "T", "--body", "x", "--queue", "7"]).await;
    assert_eq!(status, 1);
    let (status, ..) = call(&cluster, &["send", "--topic", "a b", "--body", "x"]).await;
    assert_eq!(status, 2);
    let (status, ..) = call(&cluster, &["consume", "--topic", "T"]).await;
    assert_eq!(status, 2);
    let nobody = cluster.behind("127.0.0.1:1");
    let (status, _, error) = call(&nobody, &["send", "--topic", "T", "--body", "x"]).await;
    assert_eq!(status, 3);
    let advice = "no name server answers at 127.0.0.1:1: is it running? start one with `actormq standalone`";
    assert!(error.contains(advice), "{error}");
}

#[tokio::test]
async fn lines_of_standard_input_are_messages_and_following_waits_for_them() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    let start = |words: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_actormq"));
        command.args(words).args(["-n", &cluster.name_server]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
    };
    let mut follower = start(&["consume", "--topic", "T", "--group", "g", "--follow"]);
    cluster.until("the follower pulls", |cluster| cluster.count("a", PULL) > 0).await;
    let mut sender = start(&["send", "--topic", "T", "-"]);
    std::io::Write::write_all(&mut sender.stdin.take().unwrap(), b"one\n\ntwo\r\nthree").unwrap();
    let pipe = std::os::fd::OwnedFd::from(follower.stdout.take().unwrap());
    let mut lines = BufReader::new(tokio::net::unix::pipe::Receiver::from_owned_fd(pipe).unwrap()).lines();
    for body in ["one", "two", "three"] {
        let line = lines.next_line().await.unwrap().unwrap();
        assert!(line.ends_with(body), "{line}");
    }
    follower.kill().unwrap();
    follower.wait().unwrap();
    assert!(sender.wait().unwrap().success());
}

#[tokio::test]
async fn the_first_two_commands_of_a_newcomer() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let shell = |words: &'static [&'static str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_actormq"));
        command.args(words).env("NAMESRV_ADDR", &server.name_server).stdin(Stdio::null());
        async { tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap() }
    };
    let sent = shell(&["send", "--topic", "T", "--body", "hello"]).await;
    assert!(sent.status.success(), "{sent:?}");
    let consumed = shell(&["consume", "--topic", "T", "--group", "G"]).await;
    let text = String::from_utf8(consumed.stdout).unwrap();
    assert!(consumed.status.success() && text.ends_with("  hello\n"), "{text}");
    let again = shell(&["consume", "--topic", "T", "--group", "G"]).await;
    assert!(again.status.success() && again.stdout.is_empty(), "{again:?}");
}

#[tokio::test]
async fn dead_letters_are_listed_shown_and_sent_again() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let cluster = Client::connect(ClientOptions::new(&server.name_server)).await.unwrap();
    let (tell, mut heard) = mpsc::unbounded_channel();
    let listener = move |batch: Vec<ReceivedMessage>| {
        let again = batch[0].property("ORIGIN_MESSAGE_ID").is_some();
        tell.send(batch[0].clone()).unwrap();
        async move { if again { Outcome::Consumed } else { Outcome::GiveUp } }
    };
    let run = async |words: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_actormq"));
        command.args(words.split(' ')).args(["-n", &server.name_server]).stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    assert_eq!(run("topic create T").await.0, 0);
    let consumer = cluster.push_consumer(from_first("g")).subscribe("T", "*").start(listener).await.unwrap();
    let (status, out, error) = run("group dead-letters list g").await;
    assert_eq!((status, out.as_str(), error.as_str()), (0, "", "group g has no dead letters\n"));
    for body in ["one", "two"] {
        assert_eq!(run(&format!("send --topic T --body {body} --key k")).await.0, 0);
        tokio::time::timeout(SOON, heard.recv()).await.unwrap().unwrap();
    }
    let mut lines: Vec<serde_json::Value> = Vec::new();
    let begun = std::time::Instant::now();
    while lines.len() < 2 {
        assert!(begun.elapsed() < SOON, "{lines:?}");
        let (_, out, _) = run("group dead-letters list g --json").await;
        lines = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    }
    assert_eq!((&lines[0]["body"], &lines[1]["properties"]["RETRY_TOPIC"]), (&"one".into(), &"T".into()));
    let id = lines[0]["msgId"].as_str().unwrap();
    let (status, out, _) = run("group dead-letters list g").await;
    assert!(status == 0 && out.contains(id) && out.contains("from topic"), "{out}");
    let (status, out, _) = run(&format!("group dead-letters show g {id}")).await;
    assert!(status == 0 && out.contains("property      RETRY_TOPIC = T") && out.contains("body          one"), "{out}");
    let (status, _, error) = run("group dead-letters show g 0102").await;
    assert!(status == 1 && error.contains("group g has no dead letter of the id 0102"), "{error}");
    let (status, out, error) = run(&format!("group dead-letters resend g {id}")).await;
    assert!(status == 0 && out.contains("%RETRY%g"), "{out}{error}");
    let again = tokio::time::timeout(SOON, heard.recv()).await.unwrap().unwrap();
    assert_eq!((again.topic(), again.message_id().as_str(), again.reconsume_times), ("T", id, 0));
    let (status, out, error) = run("group dead-letters resend g --all --to-topic --json").await;
    assert_eq!((status, out.lines().count()), (0, 2), "{out}{error}");
    for _ in 0..2 {
        let again = tokio::time::timeout(SOON, heard.recv()).await.unwrap().unwrap();
        assert_eq!((&*again.queue.topic, again.keys(), again.property("RETRY_TOPIC")), ("T", Some("k"), None));
    }
    assert_eq!(run("group dead-letters resend g").await.0, 2);
    consumer.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_message_can_be_sent_to_come_later() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    assert_eq!(call(&cluster, &["send", "--topic", "T", "--body", "x", "--delay-level", "3"]).await.0, 0);
    let (_, out, _) = call(&cluster, &["consume", "--topic", "T", "--group", "g", "--json", "--count", "1"]).await;
    let line: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(line["properties"]["DELAY"], "3");
}
