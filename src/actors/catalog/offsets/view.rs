//! Consumer offsets as a value: what their owner keeps, and gives away as it is at one moment.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::protocol::names::{Group, QueueId, QueueKey, QueueOffset, Topic};

/// How far a group has come in one queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// The next message to consume after a restart.
    pub committed: Option<QueueOffset>,
    /// Where the newest pull began; written only along with what was committed.
    pub pulled: Option<QueueOffset>,
}

/// By queue id.
pub type Queues = BTreeMap<QueueId, Progress>;

/// The offsets of some groups in some topics. Cheap to clone: the queues are shared until they change.
#[derive(Debug, Clone, Default)]
pub struct OffsetsView {
    pub(super) queues: HashMap<(Group, Topic), Arc<Queues>>,
}

impl OffsetsView {
    #[must_use]
    pub fn progress(&self, group: &Group, topic: &Topic, queue: QueueId) -> Progress {
        self.of(group, topic).and_then(|queues| queues.get(&queue)).copied().unwrap_or_default()
    }

    #[must_use]
    pub fn committed(&self, group: &Group, topic: &Topic, queue: QueueId) -> Option<QueueOffset> {
        self.progress(group, topic, queue).committed
    }

    #[must_use]
    pub fn of(&self, group: &Group, topic: &Topic) -> Option<&Queues> {
        self.queues.get(&(group.clone(), topic.clone())).map(Arc::as_ref)
    }

    /// Topics in which `group` has committed.
    #[must_use]
    pub fn topics_of(&self, group: &Group) -> BTreeSet<Topic> {
        self.with_commits().filter(|((of, _), _)| of == group).map(|((_, topic), _)| topic.clone()).collect()
    }

    /// Groups that have committed in `topic`.
    #[must_use]
    pub fn groups_of(&self, topic: &Topic) -> BTreeSet<Group> {
        self.with_commits().filter(|((_, of), _)| of == topic).map(|((group, _), _)| group.clone()).collect()
    }

    /// Every queue in which some group has committed.
    #[must_use]
    pub fn queue_keys(&self) -> BTreeSet<QueueKey> {
        let keys = self.queues.iter().flat_map(|((_, topic), queues)| {
            let committed = queues.iter().filter(|(_, progress)| progress.committed.is_some());
            committed.map(|(queue, _)| QueueKey { topic: topic.clone(), queue: *queue })
        });
        keys.collect()
    }

    /// The pairs of group and topic with a committed offset.
    pub fn with_commits(&self) -> impl Iterator<Item = (&(Group, Topic), &Queues)> {
        let pairs = self.queues.iter().map(|(pair, queues)| (pair, queues.as_ref()));
        pairs.filter(|(_, queues)| queues.values().any(|progress| progress.committed.is_some()))
    }
}
