//! What a topic queue hears and tells.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use bytes::Bytes;
use tokio::sync::oneshot;

use crate::actors::catalog::members::Subscription;
use crate::actors::extension::FilterUse;
use crate::actors::log::QueueSlot;
use crate::actors::log::ahead::Share;
use crate::actors::log::doors::{Boundary, QueueEntry, QueueError, QueueRange};
use crate::actors::log::queue_files::RoundId;
use crate::protocol::names::QueueOffset;
use crate::rules::sql;
use crate::store::consume_queue::ENTRY_BYTES;

/// From the parent: new entries, whole, the first of them at `from`.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Entries {
    pub from: QueueOffset,
    pub bytes: Vec<u8>,
    /// What of [`Ahead`] they are.
    ///
    /// [`Ahead`]: crate::actors::log::ahead::Ahead
    pub share: Share,
    /// Everything is to be handed to the queue files then, as part of this round.
    pub round: Option<RoundId>,
}

impl Entries {
    /// Offset after the last of them.
    #[must_use]
    pub fn end(&self) -> QueueOffset {
        self.from + (self.bytes.len() / ENTRY_BYTES) as u64
    }
}

/// How a pull ended, in RocketMQ's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullStatus {
    Found,
    /// Entries were examined, none of them wanted.
    NoMatched,
    /// The queue never had a message.
    Empty,
    /// The offset is the queue's end.
    AtEnd,
    /// The offset lies beyond the queue's end.
    BeyondEnd,
    /// The offset lies before the queue's first message.
    TooSmall,
    /// The queue cannot be read now, or a filter does not answer.
    Failed(String),
    /// A filter does not understand its expression.
    Expression(String),
}

/// Where the answer to a pull goes; cloned for each pull.
pub type PulledTo = Arc<Recipient<Pulled>>;

/// Which messages a pull wants: those that pass all that is here.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// By the codes of its tags.
    pub tags: Option<Arc<Subscription>>,
    /// By its properties.
    pub sql: Option<Arc<sql::Expression>>,
    /// By a custom filter.
    pub custom: Option<Arc<FilterUse>>,
}

impl Wish {
    /// Whether a ConsumeQueue entry says enough.
    #[must_use]
    pub fn needs_records(&self) -> bool {
        self.sql.is_some() || self.custom.is_some()
    }

    /// A message with this tag code may be wanted.
    #[inline]
    #[must_use]
    pub fn wants_code(&self, tag_code: i64) -> bool {
        self.tags.as_ref().is_none_or(|tags| tags.wants_code(tag_code))
    }
}

/// A pull that was checked.
#[derive(Debug, Clone)]
pub struct PullAsk {
    /// As the consumer asks; where it is negative, it lies before the queue's first message.
    pub from: i64,
    /// Messages wanted at most.
    pub count: u32,
    pub wish: Wish,
    /// How long the pull may wait for a message; `None` when it may not.
    pub hold: Option<Duration>,
    /// The session's own; comes back as it was.
    pub token: u64,
    pub reply: PulledTo,
}

impl PullAsk {
    pub(super) fn fail(&self, error: impl ToString) {
        let error = error.to_string();
        tracing::warn!(%error, "a pull could not be served");
        self.reply.do_send(Pulled::without(self, PullStatus::Failed(error), self.again(), QueueRange::default()));
    }

    /// The queue has no actor now: the client is to ask again.
    pub fn unavailable(&self) {
        let status = PullStatus::Failed("the queue is gone or being rebuilt; try again".into());
        self.reply.do_send(Pulled::without(self, status, self.again(), QueueRange::default()));
    }

    /// Where the same pull would begin again.
    fn again(&self) -> QueueOffset {
        u64::try_from(self.from).unwrap_or(0)
    }
}

/// To a session: the answer to a pull.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Pulled {
    pub token: u64,
    pub status: PullStatus,
    /// Where the pull began.
    pub asked: i64,
    /// Where the next pull is to begin.
    pub next: QueueOffset,
    pub range: QueueRange,
    /// Whole records, one after the other.
    pub records: Vec<Bytes>,
    pub messages: u32,
}

impl Pulled {
    /// Whether a message that comes later could still answer the pull.
    pub(super) fn may_wait(&self) -> bool {
        self.status == PullStatus::AtEnd || (self.status == PullStatus::Empty && self.next as i64 == self.asked)
    }

    pub(super) fn without(pull: &PullAsk, status: PullStatus, next: QueueOffset, range: QueueRange) -> Self {
        Pulled { token: pull.token, status, asked: pull.from, next, range, records: Vec::new(), messages: 0 }
    }
}

/// What anybody can want of a queue.
#[derive(Debug)]
pub enum Ask {
    Pull(PullAsk),
    Range(oneshot::Sender<QueueRange>),
    OffsetByTime {
        timestamp_ms: i64,
        boundary: Boundary,
        reply: oneshot::Sender<Result<QueueOffset, QueueError>>,
    },
    StoreTime {
        offset: QueueOffset,
        reply: oneshot::Sender<Result<Option<i64>, QueueError>>,
    },
    /// Perhaps fewer than there are.
    Entries {
        from: QueueOffset,
        count: usize,
        reply: oneshot::Sender<Result<Vec<QueueEntry>, QueueError>>,
    },
}

/// From the parent: somebody asks.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct QueueMessage {
    pub ask: Ask,
}

/// From the parent: nothing happened here for a while. The queue ends if it can.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub struct Retire;

/// To the parent: nobody waits here; `watched` pulls that might have waited were seen until now.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub struct Unwatched {
    pub slot: QueueSlot,
    pub watched: u64,
}

/// To the parent: the writer has let go of the queue, which ends at `end`.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub struct Retired {
    pub slot: QueueSlot,
    pub end: QueueOffset,
}
