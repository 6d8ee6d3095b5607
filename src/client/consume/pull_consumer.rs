//! Consuming at the program's own pace.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use futures_util::Stream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::checking::check;
use super::pull_options::PullOptions;
use super::pulling::Pulling;
use super::push_options::StartFrom;
use super::received::ReceivedMessage;
use super::sharer::{Places, Readers, Sharer};
use super::shares::{Finish, Hold, Shares, Want};
use super::subscription::{Filter, Subscription};
use crate::actors::rebalance::{INTERVAL, Rebalance, Retire, Sharing, Subscribe, Unsubscribe};
use crate::client::consume::offsets::Uncommitted;
use crate::client::error::ClientError;
use crate::client::hub::Hub;
use crate::client::membership::{Join, Leave};
use crate::client::routes::Purpose;
use crate::protocol::body::clients::{ConsumeFromWhere, ConsumeType, ConsumerData, MessageModel, SubscriptionData};
use crate::rules::assignment::MessageQueue;

/// Reads queues when the program asks for messages: those that it is told to ([`Self::assign`]), or its share of the
/// topics that it subscribes to ([`Self::subscribe`]).
///
/// ```no_run
/// # async fn example(client: &actormq::client::Client) -> Result<(), actormq::client::ClientError> {
/// use std::time::Duration;
/// let mut consumer = client.pull_consumer("audit").await?;
/// consumer.subscribe("orders", "*").await?;
/// for message in consumer.poll(Duration::from_secs(5)).await? {
///     println!("{}", String::from_utf8_lossy(&message.body));
/// }
/// consumer.commit().await?;
/// # Ok(())
/// # }
/// ```
///
/// What was given is committed from time to time by itself, see [`PullOptions::auto_commit`]; a message counts as
/// consumed when the next one is asked for.
#[derive(Debug)]
#[must_use = "a consumer that is dropped leaves its group"]
pub struct PullConsumer {
    core: Arc<Hub>,
    options: Arc<PullOptions>,
    pulling: Pulling,
    mode: Mode,
    /// What rebalancing gives us to read.
    places: watch::Receiver<Arc<Places>>,
    shares: Addr<Shares>,
    rebalance: Addr<Rebalance>,
    left: bool,
}

/// Who chooses the queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Open,
    Assigned,
    Subscribed,
}

impl PullConsumer {
    pub(in crate::client) async fn start(core: Arc<Hub>, options: PullOptions) -> Result<Self, ClientError> {
        options.check()?;
        let (publish, places) = watch::channel(Arc::default());
        let sharer = Sharer {
            core: Arc::clone(&core),
            group: options.group.clone(),
            start_from: options.start_from,
            young_topics: options.young_topics,
            commit_interval: options.auto_commit,
            local: None,
            readers: Readers::Pull(publish),
        };
        let (me, strategy) = (core.client_id.clone(), options.strategy.clone());
        let (shares, rebalance) = core
            .at_home(move || {
                let shares = Shares::new(sharer, BTreeMap::new()).start();
                let (survey, consumer) = (shares.clone().recipient(), shares.clone().recipient());
                let sharing = Sharing { me, strategy, interval: INTERVAL, survey, consumer };
                (shares, Rebalance::new(sharing).start())
            })
            .await?;
        let options = Arc::new(options);
        let pulling = Pulling::new(Arc::clone(&core), Arc::clone(&options));
        let mut consumer = Self { core, options, pulling, mode: Mode::Open, places, shares, rebalance, left: false };
        let data = consumer.data(Vec::new());
        if !consumer.core.join(Join::Consumer(data, Some(consumer.rebalance.clone().recipient()))).await? {
            consumer.left = true;
            consumer.end_actors();
            return Err(ClientError::GroupTaken { group: consumer.options.group.clone() });
        }
        Ok(consumer)
    }

    fn data(&self, wanted: Vec<SubscriptionData>) -> ConsumerData {
        ConsumerData {
            consume_from_where: Some(match self.options.start_from {
                StartFrom::Last => ConsumeFromWhere::ConsumeFromLastOffset,
                StartFrom::First => ConsumeFromWhere::ConsumeFromFirstOffset,
                StartFrom::Time(_) => ConsumeFromWhere::ConsumeFromTimestamp,
            }),
            consume_type: Some(ConsumeType::ConsumeActively),
            group_name: self.options.group.clone(),
            message_model: Some(MessageModel::Clustering),
            subscription_data_set: wanted,
            unit_mode: false,
        }
    }

