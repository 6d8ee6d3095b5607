//! From a message to a record of a batch: the one way for what clients send and for what the broker makes itself.

use crate::actors::catalog::topics::TopicEntry;
use crate::actors::commitlog_writer::{Batch, Put, Token};
use crate::protocol::hash;
use crate::protocol::names::{QueueId, Topic};
use crate::protocol::properties::{PROPERTIES_BYTES_MAX, Seen};
use crate::protocol::record::{self, NewRecord};

/// Names of a message's keys beyond which the rest is not indexed.
const KEYS_MAX: usize = 64;

/// What the ConsumeQueue keeps beside a record's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueCode {
    /// The hash of the message's tag.
    Tag,
    /// This very number.
    Fixed(i64),
    /// The record's store time and so many milliseconds: when a delayed message is due.
    DueAfter(i64),
    /// Nothing: no queue holds the record.
    Unqueued,
}

/// Why a message cannot be a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    #[error("the properties are {length} bytes long, at most {PROPERTIES_BYTES_MAX} are allowed")]
    Properties { length: usize },
    #[error("the message takes {size} bytes, at most {limit} are allowed")]
    Size { size: usize, limit: usize },
    #[error("topic[{topic}] has no queue {queue}")]
    Queue { topic: Topic, queue: QueueId },
}

/// A message that is to be a record of the queue that `record` names.
#[derive(Debug, Clone, Copy)]
pub struct Draft<'a> {
    /// The topic that `record` names.
    pub entry: &'a TopicEntry,
    pub record: NewRecord<'a>,
    /// What stands in the record's properties: the keys under which it is found, and its tag.
    pub seen: Seen<'a>,
    pub code: QueueCode,
    /// Comes back with the batch.
    pub token: Token,
}

impl Draft<'_> {
    /// Appends the record to `batch`; its size in bytes. Whether the answer waits for the disk is the batch's, and not
    /// touched; the topic's counters are the caller's.
    ///
    /// # Errors
    /// When it is too large or its topic has no such queue; `batch` is as it was.
    pub fn put(&self, record_bytes_max: usize, batch: &mut Batch) -> Result<usize, DraftError> {
        let (entry, queue) = (self.entry, self.record.queue);
        let length = self.record.properties_length();
        if length > PROPERTIES_BYTES_MAX {
            return Err(DraftError::Properties { length });
        }
        let size = self.record.properties_at() + length;
        if size > record_bytes_max {
            return Err(DraftError::Size { size, limit: record_bytes_max });
        }
        let missing = || DraftError::Queue { topic: entry.config.topic.clone(), queue };
        let slot = entry.slot(queue).or_else(|| entry.slot_with_files(queue)).ok_or_else(missing)?;
        let start = batch.bytes.len();
        self.record.encode(&mut batch.bytes);
        let (tag_code, due) = match self.code {
            QueueCode::Tag => (hash::tag_code(self.seen.tags), false),
            QueueCode::Fixed(code) => (code, false),
            QueueCode::DueAfter(delay_ms) => (delay_ms, true),
            QueueCode::Unqueued => (0, false),
        };
        let put = Put {
            slot,
            start: start as u32,
            size: size as u32,
            timestamp_at: record::store_timestamp_at(self.record.stored_sys_flag()) as u8,
            keys: self.index_keys(batch),
            queued: self.code != QueueCode::Unqueued,
            due,
            tag_code,
            token: self.token,
            ..Put::default()
        };
        batch.puts.push(put);
        Ok(size)
    }

    fn index_keys(&self, batch: &mut Batch) -> u8 {
        let prefix = self.entry.key_prefix;
        let before = batch.keys.len();
        batch.keys.extend(self.seen.unique_key.map(|key| hash::key_hash(prefix, key)));
        if let Some(keys) = self.seen.keys {
            let tokens = keys.split_ascii_whitespace().take(KEYS_MAX);
            batch.keys.extend(tokens.map(|key| hash::key_hash(prefix, key)));
        }
        (batch.keys.len() - before) as u8
    }
}
