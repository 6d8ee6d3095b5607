//! Entries of a queue that are not known to be in its files.

use bytes::Bytes;

use super::Entries;
use crate::actors::log::ahead::{Ahead, Share};
use crate::protocol::names::QueueOffset;
use crate::store::consume_queue::ENTRY_BYTES;

/// The newest entries of a queue, dense.
#[derive(Debug)]
pub(super) struct Tail {
    start: QueueOffset,
    /// What was handed to the queue files; shared with them.
    handed: Bytes,
    /// What follows it.
    fresh: Vec<u8>,
    share: Share,
}

impl Tail {
    /// Whole entries from `start` on, which count from now on.
    pub(super) fn new(start: QueueOffset, bytes: Vec<u8>, ahead: &Ahead) -> Self {
        let entries = bytes.len() / ENTRY_BYTES;
        ahead.more(entries);
        Self { start, handed: Bytes::new(), fresh: bytes, share: Share::of(ahead, entries) }
    }

    /// The same entries for a reader on another thread; they count once.
    pub(super) fn copy(&self) -> Self {
        Self { start: self.start, handed: self.handed.clone(), fresh: self.fresh.clone(), share: self.share.none() }
    }

    pub(super) fn start(&self) -> QueueOffset {
        self.start
    }

    /// Offset after the newest entry.
    pub(super) fn end(&self) -> QueueOffset {
        self.start + ((self.handed.len() + self.fresh.len()) / ENTRY_BYTES) as u64
    }

    pub(super) fn is_empty(&self) -> bool {
        self.handed.is_empty() && self.fresh.is_empty()
    }

    /// Adds entries; those that are there already are passed over. Returns how many bytes are new, `None` on a gap.
    pub(super) fn append(&mut self, mut entries: Entries) -> Option<usize> {
        let known = (self.end().checked_sub(entries.from)? as usize * ENTRY_BYTES).min(entries.bytes.len());
        entries.share.release(known / ENTRY_BYTES);
        self.share.absorb(entries.share);
        let new = entries.bytes.len() - known;
        if self.fresh.is_empty() && known == 0 {
            self.fresh = entries.bytes;
        } else {
            self.fresh.extend_from_slice(&entries.bytes[known..]);
        }
        Some(new)
    }

    /// The newest `bytes` bytes of entries, of what was appended last.
    pub(super) fn newest(&self, bytes: usize) -> &[u8] {
        &self.fresh[self.fresh.len().saturating_sub(bytes)..]
    }

    /// Whole entries from `from` on, not always all of them; `None` when that offset is not here.
    pub(super) fn from(&self, from: QueueOffset) -> Option<&[u8]> {
        let skip = from.checked_sub(self.start)? as usize * ENTRY_BYTES;
        match skip.checked_sub(self.handed.len()) {
            Some(skip) => self.fresh.get(skip..),
            None => self.handed.get(skip..),
        }
    }

    /// Everything that is here, and its first offset.
    pub(super) fn hand_over(&mut self) -> (QueueOffset, Bytes) {
        if self.handed.is_empty() {
            self.handed = std::mem::take(&mut self.fresh).into();
        } else if !self.fresh.is_empty() {
            // The files did not take the last ones yet.
            let fresh = std::mem::take(&mut self.fresh);
            self.handed = [&*self.handed, &*fresh].concat().into();
        }
        (self.start, self.handed.clone())
    }

    /// The files hold everything below `upto`, of what was handed over.
    pub(super) fn written(&mut self, upto: QueueOffset) {
        let gone = (upto.saturating_sub(self.start) as usize * ENTRY_BYTES).min(self.handed.len());
        // Ten thousand queues that each keep a little would hold a lot.
        self.handed = if gone == self.handed.len() { Bytes::new() } else { self.handed.slice(gone..) };
        self.start += (gone / ENTRY_BYTES) as u64;
        self.share.release(gone / ENTRY_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(range: std::ops::Range<u8>) -> Vec<u8> {
        range.flat_map(|n| [n; ENTRY_BYTES]).collect()
    }

    fn more(ahead: &Ahead, range: std::ops::Range<u8>) -> Entries {
        ahead.more(range.len());
        let (from, bytes) = (range.start.into(), entries(range.clone()));
        Entries { from, bytes, share: Share::of(ahead, range.len()), round: None }
    }

    #[test]
    fn repeats_are_passed_over_and_gaps_are_noticed() {
        let ahead = Ahead::new(4);
        let mut tail = Tail::new(5, entries(5..7), &ahead);
        assert_eq!(tail.append(more(&ahead, 6..9)), Some(2 * ENTRY_BYTES));
        assert_eq!(tail.append(more(&ahead, 5..7)), Some(0));
        assert_eq!((tail.end(), tail.from(8).unwrap()), (9, &entries(8..9)[..]));
        assert_eq!(tail.newest(ENTRY_BYTES), entries(8..9));
        assert_eq!(tail.append(more(&ahead, 10..11)), None);
        assert!(ahead.is_full());
        assert_eq!(tail.hand_over(), (5, entries(5..9).into()));
        assert_eq!(tail.append(more(&ahead, 9..10)), Some(ENTRY_BYTES));
        assert_eq!((tail.from(8).unwrap(), tail.from(9).unwrap()), (&entries(8..9)[..], &entries(9..10)[..]));
        tail.written(7);
        assert_eq!((tail.start(), tail.hand_over()), (7, (7, entries(7..10).into())));
        tail.written(6);
        assert_eq!(tail.start(), 7);
        tail.written(10);
        assert!(tail.is_empty());
        assert!(!ahead.is_full());
        drop(tail);
        assert!(ahead.has_room());
    }
}
