//! The version of a table that brokers, name servers and slaves compare: RocketMQ's `DataVersion`.

use serde::{Deserialize, Serialize};

/// Changes with every change of the table that carries it. Two tables with the same version are the same table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DataVersion {
    /// Changes counted.
    pub counter: i64,
    /// Epoch of the master that made the change; 0 without a controller.
    pub state_version: i64,
    /// Milliseconds since 1970 of the change, by the owner's clock.
    pub timestamp: i64,
}

impl DataVersion {
    /// The version of the next change, made now, without a controller.
    #[must_use]
    pub fn next(self) -> Self {
        Self { counter: self.counter.wrapping_add(1), state_version: 0, timestamp: now_ms() }
    }
}

/// Milliseconds since 1970 by the wall clock.
pub(crate) fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
