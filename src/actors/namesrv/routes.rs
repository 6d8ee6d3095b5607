//! The rules by which registrations become routes: RocketMQ's, where two brokers claim the same place or one changes its.
//!
//! Invariants: every address of a group is a broker that is there, and every broker that is there is an address of its
//! group; a group without addresses is none, a cluster without groups neither; only groups that are there have topics.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use super::Name;
use super::liveness::{HEARTBEAT_TIMEOUT_MAX, Liveness, Presence};
use super::published::{BrokerKey, Brokers, Group, MASTER_ID, PERM_READ, PERM_WRITE, Published, Share};
use super::registration::{
    BROKERS_MAX, Identity, LowestIdChange, Outcome, Registered, Registration, RegistrationError, check_names,
};
use super::shares::{ShareError, Shares};
use crate::actors::ConnectionId;
use crate::protocol::body::version::DataVersion;

/// Everything that the name server knows of brokers and topics.
#[derive(Debug)]
pub struct RouteTables {
    published: Arc<Published>,
    /// As last published.
    brokers: Arc<Brokers>,
    live: Liveness,
    shares: Shares,
}

impl RouteTables {
    /// Empty tables, shown to readers through `published`, which nobody else writes to.
    #[must_use]
    pub fn new(published: Arc<Published>) -> Self {
        let shares = Shares::new(Arc::clone(&published));
        Self { brokers: published.brokers(), published, live: Liveness::default(), shares }
    }

    #[must_use]
    pub fn live(&self) -> &Liveness {
        &self.live
    }

    /// A broker registers, with all its topics or those that changed. With `deletes_topics`, topics that it no longer names
    /// are taken from its group, unless it names exactly one: then it told a change.
    ///
    /// # Errors
    /// [`RegistrationError`]; nothing was changed.
    pub fn register(
        &mut self,
        registration: Registration,
        deletes_topics: bool,
        now: Instant,
    ) -> Result<Outcome, RegistrationError> {
        let broker = &registration.broker;
        check_names(&registration)?;
        let key = BrokerKey { cluster: Arc::clone(&broker.cluster), address: Arc::clone(&broker.address) };
        if self.live.get(&key).is_none() && self.live.len() >= BROKERS_MAX {
            return Err(RegistrationError::TooManyBrokers);
        }
        let known = self.brokers.groups.get(&broker.group);
        let mut group = known.map_or_else(|| empty_group(broker), |group| Group::clone(group));
        let lowest_before = group.addresses.keys().next().copied();
        group.addresses.retain(|id, address| *address != broker.address || *id == broker.id);
        let holder = group.addresses.get(&broker.id).cloned();
        let displaced = holder.as_ref().filter(|holder| **holder != broker.address);
        if let Some(holder) = displaced.filter(|holder| self.is_later(&group.name, holder, &registration.version)) {
            let conflicts_with = Some(Arc::clone(holder));
            return Ok(self.refuse_conflict(group, &key, conflicts_with));
        }
        if holder.is_none() && registration.topics.len() == 1 {
            return Err(RegistrationError::NotRegisteredYet);
        }
        self.leave_other_places(&key, &broker.group, displaced);
        group.addresses.insert(broker.id, Arc::clone(&broker.address));
        group.acting_master = registration.acting_master.unwrap_or(false);
        group.zone.clone_from(&registration.zone);
        self.put_group(&group, &broker.cluster);
        let left_out = self.take_topics(&registration, &group, holder.is_none(), deletes_topics);
        let is_new = self.take_presence(&key, &registration, now);
        let lowest_id = lowest_before.filter(|before| broker.id < *before).map(|_| LowestIdChange {
            group: Arc::new(group.clone()),
            left: None,
            ha_address: registration.ha_address.clone(),
        });
        Ok(Outcome { told: self.master_of(&group, broker.id), is_new, conflicts_with: None, left_out, lowest_id })
    }

    /// A broker says that it leaves. Returns the change of its group's lowest id, when there is one.
    pub fn unregister(&mut self, broker: &Identity) -> Option<LowestIdChange> {
        let key = BrokerKey { cluster: Arc::clone(&broker.cluster), address: Arc::clone(&broker.address) };
        self.leave(&key)
    }

    /// The brokers that registered over `connection` are gone with it.
    pub fn disconnect(&mut self, connection: ConnectionId) -> Vec<(BrokerKey, Option<LowestIdChange>)> {
        let gone = self.live.of_connection(connection);
        gone.into_iter().map(|key| (key.clone(), self.leave(&key))).collect()
    }

    /// The brokers that were silent too long are gone.
    pub fn expire(&mut self, now: Instant) -> Vec<(BrokerKey, Option<LowestIdChange>)> {
        let gone = self.live.expired(now);
        gone.into_iter().map(|key| (key.clone(), self.leave(&key))).collect()
    }

