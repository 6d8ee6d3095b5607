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
