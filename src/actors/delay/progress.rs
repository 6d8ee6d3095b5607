//! How far each level was delivered: published by the scheduler, kept in `config/delayOffset.json`
//! (`{"dataVersion":{…},"offsetTable":{1:100,2:0}}`).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::protocol::body::offsets::DelayOffsets;
use crate::protocol::body::version::DataVersion;
use crate::protocol::names::QueueOffset;

/// The next message of each level. It outlives the scheduler, so that one that is built again goes on from it.
#[derive(Debug, Default)]
pub struct DelayProgress {
    levels: Box<[AtomicU64]>,
    /// Whether the file was read and compared with what the queues hold.
    settled: AtomicBool,
}

impl DelayProgress {
    #[must_use]
    pub fn new(levels: usize) -> Self {
        Self { levels: (0..levels).map(|_| AtomicU64::new(0)).collect(), settled: AtomicBool::new(false) }
    }

    /// Offset of the next message of `level`, from 1, that is to be delivered.
    #[must_use]
    pub fn of(&self, level: usize) -> QueueOffset {
        level.checked_sub(1).and_then(|at| self.levels.get(at)).map_or(0, |next| next.load(Ordering::Acquire))
    }

    /// Each level and its next message.
    pub fn all(&self) -> impl Iterator<Item = (usize, QueueOffset)> {
        (1..=self.levels.len()).map(|level| (level, self.of(level)))
    }

    pub(super) fn set(&self, level: usize, next: QueueOffset) {
        if let Some(place) = level.checked_sub(1).and_then(|at| self.levels.get(at)) {
            place.store(next, Ordering::Release);
        }
    }

    pub(super) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }

    pub(super) fn settle(&self) {
        self.settled.store(true, Ordering::Release);
    }

    /// What the file is to hold: these levels, and those of the file that this broker's settings do not have.
    pub(super) fn body(&self, version: DataVersion, foreign: &BTreeMap<i32, i64>) -> DelayOffsets {
        let mut offset_table = foreign.clone();
        for (level, next) in self.all().filter(|(_, next)| *next > 0) {
            if let (Ok(level), Ok(next)) = (i32::try_from(level), i64::try_from(next)) {
                offset_table.insert(level, next);
            }
        }
        DelayOffsets { data_version: version, offset_table }
    }
}
