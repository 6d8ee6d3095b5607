//! A batch as its senders see it: one outcome, of which each takes its own.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use super::Gatherer;
use crate::client::error::ClientError;
use crate::client::message::SendReceipt;
use crate::protocol::uniq_key::IdText;
use crate::remoting::lead::Lead;

/// What those wait for whose messages are in it.
#[derive(Debug, Default)]
pub(super) struct Batch {
    outcome: OnceLock<Result<Stored, ClientError>>,
    /// Whom to wake once there is an outcome.
    waiting: Mutex<Vec<Waker>>,
}

/// What the broker said of all messages together, and how many they are.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) receipt: SendReceipt,
    pub(super) count: usize,
}

/// Tells all who wait; that the client was shut down, where nobody told them anything else.
#[derive(Debug)]
pub(super) struct Tells(pub(super) Arc<Batch>);

impl Tells {
    pub(super) fn tell(&self, outcome: Result<Stored, ClientError>) {
        // The first outcome stays.
        let _ = self.0.outcome.set(outcome);
        let waiting = std::mem::take(&mut *self.0.waiting());
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Tells {
    fn drop(&mut self) {
        if self.0.outcome.get().is_none() {
            self.tell(Err(ClientError::ShutDown));
        }
    }
}

impl Batch {
    fn waiting(&self) -> MutexGuard<'_, Vec<Waker>> {
        // No panic can happen while the lock is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A message's place in a batch; ready when the batch has its outcome.
pub(super) struct Seat<'a> {
    pub(super) gatherer: &'a Arc<Gatherer>,
    pub(super) topic: &'a str,
    pub(super) batch: Arc<Batch>,
    pub(super) index: usize,
    pub(super) id: IdText,
    /// The place among those to be woken, once it has one.
    pub(super) waits_at: Option<usize>,
    /// Whether it sends the batch off: the first of a batch before which nothing is under way does. If nobody polls it any
    /// more, the batch leaves when it has lingered.
    pub(super) lead: Lead,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        if self.lead.is_left() {
            self.gatherer.leave(self.topic, &self.batch);
        }
    }
}

impl Future for Seat<'_> {
    type Output = Result<SendReceipt, ClientError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.lead.is_due(cx) {
            self.gatherer.leave(self.topic, &self.batch);
        }
        let Seat { batch, index, id, waits_at, .. } = &mut *self;
        if batch.outcome.get().is_none() {
            let mut waiting = batch.waiting();
            // The outcome is set before the list is taken: who is too late for the list sees the outcome.
            if batch.outcome.get().is_none() {
                match waits_at.and_then(|at| waiting.get_mut(at)) {
                    Some(waker) => waker.clone_from(cx.waker()),
                    None => {
                        *waits_at = Some(waiting.len());
                        waiting.push(cx.waker().clone());
                    }
                }
                return Poll::Pending;
            }
        }
        Poll::Ready(match batch.outcome.get() {
            Some(Ok(stored)) => Ok(stored.of(*index, *id)),
            Some(Err(error)) => Err(error.clone()),
            None => Err(ClientError::ShutDown),
        })
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
