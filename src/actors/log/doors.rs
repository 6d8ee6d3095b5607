//! The way to ask the log something from outside its actors: queues, records, keys.

use std::sync::Arc;

use actix::prelude::*;
use bytes::Bytes;
use tokio::sync::oneshot;

use super::QueueSlot;
use super::index::{Index, QueryKeys};
use super::own_appends::{OwnAppends, StoredRecord};
use super::queue_files::{QueueFiles, RemoveQueues};
use super::queues::{DropQueues, Queues, ToQueue};
use crate::actors::catalog::topics::TopicTable;
use crate::actors::commitlog_writer::{CommitlogWriter, Forget};
use crate::actors::topic_queue::Ask;
use crate::protocol::names::{LogOffset, QueueKey, QueueOffset, Topic};
use crate::protocol::record::{RECORD_BYTES_MIN, Record};
use crate::protocol::{hash, properties};
use crate::store::StoreError;
use crate::store::key_index::KeyQuery;
use crate::store::log_view::{LogView, Slice};

/// Why a question about a queue or the log has no answer now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// The queue's actor is being rebuilt or the broker is stopping; the client may ask again.
    #[error("the queue is not available now")]
    Unavailable,
    /// The disk did not give the bytes.
    #[error("reading failed: {0}")]
    Read(String),
}

/// The messages that a queue holds: `min` up to but not including `max`. A queue that does not exist is 0 to 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueRange {
    pub min: QueueOffset,
    pub max: QueueOffset,
}

/// Which message a time stands for where none was stored at that very millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    /// The first stored at that time or later; the queue's end when there is none.
    Lower,
    /// The last stored at that time or before.
    Upper,
}

/// One entry of a ConsumeQueue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueEntry {
    pub offset: QueueOffset,
    pub at: LogOffset,
    pub size: u32,
    pub tag_code: i64,
}

/// What the key index found, newest first, and how far it has come.
#[derive(Debug, Clone, Default)]
pub struct KeyMatches {
    pub records: Vec<Bytes>,
    /// Store time of the newest indexed record, ms.
    pub indexed_until_ms: i64,
    /// Physical offset of the newest indexed record.
    pub indexed_until: LogOffset,
}

/// Asks the log's actors; cheap to clone.
#[derive(Clone, Debug)]
pub struct LogDoors {
    pub topics: Arc<TopicTable>,
    pub view: LogView,
    /// One for each arbiter.
    pub queues: Arc<[Addr<Queues>]>,
    pub writer: Addr<CommitlogWriter>,
    pub index: Option<Addr<Index>>,
    pub files: Addr<QueueFiles>,
    /// The way in for records that the broker makes itself.
    pub own: OwnAppends,
}

impl LogDoors {
    /// Sends a question to the queue's arbiter; false when there is no such queue.
    fn to_queue(&self, queue: &QueueKey, ask: Ask) -> bool {
        let Some(slot) = self.topics.get(&queue.topic).and_then(|entry| entry.slot(queue.queue)) else { return false };
        self.queues_of(slot).do_send(ToQueue { slot, key: queue.clone(), ask });
        true
    }

    /// The parent of the queue with this number.
    #[must_use]
    pub fn queues_of(&self, slot: QueueSlot) -> &Addr<Queues> {
        &self.queues[slot.0 as usize % self.queues.len()]
    }

    /// What `queue` holds and a client may see.
    ///
    /// # Errors
    /// When the queue cannot be asked now.
    pub async fn range(&self, queue: &QueueKey) -> Result<QueueRange, QueueError> {
        let (reply, answer) = oneshot::channel();
        if !self.to_queue(queue, Ask::Range(reply)) {
            return Ok(QueueRange::default());
        }
        answer.await.map_err(|_| QueueError::Unavailable)
    }

    /// The offset that `timestamp_ms` stands for, within the queue's range.
    ///
    /// # Errors
    /// When the queue cannot be asked or read now.
    pub async fn offset_by_time(
        &self,
        queue: &QueueKey,
        timestamp_ms: i64,
        boundary: Boundary,
    ) -> Result<QueueOffset, QueueError> {
        let (reply, answer) = oneshot::channel();
        if !self.to_queue(queue, Ask::OffsetByTime { timestamp_ms, boundary, reply }) {
            return Ok(0);
        }
        answer.await.map_err(|_| QueueError::Unavailable)?
    }

    /// Store time of the message at `offset`, ms; `None` where there is none.
    ///
    /// # Errors
    /// When the queue cannot be asked or read now.
    pub async fn store_time(&self, queue: &QueueKey, offset: QueueOffset) -> Result<Option<i64>, QueueError> {
        let (reply, answer) = oneshot::channel();
        if !self.to_queue(queue, Ask::StoreTime { offset, reply }) {
            return Ok(None);
        }
        answer.await.map_err(|_| QueueError::Unavailable)?
    }

    /// At most `count` entries from `from` on.
    ///
    /// # Errors
    /// When the queue cannot be asked or read now.
    pub async fn entries(
        &self,
        queue: &QueueKey,
        from: QueueOffset,
        count: usize,
    ) -> Result<Vec<QueueEntry>, QueueError> {
        let mut found: Vec<QueueEntry> = Vec::new();
        while found.len() < count {
            let (reply, answer) = oneshot::channel();
            let next = found.last().map_or(from, |last| last.offset + 1);
            if !self.to_queue(queue, Ask::Entries { from: next, count: count - found.len(), reply }) {
                break;
            }
            // First those in the files, then those in memory.
            let more = answer.await.map_err(|_| QueueError::Unavailable)??;
            if more.is_empty() {
                break;
            }
            found.extend(more);
        }
        Ok(found)
    }

