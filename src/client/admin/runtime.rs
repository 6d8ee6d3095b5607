//! What a broker says of itself: the figures of request 28 that both our brokers and Apache's give.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::protocol::body::lists::KvTable;
use crate::protocol::body::{Body, DecodeError};

/// A rate over three stretches of time, a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rates {
    pub ten_seconds: f64,
    pub minute: f64,
    pub ten_minutes: f64,
}

impl Rates {
    /// Three numbers with blanks between them.
    fn of(text: &str) -> Self {
        let mut numbers = text.split_whitespace().map(|number| number.parse().unwrap_or_default());
        let mut next = || numbers.next().unwrap_or_default();
        Self { ten_seconds: next(), minute: next(), ten_minutes: next() }
    }
}

/// A running broker's figures. What a broker does not tell is `None` or 0.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BrokerStatus {
    /// Such as `V5_5_0`.
    pub version: String,
    /// When it started, ms since 1970.
    pub started_ms: Option<i64>,
    /// Messages stored.
    pub put: Rates,
    /// Messages given out.
    pub got: Rates,
    pub put_today: i64,
    pub got_today: i64,
    /// Bytes of the log that are there.
    pub log_bytes: i64,
    /// Store time of the oldest message, ms since 1970.
    pub oldest_message_ms: Option<i64>,
    /// Used share of the log's file system, 0 to 1.
    pub disk_used: Option<f64>,
    /// Bytes that are in the log but not yet in its queues.
    pub behind_bytes: i64,
    /// Sends that wait for a thread.
    pub waiting_sends: i64,
    /// Pulls that wait for a thread.
    pub waiting_pulls: i64,
}

impl BrokerStatus {
    pub(super) fn of(bytes: &[u8]) -> Result<Self, DecodeError> {
        let KvTable { table } = KvTable::decode(bytes)?;
        let number = |key: &str| whole(&table, key).unwrap_or_default();
        let share = |key: &str| table.get(key)?.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
        let rates = |key: &str| table.get(key).map(|text| Rates::of(text)).unwrap_or_default();
        Ok(Self {
            version: table.get("brokerVersionDesc").cloned().unwrap_or_default(),
            started_ms: whole(&table, "bootTimestamp"),
            put: rates("putTps"),
            got: rates("getTransferredTps"),
            put_today: number("msgPutTotalTodayNow") - number("msgPutTotalTodayMorning"),
            got_today: number("msgGetTotalTodayNow") - number("msgGetTotalTodayMorning"),
            log_bytes: (number("commitLogMaxOffset") - number("commitLogMinOffset")).max(0),
            oldest_message_ms: whole(&table, "earliestMessageTimeStamp").filter(|time| *time > 0),
            disk_used: share("commitLogDiskRatio"),
            behind_bytes: number("dispatchBehindBytes"),
            waiting_sends: number("sendThreadPoolQueueSize"),
            waiting_pulls: number("pullThreadPoolQueueSize"),
        })
    }
}

fn whole(table: &BTreeMap<String, String>, key: &str) -> Option<i64> {
    table.get(key)?.trim().parse().ok()
}

/// RocketMQ's number of a release as people write it: 513 is `5.5.0`. Numbers from before 4.1 stay numbers.
#[must_use]
pub fn release(version: i32) -> String {
    /// 4.1.0 as a snapshot; each release takes two numbers, each minor ten releases.
    const FIRST: i32 = 232;
    let Some(count) = version.checked_sub(FIRST).filter(|count| (0..1_000).contains(count)) else {
        return version.to_string();
    };
    let (minors, patch) = (count / 20, count / 2 % 10);
    let (major, minor) = if minors < 9 { (4, minors + 1) } else { (5 + (minors - 9) / 10, (minors - 9) % 10) };
    format!("{major}.{minor}.{patch}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_those_of_rocketmq() {
        let known = [(399, "4.9.3"), (401, "4.9.4"), (413, "5.0.0"), (475, "5.3.1"), (513, "5.5.0"), (5, "5")];
        for (number, name) in known {
            assert_eq!(release(number), name);
        }
    }

    #[test]
    fn figures_are_read_from_texts() {
        let text = br#"{"table":{"putTps":"1.5 2 3.25","commitLogDiskRatio":"0.5","bootTimestamp":"12",
            "msgPutTotalTodayNow":"10","msgPutTotalTodayMorning":"4","earliestMessageTimeStamp":"-1"}}"#;
        let status = BrokerStatus::of(text).unwrap();
        assert_eq!(status.put, Rates { ten_seconds: 1.5, minute: 2.0, ten_minutes: 3.25 });
        assert_eq!((status.put_today, status.disk_used, status.started_ms), (6, Some(0.5), Some(12)));
        assert_eq!((status.oldest_message_ms, status.got), (None, Rates::default()));
    }
}
