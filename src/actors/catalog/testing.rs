//! What the tests of this room share: settings in a directory of their own, and a session that only listens.

use std::sync::Arc;

use actix::prelude::*;
use arc_swap::ArcSwap;
use tempfile::TempDir;

use crate::actors::catalog::topics::TopicTable;
use crate::actors::log::doors::LogDoors;
use crate::actors::log::own_appends::OwnAppends;
use crate::actors::supervision::Seat;
use crate::actors::{ConnectionId, Peer, Push};
use crate::config::BrokerConfig;
use crate::store::log_view::LogView;

/// Settings whose data directory is `directory`.
pub fn settings(directory: &TempDir) -> Arc<ArcSwap<BrokerConfig>> {
    let mut config = BrokerConfig::default();
    config.identity.broker_name = "broker-a".into();
    config.store.data_dir = directory.path().to_owned();
    Arc::new(ArcSwap::from_pointee(config))
}

/// Changes settings as request 25 does.
pub fn change(settings: &ArcSwap<BrokerConfig>, change: impl FnOnce(&mut BrokerConfig)) {
    let mut config = BrokerConfig::clone(&settings.load());
    change(&mut config);
    settings.store(Arc::new(config));
}

/// Text of a file below `config/`.
pub fn file(directory: &TempDir, name: &str) -> String {
    std::fs::read_to_string(directory.path().join("config").join(name)).unwrap_or_default()
}

/// Writes a file below `config/`.
pub fn write_file(directory: &TempDir, name: &str, text: &str) {
    std::fs::create_dir_all(directory.path().join("config")).unwrap();
    std::fs::write(directory.path().join("config").join(name), text).unwrap();
}

/// A session that keeps what it is told to push.
#[derive(Default)]
pub struct Listener {
    pushed: Vec<Push>,
}

/// What a [`Listener`] was told since the last question.
#[derive(Message)]
#[rtype(result = "Vec<Push>")]
pub struct Pushed;

impl Actor for Listener {
    type Context = Context<Self>;
}

impl Handler<Push> for Listener {
    type Result = ();

    fn handle(&mut self, push: Push, _: &mut Context<Self>) {
        self.pushed.push(push);
    }
}

impl Handler<Pushed> for Listener {
    type Result = Vec<Push>;

    fn handle(&mut self, _: Pushed, _: &mut Context<Self>) -> Vec<Push> {
        std::mem::take(&mut self.pushed)
    }
}

/// A connection of that number, with its listener behind it.
pub fn connection(number: u64) -> (Addr<Listener>, Peer) {
    let listener = Listener::default().start();
    let address = ([127, 0, 0, 1], 40_000 + number as u16).into();
    let peer = Peer { connection: ConnectionId(number), address, push: listener.clone().recipient() };
    (listener, peer)
}

/// Doors to a log whose actors are gone: every question is answered with `Unavailable`.
pub fn closed_log(topics: &Arc<TopicTable>) -> LogDoors {
    let writer = Seat::new().addr;
    let config = BrokerConfig::default();
    let own = OwnAppends::new(writer.clone(), Arc::default(), ([127, 0, 0, 1], 10_911).into(), &config);
    LogDoors {
        topics: Arc::clone(topics),
        view: LogView::new(std::path::PathBuf::new(), 1 << 20),
        queues: Arc::new([]),
        writer,
        index: None,
        files: Seat::new().addr,
        own,
    }
}
