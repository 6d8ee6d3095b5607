//! A name server as brokers, clients and administrators see it: framed requests in, framed answers out.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use actormq::actors::namesrv::published::Published;
use actormq::actors::namesrv::{Disconnected, Namesrv};
use actormq::actors::{ConnectionId, Peer, Push, Stop};
use actormq::config::NamesrvConfig;
use actormq::protocol::body::registration::{RegisterBrokerBody, body_crc};
use actormq::protocol::body::route::TopicRouteData;
use actormq::protocol::body::topics::TopicConfig;
use actormq::protocol::body::version::DataVersion;
use actormq::protocol::body::{Body, DecodeError};
use actormq::protocol::frame::{self, Codec, Ext, Frame, NewHead};
use actormq::server::requests::namesrv::{NamesrvDoors, serve};
use actormq::server::requests::{Request, Response};
use arc_swap::ArcSwap;
use bytes::Bytes;

const JAVA_5_5: i32 = 513;
const JAVA_4_9_3: i32 = 399;

/// Takes what a session would send to its client.
struct Nobody;

impl Actor for Nobody {
    type Context = Context<Self>;
}

impl Handler<Push> for Nobody {
    type Result = ();
    fn handle(&mut self, _: Push, _: &mut Self::Context) {}
}

/// A name server without sockets; a request's connection number is its peer.
struct Server {
    doors: NamesrvDoors,
    push: Recipient<Push>,
    directory: tempfile::TempDir,
}

/// An answer, read back from its frame.
#[derive(Debug)]
struct Answered {
    code: i32,
    remark: Option<String>,
    ext: Ext<'static>,
    body: Bytes,
}

impl Answered {
    fn field(&self, name: &str) -> Option<String> {
        self.ext.field(name).map(|value| value.into_owned())
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Server {
    fn start(change: impl FnOnce(&mut NamesrvConfig)) -> Server {
        Server::start_in(tempfile::tempdir().unwrap(), change)
    }

    fn start_in(directory: tempfile::TempDir, change: impl FnOnce(&mut NamesrvConfig)) -> Server {
        let mut config = NamesrvConfig::default();
        config.files.data_dir = directory.path().join("namesrv");
        change(&mut config);
        let config = Arc::new(ArcSwap::from_pointee(config));
        let routes = Arc::<Published>::default();
        let actor = Namesrv::open(Arc::clone(&config), Arc::clone(&routes)).unwrap();
        let key_values = actor.key_values();
        let doors = NamesrvDoors::new(actor.start(), routes, key_values, config);
        Server { doors, push: Nobody.start().recipient(), directory }
    }

    async fn ask(&self, code: i32, fields: &[(&str, &str)], body: &[u8]) -> Answered {
        self.ask_as(JAVA_5_5, 1, code, fields, body).await
    }

    async fn ask_as(&self, version: i32, connection: u64, code: i32, fields: &[(&str, &str)], body: &[u8]) -> Answered {
        let fields: std::collections::BTreeMap<_, _> = fields.iter().copied().collect();
        let head = NewHead { code, language: 0, version, opaque: 7, flag: 0, remark: None };
        let mut bytes = Vec::new();
        frame::encode(&mut bytes, Codec::Json, &head, &fields, body.len()).unwrap();
        bytes.extend_from_slice(body);
        let frame = Frame::cut(&bytes).unwrap();
        let head = frame.head().unwrap();
        let address = "127.0.0.1:50000".parse().unwrap();
        let request = Request {
            code: head.code,
            version: head.version,
            language: head.language,
            ext: head.ext.into_owned(),
            body: Bytes::copy_from_slice(frame.body),
            peer: Peer { connection: ConnectionId(connection), address, push: self.push.clone() },
        };
        answered(serve(&self.doors, request).await.unwrap_or_else(Response::from))
    }

    /// A broker `group/id` at `address` registers `topics` over connection `id + 100`.
    async fn register(&self, group: &str, id: u64, address: &str, topics: &[&str]) -> Answered {
        self.register_version(group, id, address, topics, 1).await
    }

    async fn register_version(&self, group: &str, id: u64, address: &str, topics: &[&str], version: i64) -> Answered {
        let body = registration(topics, version).encode();
        let crc = body_crc(&body).to_string();
        self.ask_as(JAVA_5_5, id + 100, 103, &broker_fields(group, &id.to_string(), address, &crc), &body).await
    }

    async fn topics(&self, code: i32, fields: &[(&str, &str)]) -> String {
        let answer = self.ask(code, fields, b"").await;
        assert_eq!(answer.code, 0, "{answer:?}");
        answer.text().to_owned()
    }

    async fn has_route(&self, topic: &str) -> bool {
        self.ask(105, &[("topic", topic)], b"").await.code == 0
    }
}

fn answered(response: Response) -> Answered {
    let head = NewHead {
        code: response.code,
        language: 12,
        version: JAVA_5_5,
        opaque: 7,
        flag: 1,
        remark: response.remark.as_deref(),
    };
    let mut bytes = Vec::new();
    response.header.write(&mut bytes, Codec::Binary, &head, response.body.len()).unwrap();
    bytes.extend_from_slice(&response.body);
    let frame = Frame::cut(&bytes).unwrap();
    let head = frame.head().unwrap();
    Answered {
        code: head.code,
        remark: head.remark.map(|remark| remark.into_owned()),
        ext: head.ext.into_owned(),
        body: Bytes::copy_from_slice(frame.body),
    }
}

fn broker_fields<'a>(group: &'a str, id: &'a str, address: &'a str, crc: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("brokerName", group),
        ("brokerId", id),
        ("brokerAddr", address),
        ("clusterName", "DefaultCluster"),
        ("haServerAddr", "127.0.0.1:10912"),
        ("enableActingMaster", "false"),
        ("compressed", "false"),
        ("bodyCrc32", crc),
    ]
}

