//! Routes: which broker groups are there, and which topics they have.
//!
//! Owns: brokers and their heartbeats, the routes of topics, the key-value store and its file, the settings while running.
//! Hears: [`Register`], [`Unregister`], [`Heartbeat`], [`CompareVersion`], [`RegisterTopic`], [`DeleteTopic`],
//! [`SwitchWriting`], [`PutKeyValue`], [`DeleteKeyValue`], [`UpdateSettings`], [`Disconnected`], `Stop`.
//! Tells: brokers, over connections of their own, that their group has another lowest id.
//! Publishes: [`Published`], [`KeyValues`], the settings.
//!
//! Invariants: a broker is there until it unregisters, its connection ends, or it is silent for too long; a change of the
//! key-value store is answered when it is on disk. Name servers know nothing of each other.

pub mod key_values;
pub mod liveness;
mod messages;
mod notices;
pub mod published;
pub mod registration;
pub mod routes;
pub mod shares;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use arc_swap::ArcSwap;
use tokio::sync::oneshot;
use tokio::time::Instant;

use self::key_values::{KeyValueError, KeyValueOwner, KeyValues};
pub use self::messages::{
    CompareVersion, Compared, DeleteKeyValue, DeleteTopic, Disconnected, Heartbeat, PutKeyValue, Register,
    RegisterTopic, SwitchWriting, Unregister, UpdateSettings, Writing,
};
use self::notices::Notices;
use self::published::Published;
use self::registration::{Identity, LowestIdChange, Outcome, Registered, RegistrationError};
use self::routes::RouteTables;
use crate::actors::Stop;
use crate::config::{ConfigError, NamesrvConfig, UpdateReport};
use crate::remoting::tls::Dialer;
use crate::store::table::{TableError, TableFile};

/// A name or an address; cheap to clone.
pub type Name = Arc<str>;

/// The owner.
pub struct Namesrv {
    config: Arc<ArcSwap<NamesrvConfig>>,
    tables: RouteTables,
    key_values: KeyValueOwner,
    path: PathBuf,
    /// `None` while a write is under way.
    file: Option<TableFile>,
    /// To be answered by the write after the one under way.
    unwritten: Vec<oneshot::Sender<Result<(), KeyValueError>>>,
    notices: Notices,
}

impl Namesrv {
    /// Reads the key-value file and publishes routes, of which there are none yet, into `published`.
    ///
    /// # Errors
    /// When neither the file nor its backup can be understood, or the data directory cannot be made.
    pub fn open(config: Arc<ArcSwap<NamesrvConfig>>, published: Arc<Published>) -> Result<Self, TableError> {
        let files = config.load().files.clone();
        let refused = |source| TableError::Disk { action: "making", path: files.data_dir.clone(), source };
        std::fs::create_dir_all(&files.data_dir).map_err(refused)?;
        let path = files.kv_config_path();
        let path = std::path::absolute(&path).unwrap_or(path);
        let file = TableFile::new(&path);
        let read = |text: &str| KeyValueOwner::read(text.as_bytes()).map_err(|error| error.to_string());
        let key_values = file.load(read)?.unwrap_or_default();
        Ok(Self {
            config,
            tables: RouteTables::new(published),
            key_values,
            path,
            file: Some(file),
            unwritten: Vec::new(),
            notices: Notices::default(),
        })
    }

    /// Brokers are told things over TLS.
    #[must_use]
    pub fn dialing(mut self, dialer: Option<Dialer>) -> Self {
        self.notices.dialer = dialer;
        self
    }

    /// The store that this actor writes.
    #[must_use]
    pub fn key_values(&self) -> Arc<KeyValues> {
        self.key_values.published()
    }

    fn scan(&mut self, context: &mut Context<Self>) {
        for (key, change) in self.tables.expire(now()) {
            tracing::warn!(cluster = %key.cluster, address = %key.address, "a broker was silent for too long and is gone");
            self.tell(change);
        }
        let interval = Duration::from_millis(self.config.load().routes.scan_interval_ms);
        context.run_later(interval, Self::scan);
    }

