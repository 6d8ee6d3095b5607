//! Where the demo plays: servers in this process, with their data in a directory that goes with them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::cli::connect::Failure;
use crate::cli::serve::Running;
use crate::client::admin::{Place, TopicConfig};
use crate::client::{Client, ClientError, ClientOptions};
use crate::config::{self, Given, Role, Scope, Sources};

/// The topic of the demo.
pub const TOPIC: &str = "demo";
/// Its queues.
pub const QUEUES: u32 = 4;

/// How long the broker may take to register.
const REGISTERED_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks whether it did.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Servers that run for the demo.
pub struct Stage {
    running: Running,
    directory: Directory,
    pub name_server: SocketAddr,
    pub broker: SocketAddr,
}

/// A directory that is removed when this is dropped.
struct Directory(PathBuf);

impl Directory {
    fn make() -> Result<Self, Failure> {
        let started = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
        let path = std::env::temp_dir().join(format!("actormq-demo-{}-{started}", std::process::id()));
        let failed = |error| {
            Failure::Refused(format!(
                "cannot make {}: {error}; set TMPDIR to a directory that can be written to",
                path.display()
            ))
        };
        std::fs::create_dir(&path).map_err(failed)?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What is left lies in the directory for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Stage {
    /// Starts the servers on free ports of this machine and makes the topic.
    ///
    /// # Errors
    /// When a server cannot start.
    pub async fn build() -> Result<Self, Failure> {
        let directory = Directory::make()?;
        let settings = config::load(&sources(&directory.0)).map_err(|error| Failure::Refused(error.to_string()))?;
        let running = Running::start(settings).await.map_err(|error| Failure::Refused(error.to_string()))?;
        let (Some(name_server), Some(broker)) = (running.name_server(), running.broker()) else {
            return Err(Failure::Refused("the demo's servers did not start".into()));
        };
        let stage = Self { running, directory, name_server, broker };
        stage.make_topic().await?;
        Ok(stage)
    }

    async fn make_topic(&self) -> Result<(), Failure> {
        let client = self.client().await?;
        let queues = i32::try_from(QUEUES).unwrap_or_default();
        let config = TopicConfig {
            topic_name: TOPIC.to_owned(),
            read_queue_nums: queues,
            write_queue_nums: queues,
            ..TopicConfig::default()
        };
        let admin = client.admin();
        let deadline = Instant::now() + REGISTERED_WITHIN;
        let made = loop {
            match admin.put_topic(&config, &[], &Place::Everywhere).await {
                // The broker registers a moment after its start.
                Err(ClientError::NoBroker { .. }) if Instant::now() < deadline => sleep(LOOK_AGAIN).await,
                made => break made,
            }
        };
        client.shutdown().await;
        Ok(made.map(drop)?)
    }

    /// A new client of these servers, as a process of its own would be.
    ///
    /// # Errors
    /// When its thread cannot start.
    pub async fn client(&self) -> Result<Client, ClientError> {
        Client::connect(ClientOptions::new(&self.name_server.to_string())).await
    }

    /// Ends the servers in order and removes what they wrote.
    pub async fn take_down(self) {
        self.running.stop().await;
        drop(self.directory);
    }
}

fn sources(directory: &Path) -> Sources {
    let (any, broker) = (Scope::Any, Scope::Broker);
    let settings = [
        (Scope::Namesrv, "bindAddress", "127.0.0.1"),
        (Scope::Namesrv, "listenPort", "0"),
        (broker, "bindAddress", "127.0.0.1"),
        (broker, "listenPort", "0"),
        (broker, "brokerIP1", "127.0.0.1"),
        (broker, "brokerName", "demo-broker"),
        (broker, "mappedFileSizeCommitLog", "16777216"),
        (broker, "maxHashSlotNum", "1000"),
        (broker, "maxIndexNum", "4000"),
        (any, "storePathRootDir", &directory.to_string_lossy()),
    ];
    let given = |(scope, key, text): (Scope, &str, &str)| Given {
        scope,
        key: key.to_owned(),
        text: text.to_owned(),
        origin: "the demo".to_owned(),
    };
    Sources {
        role: Role::Standalone,
        flags: settings.into_iter().map(given).collect(),
        environment: Vec::new(),
        file: None,
        strict: false,
    }
}
