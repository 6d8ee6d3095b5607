//! The cast: one owner of state a file.
//!
//! | actor | owns | hears | tells |
//! |---|---|---|---|

use std::net::SocketAddr;

use actix::prelude::*;
use bytes::Bytes;

pub mod catalog;
pub mod cluster;
pub mod commitlog_writer;
#[doc(hidden)]
pub mod crash;
pub mod door;
pub mod log;
pub mod namesrv;
pub mod rebalance;
pub mod supervision;
pub mod topic_queue;

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

/// To a session: send this oneway request to the client at the other end. Lost when the connection is.
#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
pub struct Push {
    /// Request code, one of those that clients serve.
    pub code: i32,
    pub fields: Vec<(&'static str, String)>,
    pub body: Bytes,
}

/// Ends the receiver in order: what it owns is on disk when the answer comes.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub struct Stop;
