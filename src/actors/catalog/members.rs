//! Producers and consumers that are there now.
//!
//! Owns: who is in which group, behind which connection, last seen when; what each consumer group subscribes to.
//! Hears: [`Heartbeat`], [`Unregister`], [`Disconnected`], [`ListConsumerIds`], [`ListConsumers`], [`ListProducers`],
//! [`FindConsumer`], [`FindProducer`], [`AskProducer`], `Stop`.
//! Tells: NOTIFY_CONSUMER_IDS_CHANGED (40) to the consumers of a group whose members changed, as `Push` to their sessions;
//! listeners of the same; to any producer of a group what is to be asked of one.
//! Publishes: [`SubscriptionTable`].
//!
//! Invariants: nobody is registered behind a connection that is closed; a group without consumers has no subscriptions;
//! changes of a group within [`NOTICE_DELAY`] cost each of its connections one notice.

mod messages;
mod registry;
mod subscription;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::time::Instant;

pub use self::messages::{
    AskProducer, Client, Consumer, Consumers, Disconnected, FindConsumer, FindProducer, Heartbeat, HeartbeatReply,
    ListConsumerIds, ListConsumers, ListProducers, Producer, Unregister,
};
use self::registry::{Member, Put, Registry};
pub use self::subscription::{
    ConsumeFromWhere, ConsumeType, EVERYTHING, GroupSubscriptions, MessageModel, Subscription, SubscriptionTable,
    TAG_EXPRESSION,
};
use super::data_version::now_ms;
use super::groups::GroupTable;
use crate::actors::extension::{BrokerEvent, Listeners};
use crate::actors::{ConnectionId, Push, Stop};
use crate::config::BrokerConfig;
use crate::protocol::code::RequestCode;
use crate::protocol::names::Group;

/// Most consumers, and most producers, counted once for each group that they are in.
pub const MEMBERS_MAX: usize = 1_000_000;
/// Most topics that one group may subscribe to.
pub const SUBSCRIPTIONS_MAX: usize = 10_000;
/// How long changes of a group are gathered before its consumers are told.
pub const NOTICE_DELAY: Duration = Duration::from_millis(50);
/// Pause between two searches for clients that fell silent.
const EXPIRY_SCAN_INTERVAL: Duration = Duration::from_secs(10);
/// Closed connections that are remembered, lest a late heartbeat registers someone behind them.
const CLOSED_MAX: usize = 16_384;

/// What is known of a consumer group beside its members.
#[derive(Debug, Default)]
struct GroupState {
    subscriptions: GroupSubscriptions,
    /// Of the newest heartbeat; `None` before the first that brought subscriptions.
    fingerprint: Option<i32>,
}

/// The owner.
pub struct Members {
    config: Arc<ArcSwap<BrokerConfig>>,
    groups: Arc<GroupTable>,
    table: Arc<SubscriptionTable>,
    consumers: Registry<Group>,
    /// Of every group in `consumers`, and of no other.
    states: HashMap<Group, GroupState>,
    producers: Registry<Arc<str>>,
    /// Counts what was asked of producers, so that they take turns.
    asked: usize,
    /// Groups whose consumers are to be told at the next notice.
    changed: HashSet<Group>,
    closed: HashSet<ConnectionId>,
    closed_in_order: VecDeque<ConnectionId>,
    /// Since when this owner is there. Subscriptions that the one before published stand until their members had the time
    /// to say that they are there.
    began: Instant,
    listeners: Listeners,
}

impl Members {
    /// Nobody is there yet: whoever is says so within a heartbeat's interval.
    #[must_use]
    pub fn new(config: Arc<ArcSwap<BrokerConfig>>, groups: Arc<GroupTable>, table: Arc<SubscriptionTable>) -> Self {
        Self {
            config,
            groups,
            table,
            consumers: Registry::new(MEMBERS_MAX),
            states: HashMap::new(),
            producers: Registry::new(MEMBERS_MAX),
            asked: 0,
            changed: HashSet::new(),
            closed: HashSet::new(),
            closed_in_order: VecDeque::new(),
            began: Instant::now(),
            listeners: Listeners::default(),
        }
    }

