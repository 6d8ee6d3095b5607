//! The command line, as a program of its own.

use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::Value;

use crate::cases::Cases;
use crate::{World, name, until};

pub fn add(cases: &mut Cases) {
    cases.add("shell: send and consume", messages_go_through);
    cases.add("shell: topic", topic);
    cases.add("shell: group", group);
    cases.add("shell: message", message);
    cases.add("shell: cluster, broker config, connections, top", servers);
}

struct Ended {
    status: i32,
    out: String,
    err: String,
}

fn actormq(world: &World, words: &[&str]) -> Command {
    let binary = std::env::var("BROKER_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_actormq").to_owned());
    let mut command = Command::new(binary);
    command.args(words).args(["-n", &world.name_server]).stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

async fn call(world: &World, words: &[&str]) -> Ended {
    let mut command = actormq(world, words);
    let output = tokio::task::spawn_blocking(move || command.stderr(Stdio::piped()).output().unwrap()).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { status: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

/// What a call that must succeed says.
pub async fn says(world: &World, words: &[&str]) -> String {
    let Ended { status, out, err } = call(world, words).await;
    assert_eq!(status, 0, "{words:?}: {out}{err}");
    out
}

/// The JSON objects that a call which must succeed prints.
async fn tells(world: &World, words: &[&str]) -> Vec<Value> {
    let out = says(world, &[words, &["--json"]].concat()).await;
    out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect()
}

async fn refuses(world: &World, status: i32, words: &[&str]) {
    let ended = call(world, words).await;
    assert_eq!(ended.status, status, "{words:?}: {}{}", ended.out, ended.err);
    assert!(ended.err.starts_with("actormq: ") && ended.out.is_empty(), "{words:?}: {}{}", ended.out, ended.err);
}

async fn messages_go_through(world: Arc<World>) {
    let (topic, group) = (name("shell"), name("shell"));
    let words = ["send", "--topic", &topic, "--body", "hello", "--tag", "t", "--key", "k", "--property", "p=v"];
    let sent = tells(&world, &[&words[..], &["--count", "3"]].concat()).await;
    assert_eq!((sent.len(), &sent[0]["status"], &sent[0]["topic"]), (3, &"SEND_OK".into(), &topic.as_str().into()));
    let words = ["consume", "--topic", &topic, "--group", &group, "--from", "first", "--timeout", "60"];
    let got = tells(&world, &[&words[..], &["--count", "3"]].concat()).await;
    assert_eq!(got.len(), 3);
    for message in &got {
        assert_eq!((&message["topic"], &message["brokerName"]), (&topic.as_str().into(), &"broker-a".into()));
        assert_eq!((&message["body"], &message["tags"], &message["keys"]), (&"hello".into(), &"t".into(), &"k".into()));
        assert_eq!((&message["properties"]["p"], &message["reconsumeTimes"]), (&"v".into(), &0.into()));
        let receipt = sent.iter().find(|receipt| receipt["msgId"] == message["msgId"]).expect("it was sent");
        assert_eq!(
            [&receipt["queueId"], &receipt["queueOffset"], &receipt["offsetMsgId"]],
            [&message["queueId"], &message["queueOffset"], &message["offsetMsgId"]]
        );
        assert!(message["bornTimestamp"].is_i64() && message["storeTimestamp"].is_i64());
    }
    says(&world, &["send", "--topic", &topic, "--body", "later", "--tag", "other", "--quiet"]).await;
    says(&world, &["send", "--topic", &topic, "--body", "later", "--tag", "t", "--quiet"]).await;
    let rest = tells(&world, &[&words[..], &["--count", "1", "--tag", "t"]].concat()).await;
    assert_eq!((rest.len(), &rest[0]["body"], &rest[0]["tags"]), (1, &"later".into(), &"t".into()));
    let nothing = ["consume", "--topic", &topic, "--group", &group, "--count", "1", "--timeout", "1", "--tag", "none"];
    refuses(&world, 3, &nothing).await;
}

async fn topic(world: Arc<World>) {
    let topic = name("shell");
    says(&world, &["topic", "create", &topic, "--queues", "3", "--type", "fifo"]).await;
    refuses(&world, 1, &["topic", "create", &topic]).await;
    says(&world, &["topic", "update", &topic, "--write-queues", "2"]).await;
    let shown = tells(&world, &["topic", "show", &topic]).await;
    let config = &shown[0]["brokers"][0]["config"];
    assert_eq!((&config["readQueueNums"], &config["writeQueueNums"]), (&3.into(), &2.into()));
    assert_eq!(config["attributes"]["message.type"], "FIFO");
    let listed = tells(&world, &["topic", "list"]).await;
    assert!(listed.iter().any(|row| row["topic"] == topic.as_str()));
    assert!(says(&world, &["topic", "list", "--all"]).await.contains("TBW102"));
    says(&world, &["topic", "delete", &topic]).await;
    until("the topic is gone", async || call(&world, &["topic", "show", &topic]).await.status == 1).await;
    refuses(&world, 1, &["topic", "delete", &topic]).await;
}

async fn group(world: Arc<World>) {
    let (topic, group) = (world.topic("shell", 1).await, name("shell"));
    says(&world, &["group", "create", &group, "--retries", "3"]).await;
    refuses(&world, 1, &["group", "create", &group]).await;
    says(&world, &["group", "update", &group, "--retry-queues", "2"]).await;
    let shown = tells(&world, &["group", "show", &group]).await;
    let config = &shown[0]["brokers"][0]["config"];
    assert_eq!((&config["retryMaxTimes"], &config["retryQueueNums"]), (&3.into(), &2.into()));
    says(&world, &["send", "--topic", &topic, "--body", "x", "--count", "4", "--quiet"]).await;
    let words = ["consume", "--topic", &topic, "--group", &group, "--from", "first", "--count", "4", "--timeout", "60"];
    assert_eq!(tells(&world, &words).await.len(), 4);
    let lag = async || tells(&world, &["group", "lag", &group, "--topic", &topic]).await[0]["lag"].clone();
    until("all is committed", async || lag().await == 0).await;
    let listed = tells(&world, &["group", "list"]).await;
    assert!(listed.iter().any(|row| row["group"] == group.as_str()));
    let reset = tells(&world, &["group", "reset", &group, "--topic", &topic, "--to", "first"]).await;
    assert_eq!((reset.len(), &reset[0]["offset"]), (1, &0.into()));
    assert_eq!(tells(&world, &words).await.len(), 4, "they come again");
    let offsets = async || tells(&world, &["group", "offsets", &group, "--topic", &topic]).await;
    until("all is committed again", async || offsets().await[0]["committedOffset"] == 4).await;
    says(&world, &["group", "delete", &group]).await;
    refuses(&world, 1, &["group", "show", &name("nobody")]).await;
}

async fn message(world: Arc<World>) {
    let (topic, key) = (world.topic("shell", 1).await, name("key"));
    let sent = tells(&world, &["send", "--topic", &topic, "--body", "wanted", "--key", &key]).await;
    let (id, offset_id) = (sent[0]["msgId"].as_str().unwrap(), sent[0]["offsetMsgId"].as_str().unwrap());
    let by_key = ["message", "key", &key, "--topic", &topic];
    until("the key is known", async || call(&world, &by_key).await.status == 0).await;
    let ways: [&[&str]; 4] = [
        &by_key,
        &["message", "id", id, "--topic", &topic],
        &["message", "id", offset_id],
        &["message", "offset", "0", "--topic", &topic, "--queue", "0"],
    ];
    for words in ways {
        let found = tells(&world, words).await;
        assert_eq!(
            (found.len(), &found[0]["body"], &found[0]["msgId"]),
            (1, &"wanted".into(), &id.into()),
            "{words:?}"
        );
    }
    refuses(&world, 1, &["message", "key", "nothing", "--topic", &topic]).await;
    refuses(&world, 1, &["message", "offset", "9", "--topic", &topic, "--queue", "0"]).await;
}

/// Ends with this value.
struct Follower(std::process::Child);

impl Drop for Follower {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn servers(world: Arc<World>) {
    // Apache's broker refuses in the first seconds after its start.
    until("the broker tells its state", async || tells(&world, &["cluster"]).await[0]["status"].is_object()).await;
    let brokers = tells(&world, &["cluster"]).await;
    assert_eq!((brokers.len(), &brokers[0]["broker"]), (1, &"broker-a".into()));
    says(&world, &["broker", "config", "--set", "shortPollingTimeMills=902"]).await;
    let settings = tells(&world, &["broker", "config", "shortPollingTimeMills"]).await;
    assert_eq!(settings[0]["settings"]["shortPollingTimeMills"], "902");
    refuses(&world, 1, &["broker", "config", "noSuchKey"]).await;
    let (topic, group) = (world.topic("shell", 1).await, name("shell"));
    let words = ["consume", "--topic", &topic, "--group", &group, "--follow"];
    let follower = Follower(actormq(&world, &words).spawn().unwrap());
    let of_group = ["connections", "--group", &group];
    until("the follower is connected", async || !tells(&world, &of_group).await.is_empty()).await;
    let rows = tells(&world, &of_group).await;
    assert_eq!((&rows[0]["kind"], &rows[0]["group"]), (&"consumer".into(), &group.as_str().into()));
    drop(follower);
    let picture = &tells(&world, &["top"]).await[0];
    assert!(picture["topics"].as_array().unwrap().iter().any(|row| row["topic"] == topic.as_str()), "{picture}");
}
