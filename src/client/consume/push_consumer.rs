//! Consuming as messages come: the group's members share the queues, a listener gets the messages.

pub(in crate::client) mod inquiries;

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::prelude::*;
use tokio::runtime::Handle;

use self::inquiries::{Direct, Inquiries};
use super::checking::check;
use super::desk::{Desk, Listener};
use super::handing_back::WayBack;
use super::local_offsets::{LocalOffsets, path_of};
use super::push_options::{MessageModel, PushOptions, StartFrom};
use super::queue_locks::QueueLocks;
use super::queue_reader::Flow;
use super::sharer::{Listening, Order, Readers, Sharer};
use super::shares::asked::Standings;
use super::shares::{Finish, Holdings, Positions, Shares, Want, Wanted};
use super::subscription::{Filter, Subscription};
use super::survey::agree;
use crate::actors::rebalance::{INTERVAL, Rebalance, Retire, Sharing, Subscribe, Unsubscribe};
use crate::client::error::ClientError;
use crate::client::hub::Hub;
use crate::client::membership::{Join, Leave};
use crate::client::routes::Purpose;
use crate::client::trace::{Traced, Tracer};
use crate::protocol::body::clients::{self, ConsumeFromWhere, ConsumeType, ConsumerData, SubscriptionData};
use crate::protocol::names::{Group, Topic};
use crate::rules::assignment::{MessageQueue, Strategy};

/// What a push consumer will be, before it starts.
#[must_use = "nothing is consumed until start is called"]
#[derive(Debug)]
pub struct PushConsumerBuilder {
    core: Arc<Hub>,
    options: PushOptions,
    subscriptions: Vec<(String, Filter)>,
    trace: Option<String>,
}

impl PushConsumerBuilder {
    pub(in crate::client) fn new(core: Arc<Hub>, options: PushOptions) -> Self {
        Self { core, options, subscriptions: Vec::new(), trace: None }
    }

    /// Adds a topic, with the messages wanted of it. The last filter of a topic counts.
    pub fn subscribe(mut self, topic: impl Into<String>, filter: impl Into<Filter>) -> Self {
        self.subscriptions.push((topic.into(), filter.into()));
        self
    }

    /// Writes to `topic` what becomes of each message, as RocketMQ's `enableMsgTrace` has it:
    /// [`TRACE_TOPIC`](crate::client::TRACE_TOPIC) is the usual one.
    pub fn traced(mut self, topic: impl Into<String>) -> Self {
        self.trace = Some(topic.into());
        self
    }

    /// Joins the group and begins to consume with `listener`, which runs on the tokio runtime that this is called in.
    ///
    /// # Errors
    /// When an option or name cannot be used, no name server answers, a broker does not understand a filter, or the
    /// client has a consumer of the group already. That a topic does not exist yet is no error: it is consumed once it does.
    pub async fn start<L: Listener>(self, listener: L) -> Result<PushConsumer, ClientError> {
        self.start_with(listener, Call::AtOnce).await
    }

