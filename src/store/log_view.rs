//! What readers see of the CommitLog: the mapped segments and how far they may look. Readers take no lock.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;

use super::disk::ReadNow;
use super::segment::Segment;
use super::{StoreError, file_name};
use crate::protocol::names::LogOffset;

/// Segments that stay mapped for reading, the newest ones, and those that are not synced. Older ones are read through
/// files.
pub const MAPPED_SEGMENTS_MAX: usize = 4;

/// Ends of the log, published by their owners and read by everyone.
#[derive(Debug, Default)]
pub struct Ends {
    /// First byte that is still there.
    pub min: AtomicU64,
    /// End of what was written.
    pub written: AtomicU64,
    /// End of what was synced.
    pub flushed: AtomicU64,
    /// End of what readers may see.
    pub readable: AtomicU64,
    /// From here on the bytes were written by this process not long ago: in memory, so a mapped read does not block.
    pub resident: AtomicU64,
}

#[derive(Debug, Clone)]
struct MappedSegment {
    segment: Arc<Segment>,
    bytes: Bytes,
}

/// The log as readers see it; cheap to clone.
#[derive(Debug, Clone)]
pub struct LogView {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    segment_bytes: u64,
    window: ArcSwap<Vec<MappedSegment>>,
    ends: Ends,
}

/// A read that must not wait for the disk.
#[derive(Debug)]
pub enum Slice {
    Here(Bytes),
    /// The bytes may not be in memory: read them where waiting is allowed.
    Cold,
}

impl LogView {
    #[must_use]
    pub fn new(dir: PathBuf, segment_bytes: u64) -> Self {
        let shared = Shared { dir, segment_bytes, window: ArcSwap::default(), ends: Ends::default() };
        Self { shared: Arc::new(shared) }
    }

    #[must_use]
    pub fn ends(&self) -> &Ends {
        &self.shared.ends
    }

    /// End of what readers may see.
    #[must_use]
    pub fn readable(&self) -> LogOffset {
        self.shared.ends.readable.load(Ordering::Acquire)
    }

    /// First byte that is still there.
    #[must_use]
    pub fn min(&self) -> LogOffset {
        self.shared.ends.min.load(Ordering::Acquire)
    }

    /// Adds the newest segment to what is mapped and lets the oldest go. Called by the owner of the segments only.
    pub fn push(&self, segment: Arc<Segment>) {
        let mut window = Vec::clone(&self.shared.window.load());
        window.push(MappedSegment { bytes: segment.bytes(), segment });
        // Many short segments may be ready ahead of the writer; what is not synced yet is needed for that.
        let flushed = self.shared.ends.flushed.load(Ordering::Acquire);
        if window.len() > MAPPED_SEGMENTS_MAX && window[0].segment.end() <= flushed {
            window.remove(0);
        }
        self.shared.window.store(Arc::new(window));
    }

    /// The mapped segment that holds `at`.
    #[must_use]
    pub fn segment(&self, at: LogOffset) -> Option<Arc<Segment>> {
        let window = self.shared.window.load();
        window.iter().rev().find(|m| m.segment.base() <= at && at < m.segment.end()).map(|m| m.segment.clone())
    }

    /// The same, mapped for the caller alone where it is too old to be in what everyone sees.
    ///
    /// # Errors
    /// When the file is not there or cannot be mapped.
    pub fn segment_again(&self, at: LogOffset) -> Result<Arc<Segment>, StoreError> {
        if let Some(segment) = self.segment(at) {
            return Ok(segment);
        }
        let base = at - at % self.shared.segment_bytes;
        Segment::open(&self.shared.dir, base, self.shared.segment_bytes).map(Arc::new)
    }

    /// `size` bytes from `at` on without waiting for the disk. `None` when that range is not readable.
    ///
    /// # Errors
    /// When the read fails.
    pub fn slice(&self, at: LogOffset, size: usize) -> Result<Option<Slice>, StoreError> {
        if !self.holds(at, size) {
            return Ok(None);
        }
        let window = self.shared.window.load();
        let Some(mapped) = window.iter().rev().find(|m| m.segment.base() <= at) else {
            return Ok(Some(Slice::Cold));
        };
        let position = (at - mapped.segment.base()) as usize;
        if position + size > mapped.segment.size() {
            return Ok(None);
        }
        if at >= self.shared.ends.resident.load(Ordering::Relaxed) {
            return Ok(Some(Slice::Here(mapped.bytes.slice(position..position + size))));
        }
        let mut buffer = vec![0; size];
        Ok(Some(match mapped.segment.read_now(&mut buffer, position as u64)? {
            ReadNow::Done(_) => Slice::Here(Bytes::from(buffer)),
            ReadNow::WouldBlock => Slice::Cold,
        }))
    }

    /// Everything of the mapped segment around `at` that can be read now without waiting, and where it begins: for whoever
    /// looks at many records there. `None` where nothing is sure to be in memory.
    #[must_use]
    pub fn part(&self, at: LogOffset) -> Option<(LogOffset, Bytes)> {
        let readable = self.readable();
        let window = self.shared.window.load();
        let mapped = window.iter().rev().find(|m| m.segment.base() <= at)?;
        let base = mapped.segment.base();
        let from = base.max(self.min()).max(self.shared.ends.resident.load(Ordering::Relaxed));
        let to = readable.min(base + mapped.segment.size() as u64);
        (from..to).contains(&at).then(|| (from, mapped.bytes.slice((from - base) as usize..(to - base) as usize)))
    }

    /// `size` bytes from `at` on, waiting for the disk where needed. `None` when that range is not readable.
    ///
    /// # Errors
    /// When the read fails.
    pub fn read(&self, at: LogOffset, size: usize) -> Result<Option<Bytes>, StoreError> {
        if !self.holds(at, size) {
            return Ok(None);
        }
        let mut buffer = vec![0; size];
        if let Some(segment) = self.segment(at) {
            segment.read(&mut buffer, at - segment.base())?;
            return Ok(Some(Bytes::from(buffer)));
        }
        let base = at - at % self.shared.segment_bytes;
        let path = self.shared.dir.join(file_name(base));
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("cannot open", &path)(error)),
        };
        file.read_exact_at(&mut buffer, at - base).map_err(StoreError::io("cannot read", &path))?;
        Ok(Some(Bytes::from(buffer)))
    }

    /// Whether the range is readable and within one segment.
    fn holds(&self, at: LogOffset, size: usize) -> bool {
        let end = at.checked_add(size as u64);
        size > 0
            && at >= self.min()
            && end.is_some_and(|end| end <= self.readable())
            && at % self.shared.segment_bytes + size as u64 <= self.shared.segment_bytes
    }
}
