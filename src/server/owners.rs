//! The owners of what a broker knows, as its tree starts them.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::broker::StartError;
use super::doors::{
    BrokerDoors, DelayDoor, Extensions, GroupDoor, Identity, LiveSettings, LockDoor, MemberDoor, OffsetDoor, TopicDoor,
};
use super::requests::send::WaitingRooms;
use super::tree::{LogTree, Threads, keep};
use crate::actors::catalog::groups::{GroupTable, Groups};
use crate::actors::catalog::members::{Members, SubscriptionTable};
use crate::actors::catalog::offsets::{Offsets, Resets};
use crate::actors::catalog::settings::{Current, Settings, SettingsVersion};
use crate::actors::catalog::statistics::Statistics;
use crate::actors::catalog::topics::{TopicTable, Topics};
use crate::actors::delay::{Delay, DelayRoots, Schedule};
use crate::actors::door::Door;
use crate::actors::log::flusher::Fatal;
use crate::actors::log::wall_clock_ms;
use crate::actors::queue_locks::{LockTable, QueueLocks};
use crate::actors::transactions::{Transactions, Ways};
use crate::config::BrokerConfig;
use crate::metrics::Metrics;

fn live_settings(config: BrokerConfig, threads: &Threads, fatal: &Fatal) -> Result<LiveSettings, StartError> {
    let current: Current = Arc::new(ArcSwap::from_pointee(config));
    let version = SettingsVersion::default();
    let recipe = {
        let (current, version) = (current.clone(), version.clone());
        move || Ok(Settings::new(current.clone(), version.clone()))
    };
    let owner = keep(&threads.io[0], "the settings", Arc::new(recipe), fatal.clone()).map_err(StartError::Catalog)?;
    Ok(LiveSettings { current, version, owner })
}

pub(super) fn waiting_rooms(doors: &BrokerDoors) -> WaitingRooms {
    let (settings, topics) = (doors.settings.current.clone(), doors.topics.table.clone());
    WaitingRooms { schedule: doors.delay.schedule.clone(), settings, topics }
}

fn queue_locks(threads: &Threads, fatal: &Fatal) -> Result<LockDoor, StartError> {
    let table = Arc::new(LockTable::default());
    let recipe = {
        let table = table.clone();
        move || Ok(QueueLocks::new(table.clone()))
    };
    let owner =
        keep(&threads.io[0], "the queue locks", Arc::new(recipe), fatal.clone()).map_err(StartError::Catalog)?;
    Ok(LockDoor { table, owner })
}

fn statistics(
    metrics: &Arc<Metrics>,
    table: &Arc<TopicTable>,
    threads: &Threads,
    fatal: &Fatal,
) -> Result<Door<Statistics>, StartError> {
    let (metrics, table) = (metrics.clone(), table.clone());
    let recipe = move || Ok(Statistics::new(metrics.clone(), table.clone()));
    keep(&threads.io[0], "the statistics", Arc::new(recipe), fatal.clone()).map_err(StartError::Catalog)
}

fn transactions(
    (settings, log): (&LiveSettings, &LogTree),
    (topics, offsets, members): (Door<Topics>, Door<Offsets>, Door<Members>),
    threads: &Threads,
    fatal: &Fatal,
) -> Result<Door<Transactions>, StartError> {
    let (config, log) = (settings.current.clone(), log.doors.clone());
    let ways = Ways { config, log, topics, offsets, members };
    let recipe = move || Ok(Transactions::new(ways.clone()));
    keep(&threads.io[0], "the transactions", Arc::new(recipe), fatal.clone()).map_err(StartError::Catalog)
}

/// Starts the owners of read-mostly facts.
pub(super) fn catalog(
    (config, address, extensions): (BrokerConfig, Arc<str>, Extensions),
    table: Arc<TopicTable>,
    log: &LogTree,
    threads: &Threads,
    fatal: &Fatal,
) -> Result<BrokerDoors, StartError> {
    let settings = live_settings(config, threads, fatal)?;
    let current = settings.current.clone();
    let metrics = Arc::new(Metrics::default());
    let home = &threads.io[0];
    let failed = StartError::Catalog;
    let resets = Arc::new(Resets::default());
    let offsets = {
        let (config, resets) = (current.clone(), resets.clone());
        let recipe = move || Offsets::open(config.clone(), resets.clone()).map_err(|error| error.to_string());
        keep(home, "the consumer offsets", Arc::new(recipe), fatal.clone()).map_err(failed)?
    };
    let topics: Door<Topics> = {
        let (config, table, log, offsets) = (current.clone(), table.clone(), log.doors.clone(), offsets.clone());
        let recipe = move || {
            let opened = Topics::open(config.clone(), table.clone(), log.clone(), offsets.clone());
            opened.map_err(|error| error.to_string())
        };
        keep(home, "the topics", Arc::new(recipe), fatal.clone()).map_err(failed)?
    };
    let group_table = Arc::new(GroupTable::default());
    let groups: Door<Groups> = {
        let (config, table) = (current.clone(), group_table.clone());
        let recipe = move || Groups::open(config.clone(), table.clone()).map_err(|error| error.to_string());
        keep(home, "the groups", Arc::new(recipe), fatal.clone()).map_err(failed)?
    };
    let subscriptions = Arc::new(SubscriptionTable::default());
    let members: Door<Members> = {
        let (groups, table, told) = (group_table.clone(), subscriptions.clone(), extensions.listeners.clone());
        let recipe = move || Ok(Members::new(current.clone(), groups.clone(), table.clone()).telling(told.clone()));
        keep(home, "the members", Arc::new(recipe), fatal.clone()).map_err(failed)?
    };
    let statistics = statistics(&metrics, &table, threads, fatal)?;
    let owners = (topics.clone(), offsets.clone(), members.clone());
    let transactions = transactions((&settings, log), owners, threads, fatal)?;
    let delay = delay((&settings, &topics), table.clone(), log, threads, fatal)?;
    Ok(BrokerDoors {
        settings,
        topics: TopicDoor { table, owner: topics },
        groups: GroupDoor { table: group_table, owner: groups },
        offsets: OffsetDoor { resets, owner: offsets },
        members: MemberDoor { subscriptions, owner: members, locks: queue_locks(threads, fatal)? },
        transactions,
        log: log.doors.clone(),
        delay,
        extensions,
        metrics,
        statistics,
        identity: Identity { address, started_ms: wall_clock_ms() },
    })
}

/// Starts the scheduler of delayed messages, which begins when it is told to settle.
fn delay(
    (settings, topics): (&LiveSettings, &Door<Topics>),
    table: Arc<TopicTable>,
    log: &LogTree,
    threads: &Threads,
    fatal: &Fatal,
) -> Result<DelayDoor, StartError> {
    let schedule = Schedule::new(&settings.now(), table);
    let roots = DelayRoots::new(&settings.now(), schedule.clone(), log.doors.clone(), topics.clone());
    let progress = roots.progress.clone();
    let recipe = move || Delay::open(roots.clone()).map_err(|error| error.to_string());
    let owner = keep(&threads.io[0], "the delay scheduler", Arc::new(recipe), fatal.clone());
    Ok(DelayDoor { schedule, progress, owner: owner.map_err(StartError::Catalog)? })
}
