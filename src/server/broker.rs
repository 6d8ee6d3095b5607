//! A broker, from its settings to its end.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicI32;
use std::time::Duration;

use actix::prelude::*;
use actix_rt::Arbiter;

use super::doors::BrokerDoors;
use super::extending::Additions;
use super::listener::{self, Drain, Listener};
use super::owners::{catalog, waiting_rooms};
use super::requests::send::SendRules;
use super::session::{BrokerDesk, Desk};
use super::tls;
use super::tree::{LogTree, Threads, ends};
use crate::actors::catalog::offsets::{Lower, ViewOffsets};
use crate::actors::catalog::topics::{EnsureTopic, TopicConfig, TopicTable};
use crate::actors::cluster::registration::{Registrar, Registration};
use crate::actors::crash::Pillars;
use crate::actors::crash::{CrashSession, Stall};
use crate::actors::delay::Settle;
use crate::actors::log::flusher::Fatal;
use crate::actors::{Stop, supervision};
use crate::config::{self, Advertised, BrokerConfig};
use crate::protocol::names::Topic;
use crate::remoting::tls::TlsError;
use crate::store::StoreError;
use crate::store::disk::Disk;
use crate::store::opening::{self, Found};

/// Time that connections have to end in order.
const DRAIN_MAX: Duration = Duration::from_secs(3);

/// Why a server did not start. Each is one clear line.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Catalog(String),
    #[error("{0}")]
    Tls(#[from] TlsError),
    #[error("{0}")]
    Extension(String),
    #[error("cannot listen on {address}: {source}; another server may be running there")]
    Bind { address: SocketAddr, source: std::io::Error },
    #[error("the address to be told to clients, {host}, cannot be resolved: {source}")]
    Host { host: String, source: std::io::Error },
}

/// A broker that runs.
pub struct Broker {
    pub doors: BrokerDoors,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where old clients connect by default, two ports below.
    pub fast_address: Option<SocketAddr>,
    pub advertised: Advertised,
    pub found: Found,
    #[doc(hidden)]
    pub pillars: Pillars,
    registration: Addr<Registration>,
    listener: Addr<Listener>,
    log: LogTree,
    threads: Threads,
    /// Threads of the filters that the broker keeps.
    filters: Vec<Arbiter>,
}

impl Broker {
    /// Starts a broker on the calling thread's arbiter and others.
    ///
    /// # Errors
    /// When the data directory, the certificate or the address cannot be used; nothing was changed then.
    pub async fn start(config: BrokerConfig, io_threads: usize, fatal: &Fatal) -> Result<Broker, StartError> {
        Self::start_on(Disk::default(), config, (io_threads, Additions::default()), fatal).await
    }

