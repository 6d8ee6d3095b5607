//! A queue as bodies name it.

use serde::{Deserialize, Serialize};

/// One queue of one topic on one broker; also a map's key (`{{"brokerName":…}:5}`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MessageQueue {
    pub topic: String,
    pub broker_name: String,
    pub queue_id: i32,
}
