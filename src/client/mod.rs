//! Producers and consumers for Rust programs, for our brokers and for Apache RocketMQ's.
//!
//! # A first program
//!
//! Three things take part: a *name server* knows which *broker* has which topic, and a [`Client`] of yours asks it. Here
//! [`embed::Cluster`](crate::embed::Cluster) brings both servers along, so this runs as it stands; in earnest you give
//! [`ClientOptions::new`] the addresses of yours.
//!
//! ```
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use actormq::client::{Client, ClientOptions, Message, Outcome, PushOptions, ReceivedMessage, StartFrom};
//! use actormq::embed::Cluster;
//!
//! let cluster = Cluster::start().await?;
//! let client = Client::connect(ClientOptions::new(cluster.name_server())).await?;
//!
//! // A producer belongs to a group, whose members do the same work. The first message makes the topic, with four
//! // queues; messages go to them in turn.
//! let producer = client.producer("greeters").await?;
//! let receipt = producer.send(Message::new("greetings", "hello").tag("morning")).await?;
//! println!("{} is in {}", receipt.message_id, receipt.queue);
//!
//! // A consumer belongs to a group too: its members share the queues, and the broker keeps how far the group came. The
//! // listener is any async function; what it did not consume comes again.
//! let (heard, mut hears) = tokio::sync::mpsc::unbounded_channel();
//! let listener = move |batch: Vec<ReceivedMessage>| {
//!     let heard = heard.clone();
//!     async move {
//!         let sent = batch.into_iter().try_for_each(|message| heard.send(message.body));
//!         if sent.is_ok() { Outcome::Consumed } else { Outcome::Later }
//!     }
//! };
//! let options = PushOptions { start_from: StartFrom::First, ..PushOptions::new("listeners") };
//! let consumer = client.push_consumer(options).subscribe("greetings", "morning || evening").start(listener).await?;
//! assert_eq!(hears.recv().await.unwrap(), "hello");
//!
//! // In this order nothing is lost and nothing comes again: the consumer commits what its listener consumed.
//! consumer.shutdown().await?;
//! producer.shutdown().await?;
//! client.shutdown().await;
//! # cluster.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What is there
//!
//! | you want | take |
//! |---|---|
//! | to send | [`Producer`]: one message, many at once, batches, oneway; to a queue, by key ([`Target`]); gathered ([`Gather`]) |
//! | messages later, or in a transaction | [`Message::delay_level`], [`TransactionalProducer`] |
//! | messages as they come | [`PushConsumer`], whose listener is an async function or, by [`ToActor`], an actor |
//! | the messages of a queue in order | [`PushConsumerBuilder::start_in_order`] |
//! | messages when you ask | [`PullConsumer`]: polls, one by one, or as a stream; seeks, pauses |
//! | every member to get everything | [`MessageModel::Broadcasting`] |
//! | servers for a test | [`embed::Cluster`](crate::embed::Cluster) |
//!
//! # Clients, threads and runtimes
//!
//! A [`Client`] owns a thread on which its actors and sockets live; producers and consumers made from it are handles that
//! work in any tokio runtime, also within actix. Listeners run on the runtime that started their consumer. Several clients
//! may live in one process; nothing is shared between them, since brokers know a group's members by their connections:
//! two members of one group in one process need two clients.
//!
//! Futures may be dropped at any time. A send that is dropped gives up waiting and may still arrive; a poll that is
//! dropped loses no message.
//!
//! # When something goes wrong
//!
//! Everything ends with a [`ClientError`] within the time that the options give it. [`ClientError::is_unreachable`] says that
//! nobody answered, [`ClientError::is_refusal`] that a server said no, and the text says what to do. A send that was
//! answered is stored; one that ended with an error may be stored all the same, so who sends again may send twice. In
//! the same way messages may come twice, when queues change hands or a process dies before it committed: make what
//! consumes them not mind.
//!
//! Connections that break are made again, brokers that go away are left out of the routes, name servers take each other's
//! place, and nothing of that needs your help.

use std::sync::Arc;

pub mod admin;
mod brokers;
mod consume;
mod error;
mod heartbeat;
mod home;
mod hub;
mod link;
mod membership;
mod message;
mod message_id;
mod name_servers;
mod options;
mod produce;
mod route;
mod routes;
mod trace;

