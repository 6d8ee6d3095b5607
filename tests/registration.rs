//! A broker's registration, over real sockets, with name servers that may be slow, gone, or back again.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::prelude::*;
use actormq::actors::catalog::topics::{DeleteTopic, Renew, TopicConfig, Topics, UpdateTopics};
use actormq::actors::cluster::registration::{Registrar, Registration};
use actormq::actors::door::Door;
use actormq::actors::log::flusher::Fatal;
use actormq::actors::namesrv::published::Published;
use actormq::actors::namesrv::{Disconnected, Namesrv};
use actormq::actors::{ConnectionId, Peer, Push, Stop};
use actormq::config::{BrokerConfig, NamesrvAddress, NamesrvConfig};
use actormq::protocol::frame::{self, Frame, NewHead};
use actormq::protocol::names::Topic;
use actormq::server::requests::namesrv::{NamesrvDoors, serve};
use actormq::server::requests::{Request, Response};
use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Long enough for anything here on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

struct Nobody;

impl Actor for Nobody {
    type Context = Context<Self>;
}

impl Handler<Push> for Nobody {
    type Result = ();
    fn handle(&mut self, _: Push, _: &mut Self::Context) {}
}

/// What a name server was asked: code and length of the body.
type Asked = Arc<Mutex<Vec<(i32, usize)>>>;

/// A name server behind a socket of the plainest kind.
struct Server {
    address: SocketAddr,
    routes: Arc<Published>,
    doors: NamesrvDoors,
    asked: Asked,
    listening: JoinHandle<()>,
    _directory: tempfile::TempDir,
}

impl Server {
    async fn start(address: &str) -> Server {
        let directory = tempfile::tempdir().unwrap();
        let mut config = NamesrvConfig::default();
        config.files.data_dir = directory.path().to_owned();
        let config = Arc::new(ArcSwap::from_pointee(config));
        let routes = Arc::<Published>::default();
        let actor = Namesrv::open(Arc::clone(&config), Arc::clone(&routes)).unwrap();
        let key_values = actor.key_values();
        let doors = NamesrvDoors::new(actor.start(), Arc::clone(&routes), key_values, config);
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Asked::default();
        let listening = actix::spawn(listen(listener, doors.clone(), Arc::clone(&asked)));
        Server { address, routes, doors, asked, listening, _directory: directory }
    }

    fn codes(&self) -> Vec<i32> {
        self.asked.lock().unwrap().iter().map(|(code, _)| *code).collect()
    }

    fn has(&self, topic: &str) -> bool {
        self.routes.route(topic).is_some()
    }

    fn perm(&self, topic: &str) -> Option<i32> {
        Some(self.routes.route(topic)?.topic.shares.get("broker-a")?.perm)
    }

    /// The process ends: nobody listens, all connections are gone.
    async fn kill(self) -> SocketAddr {
        self.listening.abort();
        assert!(self.listening.await.is_err_and(|error| error.is_cancelled()));
        self.address
    }
}

async fn listen(listener: TcpListener, doors: NamesrvDoors, asked: Asked) {
    // Aborted with the set, so that connections end with the listener.
    let mut connections = JoinSet::new();
    static NEXT: AtomicU64 = AtomicU64::new(1);
    while let Ok((stream, address)) = listener.accept().await {
        let connection = ConnectionId(NEXT.fetch_add(1, Ordering::Relaxed));
        let peer = Peer { connection, address, push: Nobody.start().recipient() };
        let (doors, asked) = (doors.clone(), Arc::clone(&asked));
        connections.spawn_local(async move {
            converse(stream, &doors, &asked, &peer).await;
            doors.actor.do_send(Disconnected { connection });
        });
    }
}

