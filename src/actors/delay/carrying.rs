//! One step of a level: its due messages, as many as fit a batch, are stored where they belong.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::actors::catalog::topics::{EnsureTopic, TopicConfig, TopicEntry, Topics};
use crate::actors::commitlog_writer::{Batch, Outcome};
use crate::actors::door::Door;
use crate::actors::log::QueueSlot;
use crate::actors::log::doors::{LogDoors, QueueEntry};
use crate::actors::log::draft::QueueCode;
use crate::actors::log::wall_clock_ms;
use crate::protocol::names::{HALF_TOPIC, QueueId, QueueKey, QueueOffset, SCHEDULE_TOPIC, Topic};
use crate::protocol::properties;
use crate::protocol::record::{NewRecord, Record};
use crate::rules::delay_level;
use crate::store::StoreError;
use crate::store::births::TopicBirths;
use crate::store::log_view::Slice;

/// Messages of one step at most.
const STEP_MESSAGES_MAX: usize = 4_096;
/// A step is over when its records have this many bytes: what a session hands over at once, too.
const STEP_BYTES: usize = 512 * 1024;
/// Pauses between attempts to store what was refused; doubled each time.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Carried {
    /// The level's next message.
    pub(super) next: QueueOffset,
    pub(super) then: Then,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// More may be due.
    GoOn,
    /// The next message is due then.
    Sleep { due_ms: i64 },
    /// No message is there.
    Watch,
    /// Something is not there now.
    Retry,
}

/// Carries messages; cheap to clone.
#[derive(Clone)]
pub(super) struct Carrier {
    pub(super) log: LogDoors,
    topics: Door<Topics>,
    data_dir: PathBuf,
    stopping: Arc<AtomicBool>,
}

/// Records that are ready, and what they came from.
struct Composed {
    batch: Batch,
    /// The entry of each record of the batch.
    entries: Vec<QueueEntry>,
    /// Entries that were looked at.
    taken: usize,
    /// A topic that has to be made before the next entry can be taken.
    missing: Option<TopicConfig>,
}

/// What becomes of one record.
enum Fate {
    Added,
    /// There is nothing to be delivered, or nowhere.
    Dropped(&'static str),
    Missing(TopicConfig),
}

impl Carrier {
    pub(super) fn new(log: LogDoors, topics: Door<Topics>, data_dir: PathBuf, stopping: Arc<AtomicBool>) -> Self {
        Self { log, topics, data_dir, stopping }
    }

    /// The queue of a level, from 1; `None` where the topic has none for it.
    pub(super) fn queue(&self, level: usize) -> Option<(QueueSlot, QueueKey)> {
        let entry = self.log.topics.get(SCHEDULE_TOPIC)?;
        let queue = QueueId::try_from(level).ok()?.checked_sub(1)?;
        Some((entry.slot(queue)?, QueueKey { topic: entry.config.topic.clone(), queue }))
    }

    pub(super) async fn carry(&self, level: usize, delay_ms: i64, from: QueueOffset) -> Carried {
        let stay = |then| Carried { next: from, then };
        let Some((_, key)) = self.queue(level) else { return stay(Then::Retry) };
        let entries = match self.log.entries(&key, from, STEP_MESSAGES_MAX).await {
            Ok(entries) => entries,
            Err(error) => {
                tracing::warn!(level, %error, "delayed messages cannot be read now");
                return stay(Then::Retry);
            }
        };
        let Some(first) = entries.first() else { return self.at_end(&key, from).await };
        if first.offset != from {
            tracing::warn!(level, from, min = first.offset, "delayed messages are gone from the log");
        }
        let now_ms = wall_clock_ms();
        let due = |entry: &QueueEntry| delay_level::due(entry.tag_code, now_ms, delay_ms) <= now_ms;
        let count = entries.iter().take_while(|entry| due(entry)).count();
        if count == 0 {
            return Carried { next: first.offset, then: Then::Sleep { due_ms: first.tag_code } };
        }
        let first = first.offset;
        match self.deliver(entries[..count].to_vec()).await {
            Some(taken) => Carried { next: first + taken as u64, then: Then::GoOn },
            None => Carried { next: first, then: Then::Retry },
        }
    }

    /// No entry lies at `from`: the queue ends there, or lies elsewhere.
    async fn at_end(&self, key: &QueueKey, from: QueueOffset) -> Carried {
        match self.log.range(key).await {
            Ok(range) if from > range.max => {
                tracing::warn!(queue = %key, from, max = range.max, "the progress of a delay level lay beyond its queue");
                Carried { next: range.max, then: Then::Watch }
            }
            Ok(_) => Carried { next: from, then: Then::Watch },
            Err(_) => Carried { next: from, then: Then::Retry },
        }
    }

    /// Stores the first of these messages, as many as fit a batch, and tells how many they were. What is refused is tried
    /// again, alone, so that nothing else comes twice. `None` when nothing was stored, or the broker stops.
    async fn deliver(&self, due: Vec<QueueEntry>) -> Option<usize> {
        let composed = self.compose(due).await?;
        let Composed { batch, entries, taken, missing } = composed;
        if taken == 0 {
            self.make(missing?).await?;
            return Some(0);
        }
        let mut refused = self.append(batch, entries).await?;
        let mut pause = PAUSE_MIN;
        while !refused.is_empty() {
            tracing::warn!(messages = refused.len(), "delayed messages that are due cannot be stored now");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
            if self.stopping.load(Ordering::Acquire) {
                return None;
            }
            let Composed { batch, entries, taken, missing } = self.compose(refused.clone()).await?;
            if let Some(missing) = missing {
                self.make(missing).await;
            }
            let rest = refused.split_off(taken);
            refused = self.append(batch, entries).await?;
            refused.extend(rest);
        }
        Some(taken)
    }

