//! Dead letters: what a group could not consume however often it tried.

use std::sync::Arc;
use std::time::Duration;

use super::Admin;
use super::messages::TOOLS_GROUP;
use crate::client::consume::pull::Pull;
use crate::client::consume::received::ReceivedMessage;
use crate::client::consume::subscription::{Filter, Subscription};
use crate::client::error::ClientError;
use crate::client::message::SendReceipt;
use crate::client::produce::delivery::Courier;
use crate::client::produce::parcel::{self, Retried};
use crate::client::produce::producer_options::{ProducerOptions, Target};
use crate::client::route::MASTER;
use crate::client::routes::Purpose;
use crate::protocol::names::{DEAD_LETTER_PREFIX, RETRY_PREFIX};
use crate::protocol::properties::{self, Properties};
use crate::rules::assignment::MessageQueue;

/// Messages that are asked for at once.
const AT_ONCE: i32 = 32;

/// What a queue holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSpan {
    pub queue: MessageQueue,
    /// Offset of its first message.
    pub first: i64,
    /// One past its last message.
    pub end: i64,
}

/// Who gets a dead letter that is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resend {
    /// The group that it belongs to. While that group consumes in order, its broker makes a dead letter of it at once.
    ToGroup,
    /// Everybody who consumes the topic that it came from.
    ToTopic,
}

impl Admin {
    /// The topic that holds a group's dead letters. It comes into being with the first.
    #[must_use]
    pub fn dead_letter_topic(group: &str) -> String {
        format!("{DEAD_LETTER_PREFIX}{group}")
    }

    /// The queues of a group's dead letters; none when it has none.
    ///
    /// # Errors
    /// When a server refuses or is not reached.
    pub async fn dead_letter_queues(&self, group: &str) -> Result<Vec<QueueSpan>, ClientError> {
        let route = match self.hub.fresh_route(&Self::dead_letter_topic(group), Purpose::Existing).await {
            Err(ClientError::TopicNotFound { .. }) => return Ok(Vec::new()),
            route => route?,
        };
        let mut spans = Vec::new();
        for queue in &route.readable {
            let (first, end) = (self.hub.min_offset(queue).await?, self.hub.max_offset(queue).await?);
            spans.push(QueueSpan { queue: MessageQueue::clone(queue), first, end });
        }
        Ok(spans)
    }

    /// Some messages of a queue of a known topic from `offset` on, and where the next begin.
    ///
    /// # Errors
    /// When a server refuses or is not reached.
    pub async fn messages_from(
        &self,
        queue: &MessageQueue,
        offset: i64,
    ) -> Result<(Vec<ReceivedMessage>, i64), ClientError> {
        self.hub.route(&queue.topic, Purpose::Existing).await?;
        let pull = Pull {
            group: TOOLS_GROUP.into(),
            subscription: Arc::new(Subscription::new(&queue.topic, &Filter::All)),
            queue: Arc::new(queue.clone()),
            offset,
            commit: 0,
            count: AT_ONCE,
            hold: Duration::ZERO,
            broker_id: MASTER,
        };
        let pulled = pull.ask(&self.hub).await?;
        Ok((pulled.messages, pulled.next))
    }

    /// A group's latest dead letters, at most `max`, the oldest first.
    ///
    /// # Errors
    /// As [`Self::dead_letter_queues`].
    pub async fn dead_letters(&self, group: &str, max: usize) -> Result<Vec<ReceivedMessage>, ClientError> {
        let mut found = Vec::new();
        for QueueSpan { queue, first, end } in self.dead_letter_queues(group).await? {
            let mut offset = first.max(end.saturating_sub(i64::try_from(max).unwrap_or(i64::MAX)));
            while offset < end {
                let (messages, next) = self.messages_from(&queue, offset).await?;
                found.extend(messages.into_iter().filter(|message| message.queue_offset < end));
                // An answer that does not lead on would be asked for without end.
                offset = next.max(offset + 1);
            }
        }
        found.sort_by_key(|message| (message.store_timestamp_ms, message.queue_offset));
        Ok(found.split_off(found.len().saturating_sub(max)))
    }

    /// Sends a dead letter again, under its own id and as if it had never failed. It also stays where it is.
    ///
    /// # Errors
    /// [`ClientError::MessageId`] when the message does not say which topic it came from, or no broker took it.
    pub async fn resend(
        &self,
        group: &str,
        message: &ReceivedMessage,
        whom: Resend,
    ) -> Result<SendReceipt, ClientError> {
        let Some(origin) = message.property(properties::RETRY_TOPIC).map(str::to_owned) else {
            let reason = "the message does not say which topic it came from".to_owned();
            return Err(ClientError::MessageId { id: message.message_id(), reason });
        };
        let mut all = Properties::read(message.properties_text());
        [properties::DELAY, properties::REAL_TOPIC, properties::REAL_QUEUE_ID].iter().for_each(|name| all.remove(name));
        let topic = match whom {
            Resend::ToGroup => format!("{RETRY_PREFIX}{group}"),
            Resend::ToTopic => {
                [properties::RETRY_TOPIC, properties::ORIGIN_MESSAGE_ID].iter().for_each(|name| all.remove(name));
                origin
            }
        };
        let options = ProducerOptions::new(TOOLS_GROUP);
        let parcel = parcel::again(topic, message, (all.text(), Retried { times: 0, times_max: None }), &options).await;
        let courier = Courier::new(Arc::clone(&self.hub), options);
        courier.deliver(&parcel, Target::Any, courier.deadline()).await
    }
}
