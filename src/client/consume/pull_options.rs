//! How a pull consumer behaves.

use std::time::Duration;

use super::beginning::{Beginning, Stored};
use super::push_options::{StartFrom, YoungTopics};
use crate::client::error::ClientError;
use crate::protocol::names::{GROUP_BYTES_MAX, check_name};
use crate::rules::assignment::Strategy;

/// Options of a [`PullConsumer`](crate::client::PullConsumer). The defaults are RocketMQ's, but for the batch, of which
/// a broker gives as many as it is set up to.
#[derive(Debug, Clone)]
pub struct PullOptions {
    /// Whose offsets are committed.
    pub group: String,
    /// Where a group begins that has not committed yet.
    pub start_from: StartFrom,
    pub young_topics: YoungTopics,
    /// How queues are shared out when it subscribes; the same for all members.
    pub strategy: Strategy,
    /// Most messages of one answer; brokers give 32 unless they are configured otherwise.
    pub batch: u16,
    /// How long a broker holds a question when it has no message.
    pub hold: Duration,
    /// How often it is committed by itself what the program has consumed: all that it was given before it last asked
    /// for more. `None` for never.
    pub auto_commit: Option<Duration>,
}

impl PullOptions {
    #[must_use]
    pub fn new(group: impl Into<String>) -> Self {
        Self {
            group: group.into(),
            start_from: StartFrom::default(),
            young_topics: YoungTopics::default(),
            strategy: Strategy::default(),
            batch: 32,
            hold: Duration::from_secs(20),
            auto_commit: Some(Duration::from_secs(5)),
        }
    }

    pub(in crate::client) fn beginning(&self) -> Beginning {
        let (start_from, young_topics) = (self.start_from, self.young_topics);
        Beginning { start_from, young_topics, stored: Stored::AtBroker, grace: Duration::ZERO }
    }

    pub(in crate::client) fn check(&self) -> Result<(), ClientError> {
        let named = check_name(&self.group, GROUP_BYTES_MAX);
        named.map_err(|reason| ClientError::Name { kind: "group", name: self.group.clone(), reason })?;
        if self.batch == 0 || self.auto_commit.is_some_and(|interval| interval.is_zero()) {
            let reason = "it is zero".to_owned();
            return Err(ClientError::Option { option: "batch or auto_commit", reason });
        }
        Ok(())
    }
}
