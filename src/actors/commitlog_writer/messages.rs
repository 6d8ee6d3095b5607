//! What the writer hears and tells.

use std::sync::Arc;
use std::time::Instant;

use actix::prelude::*;
use tokio::sync::mpsc;

use crate::actors::log::QueueSlot;
use crate::protocol::names::{LogOffset, QueueKey, QueueOffset, Topic};
use crate::protocol::record::Record;

/// What a sender wants to find again when its record comes back; the writer does not look at it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Token {
    pub call: u64,
    /// The queue that the sender named, where the record lies in another.
    pub queue: u32,
    /// A part of the record: its start within the record and its length.
    pub part: (u32, u32),
}

/// One record of a batch.
#[derive(Debug, Clone, Default)]
pub struct Put {
    pub slot: QueueSlot,
    /// Where the record lies in [`Batch::bytes`].
    pub start: u32,
    pub size: u32,
    /// Where in the record the store timestamp goes.
    pub timestamp_at: u8,
    /// Hashes in [`Batch::keys`] that are this record's.
    pub keys: u8,
    /// False for a record that no queue holds: its queue offset is 0.
    pub queued: bool,
    /// The tag code is a delay in ms, to which the writer adds the store time.
    pub due: bool,
    pub tag_code: i64,
    /// The sender's own; comes back as it was.
    pub token: Token,
    /// Given by the writer.
    pub queue_offset: QueueOffset,
    /// Given by the writer.
    pub at: LogOffset,
}

/// How an append ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Outcome {
    #[default]
    Pending,
    Stored,
    /// Stored, but the disk did not confirm in time.
    FlushTimedOut,
    /// Not stored: the disk is full or fails.
    NoSpace,
    /// Not stored: the queue cannot be opened now.
    QueueUnavailable,
    /// Not stored: the topic was deleted meanwhile.
    TopicGone,
    /// Not stored: the broker stops.
    Stopping,
}

/// Records that travel together: encoded one after the other but for what only the writer can fill in.
#[derive(Debug, Default)]
pub struct Batch {
    pub bytes: Vec<u8>,
    /// By rising `start`, without gaps.
    pub puts: Vec<Put>,
    /// Hashes of the records' keys, in the records' order.
    pub keys: Vec<u32>,
    /// The answer waits for the disk where the broker flushes before it answers.
    pub durable: bool,
    pub outcome: Outcome,
    /// Given by the writer, ms.
    pub store_timestamp_ms: i64,
    /// When the sender handed it over; comes back as it was.
    pub taken_at: Option<Instant>,
}

impl Batch {
    /// The queue of the first record, read from its bytes.
    pub(super) fn first_key(&self) -> Option<QueueKey> {
        let record = Record::read(&self.bytes).ok()?;
        Some(QueueKey { topic: Topic::new(record.topic).ok()?, queue: record.queue })
    }

    /// Takes the records out for which `out` is true: a batch for each of their queues. The rest stays, without gaps.
    pub(super) fn split_off(&mut self, out: impl Fn(&Put) -> bool) -> Vec<(QueueSlot, Box<Batch>)> {
        let mut parts: Vec<(QueueSlot, Box<Batch>)> = Vec::new();
        let mut rest = Batch { durable: self.durable, ..Batch::default() };
        let mut hashes = self.keys.iter();
        for put in &self.puts {
            let target = if !out(put) {
                &mut rest
            } else if let Some(at) = parts.iter().position(|(slot, _)| *slot == put.slot) {
                &mut parts[at].1
            } else {
                parts.push((put.slot, Box::new(Batch { durable: self.durable, ..Batch::default() })));
                let last = parts.len() - 1;
                &mut parts[last].1
            };
            let record = &self.bytes[put.start as usize..(put.start + put.size) as usize];
            target.puts.push(Put { start: target.bytes.len() as u32, ..put.clone() });
            target.bytes.extend_from_slice(record);
            target.keys.extend(hashes.by_ref().take(usize::from(put.keys)));
        }
        *self = rest;
        parts
    }
}

/// Where answers to appends go; cloned for each append.
#[derive(Debug, Clone)]
pub enum Reply {
    Session(Arc<Recipient<Appended>>),
    /// Somebody waits until all parts of a batch are answered, and all copies of this so gone.
    Waiting(mpsc::UnboundedSender<Box<Batch>>),
}

impl Reply {
    #[must_use]
    pub fn to(session: Recipient<Appended>) -> Self {
        Reply::Session(Arc::new(session))
    }

    pub(super) fn tell(&self, batch: Box<Batch>) {
        match self {
            Reply::Session(session) => session.do_send(Appended { batch }),
            // Whoever does not wait any more does not want to know.
            Reply::Waiting(waiting) => drop(waiting.send(batch)),
        }
    }
}

/// From a session, once for all sends of a socket read. `batch.puts` is never empty.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Append {
    pub batch: Box<Batch>,
    pub reply: Reply,
}

/// To the sender: the batch, or the part of it that is done, with its numbers and its outcome.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Appended {
    pub batch: Box<Batch>,
}

/// What a ConsumeQueue has to know of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice {
    pub slot: QueueSlot,
    pub size: u32,
    pub queue_offset: QueueOffset,
    pub at: LogOffset,
    pub tag_code: i64,
}

impl From<&Put> for Notice {
    fn from(put: &Put) -> Self {
        Notice { slot: put.slot, size: put.size, queue_offset: put.queue_offset, at: put.at, tag_code: put.tag_code }
    }
}

/// From the queues: where `slot` goes on, or why it cannot be told.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct QueueOpened {
    pub slot: QueueSlot,
    pub next: Result<QueueOffset, String>,
}

/// From an idle queue that holds everything up to `end` on disk: may it go? False when there is more to come.
#[derive(Message, Debug)]
#[rtype(result = "bool")]
pub struct CloseQueue {
    pub slot: QueueSlot,
    pub end: QueueOffset,
}

/// From whoever deletes a topic: nothing is to be written to these queues any more. Answers with the end of the log, below
/// which all their records lie.
#[derive(Message, Debug)]
#[rtype(result = "LogOffset")]
pub struct Forget {
    pub slots: Vec<QueueSlot>,
}