    /// The same, telling listeners of groups that change.
    #[must_use]
    pub fn telling(self, listeners: Listeners) -> Self {
        Self { listeners, ..self }
    }

    fn heartbeat(&mut self, beat: Heartbeat, context: &mut Context<Self>) -> HeartbeatReply {
        let connection = beat.client.peer.connection;
        if self.closed.contains(&connection) || !beat.client.peer.push.connected() {
            tracing::debug!(client = %beat.client.id, "a heartbeat came after its connection closed");
            return HeartbeatReply { send_subscriptions: true };
        }
        let mut send_subscriptions = beat.fingerprint == 0;
        for consumer in beat.consumers {
            let known = self.states.get(&consumer.group).and_then(|state| state.fingerprint);
            let without = beat.without_subscriptions && beat.fingerprint != 0;
            send_subscriptions |= known.map_or(without, |known| known != beat.fingerprint);
            let fingerprint = (!without || known.is_some()).then_some(beat.fingerprint);
            self.consumer(&beat.client, consumer, (without, fingerprint), context);
        }
        for group in beat.producers {
            if self.producers.put(&group, member(&beat.client)) == Put::NoRoom {
                tracing::warn!(%group, client = %beat.client.id, "no room for another producer");
            }
        }
        HeartbeatReply { send_subscriptions }
    }

    fn consumer(
        &mut self,
        client: &Client,
        consumer: Consumer,
        (without_subscriptions, fingerprint): (bool, Option<i32>),
        context: &mut Context<Self>,
    ) {
        let group = consumer.group.clone();
        let put = self.consumers.put(&group, member(client));
        if put == Put::NoRoom {
            tracing::warn!(%group, client = %client.id, "no room for another consumer");
            return;
        }
        let state = self.states.entry(group.clone()).or_default();
        state.fingerprint = fingerprint.or(state.fingerprint);
        let before = state.subscriptions.clone();
        state.subscriptions.fingerprinted = state.fingerprint.is_some_and(|fingerprint| fingerprint != 0);
        state.subscriptions.consume_type = consumer.consume_type;
        state.subscriptions.model = consumer.model;
        state.subscriptions.from = consumer.from;
        let resubscribed = !without_subscriptions && subscribe(&mut state.subscriptions.topics, consumer.subscriptions);
        if state.subscriptions != before || put == Put::Joined && self.table.group(&group).is_none() {
            self.table.publish(&group, Some(state.subscriptions.clone()));
        }
        if put == Put::Joined {
            tracing::info!(%group, client = %client.id, address = %client.peer.address, "a consumer joined");
        }
        if put == Put::Joined || resubscribed {
            self.note_change(group, context);
        }
    }

    /// A member of `group` left.
    fn left(&mut self, group: Group, context: &mut Context<Self>) {
        if self.consumers.members(&group).is_some() {
            self.note_change(group, context);
            return;
        }
        tracing::info!(%group, "the last consumer of a group left");
        self.listeners.tell(&BrokerEvent::GroupChanged { group: group.clone(), consumers: 0 });
        self.states.remove(&group);
        self.table.publish(&group, None);
    }

    fn note_change(&mut self, group: Group, context: &mut Context<Self>) {
        if self.changed.is_empty() {
            context.run_later(NOTICE_DELAY, |members, _| members.give_notice());
        }
        self.changed.insert(group);
    }

