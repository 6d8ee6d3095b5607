//! Which messages a custom filter is asked about, and what its answers come to.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::messages::{PullAsk, PullStatus, Pulled};
use super::pace::{BATCH_BYTES_MAX, Pace, Portion};
use super::pull::{Chosen, ENTRIES_A_PULL_MAX, Limits, STEPS_A_PULL_MAX, Source, entries, gone, may_pass, record};
use crate::actors::extension::{Bits, Found, Messages, Place};
use crate::actors::log::doors::QueueRange;
use crate::protocol::names::{LogOffset, QueueOffset};
use crate::protocol::record::begins_as_record;
use crate::store::StoreError;
use crate::store::consume_queue::{ENTRY_BYTES, Entry};
use crate::store::log_view::LogView;

/// Bytes of messages that a pull has its filter look at; past them it ends with what it found.
const SIFTED_BYTES_MAX: usize = BATCH_BYTES_MAX;
/// How long a pull goes on with further batches.
const SIFTING_MAX: Duration = Duration::from_millis(500);

/// Messages about which a custom filter is to be asked: those that pass what else the pull says.
pub(super) struct Candidates {
    messages: Messages,
    /// Offset after the last entry that was examined.
    next: QueueOffset,
    log_end: LogOffset,
    bytes: usize,
    steps: usize,
}

impl Candidates {
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn messages(&self) -> Messages {
        self.messages.clone()
    }
}

/// Candidates that are being gathered.
struct Search {
    found: Found,
    /// The part of the log where the last one lies.
    part: Part,
    next: QueueOffset,
    log_end: LogOffset,
    bytes: usize,
    steps: usize,
}

#[derive(Clone, Copy)]
struct Part {
    number: u32,
    from: LogOffset,
    to: LogOffset,
}

impl Search {
    fn new(next: QueueOffset, log_end: LogOffset) -> Self {
        let (found, part) = (Found::default(), Part { number: 0, from: 0, to: 0 });
        Self { found, part, next, log_end, bytes: 0, steps: 0 }
    }

    fn end(self) -> Candidates {
        let Search { found, next, log_end, bytes, steps, .. } = self;
        Candidates { messages: found.into(), next, log_end, bytes, steps }
    }

    fn reserved(&mut self, portion: Portion) -> Portion {
        self.found.reserve(portion.messages);
        portion
    }

    #[inline]
    fn has_all(&self, portion: Portion, next: &Entry) -> bool {
        let count = self.found.len();
        count >= portion.messages || (count > 0 && self.bytes + next.size as usize > portion.bytes)
    }

    /// Where the entry's record lies; `None` when finding it would block and `wait` is false.
    #[inline]
    fn place(&mut self, view: &LogView, entry: &Entry, wait: bool) -> Result<Option<Place>, StoreError> {
        let to = entry.at.checked_add(u64::from(entry.size)).ok_or_else(|| gone(entry.at, entry.size as usize))?;
        if (entry.at < self.part.from || to > self.part.to) && !self.turn_to(view, entry, wait)? {
            return Ok(None);
        }
        Ok(Some(Place { offset: self.next, at: entry.at, size: entry.size, part: self.part.number }))
    }

    /// Makes `part` one that has the entry's record: of the log itself, or a copy of that record alone.
    fn turn_to(&mut self, view: &LogView, entry: &Entry, wait: bool) -> Result<bool, StoreError> {
        let (at, size) = (entry.at, entry.size as usize);
        let near = view.part(at).filter(|(from, bytes)| size > 0 && at - from + size as u64 <= bytes.len() as u64);
        let (from, bytes) = match near {
            Some(part) => part,
            None => {
                let Some(copy) = record(view, (at, size), wait)? else { return Ok(false) };
                // What comes from the disk may be anything.
                if !begins_as_record(&copy) {
                    return Err(gone(at, size));
                }
                (at, copy)
            }
        };
        let to = from + bytes.len() as u64;
        self.part = Part { number: self.found.add_part(from, bytes), from, to };
        Ok(true)
    }

    #[inline]
    fn push(&mut self, place: Place) {
        self.bytes += place.size as usize;
        self.found.push(place);
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
    pub(super) fn take(&mut self, candidates: &Candidates, bits: &Bits, (pull, limits): (&PullAsk, &Limits)) -> usize {
        self.next = candidates.next;
        self.bytes += candidates.bytes;
        self.steps += candidates.steps;
        let (log_end, mut wanted, mut taken) = (candidates.log_end, 0, Vec::new());
        let messages = &candidates.messages;
        for (index, place) in bits.wanted().map_while(|index| Some((index, messages.place(index)?))) {
            wanted += 1;
            if self.full {
                continue;
            }
            if self.chosen.takes((place.at, place.size), pull.count, limits, log_end) {
                self.chosen.count(place.size);
                taken.push(index);
            } else {
                // The next pull begins with it.
                self.next = place.offset;
                self.full = true;
            }
        }
        self.records.extend(messages.records(&taken));
        let last = messages.len().checked_sub(1).and_then(|last| messages.place(last));
        self.full |= last.is_some_and(|last| !self.chosen.takes((last.at, last.size), pull.count, limits, log_end));
        wanted
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
        let log_end = view.readable();
        let (mut search, mut portion) = (Search::new(from, log_end), None);
        // What is here already is a batch; with nothing yet it has to be read.
        let here = |search: Search| Ok((search.next > from).then(|| search.end()));
        scratch.take_steps();
        while search.next - from < left {
            let Some(entries) = entries(queue, tail, search.next, wait)? else { return here(search) };
            let (entries, _) = entries.as_chunks::<ENTRY_BYTES>();
            if entries.is_empty() {
                break;
            }
            for entry in entries.iter().take((left - (search.next - from)) as usize).map(Entry::decode) {
                if pull.wish.wants_code(entry.tag_code) {
                    let portion = *portion.get_or_insert_with(|| {
                        let room = sifted.chosen.room(&entry, pull.count, limits, log_end);
                        search.reserved(pace.portion(room))
                    });
                    if search.has_all(portion, &entry) {
                        return Ok(Some(search.end()));
                    }
                    let Some(place) = search.place(view, &entry, wait)? else { return here(search) };
                    // Nothing of a message is read for a custom filter alone: its bytes are mostly not in the caches.
                    let passes = pull.wish.sql.is_none() || {
                        let passes = may_pass(&pull.wish, search.found.record(&place), scratch);
                        search.steps += scratch.take_steps();
                        passes
                    };
                    if passes {
                        search.push(place);
                    }
                }
                search.next += 1;
                if search.steps >= STEPS_A_PULL_MAX {
                    return Ok(Some(search.end()));
                }
            }
        }
        Ok(Some(search.end()))
    }
}
