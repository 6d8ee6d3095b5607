//! What came of the requests: counts, latencies, refusals.

use super::frame::Answer;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;

/// Longest latency told apart, in nanoseconds; longer ones count as this.
const LATENCY_NANOS_MAX: u64 = 60_000_000_000;
/// So many refusals without a single success end a run early.
const HOPELESS_REFUSALS: u64 = 1_000;

/// Counts of one generator thread.
#[derive(Debug)]
pub struct Tally {
    /// Nanoseconds from request to answer, of what lies in the window.
    pub latency: Histogram<u64>,
    /// Messages in the window.
    pub messages: u64,
    /// Bytes of message bodies in the window.
    pub body_bytes: u64,
    /// Requests in the window.
    pub requests: u64,
    /// Messages in the whole run, its warm-up and end included.
    pub messages_in_all: u64,
    /// Refused requests of the whole run by response code.
    pub refused: BTreeMap<i32, u64>,
    /// Text of the first refusal.
    pub first_refusal: Option<String>,
}

impl Tally {
    pub fn new() -> Tally {
        Tally {
            latency: Histogram::new_with_bounds(1, LATENCY_NANOS_MAX, 3).expect("constant bounds are valid"),
            messages: 0,
            body_bytes: 0,
            requests: 0,
            messages_in_all: 0,
            refused: BTreeMap::new(),
            first_refusal: None,
        }
    }

    /// A request for `messages` messages was answered with success inside the window.
    #[inline]
    pub fn count(&mut self, messages: u64, body_bytes: u64) {
        self.requests += 1;
        self.messages += messages;
        self.body_bytes += body_bytes;
    }

    #[inline]
    pub fn time(&mut self, nanos: u64) {
        self.latency.saturating_record(nanos.max(1));
    }

    /// The server answered with an error.
    pub fn refuse(&mut self, answer: &Answer<'_>) {
        *self.refused.entry(answer.code).or_default() += 1;
        self.first_refusal.get_or_insert_with(|| format!("code {} {}", answer.code, answer.remark()));
    }

    pub fn refusals(&self) -> u64 {
        self.refused.values().sum()
    }

    /// Nothing but refusals: going on would only heat the machine.
    pub fn is_hopeless(&self) -> bool {
        self.messages_in_all == 0 && self.refusals() >= HOPELESS_REFUSALS
    }

    /// Adds another thread's counts.
    pub fn merge(&mut self, other: Tally) {
        self.latency.add(&other.latency).expect("all tallies have the same bounds");
        self.messages += other.messages;
        self.body_bytes += other.body_bytes;
        self.requests += other.requests;
        self.messages_in_all += other.messages_in_all;
        for (code, count) in other.refused {
            *self.refused.entry(code).or_default() += count;
        }
        self.first_refusal = self.first_refusal.take().or(other.first_refusal);
    }
}
