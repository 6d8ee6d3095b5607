//! Static topics: which broker holds which part of a logical queue. Carried along in registrations, routes and topic
//! tables.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::bodies;

/// What other brokers need to know of one broker's part in a static topic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicQueueMappingInfo {
    /// The broker's name.
    pub bname: Option<String>,
    /// Logical queue to physical queue of this broker.
    pub curr_id_map: BTreeMap<i32, i32>,
    pub dirty: bool,
    pub epoch: i64,
    pub scope: Option<String>,
    pub topic: Option<String>,
    pub total_queues: i32,
}

/// All that a broker knows of its own part in a static topic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicQueueMappingDetail {
    pub bname: Option<String>,
    pub curr_id_map: BTreeMap<i32, i32>,
    pub dirty: bool,
    pub epoch: i64,
    /// The parts of each logical queue, oldest first.
    pub hosted_queues: BTreeMap<i32, Vec<LogicQueueMappingItem>>,
    pub scope: Option<String>,
    pub topic: Option<String>,
    pub total_queues: i32,
}

/// A stretch of a logical queue that lies in one physical queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LogicQueueMappingItem {
    pub bname: Option<String>,
    /// Physical, exclusive; -1 while open.
    pub end_offset: i64,
    #[serde(rename = "gen")]
    pub generation: i32,
    /// Logical offset of the first message; -1 while undecided.
    pub logic_offset: i64,
    pub queue_id: i32,
    pub start_offset: i64,
    /// Milliseconds since 1970, -1 while open.
    pub time_of_end: i64,
    pub time_of_start: i64,
}

bodies! {
    TopicQueueMappingInfo = "topic queue mapping";
    TopicQueueMappingDetail = "topic queue mapping";
}
