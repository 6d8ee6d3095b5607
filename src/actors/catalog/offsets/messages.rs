//! What the owner of the consumer offsets hears.

use std::collections::HashMap;

use actix::prelude::*;

use super::view::{OffsetsView, Progress};
use crate::protocol::names::{Group, QueueId, QueueKey, QueueOffset, Topic};

/// What an offset says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitKind {
    /// All before it is consumed.
    Consumed,
    /// A pull begins there.
    Pulled,
}

/// One offset of one group in one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    pub group: Group,
    pub topic: Topic,
    pub queue: QueueId,
    pub offset: QueueOffset,
    pub kind: CommitKind,
}

/// From a session: all offsets that one read of its socket brought, in order. The caller saw to it that group and topic
/// are there. What consumers commit to a queue with a pending reset is passed over.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Commits(pub Vec<Commit>);

/// Asks how far a group has come in a queue; a pending reset goes before what was committed.
#[derive(Message, Debug)]
#[rtype(result = "Progress")]
pub struct QueryProgress {
    pub group: Group,
    pub topic: Topic,
    pub queue: QueueId,
}

/// Asks for all offsets, or those of one group, one topic, or both.
#[derive(Message, Debug, Default)]
#[rtype(result = "OffsetsView")]
pub struct ViewOffsets {
    pub group: Option<Group>,
    pub topic: Option<Topic>,
}

/// Asks for everything as the file has it, but on one line: the body of request 43.
#[derive(Message, Debug)]
#[rtype(result = "Vec<u8>")]
pub struct EncodeOffsets;

/// From an administrator: the group goes on at these offsets, whatever its consumers commit until each queue's next pull
/// has been told so.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct ResetOffsets {
    pub group: Group,
    pub topic: Topic,
    pub offsets: Vec<(QueueId, QueueOffset)>,
}

/// From a pull that answered with the reset offset: consumers may commit again.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct ResetTold {
    pub group: Group,
    pub queue: QueueKey,
    /// As it was answered; another reset since then stays pending.
    pub offset: QueueOffset,
}

/// From an administrator: `to` goes on in these topics where `from` is now.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct CloneOffsets {
    pub from: Group,
    pub to: Group,
    pub topics: Vec<Topic>,
}

/// From the tree, after recovery and before the first append: no offset may lie beyond its queue's end, or the messages
/// that come next would never be delivered. Queues that are not named keep their offsets. Answers with how many were
/// lowered, once that is on disk.
#[derive(Message, Debug)]
#[rtype(result = "Result<usize, super::super::CatalogError>")]
pub struct Lower {
    pub ends: HashMap<QueueKey, QueueOffset>,
}

/// From the owner of the topics: a topic is gone, and with it what was consumed of it.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct ForgetTopic {
    pub topic: Topic,
}

/// From an administrator who deletes a group with its offsets.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct ForgetGroup {
    pub group: Group,
}
