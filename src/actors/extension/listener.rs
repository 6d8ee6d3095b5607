//! Listeners: actors that hear of what happens. Nobody waits for them.

use std::fmt;
use std::sync::Arc;

use actix::prelude::*;

use crate::protocol::names::{Group, QueueKey, QueueOffset};

/// To a listener: something happened. Events of one connection, and of one group, come in their order.
#[derive(Message, Debug, Clone, PartialEq, Eq)]
#[rtype(result = "()")]
pub enum BrokerEvent {
    /// A message was stored, as durable as its producer asked.
    Appended { queue: QueueKey, offset: QueueOffset },
    /// A consumer was given messages; `next` is where its next pull begins.
    Delivered { group: Group, queue: QueueKey, messages: u32, next: QueueOffset },
    /// Consumers of a group came or went, or its subscriptions changed; `consumers` are there now.
    GroupChanged { group: Group, consumers: usize },
}

/// The listeners of a broker.
#[derive(Clone, Default)]
pub struct Listeners(Arc<[Recipient<BrokerEvent>]>);

impl Listeners {
    #[must_use]
    pub fn new(list: Vec<Recipient<BrokerEvent>>) -> Self {
        Self(list.into())
    }

    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells all of them. One whose mailbox is full misses the event: a listener that is slow costs the broker no memory.
    pub fn tell(&self, event: &BrokerEvent) {
        for listener in self.0.iter() {
            if let Err(SendError::Full(_)) = listener.try_send(event.clone()) {
                tracing::debug!("a listener is slow and misses an event");
            }
        }
    }
}

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listeners({})", self.0.len())
    }
}
