//! The stories of messages: what this client did with each, written to a topic as RocketMQ's clients do.
//!
//! A task on the client's thread owns what is not written yet. It hears steps, through a queue that drops what it has no
//! room for, and sends them in batches. Nothing that goes wrong here reaches whoever sends or consumes.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::consume::desk::Listener;
use super::consume::desk::returns::Outcome;
use super::consume::received::ReceivedMessage;
use super::error::ClientError;
use super::hub::Hub;
use super::message::{Message, SendReceipt, SendStatus};
use super::produce::delivery::Courier;
use super::produce::parcel::{self, now_ms};
use super::produce::producer_options::{ProducerOptions, Target};
use crate::protocol::properties::{DELAY, MSG_REGION, TRACE_ON};
use crate::protocol::trace::{Consumed, Consuming, Sent, Step, Stored};

/// Steps that wait to be written; more are dropped.
const WAITING_MAX: usize = 2048;
/// Steps that are written together at most.
const BATCH: usize = 20;
/// How long a step waits for others.
const LINGER: Duration = Duration::from_millis(500);
/// Bytes of one trace message after which the next is begun.
const BODY_BYTES: usize = 128_000;
const GROUP_PREFIX: &str = "_INNER_TRACE_PRODUCER";

enum Order {
    /// A step of a message of this topic.
    Write(String, Box<Step>),
    /// Answered when everything before it is written.
    Flush(oneshot::Sender<()>),
}

/// Writes stories. Clones write to the same place.
#[derive(Debug, Clone)]
pub(super) struct Tracer {
    core: Arc<Hub>,
    group: String,
    topic: String,
    orders: mpsc::Sender<Order>,
}

/// A send that is under way.
pub(super) struct Begun<'a> {
    tracer: &'a Tracer,
    sent: Sent,
    since: Instant,
}

impl Tracer {
    /// Writes what the producer or consumer of `group` does to `topic`.
    pub(super) fn start(core: &Arc<Hub>, group: &str, topic: &str) -> Self {
        let (orders, to_do) = mpsc::channel(WAITING_MAX);
        let courier = Courier::new(Arc::clone(core), ProducerOptions::new(format!("{GROUP_PREFIX}-{group}")));
        core.spawn(write_all(courier, topic.to_owned(), to_do));
        Self { core: Arc::clone(core), group: group.to_owned(), topic: topic.to_owned(), orders }
    }

    fn add(&self, topic: &str, step: Step) {
        if self.orders.try_send(Order::Write(topic.to_owned(), Box::new(step))).is_err() {
            tracing::debug!(topic, "no room for a step of a trace");
        }
    }

    /// Done when everything that was heard is written, or could not be.
    pub(super) async fn flush(&self) {
        let (done, is_done) = oneshot::channel();
        if self.orders.send(Order::Flush(done)).await.is_ok() {
            // The task is gone only with the client's thread.
            drop(is_done.await);
        }
    }

    /// `None` for messages that are traces themselves.
    pub(super) fn begin(&self, message: &Message) -> Option<Begun<'_>> {
        if message.topic().starts_with(&self.topic) {
            return None;
        }
        let sent = Sent {
            time_ms: now_ms(),
            group: self.group.clone(),
            topic: message.topic().to_owned(),
            message_id: String::new(),
            tags: message.user_tag().map(str::to_owned),
            keys: message.user_keys(),
            stored: Stored::default(),
            body_bytes: i64::try_from(message.body().len()).unwrap_or(i64::MAX),
            cost_ms: 0,
            kind: if message.user_property(DELAY).is_some() { 3 } else { 0 },
            success: false,
        };
        Some(Begun { tracer: self, sent, since: Instant::now() })
    }

    fn consuming(&self, batch: &[ReceivedMessage]) -> Vec<Consuming> {
        let request_id = self.core.unique_keys.next(now_ms()).to_string();
        let traced = batch.iter().filter(|message| message.property(TRACE_ON) != Some("false"));
        let steps = traced.map(|message| Consuming {
            time_ms: now_ms(),
            region: message.property(MSG_REGION).unwrap_or_default().to_owned(),
            group: self.group.clone(),
            request_id: request_id.clone(),
            message_id: message.message_id(),
            retries: message.reconsume_times,
            keys: message.keys().map(str::to_owned),
        });
        steps.collect()
    }
}