    /// The whole record that begins at `at`; `None` when no record begins there.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn record_at(&self, at: LogOffset) -> Result<Option<Bytes>, QueueError> {
        if let Some(record) = record_in_memory(&self.view, at) {
            return Ok(Some(record));
        }
        let view = self.view.clone();
        let read = tokio::task::spawn_blocking(move || record_at(&view, at)).await;
        read.map_err(|_| QueueError::Unavailable)?.map_err(|error| QueueError::Read(error.to_string()))
    }

    /// The record that begins at `at`, to be taken apart; `None` when no record begins there.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn stored_at(&self, at: LogOffset) -> Result<Option<StoredRecord>, QueueError> {
        Ok(self.record_at(at).await?.and_then(StoredRecord::new))
    }

    /// The record that begins at `at`, and what `look` says of it, where it is there without waiting for the disk.
    pub fn stored_here<T>(&self, at: LogOffset, look: impl FnOnce(&Record<'_>) -> T) -> Option<(StoredRecord, T)> {
        StoredRecord::read(bytes_in_memory(&self.view, at)?, |record| {
            (record.physical_offset == at).then(|| look(record))
        })
    }

    /// At most `count` records with `key` (a unique key or one of the message's keys) stored from `begin_ms` to `end_ms`.
    ///
    /// # Errors
    /// When the index cannot be asked or the log cannot be read.
    pub async fn by_key(
        &self,
        topic: &str,
        key: &str,
        count: usize,
        begin_ms: i64,
        end_ms: i64,
    ) -> Result<KeyMatches, QueueError> {
        let Some(index) = &self.index else { return Ok(KeyMatches::default()) };
        let prefix = hash::hash_from(hash::hash(topic), "#");
        // Others with the same hash are passed over below, so a few more are asked for.
        let wanted = count.saturating_mul(2).max(count.saturating_add(16));
        let query = KeyQuery { hash: hash::key_hash(prefix, key), count: wanted, begin_ms, end_ms };
        let found = index.send(QueryKeys { query }).await.map_err(|_| QueueError::Unavailable)?;
        let (view, topic, key) = (self.view.clone(), topic.to_owned(), key.to_owned());
        let records = tokio::task::spawn_blocking(move || {
            let mut records = Vec::new();
            for at in found.at {
                if let Some(bytes) = record_at(&view, at)?
                    && Record::read(&bytes).is_ok_and(|record| has_key(&record, &topic, &key))
                {
                    records.push(bytes);
                }
                if records.len() == count {
                    break;
                }
            }
            Ok::<_, StoreError>(records)
        });
        let records = records.await.map_err(|_| QueueError::Unavailable)?;
        Ok(KeyMatches {
            records: records.map_err(|error| QueueError::Read(error.to_string()))?,
            indexed_until_ms: found.indexed_until_ms,
            indexed_until: found.indexed_until,
        })
    }

    /// Ends the queues of a topic and forgets their messages, durably: no rebuild brings them back. Nobody may make the
    /// topic anew before this is done.
    ///
    /// # Errors
    /// When an actor is not there or the disk fails; the call may be repeated.
    pub async fn delete_topic(&self, topic: &Topic, slots: Vec<QueueSlot>) -> Result<(), QueueError> {
        let end = self.writer.send(Forget { slots: slots.clone() }).await.map_err(|_| QueueError::Unavailable)?;
        for (number, queues) in self.queues.iter().enumerate() {
            let own = slots.iter().copied().filter(|slot| slot.0 as usize % self.queues.len() == number).collect();
            queues.send(DropQueues { slots: own }).await.map_err(|_| QueueError::Unavailable)?;
        }
        let removed = self.files.send(RemoveQueues { topic: topic.clone(), end }).await;
        removed.map_err(|_| QueueError::Unavailable)?.map_err(QueueError::Read)
    }

    /// Where the log begins and where its readable part ends.
    #[must_use]
    pub fn log_range(&self) -> (LogOffset, LogOffset) {
        (self.view.min(), self.view.readable())
    }
}

/// So many bytes from `at` on as a record there would have, where they are there without waiting for the disk.
fn bytes_in_memory(view: &LogView, at: LogOffset) -> Option<Bytes> {
    let here = |size| match view.slice(at, size) {
        Ok(Some(Slice::Here(bytes))) => Some(bytes),
        _ => None,
    };
    here(u32::from_be_bytes(*here(RECORD_BYTES_MIN)?.first_chunk::<4>()?) as usize)
}

/// The record that begins at `at`, where it is there without waiting for the disk.
fn record_in_memory(view: &LogView, at: LogOffset) -> Option<Bytes> {
    let bytes = bytes_in_memory(view, at)?;
    Record::read(&bytes).is_ok_and(|record| record.physical_offset == at).then_some(bytes)
}

/// The record that begins at `at`, waiting for the disk where needed.
fn record_at(view: &LogView, at: LogOffset) -> Result<Option<Bytes>, StoreError> {
    let Some(head) = view.read(at, RECORD_BYTES_MIN)? else { return Ok(None) };
    let size = head.first_chunk::<4>().map_or(0, |size| u32::from_be_bytes(*size)) as usize;
    let Some(bytes) = view.read(at, size)? else { return Ok(None) };
    let whole = Record::read(&bytes).is_ok_and(|record| record.physical_offset == at);
    Ok(whole.then_some(bytes))
}

fn has_key(record: &Record<'_>, topic: &str, key: &str) -> bool {
    let seen = properties::scan(record.properties);
    let among = |keys: &str| keys.split_ascii_whitespace().any(|one| one == key);
    record.topic == topic && (seen.unique_key == Some(key) || seen.keys.is_some_and(among))
}
