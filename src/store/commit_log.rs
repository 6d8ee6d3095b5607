//! The writing end of the CommitLog: where the next record goes.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::log_view::LogView;
use super::segment::Segment;
use crate::protocol::names::LogOffset;
use crate::protocol::record::{BLANK_BYTES, MAGIC_BLANK};

/// Bytes behind the written end that count as in memory when they were written by this process.
const RESIDENT_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// Sizes and place of a CommitLog.
#[derive(Debug, Clone)]
pub struct LogSettings {
    pub dir: PathBuf,
    /// Length of each file.
    pub segment_bytes: u64,
}

/// Where the next record fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// At the end of the log.
    Here,
    /// At the start of the next segment; the rest of this one is to be filled first.
    Next,
    /// Nowhere until more space was prepared.
    NotYet,
}

/// The end of the log. One owner.
///
/// Invariants: `end` only grows; a record lies within one segment; nothing is written beyond `prepared`.
#[derive(Debug)]
pub struct CommitLog {
    view: LogView,
    /// The segment that is being written and those prepared after it.
    segments: VecDeque<Arc<Segment>>,
    end: LogOffset,
    prepared: LogOffset,
    /// Where this process began to write: what is older may not be in memory.
    started_at: LogOffset,
}

impl CommitLog {
    /// A log that ends at `end`, within `segments`' first segment; no space is prepared yet. What lies below `flushed`
    /// is on the disk.
    #[must_use]
    pub fn new(view: LogView, segments: VecDeque<Arc<Segment>>, (flushed, end): (LogOffset, LogOffset)) -> Self {
        let ends = view.ends();
        ends.written.store(end, Ordering::Release);
        ends.flushed.store(flushed, Ordering::Release);
        ends.readable.store(end, Ordering::Release);
        ends.resident.store(end, Ordering::Release);
        Self { view, segments, end, prepared: end, started_at: end }
    }

    #[must_use]
    pub fn view(&self) -> &LogView {
        &self.view
    }

    /// End of what was written.
    #[must_use]
    pub fn end(&self) -> LogOffset {
        self.end
    }

    /// More space is there: up to `upto`, in `segment` when it is a new one.
    pub fn prepared(&mut self, upto: LogOffset, segment: Option<Arc<Segment>>) {
        if let Some(segment) = segment {
            self.view.push(segment.clone());
            self.segments.push_back(segment);
        }
        self.prepared = self.prepared.max(upto);
    }

    /// Where a record of `size` bytes fits that follows `ahead` bytes which are not yet written.
    #[must_use]
    pub fn room(&self, ahead: usize, size: usize) -> Room {
        let Some(segment) = self.segments.front() else { return Room::NotYet };
        let start = self.end + ahead as u64;
        if start + (size + BLANK_BYTES) as u64 <= segment.end() {
            return if start + size as u64 <= self.prepared { Room::Here } else { Room::NotYet };
        }
        if self.segments.len() > 1 && segment.end() + size as u64 <= self.prepared { Room::Next } else { Room::NotYet }
    }

    /// Writes whole records, for which there is [`Room::Here`].
    pub fn append(&mut self, records: &[u8]) {
        let Some(segment) = self.segments.front() else { return };
        debug_assert!(self.end + records.len() as u64 <= self.prepared, "room was asked for first");
        segment.write((self.end - segment.base()) as usize, records);
        self.end += records.len() as u64;
    }

    /// Fills the rest of the segment and goes on to the next, for which there is [`Room::Next`].
    pub fn roll(&mut self) {
        let Some(segment) = self.segments.pop_front() else { return };
        let rest = segment.end() - self.end;
        let mut blank = [0; BLANK_BYTES];
        blank[..4].copy_from_slice(&(rest as u32).to_be_bytes());
        blank[4..].copy_from_slice(&MAGIC_BLANK.to_be_bytes());
        segment.write((self.end - segment.base()) as usize, &blank[..BLANK_BYTES.min(rest as usize)]);
        self.end = segment.end();
    }

    /// Lets the flusher, and through the gate the readers, see what was appended.
    pub fn publish(&self) {
        let ends = self.view.ends();
        ends.written.store(self.end, Ordering::Release);
        let resident = self.end.saturating_sub(RESIDENT_BYTES).max(self.started_at);
        ends.resident.store(resident, Ordering::Relaxed);
    }

    /// Lets readers see what lies below `end`.
    pub fn make_readable(&self, end: LogOffset) {
        self.view.ends().readable.fetch_max(end, Ordering::AcqRel);
    }
}
