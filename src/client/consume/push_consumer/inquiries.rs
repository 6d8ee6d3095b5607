//! Answers what administrators ask of a push consumer by way of a broker, and goes on where they say.
//!
//! Owns what an answer needs and nobody else keeps: since when the consumer runs, and its listener. Hears the questions;
//! asks the consumer's shares; tells them of new offsets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::Call;
use crate::client::consume::desk::Listener;
use crate::client::consume::desk::returns::Outcome;
use crate::client::consume::push_options::PushOptions;
use crate::client::consume::received::{self, ReceivedMessage};
use crate::client::consume::shares::asked::{ResetTo, Standing, Standings};
use crate::client::consume::shares::{Shares, Wanted};
use crate::client::hub::Hub;
use crate::client::produce::parcel::now_ms;
use crate::protocol::body::Body;
use crate::protocol::body::offsets::{ConsumerStatus, ResetOffsets};
use crate::protocol::body::queue;
use crate::protocol::body::running::{ConsumeStatus, ConsumedDirectly, ConsumerRunningInfo, property};
use crate::protocol::code::{RequestCode, ResponseCode, version};
use crate::protocol::header::clients::ConsumeMessageDirectlyResultRequest;
use crate::protocol::header::groups::{GetConsumerStatusRequest, ResetOffsetRequest};
use crate::protocol::record::Record;
use crate::remoting::channel::PeerRequest;
use crate::rules::assignment::MessageQueue;

/// A listener that takes longer is not waited for: brokers wait ten seconds for an answer.
const PATIENCE: Duration = Duration::from_secs(9);

/// From a broker, by way of the connections.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::client) struct Inquiry(pub(in crate::client) PeerRequest);

type Consume = dyn Fn(Vec<ReceivedMessage>) -> BoxFuture<'static, Outcome> + Send + Sync;

/// The way to a listener past the queues. At most as many calls are under way as the consumer makes by itself.
#[derive(Clone)]
pub(in crate::client) struct Direct {
    consume: Arc<Consume>,
    runtime: Handle,
    room: Arc<Semaphore>,
    call: Call,
}

impl Direct {
    /// To a listener that runs on the runtime that this is called in.
    pub(in crate::client) fn new<L: Listener>(listener: Arc<L>, at_once: usize, call: Call) -> Self {
        let consume = move |batch| -> BoxFuture<'static, Outcome> {
            let listener = Arc::clone(&listener);
            Box::pin(async move { listener.consume(batch).await })
        };
        let room = Arc::new(Semaphore::new(at_once.min(Semaphore::MAX_PERMITS)));
        Self { consume: Arc::new(consume), runtime: Handle::current(), room, call }
    }

    async fn consume(self, batch: Vec<ReceivedMessage>) -> Result<ConsumedDirectly, Unanswered> {
        let busy = |_| Unanswered("the listener has as many messages as it takes at once".to_owned());
        let permit = Arc::clone(&self.room).try_acquire_owned().map_err(busy)?;
        let began = Instant::now();
        let consuming = (self.consume)(batch);
        // Its room is taken until it ends, whoever still waits.
        let running = self.runtime.spawn(async move {
            let _permit = permit;
            consuming.await
        });
        let (result, remark) = match timeout(PATIENCE, running).await {
            Ok(Ok(Outcome::Consumed)) => ("CR_SUCCESS", None),
            Ok(Ok(_)) => ("CR_LATER", None),
            Ok(Err(_)) => ("CR_THROW_EXCEPTION", Some("the listener panicked".to_owned())),
            Err(_) => ("CR_LATER", Some(format!("the listener takes longer than {PATIENCE:?}"))),
        };
        Ok(ConsumedDirectly {
            auto_commit: true,
            consume_result: Some(result.to_owned()),
            order: self.call == Call::InOrder,
            remark,
            spent_time_mills: i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX),
        })
    }
}

/// The owner.
pub(in crate::client) struct Inquiries {
    core: Arc<Hub>,
    options: Arc<PushOptions>,
    shares: Addr<Shares>,
    direct: Direct,
    started_ms: i64,
}

/// Why a question is not answered.
struct Unanswered(String);

impl<E: std::error::Error> From<E> for Unanswered {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

type Answer = Result<Vec<u8>, Unanswered>;

impl Inquiries {
    pub(in crate::client) fn new(
        core: Arc<Hub>,
        options: Arc<PushOptions>,
        shares: Addr<Shares>,
        direct: Direct,
    ) -> Self {
        Self { core, options, shares, direct, started_ms: now_ms() }
    }

