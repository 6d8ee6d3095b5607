//! Tells the queues from the log what the CommitLog writer could not tell them.
//!
//! Owns: how far the log was read for the queues while the writer does not tell them itself. Lives on a thread of its own:
//! reading may have to wait for the disk.
//! Hears: [`ReadOn`] from the writer, [`Missed`] for a queue that is built again after a panic.
//! Tells: [`Dispatch`] to the queues, [`Reached`] to the writer.
//!
//! Invariants: the queues hear every record once and in the log's order, whoever tells them; entries in memory stay below
//! their bound.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

use super::QueueSlot;
use super::ahead::Ahead;
use super::flusher::Fatal;
use super::queues::{Dispatch, Queues};
use crate::actors::catalog::topics::TopicTable;
use crate::actors::commitlog_writer::Notice;
use crate::protocol::names::{LogOffset, QueueId, QueueKey, QueueOffset};
use crate::protocol::record::Record;
use crate::store::StoreError;
use crate::store::births::TopicBirths;
use crate::store::log_view::LogView;
use crate::store::recovery::{self, DispatchRules};

/// Records that are read at a time.
const NOTICES_AT_ONCE: usize = 16 * 1024;
/// How long to wait for the queues' files before looking again whether there is room.
const PAUSE: Duration = Duration::from_millis(5);

/// From the writer: tell the queues what the log holds up to `upto`.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub struct ReadOn {
    /// Where the writer stopped telling; `None` to go on where the reader is.
    pub from: Option<LogOffset>,
    pub upto: LogOffset,
}

/// To the writer: the queues were told everything below `upto`.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub struct Reached {
    pub upto: LogOffset,
}

/// From the parent of a queue that is built again: which entries follow those in its files? Answers with whole entries,
/// from queue offset `next` on, of the readable records at or beyond `from`.
#[derive(Message, Debug, Clone)]
#[rtype(result = "Result<Vec<u8>, String>")]
pub struct Missed {
    pub key: QueueKey,
    pub next: QueueOffset,
    pub from: LogOffset,
}

/// What the reader needs to know of the store.
#[derive(Clone)]
pub struct ReaderRoots {
    pub root: PathBuf,
    pub view: LogView,
    pub rules: DispatchRules,
    pub topics: Arc<TopicTable>,
    pub ahead: Ahead,
    pub queues: Vec<Addr<Queues>>,
    pub writer: Recipient<Reached>,
    pub fatal: Fatal,
}

/// The reader. See the module.
pub struct DispatchReader {
    roots: ReaderRoots,
    at: LogOffset,
    upto: LogOffset,
}

/// A queue that records are told to: its number, and where its topic's records begin.
type Place = Option<(QueueSlot, LogOffset)>;

impl DispatchReader {
    #[must_use]
    pub fn new(roots: ReaderRoots) -> Self {
        Self { roots, at: 0, upto: 0 }
    }

    fn go_on(&mut self, ctx: &mut Context<Self>) {
        while self.at < self.upto {
            if !self.roots.ahead.has_room() {
                ctx.run_later(PAUSE, Self::go_on);
                return;
            }
            if let Err(error) = self.tell_some() {
                (self.roots.fatal)(format!("the log cannot be read for its queues: {error}"));
                return;
            }
        }
        self.roots.writer.do_send(Reached { upto: self.upto });
    }

    fn tell_some(&mut self) -> Result<(), StoreError> {
        let count = self.roots.queues.len();
        let mut notices: Vec<Vec<Notice>> = vec![Vec::new(); count];
        let mut places: HashMap<String, HashMap<QueueId, Place>> = HashMap::new();
        let (mut told, mut broken) = (0, None);
        let roots = &self.roots;
        let end = recovery::read(&roots.view, self.at, self.upto, |record| {
            let Some(entry) = roots.rules.entry(record) else { return ControlFlow::Continue(()) };
            let known = places.get(record.topic).and_then(|queues| queues.get(&record.queue));
            let place = match known.copied().map_or_else(|| roots.place(record), Ok) {
                Ok(place) => place,
                Err(error) => {
                    broken = Some(error);
                    return ControlFlow::Break(());
                }
            };
            if known.is_none() {
                places.entry(record.topic.to_owned()).or_default().insert(record.queue, place);
            }
            if let Some((slot, birth)) = place
                && birth <= entry.at
            {
                let (queue_offset, at, tag_code) = (record.queue_offset, entry.at, entry.tag_code);
                let notice = Notice { slot, size: entry.size, queue_offset, at, tag_code };
                notices[slot.0 as usize % count].push(notice);
                told += 1;
            }
            if told < NOTICES_AT_ONCE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        if let Some(error) = broken {
            return Err(error);
        }
        roots.ahead.more(told);
        for (queues, notices) in roots.queues.iter().zip(notices) {
            queues.do_send(Dispatch { notices, upto: end });
        }
        self.at = end;
        Ok(())
    }

    /// Entries of one queue, read from the log.
    fn missed(&self, missed: &Missed) -> Result<Vec<u8>, StoreError> {
        let Missed { key, mut next, from } = missed.clone();
        let from = from.max(TopicBirths::open(&self.roots.root)?.of(&key.topic));
        let mut entries = Vec::new();
        recovery::read(&self.roots.view, from, self.roots.view.readable(), |record| {
            if record.topic == key.topic.as_str()
                && record.queue == key.queue
                && record.queue_offset == next
                && let Some(entry) = self.roots.rules.entry(record)
            {
                entries.extend_from_slice(&entry.encode());
                next += 1;
            }
            ControlFlow::Continue(())
        })?;
        Ok(entries)
    }
}

impl ReaderRoots {
    /// The births are read after the number was looked up: a topic is buried before its namesake gets numbers.
    fn place(&self, record: &Record<'_>) -> Result<Place, StoreError> {
        let slot = self.topics.get(record.topic).and_then(|entry| entry.slot_with_files(record.queue));
        let Some(slot) = slot else { return Ok(None) };
        Ok(Some((slot, TopicBirths::open(&self.root)?.of(record.topic))))
    }
}

impl Actor for DispatchReader {
    type Context = Context<Self>;
}

impl Handler<ReadOn> for DispatchReader {
    type Result = ();

    fn handle(&mut self, read: ReadOn, ctx: &mut Self::Context) {
        if let Some(from) = read.from {
            self.at = from;
        }
        self.upto = read.upto;
        self.go_on(ctx);
    }
}

impl Handler<Missed> for DispatchReader {
    type Result = Result<Vec<u8>, String>;

    fn handle(&mut self, missed: Missed, _: &mut Self::Context) -> Self::Result {
        self.missed(&missed).map_err(|error| error.to_string())
    }
}
