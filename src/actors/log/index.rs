//! The key index: which records carry a key.
//!
//! Owns: the index files. Lives on a thread of its own: its pages may have to come from the disk.
//! Hears: [`IndexKeys`] from the writer, [`QueryKeys`] from request handlers, `Stop`.
//! Tells: [`Indexed`] to the flusher, at most once a second.

use std::time::Duration;

use actix::prelude::*;

use super::flusher::Indexed;
use crate::actors::Stop;
use crate::protocol::names::LogOffset;
use crate::store::key_index::{IndexedKey, KeyIndex, KeyQuery};

const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Keys that wait for a disk that is full or fails.
const WAITING_KEYS_MAX: usize = 1_000_000;

/// From the writer: keys of records, in log order.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct IndexKeys {
    pub keys: Vec<IndexedKey>,
    /// End of the log: all keys of records below were sent with this or before.
    pub upto: LogOffset,
}

/// Asks for records with a key.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "KeysFound")]
pub struct QueryKeys {
    pub query: KeyQuery,
}

/// Where records with the key are, newest first. Other keys with the same hash are among them.
#[derive(Debug, MessageResponse)]
pub struct KeysFound {
    pub at: Vec<LogOffset>,
    /// Store time of the newest indexed record, ms.
    pub indexed_until_ms: i64,
    pub indexed_until: LogOffset,
}

/// The index. See the module.
pub struct Index {
    index: KeyIndex,
    flusher: Recipient<Indexed>,
    /// Every record below is indexed, or waits to be.
    upto: LogOffset,
    /// What the flusher was told last; `None` before it was told anything.
    reported: Option<LogOffset>,
    /// Keys that could not be written yet.
    waiting: Vec<IndexedKey>,
    failed: bool,
}

impl Index {
    #[must_use]
    pub fn new(index: KeyIndex, upto: LogOffset, flusher: Recipient<Indexed>) -> Self {
        Self { index, flusher, upto, reported: None, waiting: Vec::new(), failed: false }
    }

    fn insert(&mut self, keys: &[IndexedKey]) {
        if !self.waiting.is_empty() {
            self.wait(keys);
            let waiting = std::mem::take(&mut self.waiting);
            self.try_insert(&waiting);
        } else {
            self.try_insert(keys);
        }
    }

    fn try_insert(&mut self, keys: &[IndexedKey]) {
        match self.index.insert(keys) {
            Ok(()) => self.failed = false,
            Err(error) => {
                if !std::mem::replace(&mut self.failed, true) {
                    tracing::error!(%error, "the key index cannot be written; keys wait in memory");
                }
                let end = self.index.end();
                let rest = keys.iter().position(|key| end.is_none_or(|end| key.at > end)).unwrap_or(0);
                self.wait(&keys[rest..]);
            }
        }
    }

    /// Keys past the bound are dropped: their records cannot be found by key, but are delivered like all others.
    fn wait(&mut self, keys: &[IndexedKey]) {
        let room = WAITING_KEYS_MAX.saturating_sub(self.waiting.len());
        self.waiting.extend_from_slice(&keys[..keys.len().min(room)]);
    }

    fn report(&mut self) {
        if self.reported != Some(self.upto) && self.waiting.is_empty() {
            self.reported = Some(self.upto);
            self.flusher.do_send(Indexed { upto: self.upto, timestamp_ms: self.index.end_timestamp_ms() });
        }
    }

    fn report_regularly(&mut self, ctx: &mut Context<Self>) {
        if !self.waiting.is_empty() {
            let waiting = std::mem::take(&mut self.waiting);
            self.try_insert(&waiting);
        }
        self.report();
        ctx.run_later(REPORT_INTERVAL, Self::report_regularly);
    }
}

impl Actor for Index {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_later(REPORT_INTERVAL, Self::report_regularly);
    }
}

impl Handler<IndexKeys> for Index {
    type Result = ();

    fn handle(&mut self, message: IndexKeys, _: &mut Self::Context) {
        self.insert(&message.keys);
        self.upto = message.upto;
    }
}

impl Handler<QueryKeys> for Index {
    type Result = KeysFound;

    fn handle(&mut self, message: QueryKeys, _: &mut Self::Context) -> KeysFound {
        KeysFound {
            at: self.index.query(&message.query),
            indexed_until_ms: self.index.end_timestamp_ms(),
            indexed_until: self.index.end().unwrap_or(0),
        }
    }
}

impl Handler<Stop> for Index {
    type Result = ();

    fn handle(&mut self, _: Stop, _: &mut Self::Context) {
        if let Err(error) = self.index.sync() {
            tracing::error!(%error, "the key index could not be synced");
        }
        self.report();
    }
}
