//! Op messages: lists of half messages that ended.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::claims::Half;
use crate::actors::commitlog_writer::Batch;
use crate::actors::log::doors::LogDoors;
use crate::actors::log::draft::QueueCode;
use crate::actors::log::wall_clock_ms;
use crate::protocol::names::{OP_HALF_TOPIC, QueueId};
use crate::protocol::properties;
use crate::protocol::record::NewRecord;

/// The properties of every op message: the tag that says that half messages ended.
const OP_PROPERTIES: &str = "TAGS\u{1}d\u{2}";

/// The body of one op message.
pub(super) type OpText = (QueueId, String);

/// Ends that no op message tells yet: a list of offsets for each queue of half messages.
#[derive(Debug, Default)]
pub(super) struct PendingOps {
    lists: BTreeMap<QueueId, String>,
}

impl PendingOps {
    /// Length of the list that `half` is in now, in bytes.
    pub(super) fn note(&mut self, (queue, offset): Half) -> usize {
        let list = self.lists.entry(queue).or_default();
        // A String takes all that is written to it.
        let _ = write!(list, "{offset},");
        list.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.lists.values().map(String::len).sum()
    }

    /// Takes everything, in bodies of about `bytes_max`.
    pub(super) fn take(&mut self, bytes_max: usize) -> Vec<OpText> {
        let mut texts = Vec::new();
        for (queue, list) in std::mem::take(&mut self.lists) {
            let mut rest = list.as_str();
            while !rest.is_empty() {
                let from = bytes_max.saturating_sub(1).min(rest.len() - 1);
                let end = rest.as_bytes().iter().skip(from).position(|byte| *byte == b',');
                let (text, more) = rest.split_at(end.map_or(rest.len(), |end| from + end + 1));
                texts.push((queue, text.to_owned()));
                rest = more;
            }
        }
        texts
    }

    /// Bodies that were taken and not stored.
    pub(super) fn put_back(&mut self, texts: Vec<OpText>) {
        texts.into_iter().for_each(|(queue, text)| self.lists.entry(queue).or_default().push_str(&text));
    }
}

/// Op messages, and their bodies in the same order.
pub(super) fn batch(log: &LogDoors, texts: Vec<OpText>) -> (Batch, Vec<OpText>) {
    let mut batch = Batch::default();
    let Some(entry) = log.topics.get(OP_HALF_TOPIC) else { return (batch, Vec::new()) };
    let pieces: [&[u8]; 1] = [OP_PROPERTIES.as_bytes()];
    let mut put = Vec::new();
    for (queue, text) in texts {
        let record = NewRecord {
            topic: &entry.config.topic,
            queue,
            flag: 0,
            sys_flag: 0,
            born_timestamp_ms: wall_clock_ms(),
            born_host: log.own.store_host,
            store_host: log.own.store_host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: text.as_bytes(),
            properties: &pieces,
        };
        match log.own.add(&mut batch, &entry, (record, properties::scan(OP_PROPERTIES)), QueueCode::Tag) {
            Ok(()) => put.push((queue, text)),
            Err(error) => tracing::error!(%error, queue, "ends of transactions have no queue to be told in"),
        }
    }
    (batch, put)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_cut_between_numbers_and_lose_none() {
        let mut pending = PendingOps::default();
        let halves = (0..2_000_u64).map(|number| ((number % 2) as u32, number * 37));
        for half in halves.clone() {
            pending.note(half);
        }
        let texts = pending.take(64);
        assert_eq!(pending.bytes(), 0);
        assert!(texts.iter().all(|(_, text)| text.ends_with(',') && (1..=64 + 6).contains(&text.len())), "{texts:?}");
        let of = |queue| {
            let texts = texts.iter().filter(move |(of, _)| *of == queue);
            texts.flat_map(|(_, text)| text.split_terminator(',')).map(|n| n.parse().unwrap()).collect::<Vec<u64>>()
        };
        for queue in 0..2 {
            assert_eq!(of(queue), halves.clone().filter(|half| half.0 == queue).map(|half| half.1).collect::<Vec<_>>());
        }
        pending.put_back(texts);
        assert_eq!(pending.take(usize::MAX).len(), 2);
    }
}