impl Begun<'_> {
    /// A send that no broker took has no story, as RocketMQ has it; nor has one whose broker says no region or wants no traces.
    pub(super) fn end(mut self, sent: Result<&SendReceipt, &ClientError>) {
        let Ok(receipt) = sent else { return };
        let Some(region) = receipt.region.as_ref().filter(|_| receipt.traced) else { return };
        let address = self.tracer.core.open_master(&receipt.queue.broker);
        self.sent.stored.store_host = address.map(|channel| channel.address().to_owned()).unwrap_or_default();
        self.sent.stored.region = region.to_string();
        self.sent.message_id = receipt.message_id.to_string();
        self.sent.stored.offset_message_id = receipt.offset_message_id.to_string();
        self.sent.cost_ms = i64::try_from(self.since.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.sent.success = receipt.status == SendStatus::Stored;
        let topic = self.sent.topic.clone();
        self.tracer.add(&topic, Step::Sent(self.sent));
    }
}

/// A listener whose doings are written, where that is asked for.
pub(super) struct Traced<L> {
    pub(super) listener: Arc<L>,
    pub(super) tracer: Option<Tracer>,
}

impl<L: Listener> Listener for Traced<L> {
    async fn consume(&self, batch: Vec<ReceivedMessage>) -> Outcome {
        let Some(tracer) = &self.tracer else {
            return self.listener.consume(batch).await;
        };
        let topic = batch.first().map(|message| message.topic().to_owned()).unwrap_or_default();
        let steps = tracer.consuming(&batch);
        steps.iter().for_each(|step| tracer.add(&topic, Step::Consuming(step.clone())));
        let (count, since) = (batch.len().max(1), Instant::now());
        let consumed = AssertUnwindSafe(async { self.listener.consume(batch).await }).catch_unwind().await;
        let outcome = match &consumed {
            Ok(Outcome::Consumed) => 0,
            Ok(_) => 4,
            Err(_) => 2,
        };
        for step in steps {
            tracer.add(
                &topic,
                Step::Consumed(Consumed {
                    request_id: step.request_id,
                    message_id: step.message_id,
                    cost_ms: i64::try_from(since.elapsed().as_millis() / count as u128).unwrap_or(i64::MAX),
                    success: outcome == 0,
                    keys: step.keys,
                    outcome,
                    time_ms: now_ms(),
                    group: Some(step.group),
                }),
            );
        }
        consumed.unwrap_or_else(|panic| resume_unwind(panic))
    }
}

async fn write_all(courier: Courier, topic: String, mut orders: mpsc::Receiver<Order>) {
    let mut steps: Vec<(String, Step)> = Vec::new();
    let mut leaves_at = None;
    loop {
        let order = match leaves_at {
            Some(at) => timeout_at(at, orders.recv()).await,
            None => Ok(orders.recv().await),
        };
        let mut flushed = None;
        let ended = matches!(order, Ok(None));
        match order {
            Ok(Some(Order::Write(of, step))) => {
                steps.push((of, *step));
                let at = leaves_at.get_or_insert_with(|| Instant::now() + LINGER);
                if steps.len() < BATCH && Instant::now() < *at {
                    continue;
                }
            }
            Ok(Some(Order::Flush(done))) => flushed = Some(done),
            Ok(None) | Err(_) => {}
        }
        leaves_at = None;
        write(&courier, &topic, std::mem::take(&mut steps)).await;
        if let Some(done) = flushed {
            // Who asked may have given up.
            let _ = done.send(());
        }
        if ended {
            return;
        }
    }
}

/// One trace message for each topic, as RocketMQ has it.
async fn write(courier: &Courier, trace_topic: &str, steps: Vec<(String, Step)>) {
    let mut by_topic: BTreeMap<String, Vec<Step>> = BTreeMap::new();
    for (topic, step) in steps {
        by_topic.entry(topic).or_default().push(step);
    }
    for steps in by_topic.into_values() {
        let (mut body, mut keys) = (String::new(), BTreeSet::new());
        for step in &steps {
            step.write(&mut body);
            keys.insert(step.message_id().to_owned());
            keys.extend(step.keys().into_iter().flat_map(|keys| keys.split(' ')).map(str::to_owned));
            if body.len() >= BODY_BYTES {
                send(courier, trace_topic, (std::mem::take(&mut body), std::mem::take(&mut keys))).await;
            }
        }
        if !body.is_empty() {
            send(courier, trace_topic, (body, keys)).await;
        }
    }
}

async fn send(courier: &Courier, topic: &str, (body, keys): (String, BTreeSet<String>)) {
    let keys = keys.into_iter().filter(|key| !key.is_empty());
    let message = keys.fold(Message::new(topic, body), Message::key);
    let sent = async {
        let mut parcel = parcel::single(message, &courier.core.unique_keys)?;
        parcel.compress(&courier.options).await;
        courier.deliver(&parcel, Target::Any, courier.deadline()).await
    };
    if let Err(error) = sent.await {
        tracing::debug!(%error, "a trace was not written");
    }
}
