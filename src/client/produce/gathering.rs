//! Sends that travel together: each adds its message to a batch and waits for the batch's answer.
//!
//! Owns the lanes: for each topic, chosen queue and wish to wait for the disk, the batch that is being filled and how many are
//! under way. The lock is held while bytes are copied, never across an await. Each batch has one task, on the client's
//! thread, which sends it off and tells all who wait in one go; a send costs no task, no timer and no slot of its own.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use rustc_hash::FxHashMap;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use super::delivery::Courier;
use super::parcel::{self, batch_of, now_ms};
use super::producer_options::{Gather, Target};
use crate::client::error::ClientError;
use crate::client::message::{BODY_BYTES_MAX, Message, SendReceipt};
use crate::client::routes::Purpose;
use crate::protocol::batch::{self, BatchEntry};
use crate::protocol::uniq_key::IdText;
use crate::remoting::lead::Lead;
use crate::rules::assignment::MessageQueue;

/// The owner.
#[derive(Debug)]
pub(in crate::client) struct Gatherer {
    courier: Arc<Courier>,
    gather: Gather,
    lanes: Mutex<Lanes>,
    /// Bytes in all batches that have no answer yet.
    held: AtomicUsize,
}

#[derive(Debug, Default)]
struct Lanes {
    by_topic: FxHashMap<String, Vec<Lane>>,
    /// For the properties of the message that is being added.
    text: String,
}

/// What may share a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kind {
    /// `None`: whichever is in turn when the batch leaves.
    queue: Option<MessageQueue>,
    wait: bool,
}

/// Gone when it holds nothing and nothing of it is under way.
#[derive(Debug)]
struct Lane {
    kind: Kind,
    filling: Option<Filling>,
    under_way: usize,
}

/// A batch that still takes messages.
#[derive(Debug)]
struct Filling {
    content: Content,
    batch: Arc<Batch>,
    /// For the content, once it is full.
    full: oneshot::Sender<Content>,
}

#[derive(Debug)]
struct Content {
    body: Vec<u8>,
    count: usize,
}

/// What those wait for whose messages are in it.
#[derive(Debug, Default)]
struct Batch {
    outcome: OnceLock<Result<Stored, ClientError>>,
    /// Whom to wake once there is an outcome.
    waiting: Mutex<Vec<Waker>>,
    /// Nothing of its lane is under way any more, so it need not linger.
    idle: Notify,
}

#[derive(Debug)]
struct Stored {
    receipt: SendReceipt,
    count: usize,
}

/// A message's place in a batch; ready when the batch has its outcome.
struct Seat {
    batch: Arc<Batch>,
    index: usize,
    id: IdText,
    /// The place among those to be woken, once it has one.
    waits_at: Option<usize>,
    /// Whether it tells the batch to leave: the first of a batch before which nothing is under way does. If nobody polls it any
    /// more, the batch leaves when it has lingered.
    lead: Lead,
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.lead.is_left() {
            self.batch.idle.notify_one();
        }
    }
}

impl Batch {
    fn waiting(&self) -> MutexGuard<'_, Vec<Waker>> {
        // No panic can happen while the lock is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Future for Seat {
    type Output = Result<SendReceipt, ClientError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.lead.is_due(cx) {
            self.batch.idle.notify_one();
        }
        if self.batch.outcome.get().is_none() {
            let batch = Arc::clone(&self.batch);
            let mut waiting = batch.waiting();
            // The outcome is set before the list is taken: who is too late for the list sees the outcome.
            if batch.outcome.get().is_none() {
                match self.waits_at.and_then(|at| waiting.get_mut(at)) {
                    Some(waker) => waker.clone_from(cx.waker()),
                    None => {
                        self.waits_at = Some(waiting.len());
                        waiting.push(cx.waker().clone());
                    }
                }
                return Poll::Pending;
            }
        }
        Poll::Ready(match self.batch.outcome.get() {
            Some(Ok(stored)) => Ok(stored.of(self.index, self.id)),
            Some(Err(error)) => Err(error.clone()),
            None => Err(ClientError::ShutDown),
        })
    }
}

/// A batch's task: what it needs to send it off.
struct Departure {
    gatherer: Arc<Gatherer>,
    topic: String,
    kind: Kind,
    batch: Tells,
    deadline: Instant,
    leaves_at: Instant,
}

/// Tells all who wait, also when the client's thread ends under the task.
struct Tells(Arc<Batch>);

