//! What a broker's store is told: where its bytes lie, when they are synced, how long they stay.

use std::path::PathBuf;

use crate::config::host::DATA_DIR;
use crate::config::values::DelayLevels;

/// Delayed messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelayRules {
    /// The delays of levels 1, 2, …
    pub levels: DelayLevels,
    /// Milliseconds between two writes of how far the levels were delivered.
    pub flush_offsets_interval_ms: u64,
    /// Arbitrary delays (the timer wheel).
    pub timer_enabled: bool,
    /// Width of the wheel's slots in milliseconds.
    pub timer_precision_ms: u32,
    /// Longest arbitrary delay in seconds.
    pub timer_delay_seconds_max: u32,
    /// A timer message can be recalled.
    pub recall_enabled: bool,
}

/// Where the bytes lie and in what pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// `storePathRootDir`: all of a broker's files are below it.
    pub data_dir: PathBuf,
    /// Directory of the log's segments; unset: `commitlog` in the data directory. Ask [`StoreConfig::commit_log_dir`].
    pub commit_log_dir: Option<PathBuf>,
    /// Bytes of one segment of the log: a multiple of 4,096.
    pub commit_log_segment_bytes: u32,
    /// Bytes of one ConsumeQueue file: a multiple of 20.
    pub consume_queue_segment_bytes: u32,
    /// Check each body's CRC when the log is recovered.
    pub check_crc_on_recover: bool,
    /// Build the index of keys.
    pub key_index_enabled: bool,
    /// Hash slots and entries of one index file.
    pub key_index_slots: u32,
    pub key_index_entries: u32,
    /// ConsumeQueue entries, of 20 bytes each, that may wait in memory for their files.
    pub entries_in_memory_max: u32,
    /// Most messages that a query by key returns.
    pub key_query_max: u32,
    pub kind: StoreKind,
}

/// `storeType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// CommitLog and ConsumeQueue files.
    Files,
}

/// When bytes are synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlushConfig {
    pub mode: FlushMode,
    /// Milliseconds that a send waits for its bytes to be synced in [`FlushMode::Sync`].
    pub sync_timeout_ms: u32,
    /// Milliseconds between asynchronous flushes of the log.
    pub interval_ms: u32,
    /// Dirty 4-KiB pages below which such a flush does nothing.
    pub least_pages: u32,
    /// Milliseconds after which everything is flushed, however little it is.
    pub thorough_interval_ms: u32,
    /// The same three for ConsumeQueues.
    pub queue_interval_ms: u32,
    pub queue_least_pages: u32,
    pub queue_thorough_interval_ms: u32,
}

/// `flushDiskType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushMode {
    Async,
    Sync,
}

/// When old segments go. Percentages are of the disk's space that is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionConfig {
    /// Hours that a segment of the log is kept.
    pub reserved_hours: u32,
    /// Local hours of the day, 0 to 23, in which expired segments are deleted.
    pub delete_hours: Vec<u8>,
    /// Above it expired segments are deleted at any hour.
    pub disk_used_percent_max: u8,
    /// Above it segments that have not expired are deleted too.
    pub disk_forced_percent: u8,
    /// Above it the store takes no more writes.
    pub disk_full_percent: u8,
    pub forced_deletion: bool,
}

impl StoreConfig {
    /// Directory of the log's segments.
    #[must_use]
    pub fn commit_log_dir(&self) -> PathBuf {
        self.commit_log_dir.clone().unwrap_or_else(|| self.data_dir.join("commitlog"))
    }
}

impl Default for DelayRules {
    fn default() -> Self {
        Self {
            levels: DelayLevels::default(),
            flush_offsets_interval_ms: 10_000,
            timer_enabled: true,
            timer_precision_ms: 1_000,
            timer_delay_seconds_max: 3 * 24 * 3_600,
            recall_enabled: false,
        }
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            data_dir: DATA_DIR.into(),
            commit_log_dir: None,
            commit_log_segment_bytes: 1024 * 1024 * 1024,
            consume_queue_segment_bytes: 6_000_000,
            check_crc_on_recover: true,
            key_index_enabled: true,
            key_index_slots: 5_000_000,
            key_index_entries: 20_000_000,
            entries_in_memory_max: 3_000_000,
            key_query_max: 64,
            kind: StoreKind::Files,
        }
    }
}

impl Default for FlushConfig {
    fn default() -> Self {
        Self {
            mode: FlushMode::Async,
            sync_timeout_ms: 5_000,
            interval_ms: 500,
            least_pages: 4,
            thorough_interval_ms: 10_000,
            queue_interval_ms: 1_000,
            queue_least_pages: 2,
            queue_thorough_interval_ms: 60_000,
        }
    }
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self {
            reserved_hours: 72,
            delete_hours: vec![4],
            disk_used_percent_max: 75,
            disk_forced_percent: 85,
            disk_full_percent: 90,
            forced_deletion: true,
        }
    }
}
