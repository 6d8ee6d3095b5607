//! The queues that a pull consumer reads: what was pulled of each and not given yet, and the questions under way.
//!
//! Plain state of the consumer's handle. Questions are asked on the client's thread, also while nobody polls; a queue
//! never holds more than one answer, so that what waits is bounded by the batch.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::pull::{Pull, Pulled};
use super::pull_options::PullOptions;
use super::queue_reader::Progress;
use super::received::ReceivedMessage;
use super::sharer::Place;
use super::subscription::Subscription;
use crate::client::error::ClientError;
use crate::client::hub::Hub;
use crate::client::route::MASTER;
use crate::rules::assignment::MessageQueue;

/// Wait after a question that failed.
const AFTER_ERROR: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(in crate::client) struct Pulling {
    core: Arc<Hub>,
    options: Arc<PullOptions>,
    queues: BTreeMap<MessageQueue, Reading>,
    answers: FuturesUnordered<oneshot::Receiver<Answer>>,
    /// Raised by each change of a position, so that an answer to an older question is told apart.
    epoch: u64,
    /// Whose message was given last, of [`Self::take_one`].
    last: Option<MessageQueue>,
}

#[derive(Debug)]
pub(in crate::client) struct Reading {
    subscription: Arc<Subscription>,
    queue: Arc<MessageQueue>,
    /// Tells whoever commits.
    pub(in crate::client) progress: Arc<Progress>,
    /// Of the next message that is given; `None` while it is not known.
    pub(in crate::client) position: Option<i64>,
    epoch: u64,
    broker_id: i64,
    ready: VecDeque<ReceivedMessage>,
    /// Where the next question begins.
    next: i64,
    asking: bool,
    paused: bool,
}

struct Answer {
    queue: MessageQueue,
    epoch: u64,
    found: Result<Found, ClientError>,
}

enum Found {
    Beginning(i64),
    Messages(Pulled),
}

impl Pulling {
    pub(in crate::client) fn new(core: Arc<Hub>, options: Arc<PullOptions>) -> Self {
        let (queues, answers) = (BTreeMap::new(), FuturesUnordered::new());
        Self { core, options, queues, answers, epoch: 0, last: None }
    }

    pub(in crate::client) fn queues(&self) -> impl Iterator<Item = (&MessageQueue, &Reading)> {
        self.queues.iter()
    }

    pub(in crate::client) fn get(&self, queue: &MessageQueue) -> Option<&Reading> {
        self.queues.get(queue)
    }

    pub(in crate::client) fn retain(&mut self, keep: impl Fn(&MessageQueue, &Reading) -> bool) {
        self.queues.retain(|queue, reading| keep(queue, reading));
    }

    /// Reads the queue from `position` on.
    pub(in crate::client) fn begin_at(&mut self, queue: &MessageQueue, subscription: Arc<Subscription>, position: i64) {
        let progress = Arc::new(Progress::unknown());
        progress.set(position);
        self.insert(queue, subscription, progress, Some(position));
        self.pull(queue, Duration::ZERO);
    }

    /// Reads the queue from where its group is.
    pub(in crate::client) fn begin(&mut self, queue: &MessageQueue, place: &Place) {
        self.insert(queue, Arc::clone(&place.subscription), Arc::clone(&place.progress), None);
        let (core, options, beginning) = (Arc::clone(&self.core), Arc::clone(&self.options), place.beginning);
        let asked = queue.clone();
        self.ask(queue, beginning.grace, async move {
            beginning.offset(&core, &options.group, &asked).await.map(Found::Beginning)
        });
    }

    fn insert(
        &mut self,
        queue: &MessageQueue,
        subscription: Arc<Subscription>,
        progress: Arc<Progress>,
        position: Option<i64>,
    ) {
        self.epoch += 1;
        let reading = Reading {
            subscription,
            queue: Arc::new(queue.clone()),
            progress,
            position,
            epoch: self.epoch,
            broker_id: MASTER,
            ready: VecDeque::new(),
            next: position.unwrap_or_default(),
            asking: false,
            paused: false,
        };
        self.queues.insert(queue.clone(), reading);
    }

    /// What was given so far counts as consumed.
    pub(in crate::client) fn consumed(&self) {
        for reading in self.queues.values() {
            if let Some(position) = reading.position {
                reading.progress.set(position);
            }
        }
    }

    /// All that is there, and asks for more.
    pub(in crate::client) fn take_all(&mut self) -> Vec<ReceivedMessage> {
        let mut messages = Vec::new();
        let mut asked = Vec::new();
        for (queue, reading) in self.queues.iter_mut().filter(|(_, reading)| reading.gives()) {
            messages.extend(reading.ready.drain(..));
            reading.position = Some(reading.next);
            asked.push(queue.clone());
        }
        asked.iter().for_each(|queue| self.pull(queue, Duration::ZERO));
        messages
    }

