//! One index file, mapped. Space is taken in chunks just before they are written, so a full disk is an error.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use memmap2::{MmapOptions, MmapRaw};

use super::{IndexSizes, IndexedKey, KeyQuery};
use crate::protocol::names::LogOffset;
use crate::store::StoreError;
use crate::store::disk::{self, Disk};

const HEADER_BYTES: usize = 40;
const SLOT_BYTES: usize = 4;
const ITEM_BYTES: usize = 20;
/// Space is taken and populated in pieces of this size.
const CHUNK_BYTES: usize = 64 * 1024;
/// Items that one slot's chain is followed at most; a chain that is longer is broken or of no use.
const CHAIN_MAX: usize = 1_000_000;

#[derive(Debug)]
pub(super) struct IndexFile {
    path: PathBuf,
    file: File,
    map: MmapRaw,
    sizes: IndexSizes,
    reserved: Vec<bool>,
    header: Header,
    /// Something was written since the last sync, perhaps by the process before.
    dirty: bool,
    disk: Disk,
}

#[derive(Debug, Clone, Copy, Default)]
struct Header {
    begin_ms: i64,
    end_ms: i64,
    begin: LogOffset,
    end: LogOffset,
    slots_used: u32,
    /// Number of the next item, at least 1.
    next: u32,
}

impl IndexFile {
    /// Opens the file, or makes it sparse and empty.
    pub(super) fn open(path: &Path, sizes: IndexSizes, disk: &Disk) -> Result<Self, StoreError> {
        let length = HEADER_BYTES + sizes.slots as usize * SLOT_BYTES + sizes.items as usize * ITEM_BYTES;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(StoreError::io("cannot open", path))?;
        let found = file.metadata().map_err(StoreError::io("cannot look at", path))?.len();
        if found == 0 {
            file.set_len(length as u64).map_err(StoreError::io("cannot set the length of", path))?;
        } else if found != length as u64 {
            let reason = format!("it is {found} bytes long, expected are {length} (maxHashSlotNum, maxIndexNum)");
            return Err(StoreError::format(path, reason));
        }
        let map = MmapOptions::new().map_raw(&file).map_err(StoreError::io("cannot map", path))?;
        // Slots are touched at random, and items are written before they are read.
        let _ = map.advise(memmap2::Advice::Random);
        let reserved = vec![false; length.div_ceil(CHUNK_BYTES)];
        let mut index = Self {
            path: path.to_owned(),
            file,
            map,
            sizes,
            reserved,
            header: Header::default(),
            dirty: true,
            disk: disk.clone(),
        };
        index.header = index.read_header();
        Ok(index)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.header.next <= 1
    }

    pub(super) fn is_full(&self) -> bool {
        self.header.next >= self.sizes.items
    }

