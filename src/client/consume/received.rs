//! Messages as consumers get them: cut out of the bytes of a pull's answer.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use crate::client::error::{ClientError, MessageError};
use crate::client::message::Message;
use crate::client::produce::parcel::now_ms;
use crate::protocol::batch;
use crate::protocol::compression::{self, Compression, SYS_FLAG_COMPRESSED};
use crate::protocol::header::send::ReplyMessageRequest;
use crate::protocol::names::REPLY_TOPIC_SUFFIX;
use crate::protocol::properties;
use crate::protocol::record::{Record, RecordError};
use crate::protocol::uniq_key::encode_offset_id;
use crate::rules::assignment::MessageQueue;

/// The record's body is a batch that the consumer takes apart.
const SYS_FLAG_INNER_BATCH: i32 = 0x40 | 0x80;
/// Longest body once inflated, in bytes.
const INFLATED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Under which topic a message was first sent that comes back through a retry topic.
const RETRY_TOPIC: &str = "RETRY_TOPIC";

/// A message that a broker delivered. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceivedMessage {
    /// Where it was read. See [`Self::topic`] for where it was sent to.
    pub queue: Arc<MessageQueue>,
    pub queue_offset: i64,
    /// Position in the broker's log, in bytes.
    pub physical_offset: u64,
    /// When the producer made it, ms since 1970.
    pub born_timestamp_ms: i64,
    pub born_host: SocketAddr,
    /// When the broker stored it, ms since 1970.
    pub store_timestamp_ms: i64,
    pub store_host: SocketAddr,
    /// How often the group has failed to consume it.
    pub reconsume_times: i32,
    /// Bits of the protocol.
    pub sys_flag: i32,
    /// The producer's own number.
    pub flag: i32,
    /// Inflated where it was sent compressed.
    pub body: Bytes,
    properties: Bytes,
}

impl ReceivedMessage {
    /// The topic that the message was sent to, also when it comes back through the group's retry topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        match self.property(RETRY_TOPIC) {
            Some(topic) if self.queue.topic.starts_with("%RETRY%") => topic,
            _ => &self.queue.topic,
        }
    }

    /// The id that the producer gave it; where there is none, [`Self::offset_message_id`].
    #[must_use]
    pub fn message_id(&self) -> String {
        self.property(properties::UNIQ_KEY).map_or_else(|| self.offset_message_id(), str::to_owned)
    }

    /// The id that tells where the broker keeps it.
    #[must_use]
    pub fn offset_message_id(&self) -> String {
        encode_offset_id(self.store_host, self.physical_offset).to_string()
    }

    #[must_use]
    pub fn tags(&self) -> Option<&str> {
        self.property(properties::TAGS)
    }

    #[must_use]
    pub fn keys(&self) -> Option<&str> {
        self.property(properties::KEYS)
    }

    #[must_use]
    pub fn property(&self, name: &str) -> Option<&str> {
        properties::value(self.properties_text(), name)
    }

    /// All properties in the order in which they are stored.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &str)> {
        properties::pairs(self.properties_text())
    }

    pub(in crate::client) fn properties_text(&self) -> &str {
        // Checked when the record was read.
        std::str::from_utf8(&self.properties).unwrap_or_default()
    }
}

/// Reads the messages of a pull's answer. Bodies are slices of `answer`, which they keep alive.
///
/// # Errors
/// When the bytes are no records. A body that cannot be inflated is handed over as it is, as RocketMQ does.
pub(in crate::client) fn read(queue: &Arc<MessageQueue>, answer: &Bytes) -> Result<Vec<ReceivedMessage>, RecordError> {
    let mut messages = Vec::new();
    let mut rest = &answer[..];
    while !rest.is_empty() {
        let record = Record::read(rest)?;
        rest = rest.get(record.size..).unwrap_or_default();
        let message = message(queue, answer, &record);
        if record.sys_flag & SYS_FLAG_INNER_BATCH == SYS_FLAG_INNER_BATCH {
            unwrap_batch(&message, &mut messages);
        } else {
            messages.push(message);
        }
    }
    Ok(messages)
}

impl ReceivedMessage {
    /// The reply to this message with `body`, for the client that sent it with
    /// [`Producer::request`](crate::client::Producer::request). Send it with any producer.
    ///
    /// # Errors
    /// [`ClientError::Message`] when the message is no request, or came from a broker that does not say its cluster.
    pub fn reply_with(&self, body: impl Into<Bytes>) -> Result<Message, ClientError> {
        let of = |name: &'static str| self.property(name).ok_or(ClientError::Message(MessageError::NoRequest { name }));
        let topic = format!("{}_{REPLY_TOPIC_SUFFIX}", of(properties::CLUSTER)?);
        let mut message = Message::new(topic, body).property(properties::MSG_TYPE, properties::REPLY);
        for name in [properties::CORRELATION_ID, properties::REPLY_TO_CLIENT, properties::TTL] {
            message = message.property(name, of(name)?);
        }
        Ok(message)
    }

