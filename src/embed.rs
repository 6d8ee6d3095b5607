//! A name server and a broker inside your process: for tests that need no server, and for programs that bring their own.
//!
//! ```
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use actormq::client::{Client, ClientOptions, Message};
//! use actormq::embed::Cluster;
//!
//! let cluster = Cluster::start().await?;
//! let client = Client::connect(ClientOptions::new(cluster.name_server())).await?;
//! let producer = client.producer("shop").await?;
//! producer.send(Message::new("orders", "hello")).await?;
//!
//! client.shutdown().await;
//! cluster.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! A [`Cluster`] owns a thread with an actix System of its own, so it can be started from any tokio runtime and from
//! actix, and several of them live in one process. It listens on free ports of the loopback address only and keeps its
//! data in a temporary directory, unless [`ClusterOptions`] say otherwise.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use actix::{Actor, Context, Handler, Recipient};
use actix_rt::System;
use tempfile::TempDir;
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};

use crate::client::{Client, ClientError, ClientOptions};
use crate::config::{BrokerConfig, NamesrvAddress, NamesrvConfig};
use crate::server::Fatal;
use crate::server::broker::{Broker, StartError};
use crate::server::extending::{Additions, BrokerEvent, FilterBatch, InterceptBatch};
use crate::server::namesrv::NameServer;
use crate::server::tree::small_runtime;

/// A topic that every broker has: once it is in the routes, the broker is known.
const KNOWN_TOPIC: &str = "SELF_TEST_TOPIC";
/// How long a broker may take to be known.
const KNOWN_WITHIN: Duration = Duration::from_secs(10);
/// Wait before the name server is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(1);
/// Small enough to be made in a moment, and room for messages of the greatest length.
const SEGMENT_BYTES: u32 = 16 * 1024 * 1024;
const INDEX_SLOTS: u32 = 10_000;

/// Why a [`Cluster`] did not start.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    #[error("no temporary directory can be made: {0}; set TMPDIR to one that can be written")]
    Directory(std::io::Error),
    #[error("no thread can be started: {0}")]
    Thread(std::io::Error),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the broker was not registered at its name server within {KNOWN_WITHIN:?}")]
    NotRegistered,
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A panic while starting; its message is on standard error.
    #[error("the thread of the cluster ended before it served")]
    Ended,
}

