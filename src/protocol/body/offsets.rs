//! Offsets of groups and delay levels: 43, 45, 220 to 223, 308, and the files `consumerOffset.json` and
//! `delayOffset.json`.

use std::collections::{BTreeMap, BTreeSet};

use serde::ser::{Serialize, SerializeStruct, Serializer};
use serde::{Deserialize, Serialize as DeriveSerialize};

use super::queue::MessageQueue;
use super::version::DataVersion;
use super::{ConfigFile, bodies};

/// Between topic and group in the keys of [`ConsumerOffsets`].
pub const TOPIC_GROUP_SEPARATOR: char = '@';

/// All committed offsets of a broker: answer to GET_ALL_CONSUMER_OFFSET (43), the file `consumerOffset.json`. Releases
/// before 5.0 have no `data_version`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerOffsets {
    pub data_version: DataVersion,
    /// By `topic@group`: queue and offset.
    pub offset_table: BTreeMap<String, BTreeMap<i32, i64>>,
    /// The same for what was pulled last, kept since 5.2.
    pub pull_offset_table: BTreeMap<String, BTreeMap<i32, i64>>,
}

impl ConsumerOffsets {
    /// The topics of each group, which RocketMQ writes beside the offsets and passes over when reading.
    fn topics_by_group(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut topics: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (topic, group) in self.offset_table.keys().filter_map(|key| key.split_once(TOPIC_GROUP_SEPARATOR)) {
            topics.entry(group).or_default().insert(topic);
        }
        topics
    }
}

impl Serialize for ConsumerOffsets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut all = serializer.serialize_struct("ConsumerOffsets", 4)?;
        all.serialize_field("dataVersion", &self.data_version)?;
        all.serialize_field("groupTopicMap", &self.topics_by_group())?;
        all.serialize_field("offsetTable", &self.offset_table)?;
        all.serialize_field("pullOffsetTable", &self.pull_offset_table)?;
        all.end()
    }
}

/// How far each delay level is: answer to GET_ALL_DELAY_OFFSET (45), the file `delayOffset.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, DeriveSerialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DelayOffsets {
    pub data_version: DataVersion,
    /// By level, from 1.
    pub offset_table: BTreeMap<i32, i64>,
}

/// New offsets of a group: answer to INVOKE_BROKER_TO_RESET_OFFSET (222), request of RESET_CONSUMER_CLIENT_OFFSET
/// (220).
#[derive(Debug, Clone, Default, PartialEq, Eq, DeriveSerialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResetOffsets {
    pub offset_table: BTreeMap<MessageQueue, i64>,
}

/// The same for clients in C++, which read no maps whose keys are objects.
#[derive(Debug, Clone, Default, PartialEq, Eq, DeriveSerialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResetOffsetsAsList {
    pub offset_table: Vec<ResetQueueOffset>,
}

/// The new offset of one queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, DeriveSerialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResetQueueOffset {
    pub broker_name: String,
    pub offset: i64,
    pub queue_id: i32,
    pub topic: String,
}

impl From<&ResetOffsets> for ResetOffsetsAsList {
    fn from(of: &ResetOffsets) -> Self {
        let entry = |(queue, offset): (&MessageQueue, &i64)| ResetQueueOffset {
            broker_name: queue.broker_name.clone(),
            offset: *offset,
            queue_id: queue.queue_id,
            topic: queue.topic.clone(),
        };
        Self { offset_table: of.offset_table.iter().map(entry).collect() }
    }
}

/// Offsets that consumers hold in memory: answer to GET_CONSUMER_STATUS_FROM_CLIENT (221) in the first table, to
/// INVOKE_BROKER_TO_GET_CONSUMER_STATUS (223) in the second.
#[derive(Debug, Clone, Default, PartialEq, Eq, DeriveSerialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerStatus {
    pub message_queue_table: BTreeMap<MessageQueue, i64>,
    /// By client id.
    pub consumer_table: BTreeMap<String, BTreeMap<MessageQueue, i64>>,
}

/// Answer to QUERY_CORRECTION_OFFSET (308): by queue, the least offset over the groups asked about.
#[derive(Debug, Clone, Default, PartialEq, Eq, DeriveSerialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CorrectionOffsets {
    pub correction_offsets: BTreeMap<i32, i64>,
}

bodies! {
    ConsumerOffsets = "consumer offset table";
    DelayOffsets = "delay offset table";
    ResetOffsets = "offset table";
    ResetOffsetsAsList = "list of offsets";
    ConsumerStatus = "consumer status";
    CorrectionOffsets = "correction offsets";
}

impl ConfigFile for ConsumerOffsets {}
impl ConfigFile for DelayOffsets {}
