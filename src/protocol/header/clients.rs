//! Headers about connected clients: 35, 38, 40, 203, 204, 307, 309, 328. The heartbeat (34) has no fields.

use serde::{Deserialize, Serialize};

/// Request of UNREGISTER_CLIENT (35); the answer has no fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnregisterClientRequest {
    #[serde(rename = "clientID")]
    pub client_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub producer_group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer_group: Option<String>,
}

/// Request of GET_CONSUMER_LIST_BY_GROUP (38); the list is in the answer's body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetConsumerListByGroupRequest {
    pub consumer_group: String,
}

/// Notice NOTIFY_CONSUMER_IDS_CHANGED (40), broker to consumer, oneway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotifyConsumerIdsChangedRequest {
    pub consumer_group: String,
}

/// Request of GET_CONSUMER_CONNECTION_LIST (203).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetConsumerConnectionListRequest {
    pub consumer_group: String,
}

/// Request of GET_PRODUCER_CONNECTION_LIST (204).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetProducerConnectionListRequest {
    pub producer_group: String,
}

/// Request of GET_CONSUMER_RUNNING_INFO (307), from admin to broker and on to the client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetConsumerRunningInfoRequest {
    pub consumer_group: String,
    pub client_id: String,
    #[serde(default)]
    pub jstack_enable: bool,
}

/// Request of CONSUME_MESSAGE_DIRECTLY (309), from admin to broker and on to the client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumeMessageDirectlyResultRequest {
    pub consumer_group: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub msg_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_sys_flag: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_sys_flag: Option<i32>,
}
