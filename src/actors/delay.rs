//! Delayed messages: takes those that are due out of SCHEDULE_TOPIC_XXXX to where they belong.
//!
//! Owns: how far each level was delivered, `config/delayOffset.json`.
//! Hears: [`Settle`], [`EncodeDelayOffsets`], [`Pulled`] from a queue at which it waits for the next message, `Stop`.
//! Tells: questions and waiting pulls to the queues of the levels, records to the writer.
//! Publishes: [`DelayProgress`].
//!
//! Invariants: nothing is delivered before it is due; a level's messages are delivered in their order, and its progress
//! moves when they are as safe as the broker promises, so a crash repeats the last ones and loses none; a level costs a
//! few words, however many messages wait in it.

mod carrying;
mod progress;
mod schedule;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;

use self::carrying::{Carried, Carrier, Then};
pub use self::progress::DelayProgress;
pub use self::schedule::{Schedule, Waiting};
use crate::actors::Stop;
use crate::actors::catalog::CatalogError;
use crate::actors::catalog::data_version;
use crate::actors::catalog::snapshot::{self, Encode, Persistent, Snapshot};
use crate::actors::catalog::topics::Topics;
use crate::actors::door::Door;
use crate::actors::log::doors::{LogDoors, QueueError};
use crate::actors::log::queues::ToQueue;
use crate::actors::log::wall_clock_ms;
use crate::actors::topic_queue::{Ask, PullAsk, PullStatus, Pulled, PulledTo, Wish};
use crate::config::{BrokerConfig, BrokerRole};
use crate::protocol::body::offsets::DelayOffsets;
use crate::protocol::body::version::DataVersion;
use crate::protocol::body::{Body, ConfigFile};
use crate::rules::delay_level;
use crate::store::consume_queue::queue_dir;
use crate::store::table::{TableError, TableFile};

/// The first write of the file does not come before, as RocketMQ has it.
const FIRST_FLUSH: Duration = Duration::from_secs(10);
/// How long a pull waits for a level's next message before it is repeated.
const WATCH: Duration = Duration::from_secs(3_600);
/// How often a broker to which no delayed message was sent yet looks whether there is one, without asking a queue.
const FIRST_USE_SCAN: Duration = Duration::from_millis(100);
/// Pause after something failed.
const RETRY: Duration = Duration::from_millis(100);

/// From whoever starts the broker, before the first message can come: progress beyond the end of its queue, as a crash may
/// leave it, is lowered to that end, durably, or the messages that come next would be passed over. Delivery begins then.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "Result<(), String>")]
pub struct Settle;

/// Asks for the file's content as it would be now, without line breaks.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "Vec<u8>")]
pub struct EncodeDelayOffsets;

/// What the scheduler works with; the same for each that is built.
#[derive(Clone)]
pub struct DelayRoots {
    pub schedule: Schedule,
    pub log: LogDoors,
    pub topics: Door<Topics>,
    pub progress: Arc<DelayProgress>,
    data_dir: PathBuf,
    flush_interval: Duration,
    /// A slave's messages are delivered by its master.
    slave: bool,
}

impl DelayRoots {
    #[must_use]
    pub fn new(config: &BrokerConfig, schedule: Schedule, log: LogDoors, topics: Door<Topics>) -> Self {
        Self {
            progress: Arc::new(DelayProgress::new(schedule.delays_ms().len())),
            schedule,
            log,
            topics,
            data_dir: config.store.data_dir.clone(),
            flush_interval: Duration::from_millis(config.delay.flush_offsets_interval_ms),
            slave: config.identity.role == BrokerRole::Slave,
        }
    }
}

/// The scheduler. See the module.
pub struct Delay {
    roots: DelayRoots,
    carrier: Carrier,
    version: DataVersion,
    /// Levels of the file that this broker's settings do not have.
    foreign: BTreeMap<i32, i64>,
    snapshot: Snapshot,
    /// Levels whose messages are under way now.
    moving: usize,
    /// Levels at whose queues nobody waits, since nothing was sent to any since the start: an idle queue costs nothing.
    dormant: Vec<usize>,
    stopping: Arc<AtomicBool>,
    /// Whoever waits for the end.
    stopped: Vec<oneshot::Sender<()>>,
}

