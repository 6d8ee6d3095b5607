//! How a consumer runs, as it tells administrators: answers to 307 and 309.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::bodies;
use super::clients::SubscriptionData;
use super::queue::MessageQueue;

/// Answer to GET_CONSUMER_RUNNING_INFO (307).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerRunningInfo {
    /// Stacks of its threads, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jstack: Option<String>,
    /// Queues that are consumed by popping.
    pub mq_pop_table: BTreeMap<MessageQueue, PopProcessQueueInfo>,
    pub mq_table: BTreeMap<MessageQueue, ProcessQueueInfo>,
    /// See [`property`].
    pub properties: BTreeMap<String, String>,
    /// By topic.
    pub status_table: BTreeMap<String, ConsumeStatus>,
    pub subscription_set: Vec<SubscriptionData>,
    pub user_consumer_info: BTreeMap<String, String>,
}

/// Names in [`ConsumerRunningInfo::properties`].
pub mod property {
    pub const NAME_SERVERS: &str = "PROP_NAMESERVER_ADDR";
    pub const CONSUME_TYPE: &str = "PROP_CONSUME_TYPE";
    pub const CONSUME_ORDERLY: &str = "PROP_CONSUMEORDERLY";
    /// Listeners that run at once.
    pub const CONCURRENCY: &str = "PROP_THREADPOOL_CORE_SIZE";
    pub const CLIENT_VERSION: &str = "PROP_CLIENT_VERSION";
    /// Milliseconds since 1970.
    pub const STARTED: &str = "PROP_CONSUMER_START_TIMESTAMP";
}

/// One queue that a consumer pulls from. Times are in ms since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProcessQueueInfo {
    /// Messages that were pulled and are not consumed yet.
    pub cached_msg_count: i32,
    pub cached_msg_max_offset: i64,
    pub cached_msg_min_offset: i64,
    #[serde(rename = "cachedMsgSizeInMiB")]
    pub cached_msg_size_mib: i32,
    pub commit_offset: i64,
    pub droped: bool,
    pub last_consume_timestamp: i64,
    pub last_lock_timestamp: i64,
    pub last_pull_timestamp: i64,
    pub locked: bool,
    pub transaction_msg_count: i32,
    pub transaction_msg_max_offset: i64,
    pub transaction_msg_min_offset: i64,
    pub try_unlock_times: i64,
}

/// One queue that a consumer pops from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PopProcessQueueInfo {
    pub droped: bool,
    pub last_pop_timestamp: i64,
    pub wait_ack_count: i32,
}

/// Figures of one topic, of about the last minute. Times are in ms, rates in messages a second.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConsumeStatus {
    #[serde(rename = "consumeFailedMsgs")]
    pub failed: i64,
    #[serde(rename = "consumeFailedTPS")]
    pub failed_rate: f64,
    #[serde(rename = "consumeOKTPS")]
    pub consumed_rate: f64,
    #[serde(rename = "consumeRT")]
    pub consume_ms: f64,
    #[serde(rename = "pullRT")]
    pub pull_ms: f64,
    #[serde(rename = "pullTPS")]
    pub pulled_rate: f64,
}

/// Answer to CONSUME_MESSAGE_DIRECTLY (309).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumedDirectly {
    pub auto_commit: bool,
    /// `CR_SUCCESS`, `CR_LATER`, `CR_ROLLBACK`, `CR_COMMIT`, `CR_THROW_EXCEPTION` or `CR_RETURN_NULL`.
    pub consume_result: Option<String>,
    pub order: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
    pub spent_time_mills: i64,
}

bodies! {
    ConsumerRunningInfo = "consumer running info";
    ConsumedDirectly = "result of a consumption";
}