fn registration(topics: &[&str], version: i64) -> RegisterBrokerBody {
    let mut body = RegisterBrokerBody::default();
    body.topics.data_version = DataVersion { counter: version, state_version: 0, timestamp: version };
    for topic in topics {
        let config = TopicConfig {
            topic_name: (*topic).into(),
            read_queue_nums: 4,
            write_queue_nums: 8,
            ..TopicConfig::default()
        };
        body.topics.topic_config_table.insert((*topic).into(), config);
    }
    body
}

/// What the Java code wrote, from `tests/vectors`.
fn vector(file: &str, name: &str, form: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    let prefix = if form.is_empty() { format!("{name}\t") } else { format!("{name}\t{form}\t") };
    text.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_else(|| panic!("no {name} {form}")).to_owned()
}

fn java_registration(form: &str) -> (String, Vec<u8>) {
    let line = vector("registration.txt", form, "");
    let (crc, hex) = line.split_once('\t').unwrap();
    let digits: Vec<_> = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap()).collect();
    (crc.to_owned(), digits.iter().map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect())
}

#[actix::test]
async fn a_route_has_the_text_that_java_writes() {
    let server = Server::start(|config| config.routes.order_messages = true);
    for (id, address) in [("0", "127.0.0.1:10911"), ("1", "[::1]:10921")] {
        let mut body = registration(&["TopicTest", "Other"], 1);
        body.topics.topic_config_table.get_mut("TopicTest").unwrap().topic_sys_flag = 1;
        let body = body.encode();
        let crc = body_crc(&body).to_string();
        let mut fields = broker_fields("broker-a", id, address, &crc);
        fields.retain(|(name, _)| *name != "enableActingMaster");
        fields.push(("enableActingMaster", "true"));
        assert_eq!(server.ask(103, &fields, &body).await.code, 0);
    }
    let expected: TopicRouteData = TopicRouteData::decode(vector("bodies.txt", "route", "new").as_bytes()).unwrap();
    let order = expected.order_topic_conf.unwrap();
    let put = [("namespace", "ORDER_TOPIC_CONFIG"), ("key", "TopicTest"), ("value", &*order)];
    assert_eq!(server.ask(100, &put, b"").await.code, 0);

    let topic = [("topic", "TopicTest")];
    let new = server.ask_as(JAVA_5_5, 1, 105, &topic, b"").await;
    assert_eq!((new.code, new.text()), (0, &*vector("bodies.txt", "route", "standard_new")));
    let old = server.ask_as(JAVA_4_9_3, 1, 105, &topic, b"").await;
    assert_eq!((old.code, old.text()), (0, &*vector("bodies.txt", "route", "new")));
    let asked = [("topic", "TopicTest"), ("acceptStandardJsonOnly", "true")];
    let asked = server.ask_as(JAVA_4_9_3, 1, 105, &asked, b"").await;
    assert_eq!(asked.text(), new.text());
    assert_eq!(server.topics(106, &[]).await, vector("bodies.txt", "cluster", "new"));
    let members = [("brokerName", "broker-a"), ("clusterName", "DefaultCluster")];
    assert_eq!(server.topics(901, &members).await, vector("bodies.txt", "member_group", "new"));
}

