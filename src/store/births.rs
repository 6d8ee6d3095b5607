//! Since when a topic lives: the end of the log when its last namesake was deleted. A rebuild takes no record of the
//! topic from below, or a deleted topic's messages would come back with the topic's next incarnation.
//!
//! The file is ours (`config/topicBirths.json`, a JSON object of topic to physical offset); RocketMQ has none.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::StoreError;
use crate::protocol::names::{LogOffset, Topic};

/// The births of all topics that ever had a namesake.
#[derive(Debug)]
pub struct TopicBirths {
    path: PathBuf,
    births: BTreeMap<String, LogOffset>,
}

impl TopicBirths {
    /// Reads the file under the store's `root`.
    ///
    /// # Errors
    /// When the file is there but cannot be read or understood: guessing would bring deleted messages back.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let path = root.join("config").join("topicBirths.json");
        let births = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| StoreError::format(&path, e.to_string()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(StoreError::io("cannot read", &path)(error)),
        };
        Ok(Self { path, births })
    }

    /// The offset from which on records of `topic` count.
    #[must_use]
    pub fn of(&self, topic: &str) -> LogOffset {
        self.births.get(topic).copied().unwrap_or(0)
    }

    /// Notes that records of `topic` below `end` are nobody's any more, durably.
    ///
    /// # Errors
    /// When the disk fails; the topic's files must then not be removed.
    pub fn bury(&mut self, topic: &Topic, end: LogOffset) -> Result<(), StoreError> {
        self.births.insert(topic.as_str().to_owned(), end);
        self.write()
    }

    fn write(&self) -> Result<(), StoreError> {
        let dir = self.path.parent().unwrap_or(Path::new("."));
        let fresh = self.path.with_extension("json.tmp");
        let text = serde_json::to_vec(&self.births).map_err(|e| StoreError::format(&self.path, e.to_string()))?;
        std::fs::create_dir_all(dir).map_err(StoreError::io("cannot make the directory", dir))?;
        let written = File::create(&fresh)
            .and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()))
            .and_then(|()| std::fs::rename(&fresh, &self.path))
            .and_then(|()| File::open(dir)?.sync_all());
        written.map_err(StoreError::io("cannot write", &self.path))
    }
}
