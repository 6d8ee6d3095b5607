//! Sends: 10, 310 and 320. On the hot path: a header becomes entries of the session's batch, without a task or a copy of
//! its own.

mod half;
mod reading;
mod several;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::actors::catalog::settings::Current;
use crate::actors::catalog::topics::{TopicEntry, TopicTable};
use crate::actors::commitlog_writer::{Batch, Outcome, Token};
use crate::actors::delay::Schedule;
use crate::actors::log::draft::{Draft, QueueCode};
use crate::actors::log::own_appends::record_bytes_max;
use crate::config::{BrokerConfig, BrokerRole};
use crate::protocol::code::ResponseCode;
use crate::protocol::names::{self, TOPIC_BYTES_MAX, Topic, check_name};
use crate::protocol::properties::{self, PAIR_END, Properties, Seen};
use crate::protocol::record::{self, NewRecord};
use crate::protocol::uniq_key::{Origin, UniqueKeys};
use crate::server::requests::Refusal;

/// Remark when the topic is gone that keeps delayed messages: administrators may be allowed to delete it.
pub const NO_SCHEDULE: &str = "the topic SCHEDULE_TOPIC_XXXX, which keeps delayed messages, does not exist";

/// Where messages go that nobody is to get yet.
pub struct WaitingRooms {
    /// Until their time has come.
    pub schedule: Schedule,
    /// Whether half messages are taken.
    pub settings: Current,
    /// Where half messages wait for the end of their transaction.
    pub topics: Arc<TopicTable>,
}

/// What a broker checks of every send and adds to every message.
pub struct SendRules {
    pub store_host: SocketAddr,
    pub region: String,
    pub trace_on: &'static str,
    /// Properties that the broker adds, as text.
    suffix: Vec<u8>,
    max_body_bytes: usize,
    record_bytes_max: usize,
    accept_from_epoch_ms: u64,
    writable: bool,
    /// A slave gets its messages from its master only.
    slave: bool,
    unique_keys: UniqueKeys,
    waiting_rooms: WaitingRooms,
    /// Where the next message goes whose sender leaves the queue to the broker.
    round: AtomicU32,
}

impl SendRules {
    /// The rules of `config` for messages that `store_host` stores.
    #[must_use]
    pub fn new(config: &BrokerConfig, store_host: SocketAddr, waiting_rooms: WaitingRooms) -> Self {
        let trace_on = if config.clients.trace_on { "true" } else { "false" };
        let mut suffix = Vec::new();
        properties::push(&mut suffix, properties::MSG_REGION, &config.identity.region_id);
        properties::push(&mut suffix, properties::TRACE_ON, trace_on);
        properties::push(&mut suffix, properties::CLUSTER, &config.identity.cluster_name);
        let max_body_bytes = config.send.max_body_bytes as usize;
        let origin = Origin { address: store_host.ip(), process_id: std::process::id(), generator: 0 };
        Self {
            store_host,
            region: config.identity.region_id.clone(),
            trace_on,
            suffix,
            max_body_bytes,
            record_bytes_max: record_bytes_max(config),
            accept_from_epoch_ms: config.send.accept_from_epoch_ms,
            writable: config.identity.permission & 2 != 0,
            slave: config.identity.role == BrokerRole::Slave,
            unique_keys: UniqueKeys::new(origin, crate::actors::log::utc_offset_s()),
            waiting_rooms,
            round: AtomicU32::new(0),
        }
    }
}

/// A send whose header was read, in either form.
pub struct Send<'a> {
    pub topic: Cow<'a, str>,
    pub default_topic: Cow<'a, str>,
    pub default_topic_queues: i32,
    queue: i32,
    sys_flag: i32,
    born_timestamp_ms: i64,
    flag: i32,
    pub properties: Cow<'a, str>,
    pub reconsume_times: i32,
    pub max_reconsume_times: Option<i32>,
    pub unit_mode: bool,
    /// The body holds several messages.
    pub batch: bool,
}

impl<'a> Send<'a> {
    /// Has the message go to another topic, to a queue that the broker chooses.
    pub fn redirect(&mut self, topic: &str) {
        self.topic = Cow::Owned(topic.to_owned());
        self.queue = -1;
    }