#[actix::test]
async fn a_missing_route_is_explained() {
    let server = Server::start(|_| {});
    let missing = server.ask(105, &[("topic", "T")], b"").await;
    let remark = "No topic route info in name server for the topic: T\nSee \
                  https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details.";
    assert_eq!((missing.code, missing.remark.as_deref()), (17, Some(remark)));
    let unknown = server.ask(4711, &[], b"").await;
    assert_eq!((unknown.code, unknown.remark.as_deref()), (3, Some(" request type 4711 not supported")));
    let nameless = server.ask(105, &[], b"").await;
    assert_eq!((nameless.code, nameless.remark.as_deref()), (1, Some("the header field topic is missing")));
}

#[actix::test]
async fn java_s_own_registrations_are_read() {
    for form in ["plain", "compressed"] {
        let server = Server::start(|_| {});
        let (crc, body) = java_registration(form);
        let compressed = if form == "compressed" { "true" } else { "false" };
        let mut fields = broker_fields("broker-a", "0", "127.0.0.1:10911", &crc);
        fields.retain(|(name, _)| *name != "compressed");
        fields.push(("compressed", compressed));
        // One topic is a change, which needs a whole registration before it.
        let early = server.ask(103, &fields, &body).await;
        assert_eq!((early.code, early.remark.as_deref()), (1, Some("register broker failed")));
        server.register("broker-a", 0, "127.0.0.1:10911", &["A", "B"]).await;
        let registered = server.ask(103, &fields, &body).await;
        assert_eq!((registered.code, registered.remark), (0, None), "{form}");
        let route = server.ask(105, &[("topic", "TopicTest")], b"").await;
        let route = TopicRouteData::decode(&route.body).unwrap();
        let queues = &route.queue_datas[0];
        assert_eq!((queues.read_queue_nums, queues.write_queue_nums, queues.perm), (4, 8, 6));
        assert_eq!(route.filter_server_table["127.0.0.1:10911"], ["127.0.0.1:9999"]);
        let mut broken = body.clone();
        *broken.last_mut().unwrap() ^= 1;
        let refused = server.ask(103, &fields, &broken).await;
        assert_eq!((refused.code, refused.remark.as_deref()), (1, Some("crc32 not match")));
    }
}

#[actix::test]
async fn broken_registrations_are_refused_and_change_nothing() {
    let server = Server::start(|_| {});
    let bomb = {
        use std::io::Write;
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        (0..65).for_each(|_| zlib.write_all(&[0; 1024 * 1024]).unwrap());
        zlib.finish().unwrap()
    };
    let bodies: [(&str, &[u8]); 5] =
        [("false", b"{"), ("false", b"[]"), ("true", b"{}"), ("true", &bomb), ("true", &[0x78, 0x9c, 1, 2])];
    for (compressed, body) in bodies {
        let mut fields = broker_fields("b", "0", "127.0.0.1:1", "0");
        fields.retain(|(name, _)| *name != "compressed");
        fields.push(("compressed", compressed));
        let refused = server.ask(103, &fields, body).await;
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.remark.is_some_and(|remark| !remark.is_empty()));
    }
    assert_eq!(server.topics(106, &[]).await, r#"{"brokerAddrTable":{},"clusterAddrTable":{}}"#);
}

