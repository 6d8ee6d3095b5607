//! What the owner of the members hears, and its answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::oneshot;

use super::subscription::{ConsumeFromWhere, ConsumeType, GroupSubscriptions, MessageModel, Subscription};
use crate::actors::{ConnectionId, Peer, Push};
use crate::protocol::names::Group;

/// A client as its heartbeat and its frames describe it.
#[derive(Debug, Clone)]
pub struct Client {
    pub peer: Peer,
    pub id: Arc<str>,
    /// Ordinals of language and version.
    pub language: u8,
    pub version: i32,
}

/// One consumer group of a heartbeat.
#[derive(Debug, Clone)]
pub struct Consumer {
    pub group: Group,
    pub consume_type: Option<ConsumeType>,
    pub model: Option<MessageModel>,
    pub from: Option<ConsumeFromWhere>,
    pub subscriptions: Vec<Subscription>,
}

/// From a session: a client is there. Sent before the [`Disconnected`] of its connection, by the same session; one that
/// comes after it all the same registers nobody.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Heartbeat {
    pub client: Client,
    /// Hash of the client's subscriptions; 0 from clients that do not know of it.
    pub fingerprint: i32,
    /// The subscriptions were left out, for the broker is thought to know them.
    pub without_subscriptions: bool,
    pub consumers: Vec<Consumer>,
    pub producers: Vec<Arc<str>>,
    /// Not answered when the broker is stopping.
    pub reply: oneshot::Sender<HeartbeatReply>,
}

/// Answer to a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeartbeatReply {
    /// The next heartbeat has to bring the subscriptions.
    pub send_subscriptions: bool,
}

/// From a session: a client leaves these groups.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Unregister {
    pub connection: ConnectionId,
    pub client_id: String,
    pub producer_group: Option<String>,
    pub consumer_group: Option<String>,
}

/// From a session that ends: whoever was behind the connection is gone.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub struct Disconnected {
    pub connection: ConnectionId,
}

/// Asks for the client ids of a group's consumers, each once, in order; none for a group that is not there.
#[derive(Message, Debug)]
#[rtype(result = "Vec<Arc<str>>")]
pub struct ListConsumerIds {
    pub group: Group,
}

/// Asks for the consumers of a group.
#[derive(Message, Debug)]
#[rtype(result = "Option<Consumers>")]
pub struct ListConsumers {
    pub group: Group,
}

/// The consumers of a group: at least one.
#[derive(Debug, Clone)]
pub struct Consumers {
    pub subscriptions: Arc<GroupSubscriptions>,
    pub clients: Vec<Client>,
}

/// Asks for the producers of one group, or of all.
#[derive(Message, Debug)]
#[rtype(result = "BTreeMap<Arc<str>, Vec<Producer>>")]
pub struct ListProducers {
    pub group: Option<String>,
}

/// A producer.
#[derive(Debug, Clone)]
pub struct Producer {
    pub client: Client,
    /// Milliseconds since 1970 of the last heartbeat.
    pub seen_ms: i64,
}

/// Tells this to one producer of the group, another each time. Lost when none is there.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct AskProducer {
    pub group: Arc<str>,
    pub push: Push,
}

/// Asks for the way to the client of that id, where it is a producer, of whatever group.
#[derive(Message, Debug)]
#[rtype(result = "Option<Client>")]
pub struct FindProducer {
    pub client_id: String,
}

/// Asks for the way to one consumer.
#[derive(Message, Debug)]
#[rtype(result = "Option<Client>")]
pub struct FindConsumer {
    pub group: Group,
    pub client_id: String,
}
