//! Announcing this broker to every name server.
//!
//! Owns: a connection to each name server, and what each does not know yet.
//! Hears: [`TopicsChanged`], `Stop`.
//! Tells: the topics' owner to tell changes, and which of them are ordered; asks it for all topics.
//!
//! Everything is announced at the start, each period, and over each new connection; between, only what changed, at once
//! or, while a name server is being told something, when that is over. A name server that is slow or gone delays no other. It forgets a broker whose connection ended: so a lost one is made again soon,
//! with growing pauses while that fails.

mod addresses;
mod link;
mod parts;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use arc_swap::ArcSwap;
use futures_util::future::join_all;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use self::addresses::Found;
use self::link::{Announcement, Link, LinkError, Told, Wanted};
use crate::actors::Stop;
use crate::actors::catalog::topics::{
    ANNOUNCING_MAX, Announce, OrderTopics, Telling, TopicEntry, Topics, TopicsChanged,
};
use crate::actors::door::Door;
use crate::config::BrokerConfig;
use crate::protocol::body::version::DataVersion;
use crate::protocol::names::Topic;
use crate::remoting::channel::Channel;
use crate::remoting::tls::Dialer;

/// Changed topics beyond which everything is announced.
const CHANGES_MAX: usize = 10_000;
/// Pause after the first failure; it doubles up to the longest.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// How long all goodbyes together may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Who this broker is to name servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registrar {
    pub cluster: String,
    /// Name of its group.
    pub name: String,
    /// 0 for a master.
    pub id: i64,
    /// `host:port` that clients are to connect to.
    pub address: String,
    /// `host:port` that slaves get the log from.
    pub ha_address: String,
}

/// Topics that changed.
#[derive(Debug, Clone, Default)]
struct Changes {
    /// That of the last change.
    version: DataVersion,
    topics: BTreeMap<Topic, Arc<TopicEntry>>,
}

impl Changes {
    fn new(version: DataVersion, entries: Vec<Arc<TopicEntry>>) -> Self {
        let topics = entries.into_iter().map(|entry| (entry.config.topic.clone(), entry)).collect();
        Self { version, topics }
    }

    fn merge(&mut self, later: Changes) {
        self.version = later.version;
        self.topics.extend(later.topics);
    }
}

/// One name server and what it does not know yet.
#[derive(Debug)]
struct Namesrv {
    address: String,
    /// Locked while something is being said.
    link: Arc<Mutex<Link>>,
    /// Since when something is being said.
    busy_since: Option<Instant>,
    wanted: Option<Wanted>,
    changes: Changes,
    /// Of those who wait for what is to be said next.
    tellings: Vec<Telling>,
    /// Of the last announcement, when it failed: each failure is logged once.
    failure: Option<LinkError>,
    pause: Duration,
}

/// The owner.
pub struct Registration {
    broker: Arc<Registrar>,
    config: Arc<ArcSwap<BrokerConfig>>,
    topics: Door<Topics>,
    namesrvs: Vec<Namesrv>,
    dialer: Option<Dialer>,
    found: Found,
    /// What the owner of the topics was told last.
    ordered: Option<Vec<String>>,
    is_stopping: bool,
}

impl Registration {
    /// Announces `broker` to the name servers of `config`, with the topics that `topics` owns.
    #[must_use]
    pub fn new(broker: Registrar, config: Arc<ArcSwap<BrokerConfig>>, topics: Door<Topics>) -> Self {
        Self {
            broker: Arc::new(broker),
            config,
            topics,
            namesrvs: Vec::new(),
            dialer: None,
            found: Found::default(),
            ordered: None,
            is_stopping: false,
        }
    }

    /// Name servers are spoken to over TLS.
    #[must_use]
    pub fn dialing(mut self, dialer: Option<Dialer>) -> Self {
        self.dialer = dialer;
        self
    }

    /// Each period everything is announced, to the name servers that are set by then.
    fn turn(&mut self, context: &mut Context<Self>) {
        // Each time, for the owner of the topics may have been rebuilt.
        self.topics.tell(Announce { to: context.address().recipient() });
        let config = self.config.load_full();
        self.meet(context);
        let wanted = if config.registration.forced { Wanted::Whole } else { Wanted::WholeIfOthers };
        self.want(wanted, context);
        context.run_later(Duration::from_millis(config.registration.period_ms.into()), Self::turn);
    }

