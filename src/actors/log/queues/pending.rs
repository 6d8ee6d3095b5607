//! What the queues were not told yet. On the way of every message: a few bytes for each queue, found by its number.

use crate::actors::commitlog_writer::Notice;
use crate::actors::log::QueueSlot;
use crate::actors::log::ahead::{Ahead, Share};
use crate::actors::topic_queue::Entries;
use crate::protocol::names::QueueOffset;
use crate::store::consume_queue::{ENTRY_BYTES, Entry};

/// Bytes that a queue's buffer is made for at most, by what its last one held.
const EXPECTED_BYTES_MAX: usize = 64 * 1024;

/// The queues of one arbiter.
pub(super) struct Pending {
    /// A queue's slot modulo this is its arbiter.
    arbiters: usize,
    /// By slot divided by the number of arbiters.
    queues: Vec<Buffer>,
    /// Queues with entries that are not in their files.
    dirty: Vec<QueueSlot>,
    /// Entries since the last round.
    entries: usize,
    /// Queues that have to hear of their entries at once.
    awaited: Vec<QueueSlot>,
    ahead: Ahead,
}

#[derive(Default)]
struct Buffer {
    /// Offset of the first entry.
    from: QueueOffset,
    /// Whole entries, dense.
    bytes: Vec<u8>,
    /// Bytes of the last ones that were taken.
    expected: u32,
    state: State,
    dirty: bool,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// There is no such queue.
    #[default]
    Gone,
    There,
    /// Somebody waits there.
    Watched,
}

impl Pending {
    pub(super) fn new(arbiters: usize, ahead: Ahead) -> Self {
        Self { arbiters, queues: Vec::new(), dirty: Vec::new(), entries: 0, awaited: Vec::new(), ahead }
    }

    fn place(&self, slot: QueueSlot) -> usize {
        slot.0 as usize / self.arbiters
    }

    fn buffer(&mut self, slot: QueueSlot) -> &mut Buffer {
        let place = self.place(slot);
        if self.queues.len() <= place {
            self.queues.resize_with(place + 1, Buffer::default);
        }
        &mut self.queues[place]
    }

    /// The queue is there; is somebody waiting?
    pub(super) fn know(&mut self, slot: QueueSlot, watched: bool) {
        self.buffer(slot).state = if watched { State::Watched } else { State::There };
    }

    /// The queue is no more, nor what it was not told.
    pub(super) fn forget(&mut self, slot: QueueSlot) {
        drop(self.take(slot));
        let buffer = self.buffer(slot);
        *buffer = Buffer { dirty: buffer.dirty, ..Buffer::default() };
    }

    /// Notes entries that the writer's notices stand for.
    pub(super) fn note(&mut self, notices: &[Notice]) {
        for notice in notices {
            let place = self.place(notice.slot);
            let Some(buffer) = self.queues.get_mut(place).filter(|buffer| buffer.state != State::Gone) else {
                // The writer opens a queue before it numbers its records, so only a deleted topic's come here.
                tracing::debug!(slot = notice.slot.0, "an entry for a queue that is gone");
                self.ahead.less(1);
                continue;
            };
            if buffer.bytes.is_empty() {
                buffer.from = notice.queue_offset;
                buffer.bytes.reserve_exact(buffer.expected as usize);
                if buffer.state == State::Watched {
                    self.awaited.push(notice.slot);
                }
            }
            let entry = Entry { at: notice.at, size: notice.size, tag_code: notice.tag_code };
            buffer.bytes.extend_from_slice(&entry.encode());
            if !std::mem::replace(&mut buffer.dirty, true) {
                self.dirty.push(notice.slot);
            }
        }
        self.entries += notices.len();
    }

    /// What the queue was not told.
    pub(super) fn take(&mut self, slot: QueueSlot) -> Option<Entries> {
        let place = self.place(slot);
        let buffer = self.queues.get_mut(place).filter(|buffer| !buffer.bytes.is_empty())?;
        let bytes = std::mem::take(&mut buffer.bytes);
        buffer.expected = bytes.len().min(EXPECTED_BYTES_MAX) as u32;
        let share = Share::of(&self.ahead, bytes.len() / ENTRY_BYTES);
        Some(Entries { from: buffer.from, bytes, share, round: None })
    }

    /// Nothing, to be told all the same.
    pub(super) fn nothing(&self, from: QueueOffset) -> Entries {
        Entries { from, bytes: Vec::new(), share: Share::of(&self.ahead, 0), round: None }
    }

    pub(super) fn take_awaited(&mut self) -> Vec<QueueSlot> {
        std::mem::take(&mut self.awaited)
    }

    /// True when the queue was told everything.
    pub(super) fn is_told(&self, slot: QueueSlot) -> bool {
        self.queues.get(self.place(slot)).is_none_or(|buffer| buffer.bytes.is_empty())
    }

    /// True when everything is in the queue's files, or on its way there.
    pub(super) fn is_clean(&self, slot: QueueSlot) -> bool {
        self.queues.get(self.place(slot)).is_none_or(|buffer| !buffer.dirty)
    }

    /// The queue has something that its files do not hold.
    pub(super) fn mark_dirty(&mut self, slot: QueueSlot) {
        if !std::mem::replace(&mut self.buffer(slot).dirty, true) {
            self.dirty.push(slot);
        }
    }

    /// The queues with something that their files do not hold, for a round; they count as clean from here on.
    pub(super) fn take_dirty(&mut self) -> Vec<QueueSlot> {
        self.entries = 0;
        let dirty = std::mem::take(&mut self.dirty);
        dirty.iter().for_each(|slot| self.buffer(*slot).dirty = false);
        dirty
    }

    /// So many entries in all, or for each queue that has some, that a round should not wait for its time.
    pub(super) fn are_many(&self, each: usize, all: usize) -> bool {
        self.entries > (each * self.dirty.len()).max(all).min(self.ahead.max() / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(slot: u32, queue_offset: QueueOffset) -> Notice {
        Notice { slot: QueueSlot(slot), size: 100, queue_offset, at: queue_offset * 100, tag_code: 0 }
    }

    #[test]
    fn entries_gather_by_queue_and_count_until_they_are_let_go() {
        let ahead = Ahead::new(4);
        let mut pending = Pending::new(2, ahead.clone());
        pending.know(QueueSlot(1), false);
        pending.know(QueueSlot(3), true);
        ahead.more(5);
        pending.note(&[notice(1, 7), notice(3, 0), notice(1, 8), notice(5, 0), notice(3, 1)]);
        assert!(ahead.is_full());
        assert_eq!(pending.take_awaited(), [QueueSlot(3)]);
        let entries = pending.take(QueueSlot(1)).unwrap();
        assert_eq!((entries.from, entries.end()), (7, 9));
        assert!(pending.is_told(QueueSlot(1)) && !pending.is_told(QueueSlot(3)));
        assert_eq!(pending.take_dirty(), [QueueSlot(1), QueueSlot(3)]);
        assert!(pending.is_clean(QueueSlot(1)));
        pending.forget(QueueSlot(3));
        assert!(pending.take(QueueSlot(3)).is_none());
        drop(entries);
        assert!(ahead.has_room());
        pending.mark_dirty(QueueSlot(1));
        assert_eq!(pending.take_dirty(), [QueueSlot(1)]);
    }
}
