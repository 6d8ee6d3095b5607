//! Who serves the requests of a connection: a name server or a broker.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::time::Duration;

use actix::prelude::*;

use crate::actors::ConnectionId;
use crate::actors::catalog::members::Disconnected;
use crate::actors::commitlog_writer::CommitlogWriter;
use crate::server::doors::BrokerDoors;
use crate::server::requests::namesrv::{self, NamesrvDoors};
use crate::server::requests::send::SendRules;
use crate::server::requests::{Answer, Request, broker};

/// Whoever serves; cheap to clone.
#[derive(Clone)]
pub enum Desk {
    Broker(Arc<BrokerDesk>),
    Namesrv(NamesrvDoors),
}

/// What all sessions of a broker share.
pub struct BrokerDesk {
    pub doors: BrokerDoors,
    pub writer: Addr<CommitlogWriter>,
    /// Bytes that all sessions together have on their way to the writer, which takes them off.
    pub backlog_bytes: Arc<AtomicUsize>,
    pub send_rules: SendRules,
    /// Number of the next request that the broker itself sends.
    pub opaque: AtomicI32,
}

impl Desk {
    pub(super) async fn serve(self, request: Request) -> Answer {
        match self {
            Desk::Broker(desk) => broker::serve(&desk.doors, &request).await,
            Desk::Namesrv(doors) => namesrv::serve(&doors, request).await,
        }
    }

    pub(super) fn disconnected(&self, connection: ConnectionId) {
        match self {
            Desk::Broker(desk) => desk.doors.members.owner.tell(Disconnected { connection }),
            Desk::Namesrv(doors) => doors.actor.do_send(crate::actors::namesrv::Disconnected { connection }),
        }
    }

    pub(super) fn idle_max(&self) -> Duration {
        let seconds = match self {
            Desk::Broker(desk) => desk.doors.settings.current.load().network.idle_seconds_max,
            Desk::Namesrv(doors) => doors.config.load().network.idle_seconds_max,
        };
        Duration::from_secs(seconds.max(1).into())
    }

    /// Longest frame that is read, in bytes.
    pub(super) fn frame_bytes_max(&self) -> usize {
        let bytes = match self {
            Desk::Broker(desk) => desk.doors.settings.current.load().network.frame_bytes_max,
            Desk::Namesrv(doors) => doors.config.load().network.frame_bytes_max,
        };
        bytes as usize
    }

    /// Number for a request that the server itself sends.
    pub(super) fn next_opaque(&self) -> i32 {
        match self {
            Desk::Broker(desk) => desk.opaque.fetch_add(1, Ordering::Relaxed),
            Desk::Namesrv(_) => 0,
        }
    }
}
