//! The runtime information of a broker: every key that RocketMQ's tools look for, for some of them take a missing one for
//! a number and fail. What has no meaning here, as the queues of thread pools, is always empty.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::Refusal;
use super::topics::elsewhere;
use crate::actors::catalog::data_version::now_ms;
use crate::actors::catalog::statistics::ReadRates;
use crate::protocol::code::version;
use crate::protocol::names::{QueueKey, SCHEDULE_TOPIC};
use crate::protocol::record::Record;
use crate::server::doors::BrokerDoors;

type Table = BTreeMap<String, String>;

/// Keys of things that RocketMQ has and this broker has not.
const EMPTY: &[(&str, &str)] = &[
    ("brokerActive", "true"),
    ("dispatchBehindBytes", "0"),
    ("dispatchMaxBuffer", "0"),
    ("pageCacheLockTimeMills", "0"),
    ("timerReadBehind", "0"),
    ("timerOffsetBehind", "0"),
    ("timerCongestNum", "0"),
    ("timerEnqueueTps", "0.0"),
    ("timerDequeueTps", "0.0"),
    ("remainTransientStoreBufferNumbs", "0"),
    ("remainHowManyDataToCommit", "0 B"),
    ("EndTransactionQueueSize", "0"),
    ("EndTransactionThreadPoolQueueCapacity", "0"),
];
/// Thread pools by RocketMQ's names: their queues are always empty.
const POOLS: &[&str] = &["send", "pull", "litePull", "query", "ack"];