async fn converse(mut stream: TcpStream, doors: &NamesrvDoors, asked: &Asked, peer: &Peer) {
    let mut prefix = [0; 4];
    while stream.read_exact(&mut prefix).await.is_ok() {
        let mut bytes = prefix.to_vec();
        bytes.resize(frame::length(&prefix).unwrap().unwrap(), 0);
        if stream.read_exact(&mut bytes[4..]).await.is_err() {
            return;
        }
        let frame = Frame::cut(&bytes).unwrap();
        let head = frame.head().unwrap();
        asked.lock().unwrap().push((head.code, frame.body.len()));
        let (codec, opaque) = (frame.codec, head.opaque);
        let request = Request {
            code: head.code,
            version: head.version,
            language: head.language,
            ext: head.ext.into_owned(),
            body: Bytes::copy_from_slice(frame.body),
            peer: peer.clone(),
        };
        let response = serve(doors, request).await.unwrap_or_else(Response::from);
        let remark = response.remark.as_deref();
        let head = NewHead { code: response.code, language: 12, version: 513, opaque, flag: 1, remark };
        let mut out = Vec::new();
        response.header.write(&mut out, codec, &head, response.body.len()).unwrap();
        out.extend_from_slice(&response.body);
        if stream.write_all(&out).await.is_err() {
            return;
        }
    }
}

/// A broker, and its registration with name servers that the broker's own settings do not name.
struct Broker {
    config: Arc<ArcSwap<BrokerConfig>>,
    topics: Door<Topics>,
    registration: Addr<Registration>,
    server: actormq::server::broker::Broker,
    _directory: tempfile::TempDir,
}

impl Broker {
    async fn start(namesrvs: &[SocketAddr], change: impl FnOnce(&mut BrokerConfig)) -> Broker {
        let directory = tempfile::tempdir().unwrap();
        let mut config = BrokerConfig::default();
        config.identity.broker_name = "broker-a".into();
        config.network.bind_address = "127.0.0.1".parse().unwrap();
        config.network.listen_port = 0;
        config.store.data_dir = directory.path().to_owned();
        config.store.commit_log_segment_bytes = 1024 * 1024;
        let fatal: Fatal = Arc::new(|reason| panic!("{reason}"));
        let server = actormq::server::broker::Broker::start(config.clone(), 1, &fatal).await.unwrap();
        let addresses = namesrvs.iter().map(|address| NamesrvAddress::parse(&address.to_string()).unwrap());
        config.registration.namesrv_addresses = addresses.collect();
        change(&mut config);
        let config = Arc::new(ArcSwap::from_pointee(config));
        let topics = server.doors.topics.owner.clone();
        let registrar = Registrar {
            cluster: "DefaultCluster".into(),
            name: "broker-a".into(),
            id: 0,
            address: "127.0.0.1:10911".into(),
            ha_address: "127.0.0.1:10912".into(),
        };
        let registration = Registration::new(registrar, Arc::clone(&config), topics.clone()).start();
        Broker { config, topics, registration, server, _directory: directory }
    }

    /// Ends the registration, then the broker.
    async fn stop(self) {
        self.registration.send(Stop).await.unwrap();
        assert!(!self.registration.connected());
        self.server.stop().await;
    }

    async fn make(&self, names: impl IntoIterator<Item = String>) {
        let topics = names.into_iter().map(|name| TopicConfig::new(Topic::new(&name).unwrap(), 4)).collect();
        self.topics.ask(UpdateTopics { topics }).await.unwrap().unwrap();
    }
}

/// Waits for a condition that a socket and some actors bring about.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let held = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, held).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[actix::test]
async fn a_broker_registers_at_its_start_and_tells_changes_alone() {
    let server = Server::start("127.0.0.1:0").await;
    let broker = Broker::start(&[server.address], |_| {}).await;
    until("the first registration", || server.has("TBW102")).await;
    let whole = server.asked.lock().unwrap().last().unwrap().1;
    broker.make(["New".into()]).await;
    assert!(server.has("New"), "the answer came before the name server knew the topic");
    broker.make((0..100).map(|i| format!("New{i}"))).await;
    assert!(server.has("New0") && server.has("New99"));
    assert_eq!(server.codes(), [103, 103, 103]);
    let change = server.asked.lock().unwrap()[1].1;
    assert!(change < whole / 2, "{change} of {whole} bytes for one topic");
    broker.stop().await;
    assert_eq!(server.codes().last(), Some(&104));
    assert!(!server.has("New") && server.routes.brokers().groups.is_empty());
}

