//! `config/topics.json`: `{"dataVersion":{…},"topicConfigTable":{"T":{…}}}`. RocketMQ 4.9 writes it without attributes and
//! without `stateVersion`.

use std::sync::Arc;

use super::table::{TOPIC_QUEUES_MAX, TopicConfig, TopicEntry};
use crate::protocol::body::topics::{TopicConfig as Stored, TopicTable};
use crate::protocol::body::version::DataVersion;
use crate::protocol::body::{ConfigFile, DecodeError};
use crate::protocol::names::Topic;

/// The version and the topics of the file, each name once.
pub(super) fn decode(text: &str) -> Result<(DataVersion, Vec<TopicConfig>), DecodeError> {
    let file = TopicTable::decode_file(text.as_bytes())?;
    let topics = file.topic_config_table.into_iter().filter_map(|(name, stored)| match Topic::new(&name) {
        Ok(topic) => Some(config(topic, stored)),
        Err(error) => {
            tracing::warn!(name, %error, "a topic in the file was left out");
            None
        }
    });
    Ok((file.data_version, topics.collect()))
}

fn config(topic: Topic, stored: Stored) -> TopicConfig {
    let queues = |count: i32| {
        let wanted = u32::try_from(count).unwrap_or_default();
        if wanted > TOPIC_QUEUES_MAX {
            tracing::warn!(%topic, wanted, allowed = TOPIC_QUEUES_MAX, "a topic in the file lost queues");
        }
        wanted.min(TOPIC_QUEUES_MAX)
    };
    TopicConfig {
        read_queues: queues(stored.read_queue_nums),
        write_queues: queues(stored.write_queue_nums),
        perm: stored.perm.cast_unsigned(),
        filter: stored.topic_filter_type,
        sys_flag: stored.topic_sys_flag,
        order: stored.order,
        attributes: stored.attributes,
        topic,
    }
}

pub(super) fn encode(version: DataVersion, topics: &[Arc<TopicEntry>]) -> Vec<u8> {
    let stored = topics.iter().map(|entry| (entry.config.topic.to_string(), Stored::from(&entry.config)));
    TopicTable { data_version: version, topic_config_table: stored.collect() }.encode_file()
}

impl From<&TopicConfig> for Stored {
    fn from(config: &TopicConfig) -> Self {
        let queues = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
        Stored {
            attributes: config.attributes.clone(),
            order: config.order,
            perm: config.perm.cast_signed(),
            read_queue_nums: queues(config.read_queues),
            topic_filter_type: config.filter,
            topic_name: config.topic.to_string(),
            topic_sys_flag: config.sys_flag,
            write_queue_nums: queues(config.write_queues),
        }
    }
}
