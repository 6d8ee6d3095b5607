//! How a push consumer behaves.

use std::path::PathBuf;
use std::time::Duration;

use super::backlog::FlowLimits;
use crate::client::error::ClientError;
use crate::protocol::names::{GROUP_BYTES_MAX, check_name};
use crate::rules::assignment::Strategy;

/// Workers of one consumer at most.
const CONCURRENCY_MAX: usize = 10_000;

/// Where a group begins that has not committed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartFrom {
    /// After the last message. See also [`YoungTopics`].
    #[default]
    Last,
    /// At the first message that is still there.
    First,
    /// At the first message stored at that time or later, ms since 1970.
    Time(i64),
}

/// What a group without commits does with a queue that still holds its very first message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum YoungTopics {
    /// Reads it from there whatever [`StartFrom`] says, so that nothing is missed between a topic's first message and
    /// its first reader: RocketMQ's rule.
    #[default]
    FromTheirStart,
    /// Begins where [`StartFrom`] says.
    AsAsked,
}

/// Who of a group gets a message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum MessageModel {
    /// One of its members; the group's offsets are at the brokers.
    #[default]
    Clustering,
    /// Each of them. Each keeps its own offsets in a file, and what a listener gives back is dropped.
    Broadcasting {
        /// The file is `<clientId>/<group>/offsets.json` in this directory, else in `~/.rocketmq_offsets`. The client id
        /// in it is the machine's address and the client's [`instance`](crate::client::ClientOptions::instance), else
        /// `DEFAULT`, as RocketMQ has it: two consumers of one group on one machine need instances or directories of
        /// their own.
        directory: Option<PathBuf>,
    },
}

/// Options of a [`PushConsumer`](crate::client::PushConsumer). The defaults are RocketMQ's.
#[derive(Debug, Clone)]
pub struct PushOptions {
    /// The consumers that share the work; all of them must subscribe to the same.
    pub group: String,
    pub model: MessageModel,
    pub start_from: StartFrom,
    pub young_topics: YoungTopics,
    /// How queues are shared out; the same for all members.
    pub strategy: Strategy,
    /// Listeners that run at once.
    pub concurrency: usize,
    /// Most messages that a listener gets at once.
    pub consume_batch: usize,
    /// Most messages that are asked of a broker at once.
    pub pull_batch: u16,
    /// When pulling of a queue pauses.
    pub flow: FlowLimits,
    /// How often offsets are committed.
    pub commit_interval: Duration,
    /// What happens with messages that a listener does not consume.
    pub retry: Retry,
    /// How long [`PushConsumer::shutdown`](crate::client::PushConsumer::shutdown) waits for listeners that run.
    pub patience: Duration,
}

/// What happens with messages that a listener does not consume. The defaults are RocketMQ's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Deliveries after the first before a message is a dead letter; `None` for what the broker has for the group, which is
    /// 16 unless somebody changed it. A consumer in order then tries without end.
    pub max_reconsume_times: Option<u16>,
    /// How long a listener may have messages: then the group gets them again, whatever comes of it. Not looked at in order.
    pub consume_timeout: Duration,
    /// Wait before messages that a listener gave back come again here, when no broker takes them back.
    pub delay: Duration,
    /// In order: wait before messages that a listener gave back come again in place.
    pub suspend: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_reconsume_times: None,
            consume_timeout: Duration::from_secs(15 * 60),
            delay: Duration::from_secs(5),
            suspend: Duration::from_secs(1),
        }
    }
}

impl PushOptions {
    #[must_use]
    pub fn new(group: impl Into<String>) -> Self {
        Self {
            group: group.into(),
            model: MessageModel::default(),
            start_from: StartFrom::default(),
            young_topics: YoungTopics::default(),
            strategy: Strategy::default(),
            concurrency: 20,
            consume_batch: 1,
            pull_batch: 32,
            flow: FlowLimits::default(),
            commit_interval: Duration::from_secs(5),
            retry: Retry::default(),
            patience: Duration::from_secs(10),
        }
    }

    pub(in crate::client) fn broadcasts(&self) -> bool {
        self.model != MessageModel::Clustering
    }

    pub(in crate::client) fn check(&self) -> Result<(), ClientError> {
        let named = check_name(&self.group, GROUP_BYTES_MAX);
        named.map_err(|reason| ClientError::Name { kind: "group", name: self.group.clone(), reason })?;
        let wrong = |option, reason: String| Err(ClientError::Option { option, reason });
        if !(1..=CONCURRENCY_MAX).contains(&self.concurrency) {
            return wrong("concurrency", format!("it is {}, 1 to {CONCURRENCY_MAX} are allowed", self.concurrency));
        }
        if self.consume_batch == 0 || self.pull_batch == 0 || self.commit_interval.is_zero() {
            return wrong("consume_batch, pull_batch or commit_interval", "it is zero".to_owned());
        }
        if self.retry.consume_timeout.is_zero() {
            return wrong("retry.consume_timeout", "it is zero: every message would come again".to_owned());
        }
        if self.flow.messages == 0 || self.flow.bytes == 0 || self.flow.span <= 0 {
            return wrong("flow", "a limit is zero: nothing would ever be pulled".to_owned());
        }
        Ok(())
    }
}
