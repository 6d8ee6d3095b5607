//! A cluster made by hand: a name server and brokers in memory, which misbehave when told to.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actormq::protocol::batch;
use actormq::protocol::body::Body;
use actormq::protocol::body::clients::{ConsumerList, HeartbeatData};
use actormq::protocol::body::locks::{LockBatchRequest, LockBatchResponse};
use actormq::protocol::body::route::{BrokerData, QueueData, TopicRouteData};
use actormq::protocol::frame::{self, Codec, Ext, FLAG_ONEWAY, FLAG_RESPONSE, Frame, NewHead};
use actormq::protocol::record::{NewRecord, PHYSICAL_OFFSET_AT, QUEUE_OFFSET_AT, store_timestamp_at};
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

pub const HEARTBEAT: i32 = 34;
pub const NOTICE: i32 = 40;
pub const PULL: i32 = 11;
pub const ROUTE: i32 = 105;
pub const SEND: i32 = 310;
pub const SEND_BACK: i32 = 36;
pub const LOCK: i32 = 41;
pub const UNLOCK: i32 = 42;
pub const UNREGISTER: i32 = 35;

/// How a server treats a request code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Refuse(i32),
    Silence,
    Garbage,
    Oversized,
    Close,
    /// The same for the first such request only.
    CloseOnce,
    /// Answers so many ms late.
    Slow(u64),
    /// The first of so many answers last.
    Reversed(usize),
    /// Answers with a header that cannot be read.
    Headless,
    /// Nothing more is read from the connection.
    Deaf,
    /// The last byte of the first answer with a body is missing.
    TornOnce,
}

type Fields = HashMap<String, String>;
type Outbox = mpsc::UnboundedSender<Vec<u8>>;

#[derive(Default)]
pub struct State {
    /// Topic → queues on each broker.
    topics: BTreeMap<String, u32>,
    brokers: BTreeMap<String, String>,
    queues: BTreeMap<(String, String, u32), Vec<Vec<u8>>>,
    offsets: BTreeMap<(String, String, String, u32), i64>,
    members: BTreeMap<String, BTreeMap<String, Outbox>>,
    faults: HashMap<(String, i32), Fault>,
    pub seen: Vec<(String, i32, Fields)>,
    pub heartbeats: Vec<HeartbeatData>,
    pub pulled_messages: usize,
    /// Somebody else has all queues.
    pub locked_by_another: bool,
    connections: HashMap<String, Vec<JoinHandle<()>>>,
    /// Answers that are held back to be sent in the wrong order.
    held_back: Vec<Vec<u8>>,
}

#[derive(Clone)]
pub struct Cluster {
    state: Arc<Mutex<State>>,
    arrived: Arc<Notify>,
    pub name_server: String,
}

