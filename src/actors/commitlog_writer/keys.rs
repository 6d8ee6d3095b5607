//! The keys of what was written, on their way to the index.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix::prelude::*;

use super::messages::Batch;
use crate::actors::log::index::IndexKeys;
use crate::protocol::names::LogOffset;
use crate::store::key_index::IndexedKey;

/// Keys are handed to the index when there are as many, or when their time has come.
const KEYS_AT_ONCE: usize = 8192;
/// Keys that were handed over and not taken yet, at most. The index reads from the log what comes then.
const KEYS_UNDER_WAY_MAX: usize = 1_000_000;

/// The way to the index.
#[derive(Debug, Clone)]
pub struct KeyWay {
    pub index: Recipient<IndexKeys>,
    /// Keys that were handed over and not taken yet; the index takes off.
    pub under_way: Arc<AtomicUsize>,
}

/// Keys that gather until it is worth a message.
#[derive(Debug)]
pub(super) struct Keys {
    /// `None` where there is no index.
    way: Option<KeyWay>,
    gathered: Vec<IndexedKey>,
    /// Keys from here on were not handed over.
    missed_from: Option<LogOffset>,
}

impl Keys {
    pub(super) fn new(way: Option<KeyWay>) -> Self {
        Self { way, gathered: Vec::new(), missed_from: None }
    }

    /// Takes a batch's keys; true when they are the first that wait.
    pub(super) fn gather(&mut self, batch: &Batch) -> bool {
        if self.way.is_none() || batch.keys.is_empty() {
            return false;
        }
        let are_first = self.gathered.is_empty();
        let timestamp_ms = batch.store_timestamp_ms;
        let mut hashes = batch.keys.iter();
        for put in &batch.puts {
            let own = hashes.by_ref().take(usize::from(put.keys));
            self.gathered.extend(own.map(|hash| IndexedKey { hash: *hash, at: put.at, timestamp_ms }));
        }
        are_first
    }

    pub(super) fn are_many(&self) -> bool {
        self.gathered.len() >= KEYS_AT_ONCE
    }

    /// Hands over what gathered: all keys of the log below `upto`.
    pub(super) fn hand_over(&mut self, upto: LogOffset) {
        let Some(way) = &self.way else { return };
        let under_way = way.under_way.load(Ordering::Relaxed);
        if under_way + self.gathered.len() > KEYS_UNDER_WAY_MAX {
            self.missed_from = self.missed_from.or(self.gathered.first().map(|key| key.at));
            self.gathered.clear();
            return;
        }
        let capacity = self.gathered.len().min(KEYS_AT_ONCE);
        let keys = std::mem::replace(&mut self.gathered, Vec::with_capacity(capacity));
        way.under_way.fetch_add(keys.len(), Ordering::Relaxed);
        way.index.do_send(IndexKeys { keys, upto, missed_from: self.missed_from.take() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::commitlog_writer::messages::Put;

    /// Hears, and counts down only when it is told to.
    struct Listening(Vec<IndexKeys>);

    impl Actor for Listening {
        type Context = Context<Self>;
    }

    impl Handler<IndexKeys> for Listening {
        type Result = ();

        fn handle(&mut self, message: IndexKeys, _: &mut Self::Context) {
            self.0.push(message);
        }
    }

    #[derive(Message)]
    #[rtype(result = "Vec<(usize, LogOffset, Option<LogOffset>)>")]
    struct Heard;

    impl Handler<Heard> for Listening {
        type Result = MessageResult<Heard>;

        fn handle(&mut self, _: Heard, _: &mut Self::Context) -> Self::Result {
            MessageResult(self.0.iter().map(|heard| (heard.keys.len(), heard.upto, heard.missed_from)).collect())
        }
    }

    fn batch(at: LogOffset) -> Batch {
        Batch { puts: vec![Put { at, keys: 2, ..Put::default() }], keys: vec![1, 2], ..Batch::default() }
    }

    #[actix::test]
    async fn an_index_that_is_behind_hears_where_to_read_on() {
        let index = Listening(Vec::new()).start();
        let under_way = Arc::new(AtomicUsize::new(0));
        let way = KeyWay { index: index.clone().recipient(), under_way: under_way.clone() };
        let mut keys = Keys::new(Some(way));
        assert!(keys.gather(&batch(100)));
        keys.hand_over(200);
        assert_eq!(under_way.swap(KEYS_UNDER_WAY_MAX, Ordering::Relaxed), 2);
        for at in [200, 300] {
            keys.gather(&batch(at));
            keys.hand_over(at + 100);
        }
        under_way.store(0, Ordering::Relaxed);
        keys.gather(&batch(400));
        keys.hand_over(500);
        let heard = index.send(Heard).await.unwrap();
        assert_eq!(heard, [(2, 200, None), (2, 500, Some(200))]);
    }
}