    pub(super) fn is_consistent(&self) -> bool {
        let header = &self.header;
        header.next >= 1 && header.next <= self.sizes.items && header.begin <= header.end
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn begin(&self) -> LogOffset {
        self.header.begin
    }

    pub(super) fn end(&self) -> LogOffset {
        self.header.end
    }

    pub(super) fn end_timestamp_ms(&self) -> i64 {
        self.header.end_ms
    }

    pub(super) fn overlaps(&self, begin_ms: i64, end_ms: i64) -> bool {
        !self.is_empty() && self.header.begin_ms <= end_ms && begin_ms <= self.header.end_ms
    }

    /// Adds keys until the file is full; `keys` are then those that are left, also where the disk fails.
    pub(super) fn insert(&mut self, keys: &mut &[IndexedKey]) -> Result<(), StoreError> {
        let room = (self.sizes.items - self.header.next) as usize;
        let count = keys.len().min(room);
        let Some(first) = keys.first().filter(|_| count > 0) else { return Ok(()) };
        self.reserve(0, HEADER_BYTES)?;
        self.reserve(self.item_at(self.header.next), count * ITEM_BYTES)?;
        if self.is_empty() {
            self.header.begin = first.at;
            self.header.begin_ms = first.timestamp_ms;
        }
        self.dirty = true;
        let mut result = Ok(());
        for _ in 0..count {
            let Some((key, rest)) = keys.split_first() else { break };
            result = self.insert_one(key);
            if result.is_err() {
                break;
            }
            self.header.end = key.at;
            self.header.end_ms = key.timestamp_ms;
            *keys = rest;
        }
        self.write_header();
        result
    }

    /// Makes the file end before the first item of a record at or beyond `bound`, and its slots lead to no item behind
    /// that end. Items below `bound` are whole; of the others, and of the slots, anything may have reached the disk.
    pub(super) fn cut(&mut self, bound: LogOffset) -> Result<(), StoreError> {
        let (mut from, mut to) = (1, self.header.next.min(self.sizes.items));
        while from < to {
            let middle = from + (to - from) / 2;
            let at = self.u64_at(self.item_at(middle) + 4);
            // What never reached the disk is zeros; only the first item may be of the first record.
            if at < bound && (at > 0 || middle == 1) { from = middle + 1 } else { to = middle }
        }
        if from < self.header.next {
            self.set_end(from);
        }
        self.mend_slots()?;
        self.reserve(0, HEADER_BYTES)?;
        self.write_header();
        self.dirty = true;
        Ok(())
    }

    fn set_end(&mut self, next: u32) {
        if next <= 1 {
            self.header = Header { next: 1, ..Header::default() };
            return;
        }
        let last = self.item_at(next - 1);
        self.header.next = next;
        self.header.end = self.u64_at(last + 4);
        // Items keep seconds: the last millisecond of that second is not too early.
        self.header.end_ms = self.header.begin_ms + i64::from(self.u32_at(last + 12)) * 1000 + 999;
    }

    /// Leads slots that point behind the end back along their chain. Where the chain is broken all are made anew.
    fn mend_slots(&mut self) -> Result<(), StoreError> {
        let mut used = 0;
        let mut slots = vec![0; self.sizes.slots as usize * SLOT_BYTES];
        let read = self.file.read_exact_at(&mut slots, HEADER_BYTES as u64);
        read.map_err(StoreError::io("cannot read", &self.path))?;
        for (slot, found) in slots.as_chunks::<SLOT_BYTES>().0.iter().enumerate() {
            let (slot, found) = (slot as u32, u32::from_be_bytes(*found));
            let slot_at = HEADER_BYTES + slot as usize * SLOT_BYTES;
            let Some(number) = self.before_end(slot, found) else { return self.make_slots() };
            if number != found {
                self.reserve(slot_at, SLOT_BYTES)?;
                self.write(slot_at, &number.to_be_bytes());
            }
            used += u32::from(number > 0);
        }
        self.header.slots_used = used;
        Ok(())
    }

    /// The newest item of the slot that lies before the end; `None` when the way there is not to be trusted.
    fn before_end(&self, slot: u32, mut number: u32) -> Option<u32> {
        while number >= self.header.next {
            if number >= self.sizes.items {
                return None;
            }
            let at = self.item_at(number);
            let (hash, record, previous) = (self.u32_at(at), self.u64_at(at + 4), self.u32_at(at + 16));
            if hash % self.sizes.slots != slot || record < self.header.end || previous >= number {
                return None;
            }
            // A whole item never is all zeros but for a record at the very beginning, which lies before any end.
            if record == 0 && self.header.next > 1 {
                return None;
            }
            number = previous;
        }
        Some(number)
    }

    fn make_slots(&mut self) -> Result<(), StoreError> {
        tracing::warn!(file = %self.path.display(), "the slots of an index file are made again from its items");
        let items = self.item_at(1);
        self.reserve(0, items)?;
        for slot in 0..self.sizes.slots {
            self.write(HEADER_BYTES + slot as usize * SLOT_BYTES, &[0; SLOT_BYTES]);
        }
        self.header.slots_used = 0;
        for number in 1..self.header.next {
            let at = self.item_at(number);
            let slot_at = HEADER_BYTES + (self.u32_at(at) % self.sizes.slots) as usize * SLOT_BYTES;
            let previous: [u8; SLOT_BYTES] = self.read(slot_at);
            self.header.slots_used += u32::from(previous == [0; SLOT_BYTES]);
            self.reserve(at, ITEM_BYTES)?;
            self.write(at + 16, &previous);
            self.write(slot_at, &number.to_be_bytes());
        }
        Ok(())
    }

    fn insert_one(&mut self, key: &IndexedKey) -> Result<(), StoreError> {
        let slot_at = HEADER_BYTES + (key.hash % self.sizes.slots) as usize * SLOT_BYTES;
        self.reserve(slot_at, SLOT_BYTES)?;
        let mut previous = u32::from_be_bytes(self.read(slot_at));
        if previous == 0 || previous >= self.header.next {
            previous = 0;
            self.header.slots_used += 1;
        }
        let seconds = ((key.timestamp_ms - self.header.begin_ms) / 1000).clamp(0, i64::from(i32::MAX)) as u32;
        let mut item = [0; ITEM_BYTES];
        item[..4].copy_from_slice(&key.hash.to_be_bytes());
        item[4..12].copy_from_slice(&key.at.to_be_bytes());
        item[12..16].copy_from_slice(&seconds.to_be_bytes());
        item[16..].copy_from_slice(&previous.to_be_bytes());
        self.write(self.item_at(self.header.next), &item);
        self.write(slot_at, &self.header.next.to_be_bytes());
        self.header.next += 1;
        Ok(())
    }

    /// Appends the offsets that match, newest first, until there are as many as wanted.
    pub(super) fn query(&self, query: &KeyQuery, found: &mut Vec<LogOffset>) {
        let slot_at = HEADER_BYTES + (query.hash % self.sizes.slots) as usize * SLOT_BYTES;
        let mut number = self.u32_at(slot_at);
        let mut followed = 0;
        while number > 0 && number < self.header.next && found.len() < query.count && followed < CHAIN_MAX {
            let at = self.item_at(number);
            let (hash, seconds, previous) = (self.u32_at(at), self.u32_at(at + 12), self.u32_at(at + 16));
            let timestamp_ms = self.header.begin_ms + i64::from(seconds) * 1000;
            // Times are kept in seconds, so the borders are widened by one.
            let in_time = timestamp_ms >= query.begin_ms.saturating_sub(1000) && timestamp_ms <= query.end_ms;
            if hash == query.hash && in_time {
                found.push(self.u64_at(at + 4));
            }
            // Items are linked from newer to older only; anything else is a broken chain.
            if previous >= number {
                break;
            }
            number = previous;
            followed += 1;
        }
    }

    /// Waits until everything is on the disk: the kernel writes the pages that were touched since the last time.
    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        if self.dirty {
            self.disk.sync_file(&self.file).map_err(StoreError::io("cannot sync", &self.path))?;
            self.dirty = false;
        }
        Ok(())
    }

