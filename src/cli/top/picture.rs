//! What `top` shows: made of two looks, for rates are what changed between them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::sample::{Group, Sample};
use crate::cli::shown::{list, rate, table};
use crate::client::admin::TopicStatus;

/// One table's heads and rows.
pub type Sheet = (&'static [&'static str], Vec<Vec<String>>);

const BROKER_COLUMNS: &[&str] = &["broker", "id", "address", "version", "in/s", "out/s", "disk"];
const TOPIC_COLUMNS: &[&str] = &["topic", "queues", "messages", "in/s"];
const GROUP_COLUMNS: &[&str] = &["group", "members", "lag", "out/s", "topics"];

/// Everything, as numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Picture {
    pub producers: usize,
    pub consumers: usize,
    pub brokers: Vec<BrokerRow>,
    pub topics: Vec<TopicRow>,
    pub groups: Vec<GroupRow>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BrokerRow {
    pub broker: String,
    pub broker_id: i64,
    pub address: String,
    /// Empty of one that does not answer.
    pub version: String,
    pub put_rate: f64,
    pub get_rate: f64,
    pub disk_used: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicRow {
    pub topic: String,
    pub queues: usize,
    pub messages: i64,
    /// Messages a second since the last look.
    pub put_rate: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupRow {
    pub group: String,
    pub members: usize,
    pub lag: i64,
    /// Messages committed a second since the last look.
    pub consume_rate: f64,
    pub topics: Vec<String>,
}

/// What rows are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    #[default]
    Name,
    Rate,
    /// Messages of a topic, lag of a group.
    Count,
}

impl Order {
    pub fn next(self) -> Self {
        match self {
            Self::Name => Self::Rate,
            Self::Rate => Self::Count,
            Self::Count => Self::Name,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Rate => "rate",
            Self::Count => "messages and lag",
        }
    }
}

impl Picture {
    /// What `now` shows, with the rates since `before`; 0 where there is none.
    pub fn of(now: &Sample, before: Option<&Sample>) -> Self {
        let seconds = before.map_or(0.0, |before| (now.at - before.at).as_secs_f64());
        let per_second = |count: i64| if seconds > 0.0 { count.max(0) as f64 / seconds } else { 0.0 };
        let stored: BTreeMap<&str, i64> = before
            .iter()
            .flat_map(|before| &before.topics)
            .map(|(name, status)| (name.as_str(), ends(status)))
            .collect();
        let consumed: BTreeMap<&str, i64> =
            before.iter().flat_map(|before| &before.groups).map(|of| (of.name.as_str(), committed(of))).collect();
        let topics = now.topics.iter().map(|(name, status)| TopicRow {
            topic: name.clone(),
            queues: status.queues.len(),
            messages: status.messages(),
            put_rate: stored.get(name.as_str()).map_or(0.0, |stored| per_second(ends(status) - stored)),
        });
        let groups = now.groups.iter().map(|of| {
            let mut topics: Vec<String> = of.progress.iter().map(|queue| queue.topic.clone()).collect();
            topics.dedup();
            GroupRow {
                group: of.name.clone(),
                members: of.consumers.as_ref().map_or(0, |consumers| consumers.clients()),
                lag: of.progress.iter().map(|queue| queue.lag).sum(),
                consume_rate: consumed.get(of.name.as_str()).map_or(0.0, |done| per_second(committed(of) - done)),
                topics,
            }
        });
        let brokers = now.brokers.iter().map(|(place, status)| BrokerRow {
            broker: place.broker.clone(),
            broker_id: place.broker_id,
            address: place.address.clone(),
            version: status.as_ref().map_or_else(String::new, |status| status.version.clone()),
            put_rate: status.as_ref().map_or(0.0, |status| status.put.ten_seconds),
            get_rate: status.as_ref().map_or(0.0, |status| status.got.ten_seconds),
            disk_used: status.as_ref().and_then(|status| status.disk_used),
        });
        let groups: Vec<GroupRow> = groups.collect();
        let consumers = groups.iter().map(|group| group.members).sum();
        Self { producers: now.producers, consumers, brokers: brokers.collect(), topics: topics.collect(), groups }
    }

    pub fn sort(&mut self, order: Order) {
        match order {
            Order::Name => {
                self.topics.sort_by(|one, other| one.topic.cmp(&other.topic));
                self.groups.sort_by(|one, other| one.group.cmp(&other.group));
            }
            Order::Rate => {
                self.topics.sort_by(|one, other| other.put_rate.total_cmp(&one.put_rate));
                self.groups.sort_by(|one, other| other.consume_rate.total_cmp(&one.consume_rate));
            }
            Order::Count => {
                self.topics.sort_by_key(|row| std::cmp::Reverse(row.messages));
                self.groups.sort_by_key(|row| std::cmp::Reverse(row.lag));
            }
        }
    }

    /// How many clients there are, in a line.
    pub fn summary(&self) -> String {
        let put: f64 = self.topics.iter().map(|row| row.put_rate).sum();
        let consumed: f64 = self.groups.iter().map(|row| row.consume_rate).sum();
        let lag: i64 = self.groups.iter().map(|row| row.lag).sum();
        let (put, consumed) = (rate(put), rate(consumed));
        let (brokers, producers, consumers) = (self.brokers.len(), self.producers, self.consumers);
        format!(
            "brokers {brokers}  producers {producers}  consumers {consumers}  in {put}/s  out {consumed}/s  lag {lag}"
        )
    }

    pub fn broker_sheet(&self) -> Sheet {
        let row = |row: &BrokerRow| {
            let version = if row.version.is_empty() { "no answer".to_owned() } else { row.version.clone() };
            let disk = row.disk_used.map_or_else(|| "-".to_owned(), |used| format!("{:.0}%", used * 100.0));
            let (id, address) = (row.broker_id.to_string(), row.address.clone());
            vec![row.broker.clone(), id, address, version, rate(row.put_rate), rate(row.get_rate), disk]
        };
        (BROKER_COLUMNS, self.brokers.iter().map(row).collect())
    }

    pub fn topic_sheet(&self) -> Sheet {
        let row = |row: &TopicRow| {
            vec![row.topic.clone(), row.queues.to_string(), row.messages.to_string(), rate(row.put_rate)]
        };
        (TOPIC_COLUMNS, self.topics.iter().map(row).collect())
    }

    pub fn group_sheet(&self) -> Sheet {
        let row = |row: &GroupRow| {
            let (members, lag, topics) = (row.members.to_string(), row.lag.to_string(), list(&row.topics));
            vec![row.group.clone(), members, lag, rate(row.consume_rate), topics]
        };
        (GROUP_COLUMNS, self.groups.iter().map(row).collect())
    }

    /// All of it, as tables below each other.
    pub fn text(&self) -> String {
        let mut text = self.summary();
        for (columns, rows) in [self.broker_sheet(), self.topic_sheet(), self.group_sheet()] {
            if !rows.is_empty() {
                text.push_str("\n\n");
                text.push_str(&table(columns, rows));
            }
        }
        text
    }
}

fn ends(status: &TopicStatus) -> i64 {
    status.queues.iter().map(|queue| queue.max_offset).sum()
}

fn committed(group: &Group) -> i64 {
    group.progress.iter().map(|queue| queue.committed_offset).sum()
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::client::admin::{BrokerPlace, BrokerStatus, QueueProgress, QueueStatus};

    fn sample(at: Instant, stored: i64, consumed: i64) -> Sample {
        let queue =
            |max_offset| QueueStatus { broker: "a".into(), queue: 0, min_offset: 0, max_offset, last_stored_ms: None };
        let progress = QueueProgress {
            topic: "orders".into(),
            broker: "a".into(),
            queue: 0,
            max_offset: stored,
            committed_offset: consumed,
            lag: stored - consumed,
            in_flight: 0,
            consumed_until_ms: None,
        };
        let place =
            BrokerPlace { cluster: "C".into(), broker: "a".into(), broker_id: 0, address: "127.0.0.1:10911".into() };
        let topic = |name: &str, max| (name.to_owned(), TopicStatus { queues: vec![queue(max)], put_rate: 0.0 });
        Sample {
            at,
            brokers: vec![(place, Some(BrokerStatus { version: "V5_5_0".into(), ..BrokerStatus::default() }))],
            topics: vec![topic("big", 1_000), topic("orders", stored)],
            groups: vec![Group { name: "billing".into(), consumers: None, progress: vec![progress] }],
            producers: 3,
        }
    }

    pub(in crate::cli::top) fn picture() -> Picture {
        let now = Instant::now();
        Picture::of(&sample(now + Duration::from_secs(2), 30, 24), Some(&sample(now, 10, 20)))
    }

    #[test]
    fn rates_are_what_changed() {
        let mut picture = picture();
        assert_eq!(picture.topics[1].put_rate, 10.0);
        assert_eq!((picture.groups[0].consume_rate, picture.groups[0].lag), (2.0, 6));
        assert_eq!(picture.summary(), "brokers 1  producers 3  consumers 0  in 10.0/s  out 2.0/s  lag 6");
        picture.sort(Order::Rate);
        assert_eq!(picture.topics[0].topic, "orders");
        picture.sort(Order::Count);
        assert_eq!(picture.topics[0].topic, "big");
        let text = picture.text();
        assert!(text.contains("billing") && text.contains("V5_5_0"), "{text}");
    }
}
