//! Records that the broker makes itself: delayed messages that are due, messages that consumers hand back, halves of
//! transactions and their ends. Any actor or handler builds a batch of them and waits for its outcome.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix::prelude::*;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::draft::{Draft, DraftError, QueueCode};
use crate::actors::catalog::topics::TopicEntry;
use crate::actors::commitlog_writer::{Append, Batch, CommitlogWriter, Outcome, Reply, Token};
use crate::config::BrokerConfig;
use crate::protocol::names::{LogOffset, QueueOffset};
use crate::protocol::properties::Seen;
use crate::protocol::record::{BLANK_BYTES, NewRecord, Record, RecordError};

/// What a record has beside its body, properties included, at most.
const RECORD_EXTRA_BYTES: usize = 64 * 1024;

/// Longest record that a broker with these settings takes from a client, in bytes.
#[must_use]
pub fn record_bytes_max(config: &BrokerConfig) -> usize {
    (config.send.max_body_bytes as usize + RECORD_EXTRA_BYTES).min(segment_record_bytes_max(config))
}

/// Longest record that fits a segment, in bytes: what was stored once is stored again whatever the settings say now.
fn segment_record_bytes_max(config: &BrokerConfig) -> usize {
    config.store.commit_log_segment_bytes as usize - BLANK_BYTES
}

/// The way of the broker's own records to the writer. Cheap to clone.
#[derive(Clone, Debug)]
pub struct OwnAppends {
    writer: Addr<CommitlogWriter>,
    /// Bytes on their way to the writer, which takes them off: shared with all sessions.
    backlog_bytes: Arc<AtomicUsize>,
    /// Where clients reach this broker: part of every message's id.
    pub store_host: SocketAddr,
    record_bytes_max: usize,
}

/// How it went with one record of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Placed {
    /// [`Outcome::Pending`] when the writer is gone: the record may be stored or not.
    pub outcome: Outcome,
    pub queue_offset: QueueOffset,
    pub at: LogOffset,
    /// Milliseconds since 1970.
    pub store_timestamp_ms: i64,
}

impl Placed {
    /// Stored, though perhaps not confirmed by the disk in time.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        matches!(self.outcome, Outcome::Stored | Outcome::FlushTimedOut)
    }
}

impl OwnAppends {
    #[must_use]
    pub fn new(
        writer: Addr<CommitlogWriter>,
        backlog_bytes: Arc<AtomicUsize>,
        store_host: SocketAddr,
        config: &BrokerConfig,
    ) -> Self {
        let record_bytes_max = segment_record_bytes_max(config);
        Self { writer, backlog_bytes, store_host, record_bytes_max }
    }

    /// Adds a record at the end of `batch`: in the topic of `entry`, which `record` names, too. `seen` is what
    /// [`scan`](crate::protocol::properties::scan) finds in the record's properties. Set `batch.durable` where the
    /// answer is to wait for the disk.
    ///
    /// # Errors
    /// When it is too large or its topic has no such queue; `batch` is as it was.
    pub fn add(
        &self,
        batch: &mut Batch,
        entry: &TopicEntry,
        (record, seen): (NewRecord<'_>, Seen<'_>),
        code: QueueCode,
    ) -> Result<(), DraftError> {
        let token = Token { call: batch.puts.len() as u64, ..Token::default() };
        let size = Draft { entry, record, seen, code, token }.put(self.record_bytes_max, batch)?;
        entry.counters.count(1, size);
        Ok(())
    }

    /// Hands the batch to the writer, at the call; resolves when it is stored or refused, with a [`Placed`] for each
    /// record in the order in which they were added. Records of one queue keep their order. Records of queues that have
    /// to be opened first are stored after others, and some may be stored where others are refused.
    pub fn append(&self, mut batch: Batch) -> impl Future<Output = Vec<Placed>> + Send + use<> {
        let mut placed = vec![Placed::default(); batch.puts.len()];
        for (number, put) in batch.puts.iter_mut().enumerate() {
            put.token.call = number as u64;
        }
        let (reply, mut answers) = mpsc::unbounded_channel();
        if !batch.puts.is_empty() {
            self.backlog_bytes.fetch_add(batch.bytes.len(), Ordering::Relaxed);
            self.writer.do_send(Append { batch: Box::new(batch), reply: Reply::Waiting(reply) });
        }
        async move {
            // The batch comes back in one part or several; each holds a way to answer until it is done.
            while let Some(part) = answers.recv().await {
                for put in &part.puts {
                    let Some(place) = placed.get_mut(put.token.call as usize) else { continue };
                    *place = Placed {
                        outcome: part.outcome,
                        queue_offset: put.queue_offset,
                        at: put.at,
                        store_timestamp_ms: part.store_timestamp_ms,
                    };
                }
            }
            placed
        }
    }
}

/// A record that was read from the log and was whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    bytes: Bytes,
}

impl StoredRecord {
    /// `None` when `bytes` are no whole record.
    #[must_use]
    pub fn new(bytes: Bytes) -> Option<Self> {
        Record::read(&bytes).is_ok().then_some(Self { bytes })
    }

    /// The same together with what `look` finds in it; `None` also where that finds nothing.
    pub fn read<T>(bytes: Bytes, look: impl FnOnce(&Record<'_>) -> Option<T>) -> Option<(Self, T)> {
        let found = look(&Record::read(&bytes).ok()?)?;
        Some((Self { bytes }, found))
    }

    /// As it is stored.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// Bytes that it has.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Its parts. [`Record::again`] makes a new record of them.
    ///
    /// # Errors
    /// Only when somebody wrote into the log's file meanwhile.
    pub fn parts(&self) -> Result<Record<'_>, RecordError> {
        Record::read(&self.bytes)
    }
}
