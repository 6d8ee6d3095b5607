//! One topic queue as its parent sees it, and how it is built.

use std::path::PathBuf;
use std::time::Duration;

use actix::prelude::*;

use super::Queues;
use crate::actors::Stop;
use crate::actors::commitlog_writer::{CloseQueue, QueueOpened};
use crate::actors::log::QueueSlot;
use crate::actors::log::ahead::Ahead;
use crate::actors::log::dispatch_reader::Missed;
use crate::actors::log::queue_files::{Round, RoundId, WriteEntries};
use crate::actors::supervision::{self, End};
use crate::actors::topic_queue::{Ask, Entries, Limits, QueueMessage, QueueRoots, TopicQueue};
use crate::protocol::names::{LogOffset, QueueKey, QueueOffset};
use crate::store::consume_queue::{self, ConsumeQueue};
use crate::store::log_view::LogView;

/// First pause before a queue that ended is built again; doubled each time.
const BACK_OFF_MIN: Duration = Duration::from_millis(20);
const BACK_OFF_MAX: Duration = Duration::from_secs(10);
/// After so many ends the pause is too long to let sends wait for it.
const PATIENT_FAILURES: u32 = 5;
/// Entries that a rebuilt queue keeps for others to write are written with the next round.
type Unwritten = Vec<u8>;

/// How topic queues are made.
#[derive(Clone)]
pub struct QueueRecipe {
    pub root: PathBuf,
    pub queue_file_bytes: u64,
    pub view: LogView,
    pub limits: Limits,
    pub ahead: Ahead,
    /// Entries at or beyond this offset that were there at the start are not to be trusted.
    pub recovered_end: LogOffset,
    pub reader: Recipient<Missed>,
    pub files: Recipient<WriteEntries>,
    pub rounds: Recipient<Round>,
    pub writer: Recipient<QueueOpened>,
    pub close: Recipient<CloseQueue>,
}

/// To the parent: the files of a queue were opened, or not.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Built {
    pub(super) slot: QueueSlot,
    /// The queue, the entries after what its files hold, and its end.
    pub(super) result: Result<(ConsumeQueue, Unwritten, QueueOffset), String>,
}

/// To the parent: a queue's actor ended by a panic.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Ended {
    pub(super) slot: QueueSlot,
    pub(super) reason: String,
}

impl QueueRecipe {
    /// Opens the files of a queue on a thread where waiting is allowed. `known_end` is where it ended in this process.
    pub(super) fn build(
        &self,
        slot: QueueSlot,
        key: QueueKey,
        known_end: Option<QueueOffset>,
        ctx: &mut Context<Queues>,
    ) {
        let recipe = self.clone();
        let bound = if known_end.is_some() { LogOffset::MAX } else { self.recovered_end };
        let parent = ctx.address();
        actix::spawn(async move {
            let opened = in_background(move || recipe.open(&key, bound)).await;
            let result = opened.map(|queue| (queue.end(), queue)).map(|(end, queue)| (queue, Vec::new(), end));
            parent.do_send(Built { slot, result });
        });
    }

    /// The same after a panic: what the files do not hold yet is read from the log.
    pub(super) fn rebuild(&self, slot: QueueSlot, key: QueueKey, ctx: &mut Context<Queues>) {
        let recipe = self.clone();
        let parent = ctx.address();
        actix::spawn(async move { parent.do_send(Built { slot, result: recipe.reopen(key).await }) });
    }

    async fn reopen(self, key: QueueKey) -> Result<(ConsumeQueue, Unwritten, QueueOffset), String> {
        let (reader, opened) = (self.reader.clone(), key.clone());
        let (queue, from) = in_background(move || self.open_for_more(&opened)).await?;
        let next = queue.end();
        let missed = reader.send(Missed { key, next, from }).await.map_err(|error| error.to_string())?;
        let unwritten = missed?;
        let end = next + (unwritten.len() / consume_queue::ENTRY_BYTES) as u64;
        Ok((queue, unwritten, end))
    }

