//! The groups that this client takes part in: what its heartbeats say.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use actix::prelude::*;

use super::heartbeat::Beat;
use crate::actors::rebalance::MembersChanged;
use crate::protocol::body::clients::{ConsumerData, HeartbeatData, ProducerData};
use crate::protocol::header::clients::UnregisterClientRequest;

/// From a producer or consumer: we take part in this group from now on.
#[derive(Message)]
#[rtype(result = "bool")]
pub(super) enum Join {
    Producer(String),
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
    consumers: BTreeMap<String, Member>,
}

struct Member {
    data: ConsumerData,
    notices: Option<Recipient<MembersChanged>>,
}

impl Membership {
    pub(super) fn new(client_id: String) -> Self {
        Self { client_id, producers: BTreeMap::new(), consumers: BTreeMap::new() }
    }

    pub(super) fn consumes(&self) -> bool {
        !self.consumers.is_empty()
    }

    pub(super) fn join(&mut self, join: Join) -> bool {
        match join {
            Join::Producer(group) => {
                *self.producers.entry(group).or_default() += 1;
                true
            }
            Join::Consumer(data, notices) => match self.consumers.entry(data.group_name.clone()) {
                Entry::Vacant(vacant) => {
                    vacant.insert(Member { data, notices });
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
                Some(UnregisterClientRequest { client_id, producer_group: Some(group), consumer_group: None })
            }
            Leave::Consumer(group) => {
                self.consumers.remove(&group)?;
                Some(UnregisterClientRequest { client_id, producer_group: None, consumer_group: Some(group) })
            }
        }
    }

    /// A broker says that the members of `group` changed.
    pub(super) fn notice(&self, group: &str) {
        let member = self.consumers.get(group);
        if let Some(notices) = member.and_then(|member| member.notices.as_ref()) {
            notices.do_send(MembersChanged);
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
