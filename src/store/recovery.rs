//! What start-up finds in the log: the end of the last whole record, and what the queues and the index do not hold yet.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::births::TopicBirths;
use super::consume_queue::Entry;
use super::key_index::{IndexedKey, KeyIndex};
use super::log_view::LogView;
use super::queue_files::QueueFiles;
use super::segment::Segment;
use super::{StoreError, sequence};
use crate::protocol::hash;
use crate::protocol::names::{LogOffset, QueueId, QueueKey, SCHEDULE_TOPIC, Topic};
use crate::protocol::properties::{self, Seen};
use crate::protocol::record::{
    BLANK_BYTES, FLAG_PREPARED, FLAG_ROLLBACK, FLAG_TRANSACTION, MAGIC_BLANK, Record, RecordError,
};

/// Bytes of entries gathered for all queues before they are written.
const GATHERED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How records become entries and keys.
#[derive(Debug, Clone, Default)]
pub struct DispatchRules {
    /// Delay of each level in ms, level 1 first: SCHEDULE_TOPIC_XXXX keeps due times where others keep tag codes.
    pub delay_levels_ms: Vec<i64>,
}

impl DispatchRules {
    /// The entry that a ConsumeQueue keeps of `record`; `None` for records that no queue holds.
    #[must_use]
    pub fn entry(&self, record: &Record<'_>) -> Option<Entry> {
        self.entry_of(record, &properties::scan(record.properties))
    }

    /// The same where the properties were read already.
    fn entry_of(&self, record: &Record<'_>, seen: &Seen<'_>) -> Option<Entry> {
        if matches!(record.sys_flag & FLAG_TRANSACTION, FLAG_PREPARED | FLAG_ROLLBACK) {
            return None;
        }
        let tag_code = self.due_time(record).unwrap_or_else(|| hash::tag_code(seen.tags));
        Some(Entry { at: record.physical_offset, size: record.size as u32, tag_code })
    }

    fn due_time(&self, record: &Record<'_>) -> Option<i64> {
        if record.topic != SCHEDULE_TOPIC {
            return None;
        }
        let level: usize = properties::value(record.properties, properties::DELAY)?.parse().ok()?;
        let delay = self.delay_levels_ms.get(level.min(self.delay_levels_ms.len()).checked_sub(1)?)?;
        Some(record.store_timestamp_ms + delay)
    }
}

/// Appends the keys under which `record` is found; `prefix` is the hash of its topic and `#`.
fn index_keys(record: &Record<'_>, prefix: i32, seen: &Seen<'_>, keys: &mut Vec<IndexedKey>) {
    if record.sys_flag & FLAG_TRANSACTION == FLAG_ROLLBACK {
        return;
    }
    let tokens = seen.keys.into_iter().flat_map(str::split_ascii_whitespace);
    keys.extend(seen.unique_key.into_iter().chain(tokens).map(|key| IndexedKey {
        hash: hash::key_hash(prefix, key),
        at: record.physical_offset,
        timestamp_ms: record.store_timestamp_ms,
    }));
}

