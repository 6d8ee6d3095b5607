//! How a producer behaves, and where a message goes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::client::error::ClientError;
use crate::client::message::BODY_BYTES_MAX;
use crate::protocol::compression::Compression;
use crate::protocol::names::{GROUP_BYTES_MAX, check_name};
use crate::rules::assignment::MessageQueue;

/// Options of a [`Producer`](crate::client::Producer). The defaults are RocketMQ's.
#[derive(Debug, Clone)]
pub struct ProducerOptions {
    /// Names the producers that do the same work; brokers ask one of them about a transaction.
    pub group: String,
    /// For a whole send: routes, all tries, the answer.
    pub send_timeout: Duration,
    /// Longest wait for one broker's answer while there are tries left; `None` for as long as the whole send may take.
    pub try_timeout: Option<Duration>,
    /// Further tries of a message that may go to any queue, each at another broker where there is one.
    pub retries: usize,
    /// Further tries of a message whose queue was chosen, at the same broker, when no answer came. A refusal stands.
    pub retries_in_place: usize,
    /// Bodies of at least so many bytes are compressed; `usize::MAX` for none.
    pub compress_from_bytes: usize,
    pub compression: Compression,
    /// 0 to 9 for zlib, 1 to 22 for zstd; LZ4 has none.
    pub compression_level: i32,
    /// Leaves brokers out for a while that were slow or failed: RocketMQ's `sendLatencyFaultEnable`.
    pub avoid_slow_brokers: bool,
    /// Sends travel together where several are under way; `None` for each on its own.
    pub gather: Option<Gather>,
    /// Topic to which the story of each message is written, as RocketMQ's `enableMsgTrace` has it:
    /// [`TRACE_TOPIC`](crate::client::TRACE_TOPIC) is the usual one. `None` for no stories.
    pub trace: Option<String>,
}

/// How sends are gathered into batches, for each topic and chosen queue. Each send keeps its own receipt.
///
/// A batch leaves when it is full, when its first message has waited for `linger`, and, with `when_idle`, as soon as
/// nothing of its kind is under way, so that a lone message never waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gather {
    /// Longest wait of a message for others.
    pub linger: Duration,
    /// A batch of so many bytes leaves. A message of that size travels alone.
    pub bytes: usize,
    /// Bytes that are gathered or under way in batches at once; beyond them each message travels alone.
    pub held_bytes: usize,
    pub when_idle: bool,
}

impl Default for Gather {
    /// RocketMQ's numbers: 10 ms, 32 KiB, 32 MiB.
    fn default() -> Self {
        Self { linger: Duration::from_millis(10), bytes: 32 * 1024, held_bytes: 32 * 1024 * 1024, when_idle: true }
    }
}

impl ProducerOptions {
    #[must_use]
    pub fn new(group: impl Into<String>) -> Self {
        Self {
            group: group.into(),
            send_timeout: Duration::from_secs(3),
            try_timeout: None,
            retries: 2,
            retries_in_place: 2,
            compress_from_bytes: 4096,
            compression: Compression::Zlib,
            compression_level: 5,
            avoid_slow_brokers: false,
            gather: None,
            trace: None,
        }
    }

    pub(in crate::client) fn check(&self) -> Result<(), ClientError> {
        let named = check_name(&self.group, GROUP_BYTES_MAX);
        named.map_err(|reason| ClientError::Name { kind: "group", name: self.group.clone(), reason })?;
        let wrong = |option, reason: &str| Err(ClientError::Option { option, reason: reason.to_owned() });
        if self.send_timeout.is_zero() || self.try_timeout.is_some_and(|timeout| timeout.is_zero()) {
            return wrong("send_timeout or try_timeout", "it is zero: no broker could answer in time");
        }
        match &self.gather {
            Some(gather) if gather.bytes == 0 || gather.bytes > BODY_BYTES_MAX => {
                wrong("gather.bytes", "it is zero or more than a broker takes at once (4 MiB)")
            }
            _ => Ok(()),
        }
    }
}

/// Which queue a message goes to.
#[derive(Clone, Copy)]
pub enum Target<'a> {
    /// Each in turn; another broker's when one fails.
    Any,
    /// This one; never another.
    Queue(&'a MessageQueue),
    /// Always the same for the same key, as long as the topic's queues stay the same; never another.
    Key(&'a str),
    /// The one at the index that this function gives for the topic's sorted queues, modulo their number; never another.
    Select(&'a (dyn Fn(&[Arc<MessageQueue>]) -> usize + Sync)),
}

impl fmt::Debug for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("Any"),
            Self::Queue(queue) => f.debug_tuple("Queue").field(queue).finish(),
            Self::Key(key) => f.debug_tuple("Key").field(key).finish(),
            Self::Select(_) => f.debug_tuple("Select").finish_non_exhaustive(),
        }
    }
}
