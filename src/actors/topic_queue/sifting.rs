//! Which messages a custom filter is asked about, and what its answers come to.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::messages::{PullAsk, PullStatus, Pulled};
use super::pace::{BATCH_BYTES_MAX, Pace, Portion};
use super::pull::{Chosen, ENTRIES_A_PULL_MAX, Limits, STEPS_A_PULL_MAX, Source, entries, gone, may_pass};
use crate::actors::extension::{Bits, MessageView};
use crate::actors::log::doors::QueueRange;
use crate::protocol::names::QueueOffset;
use crate::store::StoreError;
use crate::store::consume_queue::{ENTRY_BYTES, Entry};
use crate::store::log_view::{Glance, LogView, Slice};

/// Bytes of messages that a pull has its filter look at; past them it ends with what it found.
const SIFTED_BYTES_MAX: usize = BATCH_BYTES_MAX;
/// How long a pull goes on with further batches.
const SIFTING_MAX: Duration = Duration::from_millis(500);

/// Messages about which a custom filter is to be asked: those that pass what else the pull says.
pub(super) struct Candidates {
    glance: Glance,
    /// As many as `views`.
    list: Vec<Candidate>,
    pub(super) views: Vec<MessageView>,
    /// Offset after the last entry that was examined.
    next: QueueOffset,
    bytes: usize,
    steps: usize,
}

struct Candidate {
    offset: QueueOffset,
    entry: Entry,
    /// The record where it is a copy; otherwise it is taken from the log again if it is wanted.
    copy: Option<Bytes>,
}

impl Candidates {
    fn none(next: QueueOffset, glance: Glance) -> Self {
        Self { glance, list: Vec::new(), views: Vec::new(), next, bytes: 0, steps: 0 }
    }

    fn reserved(&mut self, portion: Portion) -> Portion {
        self.list.reserve(portion.messages);
        self.views.reserve(portion.messages);
        portion
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// The record of the entry; `None` when that would block and `wait` is false.
    fn record(&self, view: &LogView, entry: &Entry, wait: bool) -> Result<Option<Bytes>, StoreError> {
        let (at, size) = (entry.at, entry.size as usize);
        match self.glance.slice(at, size)?.ok_or_else(|| gone(at, size))? {
            Slice::Here(bytes) => Ok(Some(bytes)),
            Slice::Cold if wait => Ok(Some(view.read(at, size)?.ok_or_else(|| gone(at, size))?)),
            Slice::Cold => Ok(None),
        }
    }

    fn push(&mut self, entry: Entry, record: Bytes) -> Result<(), StoreError> {
        let copy = (!self.glance.is_mapped(entry.at)).then(|| record.clone());
        self.bytes += record.len();
        self.views.push(MessageView::read(record).ok_or_else(|| gone(entry.at, entry.size as usize))?);
        self.list.push(Candidate { offset: self.next, entry, copy });
        Ok(())
    }
}

/// What a pull with a custom filter has come to.
pub(super) struct Sifted {
    chosen: Chosen,
    records: Vec<Bytes>,
    from: QueueOffset,
    /// Offset after the last entry that was decided on.
    next: QueueOffset,
    /// There is no room for another message.
    full: bool,
    bytes: usize,
    steps: usize,
    begun: Instant,
}

impl Sifted {
    pub(super) fn new(from: QueueOffset) -> Self {
        let (chosen, records, begun) = (Chosen::default(), Vec::new(), Instant::now());
        Self { chosen, records, from, next: from, full: false, bytes: 0, steps: 0, begun }
    }

    pub(super) fn next(&self) -> QueueOffset {
        self.next
    }

    pub(super) fn has_found(&self) -> bool {
        self.chosen.messages > 0
    }

    /// The pull is not to go on: it has what it wants, or took what one pull may take.
    pub(super) fn is_over(&self) -> bool {
        self.full
            || self.entries_left() == 0
            || self.bytes >= SIFTED_BYTES_MAX
            || self.steps >= STEPS_A_PULL_MAX
            || self.begun.elapsed() >= SIFTING_MAX
    }

    fn entries_left(&self) -> usize {
        ENTRIES_A_PULL_MAX.saturating_sub((self.next - self.from) as usize)
    }

