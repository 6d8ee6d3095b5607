//! The queues that a consumer has now.
//!
//! Owns which they are, their readers, what was committed of each, and the file of a broadcasting consumer. Hears its
//! share of each topic from rebalancing, whose surveys it takes, or from the consumer's handle, and the clock (every
//! 5 s). Tells brokers the offsets; tells a pull consumer's handle, which reads by itself, what it has.
//!
//! Invariants: one reader a queue; a queue that goes to another member is committed at once, and read no further.

pub(in crate::client) mod asked;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use futures_util::future::join_all;

use super::beginning::{Beginning, Stored};
use super::queue_locks::Give;
use super::queue_reader::{Close, Flow, Progress, QueueReader, Reading};
use super::sharer::{Listening, Order, Place, Readers, Sharer};
use super::subscription::Subscription;
use super::survey::{Company, survey};
use crate::actors::rebalance::{Assigned, Survey, View};
use crate::protocol::body::clients::SubscriptionData;
use crate::protocol::names::RETRY_PREFIX;
use crate::rules::assignment::MessageQueue;

/// A member that loses a queue hears of it when we do. So long it has to commit before we ask where to begin.
const HANDOVER_GRACE: Duration = Duration::from_millis(200);
/// How often it is looked for listeners that take too long, within the time that they have.
const LOOKS: u32 = 10;
const LOOK_INTERVAL_MIN: Duration = Duration::from_millis(10);
const LOOK_INTERVAL_MAX: Duration = Duration::from_secs(60);

/// From the consumer's handle: this is wanted of a topic from now on, or the topic no longer. Answered with all that is
/// wanted, as brokers are told.
#[derive(Message)]
#[rtype(result = "Vec<SubscriptionData>")]
pub(in crate::client) struct Want {
    pub(in crate::client) topic: Arc<str>,
    pub(in crate::client) subscription: Option<Arc<Subscription>>,
}

/// From the consumer's handle: what is wanted, as brokers are told?
#[derive(Message)]
#[rtype(result = "Vec<SubscriptionData>")]
pub(in crate::client) struct Wanted;

/// From a pull consumer's handle: it reads these queues and no others. Answered when those that it gave up are
/// committed.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::client) struct Hold(pub(in crate::client) BTreeMap<MessageQueue, Arc<Progress>>);

/// From the consumer's handle: which queues are read now?
#[derive(Message)]
#[rtype(result = "Vec<MessageQueue>")]
pub(in crate::client) struct Holdings;

/// From the consumer's handle: how far is each queue consumed? `None` until every topic that exists was shared out.
#[derive(Message)]
#[rtype(result = "Option<Vec<(MessageQueue, i64)>>")]
pub(in crate::client) struct Positions;

/// From the consumer's handle: read no more, commit, and end. Answered when that is done.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::client) struct Finish;

struct Held {
    reader: Option<Addr<QueueReader>>,
    place: Option<Place>,
    progress: Arc<Progress>,
    committed: Option<i64>,
}

pub(in crate::client) struct Shares {
    sharer: Sharer,
    subscriptions: BTreeMap<Arc<str>, Arc<Subscription>>,
    held: BTreeMap<MessageQueue, Held>,
    /// Topics of which a first share was computed.
    shared: BTreeSet<Arc<str>>,
    /// What the consumer's handle said last.
    flow: Flow,
}

impl Shares {
    pub(in crate::client) fn new(sharer: Sharer, subscriptions: BTreeMap<Arc<str>, Arc<Subscription>>) -> Self {
        let (held, shared) = (BTreeMap::new(), BTreeSet::new());
        Self { sharer, subscriptions, held, shared, flow: Flow::Resume }
    }

    fn assigned(&mut self, Assigned { topic, queues, members }: Assigned) {
        let lost: Vec<_> = self.held.keys().filter(|q| q.topic == topic && !queues.contains(q)).cloned().collect();
        for queue in lost {
            drop(actix::spawn(self.lose(queue)));
        }
        if let Some(subscription) = self.subscriptions.get(&topic).cloned() {
            self.shared.insert(Arc::clone(&topic));
            for queue in queues {
                if !self.held.contains_key(&queue) {
                    let grace = if members > 1 { HANDOVER_GRACE } else { Duration::ZERO };
                    let held = self.read(&queue, Arc::clone(&subscription), grace);
                    self.held.insert(queue, held);
                }
            }
        }
        self.publish();
    }

