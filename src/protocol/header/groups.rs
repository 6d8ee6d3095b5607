//! Headers of consumer group administration at a broker: 201, 207, 208, 220 to 223, 303, 308, 314, 317, 343, 345,
//! 352, 353. Creating a group (200) has only a body.

use serde::{Deserialize, Serialize};

/// Request of GET_ALL_SUBSCRIPTIONGROUP_CONFIG (201); older callers send none of the fields and want all
/// groups.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetAllSubscriptionGroupRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_seq: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_group_num: Option<i32>,
}

/// Answer to GET_ALL_SUBSCRIPTIONGROUP_CONFIG (201).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetAllSubscriptionGroupResponse {
    pub total_group_num: i32,
}

/// Request of DELETE_SUBSCRIPTIONGROUP (207).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeleteSubscriptionGroupRequest {
    pub group_name: String,
    /// Its offsets go too.
    #[serde(default)]
    pub clean_offset: bool,
}

/// Request of GET_CONSUME_STATS (208).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetConsumeStatsRequest {
    pub consumer_group: String,
    /// Absent or empty: every topic of the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Several topics in place of one, since 5.4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_list: Option<String>,
}

/// Request of INVOKE_BROKER_TO_RESET_OFFSET (222) and of the notice RESET_CONSUMER_CLIENT_OFFSET (220).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResetOffsetRequest {
    pub group: String,
    pub topic: String,
    /// Absent or -1: every queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_id: Option<i32>,
    /// Goes before `timestamp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// Milliseconds since 1970; -1: the end of the queue.
    #[serde(default)]
    pub timestamp: i64,
    /// Forwards too, not only backwards.
    #[serde(default)]
    pub is_force: bool,
}

/// Request of INVOKE_BROKER_TO_GET_CONSUMER_STATUS (223) and GET_CONSUMER_STATUS_FROM_CLIENT (221).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetConsumerStatusRequest {
    pub topic: String,
    pub group: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_addr: Option<String>,
}

/// Request of QUERY_CONSUME_TIME_SPAN (303).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryConsumeTimeSpanRequest {
    pub topic: String,
    pub group: String,
}

/// Request of QUERY_CORRECTION_OFFSET (308).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryCorrectionOffsetRequest {
    /// Groups joined by commas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter_groups: Option<String>,
    pub compare_group: String,
    pub topic: String,
}

/// Request of CLONE_GROUP_OFFSET (314).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CloneGroupOffsetRequest {
    pub src_group: String,
    pub dest_group: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    #[serde(default)]
    pub offline: bool,
}

/// Request of GET_BROKER_CONSUME_STATS (317).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetConsumeStatsInBrokerRequest {
    #[serde(default)]
    pub is_order: bool,
}

/// Request of QUERY_TOPICS_BY_CONSUMER (343).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryTopicsByConsumerRequest {
    pub group: String,
}

/// Request of QUERY_SUBSCRIPTION_BY_CONSUMER (345).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QuerySubscriptionByConsumerRequest {
    pub group: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
}

/// Request of GET_SUBSCRIPTIONGROUP_CONFIG (352).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetSubscriptionGroupConfigRequest {
    pub group: String,
}

/// Request of UPDATE_AND_GET_GROUP_FORBIDDEN (353).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateGroupForbiddenRequest {
    pub group: String,
    pub topic: String,
    /// Absent: only look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readable: Option<bool>,
}
