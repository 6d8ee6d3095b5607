//! The way to ask the log something from outside its actors: queues, records, keys.

use bytes::Bytes;

use crate::protocol::names::{LogOffset, QueueKey, QueueOffset, Topic};

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
#[derive(Clone, Debug, Default)]
pub struct LogDoors {}

impl LogDoors {
    /// What `queue` holds and a client may see.
    pub async fn range(&self, _queue: &QueueKey) -> Result<QueueRange, QueueError> {
        Err(QueueError::Unavailable)
    }

    /// The offset that `timestamp_ms` stands for, within the queue's range.
    pub async fn offset_by_time(
        &self,
        _queue: &QueueKey,
        _timestamp_ms: i64,
        _boundary: Boundary,
    ) -> Result<QueueOffset, QueueError> {
        Err(QueueError::Unavailable)
    }

    /// Store time of the message at `offset`, ms; `None` where there is none.
    pub async fn store_time(&self, _queue: &QueueKey, _offset: QueueOffset) -> Result<Option<i64>, QueueError> {
        Err(QueueError::Unavailable)
    }

    /// At most `count` entries from `from` on.
    pub async fn entries(
        &self,
        _queue: &QueueKey,
        _from: QueueOffset,
        _count: usize,
    ) -> Result<Vec<QueueEntry>, QueueError> {
        Err(QueueError::Unavailable)
    }

    /// The whole record that begins at `at`; `None` when no record begins there.
    pub async fn record_at(&self, _at: LogOffset) -> Result<Option<Bytes>, QueueError> {
        Err(QueueError::Unavailable)
    }

    /// At most `count` records with `key` (a unique key or one of the message's keys) stored from `begin_ms` to `end_ms`.
    pub async fn by_key(
        &self,
        _topic: &str,
        _key: &str,
        _count: usize,
        _begin_ms: i64,
        _end_ms: i64,
    ) -> Result<KeyMatches, QueueError> {
        Err(QueueError::Unavailable)
    }

    /// Forgets the queues of `topic`, durably: no rebuild brings them back. Called after the topic left the table.
    pub async fn delete_topic(&self, _topic: &Topic) -> Result<(), QueueError> {
        Err(QueueError::Unavailable)
    }

    /// Where the log begins and where its readable part ends.
    #[must_use]
    pub fn log_range(&self) -> (LogOffset, LogOffset) {
        (0, 0)
    }
}
