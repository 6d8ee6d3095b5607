//! What becomes of a half message: the message itself when it is committed, a copy when its producer is asked, a copy that
//! is put aside when nobody knew. Pure.

use crate::protocol::names::{LogOffset, QueueId, QueueOffset, Topic};
use crate::protocol::properties::{self, Seen};
use crate::protocol::record::store_timestamp_at;
use crate::protocol::record::{
    FLAG_COMMITTED, FLAG_TRANSACTION, NewRecord, PHYSICAL_OFFSET_AT, QUEUE_OFFSET_AT, Record,
};

/// Properties of transactions, by RocketMQ's names.
pub const TRANSACTION_ID: &str = "__transactionId__";
pub const PRODUCER_GROUP: &str = properties::PRODUCER_GROUP;
pub const IMMUNITY_SECONDS: &str = "CHECK_IMMUNITY_TIME_IN_SECONDS";
pub const CHECK_TIMES: &str = "TRANSACTION_CHECK_TIMES";
/// The queue offset that a copy's original had.
pub const PREPARED_QUEUE_OFFSET: &str = "TRAN_PREPARED_QUEUE_OFFSET";

/// Where a half message is to go when it is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub topic: Topic,
    pub queue: QueueId,
}

/// `None` for what is no half message.
#[must_use]
pub fn target(half: &Record<'_>) -> Option<Target> {
    let topic = properties::value(half.properties, properties::REAL_TOPIC)?;
    let queue = properties::value(half.properties, properties::REAL_QUEUE_ID)?;
    Some(Target { topic: Topic::new(topic).ok()?, queue: queue.parse().ok()? })
}

/// What a half message becomes when it is committed, found in one pass over its properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed<'a> {
    /// As the half message names it: there may be no such topic.
    pub topic: &'a str,
    pub queue: QueueId,
    pub seen: Seen<'a>,
}

impl<'a> Committed<'a> {
    /// Appends the committed message's properties to `text`. `None` for what is no half message.
    #[must_use]
    pub fn of(half: &Record<'a>, text: &mut Vec<u8>) -> Option<Self> {
        let (mut topic, mut queue, mut seen) = (None, None, Seen::nothing());
        for (name, value) in properties::pairs(half.properties) {
            match name {
                properties::REAL_TOPIC => topic = topic.or(Some(value)),
                properties::REAL_QUEUE_ID => queue = queue.or(Some(value)),
                PREPARED_QUEUE_OFFSET => {}
                _ => {
                    seen.see(name, value);
                    properties::push(text, name, value);
                }
            }
        }
        Some(Self { topic: topic?, queue: queue?.parse().ok()?, seen })
    }

    /// The committed message, without its properties.
    #[must_use]
    pub fn record(&self, half: &Record<'a>) -> NewRecord<'a> {
        NewRecord {
            topic: self.topic,
            queue: self.queue,
            sys_flag: half.sys_flag & !FLAG_TRANSACTION | FLAG_COMMITTED,
            prepared_transaction_offset: half.physical_offset as i64,
            ..half.again()
        }
    }
}

/// `text` without these names, and with this pair at its end.
fn changed(text: &str, without: &[&str], with: Option<(&str, &str)>) -> String {
    let mut out = Vec::with_capacity(text.len() + 64);
    let kept = properties::pairs(text).filter(|(name, _)| !without.contains(name));
    kept.chain(with).for_each(|(name, value)| properties::push(&mut out, name, value));
    String::from_utf8(out).unwrap_or_default()
}

/// How old a half message is, in ms, and until when nobody is asked about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age {
    pub since_birth_ms: i64,
    pub immunity_ms: i64,
    /// The producer chose the immunity.
    pub chosen: bool,
}

impl Age {
    #[must_use]
    pub fn of(half: &Record<'_>, now_ms: i64, timeout_ms: u64) -> Self {
        let text = properties::value(half.properties, IMMUNITY_SECONDS);
        let timeout_ms = i64::try_from(timeout_ms).unwrap_or(i64::MAX);
        let immunity_ms = match text.map(|text| text.parse::<i64>().unwrap_or(-1)) {
            None | Some(-1) => timeout_ms,
            Some(seconds) => seconds.saturating_mul(1_000),
        };
        Self { since_birth_ms: now_ms.saturating_sub(half.born_timestamp_ms), immunity_ms, chosen: text.is_some() }
    }