#[actix::test]
async fn a_slave_learns_its_master_and_a_broker_the_ordered_topics() {
    let server = Server::start(|_| {});
    server.register("b", 0, "m:1", &["A", "B"]).await;
    let put = [("namespace", "ORDER_TOPIC_CONFIG"), ("key", "A"), ("value", "b:4")];
    assert_eq!(server.ask(100, &put, b"").await.code, 0);
    let slave = server.register("b", 1, "s:1", &["A", "B"]).await;
    assert_eq!(slave.field("masterAddr").as_deref(), Some("m:1"));
    assert_eq!(slave.field("haServerAddr").as_deref(), Some("127.0.0.1:10912"));
    assert_eq!(slave.text(), r#"{"table":{"A":"b:4"}}"#);
}

#[actix::test]
async fn a_broker_asks_whether_to_register_again() -> Result<(), DecodeError> {
    let server = Server::start(|_| {});
    let fields = [("brokerName", "b"), ("brokerAddr", "m:1"), ("clusterName", "DefaultCluster"), ("brokerId", "0")];
    let version = DataVersion { counter: 1, state_version: 0, timestamp: 1 };
    let before = server.ask(322, &fields, &version.encode()).await;
    assert_eq!((before.field("changed").as_deref(), before.body.len()), (Some("true"), 0));
    server.register("b", 0, "m:1", &["A", "B"]).await;
    let same = server.ask(322, &fields, &version.encode()).await;
    assert_eq!(same.field("changed").as_deref(), Some("false"));
    assert_eq!(DataVersion::decode(&same.body)?, version);
    let later = server.ask(322, &fields, &DataVersion { counter: 2, ..version }.encode()).await;
    assert_eq!(later.field("changed").as_deref(), Some("true"));
    Ok(())
}

#[actix::test]
async fn brokers_leave_by_word_and_with_their_connection() {
    let server = Server::start(|_| {});
    server.register("a", 0, "a:1", &["A", "B"]).await;
    server.register("b", 5, "b:1", &["A", "C"]).await;
    server.register("b", 0, "b:0", &["A", "C"]).await;
    server.doors.actor.send(Disconnected { connection: ConnectionId(100) }).await.unwrap();
    assert!(!server.has_route("B").await);
    assert!(server.has_route("C").await, "the slave of b is still there");
    let fields = [("brokerName", "b"), ("brokerAddr", "b:1"), ("clusterName", "DefaultCluster"), ("brokerId", "5")];
    assert_eq!(server.ask(104, &fields, b"").await.code, 0);
    assert!(!server.has_route("C").await);
    assert_eq!(server.topics(206, &[]).await, r#"{"topicList":[]}"#);
}

#[actix::test]
async fn a_silent_broker_expires_and_heartbeats_keep_it() {
    tokio::time::pause();
    let server = Server::start(|_| {});
    for (group, connection) in [("a", "1"), ("b", "2")] {
        let mut fields = broker_fields(group, "0", connection, "0");
        fields.push(("heartbeatTimeoutMillis", "30000"));
        let body = registration(&[group, "T"], 1).encode();
        assert_eq!(server.ask(103, &fields, &body).await.code, 0);
    }
    server.register("c", 0, "3", &["c", "T"]).await;
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(20)).await;
        let fields = [("brokerName", "a"), ("brokerAddr", "1"), ("clusterName", "DefaultCluster")];
        assert_eq!(server.ask(904, &fields, b"").await.code, 0);
    }
    assert!(server.has_route("a").await && !server.has_route("b").await && server.has_route("c").await);
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert!(!server.has_route("a").await && !server.has_route("c").await);
}