impl Delay {
    /// Reads `config/delayOffset.json`. Where the progress was published already, that goes before the file.
    ///
    /// # Errors
    /// When the file is there but cannot be read.
    pub fn open(roots: DelayRoots) -> Result<Self, CatalogError> {
        let file = TableFile::new(roots.data_dir.join("config").join("delayOffset.json"));
        let stored = file.load(|text: &str| DelayOffsets::decode_file(text.as_bytes()))?.unwrap_or_default();
        let mut foreign = BTreeMap::new();
        for (level, next) in stored.offset_table {
            match usize::try_from(level) {
                Ok(own) if (1..=roots.schedule.delays_ms().len()).contains(&own) => {
                    if !roots.progress.is_settled() {
                        roots.progress.set(own, u64::try_from(next).unwrap_or(0));
                    }
                }
                _ => drop(foreign.insert(level, next)),
            }
        }
        let stopping = Arc::<AtomicBool>::default();
        let carrier = Carrier::new(roots.log.clone(), roots.topics.clone(), roots.data_dir.clone(), stopping.clone());
        let snapshot = Snapshot::new(file, roots.flush_interval, FIRST_FLUSH);
        let version = stored.data_version;
        Ok(Self {
            roots,
            carrier,
            version,
            foreign,
            snapshot,
            moving: 0,
            dormant: Vec::new(),
            stopping,
            stopped: Vec::new(),
        })
    }

    fn begin(&mut self, ctx: &mut Context<Self>) {
        if self.roots.slave {
            return;
        }
        for level in 1..=self.roots.schedule.delays_ms().len() {
            let has_files =
                self.carrier.queue(level).is_some_and(|(_, key)| queue_dir(&self.roots.data_dir, &key).exists());
            if has_files || self.roots.schedule.is_used() {
                self.look(level, ctx);
            } else {
                self.rest(level, ctx);
            }
        }
    }

    /// Lets the level lie until a delayed message is sent.
    fn rest(&mut self, level: usize, ctx: &mut Context<Self>) {
        self.dormant.push(level);
        if self.dormant.len() == 1 {
            ctx.run_later(FIRST_USE_SCAN, Self::wake);
        }
    }

    fn wake(&mut self, ctx: &mut Context<Self>) {
        if self.roots.schedule.is_used() {
            std::mem::take(&mut self.dormant).into_iter().for_each(|level| self.look(level, ctx));
        } else {
            ctx.run_later(FIRST_USE_SCAN, Self::wake);
        }
    }

    fn delay_ms(&self, level: usize) -> i64 {
        self.roots.schedule.delays_ms().get(level - 1).copied().unwrap_or_default()
    }

    /// Delivers what is due of a level, or finds out when its next message is.
    fn look(&mut self, level: usize, ctx: &mut Context<Self>) {
        if self.stopping.load(Ordering::Acquire) {
            return;
        }
        self.moving += 1;
        let (carrier, delay_ms, from) = (self.carrier.clone(), self.delay_ms(level), self.roots.progress.of(level));
        let carried = async move { carrier.carry(level, delay_ms, from).await };
        ctx.spawn(carried.into_actor(self).map(move |carried, delay, ctx| delay.carried(level, carried, ctx)));
    }

    fn carried(&mut self, level: usize, carried: Carried, ctx: &mut Context<Self>) {
        self.moving -= 1;
        if carried.next != self.roots.progress.of(level) {
            self.roots.progress.set(level, carried.next);
            self.version = data_version::next(self.version);
            snapshot::changed(self, ctx);
        }
        match carried.then {
            Then::GoOn => self.look(level, ctx),
            Then::Sleep { due_ms } => self.sleep(level, due_ms, ctx),
            Then::Watch if !self.roots.schedule.is_used() => self.rest(level, ctx),
            Then::Watch => self.watch(level, carried.next, ctx),
            Then::Retry => self.later(level, ctx),
        }
        self.end_if_done(ctx);
    }

    fn sleep(&mut self, level: usize, due_ms: i64, ctx: &mut Context<Self>) {
        match delay_level::nap(due_ms, wall_clock_ms(), self.delay_ms(level)) {
            Some(nap) => drop(ctx.run_later(nap, move |delay, ctx| delay.sleep(level, due_ms, ctx))),
            None => self.look(level, ctx),
        }
    }