    /// 220: oneway.
    fn reset(&self, request: &PeerRequest) {
        let (Ok(header), Ok(body)) = (request.ext.decode::<ResetOffsetRequest>(), ResetOffsets::decode(&request.body))
        else {
            tracing::warn!(group = self.options.group, "a broker's notice of new offsets cannot be read");
            return;
        };
        let of_topic =
            body.offset_table.into_iter().filter(|(queue, offset)| queue.topic == header.topic && *offset >= 0);
        let known = |(queue, offset): (queue::MessageQueue, i64)| {
            let number = u32::try_from(queue.queue_id).ok()?;
            Some((MessageQueue::new(&queue.topic, &queue.broker_name, number), offset))
        };
        self.shares.do_send(ResetTo(of_topic.filter_map(known).collect()));
    }

    /// 221
    fn status(&self, request: &PeerRequest) -> impl Future<Output = Answer> + use<> {
        let header = request.ext.decode::<GetConsumerStatusRequest>();
        let standings = self.shares.send(Standings);
        async move {
            let header = header?;
            let of_topic = |standing: &Standing| *standing.queue.topic == *header.topic;
            let standings = standings.await?;
            let queues = standings.iter().filter(|standing| of_topic(standing) && standing.info.commit_offset >= 0);
            let message_queue_table = queues.map(|standing| (wire(&standing.queue), standing.info.commit_offset));
            let message_queue_table = message_queue_table.collect();
            Ok(ConsumerStatus { message_queue_table, ..ConsumerStatus::default() }.encode())
        }
    }

    /// 307
    fn running_info(&self) -> impl Future<Output = Answer> + use<> {
        let properties = self.properties();
        let (standings, wanted) = (self.shares.send(Standings), self.shares.send(Wanted));
        async move {
            let standings = standings.await?;
            let mut status_table: BTreeMap<String, ConsumeStatus> = BTreeMap::new();
            for standing in &standings {
                let status = status_table.entry(standing.queue.topic.to_string()).or_default();
                standing.figures.add_to(status);
            }
            let info = ConsumerRunningInfo {
                mq_table: standings.into_iter().map(|standing| (wire(&standing.queue), standing.info)).collect(),
                properties,
                status_table,
                subscription_set: wanted.await?,
                ..ConsumerRunningInfo::default()
            };
            Ok(info.encode())
        }
    }

    fn properties(&self) -> BTreeMap<String, String> {
        let pairs = [
            (property::NAME_SERVERS, self.core.options.name_servers.join(";")),
            (property::CONSUME_TYPE, "CONSUME_PASSIVELY".to_owned()),
            (property::CONSUME_ORDERLY, (self.direct.call == Call::InOrder).to_string()),
            (property::CONCURRENCY, self.options.concurrency.to_string()),
            (property::CLIENT_VERSION, version::CURRENT_NAME.to_owned()),
            (property::STARTED, self.started_ms.to_string()),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// 309
    fn consume(&self, request: &PeerRequest) -> impl Future<Output = Answer> + use<> {
        let batch = given(request);
        let direct = self.direct.clone();
        async move { Ok(direct.consume(batch?).await?.encode()) }
    }
}

/// The message that a broker gives with a request to consume it.
fn given(request: &PeerRequest) -> Result<Vec<ReceivedMessage>, Unanswered> {
    let header = request.ext.decode::<ConsumeMessageDirectlyResultRequest>()?;
    let record = Record::read(&request.body)?;
    let broker = header.broker_name.unwrap_or_default();
    let queue = Arc::new(MessageQueue::new(record.topic, &broker, record.queue));
    Ok(received::read(&queue, &request.body)?)
}

fn wire(queue: &MessageQueue) -> queue::MessageQueue {
    queue::MessageQueue {
        topic: queue.topic.to_string(),
        broker_name: queue.broker.to_string(),
        queue_id: i32::try_from(queue.queue).unwrap_or(i32::MAX),
    }
}

/// Answers when `answer` is there. Where that cannot be sent, the broker's own time-out tells it.
fn answer_later(request: PeerRequest, answer: impl Future<Output = Answer> + 'static) {
    drop(actix::spawn(async move {
        let sent = match answer.await {
            Ok(body) => request.answer(ResponseCode::Success.number(), None, &(), &body),
            Err(Unanswered(reason)) => request.answer(ResponseCode::SystemError.number(), Some(&reason), &(), b""),
        };
        if let Err(error) = sent {
            tracing::warn!(code = request.code, %error, "a broker's question was not answered");
        }
    }));
}

impl Actor for Inquiries {
    type Context = Context<Self>;
}

impl Handler<Inquiry> for Inquiries {
    type Result = ();

    fn handle(&mut self, Inquiry(request): Inquiry, _: &mut Context<Self>) {
        match RequestCode::from_number(request.code) {
            RequestCode::ResetConsumerClientOffset => self.reset(&request),
            RequestCode::GetConsumerStatusFromClient => {
                let answer = self.status(&request);
                answer_later(request, answer);
            }
            RequestCode::GetConsumerRunningInfo => answer_later(request, self.running_info()),
            RequestCode::ConsumeMessageDirectly => {
                let answer = self.consume(&request);
                answer_later(request, answer);
            }
            other => tracing::warn!(%other, "no consumer answers this"),
        }
    }
}
