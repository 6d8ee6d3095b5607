//! A broker's registration with a name server: REGISTER_BROKER (103).
//!
//! The plain body is JSON. The compressed body is one zlib stream of:
//!
//! | size | field |
//! |---|---|
//! | 4 + n | data version, JSON |
//! | 4 | number of topics |
//! | 4 + n, each | topic configuration in its text form |
//! | 4 + n | filter servers, a JSON array |
//! | 4 | number of topic queue mappings; only from brokers of 5.0 on |
//! | 4 + n, each | topic queue mapping, JSON |
//!
//! Source: RocketMQ's `RegisterBrokerBody`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::static_topics::TopicQueueMappingInfo;
use super::topics::{MappedTopicTable, TopicConfig};
use super::version::DataVersion;
use super::{Body, DecodeError, bodies};
use crate::protocol::code::version;
use crate::protocol::compression::{self, Compression};
use crate::protocol::json::{self, Style};

/// Longest registration once inflated, in bytes.
pub const INFLATED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most topics, and most mappings, of one registration.
pub const TOPICS_MAX: u32 = 500_000;
/// RocketMQ's choice for this body.
const COMPRESSION_LEVEL: i32 = 9;

/// What a broker registers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RegisterBrokerBody {
    pub filter_server_list: Vec<String>,
    #[serde(rename = "topicConfigSerializeWrapper")]
    pub topics: MappedTopicTable,
}

bodies! {
    RegisterBrokerBody = "registration";
}

/// The checksum that goes with a body in the request's header: CRC-32 without its top bit.
#[must_use]
pub fn body_crc(body: &[u8]) -> i32 {
    (crc32fast::hash(body) & 0x7fff_ffff) as i32
}

impl RegisterBrokerBody {
    /// Reads a compressed body from a broker of `broker_version`.
    ///
    /// # Errors
    /// [`DecodeError`] when the stream is broken, longer than [`INFLATED_BYTES_MAX`], too short for what it announces,
    /// or one of its parts is not what it should be.
    pub fn decode_compressed(body: &[u8], broker_version: i32) -> Result<Self, DecodeError> {
        let inflated = compression::decompress(Compression::Zlib, body, INFLATED_BYTES_MAX)?;
        let mut rest = Parts { rest: &inflated };
        let data_version = DataVersion::decode(rest.part("the data version")?)?;
        let mut topic_config_table = BTreeMap::new();
        for _ in 0..rest.count("the number of topics")? {
            let text = String::from_utf8_lossy(rest.part("a topic")?);
            let config = TopicConfig::from_text(&text)?;
            topic_config_table.insert(config.topic_name.clone(), config);
        }
        // A list that is no list counts as none, as for RocketMQ.
        let filter_server_list = json::decode(rest.part("the filter servers")?).unwrap_or_default();
        let mut topic_queue_mapping_info_map = BTreeMap::new();
        if broker_version >= version::V5_0_0 {
            for _ in 0..rest.count("the number of mappings")? {
                let mapping = TopicQueueMappingInfo::decode(rest.part("a mapping")?)?;
                topic_queue_mapping_info_map.insert(mapping.topic.clone().unwrap_or_default(), mapping);
            }
        }
        let topics = MappedTopicTable {
            data_version,
            topic_config_table,
            topic_queue_mapping_info_map,
            ..MappedTopicTable::default()
        };
        Ok(RegisterBrokerBody { filter_server_list, topics })
    }

    /// The compressed body, as a broker of 5.x writes it.
    #[must_use]
    pub fn encode_compressed(&self) -> Vec<u8> {
        let mut plain = Vec::new();
        let put_count = |out: &mut Vec<u8>, count: usize| out.extend_from_slice(&(count as u32).to_be_bytes());
        let put = |out: &mut Vec<u8>, part: &[u8]| {
            out.extend_from_slice(&(part.len() as u32).to_be_bytes());
            out.extend_from_slice(part);
        };
        put(&mut plain, &self.topics.data_version.encode());
        put_count(&mut plain, self.topics.topic_config_table.len());
        for config in self.topics.topic_config_table.values() {
            put(&mut plain, config.to_text().as_bytes());
        }
        put(&mut plain, &super::text(&self.filter_server_list, Style::Compact));
        put_count(&mut plain, self.topics.topic_queue_mapping_info_map.len());
        for mapping in self.topics.topic_queue_mapping_info_map.values() {
            put(&mut plain, &mapping.encode());
        }
        compression::compress(Compression::Zlib, &plain, COMPRESSION_LEVEL)
    }
}

/// Counted parts, cut from the front.
struct Parts<'a> {
    rest: &'a [u8],
}

impl<'a> Parts<'a> {
    fn int(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        let (number, rest) = self.rest.split_first_chunk::<4>().ok_or(DecodeError::Truncated(what))?;
        self.rest = rest;
        Ok(u32::from_be_bytes(*number))
    }

    fn count(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        let count = self.int(what)?;
        if count > TOPICS_MAX { Err(DecodeError::TooMany { what, count, max: TOPICS_MAX }) } else { Ok(count) }
    }

    fn part(&mut self, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let length = self.int(what)? as usize;
        let (part, rest) = self.rest.split_at_checked(length).ok_or(DecodeError::Truncated(what))?;
        self.rest = rest;
        Ok(part)
    }
}
