//! Reads one queue for a push consumer.
//!
//! Owns where the queue is read and the messages that are not consumed yet. Hears what pulls bring and what listeners
//! did. Tells the desk what there is to consume, gives back to brokers what was not consumed, and publishes what may be
//! committed.
//!
//! Invariants: one pull under way, which begins before what the last one brought is read where the broker has more; none
//! while the backlog is full or the consumer is suspended; what is published is below every message that is neither
//! consumed nor given back. In order, also: one batch with the listener, and none without the lock.

mod asked;
mod figures;
mod in_order;
mod listening;
mod pulls;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;

pub(in crate::client) use self::asked::{Look, Seek};
pub(in crate::client) use self::figures::Figures;
use self::in_order::InOrder;
use self::pulls::Pulls;
use super::backlog::Backlog;
use super::beginning::Beginning;
use super::desk::returns::Returns;
use super::pull::Pulled;
use super::received::ReceivedMessage;
use super::sharer::{Listening, Order};
use super::subscription::Subscription;
use crate::client::error::ClientError;
use crate::client::hub::Hub;
use crate::client::route::MASTER;
use crate::protocol::code::ResponseCode;
use crate::rules::assignment::MessageQueue;

/// Wait after a pull that failed.
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// Wait after the broker said that it is asked too much.
const AFTER_FLOW_CONTROL: Duration = Duration::from_millis(20);

/// What may be committed; below 0 while that is not known.
#[derive(Debug)]
pub(in crate::client) struct Progress(AtomicI64);

impl Progress {
    pub(in crate::client) fn unknown() -> Self {
        Self(AtomicI64::new(-1))
    }

    pub(in crate::client) fn committable(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Acquire)).filter(|offset| *offset >= 0)
    }

    pub(in crate::client) fn set(&self, offset: i64) {
        self.0.store(offset, Ordering::Release);
    }

    fn forget(&self) {
        self.0.store(-1, Ordering::Release);
    }
}

/// From the consumer: pull no more until told so.
#[derive(Message, Debug, Clone, Copy, PartialEq, Eq)]
#[rtype(result = "()")]
pub(in crate::client) enum Flow {
    Suspend,
    Resume,
}

/// From the consumer: the queue is no longer ours. Answered when the progress is final.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::client) struct Close;

/// What a reader needs of its consumer.
#[derive(Clone)]
pub(in crate::client) struct Reading {
    pub(in crate::client) core: Arc<Hub>,
    pub(in crate::client) listening: Listening,
    pub(in crate::client) subscription: Arc<Subscription>,
    pub(in crate::client) queue: Arc<MessageQueue>,
    pub(in crate::client) progress: Arc<Progress>,
    pub(in crate::client) beginning: Beginning,
}

pub(in crate::client) struct QueueReader {
    reading: Reading,
    returns: Arc<Returns>,
    /// `None` until it is known where to begin.
    backlog: Option<Backlog>,
    pulls: Pulls,
    suspended: bool,
    /// It will look by itself into what listeners did.
    will_look: bool,
    /// Batches on their way back to a broker.
    giving_back: usize,
    /// `None`: listeners may have several batches at once.
    in_order: Option<InOrder>,
    /// Raised when what was read counts no longer, so that an answer to an older question is told apart.
    epoch: u64,
    /// Who waits for our end.
    closing: Vec<oneshot::Sender<()>>,
    figures: Figures,
}

impl QueueReader {
    pub(in crate::client) fn start(reading: Reading) -> Addr<Self> {
        Self::create(|ctx| {
            let returns = Arc::new(Returns::new(ctx.address().recipient()));
            let in_order = match &reading.listening.order {
                Order::None => None,
                Order::Alone => Some(InOrder::alone()),
                Order::Locked(locks) => Some(InOrder::locked(locks.clone())),
            };
            Self {
                reading,
                returns,
                backlog: None,
                pulls: Pulls::default(),
                suspended: false,
                will_look: false,
                giving_back: 0,
                in_order,
                epoch: 0,
                closing: Vec::new(),
                figures: Figures::default(),
            }
        })
    }

