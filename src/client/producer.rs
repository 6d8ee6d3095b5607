//! Sending messages.

use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::error::{Access, ClientError};
use super::hub::{Hub, refused, unreadable};
use super::membership::{Join, Leave};
use super::message::{Message, SendReceipt, SendStatus};
use super::parcel::{self, Parcel};
use super::route::{NEW_TOPIC_QUEUES, Route};
use super::routes::Purpose;
use crate::protocol::code::{RequestCode, ResponseCode};
use crate::protocol::hash::hash;
use crate::protocol::header::send::{SendMessageRequestV2, SendMessageResponse};
use crate::protocol::names::{AUTO_CREATE_TOPIC, GROUP_BYTES_MAX, check_name};
use crate::protocol::properties::MSG_REGION;
use crate::remoting::channel::{Channel, Reply};
use crate::rules::assignment::MessageQueue;

/// Options of a [`Producer`]. The defaults are RocketMQ's.
#[derive(Debug, Clone)]
pub struct ProducerOptions {
    /// Names the producers that do the same work; brokers ask one of them about a transaction.
    pub group: String,
    /// For a whole send: routes, all tries, the answer.
    pub send_timeout: Duration,
    /// Further tries on another broker when one fails or is busy.
    pub retries: usize,
    /// Bodies of at least so many bytes are compressed (zlib).
    pub compress_from_bytes: usize,
}

impl ProducerOptions {
    #[must_use]
    pub fn new(group: impl Into<String>) -> Self {
        Self { group: group.into(), send_timeout: Duration::from_secs(3), retries: 2, compress_from_bytes: 4096 }
    }
}

/// Which queue a message goes to.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// Each in turn; another broker's when one fails.
    Any,
    /// This one; never another.
    Queue(&'a MessageQueue),
    /// Always the same for the same key, as long as the topic's queues stay the same; never another.
    Key(&'a str),
    /// The one at the index that this function gives for the topic's sorted queues, modulo their number; never another.
    Select(fn(&[Arc<MessageQueue>]) -> usize),
}

/// Sends messages. Cheap to share by reference; many sends may be under way at once.
///
/// ```no_run
/// # async fn example() -> Result<(), actormq::client::ClientError> {
/// use actormq::client::{Client, ClientOptions, Message};
/// let client = Client::connect(ClientOptions::default()).await?;
/// let producer = client.producer("shop").await?;
/// let receipt = producer.send(Message::new("orders", "hello")).await?;
/// println!("{} is in {}", receipt.message_id, receipt.queue);
/// producer.shutdown().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Producer {
    core: Arc<Hub>,
    options: ProducerOptions,
    turn: AtomicUsize,
    left: AtomicBool,
}

impl Producer {
    pub(super) async fn start(core: Arc<Hub>, options: ProducerOptions) -> Result<Self, ClientError> {
        let named = check_name(&options.group, GROUP_BYTES_MAX);
        named.map_err(|reason| ClientError::Name { kind: "group", name: options.group.clone(), reason })?;
        core.join(Join::Producer(options.group.clone())).await?;
        core.beat_later();
        // By chance, so that many producers do not begin with the same queue.
        let turn = AtomicUsize::new(RandomState::new().hash_one(&core.client_id) as usize >> 1);
        Ok(Self { core, options, turn, left: AtomicBool::new(false) })
    }

    /// Sends one message to any queue of its topic. Dropping the future gives up waiting; the message may arrive.
    ///
    /// # Errors
    /// [`ClientError`] when no broker took it within the send timeout and its tries.
    pub async fn send(&self, message: Message) -> Result<SendReceipt, ClientError> {
        self.send_to(message, Target::Any).await
    }

