//! Where pulled messages wait for the listener, and the workers that carry them there.
//!
//! Workers run on the runtime that started the consumer, so a listener that blocks holds up that runtime and never the
//! client's own thread. What a listener panics over or gives back counts as not consumed.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::prelude::*;
use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::received::ReceivedMessage;

/// What became of messages that a listener got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, MessageResponse)]
pub enum Outcome {
    /// Done; the group does not see them again.
    Consumed,
    /// Not now; they come again after some seconds.
    Later,
}

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

/// To a queue's reader: look into its [`Returns`].
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::client) struct Returned;

/// Where workers put what was done with one queue's messages. One notice tells of many.
pub(in crate::client) struct Returns {
    /// The queue went to another member: nobody needs to consume what still waits.
    closed: AtomicBool,
    finished: Mutex<Vec<(Vec<ReceivedMessage>, Outcome)>>,
    reader: Recipient<Returned>,
}

impl Returns {
    pub(in crate::client) fn new(reader: Recipient<Returned>) -> Self {
        Self { closed: AtomicBool::new(false), finished: Mutex::default(), reader }
    }

    pub(in crate::client) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(in crate::client) fn take(&self) -> Vec<(Vec<ReceivedMessage>, Outcome)> {
        std::mem::take(&mut *lock(&self.finished))
    }

    fn put(&self, batch: Vec<ReceivedMessage>, outcome: Outcome) {
        let mut finished = lock(&self.finished);
        finished.push((batch, outcome));
        let first = finished.len() == 1;
        drop(finished);
        if first {
            self.reader.do_send(Returned);
        }
    }
}

struct Work {
    batch: Vec<ReceivedMessage>,
    returns: Arc<Returns>,
}

/// The queue between readers and workers of one consumer. Its length is bounded by the flow limits of the queues read.
pub(in crate::client) struct Desk {
    waiting: Mutex<VecDeque<Work>>,
    ready: Semaphore,
    workers: Mutex<Vec<JoinHandle<()>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No panic can happen while one of these locks is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk {
    /// Starts `concurrency` workers on `runtime`.
    pub(in crate::client) fn open<L: Listener>(listener: L, concurrency: usize, runtime: &Handle) -> Arc<Self> {
        let desk = Arc::new(Self { waiting: Mutex::default(), ready: Semaphore::new(0), workers: Mutex::default() });
        let listener = Arc::new(listener);
        let start = |_| runtime.spawn(work(Arc::clone(&desk), Arc::clone(&listener)));
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

    fn next(&self) -> Option<Work> {
        lock(&self.waiting).pop_front()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        for worker in lock(&self.workers).iter() {
            worker.abort();
        }
    }
}

async fn work<L: Listener>(desk: Arc<Desk>, listener: Arc<L>) {
    while let Ok(permit) = desk.ready.acquire().await {
        permit.forget();
        let Some(Work { batch, returns }) = desk.next() else {
            continue;
        };
        if returns.closed.load(Ordering::Acquire) {
            continue;
        }
        let consuming = async { listener.consume(batch.clone()).await };
        let outcome = AssertUnwindSafe(consuming).catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!("a listener panicked; its messages come again");
            Outcome::Later
        });
        returns.put(batch, outcome);
    }
}
