//! How two sides tell whether their copies of a table are the same.

use serde::{Deserialize, Serialize};

use super::bodies;

/// A table's version: it differs after each change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DataVersion {
    pub counter: i64,
    /// Grows with the broker's role changes.
    pub state_version: i64,
    /// Of the last change, in milliseconds since 1970.
    pub timestamp: i64,
}

bodies! {
    DataVersion = "data version";
}

impl DataVersion {
    /// The version after one more change at `now_ms`.
    #[must_use]
    pub fn next(self, state_version: i64, now_ms: i64) -> Self {
        DataVersion { counter: self.counter.wrapping_add(1), state_version, timestamp: now_ms }
    }
}
