//! Consumers that wait, hang, come back late or come new: none of them asks in vain, and none of them holds up another.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use actix::prelude::*;
use actormq::client::{
    Client as OwnClient, ClientOptions, FlowLimits, Outcome, PushConsumer, PushOptions, ReceivedMessage, StartFrom,
};
use actormq::config::{BrokerConfig, NamesrvConfig};
use actormq::protocol::body::Body;
use actormq::protocol::body::groups::SubscriptionGroupConfig;
use actormq::protocol::header::send::SendMessageRequestV2;
use actormq::server::Fatal;
use actormq::server::extending::{Additions, BrokerEvent};
use actormq::server::namesrv::NameServer;
use support::{Client, Server, batch_body, fields, name_server, pull, short_send, until};
use tokio::sync::watch;

const LOG_SEGMENT_BYTES: u32 = 64 * 1024;
/// Of the log, which are gone when a consumer comes back.
const OLD_FILES: usize = 3;
/// As long as our client lets its pulls wait.
const HOLD_SECONDS: u64 = 15;

/// A name server, a broker that is registered there, and a client of both.
struct House {
    names: NameServer,
    server: Server,
    client: OwnClient,
    raw: Client,
}

fn fatal() -> Fatal {
    Arc::new(|reason| panic!("{reason}"))
}

fn names() -> NameServer {
    let mut config = NamesrvConfig::default();
    config.network.bind_address = [127, 0, 0, 1].into();
    config.network.listen_port = 0;
    NameServer::start(config, &fatal()).unwrap()
}

impl House {
    /// With the topic `T`.
    async fn open(queues: &str, additions: Additions) -> Self {
        let names = names();
        let address = name_server(names.address);
        let change = |config: &mut BrokerConfig| config.registration.namesrv_addresses = vec![address];
        let server = Server::start_with_additions(additions, change).await;
        let mut raw = server.client().await;
        raw.make_topic("T", queues).await;
        Self::of(names, server, raw).await
    }

    async fn of(names: NameServer, server: Server, raw: Client) -> Self {
        let mut asking = Client::connect(names.address).await;
        until("the registration", async || {
            let answer = asking.ask(105, &fields(&[("topic", "T")]), b"").await;
            (answer.code == 0).then_some(())
        })
        .await;
        let client = OwnClient::connect(ClientOptions::new(&names.address.to_string())).await.unwrap();
        Self { names, server, client, raw }
    }

    async fn close(self) {
        self.client.shutdown().await;
        self.server.stop().await;
        self.names.stop().await;
    }
}

/// What a listener got, by offset, and a gate that holds it up.
#[derive(Clone)]
struct Inbox {
    got: Arc<Mutex<BTreeMap<(u32, i64), usize>>>,
    gate: Arc<watch::Sender<bool>>,
}

impl Inbox {
    fn open() -> Self {
        Self { got: Arc::default(), gate: Arc::new(watch::Sender::new(true)) }
    }

    /// Whose listener hangs until the gate is opened.
    fn shut() -> Self {
        Self { got: Arc::default(), gate: Arc::new(watch::Sender::new(false)) }
    }

    /// Consumes `T`; at a shut gate only messages hang that `hangs` names.
    async fn start(&self, client: &OwnClient, options: PushOptions, hangs: fn(i64) -> bool) -> PushConsumer {
        let inbox = self.clone();
        let listener = move |batch: Vec<ReceivedMessage>| {
            let inbox = inbox.clone();
            async move {
                if batch.iter().any(|message| hangs(message.queue_offset)) {
                    inbox.gate.subscribe().wait_for(|open| *open).await.unwrap();
                }
                for message in &batch {
                    *inbox.got.lock().unwrap().entry((message.queue.queue, message.queue_offset)).or_default() += 1;
                }
                Outcome::Consumed
            }
        };
        client.push_consumer(options).subscribe("T", "*").start(listener).await.unwrap()
    }

    fn len(&self) -> usize {
        self.got.lock().unwrap().len()
    }

    async fn holds(&self, count: usize) {
        until(&format!("{count} messages"), async || (self.len() >= count).then_some(())).await;
        let got = self.got.lock().unwrap();
        assert_eq!(got.len(), count);
        assert!(got.values().all(|times| *times == 1), "nothing comes twice: {got:?}");
    }
}

