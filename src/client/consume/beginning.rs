//! Where a consumer begins to read a queue.

use std::time::Duration;

use super::offsets::Uncommitted;
use super::push_options::{StartFrom, YoungTopics};
use crate::client::error::ClientError;
use crate::client::hub::Hub;
use crate::protocol::names::RETRY_PREFIX;
use crate::rules::assignment::MessageQueue;

#[derive(Debug, Clone, Copy)]
pub(in crate::client) struct Beginning {
    pub(in crate::client) start_from: StartFrom,
    pub(in crate::client) young_topics: YoungTopics,
    pub(in crate::client) stored: Stored,
    /// Wait before the question: somebody else may just be committing.
    pub(in crate::client) grace: Duration,
}

/// Where the group keeps how far it came.
#[derive(Debug, Clone, Copy)]
pub(in crate::client) enum Stored {
    AtBroker,
    /// In this client, which knows this of the queue.
    Here(Option<i64>),
}

impl Beginning {
    /// How far the group came, else what the consumer chose for new groups.
    pub(in crate::client) async fn offset(
        &self,
        core: &Hub,
        group: &str,
        queue: &MessageQueue,
    ) -> Result<i64, ClientError> {
        let uncommitted = match self.young_topics {
            YoungTopics::FromTheirStart => Uncommitted::MayBeZero,
            YoungTopics::AsAsked => Uncommitted::IsNone,
        };
        let known = match self.stored {
            Stored::AtBroker => core.committed(group, queue, uncommitted).await?,
            Stored::Here(known) => known,
        };
        if let Some(offset) = known {
            return Ok(offset);
        }
        let is_retry = queue.topic.starts_with(RETRY_PREFIX);
        match self.start_from {
            StartFrom::First => core.min_offset(queue).await,
            StartFrom::Last if is_retry => Ok(0),
            StartFrom::Last => core.max_offset(queue).await,
            StartFrom::Time(_) if is_retry => core.max_offset(queue).await,
            StartFrom::Time(timestamp_ms) => core.offset_at(queue, timestamp_ms).await,
        }
    }
}
