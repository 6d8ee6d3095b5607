//! Sending messages that nobody gets before the producer's own work is done.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::delivery::Courier;
use super::parcel;
use super::producer_options::{ProducerOptions, Target};
use crate::client::consume::received::{self, ReceivedMessage};
use crate::client::error::{ClientError, MessageError};
use crate::client::hub::Hub;
use crate::client::membership::{Join, Leave};
use crate::client::message::{Message, SendReceipt, SendStatus};
use crate::client::routes::Purpose;
use crate::protocol::code::RequestCode;
use crate::protocol::header::transactions::{CheckTransactionStateRequest, EndTransactionRequest};
use crate::protocol::properties::{PRODUCER_GROUP, TRAN_MSG};
use crate::protocol::record::{FLAG_COMMITTED, FLAG_PREPARED, FLAG_ROLLBACK, Record};
use crate::protocol::uniq_key::decode_offset_id;
use crate::remoting::channel::PeerRequest;
use crate::rules::assignment::MessageQueue;

/// Questions of brokers that wait; more are dropped, and asked again.
const QUESTIONS_MAX: usize = 2_000;
/// Questions that a listener has at once.
const CHECKS_AT_ONCE: usize = 16;

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// Consumers get the message.
    Commit,
    /// Nobody ever gets it.
    Rollback,
    /// Not known yet: the broker asks later, this producer or another of its group.
    Unknown,
}

impl Resolution {
    fn number(self) -> i32 {
        match self {
            Self::Commit => FLAG_COMMITTED,
            Self::Rollback => FLAG_ROLLBACK,
            Self::Unknown => 0,
        }
    }
}

/// A message that the broker keeps and nobody gets yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HalfMessage {
    pub message: Message,
    /// Where it is kept. Its `message_id` is what [`TransactionListener::check`] sees too, whoever is asked.
    pub receipt: SendReceipt,
}

/// What came of sending in a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransactionReceipt {
    pub receipt: SendReceipt,
    pub resolution: Resolution,
}

/// The producer's own part of its transactions. A panic counts as [`Resolution::Unknown`].
pub trait TransactionListener: Send + Sync + 'static {
    /// Does the work that belongs to the message, once the broker has it. Not called when the broker says that it may not
    /// be as safe as it should: then the message is rolled back.
    fn execute(&self, half: &HalfMessage) -> impl Future<Output = Resolution> + Send;

    /// Says what became of that work, perhaps long ago and in another process of the same group. A broker asks when the
    /// end of a transaction did not reach it, or was not known.
    fn check(&self, message: ReceivedMessage) -> impl Future<Output = Resolution> + Send;
}

/// Sends messages in transactions: the broker keeps a message, the listener does its own work, and only then consumers get
/// the message, or nobody does.
///
/// ```no_run
/// use actormq::client::{Client, HalfMessage, Message, ReceivedMessage, Resolution, TransactionListener};
///
/// struct Orders;
///
/// impl TransactionListener for Orders {
///     async fn execute(&self, half: &HalfMessage) -> Resolution {
///         println!("the order is written to the database under {}", half.receipt.message_id);
///         Resolution::Commit
///     }
///
///     async fn check(&self, message: ReceivedMessage) -> Resolution {
///         println!("is there an order under {}?", message.message_id());
///         Resolution::Rollback
///     }
/// }
///
/// # async fn example(client: &Client) -> Result<(), actormq::client::ClientError> {
/// let producer = client.transactional_producer("orders", Orders).await?;
/// let sent = producer.send(Message::new("orders", "order 7")).await?;
/// assert_eq!(sent.resolution, Resolution::Commit);
/// producer.shutdown().await
/// # }
/// ```
#[must_use = "messages are sent only when it is told to"]
#[derive(Debug)]
pub struct TransactionalProducer<L> {
    courier: Courier,
    listener: Arc<L>,
    answering: JoinHandle<()>,
    left: bool,
}

impl<L: TransactionListener> TransactionalProducer<L> {
    pub(in crate::client) async fn start(
        core: Arc<Hub>,
        options: ProducerOptions,
        listener: L,
    ) -> Result<Self, ClientError> {
        options.check()?;
        let group = options.group.clone();
        let (ask, questions) = mpsc::channel(QUESTIONS_MAX);
        core.join(Join::TransactionalProducer(group.clone(), ask)).await?;
        core.beat_later();
        let listener = Arc::new(listener);
        let answering = Handle::current().spawn(answer_all(Arc::clone(&listener), group, questions));
        Ok(Self { courier: Courier::new(core, options), listener, answering, left: false })
    }

    /// Sends one message in a transaction, with the listener's work in the middle. When the broker does not hear the end, it
    /// asks; so is it when the future is dropped.
    ///
    /// # Errors
    /// [`ClientError`] when no broker took the message, or it has a delay, which a transaction cannot; nothing was
    /// executed then.
    pub async fn send(&self, message: Message) -> Result<TransactionReceipt, ClientError> {
        self.send_to(message, Target::Any).await
    }