#[actix::test]
async fn changes_are_gathered() {
    let server = Server::start("127.0.0.1:0").await;
    let broker = Broker::start(&[server.address], |_| {}).await;
    until("the first registration", || server.has("TBW102")).await;
    futures_util::future::join_all((0..50).map(|i| broker.make([format!("T{i}")]))).await;
    assert!((0..50).all(|i| server.has(&format!("T{i}"))));
    let registrations = server.codes().len();
    assert!(registrations < 25, "{registrations} registrations for 50 changes");
    broker.stop().await;
}

#[actix::test]
async fn a_dead_name_server_delays_no_other_and_is_found_when_it_lives() {
    let dead = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let server = Server::start("127.0.0.1:0").await;
    let broker = Broker::start(&[dead, server.address], |_| {}).await;
    until("the living name server", || server.has("TBW102")).await;
    broker.make(["New".into()]).await;
    assert!(server.has("New"));
    let late = Server::start(&dead.to_string()).await;
    until("the late name server", || late.has("New") && late.has("TBW102")).await;
    broker.stop().await;
}

#[actix::test]
async fn a_name_server_that_comes_back_is_told_everything() {
    let server = Server::start("127.0.0.1:0").await;
    let broker = Broker::start(&[server.address], |_| {}).await;
    until("the first registration", || server.has("TBW102")).await;
    broker.make(["New".into()]).await;
    assert!(server.has("New"));
    let address = server.kill().await;
    let again = Server::start(&address.to_string()).await;
    until("the registration after the loss", || again.has("New") && again.has("TBW102")).await;
    broker.stop().await;
}

#[actix::test]
async fn the_permission_of_the_broker_masks_that_of_its_topics() {
    let server = Server::start("127.0.0.1:0").await;
    let broker = Broker::start(&[server.address], |_| {}).await;
    until("the first registration", || server.perm("BenchmarkTest") == Some(6)).await;
    let mut config = BrokerConfig::clone(&broker.config.load());
    config.identity.permission = 4;
    broker.config.store(Arc::new(config));
    broker.topics.ask(Renew).await.unwrap();
    assert_eq!(server.perm("BenchmarkTest"), Some(4));
    broker.stop().await;
}

#[actix::test]
async fn many_topics_go_in_parts_and_each_part_counts() {
    let server = Server::start("127.0.0.1:0").await;
    let split = |config: &mut BrokerConfig| {
        config.registration.split = true;
        config.registration.split_topics = 10;
    };
    let broker = Broker::start(&[server.address], split).await;
    until("the first registration", || server.has("TBW102")).await;
    broker.make((0..95).map(|i| format!("T{i}"))).await;
    assert!(server.has("T0") && server.has("T94"));
    let before = server.codes().len();
    let mut config = BrokerConfig::clone(&broker.config.load());
    config.identity.permission = 4;
    broker.config.store(Arc::new(config));
    broker.topics.ask(Renew).await.unwrap();
    assert!((0..95).all(|i| server.perm(&format!("T{i}")) == Some(4)));
    assert!(server.codes().len() >= before + 10);
    broker.stop().await;
}

#[actix::test]
async fn the_other_forms_are_understood() {
    for (form, code) in [("compressed", 103), ("single", 217)] {
        let server = Server::start("127.0.0.1:0").await;
        let change = |config: &mut BrokerConfig| {
            config.registration.compressed = form == "compressed";
            config.registration.single_topic = form == "single";
        };
        let broker = Broker::start(&[server.address], change).await;
        until("the first registration", || server.has("TBW102")).await;
        broker.make(["New".into()]).await;
        assert!(server.has("New"));
        assert_eq!(server.codes(), [103, code]);
        broker.stop().await;
    }
}

#[actix::test]
async fn ordered_topics_reach_their_owner() {
    let server = Server::start("127.0.0.1:0").await;
    let put = actormq::actors::namesrv::PutKeyValue {
        namespace: "ORDER_TOPIC_CONFIG".into(),
        key: "BenchmarkTest".into(),
        value: "broker-a:4".into(),
    };
    server.doors.actor.send(put).await.unwrap().unwrap();
    let broker = Broker::start(&[server.address], |_| {}).await;
    let is_ordered = async || {
        let list = broker.topics.ask(actormq::actors::catalog::topics::ListTopics).await.unwrap();
        list.topics.iter().any(|topic| &*topic.config.topic == "BenchmarkTest" && topic.config.order)
    };
    let ordered = async {
        while !is_ordered().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ordered).await.unwrap();
    broker.stop().await;
}

