//! What a broker can be told, by group. Where RocketMQ has a key for it, the default is RocketMQ 5.5.0's; which key sets
//! which field is listed in `broker/keys.rs`, which relations must hold in `broker/checks.rs`.

mod checks;
mod keys;
mod storage;
mod transactions;

pub use storage::{DelayRules, FlushConfig, FlushMode, RetentionConfig, StoreConfig, StoreKind};
pub use transactions::TransactionRules;

use std::net::{IpAddr, Ipv4Addr};

use super::host::host_name;
use super::provenance::Provenance;
use super::tls::TlsRules;
use super::values::NamesrvAddress;

/// Everything that one broker can be told. Checked once, when it is loaded or updated: the values fit each other.
#[derive(Clone, Debug, Default)]
pub struct BrokerConfig {
    pub identity: Identity,
    pub network: BrokerNetwork,
    pub registration: Registration,
    pub topics: TopicRules,
    pub clients: ClientRules,
    pub pull: PullRules,
    pub send: SendRules,
    pub delay: DelayRules,
    pub store: StoreConfig,
    pub flush: FlushConfig,
    pub retention: RetentionConfig,
    /// Who set what, and the keys without a field here: what requests 25 and 26 and `--print-config` need.
    pub(crate) provenance: Provenance,
}

/// Who this broker is among the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Name of the cluster; also the name of a system topic.
    pub cluster_name: String,
    /// Name of the replica group: master and slaves share it. The host's name where nothing is set.
    pub broker_name: String,
    /// 0 for a master, above 0 for a slave; never at odds with `role`.
    pub broker_id: u64,
    pub role: BrokerRole,
    /// Bits: 4 read, 2 write. Unless both are set, every registered topic's permission is ANDed with it.
    pub permission: u8,
    /// Value of the property MSG_REGION.
    pub region_id: String,
    /// Keys that request 25 must not touch, beside those that it never may.
    pub update_black_list: Vec<String>,
}

/// `brokerRole`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerRole {
    AsyncMaster,
    SyncMaster,
    Slave,
}

/// Where the broker listens, and what it tells others about that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerNetwork {
    pub bind_address: IpAddr,
    /// 0: any free port. Otherwise 3 to 65535, for the fast port lies two below.
    pub listen_port: u16,
    /// `brokerIP1`: address or host name told to clients; unset: see [`super::advertised_address`].
    pub advertised_host: Option<String>,
    /// `brokerIP2`: address or host name told to slaves; unset: the advertised address.
    pub replication_host: Option<String>,
    /// Port for slaves; unset: the one above `listen_port`. Ask [`BrokerNetwork::ha_port`].
    pub ha_listen_port: Option<u16>,
    /// `host:port` of the master's replication door, for a slave; unset: learnt from the name server.
    pub ha_master_address: Option<String>,
    /// Seconds of silence after which a connection is closed.
    pub idle_seconds_max: u32,
    /// Longest frame, in bytes, that is read from a peer.
    pub frame_bytes_max: u32,
    pub tls: TlsRules,
}

/// How the broker makes itself known to name servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    pub namesrv_addresses: Vec<NamesrvAddress>,
    pub lookup: NamesrvLookup,
    /// Milliseconds between registrations: 10,000 to 60,000.
    pub period_ms: u32,
    pub timeout_ms: u32,
    /// Register each period even if the data version stayed the same.
    pub forced: bool,
    /// Send the registration's body compressed.
    pub compressed: bool,
    /// On a change register only the topic that changed.
    pub single_topic: bool,
    /// Register in parts of `split_topics` topics.
    pub split: bool,
    pub split_topics: u32,
}

/// How name servers are found whose addresses are not set, or may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamesrvLookup {
    /// Each host name among the addresses stands for all addresses that it has, looked up each `dns_interval_ms`.
    pub dns_enabled: bool,
    pub dns_interval_ms: u32,
    /// Where no address is set, ask RocketMQ's HTTP address server each `address_server_interval_ms`.
    pub address_server_enabled: bool,
    pub address_server_interval_ms: u64,
    /// Host or `host:port`; unset: RocketMQ's own.
    pub address_server_domain: Option<String>,
    /// Last part of the URL's path; unset: `nsaddr`.
    pub address_server_subgroup: Option<String>,
}

/// How topics come into being and go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRules {
    /// Producers may create topics by sending to them (through TBW102).
    pub auto_create: bool,
    /// Queues of TBW102, and so the most an automatic topic gets.
    pub auto_create_queues: u32,
    /// The topic named after the cluster can be read and written.
    pub cluster_topic: bool,
    /// The topic named after the broker can be read and written.
    pub broker_topic: bool,
    /// Create the trace topic at start.
    pub trace_topic: bool,
    pub trace_topic_name: String,
    /// Refuse changes of system topics by administrators.
    pub protect_system_topics: bool,
    /// Allow the attribute `message.type=MIXED`.
    pub mixed_message_type: bool,
    /// Deleting a topic also deletes its pop retry topics.
    pub delete_retry_topics: bool,
}

