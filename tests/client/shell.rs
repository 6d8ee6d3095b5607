//! `actormq send` and `actormq consume` as processes.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};

use crate::cluster::{Cluster, PULL};
use crate::server::Server;

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
