//! Headers of looking for messages: 12, 33, 321.

use serde::{Deserialize, Serialize};

/// Request of QUERY_MESSAGE (12). The ext field `_UNIQUE_KEY_QUERY` beside these tells a unique key from a key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryMessageRequest {
    pub topic: String,
    pub key: String,
    pub max_num: i32,
    /// Milliseconds since 1970.
    pub begin_timestamp: i64,
    /// Milliseconds since 1970.
    pub end_timestamp: i64,
    /// Since 5.4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index_type: Option<String>,
    /// Where the page before ended, since 5.4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_key: Option<String>,
}

/// Answer to QUERY_MESSAGE (12).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryMessageResponse {
    pub index_last_update_timestamp: i64,
    pub index_last_update_phyoffset: i64,
}

/// Request of VIEW_MESSAGE_BY_ID (33).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ViewMessageRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Position in the commit log.
    pub offset: i64,
}

/// Request of QUERY_CONSUME_QUEUE (321).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryConsumeQueueRequest {
    pub topic: String,
    pub queue_id: i32,
    pub index: i64,
    pub count: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer_group: Option<String>,
}
