//! Sends, with a note of how many were acknowledged when: for a window that is known only afterwards.

use super::frame::Answer;
use super::sending::SendWork;
use super::wire::{Link, Work};

/// Width of a bucket.
const BUCKET_NANOS: u64 = 10_000_000;

/// [`SendWork`] and its acknowledged messages by time.
#[derive(Debug)]
pub struct Timeline {
    pub sends: SendWork,
    acknowledged: Vec<u64>,
}

impl Timeline {
    pub fn new(sends: SendWork) -> Timeline {
        Timeline { sends, acknowledged: Vec::new() }
    }

    /// Messages a second between `start` and `end`, times of the run's clock, rounded out to whole buckets.
    pub fn per_second(&self, start: u64, end: u64) -> f64 {
        let (first, last) = ((start / BUCKET_NANOS) as usize, (end / BUCKET_NANOS) as usize);
        let count: u64 = self.acknowledged.iter().skip(first).take(last + 1 - first).sum();
        count as f64 / ((last + 1 - first) as f64 * BUCKET_NANOS as f64 / 1e9)
    }
}

impl Work for Timeline {
    fn pump(&mut self, links: &mut [Link], now: u64) -> std::io::Result<()> {
        self.sends.pump(links, now)
    }

    #[inline]
    fn answered(&mut self, link: usize, answer: &Answer<'_>, now: u64, out: &mut Vec<u8>) {
        let before = self.sends.tally.messages_in_all;
        self.sends.answered(link, answer, now, out);
        let bucket = (now / BUCKET_NANOS) as usize;
        if bucket >= self.acknowledged.len() {
            self.acknowledged.resize(bucket + 1, 0);
        }
        self.acknowledged[bucket] += self.sends.tally.messages_in_all - before;
    }

    fn close(&mut self) {
        self.sends.close();
    }

    fn under_way(&self) -> usize {
        self.sends.under_way()
    }

    fn is_over(&self) -> bool {
        self.sends.is_over()
    }
}
