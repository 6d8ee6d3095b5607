//! What a name server can be told, and the keys that tell it.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use super::binding::{Binding, Keyed};
use super::host::DATA_DIR;
use super::notice::{ConfigError, Notice};
use super::provenance::Provenance;
use super::tls::{self, TlsRules, server_bindings};
use super::values::{ip, names, number, optional_path, path, switch};

/// Everything that one name server can be told.
#[derive(Clone, Debug)]
pub struct NamesrvConfig {
    pub network: NamesrvNetwork,
    pub files: NamesrvFiles,
    pub routes: RouteRules,
    /// Keys that request 318 must not touch, beside those that it never may.
    pub update_black_list: Vec<String>,
    pub(crate) provenance: Provenance,
}

/// Where the name server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamesrvNetwork {
    pub bind_address: IpAddr,
    /// 0: any free port.
    pub listen_port: u16,
    /// Seconds of silence after which a connection is closed.
    pub idle_seconds_max: u32,
    /// Longest frame, in bytes, that is read from a peer.
    pub frame_bytes_max: u32,
    pub tls: TlsRules,
}

/// Where the name server keeps what outlives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamesrvFiles {
    pub data_dir: PathBuf,
    /// Unset: see [`NamesrvFiles::kv_config_path`].
    pub kv_config: Option<PathBuf>,
    /// Unset: see [`NamesrvFiles::config_store_path`].
    pub config_store: Option<PathBuf>,
}

/// How routes are kept and answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteRules {
    /// Fill the order configuration of routes from the key-value store.
    pub order_messages: bool,
    /// Give brokers the order configuration in the answer to their registration.
    pub return_order_config: bool,
    /// Milliseconds between scans for brokers that fell silent.
    pub scan_interval_ms: u64,
    /// Present the lowest slave of a group without master as a read-only master.
    pub acting_master: bool,
    /// Tell a group's brokers (code 905) when the lowest id among them changes.
    pub notify_min_id_changed: bool,
    /// Code 206 is answered.
    pub all_topic_list: bool,
    /// Codes 224, 311, 312 and 313 are answered.
    pub topic_lists: bool,
    /// Refuse route queries for `wait_seconds` after start.
    pub wait_for_brokers: bool,
    pub wait_seconds: u32,
    /// Topics that are absent from a full registration are removed.
    pub registration_deletes_topics: bool,
}

impl NamesrvFiles {
    /// File of the key-value store.
    #[must_use]
    pub fn kv_config_path(&self) -> PathBuf {
        self.kv_config.clone().unwrap_or_else(|| self.data_dir.join("kvConfig.json"))
    }

    /// File that run-time updates go to when no `-c` file was given.
    #[must_use]
    pub fn config_store_path(&self) -> PathBuf {
        self.config_store.clone().unwrap_or_else(|| self.data_dir.join("namesrv.properties"))
    }
}

impl Default for NamesrvConfig {
    fn default() -> Self {
        Self {
            network: NamesrvNetwork::default(),
            files: NamesrvFiles::default(),
            routes: RouteRules::default(),
            update_black_list: ["configBlackList", "configStorePath", "kvConfigPath"].map(String::from).to_vec(),
            provenance: Provenance::default(),
        }
    }
}

impl Default for NamesrvNetwork {
    fn default() -> Self {
        Self {
            bind_address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            listen_port: 9876,
            idle_seconds_max: 120,
            frame_bytes_max: 16 * 1024 * 1024,
            tls: TlsRules::default(),
        }
    }
}

impl Default for NamesrvFiles {
    fn default() -> Self {
        Self { data_dir: DATA_DIR.into(), kv_config: None, config_store: None }
    }
}

impl Default for RouteRules {
    fn default() -> Self {
        Self {
            order_messages: false,
            return_order_config: true,
            scan_interval_ms: 5_000,
            acting_master: false,
            notify_min_id_changed: false,
            all_topic_list: true,
            topic_lists: true,
            wait_for_brokers: false,
            wait_seconds: 45,
            registration_deletes_topics: false,
        }
    }
}

impl Keyed for NamesrvConfig {
    const CLASSES: &'static str = "NV";

    fn bindings() -> &'static [Binding<Self>] {
        BINDINGS
    }

    fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    fn provenance_mut(&mut self) -> &mut Provenance {
        &mut self.provenance
    }

    fn check(&mut self) -> Result<Vec<Notice>, ConfigError> {
        tls::check(self, &self.network.tls)
    }
}

const BINDINGS: &[Binding<NamesrvConfig>] = server_bindings![NamesrvConfig;
    "bindAddress" => NextStart, network.bind_address, ip;
    "listenPort" => NextStart, network.listen_port, number("", 0..=65_535);
    "serverChannelMaxIdleTimeSeconds" => NextStart, network.idle_seconds_max, number(" of seconds", 1..=i32::MAX as u32);
    "actormqFrameMaxBytes" => NextStart, network.frame_bytes_max, number(" of bytes", 65_536..=268_435_456);
    "storePathRootDir" => NextStart, files.data_dir, path;
    "kvConfigPath" => NextStart, files.kv_config, optional_path, shown as |config: &NamesrvConfig| config.files.kv_config_path();
    "configStorePath" => NextStart, files.config_store, optional_path, shown as |config: &NamesrvConfig| config.files.config_store_path();
    "orderMessageEnable" => Now, routes.order_messages, switch;
    "returnOrderTopicConfigToBroker" => Now, routes.return_order_config, switch;
    "scanNotActiveBrokerInterval" => NextStart, routes.scan_interval_ms, number(" of milliseconds", 1..=i64::MAX as u64);
    "supportActingMaster" => Now, routes.acting_master, switch;
    "notifyMinBrokerIdChanged" => Now, routes.notify_min_id_changed, switch;
    "enableAllTopicList" => Now, routes.all_topic_list, switch;
    "enableTopicList" => Now, routes.topic_lists, switch;
    "needWaitForService" => Now, routes.wait_for_brokers, switch;
    "waitSecondsForService" => Now, routes.wait_seconds, number(" of seconds", 0..=i32::MAX as u32);
    "deleteTopicWithBrokerRegistration" => Now, routes.registration_deletes_topics, switch;
    "configBlackList" => NextStart, update_black_list, names;
];