/// What a handler answers: code, fields, body.
type Answer = (i32, Vec<(&'static str, String)>, Vec<u8>);

fn ok() -> Answer {
    (0, Vec::new(), Vec::new())
}

impl Cluster {
    pub async fn start(brokers: &[&str], topics: &[(&str, u32)]) -> Self {
        let mut cluster = Self { state: Arc::default(), arrived: Arc::default(), name_server: String::new() };
        cluster.name_server = cluster.listen("namesrv").await;
        for broker in brokers {
            let address = cluster.listen(broker).await;
            cluster.with(|state| state.brokers.insert((*broker).to_owned(), address));
        }
        cluster.with(|state| state.topics.extend(topics.iter().map(|(topic, queues)| ((*topic).to_owned(), *queues))));
        cluster
    }

    /// The same, but found at another name server.
    pub fn behind(&self, name_server: &str) -> Self {
        Self { name_server: name_server.to_owned(), ..self.clone() }
    }

    pub fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap())
    }

    pub fn fault(&self, server: &str, code: i32, fault: Option<Fault>) {
        self.with(|state| match fault {
            Some(fault) => state.faults.insert((server.to_owned(), code), fault),
            None => state.faults.remove(&(server.to_owned(), code)),
        });
    }

    /// Ends every connection to `server`; it still listens.
    pub fn cut(&self, server: &str) {
        self.with(|state| {
            for connection in state.connections.remove(server).unwrap_or_default() {
                connection.abort();
            }
            if server != "namesrv" {
                state.members.clear();
            }
        });
    }

    /// Takes a broker out of the routes, and tells its address; it still serves.
    pub fn hide(&self, broker: &str) -> String {
        self.with(|state| state.brokers.remove(broker).unwrap())
    }

    pub fn show(&self, broker: &str, address: String) {
        self.with(|state| state.brokers.insert(broker.to_owned(), address));
    }

    /// Stores a message as a broker would, and wakes who waits.
    pub fn store(&self, broker: &str, topic: &str, queue: u32, body: &str, properties: &str) -> usize {
        self.store_again(broker, (topic, queue), body, (properties, 0))
    }

    /// A message that was consumed again so often.
    fn store_again(
        &self,
        broker: &str,
        (topic, queue): (&str, u32),
        body: &str,
        (properties, times): (&str, i32),
    ) -> usize {
        let offset = self.with(|state| {
            let records = state.queues.entry((broker.to_owned(), topic.to_owned(), queue)).or_default();
            records.push(record((topic, queue, records.len() as u64), body.as_bytes(), (properties, times)));
            records.len() - 1
        });
        self.arrived.notify_waiters();
        offset
    }

    pub fn committed(&self, group: &str, broker: &str, topic: &str, queue: u32) -> Option<i64> {
        let key = (group.to_owned(), broker.to_owned(), topic.to_owned(), queue);
        self.with(|state| state.offsets.get(&key).copied())
    }

    pub fn commit(&self, group: &str, broker: &str, topic: &str, queue: u32, offset: i64) {
        let key = (group.to_owned(), broker.to_owned(), topic.to_owned(), queue);
        self.with(|state| state.offsets.insert(key, offset));
    }

    pub fn add_topic(&self, topic: &str, queues: u32) {
        self.with(|state| state.topics.insert(topic.to_owned(), queues));
    }

    /// One past the last message of a queue.
    pub fn end(&self, broker: &str, topic: &str, queue: u32) -> i64 {
        let key = (broker.to_owned(), topic.to_owned(), queue);
        self.with(|state| state.queues.get(&key).map_or(0, |records| records.len() as i64))
    }

    pub fn members(&self, group: &str) -> usize {
        self.with(|state| state.members.get(group).map_or(0, BTreeMap::len))
    }

    pub fn pulled_at(&self, group: &str, offset: &str) -> bool {
        let at = |fields: &Fields| fields["consumerGroup"] == group && fields["queueOffset"] == offset;
        self.with(|state| state.seen.iter().any(|(_, code, fields)| *code == PULL && at(fields)))
    }

    pub fn open_connections(&self, server: &str) -> usize {
        let open = |connections: &Vec<JoinHandle<()>>| connections.iter().filter(|c| !c.is_finished()).count();
        self.with(|state| state.connections.get(server).map_or(0, open))
    }

    pub fn stored(&self, topic: &str) -> usize {
        self.with(|state| state.queues.iter().filter(|(key, _)| key.1 == topic).map(|(_, records)| records.len()).sum())
    }

    pub fn count(&self, server: &str, code: i32) -> usize {
        self.with(|state| state.seen.iter().filter(|(s, c, _)| s == server && *c == code).count())
    }

    /// Waits until `ready`, for tests that would otherwise sleep.
    pub async fn until(&self, what: &str, ready: impl Fn(&Cluster) -> bool) {
        let begun = Instant::now();
        while !ready(self) {
            assert!(begun.elapsed() < Duration::from_secs(20), "never: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn listen(&self, name: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (cluster, name) = (self.clone(), name.to_owned());
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let connection = tokio::spawn(cluster.clone().connection(name.clone(), socket));
                cluster.with(|state| state.connections.entry(name.clone()).or_default().push(connection));
            }
        });
        address
    }

    async fn connection(self, name: String, mut socket: TcpStream) {
        let (outbox, mut out) = mpsc::unbounded_channel::<Vec<u8>>();
        let mut buffer = BytesMut::new();
        loop {
            tokio::select! {
                read = socket.read_buf(&mut buffer) => {
                    if read.unwrap_or(0) == 0 {
                        return;
                    }
                    while let Some(length) = frame::length(&buffer).unwrap().filter(|length| *length <= buffer.len()) {
                        let bytes = buffer.split_to(length);
                        if !self.request(&name, &bytes, &outbox) {
                            return;
                        }
                        if self.with(|state| state.is_deaf(&name)) {
                            std::future::pending::<()>().await;
                        }
                    }
                }
                bytes = out.recv() => {
                    if socket.write_all(&bytes.unwrap()).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// False when the connection is to be closed.
    fn request(&self, name: &str, bytes: &[u8], outbox: &Outbox) -> bool {
        let frame = Frame::cut(bytes).unwrap();
        let head = frame.head().unwrap();
        let fields = fields(&head.ext);
        let (code, opaque, oneway) = (head.code, head.opaque, head.is_oneway());
        let fault = self.with(|state| {
            state.seen.push((name.to_owned(), code, fields.clone()));
            state.faults.get(&(name.to_owned(), code)).copied()
        });
        let refusal = match fault {
            Some(Fault::Close) => return false,
            Some(Fault::CloseOnce) => {
                self.fault(name, code, None);
                return false;
            }
            Some(Fault::Deaf | Fault::Silence) => return true,
            Some(Fault::Garbage) => return outbox.send(vec![0, 0, 0, 9, 77, 0, 0, 0, 1, 2, 3, 4, 5]).is_ok(),
            Some(Fault::Oversized) => return outbox.send(vec![0x7f; 64]).is_ok(),
            Some(Fault::Refuse(code)) => Some((code, Vec::new(), b"".to_vec())),
            Some(Fault::Headless) => Some((0, vec![("queueOffset", "none".to_owned())], b"".to_vec())),
            Some(Fault::Slow(_) | Fault::Reversed(_) | Fault::TornOnce) | None => None,
        };
        let (cluster, name, body, outbox) = (self.clone(), name.to_owned(), frame.body.to_vec(), outbox.clone());
        tokio::spawn(async move {
            let mut answer = match refusal {
                Some(refusal) => refusal,
                None => cluster.serve(&name, code, &fields, &body, &outbox).await,
            };
            if fault == Some(Fault::TornOnce) && answer.2.pop().is_some() {
                cluster.fault(&name, code, None);
            }
            if let Some(Fault::Slow(ms)) = fault {
                tokio::time::sleep(Duration::from_millis(ms)).await;
            }
            if oneway {
                return;
            }
            let answers = match fault {
                Some(Fault::Reversed(count)) => cluster.hold_back(encode(&answer, opaque), count),
                _ => vec![encode(&answer, opaque)],
            };
            // The client may have gone.
            answers.into_iter().for_each(|answer| drop(outbox.send(answer)));
        });
        true
    }

    /// All that are held back, the last first, once there are `count`.
    fn hold_back(&self, answer: Vec<u8>, count: usize) -> Vec<Vec<u8>> {
        self.with(|state| {
            state.held_back.push(answer);
            let mut answers =
                if state.held_back.len() < count { Vec::new() } else { std::mem::take(&mut state.held_back) };
            answers.reverse();
            answers
        })
    }

    async fn serve(&self, name: &str, code: i32, fields: &Fields, body: &[u8], outbox: &Outbox) -> Answer {
        match code {
            ROUTE => self.with(|state| state.route(&fields["topic"])),
            HEARTBEAT => self.heartbeat(body, outbox),
            UNREGISTER => self.unregister(fields),
            38 => self.with(|state| match state.members.get(&fields["consumerGroup"]) {
                Some(members) if !members.is_empty() => {
                    let consumer_id_list = members.keys().cloned().collect();
                    (0, Vec::new(), ConsumerList { consumer_id_list }.encode())
                }
                _ => (1, Vec::new(), Vec::new()),
            }),
            203 => (206, Vec::new(), Vec::new()),
            SEND | 320 => self.send(name, code, fields, body),
            PULL => self.pull(name, fields).await,
            14 => match self.committed(
                &fields["consumerGroup"],
                name,
                &fields["topic"],
                fields["queueId"].parse().unwrap(),
            ) {
                Some(offset) => (0, vec![("offset", offset.to_string())], Vec::new()),
                None => (22, Vec::new(), Vec::new()),
            },
            15 => {
                let (queue, offset) = (fields["queueId"].parse().unwrap(), fields["commitOffset"].parse().unwrap());
                self.commit(&fields["consumerGroup"], name, &fields["topic"], queue, offset);
                ok()
            }
            29 => (0, vec![("offset", "0".to_owned())], Vec::new()),
            30 => (0, vec![("offset", self.with(|state| state.records(name, fields).len()).to_string())], Vec::new()),
            31 => (0, vec![("offset", "0".to_owned())], Vec::new()),
            LOCK => {
                let asked = LockBatchRequest::decode(body).unwrap();
                let locked = if self.with(|state| state.locked_by_another) { Vec::new() } else { asked.mq_set };
                (0, Vec::new(), LockBatchResponse { locked }.encode())
            }
            UNLOCK => ok(),
            // A broker that takes nothing back.
            SEND_BACK => (3, Vec::new(), Vec::new()),
            other => panic!("the cluster does not serve {other}"),
        }
    }

    fn heartbeat(&self, body: &[u8], outbox: &Outbox) -> Answer {
        let beat = HeartbeatData::decode(body).unwrap();
        let mut changed = Vec::new();
        self.with(|state| {
            for consumer in &beat.consumer_data_set {
                let members = state.members.entry(consumer.group_name.clone()).or_default();
                if members.insert(beat.client_id.clone(), outbox.clone()).is_none() {
                    changed.push(consumer.group_name.clone());
                }
            }
            state.heartbeats.push(beat);
        });
        changed.iter().for_each(|group| self.notify(group));
        let flags = [("IS_SUPPORT_HEART_BEAT_V2", "true"), ("IS_SUB_CHANGE", "false")];
        (0, flags.map(|(name, value)| (name, value.to_owned())).to_vec(), Vec::new())
    }

    fn unregister(&self, fields: &Fields) -> Answer {
        if let Some(group) = fields.get("consumerGroup") {
            self.with(|state| state.members.entry(group.clone()).or_default().remove(&fields["clientID"]));
            self.notify(group);
        }
        ok()
    }

    fn notify(&self, group: &str) {
        let head = NewHead { code: NOTICE, language: 0, version: 513, opaque: 0, flag: FLAG_ONEWAY, remark: None };
        let mut bytes = Vec::new();
        frame::encode(&mut bytes, Codec::Json, &head, &BTreeMap::from([("consumerGroup", group)]), 0).unwrap();
        self.with(|state| {
            for member in state.members.get(group).into_iter().flatten() {
                // A member whose connection is gone hears nothing.
                let _ = member.1.send(bytes.clone());
            }
        });
    }

    fn send(&self, name: &str, code: i32, fields: &Fields, body: &[u8]) -> Answer {
        let (topic, queue) = (&fields["b"], fields["e"].parse().unwrap());
        let entries: Vec<(String, String)> = if code == SEND {
            vec![(String::from_utf8_lossy(body).into_owned(), fields["i"].clone())]
        } else {
            let text = |entry: batch::BatchEntry<'_>| {
                (String::from_utf8_lossy(entry.body).into_owned(), entry.properties.to_owned())
            };
            batch::entries(body).map(|entry| text(entry.unwrap())).collect()
        };
        let times = fields.get("j").map_or(0, |times| times.parse().unwrap());
        let store =
            |(body, properties): &(String, String)| self.store_again(name, (topic, queue), body, (properties, times));
        let offsets: Vec<_> = entries.iter().map(store).collect();
        let id = offsets.iter().map(|offset| format!("id{offset}")).collect::<Vec<_>>().join(",");
        let fields = vec![("msgId", id), ("queueId", queue.to_string()), ("queueOffset", offsets[0].to_string())];
        (0, fields, Vec::new())
    }

    async fn pull(&self, name: &str, fields: &Fields) -> Answer {
        let number = |field: &str| fields[field].parse::<i64>().unwrap();
        let hold = if number("sysFlag") & 2 == 0 { 0 } else { number("suspendTimeoutMillis") };
        let deadline = Instant::now() + Duration::from_millis(hold as u64);
        let (offset, count) = (number("queueOffset"), number("maxMsgNums").min(32));
        if number("sysFlag") & 1 != 0 {
            let queue = fields["queueId"].parse().unwrap();
            self.commit(&fields["consumerGroup"], name, &fields["topic"], queue, number("commitOffset"));
        }
        loop {
            let arrived = self.arrived.notified();
            let (max, records) = self.with(|state| {
                let all = state.records(name, fields);
                (all.len() as i64, all.iter().skip(offset as usize).take(count as usize).cloned().collect::<Vec<_>>())
            });
            let answer = |code: i32, next: i64, body| (code, pulled(next, max), body);
            if offset > max {
                return answer(21, max, Vec::new());
            }
            if !records.is_empty() {
                self.with(|state| state.pulled_messages += records.len());
                return answer(0, offset + records.len() as i64, records.concat());
            }
            if Instant::now() >= deadline {
                return answer(19, offset, Vec::new());
            }
            let _ = tokio::time::timeout_at(deadline.into(), arrived).await;
        }
    }
}

impl State {
    fn is_deaf(&self, server: &str) -> bool {
        self.faults.iter().any(|((name, _), fault)| name == server && *fault == Fault::Deaf)
    }

    fn records(&self, broker: &str, fields: &Fields) -> &[Vec<u8>] {
        let key = (broker.to_owned(), fields["topic"].clone(), fields["queueId"].parse().unwrap());
        self.queues.get(&key).map_or(&[], Vec::as_slice)
    }

    fn route(&self, topic: &str) -> Answer {
        let Some(count) = self.topics.get(topic) else {
            return (17, Vec::new(), Vec::new());
        };
        let mut route = TopicRouteData::default();
        for (name, address) in &self.brokers {
            route.broker_datas.push(BrokerData {
                broker_addrs: BTreeMap::from([(0, address.clone())]),
                broker_name: name.clone(),
                ..BrokerData::default()
            });
            route.queue_datas.push(QueueData {
                broker_name: name.clone(),
                perm: 6,
                read_queue_nums: *count as i32,
                write_queue_nums: *count as i32,
                topic_sys_flag: 0,
            });
        }
        (0, Vec::new(), route.encode())
    }
}

fn fields(ext: &Ext<'_>) -> Fields {
    ext.decode::<Fields>().unwrap()
}

fn pulled(next: i64, max: i64) -> Vec<(&'static str, String)> {
    vec![
        ("suggestWhichBrokerId", "0".to_owned()),
        ("nextBeginOffset", next.to_string()),
        ("minOffset", "0".to_owned()),
        ("maxOffset", max.to_string()),
    ]
}

fn record((topic, queue, offset): (&str, u32, u64), body: &[u8], (properties, times): (&str, i32)) -> Vec<u8> {
    let host = "127.0.0.1:10911".parse().unwrap();
    let new = NewRecord {
        topic,
        queue,
        flag: 0,
        sys_flag: 0,
        born_timestamp_ms: 1_700_000_000_000,
        born_host: host,
        store_host: host,
        reconsume_times: times,
        prepared_transaction_offset: 0,
        body,
        properties: &[properties.as_bytes()],
    };
    let mut bytes = Vec::new();
    new.encode(&mut bytes);
    bytes[QUEUE_OFFSET_AT..QUEUE_OFFSET_AT + 8].copy_from_slice(&offset.to_be_bytes());
    bytes[PHYSICAL_OFFSET_AT..PHYSICAL_OFFSET_AT + 8].copy_from_slice(&(offset * 1000).to_be_bytes());
    let at = store_timestamp_at(0);
    bytes[at..at + 8].copy_from_slice(&1_700_000_000_001i64.to_be_bytes());
    bytes
}

fn encode((code, fields, body): &Answer, opaque: i32) -> Vec<u8> {
    let head = NewHead { code: *code, language: 0, version: 513, opaque, flag: FLAG_RESPONSE, remark: Some("said so") };
    let fields: BTreeMap<_, _> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut bytes = Vec::new();
    frame::encode(&mut bytes, Codec::Binary, &head, &fields, body.len()).unwrap();
    bytes.extend_from_slice(body);
    bytes
}
