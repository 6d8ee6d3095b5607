//! The writing side of all ConsumeQueues. Files are sparse: ten thousand young queues take a page each.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::path::PathBuf;

use super::consume_queue::{ENTRY_BYTES, Entry, queue_dir};
use super::disk::{self, Disk};
use super::{StoreError, file_name, sequence};
use crate::protocol::names::{QueueKey, QueueOffset, Topic};

/// Files that stay open between writes where nothing else is said.
const OPEN_FILES_MAX: usize = 256;

/// Files that are synced in one go.
const SYNC_FILES: usize = 256;

/// Writes entries where they belong; keeps the files of busy queues open.
#[derive(Debug)]
pub struct QueueFiles {
    root: PathBuf,
    file_bytes: u64,
    open: HashMap<Place, OpenFile>,
    open_max: usize,
    /// Files that were closed before they were synced.
    unsynced: HashSet<Place>,
    /// Counts uses, to tell the file that was used longest ago.
    clock: u64,
    /// The clock when unused files were closed last.
    rested_at: u64,
    /// A sync failed: the kernel may have dropped the pages, and says so only once.
    lost: bool,
    disk: Disk,
}

/// A queue, and the position in it at which a file begins.
type Place = (QueueKey, u64);

/// Files that are to be synced.
#[derive(Debug)]
pub struct Unsynced(Vec<Place>);

#[derive(Debug)]
struct OpenFile {
    file: File,
    used: u64,
    dirty: bool,
}

impl QueueFiles {
    /// Queues under `root`, in files of `file_bytes`, a multiple of the size of an entry.
    #[must_use]
    pub fn new(root: PathBuf, file_bytes: u64) -> Self {
        Self {
            root,
            file_bytes,
            open: HashMap::new(),
            open_max: OPEN_FILES_MAX,
            unsynced: HashSet::new(),
            clock: 0,
            rested_at: 0,
            lost: false,
            disk: Disk::default(),
        }
    }

    /// The same files, written and synced through `disk`.
    #[must_use]
    pub fn on(self, disk: &Disk) -> Self {
        Self { disk: disk.clone(), ..self }
    }

    /// The same files, of which so many of busy queues may be open at once, and never fewer than a few hundred.
    #[must_use]
    pub fn keeping_open(self, files: usize) -> Self {
        Self { open_max: files.max(OPEN_FILES_MAX), ..self }
    }

    /// Writes whole `entries` of a queue from offset `from` on.
    ///
    /// # Errors
    /// When the disk is full or fails; the entries are then not all written, and may be written again.
    pub fn write(&mut self, key: &QueueKey, from: QueueOffset, entries: &[u8]) -> Result<(), StoreError> {
        let mut position = from * ENTRY_BYTES as u64;
        let mut rest = entries;
        while !rest.is_empty() {
            let base = position - position % self.file_bytes;
            let (now, later) = rest.split_at(rest.len().min((base + self.file_bytes - position) as usize));
            self.write_to((key.clone(), base), now, position)?;
            position += now.len() as u64;
            rest = later;
        }
        Ok(())
    }

