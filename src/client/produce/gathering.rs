//! Sends that travel together: each adds its message to a batch and waits for the batch's answer.
//!
//! Owns the lanes: for each topic, chosen queue and wish to wait for the disk, the batch that is being filled and how many are
//! under way. The lock is held while bytes are copied, never across an await. Whoever fills a batch, or finds that nothing of
//! its lane is under way, sends it off; so does the answer of the last that was under way. A send costs no task, no timer
//! and no slot of its own, and a batch none either, as long as all goes well: one task of the client's thread looks after
//! those that linger.

mod batch;
mod departure;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rustc_hash::FxHashMap;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use self::batch::{Batch, Seat, Tells};
use self::departure::Leaving;
use super::delivery::Courier;
use super::parcel::{self, now_ms};
use super::producer_options::{Gather, Target};
use crate::client::error::ClientError;
use crate::client::message::{BODY_BYTES_MAX, Message, SendReceipt};
use crate::client::routes::Purpose;
use crate::protocol::batch::{self as entries, BatchEntry};
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
    /// There is a batch that may linger: for the task, which does not look otherwise.
    begun: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Lanes {
    by_topic: FxHashMap<Arc<str>, Vec<Lane>>,
    /// For the properties of the message that is being added.
    text: String,
    watch: Watch,
}

/// What the task does that looks after batches that linger.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Watch {
    /// It waits until it is told of one.
    #[default]
    Sleeps,
    Looks,
    /// The client's thread has ended, and nothing can be sent any more.
    Gone,
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
    topic: Arc<str>,
    kind: Kind,
    filling: Option<Filling>,
    under_way: usize,
}

/// A batch that still takes messages.
#[derive(Debug)]
struct Filling {
    body: Vec<u8>,
    count: usize,
    batch: Arc<Batch>,
    /// Of the whole send.
    deadline: Instant,
    /// It lingers no longer.
    leaves_at: Instant,
}

impl Gatherer {
    pub(in crate::client) fn new(courier: Arc<Courier>, gather: Gather) -> Arc<Self> {
        let (lanes, held, begun) = (Mutex::default(), AtomicUsize::new(0), Arc::<Notify>::default());
        let gatherer = Arc::new(Self { courier, gather, lanes, held, begun: Arc::clone(&begun) });
        gatherer.courier.core.spawn(Watching(Arc::downgrade(&gatherer)).run(begun));
        gatherer
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

    fn seat<'a>(
        self: &'a Arc<Self>,
        message: &'a Message,
        queue: Option<MessageQueue>,
    ) -> Result<Seat<'a>, ClientError> {
        message.check()?;
        let id = self.courier.core.unique_keys.next(now_ms());
        let kind = Kind { queue, wait: message.waits_for_store() };
        let (batch, index, lead) = self.add(message, &id, &kind)?;
        Ok(Seat { gatherer: self, topic: message.topic(), batch, index, id, waits_at: None, lead })
    }

    async fn queue(&self, topic: &str, target: Target<'_>) -> Result<MessageQueue, ClientError> {
        let deadline = self.courier.deadline();
        let route = tokio::time::timeout_at(deadline, self.courier.core.route(topic, Purpose::Publish)).await;
        let route = route.unwrap_or_else(|_| Err(self.courier.late(None)))?;
        Ok(MessageQueue::clone(&*self.courier.choose(&route, topic, &target, None)?))
    }

    /// Adds the message to its lane's batch, and sends off what is full; the batch, the message's place in it, and whether
    /// it leads.
    fn add(
        self: &Arc<Self>,
        message: &Message,
        id: &str,
        kind: &Kind,
    ) -> Result<(Arc<Batch>, usize, Lead), ClientError> {
        let mut lanes = self.lanes();
        let Lanes { by_topic, text: properties, watch } = &mut *lanes;
        if *watch == Watch::Gone {
            return Err(ClientError::ShutDown);
        }
        properties.clear();
        message.properties_into(properties, id)?;
        let bytes = parcel::entry_bytes(message, properties);
        self.held.fetch_add(bytes, Ordering::Relaxed);
        let lane = lane_of(by_topic, message.topic(), kind);
        let too_full = |filling: &mut Filling| filling.body.len() + bytes > BODY_BYTES_MAX;
        let before = lane.filling.take_if(too_full).map(|filling| lane.leaving(filling));
        let leads = self.gather.when_idle && lane.under_way == 0 && lane.filling.is_none();
        let unwatched = lane.filling.is_none() && std::mem::replace(watch, Watch::Looks) == Watch::Sleeps;
        let filling = lane.filling.get_or_insert_with(|| self.begin());
        let (batch, index) = (Arc::clone(&filling.batch), filling.count);
        let entry = BatchEntry { flag: message.user_flag(), body: message.body(), properties };
        entries::push(&mut filling.body, &entry);
        filling.count += 1;
        let is_full = |filling: &mut Filling| filling.body.len() >= self.gather.bytes;
        let full = lane.filling.take_if(is_full).map(|filling| lane.leaving(filling));
        drop(lanes);
        if unwatched {
            self.begun.notify_one();
        }
        let lead = if leads && full.is_none() { Lead::Yields } else { Lead::No };
        before.into_iter().chain(full).for_each(|leaving| self.depart(leaving));
        Ok((batch, index, lead))
    }

    fn begin(&self) -> Filling {
        // A batch that fills up is not copied while it grows, nor by its last message; memory that stays untouched costs
        // nothing.
        let body = Vec::with_capacity((self.gather.bytes + self.gather.bytes / 8).min(BODY_BYTES_MAX));
        let (deadline, leaves_at) = (self.courier.deadline(), Instant::now() + self.gather.linger);
        Filling { body, count: 0, batch: Arc::default(), deadline, leaves_at }
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        // No panic can happen while the lock is held.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the batch off, if it is still being filled.
    fn leave(self: &Arc<Self>, topic: &str, batch: &Arc<Batch>) {
        let leaving = self.lanes().take(topic, |filling| Arc::ptr_eq(&filling.batch, batch));
        leaving.into_iter().for_each(|leaving| self.depart(leaving));
    }

    /// Sends off what has lingered long enough; when the next has. Without one, the watch ends.
    fn leave_lingering(self: &Arc<Self>) -> Option<Instant> {
        let now = Instant::now();
        let mut lanes = self.lanes();
        let topics: Vec<_> = lanes.by_topic.keys().cloned().collect();
        let mut leaving = Vec::new();
        for topic in topics {
            while let Some(overdue) = lanes.take(&topic, |filling| filling.leaves_at <= now) {
                leaving.push(overdue);
            }
        }
        let filling = lanes.by_topic.values().flatten().filter_map(|lane| lane.filling.as_ref());
        let next = filling.map(|filling| filling.leaves_at).min();
        lanes.watch = if next.is_some() { Watch::Looks } else { Watch::Sleeps };
        drop(lanes);
        leaving.into_iter().for_each(|leaving| self.depart(leaving));
        next
    }
}