#[actix::test]
async fn lists_name_what_they_should() {
    let server = Server::start(|_| {});
    let mut body = registration(&["Plain", "Unit", "Sub", "Both"], 1);
    for (topic, flag) in [("Unit", 1), ("Sub", 2), ("Both", 3)] {
        body.topics.topic_config_table.get_mut(topic).unwrap().topic_sys_flag = flag;
    }
    let body = body.encode();
    server.ask(103, &broker_fields("b", "0", "m:1", &body_crc(&body).to_string()), &body).await;
    let list = |names: &[&str]| format!(r#"{{"topicList":[{}]}}"#, names.join(","));
    assert_eq!(server.topics(206, &[]).await, list(&["\"Both\"", "\"Plain\"", "\"Sub\"", "\"Unit\""]));
    assert_eq!(server.topics(311, &[]).await, list(&["\"Both\"", "\"Unit\""]));
    assert_eq!(server.topics(312, &[]).await, list(&["\"Both\"", "\"Sub\""]));
    assert_eq!(server.topics(313, &[]).await, list(&["\"Sub\""]));
    let cluster = [("cluster", "DefaultCluster")];
    assert_eq!(server.topics(224, &cluster).await, server.topics(206, &[]).await);
    assert_eq!(server.topics(224, &[("cluster", "unknown")]).await, list(&[]));
    assert_eq!(server.topics(304, &[]).await, r#"{"brokerAddr":"m:1","topicList":["DefaultCluster","b"]}"#);
    let off = server.ask(318, &[], b"enableTopicList=false\nenableAllTopicList=false\n").await;
    assert_eq!(off.code, 0, "{off:?}");
    for code in [206, 224, 311, 312, 313] {
        let off = server.ask(code, &cluster, b"").await;
        assert_eq!((off.code, off.remark.as_deref()), (1, Some("disable")), "{code}");
    }
}

#[actix::test]
async fn topics_are_told_taken_and_switched_one_by_one() {
    let server = Server::start(|_| {});
    server.register("b", 0, "m:1", &["A", "B"]).await;
    let queues = |group: &str| {
        let route =
            format!(r#"{{"queueDatas":[{{"brokerName":"{group}","perm":6,"readQueueNums":2,"writeQueueNums":2}}]}}"#);
        route.into_bytes()
    };
    assert_eq!(server.ask(217, &[("topic", "New")], &queues("b")).await.code, 0);
    assert_eq!(server.ask(217, &[("topic", "Lost")], &queues("unknown")).await.code, 0);
    assert!(server.has_route("New").await && !server.has_route("Lost").await);
    let wiped = server.ask(205, &[("brokerName", "b")], b"").await;
    assert_eq!(wiped.field("wipeTopicCount").as_deref(), Some("3"));
    let perm = async || {
        let route = server.ask(105, &[("topic", "A")], b"").await;
        TopicRouteData::decode(&route.body).unwrap().queue_datas[0].perm
    };
    assert_eq!(perm().await, 4);
    let added = server.ask(327, &[("brokerName", "b")], b"").await;
    assert_eq!((added.field("addTopicCount").as_deref(), perm().await), (Some("3"), 6));
    assert_eq!(server.ask(216, &[("topic", "A"), ("clusterName", "other")], b"").await.code, 0);
    assert!(server.has_route("A").await);
    assert_eq!(server.ask(216, &[("topic", "A"), ("clusterName", "DefaultCluster")], b"").await.code, 0);
    assert_eq!(server.ask(216, &[("topic", "B")], b"").await.code, 0);
    assert!(!server.has_route("A").await && !server.has_route("B").await);
}

#[actix::test]
async fn keys_outlive_the_name_server() {
    let server = Server::start(|_| {});
    let entry = [("namespace", "n"), ("key", "k"), ("value", "wert=ü")];
    let missing = server.ask(101, &entry, b"").await;
    assert_eq!((missing.code, missing.remark.as_deref()), (22, Some("No config item, Namespace: n Key: k")));
    let missing = server.ask(219, &entry, b"").await;
    assert_eq!((missing.code, missing.remark.as_deref()), (22, Some("No config item, Namespace: n")));
    let puts = (0..50).map(|i| {
        let server = &server;
        async move {
            let key = format!("k{i}");
            server.ask(100, &[("namespace", "n"), ("key", &key), ("value", "v")], b"").await.code
        }
    });
    assert!(futures_util::future::join_all(puts).await.into_iter().all(|code| code == 0));
    assert_eq!(server.ask(100, &entry, b"").await.code, 0);
    let path = server.directory.path().join("namesrv/kvConfig.json");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with(r#"{"configTable":{"n":{"k":"wert=ü","k0":"v""#), "{text}");
    assert_eq!(server.ask(102, &[("namespace", "n"), ("key", "k0")], b"").await.code, 0);
    server.doors.actor.send(Stop).await.unwrap();

    let server = Server::start_in(server.directory, |_| {});
    assert_eq!(server.ask(101, &entry, b"").await.field("value").as_deref(), Some("wert=ü"));
    assert_eq!(server.ask(101, &[("namespace", "n"), ("key", "k0")], b"").await.code, 22);
    let list = server.ask(219, &[("namespace", "n")], b"").await;
    assert!(list.text().starts_with(r#"{"table":{"k":"wert=ü","k1":"v""#), "{}", list.text());
}

#[actix::test]
async fn a_key_that_cannot_be_kept_is_not_confirmed() {
    let server = Server::start(|_| {});
    let data = server.directory.path().join("namesrv");
    std::fs::remove_dir(&data).unwrap();
    std::fs::write(&data, "in the way").unwrap();
    let refused = server.ask(100, &[("namespace", "n"), ("key", "k"), ("value", "v")], b"").await;
    assert_eq!(refused.code, 1);
    assert!(refused.remark.is_some_and(|remark| remark.contains("namesrv")));
}

#[actix::test]
async fn a_broken_key_file_stops_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = NamesrvConfig::default();
    config.files.data_dir = directory.path().to_owned();
    std::fs::write(directory.path().join("kvConfig.json"), "{\"configTable\":").unwrap();
    let config = Arc::new(ArcSwap::from_pointee(config));
    let error = Namesrv::open(config, Arc::default()).err().unwrap();
    assert!(error.to_string().contains("kvConfig.json"), "{error}");
}

#[actix::test]
async fn settings_change_at_once_and_are_kept() {
    let server = Server::start(|_| {});
    let black = server.ask(318, &[], b"kvConfigPath=/tmp/x\nenableTopicList=false\n").await;
    assert_eq!((black.code, black.remark.as_deref()), (16, Some("Can not update config in black list.")));
    assert!(server.doors.config.load().routes.topic_lists);
    let wrong = server.ask(318, &[], b"orderMessageEnable=maybe\n").await;
    assert_eq!(wrong.code, 1);
    assert!(wrong.remark.is_some_and(|remark| remark.contains("orderMessageEnable")));
    // Unknown keys are for the log only, as old tools send them.
    let changed = server.ask(318, &[], b"orderMessageEnable=true\nnoSuchKey=1\n").await;
    assert_eq!((changed.code, changed.remark), (0, None));
    let listed = server.topics(319, &[]).await;
    assert!(listed.contains("orderMessageEnable=true\n") && listed.contains("listenPort=9876\n"), "{listed}");
    let kept = std::fs::read_to_string(server.directory.path().join("namesrv/namesrv.properties")).unwrap();
    assert_eq!(kept, "orderMessageEnable=true\n");
    assert_eq!(server.ask(318, &[], b"").await.code, 0);
}

#[actix::test]
async fn a_young_name_server_may_ask_for_patience() {
    tokio::time::pause();
    let server = Server::start(|config| config.routes.wait_for_brokers = true);
    server.register("b", 0, "m:1", &["A", "B"]).await;
    let early = server.ask(105, &[("topic", "A")], b"").await;
    assert_eq!((early.code, early.remark.as_deref()), (1, Some("name server not ready")));
    tokio::time::advance(Duration::from_secs(46)).await;
    assert!(server.has_route("A").await);
}

#[actix::test]
async fn zones_are_kept_when_asked_for() {
    let server = Server::start(|_| {});
    for (group, zone) in [("a", "east"), ("b", "west")] {
        let mut fields = broker_fields(group, "0", group, "0");
        fields.push(("__ZONE_NAME", zone));
        let body = registration(&["T", "U"], 1).encode();
        assert_eq!(server.ask(103, &fields, &body).await.code, 0);
    }
    let names = async |fields: &[(&str, &str)]| {
        let route = server.ask(105, fields, b"").await;
        let route = TopicRouteData::decode(&route.body).unwrap();
        route.queue_datas.into_iter().map(|queues| queues.broker_name).collect::<Vec<_>>()
    };
    assert_eq!(names(&[("topic", "T"), ("__ZONE_MODE", "true"), ("__ZONE_NAME", "WEST")]).await, ["b"]);
    assert_eq!(names(&[("topic", "T"), ("__ZONE_MODE", "false"), ("__ZONE_NAME", "west")]).await, ["a", "b"]);
    assert_eq!(names(&[("topic", "T"), ("__ZONE_MODE", "true")]).await, ["a", "b"]);
}

#[actix::test]
async fn a_registration_of_many_topics_is_taken() {
    let server = Server::start(|_| {});
    let names: Vec<String> = (0..20_000).map(|i| format!("topic-with-a-common-name-{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let body = registration(&names, 1).encode_compressed();
    let crc = body_crc(&body).to_string();
    let mut fields = broker_fields("b", "0", "m:1", &crc);
    fields.retain(|(name, _)| *name != "compressed");
    fields.push(("compressed", "true"));
    let registered = server.ask(103, &fields, &body).await;
    assert_eq!(registered.code, 0, "{registered:?}");
    assert!(server.has_route("topic-with-a-common-name-19999").await);
}

#[actix::test]
async fn a_group_is_told_that_its_lowest_id_changed() {
    use tokio::io::AsyncReadExt;
    let slave = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = slave.local_addr().unwrap().to_string();
    let server = Server::start(|config| config.routes.notify_min_id_changed = true);
    server.register("b", 1, &address, &["A", "B"]).await;
    server.register("b", 0, "127.0.0.1:1", &["A", "B"]).await;
    let (mut stream, _) = slave.accept().await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let frame = Frame::cut(&bytes).unwrap();
    let head = frame.head().unwrap();
    assert!(head.is_oneway());
    let field = |name| head.ext.field(name).map(|value| value.into_owned());
    assert_eq!((head.code, field("minBrokerId").as_deref()), (905, Some("0")));
    assert_eq!(field("minBrokerAddr").as_deref(), Some("127.0.0.1:1"));
    assert_eq!(field("haBrokerAddr").as_deref(), Some("127.0.0.1:10912"));
}

#[actix::test]
async fn over_sockets_a_broker_is_gone_with_its_connection() {
    use actormq::protocol::header::namesrv::{GetRouteInfoRequest, RegisterBrokerRequest};
    use actormq::remoting::channel::{Channel, ChannelOptions};
    const WAIT: Duration = Duration::from_secs(20);

    let directory = tempfile::tempdir().unwrap();
    let mut config = NamesrvConfig::default();
    config.files.data_dir = directory.path().to_owned();
    config.network.bind_address = "127.0.0.1".parse().unwrap();
    config.network.listen_port = 0;
    let fatal: actormq::actors::log::flusher::Fatal = Arc::new(|reason| panic!("{reason}"));
    let server = actormq::server::namesrv::NameServer::start(config, &fatal).unwrap();
    let connect = async || Channel::connect(&server.address.to_string(), ChannelOptions::default()).await.unwrap();
    let (broker, client) = (connect().await, connect().await);
    let body = registration(&["A", "B"], 1).encode();
    let header = RegisterBrokerRequest {
        broker_name: "b".into(),
        broker_addr: "127.0.0.1:10911".into(),
        cluster_name: "DefaultCluster".into(),
        ha_server_addr: None,
        broker_id: 0,
        heartbeat_timeout_millis: None,
        enable_acting_master: Some(false),
        compressed: false,
        body_crc32: body_crc(&body),
    };
    assert_eq!(broker.request(103, &header, &body, WAIT).await.unwrap().code, 0);
    let route = async || {
        let header = GetRouteInfoRequest { topic: "A".into(), accept_standard_json_only: None };
        client.request(105, &header, b"", WAIT).await.unwrap().code
    };
    assert_eq!(route().await, 0);
    broker.close().await;
    let gone = async {
        while route().await != 17 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(WAIT, gone).await.unwrap();
    server.stop().await;
}
