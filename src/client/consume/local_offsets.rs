//! The file in which a broadcasting consumer keeps how far it came: RocketMQ's `offsets.json`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use tokio::task::JoinHandle;

use crate::protocol::body::offsets::ResetOffsets;
use crate::protocol::body::queue::MessageQueue as NamedQueue;
use crate::protocol::json::{self, Style};
use crate::rules::assignment::MessageQueue;

/// RocketMQ's name of the directory, in the user's home.
const DIRECTORY: &str = ".rocketmq_offsets";
const FILE: &str = "offsets.json";

/// The table in memory and where it belongs. Written by whoever owns it, to a new file that then takes the old one's
/// place; the old one stays as `.bak`.
#[derive(Debug)]
pub(in crate::client) struct LocalOffsets {
    path: PathBuf,
    table: BTreeMap<NamedQueue, i64>,
    changed: bool,
    /// The last write.
    writing: Option<JoinHandle<()>>,
}

/// `offsets.json` of a group: in `directory`, else in the user's home, else in the working directory.
pub(in crate::client) fn path_of(directory: Option<&Path>, client_id: &str, group: &str) -> PathBuf {
    let directory = match directory {
        Some(directory) => directory.to_owned(),
        None => std::env::home_dir().unwrap_or_default().join(DIRECTORY),
    };
    directory.join(client_id).join(group).join(FILE)
}

impl LocalOffsets {
    /// Reads the file, else the one before it. Blocks.
    pub(in crate::client) fn open(path: PathBuf) -> Self {
        let table = [path.clone(), backup(&path)].iter().find_map(|path| read(path)).unwrap_or_default();
        Self { path, table, changed: false, writing: None }
    }

    pub(in crate::client) fn of(&self, queue: &MessageQueue) -> Option<i64> {
        self.table.get(&named(queue)).copied()
    }

    pub(in crate::client) fn set(&mut self, queue: &MessageQueue, offset: i64) {
        self.changed |= self.table.insert(named(queue), offset) != Some(offset);
    }

    /// Writes what changed on a thread that may block, unless the last write still goes on.
    pub(in crate::client) fn write(&mut self) {
        if self.writing.as_ref().is_none_or(JoinHandle::is_finished)
            && let Some(write) = self.pending_write()
        {
            self.writing = Some(tokio::task::spawn_blocking(write));
        }
    }

    /// Waits for the last write.
    pub(in crate::client) async fn written(&mut self) {
        if let Some(writing) = self.writing.take() {
            // A write that panicked has said so.
            let _ = writing.await;
        }
    }

    /// What is to be written, once after each change: call the result on a thread that may block.
    fn pending_write(&mut self) -> Option<impl FnOnce() + Send + 'static> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let (path, table) = (self.path.clone(), ResetOffsets { offset_table: self.table.clone() });
        Some(move || {
            if let Err(error) = write(&path, &table) {
                tracing::warn!(path = %path.display(), %error, "offsets were not kept; their messages come again");
            }
        })
    }
}

fn named(queue: &MessageQueue) -> NamedQueue {
    let queue_id = i32::try_from(queue.queue).unwrap_or(i32::MAX);
    NamedQueue { topic: queue.topic.to_string(), broker_name: queue.broker.to_string(), queue_id }
}

fn backup(path: &Path) -> PathBuf {
    path.with_extension("json.bak")
}

fn read(path: &Path) -> Option<BTreeMap<NamedQueue, i64>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "offsets cannot be read");
            return None;
        }
    };
    match json::decode::<ResetOffsets>(&text) {
        Ok(offsets) => Some(offsets.offset_table),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "offsets cannot be read");
            None
        }
    }
}

fn write(path: &Path, table: &ResetOffsets) -> io::Result<()> {
    let text = json::encode(table, Style::Pretty).map_err(io::Error::other)?;
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    let new = path.with_extension("json.tmp");
    fs::write(&new, text)?;
    match fs::rename(path, backup(path)) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(topic: &str, queue: u32) -> MessageQueue {
        MessageQueue::new(topic, "broker-a", queue)
    }

    fn recorded() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/config/offsets.json")
    }

    #[test]
    fn the_file_of_a_java_client_is_read_and_written_alike() {
        let directory = tempfile::tempdir().unwrap();
        let path = path_of(Some(directory.path()), "10.0.0.1@DEFAULT", "g");
        assert!(path.ends_with("10.0.0.1@DEFAULT/g/offsets.json"));
        let java = LocalOffsets::open(recorded());
        assert_eq!(
            [java.of(&queue("T", 0)), java.of(&queue("T", 1)), java.of(&queue("U", 0))],
            [Some(7), Some(8), Some(0)]
        );
        let mut ours = LocalOffsets::open(path.clone());
        assert_eq!(ours.of(&queue("T", 0)), None);
        for (queue, offset) in [(queue("T", 0), 7), (queue("T", 1), 8), (queue("U", 0), 0)] {
            ours.set(&queue, offset);
        }
        ours.pending_write().unwrap()();
        assert!(ours.pending_write().is_none(), "nothing changed since");
        // Java's map has an order of its own, and other blanks.
        let entries = |path: &Path| {
            let mut text = fs::read_to_string(path).unwrap();
            text.retain(|letter| !letter.is_whitespace());
            let inside = text.strip_prefix("{\"offsetTable\":{").unwrap().strip_suffix("}}").unwrap();
            inside.replace(",{", "\n{").lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(entries(&path), entries(&recorded()));
    }

    #[test]
    fn the_file_before_is_used_when_the_last_one_is_torn() {
        let directory = tempfile::tempdir().unwrap();
        let path = path_of(Some(directory.path()), "c", "g");
        let mut offsets = LocalOffsets::open(path.clone());
        for offset in [5, 6] {
            offsets.set(&queue("T", 0), offset);
            offsets.pending_write().unwrap()();
        }
        assert_eq!(LocalOffsets::open(path.clone()).of(&queue("T", 0)), Some(6));
        fs::write(&path, "{\"offsetTable\":{{").unwrap();
        assert_eq!(LocalOffsets::open(path).of(&queue("T", 0)), Some(5));
    }
}
