//! Brings the entries of all queues to their files.
//!
//! Owns: the files of ConsumeQueues that are open for writing, the births of topics. Lives on a thread of its own: the disk blocks.
//! Hears: [`WriteEntries`] from topic queues, [`Round`] from their parents, [`RemoveQueues`] when a topic is deleted.
//! Tells: [`EntriesWritten`] to topic queues, [`RoundWritten`] to their parents, [`QueuesWritten`] to the flusher once a whole round is on the disk.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use actix::prelude::*;
use bytes::Bytes;

use super::QueueSlot;
use super::flusher::QueuesWritten;
use crate::actors::Stop;
use crate::protocol::names::{LogOffset, QueueKey, QueueOffset, Topic};
use crate::store::StoreError;
use crate::store::births::TopicBirths;
use crate::store::queue_files::{QueueFiles as Files, Unsynced};

/// Queue files are synced, and the checkpoint may move, after each round that ends so long after the last sync.
const SYNC_INTERVAL: Duration = Duration::from_millis(500);
/// Files that were not written for so long are closed.
const CLOSE_INTERVAL: Duration = Duration::from_secs(2);
/// Where many files make syncing slow, it takes at most one part in so many of the disk's time.
const SYNC_SHARE: u32 = 8;

/// From a topic queue, as its part of a round: write these entries, if there are any.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct WriteEntries {
    pub round: RoundId,
    pub slot: QueueSlot,
    pub key: QueueKey,
    pub from: QueueOffset,
    pub entries: Bytes,
    pub reply: Recipient<EntriesWritten>,
}

/// To a topic queue: the files hold its entries up to `upto`.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub struct EntriesWritten {
    pub upto: QueueOffset,
}

/// One arbiter's request that its queues be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RoundId {
    pub arbiter: usize,
    pub number: u64,
}

/// From the queues' parent: when `queues` of them have written in this round, their files hold every record below `upto`.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub struct Round {
    pub id: RoundId,
    pub queues: usize,
    /// `None` when not all queues could take part.
    pub upto: Option<LogOffset>,
}

/// To the queues' parent: the round is over, for better or worse.
#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
pub struct RoundWritten {
    pub id: RoundId,
    /// Queues whose entries could not be written: they have to take part in the next round.
    pub failed: Vec<QueueSlot>,
}

/// From whoever deletes a topic, whose actors have ended.
#[derive(Message, Debug)]
#[rtype(result = "Result<(), String>")]
pub struct RemoveQueues {
    pub topic: Topic,
    /// End of the log: all records of the topic lie below.
    pub end: LogOffset,
}

/// The queues' files. See the module.
pub struct QueueFiles {
    files: Files,
    births: TopicBirths,
    flusher: Recipient<QueuesWritten>,
    /// By arbiter.
    parents: Vec<Recipient<RoundWritten>>,
    rounds: HashMap<usize, Progress>,
    /// Written but not yet synced: what to tell the flusher then.
    unsynced: HashMap<usize, LogOffset>,
    sync_at: Instant,
    syncing: Option<Syncing>,
    close_at: Instant,
    /// The disk fails, and that was said.
    refused: bool,
    unsynced_said: bool,
}

/// A sync that goes on between writes, a few files at a time: entries of many queues would else gather in memory
/// meanwhile.
struct Syncing {
    left: Unsynced,
    /// What holds when it is over.
    upto: HashMap<usize, LogOffset>,
    took: Duration,
}

#[derive(Debug, Default)]
struct Progress {
    number: u64,
    written: usize,
    expected: Option<(usize, Option<LogOffset>)>,
    failed: Vec<QueueSlot>,
}

impl QueueFiles {
    /// `parents` are the queues' parents, by arbiter.
    #[must_use]
    pub fn new(
        files: Files,
        births: TopicBirths,
        flusher: Recipient<QueuesWritten>,
        parents: Vec<Recipient<RoundWritten>>,
    ) -> Self {
        Self {
            files,
            births,
            flusher,
            parents,
            rounds: HashMap::new(),
            unsynced: HashMap::new(),
            sync_at: Instant::now() + SYNC_INTERVAL,
            syncing: None,
            close_at: Instant::now() + CLOSE_INTERVAL,
            refused: false,
            unsynced_said: false,
        }
    }

