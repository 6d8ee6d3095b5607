//! A batch on its way: sent off by whoever completes it, landed by whoever reads the answer. Only what goes wrong, and what is
//! not known or not connected yet, takes a task.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;
use tracing::Span;

use super::batch::{Stored, Tells};
use super::{Filling, Gatherer, Kind};
use crate::client::error::ClientError;
use crate::client::message::SendReceipt;
use crate::client::produce::delivery::{Past, Way};
use crate::client::produce::parcel::{Parcel, batch_of, now_ms};
use crate::client::produce::producer_options::Target;
use crate::rules::assignment::MessageQueue;

/// What was being filled, of its lane.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) topic: Arc<str>,
    pub(super) kind: Kind,
    pub(super) filling: Filling,
}

/// A batch that is under way.
struct Trip {
    gatherer: Arc<Gatherer>,
    topic: Arc<str>,
    kind: Kind,
    parcel: Parcel,
    count: usize,
    deadline: Instant,
    tells: Tells,
    span: Span,
}

/// What came of a first try that does not go on by itself: nothing yet, or what went wrong.
type Begun = (Past, Option<ClientError>);

impl Gatherer {
    pub(super) fn depart(self: &Arc<Self>, leaving: Leaving) {
        let Leaving { topic, kind, filling: Filling { body, count, batch, deadline, .. } } = leaving;
        // Each has its own key in its receipt.
        let parcel = batch_of(&topic, kind.wait, body, (&[], now_ms()));
        let (gatherer, tells) = (Arc::clone(self), Tells(batch));
        let span = tracing::debug_span!("send", %topic, batch = true, count);
        let trip = Arc::new(Trip { gatherer, topic, kind, parcel, count, deadline, tells, span });
        if let Some(begun) = trip.begin() {
            trip.go_on(begun);
        }
    }
}

impl Trip {
    fn target(&self) -> Target<'_> {
        self.kind.queue.as_ref().map_or(Target::Any, Target::Queue)
    }

    /// Hands the batch to the network where its queue is known and its broker connected; `None` when it is on its way.
    fn begin(self: &Arc<Self>) -> Option<Begun> {
        let _entered = self.span.enter();
        let (courier, parcel, target) = (&self.gatherer.courier, &self.parcel, self.target());
        let failed = |queue: Option<&Arc<MessageQueue>>, error| {
            let broker = queue.map(|queue| Arc::clone(&queue.broker));
            (Past { broker, ..Past::default() }, Some(error))
        };
        let (queue, channel) = match courier.known_way(&parcel.topic, &target, self.deadline) {
            Ok(way) => way,
            Err(error) => return Some(failed(None, error)),
        };
        let (Some(queue), Some(channel)) = (&queue, &channel) else {
            let broker = queue.as_ref().map(|queue| Arc::clone(&queue.broker));
            return Some((Past { broker, chosen: queue, trouble: None }, None));
        };
        let patience = courier.patience(self.deadline, courier.further_tries(&target));
        let (trip, begun) = (Arc::clone(self), courier.begun());
        let way = Way { queue: Arc::clone(queue), channel: channel.clone() };
        let told = move |reply| {
            let received = trip.gatherer.courier.received(&way, (reply, &trip.parcel.message_id), begun);
            match received {
                Ok(receipt) => trip.landed(Ok(receipt)),
                Err(error) => {
                    let broker = Some(Arc::clone(&way.queue.broker));
                    trip.go_on((Past { broker, ..Past::default() }, Some(error)));
                }
            }
        };
        let label = parcel.label();
        match channel.begin_and_tell(label.code(), &courier.header(&label, queue), &parcel.body, patience, told) {
            Ok(true) => None,
            Ok(false) => {
                let (broker, chosen) = (Some(Arc::clone(&queue.broker)), Some(Arc::clone(queue)));
                Some((Past { broker, chosen, trouble: None }, None))
            }
            Err(error) => Some(failed(Some(queue), error.into())),
        }
    }

    /// Further tries, and all that takes more than one step.
    fn go_on(self: &Arc<Self>, begun: Begun) {
        let trip = Arc::clone(self);
        self.gatherer.courier.core.spawn(async move {
            let (courier, target) = (&trip.gatherer.courier, trip.target());
            let left = courier.further_tries(&target);
            let sent = courier.try_on(&trip.parcel, target, (trip.deadline, left), begun).await;
            trip.landed(sent);
        });
    }

    /// One less is under way: the next may leave, or the lane is no more.
    fn landed(&self, sent: Result<SendReceipt, ClientError>) {
        let gatherer = &self.gatherer;
        gatherer.held.fetch_sub(self.parcel.body.len(), Ordering::Relaxed);
        // First, so that the broker has something to do while our senders hear.
        if let Some(next) = self.next() {
            gatherer.depart(next);
        }
        self.tells.tell(sent.map(|receipt| Stored { receipt, count: self.count }));
    }

    /// What may leave now that this has landed.
    fn next(&self) -> Option<Leaving> {
        let mut lanes = self.gatherer.lanes();
        let same_topic = lanes.by_topic.get_mut(&self.topic)?;
        let at = same_topic.iter().position(|lane| lane.kind == self.kind)?;
        let lane = same_topic.get_mut(at)?;
        lane.under_way -= 1;
        if lane.under_way > 0 {
            return None;
        }
        match lane.filling.take_if(|_| self.gatherer.gather.when_idle) {
            Some(filling) => return Some(lane.leaving(filling)),
            None if lane.filling.is_some() => return None,
            None => drop(same_topic.swap_remove(at)),
        }
        if same_topic.is_empty() {
            lanes.by_topic.remove(&self.topic);
        }
        None
    }
}
