//! Opening a store: lock, look, recover. What comes out is whole, and nothing was touched when it fails.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::births::TopicBirths;
use super::checkpoint::{self, Checkpoint, CheckpointFile};
use super::commit_log::CommitLog;
use super::disk::{self, Disk};
use super::key_index::{IndexSizes, KeyIndex};
use super::log_view::{LogView, MAPPED_SEGMENTS_MAX};
use super::queue_files::QueueFiles;
use super::recovery::{self, DispatchRules, Redispatch};
use super::segment::Segment;
use super::{StoreError, consume_queue, file_name, odd_queues, sequence};
use crate::protocol::names::{LogOffset, QueueKey, Topic};

/// RocketMQ's allowance for timestamps in the checkpoint that ran ahead of the disk, ms.
const CHECKPOINT_SLACK_MS: i64 = 3000;

/// Where a store is and how it is laid out.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    pub root: PathBuf,
    pub log_dir: PathBuf,
    pub segment_bytes: u64,
    pub queue_file_bytes: u64,
    /// Files of busy ConsumeQueues that may be open at once.
    pub queue_files_open: usize,
    /// `None` when there is to be no key index.
    pub index: Option<IndexSizes>,
    pub check_crc: bool,
    /// Nobody may see a record that is not on the disk.
    pub durable_reads: bool,
    /// Through which the store writes while it runs.
    pub disk: Disk,
    pub rules: DispatchRules,
}

/// An open store. The files stay locked until `lock` goes.
#[derive(Debug)]
pub struct Opened {
    pub lock: DirLock,
    pub log: CommitLog,
    pub queue_files: QueueFiles,
    pub index: Option<KeyIndex>,
    pub births: TopicBirths,
    /// It stands where reading began: what was read again is not synced yet.
    pub checkpoint: (CheckpointFile, Checkpoint),
    pub found: Found,
}

/// What opening found and did, for a line in the log.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// The store was not closed in order.
    pub crashed: bool,
    /// Another program wrote the store last, or nobody ever did.
    pub foreign: bool,
    /// Where reading began.
    pub scanned_from: LogOffset,
    pub end: LogOffset,
    pub records: u64,
    /// Store time of the last record that was read, ms; 0 when there was none.
    pub timestamp_ms: i64,
    pub took: Duration,
}

/// Holds the `lock` file, and tells by the `abort` file whether the store was closed in order.
#[derive(Debug)]
pub struct DirLock {
    root: PathBuf,
    _file: File,
}

impl DirLock {
    fn take(root: &Path) -> Result<(Self, bool), StoreError> {
        std::fs::create_dir_all(root).map_err(StoreError::io("cannot make the directory", root))?;
        let path = root.join("lock");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = file.map_err(StoreError::io("cannot open", &path))?;
        if !disk::lock(&file).map_err(StoreError::io("cannot lock", &path))? {
            return Err(StoreError::Held { path: root.to_owned() });
        }
        file.write_all(b"lock").map_err(StoreError::io("cannot write", &path))?;
        let crashed = root.join("abort").exists();
        Ok((Self { root: root.to_owned(), _file: file }, crashed))
    }

    fn mark_open(&self) -> Result<(), StoreError> {
        let path = self.root.join("abort");
        std::fs::write(&path, std::process::id().to_string()).map_err(StoreError::io("cannot write", &path))
    }

    /// The store was closed in order: everything is on the disk.
    ///
    /// # Errors
    /// When the `abort` file cannot be removed.
    pub fn mark_closed(&self) -> Result<(), StoreError> {
        let path = self.root.join("abort");
        std::fs::remove_file(&path).map_err(StoreError::io("cannot remove", &path))
    }
}

fn queue_files(settings: &StoreSettings) -> QueueFiles {
    QueueFiles::new(settings.root.clone(), settings.queue_file_bytes)
        .on(&settings.disk)
        .keeping_open(settings.queue_files_open)
}