    /// The queue, and the log offset from which on there may be more of its records.
    fn open_for_more(&self, key: &QueueKey) -> Result<(ConsumeQueue, LogOffset), String> {
        let mut queue = self.open(key, self.view.readable())?;
        let from = match queue.end().checked_sub(1).filter(|last| *last >= queue.min()) {
            Some(last) => {
                let entry = queue.read(last, true).map_err(|e| e.to_string())?;
                let entry = entry.and_then(|bytes| bytes.first_chunk()).map(consume_queue::Entry::decode);
                entry.map_or(self.recovered_end, |entry| entry.at + u64::from(entry.size))
            }
            // An empty queue was empty at the start too, or the start would have filled it.
            None => self.recovered_end,
        };
        Ok((queue, from))
    }

    fn open(&self, key: &QueueKey, bound: LogOffset) -> Result<ConsumeQueue, String> {
        let dir = consume_queue::queue_dir(&self.root, key);
        ConsumeQueue::open(dir, self.queue_file_bytes, self.view.min(), bound).map_err(|error| error.to_string())
    }

    /// Starts the actor of a queue, watched by its parent.
    pub(super) fn start(
        &self,
        slot: QueueSlot,
        key: QueueKey,
        queue: ConsumeQueue,
        unwritten: Unwritten,
        ctx: &mut Context<Queues>,
    ) -> Addr<TopicQueue> {
        let parent = ctx.address();
        let roots = QueueRoots {
            slot,
            key,
            view: self.view.clone(),
            limits: self.limits,
            ahead: self.ahead.clone(),
            files: self.files.clone(),
            parent: (parent.clone().recipient(), parent.clone().recipient()),
            writer: self.close.clone(),
        };
        supervision::start_here(TopicQueue::new(roots, queue, unwritten), move |end| {
            if let End::Panicked(reason) = end {
                parent.do_send(Ended { slot, reason });
            }
        })
    }
}

/// Runs `open` on a thread where waiting is allowed.
async fn in_background<T: Send + 'static>(
    open: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(open).await.unwrap_or_else(|error| Err(error.to_string()))
}

/// Where a queue is in its life.
pub(super) enum State {
    Opening(Early),
    Open(Addr<TopicQueue>),
    /// It ended by a panic; it is built again soon. The writer may wait for its end.
    Broken {
        tell_writer: bool,
    },
}

/// What came while the queue was being opened.
#[derive(Default)]
pub(super) struct Early {
    pub(super) entries: Vec<Entries>,
    asks: Vec<QueueMessage>,
    tell_writer: bool,
}

pub(super) struct Child {
    pub(super) key: QueueKey,
    pub(super) state: State,
    /// The tick of the parent's clock at which something happened here last.
    pub(super) active: u64,
    /// Pulls that may wait, handed on since the actor started; the actor counts too.
    watches: u64,
    watched: bool,
    /// It was asked to end, and nothing was sent to it since.
    pub(super) retiring: bool,
    failures: u32,
    /// End of the queue when it was opened, for a writer that asks before anything was written since.
    end: Option<QueueOffset>,
}

impl Child {
    pub(super) fn opening(key: QueueKey) -> Self {
        Self {
            key,
            state: State::Opening(Early::default()),
            active: 0,
            watches: 0,
            watched: false,
            retiring: false,
            failures: 0,
            end: None,
        }
    }

    pub(super) fn is_watched(&self) -> bool {
        self.watched
    }

    pub(super) fn unwatched(&mut self, watched: u64) {
        self.watched &= watched != self.watches;
    }

    /// Offset after the last entry that the queue was told; 0 while that is not known.
    pub(super) fn told_end(&self) -> QueueOffset {
        self.end.unwrap_or_default()
    }

    /// Tells the queue of entries and has it write itself out as part of the round; false when it has no actor now.
    pub(super) fn write_out(&mut self, entries: Entries, round: RoundId) -> bool {
        let is_open = matches!(self.state, State::Open(_));
        if is_open || !entries.bytes.is_empty() {
            self.entries(Entries { round: is_open.then_some(round), ..entries });
        }
        is_open
    }

