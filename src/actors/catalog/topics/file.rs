//! `config/topics.json`: `{"dataVersion":{…},"topicConfigTable":{"T":{…}}}`. RocketMQ 4.9 writes it without attributes and
//! without `stateVersion`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::table::{TOPIC_QUEUES_MAX, TopicConfig, TopicEntry, TopicFilter};
use crate::actors::catalog::data_version::DataVersion;
use crate::protocol::json::{self, JsonError, Limits, Style};
use crate::protocol::names::Topic;

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct File {
    data_version: DataVersion,
    topic_config_table: BTreeMap<String, StoredTopic>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StoredTopic {
    attributes: BTreeMap<String, String>,
    order: bool,
    perm: u32,
    read_queue_nums: i64,
    topic_filter_type: TopicFilter,
    topic_name: String,
    topic_sys_flag: i32,
    write_queue_nums: i64,
}

impl Default for StoredTopic {
    fn default() -> Self {
        Self {
            attributes: BTreeMap::new(),
            order: false,
            perm: 6,
            read_queue_nums: 16,
            topic_filter_type: TopicFilter::SingleTag,
            topic_name: String::new(),
            topic_sys_flag: 0,
            write_queue_nums: 16,
        }
    }
}

/// The version and the topics of the file, each name once.
pub(super) fn decode(text: &str) -> Result<(DataVersion, Vec<TopicConfig>), String> {
    let file: File = json::decode_within(text.as_bytes(), Limits::FILE).map_err(|error| error.to_string())?;
    let topics = file.topic_config_table.into_iter().filter_map(|(name, stored)| match Topic::new(&name) {
        Ok(topic) => Some(config(topic, stored)),
        Err(error) => {
            tracing::warn!(name, %error, "a topic in the file was left out");
            None
        }
    });
    Ok((file.data_version, topics.collect()))
}

fn config(topic: Topic, stored: StoredTopic) -> TopicConfig {
    let queues = |count: i64| {
        let allowed = count.clamp(0, TOPIC_QUEUES_MAX.into());
        if allowed != count {
            tracing::warn!(%topic, count, allowed, "a topic's number of queues was changed to what is allowed");
        }
        u32::try_from(allowed).unwrap_or_default()
    };
    TopicConfig {
        read_queues: queues(stored.read_queue_nums),
        write_queues: queues(stored.write_queue_nums),
        perm: stored.perm,
        filter: stored.topic_filter_type,
        sys_flag: stored.topic_sys_flag,
        order: stored.order,
        attributes: stored.attributes,
        topic,
    }
}

pub(super) fn encode(version: DataVersion, topics: &[Arc<TopicEntry>]) -> Result<Vec<u8>, JsonError> {
    let stored = topics.iter().map(|entry| {
        let TopicConfig { topic, read_queues, write_queues, perm, filter, sys_flag, order, attributes } = &entry.config;
        let stored = StoredTopic {
            attributes: attributes.clone(),
            order: *order,
            perm: *perm,
            read_queue_nums: (*read_queues).into(),
            topic_filter_type: *filter,
            topic_name: topic.to_string(),
            topic_sys_flag: *sys_flag,
            write_queue_nums: (*write_queues).into(),
        };
        (topic.to_string(), stored)
    });
    let file = File { data_version: version, topic_config_table: stored.collect() };
    json::encode(&file, Style::Pretty)
}
