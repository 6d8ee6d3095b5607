//! What the owner of the transactions hears.

use std::collections::HashSet;

use actix::prelude::*;
use tokio::sync::oneshot;

use crate::actors::commitlog_writer::Outcome;
use crate::actors::log::draft::DraftError;
use crate::actors::log::own_appends::StoredRecord;
use crate::protocol::names::{QueueId, QueueOffset, Topic};

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Commit,
    Rollback,
}

impl Verdict {
    /// As a sentence has it.
    #[must_use]
    pub fn past(self) -> &'static str {
        match self {
            Verdict::Commit => "committed",
            Verdict::Rollback => "rolled back",
        }
    }
}

/// Why a transaction was not ended so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndError {
    #[error("the transaction was {} already", .0.past())]
    EndedOtherwise(Verdict),
    /// It is being ended already, or its producer is about to be asked and the answer to that ends it.
    #[error("the transaction is being ended or its producer asked; try again")]
    UnderWay,
    #[error("what was found is no half message: it does not say for which queue of which topic it is")]
    NoTarget,
    #[error("topic[{0}] not exist")]
    TopicGone(Topic),
    #[error("{0}")]
    Draft(#[from] DraftError),
    #[error("the message was not stored: {0:?}")]
    NotStored(Outcome),
    #[error("{0} bytes of ended transactions wait for the disk already")]
    Crowded(usize),
}

/// The wish of a producer to end the transaction of `half`, which was found where the producer said.
#[derive(Debug)]
pub struct End {
    pub half: StoredRecord,
    pub verdict: Verdict,
}

/// How the ends of an [`EndHalves`] went, in their order.
pub type Endings = Vec<Result<(), EndError>>;

/// From a session: all ends that one read of its socket brought. Answered when those messages that are committed are in
/// their topics, and the rollbacks noted.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct EndHalves {
    pub ends: Vec<End>,
    pub reply: oneshot::Sender<Endings>,
}

/// From the check: copies of these half messages of a queue are about to be stored.
#[derive(Message, Debug)]
#[rtype(result = "Movable")]
pub(super) struct Move {
    pub(super) queue: QueueId,
    /// Rising.
    pub(super) offsets: Vec<QueueOffset>,
}

/// Answer to [`Move`]. Of the others each has ended, or has a copy.
#[derive(Debug, Default)]
pub(super) struct Movable {
    /// Nobody ends these until [`Moved`] comes.
    pub(super) free: HashSet<QueueOffset>,
    /// The first of which nobody can tell now whether it will have ended; none behind it is free.
    pub(super) until: Option<QueueOffset>,
}

/// From the check: the half messages of a [`Move`], and where their copies are; `None` for one that was put aside, or
/// stays where it is.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(super) struct Moved {
    pub(super) queue: QueueId,
    pub(super) places: Vec<(QueueOffset, Option<QueueOffset>)>,
}
