//! ConsumeQueues: for each message of a queue, where it lies in the log. Files of equal length, named by the byte offset
//! of their first entry in the queue. An entry:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | physical offset |
//! | 8 | 4 | size |
//! | 12 | 8 | tag code |
//!
//! Source: RocketMQ's `ConsumeQueue`.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::disk::{self, ReadNow};
use super::{StoreError, file_name, sequence};
use crate::protocol::names::{LogOffset, QueueKey, QueueOffset};

pub const ENTRY_BYTES: usize = 20;
/// Entries that are read from a file at once: as many as RocketMQ examines for one pull.
pub const ENTRIES_READ_AT_ONCE: usize = 800;
/// Size of the entries that fill a queue whose first message is not message 0.
const FILLER_SIZE: u32 = i32::MAX as u32;

/// Where one message lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub at: LogOffset,
    pub size: u32,
    pub tag_code: i64,
}

impl Entry {
    /// What stands before the first message of a queue that does not begin at 0.
    pub const FILLER: Entry = Entry { at: 0, size: FILLER_SIZE, tag_code: 0 };

    #[must_use]
    pub fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..8].copy_from_slice(&self.at.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.size.to_be_bytes());
        bytes[12..].copy_from_slice(&self.tag_code.to_be_bytes());
        bytes
    }

    #[inline]
    #[must_use]
    pub fn decode(bytes: &[u8; ENTRY_BYTES]) -> Entry {
        let (at, rest) = bytes.split_at(8);
        let (size, tag) = rest.split_at(4);
        Entry {
            at: u64::from_be_bytes(at.try_into().unwrap_or_default()),
            size: u32::from_be_bytes(size.try_into().unwrap_or_default()),
            tag_code: i64::from_be_bytes(tag.try_into().unwrap_or_default()),
        }
    }

    fn is_filler(&self) -> bool {
        self.at == 0 && self.size == FILLER_SIZE
    }

    /// Whether the entry was written, and points below `bound`.
    fn is_below(&self, bound: LogOffset) -> bool {
        self.is_filler() || (self.size > 0 && self.at.saturating_add(u64::from(self.size)) <= bound)
    }
}

/// Directory of a queue under the store's root.
#[must_use]
pub fn queue_dir(root: &Path, key: &QueueKey) -> PathBuf {
    root.join("consumequeue").join(key.topic.as_str()).join(key.queue.to_string())
}

/// The entries of one queue that are in its files. Read only: [`super::queue_files::QueueFiles`] writes.
#[derive(Debug)]
pub struct ConsumeQueue {
    dir: PathBuf,
    file_bytes: u64,
    min: QueueOffset,
    end: QueueOffset,
    file: Option<(u64, File)>,
    block: Block,
}

#[derive(Debug, Default)]
struct Block {
    start: QueueOffset,
    bytes: Vec<u8>,
}

impl ConsumeQueue {
    /// Finds the first and the last entry of the queue in `dir`: entries count while they point below `bound`.
    /// `log_min` is the first byte that the log still has.
    ///
    /// # Errors
    /// When a file cannot be read or has another length than `file_bytes`.
    pub fn open(dir: PathBuf, file_bytes: u64, log_min: LogOffset, bound: LogOffset) -> Result<Self, StoreError> {
        let mut queue = Self { dir, file_bytes, min: 0, end: 0, file: None, block: Block::default() };
        let files = queue.files()?;
        let Some((first, _)) = files.first() else { return Ok(queue) };
        let per_file = file_bytes / ENTRY_BYTES as u64;
        queue.end = first / ENTRY_BYTES as u64;
        for (base, _) in files.iter().rev() {
            let start = base / ENTRY_BYTES as u64;
            let written = queue.partition(start, start + per_file, |entry| entry.is_below(bound))?;
            if written > start {
                queue.end = written;
                break;
            }
        }
        queue.min =
            queue.partition(first / ENTRY_BYTES as u64, queue.end, |entry| entry.is_filler() || entry.at < log_min)?;
        Ok(queue)
    }

