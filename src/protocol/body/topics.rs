//! Topic settings: one topic (351), several (18), all (21, the file `topics.json`), and the text form within
//! compressed registrations.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::static_topics::{TopicQueueMappingDetail, TopicQueueMappingInfo};
use super::version::DataVersion;
use super::{ConfigFile, DecodeError, bodies};
use crate::protocol::json::{self, Style};

/// Queues of a topic about which nothing was said.
const QUEUES_UNSAID: i32 = 16;
/// Readable and writable.
const PERM_UNSAID: i32 = 6;

/// How many tags a message of the topic may carry; nothing asks about it any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TopicFilterType {
    #[default]
    SingleTag,
    MultiTag,
}

impl TopicFilterType {
    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            TopicFilterType::SingleTag => "SINGLE_TAG",
            TopicFilterType::MultiTag => "MULTI_TAG",
        }
    }

    /// The type of an exact name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [TopicFilterType::SingleTag, TopicFilterType::MultiTag].into_iter().find(|kind| kind.name() == name)
    }
}

/// A topic's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicConfig {
    /// `message.type`, `queue.type`, `cleanup.policy` and the like.
    pub attributes: BTreeMap<String, String>,
    pub order: bool,
    /// Bits: 1 inherit, 2 write, 4 read, 8 priority.
    pub perm: i32,
    pub read_queue_nums: i32,
    pub topic_filter_type: TopicFilterType,
    pub topic_name: String,
    /// Bits: 1 unit, 2 unit subscribers.
    pub topic_sys_flag: i32,
    pub write_queue_nums: i32,
}

impl Default for TopicConfig {
    fn default() -> Self {
        TopicConfig {
            attributes: BTreeMap::new(),
            order: false,
            perm: PERM_UNSAID,
            read_queue_nums: QUEUES_UNSAID,
            topic_filter_type: TopicFilterType::SingleTag,
            topic_name: String::new(),
            topic_sys_flag: 0,
            write_queue_nums: QUEUES_UNSAID,
        }
    }
}

impl TopicConfig {
    /// `name read write perm filterType {attributes}`: the form within compressed registrations. `order` and
    /// `topic_sys_flag` are not in it.
    #[must_use]
    pub fn to_text(&self) -> String {
        let attributes = super::text(&self.attributes, Style::Compact);
        format!(
            "{} {} {} {} {} {}",
            self.topic_name,
            self.read_queue_nums,
            self.write_queue_nums,
            self.perm,
            self.topic_filter_type.name(),
            String::from_utf8_lossy(&attributes)
        )
    }

    /// Reads the text form; releases before 5.0 leave the attributes out.
    ///
    /// # Errors
    /// [`DecodeError::TopicText`] when one of the first five parts is missing or wrong. Attributes that are no JSON
    /// object count as none, as for RocketMQ.
    pub fn from_text(text: &str) -> Result<Self, DecodeError> {
        let parse = || {
            let mut parts = text.splitn(6, ' ');
            Some(TopicConfig {
                topic_name: parts.next().filter(|name| !name.is_empty())?.to_owned(),
                read_queue_nums: parts.next()?.parse().ok()?,
                write_queue_nums: parts.next()?.parse().ok()?,
                perm: parts.next()?.parse().ok()?,
                topic_filter_type: TopicFilterType::from_name(parts.next()?)?,
                attributes: parts.next().and_then(|rest| json::decode(rest.as_bytes()).ok()).unwrap_or_default(),
                ..TopicConfig::default()
            })
        };
        parse().ok_or_else(|| DecodeError::TopicText(text.chars().take(80).collect()))
    }
}

/// All topics of a broker: the file `topics.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicTable {
    pub data_version: DataVersion,
    /// By name.
    pub topic_config_table: BTreeMap<String, TopicConfig>,
}

/// All topics of a broker together with its parts of static topics: answer to GET_ALL_TOPIC_CONFIG (21), and within
/// REGISTER_BROKER (103). Brokers of 4.9 send only the first two fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MappedTopicTable {
    pub data_version: DataVersion,
    pub mapping_data_version: DataVersion,
    pub topic_config_table: BTreeMap<String, TopicConfig>,
    pub topic_queue_mapping_detail_map: BTreeMap<String, TopicQueueMappingDetail>,
    pub topic_queue_mapping_info_map: BTreeMap<String, TopicQueueMappingInfo>,
}

/// Answer to GET_TOPIC_CONFIG (351): a topic's settings, and this broker's part of it if the topic is static.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MappedTopicConfig {
    pub attributes: BTreeMap<String, String>,
    pub mapping_detail: Option<TopicQueueMappingDetail>,
    pub order: bool,
    pub perm: i32,
    pub read_queue_nums: i32,
    pub topic_filter_type: TopicFilterType,
    pub topic_name: String,
    pub topic_sys_flag: i32,
    pub write_queue_nums: i32,
}

impl MappedTopicConfig {
    /// Settings and mapping in one.
    #[must_use]
    pub fn new(config: TopicConfig, mapping_detail: Option<TopicQueueMappingDetail>) -> Self {
        MappedTopicConfig {
            attributes: config.attributes,
            mapping_detail,
            order: config.order,
            perm: config.perm,
            read_queue_nums: config.read_queue_nums,
            topic_filter_type: config.topic_filter_type,
            topic_name: config.topic_name,
            topic_sys_flag: config.topic_sys_flag,
            write_queue_nums: config.write_queue_nums,
        }
    }
}

/// Request of UPDATE_AND_CREATE_TOPIC_LIST (18).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CreateTopicList {
    pub topic_config_list: Vec<TopicConfig>,
}

bodies! {
    TopicConfig = "topic configuration";
    TopicTable = "topic table";
    MappedTopicTable = "topic table";
    MappedTopicConfig = "topic configuration";
    CreateTopicList = "topic list";
}

impl ConfigFile for TopicTable {}
