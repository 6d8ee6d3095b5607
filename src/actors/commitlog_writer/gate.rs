//! Appends that are written but not yet as safe as the broker promises.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::messages::{Append, Notice};
use crate::protocol::names::LogOffset;

/// Written appends in log order, and whether the disk is at work.
#[derive(Default)]
pub(super) struct Gate {
    waiting: VecDeque<Gated>,
    flushing: bool,
}

struct Gated {
    end: LogOffset,
    since: Instant,
    /// `None` once it was answered, or when its sender does not wait.
    append: Option<Append>,
    notices: Vec<Notice>,
}

impl Gate {
    pub(super) fn wait(&mut self, end: LogOffset, append: Option<Append>, notices: Vec<Notice>) {
        self.waiting.push_back(Gated { end, since: Instant::now(), append, notices });
    }

    /// True when the disk is to be asked now; false while it is at work.
    pub(super) fn begin_flush(&mut self) -> bool {
        !std::mem::replace(&mut self.flushing, true)
    }

    pub(super) fn end_flush(&mut self) {
        self.flushing = false;
    }

    /// What may pass now that everything below `upto` is safe.
    pub(super) fn open(&mut self, upto: LogOffset) -> Vec<(LogOffset, Option<Append>, Vec<Notice>)> {
        let passing = self.waiting.iter().take_while(|gated| gated.end <= upto).count();
        self.waiting.drain(..passing).map(|gated| (gated.end, gated.append, gated.notices)).collect()
    }

    /// Appends that wait longer than `limit`. Their notices go on waiting.
    pub(super) fn overdue(&mut self, limit: Duration) -> Vec<Append> {
        let late = self.waiting.iter_mut().take_while(|gated| gated.since.elapsed() >= limit);
        late.filter_map(|gated| gated.append.take()).collect()
    }
}
