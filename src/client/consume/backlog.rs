//! The messages of one queue that were pulled and are not consumed yet: what may be committed, and whether to pull more.

use std::collections::VecDeque;

use super::received::ReceivedMessage;

/// When pulling of a queue pauses. RocketMQ's numbers by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowLimits {
    /// Messages that wait or are being consumed.
    pub messages: usize,
    /// Bytes of their bodies.
    pub bytes: usize,
    /// Distance between the first and the last of them, in offsets: how much would come again after a crash.
    pub span: i64,
}

impl Default for FlowLimits {
    fn default() -> Self {
        Self { messages: 1000, bytes: 100 * 1024 * 1024, span: 2000 }
    }
}

#[derive(Debug)]
struct Entry {
    offset: i64,
    bytes: usize,
    done: bool,
}

/// Entries in the order of their offsets.
#[derive(Debug)]
pub(in crate::client) struct Backlog {
    entries: VecDeque<Entry>,
    open: usize,
    bytes: usize,
    /// Where the next pull begins: everything below was pulled.
    next: i64,
}

impl Backlog {
    pub(in crate::client) fn new(next: i64) -> Self {
        Self { entries: VecDeque::new(), open: 0, bytes: 0, next }
    }

    pub(in crate::client) fn next(&self) -> i64 {
        self.next
    }

    /// Messages that are not consumed yet.
    pub(in crate::client) fn count(&self) -> usize {
        self.open
    }

    /// Of the bodies of these.
    pub(in crate::client) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The first offset that is not consumed yet, and the last one that was pulled.
    pub(in crate::client) fn ends(&self) -> Option<(i64, i64)> {
        Some((self.entries.front()?.offset, self.entries.back()?.offset))
    }

    /// Everything below is consumed.
    pub(in crate::client) fn committable(&self) -> i64 {
        self.entries.front().map_or(self.next, |entry| entry.offset)
    }

    /// Takes what a pull brought; `next` is where the next one begins. Messages that are known already are left out of
    /// what comes back.
    pub(in crate::client) fn add(&mut self, mut messages: Vec<ReceivedMessage>, next: i64) -> Vec<ReceivedMessage> {
        let known = self.entries.back().map(|entry| entry.offset);
        messages.retain(|message| known.is_none_or(|known| message.queue_offset > known));
        for message in &messages {
            self.entries.push_back(Entry { offset: message.queue_offset, bytes: message.body.len(), done: false });
            self.open += 1;
            self.bytes += message.body.len();
        }
        self.next = next;
        messages
    }

    pub(in crate::client) fn finish(&mut self, offset: i64) {
        let Ok(at) = self.entries.binary_search_by_key(&offset, |entry| entry.offset) else {
            return;
        };
        let Some(entry) = self.entries.get_mut(at).filter(|entry| !entry.done) else {
            return;
        };
        entry.done = true;
        self.open -= 1;
        self.bytes -= entry.bytes;
        while self.entries.front().is_some_and(|entry| entry.done) {
            self.entries.pop_front();
        }
    }

    pub(in crate::client) fn is_full(&self, limits: &FlowLimits) -> bool {
        let span = match (self.entries.front(), self.entries.back()) {
            (Some(first), Some(last)) => last.offset - first.offset,
            _ => 0,
        };
        self.open >= limits.messages || self.bytes >= limits.bytes || span >= limits.span
    }

    /// Whether it will be, or may be, once what was pulled up to `next` is added: at most so many messages and bytes.
    pub(in crate::client) fn will_be_full(
        &self,
        limits: &FlowLimits,
        (messages, bytes): (usize, usize),
        next: i64,
    ) -> bool {
        let span = next.saturating_sub(self.committable());
        self.open.saturating_add(messages) >= limits.messages
            || self.bytes.saturating_add(bytes) >= limits.bytes
            || span >= limits.span
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::protocol::record::NewRecord;
    use crate::rules::assignment::MessageQueue;

    fn messages(offsets: std::ops::Range<i64>, body: usize) -> Vec<ReceivedMessage> {
        let host = "1.2.3.4:5".parse().unwrap();
        let body = vec![0; body];
        let new = NewRecord {
            topic: "T",
            queue: 0,
            flag: 0,
            sys_flag: 0,
            born_timestamp_ms: 0,
            born_host: host,
            store_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: &body,
            properties: &[],
        };
        let mut record = Vec::new();
        new.encode(&mut record);
        let queue = Arc::new(MessageQueue::new("T", "b", 0));
        let one = crate::client::consume::received::read(&queue, &Bytes::from(record)).unwrap().remove(0);
        let at = |queue_offset| {
            let mut message = one.clone();
            message.queue_offset = queue_offset;
            message
        };
        offsets.map(at).collect()
    }

    #[test]
    fn only_what_is_consumed_without_a_gap_may_be_committed() {
        let mut backlog = Backlog::new(10);
        assert_eq!(backlog.committable(), 10);
        assert_eq!(backlog.add(messages(10..14, 1), 15).len(), 4);
        backlog.finish(11);
        backlog.finish(11);
        assert_eq!(backlog.committable(), 10);
        backlog.finish(10);
        assert_eq!(backlog.committable(), 12);
        backlog.finish(13);
        backlog.finish(12);
        assert_eq!(backlog.committable(), 15, "14 was not for us");
        backlog.finish(99);
        assert_eq!((backlog.open, backlog.bytes), (0, 0));
    }

    #[test]
    fn what_is_known_is_not_taken_twice() {
        let mut backlog = Backlog::new(0);
        backlog.add(messages(0..3, 1), 3);
        let new = backlog.add(messages(1..5, 1), 5);
        assert_eq!(new.iter().map(|message| message.queue_offset).collect::<Vec<_>>(), [3, 4]);
    }

    #[test]
    fn count_bytes_and_span_stop_pulling() {
        let limits = FlowLimits { messages: 3, bytes: 100, span: 10 };
        let full = |backlog: &Backlog| backlog.is_full(&limits);
        let mut backlog = Backlog::new(0);
        backlog.add(messages(0..2, 1), 2);
        assert!(!full(&backlog));
        backlog.add(messages(2..3, 1), 3);
        assert!(full(&backlog), "3 messages");
        let mut backlog = Backlog::new(0);
        backlog.add(messages(0..1, 100), 1);
        assert!(full(&backlog), "100 bytes");
        let mut backlog = Backlog::new(0);
        backlog.add(messages(0..2, 1), 2);
        backlog.add(messages(10..11, 1), 11);
        backlog.finish(1);
        assert!(full(&backlog), "0 is a span of 10 away");
        backlog.finish(0);
        assert!(!full(&backlog));
    }

    #[test]
    fn what_is_not_read_yet_counts_as_much_as_it_may_be() {
        let limits = FlowLimits { messages: 5, bytes: 100, span: 10 };
        let mut backlog = Backlog::new(0);
        backlog.add(messages(0..2, 10), 2);
        assert!(!backlog.will_be_full(&limits, (2, 79), 4));
        assert!(backlog.will_be_full(&limits, (3, 1), 5) && backlog.will_be_full(&limits, (1, 80), 3));
        assert!(backlog.will_be_full(&limits, (1, 1), 10), "0 is a span of 10 away");
        backlog.finish(0);
        assert!(!backlog.will_be_full(&limits, (1, 1), 10));
    }
}
