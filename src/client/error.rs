//! What can go wrong for a producer or consumer, and what to do about it.

use std::time::Duration;

use crate::protocol::code::ResponseCode;
use crate::protocol::names::NameError;
use crate::remoting::error::ChannelError;
use crate::remoting::lookup::LookupError;

/// Why a client could not do what was asked. Cheap to clone: several callers may wait for the same thing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// An option that cannot be used; nothing was started.
    #[error("the client option {option} cannot be used: {reason}")]
    Option { option: &'static str, reason: String },
    /// A topic or group whose name no broker would take.
    #[error("the {kind} name `{name}` cannot be used: {reason}")]
    Name { kind: &'static str, name: String, reason: NameError },
    /// A message that no broker would take; nothing was sent.
    #[error("the message cannot be sent: {0}")]
    Message(MessageError),
    #[error("no name server answers at {addresses}: is it running? start one with `actormq standalone`")]
    NoNameServer { addresses: String, reason: ChannelError },
    /// The name servers have names that cannot be resolved, or the address server does not name them.
    #[error("the name servers are not known: {0}")]
    Lookup(LookupError),
    #[error("topic {topic} does not exist: create it, or check that a broker is running that makes topics by itself")]
    TopicNotFound { topic: String },
    #[error("topic {topic} has no queue that may be {}: check its permissions and that a master broker is running", .access.verb())]
    NoQueue { topic: String, access: Access },
    #[error("broker {broker} is in no route: is it running and registered at the name servers?")]
    NoBroker { broker: String },
    /// An id of a message that no broker can have.
    #[error("the message id `{id}` cannot be used: {reason}")]
    MessageId { id: String, reason: String },
    /// The server understood the request and refused it.
    #[error("{address} refused with {} ({code}): {remark}", ResponseCode::from_number(*code).name())]
    Refused { address: String, code: i32, remark: String },
    /// The whole call took longer than it was allowed to. What was asked may have been done.
    #[error("{what} took longer than {after:?}; last trouble: {trouble}")]
    Timeout { what: &'static str, after: Duration, trouble: String },
    #[error(transparent)]
    Channel(#[from] ChannelError),
    #[error("{address} answered with something that cannot be read: {reason}")]
    Answer { address: String, reason: String },
    /// The queue was not assigned to this consumer, or is no longer.
    #[error("queue {queue} is not assigned to this consumer")]
    NotAssigned { queue: String },
    #[error("group {group} has a consumer in this client already: use another client or another group")]
    GroupTaken { group: String },
    /// Each member's queues are filtered by its own subscription, so messages that only the others want are lost there.
    #[error(
        "group {group} disagrees about topic {topic}: here {ours} is wanted, elsewhere {theirs}; \
         let all members subscribe to the same, or give each subscription a group of its own"
    )]
    Disagreement { group: String, topic: String, ours: String, theirs: String },
    #[error("the client was shut down")]
    ShutDown,
}

/// What a queue is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

impl Access {
    fn verb(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "written",
        }
    }
}

/// What is wrong with a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    #[error("its body is empty")]
    EmptyBody,
    #[error("its body has {bytes} bytes, at most {max} are allowed")]
    BodyTooLong { bytes: usize, max: usize },
    #[error("its property {name:?} is empty or contains one of the control characters 1 and 2")]
    Property { name: String },
    #[error("its properties have {bytes} bytes, at most {max} are allowed")]
    PropertiesTooLong { bytes: usize, max: usize },
    #[error("a batch holds messages of one topic without delays, retries or transactions")]
    Batch,
    #[error("a message with a delay cannot be sent in a transaction")]
    DelayedTransaction,
    #[error("what it answers is no request: it has no property {name}")]
    NoRequest { name: &'static str },
    #[error("its body cannot be compressed: {0}")]
    Compression(String),
}

impl ClientError {
    /// A server answered and said no, or the call itself was wrong; asking again changes nothing.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::TopicNotFound { .. } | Self::NoQueue { .. } | Self::NoBroker { .. })
    }

    /// Nobody answered in time; asking again later may help.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::NoNameServer { .. } | Self::Lookup(_) | Self::Timeout { .. } | Self::Channel(_))
    }
}