#[actix::test]
async fn a_stop_does_not_wait_for_a_name_server_that_says_nothing() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let broker = Broker::start(&[silent.local_addr().unwrap()], |_| {}).await;
    let _held = silent.accept().await.unwrap();
    tokio::time::timeout(PATIENCE, broker.stop()).await.unwrap();
}

#[actix::test]
async fn a_name_server_that_says_nothing_holds_up_only_the_first_new_topics() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::start("127.0.0.1:0").await;
    let broker = Broker::start(&[silent.local_addr().unwrap(), server.address], |_| {}).await;
    let _held = silent.accept().await.unwrap();
    until("the other name server", || server.has("TBW102")).await;
    broker.make(["First".into()]).await;
    assert!(server.has("First"));
    // By now it is known to be late: a hundred times the wait would be longer than anybody's patience.
    let others = async {
        for i in 0..100 {
            broker.make([format!("T{i}")]).await;
        }
    };
    tokio::time::timeout(PATIENCE, others).await.unwrap();
    assert!(server.has("T99"));
    broker.stop().await;
}

#[actix::test]
async fn a_topic_deleted_before_it_was_told_is_not_told() {
    let server = Server::start("127.0.0.1:0").await;
    let broker = Broker::start(&[server.address], |_| {}).await;
    until("the first registration", || server.has("TBW102")).await;
    // While the first is being told the others wait.
    let (first, others) = (broker.make(["First".into()]), broker.make(["Gone".into(), "Stays".into()]));
    let deleted = async { broker.topics.ask(DeleteTopic { topic: Topic::new("Gone").unwrap() }).await };
    let ((), (), deleted) = futures_util::join!(first, others, deleted);
    deleted.unwrap().unwrap();
    assert!(server.has("First") && server.has("Stays") && !server.has("Gone"));
    broker.stop().await;
}

/// An address server as RocketMQ's: answers each GET of its path with the addresses that it has by then.
async fn address_server(addresses: &Arc<Mutex<String>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let addresses = Arc::clone(addresses);
    drop(actix::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                asked.push(stream.read_u8().await.unwrap());
            }
            let status = if asked.starts_with(b"GET /rocketmq/ours HTTP/1.1\r\n") { "200 OK" } else { "404 Not Found" };
            let body = addresses.lock().unwrap().clone();
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }));
    address
}

#[actix::test]
async fn name_servers_are_found_by_an_address_server() {
    let (one, two) = (Server::start("127.0.0.1:0").await, Server::start("127.0.0.1:0").await);
    let addresses = Arc::new(Mutex::new(format!("{};\r\n", one.address)));
    let domain = address_server(&addresses).await.to_string();
    let asked = |config: &mut BrokerConfig| {
        config.registration.lookup.address_server_enabled = true;
        config.registration.lookup.address_server_interval_ms = 20;
        config.registration.lookup.address_server_domain = Some(domain);
        config.registration.lookup.address_server_subgroup = Some("ours".into());
    };
    let broker = Broker::start(&[], asked).await;
    until("the first name server", || one.has("TBW102")).await;
    *addresses.lock().unwrap() = two.address.to_string();
    until("the second name server", || two.has("TBW102")).await;
    until("the goodbye to the first", || !one.has("TBW102")).await;
    // An answer that names nobody changes nothing.
    *addresses.lock().unwrap() = "out of order".into();
    broker.make(["New".into()]).await;
    assert!(two.has("New"));
    broker.stop().await;
}

#[actix::test]
async fn name_servers_are_found_by_their_name() {
    let server = Server::start("127.0.0.1:0").await;
    let named = format!("localhost:{}", server.address.port());
    let by_name = |config: &mut BrokerConfig| {
        config.registration.namesrv_addresses = vec![NamesrvAddress::parse(&named).unwrap()];
        config.registration.lookup.dns_enabled = true;
    };
    let broker = Broker::start(&[], by_name).await;
    until("the registration", || server.has("TBW102")).await;
    broker.make(["New".into()]).await;
    assert!(server.has("New"));
    broker.stop().await;
}