    /// From now on reads these queues and no others, each from the group's committed offset, else from where
    /// [`PullOptions::start_from`] says. Queues that were assigned before keep their positions.
    ///
    /// # Errors
    /// When a broker does not tell the offset, or the consumer subscribes; nothing is changed then.
    pub async fn assign(&mut self, queues: &[MessageQueue], filter: Filter) -> Result<(), ClientError> {
        self.choose(Mode::Assigned)?;
        let mut new = Vec::new();
        for queue in queues.iter().filter(|queue| self.pulling.get(queue).is_none()) {
            // The broker's address comes with the topic's route.
            self.core.route(&queue.topic, Purpose::Existing).await?;
            let position = self.options.beginning().offset(&self.core, &self.options.group, queue).await?;
            new.push((queue.clone(), Subscription::checked(&queue.topic, &filter)?, position));
        }
        self.pulling.retain(|queue, _| queues.contains(queue));
        for (queue, subscription, position) in new {
            self.pulling.begin_at(&queue, subscription, position);
        }
        let held = self.pulling.queues().map(|(queue, reading)| (queue.clone(), Arc::clone(&reading.progress)));
        self.shares.send(Hold(held.collect())).await.map_err(|_| ClientError::ShutDown)
    }

    /// Reads this consumer's share of a topic from now on; the group's other members read the rest. Several topics may
    /// be subscribed to, and the last filter of a topic counts. That a topic does not exist yet is no error.
    ///
    /// # Errors
    /// When the name cannot be used, no name server answers, or queues were assigned before.
    pub async fn subscribe(&mut self, topic: impl AsRef<str>, filter: impl Into<Filter>) -> Result<(), ClientError> {
        let subscription = Subscription::checked(topic.as_ref(), &filter.into())?;
        match self.core.route(topic.as_ref(), Purpose::Existing).await {
            Ok(_) | Err(ClientError::TopicNotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        check(&self.core, &self.options.group, &subscription).await?;
        self.choose(Mode::Subscribed)?;
        let topic = Arc::clone(&subscription.topic);
        self.rebalance.do_send(Unsubscribe { topic: Arc::clone(&topic) });
        self.want(Arc::clone(&topic), Some(subscription)).await?;
        self.rebalance.do_send(Subscribe { topic });
        Ok(())
    }

    /// Reads a topic no longer; what was consumed of it is committed.
    ///
    /// # Errors
    /// When the client was shut down.
    pub async fn unsubscribe(&mut self, topic: impl AsRef<str>) -> Result<(), ClientError> {
        let topic: Arc<str> = topic.as_ref().into();
        self.pulling.consumed();
        self.rebalance.do_send(Unsubscribe { topic: Arc::clone(&topic) });
        self.want(topic, None).await
    }

    async fn want(&self, topic: Arc<str>, subscription: Option<Arc<Subscription>>) -> Result<(), ClientError> {
        let wanted = self.shares.send(Want { topic, subscription }).await.map_err(|_| ClientError::ShutDown)?;
        self.core.resubscribe(self.data(wanted)).await?;
        // Brokers must know us before we compute shares, or others count us and we do not.
        self.core.beat_now().await
    }

    fn choose(&mut self, mode: Mode) -> Result<(), ClientError> {
        if self.mode != Mode::Open && self.mode != mode {
            let reason = "a consumer either subscribes or is assigned queues: use another one".to_owned();
            return Err(ClientError::Option { option: "assign or subscribe", reason });
        }
        self.mode = mode;
        Ok(())
    }

    /// Messages as soon as there are any; none when none came within `wait`. Cancel-safe: what a dropped call received,
    /// the next one gives.
    ///
    /// # Errors
    /// When a broker refused a pull or could not be reached; the queue is asked again a second later.
    pub async fn poll(&mut self, wait: Duration) -> Result<Vec<ReceivedMessage>, ClientError> {
        let deadline = Instant::now() + wait;
        self.pulling.consumed();
        loop {
            self.follow();
            let ready = self.pulling.take_all();
            if !ready.is_empty() {
                return Ok(ready);
            }
            match timeout_at(deadline, self.hear()).await {
                Ok(heard) => heard?,
                Err(_) => return Ok(Vec::new()),
            }
        }
    }

    /// The next message, however long it takes to come. Cancel-safe.
    ///
    /// # Errors
    /// As [`Self::poll`].
    pub async fn next(&mut self) -> Result<ReceivedMessage, ClientError> {
        self.pulling.consumed();
        loop {
            self.follow();
            if let Some(message) = self.pulling.take_one() {
                return Ok(message);
            }
            self.hear().await?;
        }
    }

    /// The messages one by one, without an end; after an error it goes on. Dropping the stream loses nothing.
    ///
    /// ```no_run
    /// # async fn example(consumer: &mut actormq::client::PullConsumer) -> Result<(), actormq::client::ClientError> {
    /// use futures_util::{StreamExt, TryStreamExt};
    /// let first_ten: Vec<_> = consumer.stream().take(10).try_collect().await?;
    /// assert_eq!(first_ten.len(), 10);
    /// # Ok(())
    /// # }
    /// ```
    pub fn stream(&mut self) -> impl Stream<Item = Result<ReceivedMessage, ClientError>> + '_ {
        Box::pin(futures_util::stream::unfold(self, |consumer| async move { Some((consumer.next().await, consumer)) }))
    }

    /// Takes what rebalancing gave us to read, if that changed.
    fn follow(&mut self) {
        if self.mode != Mode::Subscribed || !self.places.has_changed().unwrap_or(false) {
            return;
        }
        let places = Arc::clone(&self.places.borrow_and_update());
        // One that went and came back is read anew.
        self.pulling.retain(|queue, reading| {
            places.get(queue).is_some_and(|place| Arc::ptr_eq(&place.progress, &reading.progress))
        });
        for (queue, place) in places.iter() {
            if self.pulling.get(queue).is_none() {
                self.pulling.begin(queue, place);
            }
        }
    }

    /// Waits for an answer or another share.
    async fn hear(&mut self) -> Result<(), ClientError> {
        let changed = async {
            // Its sender lives as long as the client.
            self.places.changed().await.map_err(|_| ClientError::ShutDown)?;
            self.places.mark_changed();
            Ok(())
        };
        tokio::select! {
            settled = self.pulling.settle() => settled,
            changed = changed => changed,
        }
    }

    /// Goes on at `offset` in that queue.
    ///
    /// # Errors
    /// [`ClientError::NotAssigned`].
    pub fn seek(&mut self, queue: &MessageQueue, offset: i64) -> Result<(), ClientError> {
        self.follow();
        self.pulling.seek(queue, offset)
    }

    /// Goes on at the first message that was stored at `timestamp_ms` (since 1970) or later.
    ///
    /// # Errors
    /// [`ClientError::NotAssigned`], or the broker's refusal.
    pub async fn seek_to_time(&mut self, queue: &MessageQueue, timestamp_ms: i64) -> Result<(), ClientError> {
        let offset = self.core.offset_at(queue, timestamp_ms).await?;
        self.seek(queue, offset)
    }

    /// Gives nothing of that queue and asks for nothing more of it until [`Self::resume`].
    ///
    /// # Errors
    /// [`ClientError::NotAssigned`].
    pub fn pause(&mut self, queue: &MessageQueue) -> Result<(), ClientError> {
        self.follow();
        self.pulling.pause(queue, true)
    }

    /// Ends a pause.
    ///
    /// # Errors
    /// [`ClientError::NotAssigned`].
    pub fn resume(&mut self, queue: &MessageQueue) -> Result<(), ClientError> {
        self.pulling.pause(queue, false)
    }

    /// The queues that are read now, sorted.
    #[must_use]
    pub fn queues(&mut self) -> Vec<MessageQueue> {
        self.follow();
        self.pulling.queues().map(|(queue, _)| queue.clone()).collect()
    }

    /// The offset of the next message that [`Self::poll`] gives; `None` when the queue is not ours or that is not known.
    #[must_use]
    pub fn position(&self, queue: &MessageQueue) -> Option<i64> {
        self.pulling.get(queue)?.position
    }

    /// Commits the positions of all queues for the group: what was given counts as consumed.
    ///
    /// # Errors
    /// When a broker refused or was not reached; others may have committed.
    pub async fn commit(&self) -> Result<(), ClientError> {
        self.pulling.consumed();
        for (queue, reading) in self.pulling.queues() {
            if let Some(position) = reading.position {
                self.core.commit(&self.options.group, queue, position).await?;
            }
        }
        Ok(())
    }

    /// What the group committed; `None` when it never did.
    ///
    /// # Errors
    /// When the broker refused or was not reached.
    pub async fn committed(&self, queue: &MessageQueue) -> Result<Option<i64>, ClientError> {
        self.core.committed(&self.options.group, queue, Uncommitted::IsNone).await
    }

    /// The first offset that the queue still holds.
    ///
    /// # Errors
    /// When the broker refused or was not reached.
    pub async fn min_offset(&self, queue: &MessageQueue) -> Result<i64, ClientError> {
        self.core.min_offset(queue).await
    }

    /// One past the queue's last message.
    ///
    /// # Errors
    /// When the broker refused or was not reached.
    pub async fn max_offset(&self, queue: &MessageQueue) -> Result<i64, ClientError> {
        self.core.max_offset(queue).await
    }

    /// Leaves the group. What was given is committed first, unless [`PullOptions::auto_commit`] is `None`.
    ///
    /// # Errors
    /// When the client was shut down.
    pub async fn shutdown(mut self) -> Result<(), ClientError> {
        self.left = true;
        self.pulling.consumed();
        self.rebalance.do_send(Retire);
        self.shares.send(Finish).await.map_err(|_| ClientError::ShutDown)?;
        self.core.leave(Leave::Consumer(self.options.group.clone())).await
    }

    fn end_actors(&self) {
        self.rebalance.do_send(Retire);
        self.shares.do_send(Finish);
    }
}

/// A consumer that is dropped commits what counted as consumed, without waiting for it.
impl Drop for PullConsumer {
    fn drop(&mut self) {
        if !self.left {
            self.end_actors();
            self.core.leave_later(Leave::Consumer(self.options.group.clone()));
        }
    }
}
