//! ConsumeQueues with a file of a wrong length. What they hold stands in the log too, so the queue is set aside and made
//! again from there; but where no file has the length that the settings say, the settings are wrong.

use std::path::{Path, PathBuf};

use super::consume_queue::{self, queue_dir};
use super::{StoreError, sequence};
use crate::protocol::names::QueueKey;

/// Those of the queues `keys` under `root` that have a file of another length than `file_bytes`.
///
/// # Errors
/// When a directory cannot be read, or when no file of any queue has that length.
pub fn find(root: &Path, keys: Vec<QueueKey>, file_bytes: u64) -> Result<Vec<(QueueKey, StoreError)>, StoreError> {
    let mut odd = Vec::new();
    let mut fits = false;
    for key in keys {
        let mut files = sequence(&queue_dir(root, &key))?;
        match consume_queue::check_lengths(&mut files, file_bytes) {
            Ok(()) => fits |= !files.is_empty(),
            Err(error) => odd.push((key, error)),
        }
    }
    if !fits && !odd.is_empty() {
        return Err(odd.swap_remove(0).1);
    }
    Ok(odd)
}

/// Renames the directory of the queue, so that it is made anew; returns the new name.
///
/// # Errors
/// When it cannot be renamed.
pub fn set_aside(root: &Path, key: &QueueKey) -> Result<PathBuf, StoreError> {
    let dir = queue_dir(root, key);
    let mut aside = dir.with_extension("bad");
    for number in 1.. {
        if !aside.exists() {
            break;
        }
        aside = dir.with_extension(format!("bad{number}"));
    }
    std::fs::rename(&dir, &aside).map_err(StoreError::io("cannot rename", &dir))?;
    Ok(aside)
}