impl Drop for Gatherer {
    fn drop(&mut self) {
        self.begun.notify_one();
    }
}

/// Looks after batches that linger, as long as there is a gatherer.
struct Watching(Weak<Gatherer>);

impl Watching {
    async fn run(self, begun: Arc<Notify>) {
        loop {
            begun.notified().await;
            loop {
                let Some(gatherer) = self.0.upgrade() else {
                    return;
                };
                let next = gatherer.leave_lingering();
                drop(gatherer);
                match next {
                    Some(next) => sleep_until(next).await,
                    None => break,
                }
            }
        }
    }
}

/// Nobody would send off what is being filled.
impl Drop for Watching {
    fn drop(&mut self) {
        let Some(gatherer) = self.0.upgrade() else {
            return;
        };
        let mut lanes = gatherer.lanes();
        lanes.watch = Watch::Gone;
        let left = std::mem::take(&mut lanes.by_topic);
        drop(lanes);
        let batches = left.into_values().flatten().filter_map(|lane| lane.filling).map(|filling| filling.batch);
        batches.for_each(|batch| drop(Tells(batch)));
    }
}

impl Lanes {
    /// The first batch of `topic` that is being filled and that fits.
    fn take(&mut self, topic: &str, fits: impl Fn(&Filling) -> bool) -> Option<Leaving> {
        let lanes = self.by_topic.get_mut(topic)?;
        let lane = lanes.iter_mut().find(|lane| lane.filling.as_ref().is_some_and(&fits))?;
        let filling = lane.filling.take()?;
        Some(lane.leaving(filling))
    }
}

fn lane_of<'a>(by_topic: &'a mut FxHashMap<Arc<str>, Vec<Lane>>, topic: &str, kind: &Kind) -> &'a mut Lane {
    if !by_topic.contains_key(topic) {
        by_topic.insert(topic.into(), Vec::new());
    }
    let lanes = by_topic.get_mut(topic).expect("it was put there where it was missing");
    let at = lanes.iter().position(|lane| lane.kind == *kind).unwrap_or(lanes.len());
    if at == lanes.len() {
        lanes.push(Lane { topic: topic.into(), kind: kind.clone(), filling: None, under_way: 0 });
    }
    &mut lanes[at]
}

impl Lane {
    /// What was being filled takes no more, and is under way.
    fn leaving(&mut self, filling: Filling) -> Leaving {
        self.under_way += 1;
        Leaving { topic: Arc::clone(&self.topic), kind: self.kind.clone(), filling }
    }
}
