//! Connected clients: heartbeats (34), members of a group (38, 203, 204, 328), subscriptions (46, 345).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::bodies;
use crate::protocol::code::Language;

/// Request of HEART_BEAT (34): every group that a client takes part in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeartbeatData {
    #[serde(rename = "clientID")]
    pub client_id: String,
    pub consumer_data_set: Vec<ConsumerData>,
    /// The client's own digest of its subscriptions; 0 from clients that send them every time.
    pub heartbeat_fingerprint: i32,
    pub producer_data_set: Vec<ProducerData>,
    /// The subscriptions are those that came with the same fingerprint before.
    pub without_sub: bool,
}

/// A client's part in a producer group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerData {
    pub group_name: String,
}

/// A client's part in a consumer group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerData {
    pub consume_from_where: Option<ConsumeFromWhere>,
    pub consume_type: Option<ConsumeType>,
    pub group_name: String,
    pub message_model: Option<MessageModel>,
    pub subscription_data_set: Vec<SubscriptionData>,
    pub unit_mode: bool,
}

/// What a group wants of a topic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionData {
    pub class_filter_mode: bool,
    /// Hashes of the tags by the client's account; some clients' are wrong.
    pub code_set: Vec<i32>,
    /// `TAG` or `SQL92`; absent means `TAG`.
    pub expression_type: Option<String>,
    pub sub_string: String,
    /// Grows with each change; milliseconds since 1970 of the change.
    pub sub_version: i64,
    /// Empty for every tag, and for SQL92.
    pub tags_set: Vec<String>,
    pub topic: String,
}

/// How messages reach a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConsumeType {
    /// Pull.
    ConsumeActively,
    /// Push.
    ConsumePassively,
    ConsumePop,
}

/// Who of a group gets a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MessageModel {
    Broadcasting,
    Clustering,
    LiteSelective,
}

/// Where a new group begins. Three of the names are long out of use, but still sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConsumeFromWhere {
    ConsumeFromLastOffset,
    ConsumeFromLastOffsetAndFromMinWhenBootFirst,
    ConsumeFromMinOffset,
    ConsumeFromMaxOffset,
    ConsumeFromFirstOffset,
    ConsumeFromTimestamp,
}

/// Answer to GET_CONSUMER_LIST_BY_GROUP (38): client ids.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerList {
    pub consumer_id_list: Vec<String>,
}

/// One connected client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// `ip:port`.
    pub client_addr: String,
    pub client_id: String,
    pub language: Option<Language>,
    #[serde(default)]
    pub version: i32,
}

/// Answer to GET_CONSUMER_CONNECTION_LIST (203).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerConnection {
    pub connection_set: Vec<Connection>,
    pub consume_from_where: Option<ConsumeFromWhere>,
    pub consume_type: Option<ConsumeType>,
    pub message_model: Option<MessageModel>,
    /// By topic.
    pub subscription_table: BTreeMap<String, SubscriptionData>,
}

/// Answer to GET_PRODUCER_CONNECTION_LIST (204).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerConnection {
    pub connection_set: Vec<Connection>,
}

/// One connected producer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProducerInfo {
    pub client_id: String,
    pub language: Option<Language>,
    /// Of the last heartbeat, in milliseconds since 1970.
    #[serde(default)]
    pub last_update_timestamp: i64,
    /// `ip:port`.
    #[serde(rename = "remoteIP")]
    pub remote_ip: String,
    #[serde(default)]
    pub version: i32,
}

/// Answer to GET_ALL_PRODUCER_INFO (328).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProducerTableInfo {
    /// By group.
    pub data: BTreeMap<String, Vec<ProducerInfo>>,
}

/// Answer to QUERY_SUBSCRIPTION_BY_CONSUMER (345).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QuerySubscriptionResponse {
    pub group: String,
    pub subscription_data: Option<SubscriptionData>,
    pub topic: Option<String>,
}

/// Request of CHECK_CLIENT_CONFIG (46): whether an expression compiles.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CheckClientRequest {
    pub client_id: String,
    pub group: String,
    pub namespace: Option<String>,
    pub subscription_data: Option<SubscriptionData>,
}

bodies! {
    HeartbeatData = "heartbeat";
    ConsumerList = "consumer list";
    ConsumerConnection = "consumer connections";
    ProducerConnection = "producer connections";
    ProducerTableInfo = "producer table";
    QuerySubscriptionResponse = "subscription";
    CheckClientRequest = "subscription check";
}