pub use self::consume::backlog::FlowLimits;
pub use self::consume::desk::returns::Outcome;
pub use self::consume::desk::{Delivery, Listener, ToActor};
pub use self::consume::pull_consumer::PullConsumer;
pub use self::consume::pull_options::PullOptions;
pub use self::consume::push_consumer::{PushConsumer, PushConsumerBuilder};
pub use self::consume::push_options::{MessageModel, PushOptions, Retry, StartFrom, YoungTopics};
pub use self::consume::received::ReceivedMessage;
pub use self::consume::subscription::Filter;
pub use self::error::{Access, ClientError, MessageError};
use self::hub::Hub;
pub use self::message::{BODY_BYTES_MAX, Message, SendReceipt, SendStatus};
pub use self::message_id::MessageId;
pub use self::options::{ClientOptions, NAME_SERVER};
pub use self::produce::producer::Producer;
pub use self::produce::producer_options::{Gather, ProducerOptions, Target};
pub use self::produce::transaction::{
    HalfMessage, Resolution, TransactionListener, TransactionReceipt, TransactionalProducer,
};
pub use self::route::NEW_TOPIC_QUEUES;
use self::routes::Purpose;
pub use crate::protocol::compression::Compression;
pub use crate::protocol::names::{NameError, TRACE_TOPIC};
pub use crate::remoting::error::ChannelError;
pub use crate::remoting::lookup::LookupError;
pub use crate::remoting::tls::{Identity, ServerCheck, TlsOptions};
pub use crate::rules::assignment::{AssignmentError, MessageQueue, Rooms, Strategy};

/// A member of a cluster of brokers, with one client id and one connection to each broker. Clones are the same client.
/// Its thread ends with [`Client::shutdown`], or when the last handle made from it is gone.
#[derive(Debug, Clone)]
pub struct Client {
    core: Arc<Hub>,
}

impl Client {
    /// Starts a client. Servers are reached when they are first needed, so this succeeds without any.
    ///
    /// # Errors
    /// When an option cannot be used.
    pub async fn connect(options: ClientOptions) -> Result<Self, ClientError> {
        Ok(Self { core: Arc::new(Hub::start(options).await?) })
    }

    /// A producer with RocketMQ's defaults.
    ///
    /// # Errors
    /// When the group's name cannot be used.
    pub async fn producer(&self, group: impl Into<String>) -> Result<Producer, ClientError> {
        self.producer_with(ProducerOptions::new(group)).await
    }

    /// A producer with options of its own.
    ///
    /// # Errors
    /// When the group's name cannot be used.
    pub async fn producer_with(&self, options: ProducerOptions) -> Result<Producer, ClientError> {
        Producer::start(Arc::clone(&self.core), options).await
    }

    /// A producer that sends in transactions, with RocketMQ's defaults. Its listener is asked on the tokio runtime that this
    /// is called in.
    ///
    /// # Errors
    /// When the group's name cannot be used.
    pub async fn transactional_producer<L: TransactionListener>(
        &self,
        group: impl Into<String>,
        listener: L,
    ) -> Result<TransactionalProducer<L>, ClientError> {
        self.transactional_producer_with(ProducerOptions::new(group), listener).await
    }

    /// The same with options of its own. Sends in transactions are never gathered.
    ///
    /// # Errors
    /// As [`Self::transactional_producer`].
    pub async fn transactional_producer_with<L: TransactionListener>(
        &self,
        options: ProducerOptions,
        listener: L,
    ) -> Result<TransactionalProducer<L>, ClientError> {
        TransactionalProducer::start(Arc::clone(&self.core), options, listener).await
    }

    /// A consumer that is asked for messages, with RocketMQ's defaults.
    ///
    /// # Errors
    /// When the group's name cannot be used, or the client has a consumer of the group already.
    pub async fn pull_consumer(&self, group: impl Into<String>) -> Result<PullConsumer, ClientError> {
        self.pull_consumer_with(PullOptions::new(group)).await
    }

    /// A consumer that is asked for messages, with options of its own.
    ///
    /// # Errors
    /// As [`Self::pull_consumer`].
    pub async fn pull_consumer_with(&self, options: PullOptions) -> Result<PullConsumer, ClientError> {
        PullConsumer::start(Arc::clone(&self.core), options).await
    }

    /// A consumer that shares its group's queues and hands messages to a listener.
    pub fn push_consumer(&self, options: PushOptions) -> PushConsumerBuilder {
        PushConsumerBuilder::new(Arc::clone(&self.core), options)
    }

    /// Questions and orders of an administrator.
    #[must_use]
    pub fn admin(&self) -> admin::Admin {
        admin::Admin::new(Arc::clone(&self.core))
    }

    /// The queues of `topic` that may be read, sorted.
    ///
    /// # Errors
    /// When no name server answers or the topic does not exist.
    pub async fn queues(&self, topic: &str) -> Result<Vec<MessageQueue>, ClientError> {
        let route = self.core.route(topic, Purpose::Existing).await?;
        Ok(route.readable.iter().map(|queue| MessageQueue::clone(queue)).collect())
    }

    /// How brokers name this client.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.core.client_id
    }

    /// Ends the client's thread. What producers and consumers made from it do then fails with
    /// [`ClientError::ShutDown`]; shut them down first.
    pub async fn shutdown(self) {
        self.core.end().await;
    }
}
