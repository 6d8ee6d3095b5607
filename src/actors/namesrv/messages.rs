//! What the name server hears, mostly from the sessions of brokers and administrators.

use actix::prelude::*;

use super::Name;
use super::key_values::KeyValueError;
use super::published::{BrokerKey, Share};
use super::registration::{Identity, Registered, Registration, RegistrationError};
use super::shares::ShareError;
use crate::actors::ConnectionId;
use crate::config::ConfigError;
use crate::protocol::body::version::DataVersion;

/// From a broker: at its start, every half minute, and when its topics change.
#[derive(Message, Debug)]
#[rtype(result = "Result<Registered, RegistrationError>")]
pub struct Register(pub Registration);

/// From a broker that stops.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Unregister(pub Identity);

/// From a session that ended: the brokers that registered over it are gone.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub struct Disconnected {
    pub connection: ConnectionId,
}

/// From a broker: it is still there.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Heartbeat(pub BrokerKey);

/// From a broker: does it have to register again? A heartbeat, too.
#[derive(Message, Debug)]
#[rtype(result = "Compared")]
pub struct CompareVersion {
    pub broker: BrokerKey,
    pub version: DataVersion,
}

/// Answer to [`CompareVersion`].
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// The broker has to register.
    pub is_changed: bool,
    /// What it registered last; `None` when it is not here.
    pub held: Option<DataVersion>,
}

/// From a broker, for one topic that is new: the groups' shares of it.
#[derive(Message, Debug)]
#[rtype(result = "Result<(), ShareError>")]
pub struct RegisterTopic {
    pub topic: Name,
    pub shares: Vec<(Name, Share)>,
}

/// From an administrator: the topic is to have no route in `cluster`, or anywhere.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct DeleteTopic {
    pub topic: Name,
    pub cluster: Option<Name>,
}

/// What becomes of the permissions of a group's topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writing {
    /// Nobody is to send to them.
    Wiped,
    /// They are for sending and pulling.
    Added,
}

/// From an administrator. Answers with the number of the group's topics.
#[derive(Message, Debug)]
#[rtype(result = "usize")]
pub struct SwitchWriting {
    pub group: Name,
    pub writing: Writing,
}

/// From an administrator. Answered when it is on disk.
#[derive(Message, Debug)]
#[rtype(result = "Result<(), KeyValueError>")]
pub struct PutKeyValue {
    pub namespace: String,
    pub key: String,
    pub value: String,
}

/// From an administrator. Answered when it is on disk.
#[derive(Message, Debug)]
#[rtype(result = "Result<(), KeyValueError>")]
pub struct DeleteKeyValue {
    pub namespace: String,
    pub key: String,
}

/// From an administrator: keys and values in order. All or none of them hold from the answer on; those that are read only at
/// the start, from the next start on.
#[derive(Message, Debug)]
#[rtype(result = "Result<(), ConfigError>")]
pub struct UpdateSettings(pub Vec<(String, String)>);
