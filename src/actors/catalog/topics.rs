//! Topics of this broker.
//!
//! Owns: the configuration of every topic, the numbers of their queues, `config/topics.json`.
//! Hears: [`CreateAtSend`], [`EnsureTopic`], [`UpdateTopics`], [`DeleteTopic`], [`OrderTopics`], [`ListTopics`],
//! [`Announce`], [`Renew`], `Stop`.
//! Tells: [`TopicsChanged`] to the registration, [`ForgetTopic`] to the offsets, the log's doors about a deletion.
//! Publishes: [`TopicTable`].
//!
//! Invariants: queue numbers are dense from 0, one for each queue of each incarnation of a topic, never given twice; a
//! queue keeps its number while its topic lives, also when the topic shrinks and grows again; a topic is not made again
//! before the queues of its last incarnation are gone; whoever makes, changes or deletes a topic is answered when the file
//! says so; it follows other changes within a second.

mod attributes;
mod file;
mod messages;
mod system;
mod table;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::future::ready;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use arc_swap::ArcSwap;
use futures_util::future::join;

pub use self::attributes::parse_changes;
use self::messages::Announced;
pub use self::messages::{
    ANNOUNCING_MAX, Announce, CreateAtSend, DeleteTopic, EnsureTopic, ListTopics, OrderTopics, Renew, Telling,
    TopicError, TopicList, TopicsChanged, UpdateTopics,
};
pub use self::system::own_names;
pub use self::table::{
    PERM_INHERIT, PERM_READ, PERM_WRITE, SLOTS_MAX, TOPIC_QUEUES_MAX, TopicConfig, TopicCounters, TopicEntry,
    TopicFilter, TopicTable,
};
use super::CatalogError;
use super::data_version;
use super::offsets::{ForgetTopic, Offsets};
use super::snapshot::{self, Encode, Persistent, Snapshot};
use crate::actors::Stop;
use crate::actors::door::Door;
use crate::actors::log::doors::{LogDoors, QueueError};
use crate::config::BrokerConfig;
use crate::protocol::body::version::DataVersion;
use crate::protocol::names::{AUTO_CREATE_TOPIC, Topic};
use crate::store::table::TableFile;

/// Most topics of one broker.
pub const TOPICS_MAX: usize = 200_000;
/// Pause between two writes of the file.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);

/// The owner.
pub struct Topics {
    config: Arc<ArcSwap<BrokerConfig>>,
    table: Arc<TopicTable>,
    version: DataVersion,
    snapshot: Snapshot,
    /// Topics whose last incarnation's queues are being deleted.
    dying: HashSet<Topic>,
    log: LogDoors,
    offsets: Door<Offsets>,
    registration: Option<Recipient<TopicsChanged>>,
    /// What was published may not be in the file.
    is_rebuilt: bool,
}

impl Topics {
    /// Reads `config/topics.json` below the data directory and publishes what it and the system topics say into `table`.
    /// Where `table` is not empty, its owner is being rebuilt: what was published goes before what is on disk.
    ///
    /// # Errors
    /// When the file cannot be read, or holds more than a broker can have.
    pub fn open(
        config: Arc<ArcSwap<BrokerConfig>>,
        table: Arc<TopicTable>,
        log: LogDoors,
        offsets: Door<Offsets>,
    ) -> Result<Self, CatalogError> {
        let settings = config.load_full();
        let path = settings.store.data_dir.join("config").join("topics.json");
        let file = TableFile::new(&path);
        let (version, stored) = file.load(file::decode)?.unwrap_or_default();
        let is_rebuilt = !table.is_empty();
        if !is_rebuilt {
            fill(&table, system::topics(&settings), stored, &path)?;
        }
        let snapshot = Snapshot::new(file, SAVE_INTERVAL, Duration::ZERO);
        let dying = HashSet::new();
        Ok(Self { config, table, version, snapshot, dying, log, offsets, registration: None, is_rebuilt })
    }

