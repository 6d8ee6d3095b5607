//! Single messages: by id, by key, by place.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use serde::Serialize;

use super::{Admin, unless_absent, unreadable};
use crate::client::consume::pull::Pull;
use crate::client::consume::received::{self, ReceivedMessage};
use crate::client::consume::subscription::{Filter, Subscription};
use crate::client::error::ClientError;
use crate::client::produce::parcel::now_ms;
use crate::client::route::MASTER;
use crate::client::routes::Purpose;
use crate::protocol::code::{RequestCode, ResponseCode};
use crate::protocol::header::query::ViewMessageRequest;
use crate::protocol::properties;
use crate::protocol::record::Record;
use crate::protocol::uniq_key::{decode_offset_id, decode_unique_key};
use crate::rules::assignment::MessageQueue;

/// RocketMQ's own group for tools; every broker has it.
pub(super) const TOOLS_GROUP: &str = "TOOLS_CONSUMER";
/// A key's age is only known to the local month of its maker.
const UNIQUE_KEY_SLACK_MS: i64 = 24 * 3_600_000;
/// Messages under one unique key that are looked at.
const UNIQUE_KEY_MESSAGES: u32 = 32;

/// Which messages of a topic are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyQuery {
    pub topic: String,
    pub key: String,
    /// Most messages of each broker; brokers have a limit of their own.
    pub max: u32,
    /// Stored at that time or later, ms since 1970.
    pub from_ms: i64,
    /// Stored at that time or earlier, ms since 1970.
    pub to_ms: i64,
}

impl KeyQuery {
    /// Up to 64 messages of any age.
    #[must_use]
    pub fn new(topic: impl Into<String>, key: impl Into<String>) -> Self {
        Self { topic: topic.into(), key: key.into(), max: 64, from_ms: 0, to_ms: i64::MAX }
    }
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyHeader {
    topic: String,
    key: String,
    max_num: i32,
    begin_timestamp: i64,
    end_timestamp: i64,
    #[serde(rename = "_UNIQUE_KEY_QUERY")]
    unique: bool,
}

impl Admin {
    /// The message that a broker keeps under an offset id, the longer of the two ids that RocketMQ's tools show.
    ///
    /// # Errors
    /// When the id names no broker that answers, or that has no message there.
    pub async fn message_by_offset_id(&self, id: &str) -> Result<ReceivedMessage, ClientError> {
        let (address, offset) = decode_offset_id(id).map_err(|error| bad_id(id, &error))?;
        let offset = i64::try_from(offset).map_err(|error| bad_id(id, &error))?;
        let address = address.to_string();
        let header = ViewMessageRequest { topic: None, offset };
        let reply = self.ask_broker(&address, RequestCode::ViewMessageById, &header, b"").await?;
        let places = self.cluster().await?;
        // A broker may be known by another address than the one that it stores.
        let name = places.brokers.iter().find(|broker| broker.address == address).map_or(&address, |at| &at.broker);
        let found = messages(name, &reply.body).map_err(|error| unreadable(&address, error))?;
        found.into_iter().next().ok_or_else(|| unreadable(&address, "an answer without a message"))
    }

    /// The messages of a topic under the id that their producer gave them; more than one when a send was repeated.
    ///
    /// # Errors
    /// [`ClientError::TopicNotFound`], or a server refuses or is not reached.
    pub async fn messages_by_unique_key(&self, topic: &str, id: &str) -> Result<Vec<ReceivedMessage>, ClientError> {
        let offset_s = jiff::Zoned::now().offset().seconds();
        let made = decode_unique_key(id).map(|parts| parts.made_at_ms(now_ms(), offset_s)).unwrap_or_default();
        let from_ms = made.saturating_sub(UNIQUE_KEY_SLACK_MS).max(0);
        let query = KeyQuery { max: UNIQUE_KEY_MESSAGES, from_ms, ..KeyQuery::new(topic, id) };
        let mut found = self.query(&query, true).await?;
        found.retain(|message| message.property(properties::UNIQ_KEY) == Some(id));
        Ok(found)
    }

    /// The messages that carry a key, in the order of their store times.
    ///
    /// # Errors
    /// As [`Self::messages_by_unique_key`].
    pub async fn messages_by_key(&self, query: &KeyQuery) -> Result<Vec<ReceivedMessage>, ClientError> {
        let mut found = self.query(query, false).await?;
        // Brokers look keys up by their hash; two may share one.
        found.retain(|message| message.keys().is_some_and(|keys| keys.split(' ').any(|key| key == query.key)));
        Ok(found)
    }

    async fn query(&self, query: &KeyQuery, unique: bool) -> Result<Vec<ReceivedMessage>, ClientError> {
        let brokers = self.brokers_of(&query.topic).await?;
        let header = KeyHeader {
            topic: query.topic.clone(),
            key: query.key.clone(),
            max_num: i32::try_from(query.max).unwrap_or(i32::MAX),
            begin_timestamp: query.from_ms,
            end_timestamp: query.to_ms,
            unique,
        };
        let asked =
            brokers.iter().map(|broker| self.ask_broker(&broker.address, RequestCode::QueryMessage, &header, b""));
        let mut found = Vec::new();
        for (broker, answer) in brokers.iter().zip(join_all(asked).await) {
            if let Some(reply) = unless_absent(answer, &[ResponseCode::QueryNotFound])? {
                let read = messages(&broker.broker, &reply.body);
                found.extend(read.map_err(|error| unreadable(&broker.address, error))?);
            }
        }
        found.sort_by_key(|message| (message.store_timestamp_ms, message.physical_offset));
        Ok(found)
    }

    /// The message at an offset of a queue; `None` when the queue does not hold it.
    ///
    /// # Errors
    /// When there is no such topic or queue, or a server refuses or is not reached.
    pub async fn message_at(&self, queue: &MessageQueue, offset: i64) -> Result<Option<ReceivedMessage>, ClientError> {
        // The broker's address comes with the topic's route.
        self.hub.route(&queue.topic, Purpose::Existing).await?;
        let pull = Pull {
            group: TOOLS_GROUP.into(),
            subscription: Arc::new(Subscription::new(&queue.topic, &Filter::All)),
            queue: Arc::new(queue.clone()),
            offset,
            commit: 0,
            count: 1,
            hold: Duration::ZERO,
            broker_id: MASTER,
        };
        let pulled = pull.ask(&self.hub).await?;
        Ok(pulled.messages.into_iter().find(|message| message.queue_offset == offset))
    }
}

fn bad_id(id: &str, error: &impl ToString) -> ClientError {
    ClientError::MessageId { id: id.to_owned(), reason: error.to_string() }
}

/// Messages of any topics and queues, each under its own.
fn messages(broker: &str, answer: &Bytes) -> Result<Vec<ReceivedMessage>, crate::protocol::record::RecordError> {
    let mut found = Vec::new();
    let mut rest = &answer[..];
    while !rest.is_empty() {
        let record = Record::read(rest)?;
        let (here, after) = rest.split_at(record.size.min(rest.len()));
        let queue = Arc::new(MessageQueue::new(record.topic, broker, record.queue));
        found.extend(received::read(&queue, &answer.slice_ref(here))?);
        rest = after;
    }
    Ok(found)
}