/// Opens the store: afterwards the log ends with a whole record, and queues and index hold just the log's records.
///
/// # Errors
/// When the directory is held by another broker, not accessible, of another layout, or the log has a hole.
pub fn open(settings: &StoreSettings) -> Result<Opened, StoreError> {
    let began = Instant::now();
    let (lock, crashed) = DirLock::take(&settings.root)?;
    let files = check_layout(settings)?;
    let (checkpoint_file, mut checkpoint) = CheckpointFile::open(&settings.root)?;
    let births = TopicBirths::open(&settings.root)?;
    let foreign = !checkpoint.ours;
    let mut from = first_to_scan(settings, &files, &checkpoint, crashed)?;
    let odd = odd_queues::find(&settings.root, queues_on_disk(&settings.root)?, settings.queue_file_bytes)?;
    lock.mark_open()?;
    if !odd.is_empty() {
        from = files.first().copied().unwrap_or(0);
        checkpoint = Checkpoint { dispatched: from, ours: true, ..checkpoint };
        make_again(settings, &odd, (&checkpoint_file, &checkpoint))?;
    }
    let mut queue_files = queue_files(settings);
    let mut index =
        settings.index.map(|sizes| KeyIndex::open(&settings.root.join("index"), sizes, &settings.disk)).transpose()?;
    let lost_from = keys_lost_from(&checkpoint, crashed);
    if let Some(index) = index.as_mut().filter(|_| crashed && checkpoint.ours) {
        index.cut(lost_from)?;
    }
    let from = match index.as_ref().map(KeyIndex::end) {
        Some(_) if checkpoint.ours => from.min(lost_from),
        Some(Some(end)) => from.min(begin_of(settings, end)),
        _ => from,
    };
    let mut redispatch = Redispatch::new(&settings.rules, &births, &mut queue_files, index.as_mut());
    let end = recovery::scan(&settings.log_dir, settings.segment_bytes, from, settings.check_crc, |record| {
        redispatch.record(record)
    })?;
    redispatch.flush()?;
    if crashed {
        cut_log(settings, end.end)?;
        cut_queues(settings, &mut queue_files, end.end)?;
        if let Some(index) = index.as_mut().filter(|index| index.end().is_some_and(|indexed| indexed >= end.end)) {
            index.cut(end.end)?;
        }
    }
    let log = open_log(settings, &files, from, end.end)?;
    // Where nothing says otherwise it stays as it is until what was read again is synced, which nobody waits for. But it
    // must be ours from the first change on, and say nothing that is not true of this log.
    let (boot, said) = (checkpoint::this_boot(), checkpoint);
    // After a crash only what the checkpoint says is known to be on the disk.
    let indexed = if crashed && said.ours { said.indexed.min(end.end) } else { from };
    checkpoint = Checkpoint { dispatched: from, indexed, boot, ours: true, ..checkpoint };
    if (Checkpoint { boot: said.boot, ..checkpoint }) != said {
        checkpoint_file.write(&checkpoint)?;
    }
    let found = Found {
        crashed,
        foreign,
        scanned_from: from,
        end: end.end,
        records: end.records,
        timestamp_ms: end.timestamp_ms,
        took: began.elapsed(),
    };
    Ok(Opened { lock, log, queue_files, index, births, checkpoint: (checkpoint_file, checkpoint), found })
}

/// Offsets of the log's segments; refuses a directory that another kind of store made.
fn check_layout(settings: &StoreSettings) -> Result<Vec<LogOffset>, StoreError> {
    let dir = &settings.log_dir;
    std::fs::create_dir_all(dir).map_err(StoreError::io("cannot make the directory", dir))?;
    for foreign in ["dledger", "consumequeue_rocksdb"] {
        if settings.root.join(foreign).exists() {
            let reason = format!("it holds `{foreign}`, a store of another kind that is not supported");
            return Err(StoreError::format(&settings.root, reason));
        }
    }
    let files = sequence(dir)?;
    for (base, path) in &files {
        let length = std::fs::metadata(path).map_err(StoreError::io("cannot look at", path))?.len();
        if base % settings.segment_bytes != 0 || (length != settings.segment_bytes && length != 0) {
            let expected = settings.segment_bytes;
            let reason = format!("it is {length} bytes long, expected are {expected} (mappedFileSizeCommitLog)");
            return Err(StoreError::format(path, reason));
        }
    }
    if let Some((_, first)) = files.first() {
        check_first_record(first)?;
    }
    Ok(files.into_iter().map(|(base, _)| base).collect())
}

fn check_first_record(path: &Path) -> Result<(), StoreError> {
    use crate::protocol::record::{MAGIC_BLANK, MAGIC_V1, MAGIC_V2};
    use std::io::Read;
    let mut first = [0; 8];
    let mut file = File::open(path).map_err(StoreError::io("cannot open", path))?;
    if file.read_exact(&mut first).is_err() || first == [0; 8] {
        return Ok(());
    }
    let magic = u32::from_be_bytes([first[4], first[5], first[6], first[7]]);
    if [MAGIC_V1, MAGIC_V2, MAGIC_BLANK].contains(&magic) {
        return Ok(());
    }
    Err(StoreError::format(path, format!("it does not begin with a record (magic {magic:#010x})")))
}

/// Sets queues aside; the checkpoint has to say before that the whole log is to be read for them.
fn make_again(
    settings: &StoreSettings,
    odd: &[(QueueKey, StoreError)],
    (file, checkpoint): (&CheckpointFile, &Checkpoint),
) -> Result<(), StoreError> {
    file.write(checkpoint)?;
    for (key, error) in odd {
        let aside = odd_queues::set_aside(&settings.root, key)?;
        tracing::warn!(
            queue = %key, %error, aside = %aside.display(),
            "a ConsumeQueue does not fit; it is set aside and made again from the whole log"
        );
    }
    Ok(())
}

/// From which record on the keys in the index may have been lost by a crash.
fn keys_lost_from(checkpoint: &Checkpoint, crashed: bool) -> LogOffset {
    let same_boot = checkpoint.boot != 0 && checkpoint.boot == checkpoint::this_boot();
    if crashed && !same_boot { checkpoint.indexed } else { LogOffset::MAX }
}

fn begin_of(settings: &StoreSettings, at: LogOffset) -> LogOffset {
    at - at % settings.segment_bytes
}