    pub fn heartbeat(&mut self, key: &BrokerKey, now: Instant) {
        self.live.touch(key, now);
    }

    /// The version of the topics that the broker registered last; `None` when it is not here.
    #[must_use]
    pub fn version(&self, key: &BrokerKey) -> Option<DataVersion> {
        self.live.get(key).map(|presence| presence.version)
    }

    /// Sets shares of one topic; passed over when one of the groups is not here.
    ///
    /// # Errors
    /// [`ShareError`] when the name is no topic's or the table is full.
    pub fn register_topic(&mut self, topic: &Name, shares: Vec<(Name, Share)>) -> Result<(), ShareError> {
        if shares.iter().any(|(group, _)| !self.brokers.groups.contains_key(group)) {
            return Ok(());
        }
        shares.into_iter().try_for_each(|(group, share)| self.shares.put(&group, topic, share))
    }

    /// Takes `topic` from the groups of `cluster`, or from all.
    pub fn delete_topic(&mut self, topic: &str, cluster: Option<&str>) {
        let Some(cluster) = cluster else {
            self.shares.remove_topic(topic);
            return;
        };
        for group in self.brokers.clusters.get(cluster).into_iter().flatten() {
            self.shares.remove(group, topic);
        }
    }

    /// Takes the write permission from all topics of a group; returns how many it has. It comes back with the next
    /// registration of other topics than before.
    pub fn wipe_write_permission(&mut self, group: &str) -> usize {
        self.shares.change_permissions(group, |perm| perm & !PERM_WRITE)
    }

    /// Lets all topics of a group be read and written; returns how many it has.
    pub fn add_write_permission(&mut self, group: &str) -> usize {
        self.shares.change_permissions(group, |_| PERM_READ | PERM_WRITE)
    }

    /// The broker of a group that has this address.
    fn key_of(&self, group: &Name, address: &Name) -> Option<BrokerKey> {
        let clusters = self.brokers.clusters.iter().filter(|(_, groups)| groups.contains(group));
        let mut keys =
            clusters.map(|(cluster, _)| BrokerKey { cluster: Arc::clone(cluster), address: Arc::clone(address) });
        keys.find(|key| self.live.get(key).is_some_and(|presence| presence.group == *group))
    }

    fn is_later(&self, group: &Name, address: &Name, version: &DataVersion) -> bool {
        let presence = self.key_of(group, address).and_then(|key| self.live.get(&key));
        presence.is_some_and(|presence| presence.version.state_version > version.state_version)
    }

    /// The process that lost has no place any more, wherever in the group it was before.
    fn refuse_conflict(&mut self, group: Group, key: &BrokerKey, conflicts_with: Option<Name>) -> Outcome {
        self.leave_other_places(key, &group.name, None);
        self.forget(key);
        let cluster = Arc::clone(&group.cluster);
        self.put_group(&group, &cluster);
        Outcome { conflicts_with, ..Outcome::default() }
    }

    /// A process that was in another group has left that; one whose place was taken is not here any more; nor is the one
    /// that this process was under another cluster's name.
    fn leave_other_places(&mut self, key: &BrokerKey, group: &Name, displaced: Option<&Name>) {
        if self.live.get(key).is_some_and(|presence| presence.group != *group) {
            self.leave(key);
        }
        let gone = [displaced, Some(&key.address)].into_iter().flatten().filter_map(|name| self.key_of(group, name));
        for other in gone.collect::<Vec<_>>() {
            if other != *key {
                self.forget(&other);
            }
        }
    }

    /// Forgets a broker whose address is in no group, or will be put there again.
    fn forget(&mut self, key: &BrokerKey) {
        self.live.remove(key);
        if self.brokers.filter_servers.contains_key(key) {
            Arc::make_mut(&mut self.brokers).filter_servers.remove(key);
            self.publish();
        }
    }

    fn leave(&mut self, key: &BrokerKey) -> Option<LowestIdChange> {
        let presence = self.live.remove(key)?;
        let brokers = Arc::make_mut(&mut self.brokers);
        brokers.filter_servers.remove(key);
        let Some(group) = brokers.groups.get_mut(&presence.group) else {
            self.publish();
            return None;
        };
        let group = Arc::make_mut(group);
        let lowest_before = group.addresses.keys().next().copied();
        group.addresses.retain(|_, address| *address != key.address);
        let left = group.clone();
        if left.addresses.is_empty() {
            remove_group(brokers, &left.name);
            self.shares.remove_group(&left.name);
        } else if left.acting_master && !left.addresses.contains_key(&MASTER_ID) {
            self.shares.change_permissions(&left.name, |perm| perm & !PERM_WRITE);
        }
        self.publish();
        let lowest = left.addresses.keys().next().copied();
        (lowest.is_some() && lowest != lowest_before).then(|| LowestIdChange {
            group: Arc::new(left),
            left: Some(Arc::clone(&key.address)),
            ha_address: None,
        })
    }

