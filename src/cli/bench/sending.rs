//! The load of sends.

use super::frame::Answer;
use super::key_sample::KeySample;
use super::lane::Lane;
use super::tally::Tally;
use super::template::{SendSpec, SendStamp, SendTemplate};
use super::timing::{Clock, Pace, Window};
use super::unique_key::{KEY_LENGTH, UniqueKeys};
use super::wire::{Link, Work};
use std::io;

/// What one generator thread is to send.
#[derive(Clone, Debug)]
pub struct SendPlan {
    pub spec: SendSpec,
    pub queues: u32,
    pub connections: usize,
    pub in_flight: usize,
    /// Fixed rate; none: a new request for each answer.
    pub pace: Option<Pace>,
    /// Requests after which the work is over.
    pub limit: u64,
    pub keys_wanted: usize,
    /// Puts this run's number and the due time into each body.
    pub run: Option<u64>,
    /// Number of the generator thread.
    pub thread: u32,
}

/// Keeps a number of sends under way, or sends at a fixed rate, in turn to all queues.
#[derive(Debug)]
pub struct SendWork {
    plan: SendPlan,
    template: SendTemplate,
    keys: UniqueKeys,
    clock: Clock,
    window: Window,
    lanes: Vec<Lane>,
    /// Requests made so far.
    made: u64,
    queue: u32,
    /// The link that takes the next paced request.
    turn: usize,
    pub sample: KeySample,
    pub tally: Tally,
}

impl SendWork {
    pub fn new(plan: SendPlan, clock: Clock, window: Window) -> SendWork {
        SendWork {
            template: SendTemplate::new(&plan.spec),
            keys: UniqueKeys::new(plan.thread),
            clock,
            window,
            lanes: (0..plan.connections).map(|_| Lane::new(plan.in_flight)).collect(),
            made: 0,
            // Threads begin at different queues, so that they do not walk in step.
            queue: plan.thread % plan.queues,
            turn: 0,
            sample: KeySample::new(plan.keys_wanted),
            tally: Tally::new(),
            plan,
        }
    }

    /// Links that this work sends on: the first ones of those that it is given.
    pub fn links(&self) -> usize {
        self.lanes.len()
    }

    /// Makes one request on `link` that counts from `since` on; false while all its slots are taken.
    #[inline]
    fn send(&mut self, link: usize, since: u64, out: &mut Vec<u8>) -> bool {
        let Some(opaque) = self.lanes[link].take(since) else {
            return false;
        };
        let stamp = SendStamp { opaque, queue: self.queue, timing: self.plan.run.map(|run| (run, since)) };
        let key_at = self.template.append(out, stamp, &mut self.keys);
        if self.sample.is_due() {
            self.sample.keep(&out[key_at..key_at + KEY_LENGTH], link, opaque);
        }
        self.made += 1;
        self.queue += 1;
        if self.queue == self.plan.queues {
            self.queue = 0;
        }
        true
    }

    /// Fills the free slots of `link`.
    #[inline]
    fn fill(&mut self, link: usize, now: u64, out: &mut Vec<u8>) {
        self.keys.tell_time(self.clock.wall_millis(now));
        while self.made < self.plan.limit && self.send(link, now, out) {}
    }

    /// Sends what is due by now, on the links in turn, as far as slots are free.
    fn send_due(&mut self, links: &mut [Link], now: u64, mut pace: Pace) {
        self.keys.tell_time(self.clock.wall_millis(now));
        let mut full = 0;
        while full < self.lanes.len() && pace.due() <= now && self.made < self.plan.limit {
            let link = self.turn;
            self.turn = (self.turn + 1) % self.lanes.len();
            if self.send(link, pace.due(), &mut links[link].out) {
                pace.advance();
                full = 0;
            } else {
                full += 1;
            }
        }
        self.plan.pace = Some(pace);
    }
}

impl Work for SendWork {
    fn pump(&mut self, links: &mut [Link], now: u64) -> io::Result<()> {
        match self.plan.pace {
            Some(pace) => self.send_due(links, now, pace),
            None => {
                for (index, link) in links.iter_mut().enumerate().take(self.lanes.len()) {
                    self.fill(index, now, &mut link.out);
                }
            }
        }
        links.iter_mut().filter(|link| !link.out.is_empty()).try_for_each(Link::flush)
    }

    #[inline]
    fn answered(&mut self, link: usize, answer: &Answer<'_>, now: u64, out: &mut Vec<u8>) {
        let Some(settled) = self.lanes[link].settle(answer.opaque) else {
            return;
        };
        if answer.code == 0 {
            let messages = self.plan.spec.batch as u64;
            self.tally.messages_in_all += messages;
            let counts = self.window.holds(now);
            if counts {
                let bytes = messages * self.plan.spec.body_length as u64;
                self.tally.count(messages, bytes);
            }
            // A paced request belongs to the window in which it was due, however late its answer.
            let times = match self.plan.pace {
                Some(_) => self.window.holds(settled.since),
                None => counts,
            };
            if times {
                self.tally.time(now - settled.since);
            }
        } else {
            self.tally.refuse(answer);
            self.sample.forget(link, answer.opaque);
        }
        if self.plan.pace.is_none() {
            self.fill(link, now, out);
        }
    }

    fn close(&mut self) {
        self.plan.limit = 0;
    }

    fn under_way(&self) -> usize {
        self.lanes.iter().map(Lane::under_way).sum()
    }

    fn is_over(&self) -> bool {
        self.made >= self.plan.limit || self.tally.is_hopeless()
    }
}
