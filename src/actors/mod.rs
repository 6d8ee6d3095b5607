//! The cast: one owner of state a file.
//!
//! | actor | owns | hears | tells |
//! |---|---|---|---|
//! | [`commitlog_writer`] | the end of the log, the next offset of every open queue, appends that wait | appends from sessions; queues that opened or closed; space; flushes | sessions the results; queues, key index, flusher and segments what was written |
//! | [`topic_queue`] | one ConsumeQueue for reading, its newest entries, its waiting pulls | entries and questions from its parent; what was written | sessions what they pulled; the queue files its entries |
//! | [`log::queues`] | the queues of one arbiter: which have an actor, what they were not told yet | dispatches and openings from the writer; questions from sessions and handlers | its queues; the writer where a queue goes on; the queue files when a round is over |
//! | [`log::dispatch_reader`] | how far the log was read for queues that the writer does not tell | where to read on, from the writer; what a rebuilt queue missed | the queues; the writer when it is met |
//! | [`log::queue_files`] | the ConsumeQueue files that are open for writing, births of topics | entries from queues, rounds from their parents, deletions | queues what is written; the flusher when a round is on the disk |
//! | [`log::flusher`] | how far the log is synced, the checkpoint file | flushes from the writer; progress of queue files and key index | the writer what is safe; the tree when the disk fails |
//! | [`log::segments`] | space ahead of the writer, the making of segments | the writer's progress | the writer how far it may write |
//! | [`log::index`] | the index files | keys from the writer, queries from handlers | the flusher how far it came |
//! | [`catalog::settings`] | the order of the settings' updates, the file that keeps them | updates by administrators | nobody |
//! | [`catalog::topics`] | topics, the numbers of their queues, `topics.json` | creations by sends and administrators, deletions, lists | the registration what changed; offsets and log what is gone |
//! | [`catalog::groups`] | consumer groups' settings, `subscriptionGroup.json` | first uses, updates, deletions, lists | nobody |
//! | [`catalog::offsets`] | how far groups have come, pending resets, `consumerOffset.json` | commits, questions, resets, what is gone | nobody |
//! | [`catalog::members`] | who is in which group, behind which connection; subscriptions | heartbeats, farewells, lost connections, lists | consumers, through their sessions, that their group changed |
//! | [`catalog::statistics`] | samples of the counters | questions from handlers | nobody |
//! | [`queue_locks`] | which consumer may consume which queue in order, and until when | locks and unlocks by consumers | nobody |
//! | [`transactions`] | which half messages ended lately, when the check runs | ends from sessions | the writer committed messages, op messages and copies of half messages; the members whom to ask; the offsets its progress |
//! | [`delay`] | how far each delay level was delivered, `delayOffset.json` | that a level has a message, when nothing waited there | the writer records that are due; the levels' queues questions |
//! | [`cluster::registration`] | a connection to each name server, what each does not know yet | changed topics | name servers; the topics' owner which topics are ordered |
//! | [`namesrv`] | routes, brokers and their heartbeats, `kvConfig.json` | registrations, heartbeats, lost connections, administrators | brokers that their group's lowest id changed |
//! | [`extension`] | the way to each actor that a user added | batches of messages for filters and interceptors, events for listeners | topic queues and sessions what those say |
//! | [`rebalance`] | at a consumer: a group's topics and this member's share | subscriptions, changed members, the clock | the consumer its new share |
//!
//! Outside this room: the sessions and the listener of [`crate::server`], which own connections, and the actors of
//! [`crate::client`]. Who starts whom, and what follows when one ends, stands in `server/tree.rs`.

use std::net::SocketAddr;

use actix::prelude::*;
use bytes::Bytes;
use tokio::sync::oneshot;

pub mod catalog;
pub mod cluster;
pub mod commitlog_writer;
#[doc(hidden)]
pub mod crash;
pub mod delay;
pub mod door;
pub mod extension;
pub mod log;
pub mod namesrv;
pub mod queue_locks;
pub mod rebalance;
pub mod supervision;
pub mod topic_queue;
pub mod transactions;

/// Number of a connection, never used twice in one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// A connection as the catalog knows it: who is there, and the way to tell it something.
#[derive(Clone, Debug)]
pub struct Peer {
    pub connection: ConnectionId,
    pub address: SocketAddr,
    pub push: Recipient<Push>,
}

/// To a session: send this request to the client at the other end. Lost when the connection is.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub struct Push {
    /// Request code, one of those that clients serve.
    pub code: i32,
    pub fields: Vec<(&'static str, String)>,
    pub body: Bytes,
    /// Who waits for the client's answer; `None`: the request is oneway.
    pub reply: Option<oneshot::Sender<ClientAnswer>>,
}

/// What a client answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientAnswer {
    pub code: i32,
    pub remark: Option<String>,
    pub body: Bytes,
}

/// Ends the receiver in order: what it owns is on disk when the answer comes.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub struct Stop;