    fn write(&mut self, message: &WriteEntries) -> bool {
        match self.files.write(&message.key, message.from, &message.entries) {
            Ok(()) => {
                if std::mem::take(&mut self.refused) {
                    tracing::info!("the ConsumeQueues can be written again");
                }
                let upto = message.from + (message.entries.len() / crate::store::consume_queue::ENTRY_BYTES) as u64;
                message.reply.do_send(EntriesWritten { upto });
                true
            }
            Err(error) => {
                if !std::mem::replace(&mut self.refused, true) {
                    tracing::error!(
                        %error,
                        "a ConsumeQueue cannot be written; its entries stay in memory, and it is tried again each \
                         second: make space, or mend what is named"
                    );
                }
                false
            }
        }
    }

    /// The newest round of an arbiter; an older one that never ended is forgotten.
    fn progress(&mut self, id: RoundId) -> Option<&mut Progress> {
        let progress = self.rounds.entry(id.arbiter).or_default();
        if progress.number < id.number {
            *progress = Progress { number: id.number, ..Progress::default() };
        }
        (progress.number == id.number).then_some(progress)
    }

    fn settle(&mut self, id: RoundId, ctx: &mut Context<Self>) {
        let Some(progress) = self.progress(id) else { return };
        let Some((_, upto)) = progress.expected.filter(|(queues, _)| *queues == progress.written) else { return };
        let failed = std::mem::take(&mut progress.failed);
        if let Some(upto) = upto.filter(|_| failed.is_empty()) {
            self.unsynced.insert(id.arbiter, upto);
        }
        if let Some(parent) = self.parents.get(id.arbiter) {
            parent.do_send(RoundWritten { id, failed });
        }
        let now = Instant::now();
        if now >= self.close_at {
            self.files.close_unused();
            self.close_at = now + CLOSE_INTERVAL;
        }
        if now >= self.sync_at && self.syncing.is_none() {
            let (left, upto) = (self.files.unsynced(), std::mem::take(&mut self.unsynced));
            self.syncing = Some(Syncing { left, upto, took: Duration::ZERO });
            self.sync_some(ctx);
        }
    }

    /// Goes on syncing, then lets writes have their turn.
    fn sync_some(&mut self, ctx: &mut Context<Self>) {
        let Some(mut syncing) = self.syncing.take() else { return };
        let began = Instant::now();
        let done = self.files.sync_some(&mut syncing.left);
        let took = began.elapsed();
        syncing.took += took;
        match done {
            Ok(false) => {
                self.syncing = Some(syncing);
                ctx.run_later(took, Self::sync_some);
            }
            Ok(true) => self.synced(syncing.upto, syncing.took),
            Err(error) => self.not_synced(&error),
        }
    }

    fn synced(&mut self, upto: HashMap<usize, LogOffset>, took: Duration) {
        for (arbiter, upto) in upto {
            self.flusher.do_send(QueuesWritten { arbiter, upto });
        }
        self.sync_at = Instant::now() + SYNC_INTERVAL.max(took * SYNC_SHARE);
    }

    fn not_synced(&mut self, error: &StoreError) {
        if !std::mem::replace(&mut self.unsynced_said, true) {
            tracing::error!(
                %error,
                "the ConsumeQueues cannot be synced; the next start reads the log from here on: look at the disk"
            );
        }
        self.sync_at = Instant::now() + SYNC_INTERVAL;
    }
}

impl Actor for QueueFiles {
    type Context = Context<Self>;
}

impl Handler<WriteEntries> for QueueFiles {
    type Result = ();

    fn handle(&mut self, message: WriteEntries, ctx: &mut Self::Context) {
        let written = message.entries.is_empty() || self.write(&message);
        if let Some(progress) = self.progress(message.round) {
            progress.written += 1;
            if !written {
                progress.failed.push(message.slot);
            }
        }
        self.settle(message.round, ctx);
    }
}

impl Handler<Round> for QueueFiles {
    type Result = ();

    fn handle(&mut self, round: Round, ctx: &mut Self::Context) {
        if let Some(progress) = self.progress(round.id) {
            progress.expected = Some((round.queues, round.upto));
        }
        self.settle(round.id, ctx);
    }
}

impl Handler<RemoveQueues> for QueueFiles {
    type Result = Result<(), String>;

    fn handle(&mut self, remove: RemoveQueues, _: &mut Self::Context) -> Self::Result {
        let buried = self.births.bury(&remove.topic, remove.end);
        buried.and_then(|()| self.files.remove(&remove.topic)).map_err(|error| error.to_string())
    }
}

impl Handler<Stop> for QueueFiles {
    type Result = ();

    fn handle(&mut self, _: Stop, _: &mut Self::Context) {
        let mut upto = self.syncing.take().map(|syncing| syncing.upto).unwrap_or_default();
        upto.extend(self.unsynced.drain());
        match self.files.sync() {
            Ok(()) => self.synced(upto, Duration::ZERO),
            Err(error) => self.not_synced(&error),
        }
    }
}
