//! Consuming as messages come: the group's members share the queues, a listener gets the messages.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::runtime::Handle;

use super::desk::{Desk, Listener};
use super::push_options::{PushOptions, StartFrom};
use super::shares::{Finish, FlowState, Holdings, Positions, SetFlow, Shares};
use super::subscription::{Filter, Subscription};
use crate::actors::rebalance::{INTERVAL, Rebalance, Retire, Sharing, Subscribe};
use crate::client::error::ClientError;
use crate::client::hub::Hub;
use crate::client::membership::{Join, Leave};
use crate::client::routes::Purpose;
use crate::protocol::body::clients::{ConsumeFromWhere, ConsumeType, ConsumerData, MessageModel};
use crate::protocol::names::{DERIVED_TOPIC_BYTES_MAX, Group, Topic, check_name};
use crate::rules::assignment::MessageQueue;

/// What a push consumer will be, before it starts.
#[must_use = "nothing is consumed until start is called"]
#[derive(Debug)]
pub struct PushConsumerBuilder {
    core: Arc<Hub>,
    options: PushOptions,
    subscriptions: Vec<(String, Filter)>,
}

impl PushConsumerBuilder {
    pub(in crate::client) fn new(core: Arc<Hub>, options: PushOptions) -> Self {
        Self { core, options, subscriptions: Vec::new() }
    }

    /// Adds a topic, with the messages wanted of it. The last filter of a topic counts.
    pub fn subscribe(mut self, topic: impl Into<String>, filter: impl Into<Filter>) -> Self {
        self.subscriptions.push((topic.into(), filter.into()));
        self
    }

