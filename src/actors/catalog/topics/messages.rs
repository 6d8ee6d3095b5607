//! What the topics' owner hears and tells.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;

use super::TOPICS_MAX;
use super::table::{SLOTS_MAX, TOPIC_QUEUES_MAX, TopicConfig, TopicEntry};
use crate::actors::log::doors::QueueError;
use crate::protocol::body::version::DataVersion;
use crate::protocol::names::Topic;

/// How long whoever makes a topic waits for a name server to hear of it, at most: less than a client waits for an answer.
pub const ANNOUNCING_MAX: Duration = Duration::from_secs(1);

/// Why a topic was not made or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// The topic that a new one is to be cut from is not there or is not to be inherited from.
    #[error("topic[{topic}] not exist, apply first please!")]
    NotInheritable { topic: Topic },
    /// Its last incarnation's queues are still there; ask again.
    #[error("topic[{topic}] is being deleted")]
    BeingDeleted { topic: Topic },
    #[error("a topic of {queues} queues, at most {TOPIC_QUEUES_MAX} are allowed")]
    TooManyQueues { queues: u32 },
    #[error("this broker has {topics} topics, at most {TOPICS_MAX} are allowed")]
    TooManyTopics { topics: usize },
    #[error("this broker gave out {slots} queue numbers since it started, at most {SLOTS_MAX} are allowed")]
    OutOfSlots { slots: u32 },
    /// It would not outlive a crash.
    #[error("the list of topics could not be saved, see the broker's log; ask again")]
    Unsaved,
    /// RocketMQ's remark about an attribute.
    #[error("{0}")]
    Attribute(String),
}

/// From a session that was asked to send to a topic that is not there: make it by the rule of the default topic.
/// Answers with the entry that is there already when another was faster. A new topic's answer comes when it is in the file,
/// so that no crash takes it back, and when the name servers know it, or [`ANNOUNCING_MAX`] is over: so the one who asked
/// finds its route.
#[derive(Message, Debug)]
#[rtype(result = "Result<Arc<TopicEntry>, TopicError>")]
pub struct CreateAtSend {
    pub topic: Topic,
    /// As the client gave it, mostly `TBW102`.
    pub default_topic: String,
    /// As many as the client wants; a negative number is none.
    pub queues: i32,
    pub sys_flag: i32,
    pub client: SocketAddr,
}

/// From whoever needs a topic that RocketMQ derives, `%RETRY%` or `%DLQ%`: make it unless it is there. One that is there
/// becomes an order topic when the wish is one; nothing else changes. Answered as [`CreateAtSend`] is.
#[derive(Message, Debug)]
#[rtype(result = "Result<Arc<TopicEntry>, TopicError>")]
pub struct EnsureTopic {
    pub config: TopicConfig,
}

/// From an administrator: make these topics, or give those that are there this configuration. Attributes are changes:
/// `+name` sets, `-name` removes. All or none; of two for one topic the last counts. Answered as [`CreateAtSend`] is.
#[derive(Message, Debug)]
#[rtype(result = "Result<(), TopicError>")]
pub struct UpdateTopics {
    pub topics: Vec<TopicConfig>,
}

/// From an administrator: the topic, its queues and the offsets of its consumers go, also when only leftovers of it are
/// there. The answer comes when all are gone; they go too when nobody waits for it.
#[derive(Message, Debug)]
#[rtype(result = "Result<(), QueueError>")]
pub struct DeleteTopic {
    pub topic: Topic,
}

/// From the registration: the name server's order configuration names these topics.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct OrderTopics {
    pub topics: Vec<String>,
}

/// Asks for all topics and the version that they have together.
#[derive(Message, Debug)]
#[rtype(result = "TopicList")]
pub struct ListTopics;

/// All topics, by rising name.
#[derive(Debug, Clone, MessageResponse)]
pub struct TopicList {
    pub version: DataVersion,
    pub topics: Vec<Arc<TopicEntry>>,
}

/// From the tree: tell the registration of changes from now on.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Announce {
    pub to: Recipient<TopicsChanged>,
}

/// From whoever changed a setting that every topic's route shows, as the broker's permission: count it as a change. Answered
/// as [`CreateAtSend`] is.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Renew;

/// To the registration, after each change.
#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
pub struct TopicsChanged {
    pub version: DataVersion,
    /// Made or changed; none and none deleted: a setting that all topics show changed.
    pub changed: Vec<Arc<TopicEntry>>,
    pub deleted: Vec<Topic>,
    /// Dropped when no name server that can be reached has to hear of it any more.
    pub told: Telling,
}

/// Held while something is being told; whoever made it hears of the last one's drop.
pub type Telling = Arc<oneshot::Sender<()>>;

/// Resolves when a change is told.
pub(super) struct Announced {
    told: oneshot::Receiver<()>,
    limit: Duration,
}

impl Announced {
    pub(super) fn new(timeout_ms: u32) -> (Telling, Self) {
        let (telling, told) = oneshot::channel();
        let limit = Duration::from_millis(timeout_ms.into()).min(ANNOUNCING_MAX);
        (Arc::new(telling), Self { told, limit })
    }

    /// Comes back with `result` when the change is told, or the time for it is over.
    pub(super) async fn then<T>(self, result: T) -> T {
        // Told and dropped is the same.
        let _ = tokio::time::timeout(self.limit, self.told).await;
        result
    }
}