    /// The same on a disk that may be made to fail.
    ///
    /// # Errors
    /// As [`Broker::start`].
    #[doc(hidden)]
    pub async fn start_on(
        disk: Disk,
        mut config: BrokerConfig,
        (io_threads, additions): (usize, Additions),
        fatal: &Fatal,
    ) -> Result<Broker, StartError> {
        let entrance = tls::open(&config.network.tls)?;
        let dialer = tls::dialer(&config.network.tls)?;
        let sockets = bind(&mut config)?;
        let address = sockets[0].local_addr().map_err(|source| bind_error(&config, source))?;
        let fast_address = sockets.get(1).and_then(|socket| socket.local_addr().ok());
        let advertised = config::advertised_address(&config, address, &config::local_addresses());
        let store_host = SocketAddr::new(resolve(&advertised)?, address.port());
        config.network.advertised_host.get_or_insert_with(|| advertised.host.clone());
        let topics = Arc::new(TopicTable::default());
        let threads = Threads::start(io_threads);
        let log = LogTree::start((&config, store_host), topics.clone(), &threads, fatal, disk)?;
        let found = log.found;
        let told = format!("{}:{}", advertised.host, address.port());
        let (extensions, filters) = additions.begin()?;
        let doors = catalog((config, told.into(), extensions), topics, &log, &threads, fatal)?;
        if found.crashed {
            settle_unlisted_topics(&doors, found.foreign).await?;
            lower_offsets(&doors).await?;
        }
        let settled = doors.delay.owner.ask(Settle).await.map_err(|error| StartError::Catalog(error.to_string()))?;
        settled.map_err(|error| StartError::Catalog(format!("settling delayed messages: {error}")))?;
        let send_rules = SendRules::new(&doors.settings.now(), store_host, waiting_rooms(&doors));
        let desk = Desk::Broker(Arc::new(BrokerDesk {
            doors: doors.clone(),
            writer: log.doors.writer.clone(),
            backlog_bytes: log.backlog_bytes.clone(),
            send_rules,
            opaque: AtomicI32::new(0),
        }));
        let listener = Listener::new(sockets, threads.io.clone(), desk, entrance);
        let listener = supervision::start_here(listener, ends(fatal, "the listener"));
        let registration = Registration::new(
            registrar(&doors.settings.now(), &doors.identity.address),
            doors.settings.current.clone(),
            doors.topics.owner.clone(),
        );
        let registration = registration.dialing(dialer);
        let registration = supervision::start_here(registration, ends(fatal, "the registration"));
        let mut pillars = log.pillars.clone();
        pillars.0.push(("the registration", registration.clone().recipient()));
        Ok(Broker {
            doors,
            address,
            fast_address,
            advertised,
            found,
            pillars,
            registration,
            listener,
            log,
            threads,
            filters,
        })
    }

    /// Ends the session with this peer by a panic.
    #[doc(hidden)]
    pub fn crash_session(&self, peer: SocketAddr) {
        self.listener.do_send(CrashSession { peer });
    }

    /// Has the disk stall until the other end of `until` is dropped.
    #[doc(hidden)]
    pub fn stall_disk(&self, until: std::sync::mpsc::Receiver<()>) {
        self.log.flusher.do_send(Stall { until });
    }

    /// Ends the broker in order, from the doors inwards: afterwards everything is on the disk.
    pub async fn stop(self) {
        // A name server that does not answer forgets the broker by itself.
        let _ = tokio::time::timeout(DRAIN_MAX, self.registration.send(Stop)).await;
        // Whoever does not end in time loses its connection, never an acknowledged message.
        let _ = tokio::time::timeout(DRAIN_MAX, self.listener.send(Drain)).await;
        let _ = self.doors.transactions.ask(Stop).await;
        let _ = self.doors.delay.owner.ask(Stop).await;
        let _ = self.doors.settings.owner.ask(Stop).await;
        let _ = self.doors.members.owner.ask(Stop).await;
        let _ = self.doors.members.locks.owner.ask(Stop).await;
        let _ = self.doors.offsets.owner.ask(Stop).await;
        let _ = self.doors.groups.owner.ask(Stop).await;
        let _ = self.doors.topics.owner.ask(Stop).await;
        self.log.stop().await;
        // Not waited for: one may hang.
        for thread in &self.filters {
            thread.stop();
        }
        self.threads.stop();
    }
}

/// How this broker presents itself to name servers.
fn registrar(config: &BrokerConfig, address: &str) -> Registrar {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let ha_host = config.network.replication_host.as_deref().unwrap_or(host);
    Registrar {
        cluster: config.identity.cluster_name.clone(),
        name: config.identity.broker_name.clone(),
        id: config.identity.broker_id as i64,
        address: address.to_owned(),
        ha_address: format!("{ha_host}:{}", config.network.ha_port()),
    }
}

