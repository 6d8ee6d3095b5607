//! Figures about queues and groups: 202, 208, 303, 315, 317, 321.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::bodies;
use super::clients::SubscriptionData;
use super::queue::MessageQueue;

/// Answer to GET_TOPIC_STATS_INFO (202).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicStatsTable {
    pub offset_table: BTreeMap<MessageQueue, QueueEnds>,
    /// Messages stored a second.
    pub topic_put_tps: f64,
}

/// The ends of a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueueEnds {
    /// Store time of the last message in milliseconds since 1970, 0 when there is none.
    pub last_update_timestamp: i64,
    /// Exclusive.
    pub max_offset: i64,
    pub min_offset: i64,
}

/// Answer to GET_CONSUME_STATS (208): how far a group is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeStats {
    /// Messages consumed a second.
    pub consume_tps: f64,
    pub offset_table: BTreeMap<MessageQueue, ConsumeProgress>,
}

/// How far a group is in one queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeProgress {
    /// The queue's end, exclusive.
    pub broker_offset: i64,
    /// Committed.
    pub consumer_offset: i64,
    /// Store time of the last consumed message, in milliseconds since 1970.
    pub last_timestamp: i64,
    pub pull_offset: i64,
}

/// Answer to GET_BROKER_CONSUME_STATS (317): all groups of a broker.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeStatsList {
    pub broker_addr: String,
    /// A map of one group each.
    pub consume_stats_list: Vec<BTreeMap<String, Vec<ConsumeStats>>>,
    /// Messages stored and not committed.
    pub total_diff: i64,
    /// Messages pulled and not committed.
    pub total_inflight_diff: i64,
}

/// Answer to VIEW_BROKER_STATS_DATA (315).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerStatsData {
    pub stats_day: BrokerStatsItem,
    pub stats_hour: BrokerStatsItem,
    pub stats_minute: BrokerStatsItem,
}

/// One figure over one stretch of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerStatsItem {
    /// Average of the values counted.
    pub avgpt: f64,
    pub sum: i64,
    /// Sum a second.
    pub tps: f64,
}

/// Answer to QUERY_CONSUME_TIME_SPAN (303).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeTimeSpans {
    pub consume_time_span_set: Vec<QueueTimeSpan>,
}

/// Store times of a queue's messages, in milliseconds since 1970. Each has a twin for human readers
/// (`1970-01-01#00:00:00:000` in local time), which is not read back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueueTimeSpan {
    /// Of the last consumed message.
    pub consume_time_stamp: i64,
    pub consume_time_stamp_str: Option<String>,
    /// How long ago the next message to be consumed was stored, in milliseconds.
    pub delay_time: i64,
    pub max_time_stamp: i64,
    pub max_time_stamp_str: Option<String>,
    pub message_queue: MessageQueue,
    pub min_time_stamp: i64,
    pub min_time_stamp_str: Option<String>,
}

/// Answer to QUERY_CONSUME_QUEUE (321).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeQueueEntries {
    pub filter_data: Option<String>,
    pub max_queue_index: i64,
    pub min_queue_index: i64,
    pub queue_data: Vec<ConsumeQueueData>,
    pub subscription_data: Option<SubscriptionData>,
}

/// One entry of a ConsumeQueue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumeQueueData {
    pub bit_map: Option<String>,
    /// Whether the group's expression matches.
    pub eval: bool,
    pub extend_data_json: Option<String>,
    /// Why `eval` could not be told.
    pub msg: Option<String>,
    pub physic_offset: i64,
    pub physic_size: i32,
    pub tags_code: i64,
}

bodies! {
    TopicStatsTable = "topic statistics";
    ConsumeStats = "consume statistics";
    ConsumeStatsList = "consume statistics";
    BrokerStatsData = "broker statistics";
    ConsumeTimeSpans = "consume time spans";
    ConsumeQueueEntries = "consume queue entries";
}
