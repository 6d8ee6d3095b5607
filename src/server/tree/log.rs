//! The branch of the tree that stores: the writer and its neighbours.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use actix::prelude::*;

use super::Threads;
use crate::actors::Stop;
use crate::actors::catalog::topics::TopicTable;
use crate::actors::commitlog_writer::{CommitlogWriter, KeyWay, Neighbours, Teller, WriterSettings};
use crate::actors::crash::Pillars;
use crate::actors::log::ahead::Ahead;
use crate::actors::log::dispatch_reader::{DispatchReader, ReaderRoots};
use crate::actors::log::doors::LogDoors;
use crate::actors::log::flusher::{Fatal, Flush, Flusher, ReadDispatched};
use crate::actors::log::index::Index;
use crate::actors::log::queue_files::QueueFiles;
use crate::actors::log::queues::{QueueRecipe, Queues};
use crate::actors::log::segments::{Making, Segments};
use crate::actors::supervision::{End, Seat};
use crate::actors::topic_queue::Limits;
use crate::config::{BrokerConfig, FlushMode};
use crate::protocol::names::LogOffset;
use crate::server::descriptors;
use crate::store::StoreError;
use crate::store::disk::Disk;
use crate::store::key_index::IndexSizes;
use crate::store::log_view::LogView;
use crate::store::opening::{self, DirLock, Found, Opened, StoreSettings};
use crate::store::recovery::DispatchRules;

/// Files of busy ConsumeQueues that stay open, whatever the process may have.
const QUEUE_FILES_OPEN_MAX: usize = 65_536;
/// Time that dispatch has to reach the log's end when the broker stops.
const SETTLE_MAX: Duration = Duration::from_secs(10);

/// What of a broker's settings the store needs.
#[must_use]
pub fn log_settings(config: &BrokerConfig) -> StoreSettings {
    let store = &config.store;
    let sizes = IndexSizes { slots: store.key_index_slots, items: store.key_index_entries };
    let levels = config.delay.levels.millis();
    StoreSettings {
        root: store.data_dir.clone(),
        log_dir: store.commit_log_dir(),
        segment_bytes: store.commit_log_segment_bytes.into(),
        queue_file_bytes: store.consume_queue_segment_bytes.into(),
        // Most are for connections.
        queue_files_open: (descriptors::limit() / 4).min(QUEUE_FILES_OPEN_MAX),
        index: store.key_index_enabled.then_some(sizes),
        check_crc: store.check_crc_on_recover,
        disk: Disk::default(),
        durable_reads: config.flush.mode == FlushMode::Sync,
        rules: DispatchRules { delay_levels_ms: levels.iter().map(|level| *level as i64).collect() },
    }
}

fn limits(config: &BrokerConfig) -> Limits {
    let pull = &config.pull;
    Limits {
        bytes_in_memory: pull.max_bytes_in_memory,
        messages_in_memory: pull.max_messages_in_memory,
        bytes_on_disk: pull.max_bytes_on_disk,
        messages_on_disk: pull.max_messages_on_disk,
        memory_bytes: physical_memory_bytes() / 100 * u64::from(pull.memory_percent),
    }
}

fn writer_settings(config: &BrokerConfig) -> WriterSettings {
    WriterSettings {
        sync_flush: config.flush.mode == FlushMode::Sync,
        sync_timeout: Duration::from_millis(config.flush.sync_timeout_ms.into()),
        flush_interval: Duration::from_millis(u64::from(config.flush.interval_ms).max(10)),
    }
}

fn physical_memory_bytes() -> u64 {
    const UNKNOWN: u64 = 4 * 1024 * 1024 * 1024;
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.map_or(UNKNOWN, |kib| kib * 1024)
}

/// The running store.
pub struct LogTree {
    pub doors: LogDoors,
    pub backlog_bytes: Arc<AtomicUsize>,
    pub found: Found,
    #[doc(hidden)]
    pub pillars: Pillars,
    lock: DirLock,
    pub flusher: Addr<Flusher>,
    root: PathBuf,
}