    /// Has the queue say when there is a message.
    fn watch(&mut self, level: usize, next: u64, ctx: &mut Context<Self>) {
        let Some((slot, key)) = self.carrier.queue(level) else { return self.later(level, ctx) };
        let reply: PulledTo = Arc::new(ctx.address().recipient());
        let from = i64::try_from(next).unwrap_or(i64::MAX);
        let ask =
            Ask::Pull(PullAsk { from, count: 1, wish: Wish::default(), hold: Some(WATCH), token: level as u64, reply });
        self.roots.log.queues_of(slot).do_send(ToQueue { slot, key, ask });
    }

    fn later(&mut self, level: usize, ctx: &mut Context<Self>) {
        ctx.run_later(RETRY, move |delay, ctx| delay.look(level, ctx));
    }

    /// The queues' ranges, and with them what progress may be.
    fn settle(&mut self, ranges: Vec<(usize, u64, u64)>) -> ResponseFuture<Result<(), TableError>> {
        let mut corrected = false;
        for (level, min, max) in ranges {
            let next = self.roots.progress.of(level);
            let settled = next.clamp(min, max);
            if settled != next {
                corrected = true;
                self.roots.progress.set(level, settled);
                tracing::warn!(level, next, min, max, "the progress of a delay level lay outside its queue");
            }
        }
        if !corrected {
            return Box::pin(async { Ok(()) });
        }
        self.version = data_version::next(self.version);
        snapshot::save_now(self)
    }

    fn end_if_done(&mut self, ctx: &mut Context<Self>) {
        if self.moving == 0 && !self.stopped.is_empty() {
            let stopped = std::mem::take(&mut self.stopped);
            let saved = snapshot::finish(self);
            ctx.spawn(saved.into_actor(self).map(|(), _, _| {
                // Whoever asked may be gone; the progress is safe all the same.
                for stopped in stopped {
                    let _ = stopped.send(());
                }
            }));
        }
    }
}

impl Actor for Delay {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if self.roots.progress.is_settled() {
            self.begin(ctx);
        }
    }
}

impl Persistent for Delay {
    fn snapshot(&mut self) -> &mut Snapshot {
        &mut self.snapshot
    }

    fn encode(&self) -> Encode {
        let body = self.roots.progress.body(self.version, &self.foreign);
        Box::new(move || body.encode_file())
    }
}

impl Handler<Settle> for Delay {
    type Result = ResponseActFuture<Self, Result<(), String>>;

    fn handle(&mut self, _: Settle, _: &mut Self::Context) -> Self::Result {
        let (carrier, progress) = (self.carrier.clone(), self.roots.progress.clone());
        let levels = self.roots.schedule.delays_ms().len();
        let asked = async move {
            let mut ranges = Vec::new();
            for level in 1..=levels {
                let Some((_, key)) = carrier.queue(level).filter(|_| progress.of(level) > 0) else { continue };
                let range = carrier.log.range(&key).await?;
                ranges.push((level, range.min, range.max));
            }
            Ok::<_, QueueError>(ranges)
        };
        let settled = asked.into_actor(self).then(|ranges, delay, _| {
            let saved = ranges.map(|ranges| delay.settle(ranges));
            async move { saved.map_err(|error| error.to_string())?.await.map_err(|error| error.to_string()) }
                .into_actor(delay)
        });
        Box::pin(settled.map(|settled, delay, ctx| {
            if settled.is_ok() && !delay.roots.progress.is_settled() {
                delay.roots.progress.settle();
                delay.begin(ctx);
            }
            settled
        }))
    }
}

impl Handler<EncodeDelayOffsets> for Delay {
    type Result = Vec<u8>;

    fn handle(&mut self, _: EncodeDelayOffsets, _: &mut Self::Context) -> Vec<u8> {
        self.roots.progress.body(self.version, &self.foreign).encode()
    }
}

impl Handler<Pulled> for Delay {
    type Result = ();

    fn handle(&mut self, pulled: Pulled, ctx: &mut Self::Context) {
        let level = pulled.token as usize;
        match pulled.status {
            PullStatus::Failed(_) => self.later(level, ctx),
            _ => self.look(level, ctx),
        }
    }
}

impl Handler<Stop> for Delay {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) -> Self::Result {
        let (stopped, done) = oneshot::channel();
        self.stopping.store(true, Ordering::Release);
        self.stopped.push(stopped);
        self.end_if_done(ctx);
        Box::pin(async move {
            let _ = done.await;
        })
    }
}
