//! Send at a fixed rate and receive by parked pulls: the whole way of a message, timed from when it was due.

use super::frame::Answer;
use super::lane::Lane;
use super::pulling::Cursor;
use super::record::bodies;
use super::sending::SendWork;
use super::tally::Tally;
use super::template::{PullSpec, PullStamp, PullTemplate, TIMING_LENGTH};
use super::timing::Window;
use super::wire::{Link, Work};
use std::io;

const FOUND: i32 = 0;
/// Nothing there (19), ask again (20), offset moved (21): the answer names the next offset.
const NOTHING: std::ops::RangeInclusive<i32> = 19..=21;

/// Producers on the first links, consumers on those behind them.
#[derive(Debug)]
pub struct BothWays {
    pub sender: SendWork,
    producers: usize,
    pulls: PullTemplate,
    /// Consumers, each with one parked pull for each of its queues.
    readers: Vec<Reader>,
    run: u64,
    window: Window,
    open: bool,
    pub received: Tally,
}

#[derive(Debug)]
struct Reader {
    lane: Lane,
    cursors: Vec<Cursor>,
}

impl BothWays {
    /// `cursors` holds each consumer's queues with the offsets to begin at; none is empty.
    pub fn new(sender: SendWork, spec: PullSpec, cursors: Vec<Vec<Cursor>>, mark: (u64, Window)) -> BothWays {
        let readers = cursors.into_iter().map(|cursors| Reader { lane: Lane::new(cursors.len()), cursors }).collect();
        BothWays {
            producers: sender.links(),
            sender,
            pulls: PullTemplate::new(spec),
            readers,
            run: mark.0,
            window: mark.1,
            open: true,
            received: Tally::new(),
        }
    }

    /// Messages that were acknowledged and have not come back.
    pub fn missing(&self) -> u64 {
        let sent = self.sender.tally.messages_in_all;
        sent.saturating_sub(self.received.messages_in_all)
    }

    fn park(&mut self, reader: usize, now: u64, out: &mut Vec<u8>) {
        let Reader { lane, cursors } = &mut self.readers[reader];
        while let Some(slot) = lane.next_slot()
            && let Some(opaque) = lane.take(now)
        {
            let Cursor { queue, offset } = cursors[slot];
            let stamp = PullStamp { opaque, queue, offset };
            self.pulls.append(out, stamp);
        }
    }

    fn receive(&mut self, bytes: &[u8], now: u64) -> u64 {
        let mut count = 0;
        for body in bodies(bytes) {
            count += 1;
            let Some((run, due)) = timing(body) else {
                continue;
            };
            if run != self.run {
                continue;
            }
            self.received.messages_in_all += 1;
            if self.window.holds(now) {
                self.received.count(1, body.len() as u64);
            }
            if self.window.holds(due) {
                self.received.time(now.saturating_sub(due));
            }
        }
        count
    }

    fn pulled(&mut self, reader: usize, answer: &Answer<'_>, now: u64, out: &mut Vec<u8>) {
        let Some(settled) = self.readers[reader].lane.settle(answer.opaque) else {
            return;
        };
        let mut cursor = self.readers[reader].cursors[settled.slot];
        match answer.code {
            FOUND => cursor.offset += self.receive(answer.body, now),
            code if NOTHING.contains(&code) => {
                cursor.offset = answer.number("nextBeginOffset").unwrap_or(cursor.offset);
            }
            _ => self.received.refuse(answer),
        }
        self.readers[reader].cursors[settled.slot] = cursor;
        if self.open || self.missing() > 0 {
            self.park(reader, now, out);
        }
    }
}

/// Run and due time that a body of ours begins with.
fn timing(body: &[u8]) -> Option<(u64, u64)> {
    let mark = body.get(..TIMING_LENGTH)?;
    let (run, due) = mark.split_at(8);
    Some((u64::from_be_bytes(run.try_into().ok()?), u64::from_be_bytes(due.try_into().ok()?)))
}

impl Work for BothWays {
    fn pump(&mut self, links: &mut [Link], now: u64) -> io::Result<()> {
        let (producers, consumers) = links.split_at_mut(self.producers);
        for (reader, link) in consumers.iter_mut().enumerate() {
            self.park(reader, now, &mut link.out);
            if !link.out.is_empty() {
                link.flush()?;
            }
        }
        self.sender.pump(producers, now)
    }

    fn answered(&mut self, link: usize, answer: &Answer<'_>, now: u64, out: &mut Vec<u8>) {
        match link.checked_sub(self.producers) {
            None => self.sender.answered(link, answer, now, out),
            Some(reader) => self.pulled(reader, answer, now, out),
        }
    }

    fn close(&mut self) {
        self.open = false;
        self.sender.close();
    }

    fn under_way(&self) -> usize {
        self.sender.under_way() + self.missing() as usize
    }

    fn is_over(&self) -> bool {
        self.sender.is_over() || self.received.is_hopeless()
    }
}
