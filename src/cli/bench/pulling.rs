//! The load of pulls over a backlog, and pulls that are parked and forgotten.

use super::frame::Answer;
use super::lane::Lane;
use super::record::bodies;
use super::tally::Tally;
use super::template::{PullSpec, PullStamp, PullTemplate};
use super::timing::Window;
use super::wire::{Link, Work};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const FOUND: i32 = 0;
/// Nothing there (19), ask again (20), offset moved (21).
const NOTHING: std::ops::RangeInclusive<i32> = 19..=21;
/// So many pulls in a row that find nothing end the run.
const EMPTY_PULLS_MAX: u64 = 10_000;
/// A parked pull answered sooner than this, in nanoseconds, was not held.
const HELD_NANOS_MIN: u64 = 1_000_000_000;

/// Where one queue's backlog lies: its first offset and the one after its last.
pub type Backlog = (u64, u64);

/// Reads every queue's backlog from its first offset to its last, again and again.
#[derive(Debug)]
pub struct PullWork {
    template: PullTemplate,
    window: Window,
    lanes: Vec<Lane>,
    /// One for each slot of each lane.
    cursors: Vec<Vec<Cursor>>,
    backlogs: Vec<Backlog>,
    empty_in_a_row: u64,
    open: bool,
    pub tally: Tally,
}

/// A reader's place.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    pub queue: u32,
    pub offset: u64,
}

impl PullWork {
    /// `lanes` × `in_flight` readers, spread over the queues of `backlogs` that hold something, from the reader
    /// `first` on.
    pub fn new(spec: PullSpec, window: Window, backlogs: Vec<Backlog>, readers: Readers) -> Self {
        let filled: Vec<u32> =
            (0..).zip(&backlogs).filter(|(_, backlog)| backlog.0 < backlog.1).map(|(queue, _)| queue).collect();
        let mut turn = filled.iter().cycle().skip(readers.first);
        let mut cursor = || {
            let queue = *turn.next().unwrap_or(&0);
            let offset = backlogs.get(queue as usize).map_or(0, |backlog| backlog.0);
            Cursor { queue, offset }
        };
        let cursors = (0..readers.lanes).map(|_| (0..readers.in_flight).map(|_| cursor()).collect()).collect();
        PullWork {
            template: PullTemplate::new(spec),
            window,
            lanes: (0..readers.lanes).map(|_| Lane::new(readers.in_flight)).collect(),
            cursors,
            backlogs,
            empty_in_a_row: 0,
            open: true,
            tally: Tally::new(),
        }
    }

    fn fill(&mut self, link: usize, now: u64, out: &mut Vec<u8>) {
        while self.open
            && let Some(slot) = self.lanes[link].next_slot()
            && let Some(opaque) = self.lanes[link].take(now)
        {
            let Cursor { queue, offset } = self.cursors[link][slot];
            self.template.append(out, PullStamp { opaque, queue, offset });
        }
    }

    fn found(&mut self, cursor: Cursor, answer: &Answer<'_>) -> (u64, u64) {
        let (mut messages, mut bytes) = (0, 0);
        for body in bodies(answer.body) {
            messages += 1;
            bytes += body.len() as u64;
        }
        self.tally.messages_in_all += messages;
        let (first, end) = self.backlogs[cursor.queue as usize];
        let next = cursor.offset + messages;
        let offset = if next >= end || messages == 0 { first } else { next };
        (offset, bytes)
    }
}

/// How many readers a thread has, and the number of the first of them.
#[derive(Clone, Copy, Debug)]
pub struct Readers {
    pub lanes: usize,
    pub in_flight: usize,
    pub first: usize,
}

impl Work for PullWork {
    fn pump(&mut self, links: &mut [Link], now: u64) -> io::Result<()> {
        for (index, link) in links.iter_mut().enumerate() {
            self.fill(index, now, &mut link.out);
            link.flush()?;
        }
        Ok(())
    }

    fn answered(&mut self, link: usize, answer: &Answer<'_>, now: u64, out: &mut Vec<u8>) {
        let Some(settled) = self.lanes[link].settle(answer.opaque) else {
            return;
        };
        let cursor = self.cursors[link][settled.slot];
        let before = self.tally.messages_in_all;
        let (offset, bytes) = match answer.code {
            FOUND => self.found(cursor, answer),
            code if NOTHING.contains(&code) => (self.backlogs[cursor.queue as usize].0, 0),
            _ => {
                self.tally.refuse(answer);
                (cursor.offset, 0)
            }
        };
        self.cursors[link][settled.slot].offset = offset;
        let messages = self.tally.messages_in_all - before;
        self.empty_in_a_row = if messages == 0 { self.empty_in_a_row + 1 } else { 0 };
        if messages > 0 && self.window.holds(now) {
            self.tally.count(messages, bytes);
            self.tally.time(now - settled.since);
        }
        self.fill(link, now, out);
    }

    fn close(&mut self) {
        self.open = false;
    }

    fn under_way(&self) -> usize {
        self.lanes.iter().map(Lane::under_way).sum()
    }

    fn is_over(&self) -> bool {
        self.tally.is_hopeless() || self.empty_in_a_row > EMPTY_PULLS_MAX
    }
}

/// One parked pull on every link, parked anew whenever the broker lets it go.
#[derive(Debug)]
pub struct ParkedWork {
    template: PullTemplate,
    lanes: Vec<Lane>,
    queues: u32,
    stop: Arc<AtomicBool>,
    /// Pulls that the broker answered at once instead of holding them; they are not parked anew.
    pub not_held: u64,
}

impl ParkedWork {
    /// `links` pulls, in turn on the queues of an empty topic, until `stop` is set.
    pub fn new(spec: PullSpec, links: usize, queues: u32, stop: Arc<AtomicBool>) -> ParkedWork {
        ParkedWork {
            template: PullTemplate::new(spec),
            lanes: (0..links).map(|_| Lane::new(1)).collect(),
            queues,
            stop,
            not_held: 0,
        }
    }

    fn park(&mut self, link: usize, now: u64, out: &mut Vec<u8>) {
        let Some(opaque) = self.lanes[link].take(now) else {
            return;
        };
        let stamp = PullStamp { opaque, queue: link as u32 % self.queues, offset: 0 };
        self.template.append(out, stamp);
    }
}

impl Work for ParkedWork {
    fn pump(&mut self, links: &mut [Link], now: u64) -> io::Result<()> {
        for (index, link) in links.iter_mut().enumerate() {
            self.park(index, now, &mut link.out);
            link.flush()?;
            // Thousands of links: each gives its buffer back, for it writes once a minute.
            link.out.shrink_to_fit();
        }
        Ok(())
    }

    fn answered(&mut self, link: usize, answer: &Answer<'_>, now: u64, out: &mut Vec<u8>) {
        let Some(settled) = self.lanes[link].settle(answer.opaque) else {
            return;
        };
        if now - settled.since < HELD_NANOS_MIN {
            self.not_held += 1;
        } else {
            self.park(link, now, out);
        }
    }

    fn close(&mut self) {}

    fn under_way(&self) -> usize {
        0
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
