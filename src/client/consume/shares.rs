//! The queues that a push consumer has now.
//!
//! Owns the readers of its queues and what was committed of each. Hears its share of each topic from rebalancing, whose
//! surveys it takes, and the clock (every 5 s). Tells brokers the offsets.
//!
//! Invariants: one reader a queue; a queue that goes to another member is committed at once, and read no further.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use futures_util::future::join_all;

use super::desk::Desk;
use super::push_options::PushOptions;
use super::queue_reader::{Close, Flow, Progress, QueueReader, Reading};
use super::subscription::Subscription;
use crate::actors::rebalance::{Assigned, Survey, View};
use crate::client::error::{Access, ClientError};
use crate::client::hub::{Hub, ask, unreadable};
use crate::client::routes::Purpose;
use crate::protocol::body::Body;
use crate::protocol::body::clients::ConsumerList;
use crate::protocol::code::RequestCode;
use crate::protocol::header::clients::GetConsumerListByGroupRequest;
use crate::protocol::names::RETRY_PREFIX;
use crate::rules::assignment::MessageQueue;

/// A member that loses a queue hears of it when we do. So long it has to commit before we ask where to begin.
const HANDOVER_GRACE: Duration = Duration::from_millis(200);

/// From the consumer's handle.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::client) struct SetFlow(pub(in crate::client) FlowState);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::client) enum FlowState {
    Flowing,
    Suspended,
}

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
    reader: Addr<QueueReader>,
    progress: Arc<Progress>,
    committed: Option<i64>,
}

pub(in crate::client) struct Shares {
    core: Arc<Hub>,
    options: Arc<PushOptions>,
    subscriptions: BTreeMap<Arc<str>, Arc<Subscription>>,
    desk: Arc<Desk>,
    held: BTreeMap<MessageQueue, Held>,
    /// Topics of which a first share was computed.
    shared: BTreeSet<Arc<str>>,
    flow: FlowState,
}

impl Shares {
    pub(in crate::client) fn new(
        core: Arc<Hub>,
        options: Arc<PushOptions>,
        subscriptions: BTreeMap<Arc<str>, Arc<Subscription>>,
        desk: Arc<Desk>,
    ) -> Self {
        Self {
            core,
            options,
            subscriptions,
            desk,
            held: BTreeMap::new(),
            shared: BTreeSet::new(),
            flow: FlowState::Flowing,
        }
    }

    fn assigned(&mut self, Assigned { topic, queues, members }: Assigned) {
        let Some(subscription) = self.subscriptions.get(&topic).cloned() else {
            return;
        };
        self.shared.insert(Arc::clone(&topic));
        let lost: Vec<_> = self.held.keys().filter(|q| q.topic == topic && !queues.contains(q)).cloned().collect();
        for queue in lost {
            if let Some(held) = self.held.remove(&queue) {
                drop(actix::spawn(give_up(Arc::clone(&self.core), self.options.group.clone(), queue, held)));
            }
        }
        for queue in queues {
            if !self.held.contains_key(&queue) {
                let grace = if members > 1 { HANDOVER_GRACE } else { Duration::ZERO };
                let held = self.read(&queue, Arc::clone(&subscription), grace);
                self.held.insert(queue, held);
            }
        }
    }

    fn read(&self, queue: &MessageQueue, subscription: Arc<Subscription>, grace: Duration) -> Held {
        let progress = Arc::new(Progress::unknown());
        let reader = QueueReader::start(Reading {
            core: Arc::clone(&self.core),
            options: Arc::clone(&self.options),
            subscription,
            desk: Arc::clone(&self.desk),
            queue: Arc::new(queue.clone()),
            progress: Arc::clone(&progress),
            grace,
        });
        if self.flow == FlowState::Suspended {
            reader.do_send(Flow::Suspend);
        }
        Held { reader, progress, committed: None }
    }

