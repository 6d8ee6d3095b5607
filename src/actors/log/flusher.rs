//! Brings the log to the disk.
//!
//! Owns: how far the log is synced, the checkpoint file. Lives on a thread of its own: syncing blocks.
//! Hears: [`Flush`] from the writer, [`QueuesWritten`] and [`Indexed`] from the queue files and the index, `Stop`.
//! Tells: [`Flushed`] to the writer; the tree, when the disk fails: pages that failed to sync must not be trusted again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::prelude::*;

use crate::actors::Stop;
use crate::protocol::names::LogOffset;
use crate::store::StoreError;
use crate::store::checkpoint::{Checkpoint, CheckpointFile};
use crate::store::log_view::LogView;

/// How often the checkpoint is written while things change.
const CHECKPOINT_INTERVAL: Duration = Duration::from_millis(500);

/// From the writer: bring everything below `upto` to the disk.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub struct Flush {
    pub upto: LogOffset,
    /// Store time of the last record below `upto`, ms.
    pub timestamp_ms: i64,
}

/// To the writer: everything below `upto` is on the disk.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub struct Flushed {
    pub upto: LogOffset,
}

/// From the queue files: the ConsumeQueues of one arbiter hold every record below `upto`.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub struct QueuesWritten {
    pub arbiter: usize,
    pub upto: LogOffset,
}

/// From the key index: it holds every record below `upto`.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub struct Indexed {
    pub upto: LogOffset,
    /// It holds every record below on the disk.
    pub synced: LogOffset,
    /// Store time of the last record that it holds on the disk, ms.
    pub timestamp_ms: i64,
}

/// Asks up to where everything is safe: flushed, in the queues' files and in the index, all of it on the disk.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "LogOffset")]
pub struct ReadDispatched;

/// Called once when the process must not go on; says why.
pub type Fatal = Arc<dyn Fn(String) + Send + Sync>;

/// The flusher. See the module.
pub struct Flusher {
    view: LogView,
    flushed: LogOffset,
    file: CheckpointFile,
    checkpoint: Checkpoint,
    saved: Checkpoint,
    /// By arbiter.
    queues: Vec<LogOffset>,
    /// `None` when there is no index.
    indexed: Option<LogOffset>,
    writer: Recipient<Flushed>,
    fatal: Fatal,
}

impl Flusher {
    /// A flusher of a log that is synced as far as `view` says.
    #[must_use]
    pub fn new(
        view: LogView,
        (file, checkpoint): (CheckpointFile, Checkpoint),
        (arbiters, with_index): (usize, bool),
        writer: Recipient<Flushed>,
        fatal: Fatal,
    ) -> Self {
        let flushed = view.ends().flushed.load(Ordering::Acquire);
        Self {
            view,
            flushed,
            file,
            checkpoint,
            saved: checkpoint,
            queues: vec![flushed; arbiters],
            indexed: with_index.then_some(flushed),
            writer,
            fatal,
        }
    }

    fn sync(&mut self, upto: LogOffset) -> Result<(), StoreError> {
        while self.flushed < upto {
            let Some(segment) = self.view.segment(self.flushed) else {
                // So far behind that the segment is not mapped any more.
                let at = self.flushed;
                return Err(StoreError::format(
                    std::path::Path::new("commitlog"),
                    format!("no segment at {at} to sync"),
                ));
            };
            let end = upto.min(segment.end());
            segment.sync((self.flushed - segment.base()) as usize, (end - segment.base()) as usize)?;
            self.flushed = end;
        }
        self.view.ends().flushed.fetch_max(self.flushed, Ordering::AcqRel);
        Ok(())
    }

    fn dispatched(&self) -> LogOffset {
        let queues = self.queues.iter().copied().min().unwrap_or(self.flushed);
        self.indexed.unwrap_or(queues).min(queues).min(self.flushed)
    }

    fn save(&mut self) {
        self.checkpoint.dispatched = self.checkpoint.dispatched.max(self.dispatched());
        self.checkpoint.master_flushed = self.flushed;
        self.checkpoint.ours = true;
        if self.checkpoint != self.saved {
            match self.file.write(&self.checkpoint) {
                Ok(()) => self.saved = self.checkpoint,
                Err(error) => (self.fatal)(error.to_string()),
            }
        }
    }

    fn save_regularly(&mut self, ctx: &mut Context<Self>) {
        self.save();
        ctx.run_later(CHECKPOINT_INTERVAL, Self::save_regularly);
    }
}

impl Actor for Flusher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_later(CHECKPOINT_INTERVAL, Self::save_regularly);
    }
}

impl Handler<Flush> for Flusher {
    type Result = ();

    fn handle(&mut self, flush: Flush, _: &mut Self::Context) {
        match self.sync(flush.upto) {
            Ok(()) => {
                self.checkpoint.log_timestamp_ms = self.checkpoint.log_timestamp_ms.max(flush.timestamp_ms);
                self.writer.do_send(Flushed { upto: self.flushed });
            }
            Err(error) => (self.fatal)(error.to_string()),
        }
    }
}

impl Handler<QueuesWritten> for Flusher {
    type Result = ();

    fn handle(&mut self, written: QueuesWritten, _: &mut Self::Context) {
        if let Some(upto) = self.queues.get_mut(written.arbiter) {
            *upto = (*upto).max(written.upto);
        }
        // Everything below is flushed with this time at the latest; what is above is read again after a crash.
        self.checkpoint.queues_timestamp_ms = self.checkpoint.log_timestamp_ms;
    }
}

impl Handler<Indexed> for Flusher {
    type Result = ();

    fn handle(&mut self, indexed: Indexed, _: &mut Self::Context) {
        self.indexed = Some(indexed.upto);
        self.checkpoint.indexed = self.checkpoint.indexed.max(indexed.synced);
        self.checkpoint.index_timestamp_ms = self.checkpoint.index_timestamp_ms.max(indexed.timestamp_ms);
    }
}

impl Handler<ReadDispatched> for Flusher {
    type Result = LogOffset;

    fn handle(&mut self, _: ReadDispatched, _: &mut Self::Context) -> LogOffset {
        let indexed = self.indexed.map_or(LogOffset::MAX, |_| self.checkpoint.indexed);
        self.dispatched().min(indexed)
    }
}

impl Handler<Stop> for Flusher {
    type Result = ();

    fn handle(&mut self, _: Stop, _: &mut Self::Context) {
        if let Err(error) = self.sync(self.view.ends().written.load(Ordering::Acquire)) {
            (self.fatal)(error.to_string());
        }
        self.save();
    }
}
