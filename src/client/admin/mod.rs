//! Questions and orders of an administrator: topics, groups, offsets, brokers, messages and who is connected.
//!
//! Works against our servers and Apache RocketMQ's alike. What concerns several brokers asks all of them at once, and
//! fails when one of them does: half an answer would be a wrong one.
//!
//! ```no_run
//! # async fn example() -> Result<(), actormq::client::ClientError> {
//! use actormq::client::admin::{Place, TopicConfig};
//! use actormq::client::{Client, ClientOptions};
//!
//! let client = Client::connect(ClientOptions::new("127.0.0.1:9876")).await?;
//! let admin = client.admin();
//! let config = TopicConfig { topic_name: "orders".into(), ..TopicConfig::default() };
//! admin.put_topic(&config, &[], &Place::Everywhere).await?;
//! for queue in admin.progress("billing", Some("orders")).await? {
//!     println!("{}/{} has {} messages to go", queue.broker, queue.queue, queue.lag);
//! }
//! client.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod asking;
mod cluster;
mod connections;
mod dead_letters;
mod groups;
mod messages;
mod offsets;
mod runtime;
mod topics;
mod traces;

use std::sync::Arc;

use futures_util::future::join_all;
use serde::Serialize;
use tokio::sync::oneshot;

pub use self::asking::{ConsumeStatus, ConsumedDirectly, ConsumerRunningInfo, ProcessQueueInfo};
pub use self::cluster::{BrokerPlace, Cluster, Place};
pub use self::connections::{ConsumerGroup, Member, ProducerMember, Subscribed};
pub use self::dead_letters::{QueueSpan, Resend};
pub use self::groups::is_system_group;
pub use self::messages::KeyQuery;
pub use self::offsets::{QueueProgress, Reset, ResetQueue, ResetTo};
pub use self::runtime::{BrokerStatus, Rates, release};
pub use self::topics::{AttributeChange, QueueStatus, RoutePart, TopicKind, TopicStatus};
use super::error::ClientError;
use super::hub::{Hub, ask};
use super::name_servers::NameServers;
use crate::protocol::body::Body;
pub use crate::protocol::body::groups::SubscriptionGroupConfig as GroupConfig;
pub use crate::protocol::body::topics::TopicConfig;
use crate::protocol::code::{RequestCode, ResponseCode};
pub use crate::protocol::trace::{Consumed, Consuming, Sent, Step, Stored};
use crate::remoting::channel::Reply;

/// An administrator's view of the brokers that the client's name servers know. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Admin {
    hub: Arc<Hub>,
    name_servers: Arc<NameServers>,
}

/// Something that one broker holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Placed<T> {
    /// The broker's name.
    pub broker: String,
    pub config: T,
}

impl Admin {
    pub(super) fn new(hub: Arc<Hub>) -> Self {
        let name_servers = Arc::new(hub.name_servers());
        Self { hub, name_servers }
    }

    /// Runs `work` on the client's thread, which drives its sockets.
    async fn at_home<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, ClientError> {
        let (done, is_done) = oneshot::channel();
        self.hub.spawn(async move {
            // Who asked may have given up.
            let _ = done.send(work.await);
        });
        is_done.await.map_err(|_| ClientError::ShutDown)
    }

    /// Asks whichever name server answers, and takes only success for an answer.
    async fn ask_name_server<T>(&self, code: RequestCode, header: T) -> Result<Reply, ClientError>
    where
        T: Serialize + Send + Sync + 'static,
    {
        let servers = Arc::clone(&self.name_servers);
        let reply = self.at_home(async move { servers.ask(code.number(), &header).await }).await??;
        successful(reply)
    }

    /// Tells every name server; they do not talk to each other.
    async fn tell_name_servers<T>(&self, code: RequestCode, header: T) -> Result<(), ClientError>
    where
        T: Serialize + Clone + Send + Sync + 'static,
    {
        let all = Arc::clone(&self.name_servers);
        for server in self.at_home(async move { all.each().await }).await?? {
            let header = header.clone();
            let reply = self.at_home(async move { server.ask(code.number(), &header).await }).await??;
            successful(reply)?;
        }
        Ok(())
    }

    async fn ask_broker<T>(
        &self,
        address: &str,
        code: RequestCode,
        header: &T,
        body: &[u8],
    ) -> Result<Reply, ClientError>
    where
        T: Serialize + ?Sized,
    {
        let channel = self.hub.channel(address).await?;
        ask(&channel, code, header, body, self.hub.options.request_timeout).await
    }

    /// Asks each broker; the answers are in the order of the brokers.
    async fn ask_each<T, R>(
        &self,
        brokers: &[BrokerPlace],
        code: RequestCode,
        header: &T,
        read: impl Fn(&BrokerPlace, &Reply) -> Result<R, ClientError>,
    ) -> Result<Vec<R>, ClientError>
    where
        T: Serialize + ?Sized,
    {
        let asked = brokers.iter().map(|broker| self.ask_broker(&broker.address, code, header, b""));
        let replies = join_all(asked).await.into_iter();
        brokers.iter().zip(replies).map(|(broker, reply)| read(broker, &reply?)).collect()
    }
}

fn successful(reply: Reply) -> Result<Reply, ClientError> {
    if reply.code == ResponseCode::Success.number() {
        return Ok(reply);
    }
    let remark = reply.remark.unwrap_or_default();
    Err(ClientError::Refused { address: "the name server".to_owned(), code: reply.code, remark })
}

fn body<B: Body>(from: &str, reply: &Reply) -> Result<B, ClientError> {
    B::decode(&reply.body).map_err(|error| unreadable(from, error))
}

fn unreadable(from: &str, error: impl ToString) -> ClientError {
    ClientError::Answer { address: from.to_owned(), reason: error.to_string() }
}

/// What a broker says of things that it does not have is no error where others may have them.
fn unless_absent<T>(answer: Result<T, ClientError>, absent: &[ResponseCode]) -> Result<Option<T>, ClientError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(ClientError::Refused { code, .. }) if absent.contains(&ResponseCode::from_number(code)) => Ok(None),
        Err(error) => Err(error),
    }
}
