//! A name server, from its settings to its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use actix_rt::Arbiter;
use arc_swap::ArcSwap;

use super::broker::StartError;
use super::listener::{self, Drain, Listener};
use super::requests::namesrv::NamesrvDoors;
use super::session::Desk;
use super::tls;
use super::tree::ends;
use crate::actors::Stop;
use crate::actors::log::flusher::Fatal;
use crate::actors::namesrv::Namesrv;
use crate::actors::namesrv::published::Published;
use crate::actors::supervision::{self, End};
use crate::config::NamesrvConfig;

/// Time that connections have to end in order.
const DRAIN_MAX: Duration = Duration::from_secs(3);

/// A name server that runs.
pub struct NameServer {
    /// Where it listens.
    pub address: SocketAddr,
    listener: Addr<Listener>,
    doors: NamesrvDoors,
}

impl NameServer {
    /// Starts a name server on the calling thread's arbiter.
    ///
    /// # Errors
    /// When the address, the certificate or the data directory cannot be used.
    pub fn start(mut config: NamesrvConfig, fatal: &Fatal) -> Result<NameServer, StartError> {
        let address = SocketAddr::new(config.network.bind_address, config.network.listen_port);
        let entrance = tls::open(&config.network.tls)?;
        let dialer = tls::dialer(&config.network.tls)?;
        let bind_error = |source| StartError::Bind { address, source };
        let socket = listener::bind(address).map_err(bind_error)?;
        let address = socket.local_addr().map_err(bind_error)?;
        config.network.listen_port = address.port();
        let config = Arc::new(ArcSwap::from_pointee(config));
        let published = Arc::new(Published::default());
        let owner =
            Namesrv::open(config.clone(), published.clone()).map_err(|error| StartError::Catalog(error.to_string()))?;
        let owner = owner.dialing(dialer);
        let key_values = owner.key_values();
        let (fatal, fatal_too) = (fatal.clone(), fatal.clone());
        let actor = supervision::start_here(owner, move |end| {
            // Brokers register again with the next process; a table that nobody keeps would go stale unnoticed.
            if let End::Panicked(reason) = end {
                fatal(format!("the name server's routes ended by a panic: {reason}"));
            }
        });
        let doors = NamesrvDoors::new(actor, published, key_values, config);
        let desk = Desk::Namesrv(doors.clone());
        let listener = Listener::new(vec![socket], vec![Arbiter::current()], desk, entrance);
        let listener = supervision::start_here(listener, ends(&fatal_too, "the listener"));
        Ok(NameServer { address, listener, doors })
    }

    /// Ends the name server in order.
    pub async fn stop(self) {
        // Whoever does not end in time loses its connection and nothing else.
        let _ = tokio::time::timeout(DRAIN_MAX, self.listener.send(Drain)).await;
        let _ = self.doors.actor.send(Stop).await;
    }
}