    /// Joins the group and begins to consume with `listener`, which runs on the tokio runtime that this is called in.
    ///
    /// # Errors
    /// When an option or name cannot be used, no name server answers, or the client has a consumer of the group
    /// already. That a topic does not exist yet is no error: it is consumed once it does.
    pub async fn start<L: Listener>(self, listener: L) -> Result<PushConsumer, ClientError> {
        self.options.check()?;
        let subscriptions = self.subscriptions()?;
        for topic in subscriptions.keys() {
            match self.core.route(topic, Purpose::Existing).await {
                Ok(_) | Err(ClientError::TopicNotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let Self { core, options, .. } = self;
        let group = options.group.clone();
        let data = consumer_data(&options, &subscriptions);
        let desk = Desk::open(listener, options.concurrency, &Handle::current());
        let topics: Vec<_> = subscriptions.keys().cloned().collect();
        let shares = Shares::new(Arc::clone(&core), Arc::new(options.clone()), subscriptions, Arc::clone(&desk));
        let (me, strategy) = (core.client_id.clone(), options.strategy.clone());
        let (shares, rebalance) = core
            .at_home(move || {
                let shares = shares.start();
                let (survey, consumer) = (shares.clone().recipient(), shares.clone().recipient());
                let sharing = Sharing { me, strategy, interval: INTERVAL, survey, consumer };
                (shares, Rebalance::new(sharing).start())
            })
            .await?;
        let consumer = PushConsumer { core, group, patience: options.patience, desk, shares, rebalance, left: false };
        if !consumer.core.join(Join::Consumer(data, Some(consumer.rebalance.clone().recipient()))).await? {
            let group = consumer.group.clone();
            consumer.abandon();
            return Err(ClientError::GroupTaken { group });
        }
        // Brokers must know us before we compute shares, or others count us and we do not.
        consumer.core.beat_now().await?;
        for topic in topics {
            consumer.rebalance.do_send(Subscribe { topic });
        }
        Ok(consumer)
    }

    fn subscriptions(&self) -> Result<BTreeMap<Arc<str>, Arc<Subscription>>, ClientError> {
        if self.subscriptions.is_empty() {
            let reason = "nothing would be consumed".to_owned();
            return Err(ClientError::Option { option: "subscribe", reason });
        }
        let mut subscriptions = BTreeMap::new();
        for (topic, filter) in &self.subscriptions {
            let named = check_name(topic, DERIVED_TOPIC_BYTES_MAX);
            named.map_err(|reason| ClientError::Name { kind: "topic", name: topic.clone(), reason })?;
            let subscription = Subscription::new(topic, filter);
            subscriptions.insert(Arc::clone(&subscription.topic), Arc::new(subscription));
        }
        // What members of the group failed to consume comes back here.
        let group = Group::new(&self.options.group);
        let group =
            group.map_err(|reason| ClientError::Name { kind: "group", name: self.options.group.clone(), reason })?;
        let retry = Subscription::new(&Topic::retry_of(&group), &Filter::All);
        subscriptions.insert(Arc::clone(&retry.topic), Arc::new(retry));
        Ok(subscriptions)
    }
}

fn consumer_data(options: &PushOptions, subscriptions: &BTreeMap<Arc<str>, Arc<Subscription>>) -> ConsumerData {
    ConsumerData {
        consume_from_where: Some(match options.start_from {
            StartFrom::Last => ConsumeFromWhere::ConsumeFromLastOffset,
            StartFrom::First => ConsumeFromWhere::ConsumeFromFirstOffset,
            StartFrom::Time(_) => ConsumeFromWhere::ConsumeFromTimestamp,
        }),
        consume_type: Some(ConsumeType::ConsumePassively),
        group_name: options.group.clone(),
        message_model: Some(MessageModel::Clustering),
        subscription_data_set: subscriptions.values().map(|subscription| subscription.data()).collect(),
        unit_mode: false,
    }
}

/// A running push consumer. Dropping it stops consuming and commits what was consumed, without waiting for either.
///
/// ```no_run
/// # async fn example(client: &actormq::client::Client) -> Result<(), actormq::client::ClientError> {
/// use actormq::client::{Outcome, PushOptions, ReceivedMessage};
/// let consumer = client
///     .push_consumer(PushOptions::new("billing"))
///     .subscribe("orders", "new || changed")
///     .start(|batch: Vec<ReceivedMessage>| async move {
///         println!("{} messages", batch.len());
///         Outcome::Consumed
///     })
///     .await?;
/// consumer.shutdown().await?;
/// # Ok(())
/// # }
/// ```
pub struct PushConsumer {
    core: Arc<Hub>,
    group: String,
    patience: Duration,
    desk: Arc<Desk>,
    shares: Addr<Shares>,
    rebalance: Addr<Rebalance>,
    left: bool,
}

impl PushConsumer {
    /// Pulls nothing more until [`Self::resume`]. What was pulled is still consumed.
    pub fn suspend(&self) {
        self.shares.do_send(SetFlow(FlowState::Suspended));
    }

    pub fn resume(&self) {
        self.shares.do_send(SetFlow(FlowState::Flowing));
    }

    /// The queues that this consumer reads now, sorted.
    ///
    /// # Errors
    /// When the client was shut down.
    pub async fn queues(&self) -> Result<Vec<MessageQueue>, ClientError> {
        self.shares.send(Holdings).await.map_err(|_| ClientError::ShutDown)
    }

    /// Messages in this consumer's queues that are not consumed yet; `None` until it knows its queues.
    ///
    /// # Errors
    /// When the client was shut down or a broker does not tell its queues' ends.
    pub async fn lag(&self) -> Result<Option<i64>, ClientError> {
        let positions = self.shares.send(Positions).await.map_err(|_| ClientError::ShutDown)?;
        let Some(positions) = positions else {
            return Ok(None);
        };
        let mut lag = 0;
        for (queue, position) in positions {
            lag += (self.core.max_offset(&queue).await? - position).max(0);
        }
        Ok(Some(lag))
    }

    /// Stops consuming, waits for listeners that run, commits what they consumed and leaves the group.
    ///
    /// # Errors
    /// When the client was shut down.
    pub async fn shutdown(mut self) -> Result<(), ClientError> {
        self.left = true;
        self.rebalance.do_send(Retire);
        self.suspend();
        self.desk.close(self.patience).await;
        self.shares.send(Finish).await.map_err(|_| ClientError::ShutDown)?;
        self.core.leave(Leave::Consumer(self.group.clone())).await
    }

    /// Ends what was started for a consumer that never joined.
    fn abandon(mut self) {
        self.left = true;
        self.rebalance.do_send(Retire);
        self.shares.do_send(Finish);
    }
}

impl Drop for PushConsumer {
    fn drop(&mut self) {
        if !self.left {
            self.rebalance.do_send(Retire);
            self.shares.do_send(Finish);
            self.core.leave_later(Leave::Consumer(self.group.clone()));
        }
    }
}

impl std::fmt::Debug for PushConsumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PushConsumer").field("group", &self.group).finish_non_exhaustive()
    }
}