/// Topics that have messages but are not in the list of topics. Ours lost them: it was taken away, or is the one before
/// because it could not be read. They are made again. RocketMQ's is written with each change, too, and its deletions leave
/// the log: there they were deleted, and its recovery made their queues anew from the log; they are deleted for good.
async fn settle_unlisted_topics(doors: &BrokerDoors, foreign: bool) -> Result<(), StartError> {
    /// Queues of these belong to no topic of their own.
    const LIGHT_QUEUE_PREFIX: &str = "%LMQ%";
    let mut unlisted: BTreeMap<Topic, u32> = BTreeMap::new();
    for key in opening::queues_on_disk(&doors.settings.now().store.data_dir)? {
        if !doors.topics.table.contains(&key.topic) && !key.topic.starts_with(LIGHT_QUEUE_PREFIX) {
            let queues = unlisted.entry(key.topic).or_default();
            *queues = (*queues).max(key.queue.saturating_add(1));
        }
    }
    for (topic, queues) in unlisted {
        let failed = |error: &dyn std::fmt::Display| StartError::Catalog(format!("settling topic {topic}: {error}"));
        if foreign {
            tracing::warn!(%topic, "messages of a topic that is not in the list of topics are forgotten");
            doors.log.delete_topic(&topic, Vec::new()).await.map_err(|e| failed(&e))?;
            continue;
        }
        tracing::warn!(%topic, queues, "a topic with messages was not in the list of topics; it is made again");
        let made = doors.topics.owner.ask(EnsureTopic { config: TopicConfig::new(topic.clone(), queues) }).await;
        made.map_err(|e| failed(&e))?.map_err(|e| failed(&e))?;
    }
    Ok(())
}

/// After a crash the log may end before what a group has committed: the messages that come next would be passed over.
async fn lower_offsets(doors: &BrokerDoors) -> Result<(), StartError> {
    let unavailable = |error: &dyn std::fmt::Display| StartError::Catalog(format!("lowering offsets: {error}"));
    let view = doors.offsets.owner.ask(ViewOffsets::default()).await.map_err(|e| unavailable(&e))?;
    let mut ends = HashMap::new();
    for queue in view.queue_keys() {
        let range = doors.log.range(&queue).await.map_err(|e| unavailable(&e))?;
        ends.insert(queue, range.max);
    }
    let lowered = doors.offsets.owner.ask(Lower { ends }).await.map_err(|e| unavailable(&e))?;
    let lowered = lowered.map_err(|e| unavailable(&e))?;
    if lowered > 0 {
        tracing::warn!(lowered, "consumer offsets beyond the end of their queue were lowered to it");
    }
    Ok(())
}

fn bind_error(config: &BrokerConfig, source: std::io::Error) -> StartError {
    StartError::Bind { address: SocketAddr::new(config.network.bind_address, config.network.listen_port), source }
}

/// The main socket and, two ports below, the fast one. A port that was left to the system is noted in `config`.
fn bind(config: &mut BrokerConfig) -> Result<Vec<std::net::TcpListener>, StartError> {
    const ATTEMPTS: usize = 32;
    let wished = config.network.listen_port;
    for attempt in 1.. {
        let address = SocketAddr::new(config.network.bind_address, wished);
        let main = listener::bind(address).map_err(|source| StartError::Bind { address, source })?;
        config.network.listen_port = main.local_addr().map_err(|source| bind_error(config, source))?.port();
        let Some(port) = config.network.fast_port() else { return Ok(vec![main]) };
        let fast = SocketAddr::new(config.network.bind_address, port);
        match listener::bind(fast) {
            Ok(second) => return Ok(vec![main, second]),
            // A free port whose neighbour is taken: another one may be better.
            Err(_) if wished == 0 && attempt < ATTEMPTS => config.network.listen_port = wished,
            Err(source) => return Err(StartError::Bind { address: fast, source }),
        }
    }
    Ok(Vec::new())
}

fn resolve(advertised: &Advertised) -> Result<IpAddr, StartError> {
    use std::net::ToSocketAddrs;
    if let Some(ip) = advertised.ip() {
        return Ok(ip);
    }
    let failed = |source| StartError::Host { host: advertised.host.clone(), source };
    let mut found = (advertised.host.as_str(), 0).to_socket_addrs().map_err(failed)?;
    found.next().map(|address| address.ip()).ok_or_else(|| failed(std::io::Error::other("it has no address")))
}