impl Drop for Tells {
    fn drop(&mut self) {
        // Set already when all went well.
        let _ = self.0.outcome.set(Err(ClientError::ShutDown));
        let waiting = std::mem::take(&mut *self.0.waiting());
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Gatherer {
    pub(in crate::client) fn new(courier: Arc<Courier>, gather: Gather) -> Arc<Self> {
        Arc::new(Self { courier, gather, lanes: Mutex::default(), held: AtomicUsize::new(0) })
    }

    /// Whether the message may travel with others and there is room for it.
    pub(in crate::client) fn takes(&self, message: &Message) -> bool {
        let bytes = message.body().len();
        let lone = bytes >= self.gather.bytes || bytes >= self.courier.options.compress_from_bytes;
        !lone && message.fits_batch() && self.held.load(Ordering::Relaxed) + bytes <= self.gather.held_bytes
    }

    /// Sends a message that it takes.
    pub(in crate::client) async fn send(
        self: &Arc<Self>,
        message: &Message,
        target: Target<'_>,
    ) -> Result<SendReceipt, ClientError> {
        let queue = match target {
            Target::Any => None,
            Target::Queue(queue) => Some(queue.clone()),
            _ => Some(Box::pin(self.queue(message.topic(), target)).await?),
        };
        let seat = self.seat(message, queue)?;
        seat.await
    }

    fn seat(self: &Arc<Self>, message: &Message, queue: Option<MessageQueue>) -> Result<Seat, ClientError> {
        message.check()?;
        let id = self.courier.core.unique_keys.next(now_ms());
        let kind = Kind { queue, wait: message.waits_for_store() };
        let (batch, index, lead) = self.add(message, &id, kind)?;
        Ok(Seat { batch, index, id, waits_at: None, lead })
    }

    async fn queue(&self, topic: &str, target: Target<'_>) -> Result<MessageQueue, ClientError> {
        let deadline = self.courier.deadline();
        let route = tokio::time::timeout_at(deadline, self.courier.core.route(topic, Purpose::Publish)).await;
        let route = route.unwrap_or_else(|_| Err(self.courier.late(None)))?;
        Ok(MessageQueue::clone(&*self.courier.choose(&route, topic, &target, None)?))
    }

    /// Adds the message to its lane's batch; the batch, the message's place in it, and whether it leads.
    fn add(
        self: &Arc<Self>,
        message: &Message,
        id: &str,
        kind: Kind,
    ) -> Result<(Arc<Batch>, usize, Lead), ClientError> {
        let mut lanes = self.lanes();
        let Lanes { by_topic, text: properties } = &mut *lanes;
        properties.clear();
        message.properties_into(properties, id)?;
        let bytes = parcel::entry_bytes(message, properties);
        self.held.fetch_add(bytes, Ordering::Relaxed);
        let lane = lane_of(by_topic, message.topic(), &kind);
        if lane.filling.as_ref().is_some_and(|filling| filling.content.body.len() + bytes > BODY_BYTES_MAX) {
            lane.close();
        }
        let leads = self.gather.when_idle && lane.under_way == 0 && lane.filling.is_none();
        let filling = lane.filling.get_or_insert_with(|| self.begin(message.topic(), &kind));
        let index = filling.content.count;
        let entry = BatchEntry { flag: message.user_flag(), body: message.body(), properties };
        batch::push(&mut filling.content.body, &entry);
        filling.content.count += 1;
        let batch = Arc::clone(&filling.batch);
        if filling.content.body.len() >= self.gather.bytes {
            lane.close();
        }
        Ok((batch, index, if leads { Lead::Yields } else { Lead::No }))
    }

    fn begin(self: &Arc<Self>, topic: &str, kind: &Kind) -> Filling {
        let (full, filled) = oneshot::channel();
        let batch = Arc::<Batch>::default();
        let departure = Departure {
            gatherer: Arc::clone(self),
            topic: topic.to_owned(),
            kind: kind.clone(),
            batch: Tells(Arc::clone(&batch)),
            deadline: self.courier.deadline(),
            leaves_at: Instant::now() + self.gather.linger,
        };
        self.courier.core.spawn(departure.run(filled));
        // A batch that fills up is not copied while it grows; memory that stays untouched costs nothing.
        let body = Vec::with_capacity(self.gather.bytes.min(BODY_BYTES_MAX));
        Filling { content: Content { body, count: 0 }, batch, full }
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        // No panic can happen while the lock is held.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lane_of<'a>(by_topic: &'a mut FxHashMap<String, Vec<Lane>>, topic: &str, kind: &Kind) -> &'a mut Lane {
    if !by_topic.contains_key(topic) {
        by_topic.insert(topic.to_owned(), Vec::new());
    }
    let Some(lanes) = by_topic.get_mut(topic) else {
        unreachable!("the topic was added a line above");
    };
    let at = lanes.iter().position(|lane| lane.kind == *kind).unwrap_or(lanes.len());
    if at == lanes.len() {
        lanes.push(Lane { kind: kind.clone(), filling: None, under_way: 0 });
    }
    &mut lanes[at]
}

impl Lane {
    /// The batch takes no more and leaves.
    fn close(&mut self) {
        if let Some(filling) = self.filling.take() {
            self.under_way += 1;
            // Its task may be gone with the client's thread; then all who wait were told.
            let _ = filling.full.send(filling.content);
        }
    }
}

impl Stored {
    /// The receipt of the message at `index`.
    fn of(&self, index: usize, id: IdText) -> SendReceipt {
        let all = self.receipt.offset_message_id.as_str();
        let width = (all.len() + 1) / self.count.max(1);
        // Ids of one broker are of one length; a batch that was kept as one record has one id.
        let same = all.get(index * width..(index * width + width).saturating_sub(1)).filter(|id| !id.contains(','));
        let own = same.filter(|_| self.count > 1 && all.len() + 1 == width * self.count);
        let own = own.or_else(|| all.split(',').nth(index)).unwrap_or(all);
        let batch = &self.receipt;
        SendReceipt {
            status: batch.status,
            message_id: id.into(),
            offset_message_id: own.into(),
            queue: batch.queue.clone(),
            queue_offset: batch.queue_offset + i64::try_from(index).unwrap_or(i64::MAX),
            transaction_id: batch.transaction_id.clone(),
            region: batch.region.clone(),
            traced: batch.traced,
        }
    }
}

impl Departure {
    async fn run(self, mut filled: oneshot::Receiver<Content>) {
        let closed = tokio::select! {
            content = &mut filled => content.ok(),
            () = self.batch.0.idle.notified() => None,
            () = sleep_until(self.leaves_at) => None,
        };
        let content = match closed.or_else(|| self.close()) {
            Some(content) => content,
            // It was filled just now.
            None => match filled.await {
                Ok(content) => content,
                Err(_) => return,
            },
        };
        let bytes = content.body.len();
        let Content { body, count } = content;
        // Each has its own key in its receipt.
        let parcel = batch_of(&self.topic, self.kind.wait, body, (&[], now_ms()));
        let target = self.kind.queue.as_ref().map_or(Target::Any, Target::Queue);
        let sent = self.gatherer.courier.deliver(&parcel, target, self.deadline).await;
        self.gatherer.held.fetch_sub(bytes, Ordering::Relaxed);
        self.landed();
        // Nobody else sets it while this task runs.
        let _ = self.batch.0.outcome.set(sent.map(|receipt| Stored { receipt, count }));
    }

    /// The content, if the batch is still the one that is being filled.
    fn close(&self) -> Option<Content> {
        let mut lanes = self.gatherer.lanes();
        let lane = lanes.by_topic.get_mut(&self.topic)?.iter_mut().find(|lane| lane.kind == self.kind)?;
        let filling = lane.filling.take_if(|filling| Arc::ptr_eq(&filling.batch, &self.batch.0))?;
        lane.under_way += 1;
        Some(filling.content)
    }

    /// One less is under way: the next may leave, or the lane is no more.
    fn landed(&self) {
        let mut lanes = self.gatherer.lanes();
        let Some(same_topic) = lanes.by_topic.get_mut(&self.topic) else {
            return;
        };
        let Some(at) = same_topic.iter().position(|lane| lane.kind == self.kind) else {
            return;
        };
        let Some(lane) = same_topic.get_mut(at) else {
            return;
        };
        lane.under_way -= 1;
        if lane.under_way > 0 {
            return;
        }
        match &lane.filling {
            Some(filling) if self.gatherer.gather.when_idle => filling.batch.idle.notify_one(),
            Some(_) => {}
            None => drop(same_topic.swap_remove(at)),
        }
        if same_topic.is_empty() {
            lanes.by_topic.remove(&self.topic);
        }
    }
}