    /// Sends one message where `target` says.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn send_to(&self, message: Message, target: Target<'_>) -> Result<SendReceipt, ClientError> {
        let deadline = self.deadline();
        let parcel = parcel::single(&message, &self.core.unique_keys, self.options.compress_from_bytes).await?;
        self.deliver(&parcel, target, deadline).await
    }

    /// Sends messages of one topic together, in as few requests as fit; one receipt a request. When one fails, those
    /// before it were stored.
    ///
    /// # Errors
    /// As [`Self::send`], and when the messages are not of one topic or ask for what a batch cannot hold.
    pub async fn send_batch(&self, messages: &[Message]) -> Result<Vec<SendReceipt>, ClientError> {
        let deadline = self.deadline();
        let parcels = parcel::batches(messages, &self.core.unique_keys)?;
        let mut receipts = Vec::with_capacity(parcels.len());
        for parcel in &parcels {
            receipts.push(self.deliver(parcel, Target::Any, deadline).await?);
        }
        Ok(receipts)
    }

    /// Hands a message to the network and does not wait for the broker: it may be lost without a word.
    ///
    /// # Errors
    /// When there is no broker to send to or no room in the outbound buffer within the send timeout.
    pub async fn send_oneway(&self, message: Message) -> Result<(), ClientError> {
        let deadline = self.deadline();
        let parcel = parcel::single(&message, &self.core.unique_keys, self.options.compress_from_bytes).await?;
        let sending = async {
            let route = self.core.route(&parcel.topic, Purpose::Publish).await?;
            let queue = self.choose(&route, &parcel.topic, &Target::Any, None)?;
            let channel = self.core.master(&queue.broker).await?;
            let header = self.header(&parcel, &queue);
            let code = RequestCode::SendMessageV2.number();
            channel.oneway(code, &header, &parcel.body, self.options.send_timeout).await?;
            Ok(())
        };
        timeout_at(deadline, sending).await.unwrap_or_else(|_| Err(self.late(None)))
    }

    /// The queues of `topic` that may be written, sorted.
    ///
    /// # Errors
    /// When no name server answers or the topic does not exist and cannot be made by a first message.
    pub async fn queues(&self, topic: &str) -> Result<Vec<Arc<MessageQueue>>, ClientError> {
        Ok(self.core.route(topic, Purpose::Publish).await?.writable.clone())
    }

    /// Tells the brokers that this producer is no more. Sends under way go on.
    ///
    /// # Errors
    /// When the client was shut down.
    pub async fn shutdown(self) -> Result<(), ClientError> {
        self.left.store(true, Ordering::Relaxed);
        self.core.leave(Leave::Producer(self.options.group.clone())).await
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.options.send_timeout
    }

    async fn deliver(
        &self,
        parcel: &Parcel,
        target: Target<'_>,
        deadline: Instant,
    ) -> Result<SendReceipt, ClientError> {
        let tries = if matches!(target, Target::Any) { self.options.retries + 1 } else { 1 };
        let mut trouble = None;
        let mut avoid: Option<Arc<str>> = None;
        for _ in 0..tries {
            let Ok(tried) = timeout_at(deadline, self.attempt(parcel, &target, &mut avoid, trouble.is_some())).await
            else {
                return Err(self.late(trouble));
            };
            match tried {
                Ok(receipt) => return Ok(receipt),
                Err(error) if !is_worth_another_try(&error) => return Err(error),
                Err(error) => {
                    tracing::debug!(topic = %parcel.topic, %error, "send failed");
                    trouble = Some(error);
                }
            }
        }
        Err(trouble.unwrap_or(ClientError::ShutDown))
    }

    fn late(&self, trouble: Option<ClientError>) -> ClientError {
        let trouble = trouble.map_or_else(|| "no answer came".to_owned(), |error| error.to_string());
        ClientError::Timeout { what: "sending", after: self.options.send_timeout, trouble }
    }

    /// One try. Notes the broker in `avoid`, so that the next try takes another one.
    async fn attempt(
        &self,
        parcel: &Parcel,
        target: &Target<'_>,
        avoid: &mut Option<Arc<str>>,
        again: bool,
    ) -> Result<SendReceipt, ClientError> {
        let route = match again {
            // The broker may have gone and the name servers know it already.
            true => self.core.fresh_route(&parcel.topic, Purpose::Publish).await?,
            false => self.core.route(&parcel.topic, Purpose::Publish).await?,
        };
        let queue = self.choose(&route, &parcel.topic, target, avoid.as_deref())?;
        *avoid = Some(Arc::clone(&queue.broker));
        let channel = self.core.master(&queue.broker).await?;
        let code = if parcel.batch { RequestCode::SendBatchMessage } else { RequestCode::SendMessageV2 };
        let header = self.header(parcel, &queue);
        let reply = channel.request(code.number(), &header, &parcel.body, self.options.send_timeout).await?;
        receipt(&channel, &reply, parcel, &queue)
    }

    fn choose(
        &self,
        route: &Route,
        topic: &str,
        target: &Target<'_>,
        avoid: Option<&str>,
    ) -> Result<Arc<MessageQueue>, ClientError> {
        if let Target::Queue(queue) = target {
            return Ok(Arc::new((*queue).clone()));
        }
        let queues = &route.writable;
        let none = || ClientError::NoQueue { topic: topic.to_owned(), access: Access::Write };
        let index = match target {
            Target::Key(key) => {
                (hash(key) % i32::try_from(queues.len().max(1)).unwrap_or(i32::MAX)).unsigned_abs() as usize
            }
            Target::Select(select) => select(queues),
            Target::Any | Target::Queue(_) => {
                let turn = self.turn.fetch_add(1, Ordering::Relaxed);
                let elsewhere = |at: &usize| {
                    let queue = queues.get((turn + at) % queues.len());
                    queue.is_some_and(|queue| avoid != Some(queue.broker.as_ref()))
                };
                turn + (0..queues.len()).find(elsewhere).unwrap_or(0)
            }
        };
        let index = index.checked_rem(queues.len()).ok_or_else(none)?;
        queues.get(index).cloned().ok_or_else(none)
    }

    fn header<'a>(&'a self, parcel: &'a Parcel, queue: &'a MessageQueue) -> SendMessageRequestV2<'a> {
        SendMessageRequestV2 {
            producer_group: Cow::Borrowed(&self.options.group),
            topic: Cow::Borrowed(&parcel.topic),
            default_topic: Cow::Borrowed(AUTO_CREATE_TOPIC),
            default_topic_queue_nums: NEW_TOPIC_QUEUES,
            queue_id: i32::try_from(queue.queue).unwrap_or(i32::MAX),
            sys_flag: parcel.sys_flag,
            born_timestamp: parcel.born_timestamp_ms,
            flag: parcel.flag,
            properties: Cow::Borrowed(&parcel.properties),
            reconsume_times: Some(0),
            unit_mode: Some(false),
            max_reconsume_times: None,
            batch: Some(parcel.batch),
            broker_name: Cow::Borrowed(&queue.broker),
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        if !self.left.load(Ordering::Relaxed) {
            self.core.leave_later(Leave::Producer(self.options.group.clone()));
        }
    }
}