    fn leave(&self, namesrvs: Vec<Namesrv>, context: &mut Context<Self>) {
        for namesrv in namesrvs {
            let broker = Arc::clone(&self.broker);
            let goodbye = async move { goodbye(&namesrv.address, &namesrv.link, &broker).await };
            context.spawn(goodbye.into_actor(self));
        }
    }

    fn find(&mut self, address: &str) -> Option<&mut Namesrv> {
        self.namesrvs.iter_mut().find(|namesrv| namesrv.address == address)
    }

    fn want(&mut self, wanted: Wanted, context: &mut Context<Self>) {
        for index in 0..self.namesrvs.len() {
            if let Some(namesrv) = self.namesrvs.get_mut(index) {
                namesrv.wanted = namesrv.wanted.max(Some(wanted));
            }
            self.announce(index, context);
        }
    }

    /// Says what one name server does not know, unless something is being said to it: then that's end does.
    fn announce(&mut self, index: usize, context: &mut Context<Self>) {
        if self.is_stopping {
            return;
        }
        let Some(namesrv) = self.namesrvs.get_mut(index).filter(|namesrv| namesrv.busy_since.is_none()) else {
            return;
        };
        let Some(wanted) = namesrv.wanted.take() else {
            return;
        };
        namesrv.busy_since = Some(Instant::now());
        let tellings = std::mem::take(&mut namesrv.tellings);
        let announcement = Announcement {
            broker: Arc::clone(&self.broker),
            config: self.config.load_full(),
            topics: self.topics.clone(),
            wanted,
            changes: std::mem::take(&mut namesrv.changes),
        };
        let (link, address) = (Arc::clone(&namesrv.link), namesrv.address.clone());
        let said = async move { link.lock().await.announce(&announcement).await };
        let finished = said.into_actor(self).map(move |result, actor, context| {
            // In vain or not: nobody waits for a second attempt.
            drop(tellings);
            actor.finished(&address, result, context);
        });
        context.spawn(finished);
    }

    fn finished(&mut self, address: &str, result: Result<Told, LinkError>, context: &mut Context<Self>) {
        let Some(index) = self.namesrvs.iter().position(|namesrv| namesrv.address == address) else {
            return;
        };
        match result {
            Ok(told) => {
                if let Some(namesrv) = self.namesrvs.get_mut(index) {
                    namesrv.succeeded(&self.broker, told.is_first);
                }
                if let Some(channel) = told.channel {
                    self.watch(address, channel, context);
                }
                if let Some(ordered) = told.ordered.filter(|_| self.is_first_to_answer(index)) {
                    self.take_order(ordered);
                }
                self.announce(index, context);
            }
            Err(error) => {
                if let Some(namesrv) = self.namesrvs.get_mut(index) {
                    let pause = namesrv.failed(error);
                    let address = address.to_owned();
                    context.run_later(pause, move |actor, context| actor.again(&address, context));
                }
            }
        }
    }

    /// The pause after a failure is over, or a connection was lost.
    fn again(&mut self, address: &str, context: &mut Context<Self>) {
        let Some(index) = self.namesrvs.iter().position(|namesrv| namesrv.address == address) else {
            return;
        };
        if let Some(namesrv) = self.namesrvs.get_mut(index) {
            namesrv.wanted = Some(Wanted::Whole);
        }
        self.announce(index, context);
    }

    fn watch(&self, address: &str, channel: Channel, context: &mut Context<Self>) {
        let ended = async move {
            channel.wait_until_ended().await;
            channel.ended()
        };
        let address = address.to_owned();
        let lost = ended.into_actor(self).map(move |reason, actor, context| {
            // Where something is being said or was said in vain, the end of that leads to the next attempt.
            let is_seen_to = |namesrv: &mut Namesrv| namesrv.busy_since.is_some() || namesrv.failure.is_some();
            if actor.is_stopping || actor.find(&address).is_none_or(is_seen_to) {
                return;
            }
            let reason = reason.map(|reason| reason.to_string()).unwrap_or_default();
            tracing::warn!(namesrv = %address, %reason, "the connection to a name server ended");
            context.run_later(PAUSE_MIN, move |actor, context| actor.again(&address, context));
        });
        context.spawn(lost);
    }