    /// Publishes the group as one of `cluster`, unless it is published as it is.
    fn put_group(&mut self, group: &Group, cluster: &Name) {
        let is_known = self.brokers.groups.get(&group.name).is_some_and(|known| **known == *group);
        let in_cluster = self.brokers.clusters.get(cluster).is_some_and(|groups| groups.contains(&group.name));
        if is_known && in_cluster {
            return;
        }
        let brokers = Arc::make_mut(&mut self.brokers);
        brokers.groups.insert(Arc::clone(&group.name), Arc::new(group.clone()));
        brokers.clusters.entry(Arc::clone(cluster)).or_default().insert(Arc::clone(&group.name));
        self.publish();
    }

    /// Topics are told by the master; without one, by the slave with the lowest id, if it is not too old for that.
    fn take_topics(
        &mut self,
        registration: &Registration,
        group: &Group,
        is_first: bool,
        deletes_topics: bool,
    ) -> Option<(usize, ShareError)> {
        let broker = &registration.broker;
        let is_master = broker.id == MASTER_ID;
        let is_prime_slave =
            registration.acting_master.is_some() && !is_master && group.addresses.keys().next() == Some(&broker.id);
        if !is_master && !is_prime_slave {
            return None;
        }
        let key = BrokerKey { cluster: Arc::clone(&broker.cluster), address: Arc::clone(&broker.address) };
        let is_changed = is_first || self.version(&key).is_none_or(|version| version != registration.version);
        if deletes_topics && registration.mappings.is_empty() && registration.topics.len() > 1 {
            let kept: HashSet<&str> = registration.topics.iter().map(|(topic, _)| &**topic).collect();
            self.shares.retain(&broker.group, &kept);
        }
        let mut left_out = None;
        let mut note = |result: Result<(), ShareError>| {
            if let Err(error) = result {
                let count = left_out.map_or(0, |(count, _)| count);
                left_out = Some((count + 1, error));
            }
        };
        for (topic, share) in &registration.topics {
            if is_changed || !self.shares.has(&broker.group, topic) {
                let mut share = *share;
                if is_prime_slave && group.acting_master {
                    share.perm &= !PERM_WRITE;
                }
                note(self.shares.put(&broker.group, topic, share));
            }
        }
        if is_changed {
            for (topic, mapping) in &registration.mappings {
                note(self.shares.put_mapping(topic, mapping.clone()));
            }
        }
        left_out
    }

    fn take_presence(&mut self, key: &BrokerKey, registration: &Registration, now: Instant) -> bool {
        let presence = Presence {
            group: Arc::clone(&registration.broker.group),
            seen: now,
            timeout: registration.heartbeat_timeout.min(HEARTBEAT_TIMEOUT_MAX),
            version: registration.version,
            ha_address: registration.ha_address.clone(),
            connection: registration.connection,
        };
        let before = self.live.insert(key.clone(), presence);
        if let Some(servers) = &registration.filter_servers {
            let known = self.brokers.filter_servers.get(key).map_or(&[][..], |servers| &servers[..]);
            if known != &servers[..] {
                let table = &mut Arc::make_mut(&mut self.brokers).filter_servers;
                if servers.is_empty() {
                    table.remove(key);
                } else {
                    table.insert(key.clone(), servers.as_slice().into());
                }
                self.publish();
            }
        }
        before.is_none()
    }

    fn master_of(&self, group: &Group, id: i64) -> Registered {
        let Some(master) = group.addresses.get(&MASTER_ID).filter(|_| id != MASTER_ID) else {
            return Registered::default();
        };
        let presence = self.key_of(&group.name, master).and_then(|key| self.live.get(&key));
        presence.map_or_else(Registered::default, |presence| Registered {
            ha_address: presence.ha_address.clone(),
            master_address: Some(Arc::clone(master)),
        })
    }

    fn publish(&self) {
        self.published.brokers.store(Arc::clone(&self.brokers));
    }
}

fn empty_group(broker: &Identity) -> Group {
    Group {
        cluster: Arc::clone(&broker.cluster),
        name: Arc::clone(&broker.group),
        addresses: BTreeMap::new(),
        zone: None,
        acting_master: false,
    }
}

fn remove_group(brokers: &mut Brokers, name: &Name) {
    brokers.groups.remove(name);
    brokers.clusters.retain(|_, groups| {
        groups.remove(name);
        !groups.is_empty()
    });
}

#[cfg(test)]
mod tests;
