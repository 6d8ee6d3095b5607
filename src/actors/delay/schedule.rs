//! The way of a message into SCHEDULE_TOPIC_XXXX: whoever stores one that asks for a delay level puts it there.

use std::sync::Arc;

use crate::actors::catalog::topics::{TopicEntry, TopicTable};
use crate::actors::log::draft::QueueCode;
use crate::config::BrokerConfig;
use crate::protocol::names::{QueueId, SCHEDULE_TOPIC};
use crate::protocol::properties::{self, Properties};
use crate::rules::delay_level;

/// The delay levels and the topic that keeps their messages. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Schedule {
    topics: Arc<TopicTable>,
    delays_ms: Arc<[i64]>,
}

/// Where a message waits until it is due.
#[derive(Debug, Clone)]
pub struct Waiting {
    pub entry: Arc<TopicEntry>,
    pub queue: QueueId,
    pub code: QueueCode,
}

impl Schedule {
    #[must_use]
    pub fn new(config: &BrokerConfig, topics: Arc<TopicTable>) -> Self {
        let delays = config.delay.levels.millis().iter().map(|delay| i64::try_from(*delay).unwrap_or(i64::MAX));
        Self { topics, delays_ms: delays.collect() }
    }

    /// Delay of each level in ms; the first is level 1's.
    #[must_use]
    pub fn delays_ms(&self) -> &[i64] {
        &self.delays_ms
    }

    /// Where a message for `queue` of `topic` waits that asks for `level`, and what its properties are to say there;
    /// `None` when it is not to be delayed, and nothing was changed.
    #[must_use]
    pub fn place(
        &self,
        level: i32,
        (topic, queue): (&str, QueueId),
        properties: &mut Properties<'_>,
    ) -> Option<Waiting> {
        let entry = self.topics.get(SCHEDULE_TOPIC)?;
        let level = delay_level::clipped(level, self.delays_ms.len().min(entry.slots.len()))?;
        let delay_ms = *self.delays_ms.get(level - 1)?;
        properties::TIMERS.iter().for_each(|timer| properties.remove(timer));
        properties.set(properties::DELAY, level.to_string());
        properties.set(properties::REAL_TOPIC, topic.to_owned());
        properties.set(properties::REAL_QUEUE_ID, queue.to_string());
        Some(Waiting { entry, queue: (level - 1) as QueueId, code: QueueCode::DueAfter(delay_ms) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::catalog::topics::TopicConfig;
    use crate::protocol::names::Topic;

    #[test]
    fn a_delayed_message_says_where_it_belongs_and_asks_for_no_timer() {
        let topics = Arc::new(TopicTable::default());
        topics.publish_for_tests(TopicConfig::new(Topic::new(SCHEDULE_TOPIC).unwrap(), 18));
        let schedule = Schedule::new(&BrokerConfig::default(), topics);
        let text = "DELAY\u{1}99\u{2}REAL_QID\u{1}old\u{2}own\u{1}1\u{2}TIMER_DELAY_MS\u{1}5\u{2}";
        let mut all = Properties::read(text);
        assert!(schedule.place(0, ("T", 3), &mut all).is_none());
        assert!(schedule.place(-1, ("T", 3), &mut all).is_none());
        assert_eq!(all, Properties::read(text));
        let waiting = schedule.place(99, ("T", 3), &mut all).unwrap();
        assert_eq!((waiting.queue, waiting.code), (17, QueueCode::DueAfter(7_200_000)));
        assert_eq!(all.text(), "DELAY\u{1}18\u{2}REAL_QID\u{1}3\u{2}own\u{1}1\u{2}REAL_TOPIC\u{1}T\u{2}");
    }
}