    /// The same queue for another reader.
    #[must_use]
    pub fn another(&self) -> Self {
        Self {
            dir: self.dir.clone(),
            file_bytes: self.file_bytes,
            min: self.min,
            end: self.end,
            file: None,
            block: Block::default(),
        }
    }

    /// Offset of the first message.
    #[must_use]
    pub fn min(&self) -> QueueOffset {
        self.min
    }

    /// Offset after the last entry that is in the files.
    #[must_use]
    pub fn end(&self) -> QueueOffset {
        self.end
    }

    /// The files now hold entries up to `end`.
    pub fn grown(&mut self, end: QueueOffset) {
        self.end = self.end.max(end);
    }

    /// Lets go of the open file and the read block, which are only there for speed.
    pub fn rest(&mut self) {
        self.file = None;
        self.block = Block::default();
    }

    /// Whole entries from `from` on, as many as one read gives; empty at the end. `None` when that would wait for the
    /// disk and `wait` is false.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn read(&mut self, from: QueueOffset, wait: bool) -> Result<Option<&[u8]>, StoreError> {
        if from >= self.end {
            return Ok(Some(&[]));
        }
        let held = (self.block.bytes.len() / ENTRY_BYTES) as u64;
        if !(self.block.start..self.block.start + held).contains(&from) && !self.fill(from, wait)? {
            return Ok(None);
        }
        let skip = (from - self.block.start) as usize * ENTRY_BYTES;
        Ok(Some(&self.block.bytes[skip..]))
    }

    fn fill(&mut self, from: QueueOffset, wait: bool) -> Result<bool, StoreError> {
        let position = from * ENTRY_BYTES as u64;
        let base = position - position % self.file_bytes;
        let in_file = ((base + self.file_bytes - position) as usize / ENTRY_BYTES).min((self.end - from) as usize);
        let length = in_file.min(ENTRIES_READ_AT_ONCE) * ENTRY_BYTES;
        self.open_file(base)?;
        let path = &self.dir;
        let Some((_, file)) = &self.file else { return Ok(false) };
        let mut bytes = std::mem::take(&mut self.block.bytes);
        bytes.resize(length, 0);
        let done = if wait {
            file.read_exact_at(&mut bytes, position - base).map_err(StoreError::io("cannot read", path))?;
            true
        } else {
            let now = disk::read_now(file, &mut bytes, position - base);
            now.map_err(StoreError::io("cannot read", path))? == ReadNow::Done(length)
        };
        if done {
            self.block = Block { start: from, bytes };
        } else {
            self.block = Block::default();
        }
        Ok(done)
    }

    fn open_file(&mut self, base: u64) -> Result<(), StoreError> {
        if self.file.as_ref().is_none_or(|(open, _)| *open != base) {
            let path = self.dir.join(file_name(base));
            let file = File::open(&path).map_err(StoreError::io("cannot open", &path))?;
            self.file = Some((base, file));
        }
        Ok(())
    }

    /// The first offset in `from..to` whose entry is not `wanted`; the wanted ones come first.
    fn partition(
        &mut self,
        mut from: QueueOffset,
        mut to: QueueOffset,
        wanted: impl Fn(&Entry) -> bool,
    ) -> Result<QueueOffset, StoreError> {
        while from < to {
            let middle = from + (to - from) / 2;
            if wanted(&self.entry_in_file(middle)?) {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        Ok(from)
    }

    fn entry_in_file(&mut self, offset: QueueOffset) -> Result<Entry, StoreError> {
        let position = offset * ENTRY_BYTES as u64;
        let base = position - position % self.file_bytes;
        self.open_file(base)?;
        let mut bytes = [0; ENTRY_BYTES];
        if let Some((_, file)) = &self.file {
            file.read_exact_at(&mut bytes, position - base).map_err(StoreError::io("cannot read", &self.dir))?;
        }
        Ok(Entry::decode(&bytes))
    }

    fn files(&self) -> Result<Vec<(u64, PathBuf)>, StoreError> {
        let mut files = sequence(&self.dir)?;
        check_lengths(&mut files, self.file_bytes)?;
        Ok(files)
    }
}

/// Checks that all files of a queue are `file_bytes` long. An empty last one is what a crash between making it and giving
/// it its length leaves; it is taken out.
///
/// # Errors
/// When one has another length, or cannot be looked at.
pub(super) fn check_lengths(files: &mut Vec<(u64, PathBuf)>, file_bytes: u64) -> Result<(), StoreError> {
    while let Some((_, path)) = files.last()
        && std::fs::metadata(path).is_ok_and(|data| data.len() == 0)
    {
        files.pop();
    }
    for (_, path) in files {
        let length = std::fs::metadata(&path).map_err(StoreError::io("cannot look at", path))?.len();
        if length != file_bytes {
            let reason = format!("it is {length} bytes long, expected are {file_bytes} (mappedFileSizeConsumeQueue)");
            return Err(StoreError::format(path, reason));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::names::Topic;
    use crate::store::queue_files::QueueFiles;

    const FILE: u64 = 20 * 100;

    fn key() -> QueueKey {
        QueueKey { topic: Topic::new("T").unwrap(), queue: 2 }
    }

    fn entries(range: std::ops::Range<u64>) -> Vec<u8> {
        range.flat_map(|n| Entry { at: n * 10, size: 10, tag_code: n as i64 }.encode()).collect()
    }

    fn open(root: &Path, log_min: u64, bound: u64) -> ConsumeQueue {
        ConsumeQueue::open(queue_dir(root, &key()), FILE, log_min, bound).unwrap()
    }

    #[test]
    fn what_was_written_over_several_files_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = QueueFiles::new(dir.path().to_owned(), FILE);
        files.write(&key(), 0, &entries(0..250)).unwrap();
        files.write(&key(), 250, &entries(250..251)).unwrap();
        let mut queue = open(dir.path(), 0, u64::MAX);
        assert_eq!((queue.min(), queue.end()), (0, 251));
        let mut from = 0;
        while let Some(bytes) = queue.read(from, true).unwrap().filter(|b| !b.is_empty()) {
            let first = Entry::decode(bytes.first_chunk().unwrap());
            assert_eq!(first, Entry { at: from * 10, size: 10, tag_code: from as i64 });
            from += (bytes.len() / ENTRY_BYTES) as u64;
        }
        assert_eq!(from, 251);
        assert_eq!(open(dir.path(), 1205, 2000).min(), 121);
        assert_eq!(open(dir.path(), 0, 2000).end(), 200);
    }

    #[test]
    fn a_queue_that_begins_late_is_filled_up() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = QueueFiles::new(dir.path().to_owned(), FILE);
        files.write(&key(), 130, &entries(130..140)).unwrap();
        let mut queue = open(dir.path(), 0, u64::MAX);
        assert_eq!((queue.min(), queue.end()), (130, 140));
        assert_eq!(queue.read(100, true).unwrap().unwrap()[..20], Entry::FILLER.encode());
    }

    #[test]
    fn what_is_cut_does_not_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = QueueFiles::new(dir.path().to_owned(), FILE);
        files.write(&key(), 0, &entries(0..250)).unwrap();
        files.cut(&key(), 120).unwrap();
        assert_eq!(open(dir.path(), 0, u64::MAX).end(), 120);
        files.write(&key(), 120, &entries(120..121)).unwrap();
        assert_eq!(open(dir.path(), 0, u64::MAX).end(), 121);
    }

    #[test]
    fn a_file_of_another_length_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        QueueFiles::new(dir.path().to_owned(), FILE).write(&key(), 0, &entries(0..1)).unwrap();
        let error = ConsumeQueue::open(queue_dir(dir.path(), &key()), 4000, 0, 9).unwrap_err();
        assert!(error.to_string().contains("mappedFileSizeConsumeQueue"), "{error}");
    }
}
