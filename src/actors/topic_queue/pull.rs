//! From a pull to the slices of the log that answer it.

use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::messages::{PullAsk, PullStatus, Pulled, Wish};
use super::pace::Portion;
use super::tail::Tail;
use crate::actors::log::doors::QueueRange;
use crate::protocol::names::{LogOffset, QueueOffset};
use crate::protocol::record::properties_in;
use crate::rules::sql;
use crate::store::StoreError;
use crate::store::consume_queue::{ConsumeQueue, ENTRIES_READ_AT_ONCE, ENTRY_BYTES, Entry};
use crate::store::log_view::{LogView, Slice};

/// Entries that a pull examines at most where their tag codes say enough.
pub(super) const ENTRIES_A_PULL_MAX: usize = 16_384;
/// Bytes of properties that one pull may have an expression look at; past them it ends with what it found.
pub(super) const STEPS_A_PULL_MAX: usize = 256 * 1024;

/// How much one pull may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub bytes_in_memory: u32,
    pub messages_in_memory: u32,
    pub bytes_on_disk: u32,
    pub messages_on_disk: u32,
    /// Bytes behind the end of the log that count as in memory.
    pub memory_bytes: u64,
}

impl Limits {
    /// Bytes and messages of a pull, where a message begins at `at`.
    #[inline]
    fn of(&self, at: LogOffset, log_end: LogOffset) -> (u32, u32) {
        if log_end.saturating_sub(at) > self.memory_bytes {
            (self.bytes_on_disk, self.messages_on_disk)
        } else {
            (self.bytes_in_memory, self.messages_in_memory)
        }
    }
}

/// Where entries and records are read.
pub(super) struct Source<'a> {
    pub(super) view: &'a LogView,
    pub(super) queue: &'a mut ConsumeQueue,
    pub(super) tail: &'a Tail,
    pub(super) scratch: &'a mut sql::Scratch,
}

/// What looking came to.
pub(super) enum Examined {
    Done(Pulled),
    /// A custom filter is to decide on what there is from here on.
    Sift(QueueOffset),
    /// Something is not in memory, and waiting was not allowed.
    Cold,
}

/// The messages that were chosen: ranges of the log, neighbours joined.
#[derive(Default)]
pub(super) struct Chosen {
    ranges: Vec<(LogOffset, usize)>,
    bytes: usize,
    pub(super) messages: u32,
}

impl Chosen {
    fn push(&mut self, entry: &Entry) {
        let size = entry.size as usize;
        match self.ranges.last_mut() {
            Some((at, length)) if *at + *length as u64 == entry.at => *length += size,
            _ => self.ranges.push((entry.at, size)),
        }
        self.count(entry.size);
    }

    /// Counts a message that is taken from elsewhere.
    #[inline]
    pub(super) fn count(&mut self, size: u32) {
        self.bytes += size as usize;
        self.messages += 1;
    }

    /// RocketMQ's rule: the first message always fits. Of the message its place in the log and its size are known.
    #[inline]
    pub(super) fn takes(&self, (at, size): (LogOffset, u32), wanted: u32, limits: &Limits, log_end: LogOffset) -> bool {
        if self.messages == 0 {
            return true;
        }
        let (bytes, messages) = limits.of(at, log_end);
        self.messages < wanted.min(messages) && self.bytes + size as usize <= bytes as usize
    }

    /// How much may still come from where `entry` lies.
    pub(super) fn room(&self, entry: &Entry, wanted: u32, limits: &Limits, log_end: LogOffset) -> Portion {
        let (bytes, messages) = limits.of(entry.at, log_end);
        Portion {
            messages: wanted.min(messages).saturating_sub(self.messages) as usize,
            bytes: (bytes as usize).saturating_sub(self.bytes),
        }
    }
}

