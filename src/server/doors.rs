//! The ways from a broker's sessions to its actors, and what they publish.

use std::sync::Arc;

use crate::actors::catalog::groups::{GroupTable, Groups};
use crate::actors::catalog::members::{Members, SubscriptionTable};
use crate::actors::catalog::offsets::{Offsets, Resets};
use crate::actors::catalog::settings::{Current, Settings, SettingsVersion};
use crate::actors::catalog::statistics::Statistics;
use crate::actors::catalog::topics::{TopicTable, Topics};
use crate::actors::delay::{Delay, DelayProgress, Schedule};
use crate::actors::door::Door;
use crate::actors::extension::{Interceptors, Listeners};
use crate::actors::log::doors::LogDoors;
use crate::actors::queue_locks::{LockTable, QueueLocks};
use crate::actors::transactions::Transactions;
use crate::config::BrokerConfig;
use crate::metrics::Metrics;
use crate::server::filters::FilterDoor;

/// Everything that a request to a broker may need. Cheap to clone, the same for all sessions.
#[derive(Clone, Debug)]
pub struct BrokerDoors {
    pub settings: LiveSettings,
    pub topics: TopicDoor,
    pub groups: GroupDoor,
    pub offsets: OffsetDoor,
    pub members: MemberDoor,
    pub transactions: Door<Transactions>,
    pub log: LogDoors,
    pub delay: DelayDoor,
    pub extensions: Extensions,
    pub metrics: Arc<Metrics>,
    pub statistics: Door<Statistics>,
    pub identity: Identity,
}

/// Who the broker says it is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// `host:port` that clients are told to dial.
    pub address: Arc<str>,
    /// When the broker started, in milliseconds since 1970.
    pub started_ms: i64,
}

/// What a user's own actors add to a broker.
#[derive(Clone, Debug, Default)]
pub struct Extensions {
    pub filters: FilterDoor,
    pub interceptors: Interceptors,
    pub listeners: Listeners,
}

/// The topics: look into the table, ask the owner for changes.
#[derive(Clone, Debug)]
pub struct TopicDoor {
    pub table: Arc<TopicTable>,
    pub owner: Door<Topics>,
}

/// The consumer groups: look into the table, ask the owner for changes.
#[derive(Clone, Debug)]
pub struct GroupDoor {
    pub table: Arc<GroupTable>,
    pub owner: Door<Groups>,
}

/// The consumer offsets: ask the owner, for commits are messages and a look past them would miss some.
#[derive(Clone, Debug)]
pub struct OffsetDoor {
    pub resets: Arc<Resets>,
    pub owner: Door<Offsets>,
}

/// The delay levels: place messages in them, look how far they are, ask the owner for the rest.
#[derive(Clone, Debug)]
pub struct DelayDoor {
    pub schedule: Schedule,
    pub progress: Arc<DelayProgress>,
    pub owner: Door<Delay>,
}

/// The clients that are there: look into the subscriptions, ask the owner for who it is.
#[derive(Clone, Debug)]
pub struct MemberDoor {
    pub subscriptions: Arc<SubscriptionTable>,
    pub owner: Door<Members>,
    pub locks: LockDoor,
}

/// The locks of orderly consumers: look whether a group holds any, ask the owner for changes.
#[derive(Clone, Debug)]
pub struct LockDoor {
    pub table: Arc<LockTable>,
    pub owner: Door<QueueLocks>,
}

/// The settings while running: look at them, ask the owner for changes.
#[derive(Clone, Debug)]
pub struct LiveSettings {
    /// As they are now. Actors hold clones of it.
    pub current: Current,
    /// Counts updates.
    pub version: SettingsVersion,
    pub owner: Door<Settings>,
}

impl LiveSettings {
    /// The settings as they are now.
    #[must_use]
    pub fn now(&self) -> Arc<BrokerConfig> {
        self.current.load_full()
    }
}