    fn give_notice(&mut self) {
        let enabled = self.config.load().clients.notify_members_changed;
        for group in std::mem::take(&mut self.changed) {
            if !self.listeners.is_empty() {
                let consumers = self.consumers.members(&group).map_or(0, BTreeMap::len);
                self.listeners.tell(&BrokerEvent::GroupChanged { group: group.clone(), consumers });
            }
            let broadcasting = self.states.get(&group).is_none_or(|state| state.subscriptions.is_broadcasting());
            let wanted = self.groups.get(&group).is_none_or(|config| config.notify_consumer_ids_changed_enable);
            if !enabled || broadcasting || !wanted {
                continue;
            }
            let members = self.consumers.members(&group).into_iter().flat_map(BTreeMap::values);
            let peers: BTreeMap<ConnectionId, _> =
                members.map(|member| (member.client.peer.connection, &member.client.peer)).collect();
            for peer in peers.values() {
                peer.push.do_send(Push {
                    code: RequestCode::NotifyConsumerIdsChanged.number(),
                    fields: vec![("consumerGroup", group.to_string())],
                    body: Bytes::new(),
                    reply: None,
                });
            }
        }
    }

    fn disconnected(&mut self, connection: ConnectionId, context: &mut Context<Self>) {
        if self.closed.insert(connection) {
            self.closed_in_order.push_back(connection);
        }
        while self.closed_in_order.len() > CLOSED_MAX {
            if let Some(oldest) = self.closed_in_order.pop_front() {
                self.closed.remove(&oldest);
            }
        }
        self.producers.remove_connection(connection);
        for group in self.consumers.remove_connection(connection) {
            self.left(group, context);
        }
    }

    fn unregister(&mut self, wish: &Unregister, context: &mut Context<Self>) {
        let key = (wish.connection, Arc::from(wish.client_id.as_str()));
        if let Some(group) = &wish.producer_group {
            self.producers.remove(&Arc::from(group.as_str()), &key);
        }
        if let Some(Ok(group)) = wish.consumer_group.as_deref().map(Group::new)
            && self.consumers.remove(&group, &key)
        {
            tracing::info!(%group, client = wish.client_id, "a consumer left");
            self.left(group, context);
        }
    }

    fn expire(&mut self, context: &mut Context<Self>) {
        let limit = Duration::from_millis(self.config.load().clients.expiry_ms);
        if let Some(limit) = Instant::now().checked_sub(limit) {
            for (group, client) in self.producers.remove_silent(limit) {
                tracing::warn!(%group, client = %client.id, address = %client.peer.address, "a producer fell silent");
            }
            let silent = self.consumers.remove_silent(limit);
            for (group, client) in &silent {
                tracing::warn!(%group, client = %client.id, address = %client.peer.address, "a consumer fell silent");
            }
            for group in silent.into_iter().map(|(group, _)| group).collect::<HashSet<_>>() {
                self.left(group, context);
            }
            if self.began <= limit {
                self.table.retain(|group| self.states.contains_key(group));
            }
        }
        context.run_later(EXPIRY_SCAN_INTERVAL, Members::expire);
    }
}

fn member(client: &Client) -> Member {
    Member { client: client.clone(), seen: Instant::now(), seen_ms: now_ms() }
}

/// Makes `topics` what a heartbeat says; whether a topic was added or removed. A subscription gives way only to one of a
/// higher version.
fn subscribe(
    topics: &mut BTreeMap<crate::protocol::names::Topic, Arc<Subscription>>,
    subscriptions: Vec<Subscription>,
) -> bool {
    let wanted: HashSet<_> =
        subscriptions.iter().take(SUBSCRIPTIONS_MAX).map(|subscription| subscription.topic.clone()).collect();
    let before = topics.len();
    topics.retain(|topic, _| wanted.contains(topic));
    let mut changed = topics.len() != before;
    for subscription in subscriptions.into_iter().take(SUBSCRIPTIONS_MAX) {
        let old = topics.get(&subscription.topic);
        changed |= old.is_none();
        if old.is_none_or(|old| subscription.version > old.version) {
            topics.insert(subscription.topic.clone(), Arc::new(subscription));
        }
    }
    changed
}