/// How a [`Cluster`] is set up.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), actormq::embed::EmbedError> {
/// use actormq::embed::ClusterOptions;
///
/// let cluster = ClusterOptions::new().broker(|config| config.topics.auto_create = false).start().await?;
/// # cluster.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is started until start is called"]
#[derive(Debug)]
pub struct ClusterOptions {
    broker: BrokerConfig,
    namesrv: NamesrvConfig,
    directory: Option<PathBuf>,
    additions: Additions,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl ClusterOptions {
    /// Free ports, a temporary directory, segments of 16 MiB, topics that are made by their first message.
    pub fn new() -> Self {
        let (mut broker, mut namesrv) = (BrokerConfig::default(), NamesrvConfig::default());
        broker.identity.broker_name = "embedded".into();
        broker.network.bind_address = [127, 0, 0, 1].into();
        broker.network.listen_port = 0;
        broker.store.commit_log_segment_bytes = SEGMENT_BYTES;
        broker.store.key_index_slots = INDEX_SLOTS;
        broker.store.key_index_entries = INDEX_SLOTS * 4;
        namesrv.network.bind_address = [127, 0, 0, 1].into();
        namesrv.network.listen_port = 0;
        Self { broker, namesrv, directory: None, additions: Additions::default() }
    }

    /// Keeps the data in `directory`, which stays when the cluster ends; started again there, it has its messages. A
    /// directory belongs to one cluster at a time.
    pub fn directory(self, directory: impl Into<PathBuf>) -> Self {
        Self { directory: Some(directory.into()), ..self }
    }

    /// Changes the broker's settings. The data directory is set by [`Self::directory`].
    pub fn broker(mut self, change: impl FnOnce(&mut BrokerConfig)) -> Self {
        change(&mut self.broker);
        self
    }

    /// Changes the name server's settings.
    pub fn name_server(mut self, change: impl FnOnce(&mut NamesrvConfig)) -> Self {
        change(&mut self.namesrv);
        self
    }

    /// Gives the broker a filter that runs already: see [`crate::server::extending::BrokerBuilder::filter`].
    pub fn filter(mut self, name: impl Into<String>, actor: impl Into<Recipient<FilterBatch>>) -> Self {
        self.additions.filter(name, actor.into());
        self
    }

    /// Gives the broker a filter that it starts by `recipe` on a thread of its own, and again whenever it ends.
    pub fn filter_kept<A>(mut self, name: impl Into<String>, recipe: impl Fn() -> A + Send + Sync + 'static) -> Self
    where
        A: Actor<Context = Context<A>> + Handler<FilterBatch>,
    {
        self.additions.filter_kept(name, recipe);
        self
    }

    /// Gives the broker an actor that sees messages before they are stored.
    pub fn interceptor(mut self, actor: impl Into<Recipient<InterceptBatch>>) -> Self {
        self.additions.interceptor(actor.into());
        self
    }

    /// Gives the broker an actor that hears of appends, deliveries and changes of groups.
    pub fn listener(mut self, actor: impl Into<Recipient<BrokerEvent>>) -> Self {
        self.additions.listener(actor.into());
        self
    }

    /// Starts name server and broker, and returns when clients can use them.
    ///
    /// # Errors
    /// [`EmbedError`] says what is missing.
    pub async fn start(mut self) -> Result<Cluster, EmbedError> {
        let temporary = match &self.directory {
            Some(_) => None,
            None => Some(TempDir::with_prefix("actormq-").map_err(EmbedError::Directory)?),
        };
        let directory = match (&self.directory, &temporary) {
            (Some(directory), _) => directory.clone(),
            (None, Some(temporary)) => temporary.path().to_owned(),
            (None, None) => return Err(EmbedError::Ended),
        };
        self.broker.store.data_dir = directory.join("broker");
        self.namesrv.files.data_dir = directory.join("namesrv");
        let (served, serves) = oneshot::channel();
        let (stop, stops) = watch::channel(());
        let (ended, ends) = watch::channel(());
        let run = move || {
            let system = System::with_tokio_rt(small_runtime);
            system.block_on(serve(self, served, stops));
            // The directory goes when nothing uses it any more, and only then the end is told.
            drop(temporary);
            drop(ended);
        };
        let thread = thread::Builder::new().name("embedded".into()).spawn(run).map_err(EmbedError::Thread)?;
        let serving = Serving { stop: Some(stop), ends, thread: Some(thread) };
        let (namesrv, broker) = serves.await.map_err(|_| EmbedError::Ended)??;
        let cluster = Cluster { name_server: namesrv.to_string(), broker, directory, serving };
        cluster.until_known().await?;
        Ok(cluster)
    }
}

type Addresses = (SocketAddr, SocketAddr);

/// Runs both servers until the other end of `stops` is dropped.
async fn serve(
    options: ClusterOptions,
    served: oneshot::Sender<Result<Addresses, EmbedError>>,
    mut stops: watch::Receiver<()>,
) {
    // The process is not ours to end.
    let fatal: Fatal = Arc::new(|reason| tracing::error!(reason, "the embedded servers cannot go on"));
    let started = async {
        let name_server = NameServer::start(options.namesrv, &fatal)?;
        let mut config = options.broker;
        config.registration.namesrv_addresses.extend(NamesrvAddress::parse(&name_server.address.to_string()).ok());
        let broker = Broker::builder(config).io_threads(1).fatal(fatal.clone()).with(options.additions);
        match broker.start().await {
            Ok(broker) => Ok((name_server, broker)),
            Err(error) => {
                name_server.stop().await;
                Err(EmbedError::from(error))
            }
        }
    };
    match started.await {
        Ok((name_server, broker)) => {
            // Who started us may have given up; then the other end of `stops` is gone too.
            let _ = served.send(Ok((name_server.address, broker.address)));
            while stops.changed().await.is_ok() {}
            broker.stop().await;
            name_server.stop().await;
        }
        Err(error) => drop(served.send(Err(error))),
    }
}

/// A name server and a broker that run in this process. Dropping it stops both in order and waits for that, which
/// blocks the calling thread for some milliseconds; [`Cluster::shutdown`] does not block.
#[must_use = "servers end when their cluster is dropped"]
#[derive(Debug)]
pub struct Cluster {
    name_server: String,
    broker: SocketAddr,
    directory: PathBuf,
    serving: Serving,
}

impl Cluster {
    /// Starts a name server and a broker on free ports and a temporary directory.
    ///
    /// # Errors
    /// As [`ClusterOptions::start`].
    pub async fn start() -> Result<Self, EmbedError> {
        ClusterOptions::new().start().await
    }

    /// The name server's address, as [`ClientOptions::new`] and `NAMESRV_ADDR` take it.
    #[must_use]
    pub fn name_server(&self) -> &str {
        &self.name_server
    }

    /// Where the broker listens.
    #[must_use]
    pub fn broker(&self) -> SocketAddr {
        self.broker
    }

    /// Where the data is.
    #[must_use]
    pub fn directory(&self) -> &std::path::Path {
        &self.directory
    }

    /// A client of this cluster with the default options.
    ///
    /// # Errors
    /// When no thread can be started for it.
    pub async fn client(&self) -> Result<Client, ClientError> {
        Client::connect(ClientOptions::new(&self.name_server)).await
    }

    /// Stops both servers in order: what was acknowledged is on the disk, and a temporary directory is gone.
    pub async fn shutdown(mut self) {
        self.serving.stop = None;
        while self.serving.ends.changed().await.is_ok() {}
    }

    async fn until_known(&self) -> Result<(), EmbedError> {
        let client = self.client().await?;
        let known = async {
            while client.queues(KNOWN_TOPIC).await.is_err() {
                sleep(ASK_AGAIN).await;
            }
        };
        let known = timeout(KNOWN_WITHIN, known).await;
        client.shutdown().await;
        known.map_err(|_| EmbedError::NotRegistered)
    }
}

/// The thread, as long as it serves.
#[derive(Debug)]
struct Serving {
    stop: Option<watch::Sender<()>>,
    ends: watch::Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}