    fn create_at_send(&mut self, wish: &CreateAtSend) -> Result<TopicConfig, TopicError> {
        let refusal = || TopicError::NotInheritable { topic: wish.topic.clone() };
        let closed = wish.default_topic == AUTO_CREATE_TOPIC && !self.config.load().topics.auto_create;
        let default = self.table.get(&wish.default_topic).filter(|entry| !closed && entry.config.is_inherited());
        let Some(default) = default else {
            tracing::warn!(topic = %wish.topic, default = wish.default_topic, client = %wish.client,
                "a topic was not made: there is no such default topic to inherit from");
            return Err(refusal());
        };
        let queues = u32::try_from(wish.queues).unwrap_or(0).min(default.config.write_queues);
        Ok(TopicConfig {
            perm: default.config.perm & !PERM_INHERIT,
            filter: default.config.filter,
            sys_flag: wish.sys_flag,
            ..TopicConfig::new(wish.topic.clone(), queues)
        })
    }

    /// The configuration that `wish`, whose attributes are changes, makes of what is there.
    fn altered(&self, wish: TopicConfig) -> Result<TopicConfig, TopicError> {
        let current = self.table.get(&wish.topic);
        let attributes = current.as_ref().map(|entry| &entry.config.attributes);
        let attributes = attributes::altered(attributes, &wish.attributes).map_err(TopicError::Attribute)?;
        Ok(TopicConfig { attributes, ..wish })
    }

    /// Publishes `configs`, all or none, and leaves out those that change nothing; nothing is announced when all do.
    fn publish(
        &mut self,
        configs: Vec<TopicConfig>,
        context: &mut Context<Self>,
    ) -> Result<(Vec<Arc<TopicEntry>>, Option<Announced>), TopicError> {
        let is_news = |config: &TopicConfig| self.table.get(&config.topic).is_none_or(|entry| entry.config != *config);
        let configs: Vec<_> = configs.into_iter().filter(is_news).collect();
        self.check(&configs)?;
        let changed: Vec<_> = configs.into_iter().map(|config| self.table.publish(config)).collect();
        let announced = (!changed.is_empty()).then(|| self.renew(changed.clone(), Vec::new(), context));
        Ok((changed, announced))
    }

    fn check(&self, configs: &[TopicConfig]) -> Result<(), TopicError> {
        if let Some(dying) = configs.iter().find(|config| self.dying.contains(&config.topic)) {
            return Err(TopicError::BeingDeleted { topic: dying.topic.clone() });
        }
        if let Some(large) = configs.iter().find(|config| config.queues() > TOPIC_QUEUES_MAX) {
            return Err(TopicError::TooManyQueues { queues: large.queues() });
        }
        let fresh = configs.iter().filter(|config| !self.table.contains(&config.topic)).count();
        if self.table.len() + fresh > TOPICS_MAX {
            return Err(TopicError::TooManyTopics { topics: self.table.len() });
        }
        let slots = self.table.slots_given();
        if u64::from(slots) + self.table.missing_slots(configs) > u64::from(SLOTS_MAX) {
            return Err(TopicError::OutOfSlots { slots });
        }
        Ok(())
    }

    fn publish_one(
        &mut self,
        config: TopicConfig,
        context: &mut Context<Self>,
    ) -> ResponseFuture<Result<Arc<TopicEntry>, TopicError>> {
        let topic = config.topic.clone();
        tracing::info!(%topic, queues = config.queues(), perm = config.perm, "made a topic");
        let published = self.publish(vec![config], context);
        let entry = self.table.get(&topic).ok_or(TopicError::BeingDeleted { topic });
        match (published, entry) {
            (Ok((_, announced)), Ok(entry)) => self.listed(entry, announced, context),
            (Err(error), _) | (_, Err(error)) => Box::pin(ready(Err(error))),
        }
    }

    /// Answers with `entry` when it is in the file and announced.
    fn listed(
        &mut self,
        entry: Arc<TopicEntry>,
        announced: Option<Announced>,
        context: &mut Context<Self>,
    ) -> ResponseFuture<Result<Arc<TopicEntry>, TopicError>> {
        let saved = self.saved(vec![entry.clone()], context);
        Box::pin(async move { join(saved, told(announced)).await.0.map(|()| entry) })
    }

