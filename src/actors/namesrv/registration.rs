//! What a broker says of itself, what it is told, and why it may be refused.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Name;
use super::published::{Group, Share};
use super::shares::ShareError;
use crate::actors::ConnectionId;
use crate::protocol::body::static_topics::TopicQueueMappingInfo;
use crate::protocol::body::version::DataVersion;

/// Most broker processes that may be registered at once.
pub const BROKERS_MAX: usize = 10_000;
/// Longest name or address of a broker, a cluster or a zone, in bytes.
pub const BROKER_NAME_BYTES_MAX: usize = 255;
/// Most filter servers that one broker may name.
pub const FILTER_SERVERS_MAX: usize = 64;

/// A broker's place: which group, and which of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub cluster: Name,
    /// Name of the group.
    pub group: Name,
    /// `host:port` that clients are to connect to.
    pub address: Name,
    /// [`MASTER_ID`], or a slave's above it.
    pub id: i64,
}

/// What a broker says of itself.
#[derive(Debug, Clone)]
pub struct Registration {
    pub broker: Identity,
    pub ha_address: Option<Name>,
    pub zone: Option<Name>,
    pub heartbeat_timeout: Duration,
    /// `None`: a broker too old to say.
    pub acting_master: Option<bool>,
    pub version: DataVersion,
    pub topics: Vec<(Name, Share)>,
    /// By topic.
    pub mappings: BTreeMap<String, TopicQueueMappingInfo>,
    /// `None`: leave them as they are.
    pub filter_servers: Option<Vec<Name>>,
    pub connection: ConnectionId,
}

/// What a broker is told when it registered: its master, when it is a slave of one that is here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registered {
    pub ha_address: Option<Name>,
    pub master_address: Option<Name>,
}

/// Why a broker was not registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistrationError {
    /// A change of one topic that came before the broker's first whole registration.
    #[error("register broker failed")]
    NotRegisteredYet,
    #[error("the broker's {what} has {bytes} bytes, 1 to {BROKER_NAME_BYTES_MAX} are allowed")]
    Name { what: &'static str, bytes: usize },
    #[error("{BROKERS_MAX} brokers are registered, no more are taken")]
    TooManyBrokers,
}

/// The lowest broker id of a group is another one now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LowestIdChange {
    pub group: Arc<Group>,
    /// The broker that left, when one did.
    pub left: Option<Name>,
    pub ha_address: Option<Name>,
}

/// What came of a registration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    pub told: Registered,
    /// Its process was not here before.
    pub is_new: bool,
    /// Another broker has the place, with a later state: nothing was changed.
    pub conflicts_with: Option<Name>,
    /// Topics and mappings that were not taken, and why the last one was not.
    pub left_out: Option<(usize, ShareError)>,
    pub lowest_id: Option<LowestIdChange>,
}

/// Everything that has a name has one of fitting length.
pub(super) fn check_names(registration: &Registration) -> Result<(), RegistrationError> {
    let broker = &registration.broker;
    let needed = [("cluster", &broker.cluster), ("name", &broker.group), ("address", &broker.address)];
    let optional = [("zone", &registration.zone), ("ha server address", &registration.ha_address)];
    let filter_servers = registration.filter_servers.iter().flatten().map(|server| ("filter server", server));
    let optional = optional.into_iter().filter_map(|(what, name)| Some((what, name.as_ref()?)));
    for (what, name) in needed.into_iter().chain(filter_servers) {
        if name.is_empty() || name.len() > BROKER_NAME_BYTES_MAX {
            return Err(RegistrationError::Name { what, bytes: name.len() });
        }
    }
    for (what, name) in optional {
        if name.len() > BROKER_NAME_BYTES_MAX {
            return Err(RegistrationError::Name { what, bytes: name.len() });
        }
    }
    Ok(())
}
