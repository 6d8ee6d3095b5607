//! Who is there: members by group, by connection and client id. Pure: the caller brings the time.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use tokio::time::Instant;

use super::messages::Client;
use crate::actors::ConnectionId;

/// A client on a connection: one connection may carry several, and one client id may be on two while the broker has not
/// yet noticed that the older is dead.
pub(super) type MemberKey = (ConnectionId, Arc<str>);

/// A client in a group.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) client: Client,
    pub(super) seen: Instant,
    pub(super) seen_ms: i64,
}

/// Members of groups of one kind; groups without members are not there.
#[derive(Debug)]
pub(super) struct Registry<G> {
    groups: HashMap<G, BTreeMap<MemberKey, Member>>,
    of_connection: HashMap<ConnectionId, HashSet<(G, Arc<str>)>>,
    /// By client id: the groups that it is in on each of its connections.
    of_client: HashMap<Arc<str>, BTreeMap<ConnectionId, HashSet<G>>>,
    count: usize,
    count_max: usize,
}

/// What became of a member that was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    Joined,
    Known,
    NoRoom,
}

impl<G: Clone + Eq + Hash> Registry<G> {
    pub(super) fn new(count_max: usize) -> Self {
        let (groups, of_connection, of_client) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { groups, of_connection, of_client, count: 0, count_max }
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = (&G, &BTreeMap<MemberKey, Member>)> {
        self.groups.iter()
    }

    pub(super) fn members<Q>(&self, group: &Q) -> Option<&BTreeMap<MemberKey, Member>>
    where
        G: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.groups.get(group)
    }

    /// The client of that id, on its newest connection.
    pub(super) fn find(&self, client_id: &str) -> Option<&Client> {
        let (id, connections) = self.of_client.get_key_value(client_id)?;
        let (connection, groups) = connections.last_key_value()?;
        let members = self.groups.get(groups.iter().next()?)?;
        members.get(&(*connection, Arc::clone(id))).map(|member| &member.client)
    }

    /// Notes that `member` is there.
    pub(super) fn put(&mut self, group: &G, member: Member) -> Put {
        let connection = member.client.peer.connection;
        let key = (connection, Arc::clone(&member.client.id));
        if let Some(known) = self.groups.get_mut(group).and_then(|members| members.get_mut(&key)) {
            *known = member;
            return Put::Known;
        }
        if self.count >= self.count_max {
            return Put::NoRoom;
        }
        self.of_connection.entry(connection).or_default().insert((group.clone(), Arc::clone(&key.1)));
        let connections = self.of_client.entry(Arc::clone(&key.1)).or_default();
        connections.entry(connection).or_default().insert(group.clone());
        self.groups.entry(group.clone()).or_default().insert(key, member);
        self.count += 1;
        Put::Joined
    }

    /// Whether the member was there.
    pub(super) fn remove(&mut self, group: &G, key: &MemberKey) -> bool {
        let Some(members) = self.groups.get_mut(group) else {
            return false;
        };
        if members.remove(key).is_none() {
            return false;
        }
        self.count -= 1;
        if members.is_empty() {
            self.groups.remove(group);
        }
        self.forget_client(group, key);
        if let Some(places) = self.of_connection.get_mut(&key.0) {
            places.remove(&(group.clone(), Arc::clone(&key.1)));
            if places.is_empty() {
                self.of_connection.remove(&key.0);
            }
        }
        true
    }

    fn forget_client(&mut self, group: &G, (connection, id): &MemberKey) {
        let Some(connections) = self.of_client.get_mut(id) else { return };
        if let Some(groups) = connections.get_mut(connection) {
            groups.remove(group);
            if groups.is_empty() {
                connections.remove(connection);
            }
        }
        if connections.is_empty() {
            self.of_client.remove(id);
        }
    }

    /// Removes all members behind `connection`; the groups that they left, each once.
    pub(super) fn remove_connection(&mut self, connection: ConnectionId) -> HashSet<G> {
        let places = self.of_connection.get(&connection).cloned().unwrap_or_default();
        for (group, id) in &places {
            self.remove(group, &(connection, Arc::clone(id)));
        }
        places.into_iter().map(|(group, _)| group).collect()
    }

    /// Removes all members that were last seen before `limit`; who they were.
    pub(super) fn remove_silent(&mut self, limit: Instant) -> Vec<(G, Client)> {
        let silent = |(group, members): (&G, &BTreeMap<MemberKey, Member>)| {
            let of_group = members.values().filter(|member| member.seen < limit);
            of_group.map(|member| (group.clone(), member.client.clone())).collect::<Vec<_>>()
        };
        let silent: Vec<_> = self.groups.iter().flat_map(silent).collect();
        for (group, client) in &silent {
            self.remove(group, &(client.peer.connection, Arc::clone(&client.id)));
        }
        silent
    }
}
