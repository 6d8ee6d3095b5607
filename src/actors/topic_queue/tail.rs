//! Entries of a queue that are not known to be in its files.

use crate::protocol::names::QueueOffset;
use crate::store::consume_queue::ENTRY_BYTES;

/// Memory that an empty tail may keep, bytes.
const KEPT_BYTES_MAX: usize = 16 * 1024;

/// The newest entries of a queue, dense.
#[derive(Debug, Clone)]
pub(super) struct Tail {
    start: QueueOffset,
    bytes: Vec<u8>,
}

impl Tail {
    pub(super) fn new(start: QueueOffset, bytes: Vec<u8>) -> Self {
        Self { start, bytes }
    }

    pub(super) fn start(&self) -> QueueOffset {
        self.start
    }

    /// Offset after the newest entry.
    pub(super) fn end(&self) -> QueueOffset {
        self.start + (self.bytes.len() / ENTRY_BYTES) as u64
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Adds entries, the first of them at `from`; those that are there already are passed over. `None` on a gap.
    pub(super) fn append(&mut self, from: QueueOffset, bytes: &[u8]) -> Option<()> {
        let known = self.end().checked_sub(from)? as usize * ENTRY_BYTES;
        if let Some(new) = bytes.get(known..) {
            self.bytes.extend_from_slice(new);
        }
        Some(())
    }

    /// Whole entries from `from` on; `None` when that offset is not here.
    pub(super) fn from(&self, from: QueueOffset) -> Option<&[u8]> {
        let skip = from.checked_sub(self.start)? as usize * ENTRY_BYTES;
        self.bytes.get(skip..)
    }

    /// Everything that is here, and its first offset.
    pub(super) fn unwritten(&self) -> (QueueOffset, Vec<u8>) {
        (self.start, self.bytes.clone())
    }

    /// The files hold everything below `upto`.
    pub(super) fn written(&mut self, upto: QueueOffset) {
        let gone = (upto.saturating_sub(self.start) as usize * ENTRY_BYTES).min(self.bytes.len());
        self.bytes.drain(..gone);
        self.start += (gone / ENTRY_BYTES) as u64;
        if self.bytes.is_empty() && self.bytes.capacity() > KEPT_BYTES_MAX {
            self.bytes = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(range: std::ops::Range<u8>) -> Vec<u8> {
        range.flat_map(|n| [n; ENTRY_BYTES]).collect()
    }

    #[test]
    fn repeats_are_passed_over_and_gaps_are_noticed() {
        let mut tail = Tail::new(5, entries(5..7));
        assert_eq!(tail.append(6, &entries(6..9)), Some(()));
        assert_eq!(tail.append(5, &entries(5..7)), Some(()));
        assert_eq!((tail.end(), tail.from(8).unwrap()), (9, &entries(8..9)[..]));
        assert_eq!(tail.append(10, &entries(10..11)), None);
        tail.written(7);
        assert_eq!((tail.start(), tail.unwritten()), (7, (7, entries(7..9))));
        tail.written(6);
        assert_eq!(tail.start(), 7);
    }
}