    /// What is wrong with the send whatever the topic's configuration is.
    ///
    /// # Errors
    /// RocketMQ's code and remark.
    pub fn check(&self, rules: &SendRules, now_ms: impl FnOnce() -> i64) -> Result<(), Refusal> {
        if rules.slave {
            let remark = "service not available now. The broker is a slave: messages are sent to its master";
            return Err(Refusal::new(ResponseCode::ServiceNotAvailable.number(), remark));
        }
        if rules.accept_from_epoch_ms > 0 && (now_ms() as u64) < rules.accept_from_epoch_ms {
            let remark = format!("broker unable to service, until {}", rules.accept_from_epoch_ms);
            return Err(Refusal::new(ResponseCode::SystemError.number(), remark));
        }
        let derived = self.topic.starts_with(names::RETRY_PREFIX) || self.topic.starts_with(names::DEAD_LETTER_PREFIX);
        let limit = if derived { names::DERIVED_TOPIC_BYTES_MAX } else { TOPIC_BYTES_MAX };
        if let Err(error) = check_name(&self.topic, limit) {
            let remark = format!("The specified topic is illegal: {error}");
            return Err(Refusal::new(ResponseCode::InvalidParameter.number(), remark));
        }
        if names::is_closed_to_clients(&self.topic) {
            let remark = format!("Sending message to topic[{}] is forbidden.", self.topic);
            return Err(Refusal::new(ResponseCode::NoPermission.number(), remark));
        }
        Ok(())
    }

    /// Has the message go to these dead letters, at once, in place of the topic that its sender named.
    pub fn give_up(&mut self, dead_letters: &Topic) {
        self.topic = Cow::Owned(dead_letters.to_string());
        self.queue = 0;
        let mut all = Properties::read(&self.properties);
        all.set(properties::DELAY, "-1");
        self.properties = Cow::Owned(all.text());
    }

    /// Turns the send into entries of `out`: one, or one for each message of a batch.
    ///
    /// # Errors
    /// RocketMQ's code and remark; `out` is as it was.
    pub fn put(
        &self,
        body: &[u8],
        entry: &Arc<TopicEntry>,
        (rules, born_host): (&SendRules, SocketAddr),
        call: u64,
        out: &mut Batch,
    ) -> Result<(), Refusal> {
        let queue = self.queue(entry, rules, born_host)?;
        if !rules.writable && entry.config.order {
            let remark = format!("the broker[{}] sending message is forbidden", rules.store_host);
            return Err(Refusal::new(ResponseCode::NoPermission.number(), remark));
        }
        self.check_topic_kind(entry)?;
        if body.len() > rules.max_body_bytes {
            return Err(illegal(format!(
                "the message is illegal, maybe msg body or properties length not matched. msg body length limit {}B, \
                 msg properties length limit 32KB.",
                rules.max_body_bytes
            )));
        }
        let message = Message { send: self, entry, rules, born_host, queue, call };
        let seen = properties::scan(&self.properties);
        self.check_transaction_type(seen.half)?;
        if !self.batch {
            return message.put((self.flag, body), (&self.properties, seen), out);
        }
        if level(&seen)? > 0 {
            return Err(illegal("a batch cannot be delayed: the messages of a batch have no delay level".into()));
        }
        let before = (out.bytes.len(), out.puts.len(), out.keys.len());
        let put = message.put_all(body, out);
        if put.is_err() {
            out.bytes.truncate(before.0);
            out.puts.truncate(before.1);
            out.keys.truncate(before.2);
        }
        put
    }

    fn queue(&self, entry: &TopicEntry, rules: &SendRules, client: SocketAddr) -> Result<u32, Refusal> {
        match u32::try_from(self.queue) {
            Ok(queue) if entry.slot(queue).is_some() => Ok(queue),
            Ok(queue) => {
                let remark = format!(
                    "request queueId[{queue}] is illegal, TopicConfig [topicName={}, readQueueNums={}, \
                     writeQueueNums={}, perm={}] Producer: {client}",
                    entry.config.topic, entry.config.read_queues, entry.config.write_queues, entry.config.perm
                );
                Err(Refusal::new(ResponseCode::InvalidParameter.number(), remark))
            }
            Err(_) if entry.config.write_queues > 0 => {
                Ok(rules.round.fetch_add(1, Ordering::Relaxed) % entry.config.write_queues)
            }
            Err(_) => Err(illegal(format!("topic[{}] has no queue to write to", entry.config.topic))),
        }
    }