/// Keys of the records between two offsets at which records begin, until there are `count`; and where the first record
/// begins whose keys are not among them.
///
/// # Errors
/// When the log cannot be read or holds something else.
pub fn read_keys(
    view: &LogView,
    from: LogOffset,
    to: LogOffset,
    count: usize,
) -> Result<(Vec<IndexedKey>, LogOffset), StoreError> {
    let mut keys = Vec::new();
    let next = read(view, from, to, |record| {
        let prefix = hash::hash_from(hash::hash(record.topic), "#");
        index_keys(record, prefix, &properties::scan(record.properties), &mut keys);
        if keys.len() < count { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok((keys, next))
}

/// Where a scan of the log came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanEnd {
    /// End of the last whole record.
    pub end: LogOffset,
    /// Store time of that record, ms; 0 when none was seen.
    pub timestamp_ms: i64,
    /// Records that were read.
    pub records: u64,
}

/// Reads the records of the log in `dir` from `from`, where a record begins, to the first that is not whole.
///
/// # Errors
/// When a file cannot be read, a segment is missing, or whole records follow the broken one: that is a hole, not a tail.
pub fn scan(
    dir: &Path,
    segment_bytes: u64,
    from: LogOffset,
    check_crc: bool,
    mut visit: impl FnMut(&Record<'_>) -> Result<(), StoreError>,
) -> Result<ScanEnd, StoreError> {
    let mut found = ScanEnd { end: from, timestamp_ms: 0, records: 0 };
    let files = sequence(dir)?;
    let mut files = files.iter().skip_while(|(base, _)| base + segment_bytes <= from).peekable();
    while let Some((base, _)) = files.next() {
        if *base > found.end {
            let reason = format!("the log breaks off at offset {} but goes on at {base}", found.end);
            return Err(StoreError::format(dir, reason));
        }
        let segment = Arc::new(Segment::create(dir, *base, segment_bytes)?);
        if scan_segment(&segment, check_crc, &mut found, &mut visit)? {
            continue;
        }
        if let Some((_, next)) = files.peek().filter(|(_, path)| begins_with_record(path)) {
            let reason = format!(
                "no whole record at position {} (offset {}), but {} goes on: the log has a hole; restore the file, or \
                 move the later ones away to lose what they hold",
                found.end - base,
                found.end,
                next.display()
            );
            return Err(StoreError::format(segment.path(), reason));
        }
        break;
    }
    Ok(found)
}

/// Scans to the end of one segment; false when a record was not whole.
fn scan_segment(
    segment: &Arc<Segment>,
    check_crc: bool,
    found: &mut ScanEnd,
    visit: &mut impl FnMut(&Record<'_>) -> Result<(), StoreError>,
) -> Result<bool, StoreError> {
    segment.read_in_order();
    let bytes = segment.bytes();
    loop {
        let rest = bytes.get((found.end - segment.base()) as usize..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(true);
        }
        if rest.get(4..BLANK_BYTES).is_some_and(|magic| magic == MAGIC_BLANK.to_be_bytes()) {
            found.end = segment.end();
            return Ok(true);
        }
        let record = match whole(rest, found.end, check_crc) {
            Ok(record) => record,
            Err(_) => return Ok(false),
        };
        visit(&record)?;
        found.end += record.size as u64;
        found.timestamp_ms = record.store_timestamp_ms;
        found.records += 1;
    }
}

/// Reads the records between two offsets at which records begin, through what readers see of the log, until `visit` has
/// enough. Returns the offset after the last record that it saw, or `to`.
///
/// # Errors
/// When the log cannot be read or holds something else.
pub fn read(
    view: &LogView,
    from: LogOffset,
    to: LogOffset,
    mut visit: impl FnMut(&Record<'_>) -> ControlFlow<()>,
) -> Result<LogOffset, StoreError> {
    let broken =
        |at: LogOffset, reason: String| StoreError::format(Path::new("commitlog"), format!("at offset {at}: {reason}"));
    let mut at = from;
    while at < to {
        let segment = view.segment_again(at)?;
        let bytes = segment.bytes();
        let end = (to.min(segment.end()) - segment.base()) as usize;
        while (at - segment.base()) < end as u64 {
            let rest = &bytes[(at - segment.base()) as usize..end];
            if rest.get(4..BLANK_BYTES).is_some_and(|magic| magic == MAGIC_BLANK.to_be_bytes()) {
                at = segment.end();
                break;
            }
            let record = whole(rest, at, false).map_err(|error| broken(at, error.to_string()))?;
            at += record.size as u64;
            if visit(&record).is_break() {
                return Ok(at);
            }
        }
    }
    Ok(at)
}

fn whole(bytes: &[u8], at: LogOffset, check_crc: bool) -> Result<Record<'_>, RecordError> {
    let record = Record::read(bytes)?;
    if record.physical_offset != at {
        return Err(RecordError::Length);
    }
    if check_crc {
        record.check_crc()?;
    }
    Ok(record)
}

fn begins_with_record(path: &std::path::Path) -> bool {
    use std::io::Read;
    let mut first = [0; 8];
    std::fs::File::open(path).is_ok_and(|mut file| file.read_exact(&mut first).is_ok()) && first != [0; 8]
}

/// Store time of the first record of a segment, ms; `None` when it has none.
///
/// # Errors
/// When the file cannot be opened.
pub fn first_timestamp(dir: &std::path::Path, base: LogOffset, segment_bytes: u64) -> Result<Option<i64>, StoreError> {
    let segment = Arc::new(Segment::create(dir, base, segment_bytes)?);
    let bytes = segment.bytes();
    Ok(Record::read(&bytes).ok().map(|record| record.store_timestamp_ms).filter(|timestamp| *timestamp > 0))
}

/// Brings queues and index up to the log, record by record.
#[derive(Debug)]
pub struct Redispatch<'a> {
    pub rules: &'a DispatchRules,
    pub births: &'a TopicBirths,
    pub files: &'a mut QueueFiles,
    pub index: Option<&'a mut KeyIndex>,
    gathered: FxHashMap<Topic, GatheredTopic>,
    gathered_bytes: usize,
    keys: Vec<IndexedKey>,
    indexed_to: Option<LogOffset>,
}

/// What is the same for all records of a topic, and its entries that are not written yet.
#[derive(Debug)]
struct GatheredTopic {
    name: Topic,
    birth: LogOffset,
    key_prefix: i32,
    queues: FxHashMap<QueueId, Gathered>,
}

#[derive(Debug, Default)]
struct Gathered {
    from: u64,
    next: u64,
    entries: Vec<u8>,
}

impl<'a> Redispatch<'a> {
    pub fn new(
        rules: &'a DispatchRules,
        births: &'a TopicBirths,
        files: &'a mut QueueFiles,
        index: Option<&'a mut KeyIndex>,
    ) -> Self {
        let indexed_to = index.as_ref().and_then(|index| index.end());
        let gathered = FxHashMap::default();
        Self { rules, births, files, index, gathered, gathered_bytes: 0, keys: Vec::new(), indexed_to }
    }

    /// Takes the next record of the log. One whose topic has no valid name is nobody's.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn record(&mut self, record: &Record<'_>) -> Result<(), StoreError> {
        if !self.gathered.contains_key(record.topic) {
            let Ok(topic) = Topic::new(record.topic) else { return Ok(()) };
            let key_prefix = hash::hash_from(hash::hash(record.topic), "#");
            let birth = self.births.of(record.topic);
            let fresh = GatheredTopic { name: topic.clone(), birth, key_prefix, queues: FxHashMap::default() };
            self.gathered.insert(topic, fresh);
        }
        let Some(topic) = self.gathered.get_mut(record.topic) else { return Ok(()) };
        let seen = properties::scan(record.properties);
        if self.index.is_some() && self.indexed_to.is_none_or(|end| record.physical_offset > end) {
            index_keys(record, topic.key_prefix, &seen, &mut self.keys);
        }
        if record.physical_offset >= topic.birth
            && let Some(entry) = self.rules.entry_of(record, &seen)
        {
            let gathered = topic.queues.entry(record.queue).or_default();
            if !gathered.entries.is_empty() && gathered.next != record.queue_offset {
                let key = QueueKey { topic: topic.name.clone(), queue: record.queue };
                self.files.write(&key, gathered.from, &gathered.entries)?;
                gathered.entries.clear();
            }
            gathered.take(record.queue_offset, &entry);
            self.gathered_bytes += super::consume_queue::ENTRY_BYTES;
        }
        if self.gathered_bytes + self.keys.len() * size_of::<IndexedKey>() > GATHERED_BYTES_MAX {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes what was gathered.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        for topic in self.gathered.values_mut() {
            for (queue, gathered) in topic.queues.drain() {
                let key = QueueKey { topic: topic.name.clone(), queue };
                self.files.write(&key, gathered.from, &gathered.entries)?;
            }
        }
        self.gathered_bytes = 0;
        if let Some(index) = self.index.as_mut() {
            index.insert(&mut self.keys.as_slice())?;
        }
        self.keys.clear();
        Ok(())
    }
}

impl Gathered {
    fn take(&mut self, offset: u64, entry: &Entry) {
        if self.entries.is_empty() {
            self.from = offset;
        }
        self.entries.extend_from_slice(&entry.encode());
        self.next = offset + 1;
    }
}
