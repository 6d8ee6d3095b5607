//! The names and numbers that everything else speaks of.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Number of a queue within its topic on one broker, from 0.
pub type QueueId = u32;
/// Position of a message in its queue, counted in messages from 0.
pub type QueueOffset = u64;
/// Position of a byte in the CommitLog, from 0 over all segments.
pub type LogOffset = u64;

/// Longest topic name that a client may use, in bytes.
pub const TOPIC_BYTES_MAX: usize = 127;
/// Longest name of a topic that the broker itself derives from a group (retry, dead letters), in bytes.
pub const DERIVED_TOPIC_BYTES_MAX: usize = 255;
/// Longest consumer or producer group name, in bytes.
pub const GROUP_BYTES_MAX: usize = 255;

pub const RETRY_PREFIX: &str = "%RETRY%";
pub const DEAD_LETTER_PREFIX: &str = "%DLQ%";
/// The topic whose configuration new topics are cut from.
pub const AUTO_CREATE_TOPIC: &str = "TBW102";
pub const SCHEDULE_TOPIC: &str = "SCHEDULE_TOPIC_XXXX";
pub const HALF_TOPIC: &str = "RMQ_SYS_TRANS_HALF_TOPIC";
pub const OP_HALF_TOPIC: &str = "RMQ_SYS_TRANS_OP_HALF_TOPIC";
/// The group whose progress in the two topics above is that of the transaction check.
pub const TRANSACTION_GROUP: &str = "CID_RMQ_SYS_TRANS";
/// Groups of this prefix belong to RocketMQ: they come into being on first use whatever the settings say.
pub const SYSTEM_GROUP_PREFIX: &str = "CID_RMQ_SYS_";
/// The groups that every broker has.
pub const SYSTEM_GROUPS: &[&str] = &[
    "TOOLS_CONSUMER",
    "FILTERSRV_CONSUMER",
    "SELF_TEST_C_GROUP",
    "CID_ONS-HTTP-PROXY",
    "CID_ONSAPI_PULL",
    "CID_ONSAPI_PERMISSION",
    "CID_ONSAPI_OWNER",
    TRANSACTION_GROUP,
];
/// The group that Java's clients use where none is named.
pub const DEFAULT_CONSUMER_GROUP: &str = "DEFAULT_CONSUMER";
pub const TRANS_CHECK_MAX_TIME_TOPIC: &str = "TRANS_CHECK_MAX_TIME_TOPIC";
pub const SELF_TEST_TOPIC: &str = "SELF_TEST_TOPIC";
pub const BENCHMARK_TOPIC: &str = "BenchmarkTest";
pub const OFFSET_MOVED_TOPIC: &str = "OFFSET_MOVED_EVENT";
pub const TRACE_TOPIC: &str = "RMQ_SYS_TRACE_TOPIC";
pub const CHECKPOINT_TOPIC: &str = "CHECKPOINT_TOPIC";
pub const TIMER_TOPIC: &str = "rmq_sys_wheel_timer";
pub const SYSTEM_TOPIC_PREFIX: &str = "rmq_sys_";
pub const REPLY_TOPIC_SUFFIX: &str = "REPLY_TOPIC";

/// Why a name cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("the name is blank")]
    Blank,
    #[error("the name is {length} bytes long, at most {limit} are allowed")]
    TooLong { length: usize, limit: usize },
    #[error("the name contains {character:?}; allowed are letters, digits, `_`, `-`, `%` and `|`")]
    Character { character: char },
}

/// Checks what RocketMQ checks of topics and groups (`^[%|a-zA-Z0-9_-]+$`), so a name is also safe as a file name.
pub fn check_name(name: &str, limit: usize) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Blank);
    }
    if name.len() > limit {
        return Err(NameError::TooLong { length: name.len(), limit });
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '%' | '|');
    match name.chars().find(|c| !allowed(*c)) {
        Some(character) => Err(NameError::Character { character }),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $limit:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Arc<str>);

        impl $type {
            /// # Errors
            /// [`NameError`] when the name is blank, too long or has a character that RocketMQ does not allow.
            pub fn new(name: &str) -> Result<Self, NameError> {
                check_name(name, $limit)?;
                Ok(Self(name.into()))
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Deref for $type {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(name: String) -> Result<Self, NameError> {
                Self::new(&name)
            }
        }

        impl TryFrom<&str> for $type {
            type Error = NameError;
            fn try_from(name: &str) -> Result<Self, NameError> {
                Self::new(name)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0.as_ref().to_owned()
            }
        }
    };
}

name!(
    /// A topic whose name was checked; cheap to clone.
    Topic,
    DERIVED_TOPIC_BYTES_MAX
);
name!(
    /// A consumer or producer group whose name was checked; cheap to clone.
    Group,
    GROUP_BYTES_MAX
);

impl Topic {
    /// The topic to which messages of `group` go that have to be consumed again. Cut to what a topic may hold.
    #[must_use]
    pub fn retry_of(group: &Group) -> Topic {
        Topic::derived(RETRY_PREFIX, group)
    }

    /// The topic to which messages of `group` go that failed for good.
    #[must_use]
    pub fn dead_letters_of(group: &Group) -> Topic {
        Topic::derived(DEAD_LETTER_PREFIX, group)
    }

    fn derived(prefix: &str, group: &Group) -> Topic {
        let mut name = format!("{prefix}{group}");
        name.truncate(DERIVED_TOPIC_BYTES_MAX);
        Topic(name.into())
    }

    #[must_use]
    pub fn is_retry(&self) -> bool {
        self.starts_with(RETRY_PREFIX)
    }

    #[must_use]
    pub fn is_dead_letters(&self) -> bool {
        self.starts_with(DEAD_LETTER_PREFIX)
    }
}

/// Topics that only the broker itself writes to; a client's send to one gets NO_PERMISSION.
#[must_use]
pub fn is_closed_to_clients(topic: &str) -> bool {
    matches!(
        topic,
        SCHEDULE_TOPIC | HALF_TOPIC | OP_HALF_TOPIC | TRANS_CHECK_MAX_TIME_TOPIC | SELF_TEST_TOPIC | OFFSET_MOVED_TOPIC
    )
}

/// Topics that an administrator may neither make, change nor delete.
#[must_use]
pub fn is_system_topic(topic: &str) -> bool {
    topic.starts_with(SYSTEM_TOPIC_PREFIX)
        || is_closed_to_clients(topic)
        || matches!(topic, AUTO_CREATE_TOPIC | BENCHMARK_TOPIC | TRACE_TOPIC | CHECKPOINT_TOPIC)
}

/// One queue of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueKey {
    pub topic: Topic,
    pub queue: QueueId,
}

impl fmt::Display for QueueKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.queue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_path_parts_are_refused() {
        for bad in ["../x", "a/b", "a b", "a.b", "", "é"] {
            assert!(Topic::new(bad).is_err(), "{bad:?}");
        }
        assert!(Topic::new("%RETRY%g|x_y-1").is_ok());
        assert!(Topic::new(&"x".repeat(256)).is_err());
    }

    #[test]
    fn derived_topics_fit() {
        let group = Group::new(&"g".repeat(255)).unwrap();
        assert_eq!(Topic::retry_of(&group).len(), DERIVED_TOPIC_BYTES_MAX);
    }
}
