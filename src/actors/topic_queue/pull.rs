//! From a pull to the slices of the log that answer it.

use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::messages::{PullAsk, PullStatus, Pulled};
use super::tail::Tail;
use crate::actors::log::doors::QueueRange;
use crate::protocol::names::{LogOffset, QueueOffset};
use crate::store::StoreError;
use crate::store::consume_queue::{ConsumeQueue, ENTRIES_READ_AT_ONCE, ENTRY_BYTES, Entry};
use crate::store::log_view::{LogView, Slice};

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

/// Where entries and records are read.
pub(super) struct Source<'a> {
    pub(super) view: &'a LogView,
    pub(super) queue: &'a mut ConsumeQueue,
    pub(super) tail: &'a Tail,
}

/// What looking came to.
pub(super) enum Examined {
    Done(Pulled),
    /// Something is not in memory, and waiting was not allowed.
    Cold,
}

/// The messages that were chosen: ranges of the log, neighbours joined.
#[derive(Default)]
struct Chosen {
    ranges: Vec<(LogOffset, usize)>,
    bytes: usize,
    messages: u32,
}

impl Chosen {
    fn push(&mut self, entry: &Entry) {
        let size = entry.size as usize;
        match self.ranges.last_mut() {
            Some((at, length)) if *at + *length as u64 == entry.at => *length += size,
            _ => self.ranges.push((entry.at, size)),
        }
        self.bytes += size;
        self.messages += 1;
    }

    /// RocketMQ's rule: the first message always fits.
    fn takes(&self, entry: &Entry, wanted: u32, limits: &Limits, log_end: LogOffset) -> bool {
        if self.messages == 0 {
            return true;
        }
        let (bytes, messages) = if log_end - entry.at > limits.memory_bytes {
            (limits.bytes_on_disk, limits.messages_on_disk)
        } else {
            (limits.bytes_in_memory, limits.messages_in_memory)
        };
        self.messages < wanted.min(messages) && self.bytes + entry.size as usize <= bytes as usize
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
        let Some((chosen, next)) = self.choose((pull, from), limits, wait)? else { return Ok(Examined::Cold) };
        if chosen.messages == 0 {
            return without(PullStatus::NoMatched, next);
        }
        let mut records = Vec::with_capacity(chosen.ranges.len());
        for (at, size) in chosen.ranges {
            match self.record(at, size, wait)? {
                Some(bytes) => records.push(bytes),
                None => return Ok(Examined::Cold),
            }
        }
        let found = Pulled::without(pull, PullStatus::Found, next, range);
        Ok(Examined::Done(Pulled { records, messages: chosen.messages, ..found }))
    }

    fn record(&self, at: LogOffset, size: usize, wait: bool) -> Result<Option<Bytes>, StoreError> {
        let gone = || {
            let reason = format!("the entry points at offset {at}, where the log has no {size} bytes");
            StoreError::format(std::path::Path::new("consumequeue"), reason)
        };
        match self.view.slice(at, size)?.ok_or_else(gone)? {
            Slice::Here(bytes) => Ok(Some(bytes)),
            Slice::Cold if wait => Ok(Some(self.view.read(at, size)?.ok_or_else(gone)?)),
            Slice::Cold => Ok(None),
        }
    }

    /// The wanted messages, and the offset after the last entry that was examined. `None` when that would block.
    fn choose(
        &mut self,
        (pull, from): (&PullAsk, QueueOffset),
        limits: &Limits,
        wait: bool,
    ) -> Result<Option<(Chosen, QueueOffset)>, StoreError> {
        let log_end = self.view.ends().readable.load(Ordering::Acquire);
        let budget = ENTRIES_READ_AT_ONCE.max(pull.count as usize);
        let mut chosen = Chosen::default();
        let mut next = from;
        while next - from < budget as u64 {
            let Some(entries) = self.entries(next, wait)? else {
                // What was found so far is a good answer; what is cold comes with the next pull.
                return Ok((chosen.messages > 0).then_some((chosen, next)));
            };
            let (entries, _) = entries.as_chunks::<ENTRY_BYTES>();
            if entries.is_empty() {
                break;
            }
            for bytes in entries.iter().take(budget - (next - from) as usize) {
                let entry = Entry::decode(bytes);
                if pull.filter.as_ref().is_none_or(|filter| filter.wants_code(entry.tag_code)) {
                    if !chosen.takes(&entry, pull.count, limits, log_end) {
                        return Ok(Some((chosen, next)));
                    }
                    chosen.push(&entry);
                }
                next += 1;
            }
        }
        Ok(Some((chosen, next)))
    }

    fn entries(&mut self, from: QueueOffset, wait: bool) -> Result<Option<&[u8]>, StoreError> {
        match self.tail.from(from) {
            Some(entries) => Ok(Some(entries)),
            None => {
                let upto = self.tail.start().saturating_sub(from) as usize * ENTRY_BYTES;
                let entries = self.queue.read(from, wait)?;
                Ok(entries.map(|entries| &entries[..entries.len().min(upto)]))
            }
        }
    }

    /// One entry, waiting for the disk where needed.
    pub(super) fn entry(&mut self, offset: QueueOffset) -> Result<Option<Entry>, StoreError> {
        let entries = self.entries(offset, true)?.unwrap_or_default();
        Ok(entries.first_chunk::<ENTRY_BYTES>().map(Entry::decode))
    }
}
