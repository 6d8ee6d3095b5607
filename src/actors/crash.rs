//! Ends by a panic, on purpose, and a disk that stalls: tests see with these that each parent keeps its rule, and that
//! sessions keep theirs. Nothing in a broker sends them.

use std::net::SocketAddr;
use std::sync::mpsc::Receiver;

use actix::prelude::*;

use super::catalog::{
    groups::Groups, members::Members, offsets::Offsets, settings::Settings, statistics::Statistics, topics::Topics,
};
use super::cluster::registration::Registration;
use super::commitlog_writer::CommitlogWriter;
use super::delay::Delay;
use super::log::QueueSlot;
use super::log::dispatch_reader::DispatchReader;
use super::log::{flusher::Flusher, index::Index, queue_files::QueueFiles, queues::Queues, segments::Segments};
use super::queue_locks::QueueLocks;
use super::topic_queue::TopicQueue;
use super::transactions::Transactions;

/// Ends the receiver by a panic.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub struct Crash;

/// To the parent of a topic queue: end it by a panic.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub struct CrashQueue {
    pub slot: QueueSlot,
}

/// To the listener, which tells all sessions: the one with this peer ends by a panic.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub struct CrashSession {
    pub peer: SocketAddr,
}

/// To the flusher: stay at the disk until the other end of this is dropped.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Stall {
    pub until: Receiver<()>,
}

impl Handler<Stall> for Flusher {
    type Result = ();

    fn handle(&mut self, stall: Stall, _: &mut Self::Context) {
        // It has a thread of its own, where a sync blocks just so.
        let _ = stall.until.recv();
    }
}

macro_rules! crash_on_demand {
    ($($actor:ty),+) => {$(
        impl Handler<Crash> for $actor {
            type Result = ();

            fn handle(&mut self, _: Crash, _: &mut Self::Context) {
                panic!("a crash was asked for");
            }
        }
    )+};
}

crash_on_demand!(
    CommitlogWriter,
    Delay,
    DispatchReader,
    Flusher,
    Groups,
    Index,
    Members,
    Offsets,
    QueueFiles,
    QueueLocks,
    Queues,
    Registration,
    Segments,
    Settings,
    Statistics,
    TopicQueue,
    Topics,
    Transactions
);

/// The actors without which nothing works, by the names with which their ends are told.
#[derive(Clone, Debug, Default)]
pub struct Pillars(pub Vec<(&'static str, Recipient<Crash>)>);

/// Asks the parent of topic queues how many of them have an actor now; an idle one has none.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "usize")]
pub struct CountQueues;
