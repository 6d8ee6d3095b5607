//! What a broker can be told, by group. Where RocketMQ has a key for it, the default is RocketMQ 5.5.0's; which key sets
//! which field is listed in `broker_keys.rs`, which relations must hold in `checks.rs`.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use super::host::host_name;
use super::provenance::Provenance;
use super::values::{DelayLevels, NamesrvAddress};

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
}

/// How the broker makes itself known to name servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    pub namesrv_addresses: Vec<NamesrvAddress>,
    /// Resolve host names among the addresses again each `fetch_interval_ms`.
    pub dns_lookup_enabled: bool,
    /// Ask RocketMQ's HTTP address server each `fetch_interval_ms`.
    pub address_server_enabled: bool,
    pub fetch_interval_ms: u64,
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
}

/// Delayed messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelayRules {
    /// The delays of levels 1, 2, …
    pub levels: DelayLevels,
    /// Arbitrary delays (the timer wheel).
    pub timer_enabled: bool,
    /// Width of the wheel's slots in milliseconds.
    pub timer_precision_ms: u32,
    /// Longest arbitrary delay in seconds.
    pub timer_delay_seconds_max: u32,
    /// A timer message can be recalled.
    pub recall_enabled: bool,
}

/// Where the bytes lie and in what pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// `storePathRootDir`: all of a broker's files are below it.
    pub data_dir: PathBuf,
    /// Directory of the log's segments; unset: `commitlog` in the data directory. Ask [`StoreConfig::commit_log_dir`].
    pub commit_log_dir: Option<PathBuf>,
    /// Bytes of one segment of the log: a multiple of 4,096.
    pub commit_log_segment_bytes: u32,
    /// Bytes of one ConsumeQueue file: a multiple of 20.
    pub consume_queue_segment_bytes: u32,
    /// Check each body's CRC when the log is recovered.
    pub check_crc_on_recover: bool,
    /// Build the index of keys.
    pub key_index_enabled: bool,
    /// Hash slots and entries of one index file.
    pub key_index_slots: u32,
    pub key_index_entries: u32,
    /// Most messages that a query by key returns.
    pub key_query_max: u32,
    pub kind: StoreKind,
}

/// `storeType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// CommitLog and ConsumeQueue files.
    Files,
}

/// When bytes are synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlushConfig {
    pub mode: FlushMode,
    /// Milliseconds that a send waits for its bytes to be synced in [`FlushMode::Sync`].
    pub sync_timeout_ms: u32,
    /// Milliseconds between asynchronous flushes of the log.
    pub interval_ms: u32,
    /// Dirty 4-KiB pages below which such a flush does nothing.
    pub least_pages: u32,
    /// Milliseconds after which everything is flushed, however little it is.
    pub thorough_interval_ms: u32,
    /// The same three for ConsumeQueues.
    pub queue_interval_ms: u32,
    pub queue_least_pages: u32,
    pub queue_thorough_interval_ms: u32,
}

/// `flushDiskType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushMode {
    Async,
    Sync,
}

/// When old segments go. Percentages are of the disk's space that is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionConfig {
    /// Hours that a segment of the log is kept.
    pub reserved_hours: u32,
    /// Local hours of the day, 0 to 23, in which expired segments are deleted.
    pub delete_hours: Vec<u8>,
    /// Above it expired segments are deleted at any hour.
    pub disk_used_percent_max: u8,
    /// Above it segments that have not expired are deleted too.
    pub disk_forced_percent: u8,
    /// Above it the store takes no more writes.
    pub disk_full_percent: u8,
    pub forced_deletion: bool,
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

impl StoreConfig {
    /// Directory of the log's segments.
    #[must_use]
    pub fn commit_log_dir(&self) -> PathBuf {
        self.commit_log_dir.clone().unwrap_or_else(|| self.data_dir.join("commitlog"))
    }
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
        }
    }
}

impl Default for Registration {
    fn default() -> Self {
        Self {
            namesrv_addresses: Vec::new(),
            dns_lookup_enabled: false,
            address_server_enabled: false,
            fetch_interval_ms: 10_000,
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
        Self { max_body_bytes: 4 * 1024 * 1024, accept_from_epoch_ms: 0, store_replies: true }
    }
}

impl Default for DelayRules {
    fn default() -> Self {
        Self {
            levels: DelayLevels::default(),
            timer_enabled: true,
            timer_precision_ms: 1_000,
            timer_delay_seconds_max: 3 * 24 * 3_600,
            recall_enabled: false,
        }
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            data_dir: super::DATA_DIR.into(),
            commit_log_dir: None,
            commit_log_segment_bytes: 1024 * 1024 * 1024,
            consume_queue_segment_bytes: 6_000_000,
            check_crc_on_recover: true,
            key_index_enabled: true,
            key_index_slots: 5_000_000,
            key_index_entries: 20_000_000,
            key_query_max: 64,
            kind: StoreKind::Files,
        }
    }
}

impl Default for FlushConfig {
    fn default() -> Self {
        Self {
            mode: FlushMode::Async,
            sync_timeout_ms: 5_000,
            interval_ms: 500,
            least_pages: 4,
            thorough_interval_ms: 10_000,
            queue_interval_ms: 1_000,
            queue_least_pages: 2,
            queue_thorough_interval_ms: 60_000,
        }
    }
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self {
            reserved_hours: 72,
            delete_hours: vec![4],
            disk_used_percent_max: 75,
            disk_forced_percent: 85,
            disk_full_percent: 90,
            forced_deletion: true,
        }
    }
}
