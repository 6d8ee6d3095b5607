//! Who serves the requests of a connection: a name server or a broker.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use actix::prelude::*;

use crate::actors::ConnectionId;
use crate::actors::catalog::members::Disconnected;
use crate::actors::commitlog_writer::CommitlogWriter;
use crate::server::doors::BrokerDoors;
use crate::server::requests::send::SendRules;
use crate::server::requests::{Answer, Request, broker};

/// Whoever serves; one for each thread.
#[derive(Clone)]
pub enum Desk {
    Broker(Rc<BrokerDesk>),
}

/// What the sessions of a broker on one thread share.
pub struct BrokerDesk {
    pub doors: BrokerDoors,
    pub writer: Addr<CommitlogWriter>,
    /// Bytes that all sessions together have on their way to the writer, which takes them off.
    pub backlog_bytes: Arc<AtomicUsize>,
    pub send_rules: Rc<SendRules>,
    pub opaque: Cell<i32>,
}

impl Desk {
    pub(super) async fn serve(self, request: Request) -> Answer {
        match self {
            Desk::Broker(desk) => broker::serve(&desk.doors, request).await,
        }
    }

    pub(super) fn disconnected(&self, connection: ConnectionId) {
        match self {
            Desk::Broker(desk) => desk.doors.members.owner.tell(Disconnected { connection }),
        }
    }

    pub(super) fn idle_max(&self) -> Duration {
        match self {
            Desk::Broker(desk) => Duration::from_secs(desk.doors.settings.now().network.idle_seconds_max.max(1).into()),
        }
    }

    /// Number for a request that the server itself sends.
    pub(super) fn next_opaque(&self) -> i32 {
        match self {
            Desk::Broker(desk) => {
                let next = desk.opaque.get();
                desk.opaque.set(next.wrapping_add(1));
                next
            }
        }
    }
}
