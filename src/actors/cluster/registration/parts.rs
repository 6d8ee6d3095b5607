//! Topics as bodies of registrations. Pure.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::actors::catalog::topics::{PERM_READ, PERM_WRITE, TopicConfig, TopicFilter};
use crate::config::BrokerConfig;
use crate::protocol::body::Body;
use crate::protocol::body::registration::RegisterBrokerBody;
use crate::protocol::body::route::{QueueData, TopicRouteData};
use crate::protocol::body::topics;
use crate::protocol::body::version::DataVersion;
use crate::protocol::frame::FRAME_BYTES_MAX;

/// Longest body of one registration, in bytes: a frame without room for its header.
const BODY_BYTES_MAX: usize = FRAME_BYTES_MAX - 64 * 1024;
/// A part of one topic would pass for a change, which a name server refuses from a broker that it does not know.
const TOPICS_OF_PART_MIN: usize = 2;

/// How bodies are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rules {
    /// Bits of permissions that are told.
    permission: u32,
    pub(super) is_compressed: bool,
    /// Always in parts, not only where one body would be too long.
    pub(super) is_split: bool,
    part_topics: usize,
    /// One body is at most this long.
    body_bytes_max: usize,
}

impl Rules {
    pub(super) fn of(config: &BrokerConfig) -> Self {
        let (permission, both) = (u32::from(config.identity.permission), PERM_READ | PERM_WRITE);
        Self {
            permission: if permission & both == both { u32::MAX } else { permission },
            is_compressed: config.registration.compressed,
            is_split: config.registration.split,
            part_topics: (config.registration.split_topics as usize).max(TOPICS_OF_PART_MIN),
            body_bytes_max: BODY_BYTES_MAX,
        }
    }
}

/// The bodies that tell `topics`, in order: one, or as many as are needed. A name server takes a body's topics only when
/// the version is new to it: so all parts have versions of their own, and the last has the true one.
pub(super) fn bodies(version: DataVersion, topics: &[&TopicConfig], rules: Rules) -> Vec<Bytes> {
    if !rules.is_split {
        let whole = body(version, topics, rules);
        if whole.len() <= rules.body_bytes_max {
            return vec![whole];
        }
    }
    let parts = topics.len().div_ceil(rules.part_topics).max(1);
    let mut bodies = Vec::with_capacity(parts);
    let mut rest = topics;
    for part in 1..=parts {
        let (topics, later) = rest.split_at(rest.len().min(rules.part_topics));
        rest = later;
        let own = DataVersion { timestamp: version.timestamp.wrapping_add(part as i64), ..version };
        bodies.push(body(if part == parts { version } else { own }, topics, rules));
    }
    bodies
}

/// The body that tells one topic by itself (217).
pub(super) fn single(group: &str, topic: &TopicConfig, rules: Rules) -> Vec<u8> {
    let config = told(topic, rules);
    let queues = QueueData {
        broker_name: group.to_owned(),
        perm: config.perm,
        read_queue_nums: config.read_queue_nums,
        topic_sys_flag: config.topic_sys_flag,
        write_queue_nums: config.write_queue_nums,
    };
    TopicRouteData { queue_datas: vec![queues], ..TopicRouteData::default() }.encode()
}

fn body(version: DataVersion, topics: &[&TopicConfig], rules: Rules) -> Bytes {
    let mut body = RegisterBrokerBody::default();
    body.topics.data_version = version;
    let told = topics.iter().map(|topic| (topic.topic.to_string(), told(topic, rules)));
    body.topics.topic_config_table = told.collect::<BTreeMap<_, _>>();
    if rules.is_compressed { body.encode_compressed().into() } else { body.encode().into() }
}

fn told(config: &TopicConfig, rules: Rules) -> topics::TopicConfig {
    let number = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    topics::TopicConfig {
        attributes: config.attributes.clone(),
        order: config.order,
        perm: number(config.perm & rules.permission),
        read_queue_nums: number(config.read_queues),
        topic_filter_type: match config.filter {
            TopicFilter::SingleTag => topics::TopicFilterType::SingleTag,
            TopicFilter::MultiTag => topics::TopicFilterType::MultiTag,
        },
        topic_name: config.topic.to_string(),
        topic_sys_flag: config.sys_flag,
        write_queue_nums: number(config.write_queues),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::names::Topic;

    const VERSION: DataVersion = DataVersion { counter: 7, state_version: 0, timestamp: 1_000 };

    fn topics(count: usize) -> Vec<TopicConfig> {
        (0..count).map(|i| TopicConfig::new(Topic::new(&format!("T{i:03}")).unwrap(), 4)).collect()
    }

    fn read(bodies: &[Bytes]) -> Vec<(DataVersion, usize)> {
        let read = bodies.iter().map(|body| {
            let body = RegisterBrokerBody::decode(body).unwrap();
            (body.topics.data_version, body.topics.topic_config_table.len())
        });
        read.collect()
    }

    fn bodies_of(count: usize, rules: Rules) -> Vec<(DataVersion, usize)> {
        let topics = topics(count);
        read(&bodies(VERSION, &topics.iter().collect::<Vec<_>>(), rules))
    }

    #[test]
    fn one_body_tells_all_where_it_fits() {
        let rules = Rules::of(&BrokerConfig::default());
        assert_eq!(bodies_of(2_000, rules), [(VERSION, 2_000)]);
        assert_eq!(bodies_of(0, rules), [(VERSION, 0)]);
    }

    #[test]
    fn what_is_too_long_goes_in_parts_of_which_the_last_has_the_true_version() {
        let rules = Rules { part_topics: 10, body_bytes_max: 4_000, ..Rules::of(&BrokerConfig::default()) };
        let parts = bodies_of(25, rules);
        assert_eq!(parts.iter().map(|(_, topics)| *topics).collect::<Vec<_>>(), [10, 10, 5]);
        assert_eq!(parts.last().unwrap().0, VERSION);
        assert!(parts.windows(2).all(|pair| pair[0].0 != pair[1].0));
        // A name server that heard all of them hears another version than it holds when they come again.
        assert_ne!(parts[0].0, VERSION);
        assert_eq!(bodies_of(5, rules), [(VERSION, 5)]);
        assert_eq!(bodies_of(20, Rules { is_split: true, ..rules }).len(), 2);
    }

    #[test]
    fn a_part_is_never_taken_for_a_change() {
        let mut config = BrokerConfig::default();
        config.registration.split = true;
        config.registration.split_topics = 1;
        assert_eq!(bodies_of(6, Rules::of(&config)).len(), 3);
    }
}
