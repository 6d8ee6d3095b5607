//! The topics that every broker has.

use super::table::{PERM_INHERIT, PERM_READ, PERM_WRITE, TopicConfig};
use crate::config::BrokerConfig;
use crate::protocol::names::{
    AUTO_CREATE_TOPIC, BENCHMARK_TOPIC, HALF_TOPIC, OFFSET_MOVED_TOPIC, OP_HALF_TOPIC, REPLY_TOPIC_SUFFIX,
    SCHEDULE_TOPIC, SELF_TEST_TOPIC, TIMER_TOPIC, Topic,
};

/// Queues of the topic that bears the cluster's name.
const CLUSTER_TOPIC_QUEUES: u32 = 16;
const BENCHMARK_TOPIC_QUEUES: u32 = 1024;
/// One for each of RocketMQ's delay levels.
const SCHEDULE_TOPIC_QUEUES: u32 = 18;
const REVIVE_TOPIC_QUEUES: u32 = 8;
const REVIVE_TOPIC_PREFIX: &str = "rmq_sys_REVIVE_LOG_";
const MEMBER_TOPIC_PREFIX: &str = "rmq_sys_SYNC_BROKER_MEMBER_";

const OPEN: u32 = PERM_READ | PERM_WRITE;

/// What a broker with these settings begins with; a file may say otherwise. Names that no topic may have are left out.
pub(super) fn topics(config: &BrokerConfig) -> Vec<TopicConfig> {
    let (cluster, broker) = (&config.identity.cluster_name, &config.identity.broker_name);
    let rules = &config.topics;
    let named = |enabled: bool| PERM_INHERIT | if enabled { OPEN } else { 0 };
    let mut list = vec![
        (SELF_TEST_TOPIC.to_owned(), 1, OPEN),
        (BENCHMARK_TOPIC.to_owned(), BENCHMARK_TOPIC_QUEUES, OPEN),
        (cluster.clone(), CLUSTER_TOPIC_QUEUES, named(rules.cluster_topic)),
        (broker.clone(), 1, named(rules.broker_topic)),
        (OFFSET_MOVED_TOPIC.to_owned(), 1, OPEN),
        (SCHEDULE_TOPIC.to_owned(), schedule_queues(config), OPEN),
        (reply_topic(cluster), 1, OPEN),
        (format!("{REVIVE_TOPIC_PREFIX}{cluster}"), REVIVE_TOPIC_QUEUES, OPEN),
        (format!("{MEMBER_TOPIC_PREFIX}{broker}"), 1, PERM_INHERIT),
        (HALF_TOPIC.to_owned(), 1, OPEN),
        (OP_HALF_TOPIC.to_owned(), 1, OPEN),
    ];
    if rules.auto_create {
        list.push((AUTO_CREATE_TOPIC.to_owned(), rules.auto_create_queues, OPEN | PERM_INHERIT));
    }
    if rules.trace_topic {
        list.push((rules.trace_topic_name.clone(), 1, OPEN));
    }
    if config.delay.timer_enabled {
        list.push((TIMER_TOPIC.to_owned(), 1, OPEN));
    }
    list.into_iter().filter_map(|(name, queues, perm)| topic(&name, queues, perm)).collect()
}

/// Names that administrators may not use on this broker, beside those that none may.
pub fn own_names(config: &BrokerConfig) -> Vec<String> {
    let (cluster, broker) = (&config.identity.cluster_name, &config.identity.broker_name);
    let mut names = vec![cluster.clone(), broker.clone(), reply_topic(cluster)];
    if config.topics.trace_topic {
        names.push(config.topics.trace_topic_name.clone());
    }
    names
}

/// One for each delay level.
fn schedule_queues(config: &BrokerConfig) -> u32 {
    u32::try_from(config.delay.levels.millis().len()).unwrap_or(0).max(SCHEDULE_TOPIC_QUEUES)
}

fn reply_topic(cluster: &str) -> String {
    format!("{cluster}_{REPLY_TOPIC_SUFFIX}")
}

fn topic(name: &str, queues: u32, perm: u32) -> Option<TopicConfig> {
    match Topic::new(name) {
        Ok(topic) => Some(TopicConfig { perm, ..TopicConfig::new(topic, queues) }),
        Err(error) => {
            tracing::warn!(name, %error, "a system topic was left out");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_begins_with_rocketmqs_topics() {
        let mut config = BrokerConfig::default();
        config.identity.broker_name = "broker-a".into();
        let topics = topics(&config);
        let of = |name: &str| topics.iter().find(|topic| &*topic.topic == name).map(|t| (t.read_queues, t.perm));
        assert_eq!(of("TBW102"), Some((8, 7)));
        assert_eq!(of("DefaultCluster"), Some((16, 7)));
        assert_eq!(of("broker-a"), Some((1, 7)));
        assert_eq!(of("rmq_sys_SYNC_BROKER_MEMBER_broker-a"), Some((1, 1)));
        assert_eq!(of("DefaultCluster_REPLY_TOPIC"), Some((1, 6)));
        assert_eq!(of("RMQ_SYS_TRACE_TOPIC"), None);
        assert_eq!(topics.len(), 13);
    }

    #[test]
    fn settings_close_topics() {
        let mut config = BrokerConfig::default();
        config.identity.broker_name = "no.topic.name".into();
        config.topics.cluster_topic = false;
        config.topics.auto_create = false;
        let topics = topics(&config);
        assert!(topics.iter().all(|topic| &*topic.topic != "TBW102"));
        assert!(topics.iter().any(|topic| &*topic.topic == "DefaultCluster" && topic.perm == 1));
        assert_eq!(topics.len(), 10);
    }
}
