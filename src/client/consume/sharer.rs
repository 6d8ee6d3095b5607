//! What a consumer is as far as its share of the queues goes, and who reads them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::watch;

use super::beginning::Beginning;
use super::desk::Desk;
use super::handing_back::WayBack;
use super::local_offsets::LocalOffsets;
use super::push_options::{PushOptions, StartFrom, YoungTopics};
use super::queue_locks::QueueLocks;
use super::queue_reader::Progress;
use super::subscription::Subscription;
use crate::client::hub::Hub;
use crate::rules::assignment::MessageQueue;

/// A queue that a pull consumer's handle is to read.
#[derive(Debug, Clone)]
pub(in crate::client) struct Place {
    pub(in crate::client) subscription: Arc<Subscription>,
    pub(in crate::client) progress: Arc<Progress>,
    pub(in crate::client) beginning: Beginning,
}

/// What a pull consumer's handle is to read: always the latest.
pub(in crate::client) type Places = BTreeMap<MessageQueue, Place>;

/// Who reads the queues.
pub(in crate::client) enum Readers {
    /// An actor each, for a listener.
    Push(Listening),
    /// The handle of a pull consumer.
    Pull(watch::Sender<Arc<Places>>),
}

/// What the readers of a push consumer share.
#[derive(Clone)]
pub(in crate::client) struct Listening {
    pub(in crate::client) options: Arc<PushOptions>,
    pub(in crate::client) desk: Arc<Desk>,
    pub(in crate::client) way_back: Arc<WayBack>,
    pub(in crate::client) order: Order,
}

/// Whether the messages of a queue are consumed one after the other.
#[derive(Clone)]
pub(in crate::client) enum Order {
    /// Several at once.
    None,
    /// One after the other. Nobody else is there, since the consumer broadcasts.
    Alone,
    /// One after the other, while the broker says that the queue is ours.
    Locked(Addr<QueueLocks>),
}

/// What a consumer is, as far as its shares go.
pub(in crate::client) struct Sharer {
    pub(in crate::client) core: Arc<Hub>,
    pub(in crate::client) group: String,
    pub(in crate::client) start_from: StartFrom,
    pub(in crate::client) young_topics: YoungTopics,
    /// `None`: nothing is committed unless the handle does it.
    pub(in crate::client) commit_interval: Option<Duration>,
    /// Of a broadcasting consumer.
    pub(in crate::client) local: Option<LocalOffsets>,
    pub(in crate::client) readers: Readers,
}
