//! `namesrv`, `broker` and `standalone`: runs the roles that the settings hold until the process is told to stop.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;

use actix_rt::System;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::{NamesrvAddress, Settings, TlsMode};
use crate::server::Fatal;
use crate::server::broker::{Broker, StartError};
use crate::server::descriptors;
use crate::server::namesrv::NameServer;
use crate::server::tree::small_runtime;

/// Status of a process that had to stop at once: an actor ended without which nothing can be promised, or the disk failed.
const FATAL_STATUS: i32 = 70;

/// Runs until Ctrl-C or SIGTERM.
///
/// # Errors
/// When a role cannot start; nothing was changed on disk then.
pub fn run(settings: Settings) -> Result<(), StartError> {
    descriptors::raise_limit();
    let system = System::with_tokio_rt(small_runtime);
    system.block_on(async move {
        let mut signals = StopSignals::hear();
        let running = Running::start(settings).await?;
        running.introduce();
        signals.received().await;
        tracing::info!("stopping");
        running.stop().await;
        tracing::info!("stopped in order");
        Ok(())
    })
}

/// The roles of one process.
pub(super) struct Running {
    name_server: Option<NameServer>,
    broker: Option<Broker>,
}

impl Running {
    /// Starts the roles that the settings hold; a broker registers with the name server beside it.
    ///
    /// # Errors
    /// When a role cannot start.
    pub(super) async fn start(settings: Settings) -> Result<Self, StartError> {
        let fatal: Fatal = Arc::new(|reason| {
            tracing::error!(
                reason,
                "the process must not go on and ends; the next start recovers what was acknowledged"
            );
            let _ = writeln!(std::io::stderr(), "actormq: {reason}");
            std::process::exit(FATAL_STATUS);
        });
        let namesrv_takes_only_tls =
            settings.namesrv.as_ref().is_some_and(|config| config.network.tls.mode == TlsMode::Enforcing);
        let name_server = settings.namesrv.map(|config| NameServer::start(config, &fatal)).transpose()?;
        let mut broker_config = settings.broker;
        if let (Some(server), Some(config)) = (&name_server, &mut broker_config) {
            let local = NamesrvAddress::parse(&reachable(server.address).to_string());
            config.registration.namesrv_addresses.extend(local.ok());
            // A name server that takes nothing but TLS takes nothing else from the broker beside it.
            config.network.tls.outbound.enabled |= namesrv_takes_only_tls;
        }
        let io_threads = settings.process.io_threads as usize;
        let broker = match broker_config {
            Some(config) => Some(Broker::start(config, io_threads, &fatal).await?),
            None => None,
        };
        Ok(Self { name_server, broker })
    }

    /// Where this machine reaches the name server.
    pub(super) fn name_server(&self) -> Option<SocketAddr> {
        self.name_server.as_ref().map(|server| reachable(server.address))
    }

    /// Where the broker listens.
    pub(super) fn broker(&self) -> Option<SocketAddr> {
        self.broker.as_ref().map(|broker| reachable(broker.address))
    }

    /// Says in a few lines what runs where.
    fn introduce(&self) {
        let mut out = std::io::stdout().lock();
        let mut say = |line: String| drop(writeln!(out, "{line}"));
        if let Some(server) = &self.name_server {
            say(format!("name server  {}", server.address));
        }
        if let Some(broker) = &self.broker {
            let config = broker.doors.settings.now();
            let fast = broker.fast_address.map_or(String::new(), |fast| format!(" and {}", fast.port()));
            say(format!(
                "broker       {}{fast}, {} in cluster {}",
                broker.address, config.identity.broker_name, config.identity.cluster_name
            ));
            say(format!("clients dial {} ({})", broker.doors.identity.address, broker.advertised.why));
            say(format!("data         {}", config.store.data_dir.display()));
            let found = broker.found;
            tracing::info!(
                address = %broker.doors.identity.address, why = %broker.advertised.why, end = found.end, crashed = found.crashed,
                read_from = found.scanned_from, records = found.records, took = ?found.took, "the broker serves"
            );
        }
        if let (Some(server), Some(_)) = (&self.name_server, &self.broker) {
            let address = reachable(server.address);
            say(format!("first steps  actormq send -n {address} --topic T --body hello"));
            say(format!("             actormq consume -n {address} --topic T --group G"));
        }
        say("stop         Ctrl-C".into());
        // A closed standard output is no reason not to serve.
        let _ = out.flush();
    }

    /// Ends the roles in order.
    pub(super) async fn stop(self) {
        if let Some(broker) = self.broker {
            broker.stop().await;
        }
        if let Some(server) = self.name_server {
            server.stop().await;
        }
    }
}

/// An address at which this machine reaches a server that listens on all of its addresses.
fn reachable(address: SocketAddr) -> SocketAddr {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    address
}

/// Ctrl-C and SIGTERM, heard from the moment that this is made: one that comes during the start is not lost.
struct StopSignals(Vec<Signal>);

impl StopSignals {
    fn hear() -> Self {
        let heard = |kind| match signal(kind) {
            Ok(signal) => Some(signal),
            Err(error) => {
                tracing::warn!(?kind, %error, "the signal cannot be heard; it ends the process without order");
                None
            }
        };
        Self([SignalKind::terminate(), SignalKind::interrupt()].into_iter().filter_map(heard).collect())
    }

    /// Returns when one of them came.
    async fn received(&mut self) {
        std::future::poll_fn(|task| {
            let came = self.0.iter_mut().any(|signal| signal.poll_recv(task).is_ready());
            if came { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}
