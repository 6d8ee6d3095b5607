//! Locks of queues for consumption in order: 41 and 42.

use serde::{Deserialize, Serialize};

use super::bodies;
use super::queue::MessageQueue;

/// Request of LOCK_BATCH_MQ (41) and of UNLOCK_BATCH_MQ (42), whose answer has no body.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LockBatchRequest {
    pub client_id: String,
    pub consumer_group: String,
    pub mq_set: Vec<MessageQueue>,
    /// Other replicas of the broker are not to be asked.
    pub only_this_broker: bool,
}

/// Answer to LOCK_BATCH_MQ (41): the queues that are the client's now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LockBatchResponse {
    #[serde(rename = "lockOKMQSet")]
    pub locked: Vec<MessageQueue>,
}

bodies! {
    LockBatchRequest = "batch of locks";
    LockBatchResponse = "batch of held locks";
}
