//! Consuming at the program's own pace: it chooses queues and offsets.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};

use super::offsets::Uncommitted;
use super::pull::{Pull, Pulled};
use super::received::ReceivedMessage;
use super::subscription::{Filter, Subscription};
use crate::client::error::ClientError;
use crate::client::hub::Hub;
use crate::client::membership::{Join, Leave};
use crate::client::route::MASTER;
use crate::client::routes::Purpose;
use crate::protocol::body::clients::{ConsumeFromWhere, ConsumeType, ConsumerData, MessageModel};
use crate::protocol::names::{GROUP_BYTES_MAX, check_name};
use crate::rules::assignment::MessageQueue;

/// Wait after a pull that failed.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// Options of a [`PullConsumer`]. The defaults are RocketMQ's.
#[derive(Debug, Clone)]
pub struct PullOptions {
    /// Whose offsets are committed.
    pub group: String,
    /// Most messages of one answer; brokers give 32 unless they are configured otherwise.
    pub batch: u16,
    /// How long a broker holds a question when it has no message.
    pub hold: Duration,
}

impl PullOptions {
    #[must_use]
    pub fn new(group: impl Into<String>) -> Self {
        Self { group: group.into(), batch: 32, hold: Duration::from_secs(20) }
    }
}

/// Reads the queues that it is told to.
///
/// ```no_run
/// # async fn example(client: &actormq::client::Client) -> Result<(), actormq::client::ClientError> {
/// use std::time::Duration;
/// let mut consumer = client.pull_consumer("audit").await?;
/// let queues = client.queues("orders").await?;
/// consumer.assign(&queues, "*".into()).await?;
/// for message in consumer.poll(Duration::from_secs(5)).await? {
///     println!("{}", String::from_utf8_lossy(&message.body));
/// }
/// consumer.commit().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PullConsumer {
    core: Arc<Hub>,
    options: PullOptions,
    assigned: BTreeMap<MessageQueue, Assigned>,
    /// Answers under way. The questions are asked on the client's thread, also while nobody polls.
    pulls: FuturesUnordered<oneshot::Receiver<Answer>>,
    /// Raised by each change of a position, so that an answer to an older question is told apart.
    epoch: u64,
    left: bool,
}

#[derive(Debug)]
struct Assigned {
    subscription: Arc<Subscription>,
    queue: Arc<MessageQueue>,
    /// Of the next message that `poll` gives.
    position: i64,
    epoch: u64,
    broker_id: i64,
    ready: VecDeque<ReceivedMessage>,
    /// Where the next question begins.
    next: i64,
}

type Answer = (MessageQueue, u64, Result<Pulled, ClientError>);

impl PullConsumer {
    pub(in crate::client) async fn start(core: Arc<Hub>, options: PullOptions) -> Result<Self, ClientError> {
        let named = check_name(&options.group, GROUP_BYTES_MAX);
        named.map_err(|reason| ClientError::Name { kind: "group", name: options.group.clone(), reason })?;
        let data = ConsumerData {
            consume_from_where: Some(ConsumeFromWhere::ConsumeFromLastOffset),
            consume_type: Some(ConsumeType::ConsumeActively),
            group_name: options.group.clone(),
            message_model: Some(MessageModel::Clustering),
            ..ConsumerData::default()
        };
        if !core.join(Join::Consumer(data, None)).await? {
            return Err(ClientError::GroupTaken { group: options.group });
        }
        Ok(Self { core, options, assigned: BTreeMap::new(), pulls: FuturesUnordered::new(), epoch: 0, left: false })
    }

    /// From now on reads these queues and no others, each from the group's committed offset, else from its first
    /// message. Queues that were assigned before keep their positions.
    ///
    /// # Errors
    /// When a broker does not tell the committed offset; nothing is changed then.
    pub async fn assign(&mut self, queues: &[MessageQueue], filter: Filter) -> Result<(), ClientError> {
        let mut assigned = BTreeMap::new();
        for queue in queues.iter().filter(|queue| !self.assigned.contains_key(queue)) {
            // The broker's address comes with the topic's route.
            self.core.route(&queue.topic, Purpose::Existing).await?;
            let position = match self.core.committed(&self.options.group, queue, Uncommitted::MayBeZero).await? {
                Some(offset) => offset,
                None => self.core.min_offset(queue).await?,
            };
            self.epoch += 1;
            let subscription = Arc::new(Subscription::new(&queue.topic, &filter));
            assigned.insert(queue.clone(), Assigned::at(position, subscription, queue, self.epoch));
        }
        self.assigned.retain(|queue, _| queues.contains(queue));
        for (queue, new) in assigned {
            self.assigned.insert(queue.clone(), new);
            self.pull(&queue);
        }
        Ok(())
    }

    /// Messages of the assigned queues as soon as there are any; none when none came within `wait`. Cancel-safe: what
    /// a dropped call received, the next one gives.
    ///
    /// # Errors
    /// When a broker refused a pull or could not be reached; the queue is asked again a second later.
    pub async fn poll(&mut self, wait: Duration) -> Result<Vec<ReceivedMessage>, ClientError> {
        let deadline = Instant::now() + wait;
        loop {
            let ready = self.take_ready();
            if !ready.is_empty() {
                return Ok(ready);
            }
            match timeout_at(deadline, self.pulls.next()).await {
                Ok(Some(Ok((queue, epoch, answer)))) => self.settle(&queue, epoch, answer)?,
                Ok(Some(Err(_))) => return Err(ClientError::ShutDown),
                // Nothing is assigned.
                Ok(None) => {
                    tokio::time::sleep_until(deadline).await;
                    return Ok(Vec::new());
                }
                Err(_) => return Ok(Vec::new()),
            }
        }
    }

