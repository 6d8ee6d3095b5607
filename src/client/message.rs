//! A message to be sent.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use super::error::{ClientError, MessageError};
use super::message_id::MessageId;
use crate::protocol::names::{TOPIC_BYTES_MAX, check_name};
use crate::protocol::properties::{self, NAME_END, PAIR_END, PROPERTIES_BYTES_MAX};
use crate::rules::assignment::MessageQueue;

/// Longest body that a broker takes unless it is configured otherwise, in bytes.
pub const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Room that the broker needs for what it adds to the properties.
const BROKER_PROPERTIES_BYTES: usize = 512;

/// A message that is not sent yet.
///
/// ```
/// use actormq::client::Message;
/// let message = Message::new("orders", "hello").tag("new").key("order-7").property("region", "north");
/// assert_eq!(message.body(), b"hello");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a message does nothing until it is sent"]
pub struct Message {
    topic: String,
    body: Bytes,
    tag: Option<String>,
    keys: Vec<String>,
    properties: Vec<(String, String)>,
    flag: i32,
    /// 0 for none.
    delay_level: u8,
    wait_for_store: bool,
}

impl Message {
    pub fn new(topic: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self {
            topic: topic.into(),
            body: body.into(),
            tag: None,
            keys: Vec::new(),
            properties: Vec::new(),
            flag: 0,
            delay_level: 0,
            wait_for_store: true,
        }
    }

    /// What consumers may filter by.
    pub fn tag(self, tag: impl Into<String>) -> Self {
        Self { tag: Some(tag.into()), ..self }
    }

    /// One more key that the message can be found by. A blank in it makes two keys of it.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.keys.push(key.into());
        self
    }

    /// One more property of the user's own. The last of a name counts.
    pub fn property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.push((name.into(), value.into()));
        self
    }

    /// A number that nobody looks at but the consumer.
    pub fn flag(self, flag: i32) -> Self {
        Self { flag, ..self }
    }

    /// Consumers get the message only after the delay of this level: of those that the broker is set up with, 1 s, 5 s,
    /// 10 s, 30 s, 1 to 10 min, 20 min, 30 min, 1 h and 2 h unless it is told otherwise. 0 is none; a level beyond the last
    /// is the last.
    ///
    /// ```
    /// use actormq::client::Message;
    /// let reminder = Message::new("reminders", "your cart is waiting").delay_level(16);
    /// ```
    pub fn delay_level(self, level: u8) -> Self {
        Self { delay_level: level, ..self }
    }

    /// The broker answers as soon as the message is in its memory, even where it waits for disk or slaves otherwise.
    pub fn without_waiting_for_store(self) -> Self {
        Self { wait_for_store: false, ..self }
    }

    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    pub(super) fn into_topic_and_body(self) -> (String, Bytes) {
        (self.topic, self.body)
    }

    pub(super) fn user_tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// As they travel.
    pub(super) fn user_keys(&self) -> Option<String> {
        (!self.keys.is_empty()).then(|| self.keys.join(" "))
    }

    pub(super) fn user_property(&self, name: &str) -> Option<&str> {
        let last = self.properties.iter().rev().find(|(known, _)| known == name);
        last.map(|(_, value)| value.as_str())
    }

    pub(super) fn user_flag(&self) -> i32 {
        self.flag
    }

    /// Whether it is to come later than at once, by its level or by a property of that meaning.
    pub(super) fn is_delayed(&self) -> bool {
        let delays = |name: &str| name == properties::DELAY || name.starts_with(properties::TIMER_PREFIX);
        self.delay_level > 0 || self.properties.iter().any(|(name, _)| delays(name))
    }

    pub(super) fn waits_for_store(&self) -> bool {
        self.wait_for_store
    }

    /// Whether it answers a request of another client.
    pub(super) fn is_reply(&self) -> bool {
        self.properties.iter().any(|(name, value)| name == properties::MSG_TYPE && value == properties::REPLY)
    }

    /// Whether the message asks for what a batch cannot hold.
    pub(super) fn fits_batch(&self) -> bool {
        let special = |name: &str| {
            matches!(name, properties::DELAY | properties::TRAN_MSG) || name.starts_with(properties::TIMER_PREFIX)
        };
        self.delay_level == 0
            && !self.is_reply()
            && !self.properties.iter().any(|(name, _)| special(name))
            && !self.topic.starts_with("%RETRY%")
    }

    /// # Errors
    /// [`ClientError::Name`] or [`ClientError::Message`] when no broker would take the message.
    pub(super) fn check(&self) -> Result<(), ClientError> {
        let named = check_name(&self.topic, TOPIC_BYTES_MAX);
        named.map_err(|reason| ClientError::Name { kind: "topic", name: self.topic.clone(), reason })?;
        if self.body.is_empty() {
            return Err(ClientError::Message(MessageError::EmptyBody));
        }
        if self.body.len() > BODY_BYTES_MAX {
            let (bytes, max) = (self.body.len(), BODY_BYTES_MAX);
            return Err(ClientError::Message(MessageError::BodyTooLong { bytes, max }));
        }
        let tag = self.tag.as_deref().map(|tag| (properties::TAGS, tag));
        let keys = self.keys.iter().map(|key| (properties::KEYS, key.as_str()));
        let own = self.properties.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let broken = |text: &str| text.is_empty() || text.bytes().any(|byte| byte == NAME_END || byte == PAIR_END);
        match own.chain(tag).chain(keys).find(|(name, value)| broken(name) || broken(value)) {
            Some((name, _)) => Err(ClientError::Message(MessageError::Property { name: name.to_owned() })),
            None => Ok(()),
        }
    }

    /// The properties as they travel, `unique_key` among them.
    ///
    /// # Errors
    /// [`MessageError::PropertiesTooLong`] when the broker could not store them.
    pub(super) fn properties_text(&self, unique_key: &str) -> Result<String, ClientError> {
        let mut text = String::with_capacity(128);
        self.properties_into(&mut text, unique_key)?;
        Ok(text)
    }

    /// The same into an empty text.
    ///
    /// # Errors
    /// As [`Self::properties_text`].
    pub(super) fn properties_into(&self, text: &mut String, unique_key: &str) -> Result<(), ClientError> {
        for (at, (name, value)) in self.properties.iter().enumerate() {
            if !self.properties.iter().skip(at + 1).any(|(later, _)| later == name) {
                properties::push_text(text, name, value);
            }
        }
        if let Some(tag) = &self.tag {
            properties::push_text(text, properties::TAGS, tag);
        }
        if !self.keys.is_empty() {
            let keys = match self.keys.as_slice() {
                [key] => Cow::Borrowed(key.as_str()),
                keys => Cow::Owned(keys.join(" ")),
            };
            properties::push_text(text, properties::KEYS, &keys);
        }
        if self.delay_level > 0 {
            properties::push_text(text, properties::DELAY, &self.delay_level.to_string());
        }
        properties::push_text(text, properties::UNIQ_KEY, unique_key);
        properties::push_text(text, properties::WAIT, if self.wait_for_store { "true" } else { "false" });
        let (bytes, max) = (text.len(), PROPERTIES_BYTES_MAX - BROKER_PROPERTIES_BYTES);
        if bytes > max {
            return Err(ClientError::Message(MessageError::PropertiesTooLong { bytes, max }));
        }
        Ok(())
    }
}