    /// Ends when the file holds all topics as they are now, those of `entries` for the first time.
    fn saved(
        &mut self,
        entries: Vec<Arc<TopicEntry>>,
        context: &mut Context<Self>,
    ) -> impl Future<Output = Result<(), TopicError>> + use<> {
        let saved = snapshot::saved(self, context);
        async move {
            saved.await.map_err(|_| TopicError::Unsaved)?;
            entries.iter().for_each(|entry| entry.note_listed());
            Ok(())
        }
    }

    /// Counts a change, has it written and announced.
    fn renew(&mut self, changed: Vec<Arc<TopicEntry>>, deleted: Vec<Topic>, context: &mut Context<Self>) -> Announced {
        self.version = data_version::next(self.version);
        let (told, announced) = Announced::new(self.config.load().registration.timeout_ms);
        if let Some(registration) = &self.registration {
            registration.do_send(TopicsChanged { version: self.version, changed, deleted, told });
        }
        snapshot::changed(self, context);
        announced
    }

    fn update(
        &mut self,
        topics: Vec<TopicConfig>,
        context: &mut Context<Self>,
    ) -> Result<ResponseFuture<Result<(), TopicError>>, TopicError> {
        let mut seen = HashSet::new();
        let last_of_each = topics.into_iter().rev().filter(|config| seen.insert(config.topic.clone()));
        let configs: Result<Vec<_>, _> = last_of_each.map(|config| self.altered(config)).collect();
        let (changed, announced) = self.publish(configs?, context)?;
        for entry in &changed {
            tracing::info!(topic = %entry.config.topic, config = ?entry.config, "made or changed a topic");
        }
        if snapshot::is_saved(self) {
            return Ok(Box::pin(ready(Ok(()))));
        }
        let saved = self.saved(changed, context);
        Ok(Box::pin(async move { join(saved, told(announced)).await.0 }))
    }

    fn delete(&mut self, topic: Topic, context: &mut Context<Self>) -> ResponseActFuture<Self, Result<(), QueueError>> {
        let removed = self.table.remove(&topic);
        let slots = removed.as_ref().map(|entry| entry.all_slots()).unwrap_or_default();
        if removed.is_some() {
            tracing::info!(%topic, "deleted a topic");
            // Who deletes a topic takes its route from the name servers.
            let _ = self.renew(Vec::new(), vec![topic.clone()], context);
        }
        self.dying.insert(topic.clone());
        let (offsets, log) = (self.offsets.clone(), self.log.clone());
        let (done, answer) = tokio::sync::oneshot::channel();
        let name = topic.clone();
        // A crash right after the answer must not bring the topic back.
        let saved = snapshot::saved(self, context);
        let work = async move {
            let forgotten = offsets.ask(ForgetTopic { topic: name.clone() }).await;
            let deleted = log.delete_topic(&name, slots).await;
            let saved = saved.await.map_err(|error| QueueError::Read(error.to_string()));
            forgotten.map_err(|_| QueueError::Unavailable).and(deleted).and(saved)
        };
        // The work is the actor's own, so that it goes on when the one who asked hangs up.
        context.spawn(work.into_actor(self).map(move |result, topics, _| {
            topics.dying.remove(&topic);
            let _ = done.send(result);
        }));
        Box::pin(async move { answer.await.unwrap_or(Err(QueueError::Unavailable)) }.into_actor(self))
    }
}

/// Ends when a change is announced, where one is.
async fn told(announced: Option<Announced>) {
    if let Some(announced) = announced {
        announced.then(()).await;
    }
}

