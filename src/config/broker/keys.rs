//! The keys that mean something to a broker, group by group as the fields are.

use super::{BrokerConfig, BrokerRole, FlushMode, StoreKind};
use crate::config::binding::{Binding, Keyed};
use crate::config::notice::{ConfigError, Notice};
use crate::config::provenance::Provenance;
use crate::config::tls::server_bindings;
use crate::config::values::{
    Read, Shown, addresses, delay_levels, host, host_or_port, host_port, hours, ip, main_port, name, names, number,
    one_of, optional_path, optional_port, path, path_part, segment_bytes, switch, text,
};

/// Largest value of a Java int.
const INT_MAX: u32 = i32::MAX as u32;
/// Largest value of a Java long.
const LONG_MAX: u64 = i64::MAX as u64;

impl Keyed for BrokerConfig {
    const CLASSES: &'static str = "BVLS";

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
        super::checks::check(self)
    }
}

fn millis(text: &str) -> Read<u32> {
    number(" of milliseconds", 1..=INT_MAX)(text)
}

fn long_millis(text: &str) -> Read<u64> {
    number(" of milliseconds", 1..=LONG_MAX)(text)
}

fn seconds(text: &str) -> Read<u32> {
    number(" of seconds", 1..=INT_MAX)(text)
}

fn bytes(text: &str) -> Read<u32> {
    number(" of bytes", 1..=INT_MAX)(text)
}

fn messages(text: &str) -> Read<u32> {
    number(" of messages", 1..=INT_MAX)(text)
}

fn pages(text: &str) -> Read<u32> {
    number(" of pages", 0..=INT_MAX)(text)
}

fn percent(text: &str) -> Read<u8> {
    number(" of percent", 1..=100)(text)
}

/// `brokerRole`.
fn role(text: &str) -> Read<BrokerRole> {
    one_of(text, &[BrokerRole::AsyncMaster, BrokerRole::SyncMaster, BrokerRole::Slave])
}

/// `flushDiskType`.
fn flush_mode(text: &str) -> Read<FlushMode> {
    one_of(text, &[FlushMode::Async, FlushMode::Sync])
}

/// `storeType`.
fn store_kind(text: &str) -> Read<StoreKind> {
    one_of(text, &[StoreKind::Files])
}

impl Shown for BrokerRole {
    fn shown(&self) -> Option<String> {
        let text = match self {
            Self::AsyncMaster => "ASYNC_MASTER",
            Self::SyncMaster => "SYNC_MASTER",
            Self::Slave => "SLAVE",
        };
        Some(text.into())
    }
}

impl Shown for FlushMode {
    fn shown(&self) -> Option<String> {
        Some(if *self == Self::Async { "ASYNC_FLUSH" } else { "SYNC_FLUSH" }.into())
    }
}

impl Shown for StoreKind {
    fn shown(&self) -> Option<String> {
        let Self::Files = self;
        Some("default".into())
    }
}