fn from_first(group: &str) -> PushOptions {
    PushOptions { start_from: StartFrom::First, ..PushOptions::new(group) }
}

/// Sends numbered messages of 100 bytes to one queue of `T`, in batches.
async fn send_many(raw: &mut Client, queue: i32, count: usize) {
    let body = "x".repeat(100);
    let header = SendMessageRequestV2 { batch: Some(true), ..short_send("T", queue, "") };
    for first in (0..count).step_by(200) {
        let messages = vec![(body.as_str(), "TAGS\u{1}t\u{2}"); 200.min(count - first)];
        let answer = raw.ask(320, &header, &batch_body(&messages)).await;
        assert_eq!(answer.code, 0, "{answer:?}");
    }
}

/// A group that has consumed so many messages of the first queue of `T`.
async fn consumed(raw: &mut Client, group: &str, count: usize) {
    let config = SubscriptionGroupConfig { group_name: group.into(), ..SubscriptionGroupConfig::default() };
    assert_eq!(raw.ask(200, &fields(&[]), &config.encode()).await.code, 0);
    raw.commit(group, "T", &count.to_string()).await;
}

/// Counts messages by the group that they were given to.
struct Deliveries(Arc<Mutex<BTreeMap<String, usize>>>);

impl Actor for Deliveries {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(100_000);
    }
}

impl Handler<BrokerEvent> for Deliveries {
    type Result = ();

    fn handle(&mut self, event: BrokerEvent, _: &mut Context<Self>) {
        if let BrokerEvent::Delivered { group, messages, .. } = event {
            *self.0.lock().unwrap().entry(group.to_string()).or_default() += messages as usize;
        }
    }
}

#[actix::test]
async fn who_waits_does_not_ask_again() {
    let mut house = House::open("8", Additions::default()).await;
    let inbox = Inbox::open();
    let begun = Instant::now();
    let consumer = inbox.start(&house.client, from_first("waiting"), |_| false).await;
    let metrics = house.server.broker.doors.metrics.clone();
    for sent in 0..40 {
        house.raw.send("T", sent as i32 % 8, "", "x").await;
        inbox.holds(sent + 1).await;
    }
    // Eight queues and the retry topic's one, each with one pull that waits until its time is over.
    let rounds = begun.elapsed().as_secs() / HOLD_SECONDS + 1;
    let (found, missed) = (metrics.pulls_found.value(), metrics.pulls_missed.value());
    assert!(found <= 40, "{found} pulls for 40 messages");
    assert!(missed <= 9 * rounds, "{missed} pulls that found nothing, in {rounds} times that a pull waits");
    consumer.shutdown().await.unwrap();
    house.close().await;
}

/// Runs a consumer whose listener hangs at what `hangs` names; `limits` have to hold its pulls up.
async fn hangs_and_goes_on(limits: FlowLimits, hangs: fn(i64) -> bool) {
    const MESSAGES: usize = 600;
    const PULL_BATCH: u16 = 8;
    let given: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
    let mut additions = Additions::default();
    additions.listener(Deliveries(given.clone()).start().recipient());
    let mut house = House::open("1", additions).await;
    send_many(&mut house.raw, 0, MESSAGES).await;
    let given_to = |group: &str| given.lock().unwrap().get(group).copied().unwrap_or(0);

    let slow = Inbox::shut();
    let options = PushOptions { flow: limits, pull_batch: PULL_BATCH, ..from_first("slow") };
    let slow_consumer = slow.start(&house.client, options, hangs).await;
    until("the slow consumer has enough", async || (given_to("slow") >= 10).then_some(())).await;
    // Another group reads everything meanwhile: time enough for a consumer that does not stop.
    let other = Inbox::open();
    let other_consumer = other.start(&house.client, from_first("other"), |_| false).await;
    other.holds(MESSAGES).await;
    let most = 10 + 2 * usize::from(PULL_BATCH);
    assert!(given_to("slow") <= most, "{} messages went to a consumer that hangs", given_to("slow"));
    assert!(slow.len() < MESSAGES);

    slow.gate.send_replace(true);
    slow.holds(MESSAGES).await;
    assert_eq!((given_to("slow"), given_to("other")), (MESSAGES, MESSAGES), "nothing was given twice");
    slow_consumer.shutdown().await.unwrap();
    other_consumer.shutdown().await.unwrap();
    house.close().await;
}