    /// RocketMQ refuses such a batch. A single message it takes, stores, and gives to nobody: whoever marks one so without
    /// the property of a half message is better told. One that is marked as committed is as good as any other.
    fn check_transaction_type(&self, is_half: bool) -> Result<(), Refusal> {
        match self.sys_flag & record::FLAG_TRANSACTION {
            0 => Ok(()),
            kind if self.batch => Err(illegal(format!("a batch cannot be of transaction type {kind}"))),
            record::FLAG_COMMITTED => Ok(()),
            _ if is_half => Ok(()),
            kind => Err(illegal(format!("a message of transaction type {kind} that is not a half message"))),
        }
    }

    /// Topics whose way of storing is not there yet.
    fn check_topic_kind(&self, entry: &TopicEntry) -> Result<(), Refusal> {
        if entry.config.attributes.is_empty() {
            return Ok(());
        }
        let is = |name: &str, value: &str| entry.config.attributes.get(name).is_some_and(|v| v == value);
        if is("queue.type", "BatchCQ") {
            return Err(illegal("topics with queue.type=BatchCQ are not supported by this broker".into()));
        }
        if is("cleanup.policy", "COMPACTION") {
            return Err(illegal("topics with cleanup.policy=COMPACTION are not supported by this broker".into()));
        }
        Ok(())
    }
}

fn illegal(remark: String) -> Refusal {
    Refusal::new(ResponseCode::MessageIllegal.number(), remark)
}

/// Where a message is stored: in the queue that it is for, or where it waits for its time.
struct Place<'a> {
    entry: &'a TopicEntry,
    queue: u32,
    code: QueueCode,
}

/// One send on its way into a batch.
struct Message<'a> {
    send: &'a Send<'a>,
    entry: &'a TopicEntry,
    rules: &'a SendRules,
    born_host: SocketAddr,
    queue: u32,
    call: u64,
}