const BINDINGS: &[Binding<BrokerConfig>] = server_bindings![BrokerConfig;
    "brokerClusterName" => NextStart, identity.cluster_name, name;
    "brokerName" => NextStart, identity.broker_name, name;
    "brokerId" => NextStart, identity.broker_id, number("", 0..=LONG_MAX);
    "brokerRole" => NextStart, identity.role, role;
    "brokerPermission" => Now, identity.permission, number("", 0..=7);
    "regionId" => Now, identity.region_id, text;
    "configBlackList" => NextStart, identity.update_black_list, names;
    "bindAddress" => NextStart, network.bind_address, ip;
    "listenPort" => NextStart, network.listen_port, main_port;
    "brokerIP1" => NextStart, network.advertised_host, host;
    "brokerIP2" => NextStart, network.replication_host, host;
    "haListenPort" => NextStart, network.ha_listen_port, optional_port, shown as |config: &BrokerConfig| config.network.ha_port();
    "haMasterAddress" => NextStart, network.ha_master_address, host_port;
    "serverChannelMaxIdleTimeSeconds" => NextStart, network.idle_seconds_max, seconds;
    "actormqFrameMaxBytes" => NextStart, network.frame_bytes_max, number(" of bytes", 65_536..=268_435_456);
    "namesrvAddr" => Now, registration.namesrv_addresses, addresses;
    "fetchNameSrvAddrByDnsLookup" => Now, registration.lookup.dns_enabled, switch;
    "updateNameServerAddrPeriod" => Now, registration.lookup.dns_interval_ms, millis;
    "fetchNamesrvAddrByAddressServer" => Now, registration.lookup.address_server_enabled, switch;
    "fetchNamesrvAddrInterval" => Now, registration.lookup.address_server_interval_ms, long_millis;
    "rmqAddressServerDomain" => Now, registration.lookup.address_server_domain, host_or_port;
    "rmqAddressServerSubGroup" => Now, registration.lookup.address_server_subgroup, path_part;
    "registerNameServerPeriod" => Now, registration.period_ms, millis;
    "registerBrokerTimeoutMills" => Now, registration.timeout_ms, millis;
    "forceRegister" => Now, registration.forced, switch;
    "compressedRegister" => Now, registration.compressed, switch;
    "enableSingleTopicRegister" => Now, registration.single_topic, switch;
    "enableSplitRegistration" => Now, registration.split, switch;
    "splitRegistrationSize" => Now, registration.split_topics, number(" of topics", 1..=INT_MAX);
    "autoCreateTopicEnable" => Now, topics.auto_create, switch;
    "defaultTopicQueueNums" => NextStart, topics.auto_create_queues, number(" of queues", 1..=4_096);
    "clusterTopicEnable" => NextStart, topics.cluster_topic, switch;
    "brokerTopicEnable" => NextStart, topics.broker_topic, switch;
    "traceTopicEnable" => NextStart, topics.trace_topic, switch;
    "msgTraceTopicName" => NextStart, topics.trace_topic_name, name;
    "validateSystemTopicWhenUpdateTopic" => Now, topics.protect_system_topics, switch;
    "enableMixedMessageType" => Now, topics.mixed_message_type, switch;
    "clearRetryTopicWhenDeleteTopic" => Now, topics.delete_retry_topics, switch;
    "autoCreateSubscriptionGroup" => Now, clients.auto_create_group, switch;
    "notifyConsumerIdsChangedEnable" => Now, clients.notify_members_changed, switch;
    "channelExpiredTimeout" => Now, clients.expiry_ms, long_millis;
    "rejectPullConsumerEnable" => Now, clients.reject_pull_consumers, switch;
    "flushConsumerOffsetInterval" => Now, clients.flush_offsets_interval_ms, millis;
    "useServerSideResetOffset" => Now, clients.server_side_reset, switch;
    "traceOn" => Now, clients.trace_on, switch;
    "longPollingEnable" => Now, pull.long_polling, switch;
    "shortPollingTimeMills" => Now, pull.short_polling_ms, number(" of milliseconds", 0..=LONG_MAX);
    "slaveReadEnable" => Now, pull.slave_read, switch;
    "litePullMessageEnable" => Now, pull.lite_pull, switch;
    "enablePropertyFilter" => Now, pull.sql_filter, switch;
    "filterSupportRetry" => Now, pull.filter_retry_topics, switch;
    "enableCalcFilterBitMap" => NextStart, pull.filter_bit_map, switch;
    "maxTransferBytesOnMessageInMemory" => Now, pull.max_bytes_in_memory, bytes;
    "maxTransferCountOnMessageInMemory" => Now, pull.max_messages_in_memory, messages;
    "maxTransferBytesOnMessageInDisk" => Now, pull.max_bytes_on_disk, bytes;
    "maxTransferCountOnMessageInDisk" => Now, pull.max_messages_on_disk, messages;
    "accessMessageInMemoryMaxRatio" => Now, pull.memory_percent, number(" of percent", 0..=100);
    "maxMessageSize" => Now, send.max_body_bytes, bytes;
    "startAcceptSendRequestTimeStamp" => Now, send.accept_from_epoch_ms, number(" of milliseconds", 0..=LONG_MAX);
    "storeReplyMessageEnable" => Now, send.store_replies, switch;
    "rejectTransactionMessage" => Now, send.transactions.rejected, switch;
    "transactionTimeOut" => Now, send.transactions.timeout_ms, number(" of milliseconds", 0..=LONG_MAX);
    "transactionCheckMax" => Now, send.transactions.checks_max, number(" of checks", 1..=INT_MAX);
    "transactionCheckInterval" => Now, send.transactions.check_interval_ms, long_millis;
    "transactionOpMsgMaxSize" => Now, send.transactions.op_bytes_max, number(" of bytes", 1..=1_048_576);
    "transactionOpBatchInterval" => Now, send.transactions.op_interval_ms, number(" of milliseconds", 0..=INT_MAX);
    "messageDelayLevel" => NextStart, delay.levels, delay_levels;
    "flushDelayOffsetInterval" => NextStart, delay.flush_offsets_interval_ms, long_millis;
    "timerWheelEnable" => NextStart, delay.timer_enabled, switch;
    "timerPrecisionMs" => NextStart, delay.timer_precision_ms, number(" of milliseconds", 100..=INT_MAX);
    "timerMaxDelaySec" => Now, delay.timer_delay_seconds_max, seconds;
    "recallMessageEnable" => Now, delay.recall_enabled, switch;
    "storePathRootDir" => NextStart, store.data_dir, path;
    "storePathCommitLog" => NextStart, store.commit_log_dir, optional_path;
    "mappedFileSizeCommitLog" => NextStart, store.commit_log_segment_bytes, segment_bytes;
    "mappedFileSizeConsumeQueue" => NextStart, store.consume_queue_segment_bytes, number(" of bytes", 20..=INT_MAX - 20);
    "checkCRCOnRecover" => NextStart, store.check_crc_on_recover, switch;
    "messageIndexEnable" => NextStart, store.key_index_enabled, switch;
    "maxHashSlotNum" => NextStart, store.key_index_slots, number(" of slots", 1..=50_000_000);
    "actormqEntriesInMemoryMax" => NextStart, store.entries_in_memory_max, number(" of entries", 1_000..=100_000_000);
    "maxIndexNum" => NextStart, store.key_index_entries, number(" of entries", 2..=100_000_000);
    "maxMsgsNumBatch" => Now, store.key_query_max, number(" of messages", 1..=4_096);
    "storeType" => NextStart, store.kind, store_kind;
    "flushDiskType" => NextStart, flush.mode, flush_mode;
    "syncFlushTimeout" => Now, flush.sync_timeout_ms, millis;
    "flushIntervalCommitLog" => Now, flush.interval_ms, millis;
    "flushCommitLogLeastPages" => Now, flush.least_pages, pages;
    "flushCommitLogThoroughInterval" => Now, flush.thorough_interval_ms, millis;
    "flushIntervalConsumeQueue" => Now, flush.queue_interval_ms, millis;
    "flushConsumeQueueLeastPages" => Now, flush.queue_least_pages, pages;
    "flushConsumeQueueThoroughInterval" => Now, flush.queue_thorough_interval_ms, millis;
    "fileReservedTime" => Now, retention.reserved_hours, number(" of hours", 0..=1_000_000);
    "deleteWhen" => Now, retention.delete_hours, hours;
    "diskMaxUsedSpaceRatio" => Now, retention.disk_used_percent_max, percent;
    "diskSpaceCleanForciblyRatio" => Now, retention.disk_forced_percent, percent;
    "diskSpaceWarningLevelRatio" => Now, retention.disk_full_percent, percent;
    "cleanFileForciblyEnable" => Now, retention.forced_deletion, switch;
];
