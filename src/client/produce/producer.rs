//! Sending messages.

mod requesting;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::timeout_at;

use super::delivery::Courier;
use super::gathering::Gatherer;
use super::parcel;
use super::producer_options::{ProducerOptions, Target};
use crate::client::error::ClientError;
use crate::client::hub::Hub;
use crate::client::membership::{Join, Leave};
use crate::client::message::{Message, SendReceipt};
use crate::client::routes::Purpose;
use crate::client::trace::Tracer;
use crate::rules::assignment::MessageQueue;

/// Sends messages. Cheap to share by reference; many sends may be under way at once, and none of them needs a task.
///
/// ```no_run
/// # async fn example() -> Result<(), actormq::client::ClientError> {
/// use actormq::client::{Client, ClientOptions, Message};
/// use futures_util::future::try_join_all;
///
/// let client = Client::connect(ClientOptions::default()).await?;
/// let producer = client.producer("shop").await?;
/// let receipt = producer.send(Message::new("orders", "hello")).await?;
/// println!("{} is in {}", receipt.message_id, receipt.queue);
///
/// // A hundred at once: each future holds a slot for its answer, and requests share writes.
/// let sends = (0..100).map(|n| producer.send(Message::new("orders", format!("order {n}"))));
/// let receipts = try_join_all(sends).await?;
/// assert_eq!(receipts.len(), 100);
/// producer.shutdown().await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "messages are sent only when it is told to"]
#[derive(Debug)]
pub struct Producer {
    courier: Arc<Courier>,
    gatherer: Option<Arc<Gatherer>>,
    left: AtomicBool,
    /// Whether it made itself known to all brokers, for replies may come by way of any.
    known: AtomicBool,
    tracer: Option<Tracer>,
}

impl Producer {
    pub(in crate::client) async fn start(core: Arc<Hub>, options: ProducerOptions) -> Result<Self, ClientError> {
        options.check()?;
        core.join(Join::Producer(options.group.clone())).await?;
        core.beat_later();
        let gather = options.gather.clone();
        let courier = Arc::new(Courier::new(core, options));
        let gatherer = gather.map(|gather| Gatherer::new(Arc::clone(&courier), gather));
        let trace = courier.options.trace.as_deref();
        let tracer = trace.map(|topic| Tracer::start(&courier.core, &courier.options.group, topic));
        let (left, known) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Self { courier, gatherer, left, known, tracer })
    }

    /// Sends one message to any queue of its topic. Dropping the future gives up waiting; the message may arrive.
    ///
    /// # Errors
    /// [`ClientError`] when no broker took it within the send timeout and its tries.
    pub fn send(&self, message: Message) -> impl Future<Output = Result<SendReceipt, ClientError>> + Send {
        self.send_to(message, Target::Any)
    }

    /// Sends one message where `target` says.
    ///
    /// ```no_run
    /// # async fn example(producer: &actormq::client::Producer) -> Result<(), actormq::client::ClientError> {
    /// use actormq::client::{Message, Target};
    /// // What concerns one order stays in one queue, and so in order.
    /// producer.send_to(Message::new("orders", "paid").key("order-7"), Target::Key("order-7")).await?;
    /// producer.send_to(Message::new("orders", "last"), Target::Select(&|queues| queues.len() - 1)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Self::send`].
    #[expect(clippy::manual_async_fn, reason = "the future of an async fn has room for the message twice")]
    pub fn send_to<'a>(
        &'a self,
        message: Message,
        target: Target<'a>,
    ) -> impl Future<Output = Result<SendReceipt, ClientError>> + Send + 'a {
        async move {
            let begun = self.tracer.as_ref().and_then(|tracer| tracer.begin(&message)).map(Box::new);
            let gatherer = self.gatherer.as_ref().filter(|gatherer| gatherer.takes(&message));
            let sent = match gatherer {
                Some(gatherer) => gatherer.send(&message, target).await,
                None => self.courier.send(&message, target).await,
            };
            if let Some(begun) = begun {
                begun.end(sent.as_ref());
            }
            sent
        }
    }

    /// Sends messages of one topic together, in as few requests as fit; one receipt a request. When one fails, those
    /// before it were stored.
    ///
    /// # Errors
    /// As [`Self::send`], and when the messages are not of one topic or ask for what a batch cannot hold.
    pub async fn send_batch(&self, messages: &[Message]) -> Result<Vec<SendReceipt>, ClientError> {
        self.send_batch_to(messages, Target::Any).await
    }

    /// Sends messages of one topic together where `target` says.
    ///
    /// # Errors
    /// As [`Self::send_batch`].
    pub async fn send_batch_to(
        &self,
        messages: &[Message],
        target: Target<'_>,
    ) -> Result<Vec<SendReceipt>, ClientError> {
        let deadline = self.courier.deadline();
        let parcels = parcel::batches(messages, &self.courier.core.unique_keys)?;
        let mut receipts = Vec::with_capacity(parcels.len());
        for parcel in parcels {
            receipts.push(self.courier.deliver(&parcel, target, deadline).await?);
        }
        Ok(receipts)
    }

    /// Hands a message to the network and does not wait for the broker: it may be lost without a word.
    ///
    /// # Errors
    /// When there is no broker to send to or no room in the outbound buffer within the send timeout.
    pub async fn send_oneway(&self, message: Message) -> Result<(), ClientError> {
        self.send_oneway_to(message, Target::Any).await
    }

    /// The same to where `target` says.
    ///
    /// # Errors
    /// As [`Self::send_oneway`].
    pub async fn send_oneway_to(&self, message: Message, target: Target<'_>) -> Result<(), ClientError> {
        let deadline = self.courier.deadline();
        let mut parcel = parcel::single(message, &self.courier.core.unique_keys)?;
        parcel.compress(&self.courier.options).await;
        self.courier.hand_over(&parcel, target, deadline).await
    }

    /// The queues of `topic` that may be written, sorted.
    ///
    /// # Errors
    /// When no name server answers or the topic does not exist and cannot be made by a first message.
    pub async fn queues(&self, topic: &str) -> Result<Vec<Arc<MessageQueue>>, ClientError> {
        let route = timeout_at(self.courier.deadline(), self.courier.core.route(topic, Purpose::Publish)).await;
        Ok(route.unwrap_or_else(|_| Err(self.courier.late(None)))?.writable.clone())
    }

    /// Tells the brokers that this producer is no more. Sends under way go on.
    ///
    /// # Errors
    /// When the client was shut down.
    pub async fn shutdown(self) -> Result<(), ClientError> {
        self.left.store(true, Ordering::Relaxed);
        if let Some(tracer) = &self.tracer {
            tracer.flush().await;
        }
        self.courier.core.leave(Leave::Producer(self.courier.options.group.clone())).await
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        if !self.left.load(Ordering::Relaxed) {
            self.courier.core.leave_later(Leave::Producer(self.courier.options.group.clone()));
        }
    }
}