/// RocketMQ's list of codes that another broker may not answer with, and everything that is no answer.
fn is_worth_another_try(error: &ClientError) -> bool {
    match error {
        ClientError::Refused { code, .. } => matches!(
            ResponseCode::from_number(*code),
            ResponseCode::TopicNotExist
                | ResponseCode::ServiceNotAvailable
                | ResponseCode::SystemError
                | ResponseCode::SystemBusy
                | ResponseCode::NoPermission
                | ResponseCode::NoBuyerId
                | ResponseCode::NotInCurrentUnit
                | ResponseCode::GoAway
        ),
        ClientError::Channel(_) | ClientError::Answer { .. } | ClientError::NoBroker { .. } => true,
        _ => false,
    }
}

fn receipt(
    channel: &Channel,
    reply: &Reply,
    parcel: &Parcel,
    queue: &MessageQueue,
) -> Result<SendReceipt, ClientError> {
    let status = match ResponseCode::from_number(reply.code) {
        ResponseCode::Success => SendStatus::Stored,
        ResponseCode::FlushDiskTimeout => SendStatus::FlushDiskTimeout,
        ResponseCode::FlushSlaveTimeout => SendStatus::FlushSlaveTimeout,
        ResponseCode::SlaveNotAvailable => SendStatus::SlaveNotAvailable,
        _ => return Err(refused(channel, reply)),
    };
    let header: SendMessageResponse = reply.header().map_err(|error| unreadable(channel, error))?;
    let queue_id = u32::try_from(header.queue_id).map_err(|_| unreadable(channel, "a negative queue id"))?;
    Ok(SendReceipt {
        status,
        message_id: parcel.message_id.clone(),
        offset_message_id: header.msg_id,
        queue: MessageQueue { queue: queue_id, ..queue.clone() },
        queue_offset: header.queue_offset,
        transaction_id: header.transaction_id,
        region: reply.ext.field(MSG_REGION).map(Cow::into_owned),
    })
}
