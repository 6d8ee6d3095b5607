//! Producers and consumers for Rust programs, for our brokers and for Apache RocketMQ's.
//!
//! A [`Client`] owns a thread on which its actors and sockets live; producers and consumers made from it are handles
//! that work in any tokio runtime. Several clients may live in one process; nothing is shared between them, since
//! brokers know a group's members by their connections.
//!
//! ```no_run
//! # #[actix::main]
//! # async fn main() -> Result<(), actormq::client::ClientError> {
//! use actormq::client::{Client, ClientOptions, Message, Outcome, PushOptions, ReceivedMessage};
//!
//! let client = Client::connect(ClientOptions::new("127.0.0.1:9876")).await?;
//! let producer = client.producer("greeters").await?;
//! producer.send(Message::new("greetings", "hello").tag("morning")).await?;
//!
//! let consumer = client
//!     .push_consumer(PushOptions::new("listeners"))
//!     .subscribe("greetings", "*")
//!     .start(|batch: Vec<ReceivedMessage>| async move {
//!         for message in &batch {
//!             println!("{}", String::from_utf8_lossy(&message.body));
//!         }
//!         Outcome::Consumed
//!     })
//!     .await?;
//! consumer.shutdown().await?;
//! client.shutdown().await;
//! # Ok(())
//! # }
//! ```

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
mod name_servers;
mod options;
mod parcel;
mod producer;
mod route;
mod routes;

pub use self::consume::backlog::FlowLimits;
pub use self::consume::desk::{Listener, Outcome};
pub use self::consume::pull_consumer::{PullConsumer, PullOptions};
pub use self::consume::push_consumer::{PushConsumer, PushConsumerBuilder};
pub use self::consume::push_options::{PushOptions, StartFrom, YoungTopics};
pub use self::consume::received::ReceivedMessage;
pub use self::consume::subscription::Filter;
pub use self::error::{Access, ClientError, MessageError};
use self::hub::Hub;
pub use self::message::{BODY_BYTES_MAX, Message, SendReceipt, SendStatus};
pub use self::options::{ClientOptions, NAME_SERVER};
pub use self::producer::{Producer, ProducerOptions, Target};
pub use self::route::NEW_TOPIC_QUEUES;
use self::routes::Purpose;
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

    /// A consumer that reads the queues it is told to, with RocketMQ's defaults.
    ///
    /// # Errors
    /// When the group's name cannot be used, or the client has a consumer of the group already.
    pub async fn pull_consumer(&self, group: impl Into<String>) -> Result<PullConsumer, ClientError> {
        self.pull_consumer_with(PullOptions::new(group)).await
    }

    /// A consumer that reads the queues it is told to, with options of its own.
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
