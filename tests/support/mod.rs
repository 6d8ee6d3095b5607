//! Real servers on free ports, and connections that speak frames to them.
#![allow(dead_code, reason = "each story uses its own part of this")]

pub mod process;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actormq::actors::log::flusher::Fatal;
use actormq::config::{BrokerConfig, NamesrvAddress};
use actormq::protocol::batch::{self, BatchEntry};
use actormq::protocol::body::Body;
use actormq::protocol::frame::{self, Codec, Ext, Frame, NewHead};
use actormq::protocol::header::pull::PullMessageRequest;
use actormq::protocol::header::send::{SendMessageRequest, SendMessageRequestV2};
use actormq::protocol::record::Record;
use actormq::server::broker::Broker;
use actormq::server::extending::Additions;
use actormq::store::disk::Disk;
use bytes::Bytes;
use serde::Serialize;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Long enough for anything here on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// What a pull's `sysFlag` says: it may wait, it brings its subscription.
pub const MAY_WAIT: i32 = 2;
pub const WITH_SUBSCRIPTION: i32 = 4;

/// A broker in this process, with a directory of its own.
pub struct Server {
    pub broker: Broker,
    pub directory: TempDir,
}

impl Server {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut BrokerConfig)) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), &panicking(), change).await
    }

    pub async fn start_in(directory: TempDir, fatal: &Fatal, change: impl FnOnce(&mut BrokerConfig)) -> Self {
        Self::start_all(1, Disk::default(), directory, fatal, change).await
    }

    /// A broker whose sessions and queues are spread over this many threads.
    pub async fn start_on(io_threads: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self::start_all(io_threads, Disk::default(), directory, &panicking(), |_| {}).await
    }

    /// A broker on a disk that may fail.
    pub async fn start_on_disk(
        disk: Disk,
        directory: TempDir,
        fatal: &Fatal,
        change: impl FnOnce(&mut BrokerConfig),
    ) -> Self {
        Self::start_all(1, disk, directory, fatal, change).await
    }

    /// A broker with actors of the test's own.
    pub async fn start_with_additions(additions: Additions, change: impl FnOnce(&mut BrokerConfig)) -> Self {
        Self::start_with_additions_in(tempfile::tempdir().unwrap(), additions, change).await
    }

    pub async fn start_with_additions_in(
        directory: TempDir,
        additions: Additions,
        change: impl FnOnce(&mut BrokerConfig),
    ) -> Self {
        let config = Self::config(&directory, change);
        let broker = Broker::start_on(Disk::default(), config, (1, additions), &panicking()).await.unwrap();
        Self { broker, directory }
    }

    /// Stops in order and starts again in the same directory.
    pub async fn restarted(self) -> Self {
        self.broker.stop().await;
        Self::start_in(self.directory, &panicking(), |_| {}).await
    }

    async fn start_all(
        io_threads: usize,
        disk: Disk,
        directory: TempDir,
        fatal: &Fatal,
        change: impl FnOnce(&mut BrokerConfig),
    ) -> Self {
        let config = Self::config(&directory, change);
        let broker = Broker::start_on(disk, config, (io_threads, Additions::default()), fatal).await.unwrap();
        Self { broker, directory }
    }

    fn config(directory: &TempDir, change: impl FnOnce(&mut BrokerConfig)) -> BrokerConfig {
        let mut config = BrokerConfig::default();
        config.identity.broker_name = "broker-a".into();
        config.network.bind_address = [127, 0, 0, 1].into();
        config.network.listen_port = 0;
        config.store.data_dir = directory.path().join("data");
        config.store.commit_log_segment_bytes = 16 * 1024 * 1024;
        config.store.key_index_slots = 1_000;
        config.store.key_index_entries = 4_000;
        change(&mut config);
        config
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.broker.address).await
    }

    pub async fn stop(self) {
        self.broker.stop().await;
    }
}

fn panicking() -> Fatal {
    Arc::new(|reason| panic!("{reason}"))
}

/// A name server's address as a broker's settings hold it.
pub fn name_server(address: SocketAddr) -> NamesrvAddress {
    NamesrvAddress::parse(&address.to_string()).unwrap()
}

/// Waits for something that sockets and actors bring about.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            match look().await {
                Some(found) => return found,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("never: {what}"))
}

