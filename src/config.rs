//! Settings: what a role of ActorMQ can be told, by whom, and whether it fits together.
//!
//! One struct per role, [`BrokerConfig`] and [`NamesrvConfig`], and [`ProcessConfig`] for what they share. [`load`] reads the
//! sources, the strongest first: command line, environment, file, defaults. Keys are RocketMQ's own; the table `keys.tsv`
//! knows all of them, and those without a field here are accepted and named in one notice.
//!
//! The way of a setting: `environment`, `file` (`properties`, `toml`) and the command line give texts with their origins;
//! `layer` recognises the keys and merges; `binding` ties keys to fields (`broker::keys`, `namesrv`, `process`), `values`
//! turns texts into values; `broker::checks` holds the relations; `tls` is what both roles share; `update` is the same while
//! running.

mod advertised;
mod binding;
mod broker;
mod environment;
mod file;
mod host;
mod keys;
mod layer;
mod load;
mod namesrv;
mod notice;
mod print;
mod process;
pub mod properties;
mod provenance;
mod tls;
mod toml;
mod update;
mod values;

pub use advertised::{Advertised, Why, advertised_address, local_addresses};
pub use binding::Effect;
pub use broker::{
    BrokerConfig, BrokerNetwork, BrokerRole, ClientRules, DelayRules, FlushConfig, FlushMode, Identity, PullRules,
    Registration, RetentionConfig, SendRules, StoreConfig, StoreKind, TopicRules,
};
pub use host::DATA_DIR;
pub use layer::{Given, Role, Scope};
pub use load::{Settings, Sources, load};
pub use namesrv::{NamesrvConfig, NamesrvFiles, NamesrvNetwork, RouteRules};
pub use notice::{ConfigError, Notice};
pub use process::{LogConfig, LogFormat, ProcessConfig};
pub use tls::{ClientAuth, OutboundTls, Secret, TlsIdentity, TlsMode, TlsRules};
pub use update::{Change, Saved, UpdateReport};
pub use values::{DelayLevels, NamesrvAddress};
