//! What a queue's reader counts for administrators: of this minute and the one before.

use std::time::Duration;

use tokio::time::Instant;

use crate::client::produce::parcel::now_ms;
use crate::protocol::body::running::ConsumeStatus;

const WINDOW: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    pulls: u64,
    pull_time: Duration,
    pulled: u64,
    batches: u64,
    consume_time: Duration,
    consumed: u64,
    failed: u64,
}

/// The counts of one reader.
#[derive(Debug, Clone)]
pub(in crate::client) struct Figures {
    began: Instant,
    now: Sums,
    before: Option<(Duration, Sums)>,
    failed: i64,
    /// Milliseconds since 1970; 0 while nothing was pulled.
    pub(in crate::client) last_pull_ms: i64,
    /// The same of what was consumed.
    pub(in crate::client) last_consume_ms: i64,
}

impl Default for Figures {
    fn default() -> Self {
        let (now, before) = (Sums::default(), None);
        Self { began: Instant::now(), now, before, failed: 0, last_pull_ms: 0, last_consume_ms: 0 }
    }
}

impl Figures {
    /// Begins a new window where the last one is over.
    pub(in crate::client) fn roll(&mut self) {
        let elapsed = self.began.elapsed();
        if elapsed >= WINDOW {
            self.before = Some((elapsed, std::mem::take(&mut self.now)));
            self.began = Instant::now();
        }
    }

    pub(in crate::client) fn pulls(&mut self) {
        self.last_pull_ms = now_ms();
    }

    pub(in crate::client) fn pulled(&mut self, messages: usize, took: Duration) {
        self.roll();
        self.now.pulled += messages as u64;
        if messages > 0 {
            self.now.pulls += 1;
            self.now.pull_time += took;
        }
    }

    pub(in crate::client) fn finished(&mut self, messages: usize, consumed: bool) {
        self.last_consume_ms = now_ms();
        if consumed {
            self.now.consumed += messages as u64;
        } else {
            self.now.failed += messages as u64;
            self.failed = self.failed.saturating_add(i64::try_from(messages).unwrap_or(i64::MAX));
        }
    }

    /// `batches` calls of the listener took so long together.
    pub(in crate::client) fn took(&mut self, batches: u64, time: Duration) {
        self.now.batches += batches;
        self.now.consume_time += time;
    }

    /// Adds the rates of this queue to those of its topic; of times, the longest is told.
    pub(in crate::client) fn add_to(&self, status: &mut ConsumeStatus) {
        let (past, before) = self.before.unwrap_or_default();
        let seconds = (past + self.began.elapsed()).as_secs_f64().max(1.0);
        let rate = |count: u64| count as f64 / seconds;
        let mean = |time: Duration, count: u64| time.as_secs_f64() * 1000.0 / count.max(1) as f64;
        let now = &self.now;
        status.failed += self.failed;
        status.failed_rate += rate(before.failed + now.failed);
        status.consumed_rate += rate(before.consumed + now.consumed);
        status.pulled_rate += rate(before.pulled + now.pulled);
        let consume_ms = mean(before.consume_time + now.consume_time, before.batches + now.batches);
        status.consume_ms = status.consume_ms.max(consume_ms);
        status.pull_ms = status.pull_ms.max(mean(before.pull_time + now.pull_time, before.pulls + now.pulls));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rates_are_of_the_last_two_minutes_at_most() {
        let mut figures = Figures::default();
        figures.pulled(600, Duration::from_millis(8));
        figures.finished(500, true);
        figures.finished(100, false);
        figures.took(4, Duration::from_millis(20));
        tokio::time::advance(Duration::from_secs(100)).await;
        figures.roll();
        let mut status = ConsumeStatus::default();
        figures.add_to(&mut status);
        assert_eq!((status.pulled_rate, status.consumed_rate, status.failed_rate, status.failed), (6.0, 5.0, 1.0, 100));
        assert_eq!((status.pull_ms, status.consume_ms), (8.0, 5.0));
        tokio::time::advance(WINDOW).await;
        figures.roll();
        let mut status = ConsumeStatus::default();
        figures.add_to(&mut status);
        assert_eq!((status.pulled_rate, status.failed), (0.0, 100));
    }
}