    fn take_ready(&mut self) -> Vec<ReceivedMessage> {
        let mut ready = Vec::new();
        let mut asked = Vec::new();
        for (queue, assigned) in self.assigned.iter_mut().filter(|(_, assigned)| !assigned.ready.is_empty()) {
            ready.extend(assigned.ready.drain(..));
            assigned.position = assigned.next;
            asked.push(queue.clone());
        }
        // Only now, so that a queue never holds more than one answer.
        asked.iter().for_each(|queue| self.pull(queue));
        ready
    }

    fn settle(
        &mut self,
        queue: &MessageQueue,
        epoch: u64,
        answer: Result<Pulled, ClientError>,
    ) -> Result<(), ClientError> {
        let Some(assigned) = self.assigned.get_mut(queue).filter(|assigned| assigned.epoch == epoch) else {
            return Ok(());
        };
        match answer {
            Ok(pulled) => {
                assigned.next = pulled.next;
                assigned.broker_id = pulled.broker_id;
                assigned.ready.extend(pulled.messages);
                if assigned.ready.is_empty() {
                    assigned.position = pulled.next;
                    self.pull(queue);
                }
                Ok(())
            }
            Err(error) => {
                assigned.broker_id = MASTER;
                self.pull_after(queue, AFTER_ERROR);
                Err(error)
            }
        }
    }

    fn pull(&mut self, queue: &MessageQueue) {
        self.pull_after(queue, Duration::ZERO);
    }

    fn pull_after(&mut self, queue: &MessageQueue, wait: Duration) {
        let Some(assigned) = self.assigned.get(queue) else {
            return;
        };
        let pull = Pull {
            group: self.options.group.as_str().into(),
            subscription: Arc::clone(&assigned.subscription),
            queue: Arc::clone(&assigned.queue),
            offset: assigned.next,
            commit: 0,
            count: i32::from(self.options.batch),
            hold: self.options.hold,
            broker_id: assigned.broker_id,
        };
        let (core, queue, epoch) = (Arc::clone(&self.core), queue.clone(), assigned.epoch);
        let (mut asker, answer) = oneshot::channel();
        self.pulls.push(answer);
        self.core.spawn(async move {
            let asking = async {
                if !wait.is_zero() {
                    sleep(wait).await;
                }
                pull.ask(&core).await
            };
            tokio::select! {
                // The consumer may be gone a moment later.
                answer = asking => drop(asker.send((queue, epoch, answer))),
                () = asker.closed() => {}
            }
        });
    }

    /// Goes on at `offset` in that queue.
    ///
    /// # Errors
    /// [`ClientError::NotAssigned`].
    pub fn seek(&mut self, queue: &MessageQueue, offset: i64) -> Result<(), ClientError> {
        self.epoch += 1;
        let epoch = self.epoch;
        let assigned = self.assigned.get_mut(queue);
        let assigned = assigned.ok_or_else(|| ClientError::NotAssigned { queue: queue.to_string() })?;
        *assigned = Assigned::at(offset, Arc::clone(&assigned.subscription), queue, epoch);
        self.pull(queue);
        Ok(())
    }

    /// Goes on at the first message that was stored at `timestamp_ms` (since 1970) or later.
    ///
    /// # Errors
    /// [`ClientError::NotAssigned`], or the broker's refusal.
    pub async fn seek_to_time(&mut self, queue: &MessageQueue, timestamp_ms: i64) -> Result<(), ClientError> {
        let offset = self.core.offset_at(queue, timestamp_ms).await?;
        self.seek(queue, offset)
    }

    /// The offset of the next message that [`Self::poll`] gives; `None` when the queue is not assigned.
    #[must_use]
    pub fn position(&self, queue: &MessageQueue) -> Option<i64> {
        self.assigned.get(queue).map(|assigned| assigned.position)
    }

    /// Commits the positions of all assigned queues for the group.
    ///
    /// # Errors
    /// When a broker refused or was not reached; others may have committed.
    pub async fn commit(&self) -> Result<(), ClientError> {
        for (queue, assigned) in &self.assigned {
            self.core.commit(&self.options.group, queue, assigned.position).await?;
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

    /// Tells the brokers that this consumer is no more. Commits nothing.
    ///
    /// # Errors
    /// When the client was shut down.
    pub async fn shutdown(mut self) -> Result<(), ClientError> {
        self.left = true;
        self.core.leave(Leave::Consumer(self.options.group.clone())).await
    }
}

impl Drop for PullConsumer {
    fn drop(&mut self) {
        if !self.left {
            self.core.leave_later(Leave::Consumer(self.options.group.clone()));
        }
    }
}

impl Assigned {
    fn at(position: i64, subscription: Arc<Subscription>, queue: &MessageQueue, epoch: u64) -> Self {
        Self {
            subscription,
            queue: Arc::new(queue.clone()),
            position,
            epoch,
            broker_id: MASTER,
            ready: VecDeque::new(),
            next: position,
        }
    }
}
