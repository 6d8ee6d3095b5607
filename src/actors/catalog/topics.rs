//! Topics of this broker.
//!
//! Owns: the configuration of every topic, the numbers of their queues, `config/topics.json`.
//! Hears: [`CreateAtSend`], [`EnsureTopic`], [`UpdateTopics`], [`DeleteTopic`], [`OrderTopics`], [`ListTopics`], `Stop`.
//! Tells: [`TopicsChanged`] to the registration.
//! Publishes: [`TopicTable`].
//!
//! Invariants: queue numbers are dense from 0, one for each queue of each incarnation of a topic, never given twice; a
//! queue keeps its number while its topic lives, also when the topic shrinks and grows again; the file follows a change
//! within a second.

mod table;

use std::net::SocketAddr;
use std::sync::Arc;

use actix::prelude::*;

pub use self::table::{
    PERM_INHERIT, PERM_READ, PERM_WRITE, TOPIC_QUEUES_MAX, TopicConfig, TopicEntry, TopicFilter, TopicTable,
};
use super::data_version::DataVersion;
use crate::protocol::names::Topic;

/// Why a topic was not made or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// The topic that a new one is to be cut from is not there or is not to be inherited from.
    #[error("topic[{topic}] not exist, apply first please!")]
    NotInheritable { topic: Topic },
    #[error("a topic of {queues} queues, at most {TOPIC_QUEUES_MAX} are allowed")]
    TooManyQueues { queues: i64 },
    #[error("this broker has {topics} topics and takes no more")]
    TooManyTopics { topics: usize },
    #[error("this broker has given out {slots} queue numbers since its start and has no more")]
    OutOfSlots { slots: u32 },
    #[error("{0}")]
    Attribute(String),
}

/// From a session that was asked to send to a topic that is not there: make it by the rule of the default topic.
/// Answers with the entry that is there already when another was faster.
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

/// From whoever needs a topic that RocketMQ derives, `%RETRY%` or `%DLQ%`: make it unless it is there.
#[derive(Message, Debug)]
#[rtype(result = "Result<Arc<TopicEntry>, TopicError>")]
pub struct EnsureTopic {
    pub config: TopicConfig,
}

/// From an administrator: make these topics, or give those that are there this configuration. Attributes are changes:
/// `+name` sets, `-name` removes. All or none.
#[derive(Message, Debug)]
#[rtype(result = "Result<(), TopicError>")]
pub struct UpdateTopics {
    pub topics: Vec<TopicConfig>,
}

/// From an administrator. Answers with the entry that was there.
#[derive(Message, Debug)]
#[rtype(result = "Option<Arc<TopicEntry>>")]
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

/// To the registration, after each change.
#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
pub struct TopicsChanged {
    pub version: DataVersion,
    /// Made or changed.
    pub changed: Vec<Arc<TopicEntry>>,
    pub deleted: Vec<Topic>,
}
