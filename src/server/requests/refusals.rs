//! What the errors of the rooms below are to a client: the one place where they become response codes.

use super::Refusal;
use crate::actors::catalog::groups::GroupError;
use crate::actors::catalog::topics::TopicError;
use crate::actors::door::Closed;
use crate::actors::log::doors::QueueError;
use crate::protocol::body::DecodeError;
use crate::protocol::code::ResponseCode;

impl From<Closed> for Refusal {
    fn from(_: Closed) -> Self {
        Refusal::new(ResponseCode::ServiceNotAvailable, "the broker is starting, stopping or mending itself; try again")
    }
}

impl From<QueueError> for Refusal {
    fn from(error: QueueError) -> Self {
        let code = match error {
            QueueError::Unavailable => ResponseCode::ServiceNotAvailable,
            QueueError::Read(_) => ResponseCode::SystemError,
        };
        Refusal::new(code, error.to_string())
    }
}

impl From<TopicError> for Refusal {
    fn from(error: TopicError) -> Self {
        let code = match error {
            TopicError::NotInheritable { .. } => ResponseCode::TopicNotExist,
            TopicError::BeingDeleted { .. } => ResponseCode::ServiceNotAvailable,
            TopicError::TooManyQueues { .. } => ResponseCode::InvalidParameter,
            TopicError::TooManyTopics { .. }
            | TopicError::OutOfSlots { .. }
            | TopicError::Unsaved
            | TopicError::Attribute(_) => ResponseCode::SystemError,
        };
        Refusal::new(code, error.to_string())
    }
}

impl From<GroupError> for Refusal {
    fn from(error: GroupError) -> Self {
        let code = match error {
            GroupError::Unknown { .. } => ResponseCode::SubscriptionGroupNotExist,
            GroupError::TooManyGroups { .. }
            | GroupError::TooManyForbidden { .. }
            | GroupError::Attribute { .. }
            | GroupError::LongAttribute { .. } => ResponseCode::SystemError,
        };
        Refusal::new(code, error.to_string())
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        Refusal::new(ResponseCode::SystemError, error.to_string())
    }
}