    /// Commits what has moved since the last time.
    fn commit(&mut self, ctx: &mut Context<Self>) {
        for (queue, held) in &mut self.held {
            let committable = held.progress.committable();
            let Some(offset) = committable.filter(|_| committable != held.committed) else {
                continue;
            };
            held.committed = committable;
            let (core, group, queue) = (Arc::clone(&self.core), self.options.group.clone(), queue.clone());
            let me = ctx.address();
            drop(actix::spawn(async move {
                if let Err(error) = core.commit(&group, &queue, offset).await {
                    tracing::warn!(%queue, %error, "an offset was not committed; it is tried again");
                    me.do_send(NotCommitted(queue));
                }
            }));
        }
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
        self.commit(ctx);
        ctx.run_later(self.options.commit_interval, Self::tick);
    }
}

/// From the task that committed.
#[derive(Message)]
#[rtype(result = "()")]
struct NotCommitted(MessageQueue);

/// Ends a reader and commits how far it came.
async fn give_up(core: Arc<Hub>, group: String, queue: MessageQueue, held: Held) {
    // A reader that is gone already has published all it knew.
    let _ = held.reader.send(Close).await;
    let committable = held.progress.committable();
    if let Some(offset) = committable.filter(|_| committable != held.committed)
        && let Err(error) = core.commit(&group, &queue, offset).await
    {
        tracing::warn!(%queue, %error, "the last offset was not committed; its messages come again");
    }
}

/// All queues and members, as name servers and one of the topic's brokers know them.
async fn view(core: &Hub, group: &str, topic: &Arc<str>) -> Result<View, ClientError> {
    let route = core.route(topic, Purpose::Existing).await?;
    let queues: Vec<_> = route.readable.iter().map(|queue| MessageQueue::clone(queue)).collect();
    let Some(queue) = route.readable.first() else {
        return Err(ClientError::NoQueue { topic: topic.to_string(), access: Access::Read });
    };
    let mut members = members(core, group, &queue.broker).await;
    // Every broker of the topic knows all members; one of them may be down.
    for broker in route.brokers.keys().filter(|broker| ***broker != *queue.broker) {
        if members.is_err() {
            members = self::members(core, group, broker).await;
        }
    }
    Ok(View { topic: Arc::clone(topic), queues, members: members? })
}

async fn members(core: &Hub, group: &str, broker: &str) -> Result<Vec<String>, ClientError> {
    let channel = core.master(broker).await?;
    let header = GetConsumerListByGroupRequest { consumer_group: group.to_owned() };
    let code = RequestCode::GetConsumerListByGroup;
    let reply = ask(&channel, code, &header, b"", core.options.request_timeout).await?;
    let list = ConsumerList::decode(&reply.body).map_err(|error| unreadable(&channel, error))?;
    Ok(list.consumer_id_list)
}

impl Actor for Shares {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_later(self.options.commit_interval, Self::tick);
    }
}

impl Handler<Survey> for Shares {
    type Result = ResponseFuture<Vec<View>>;

    fn handle(&mut self, survey: Survey, _: &mut Context<Self>) -> ResponseFuture<Vec<View>> {
        let (core, options) = (Arc::clone(&self.core), Arc::clone(&self.options));
        Box::pin(async move {
            let views = survey.topics.iter().map(|topic| view(&core, &options.group, topic));
            let mut known = Vec::new();
            for (topic, view) in survey.topics.iter().zip(join_all(views).await) {
                match view {
                    Ok(view) => known.push(view),
                    Err(error) => tracing::debug!(%topic, %error, "queues and members are not known"),
                }
            }
            known
        })
    }
}

impl Handler<Assigned> for Shares {
    type Result = ();

    fn handle(&mut self, assigned: Assigned, _: &mut Context<Self>) {
        self.assigned(assigned);
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

impl Handler<SetFlow> for Shares {
    type Result = ();

    fn handle(&mut self, SetFlow(flow): SetFlow, _: &mut Context<Self>) {
        self.flow = flow;
        for held in self.held.values() {
            held.reader.do_send(if flow == FlowState::Suspended { Flow::Suspend } else { Flow::Resume });
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
        let (core, group) = (Arc::clone(&self.core), self.options.group.clone());
        let held = std::mem::take(&mut self.held);
        ctx.stop();
        Box::pin(async move {
            let ends = held.into_iter().map(|(queue, held)| give_up(Arc::clone(&core), group.clone(), queue, held));
            join_all(ends).await;
        })
    }
}
