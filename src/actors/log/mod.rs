//! Around the CommitLog: its writer's neighbours.

pub mod ahead;
pub mod dispatch_reader;
pub mod doors;
pub mod draft;
pub mod flusher;
pub mod index;
pub mod own_appends;
pub mod queue_files;
pub mod queues;
pub mod segments;

use std::time::{SystemTime, UNIX_EPOCH};

/// Number of a queue in this process: an index into the writer's table of next offsets. Given by the owner of the
/// topics, once for each queue of each incarnation of a topic, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct QueueSlot(pub u32);

/// Wall-clock time that never goes back within a process: store timestamps grow with offsets.
#[derive(Debug, Default)]
pub struct LogClock {
    last_ms: i64,
}

impl LogClock {
    /// Now, ms since 1970.
    pub fn now_ms(&mut self) -> i64 {
        self.last_ms = self.last_ms.max(wall_clock_ms());
        self.last_ms
    }

    /// What [`LogClock::now_ms`] said last; 0 before.
    #[must_use]
    pub fn last_ms(&self) -> i64 {
        self.last_ms
    }
}

/// Wall-clock time, ms since 1970.
#[must_use]
pub fn wall_clock_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64
}

/// How far local time is ahead of UTC now, in seconds.
#[must_use]
pub fn utc_offset_s() -> i32 {
    jiff::Zoned::now().offset().seconds()
}
