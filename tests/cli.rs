//! The command line as people and scripts use it: the real binary, its output and its statuses, against the binary as a
//! server and against an address where nobody answers.

use std::io::{Read, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

mod support;
#[path = "cli/terminal.rs"]
mod terminal;

use support::PATIENCE;
use support::process::{Process, actormq, run};

/// Nobody listens there.
const DEAD: &str = "127.0.0.1:1";

/// A name server and a broker, in a process of their own.
struct Server {
    // Before the directory, which it writes to.
    process: Process,
    name_server: String,
    _data: TempDir,
}

/// How a call ended.
struct Ended {
    status: i32,
    out: String,
    err: String,
}

impl Server {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(more: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let directory = data.path().to_str().unwrap();
        let settings = ["brokerName=broker-a", "mappedFileSizeCommitLog=1048576", "brokerIP1=127.0.0.1"];
        let mut words = vec!["standalone", "--namesrv-listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"];
        words.extend(["--data", directory]);
        words.extend(settings.iter().chain(more).flat_map(|setting| ["--set", setting]));
        let process = Process::start(&words);
        let name_server = process.address("name server").to_string();
        Self { process, name_server, _data: data }
    }

    fn call(&self, words: &[&str]) -> Ended {
        call_at(&self.name_server, words)
    }

    /// What a call that must succeed says.
    #[track_caller]
    fn says(&self, words: &[&str]) -> String {
        let Ended { status, out, err } = self.call(words);
        assert_eq!((status, err.as_str()), (0, ""), "{words:?} said {out}");
        out
    }

    /// The JSON objects that a call which must succeed prints.
    #[track_caller]
    fn tells(&self, words: &[&str]) -> Vec<Value> {
        let out = self.says(&[words, &["--json"]].concat());
        out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect()
    }

    /// What a call that must end with `status` says on standard error.
    #[track_caller]
    fn refuses(&self, status: i32, words: &[&str]) -> String {
        let ended = self.call(words);
        assert_eq!(ended.status, status, "{words:?}: {} {}", ended.out, ended.err);
        assert!(ended.err.starts_with("actormq: ") || status == 2, "{}", ended.err);
        ended.err
    }

    fn send(&self, topic: &str, count: &str) {
        self.says(&["send", "--topic", topic, "--body", "hello", "--key", "k1", "--tag", "t", "--count", count]);
    }
}

/// The server is named last, for some commands have subcommands.
fn call_at(name_server: &str, words: &[&str]) -> Ended {
    let (status, out, err) = run(&[words, &["-n", name_server]].concat());
    Ended { status: status.code().unwrap(), out, err }
}

/// Asks until it is so.
#[track_caller]
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_topic_is_made_shown_changed_and_deleted() {
    let server = Server::start();
    let words = ["topic", "create", "orders", "--queues", "3", "--type", "fifo", "--perm", "r", "--order", "true"];
    let made = server.says(&words);
    assert!(made.contains("topic orders is there on broker-a"), "{made}");
    let shown = &server.tells(&["topic", "show", "orders"])[0];
    let config = &shown["brokers"][0]["config"];
    assert_eq!((&config["readQueueNums"], &config["writeQueueNums"]), (&3.into(), &3.into()));
    assert_eq!((&config["perm"], &config["order"]), (&4.into(), &true.into()));
    assert_eq!(config["attributes"]["message.type"], "FIFO");
    assert_eq!((&shown["messages"], shown["queues"].as_array().unwrap().len()), (&0.into(), 3));
    let again = server.refuses(1, &["topic", "create", "orders"]);
    assert!(again.contains("exists already: change it with `actormq topic update orders`"), "{again}");

    server.says(&["topic", "update", "orders", "--write-queues", "2", "--perm", "rw"]);
    let config = &server.tells(&["topic", "show", "orders"])[0]["brokers"][0]["config"];
    assert_eq!((&config["readQueueNums"], &config["writeQueueNums"]), (&3.into(), &2.into()));
    assert_eq!((&config["perm"], &config["order"]), (&6.into(), &true.into()), "what is not named stays");
    assert_eq!(config["attributes"]["message.type"], "FIFO");

    let list = server.tells(&["topic", "list"]);
    assert_eq!(list.len(), 1, "{list:?}");
    assert_eq!((&list[0]["topic"], &list[0]["kind"]), (&"orders".into(), &"normal".into()));
    let table = server.says(&["topic", "list"]);
    assert!(table.starts_with("topic") && table.contains("orders  normal  broker-a"), "{table}");
    let all = server.tells(&["topic", "list", "--all"]);
    assert!(all.iter().any(|topic| topic["topic"] == "TBW102" && topic["kind"] == "system"), "{all:?}");

    assert!(server.says(&["topic", "delete", "orders"]).contains("topic orders is deleted"));
    let gone = server.refuses(1, &["topic", "delete", "orders"]);
    assert!(gone.contains("topic orders does not exist"), "{gone}");
    server.refuses(1, &["topic", "show", "orders"]);
    server.refuses(1, &["topic", "update", "orders", "--queues", "2"]);
    let empty = server.call(&["topic", "list"]);
    assert_eq!((empty.status, empty.out.as_str()), (0, ""));
    assert!(empty.err.contains("make one with `actormq topic create NAME`"), "{}", empty.err);
}

#[test]
fn places_are_brokers_and_clusters_that_are_there() {
    let server = Server::start();
    server.says(&["topic", "create", "a", "--broker", "broker-a"]);
    server.says(&["topic", "create", "b", "--cluster", "DefaultCluster"]);
    let nowhere = server.refuses(1, &["topic", "create", "c", "--broker", "broker-x"]);
    assert!(nowhere.contains("broker broker-x is in no route: is it running"), "{nowhere}");
    server.refuses(2, &["topic", "create", "c", "--broker", "b", "--cluster", "c"]);
    server.refuses(2, &["topic", "create", "a b"]);
    server.refuses(1, &["topic", "update", "a", "--cluster", "none"]);
}

#[test]
fn a_group_is_made_shown_changed_and_deleted() {
    let server = Server::start();
    server.says(&["group", "create", "billing", "--retries", "3", "--orderly", "true"]);
    let again = server.refuses(1, &["group", "create", "billing"]);
    assert!(again.contains("`actormq group update billing`"), "{again}");
    server.says(&["group", "update", "billing", "--enabled", "false", "--retry-queues", "2", "--broadcast", "false"]);
    let shown = &server.tells(&["group", "show", "billing"])[0];
    let config = &shown["brokers"][0]["config"];
    assert_eq!((&config["retryMaxTimes"], &config["retryQueueNums"]), (&3.into(), &2.into()));
    assert_eq!((&config["consumeEnable"], &config["consumeMessageOrderly"]), (&false.into(), &true.into()));
    assert_eq!((&config["consumeBroadcastEnable"], &shown["consumers"]), (&false.into(), &Value::Null));
    let text = server.says(&["group", "show", "billing"]);
    assert!(text.contains("no member is connected"), "{text}");
    let list = server.tells(&["group", "list"]);
    assert_eq!((list.len(), &list[0]["group"], &list[0]["enabled"]), (1, &"billing".into(), &false.into()));
    assert!(server.tells(&["group", "list", "--all"]).iter().any(|group| group["group"] == "TOOLS_CONSUMER"));
    server.says(&["group", "delete", "billing"]);
    // Where groups make themselves, a deleted one is there again, with the settings of a new one.
    let anew = &server.tells(&["group", "show", "billing"])[0]["brokers"][0]["config"];
    assert_eq!((&anew["retryMaxTimes"], &anew["consumeEnable"]), (&16.into(), &true.into()));
    for words in [["group", "show", "nobody"], ["group", "update", "nobody"], ["group", "delete", "nobody"]] {
        let error = server.refuses(1, &words);
        assert!(error.contains("make it with `actormq group create nobody`"), "{error}");
    }
    server.refuses(1, &["group", "lag", "nobody"]);
}

#[test]
fn offsets_are_shown_and_reset() {
    let server = Server::start();
    server.says(&["topic", "create", "T", "--queues", "2"]);
    for queue in ["0", "1"] {
        server.says(&["send", "--topic", "T", "--body", "x", "--queue", queue, "--count", "5"]);
    }
    assert_eq!(
        server.tells(&["consume", "--topic", "T", "--group", "G", "--count", "10", "--timeout", "20"]).len(),
        10
    );
    let lag = || server.tells(&["group", "lag", "G", "--topic", "T"])[0]["lag"].as_i64().unwrap();
    until("all is committed", || (lag() == 0).then_some(()));

    let reset = |words: &[&str]| {
        let all = [&["group", "reset", "G", "--topic", "T"], words].concat();
        server.tells(&all).iter().map(|queue| queue["offset"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(reset(&["--to", "first"]), [0, 0]);
    until("all of it is to go", || (lag() == 10).then_some(()));
    assert_eq!(reset(&["--to", "last"]), [5, 5]);
    assert_eq!(reset(&["--to-offset", "3"]), [3, 3]);
    assert_eq!(reset(&["--to-offset", "1", "--queue", "1"]), [1]);
    assert_eq!(reset(&["--to", "1000", "--queue", "0", "--broker", "broker-a"]), [0]);
    let offsets = server.tells(&["group", "offsets", "G", "--topic", "T"]);
    let seen: Vec<_> = offsets.iter().map(|at| (at["committedOffset"].clone(), at["lag"].clone())).collect();
    assert_eq!(seen, [(0.into(), 5.into()), (1.into(), 4.into())]);
    assert_eq!(
        (&offsets[0]["maxOffset"], &offsets[0]["queue"], &offsets[1]["queue"]),
        (&5.into(), &0.into(), &1.into())
    );
    let table = server.says(&["group", "offsets", "G"]);
    assert!(table.contains("broker-a/1"), "{table}");
    // The reset holds for whoever consumes next.
    assert_eq!(server.tells(&["consume", "--topic", "T", "--group", "G", "--count", "9", "--timeout", "20"]).len(), 9);

    server.refuses(1, &["group", "reset", "G", "--topic", "none", "--to", "first"]);
    server.refuses(1, &["group", "reset", "G", "--topic", "T", "--to", "first", "--queue", "7"]);
    server.refuses(1, &["group", "reset", "G", "--topic", "T", "--to-offset", "77"]);
    let no_group = server.refuses(1, &["group", "reset", "nobody", "--topic", "T", "--to", "first"]);
    assert!(no_group.contains("actormq group create"), "{no_group}");
    server.refuses(2, &["group", "reset", "G", "--topic", "T"]);
    server.refuses(2, &["group", "reset", "G", "--topic", "T", "--to", "yesterday"]);
    server.refuses(2, &["group", "reset", "G", "--topic", "T", "--to", "first", "--to-offset", "1"]);
}

#[test]
fn where_brokers_leave_it_to_consumers_offsets_are_reset_by_commits() {
    let server = Server::start_with(&["useServerSideResetOffset=false"]);
    server.says(&["topic", "create", "T", "--queues", "2"]);
    for queue in ["0", "1"] {
        server.says(&["send", "--topic", "T", "--body", "x", "--queue", queue, "--count", "5"]);
    }
    let words = ["consume", "--topic", "T", "--group", "G", "--count", "10", "--timeout", "20"];
    assert_eq!(server.tells(&words).len(), 10);
    let committed = || {
        let offsets = server.tells(&["group", "offsets", "G", "--topic", "T"]);
        offsets.iter().map(|at| at["committedOffset"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    until("all is committed", || (committed() == [5, 5]).then_some(()));
    let reset = |words: &[&str]| {
        let all = [&["group", "reset", "G", "--topic", "T"], words].concat();
        server.tells(&all).iter().map(|queue| queue["offset"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((reset(&["--to", "first"]), committed()), (vec![0, 0], vec![0, 0]));
    assert_eq!((reset(&["--to", "last"]), committed()), (vec![5, 5], vec![5, 5]));
    assert_eq!((reset(&["--to-offset", "2", "--queue", "1"]), committed()), (vec![2], vec![5, 2]));
    assert_eq!((reset(&["--to", "1000"]), committed()), (vec![0, 0], vec![0, 0]));
    assert_eq!(server.tells(&words).len(), 10, "the reset holds for whoever consumes next");
}

/// A name server and two brokers, each a process of its own.
struct Fleet {
    brokers: Vec<Process>,
    _name_server: Process,
    address: String,
    _data: Vec<TempDir>,
}

impl Fleet {
    fn start() -> Self {
        let mut data: Vec<TempDir> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
        let directory = |at: usize| data[at].path().to_str().unwrap().to_owned();
        let name_server = Process::start(&["namesrv", "--listen", "127.0.0.1:0", "--data", &directory(2)]);
        let address = name_server.address("name server").to_string();
        let start = |(at, name): (usize, &str)| {
            let directory = directory(at);
            let words = ["broker", "-n", &address, "--listen", "127.0.0.1:0", "--data", &directory, "--name", name];
            let settings = ["mappedFileSizeCommitLog=1048576", "brokerIP1=127.0.0.1"];
            Process::start(&words.into_iter().chain(settings.iter().flat_map(|s| ["--set", s])).collect::<Vec<_>>())
        };
        let brokers = ["broker-a", "broker-b"].into_iter().enumerate().map(start).collect();
        let listed = || call_at(&address, &["cluster", "--json"]).out.lines().count();
        until("both brokers are registered", || (listed() == 2).then_some(()));
        data.reverse();
        Self { brokers, _name_server: name_server, address, _data: data }
    }

    #[track_caller]
    fn tells(&self, words: &[&str]) -> Vec<Value> {
        let ended = call_at(&self.address, &[words, &["--json"]].concat());
        assert_eq!((ended.status, ended.err.as_str()), (0, ""), "{words:?} said {}", ended.out);
        ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[test]
fn with_several_brokers_all_are_asked_or_the_one_that_is_named() {
    let fleet = Fleet::start();
    let made = fleet.tells(&["topic", "create", "T", "--queues", "2"]);
    assert_eq!(made[0]["brokers"], serde_json::json!(["broker-a", "broker-b"]));
    fleet.tells(&["topic", "update", "T", "--queues", "3", "--broker", "broker-b"]);
    let queues = || {
        let shown = &fleet.tells(&["topic", "show", "T"])[0];
        let of = |at: usize| shown["brokers"][at]["config"]["readQueueNums"].as_i64().unwrap();
        ((of(0), of(1)), shown["queues"].as_array().unwrap().len(), shown["messages"].as_i64().unwrap())
    };
    assert_eq!(queues(), ((2, 3), 5, 0));
    let sent = fleet.tells(&["send", "--topic", "T", "--body", "x", "--count", "10"]);
    let of_b = sent.iter().filter(|receipt| receipt["brokerName"] == "broker-b").count();
    assert_eq!((of_b, queues().2), (6, 10), "each of the five queues in turn");
    let words = ["consume", "--topic", "T", "--group", "G", "--count", "10", "--timeout", "20"];
    assert_eq!(fleet.tells(&words).len(), 10);
    let lag = || fleet.tells(&["group", "lag", "G", "--topic", "T"])[0]["lag"].as_i64().unwrap();
    until("all is committed", || (lag() == 0).then_some(()));
    assert_eq!(fleet.tells(&["group", "offsets", "G", "--topic", "T"]).len(), 5);
    let to_first = ["group", "reset", "G", "--topic", "T", "--to", "first"];
    assert_eq!(fleet.tells(&[&to_first[..], &["--broker", "broker-a"]].concat()).len(), 2);
    assert_eq!(lag(), 4, "only that one's queues");
    assert_eq!((fleet.tells(&to_first).len(), lag()), (5, 10));
    let offset_id = sent.iter().find(|receipt| receipt["brokerName"] == "broker-b").unwrap();
    let found = fleet.tells(&["message", "id", offset_id["offsetMsgId"].as_str().unwrap()]);
    assert_eq!((&found[0]["brokerName"], &found[0]["msgId"]), (&"broker-b".into(), &offset_id["msgId"]));

    fleet.tells(&["group", "create", "H", "--broker", "broker-b"]);
    let listed = fleet.tells(&["group", "list"]);
    let of_h = listed.iter().find(|group| group["group"] == "H").unwrap();
    assert_eq!(of_h["brokers"], serde_json::json!(["broker-b"]));
    let which = call_at(&fleet.address, &["broker", "config", "--set", "longPollingEnable=false"]);
    assert_eq!(which.status, 2);
    assert!(which.err.contains("which of the brokers broker-a broker-b? say --broker NAME"), "{}", which.err);
    fleet.tells(&["broker", "config", "--set", "longPollingEnable=false", "--broker", "broker-a"]);
    let settings = fleet.tells(&["broker", "config", "longPollingEnable"]);
    let held: Vec<&Value> = settings.iter().map(|of| &of["settings"]["longPollingEnable"]).collect();
    assert_eq!(held, ["false", "true"]);

    // One that is there and says nothing: what needs it fails, what does not goes on.
    fleet.brokers[1].signal(libc::SIGSTOP);
    assert_eq!(call_at(&fleet.address, &["topic", "create", "U"]).status, 3);
    fleet.tells(&["broker", "config", "longPollingEnable", "--broker", "broker-a"]);
    let cluster = call_at(&fleet.address, &["cluster"]);
    assert_eq!(cluster.status, 3);
    assert!(cluster.out.contains("V5_5_0") && cluster.out.contains("no answer"), "{}", cluster.out);
    fleet.brokers[1].signal(libc::SIGCONT);
    until("it answers again", || (call_at(&fleet.address, &["cluster"]).status == 0).then_some(()));
    fleet.tells(&["topic", "delete", "T"]);
    assert_eq!(call_at(&fleet.address, &["topic", "show", "T"]).status, 1);
}

#[test]
fn messages_are_found_by_id_key_and_offset() {
    let server = Server::start();
    let words = ["send", "--topic", "T", "--body", "hello", "--key", "k1", "--key", "k2", "--tag", "t", "--queue", "1"];
    let sent = &server.tells(&words)[0];
    assert_eq!((&sent["status"], &sent["queueId"], &sent["queueOffset"]), (&"SEND_OK".into(), &1.into(), &0.into()));
    let (id, offset_id) = (sent["msgId"].as_str().unwrap(), sent["offsetMsgId"].as_str().unwrap());
    let is_it = |found: Vec<Value>| {
        assert_eq!(found.len(), 1);
        assert_eq!((&found[0]["body"], &found[0]["msgId"]), (&"hello".into(), &id.into()));
        assert_eq!((&found[0]["brokerName"], &found[0]["keys"]), (&"broker-a".into(), &"k1 k2".into()));
    };
    is_it(server.tells(&["message", "id", offset_id]));
    is_it(server.tells(&["message", "id", offset_id, "--topic", "T"]));
    is_it(server.tells(&["message", "offset", "0", "--topic", "T", "--queue", "1"]));
    is_it(server.tells(&["message", "offset", "0", "--topic", "T", "--queue", "1", "--broker", "broker-a"]));
    // The index is a moment behind.
    until("the key is indexed", || (server.call(&["message", "key", "k2", "--topic", "T"]).status == 0).then_some(()));
    is_it(server.tells(&["message", "key", "k2", "--topic", "T"]));
    is_it(server.tells(&["message", "id", id, "--topic", "T"]));
    is_it(server.tells(&["message", "key", "k1", "--topic", "T", "--from", "1000", "--max", "5"]));
    let text = server.says(&["message", "key", "k1", "--topic", "T"]);
    assert!(text.contains("queue         broker-a/1 offset 0") && text.contains("body          hello"), "{text}");
    let hex = server.says(&["message", "id", offset_id, "--hex"]);
    assert!(hex.contains("00000000  68 65 6c 6c 6f"), "{hex}");

    server.refuses(1, &["message", "key", "k1", "--topic", "T", "--to", "1000"]);
    server.refuses(1, &["message", "key", "nothing", "--topic", "T"]);
    server.refuses(1, &["message", "key", "k1", "--topic", "none"]);
    let beyond = server.refuses(1, &["message", "offset", "9", "--topic", "T", "--queue", "1"]);
    assert!(beyond.contains("`actormq topic show T`"), "{beyond}");
    server.refuses(1, &["message", "offset", "0", "--topic", "T", "--queue", "99"]);
    let needs_topic = server.refuses(1, &["message", "id", id]);
    assert!(needs_topic.contains("say its topic"), "{needs_topic}");
    server.refuses(2, &["message", "key", "k1"]);
    server.refuses(2, &["message", "offset", "-1", "--topic", "T", "--queue", "1"]);
    server.refuses(1, &["message", "id", "nonsense"]);
}

#[test]
fn the_cluster_and_its_settings_are_shown_and_changed() {
    let server = Server::start();
    let brokers = server.tells(&["cluster"]);
    assert_eq!(brokers.len(), 1);
    assert_eq!((&brokers[0]["broker"], &brokers[0]["brokerId"]), (&"broker-a".into(), &0.into()));
    assert_eq!(brokers[0]["address"], server.process.address("broker").to_string());
    assert_eq!(brokers[0]["status"]["version"], "V5_5_0");
    let table = server.says(&["cluster"]);
    assert!(table.contains("DefaultCluster  broker-a"), "{table}");

    let setting = || server.tells(&["broker", "config", "longPollingEnable"])[0]["settings"].clone();
    assert_eq!(setting(), serde_json::json!({"longPollingEnable": "true"}));
    server.says(&["broker", "config", "--set", "longPollingEnable=false", "--set", "shortPollingTimeMills=77"]);
    assert_eq!(setting(), serde_json::json!({"longPollingEnable": "false"}));
    let all = server.says(&["broker", "config", "--broker", "broker-a"]);
    assert!(all.contains("shortPollingTimeMills") && all.contains("77"), "{all}");
    let unknown = server.refuses(1, &["broker", "config", "noSuchKey"]);
    assert!(unknown.contains("has no setting noSuchKey"), "{unknown}");
    server.refuses(1, &["broker", "config", "--set", "noSuchKey=1"]);
    server.refuses(1, &["broker", "config", "--set", "longPollingEnable=perhaps"]);
    server.refuses(1, &["broker", "config", "--broker", "broker-x"]);
    server.refuses(2, &["broker", "config", "--set", "longPollingEnable"]);
}

#[test]
fn who_is_connected_is_shown() {
    let server = Server::start();
    let nobody = server.call(&["connections"]);
    assert_eq!((nobody.status, nobody.out.as_str()), (0, ""));
    assert!(nobody.err.contains("nobody of that kind is connected"), "{}", nobody.err);
    server.send("T", "1");
    let words = ["consume", "--topic", "T", "--group", "G", "--tag", "t", "--follow", "-n", &server.name_server];
    let mut follower = actormq(&words).spawn().unwrap();
    let rows = until("the consumer is a member", || {
        let rows = server.tells(&["connections", "--consumers"]);
        (!rows.is_empty()).then_some(rows)
    });
    assert_eq!((&rows[0]["kind"], &rows[0]["group"]), (&"consumer".into(), &"G".into()));
    assert_eq!((&rows[0]["messageModel"], &rows[0]["broker"]), (&"CLUSTERING".into(), &"broker-a".into()));
    let subscribed = rows[0]["subscriptions"].as_array().unwrap();
    assert!(subscribed.iter().any(|of| of["topic"] == "T" && of["expression"] == "t"), "{rows:?}");
    let text = server.says(&["connections", "--group", "G"]);
    assert!(text.contains("consumer  G"), "{text}");
    assert_eq!(server.call(&["connections", "--group", "none"]).out, "");
    let show = server.says(&["group", "show", "G"]);
    assert!(show.contains("T (t)"), "{show}");
    assert_eq!(server.tells(&["group", "list"])[0]["members"], 1);
    follower.kill().unwrap();
    follower.wait().unwrap();

    let mut sender = actormq(&["send", "--topic", "T", "-", "-n", &server.name_server]);
    let mut sender = sender.stdin(Stdio::piped()).spawn().unwrap();
    sender.stdin.as_mut().unwrap().write_all(b"one\n").unwrap();
    let rows = until("the producer is known", || {
        let rows = server.tells(&["connections", "--producers"]);
        (!rows.is_empty()).then_some(rows)
    });
    assert_eq!((&rows[0]["kind"], &rows[0]["language"]), (&"producer".into(), &"RUST".into()));
    assert!(sender.wait_with_output().unwrap().status.success());
    server.refuses(2, &["connections", "--producers", "--consumers"]);
}

#[test]
fn sending_has_files_lines_rates_and_json() {
    let server = Server::start();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("lines");
    std::fs::write(&file, "one\ntwo\r\n\nthree").unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(server.says(&["send", "--topic", "T", "--queue", "0", "--file", file]).lines().count(), 1);
    let sent =
        server.tells(&["send", "--topic", "T", "--queue", "0", "--file", file, "--lines", "--property", "p=1=2"]);
    assert_eq!(sent.len(), 3);
    let bodies: Vec<Value> =
        server.tells(&["consume", "--topic", "T", "--group", "G", "--count", "4", "--timeout", "20"]);
    let seen: Vec<&str> = bodies.iter().map(|message| message["body"].as_str().unwrap()).collect();
    assert_eq!(seen, ["one\ntwo\r\n\nthree", "one", "two", "three"]);
    assert_eq!(bodies[1]["properties"]["p"], "1=2");

    let begun = Instant::now();
    let quiet = server.says(&["send", "--topic", "T", "--body", "x", "--count", "6", "--rate", "10", "--quiet"]);
    assert_eq!(quiet, "");
    assert!(begun.elapsed() >= Duration::from_millis(500), "six messages at ten a second took {:?}", begun.elapsed());

    server.refuses(2, &["send", "--topic", "T", "--file", "/there/is/no/such/file"]);
    server.refuses(2, &["send", "--topic", "T", "--body", "x", "--lines"]);
    server.refuses(2, &["send", "--topic", "T", "--body", "x", "--rate", "0"]);
    server.refuses(2, &["send", "--topic", "T", "--body", "x", "--property", "none"]);
}

#[test]
fn consuming_has_places_to_begin_and_forms() {
    let server = Server::start();
    server.says(&["topic", "create", "T", "--queues", "1"]);
    server.says(&["send", "--topic", "T", "--body", "a\tb", "--count", "2"]);
    let consume = |group: &str, more: &[&str]| {
        server.call(&[&["consume", "--topic", "T", "--group", group, "--timeout", "20"], more].concat())
    };
    let hex = consume("hex", &["--hex", "--count", "1"]);
    assert_eq!(hex.status, 0);
    assert!(hex.out.contains("3 bytes\n  00000000  61 09 62") && hex.out.contains("a.b"), "{}", hex.out);
    assert!(consume("text", &["--count", "1"]).out.ends_with("  a\\tb\n"));
    let late = server.call(&["consume", "--topic", "T", "--group", "late", "--from", "last", "--timeout", "1"]);
    assert_eq!((late.status, late.out.as_str()), (3, ""), "{}", late.err);
    assert_eq!(consume("timed", &["--from", "2020-01-01T00:00:00", "--count", "2"]).status, 0);
    assert_eq!(consume("bad", &["--hex", "--json"]).status, 2);
    assert_eq!(consume("bad", &["--from", "yesterday"]).status, 2);
    let short = server.call(&["consume", "--topic", "T", "--group", "short", "--count", "3", "--timeout", "1"]);
    assert_eq!((short.status, short.out.lines().count()), (3, 2), "{}", short.err);
    assert!(short.err.contains("2 of 3 messages came"), "{}", short.err);
}

#[test]
fn a_follower_that_is_told_to_stop_commits_what_it_printed() {
    let server = Server::start();
    for (signal, name) in [(libc::SIGINT, "interrupted"), (libc::SIGTERM, "terminated")] {
        server.says(&["topic", "create", name, "--queues", "1"]);
        server.says(&["send", "--topic", name, "--body", "x"]);
        let words = ["consume", "--topic", name, "--group", name, "--follow", "-n", &server.name_server];
        let mut follower = actormq(&words).spawn().unwrap();
        let mut first = [0; 1];
        follower.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
        // SAFETY: the process is a child of this one, which was not waited for yet.
        assert_eq!(unsafe { libc::kill(follower.id() as i32, signal) }, 0);
        let status = follower.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{status}");
        let offsets = server.tells(&["group", "offsets", name, "--topic", name]);
        assert_eq!(offsets[0]["committedOffset"], 1, "{offsets:?}");
    }
}

#[test]
fn top_prints_one_table_without_a_terminal() {
    let server = Server::start();
    server.send("T", "7");
    assert_eq!(server.tells(&["consume", "--topic", "T", "--group", "G", "--count", "7", "--timeout", "20"]).len(), 7);
    for words in [&["top"][..], &["top", "--once"]] {
        let text = server.says(words);
        for wanted in ["brokers 1", "broker-a", "in/s", "messages", "T ", "G ", "lag"] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
    }
    let picture = &server.tells(&["top"])[0];
    assert_eq!((&picture["topics"][0]["topic"], &picture["topics"][0]["messages"]), (&"T".into(), &7.into()));
    assert_eq!(picture["groups"][0]["group"], "G");
    server.refuses(2, &["top", "--interval", "0"]);
}

#[test]
fn the_demo_shows_a_rebalance_and_loses_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let mut command = actormq(&["demo", "--seconds", "6"]);
    let mut demo = command.env("TMPDIR", temporary.path()).spawn().unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    demo.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    demo.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert!(demo.wait().unwrap().success(), "{out}{err}");
    let mut from = 0;
    let story = [
        "name server 127.0.0.1:",
        "consumer-1 joins the group",
        "consumer-1 reads (queues 0 1 2 3)",
        "consumer-2 joins the group",
        "consumer-2 leaves the group",
        "consumer-1 reads (queues 0 1 2 3)",
        "messages were sent, all of them received",
        "actormq standalone",
    ];
    for event in story {
        let at = out[from..].find(event).unwrap_or_else(|| panic!("{event} does not follow in\n{out}"));
        from += at + event.len();
    }
    assert!(out.contains("consumer-2 reads (queues "), "{out}");
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0, "it leaves nothing");
    assert_eq!(run(&["demo", "--seconds", "1"]).0.code(), Some(2));
}

#[test]
fn completion_and_help_read_well() {
    for (shell, wanted) in [("bash", "_actormq()"), ("zsh", "#compdef actormq"), ("fish", "complete -c actormq")] {
        // More than a pipe holds.
        let ended = actormq(&["completion", shell]).output().unwrap();
        let (status, out) = (ended.status, String::from_utf8(ended.stdout).unwrap());
        assert!(status.success() && out.contains(wanted), "{shell}: {out}");
        assert!(out.contains("remove-attribute") && out.contains("namesrv-listen"), "{shell} lacks flags");
    }
    assert_eq!(run(&["completion", "teletype"]).0.code(), Some(2));
    let (status, out, _) = run(&["--help"]);
    assert!(status.success());
    for command in
        ["demo", "standalone", "send", "consume", "topic", "group", "cluster", "message", "connections", "top"]
    {
        assert!(out.lines().any(|line| line.trim_start().starts_with(command)), "{command} in {out}");
    }
    for command in ["topic", "group", "message", "broker"] {
        let (status, out, _) = run(&[command, "--help"]);
        assert!(status.success() && out.contains("Commands:"), "{out}");
    }
}

#[test]
fn nobody_answers_and_the_error_says_what_to_do() {
    let calls: &[&[&str]] = &[
        &["send", "--topic", "T", "--body", "x"],
        &["consume", "--topic", "T", "--group", "G"],
        &["topic", "list"],
        &["topic", "show", "T"],
        &["topic", "create", "T"],
        &["topic", "update", "T"],
        &["topic", "delete", "T"],
        &["group", "list"],
        &["group", "show", "G"],
        &["group", "create", "G"],
        &["group", "update", "G"],
        &["group", "delete", "G"],
        &["group", "offsets", "G"],
        &["group", "lag", "G"],
        &["group", "reset", "G", "--topic", "T", "--to", "first"],
        &["cluster"],
        &["broker", "config"],
        &["message", "key", "k", "--topic", "T"],
        &["message", "offset", "1", "--topic", "T", "--queue", "0"],
        &["connections"],
        &["top", "--once"],
    ];
    for words in calls {
        let ended = call_at(DEAD, words);
        assert_eq!((ended.status, ended.out.as_str()), (3, ""), "{words:?} {}", ended.err);
        let advice = "no name server answers at 127.0.0.1:1: is it running? start one with `actormq standalone`";
        assert!(ended.err.contains(advice), "{words:?}: {}", ended.err);
        assert_eq!(call_at("nonsense", words).status, 2, "{words:?}");
    }
}

#[test]
fn every_command_speaks_tls() {
    let server = Server::start_with(&["tls.server.mode=enforcing"]);
    let calls: &[&[&str]] = &[
        &["topic", "create", "T"],
        &["topic", "update", "T", "--queues", "1"],
        &["topic", "show", "T"],
        &["topic", "list"],
        &["send", "--topic", "T", "--body", "x", "--key", "k"],
        &["consume", "--topic", "T", "--group", "G", "--count", "1", "--timeout", "20"],
        &["group", "create", "H"],
        &["group", "update", "H", "--retries", "1"],
        &["group", "show", "G"],
        &["group", "list"],
        &["group", "offsets", "G"],
        &["group", "lag", "G"],
        &["group", "reset", "G", "--topic", "T", "--to", "first"],
        &["group", "delete", "H"],
        &["message", "offset", "0", "--topic", "T", "--queue", "0"],
        &["cluster"],
        &["broker", "config", "brokerName"],
        &["top", "--once"],
        &["topic", "delete", "T"],
    ];
    for words in calls {
        let told = server.tells(&[*words, &["--tls-insecure"]].concat());
        assert!(!told.is_empty(), "{words:?}");
    }
    assert_eq!(server.call(&["connections", "--tls-insecure"]).status, 0);
    let plain = server.call(&["cluster"]);
    assert_eq!(plain.status, 3, "{}", plain.err);
    let unknown = server.call(&["cluster", "--tls"]);
    assert_eq!(unknown.status, 3, "{}", unknown.err);
    let nowhere = server.call(&["cluster", "--tls-ca", "/there/is/no/such/file"]);
    assert_eq!(nowhere.status, 2, "{}", nowhere.err);
}

#[test]
fn a_broker_that_is_gone_is_status_three() {
    let data = tempfile::tempdir().unwrap();
    let listen = ["namesrv", "--listen", "127.0.0.1:0", "--data", data.path().to_str().unwrap()];
    let name_server = Process::start(&listen);
    let address = name_server.address("name server").to_string();
    let empty = call_at(&address, &["cluster"]);
    assert_eq!((empty.status, empty.out.as_str()), (0, ""));
    assert!(empty.err.contains("no broker is registered"), "{}", empty.err);

    let broker_data = tempfile::tempdir().unwrap();
    let directory = broker_data.path().to_str().unwrap();
    let words = ["broker", "-n", &address, "--listen", "127.0.0.1:0", "--data", directory, "--set", "brokerName=b"];
    let broker = Process::start(&words);
    until("the broker is registered", || (!call_at(&address, &["cluster"]).out.is_empty()).then_some(()));
    let made = call_at(&address, &["topic", "create", "T"]);
    assert_eq!(made.status, 0, "{}", made.err);
    // One that hangs up is forgotten; this one is there and says nothing.
    broker.signal(libc::SIGSTOP);
    let gone = call_at(&address, &["cluster"]);
    assert_eq!(gone.status, 3, "{} {}", gone.out, gone.err);
    assert!(gone.out.contains("no answer"), "{}", gone.out);
    assert!(gone.err.contains("is the broker running"), "{}", gone.err);
    assert_eq!(call_at(&address, &["topic", "show", "T"]).status, 3);
}
