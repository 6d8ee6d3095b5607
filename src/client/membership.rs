//! The groups that this client takes part in: what its heartbeats say.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use actix::prelude::*;
use tokio::sync::mpsc;

use super::consume::push_consumer::inquiries::Inquiry;
use super::heartbeat::Beat;
use crate::actors::rebalance::MembersChanged;
use crate::protocol::body::clients::{ConsumerData, HeartbeatData, ProducerData};
use crate::protocol::header::clients::UnregisterClientRequest;
use crate::protocol::properties::{PRODUCER_GROUP, value};
use crate::protocol::record::Record;
use crate::remoting::channel::PeerRequest;

/// From a producer or consumer: we take part in this group from now on.
#[derive(Message)]
#[rtype(result = "bool")]
pub(super) enum Join {
    Producer(String),
    /// Questions of brokers about transactions go there.
    TransactionalProducer(String, mpsc::Sender<PeerRequest>),
    /// Answered `false` when the client has a consumer of the group already.
    Consumer(ConsumerData, Option<Recipient<MembersChanged>>),
}

/// From a producer or consumer at its end; answered when the brokers know.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) enum Leave {
    Producer(String),
    Consumer(String),
}

/// Plain state, owned by the brokers' actor.
pub(super) struct Membership {
    client_id: String,
    /// Users of each producer group.
    producers: BTreeMap<String, usize>,
    /// Who answers for the transactions of a producer group.
    answering: BTreeMap<String, Vec<mpsc::Sender<PeerRequest>>>,
    consumers: BTreeMap<String, Member>,
}

struct Member {
    data: ConsumerData,
    notices: Option<Recipient<MembersChanged>>,
    /// Who answers what administrators ask of it.
    inquiries: Option<Recipient<Inquiry>>,
}

impl Membership {
    pub(super) fn new(client_id: String) -> Self {
        Self { client_id, producers: BTreeMap::new(), answering: BTreeMap::new(), consumers: BTreeMap::new() }
    }

    pub(super) fn consumes(&self) -> bool {
        !self.consumers.is_empty()
    }

    /// Whether brokers may want something of us while we want nothing of them.
    pub(super) fn is_asked(&self) -> bool {
        self.consumes() || !self.answering.is_empty()
    }

    pub(super) fn join(&mut self, join: Join) -> bool {
        match join {
            Join::Producer(group) => {
                *self.producers.entry(group).or_default() += 1;
                true
            }
            Join::TransactionalProducer(group, questions) => {
                self.answering.entry(group.clone()).or_default().push(questions);
                *self.producers.entry(group).or_default() += 1;
                true
            }
            Join::Consumer(data, notices) => match self.consumers.entry(data.group_name.clone()) {
                Entry::Vacant(vacant) => {
                    vacant.insert(Member { data, notices, inquiries: None });
                    true
                }
                Entry::Occupied(_) => false,
            },
        }
    }

    pub(super) fn resubscribe(&mut self, data: ConsumerData) {
        if let Some(member) = self.consumers.get_mut(&data.group_name) {
            member.data = data;
        }
    }

    /// What brokers are to be told; `None` when the group has other users here.
    pub(super) fn leave(&mut self, leave: Leave) -> Option<UnregisterClientRequest> {
        let client_id = self.client_id.clone();
        match leave {
            Leave::Producer(group) => {
                let users = self.producers.get_mut(&group)?;
                *users -= 1;
                if *users > 0 {
                    return None;
                }
                self.producers.remove(&group);
                self.answering.remove(&group);
                Some(UnregisterClientRequest { client_id, producer_group: Some(group), consumer_group: None })
            }
            Leave::Consumer(group) => {
                self.consumers.remove(&group)?;
                Some(UnregisterClientRequest { client_id, producer_group: None, consumer_group: Some(group) })
            }
        }
    }

    pub(super) fn serve(&mut self, group: &str, inquiries: Recipient<Inquiry>) {
        if let Some(member) = self.consumers.get_mut(group) {
            member.inquiries = Some(inquiries);
        }
    }

    pub(super) fn inquiries(&self, group: &str) -> Option<&Recipient<Inquiry>> {
        self.consumers.get(group)?.inquiries.as_ref()
    }

    /// A broker says that the members of `group` changed.
    pub(super) fn notice(&self, group: &str) {
        let member = self.consumers.get(group);
        if let Some(notices) = member.and_then(|member| member.notices.as_ref()) {
            notices.do_send(MembersChanged);
        }
    }

    /// A broker asks about a transaction. One that nobody here can answer is forgotten; the broker asks again.
    pub(super) fn question(&mut self, question: PeerRequest) {
        let group = Record::read(&question.body).ok().and_then(|half| value(half.properties, PRODUCER_GROUP));
        let Some(answering) = group.and_then(|group| self.answering.get_mut(group)) else {
            tracing::debug!(group, "a question about a transaction of others");
            return;
        };
        answering.retain(|producer| !producer.is_closed());
        if answering.first().is_none_or(|producer| producer.try_send(question).is_err()) {
            tracing::warn!("a question about a transaction was dropped: too many wait");
        }
    }

    /// What all brokers are told; `None` when we are in no group.
    pub(super) fn beat(&self) -> Option<Beat> {
        if self.producers.is_empty() && self.consumers.is_empty() {
            return None;
        }
        let producer = |group: &String| ProducerData { group_name: group.clone() };
        Some(Beat::new(HeartbeatData {
            client_id: self.client_id.clone(),
            consumer_data_set: self.consumers.values().map(|member| member.data.clone()).collect(),
            producer_data_set: self.producers.keys().map(producer).collect(),
            ..HeartbeatData::default()
        }))
    }
}