    fn item_at(&self, number: u32) -> usize {
        HEADER_BYTES + self.sizes.slots as usize * SLOT_BYTES + number as usize * ITEM_BYTES
    }

    /// Takes space for the chunks of the range that have none yet.
    #[inline]
    fn reserve(&mut self, at: usize, length: usize) -> Result<(), StoreError> {
        for chunk in at / CHUNK_BYTES..=(at + length - 1) / CHUNK_BYTES {
            if !self.reserved[chunk] {
                self.reserve_chunk(chunk)?;
            }
        }
        Ok(())
    }

    #[cold]
    fn reserve_chunk(&mut self, chunk: usize) -> Result<(), StoreError> {
        let start = chunk * CHUNK_BYTES;
        let length = CHUNK_BYTES.min(self.map.len() - start);
        self.disk
            .reserve(&self.file, start as u64, length as u64)
            .map_err(StoreError::io("cannot take disk space for", &self.path))?;
        // SAFETY: the range lies within the mapping. Where the kernel cannot populate, pages come one by one.
        let _ = unsafe { disk::populate(self.map.as_mut_ptr().add(start), length) };
        self.reserved[chunk] = true;
        Ok(())
    }

    fn write(&self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.map.len(), "a write beyond the index file");
        // SAFETY: the target lies within the mapping (asserted), and the index's one owner is the only writer.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.map.as_mut_ptr().add(at), bytes.len()) }
    }

    fn read<const N: usize>(&self, at: usize) -> [u8; N] {
        assert!(at + N <= self.map.len(), "a read beyond the index file");
        let mut bytes = [0; N];
        // SAFETY: the source lies within the mapping (asserted); nobody writes while the owner reads.
        unsafe { std::ptr::copy_nonoverlapping(self.map.as_ptr().add(at), bytes.as_mut_ptr(), N) };
        bytes
    }

    /// Reads through the file what this process may not have written: to look at a hole of a mapping takes space on some
    /// file systems, and where there is none, or the sector is bad, it ends the process. What cannot be read is zeros.
    fn look<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut bytes = [0; N];
        match self.file.read_exact_at(&mut bytes, at as u64) {
            Ok(()) => bytes,
            Err(_) => [0; N],
        }
    }

    fn u32_at(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.look(at))
    }

    fn u64_at(&self, at: usize) -> u64 {
        u64::from_be_bytes(self.look(at))
    }

    fn read_header(&self) -> Header {
        Header {
            begin_ms: self.u64_at(0) as i64,
            end_ms: self.u64_at(8) as i64,
            begin: self.u64_at(16),
            end: self.u64_at(24),
            slots_used: self.u32_at(32),
            next: self.u32_at(36).max(1),
        }
    }

    fn write_header(&self) {
        let header = &self.header;
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&header.begin_ms.to_be_bytes());
        bytes[8..16].copy_from_slice(&header.end_ms.to_be_bytes());
        bytes[16..24].copy_from_slice(&header.begin.to_be_bytes());
        bytes[24..32].copy_from_slice(&header.end.to_be_bytes());
        bytes[32..36].copy_from_slice(&header.slots_used.to_be_bytes());
        bytes[36..].copy_from_slice(&header.next.to_be_bytes());
        self.write(0, &bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a power cut leaves of pages that were not synced: the one before it, or zeros where there was none.
    #[test]
    fn what_did_not_reach_the_disk_costs_no_key_below_the_bound() {
        const SIZES: IndexSizes = IndexSizes { slots: 16, items: 2_000 };
        let key = |n: u64| IndexedKey { hash: (n % 40) as u32, at: n * 100, timestamp_ms: 1_700_000_000_000 };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("20240101000000000");
        let mut index = IndexFile::open(&path, SIZES, &Disk::default()).unwrap();
        let keys: Vec<_> = (0..1_000).map(key).collect();
        index.insert(&mut &keys[..]).unwrap();
        drop(index);
        // The slots and the header reached the disk, of the items only those of the first 500.
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        let lost_from = HEADER_BYTES + 16 * SLOT_BYTES + 501 * ITEM_BYTES;
        file.write_all_at(&vec![0; 600 * ITEM_BYTES], lost_from as u64).unwrap();
        for bound in [50_000, 20_000] {
            let mut index = IndexFile::open(&path, SIZES, &Disk::default()).unwrap();
            index.cut(bound).unwrap();
            for hash in 0..40 {
                let mut found = Vec::new();
                let query = KeyQuery { hash, count: 999, begin_ms: 0, end_ms: i64::MAX };
                index.query(&query, &mut found);
                let wanted: Vec<u64> =
                    (0..bound / 100).rev().filter(|n| n % 40 == u64::from(hash)).map(|n| n * 100).collect();
                assert_eq!(found, wanted, "{bound} {hash}");
            }
        }
    }
}
