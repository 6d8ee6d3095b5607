//! Headers of consumer offsets (14, 15) and of queue ends (29 to 32).

use serde::{Deserialize, Serialize};

/// Request of QUERY_CONSUMER_OFFSET (14).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryConsumerOffsetRequest {
    pub consumer_group: String,
    pub topic: String,
    pub queue_id: i32,
    /// False: answer 22 rather than make up an offset of 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_zero_if_not_found: Option<bool>,
}

/// Answer to QUERY_CONSUMER_OFFSET (14).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryConsumerOffsetResponse {
    pub offset: i64,
}

/// Request of UPDATE_CONSUMER_OFFSET (15); the answer has no fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateConsumerOffsetRequest {
    pub consumer_group: String,
    pub topic: String,
    pub queue_id: i32,
    pub commit_offset: i64,
}

/// Request of SEARCH_OFFSET_BY_TIMESTAMP (29).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SearchOffsetRequest {
    pub topic: String,
    pub queue_id: i32,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// `LOWER` (also when absent) or `UPPER`, in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boundary_type: Option<String>,
}

/// Answer to SEARCH_OFFSET_BY_TIMESTAMP (29).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SearchOffsetResponse {
    pub offset: i64,
}

/// Request of GET_MAX_OFFSET (30).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetMaxOffsetRequest {
    pub topic: String,
    pub queue_id: i32,
    /// True, also when absent: count only what consumers can already see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub committed: Option<bool>,
}

/// Answer to GET_MAX_OFFSET (30).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetMaxOffsetResponse {
    /// One past the last message.
    pub offset: i64,
}

/// Request of GET_MIN_OFFSET (31).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetMinOffsetRequest {
    pub topic: String,
    pub queue_id: i32,
}

/// Answer to GET_MIN_OFFSET (31).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetMinOffsetResponse {
    pub offset: i64,
}

/// Request of GET_EARLIEST_MSG_STORETIME (32).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetEarliestMsgStoretimeRequest {
    pub topic: String,
    pub queue_id: i32,
}

/// Answer to GET_EARLIEST_MSG_STORETIME (32).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetEarliestMsgStoretimeResponse {
    /// Milliseconds since 1970; -1 for an empty queue.
    pub timestamp: i64,
}