    /// The same, but each queue's messages are consumed one after the other, by one listener call at a time, and by one
    /// member of the group. What the listener gives back is given to it again in place, before anything that is behind it.
    ///
    /// The broker locks each queue for the member that reads it. A queue that goes to another member does so between two
    /// calls of the listener.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_in_order<L: Listener>(self, listener: L) -> Result<PushConsumer, ClientError> {
        self.start_with(listener, Call::InOrder).await
    }

    async fn start_with<L: Listener>(self, listener: L, call: Call) -> Result<PushConsumer, ClientError> {
        self.options.check()?;
        let subscriptions = self.subscriptions()?;
        for (topic, wanted) in &subscriptions {
            match self.core.route(topic, Purpose::Existing).await {
                Ok(_) | Err(ClientError::TopicNotFound { .. }) => {}
                Err(error) => return Err(error),
            }
            check(&self.core, &self.options.group, wanted).await?;
        }
        let Self { core, options, trace, .. } = self;
        let group = options.group.clone();
        let data = consumer_data(&options, subscriptions.values().map(|wanted| wanted.data()).collect());
        if let Err(error) = agree(&core, &group, &data.subscription_data_set).await {
            tracing::warn!(%error, "a consumer starts all the same");
        }
        let tracer = trace.map(|topic| Tracer::start(&core, &group, &topic));
        let listener = Arc::new(listener);
        let direct = Direct::new(Arc::clone(&listener), options.concurrency, call);
        let desk = Desk::open(Traced { listener, tracer: tracer.clone() }, options.concurrency, &Handle::current());
        let topics: Vec<_> = subscriptions.keys().cloned().collect();
        let options = Arc::new(options);
        let sharer = sharer(&core, &options, &desk, call).await?;
        let shares = Shares::new(sharer, subscriptions);
        // Who broadcasts shares with nobody, and has all queues.
        let strategy = if options.broadcasts() { Strategy::Averagely } else { options.strategy.clone() };
        let me = core.client_id.clone();
        let (hub, of) = (Arc::clone(&core), Arc::clone(&options));
        let (shares, rebalance, inquiries) = core
            .at_home(move || {
                let shares = shares.start();
                let inquiries = Inquiries::new(hub, of, shares.clone(), direct).start();
                let (survey, consumer) = (shares.clone().recipient(), shares.clone().recipient());
                let sharing = Sharing { me, strategy, interval: INTERVAL, survey, consumer };
                (shares, Rebalance::new(sharing).start(), inquiries)
            })
            .await?;
        let consumer = PushConsumer { core, options, desk, shares, rebalance, tracer, left: false };
        if !consumer.core.join(Join::Consumer(data, Some(consumer.rebalance.clone().recipient()))).await? {
            consumer.abandon();
            return Err(ClientError::GroupTaken { group });
        }
        consumer.core.serve(group, inquiries.recipient());
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
            let subscription = Subscription::checked(topic, filter)?;
            subscriptions.insert(Arc::clone(&subscription.topic), subscription);
        }
        if self.options.broadcasts() {
            return Ok(subscriptions);
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

async fn sharer(
    core: &Arc<Hub>,
    options: &Arc<PushOptions>,
    desk: &Arc<Desk>,
    call: Call,
) -> Result<Sharer, ClientError> {
    let local = open_local(core, options).await?;
    let listening = Listening {
        options: Arc::clone(options),
        desk: Arc::clone(desk),
        way_back: Arc::new(WayBack::new(core, &options.group, options.retry.max_reconsume_times)),
        order: order(core, options, call).await?,
    };
    Ok(Sharer {
        core: Arc::clone(core),
        group: options.group.clone(),
        start_from: options.start_from,
        young_topics: options.young_topics,
        commit_interval: Some(options.commit_interval),
        local,
        readers: Readers::Push(listening),
    })
}

/// How a listener is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::client) enum Call {
    AtOnce,
    InOrder,
}

fn consumer_data(options: &PushOptions, wanted: Vec<SubscriptionData>) -> ConsumerData {
    ConsumerData {
        consume_from_where: Some(match options.start_from {
            StartFrom::Last => ConsumeFromWhere::ConsumeFromLastOffset,
            StartFrom::First => ConsumeFromWhere::ConsumeFromFirstOffset,
            StartFrom::Time(_) => ConsumeFromWhere::ConsumeFromTimestamp,
        }),
        consume_type: Some(ConsumeType::ConsumePassively),
        group_name: options.group.clone(),
        message_model: Some(match options.model {
            MessageModel::Clustering => clients::MessageModel::Clustering,
            MessageModel::Broadcasting { .. } => clients::MessageModel::Broadcasting,
        }),
        subscription_data_set: wanted,
        unit_mode: false,
    }
}