/// Publishes the system topics and the stored ones; a stored one goes before a system topic of its name.
fn fill(
    table: &TopicTable,
    system: Vec<TopicConfig>,
    stored: Vec<TopicConfig>,
    path: &Path,
) -> Result<(), CatalogError> {
    let names: HashSet<Topic> = stored.iter().map(|config| config.topic.clone()).collect();
    let all: Vec<_> = system.into_iter().filter(|config| !names.contains(&config.topic)).chain(stored).collect();
    let queues = table.missing_slots(&all);
    if all.len() > TOPICS_MAX || queues > u64::from(SLOTS_MAX) {
        let reason = format!(
            "{} topics with {queues} queues, at most {TOPICS_MAX} topics and {SLOTS_MAX} queues are allowed",
            all.len()
        );
        return Err(CatalogError::TooMuch { path: path.to_owned(), reason });
    }
    for config in all {
        table.publish(config).note_listed();
    }
    Ok(())
}

impl Actor for Topics {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        if self.is_rebuilt {
            snapshot::changed(self, context);
        }
    }
}

impl Persistent for Topics {
    fn snapshot(&mut self) -> &mut Snapshot {
        &mut self.snapshot
    }

    fn encode(&self) -> Encode {
        let (version, topics) = (self.version, self.table.unordered());
        Box::new(move || file::encode(version, &topics))
    }
}

impl Handler<CreateAtSend> for Topics {
    type Result = ResponseFuture<Result<Arc<TopicEntry>, TopicError>>;

    fn handle(&mut self, wish: CreateAtSend, context: &mut Context<Self>) -> Self::Result {
        match self.table.get(&wish.topic) {
            Some(entry) if entry.is_listed() => return Box::pin(ready(Ok(entry))),
            Some(entry) => return self.listed(entry, None, context),
            None => {}
        }
        match self.create_at_send(&wish) {
            Ok(config) => self.publish_one(config, context),
            Err(error) => Box::pin(ready(Err(error))),
        }
    }
}

impl Handler<EnsureTopic> for Topics {
    type Result = ResponseFuture<Result<Arc<TopicEntry>, TopicError>>;

    fn handle(&mut self, wish: EnsureTopic, context: &mut Context<Self>) -> Self::Result {
        match self.table.get(&wish.config.topic) {
            None => self.publish_one(wish.config, context),
            Some(entry) if wish.config.order && !entry.config.order => {
                self.publish_one(TopicConfig { order: true, ..entry.config.clone() }, context)
            }
            Some(entry) if entry.is_listed() => Box::pin(ready(Ok(entry))),
            Some(entry) => self.listed(entry, None, context),
        }
    }
}

impl Handler<UpdateTopics> for Topics {
    type Result = ResponseFuture<Result<(), TopicError>>;

    fn handle(&mut self, wish: UpdateTopics, context: &mut Context<Self>) -> Self::Result {
        self.update(wish.topics, context).unwrap_or_else(|error| Box::pin(ready(Err(error))))
    }
}

impl Handler<DeleteTopic> for Topics {
    type Result = ResponseActFuture<Self, Result<(), QueueError>>;

    fn handle(&mut self, wish: DeleteTopic, context: &mut Context<Self>) -> Self::Result {
        self.delete(wish.topic, context)
    }
}

impl Handler<OrderTopics> for Topics {
    type Result = ();

    fn handle(&mut self, order: OrderTopics, context: &mut Context<Self>) {
        let found = order.topics.iter().filter_map(|topic| self.table.get(topic));
        let configs = found.map(|entry| TopicConfig { order: true, ..entry.config.clone() }).collect();
        if let Err(error) = self.publish(configs, context) {
            tracing::warn!(%error, "the order configuration was not taken");
        }
    }
}

impl Handler<ListTopics> for Topics {
    type Result = TopicList;

    fn handle(&mut self, _: ListTopics, _: &mut Context<Self>) -> TopicList {
        TopicList { version: self.version, topics: self.table.all() }
    }
}

impl Handler<Announce> for Topics {
    type Result = ();

    fn handle(&mut self, announce: Announce, _: &mut Context<Self>) {
        self.registration = Some(announce.to);
    }
}

impl Handler<Renew> for Topics {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Renew, context: &mut Context<Self>) -> Self::Result {
        Box::pin(self.renew(Vec::new(), Vec::new(), context).then(()))
    }
}

impl Handler<Stop> for Topics {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Stop, _: &mut Context<Self>) -> Self::Result {
        snapshot::finish(self)
    }
}
