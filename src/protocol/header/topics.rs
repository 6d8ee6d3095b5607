//! Headers of topic administration at a broker: 17, 18, 21, 202, 215, 300, 351.

use serde::{Deserialize, Serialize};

/// Request of UPDATE_AND_CREATE_TOPIC (17) and UPDATE_AND_CREATE_STATIC_TOPIC (513).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateTopicRequest {
    pub topic: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_topic: Option<String>,
    pub read_queue_nums: i32,
    pub write_queue_nums: i32,
    /// Bits: 1 inherit, 2 write, 4 read, 8 priority.
    pub perm: i32,
    /// `SINGLE_TAG` or `MULTI_TAG`.
    pub topic_filter_type: String,
    /// Bits: 1 unit, 2 unit subscribers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_sys_flag: Option<i32>,
    #[serde(default)]
    pub order: bool,
    /// `+name=value,-name` list of changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attributes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force: Option<bool>,
}

/// Request of GET_ALL_TOPIC_CONFIG (21); older callers send none of the fields and want all topics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetAllTopicConfigRequest {
    /// The first topic wanted, counted from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_seq: Option<i32>,
    /// DataVersion JSON of the first part; another one since then starts the list anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_topic_num: Option<i32>,
}

/// Answer to GET_ALL_TOPIC_CONFIG (21).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetAllTopicConfigResponse {
    pub total_topic_num: i32,
}

/// Request of GET_TOPIC_STATS_INFO (202).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetTopicStatsInfoRequest {
    pub topic: String,
}

/// Request of DELETE_TOPIC_IN_BROKER (215).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeleteTopicRequest {
    pub topic: String,
}

/// Request of QUERY_TOPIC_CONSUME_BY_WHO (300).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryTopicConsumeByWhoRequest {
    pub topic: String,
}

/// Request of GET_TOPIC_CONFIG (351).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetTopicConfigRequest {
    pub topic: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lo: Option<bool>,
}