/// The file of a broadcasting consumer.
async fn open_local(core: &Hub, options: &PushOptions) -> Result<Option<LocalOffsets>, ClientError> {
    let MessageModel::Broadcasting { directory } = &options.model else {
        return Ok(None);
    };
    let path = path_of(directory.as_deref(), &core.lasting_id, &options.group);
    let opened = tokio::task::spawn_blocking(move || LocalOffsets::open(path)).await;
    opened.map(Some).map_err(|_| ClientError::ShutDown)
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
#[must_use = "a consumer that is dropped stops"]
pub struct PushConsumer {
    core: Arc<Hub>,
    options: Arc<PushOptions>,
    desk: Arc<Desk>,
    shares: Addr<Shares>,
    rebalance: Addr<Rebalance>,
    tracer: Option<Tracer>,
    left: bool,
}

async fn order(core: &Arc<Hub>, options: &PushOptions, call: Call) -> Result<Order, ClientError> {
    match call {
        Call::AtOnce => Ok(Order::None),
        Call::InOrder if options.broadcasts() => Ok(Order::Alone),
        Call::InOrder => {
            let locks = QueueLocks::new(Arc::clone(core), &options.group);
            Ok(Order::Locked(core.at_home(move || locks.start()).await?))
        }
    }
}

impl PushConsumer {
    /// Consumes a topic too, or with another filter than before. All members of the group are to do the same.
    ///
    /// # Errors
    /// When the name cannot be used, a broker does not understand the filter, or the client was shut down.
    pub async fn subscribe(&self, topic: impl AsRef<str>, filter: impl Into<Filter>) -> Result<(), ClientError> {
        let subscription = Subscription::checked(topic.as_ref(), &filter.into())?;
        check(&self.core, &self.options.group, &subscription).await?;
        let topic = Arc::clone(&subscription.topic);
        // Its queues are read anew, with the new filter.
        self.rebalance.do_send(Unsubscribe { topic: Arc::clone(&topic) });
        self.want(Arc::clone(&topic), Some(subscription)).await?;
        self.rebalance.do_send(Subscribe { topic });
        Ok(())
    }

    /// Consumes a topic no longer. What was pulled of it already may still be consumed.
    ///
    /// # Errors
    /// When the client was shut down.
    pub async fn unsubscribe(&self, topic: impl AsRef<str>) -> Result<(), ClientError> {
        let topic: Arc<str> = topic.as_ref().into();
        self.rebalance.do_send(Unsubscribe { topic: Arc::clone(&topic) });
        self.want(topic, None).await
    }

    async fn want(&self, topic: Arc<str>, subscription: Option<Arc<Subscription>>) -> Result<(), ClientError> {
        let wanted = self.shares.send(Want { topic, subscription }).await.map_err(|_| ClientError::ShutDown)?;
        self.core.resubscribe(consumer_data(&self.options, wanted)).await?;
        self.core.beat_now().await
    }

    /// Whether all members of the group subscribe to the same, as far as a broker heard: it knows the subscriptions of
    /// whoever told it last. A consumer that starts into a group that it disagrees with logs a warning.
    ///
    /// # Errors
    /// [`ClientError::Disagreement`], or when no broker answers.
    pub async fn check_agreement(&self) -> Result<(), ClientError> {
        let ours = self.shares.send(Wanted).await.map_err(|_| ClientError::ShutDown)?;
        agree(&self.core, &self.options.group, &ours).await
    }

    /// Pulls nothing more until [`Self::resume`]. What was pulled is still consumed.
    pub fn suspend(&self) {
        self.shares.do_send(Flow::Suspend);
    }

    pub fn resume(&self) {
        self.shares.do_send(Flow::Resume);
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
        // Each queue's reader looks into what listeners did, before it tells how it stands.
        self.shares.send(Standings).await.map_err(|_| ClientError::ShutDown)?;
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
        self.desk.close(self.options.patience).await;
        if let Some(tracer) = &self.tracer {
            tracer.flush().await;
        }
        self.shares.send(Finish).await.map_err(|_| ClientError::ShutDown)?;
        self.core.leave(Leave::Consumer(self.options.group.clone())).await
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
            self.core.leave_later(Leave::Consumer(self.options.group.clone()));
        }
    }
}

impl std::fmt::Debug for PushConsumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PushConsumer").field("group", &self.options.group).finish_non_exhaustive()
    }
}