impl Actor for Members {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.run_later(EXPIRY_SCAN_INTERVAL, Members::expire);
    }
}

impl Handler<Heartbeat> for Members {
    type Result = ();

    fn handle(&mut self, mut beat: Heartbeat, context: &mut Context<Self>) {
        let (unused, _) = tokio::sync::oneshot::channel();
        let reply = std::mem::replace(&mut beat.reply, unused);
        let answer = self.heartbeat(beat, context);
        let _ = reply.send(answer);
    }
}

impl Handler<Unregister> for Members {
    type Result = ();

    fn handle(&mut self, wish: Unregister, context: &mut Context<Self>) {
        self.unregister(&wish, context);
    }
}

impl Handler<Disconnected> for Members {
    type Result = ();

    fn handle(&mut self, gone: Disconnected, context: &mut Context<Self>) {
        self.disconnected(gone.connection, context);
    }
}

impl Handler<ListConsumerIds> for Members {
    type Result = Vec<Arc<str>>;

    fn handle(&mut self, wish: ListConsumerIds, _: &mut Context<Self>) -> Self::Result {
        let members = self.consumers.members(&wish.group).into_iter().flat_map(BTreeMap::keys);
        let ids: BTreeSet<_> = members.map(|(_, id)| Arc::clone(id)).collect();
        ids.into_iter().collect()
    }
}

impl Handler<ListConsumers> for Members {
    type Result = Option<Consumers>;

    fn handle(&mut self, wish: ListConsumers, _: &mut Context<Self>) -> Self::Result {
        let members = self.consumers.members(&wish.group)?;
        let subscriptions = self.table.group(&wish.group)?;
        Some(Consumers { subscriptions, clients: members.values().map(|member| member.client.clone()).collect() })
    }
}

impl Handler<ListProducers> for Members {
    type Result = MessageResult<ListProducers>;

    fn handle(&mut self, wish: ListProducers, _: &mut Context<Self>) -> Self::Result {
        let groups = self.producers.groups().filter(|(group, _)| wish.group.as_deref().is_none_or(|w| w == &***group));
        let producers = |members: &BTreeMap<_, Member>| {
            let producer = |member: &Member| Producer { client: member.client.clone(), seen_ms: member.seen_ms };
            members.values().map(producer).collect()
        };
        MessageResult(groups.map(|(group, members)| (Arc::clone(group), producers(members))).collect())
    }
}

impl Handler<AskProducer> for Members {
    type Result = ();

    fn handle(&mut self, ask: AskProducer, _: &mut Context<Self>) {
        let members = self.producers.members(&ask.group).into_iter().flat_map(BTreeMap::values);
        let there: Vec<_> = members.map(|member| &member.client.peer.push).filter(|push| push.connected()).collect();
        match there.get(self.asked.checked_rem(there.len()).unwrap_or(0)) {
            Some(push) => push.do_send(ask.push),
            None => tracing::debug!(group = %ask.group, "no producer of the group is there to be asked"),
        }
        self.asked = self.asked.wrapping_add(1);
    }
}

impl Handler<FindConsumer> for Members {
    type Result = Option<Client>;

    fn handle(&mut self, wish: FindConsumer, _: &mut Context<Self>) -> Self::Result {
        let members = self.consumers.members(&wish.group)?;
        // The newest connection, where one that died has not been noticed yet.
        let found = members.values().rev().find(|member| *member.client.id == *wish.client_id);
        found.map(|member| member.client.clone())
    }
}

impl Handler<FindProducer> for Members {
    type Result = Option<Client>;

    fn handle(&mut self, wish: FindProducer, _: &mut Context<Self>) -> Self::Result {
        self.producers.find(&wish.client_id).cloned()
    }
}

impl Handler<Stop> for Members {
    type Result = ();

    fn handle(&mut self, _: Stop, _: &mut Context<Self>) {}
}