    /// The same for a message that goes where `target` says, once it is committed.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn send_to(&self, message: Message, target: Target<'_>) -> Result<TransactionReceipt, ClientError> {
        if message.is_delayed() {
            return Err(ClientError::Message(MessageError::DelayedTransaction));
        }
        let deadline = self.courier.deadline();
        let group = &self.courier.options.group;
        let half = message.clone().property(TRAN_MSG, "true").property(PRODUCER_GROUP, group);
        let mut parcel = parcel::single(half, &self.courier.core.unique_keys)?;
        parcel.compress(&self.courier.options).await;
        parcel.sys_flag |= FLAG_PREPARED;
        let receipt = self.courier.deliver(&parcel, target, deadline).await?;
        let half = HalfMessage { message, receipt };
        let resolution = match half.receipt.status {
            SendStatus::Stored => settled(self.listener.execute(&half)).await,
            _ => Resolution::Rollback,
        };
        if let Err(error) = self.end(&half, resolution).await {
            tracing::warn!(id = %half.receipt.message_id, %error, "the end of a transaction was not told; the broker will ask");
        }
        Ok(TransactionReceipt { receipt: half.receipt, resolution })
    }

    /// Lets the brokers of a topic know of this producer before it sends anything, so that they can ask about transactions
    /// that others of its group left open.
    ///
    /// # Errors
    /// When the topic does not exist, no name server answers or the client was shut down.
    pub async fn answer_for(&self, topic: &str) -> Result<(), ClientError> {
        self.courier.core.route(topic, Purpose::Existing).await?;
        self.courier.core.beat_now().await
    }

    async fn end(&self, half: &HalfMessage, resolution: Resolution) -> Result<(), ClientError> {
        let receipt = &half.receipt;
        let id = || receipt.offset_message_id.to_string();
        let (_, offset) = decode_offset_id(&receipt.offset_message_id)
            .map_err(|error| ClientError::MessageId { id: id(), reason: error.to_string() })?;
        let header = EndTransactionRequest {
            topic: Some(half.message.topic()),
            producer_group: &self.courier.options.group,
            tran_state_table_offset: receipt.queue_offset,
            commit_log_offset: i64::try_from(offset).unwrap_or(i64::MAX),
            commit_or_rollback: resolution.number(),
            from_transaction_check: false,
            msg_id: &receipt.message_id,
            transaction_id: receipt.transaction_id.as_deref(),
        };
        let channel = self.courier.core.master(&receipt.queue.broker).await?;
        let wait = self.courier.core.options.request_timeout;
        Ok(channel.oneway(RequestCode::EndTransaction.number(), &header, b"", wait).await?)
    }

    /// Answers no more questions, and tells the brokers that this producer is no more.
    ///
    /// # Errors
    /// When the client was shut down.
    pub async fn shutdown(mut self) -> Result<(), ClientError> {
        self.left = true;
        self.answering.abort();
        self.courier.core.leave(Leave::Producer(self.courier.options.group.clone())).await
    }
}

impl<L> Drop for TransactionalProducer<L> {
    fn drop(&mut self) {
        self.answering.abort();
        if !self.left {
            self.courier.core.leave_later(Leave::Producer(self.courier.options.group.clone()));
        }
    }
}

async fn settled(resolving: impl Future<Output = Resolution>) -> Resolution {
    AssertUnwindSafe(resolving).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!("a transaction's listener panicked; the broker will ask");
        Resolution::Unknown
    })
}

async fn answer_all<L: TransactionListener>(
    listener: Arc<L>,
    group: String,
    mut questions: mpsc::Receiver<PeerRequest>,
) {
    let (listener, group) = (&listener, &group);
    stream::poll_fn(move |context| questions.poll_recv(context))
        .for_each_concurrent(CHECKS_AT_ONCE, |question| async move {
            if let Err(reason) = answer(listener.as_ref(), group, &question).await {
                tracing::warn!(%reason, "a question about a transaction was not answered");
            }
        })
        .await;
}

/// Over the connection that the question came by: other brokers know nothing of the transaction.
async fn answer<L: TransactionListener>(listener: &L, group: &str, question: &PeerRequest) -> Result<(), String> {
    let asked: CheckTransactionStateRequest = question.ext.decode().map_err(|error| error.to_string())?;
    let message = asked_about(&question.body, asked.broker_name.as_deref().unwrap_or_default())?;
    let (topic, id) = (message.topic().to_owned(), message.message_id());
    let resolution = settled(listener.check(message)).await;
    let header = EndTransactionRequest {
        topic: Some(&topic),
        producer_group: group,
        tran_state_table_offset: asked.tran_state_table_offset,
        commit_log_offset: asked.commit_log_offset,
        commit_or_rollback: resolution.number(),
        from_transaction_check: true,
        msg_id: &id,
        transaction_id: asked.transaction_id.as_deref(),
    };
    question.tell(RequestCode::EndTransaction.number(), &header, b"").map_err(|error| error.to_string())
}

fn asked_about(body: &Bytes, broker: &str) -> Result<ReceivedMessage, String> {
    let record = Record::read(body).map_err(|error| error.to_string())?;
    let queue = Arc::new(MessageQueue::new(record.topic, broker, record.queue));
    let messages = received::read(&queue, body).map_err(|error| error.to_string())?;
    messages.into_iter().next().ok_or_else(|| "it is about no message".to_owned())
}
