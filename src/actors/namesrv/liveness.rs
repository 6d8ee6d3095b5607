//! Which brokers are there, and until when: heartbeats, expiry, connections.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::Name;
use super::published::BrokerKey;
use crate::actors::ConnectionId;
use crate::protocol::body::version::DataVersion;

/// A broker that says nothing of it is gone after this time without a word.
pub const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(120);
/// Longest time that a broker may ask for.
pub const HEARTBEAT_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// One broker process that is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Presence {
    /// Name of its group.
    pub group: Name,
    /// When it was last heard of.
    pub seen: Instant,
    /// It is gone after this time without a word.
    pub timeout: Duration,
    /// Version of its topics when it last registered.
    pub version: DataVersion,
    /// Where slaves get the log from.
    pub ha_address: Option<Name>,
    /// The connection that it registered over.
    pub connection: ConnectionId,
}

/// The brokers that are there.
#[derive(Debug, Default)]
pub struct Liveness {
    brokers: HashMap<BrokerKey, Presence>,
    /// Exactly the brokers above, by their connections.
    by_connection: HashMap<ConnectionId, HashSet<BrokerKey>>,
}

impl Liveness {
    #[must_use]
    pub fn len(&self) -> usize {
        self.brokers.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.brokers.is_empty()
    }

    #[must_use]
    pub fn get(&self, key: &BrokerKey) -> Option<&Presence> {
        self.brokers.get(key)
    }

    /// A broker registered. What it was before is returned.
    pub fn insert(&mut self, key: BrokerKey, presence: Presence) -> Option<Presence> {
        let before = self.remove(&key);
        self.by_connection.entry(presence.connection).or_default().insert(key.clone());
        self.brokers.insert(key, presence);
        before
    }

    pub fn remove(&mut self, key: &BrokerKey) -> Option<Presence> {
        let presence = self.brokers.remove(key)?;
        if let Some(keys) = self.by_connection.get_mut(&presence.connection) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_connection.remove(&presence.connection);
            }
        }
        Some(presence)
    }

    /// A broker was heard of; nothing happens when it is not registered.
    pub fn touch(&mut self, key: &BrokerKey, now: Instant) {
        if let Some(presence) = self.brokers.get_mut(key) {
            presence.seen = now;
        }
    }

    /// The brokers that registered over `connection` last.
    #[must_use]
    pub fn of_connection(&self, connection: ConnectionId) -> Vec<BrokerKey> {
        self.by_connection.get(&connection).into_iter().flatten().cloned().collect()
    }

    /// The brokers that were silent for longer than they may be.
    #[must_use]
    pub fn expired(&self, now: Instant) -> Vec<BrokerKey> {
        let late =
            self.brokers.iter().filter(|(_, presence)| now.saturating_duration_since(presence.seen) > presence.timeout);
        late.map(|(key, _)| key.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(address: &str) -> BrokerKey {
        BrokerKey { cluster: "c".into(), address: address.into() }
    }

    fn presence(seen: Instant, connection: u64) -> Presence {
        Presence {
            group: "b".into(),
            seen,
            timeout: Duration::from_secs(120),
            version: DataVersion::default(),
            ha_address: None,
            connection: ConnectionId(connection),
        }
    }

    #[test]
    fn silence_ends_at_a_heartbeat() {
        let start = Instant::now();
        let mut live = Liveness::default();
        live.insert(key("a"), presence(start, 1));
        live.insert(key("b"), presence(start, 1));
        assert!(live.expired(start + Duration::from_secs(120)).is_empty());
        live.touch(&key("a"), start + Duration::from_secs(60));
        live.touch(&key("unknown"), start);
        assert_eq!(live.expired(start + Duration::from_secs(121)), [key("b")]);
        assert_eq!(live.expired(start + Duration::from_secs(181)).len(), 2);
    }

    #[test]
    fn a_broker_belongs_to_the_connection_that_it_registered_over_last() {
        let now = Instant::now();
        let mut live = Liveness::default();
        assert_eq!(live.insert(key("a"), presence(now, 1)), None);
        assert!(live.insert(key("a"), presence(now, 2)).is_some());
        assert!(live.of_connection(ConnectionId(1)).is_empty());
        assert_eq!(live.of_connection(ConnectionId(2)), [key("a")]);
        live.remove(&key("a"));
        assert!(live.by_connection.is_empty());
    }
}
