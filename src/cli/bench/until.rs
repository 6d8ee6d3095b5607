//! A load that goes on until another one is over.

use super::frame::Answer;
use super::wire::{Link, Work};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// `work`, until `stop` is set or it is over by itself.
#[derive(Debug)]
pub struct Until<W> {
    pub work: W,
    pub stop: Arc<AtomicBool>,
}

impl<W: Work> Work for Until<W> {
    fn pump(&mut self, links: &mut [Link], now: u64) -> std::io::Result<()> {
        self.work.pump(links, now)
    }

    #[inline]
    fn answered(&mut self, link: usize, answer: &Answer<'_>, now: u64, out: &mut Vec<u8>) {
        self.work.answered(link, answer, now, out);
    }

    fn close(&mut self) {
        self.work.close();
    }

    fn under_way(&self) -> usize {
        self.work.under_way()
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.work.is_over()
    }
}
