//! Reads one queue for a push consumer.
//!
//! Owns where the queue is read and the messages that are not consumed yet. Hears what pulls bring and what listeners
//! did. Tells the desk what there is to consume, and publishes what may be committed.
//!
//! Invariants: one pull under way; none while the backlog is full or the consumer is suspended; what is published is
//! below every message that is not consumed.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use actix::prelude::*;

use super::backlog::Backlog;
use super::beginning::Beginning;
use super::desk::{Desk, Outcome, Returned, Returns};
use super::pull::{Pull, Pulled};
use super::push_options::PushOptions;
use super::received::ReceivedMessage;
use super::subscription::Subscription;
use crate::client::error::ClientError;
use crate::client::hub::Hub;
use crate::client::route::MASTER;
use crate::protocol::code::ResponseCode;
use crate::rules::assignment::MessageQueue;

/// How long a broker holds a pull.
const HOLD: Duration = Duration::from_secs(15);
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
    pub(in crate::client) options: Arc<PushOptions>,
    pub(in crate::client) subscription: Arc<Subscription>,
    pub(in crate::client) desk: Arc<Desk>,
    pub(in crate::client) queue: Arc<MessageQueue>,
    pub(in crate::client) progress: Arc<Progress>,
    pub(in crate::client) beginning: Beginning,
}

pub(in crate::client) struct QueueReader {
    reading: Reading,
    returns: Arc<Returns>,
    /// `None` until it is known where to begin.
    backlog: Option<Backlog>,
    broker_id: i64,
    pulling: bool,
    suspended: bool,
}

impl QueueReader {
    pub(in crate::client) fn start(reading: Reading) -> Addr<Self> {
        Self::create(|ctx| {
            let returns = Arc::new(Returns::new(ctx.address().recipient()));
            Self { reading, returns, backlog: None, broker_id: MASTER, pulling: false, suspended: false }
        })
    }

    fn begin(&mut self, ctx: &mut Context<Self>) {
        let reading = self.reading.clone();
        let start = async move {
            let Reading { core, options, queue, beginning, .. } = &reading;
            beginning.offset(core, &options.group, queue).await
        };
        ctx.spawn(start.into_actor(self).map(|start, reader, ctx| match start {
            Ok(offset) => {
                reader.backlog = Some(Backlog::new(offset));
                reader.publish();
                reader.pull(ctx);
            }
            Err(error) => {
                tracing::warn!(queue = %reader.reading.queue, %error, "where to begin is not known yet");
                ctx.run_later(AFTER_ERROR, Self::begin);
            }
        }));
    }

    fn publish(&self) {
        if let Some(backlog) = &self.backlog {
            self.reading.progress.set(backlog.committable());
        }
    }

    fn pull(&mut self, ctx: &mut Context<Self>) {
        let Some(backlog) = &self.backlog else {
            return;
        };
        if self.pulling || self.suspended || backlog.is_full(&self.reading.options.flow) {
            return;
        }
        self.pulling = true;
        let pull = Pull {
            group: self.reading.options.group.as_str().into(),
            subscription: Arc::clone(&self.reading.subscription),
            queue: Arc::clone(&self.reading.queue),
            offset: backlog.next(),
            commit: if self.reading.options.broadcasts() { 0 } else { backlog.committable() },
            count: i32::from(self.reading.options.pull_batch),
            hold: HOLD,
            broker_id: self.broker_id,
        };
        let core = Arc::clone(&self.reading.core);
        let question = async move { pull.ask(&core).await };
        ctx.spawn(question.into_actor(self).map(|answer, reader, ctx| {
            reader.pulling = false;
            match answer {
                Ok(pulled) => reader.take(pulled, ctx),
                Err(error) => reader.failed(&error, ctx),
            }
        }));
    }

    fn take(&mut self, pulled: Pulled, ctx: &mut Context<Self>) {
        let Some(backlog) = &mut self.backlog else {
            return;
        };
        self.broker_id = pulled.broker_id;
        if pulled.moved {
            tracing::warn!(queue = %self.reading.queue, from = backlog.next(), to = pulled.next, "offset outside the queue");
            *backlog = Backlog::new(pulled.next);
        } else {
            let new = backlog.add(pulled.messages, pulled.next);
            self.hand_out(new);
        }
        self.publish();
        self.pull(ctx);
    }

    fn hand_out(&self, messages: Vec<ReceivedMessage>) {
        self.reading.desk.put(messages, self.reading.options.consume_batch, &self.returns);
    }

    fn failed(&mut self, error: &ClientError, ctx: &mut Context<Self>) {
        self.broker_id = MASTER;
        let busy = ResponseCode::FlowControl.number();
        let wait = match error {
            ClientError::Refused { code, .. } if *code == busy => AFTER_FLOW_CONTROL,
            _ => AFTER_ERROR,
        };
        tracing::debug!(queue = %self.reading.queue, %error, "pull failed");
        ctx.run_later(wait, Self::pull);
    }

    fn finish(&mut self, batch: &[ReceivedMessage]) {
        if let Some(backlog) = &mut self.backlog {
            batch.iter().for_each(|message| backlog.finish(message.queue_offset));
        }
    }

    fn collect(&mut self, ctx: &mut Context<Self>) {
        for (batch, outcome) in self.returns.take() {
            match outcome {
                Outcome::Consumed => self.finish(&batch),
                Outcome::Later if self.reading.options.broadcasts() => {
                    // There is no group that could take them over: RocketMQ's rule.
                    tracing::warn!(queue = %self.reading.queue, messages = batch.len(), "given back while broadcasting: dropped");
                    self.finish(&batch);
                }
                Outcome::Later => {
                    ctx.run_later(self.reading.options.retry_delay, move |reader, _| reader.hand_out(again(batch)));
                }
            }
        }
        self.publish();
        self.pull(ctx);
    }
}

fn again(mut batch: Vec<ReceivedMessage>) -> Vec<ReceivedMessage> {
    batch.iter_mut().for_each(|message| message.reconsume_times = message.reconsume_times.saturating_add(1));
    batch
}

impl Actor for QueueReader {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_later(self.reading.beginning.grace, Self::begin);
    }
}

impl Handler<Returned> for QueueReader {
    type Result = ();

    fn handle(&mut self, _: Returned, ctx: &mut Context<Self>) {
        self.collect(ctx);
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
    type Result = ();

    fn handle(&mut self, _: Close, ctx: &mut Context<Self>) {
        self.suspended = true;
        self.returns.close();
        self.collect(ctx);
        ctx.stop();
    }
}