    /// Tells the queue of entries that follow those before.
    pub(super) fn entries(&mut self, entries: Entries) {
        self.retiring = false;
        if let Some(end) = &mut self.end {
            *end = entries.end();
        }
        match &mut self.state {
            State::Open(addr) => addr.do_send(entries),
            State::Opening(early) => early.entries.push(entries),
            // A rebuild reads them from the log.
            State::Broken { .. } => {}
        }
    }

    pub(super) fn ask(&mut self, message: QueueMessage, waiting_max: usize) {
        self.retiring = false;
        if let Ask::Pull(pull) = &message.ask
            && pull.hold.is_some()
        {
            self.watches += 1;
            self.watched = true;
        }
        match &mut self.state {
            State::Open(addr) => addr.do_send(message),
            State::Opening(early) if early.asks.len() < waiting_max => early.asks.push(message),
            State::Opening(_) | State::Broken { .. } => refuse(message),
        }
    }

    /// Answers the writer as soon as the end is known.
    pub(super) fn tell_end(&mut self, slot: QueueSlot, writer: &Recipient<QueueOpened>) {
        self.retiring = false;
        match (&mut self.state, self.end) {
            (State::Opening(early), _) => early.tell_writer = true,
            (State::Broken { tell_writer }, _) if self.failures <= PATIENT_FAILURES => *tell_writer = true,
            (State::Open(_), Some(next)) => writer.do_send(QueueOpened { slot, next: Ok(next) }),
            _ => writer.do_send(QueueOpened { slot, next: Err("the queue is being rebuilt".into()) }),
        }
    }

    pub(super) fn opened(
        &mut self,
        addr: Addr<TopicQueue>,
        end: QueueOffset,
        slot: QueueSlot,
        writer: &Recipient<QueueOpened>,
    ) {
        self.end = Some(end);
        let State::Opening(early) = std::mem::replace(&mut self.state, State::Open(addr)) else { return };
        self.watches =
            early.asks.iter().filter(|m| matches!(&m.ask, Ask::Pull(pull) if pull.hold.is_some())).count() as u64;
        self.watched = self.watches > 0;
        if let State::Open(addr) = &self.state {
            early.asks.into_iter().for_each(|ask| addr.do_send(ask));
        }
        if early.tell_writer {
            writer.do_send(QueueOpened { slot, next: Ok(end) });
        }
        early.entries.into_iter().for_each(|entries| self.entries(entries));
    }

    /// The files cannot be opened: whoever waits hears so.
    pub(super) fn failed(&mut self, error: &str, slot: QueueSlot, writer: &Recipient<QueueOpened>) {
        if let State::Opening(early) = std::mem::replace(&mut self.state, State::Opening(Early::default())) {
            early.asks.into_iter().for_each(refuse);
            if early.tell_writer {
                writer.do_send(QueueOpened { slot, next: Err(error.to_owned()) });
            }
        }
    }

    /// The actor ended by a panic; returns how long to wait before the next is built.
    pub(super) fn break_down(&mut self) -> Duration {
        self.state = State::Broken { tell_writer: false };
        self.watched = false;
        self.back_off()
    }

    pub(super) fn back_off(&mut self) -> Duration {
        self.failures = (self.failures + 1).min(16);
        (BACK_OFF_MIN * 2u32.pow(self.failures - 1)).min(BACK_OFF_MAX)
    }

    pub(super) fn reopen(&mut self) {
        let tell_writer = matches!(self.state, State::Broken { tell_writer: true });
        self.state = State::Opening(Early { tell_writer, ..Early::default() });
    }

    /// The topic is deleted. Whoever waits hears so.
    pub(super) fn end(self) {
        match self.state {
            State::Opening(early) => early.asks.into_iter().for_each(refuse),
            State::Open(addr) => addr.do_send(Stop),
            State::Broken { .. } => {}
        }
    }
}

/// Tells whoever asked that the queue is not there now. A dropped reply says the same.
fn refuse(message: QueueMessage) {
    if let Ask::Pull(pull) = message.ask {
        pull.unavailable();
    }
}