    /// An end that comes now, and not because the producer was asked, comes too late: the producer is asked.
    #[must_use]
    pub fn is_past_end(&self, timeout_ms: u64) -> bool {
        let timeout_ms = i64::try_from(timeout_ms).unwrap_or(i64::MAX);
        self.chosen && self.since_birth_ms > self.immunity_ms.max(timeout_ms)
    }
}

/// How often producers were asked about it.
#[must_use]
pub fn checks(half: &Record<'_>) -> Option<i64> {
    properties::value(half.properties, CHECK_TIMES).map(|text| text.parse().unwrap_or(-1))
}

/// The properties of a copy whose producer is asked now.
#[must_use]
pub fn asked_text(half: &Record<'_>) -> String {
    let times = checks(half).map_or(1, |times| times.saturating_add(1));
    changed(half.properties, &[CHECK_TIMES], Some((CHECK_TIMES, &times.to_string())))
}

/// The properties of a copy whose producer is not asked yet.
#[must_use]
pub fn immune_text(half: &Record<'_>) -> String {
    let before = prepared_offset(half).unwrap_or(half.queue_offset).to_string();
    changed(half.properties, &[PREPARED_QUEUE_OFFSET], Some((PREPARED_QUEUE_OFFSET, &before)))
}

/// The properties of a half message that is taken up again after it was put aside.
#[must_use]
pub fn resumed_text(half: &Record<'_>) -> String {
    changed(half.properties, &[CHECK_TIMES], Some((CHECK_TIMES, "0")))
}

/// The offset of which a copy says that its original had it.
#[must_use]
pub fn prepared_offset(half: &Record<'_>) -> Option<QueueOffset> {
    properties::value(half.properties, PREPARED_QUEUE_OFFSET)?.parse().ok()
}