impl Message<'_> {
    fn put(&self, (flag, body): (i32, &[u8]), (text, seen): (&str, Seen<'_>), out: &mut Batch) -> Result<(), Refusal> {
        // One that is consumed again after a delay is no half message: its transaction has ended.
        if seen.half && !(self.send.reconsume_times > 0 && level(&seen)? > 0) {
            return self.put_half((flag, body), (text, &seen), out);
        }
        if seen.pop_receipt || seen.level.is_some() {
            return self.put_changed(flag, body, (text, &seen), out);
        }
        refuse_what_is_not_there(&seen)?;
        let place = Place { entry: self.entry, queue: self.queue, code: QueueCode::Tag };
        self.store((flag, body), (text, seen), &place, out)
    }

    /// A message whose properties are not stored as they came.
    fn put_changed(
        &self,
        flag: i32,
        body: &[u8],
        (text, seen): (&str, &Seen<'_>),
        out: &mut Batch,
    ) -> Result<(), Refusal> {
        let mut all = Properties::read(text);
        all.remove(properties::POP_CK);
        // RocketMQ does not look for the level of a message within a batch.
        let level = if self.send.batch { 0 } else { level(seen)? };
        let waiting = self.rules.waiting_rooms.schedule.place(level, (&self.entry.config.topic, self.queue), &mut all);
        if level > 0 && waiting.is_none() {
            return Err(Refusal::new(ResponseCode::SystemError, NO_SCHEDULE));
        }
        let text = all.text();
        let seen = properties::scan(&text);
        refuse_what_is_not_there(&seen)?;
        let home = Place { entry: self.entry, queue: self.queue, code: QueueCode::Tag };
        let place = waiting.as_ref().map_or(home, |to| Place { entry: &to.entry, queue: to.queue, code: to.code });
        self.store((flag, body), (&text, seen), &place, out)
    }

    fn store(
        &self,
        (flag, body): (i32, &[u8]),
        (text, seen): (&str, Seen<'_>),
        place: &Place<'_>,
        out: &mut Batch,
    ) -> Result<(), Refusal> {
        let end: &[u8] = if text.is_empty() || text.ends_with(PAIR_END as char) { &[] } else { &[PAIR_END] };
        let mut own_key = Vec::new();
        if seen.unique_key.is_none() {
            let key = self.rules.unique_keys.next(crate::actors::log::wall_clock_ms());
            properties::push(&mut own_key, properties::UNIQ_KEY, &key);
        }
        let pieces: [&[u8]; 4] = [text.as_bytes(), end, &own_key, &self.rules.suffix];
        let own_key = own_key.get(properties::UNIQ_KEY.len() + 1..own_key.len().saturating_sub(1)).unwrap_or_default();
        let key = seen.unique_key.unwrap_or_else(|| std::str::from_utf8(own_key).unwrap_or_default());
        let key_at = match seen.unique_key {
            Some(key) => offset_in(text, key),
            None => text.len() + end.len() + properties::UNIQ_KEY.len() + 1,
        };
        let record = self.record(flag, body, &pieces);
        let record = NewRecord { topic: &place.entry.config.topic, queue: place.queue, ..record };
        let part = ((record.properties_at() + key_at) as u32, key.len() as u32);
        let draft = Draft {
            entry: place.entry,
            record,
            seen: Seen { unique_key: Some(key), ..seen },
            code: place.code,
            token: Token { call: self.call, queue: self.queue, part },
        };
        let size = draft.put(self.rules.record_bytes_max, out).map_err(|error| illegal(error.to_string()))?;
        if !self.send.batch {
            place.entry.counters.count(1, size);
        }
        out.durable |= seen.wait;
        Ok(())
    }

    fn record<'b>(&'b self, flag: i32, body: &'b [u8], pieces: &'b [&'b [u8]; 4]) -> NewRecord<'b> {
        NewRecord {
            topic: &self.entry.config.topic,
            queue: self.queue,
            flag,
            sys_flag: self.send.sys_flag,
            born_timestamp_ms: self.send.born_timestamp_ms,
            born_host: self.born_host,
            store_host: self.rules.store_host,
            reconsume_times: self.send.reconsume_times,
            prepared_transaction_offset: 0,
            body,
            properties: pieces,
        }
    }
}

/// The delay level that a message asks for.
fn level(seen: &Seen<'_>) -> Result<i32, Refusal> {
    let Some(text) = seen.level else { return Ok(0) };
    text.trim().parse().map_err(|_| {
        Refusal::new(
            ResponseCode::SystemError,
            format!("the property DELAY must be the number of a level, not {text:?}"),
        )
    })
}

/// Where `part`, a slice of `text`, begins in it.
fn offset_in(text: &str, part: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize)
}

/// Kinds of messages that must not be stored as if they were plain.
fn refuse_what_is_not_there(seen: &Seen<'_>) -> Result<(), Refusal> {
    if seen.timer {
        return Err(illegal("timed messages are not supported by this broker yet; delay levels are".into()));
    }
    Ok(())
}

/// The code and remark with which an append that did not succeed is answered.
#[must_use]
pub fn refusal_of(outcome: Outcome) -> Option<Refusal> {
    let unavailable = |remark: &'static str| Refusal::new(ResponseCode::ServiceNotAvailable.number(), remark);
    match outcome {
        Outcome::Stored | Outcome::Pending => None,
        Outcome::FlushTimedOut => Some(Refusal::new(ResponseCode::FlushDiskTimeout.number(), "flush disk timeout")),
        Outcome::NoSpace => Some(unavailable("service not available now. The broker's disk is full or fails")),
        Outcome::QueueUnavailable => Some(unavailable("service not available now. The queue cannot be opened")),
        Outcome::Stopping => Some(unavailable("service not available now. The broker is shutting down")),
        Outcome::TopicGone => Some(Refusal::new(ResponseCode::TopicNotExist.number(), "the topic was deleted")),
    }
}
