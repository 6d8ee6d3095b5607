//! Where pulled messages wait for the listener, and the workers that carry them there.
//!
//! Workers run on the runtime that started the consumer, so a listener that blocks holds up that runtime and never the
//! client's own thread. What a listener panics over or gives back counts as not consumed.

pub(in crate::client) mod returns;

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use actix::prelude::*;
use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use self::returns::{Outcome, Returns};
use super::received::ReceivedMessage;

/// What becomes of messages that a listener had for too long: RocketMQ's level.
const OVERDUE: Outcome = Outcome::LaterAt(3);
/// Batches that a worker takes at once, at most.
const AT_ONCE_MAX: usize = 32;
/// How long a worker keeps to itself what it has done, while it goes on.
const TELLS_WITHIN: Duration = Duration::from_millis(5);

/// Takes messages. An async function or closure from a batch to an [`Outcome`] is one.
pub trait Listener: Send + Sync + 'static {
    /// Consumes a batch. Several run at once; the order of messages is not kept between them.
    fn consume(&self, batch: Vec<ReceivedMessage>) -> impl Future<Output = Outcome> + Send;
}

impl<F, Fut> Listener for F
where
    F: Fn(Vec<ReceivedMessage>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Outcome> + Send,
{
    fn consume(&self, batch: Vec<ReceivedMessage>) -> impl Future<Output = Outcome> + Send {
        self(batch)
    }
}

/// To an actor that listens: consume these. Sent by [`ToActor`].
#[derive(Debug, Message)]
#[rtype(result = "Outcome")]
pub struct Delivery(pub Vec<ReceivedMessage>);

/// A listener that hands messages to an actor, which may live in any actix System of the process. The consumer's
/// concurrency bounds how many deliveries wait in its mailbox; an actor that is gone gives them back.
///
/// ```no_run
/// use actix::prelude::*;
/// use actormq::client::{Client, Delivery, Outcome, PushOptions, ToActor};
///
/// struct Counter(usize);
///
/// impl Actor for Counter {
///     type Context = Context<Self>;
/// }
///
/// impl Handler<Delivery> for Counter {
///     type Result = Outcome;
///
///     fn handle(&mut self, Delivery(batch): Delivery, _: &mut Context<Self>) -> Outcome {
///         self.0 += batch.len();
///         Outcome::Consumed
///     }
/// }
///
/// # async fn example(client: &Client) -> Result<(), actormq::client::ClientError> {
/// let counter = Counter(0).start();
/// let consumer = client
///     .push_consumer(PushOptions::new("counters"))
///     .subscribe("orders", "*")
///     .start(ToActor(counter.recipient()))
///     .await?;
/// # consumer.shutdown().await
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ToActor(pub Recipient<Delivery>);

impl Listener for ToActor {
    async fn consume(&self, batch: Vec<ReceivedMessage>) -> Outcome {
        match self.0.send(Delivery(batch)).await {
            Ok(outcome) => outcome,
            Err(error) => {
                tracing::warn!(%error, "the listening actor did not take a delivery");
                Outcome::Later
            }
        }
    }
}

struct Work {
    batch: Vec<ReceivedMessage>,
    returns: Arc<Returns>,
}

/// What a worker's listener has.
struct UnderWay {
    work: Work,
    since: Instant,
}

/// The queue between readers and workers of one consumer. Its length is bounded by the flow limits of the queues read.
pub(in crate::client) struct Desk {
    waiting: Mutex<VecDeque<Work>>,
    ready: Semaphore,
    workers: Mutex<Vec<JoinHandle<()>>>,
    /// One for each worker, which alone fills it. Empty when somebody else found it overdue.
    under_way: Vec<Mutex<Option<UnderWay>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No panic can happen while one of these locks is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk {
    /// Starts `concurrency` workers on `runtime`.
    pub(in crate::client) fn open<L: Listener>(listener: L, concurrency: usize, runtime: &Handle) -> Arc<Self> {
        let desk = Arc::new(Self {
            waiting: Mutex::default(),
            ready: Semaphore::new(0),
            workers: Mutex::default(),
            under_way: (0..concurrency).map(|_| Mutex::default()).collect(),
        });
        let listener = Arc::new(listener);
        let start = |worker| runtime.spawn(work(Arc::clone(&desk), Arc::clone(&listener), worker));
        let workers = (0..concurrency).map(start).collect();
        *lock(&desk.workers) = workers;
        desk
    }

    /// Hands `messages` to the workers in batches of `batch`.
    pub(in crate::client) fn put(&self, messages: Vec<ReceivedMessage>, batch: usize, returns: &Arc<Returns>) {
        let mut messages = messages.into_iter();
        let mut count = 0;
        let mut waiting = lock(&self.waiting);
        loop {
            let batch: Vec<_> = messages.by_ref().take(batch.max(1)).collect();
            if batch.is_empty() {
                break;
            }
            waiting.push_back(Work { batch, returns: Arc::clone(returns) });
            count += 1;
        }
        drop(waiting);
        self.ready.add_permits(count);
    }

    /// Hands nothing out any more and waits for listeners that run, at most `patience`; then they are dropped.
    pub(in crate::client) async fn close(&self, patience: Duration) {
        self.ready.close();
        lock(&self.waiting).clear();
        let deadline = Instant::now() + patience;
        let workers = std::mem::take(&mut *lock(&self.workers));
        for mut worker in workers {
            if timeout_at(deadline, &mut worker).await.is_err() {
                tracing::warn!("a listener did not end in time; its messages come again");
                worker.abort();
            }
        }
    }

    /// Whether [`Self::close`] was called: what was handed out and did not come back never will.
    pub(in crate::client) fn is_closed(&self) -> bool {
        self.ready.is_closed()
    }

    /// Takes from listeners what they have for longer than `limit`. They go on, and nobody asks what came of it.
    pub(in crate::client) fn take_overdue(&self, limit: Duration) {
        for place in &self.under_way {
            let overdue = lock(place).take_if(|under_way| under_way.since.elapsed() > limit);
            if let Some(UnderWay { work: Work { batch, returns }, .. }) = overdue {
                tracing::warn!(messages = batch.len(), ?limit, "a listener takes too long; its messages come again");
                returns.put(vec![(batch, OVERDUE)]);
            }
        }
    }

    /// The next piece of work, and of what else waits as much as falls to one worker: a lock for many.
    fn take(&self) -> VecDeque<Work> {
        let mut waiting = lock(&self.waiting);
        let wanted = (waiting.len() / self.under_way.len().max(1)).clamp(1, AT_ONCE_MAX);
        let more = u32::try_from(wanted - 1).ok().and_then(|more| self.ready.try_acquire_many(more).ok());
        let count = if more.is_some() { wanted } else { 1 }.min(waiting.len());
        if let Some(more) = more {
            more.forget();
        }
        waiting.drain(..count).collect()
    }

    /// For other workers: who took it is held up.
    fn give_back(&self, work: &mut VecDeque<Work>) {
        let count = work.len();
        if count > 0 {
            let mut waiting = lock(&self.waiting);
            while let Some(last) = work.pop_back() {
                waiting.push_front(last);
            }
            drop(waiting);
            self.ready.add_permits(count);
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        for worker in lock(&self.workers).iter() {
            worker.abort();
        }
    }
}

/// What a worker has done and not told yet.
struct Done {
    returns: Option<Arc<Returns>>,
    batches: Vec<(Vec<ReceivedMessage>, Outcome)>,
    since: Instant,
}

impl Done {
    fn add(&mut self, returns: Arc<Returns>, batch: Vec<ReceivedMessage>, outcome: Outcome) {
        if self.returns.as_ref().is_some_and(|known| !Arc::ptr_eq(known, &returns)) {
            self.tell();
        }
        self.returns = Some(returns);
        self.batches.push((batch, outcome));
    }

    fn tell(&mut self) {
        if let Some(returns) = self.returns.take() {
            returns.put(std::mem::take(&mut self.batches));
        }
        self.since = Instant::now();
    }
}

async fn work<L: Listener>(desk: Arc<Desk>, listener: Arc<L>, worker: usize) {
    let Some(place) = desk.under_way.get(worker) else {
        return;
    };
    while let Ok(permit) = desk.ready.acquire().await {
        permit.forget();
        let mut taken = desk.take();
        let mut done = Done { returns: None, batches: Vec::new(), since: Instant::now() };
        while let Some(Work { batch, returns }) = taken.pop_front() {
            if returns.is_closed() {
                continue;
            }
            let held_up = || {
                desk.give_back(&mut taken);
                done.tell();
            };
            let given = batch.clone();
            let began = Instant::now();
            *lock(place) = Some(UnderWay { work: Work { batch, returns }, since: began });
            let outcome = consume(&*listener, given, held_up).await;
            if let Some(UnderWay { work: Work { batch, returns }, .. }) = lock(place).take() {
                returns.note_call(began.elapsed());
                done.add(returns, batch, outcome);
            }
            // A listener that blocks must not keep others from what we took, nor the end of the consumer waiting.
            if done.since.elapsed() > TELLS_WITHIN {
                desk.give_back(&mut taken);
                done.tell();
            }
            if desk.ready.is_closed() {
                taken.clear();
            }
        }
        done.tell();
        // Listeners that never wait must not starve the runtime's other tasks.
        tokio::task::yield_now().await;
    }
}

/// Calls `held_up` when the listener has to wait for something.
async fn consume<L: Listener>(listener: &L, batch: Vec<ReceivedMessage>, held_up: impl FnOnce()) -> Outcome {
    let first = batch.first();
    let span = tracing::debug_span!(
        "consume",
        queue = first.map(|message| tracing::field::display(&message.queue)),
        offset = first.map(|message| message.queue_offset),
        count = batch.len()
    );
    let consuming = async { listener.consume(batch).await }.instrument(span);
    let mut consuming = pin!(AssertUnwindSafe(consuming).catch_unwind());
    let consumed = match futures_util::poll!(consuming.as_mut()) {
        Poll::Ready(consumed) => consumed,
        Poll::Pending => {
            held_up();
            consuming.await
        }
    };
    consumed.unwrap_or_else(|_| {
        tracing::error!("a listener panicked; its messages come again");
        Outcome::Later
    })
}