/// A frame that was read.
#[derive(Debug)]
pub struct Answered {
    pub code: i32,
    pub remark: Option<String>,
    pub ext: Ext<'static>,
    pub body: Bytes,
    pub codec: Codec,
    pub opaque: i32,
    is_answer: bool,
}

impl Answered {
    pub fn field(&self, name: &str) -> String {
        self.ext.field(name).map(|value| value.into_owned()).unwrap_or_default()
    }

    pub fn number(&self, name: &str) -> i64 {
        self.field(name).parse().unwrap_or_else(|_| panic!("no number {name} in {self:?}"))
    }

    pub fn remark(&self) -> &str {
        self.remark.as_deref().unwrap_or_default()
    }

    /// The body of an answer that must be a success.
    pub fn body<T: Body>(&self) -> T {
        assert_eq!(self.code, 0, "{self:?}");
        T::decode(&self.body).unwrap()
    }

    /// The records of the body, checked.
    pub fn records(&self) -> Vec<Record<'_>> {
        let mut records = Vec::new();
        let mut rest = &self.body[..];
        while !rest.is_empty() {
            let record = Record::read(rest).unwrap();
            record.check_crc().unwrap();
            rest = &rest[record.size..];
            records.push(record);
        }
        records
    }

    pub fn bodies(&self) -> Vec<String> {
        self.records().iter().map(|record| String::from_utf8_lossy(record.body).into_owned()).collect()
    }
}

/// One connection.
pub struct Client {
    pub socket: TcpStream,
    pub codec: Codec,
    unread: Vec<u8>,
    answers: HashMap<i32, Answered>,
    /// Requests of the broker's own, as they came.
    pub pushed: VecDeque<Answered>,
    /// What the client says of its release.
    pub version: i32,
    opaque: i32,
}

/// Fields of a header by their names.
pub fn fields<'a>(pairs: &[(&'a str, &'a str)]) -> BTreeMap<&'a str, &'a str> {
    pairs.iter().copied().collect()
}

pub fn long_send<'a>(topic: &'a str, queue: i32, properties: &'a str) -> SendMessageRequest<'a> {
    SendMessageRequest {
        producer_group: "p".into(),
        topic: topic.into(),
        default_topic: "TBW102".into(),
        default_topic_queue_nums: 4,
        queue_id: queue,
        sys_flag: 0,
        born_timestamp: 1_700_000_000_000,
        flag: 7,
        properties: properties.into(),
        reconsume_times: Some(0),
        unit_mode: Some(false),
        batch: None,
        max_reconsume_times: None,
    }
}

pub fn short_send<'a>(topic: &'a str, queue: i32, properties: &'a str) -> SendMessageRequestV2<'a> {
    SendMessageRequestV2 {
        producer_group: "p".into(),
        topic: topic.into(),
        default_topic: "TBW102".into(),
        default_topic_queue_nums: 4,
        queue_id: queue,
        sys_flag: 0,
        born_timestamp: 1_700_000_000_000,
        flag: 7,
        properties: properties.into(),
        reconsume_times: Some(0),
        unit_mode: Some(false),
        max_reconsume_times: None,
        batch: None,
        broker_name: "".into(),
    }
}

/// The body of a batch send.
pub fn batch_body(messages: &[(&str, &str)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (text, properties) in messages {
        batch::push(&mut body, &BatchEntry { flag: 0, body: text.as_bytes(), properties });
    }
    body
}

/// A pull of up to 32 messages that takes everything and does not wait.
pub fn pull<'a>(topic: &'a str, queue: i32, from: i64) -> PullMessageRequest<'a> {
    PullMessageRequest {
        consumer_group: "g".into(),
        topic: topic.into(),
        queue_id: queue,
        queue_offset: from,
        max_msg_nums: 32,
        sys_flag: WITH_SUBSCRIPTION,
        commit_offset: 0,
        suspend_timeout_millis: 0,
        subscription: "*".into(),
        sub_version: 0,
        expression_type: "TAG".into(),
        max_msg_bytes: None,
        request_source: None,
        proxy_froward_client_id: "".into(),
    }
}