    fn read(&self, queue: &MessageQueue, subscription: Arc<Subscription>, grace: Duration) -> Held {
        let Sharer { core, start_from, young_topics, local, .. } = &self.sharer;
        let progress = Arc::new(Progress::unknown());
        let stored = local.as_ref().map_or(Stored::AtBroker, |local| Stored::Here(local.of(queue)));
        let beginning = Beginning { start_from: *start_from, young_topics: *young_topics, stored, grace };
        let (reader, place) = match &self.sharer.readers {
            Readers::Push(listening) => {
                let locked = matches!(listening.order, Order::Locked(_));
                // Who gives a lock back has committed.
                let beginning = if locked { Beginning { grace: Duration::ZERO, ..beginning } } else { beginning };
                let reader = QueueReader::start(Reading {
                    core: Arc::clone(core),
                    listening: listening.clone(),
                    subscription,
                    queue: Arc::new(queue.clone()),
                    progress: Arc::clone(&progress),
                    beginning,
                });
                if self.flow == Flow::Suspend {
                    reader.do_send(Flow::Suspend);
                }
                (Some(reader), None)
            }
            Readers::Pull(_) => (None, Some(Place { subscription, progress: Arc::clone(&progress), beginning })),
        };
        Held { reader, place, progress, committed: None }
    }

    /// Tells the handle that reads by itself.
    fn publish(&self) {
        if let Readers::Pull(places) = &self.sharer.readers {
            let place = |(queue, held): (&MessageQueue, &Held)| Some((queue.clone(), held.place.clone()?));
            places.send_replace(Arc::new(self.held.iter().filter_map(place).collect()));
        }
    }

    /// Ends the reader of a queue and commits how far it came.
    fn lose(&mut self, queue: MessageQueue) -> impl Future<Output = ()> + use<> {
        let held = self.held.remove(&queue);
        let Sharer { core, group, local, commit_interval, readers, .. } = &mut self.sharer;
        if let (Some(local), Some(offset)) =
            (local.as_mut(), held.as_ref().and_then(|held| held.progress.committable()))
        {
            local.set(&queue, offset);
        }
        let locks = match readers {
            Readers::Push(Listening { order: Order::Locked(locks), .. }) => Some(locks.clone()),
            _ => None,
        };
        let at_broker = local.is_none() && commit_interval.is_some();
        let (core, group) = (Arc::clone(core), group.clone());
        async move {
            let Some(held) = held else {
                return;
            };
            if let Some(reader) = &held.reader {
                // A reader that is gone already has published all it knew.
                let _ = reader.send(Close).await;
            }
            let committable = held.progress.committable();
            if let Some(offset) = committable.filter(|_| at_broker && committable != held.committed)
                && let Err(error) = core.commit(&group, &queue, offset).await
            {
                tracing::warn!(%queue, %error, "the last offset was not committed; its messages come again");
            }
            if let (Some(locks), Some(reader)) = (locks, held.reader) {
                // Only now may others consume it. The locks' owner ends with the consumer.
                let _ = locks.send(Give { queue, holder: reader.recipient() }).await;
            }
        }
    }

    /// Commits what has moved since the last time.
    fn commit(&mut self, ctx: &mut Context<Self>) {
        if self.sharer.local.is_some() {
            return self.keep();
        }
        for (queue, held) in &mut self.held {
            let committable = held.progress.committable();
            let Some(offset) = committable.filter(|_| committable != held.committed) else {
                continue;
            };
            held.committed = committable;
            let (core, group, queue) = (Arc::clone(&self.sharer.core), self.sharer.group.clone(), queue.clone());
            let me = ctx.address();
            drop(actix::spawn(async move {
                if let Err(error) = core.commit(&group, &queue, offset).await {
                    tracing::warn!(%queue, %error, "an offset was not committed; it is tried again");
                    me.do_send(NotCommitted(queue));
                }
            }));
        }
    }

    /// Writes the file of offsets.
    fn keep(&mut self) {
        let Some(local) = &mut self.sharer.local else {
            return;
        };
        for (queue, held) in &self.held {
            if let Some(offset) = held.progress.committable() {
                local.set(queue, offset);
            }
        }
        local.write();
    }

    fn wanted(&self) -> Vec<SubscriptionData> {
        self.subscriptions.values().map(|subscription| subscription.data()).collect()
    }

    fn positions(&self) -> Option<Vec<(MessageQueue, i64)>> {
        let retry = |topic: &Arc<str>| topic.starts_with(RETRY_PREFIX);
        // The retry topic comes into being with a first failure.
        if !self.subscriptions.keys().all(|topic| retry(topic) || self.shared.contains(topic)) {
            return None;
        }
        self.held.iter().map(|(queue, held)| Some((queue.clone(), held.progress.committable()?))).collect()
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        if let Some(interval) = self.sharer.commit_interval {
            self.commit(ctx);
            ctx.run_later(interval, Self::tick);
        }
    }