    /// One message, of each queue in turn.
    pub(in crate::client) fn take_one(&mut self) -> Option<ReceivedMessage> {
        let gives = |(queue, reading): (&MessageQueue, &Reading)| reading.gives().then(|| queue.clone());
        let after = self.last.as_ref().and_then(|last| self.queues.range((Excluded(last), Unbounded)).find_map(gives));
        let queue = after.or_else(|| self.queues.iter().find_map(gives))?;
        let reading = self.queues.get_mut(&queue)?;
        let message = reading.ready.pop_front()?;
        reading.position = Some(reading.ready.front().map_or(reading.next, |next| next.queue_offset));
        let is_empty = reading.ready.is_empty();
        self.last = Some(queue.clone());
        if is_empty {
            self.pull(&queue, Duration::ZERO);
        }
        Some(message)
    }

    /// Waits for an answer and takes it; for ever when no question is under way.
    pub(in crate::client) async fn settle(&mut self) -> Result<(), ClientError> {
        let Some(answer) = self.answers.next().await else {
            return std::future::pending().await;
        };
        let Ok(Answer { queue, epoch, found }) = answer else {
            return Err(ClientError::ShutDown);
        };
        let Some(reading) = self.queues.get_mut(&queue).filter(|reading| reading.epoch == epoch) else {
            return Ok(());
        };
        reading.asking = false;
        match found {
            Ok(Found::Beginning(position)) => {
                (reading.position, reading.next) = (Some(position), position);
                reading.progress.set(position);
                self.pull(&queue, Duration::ZERO);
            }
            Ok(Found::Messages(pulled)) => {
                reading.next = pulled.next;
                reading.broker_id = pulled.broker_id;
                reading.ready.extend(pulled.messages);
                if reading.ready.is_empty() {
                    reading.position = Some(pulled.next);
                    self.pull(&queue, Duration::ZERO);
                }
            }
            Err(error) => {
                reading.broker_id = MASTER;
                self.failed(&queue);
                return Err(error);
            }
        }
        Ok(())
    }

    fn failed(&mut self, queue: &MessageQueue) {
        let Some(reading) = self.queues.get(queue) else {
            return;
        };
        if reading.position.is_some() {
            return self.pull(queue, AFTER_ERROR);
        }
        let (core, options, asked) = (Arc::clone(&self.core), Arc::clone(&self.options), queue.clone());
        let beginning = self.options.beginning();
        self.ask(queue, AFTER_ERROR, async move {
            beginning.offset(&core, &options.group, &asked).await.map(Found::Beginning)
        });
    }

    /// Goes on at `offset`.
    pub(in crate::client) fn seek(&mut self, queue: &MessageQueue, offset: i64) -> Result<(), ClientError> {
        self.epoch += 1;
        let epoch = self.epoch;
        let reading = self.assigned(queue)?;
        reading.ready.clear();
        (reading.position, reading.next, reading.epoch, reading.asking) = (Some(offset), offset, epoch, false);
        reading.broker_id = MASTER;
        self.pull(queue, Duration::ZERO);
        Ok(())
    }

    pub(in crate::client) fn pause(&mut self, queue: &MessageQueue, paused: bool) -> Result<(), ClientError> {
        let reading = self.assigned(queue)?;
        reading.paused = paused;
        if !paused && reading.position.is_some() && reading.ready.is_empty() {
            self.pull(queue, Duration::ZERO);
        }
        Ok(())
    }

    fn assigned(&mut self, queue: &MessageQueue) -> Result<&mut Reading, ClientError> {
        self.queues.get_mut(queue).ok_or_else(|| ClientError::NotAssigned { queue: queue.to_string() })
    }

    fn pull(&mut self, queue: &MessageQueue, wait: Duration) {
        let Some(reading) = self.queues.get(queue).filter(|reading| !reading.asking && !reading.paused) else {
            return;
        };
        let pull = Pull {
            group: self.options.group.as_str().into(),
            subscription: Arc::clone(&reading.subscription),
            queue: Arc::clone(&reading.queue),
            offset: reading.next,
            commit: 0,
            count: i32::from(self.options.batch),
            hold: self.options.hold,
            broker_id: reading.broker_id,
        };
        let core = Arc::clone(&self.core);
        self.ask(queue, wait, async move { pull.ask(&core).await.map(Found::Messages) });
    }

    fn ask(
        &mut self,
        queue: &MessageQueue,
        wait: Duration,
        question: impl Future<Output = Result<Found, ClientError>> + Send + 'static,
    ) {
        let Some(reading) = self.queues.get_mut(queue) else {
            return;
        };
        reading.asking = true;
        let (queue, epoch) = (queue.clone(), reading.epoch);
        let (mut asker, answer) = oneshot::channel();
        self.answers.push(answer);
        self.core.spawn(async move {
            let asking = async {
                if !wait.is_zero() {
                    sleep(wait).await;
                }
                question.await
            };
            tokio::select! {
                // The consumer may be gone a moment later.
                found = asking => drop(asker.send(Answer { queue, epoch, found })),
                () = asker.closed() => {}
            }
        });
    }
}

impl Reading {
    fn gives(&self) -> bool {
        !self.paused && !self.ready.is_empty()
    }
}