impl LogTree {
    /// Opens the store and starts its actors.
    ///
    /// # Errors
    /// When the store cannot be opened.
    pub fn start(
        config: &BrokerConfig,
        topics: Arc<TopicTable>,
        threads: &Threads,
        fatal: &Fatal,
        disk: Disk,
    ) -> Result<Self, StoreError> {
        let settings = StoreSettings { disk, ..log_settings(config) };
        let opened = opening::open(&settings)?;
        let root = settings.root.clone();
        let seats = Seats::new(threads.io.len());
        let published = topics.clone();
        let backlog_bytes = Arc::new(AtomicUsize::new(0));
        let (view, found) = (opened.log.view().clone(), opened.found);
        let doors = LogDoors {
            topics,
            view,
            queues: seats.queues.iter().map(|seat| seat.addr.clone()).collect(),
            writer: seats.writer.addr.clone(),
            index: opened.index.is_some().then(|| seats.index.addr.clone()),
            files: seats.files.addr.clone(),
        };
        let flusher = seats.flusher.addr.clone();
        let pillars = seats.pillars();
        let lock = seats.start(opened, &settings, (config, &backlog_bytes, published), threads, fatal)?;
        Ok(Self { doors, backlog_bytes, found, pillars, lock, flusher, root })
    }

    /// Ends the store in order: nobody sends any more. What it holds is on the disk afterwards.
    pub async fn stop(self) {
        // An actor that is gone has ended the process already, or has nothing left to write.
        let _ = self.doors.writer.send(Stop).await;
        let end = self.doors.view.ends().written.load(std::sync::atomic::Ordering::Acquire);
        let began = Instant::now();
        let mut settled = false;
        while !settled && began.elapsed() < SETTLE_MAX {
            for queues in self.doors.queues.iter() {
                let _ = queues.send(Stop).await;
            }
            let _ = self.doors.files.send(Stop).await;
            if let Some(index) = &self.doors.index {
                let _ = index.send(Stop).await;
            }
            settled = self.flusher.send(ReadDispatched).await.is_ok_and(|dispatched| dispatched >= end);
            if !settled {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        let _ = self.flusher.send(Stop).await;
        if !settled {
            tracing::warn!(dir = %self.root.display(), "some queues are behind the log; the next start reads it again");
            return;
        }
        if let Err(error) = self.lock.mark_closed() {
            tracing::warn!(%error, "the next start will take this for a crash");
        }
    }
}

/// Mailboxes of actors that know each other before any of them runs.
struct Seats {
    writer: Seat<CommitlogWriter>,
    flusher: Seat<Flusher>,
    segments: Seat<Segments>,
    index: Seat<Index>,
    files: Seat<QueueFiles>,
    reader: Seat<DispatchReader>,
    queues: Vec<Seat<Queues>>,
}

impl Seats {
    fn new(arbiters: usize) -> Self {
        Self {
            writer: Seat::new(),
            flusher: Seat::new(),
            segments: Seat::new(),
            index: Seat::new(),
            files: Seat::new(),
            reader: Seat::new(),
            queues: (0..arbiters).map(|_| Seat::new()).collect(),
        }
    }

    fn start(
        self,
        opened: Opened,
        settings: &StoreSettings,
        (config, backlog, topics): (&BrokerConfig, &Arc<AtomicUsize>, Arc<TopicTable>),
        threads: &Threads,
        fatal: &Fatal,
    ) -> Result<DirLock, StoreError> {
        let Opened { lock, log, queue_files, index, births, checkpoint, found } = opened;
        let (view, end) = (log.view().clone(), log.end());
        let (log_view, synced) = (view.clone(), checkpoint.1.indexed);
        let segments = self.segments(&view, settings, end, config.flush.mode != FlushMode::Sync)?;
        let ahead = Ahead::new(config.store.entries_in_memory_max as usize);
        let with_index = index.is_some();
        let neighbours = Neighbours {
            flusher: self.flusher.addr.clone().recipient(),
            segments: self.segments.addr.clone().recipient(),
        };
        let sinks = (self.queues.len(), with_index);
        let flusher =
            Flusher::new(view.clone(), checkpoint, sinks, self.writer.addr.clone().recipient(), fatal.clone());
        let parents = self.queues.iter().map(|seat| seat.addr.clone().recipient()).collect();
        let files = QueueFiles::new(queue_files, births, self.flusher.addr.clone().recipient(), parents);
        let teller = Teller::new(self.queue_parents(), self.reader.addr.clone().recipient(), ahead.clone(), end);
        let key_way = KeyWay { index: self.index.addr.clone().recipient(), under_way: Arc::default() };
        let keys_under_way = key_way.under_way.clone();
        let ways = (teller, with_index.then_some(key_way));
        let writer = CommitlogWriter::new(log, writer_settings(config), neighbours, ways, backlog.clone());
        let recipe = self.recipe(&view, settings, limits(config), &ahead, end);
        let reader = DispatchReader::new(self.reader_roots(view, settings, topics, (ahead, fatal)));
        if let Some(index) = index {
            let index =
                Index::new(index, log_view, (synced, end), self.flusher.addr.clone().recipient(), keys_under_way);
            self.index.start(&threads.index, move || index, ends(fatal, "the key index"));
        }
        self.reader.start(&threads.dispatch_reader, move || reader, ends(fatal, "the dispatch reader"));
        // What was read again was not known to be on the disk.
        self.flusher.addr.do_send(Flush { upto: end, timestamp_ms: found.timestamp_ms });
        self.flusher.start(&threads.flusher, move || flusher, ends(fatal, "the flusher"));
        self.files.start(&threads.files, move || files, ends(fatal, "the writer of queue files"));
        self.segments.start(&threads.segments, move || segments, ends(fatal, "the keeper of segments"));
        let arbiters = self.queues.len();
        for (number, (seat, arbiter)) in self.queues.into_iter().zip(&threads.io).enumerate() {
            let recipe = recipe.clone();
            seat.start(arbiter, move || Queues::new(number, arbiters, recipe), ends(fatal, "the parent of the queues"));
        }
        self.writer.start(&threads.writer, move || writer, ends(fatal, "the CommitLog writer"));
        Ok(lock)
    }

    fn pillars(&self) -> Pillars {
        Pillars(vec![
            ("the flusher", self.flusher.addr.clone().recipient()),
            ("the keeper of segments", self.segments.addr.clone().recipient()),
            ("the key index", self.index.addr.clone().recipient()),
            ("the writer of queue files", self.files.addr.clone().recipient()),
            ("the dispatch reader", self.reader.addr.clone().recipient()),
            ("the parent of the queues", self.queues[0].addr.clone().recipient()),
        ])
    }

    fn queue_parents(&self) -> Vec<Addr<Queues>> {
        self.queues.iter().map(|seat| seat.addr.clone()).collect()
    }

    fn segments(
        &self,
        view: &LogView,
        settings: &StoreSettings,
        end: LogOffset,
        large_pages: bool,
    ) -> Result<Segments, StoreError> {
        let making = Making { dir: settings.log_dir.clone(), segment_bytes: settings.segment_bytes, large_pages };
        let writer = (self.writer.addr.clone().recipient(), self.writer.addr.clone().recipient());
        Segments::new(view, making, end, writer)
            .ok_or_else(|| StoreError::format(&settings.log_dir, format!("no segment holds the log's end, {end}")))
    }

    fn recipe(
        &self,
        view: &LogView,
        settings: &StoreSettings,
        limits: Limits,
        ahead: &Ahead,
        end: LogOffset,
    ) -> QueueRecipe {
        QueueRecipe {
            root: settings.root.clone(),
            queue_file_bytes: settings.queue_file_bytes,
            view: view.clone(),
            limits,
            ahead: ahead.clone(),
            recovered_end: end,
            reader: self.reader.addr.clone().recipient(),
            files: self.files.addr.clone().recipient(),
            rounds: self.files.addr.clone().recipient(),
            writer: self.writer.addr.clone().recipient(),
            close: self.writer.addr.clone().recipient(),
        }
    }

    fn reader_roots(
        &self,
        view: LogView,
        settings: &StoreSettings,
        topics: Arc<TopicTable>,
        (ahead, fatal): (Ahead, &Fatal),
    ) -> ReaderRoots {
        ReaderRoots {
            root: settings.root.clone(),
            view,
            rules: settings.rules.clone(),
            topics,
            ahead,
            queues: self.queue_parents(),
            writer: self.writer.addr.clone().recipient(),
            fatal: fatal.clone(),
        }
    }
}

/// The rule for actors without which nothing can be promised: their end by a panic is the process's.
pub fn ends(fatal: &Fatal, name: &'static str) -> impl FnOnce(End) + Send + 'static {
    let fatal = fatal.clone();
    move |end| {
        if let End::Panicked(reason) = end {
            fatal(format!("{name} ended by a panic: {reason}"));
        }
    }
}