    /// Takes, of the candidates, what `bits` say is wanted, as far as it fits. Returns how many are wanted.
    pub(super) fn take(
        &mut self,
        candidates: Candidates,
        bits: &Bits,
        (pull, limits): (&PullAsk, &Limits),
    ) -> Result<usize, StoreError> {
        let Candidates { glance, list, next, bytes, steps, .. } = candidates;
        let (log_end, mut wanted) = (glance.readable(), 0);
        self.next = next;
        self.bytes += bytes;
        self.steps += steps;
        let last = list.last().map(|candidate| candidate.entry);
        for (index, candidate) in list.into_iter().enumerate() {
            if !bits.get(index) {
                continue;
            }
            wanted += 1;
            if self.full {
                continue;
            }
            if !self.chosen.takes(&candidate.entry, pull.count, limits, log_end) {
                // The next pull begins with it.
                self.next = candidate.offset;
                self.full = true;
                continue;
            }
            if let Some(copy) = candidate.copy {
                self.settle(&glance)?;
                self.chosen.push(&candidate.entry);
                self.chosen.ranges.clear();
                self.records.push(copy);
            } else {
                self.chosen.push(&candidate.entry);
            }
        }
        self.settle(&glance)?;
        self.full |= last.is_some_and(|last| !self.chosen.takes(&last, pull.count, limits, log_end));
        Ok(wanted)
    }

    /// Takes from the log what was chosen of it.
    fn settle(&mut self, glance: &Glance) -> Result<(), StoreError> {
        for (at, size) in self.chosen.ranges.drain(..) {
            match glance.slice(at, size)? {
                Some(Slice::Here(bytes)) => self.records.push(bytes),
                Some(Slice::Cold) | None => return Err(gone(at, size)),
            }
        }
        Ok(())
    }

    /// The answer to the pull.
    pub(super) fn answer(self, pull: &PullAsk, range: QueueRange) -> Pulled {
        let status = if self.has_found() { PullStatus::Found } else { PullStatus::NoMatched };
        let answer = Pulled::without(pull, status, self.next, range);
        Pulled { records: self.records, messages: self.chosen.messages, ..answer }
    }
}

impl Source<'_> {
    /// The next messages of which a custom filter is to decide; there may be none of them in many entries. `None` where
    /// finding them would block and `wait` is false.
    pub(super) fn candidates(
        &mut self,
        (pull, sifted): (&PullAsk, &Sifted),
        (pace, limits): (Pace, &Limits),
        wait: bool,
    ) -> Result<Option<Candidates>, StoreError> {
        let Source { view, queue, tail, scratch } = self;
        let (from, left) = (sifted.next, sifted.entries_left() as u64);
        let mut found = Candidates::none(from, view.glance());
        let log_end = found.glance.readable();
        let mut portion = None;
        scratch.take_steps();
        while found.next - from < left {
            // What is here already is a batch; with nothing yet it has to be read.
            let here = |found: Candidates| Ok((found.next > from).then_some(found));
            let Some(entries) = entries(queue, tail, found.next, wait)? else { return here(found) };
            let (entries, _) = entries.as_chunks::<ENTRY_BYTES>();
            if entries.is_empty() {
                break;
            }
            for entry in entries.iter().take((left - (found.next - from)) as usize).map(Entry::decode) {
                if pull.wish.wants_code(entry.tag_code) {
                    let Portion { messages, bytes } = *portion.get_or_insert_with(|| {
                        let room = sifted.chosen.room(&entry, pull.count, limits, log_end);
                        found.reserved(pace.portion(room))
                    });
                    let next_bytes = found.bytes + entry.size as usize;
                    if found.len() >= messages || (found.len() > 0 && next_bytes > bytes) {
                        return Ok(Some(found));
                    }
                    let Some(record) = found.record(view, &entry, wait)? else { return here(found) };
                    if may_pass(&pull.wish, &record, scratch) {
                        found.push(entry, record)?;
                    }
                    found.steps += scratch.take_steps();
                }
                found.next += 1;
                if found.steps >= STEPS_A_PULL_MAX {
                    return Ok(Some(found));
                }
            }
        }
        Ok(Some(found))
    }
}