impl Source<'_> {
    /// Finds what answers `pull`. Where `wait` is false, nothing blocks.
    pub(super) fn examine(&mut self, pull: &PullAsk, limits: &Limits, wait: bool) -> Result<Examined, StoreError> {
        let range = QueueRange { min: self.queue.min(), max: self.tail.end() };
        let without = |status, next| Ok(Examined::Done(Pulled::without(pull, status, next, range)));
        if range.max == 0 {
            return without(PullStatus::Empty, 0);
        }
        let Some(from) = u64::try_from(pull.from).ok().filter(|from| *from >= range.min) else {
            return without(PullStatus::TooSmall, range.min);
        };
        if from == range.max {
            return without(PullStatus::AtEnd, from);
        } else if from > range.max {
            return without(PullStatus::BeyondEnd, range.max);
        }
        if pull.wish.custom.is_some() {
            return Ok(Examined::Sift(from));
        }
        let Some((chosen, next)) = self.choose((pull, from), limits, wait)? else { return Ok(Examined::Cold) };
        if chosen.messages == 0 {
            return without(PullStatus::NoMatched, next);
        }
        let mut records = Vec::with_capacity(chosen.ranges.len());
        for (at, size) in chosen.ranges {
            match record(self.view, (at, size), wait)? {
                Some(bytes) => records.push(bytes),
                None => return Ok(Examined::Cold),
            }
        }
        let found = Pulled::without(pull, PullStatus::Found, next, range);
        Ok(Examined::Done(Pulled { records, messages: chosen.messages, ..found }))
    }

    /// The wanted messages, and the offset after the last entry that was examined. `None` when that would block.
    fn choose(
        &mut self,
        (pull, from): (&PullAsk, QueueOffset),
        limits: &Limits,
        wait: bool,
    ) -> Result<Option<(Chosen, QueueOffset)>, StoreError> {
        let log_end = self.view.ends().readable.load(Ordering::Acquire);
        let budget = if pull.wish.needs_records() { ENTRIES_READ_AT_ONCE } else { ENTRIES_A_PULL_MAX };
        let budget = budget.max(pull.count as usize);
        let mut chosen = Chosen::default();
        let mut next = from;
        self.scratch.take_steps();
        let mut steps = 0;
        while next - from < budget as u64 && steps < STEPS_A_PULL_MAX {
            let Source { view, queue, tail, scratch } = self;
            let Some(entries) = entries(queue, tail, next, wait)? else {
                // What was found so far is a good answer; what is cold comes with the next pull.
                return Ok((chosen.messages > 0).then_some((chosen, next)));
            };
            let (entries, _) = entries.as_chunks::<ENTRY_BYTES>();
            if entries.is_empty() {
                break;
            }
            for bytes in entries.iter().take(budget - (next - from) as usize) {
                let entry = Entry::decode(bytes);
                let mut wanted = pull.wish.wants_code(entry.tag_code);
                if wanted && let Some(expression) = &pull.wish.sql {
                    let Some(record) = record(view, (entry.at, entry.size as usize), wait)? else {
                        return Ok((chosen.messages > 0).then_some((chosen, next)));
                    };
                    wanted = expression.matches(properties_in(&record).unwrap_or_default(), scratch);
                    steps += scratch.take_steps();
                }
                if wanted {
                    if !chosen.takes((entry.at, entry.size), pull.count, limits, log_end) {
                        return Ok(Some((chosen, next)));
                    }
                    chosen.push(&entry);
                }
                next += 1;
                if steps >= STEPS_A_PULL_MAX {
                    break;
                }
            }
        }
        Ok(Some((chosen, next)))
    }

    /// Whether the entry's message may be one for `wish`; a custom filter is not asked. What would have to be read may be.
    pub(super) fn may_want(&mut self, wish: &Wish, entry: &Entry) -> bool {
        if !wish.wants_code(entry.tag_code) {
            return false;
        }
        match record(self.view, (entry.at, entry.size as usize), false) {
            _ if wish.sql.is_none() => true,
            Ok(Some(record)) => may_pass(wish, &record, self.scratch),
            _ => true,
        }
    }

    /// One entry, waiting for the disk where needed.
    pub(super) fn entry(&mut self, offset: QueueOffset) -> Result<Option<Entry>, StoreError> {
        let entries = entries(self.queue, self.tail, offset, true)?.unwrap_or_default();
        Ok(entries.first_chunk::<ENTRY_BYTES>().map(Entry::decode))
    }
}

/// What the expression of `wish` says of the message.
pub(super) fn may_pass(wish: &Wish, record: &[u8], scratch: &mut sql::Scratch) -> bool {
    let Some(expression) = &wish.sql else { return true };
    expression.matches(properties_in(record).unwrap_or_default(), scratch)
}

pub(super) fn entries<'q>(
    queue: &'q mut ConsumeQueue,
    tail: &'q Tail,
    from: QueueOffset,
    wait: bool,
) -> Result<Option<&'q [u8]>, StoreError> {
    match tail.from(from) {
        Some(entries) => Ok(Some(entries)),
        None => {
            let upto = tail.start().saturating_sub(from) as usize * ENTRY_BYTES;
            let entries = queue.read(from, wait)?;
            Ok(entries.map(|entries| &entries[..entries.len().min(upto)]))
        }
    }
}

/// A range of the log; `None` where it is not in memory and waiting is not allowed.
pub(super) fn record(view: &LogView, (at, size): (LogOffset, usize), wait: bool) -> Result<Option<Bytes>, StoreError> {
    match view.slice(at, size)?.ok_or_else(|| gone(at, size))? {
        Slice::Here(bytes) => Ok(Some(bytes)),
        Slice::Cold if wait => Ok(Some(view.read(at, size)?.ok_or_else(|| gone(at, size))?)),
        Slice::Cold => Ok(None),
    }
}

pub(super) fn gone(at: LogOffset, size: usize) -> StoreError {
    let reason = format!("the entry points at offset {at}, where the log has no {size} bytes of a message");
    StoreError::format(std::path::Path::new("consumequeue"), reason)
}
