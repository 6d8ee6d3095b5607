//! The stories of messages, as their producers and consumers wrote them.

use super::{Admin, KeyQuery};
use crate::client::error::ClientError;
use crate::protocol::trace::{Step, read};

/// Trace messages that are looked through for one message, of each broker.
const TRACES_MAX: u32 = 1024;

impl Admin {
    /// What producers and consumers wrote about the message that a producer gave this id, in the order of time;
    /// `trace_topic` is where they write, [`TRACE_TOPIC`](crate::client::TRACE_TOPIC) unless they were told otherwise.
    /// Empty when none of them writes traces, or the topic is not there.
    ///
    /// # Errors
    /// When a server refuses or is not reached.
    pub async fn story(&self, trace_topic: &str, message_id: &str) -> Result<Vec<Step>, ClientError> {
        let query = KeyQuery { max: TRACES_MAX, ..KeyQuery::new(trace_topic, message_id) };
        let traces = match self.messages_by_key(&query).await {
            Err(ClientError::TopicNotFound { .. }) => Vec::new(),
            traces => traces?,
        };
        let mut steps = Vec::new();
        for trace in &traces {
            let body = String::from_utf8_lossy(&trace.body);
            steps.extend(read(&body).filter(|step| step.message_id() == message_id));
        }
        steps.sort_by_key(|step| {
            let order = match step {
                Step::Sent(_) => 0,
                Step::TransactionEnded { .. } => 1,
                Step::Consuming(_) => 2,
                Step::Consumed(_) => 3,
            };
            (step.time_ms(), order)
        });
        // A send of a trace that was repeated.
        steps.dedup();
        Ok(steps)
    }
}