#[actix::test]
async fn too_many_messages_stop_the_pulls_of_a_listener_that_hangs() {
    hangs_and_goes_on(FlowLimits { messages: 10, ..FlowLimits::default() }, |_| true).await;
}

#[actix::test]
async fn too_many_bytes_stop_the_pulls_of_a_listener_that_hangs() {
    hangs_and_goes_on(FlowLimits { bytes: 1_000, ..FlowLimits::default() }, |_| true).await;
}

#[actix::test]
async fn a_first_message_that_hangs_stops_the_pulls_by_its_distance() {
    hangs_and_goes_on(FlowLimits { span: 10, ..FlowLimits::default() }, |offset| offset == 0).await;
}

fn small_segments(config: &mut BrokerConfig) {
    config.store.commit_log_segment_bytes = LOG_SEGMENT_BYTES;
}

/// Removes the log's oldest files, as a day of deletions does.
fn age(directory: &Path) {
    let log = directory.join("data/commitlog");
    let mut files: Vec<_> = std::fs::read_dir(log).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 2 * OLD_FILES, "{files:?}");
    files[..OLD_FILES].iter().for_each(|path| std::fs::remove_file(path).unwrap());
}

#[actix::test]
async fn who_comes_back_late_goes_on_at_the_first_message_that_is_left() {
    const MESSAGES: i64 = 2_000;
    let server = Server::start_with(small_segments).await;
    let mut raw = server.client().await;
    raw.make_topic("T", "1").await;
    send_many(&mut raw, 0, MESSAGES as usize).await;
    consumed(&mut raw, "late", 20).await;
    drop(raw);
    let directory = server.directory;
    server.broker.stop().await;
    age(directory.path());

    let names = names();
    let address = name_server(names.address);
    let server = Server::start_in(directory, &fatal(), |config| {
        small_segments(config);
        config.registration.namesrv_addresses = vec![address];
    })
    .await;
    let mut raw = server.client().await;
    let gone = raw.ask(11, &pull("T", 0, 20), b"").await;
    let first = gone.number("nextBeginOffset");
    assert_eq!((gone.code, gone.number("minOffset"), gone.number("maxOffset")), (21, first, MESSAGES), "{gone:?}");
    assert!((21..MESSAGES).contains(&first), "{first}");
    assert!(gone.body.is_empty());
    let answer = raw.ask(31, &fields(&[("topic", "T"), ("queueId", "0")]), b"").await;
    assert_eq!((answer.code, answer.number("offset")), (0, first));
    let beyond = raw.ask(11, &pull("T", 0, MESSAGES + 5), b"").await;
    assert_eq!((beyond.code, beyond.number("nextBeginOffset")), (21, MESSAGES), "{beyond:?}");
    let there = raw.ask(11, &pull("T", 0, first), b"").await;
    assert_eq!(there.records()[0].queue_offset, first as u64);

    let house = House::of(names, server, raw).await;
    let inbox = Inbox::open();
    let consumer = inbox.start(&house.client, from_first("late"), |_| false).await;
    inbox.holds((MESSAGES - first) as usize).await;
    assert_eq!(inbox.got.lock().unwrap().keys().next(), Some(&(0, first)));
    consumer.shutdown().await.unwrap();
    house.close().await;
}

#[actix::test]
async fn a_newcomer_reads_everything_while_the_others_go_on() {
    const BACKLOG: usize = 20_000;
    const LIVE: usize = 100;
    let mut house = House::open("2", Additions::default()).await;
    let live = Inbox::open();
    send_many(&mut house.raw, 0, BACKLOG).await;
    consumed(&mut house.raw, "live", BACKLOG).await;
    let live_consumer = live.start(&house.client, from_first("live"), |_| false).await;

    let newcomer = Inbox::open();
    let new_consumer = newcomer.start(&house.client, from_first("new"), |_| false).await;
    for sent in 0..LIVE {
        house.raw.send("T", 1, "", "live").await;
        until("a live message", async || (live.len() > sent).then_some(())).await;
    }
    newcomer.holds(BACKLOG + LIVE).await;
    assert_eq!(live.len(), LIVE, "the others got what was new, and nothing old");
    new_consumer.shutdown().await.unwrap();
    live_consumer.shutdown().await.unwrap();
    house.close().await;
}
