//! Settings: what a role of ActorMQ can be told, by whom, and whether it fits together.
//!
//! One struct per role, [`BrokerConfig`] and [`NamesrvConfig`], and [`ProcessConfig`] for what they share. [`load`] reads the
//! sources, the strongest first: command line, environment, file, defaults. Keys are RocketMQ's own; the table `keys.tsv`
//! knows all of them, and those without a field here are accepted and named in one notice.

mod broker;
mod host;
mod keys;
mod namesrv;
mod provenance;
mod values;

pub use broker::{
    BrokerConfig, BrokerNetwork, BrokerRole, ClientRules, DelayRules, FlushConfig, FlushMode, Identity, PullRules,
    Registration, RetentionConfig, SendRules, StoreConfig, StoreKind, TopicRules,
};
pub use namesrv::{NamesrvConfig, NamesrvFiles, NamesrvNetwork, RouteRules};
pub use values::{DelayLevels, NamesrvAddress};

/// Where the files are, unless something else is set.
pub const DATA_DIR: &str = "./actormq-data";
