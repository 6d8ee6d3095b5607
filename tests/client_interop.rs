//! Our client library against servers that somebody else started: ours or Apache's, and Java's consumers beside ours.
//! `tests/interop/run` gives it a cluster; without one it only says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use actormq::client::admin::{Admin, Place, TopicConfig};
use actormq::client::{
    Client, ClientOptions, Message, MessageQueue, Producer, ProducerOptions, PullOptions, ReceivedMessage, StartFrom,
};

#[path = "client_interop/administering.rs"]
mod administering;
#[path = "client_interop/asking.rs"]
mod asking;
#[path = "client_interop/cases.rs"]
mod cases;
#[path = "client_interop/delivering.rs"]
mod delivering;
#[path = "client_interop/fleet.rs"]
mod fleet;
#[path = "client_interop/java.rs"]
mod java;
#[path = "client_interop/ledger.rs"]
mod ledger;
#[path = "client_interop/pulling.rs"]
mod pulling;
#[path = "client_interop/pushing.rs"]
mod pushing;
#[path = "client_interop/sending.rs"]
mod sending;
#[path = "client_interop/sharing.rs"]
mod sharing;
#[path = "client_interop/shell.rs"]
mod shell;

use cases::Cases;

/// Longer than anything takes that a case waits for, on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
/// Wait before a condition is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The servers, and what all cases share.
struct World {
    name_server: String,
    /// Apache's servers, whose flaws are stepped around in a few places.
    is_apache: bool,
    client: Client,
    producer: Producer,
    admin: Admin,
}

impl World {
    async fn enter(name_server: String, is_apache: bool) -> Self {
        let client = Client::connect(ClientOptions::new(&name_server)).await.unwrap();
        let producer = client.producer_with(patient("interop")).await.unwrap();
        let admin = client.admin();
        Self { name_server, is_apache, client, producer, admin }
    }

    /// A client of its own: a further member of groups.
    async fn another(&self) -> Client {
        Client::connect(ClientOptions::new(&self.name_server)).await.unwrap()
    }

    /// Makes a topic, which the name server knows by the end.
    async fn topic(&self, stem: &str, queues: i32) -> String {
        let topic = name(stem);
        self.put_topic(&topic, queues, 6).await;
        topic
    }

    async fn put_topic(&self, topic: &str, queues: i32, perm: i32) {
        let config = TopicConfig {
            topic_name: topic.to_owned(),
            perm,
            read_queue_nums: queues,
            write_queue_nums: queues,
            ..TopicConfig::default()
        };
        self.admin.put_topic(&config, &[], &Place::Everywhere).await.unwrap();
        let known = async || self.admin.topic_route(topic).await.is_ok_and(|route| route[0].read_queues == queues);
        until("the topic is in the routes", known).await;
    }

    /// Sends all at once, to each queue in turn.
    async fn send(&self, topic: &str, bodies: impl IntoIterator<Item = String>) {
        // One of its own, since producers go round by one count for all of their topics.
        let producer = self.client.producer_with(patient(&name("sender"))).await.unwrap();
        let sends = bodies.into_iter().map(|body| producer.send(Message::new(topic, body)));
        futures_util::future::try_join_all(sends).await.unwrap();
        producer.shutdown().await.unwrap();
    }

    /// All of a topic's messages, once there are `count`.
    async fn read(&self, topic: &str, count: usize) -> Vec<ReceivedMessage> {
        let options =
            PullOptions { start_from: StartFrom::First, auto_commit: None, ..PullOptions::new(name("reader")) };
        let mut consumer = self.client.pull_consumer_with(options).await.unwrap();
        consumer.assign(&self.client.queues(topic).await.unwrap(), "*".into()).await.unwrap();
        let mut all = Vec::new();
        let begun = Instant::now();
        while all.len() < count {
            assert!(begun.elapsed() < LIMIT, "{} of {count} messages of {topic} came", all.len());
            all.extend(consumer.poll(Duration::from_secs(1)).await.unwrap());
        }
        consumer.shutdown().await.unwrap();
        assert_eq!(all.len(), count);
        all
    }
}

/// Options for a machine on which everything may take its time.
fn patient(group: &str) -> ProducerOptions {
    ProducerOptions { send_timeout: Duration::from_secs(15), ..ProducerOptions::new(group) }
}

/// A name that no other case and no earlier run has used.
fn name(stem: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
    format!("{stem}-{now}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

fn text(message: &ReceivedMessage) -> String {
    String::from_utf8_lossy(&message.body).into_owned()
}

fn numbered(range: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    range.map(|n| format!("m{n}"))
}

/// Looks until it is so.
#[track_caller]
fn until<F: AsyncFnMut() -> bool>(what: &str, mut ready: F) -> impl Future<Output = ()> {
    let asked_at = std::panic::Location::caller();
    async move {
        let begun = Instant::now();
        while !ready().await {
            assert!(begun.elapsed() < LIMIT, "never: {what} ({asked_at})");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

fn queues_of(topic: &str, all: &[MessageQueue]) -> Vec<MessageQueue> {
    all.iter().filter(|queue| &*queue.topic == topic).cloned().collect()
}

fn main() -> std::process::ExitCode {
    let from_outside = |name: &str| std::env::var(name).unwrap_or_default();
    let name_server = from_outside("INTEROP_NAMESRV");
    if name_server.is_empty() {
        println!("skipped: INTEROP_NAMESRV names no name server; tests/interop/run brings servers along");
        return std::process::ExitCode::SUCCESS;
    }
    let mut cases = Cases::new(from_outside("INTEROP_SUITE"), from_outside("INTEROP_ONLY"));
    for group in from_outside("INTEROP_GROUPS").split_whitespace() {
        match group {
            "sending" => sending::add(&mut cases),
            "pulling" => pulling::add(&mut cases),
            "pushing" => pushing::add(&mut cases),
            "delivering" => delivering::add(&mut cases),
            "administering" => administering::add(&mut cases),
            "asking" => asking::add(&mut cases),
            "shell" => shell::add(&mut cases),
            "sharing" => sharing::add(&mut cases),
            "fleet" => fleet::add(&mut cases),
            other => panic!("no group of cases is called {other}"),
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let passed = runtime.block_on(tokio::task::LocalSet::new().run_until(async {
        let is_apache = from_outside("INTEROP_TARGET") == "apache";
        cases.run(Arc::new(World::enter(name_server, is_apache).await)).await
    }));
    // What a case that failed has left behind is not waited for.
    runtime.shutdown_background();
    if passed { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
}