/// How consumer groups and clients are treated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRules {
    /// Groups come into being on first use.
    pub auto_create_group: bool,
    /// Push notices (code 40) when the members of a group change.
    pub notify_members_changed: bool,
    /// Milliseconds without heartbeat after which a client is dropped.
    pub expiry_ms: u64,
    /// Ignore heartbeats of consumers that only pull, and refuse their pulls.
    pub reject_pull_consumers: bool,
    /// Milliseconds between writes of consumerOffset.json.
    pub flush_offsets_interval_ms: u32,
    /// The broker itself does what request 222 asks (reset offsets).
    pub server_side_reset: bool,
    /// Value of TRACE_ON told to clients.
    pub trace_on: bool,
}

/// How pulls are answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRules {
    /// Hold a pull that finds nothing; otherwise it is held for `short_polling_ms` only.
    pub long_polling: bool,
    pub short_polling_ms: u64,
    /// Answers may suggest a slave when the data is cold.
    pub slave_read: bool,
    /// Request 361 is served; otherwise it is refused with 16.
    pub lite_pull: bool,
    /// SQL92 filters are allowed.
    pub sql_filter: bool,
    /// Evaluate the expression on retry topics too.
    pub filter_retry_topics: bool,
    /// Compute bloom bit maps into the ConsumeQueue's extension beforehand.
    pub filter_bit_map: bool,
    /// Bytes and messages of one answer when the messages are in memory, then when they are on disk.
    pub max_bytes_in_memory: u32,
    pub max_messages_in_memory: u32,
    pub max_bytes_on_disk: u32,
    pub max_messages_on_disk: u32,
    /// Percent of the machine's memory that counts as holding the log's tail.
    pub memory_percent: u8,
}

/// What a send may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendRules {
    /// Longest body in bytes.
    pub max_body_bytes: u32,
    /// Milliseconds since the epoch before which sends are answered with code 1.
    pub accept_from_epoch_ms: u64,
    /// Store replies of request-reply.
    pub store_replies: bool,
    pub transactions: TransactionRules,
}

impl BrokerNetwork {
    /// The fast port, two below the main one; none while the main one is any free port.
    #[must_use]
    pub fn fast_port(&self) -> Option<u16> {
        self.listen_port.checked_sub(2).filter(|port| *port > 0)
    }

    /// The port for slaves: the one set, else the one above the main port; 0 (any) while that is any free port.
    #[must_use]
    pub fn ha_port(&self) -> u16 {
        match (self.ha_listen_port, self.listen_port) {
            (Some(port), _) => port,
            (None, 0) => 0,
            (None, main) => main.saturating_add(1),
        }
    }
}

impl Registration {
    /// `period_ms` within RocketMQ's bounds: 10,000 to 60,000.
    pub(super) const PERIOD_MS: std::ops::RangeInclusive<u32> = 10_000..=60_000;
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            cluster_name: "DefaultCluster".into(),
            broker_name: host_name(),
            broker_id: 0,
            role: BrokerRole::AsyncMaster,
            permission: 6,
            region_id: "DefaultRegion".into(),
            update_black_list: vec!["configBlackList".into(), "brokerConfigPath".into()],
        }
    }
}

impl Default for BrokerNetwork {
    fn default() -> Self {
        Self {
            bind_address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            listen_port: 10911,
            advertised_host: None,
            replication_host: None,
            ha_listen_port: None,
            ha_master_address: None,
            idle_seconds_max: 120,
            frame_bytes_max: 16 * 1024 * 1024,
            tls: TlsRules::default(),
        }
    }
}

impl Default for Registration {
    fn default() -> Self {
        Self {
            namesrv_addresses: Vec::new(),
            lookup: NamesrvLookup::default(),
            period_ms: 30_000,
            timeout_ms: 24_000,
            forced: true,
            compressed: false,
            single_topic: false,
            split: false,
            split_topics: 800,
        }
    }
}

impl Default for NamesrvLookup {
    fn default() -> Self {
        Self {
            dns_enabled: false,
            dns_interval_ms: 120_000,
            address_server_enabled: false,
            address_server_interval_ms: 10_000,
            address_server_domain: None,
            address_server_subgroup: None,
        }
    }
}

impl Default for TopicRules {
    fn default() -> Self {
        Self {
            auto_create: true,
            auto_create_queues: 8,
            cluster_topic: true,
            broker_topic: true,
            trace_topic: false,
            trace_topic_name: "RMQ_SYS_TRACE_TOPIC".into(),
            protect_system_topics: true,
            mixed_message_type: false,
            delete_retry_topics: true,
        }
    }
}

impl Default for ClientRules {
    fn default() -> Self {
        Self {
            auto_create_group: true,
            notify_members_changed: true,
            expiry_ms: 120_000,
            reject_pull_consumers: false,
            flush_offsets_interval_ms: 5_000,
            server_side_reset: true,
            trace_on: true,
        }
    }
}

impl Default for PullRules {
    fn default() -> Self {
        Self {
            long_polling: true,
            short_polling_ms: 1_000,
            slave_read: false,
            lite_pull: true,
            sql_filter: false,
            filter_retry_topics: false,
            filter_bit_map: false,
            max_bytes_in_memory: 256 * 1024,
            max_messages_in_memory: 32,
            max_bytes_on_disk: 64 * 1024,
            max_messages_on_disk: 8,
            memory_percent: 40,
        }
    }
}

impl Default for SendRules {
    fn default() -> Self {
        Self {
            max_body_bytes: 4 * 1024 * 1024,
            accept_from_epoch_ms: 0,
            store_replies: true,
            transactions: TransactionRules::default(),
        }
    }
}
