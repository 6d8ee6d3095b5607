//! Bytes on disk, in RocketMQ's formats: CommitLog segments, ConsumeQueues, the key index, the checkpoint. Everything
//! here is synchronous; who calls decides on which thread.

pub mod births;
pub mod checkpoint;
pub mod commit_log;
pub mod consume_queue;
pub mod disk;
pub mod key_index;
pub mod log_view;
pub mod odd_queues;
pub mod opening;
pub mod queue_files;
pub mod recovery;
pub mod segment;
pub mod table;

use std::io;
use std::path::{Path, PathBuf};

/// Why the store cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{}: {reason}", path.display())]
    Format { path: PathBuf, reason: String },
    #[error("{} is held by another broker (its `lock` file is locked); stop that one or choose another directory", path.display())]
    Held { path: PathBuf },
}

impl StoreError {
    /// For `map_err`: says what was being done to which file.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
        let path = path.to_owned();
        move |source| StoreError::Io { action, path, source }
    }

    pub(crate) fn format(path: &Path, reason: impl Into<String>) -> StoreError {
        StoreError::Format { path: path.to_owned(), reason: reason.into() }
    }
}

/// Name of a file whose first byte stands at `offset` of its sequence: 20 decimal digits.
#[must_use]
pub fn file_name(offset: u64) -> String {
    format!("{offset:020}")
}

/// The files of a sequence in `dir`, by the offset that their name says. Anything else in the directory is passed over.
///
/// # Errors
/// When the directory cannot be read; a directory that is not there has no files.
pub(crate) fn sequence(dir: &Path) -> Result<Vec<(u64, PathBuf)>, StoreError> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io("cannot read the directory", dir)(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(StoreError::io("cannot read the directory", dir))?;
        let name = entry.file_name();
        let offset = name.to_str().filter(|name| name.len() == 20).and_then(|name| name.parse().ok());
        if let Some(offset) = offset
            && entry.file_type().is_ok_and(|kind| kind.is_file())
        {
            files.push((offset, entry.path()));
        }
    }
    files.sort_unstable();
    Ok(files)
}
