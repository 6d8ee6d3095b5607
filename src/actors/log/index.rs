//! The key index: which records carry a key.
//!
//! Owns: the index files. Lives on a thread of its own: its pages may have to come from the disk.
//! Hears: [`IndexKeys`] from the writer, [`QueryKeys`] from request handlers, `Stop`.
//! Tells: [`Indexed`] to the flusher, at most once a second.
//!
//! Invariants: no key is lost while the log has it: what cannot be written waits, and what may not wait is read from the
//! log again; the flusher hears of no record whose keys are not in the index.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use actix::prelude::*;

use super::flusher::Indexed;
use crate::actors::Stop;
use crate::protocol::names::LogOffset;
use crate::store::StoreError;
use crate::store::key_index::{IndexedKey, KeyIndex, KeyQuery};
use crate::store::log_view::LogView;
use crate::store::recovery;

const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Keys that wait for a disk that is full or fails; those that come later are read from the log.
const WAITING_KEYS_MAX: usize = 1_000_000;
/// Keys that are read from the log at once.
const READ_KEYS_AT_ONCE: usize = 64 * 1024;
/// The index is synced this often, since it costs the disk a page for nearly each key.
const SYNC_INTERVAL: Duration = Duration::from_secs(5);
/// Where syncing is slow, it takes at most one part in so many of the time.
const SYNC_SHARE: u32 = 8;

/// From the writer: keys of records, in log order.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct IndexKeys {
    pub keys: Vec<IndexedKey>,
    /// End of the log: all keys of records below were sent with this or before.
    pub upto: LogOffset,
    /// Keys from here on, up to those that are in this, were not sent: they are to be read from the log.
    pub missed_from: Option<LogOffset>,
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
    view: LogView,
    flusher: Recipient<Indexed>,
    /// Keys that the writer sent and that were not taken yet.
    under_way: Arc<AtomicUsize>,
    /// Every key of the records below came.
    upto: LogOffset,
    /// Keys that could not be written yet.
    waiting: Vec<IndexedKey>,
    /// Keys of the records from here on are read from the log, as too many wait.
    behind: Option<LogOffset>,
    /// The disk refused keys, and did not take any since.
    failed: bool,
    safe: Safe,
}

/// What of the index is on the disk, and what the flusher knows of that.
struct Safe {
    synced: LogOffset,
    timestamp_ms: i64,
    due: Instant,
    /// A sync failed: the kernel may have dropped the pages, and will not say so again.
    lost: bool,
    told: Option<(LogOffset, LogOffset)>,
}

impl Index {
    /// An index that holds the keys of all records below `upto`, those below `synced` on the disk.
    #[must_use]
    pub fn new(
        index: KeyIndex,
        view: LogView,
        (synced, upto): (LogOffset, LogOffset),
        flusher: Recipient<Indexed>,
        under_way: Arc<AtomicUsize>,
    ) -> Self {
        let safe = Safe { synced, timestamp_ms: 0, due: Instant::now(), lost: false, told: None };
        Self { index, view, flusher, under_way, upto, waiting: Vec::new(), behind: None, failed: false, safe }
    }

    fn insert(&mut self, keys: &[IndexedKey]) {
        if self.behind.is_some() {
            return;
        }
        let mut rest = keys;
        if self.waiting.is_empty() {
            self.write(&mut rest);
        }
        if self.waiting.len() + rest.len() <= WAITING_KEYS_MAX {
            self.waiting.extend_from_slice(rest);
        } else {
            self.behind = rest.first().map(|key| key.at);
        }
    }

    fn write(&mut self, keys: &mut &[IndexedKey]) {
        let result = self.index.insert(keys);
        self.notice(result);
    }

    fn notice(&mut self, result: Result<(), StoreError>) {
        match result {
            Ok(()) if std::mem::take(&mut self.failed) => tracing::info!("the key index can be written again"),
            Ok(()) => {}
            Err(error) if !std::mem::replace(&mut self.failed, true) => {
                tracing::error!(%error, "the key index cannot be written; it goes on from the log when it can");
            }
            Err(_) => {}
        }
    }

    /// Writes what waits, then what was left to the log.
    fn catch_up(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let mut rest = waiting.as_slice();
        if !rest.is_empty() {
            self.write(&mut rest);
            self.waiting = rest.to_vec();
        }
        while let Some(from) = self.behind.filter(|_| self.waiting.is_empty()) {
            match recovery::read_keys(&self.view, from, self.upto, READ_KEYS_AT_ONCE) {
                Ok((keys, next)) => {
                    let mut rest = keys.as_slice();
                    self.write(&mut rest);
                    self.waiting = rest.to_vec();
                    self.behind = Some(next).filter(|next| *next < self.upto);
                }
                Err(error) => {
                    self.notice(Err(error));
                    return;
                }
            }
        }
    }

    fn is_whole(&self) -> bool {
        self.waiting.is_empty() && self.behind.is_none()
    }

    /// Brings the index to the disk.
    fn sync(&mut self) {
        if !self.is_whole() || self.safe.lost || self.safe.synced == self.upto {
            return;
        }
        let began = Instant::now();
        match self.index.sync() {
            Ok(()) => {
                self.safe.synced = self.upto;
                self.safe.timestamp_ms = self.index.end_timestamp_ms();
            }
            Err(error) => {
                self.safe.lost = true;
                tracing::error!(%error, "the key index cannot be synced; after the next crash its newest part is made again");
            }
        }
        self.safe.due = Instant::now() + SYNC_INTERVAL.max(began.elapsed() * SYNC_SHARE);
    }

    fn report(&mut self) {
        let now = Some((self.upto, self.safe.synced));
        if self.is_whole() && self.safe.told != now {
            self.safe.told = now;
            let Safe { synced, timestamp_ms, .. } = self.safe;
            self.flusher.do_send(Indexed { upto: self.upto, synced, timestamp_ms });
        }
    }

    fn report_regularly(&mut self, ctx: &mut Context<Self>) {
        self.catch_up();
        if Instant::now() >= self.safe.due {
            self.sync();
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
        self.under_way.fetch_sub(message.keys.len(), Ordering::Relaxed);
        self.behind = self.behind.or(message.missed_from);
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
        self.catch_up();
        self.sync();
        self.report();
    }
}