/// The offset below which every record is known to be whole, in its queue and in the index.
fn first_to_scan(
    settings: &StoreSettings,
    files: &[LogOffset],
    checkpoint: &Checkpoint,
    crashed: bool,
) -> Result<LogOffset, StoreError> {
    let (Some(first), Some(last)) = (files.first(), files.last()) else { return Ok(0) };
    let in_log = |at: LogOffset| at >= *first && at <= last + settings.segment_bytes;
    if checkpoint.ours && in_log(checkpoint.dispatched) {
        return Ok(checkpoint.dispatched);
    }
    let safe_ms = if crashed {
        checkpoint.log_timestamp_ms.min(checkpoint.queues_timestamp_ms) - CHECKPOINT_SLACK_MS
    } else {
        i64::MAX
    };
    // After a clean stop of RocketMQ the queues hold everything, yet the last files are read to find the log's end.
    for base in files.iter().rev() {
        let began = recovery::first_timestamp(&settings.log_dir, *base, settings.segment_bytes)?;
        if began.is_some_and(|began| began <= safe_ms) {
            return Ok(*base);
        }
    }
    Ok(*first)
}

/// Removes everything behind `end`: a torn record must not be found again behind a new one.
fn cut_log(settings: &StoreSettings, end: LogOffset) -> Result<(), StoreError> {
    for (base, path) in sequence(&settings.log_dir)? {
        if base >= end && base > 0 {
            std::fs::remove_file(&path).map_err(StoreError::io("cannot remove", &path))?;
        } else if base + settings.segment_bytes > end {
            let file = OpenOptions::new().write(true).open(&path).map_err(StoreError::io("cannot open", &path))?;
            let cut = file.set_len(end - base).and_then(|()| file.set_len(settings.segment_bytes));
            cut.map_err(StoreError::io("cannot cut", &path))?;
        }
    }
    Ok(())
}

/// Cuts entries that point beyond the log's end, in every queue.
fn cut_queues(settings: &StoreSettings, files: &mut QueueFiles, end: LogOffset) -> Result<(), StoreError> {
    for key in queues_on_disk(&settings.root)? {
        let dir = consume_queue::queue_dir(&settings.root, &key);
        let queue = consume_queue::ConsumeQueue::open(dir, settings.queue_file_bytes, 0, end)?;
        files.cut(&key, queue.end())?;
    }
    Ok(())
}

/// The queues that have files.
///
/// # Errors
/// When a directory cannot be read.
pub fn queues_on_disk(root: &Path) -> Result<Vec<QueueKey>, StoreError> {
    let mut keys = Vec::new();
    for topic in names_in(&root.join("consumequeue"))? {
        for queue in names_in(&root.join("consumequeue").join(&topic))? {
            if let (Ok(topic), Ok(queue)) = (Topic::new(&topic), queue.parse()) {
                keys.push(QueueKey { topic, queue });
            }
        }
    }
    Ok(keys)
}

fn names_in(dir: &Path) -> Result<Vec<String>, StoreError> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io("cannot read the directory", dir)(error)),
    };
    let names = entries.map(|entry| entry.map(|entry| entry.file_name().into_string().ok()));
    let names: Result<Vec<_>, _> = names.collect();
    Ok(names.map_err(StoreError::io("cannot read the directory", dir))?.into_iter().flatten().collect())
}

/// Maps the newest segments and puts the writing end where the last record ends. What lies below `safe` is on the disk.
fn open_log(
    settings: &StoreSettings,
    files: &[LogOffset],
    safe: LogOffset,
    end: LogOffset,
) -> Result<CommitLog, StoreError> {
    let view = LogView::new(settings.log_dir.clone(), settings.segment_bytes);
    view.ends().min.store(files.first().copied().unwrap_or(0), std::sync::atomic::Ordering::Release);
    let current = begin_of(settings, end);
    let oldest = current.saturating_sub((MAPPED_SEGMENTS_MAX as u64 - 1) * settings.segment_bytes);
    // The flusher syncs what is mapped; what is older and was read again may have been written just before a crash.
    for base in files.iter().copied().filter(|base| *base >= begin_of(settings, safe) && *base < oldest) {
        let path = settings.log_dir.join(file_name(base));
        let synced = File::open(&path).and_then(|file| file.sync_data());
        synced.map_err(StoreError::io("cannot sync", &path))?;
    }
    let mut flushed = safe.max(oldest.min(end));
    let mut segments = VecDeque::new();
    for base in files.iter().copied().filter(|base| *base >= oldest && *base < current).chain([current]) {
        let segment = Segment::create(&settings.log_dir, base, settings.segment_bytes)?;
        let segment = Arc::new(segment.on(&settings.disk));
        if settings.durable_reads && flushed < end.min(segment.end()) {
            segment.sync((flushed - base) as usize, (end.min(segment.end()) - base) as usize)?;
            flushed = end.min(segment.end());
        }
        view.push(segment.clone());
        if base == current {
            segments.push_back(segment);
        }
    }
    Ok(CommitLog::new(view, segments, (flushed, end)))
}
