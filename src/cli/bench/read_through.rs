//! Reading queues from one offset to another, once.

use super::frame::Answer;
use super::lane::Lane;
use super::pulling::Backlog;
use super::record::{Stored, records};
use super::tally::Tally;
use super::template::{PullSpec, PullStamp, PullTemplate};
use super::wire::{Link, Work};
use std::io;

const FOUND: i32 = 0;
/// Nothing there (19), ask again (20), offset moved (21): the answer names the next offset.
const NOTHING: std::ops::RangeInclusive<i32> = 19..=21;
/// So many pulls in a row that find nothing end the run.
const EMPTY_PULLS_MAX: u64 = 10_000;

/// One pull under way for each queue, and every record shown to `see`.
pub struct ReadThrough<S> {
    template: PullTemplate,
    readers: Vec<Reader>,
    see: S,
    empty_in_a_row: u64,
    pub tally: Tally,
}

/// The queues of one link, a slot each.
struct Reader {
    lane: Lane,
    places: Vec<Place>,
}

#[derive(Clone, Copy)]
struct Place {
    queue: u32,
    next: u64,
    end: u64,
}

impl<S: FnMut(Stored<'_>)> ReadThrough<S> {
    /// Shares out the queues of `backlogs` that hold something among `links` links.
    pub fn new(spec: PullSpec, backlogs: &[Backlog], links: u32, see: S) -> Self {
        let mut places: Vec<Vec<Place>> = (0..links).map(|_| Vec::new()).collect();
        let filled = (0..).zip(backlogs).filter(|(_, backlog)| backlog.0 < backlog.1);
        for (turn, (queue, backlog)) in filled.enumerate() {
            places[turn % links as usize].push(Place { queue, next: backlog.0, end: backlog.1 });
        }
        let reader = |places: Vec<Place>| Reader { lane: Lane::new(places.len().max(1)), places };
        let readers = places.into_iter().map(reader).collect();
        ReadThrough { template: PullTemplate::new(spec), readers, see, empty_in_a_row: 0, tally: Tally::new() }
    }

    fn ask(&mut self, link: usize, slot: usize, now: u64, out: &mut Vec<u8>) {
        let Reader { lane, places } = &mut self.readers[link];
        // At the start slots are free in their order; later the one that was freed last is the next to be taken.
        let place = places[slot];
        if place.next >= place.end {
            return;
        }
        if let Some(opaque) = lane.take(now) {
            self.template.append(out, PullStamp { opaque, queue: place.queue, offset: place.next });
        }
    }

    /// Shows the records of an answer; returns how many there were.
    fn show(&mut self, bytes: &[u8], place: Place) -> u64 {
        let mut count = 0;
        // A pull may bring more than was asked for: what came after the end is not ours.
        for record in records(bytes).take((place.end - place.next) as usize) {
            count += 1;
            self.tally.body_bytes += record.body.len() as u64;
            (self.see)(record);
        }
        self.tally.messages += count;
        self.tally.messages_in_all += count;
        count
    }
}

impl<S: FnMut(Stored<'_>)> Work for ReadThrough<S> {
    fn pump(&mut self, links: &mut [Link], now: u64) -> io::Result<()> {
        for (index, link) in links.iter_mut().enumerate() {
            for slot in 0..self.readers[index].places.len() {
                self.ask(index, slot, now, &mut link.out);
            }
            link.flush()?;
        }
        Ok(())
    }

    fn answered(&mut self, link: usize, answer: &Answer<'_>, now: u64, out: &mut Vec<u8>) {
        let Some(settled) = self.readers[link].lane.settle(answer.opaque) else {
            return;
        };
        let mut place = self.readers[link].places[settled.slot];
        let before = place.next;
        match answer.code {
            FOUND => place.next += self.show(answer.body, place),
            code if NOTHING.contains(&code) => place.next = answer.number("nextBeginOffset").unwrap_or(place.next),
            _ => self.tally.refuse(answer),
        }
        self.empty_in_a_row = if place.next == before { self.empty_in_a_row + 1 } else { 0 };
        self.tally.requests += 1;
        self.tally.time(now - settled.since);
        self.readers[link].places[settled.slot] = place;
        self.ask(link, settled.slot, now, out);
    }

    fn close(&mut self) {}

    fn under_way(&self) -> usize {
        self.readers.iter().map(|reader| reader.lane.under_way()).sum()
    }

    fn is_over(&self) -> bool {
        self.under_way() == 0 || self.tally.is_hopeless() || self.empty_in_a_row > EMPTY_PULLS_MAX
    }
}