/// How the broker kept a message that it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendStatus {
    /// As safe as the broker is set up to be.
    Stored,
    /// In the broker's memory; the disk was not reached in time.
    FlushDiskTimeout,
    /// At the master; no slave had it in time.
    FlushSlaveTimeout,
    /// At the master; there is no slave.
    SlaveNotAvailable,
}

/// What the broker said of a message that it took.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SendReceipt {
    pub status: SendStatus,
    /// The unique key that the client gave the message; of a batch, the keys joined by commas.
    pub message_id: MessageId,
    /// Where the broker keeps the message; of a batch, joined by commas.
    pub offset_message_id: MessageId,
    pub queue: MessageQueue,
    /// Of the first message of a batch.
    pub queue_offset: i64,
    pub transaction_id: Option<MessageId>,
    pub region: Option<Arc<str>>,
    /// Whether the broker wants traces of its messages.
    pub traced: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_as_brokers_read_them() {
        let message = Message::new("T", "b").tag("t").key("k1").key("k2").property("p", "1").property("p", "2");
        let text = message.properties_text("U").unwrap();
        let pairs: Vec<_> = properties::pairs(&text).collect();
        assert_eq!(pairs, [("p", "2"), ("TAGS", "t"), ("KEYS", "k1 k2"), ("UNIQ_KEY", "U"), ("WAIT", "true")]);
    }

    #[test]
    fn a_delay_is_a_property_and_fits_no_batch() {
        let message = Message::new("T", "b").delay_level(3);
        let text = message.properties_text("U").unwrap();
        assert_eq!(properties::value(&text, "DELAY"), Some("3"));
        assert!(!message.fits_batch() && message.is_delayed());
        let at_once = message.delay_level(0);
        assert!(at_once.fits_batch() && !at_once.is_delayed());
    }

    #[test]
    fn messages_that_no_broker_takes_are_refused_here() {
        assert!(Message::new("T", "b").check().is_ok());
        for bad in [
            Message::new("a b", "b"),
            Message::new("T", ""),
            Message::new("T", vec![0; BODY_BYTES_MAX + 1]),
            Message::new("T", "b").property("a\u{1}", "x"),
            Message::new("T", "b").property("a", ""),
            Message::new("T", "b").tag("\u{2}"),
            Message::new("T", "b").key(""),
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
        assert!(Message::new("T", "b").property("a", "x".repeat(40_000)).properties_text("U").is_err());
    }
}
