//! Headers of what a name server serves: 100 to 105, 205, 216, 217, 219, 224, 322, 327, 901, 904.

use serde::{Deserialize, Serialize};

/// Request of PUT_KV_CONFIG (100).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PutKvConfigRequest {
    pub namespace: String,
    pub key: String,
    pub value: String,
}

/// Request of GET_KV_CONFIG (101).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetKvConfigRequest {
    pub namespace: String,
    pub key: String,
}

/// Answer to GET_KV_CONFIG (101).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetKvConfigResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// Request of DELETE_KV_CONFIG (102).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeleteKvConfigRequest {
    pub namespace: String,
    pub key: String,
}

/// Request of REGISTER_BROKER (103).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegisterBrokerRequest {
    pub broker_name: String,
    pub broker_addr: String,
    pub cluster_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ha_server_addr: Option<String>,
    pub broker_id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat_timeout_millis: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_acting_master: Option<bool>,
    /// The body is one zlib stream.
    #[serde(default)]
    pub compressed: bool,
    /// CRC-32 of the body without its top bit; 0: not given.
    #[serde(default)]
    pub body_crc32: i32,
}

/// Answer to REGISTER_BROKER (103).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegisterBrokerResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ha_server_addr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master_addr: Option<String>,
}

/// Request of UNREGISTER_BROKER (104).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnregisterBrokerRequest {
    pub broker_name: String,
    pub broker_addr: String,
    pub cluster_name: String,
    pub broker_id: i64,
}

/// Request of GET_ROUTEINFO_BY_TOPIC (105).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetRouteInfoRequest {
    pub topic: String,
    /// True: the keys of `brokerAddrs` in quotes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accept_standard_json_only: Option<bool>,
}

/// Ext fields of the answer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetRouteInfoResponse {
    /// Ours: requests to this name server may have MessagePack headers. Other clients pass over what they do not know.
    #[serde(rename = "MESSAGE_PACK", default)]
    pub message_pack: bool,
}

/// Request of WIPE_WRITE_PERM_OF_BROKER (205).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WipeWritePermOfBrokerRequest {
    pub broker_name: String,
}

/// Answer to WIPE_WRITE_PERM_OF_BROKER (205).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WipeWritePermOfBrokerResponse {
    pub wipe_topic_count: i32,
}

/// Request of ADD_WRITE_PERM_OF_BROKER (327).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddWritePermOfBrokerRequest {
    pub broker_name: String,
}

/// Answer to ADD_WRITE_PERM_OF_BROKER (327).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddWritePermOfBrokerResponse {
    pub add_topic_count: i32,
}

/// Request of DELETE_TOPIC_IN_NAMESRV (216).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeleteTopicFromNamesrvRequest {
    pub topic: String,
    /// Absent or empty: in every cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_name: Option<String>,
}

/// Request of REGISTER_TOPIC_IN_NAMESRV (217).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegisterTopicRequest {
    pub topic: String,
}

/// Request of GET_KVLIST_BY_NAMESPACE (219).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetKvListByNamespaceRequest {
    pub namespace: String,
}

/// Request of GET_TOPICS_BY_CLUSTER (224).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetTopicsByClusterRequest {
    pub cluster: String,
}

/// Request of QUERY_DATA_VERSION (322); the version asked about is in the body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryDataVersionRequest {
    pub broker_name: String,
    pub broker_addr: String,
    pub cluster_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_id: Option<i64>,
}

/// Answer to QUERY_DATA_VERSION (322).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryDataVersionResponse {
    pub changed: bool,
}

/// Request of GET_BROKER_MEMBER_GROUP (901).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetBrokerMemberGroupRequest {
    pub cluster_name: String,
    pub broker_name: String,
}

/// Request of BROKER_HEARTBEAT (904), oneway to a name server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BrokerHeartbeatRequest {
    pub cluster_name: String,
    pub broker_addr: String,
    pub broker_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_offset: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirm_offset: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat_timeout_mills: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub election_priority: Option<i32>,
}
