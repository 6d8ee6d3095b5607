//! Names in requests: checked as RocketMQ checks them, refused with its remarks.

use super::Refusal;
use crate::actors::catalog::topics::own_names;
use crate::config::BrokerConfig;
use crate::protocol::code::ResponseCode;
use crate::protocol::names::{
    DEAD_LETTER_PREFIX, DERIVED_TOPIC_BYTES_MAX, GROUP_BYTES_MAX, Group, NameError, RETRY_PREFIX, TOPIC_BYTES_MAX,
    Topic, check_name, is_system_topic,
};

const ALLOWED: &str = "^[%|a-zA-Z0-9_-]+$";

/// A topic name that an administrator may use.
pub(super) fn topic(name: &str) -> Result<Topic, Refusal> {
    let derived = name.starts_with(RETRY_PREFIX) || name.starts_with(DEAD_LETTER_PREFIX);
    let limit = if derived { DERIVED_TOPIC_BYTES_MAX } else { TOPIC_BYTES_MAX };
    let kind = if derived { " is DLQ or Retry topic" } else { "" };
    let checked = check_name(name.trim(), limit).and_then(|()| Topic::new(name));
    checked.map_err(|error| {
        refusal(match error {
            NameError::Blank => "The specified topic is blank.".into(),
            NameError::Character { .. } => {
                format!("The specified topic: {}, contains illegal characters, allowing only {ALLOWED}", shown(name))
            }
            NameError::TooLong { .. } => {
                format!("The specified topic{kind}: {}, is longer than topic max length: {limit}", shown(name))
            }
        })
    })
}

/// The same, and no topic of the broker's own.
pub(super) fn free_topic(name: &str, config: &BrokerConfig) -> Result<Topic, Refusal> {
    let topic = topic(name)?;
    if config.topics.protect_system_topics && is_system(&topic, config) {
        return Err(refusal(format!("The topic[{topic}] is conflict with system topic.")));
    }
    Ok(topic)
}

pub(super) fn is_system(topic: &str, config: &BrokerConfig) -> bool {
    is_system_topic(topic) || own_names(config).iter().any(|own| own == topic)
}

/// A group name that an administrator may use.
pub(super) fn group(name: &str) -> Result<Group, Refusal> {
    let checked = check_name(name.trim(), GROUP_BYTES_MAX).and_then(|()| Group::new(name));
    checked.map_err(|error| {
        refusal(match error {
            NameError::Blank => "The specified group is blank.".into(),
            NameError::Character { .. } => {
                format!("The specified group: {}, contains illegal characters, allowing only {ALLOWED}", shown(name))
            }
            NameError::TooLong { limit, .. } => {
                format!("The specified group: {}, is longer than group max length: {limit}", shown(name))
            }
        })
    })
}

fn refusal(remark: String) -> Refusal {
    Refusal::new(ResponseCode::InvalidParameter, remark)
}

/// As much of a name as belongs into a remark.
fn shown(name: &str) -> &str {
    let end = name.char_indices().nth(DERIVED_TOPIC_BYTES_MAX).map_or(name.len(), |(at, _)| at);
    &name[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remark<T: std::fmt::Debug>(result: Result<T, Refusal>) -> String {
        let refusal = result.unwrap_err();
        assert_eq!(refusal.code, 29);
        refusal.remark.into_owned()
    }

    #[test]
    fn names_are_refused_with_rocketmqs_remarks() {
        assert_eq!(remark(topic(" ")), "The specified topic is blank.");
        assert!(remark(topic("a/b")).contains("contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$"));
        assert!(remark(topic(&"x".repeat(128))).ends_with("is longer than topic max length: 127"));
        assert!(topic(&format!("%RETRY%{}", "x".repeat(200))).is_ok());
        assert!(topic(" x").is_err());
        assert_eq!(remark(group("")), "The specified group is blank.");
        assert!(remark(group(&"ß".repeat(100_000))).len() < 1_000);
    }

    #[test]
    fn the_brokers_own_topics_are_protected_unless_the_settings_say_otherwise() {
        let mut config = BrokerConfig::default();
        config.identity.broker_name = "broker-a".into();
        for own in ["TBW102", "broker-a", "DefaultCluster", "DefaultCluster_REPLY_TOPIC", "rmq_sys_x"] {
            assert_eq!(remark(free_topic(own, &config)), format!("The topic[{own}] is conflict with system topic."));
        }
        assert!(free_topic("%RETRY%g", &config).is_ok());
        config.topics.protect_system_topics = false;
        assert!(free_topic("TBW102", &config).is_ok());
    }
}