    fn tell(&self, change: Option<LowestIdChange>) {
        let Some(change) = change else { return };
        if self.config.load().routes.notify_min_id_changed {
            self.notices.tell(&change);
        }
    }

    /// Starts a write unless one is under way; that one's end starts the next.
    fn write(&mut self, context: &mut Context<Self>) {
        let Some(file) = self.file.take() else { return };
        let waiting = std::mem::take(&mut self.unwritten);
        let text = self.key_values.text();
        let written = tokio::task::spawn_blocking(move || {
            let result = file.save(&text).map_err(|error| KeyValueError::Unwritable(error.to_string()));
            (file, result)
        });
        let finished = written.into_actor(self).map(|written, actor, context| {
            let lost = |error: tokio::task::JoinError| {
                (TableFile::new(&actor.path), Err(KeyValueError::Unwritable(error.to_string())))
            };
            let (file, result) = written.unwrap_or_else(lost);
            if let Err(error) = &result {
                tracing::error!(%error, "a change of the key-value store will be lost at the next start");
            }
            actor.file = Some(file);
            for reply in waiting {
                // Who asked may have gone; what was asked is done.
                let _ = reply.send(result.clone());
            }
            if !actor.unwritten.is_empty() {
                actor.write(context);
            }
        });
        context.spawn(finished);
    }

    /// Answers once what was changed until now is on disk.
    fn when_written(&mut self, context: &mut Context<Self>) -> ResponseFuture<Result<(), KeyValueError>> {
        let (reply, written) = oneshot::channel();
        self.unwritten.push(reply);
        self.write(context);
        let stopped = || KeyValueError::Unwritable("the name server stopped".into());
        Box::pin(async move { written.await.unwrap_or_else(|_| Err(stopped())) })
    }
}

impl Actor for Namesrv {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.scan(context);
    }
}

impl Handler<Register> for Namesrv {
    type Result = Result<Registered, RegistrationError>;

    fn handle(&mut self, message: Register, _: &mut Self::Context) -> Self::Result {
        let broker = message.0.broker.clone();
        let deletes_topics = self.config.load().routes.registration_deletes_topics;
        let outcome = self.tables.register(message.0, deletes_topics, now());
        log_outcome(&broker, &outcome);
        let outcome = outcome?;
        self.tell(outcome.lowest_id);
        Ok(outcome.told)
    }
}

impl Handler<Unregister> for Namesrv {
    type Result = ();

    fn handle(&mut self, message: Unregister, _: &mut Self::Context) {
        let broker = &message.0;
        tracing::info!(cluster = %broker.cluster, name = %broker.group, address = %broker.address, "a broker leaves");
        let change = self.tables.unregister(broker);
        self.tell(change);
    }
}

impl Handler<Disconnected> for Namesrv {
    type Result = ();

    fn handle(&mut self, message: Disconnected, _: &mut Self::Context) {
        for (key, change) in self.tables.disconnect(message.connection) {
            tracing::warn!(cluster = %key.cluster, address = %key.address, "a broker is gone: its connection ended");
            self.tell(change);
        }
    }
}

impl Handler<Heartbeat> for Namesrv {
    type Result = ();

    fn handle(&mut self, message: Heartbeat, _: &mut Self::Context) {
        self.tables.heartbeat(&message.0, now());
    }
}

impl Handler<CompareVersion> for Namesrv {
    type Result = MessageResult<CompareVersion>;

    fn handle(&mut self, message: CompareVersion, _: &mut Self::Context) -> Self::Result {
        let held = self.tables.version(&message.broker);
        self.tables.heartbeat(&message.broker, now());
        MessageResult(Compared { is_changed: held.as_ref() != Some(&message.version), held })
    }
}

impl Handler<RegisterTopic> for Namesrv {
    type Result = Result<(), shares::ShareError>;

    fn handle(&mut self, message: RegisterTopic, _: &mut Self::Context) -> Self::Result {
        self.tables.register_topic(&message.topic, message.shares)
    }
}

impl Handler<DeleteTopic> for Namesrv {
    type Result = ();

