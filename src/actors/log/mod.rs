//! Around the CommitLog: its writer's neighbours.

pub mod doors;

/// Number of a queue in this process: an index into the writer's table of next offsets. Given by the owner of the
/// topics, once for each queue of each incarnation of a topic, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueSlot(pub u32);
