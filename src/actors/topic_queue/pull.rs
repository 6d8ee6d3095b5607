//! From a pull to the slices of the log that answer it.

use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::messages::{PullAsk, PullStatus, Pulled, Wish};
use super::tail::Tail;
use crate::actors::extension::MessageView;
use crate::actors::log::doors::QueueRange;
use crate::protocol::names::{LogOffset, QueueOffset};
use crate::protocol::record::properties_in;
use crate::rules::sql;
use crate::store::StoreError;
use crate::store::consume_queue::{ConsumeQueue, ENTRIES_READ_AT_ONCE, ENTRY_BYTES, Entry};
use crate::store::log_view::{LogView, Slice};

/// Entries that a pull examines at most where their tag codes say enough.
const ENTRIES_A_PULL_MAX: usize = 16_384;
/// Bytes of properties that one pull may have an expression look at; past them it ends with what it found.
const STEPS_A_PULL_MAX: usize = 256 * 1024;
/// Bytes of messages in one batch to a custom filter; the first always fits.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

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
    pub(super) scratch: &'a mut sql::Scratch,
}

/// Messages about which a custom filter is to be asked.
pub(super) struct Candidates {
    /// Where each lies in the log, with its offset in the queue; as many as `views`.
    entries: Vec<(QueueOffset, Entry)>,
    pub(super) views: Vec<MessageView>,
    records: Vec<Bytes>,
    /// Offset after the last entry that was examined.
    pub(super) next: QueueOffset,
    pub(super) range: QueueRange,
    log_end: LogOffset,
}

impl Candidates {
    /// The answer to `pull`, of those that the filter let through; `None` where it let none through.
    pub(super) fn answer(self, pull: &PullAsk, wanted: impl Fn(usize) -> bool, limits: &Limits) -> Option<Pulled> {
        let (mut chosen, mut records, mut next) = (Chosen::default(), Vec::new(), self.next);
        for (index, ((offset, entry), record)) in self.entries.iter().zip(self.records).enumerate() {
            if !wanted(index) {
                continue;
            }
            if !chosen.takes(entry, pull.count, limits, self.log_end) {
                next = *offset;
                break;
            }
            chosen.push(entry);
            records.push(record);
        }
        let found = Pulled::without(pull, PullStatus::Found, next, self.range);
        (chosen.messages > 0).then_some(Pulled { records, messages: chosen.messages, ..found })
    }
}

/// What looking came to.
pub(super) enum Examined {
    Done(Pulled),
    /// A custom filter has the next word.
    Ask(Candidates),
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
        if pull.wish.custom.is_some() {
            return self.candidates((pull, from), range, wait);
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
                    if !chosen.takes(&entry, pull.count, limits, log_end) {
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

    /// The next messages of which a custom filter is to decide: those that pass what else the pull says.
    fn candidates(
        &mut self,
        (pull, from): (&PullAsk, QueueOffset),
        range: QueueRange,
        wait: bool,
    ) -> Result<Examined, StoreError> {
        let log_end = self.view.ends().readable.load(Ordering::Acquire);
        let (mut found, mut next, mut bytes) = ((Vec::new(), Vec::new(), Vec::new()), from, 0);
        let Source { view, queue, tail, scratch } = self;
        let Some(entries) = entries(queue, tail, from, wait)? else { return Ok(Examined::Cold) };
        for entry in entries.as_chunks::<ENTRY_BYTES>().0.iter().take(ENTRIES_READ_AT_ONCE).map(Entry::decode) {
            if pull.wish.wants_code(entry.tag_code) {
                if !found.0.is_empty() && bytes + entry.size as usize > BATCH_BYTES_MAX {
                    break;
                }
                let Some(record) = record(view, (entry.at, entry.size as usize), wait)? else {
                    // What is here already is a batch; with nothing yet it has to be read.
                    if next > from {
                        break;
                    }
                    return Ok(Examined::Cold);
                };
                if may_pass(&pull.wish, &record, scratch) {
                    let view = MessageView::read(record.clone()).ok_or_else(|| gone(entry.at, record.len()))?;
                    bytes += record.len();
                    found.0.push((next, entry));
                    found.1.push(view);
                    found.2.push(record);
                }
            }
            next += 1;
            if scratch.take_steps() >= STEPS_A_PULL_MAX {
                break;
            }
        }
        let (entries, views, records) = found;
        if views.is_empty() {
            return Ok(Examined::Done(Pulled::without(pull, PullStatus::NoMatched, next, range)));
        }
        Ok(Examined::Ask(Candidates { entries, views, records, next, range, log_end }))
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
fn may_pass(wish: &Wish, record: &[u8], scratch: &mut sql::Scratch) -> bool {
    let Some(expression) = &wish.sql else { return true };
    expression.matches(properties_in(record).unwrap_or_default(), scratch)
}

fn entries<'q>(
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
fn record(view: &LogView, (at, size): (LogOffset, usize), wait: bool) -> Result<Option<Bytes>, StoreError> {
    match view.slice(at, size)?.ok_or_else(|| gone(at, size))? {
        Slice::Here(bytes) => Ok(Some(bytes)),
        Slice::Cold if wait => Ok(Some(view.read(at, size)?.ok_or_else(|| gone(at, size))?)),
        Slice::Cold => Ok(None),
    }
}

fn gone(at: LogOffset, size: usize) -> StoreError {
    let reason = format!("the entry points at offset {at}, where the log has no {size} bytes of a message");
    StoreError::format(std::path::Path::new("consumequeue"), reason)
}
