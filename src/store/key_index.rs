//! The key index: which records carry a key. Hash files, filled one after the other:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | store time of the first record, ms |
//! | 8 | 8 | store time of the last record, ms |
//! | 16 | 8 | physical offset of the first record |
//! | 24 | 8 | physical offset of the last record |
//! | 32 | 4 | slots in use |
//! | 36 | 4 | number of the next item, from 1 |
//! | 40 | 4 × slots | number of the newest item of each slot, 0 for none |
//! | … | 20 × items | int32 hash, int64 physical offset, int32 seconds since the first, int32 previous item of the slot |
//!
//! Source: RocketMQ's `IndexFile` and `IndexHeader`.

use std::path::{Path, PathBuf};

use super::StoreError;
use super::disk::Disk;
use crate::protocol::names::LogOffset;

mod file;
use file::IndexFile;

/// The newest files, which alone may hold what is not synced: a file is synced before the next is made.
const CUT_FILES: usize = 2;

/// Size of the files; RocketMQ's defaults are 5 million slots and 20 million items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexSizes {
    pub slots: u32,
    pub items: u32,
}

/// One key of one record, on its way into the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexedKey {
    /// [`crate::protocol::hash::key_hash`] of `topic#key`.
    pub hash: u32,
    pub at: LogOffset,
    /// Store time of the record, ms.
    pub timestamp_ms: i64,
}

/// What to look for.
#[derive(Debug, Clone, Copy)]
pub struct KeyQuery {
    pub hash: u32,
    pub count: usize,
    /// Store time from here, ms.
    pub begin_ms: i64,
    /// Store time up to here, ms.
    pub end_ms: i64,
}

/// All index files of a store. The newest takes new keys.
#[derive(Debug)]
pub struct KeyIndex {
    dir: PathBuf,
    sizes: IndexSizes,
    disk: Disk,
    files: Vec<IndexFile>,
}

impl KeyIndex {
    /// Opens the files in `dir`. Files that contradict themselves are removed: the log makes them again.
    ///
    /// # Errors
    /// When a file cannot be read or has another length than the settings say.
    pub fn open(dir: &Path, sizes: IndexSizes, disk: &Disk) -> Result<Self, StoreError> {
        let mut index = Self { dir: dir.to_owned(), sizes, disk: disk.clone(), files: Vec::new() };
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(index),
            Err(error) => return Err(StoreError::io("cannot read the directory", dir)(error)),
        };
        let mut paths = Vec::new();
        for entry in entries {
            let entry = entry.map_err(StoreError::io("cannot read the directory", dir))?;
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| name.len() == 17 && name.bytes().all(|b| b.is_ascii_digit())) {
                paths.push(entry.path());
            }
        }
        paths.sort_unstable();
        for path in paths {
            let file = IndexFile::open(&path, sizes, disk)?;
            if file.is_consistent() {
                index.files.push(file);
            } else {
                tracing::warn!(file = %path.display(), "an index file does not fit the log; it is made again from the log");
                drop(file);
                std::fs::remove_file(&path).map_err(StoreError::io("cannot remove", &path))?;
            }
        }
        Ok(index)
    }

    /// After a crash: forgets the keys of records at or beyond `bound`, and what is not whole. Everything below is.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn cut(&mut self, bound: LogOffset) -> Result<(), StoreError> {
        while self.files.len() > 1
            && let Some(last) = self.files.pop_if(|last| !last.is_empty() && last.begin() >= bound)
        {
            let path = last.path();
            std::fs::remove_file(path).map_err(StoreError::io("cannot remove", path))?;
        }
        self.files.iter_mut().rev().take(CUT_FILES).try_for_each(|file| file.cut(bound))
    }

    /// Physical offset of the last indexed record; `None` when there is none.
    #[must_use]
    pub fn end(&self) -> Option<LogOffset> {
        self.files.iter().rev().find(|file| !file.is_empty()).map(IndexFile::end)
    }

    /// Store time of the last indexed record, ms; 0 when there is none.
    #[must_use]
    pub fn end_timestamp_ms(&self) -> i64 {
        self.files.iter().rev().find(|file| !file.is_empty()).map_or(0, IndexFile::end_timestamp_ms)
    }

    /// Adds keys, in log order; `keys` are then those that are left, none unless the disk fails.
    ///
    /// # Errors
    /// When the disk is full or fails. What is left may be added again.
    pub fn insert(&mut self, keys: &mut &[IndexedKey]) -> Result<(), StoreError> {
        while let Some(first) = keys.first() {
            if self.files.last().is_none_or(IndexFile::is_full) {
                self.next_file(first.timestamp_ms)?;
            }
            let Some(file) = self.files.last_mut() else { break };
            file.insert(keys)?;
        }
        Ok(())
    }

    /// Physical offsets of records with the key, newest first.
    #[must_use]
    pub fn query(&self, query: &KeyQuery) -> Vec<LogOffset> {
        let mut found = Vec::new();
        for file in self.files.iter().rev().filter(|file| file.overlaps(query.begin_ms, query.end_ms)) {
            if found.len() >= query.count {
                break;
            }
            file.query(query, &mut found);
        }
        found
    }

    /// Waits until everything is on the disk.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        self.files.iter_mut().rev().take(CUT_FILES).try_for_each(IndexFile::sync)
    }

    fn next_file(&mut self, timestamp_ms: i64) -> Result<(), StoreError> {
        std::fs::create_dir_all(&self.dir).map_err(StoreError::io("cannot make the directory", &self.dir))?;
        if let Some(full) = self.files.last_mut() {
            full.sync()?;
        }
        // Two files of one millisecond would have one name.
        let mut name_ms = timestamp_ms;
        loop {
            let path = self.dir.join(local_time(name_ms));
            if !path.exists() {
                self.files.push(IndexFile::open(&path, self.sizes, &self.disk)?);
                return Ok(());
            }
            name_ms += 1;
        }
    }
}

