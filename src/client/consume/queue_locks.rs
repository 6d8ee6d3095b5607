//! The broker's locks of the queues that a consumer reads in order.
//!
//! Owns which reader has which queue. Hears readers that need a queue or are done with it, and the clock (every 20 s).
//! Tells brokers, all queues of a broker at once; tells readers what a renewal brought.
//!
//! Invariants: a queue has one reader at a time, also while it is given back and has come to us again; a lease is counted
//! from before its question, so it ends here before it does at the broker (60 s).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::time::Instant;

use crate::client::error::ClientError;
use crate::client::hub::{Hub, ask, unreadable};
use crate::protocol::body::locks::{LockBatchRequest, LockBatchResponse};
use crate::protocol::body::{Body, queue};
use crate::protocol::code::RequestCode;
use crate::remoting::channel::Channel;
use crate::rules::assignment::MessageQueue;

/// How often locks are renewed.
const RENEW_INTERVAL: Duration = Duration::from_secs(20);
/// How long a lock is trusted of which the broker said nothing since.
const LEASE: Duration = Duration::from_secs(30);

/// The right to consume a queue.
#[derive(Debug, Clone)]
pub(in crate::client) struct Lease {
    /// A broker that starts again knows no locks.
    channel: Channel,
    until: Instant,
}

impl Lease {
    pub(in crate::client) fn holds(&self) -> bool {
        Instant::now() < self.until && self.channel.is_open()
    }
}

/// To a reader: its lock was renewed, or is no longer its own.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::client) struct Renewed(pub(in crate::client) Option<Lease>);

/// From a reader: lock this queue. Answered with nothing while somebody else has it.
#[derive(Message)]
#[rtype(result = "Result<Option<Lease>, ClientError>")]
pub(in crate::client) struct Take {
    pub(in crate::client) queue: Arc<MessageQueue>,
    pub(in crate::client) holder: Recipient<Renewed>,
}

/// From the consumer: the reader has ended, and how far it came is committed. Answered when the broker knows.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::client) struct Give {
    pub(in crate::client) queue: MessageQueue,
    pub(in crate::client) holder: Recipient<Renewed>,
}

struct Held {
    holder: Recipient<Renewed>,
    /// No longer renewed.
    leaving: bool,
}

pub(in crate::client) struct QueueLocks {
    asker: Asker,
    held: BTreeMap<MessageQueue, Held>,
}

impl QueueLocks {
    pub(in crate::client) fn new(core: Arc<Hub>, group: &str) -> Self {
        Self { asker: Asker { core, group: group.to_owned() }, held: BTreeMap::new() }
    }

    fn renew(&self) {
        let mut brokers: BTreeMap<Arc<str>, Vec<(MessageQueue, Recipient<Renewed>)>> = BTreeMap::new();
        for (queue, held) in self.held.iter().filter(|(_, held)| !held.leaving) {
            let of_broker = brokers.entry(Arc::clone(&queue.broker)).or_default();
            of_broker.push((queue.clone(), held.holder.clone()));
        }
        for (broker, held) in brokers {
            let asker = self.asker.clone();
            drop(actix::spawn(async move {
                let queues: Vec<_> = held.iter().map(|(queue, _)| named(queue)).collect();
                match asker.lock(&broker, queues).await {
                    Ok((lease, locked)) => {
                        for (queue, holder) in held {
                            holder.do_send(Renewed(locked.contains(&named(&queue)).then(|| lease.clone())));
                        }
                    }
                    // Readers stop by themselves when their leases end.
                    Err(error) => tracing::warn!(%broker, %error, "locks of queues were not renewed"),
                }
            }));
        }
    }
}

/// Asks brokers in the consumer's name.
#[derive(Clone)]
struct Asker {
    core: Arc<Hub>,
    group: String,
}

impl Asker {
    fn body(&self, queues: Vec<queue::MessageQueue>) -> Vec<u8> {
        let request = LockBatchRequest {
            client_id: self.core.client_id.clone(),
            consumer_group: self.group.clone(),
            mq_set: queues,
            only_this_broker: false,
        };
        request.encode()
    }

    /// Which of the queues are ours now.
    async fn lock(
        &self,
        broker: &str,
        queues: Vec<queue::MessageQueue>,
    ) -> Result<(Lease, Vec<queue::MessageQueue>), ClientError> {
        let channel = self.core.master(broker).await?;
        let until = Instant::now() + LEASE;
        let wait = self.core.options.request_timeout;
        let reply = ask(&channel, RequestCode::LockBatchMq, &(), &self.body(queues), wait).await?;
        let answer = LockBatchResponse::decode(&reply.body).map_err(|error| unreadable(&channel, error))?;
        Ok((Lease { channel, until }, answer.locked))
    }

    async fn unlock(&self, queue: &MessageQueue) -> Result<(), ClientError> {
        let channel = self.core.master(&queue.broker).await?;
        let wait = self.core.options.request_timeout;
        ask(&channel, RequestCode::UnlockBatchMq, &(), &self.body(vec![named(queue)]), wait).await.map(drop)
    }
}

/// A queue as bodies name it.
fn named(queue: &MessageQueue) -> queue::MessageQueue {
    queue::MessageQueue {
        topic: queue.topic.to_string(),
        broker_name: queue.broker.to_string(),
        queue_id: i32::try_from(queue.queue).unwrap_or(i32::MAX),
    }
}

impl Actor for QueueLocks {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(RENEW_INTERVAL, |locks, _| locks.renew());
    }
}

impl Handler<Take> for QueueLocks {
    type Result = ResponseFuture<Result<Option<Lease>, ClientError>>;

    fn handle(&mut self, Take { queue, holder }: Take, _: &mut Context<Self>) -> Self::Result {
        let held = self.held.entry(MessageQueue::clone(&queue));
        let held = held.or_insert_with(|| Held { holder: holder.clone(), leaving: false });
        if held.holder != holder || held.leaving {
            return Box::pin(std::future::ready(Ok(None)));
        }
        let asker = self.asker.clone();
        Box::pin(async move {
            let (lease, locked) = asker.lock(&queue.broker, vec![named(&queue)]).await?;
            Ok(locked.contains(&named(&queue)).then_some(lease))
        })
    }
}

impl Handler<Give> for QueueLocks {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, Give { queue, holder }: Give, _: &mut Context<Self>) -> Self::Result {
        let Some(held) = self.held.get_mut(&queue).filter(|held| held.holder == holder) else {
            return Box::pin(actix::fut::ready(()));
        };
        held.leaving = true;
        let asker = self.asker.clone();
        let unlocking = async move {
            if let Err(error) = asker.unlock(&queue).await {
                tracing::warn!(%queue, %error, "not unlocked; the broker does it after a minute");
            }
            queue
        };
        Box::pin(unlocking.into_actor(self).map(|queue, locks, _| drop(locks.held.remove(&queue))))
    }
}