pub(super) async fn runtime_info(doors: &BrokerDoors) -> Result<Table, Refusal> {
    let mut table = Table::new();
    table.extend(EMPTY.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    for pool in POOLS {
        for end in ["Size", "Capacity", "HeadWaitTimeMills"] {
            table.insert(format!("{pool}ThreadPoolQueue{end}"), "0".into());
        }
    }
    put_start(doors, &mut table);
    put_counters(doors, &mut table);
    put_rates(doors, &mut table).await?;
    put_log(doors, &mut table).await?;
    put_delays(doors, &mut table).await?;
    Ok(table)
}

fn put(table: &mut Table, key: &str, value: impl ToString) {
    table.insert(key.to_owned(), value.to_string());
}

fn put_start(doors: &BrokerDoors, table: &mut Table) {
    let seconds = now_ms().saturating_sub(doors.identity.started_ms).max(0) / 1_000;
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
    put(table, "bootTimestamp", doors.identity.started_ms);
    put(table, "runtime", format!("[ {days} days, {hours} hours, {minutes} minutes, {seconds} seconds ]"));
    put(table, "brokerVersionDesc", version::CURRENT_NAME);
    put(table, "startAcceptSendRequestTimeStamp", doors.settings.now().send.accept_from_epoch_ms);
}

fn put_counters(doors: &BrokerDoors, table: &mut Table) {
    let metrics = &doors.metrics;
    let (messages, bytes) = (metrics.messages_put.value(), metrics.bytes_put.value());
    put(table, "putMessageTimesTotal", messages.max(1));
    put(table, "putMessageSizeTotal", bytes);
    put(table, "putMessageAverageSize", bytes as f64 / messages.max(1) as f64);
    put(table, "putMessageFailedTimes", metrics.puts_failed.value());
    put(table, "putMessageEntireTimeMax", metrics.put_time_max_us.value() / 1_000);
    put(table, "getMessageEntireTimeMax", metrics.get_time_max_us.value() / 1_000);
    for (key, share) in [("putLatency99", 0.99), ("putLatency999", 0.999)] {
        put(table, key, format!("{:.2}", metrics.put_latency.percentile(share) as f64 / 1_000.0));
    }
    put(table, "putMessageDistributeTime", distribution(&metrics.put_latency.buckets()));
    put(table, "msgPutTotalTodayNow", messages);
    put(table, "msgGetTotalTodayNow", metrics.messages_got.value());
}

/// How many sends took how long, in RocketMQ's form: `[<=0ms]:3 [0~10ms]:1 …`.
fn distribution(buckets: &[u64]) -> String {
    const LIMITS: &[(&str, u64)] = &[
        ("<=0ms", 1),
        ("0~10ms", 10),
        ("10~50ms", 50),
        ("50~100ms", 100),
        ("100~200ms", 200),
        ("200~500ms", 500),
        ("500ms~1s", 1_000),
        ("1~2s", 2_000),
        ("2~3s", 3_000),
        ("3~4s", 4_000),
        ("4~5s", 5_000),
        ("5~10s", 10_000),
        ("10s~", u64::MAX),
    ];
    let mut counts = vec![0_u64; LIMITS.len()];
    for (bucket, count) in buckets.iter().enumerate() {
        let milliseconds = (1_u64 << bucket.min(62)) / 1_000;
        let place = LIMITS.iter().position(|(_, limit)| milliseconds < *limit).unwrap_or(LIMITS.len() - 1);
        counts[place] += count;
    }
    let shown = LIMITS.iter().zip(counts).map(|((name, _), count)| format!("[{name}]:{count} "));
    shown.collect()
}

async fn put_rates(doors: &BrokerDoors, table: &mut Table) -> Result<(), Refusal> {
    let rates = doors.statistics.ask(ReadRates).await?;
    let text = |of: [f64; 3]| of.map(|rate| rate.to_string()).join(" ");
    let total: [f64; 3] = std::array::from_fn(|span| rates.found[span] + rates.missed[span]);
    put(table, "putTps", text(rates.put));
    put(table, "getFoundTps", text(rates.found));
    put(table, "getMissTps", text(rates.missed));
    put(table, "getTotalTps", text(total));
    put(table, "getTransferredTps", text(rates.transferred));
    put(table, "msgPutTotalTodayMorning", rates.put_until.today);
    put(table, "msgPutTotalYesterdayMorning", rates.put_until.yesterday);
    put(table, "msgGetTotalTodayMorning", rates.got_until.today);
    put(table, "msgGetTotalYesterdayMorning", rates.got_until.yesterday);
    Ok(())
}

async fn put_log(doors: &BrokerDoors, table: &mut Table) -> Result<(), Refusal> {
    let (begin, end) = doors.log.log_range();
    put(table, "commitLogMinOffset", begin);
    put(table, "commitLogMaxOffset", end);
    let ends = doors.log.view.ends();
    let unsynced = ends.written.load(Ordering::Acquire).saturating_sub(ends.flushed.load(Ordering::Acquire));
    put(table, "remainHowManyDataToFlush", human(unsynced));
    let first = if begin < end { doors.log.record_at(begin).await? } else { None };
    let first = first.and_then(|bytes| Some(Record::read(&bytes).ok()?.store_timestamp_ms));
    put(table, "earliestMessageTimeStamp", first.unwrap_or(-1));
    let config = doors.settings.now();
    let (log_dir, data_dir) = (config.store.commit_log_dir(), config.store.data_dir.clone());
    let space = elsewhere(move || (space(&log_dir), space(&data_dir), log_dir)).await?;
    let (of_log, of_data, log_dir) = space;
    put(table, "commitLogDiskRatio", of_log.used_share());
    put(table, &format!("commitLogDiskRatio_{}", log_dir.display()), of_log.used_share());
    put(table, "consumeQueueDiskRatio", of_data.used_share());
    let (all, free) = (of_data.total.map_or(0, |total| total), of_data.free);
    put(table, "commitLogDirCapacity", format!("Total : {}, Free : {}.", human(all), human(free)));
    Ok(())
}

/// Of each level that was used: how far it was delivered, and how many messages its queue took.
async fn put_delays(doors: &BrokerDoors, table: &mut Table) -> Result<(), Refusal> {
    let Some(entry) = doors.topics.table.get(SCHEDULE_TOPIC) else { return Ok(()) };
    let is_used = doors.delay.schedule.is_used();
    for ((level, delivered), queue) in doors.delay.progress.all().zip(0..) {
        if delivered == 0 && !is_used {
            continue;
        }
        let max = doors.log.range(&QueueKey { topic: entry.config.topic.clone(), queue }).await?.max;
        if max > 0 {
            put(table, &format!("scheduleMessageOffset_{level}"), format!("{delivered},{max}"));
        }
    }
    Ok(())
}

/// Bytes of the file system that holds a directory.
#[derive(Debug, Clone, Copy, Default)]
struct Space {
    /// `None` when the directory is not there.
    total: Option<u64>,
    free: u64,
}

impl Space {
    /// From 0 to 1; −1 when the directory is not there.
    fn used_share(self) -> f64 {
        match self.total {
            Some(total) if total > 0 => total.saturating_sub(self.free) as f64 / total as f64,
            _ => -1.0,
        }
    }
}

fn space(directory: &Path) -> Space {
    let Ok(path) = CString::new(directory.as_os_str().as_bytes()) else {
        return Space::default();
    };
    let mut found = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the path ends with a zero and lives through the call; the struct is only read when the call filled it.
    let found = unsafe {
        if libc::statvfs(path.as_ptr(), found.as_mut_ptr()) != 0 {
            return Space::default();
        }
        found.assume_init()
    };
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Space { total: Some(bytes(found.f_blocks)), free: bytes(found.f_bavail) }
}

/// A number of bytes as RocketMQ shows it: `1.5 GiB`.
fn human(bytes: u64) -> String {
    const UNITS: &[&str] = &["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    let exponent = bytes.ilog2() / 10;
    let unit = UNITS.get(exponent as usize - 1).unwrap_or(&"");
    format!("{:.1} {unit}", bytes as f64 / f64::from(1_u32 << 10).powi(exponent as i32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_for_people() {
        assert_eq!(human(0), "0 B");
        assert_eq!(human(1_023), "1023 B");
        assert_eq!(human(1_536), "1.5 KiB");
        assert_eq!(human(3 << 30), "3.0 GiB");
        assert!(human(u64::MAX).ends_with(" EiB"));
    }

    #[test]
    fn a_directory_that_is_there_has_space() {
        let space = space(Path::new("/"));
        assert!((0.0..=1.0).contains(&space.used_share()));
        let missing = super::space(Path::new("/there/is/no/such/directory"));
        assert_eq!(missing.used_share(), -1.0);
    }

    #[test]
    fn latencies_are_distributed() {
        let mut buckets = vec![0; 32];
        buckets[3] = 5;
        buckets[31] = 1;
        let text = distribution(&buckets);
        assert!(text.starts_with("[<=0ms]:5 ") && text.ends_with("[10s~]:1 "), "{text}");
    }
}