    /// Waits until everything written up to now is on the disk.
    ///
    /// # Errors
    /// When the disk fails, and ever after: what was not synced then may be lost, though it is read.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        let mut all = self.unsynced();
        while !self.sync_some(&mut all)? {}
        Ok(())
    }

    /// What is written and not known to be on the disk, for [`Self::sync_some`].
    #[must_use]
    pub fn unsynced(&self) -> Unsynced {
        let open = self.open.iter().filter(|(place, open)| open.dirty && !self.unsynced.contains(*place));
        Unsynced(open.map(|(place, _)| place).chain(&self.unsynced).cloned().collect())
    }

    /// Syncs a few files of `left`, and takes them out; true when none is left, and everything is on the disk that was
    /// written before `left` was asked for.
    ///
    /// # Errors
    /// As [`Self::sync`].
    pub fn sync_some(&mut self, left: &mut Unsynced) -> Result<bool, StoreError> {
        if self.lost {
            return Err(StoreError::format(&self.root.join("consumequeue"), "a file could not be synced before"));
        }
        let some = left.0.split_off(left.0.len().saturating_sub(SYNC_FILES));
        let synced = self.sync_these(&some);
        self.lost |= synced.is_err();
        synced.map(|()| left.0.is_empty())
    }

    fn sync_these(&mut self, places: &[Place]) -> Result<(), StoreError> {
        for place in places {
            match self.open.get(place) {
                Some(open) => disk::begin_sync(&open.file),
                None => self.closed(place, |file| {
                    disk::begin_sync(file);
                    Ok(())
                })?,
            }
        }
        for place in places {
            match self.open.get_mut(place) {
                Some(open) => {
                    let synced = self.disk.sync_file(&open.file);
                    synced.map_err(StoreError::io("cannot sync", &queue_dir(&self.root, &place.0)))?;
                    open.dirty = false;
                }
                None => self.closed(place, |file| self.disk.sync_file(file))?,
            }
            self.unsynced.remove(place);
        }
        Ok(())
    }

    /// Does something to a file that was closed; one that was removed meanwhile is passed over.
    fn closed(&self, (key, base): &Place, act: impl FnOnce(&File) -> std::io::Result<()>) -> Result<(), StoreError> {
        let path = queue_dir(&self.root, key).join(file_name(*base));
        match OpenOptions::new().write(true).open(&path).and_then(|file| act(&file)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(StoreError::io("cannot sync", &path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Makes the queue end at `end`: what stands behind is gone for good.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn cut(&mut self, key: &QueueKey, end: QueueOffset) -> Result<(), StoreError> {
        let dir = queue_dir(&self.root, key);
        let position = end * ENTRY_BYTES as u64;
        self.open.retain(|(open, _), _| open != key);
        for (base, path) in sequence(&dir)? {
            if base >= position {
                std::fs::remove_file(&path).map_err(StoreError::io("cannot remove", &path))?;
            } else if base + self.file_bytes > position {
                let file = OpenOptions::new().write(true).open(&path).map_err(StoreError::io("cannot open", &path))?;
                // Shortening and lengthening leaves a hole, which reads as entries that were never written.
                let cut = file.set_len(position - base).and_then(|()| file.set_len(self.file_bytes));
                cut.map_err(StoreError::io("cannot cut", &path))?;
            }
        }
        Ok(())
    }

    /// Removes all queues of a topic.
    ///
    /// # Errors
    /// When the disk fails; a topic without files is no error.
    pub fn remove(&mut self, topic: &Topic) -> Result<(), StoreError> {
        self.open.retain(|(open, _), _| open.topic != *topic);
        let dir = self.root.join("consumequeue").join(topic.as_str());
        match std::fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(StoreError::io("cannot remove", &dir)(error))
            }
            _ => Ok(()),
        }
    }

    fn write_to(&mut self, place: Place, bytes: &[u8], position: u64) -> Result<(), StoreError> {
        self.clock += 1;
        let at = position - place.1;
        if let Some(open) = self.open.get_mut(&place) {
            open.used = self.clock;
            open.dirty = true;
            let written = self.disk.write(&open.file, bytes, at);
            return written.map_err(|error| self.cannot_write(&place.0, error));
        }
        let file = self.open_file(&place.0, place.1, position)?;
        self.disk.write(&file, bytes, at).map_err(|error| self.cannot_write(&place.0, error))?;
        // Where more queues are busy than files may be open, those that are open stay: closing one for another would, with
        // queues that take turns, close each just before it is wanted.
        if self.open.len() < self.open_max {
            self.open.insert(place, OpenFile { file, used: self.clock, dirty: true });
        } else {
            self.unsynced.insert(place);
        }
        Ok(())
    }

    fn cannot_write(&self, key: &QueueKey, error: std::io::Error) -> StoreError {
        StoreError::io("cannot write to the ConsumeQueue", &queue_dir(&self.root, key))(error)
    }

    /// Closes the files that were not written since the last call; they are synced with the others.
    pub fn close_unused(&mut self) {
        let rested_at = std::mem::replace(&mut self.rested_at, self.clock);
        self.close(|open| open.used <= rested_at);
    }

    fn close(&mut self, which: impl Fn(&OpenFile) -> bool) {
        let closed = self.open.extract_if(|_, open| which(open)).filter(|(_, open)| open.dirty);
        self.unsynced.extend(closed.map(|(place, _)| place));
    }

    fn open_file(&self, key: &QueueKey, base: u64, position: u64) -> Result<File, StoreError> {
        let dir = queue_dir(&self.root, key);
        let path = dir.join(file_name(base));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = match options.open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                std::fs::create_dir_all(&dir).map_err(StoreError::io("cannot make the directory", &dir))?;
                options.open(&path)
            }
            other => other,
        }
        .map_err(StoreError::io("cannot open", &path))?;
        let length = file.metadata().map_err(StoreError::io("cannot look at", &path))?.len();
        if length == 0 {
            file.set_len(self.file_bytes).map_err(StoreError::io("cannot set the length of", &path))?;
            if position > base && sequence(&dir)?.first().is_some_and(|(first, _)| *first == base) {
                let fillers = ((position - base) / ENTRY_BYTES as u64) as usize;
                let filler = Entry::FILLER.encode().repeat(fillers);
                self.disk.write(&file, &filler, 0).map_err(StoreError::io("cannot write to", &path))?;
            }
        }
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(queue: u32) -> QueueKey {
        QueueKey { topic: Topic::new("T").unwrap(), queue }
    }

    #[test]
    fn files_are_closed_when_they_are_many_or_idle_and_synced_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = QueueFiles::new(dir.path().into(), 200);
        let entry = Entry { at: 7, size: 100, tag_code: 3 }.encode();
        let queues = OPEN_FILES_MAX as u32 + 10;
        for queue in 0..queues {
            files.write(&key(queue), 0, &entry).unwrap();
        }
        assert!(files.open.len() <= OPEN_FILES_MAX && !files.unsynced.is_empty());
        assert_eq!(files.open.len() + files.unsynced.len(), queues as usize);
        files.close_unused();
        files.write(&key(0), 1, &entry).unwrap();
        files.close_unused();
        assert_eq!(files.open.len(), 1);
        files.sync().unwrap();
        assert!(files.unsynced.is_empty());
        files.close_unused();
        assert!(files.open.is_empty());
        let written = std::fs::read(queue_dir(dir.path(), &key(0)).join(file_name(0))).unwrap();
        assert_eq!((&written[..20], &written[20..40]), (&entry[..], &entry[..]));
    }
}
