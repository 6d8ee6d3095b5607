//! What a group wants of a topic, as its consumers' heartbeats say, and the table that pulls look at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;

pub use crate::protocol::body::clients::{ConsumeFromWhere, ConsumeType, MessageModel};
use crate::protocol::names::{Group, Topic};

/// The expression that wants everything.
pub const EVERYTHING: &str = "*";
/// The expression type of tags.
pub const TAG_EXPRESSION: &str = "TAG";

/// A subscription of one group to one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    pub topic: Topic,
    /// `TAG`, `SQL92`, or the name of a filter.
    pub expression_type: String,
    pub expression: String,
    /// The tags of a `TAG` expression; none: all messages.
    pub tags: BTreeSet<String>,
    /// Their codes, by rising number.
    codes: Box<[i32]>,
    /// The client's clock when the subscription was made, in ms; a higher one replaces a lower.
    pub version: i64,
    /// Filtering by an uploaded class, which no release of this century does: nothing is filtered then.
    pub class_filter: bool,
}

impl Subscription {
    /// The codes are made from `tags`, for not every client computes them as Java does; clients that send no tags get
    /// those of the expression.
    #[must_use]
    pub fn new(
        topic: Topic,
        expression_type: Option<String>,
        expression: Option<String>,
        tags: BTreeSet<String>,
    ) -> Self {
        let expression_type = expression_type.filter(|text| !text.is_empty()).unwrap_or_else(|| TAG_EXPRESSION.into());
        let expression = expression.filter(|text| !text.is_empty()).unwrap_or_else(|| EVERYTHING.into());
        let by_tag = expression_type == TAG_EXPRESSION;
        let tags = match (by_tag, tags.is_empty(), expression.as_str()) {
            (true, _, EVERYTHING) | (false, true, _) => BTreeSet::new(),
            (true, true, _) => {
                expression.split("||").map(|tag| tag.trim().to_owned()).filter(|t| !t.is_empty()).collect()
            }
            (_, false, _) => tags,
        };
        let codes: BTreeSet<i32> = tags.iter().map(|tag| tag_code(tag)).collect();
        let codes = codes.into_iter().collect();
        Self { topic, expression_type, expression, tags, codes, version: 0, class_filter: false }
    }

    #[must_use]
    pub fn is_by_tag(&self) -> bool {
        self.expression_type == TAG_EXPRESSION
    }

    /// Codes of the tags, by rising number; none: all messages.
    #[must_use]
    pub fn codes(&self) -> &[i32] {
        &self.codes
    }

    /// A message with this tag code may be wanted; the client looks at the tag itself.
    #[inline]
    #[must_use]
    pub fn wants_code(&self, tag_code: i64) -> bool {
        self.codes.is_empty() || self.class_filter || self.codes.binary_search(&(tag_code as i32)).is_ok()
    }
}

/// Java's `String.hashCode`, which is what RocketMQ has for a tag's code.
fn tag_code(tag: &str) -> i32 {
    tag.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// What a pull needs to know of a group that has consumers. Never changes: a change publishes another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupSubscriptions {
    /// As the newest heartbeat says.
    pub consume_type: Option<ConsumeType>,
    /// As the newest heartbeat says.
    pub model: Option<MessageModel>,
    /// As the newest heartbeat says; only clients act on it.
    pub from: Option<ConsumeFromWhere>,
    pub topics: BTreeMap<Topic, Arc<Subscription>>,
    /// The newest heartbeat had a fingerprint of the subscriptions. Such a client tells of other expressions, but not of
    /// versions that it raised of the same ones.
    pub fingerprinted: bool,
}

impl GroupSubscriptions {
    /// Every consumer of the group gets every message.
    #[must_use]
    pub fn is_broadcasting(&self) -> bool {
        self.model == Some(MessageModel::Broadcasting)
    }
}

/// The subscriptions of all groups that have consumers. Cheap to read from any thread; only [`super::Members`] writes.
#[derive(Debug, Default)]
pub struct SubscriptionTable {
    groups: DashMap<Group, Arc<GroupSubscriptions>>,
    version: AtomicU64,
}

impl SubscriptionTable {
    #[must_use]
    pub fn group(&self, group: &str) -> Option<Arc<GroupSubscriptions>> {
        self.groups.get(group).map(|found| Arc::clone(&found))
    }

    #[must_use]
    pub fn lookup(&self, group: &str, topic: &str) -> Option<Arc<Subscription>> {
        self.groups.get(group)?.topics.get(topic).cloned()
    }

    /// Differs after every change. What was looked up after reading a version holds for as long as that version does.
    #[inline]
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Groups that subscribe to `topic`.
    #[must_use]
    pub fn groups_of(&self, topic: &str) -> BTreeSet<Group> {
        let subscribed = self.groups.iter().filter(|entry| entry.topics.contains_key(topic));
        subscribed.map(|entry| entry.key().clone()).collect()
    }

    /// The owner's: `None` when the last consumer of the group is gone.
    pub(super) fn publish(&self, group: &Group, subscriptions: Option<GroupSubscriptions>) {
        match subscriptions {
            Some(subscriptions) => self.groups.insert(group.clone(), Arc::new(subscriptions)),
            None => self.groups.remove(group).map(|(_, old)| old),
        };
        self.version.fetch_add(1, Ordering::Release);
    }

    /// The owner's: groups of which only an owner before this one knew go.
    pub(super) fn retain(&self, known: impl Fn(&Group) -> bool) {
        let before = self.groups.len();
        self.groups.retain(|group, _| known(group));
        if self.groups.len() != before {
            self.version.fetch_add(1, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(expression: &str, tags: &[&str]) -> Subscription {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        Subscription::new(Topic::new("T").unwrap(), None, Some(expression.into()), tags)
    }

    #[test]
    fn codes_are_javas_whatever_the_client_computed() {
        assert_eq!(subscription("a || c", &["a", "c"]).codes(), [97, 99]);
        assert_eq!(subscription("a||c", &[]).codes(), [97, 99]);
        assert_eq!(subscription("ü", &["ü"]).codes(), [252]);
        assert_eq!(subscription("Aa", &[]).codes(), subscription("BB", &[]).codes());
        let everything = subscription("*", &[]);
        assert!(everything.codes().is_empty() && everything.wants_code(i64::MIN));
        assert_eq!(subscription("", &[]).expression, "*");
    }

    #[test]
    fn a_code_is_wanted_when_one_of_the_tags_has_it() {
        let tagged = subscription("a || c", &[]);
        assert!(tagged.wants_code(97) && tagged.wants_code(99));
        assert!(!tagged.wants_code(98) && !tagged.wants_code(0));
    }

    #[test]
    fn other_expressions_have_no_codes_unless_they_bring_tags() {
        let topic = Topic::new("T").unwrap();
        let sql = Subscription::new(topic, Some("SQL92".into()), Some("a > 1".into()), BTreeSet::new());
        assert!(!sql.is_by_tag() && sql.codes().is_empty());
    }
}