/// The message as its producer is asked about it: in its own topic, at the place of its newest copy.
#[must_use]
pub fn question(half: &Record<'_>, target: &Target, text: &str, (offset, at): (QueueOffset, LogOffset)) -> Vec<u8> {
    let text = changed(text, &[properties::WAIT], Some((properties::WAIT, "false")));
    let pieces: [&[u8]; 1] = [text.as_bytes()];
    let record = NewRecord { topic: &target.topic, queue: target.queue, properties: &pieces, ..half.again() };
    let mut out = Vec::with_capacity(record.size());
    record.encode(&mut out);
    let stamp_at = store_timestamp_at(record.stored_sys_flag());
    let numbers = [(QUEUE_OFFSET_AT, offset), (PHYSICAL_OFFSET_AT, at), (stamp_at, half.store_timestamp_ms as u64)];
    for (place, number) in numbers {
        if let Some(bytes) = out.get_mut(place..place + 8) {
            bytes.copy_from_slice(&number.to_be_bytes());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "KEYS\u{1}k\u{2}UNIQ_KEY\u{1}u\u{2}TRAN_MSG\u{1}true\u{2}PGROUP\u{1}p\u{2}REAL_TOPIC\u{1}T\u{2}REAL_QID\u{1}3\u{2}";

    fn half(text: &str, check: impl FnOnce(&Record<'_>)) {
        let pieces: [&[u8]; 1] = [text.as_bytes()];
        let new = NewRecord {
            topic: "RMQ_SYS_TRANS_HALF_TOPIC",
            queue: 0,
            flag: 5,
            sys_flag: 1,
            born_timestamp_ms: 10_000,
            born_host: ([10, 0, 0, 1], 1).into(),
            store_host: ([10, 0, 0, 2], 2).into(),
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: b"body",
            properties: &pieces,
        };
        let mut bytes = Vec::new();
        new.encode(&mut bytes);
        let record = Record::read(&bytes).unwrap();
        check(&Record { physical_offset: 77, queue_offset: 8, store_timestamp_ms: 11_000, ..record });
    }

    #[test]
    fn a_committed_message_is_the_one_that_was_sent() {
        half(TEXT, |half| {
            let mut text = Vec::new();
            let committed = Committed::of(half, &mut text).unwrap();
            let new = committed.record(half);
            assert_eq!((new.topic, new.queue, new.sys_flag, new.prepared_transaction_offset), ("T", 3, 9, 77));
            assert_eq!((new.flag, new.born_timestamp_ms, new.body), (5, 10_000, &b"body"[..]));
            let kept = "KEYS\u{1}k\u{2}UNIQ_KEY\u{1}u\u{2}TRAN_MSG\u{1}true\u{2}PGROUP\u{1}p\u{2}";
            assert_eq!(str::from_utf8(&text), Ok(kept));
            assert_eq!(committed.seen, properties::scan(kept));
        });
        // What is no pair is left out, and the first of two counts.
        half(
            "junk\u{2}REAL_QID\u{1}3\u{2}REAL_TOPIC\u{1}T\u{2}REAL_QID\u{1}4\u{2}TRAN_PREPARED_QUEUE_OFFSET\u{1}5\u{2}a\u{1}b",
            |half| {
                let mut text = Vec::new();
                assert_eq!(Committed::of(half, &mut text).map(|to| (to.topic, to.queue)), Some(("T", 3)));
                assert_eq!(text, b"a\x01b\x02");
            },
        );
        for text in [
            "REAL_TOPIC\u{1}T\u{2}",
            "REAL_TOPIC\u{1}T\u{2}REAL_QID\u{1}-1\u{2}",
            "REAL_TOPIC\u{1}a/b\u{2}REAL_QID\u{1}0\u{2}",
        ] {
            half(text, |half| {
                assert_eq!(target(half), None);
                let to = Committed::of(half, &mut Vec::new());
                assert!(to.is_none_or(|to| Topic::new(to.topic).is_err()), "{text}");
            });
        }
    }

    #[test]
    fn a_question_says_where_the_copy_lies() {
        half(TEXT, |half| {
            let bytes = question(half, &target(half).unwrap(), &asked_text(half), (9, 99));
            let asked = Record::read(&bytes).unwrap();
            assert_eq!((asked.topic, asked.queue, asked.queue_offset, asked.physical_offset), ("T", 3, 9, 99));
            assert_eq!((asked.store_timestamp_ms, asked.sys_flag, asked.body), (11_000, 1, &b"body"[..]));
            let value = |name| properties::value(asked.properties, name);
            assert_eq!((value(CHECK_TIMES), value("WAIT"), value("PGROUP")), (Some("1"), Some("false"), Some("p")));
        });
    }

    #[test]
    fn checks_are_counted_and_immunity_is_read_as_rocketmq_does() {
        let with = |more: &str| format!("{TEXT}{more}");
        half(&with("TRANSACTION_CHECK_TIMES\u{1}14\u{2}"), |half| {
            assert_eq!(checks(half), Some(14));
            assert!(asked_text(half).contains("TRANSACTION_CHECK_TIMES\u{1}15\u{2}"));
            assert!(resumed_text(half).contains("TRANSACTION_CHECK_TIMES\u{1}0\u{2}"));
        });
        for (more, immunity_ms, chosen) in [
            ("", 6_000, false),
            ("CHECK_IMMUNITY_TIME_IN_SECONDS\u{1}60\u{2}", 60_000, true),
            ("CHECK_IMMUNITY_TIME_IN_SECONDS\u{1}x\u{2}", 6_000, true),
            ("CHECK_IMMUNITY_TIME_IN_SECONDS\u{1}9223372036854775807\u{2}", i64::MAX, true),
        ] {
            half(&with(more), |half| {
                assert_eq!(Age::of(half, 30_000, 6_000), Age { since_birth_ms: 20_000, immunity_ms, chosen });
            });
        }
        half(&with("CHECK_IMMUNITY_TIME_IN_SECONDS\u{1}2\u{2}"), |half| {
            assert!(!Age::of(half, 16_000, 6_000).is_past_end(6_000), "never less than the broker's own time");
            assert!(Age::of(half, 16_001, 6_000).is_past_end(6_000));
        });
    }

    #[test]
    fn a_copy_remembers_where_its_original_was() {
        half(TEXT, |half| {
            assert_eq!(prepared_offset(half), None);
            assert!(immune_text(half).ends_with("TRAN_PREPARED_QUEUE_OFFSET\u{1}8\u{2}"));
        });
        half(&format!("{TEXT}TRAN_PREPARED_QUEUE_OFFSET\u{1}2\u{2}"), |half| {
            assert_eq!(prepared_offset(half), Some(2));
            assert!(immune_text(half).ends_with("TRAN_PREPARED_QUEUE_OFFSET\u{1}2\u{2}"));
        });
    }
}
