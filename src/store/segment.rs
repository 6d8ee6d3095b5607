//! One CommitLog file: mapped whole, sparse until the window ahead of the writer is taken.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use memmap2::{MmapOptions, MmapRaw};

use super::disk::{self, Disk, PAGE_BYTES, ReadNow};
use super::{StoreError, file_name};
use crate::protocol::names::LogOffset;

/// Before the kernel writes a mapped page it has to make it read-only in every process that maps it, one by one, with
/// an interrupt to each core. Where so many bytes are synced, the pages are taken out of the mapping all at once first.
const RELEASED_BYTES_MIN: usize = 256 * 1024;

/// A CommitLog file.
///
/// Invariants: only the owner of the [`super::commit_log::CommitLog`] writes, each byte once; a reader looks only at
/// bytes below an end that was published after they were written.
#[derive(Debug)]
pub struct Segment {
    base: LogOffset,
    map: MmapRaw,
    file: File,
    path: PathBuf,
    disk: Disk,
}

impl Segment {
    /// Makes the file that begins at `base`, `size` bytes long, without taking space for it; or opens the one there.
    ///
    /// # Errors
    /// When the file cannot be made or has another length.
    pub fn create(dir: &Path, base: LogOffset, size: u64) -> Result<Segment, StoreError> {
        Self::map(dir.join(file_name(base)), base, size, true)
    }

    /// Opens the file that begins at `base`.
    ///
    /// # Errors
    /// When the file is not there, cannot be opened or has another length.
    pub fn open(dir: &Path, base: LogOffset, size: u64) -> Result<Segment, StoreError> {
        Self::map(dir.join(file_name(base)), base, size, false)
    }

    fn map(path: PathBuf, base: LogOffset, size: u64, create: bool) -> Result<Segment, StoreError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(create)
            .truncate(false)
            .open(&path)
            .map_err(StoreError::io(if create { "cannot make" } else { "cannot open" }, &path))?;
        let length = file.metadata().map_err(StoreError::io("cannot look at", &path))?.len();
        if length == 0 {
            file.set_len(size).map_err(StoreError::io("cannot set the length of", &path))?;
        } else if length != size {
            return Err(StoreError::format(
                &path,
                format!("it is {length} bytes long, expected are {size} (mappedFileSizeCommitLog)"),
            ));
        }
        let map = MmapOptions::new().map_raw(&file).map_err(StoreError::io("cannot map", &path))?;
        // Nothing of a segment is read ahead: the kernel would fill pages with zeros that are about to be written.
        let _ = map.advise(memmap2::Advice::Random);
        Ok(Segment { base, map, file, path, disk: Disk::default() })
    }

    /// The same segment, whose space is taken and whose bytes are synced through `disk`.
    #[must_use]
    pub fn on(self, disk: &Disk) -> Segment {
        Segment { disk: disk.clone(), ..self }
    }

    /// The disk that the segment lies on.
    #[must_use]
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Lets the kernel keep the file in large pages: taking space ahead of the writer then costs a fraction. Not for a log
    /// that is synced in small steps, as the whole of a large page is written each time.
    pub fn prefer_large_pages(&self) {
        // A kernel or a file system that has none goes on with small ones.
        let _ = self.map.advise(memmap2::Advice::HugePage);
    }

    #[must_use]
    pub fn base(&self) -> LogOffset {
        self.base
    }

    /// Bytes of the file.
    #[must_use]
    pub fn size(&self) -> usize {
        self.map.len()
    }

    /// Offset of the first byte after the file.
    #[must_use]
    pub fn end(&self) -> LogOffset {
        self.base + self.map.len() as u64
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes disk space for the positions `from..to` and brings their pages into memory.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn prepare(&self, from: usize, to: usize) -> Result<(), StoreError> {
        let from = from / PAGE_BYTES * PAGE_BYTES;
        let to = to.next_multiple_of(PAGE_BYTES).min(self.map.len());
        if from >= to {
            return Ok(());
        }
        self.disk
            .reserve(&self.file, from as u64, (to - from) as u64)
            .map_err(StoreError::io("cannot take disk space for", &self.path))?;
        // SAFETY: the range lies within the mapping, as `to` was cut to its length.
        match unsafe { disk::populate(self.map.as_mut_ptr().add(from), to - from) } {
            // A kernel before 5.14 does not know the call: the writer then pays for each page when it gets there.
            Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => Ok(()),
            result => result.map_err(StoreError::io("cannot populate", &self.path)),
        }
    }

    /// This mapping is read once, from front to back: the kernel may read ahead of it.
    pub(super) fn read_in_order(&self) {
        // Failing only costs time.
        let _ = self.map.advise(memmap2::Advice::Sequential);
    }

    /// Copies `bytes` to `position`. Only for the one writer of the log, into space that [`Segment::prepare`] took.
    pub(super) fn write(&self, position: usize, bytes: &[u8]) {
        assert!(position + bytes.len() <= self.map.len(), "a write beyond the segment");
        // SAFETY: the target lies within the mapping (asserted); nobody else writes, and no reader looks at it before
        // the new end is published.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.map.as_mut_ptr().add(position), bytes.len());
        }
    }

    /// Writes the positions `from..to` to the disk and waits for it.
    ///
    /// # Errors
    /// When the disk fails; the caller must not go on.
    pub fn sync(&self, from: usize, to: usize) -> Result<(), StoreError> {
        let from = from / PAGE_BYTES * PAGE_BYTES;
        let to = to.min(self.map.len());
        if from >= to {
            return Ok(());
        }
        let whole = to / PAGE_BYTES * PAGE_BYTES;
        if whole >= from + RELEASED_BYTES_MIN {
            // SAFETY: the range lies within the mapping, which is shared, and begins at a page.
            unsafe { disk::release(self.map.as_mut_ptr().add(from), whole - from) };
        }
        // SAFETY: the range lies within the mapping and begins at a page.
        unsafe { self.disk.sync(self.map.as_mut_ptr().add(from), to - from) }
            .map_err(StoreError::io("cannot sync", &self.path))
    }

    /// The whole file as shared bytes; a clone of the handle is an answer's slice. What lies above the log's
    /// published end must not be looked at.
    #[must_use]
    pub fn bytes(self: &Arc<Self>) -> Bytes {
        Bytes::from_owner(Mapped(self.clone()))
    }

    /// Reads from the page cache only.
    ///
    /// # Errors
    /// When the read fails.
    pub fn read_now(&self, buffer: &mut [u8], position: u64) -> Result<ReadNow, StoreError> {
        disk::read_now(&self.file, buffer, position).map_err(StoreError::io("cannot read", &self.path))
    }

    /// Reads, waiting for the disk.
    ///
    /// # Errors
    /// When the read fails.
    pub fn read(&self, buffer: &mut [u8], position: u64) -> Result<(), StoreError> {
        self.file.read_exact_at(buffer, position).map_err(StoreError::io("cannot read", &self.path))
    }
}

/// Keeps the mapping alive for as long as an answer needs a slice of it.
struct Mapped(Arc<Segment>);

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        let map = &self.0.map;
        // SAFETY: the mapping lives as long as `self`. Bytes above the published end change while this slice exists;
        // no reader looks there, and published bytes never change.
        unsafe { std::slice::from_raw_parts(map.as_ptr(), map.len()) }
    }
}