    fn finish(&mut self) -> impl Future<Output = ()> + use<> {
        let progress: Vec<_> =
            self.held.iter().map(|(queue, held)| (queue.clone(), Arc::clone(&held.progress))).collect();
        let queues: Vec<_> = self.held.keys().cloned().collect();
        let ends: Vec<_> = queues.into_iter().map(|queue| self.lose(queue)).collect();
        let local = self.sharer.local.take();
        async move {
            join_all(ends).await;
            let Some(mut local) = local else {
                return;
            };
            local.written().await;
            // Only now, when readers know what listeners did last.
            for (queue, progress) in progress {
                if let Some(offset) = progress.committable() {
                    local.set(&queue, offset);
                }
            }
            local.write();
            local.written().await;
        }
    }
}

/// From the task that committed.
#[derive(Message)]
#[rtype(result = "()")]
struct NotCommitted(MessageQueue);

impl Actor for Shares {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        if let Some(interval) = self.sharer.commit_interval {
            ctx.run_later(interval, Self::tick);
        }
        if let Readers::Push(Listening { options, desk, order: Order::None, .. }) = &self.sharer.readers {
            let (limit, desk) = (options.retry.consume_timeout, Arc::clone(desk));
            let interval = (limit / LOOKS).clamp(LOOK_INTERVAL_MIN, LOOK_INTERVAL_MAX);
            ctx.run_interval(interval, move |_, _| desk.take_overdue(limit));
        }
    }
}

impl Handler<Survey> for Shares {
    type Result = ResponseFuture<Vec<View>>;

    fn handle(&mut self, asked: Survey, _: &mut Context<Self>) -> ResponseFuture<Vec<View>> {
        let company = if self.sharer.local.is_some() { Company::Alone } else { Company::Group };
        Box::pin(survey(Arc::clone(&self.sharer.core), self.sharer.group.clone(), company, asked))
    }
}

impl Handler<Assigned> for Shares {
    type Result = ();

    fn handle(&mut self, assigned: Assigned, _: &mut Context<Self>) {
        self.assigned(assigned);
    }
}

impl Handler<Want> for Shares {
    type Result = Vec<SubscriptionData>;

    fn handle(&mut self, Want { topic, subscription }: Want, _: &mut Context<Self>) -> Vec<SubscriptionData> {
        self.shared.remove(&topic);
        match subscription {
            Some(subscription) => self.subscriptions.insert(topic, subscription),
            None => self.subscriptions.remove(&topic),
        };
        self.wanted()
    }
}

impl Handler<Wanted> for Shares {
    type Result = Vec<SubscriptionData>;

    fn handle(&mut self, _: Wanted, _: &mut Context<Self>) -> Vec<SubscriptionData> {
        self.wanted()
    }
}

impl Handler<Hold> for Shares {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Hold(queues): Hold, _: &mut Context<Self>) -> ResponseFuture<()> {
        let lost: Vec<_> = self.held.keys().filter(|queue| !queues.contains_key(queue)).cloned().collect();
        let ends: Vec<_> = lost.into_iter().map(|queue| self.lose(queue)).collect();
        for (queue, progress) in queues {
            self.held.entry(queue).or_insert(Held { reader: None, place: None, progress, committed: None });
        }
        Box::pin(async move { drop(join_all(ends).await) })
    }
}

impl Handler<NotCommitted> for Shares {
    type Result = ();

    fn handle(&mut self, NotCommitted(queue): NotCommitted, _: &mut Context<Self>) {
        if let Some(held) = self.held.get_mut(&queue) {
            held.committed = None;
        }
    }
}

impl Handler<Flow> for Shares {
    type Result = ();

    fn handle(&mut self, flow: Flow, _: &mut Context<Self>) {
        self.flow = flow;
        for reader in self.held.values().filter_map(|held| held.reader.as_ref()) {
            reader.do_send(flow);
        }
    }
}

impl Handler<Holdings> for Shares {
    type Result = Vec<MessageQueue>;

    fn handle(&mut self, _: Holdings, _: &mut Context<Self>) -> Vec<MessageQueue> {
        self.held.keys().cloned().collect()
    }
}

impl Handler<Positions> for Shares {
    type Result = Option<Vec<(MessageQueue, i64)>>;

    fn handle(&mut self, _: Positions, _: &mut Context<Self>) -> Self::Result {
        self.positions()
    }
}

impl Handler<Finish> for Shares {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Finish, ctx: &mut Context<Self>) -> ResponseFuture<()> {
        ctx.stop();
        Box::pin(self.finish())
    }
}