    fn begin(&mut self, ctx: &mut Context<Self>) {
        if self.backlog.is_some() {
            // Somebody said meanwhile where.
            return;
        }
        let reading = self.reading.clone();
        let start = async move {
            let Reading { core, listening, queue, beginning, .. } = &reading;
            beginning.offset(core, &listening.options.group, queue).await
        };
        let epoch = self.epoch;
        ctx.spawn(start.into_actor(self).map(move |start, reader, ctx| match start {
            _ if reader.epoch != epoch => {}
            Ok(offset) => {
                reader.backlog = Some(Backlog::new(offset));
                reader.publish();
                reader.pull(ctx);
            }
            Err(error) => {
                tracing::warn!(queue = %reader.reading.queue, %error, "where to begin is not known yet");
                ctx.run_later(AFTER_ERROR, move |reader, ctx| {
                    if reader.epoch == epoch {
                        reader.begin(ctx);
                    }
                });
            }
        }));
    }

    fn publish(&self) {
        if let Some(backlog) = &self.backlog {
            self.reading.progress.set(backlog.committable());
        }
    }

    fn take(&mut self, pulled: Pulled, ctx: &mut Context<Self>) {
        self.look(ctx);
        let Some(backlog) = &mut self.backlog else {
            return;
        };
        if pulled.moved {
            tracing::warn!(queue = %self.reading.queue, from = backlog.next(), to = pulled.next, "offset outside the queue");
            return self.seek(pulled.next, ctx);
        }
        let new = backlog.add(pulled.messages, pulled.next);
        self.bring(new, ctx);
        self.publish();
        self.pull(ctx);
    }

    fn bring(&mut self, messages: Vec<ReceivedMessage>, ctx: &mut Context<Self>) {
        match &mut self.in_order {
            Some(in_order) => {
                in_order.bring(messages);
                self.next_turn(ctx);
            }
            None => self.hand_out(messages, ctx),
        }
    }

    fn failed(&mut self, error: &ClientError, ctx: &mut Context<Self>) {
        self.pulls.broker_id = MASTER;
        let busy = ResponseCode::FlowControl.number();
        let wait = match error {
            ClientError::Refused { code, .. } if *code == busy => AFTER_FLOW_CONTROL,
            _ => AFTER_ERROR,
        };
        tracing::debug!(queue = %self.reading.queue, %error, "pull failed");
        ctx.run_later(wait, Self::pull);
    }

    fn go_on(&mut self, ctx: &mut Context<Self>) {
        self.publish();
        self.next_turn(ctx);
        self.pull(ctx);
        self.end_if_done(ctx);
    }

    /// Ends when nothing is under way that may still move our progress.
    fn end_if_done(&mut self, ctx: &mut Context<Self>) {
        if self.closing.is_empty() || self.giving_back > 0 || self.listener_is_busy() {
            return;
        }
        self.publish();
        for waiter in self.closing.drain(..) {
            // Who asked may have given up.
            let _ = waiter.send(());
        }
        ctx.stop();
    }
}

impl Actor for QueueReader {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        if self.in_order.as_ref().is_some_and(InOrder::needs_lock) {
            self.lock(ctx);
        } else {
            ctx.run_later(self.reading.beginning.grace, Self::begin);
        }
    }
}

impl Handler<Flow> for QueueReader {
    type Result = ();

    fn handle(&mut self, flow: Flow, ctx: &mut Context<Self>) {
        self.suspended = matches!(flow, Flow::Suspend);
        self.pull(ctx);
    }
}

impl Handler<Close> for QueueReader {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Close, ctx: &mut Context<Self>) -> ResponseFuture<()> {
        self.suspended = true;
        if self.in_order.is_none() {
            self.returns.close();
        }
        let (ended, has_ended) = oneshot::channel();
        self.closing.push(ended);
        self.collect(ctx);
        Box::pin(async move {
            // An error means that the client is shutting down.
            let _ = has_ended.await;
        })
    }
}