    /// A reply that a broker passes on.
    pub(in crate::client) fn reply(header: &ReplyMessageRequest, body: &Bytes) -> Self {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut text = header.properties.clone().into_bytes();
        if !text.is_empty() && text.last() != Some(&properties::PAIR_END) {
            text.push(properties::PAIR_END);
        }
        properties::push(&mut text, properties::ARRIVE_TIME, &now_ms().to_string());
        Self {
            queue: Arc::new(MessageQueue::new(&header.topic, "", u32::try_from(header.queue_id).unwrap_or(0))),
            queue_offset: 0,
            physical_offset: 0,
            born_timestamp_ms: header.born_timestamp,
            born_host: header.born_host.parse().unwrap_or(nowhere),
            store_timestamp_ms: header.store_timestamp,
            store_host: header.store_host.parse().unwrap_or(nowhere),
            reconsume_times: header.reconsume_times.unwrap_or(0),
            sys_flag: header.sys_flag,
            flag: header.flag,
            body: inflated(header.sys_flag, body, &header.topic),
            properties: Bytes::from(text),
        }
    }
}

fn message(queue: &Arc<MessageQueue>, answer: &Bytes, record: &Record<'_>) -> ReceivedMessage {
    ReceivedMessage {
        queue: Arc::clone(queue),
        queue_offset: record.queue_offset as i64,
        physical_offset: record.physical_offset,
        born_timestamp_ms: record.born_timestamp_ms,
        born_host: record.born_host,
        store_timestamp_ms: record.store_timestamp_ms,
        store_host: record.store_host,
        reconsume_times: record.reconsume_times,
        sys_flag: record.sys_flag,
        flag: record.flag,
        body: inflated(record.sys_flag, &answer.slice_ref(record.body), record.topic),
        properties: answer.slice_ref(record.properties.as_bytes()),
    }
}

fn inflated(sys_flag: i32, body: &Bytes, topic: &str) -> Bytes {
    if sys_flag & SYS_FLAG_COMPRESSED == 0 {
        return body.clone();
    }
    let Some(kind) = Compression::of_sys_flag(sys_flag) else {
        return body.clone();
    };
    match compression::decompress(kind, body, INFLATED_BYTES_MAX) {
        Ok(body) => Bytes::from(body),
        Err(error) => {
            tracing::warn!(topic, %error, "a body cannot be inflated");
            body.clone()
        }
    }
}

/// The entries of a batch that was stored as one record take consecutive offsets from the record's on.
fn unwrap_batch(outer: &ReceivedMessage, messages: &mut Vec<ReceivedMessage>) {
    for (entry, queue_offset) in batch::entries(&outer.body).zip(outer.queue_offset..) {
        let Ok(entry) = entry else {
            tracing::warn!(topic = %outer.queue.topic, queue_offset, "a stored batch is broken");
            return;
        };
        messages.push(ReceivedMessage {
            queue_offset,
            flag: entry.flag,
            body: outer.body.slice_ref(entry.body),
            properties: outer.body.slice_ref(entry.properties.as_bytes()),
            ..outer.clone()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::batch::BatchEntry;
    use crate::protocol::record::NewRecord;

    fn record(body: &[u8], properties: &str, sys_flag: i32) -> Vec<u8> {
        let mut out = Vec::new();
        let host = "1.2.3.4:10911".parse().unwrap();
        NewRecord {
            topic: "T",
            queue: 1,
            flag: 3,
            sys_flag,
            born_timestamp_ms: 5,
            born_host: host,
            store_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body,
            properties: &[properties.as_bytes()],
        }
        .encode(&mut out);
        out
    }

    fn queue(topic: &str) -> Arc<MessageQueue> {
        Arc::new(MessageQueue::new(topic, "b", 1))
    }

    #[test]
    fn messages_are_cut_out_of_an_answer() {
        let zipped = compression::compress(Compression::Zlib, b"inflated", 5);
        let mut answer = record(b"one", "UNIQ_KEY\u{1}U\u{2}TAGS\u{1}t\u{2}", 0);
        answer.extend(record(&zipped, "", SYS_FLAG_COMPRESSED | Compression::Zlib.sys_flag()));
        answer.extend(record(b"broken", "", SYS_FLAG_COMPRESSED));
        let messages = read(&queue("T"), &Bytes::from(answer)).unwrap();
        let bodies: Vec<_> = messages.iter().map(|message| &message.body[..]).collect();
        assert_eq!(bodies, [&b"one"[..], b"inflated", b"broken"]);
        let first = &messages[0];
        assert_eq!((first.message_id().as_str(), first.tags(), first.keys()), ("U", Some("t"), None));
        assert_eq!(messages[1].message_id(), "0102030400002A9F0000000000000000");
    }

    #[test]
    fn a_stored_batch_is_taken_apart() {
        let mut body = Vec::new();
        for text in ["a", "b"] {
            batch::push(&mut body, &BatchEntry { flag: 9, body: text.as_bytes(), properties: "KEYS\u{1}k\u{2}" });
        }
        let answer = Bytes::from(record(&body, "", SYS_FLAG_INNER_BATCH));
        let messages = read(&queue("T"), &answer).unwrap();
        let seen: Vec<_> = messages.iter().map(|m| (&m.body[..], m.queue_offset, m.flag, m.keys())).collect();
        assert_eq!(seen, [(&b"a"[..], 0, 9, Some("k")), (b"b", 1, 9, Some("k"))]);
    }

    #[test]
    fn a_retried_message_shows_where_it_was_sent() {
        let answer = Bytes::from(record(b"x", "RETRY_TOPIC\u{1}orders\u{2}", 0));
        assert_eq!(read(&queue("%RETRY%g"), &answer).unwrap()[0].topic(), "orders");
        assert_eq!(read(&queue("T"), &answer).unwrap()[0].topic(), "T");
    }

    #[test]
    fn torn_answers_are_errors() {
        let mut answer = record(b"one", "", 0);
        answer.pop();
        assert!(read(&queue("T"), &Bytes::from(answer)).is_err());
    }
}