    fn is_first_to_answer(&self, index: usize) -> bool {
        self.namesrvs.iter().position(|namesrv| namesrv.failure.is_none()) == Some(index)
    }

    /// Only what the first name server says counts, so that two that differ do not take turns.
    fn take_order(&mut self, ordered: Vec<String>) {
        if self.ordered.as_ref() != Some(&ordered) {
            self.topics.tell(OrderTopics { topics: ordered.clone() });
            self.ordered = Some(ordered);
        }
    }

    fn hand_out(&mut self, changes: &Changes, context: &mut Context<Self>) {
        let mut wanted = Wanted::Changes;
        for namesrv in &mut self.namesrvs {
            namesrv.changes.merge(changes.clone());
            if namesrv.changes.topics.len() > CHANGES_MAX {
                namesrv.changes = Changes::default();
                wanted = Wanted::Whole;
            }
        }
        self.want(wanted, context);
    }
}

impl Namesrv {
    fn new(address: &str, dialer: Option<Dialer>) -> Self {
        Self {
            address: address.to_owned(),
            link: Arc::new(Mutex::new(Link::new(address, dialer))),
            busy_since: None,
            wanted: None,
            changes: Changes::default(),
            tellings: Vec::new(),
            failure: None,
            pause: PAUSE_MIN,
        }
    }

    fn succeeded(&mut self, broker: &Registrar, is_first: bool) {
        self.busy_since = None;
        self.pause = PAUSE_MIN;
        if self.failure.take().is_some() || is_first {
            tracing::info!(namesrv = %self.address, broker = %broker.address, "registered with a name server");
        }
    }

    /// Has the one who made a change wait until this name server knows it, unless that would take too long.
    fn hold(&mut self, telling: &Telling) {
        let is_late = self.busy_since.is_some_and(|since| since.elapsed() >= ANNOUNCING_MAX);
        if self.failure.is_none() && !is_late {
            self.tellings.push(Arc::clone(telling));
        }
    }

    /// Returns how long to wait before the next attempt.
    fn failed(&mut self, error: LinkError) -> Duration {
        self.tellings.clear();
        self.busy_since = None;
        if self.failure.as_ref() != Some(&error) {
            tracing::warn!(namesrv = %self.address, %error, "not registered with a name server; trying again and again");
        }
        self.failure = Some(error);
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE_MAX);
        pause
    }
}

async fn goodbye(address: &str, link: &Mutex<Link>, broker: &Registrar) {
    let said = timeout(STOP_TIMEOUT, async { link.lock().await.unregister(broker).await }).await;
    match said {
        Ok(Ok(())) => tracing::info!(namesrv = %address, "unregistered from a name server"),
        Ok(Err(error)) => tracing::warn!(namesrv = %address, %error, "not unregistered from a name server"),
        Err(_) => tracing::warn!(namesrv = %address, "not unregistered from a name server: it did not answer in time"),
    }
}

impl Actor for Registration {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.turn(context);
        self.look(context);
    }
}

impl Handler<TopicsChanged> for Registration {
    type Result = ();

    fn handle(&mut self, message: TopicsChanged, context: &mut Self::Context) {
        // Deleted topics are taken from the routes by who deletes them; the version tells at the next turn.
        for topic in &message.deleted {
            self.namesrvs.iter_mut().for_each(|namesrv| drop(namesrv.changes.topics.remove(topic)));
        }
        if message.changed.is_empty() && !message.deleted.is_empty() {
            return;
        }
        self.namesrvs.iter_mut().for_each(|namesrv| namesrv.hold(&message.told));
        if message.changed.is_empty() {
            self.want(Wanted::Whole, context);
        } else {
            self.hand_out(&Changes::new(message.version, message.changed), context);
        }
    }
}

impl Handler<Stop> for Registration {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: Stop, _: &mut Self::Context) -> Self::Result {
        self.is_stopping = true;
        let broker = Arc::clone(&self.broker);
        let namesrvs = std::mem::take(&mut self.namesrvs);
        let goodbyes = async move {
            join_all(namesrvs.iter().map(|namesrv| goodbye(&namesrv.address, &namesrv.link, &broker))).await;
        };
        Box::pin(goodbyes.into_actor(self).map(|(), _, context| context.stop()))
    }
}