/// `yyyyMMddHHmmssSSS` in local time.
fn local_time(timestamp_ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(timestamp_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y%m%d%H%M%S%3f").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: IndexSizes = IndexSizes { slots: 16, items: 100 };

    fn key(n: u64) -> IndexedKey {
        IndexedKey { hash: (n % 40) as u32, at: n * 100, timestamp_ms: 1_700_000_000_000 + n as i64 * 500 }
    }

    fn query(hash: u32, count: usize) -> KeyQuery {
        KeyQuery { hash, count, begin_ms: 0, end_ms: i64::MAX }
    }

    #[test]
    fn keys_are_found_newest_first_over_files_and_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let mut index = KeyIndex::open(dir.path(), SIZES, &Disk::default()).unwrap();
        let keys: Vec<_> = (0..250).map(key).collect();
        keys.chunks(33).for_each(|chunk| index.insert(&mut &*chunk).unwrap());
        assert_eq!(index.files.len(), 3);
        assert_eq!(index.query(&query(7, 99)), [24700, 20700, 16700, 12700, 8700, 4700, 700]);
        drop(index);
        let index = KeyIndex::open(dir.path(), SIZES, &Disk::default()).unwrap();
        assert_eq!(index.query(&query(7, 3)), [24700, 20700, 16700]);
        assert_eq!(index.end(), Some(24900));
        let times = KeyQuery { begin_ms: 1_700_000_050_000, end_ms: 1_700_000_070_000, ..query(7, 99) };
        assert_eq!(index.query(&times), [12700]);
        assert_eq!(index.query(&query(39, 99)).len(), 6);
    }

    fn filled(dir: &Path) -> KeyIndex {
        let mut index = KeyIndex::open(dir, SIZES, &Disk::default()).unwrap();
        index.insert(&mut &*(0..150).map(key).collect::<Vec<_>>()).unwrap();
        index
    }

    fn all_keys(index: &KeyIndex) -> Vec<Vec<LogOffset>> {
        (0..40).map(|hash| index.query(&query(hash, 99))).collect()
    }

    #[test]
    fn keys_beyond_the_log_are_forgotten_and_no_others() {
        for bound in [14_900, 14_850, 12_000, 9_901, 9_900, 5_000, 1, 0] {
            let dir = tempfile::tempdir().unwrap();
            let mut index = filled(dir.path());
            let mut wanted = all_keys(&index);
            wanted.iter_mut().for_each(|found| found.retain(|at| *at < bound));
            index.cut(bound).unwrap();
            assert_eq!(all_keys(&index), wanted, "{bound}");
            drop(index);
            let mut index = KeyIndex::open(dir.path(), SIZES, &Disk::default()).unwrap();
            assert_eq!(all_keys(&index), wanted, "{bound}");
            // What the log still has is indexed again.
            let again: Vec<_> = (0..150).map(key).filter(|key| index.end().is_none_or(|end| key.at > end)).collect();
            index.insert(&mut &*again).unwrap();
            assert_eq!(all_keys(&index), all_keys(&filled(tempfile::tempdir().unwrap().path())), "{bound}");
        }
    }
}