    fn handle(&mut self, message: DeleteTopic, _: &mut Self::Context) {
        tracing::info!(topic = %message.topic, cluster = ?message.cluster, "a topic is taken from the routes");
        self.tables.delete_topic(&message.topic, message.cluster.as_deref());
    }
}

impl Handler<SwitchWriting> for Namesrv {
    type Result = usize;

    fn handle(&mut self, message: SwitchWriting, _: &mut Self::Context) -> usize {
        let topics = match message.writing {
            Writing::Wiped => self.tables.wipe_write_permission(&message.group),
            Writing::Added => self.tables.add_write_permission(&message.group),
        };
        tracing::info!(name = %message.group, writing = ?message.writing, topics, "write permission was switched");
        topics
    }
}

impl Handler<PutKeyValue> for Namesrv {
    type Result = ResponseFuture<Result<(), KeyValueError>>;

    fn handle(&mut self, message: PutKeyValue, context: &mut Self::Context) -> Self::Result {
        match self.key_values.put(&message.namespace, message.key, message.value) {
            Ok(()) => self.when_written(context),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }
}

impl Handler<DeleteKeyValue> for Namesrv {
    type Result = ResponseFuture<Result<(), KeyValueError>>;

    fn handle(&mut self, message: DeleteKeyValue, context: &mut Self::Context) -> Self::Result {
        if self.key_values.delete(&message.namespace, &message.key) {
            return self.when_written(context);
        }
        Box::pin(async { Ok(()) })
    }
}

impl Handler<UpdateSettings> for Namesrv {
    type Result = ResponseFuture<Result<(), ConfigError>>;

    fn handle(&mut self, message: UpdateSettings, _: &mut Self::Context) -> Self::Result {
        let updated = self.config.load().apply_update(&message.0);
        let (config, report) = match updated {
            Ok(updated) => updated,
            Err(error) => return Box::pin(async { Err(error) }),
        };
        log_update(&report);
        let config = Arc::new(config);
        self.config.store(Arc::clone(&config));
        Box::pin(async move {
            let saved = tokio::task::spawn_blocking(move || config.save(&report)).await;
            match saved {
                Ok(saved) => saved.map(|_| ()),
                // Only a panic in there ends so; it is logged already, and the settings hold until the next start.
                Err(_) => Ok(()),
            }
        })
    }
}

impl Handler<Stop> for Namesrv {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: Stop, context: &mut Self::Context) -> Self::Result {
        let is_written = self.file.is_some() && self.unwritten.is_empty();
        let written = if is_written { None } else { Some(self.when_written(context)) };
        let stop = async move {
            if let Some(written) = written {
                // A failure is logged where it happens.
                let _ = written.await;
            }
        };
        Box::pin(stop.into_actor(self).map(|(), _, context| context.stop()))
    }
}

/// By the runtime's clock, which tests may pause.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}

fn log_outcome(broker: &Identity, outcome: &Result<Outcome, RegistrationError>) {
    let (cluster, name, address, id) = (&broker.cluster, &broker.group, &broker.address, broker.id);
    match outcome {
        Err(error) => tracing::warn!(%cluster, %name, %address, id, %error, "a broker was not registered"),
        Ok(Outcome { conflicts_with: Some(holder), .. }) => {
            tracing::warn!(%cluster, %name, %address, id, %holder, "a broker's place is held by one with a later state");
        }
        Ok(outcome) => {
            if outcome.is_new {
                tracing::info!(%cluster, %name, %address, id, "a broker registered");
            }
            if let Some((count, error)) = outcome.left_out {
                tracing::warn!(%cluster, %name, %address, count, %error, "topics of a broker were left out");
            }
        }
    }
}

fn log_update(report: &UpdateReport) {
    for change in &report.changed {
        tracing::info!(key = change.key, old = change.old, new = change.new, effect = ?change.effect, "a setting changed");
    }
    for notice in &report.notices {
        if notice.is_warning() {
            tracing::warn!("{notice}");
        } else {
            tracing::info!("{notice}");
        }
    }
}
