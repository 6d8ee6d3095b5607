//! The checkpoint file: up to where everything is safe. 4096 bytes, of which RocketMQ uses the first 48:
//!
//! | offset | field |
//! |---|---|
//! | 0 | store time of the last flushed record, ms |
//! | 8 | store time of the last record in the flushed ConsumeQueues, ms |
//! | 16 | store time of the last record in the flushed index, ms |
//! | 24 | flushed offset of the master |
//! | 32 | confirmed offset |
//! | 40 | every ConsumeQueue and the index hold every record below this offset |
//! | 2048 | ours: magic, a copy of the fields at 0 and 40 |
//! | 2072 | the index holds every key of the records below this offset, and that is on the disk |
//! | 2080 | the boot of the machine in which this was written |
//!
//! RocketMQ advances the field at 40 by another rule (the largest over all queues), so the field counts only while the
//! copy behind our magic agrees: then nobody else has written since. Source: RocketMQ's `StoreCheckpoint`.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::StoreError;
use crate::protocol::names::LogOffset;

const FILE_BYTES: usize = 4096;
const OURS_AT: usize = 2048;
const MAGIC: u64 = 0x4163_746F_724D_5131;

/// What the checkpoint file says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Store time of the last flushed record, ms.
    pub log_timestamp_ms: i64,
    /// Store time of the last record in the flushed ConsumeQueues, ms.
    pub queues_timestamp_ms: i64,
    /// Store time of the last record in the flushed index, ms.
    pub index_timestamp_ms: i64,
    /// Flushed offset of the master.
    pub master_flushed: LogOffset,
    /// Confirmed offset.
    pub confirmed: LogOffset,
    /// Every ConsumeQueue and the index hold every record below.
    pub dispatched: LogOffset,
    /// The index holds every key of the records below, and that is on the disk: a power cut takes none of them.
    pub indexed: LogOffset,
    /// In which boot of the machine this was written: pages that a process wrote since are lost with the boot only.
    pub boot: u64,
    /// Whether this program wrote the file last, so that `dispatched` means what it says here.
    pub ours: bool,
}

/// The open checkpoint file.
#[derive(Debug)]
pub struct CheckpointFile {
    file: File,
    path: PathBuf,
}

impl CheckpointFile {
    /// Opens or makes `dir/checkpoint` and reads it.
    ///
    /// # Errors
    /// When the file cannot be opened, made or read.
    pub fn open(dir: &Path) -> Result<(Self, Checkpoint), StoreError> {
        let path = dir.join("checkpoint");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(StoreError::io("cannot open", &path))?;
        let length = file.metadata().map_err(StoreError::io("cannot look at", &path))?.len();
        if length < FILE_BYTES as u64 {
            file.set_len(FILE_BYTES as u64).map_err(StoreError::io("cannot set the length of", &path))?;
        }
        let mut bytes = [0; FILE_BYTES];
        file.read_exact_at(&mut bytes, 0).map_err(StoreError::io("cannot read", &path))?;
        Ok((Self { file, path }, decode(&bytes)))
    }

    /// Writes `checkpoint` and waits until it is on the disk.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn write(&self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let fields = [
            checkpoint.log_timestamp_ms as u64,
            checkpoint.queues_timestamp_ms as u64,
            checkpoint.index_timestamp_ms as u64,
            checkpoint.master_flushed,
            checkpoint.confirmed,
            checkpoint.dispatched,
        ];
        let ours =
            [MAGIC, checkpoint.log_timestamp_ms as u64, checkpoint.dispatched, checkpoint.indexed, checkpoint.boot];
        let bytes = |list: &[u64]| list.iter().flat_map(|field| field.to_be_bytes()).collect::<Vec<u8>>();
        let written = self
            .file
            .write_all_at(&bytes(&fields), 0)
            .and_then(|()| self.file.write_all_at(&bytes(&ours), OURS_AT as u64))
            .and_then(|()| self.file.sync_data());
        written.map_err(StoreError::io("cannot write", &self.path))
    }
}

/// A number of this boot of the machine; 0 where the system does not tell.
#[must_use]
pub fn this_boot() -> u64 {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).take(16).collect();
    u64::from_str_radix(&digits, 16).unwrap_or(0)
}

fn decode(bytes: &[u8; FILE_BYTES]) -> Checkpoint {
    let field = |at: usize| bytes[at..].first_chunk::<8>().map_or(0, |b| u64::from_be_bytes(*b));
    Checkpoint {
        log_timestamp_ms: field(0) as i64,
        queues_timestamp_ms: field(8) as i64,
        index_timestamp_ms: field(16) as i64,
        master_flushed: field(24),
        confirmed: field(32),
        dispatched: field(40),
        indexed: field(OURS_AT + 24),
        boot: field(OURS_AT + 32),
        ours: field(OURS_AT) == MAGIC && field(OURS_AT + 8) == field(0) && field(OURS_AT + 16) == field(40),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_foreign_writing_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let (file, empty) = CheckpointFile::open(dir.path()).unwrap();
        assert_eq!(empty, Checkpoint::default());
        let written = Checkpoint { log_timestamp_ms: 5, queues_timestamp_ms: 4, dispatched: 77, ours: true, ..empty };
        let written = Checkpoint { indexed: 70, boot: this_boot(), ..written };
        assert_ne!(written.boot, 0);
        file.write(&written).unwrap();
        assert_eq!(CheckpointFile::open(dir.path()).unwrap().1, written);
        file.file.write_all_at(&9u64.to_be_bytes(), 40).unwrap();
        assert!(!CheckpointFile::open(dir.path()).unwrap().1.ours);
    }
}