/// The same, waiting.
pub fn patient_pull<'a>(topic: &'a str, queue: i32, from: i64, hold_ms: i64) -> PullMessageRequest<'a> {
    let sys_flag = WITH_SUBSCRIPTION | MAY_WAIT;
    PullMessageRequest { sys_flag, suspend_timeout_millis: hold_ms, ..pull(topic, queue, from) }
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        Self {
            socket,
            codec: Codec::Json,
            unread: Vec::new(),
            answers: HashMap::new(),
            pushed: VecDeque::new(),
            version: 513,
            opaque: 0,
        }
    }

    pub fn with_codec(self, codec: Codec) -> Self {
        Self { codec, ..self }
    }

    /// The bytes of a request, and its number.
    pub fn request<T: Serialize + ?Sized>(
        &mut self,
        (code, flag): (i32, i32),
        header: &T,
        body: &[u8],
    ) -> (i32, Vec<u8>) {
        self.opaque += 1;
        let head = NewHead { code, language: 0, version: self.version, opaque: self.opaque, flag, remark: None };
        let mut bytes = Vec::new();
        frame::encode(&mut bytes, self.codec, &head, header, body.len()).unwrap();
        bytes.extend_from_slice(body);
        (self.opaque, bytes)
    }

    /// Sends a request; [`Self::answer`] waits for what comes back.
    pub async fn submit<T: Serialize + ?Sized>(&mut self, code: i32, header: &T, body: &[u8]) -> i32 {
        let (opaque, bytes) = self.request((code, 0), header, body);
        self.socket.write_all(&bytes).await.unwrap();
        opaque
    }

    pub async fn oneway<T: Serialize + ?Sized>(&mut self, code: i32, header: &T, body: &[u8]) {
        let (_, bytes) = self.request((code, frame::FLAG_ONEWAY), header, body);
        self.socket.write_all(&bytes).await.unwrap();
    }

    pub async fn ask<T: Serialize + ?Sized>(&mut self, code: i32, header: &T, body: &[u8]) -> Answered {
        let opaque = self.submit(code, header, body).await;
        self.answer(opaque).await
    }

    /// The same with a header of plain fields.
    pub async fn command(&mut self, code: i32, pairs: &[(&str, &str)], body: &[u8]) -> Answered {
        self.ask(code, &fields(pairs), body).await
    }

    /// The next request of the broker's own.
    pub async fn push(&mut self) -> Answered {
        match self.pushed.pop_front() {
            Some(frame) => frame,
            None => self.frame().await.expect("the broker hung up"),
        }
    }

    /// Answers a request of the broker's own.
    pub async fn reply(&mut self, asked: &Answered, code: i32, remark: Option<&str>, body: &[u8]) {
        let flag = frame::FLAG_RESPONSE;
        let head = NewHead { code, language: 0, version: self.version, opaque: asked.opaque, flag, remark };
        let mut bytes = Vec::new();
        frame::encode(&mut bytes, asked.codec, &head, &(), body.len()).unwrap();
        bytes.extend_from_slice(body);
        self.socket.write_all(&bytes).await.unwrap();
    }

    pub async fn answer(&mut self, opaque: i32) -> Answered {
        self.try_answer(opaque).await.expect("the broker hung up")
    }

    /// The answer, or nothing when the connection ends before it.
    pub async fn try_answer(&mut self, opaque: i32) -> Option<Answered> {
        loop {
            if let Some(answer) = self.answers.remove(&opaque) {
                return Some(answer);
            }
            let frame = self.frame().await?;
            if frame.is_answer {
                self.answers.insert(frame.opaque, frame);
            } else {
                self.pushed.push_back(frame);
            }
        }
    }

    /// Whether the answer came already.
    pub fn has_answer(&self, opaque: i32) -> bool {
        self.answers.contains_key(&opaque)
    }

    /// The next frame; nothing when the connection ended.
    pub async fn frame(&mut self) -> Option<Answered> {
        loop {
            if let Some(length) = frame::length(&self.unread).unwrap()
                && self.unread.len() >= length
            {
                let rest = self.unread.split_off(length);
                let bytes = std::mem::replace(&mut self.unread, rest);
                let frame = Frame::cut(&bytes).unwrap();
                let head = frame.head().unwrap();
                return Some(Answered {
                    code: head.code,
                    is_answer: head.is_response(),
                    opaque: head.opaque,
                    codec: frame.codec,
                    remark: head.remark.map(|remark| remark.into_owned()),
                    ext: head.ext.into_owned(),
                    body: Bytes::copy_from_slice(frame.body),
                });
            }
            let read = tokio::time::timeout(PATIENCE, self.socket.read_buf(&mut self.unread));
            if read.await.expect("neither an answer nor an end").unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// Waits for the other side to hang up.
    pub async fn is_hung_up(&mut self) {
        while let Some(frame) = self.frame().await {
            assert!(!frame.is_answer, "an answer where an end was due: {frame:?}");
        }
    }

    pub async fn make_topic(&mut self, topic: &str, queues: &str) {
        let answer = self.ask(17, &topic_fields(topic, queues), b"").await;
        assert_eq!(answer.code, 0, "{answer:?}");
    }

    pub async fn delete_topic(&mut self, topic: &str) {
        let answer = self.ask(215, &fields(&[("topic", topic)]), b"").await;
        assert_eq!(answer.code, 0, "{answer:?}");
    }

    /// Sends a message that must be stored; its offset in its queue.
    pub async fn send(&mut self, topic: &str, queue: i32, properties: &str, body: &str) -> i64 {
        let answer = self.ask(310, &short_send(topic, queue, properties), body.as_bytes()).await;
        assert_eq!(answer.code, 0, "{answer:?}");
        answer.number("queueOffset")
    }

    pub async fn max_offset(&mut self, topic: &str, queue: &str) -> i64 {
        let answer = self.ask(30, &fields(&[("topic", topic), ("queueId", queue)]), b"").await;
        assert_eq!(answer.code, 0, "{answer:?}");
        answer.number("offset")
    }

    /// All messages of a queue, read from its start to its end.
    pub async fn read_all(&mut self, topic: &str, queue: i32) -> Vec<(u64, String)> {
        let (mut all, mut from) = (Vec::new(), 0);
        loop {
            let answer = self.ask(11, &pull(topic, queue, from), b"").await;
            if answer.code == 0 {
                let of = |record: &Record<'_>| (record.queue_offset, String::from_utf8_lossy(record.body).into_owned());
                all.extend(answer.records().iter().map(of));
                from = answer.number("nextBeginOffset");
                continue;
            }
            assert_eq!(answer.code, 19, "{answer:?}");
            return all;
        }
    }

    /// Bodies of the messages under a key, as soon as there are any.
    pub async fn by_key(&mut self, topic: &str, key: &str) -> Vec<String> {
        let header = key_query(topic, key);
        until(&format!("a message under {key}"), async || {
            let answer = self.ask(12, &header, b"").await;
            (answer.code == 0).then(|| answer.bodies())
        })
        .await
    }

    pub async fn commit(&mut self, group: &str, topic: &str, offset: &str) {
        let header = [("consumerGroup", group), ("topic", topic), ("queueId", "0"), ("commitOffset", offset)];
        let answer = self.ask(15, &fields(&header), b"").await;
        assert_eq!(answer.code, 0, "{answer:?}");
    }

    pub async fn committed(&mut self, group: &str, topic: &str) -> i64 {
        let answer = self.ask(14, &fields(&[("consumerGroup", group), ("topic", topic), ("queueId", "0")]), b"").await;
        assert_eq!(answer.code, 0, "{answer:?}");
        answer.number("offset")
    }
}

pub fn topic_fields<'a>(topic: &'a str, queues: &'a str) -> BTreeMap<&'a str, &'a str> {
    fields(&[
        ("topic", topic),
        ("defaultTopic", "TBW102"),
        ("readQueueNums", queues),
        ("writeQueueNums", queues),
        ("perm", "6"),
        ("topicFilterType", "SINGLE_TAG"),
        ("topicSysFlag", "0"),
        ("order", "false"),
    ])
}

pub fn key_query<'a>(topic: &'a str, key: &'a str) -> BTreeMap<&'a str, &'a str> {
    fields(&[
        ("topic", topic),
        ("key", key),
        ("maxNum", "64"),
        ("beginTimestamp", "0"),
        ("endTimestamp", "9223372036854775807"),
    ])
}