    /// Those of `entries` whose records were refused; `None` when that cannot be told.
    async fn append(&self, batch: Batch, entries: Vec<QueueEntry>) -> Option<Vec<QueueEntry>> {
        let placed = self.log.own.append(batch).await;
        if placed.iter().any(|one| one.outcome == Outcome::Pending) {
            return None;
        }
        let refused = entries.into_iter().zip(placed).filter(|(_, placed)| !placed.is_stored());
        Some(refused.map(|(entry, _)| entry).collect())
    }

    async fn make(&self, config: TopicConfig) -> Option<()> {
        let topic = config.topic.clone();
        let made = self.topics.ask(EnsureTopic { config }).await;
        let made = made.map_err(|error| error.to_string()).and_then(|made| made.map_err(|error| error.to_string()));
        match made {
            Ok(_) => Some(()),
            Err(error) => {
                tracing::warn!(%topic, error, "the topic of a delayed message cannot be made");
                None
            }
        }
    }

    /// Reads the messages and makes records of them, on a thread where waiting is allowed.
    async fn compose(&self, entries: Vec<QueueEntry>) -> Option<Composed> {
        let (log, data_dir) = (self.log.clone(), self.data_dir.clone());
        let composed = tokio::task::spawn_blocking(move || compose(&log, &data_dir, &entries)).await;
        match composed.map_err(|error| error.to_string()).and_then(|made| made.map_err(|error| error.to_string())) {
            Ok(composed) => Some(composed),
            Err(error) => {
                tracing::error!(error, "delayed messages that are due cannot be read now");
                None
            }
        }
    }
}

fn compose(log: &LogDoors, data_dir: &Path, entries: &[QueueEntry]) -> Result<Composed, StoreError> {
    // Waits for the disk where the broker promises to, for the progress moves with the answer.
    let batch = Batch { durable: true, ..Batch::default() };
    let mut made = Composed { batch, entries: Vec::new(), taken: 0, missing: None };
    let births = TopicBirths::open(data_dir)?;
    let mut last: Option<Arc<TopicEntry>> = None;
    for entry in entries {
        if made.batch.bytes.len() >= STEP_BYTES {
            break;
        }
        let size = entry.size as usize;
        let bytes = match log.view.slice(entry.at, size)? {
            Some(Slice::Here(bytes)) => Some(bytes),
            Some(Slice::Cold) => log.view.read(entry.at, size)?,
            None => None,
        };
        let record = bytes.as_ref().and_then(|bytes| Record::read(bytes).ok());
        let fate = match record {
            Some(record) => add(log, &births, &record, &mut last, &mut made.batch),
            None => Fate::Dropped("it is not in the log"),
        };
        match fate {
            Fate::Added => made.entries.push(*entry),
            Fate::Dropped(reason) => tracing::warn!(at = entry.at, reason, "a delayed message is not delivered"),
            Fate::Missing(config) => {
                made.missing = Some(config);
                break;
            }
        }
        made.taken += 1;
    }
    Ok(made)
}

/// Adds the message that `record` keeps to `batch`, as RocketMQ does: all properties stay, also those that say that it was
/// delayed; its hosts and its born time stay; the store time is new.
fn add(
    log: &LogDoors,
    births: &TopicBirths,
    record: &Record<'_>,
    last: &mut Option<Arc<TopicEntry>>,
    batch: &mut Batch,
) -> Fate {
    let real = |name| properties::value(record.properties, name);
    let queue = real(properties::REAL_QUEUE_ID).and_then(|queue| queue.parse::<QueueId>().ok());
    let (Some(topic), Some(queue)) = (real(properties::REAL_TOPIC), queue) else {
        return Fate::Dropped("it does not say where it belongs");
    };
    if topic == HALF_TOPIC || topic == SCHEDULE_TOPIC {
        return Fate::Dropped("it belongs to a topic of the broker");
    }
    if record.physical_offset < births.of(topic) {
        return Fate::Dropped("its topic was deleted");
    }
    if last.as_ref().is_none_or(|entry| &*entry.config.topic != topic) {
        *last = log.topics.get(topic);
    }
    let Some(entry) = last else {
        // Not deleted: a crash lost it from the list of topics, or it never was in one.
        return match Topic::new(topic) {
            Ok(topic) => Fate::Missing(TopicConfig::new(topic, queue.saturating_add(1))),
            Err(_) => Fate::Dropped("its topic's name is none"),
        };
    };
    let queues = entry.config.queues();
    let queue = match entry.slot_with_files(queue) {
        Some(_) => queue,
        None if queues > 0 => queue % queues,
        None => return Fate::Dropped("its topic has no queues"),
    };
    let pieces: [&[u8]; 1] = [record.properties.as_bytes()];
    let again = NewRecord { topic, queue, properties: &pieces, ..record.again() };
    match log.own.add(batch, entry, (again, properties::scan(record.properties)), QueueCode::Tag) {
        Ok(()) => Fate::Added,
        Err(_) => Fate::Dropped("it is larger than this broker takes"),
    }
}
