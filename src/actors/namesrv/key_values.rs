//! The key-value store of a name server: texts by namespace and key. Order configuration of topics is kept there.

use std::collections::BTreeMap;
use std::sync::Arc;

use dashmap::DashMap;

use super::Name;
use crate::protocol::body::lists::KvConfig;
use crate::protocol::body::{Body, ConfigFile, DecodeError};

/// The namespace of the topics whose messages are in order, with their brokers: `broker-a:4;broker-b:4`.
pub const ORDER_TOPICS: &str = "ORDER_TOPIC_CONFIG";
/// Longest namespace or key, in bytes.
pub const KEY_BYTES_MAX: usize = 1024;
/// Longest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 256 * 1024;
/// Most bytes of all namespaces, keys and values together.
pub const TOTAL_BYTES_MAX: usize = 32 * 1024 * 1024;
/// What one entry counts against [`TOTAL_BYTES_MAX`] beside its texts.
const ENTRY_BYTES: usize = 64;

/// Why an entry was not taken, or not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyValueError {
    #[error("a namespace or key of {0} bytes, at most {KEY_BYTES_MAX} are allowed")]
    KeyTooLong(usize),
    #[error("a value of {0} bytes, at most {VALUE_BYTES_MAX} are allowed")]
    ValueTooLong(usize),
    #[error("the key-value store holds {TOTAL_BYTES_MAX} bytes and takes no more: delete entries first")]
    Full,
    /// The entry is answered to queries, and gone after a restart.
    #[error("the key-value store cannot be written: {0}")]
    Unwritable(String),
}

/// One namespace, as readers see it.
pub type Namespace = BTreeMap<String, String>;

/// All namespaces. Cheap to read from any thread; only [`super::Namesrv`] writes.
#[derive(Debug, Default)]
pub struct KeyValues {
    spaces: DashMap<Name, Arc<Namespace>>,
}

impl KeyValues {
    /// The entries of a namespace; `None` where nothing was ever put.
    #[must_use]
    pub fn namespace(&self, namespace: &str) -> Option<Arc<Namespace>> {
        self.spaces.get(namespace).map(|space| Arc::clone(&space))
    }

    #[must_use]
    pub fn get(&self, namespace: &str, key: &str) -> Option<String> {
        self.spaces.get(namespace)?.get(key).cloned()
    }
}

/// The owner's side of [`KeyValues`]: writes it and counts.
#[derive(Debug, Default)]
pub struct KeyValueOwner {
    published: Arc<KeyValues>,
    bytes: usize,
}

impl KeyValueOwner {
    /// The store that a file's text holds. A file may hold more than would be taken now.
    ///
    /// # Errors
    /// [`DecodeError`] when the text is no key-value file.
    pub fn read(text: &[u8]) -> Result<Self, DecodeError> {
        let file = KvConfig::decode_file(text)?;
        let mut owner = Self::default();
        for (name, space) in file.config_table {
            owner.bytes += name.len() + ENTRY_BYTES;
            owner.bytes += space.iter().map(|(key, value)| entry_bytes(key, value)).sum::<usize>();
            owner.published.spaces.insert(name.into(), Arc::new(space));
        }
        Ok(owner)
    }

    /// The text of the file: what RocketMQ writes, with the keys in order.
    #[must_use]
    pub fn text(&self) -> Vec<u8> {
        let spaces = self.published.spaces.iter();
        let config_table = spaces.map(|space| (space.key().to_string(), Namespace::clone(space.value()))).collect();
        KvConfig { config_table }.encode()
    }

    /// What readers hold.
    #[must_use]
    pub fn published(&self) -> Arc<KeyValues> {
        Arc::clone(&self.published)
    }

    /// Puts an entry in place of what the key had.
    ///
    /// # Errors
    /// [`KeyValueError`] when a text is too long or the store is full; nothing was changed.
    pub fn put(&mut self, namespace: &str, key: String, value: String) -> Result<(), KeyValueError> {
        if let Some(bytes) = [namespace.len(), key.len()].into_iter().find(|bytes| *bytes > KEY_BYTES_MAX) {
            return Err(KeyValueError::KeyTooLong(bytes));
        }
        if value.len() > VALUE_BYTES_MAX {
            return Err(KeyValueError::ValueTooLong(value.len()));
        }
        let space = self.published.spaces.get(namespace);
        let before = space.as_ref().and_then(|space| Some(entry_bytes(&key, space.get(&key)?))).unwrap_or(0);
        let added = if space.is_none() { namespace.len() + ENTRY_BYTES } else { 0 };
        drop(space);
        let bytes = self.bytes - before + added + entry_bytes(&key, &value);
        if bytes > TOTAL_BYTES_MAX && bytes > self.bytes {
            return Err(KeyValueError::Full);
        }
        self.bytes = bytes;
        Arc::make_mut(&mut self.published.spaces.entry(namespace.into()).or_default()).insert(key, value);
        Ok(())
    }

    /// Removes an entry; its namespace stays. True when it was there.
    pub fn delete(&mut self, namespace: &str, key: &str) -> bool {
        let Some(mut space) = self.published.spaces.get_mut(namespace) else {
            return false;
        };
        if !space.contains_key(key) {
            return false;
        }
        if let Some(value) = Arc::make_mut(&mut space).remove(key) {
            self.bytes -= entry_bytes(key, &value);
        }
        true
    }
}

fn entry_bytes(key: &str, value: &str) -> usize {
    key.len() + value.len() + ENTRY_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_rocketmq_s() {
        let mut owner = KeyValueOwner::default();
        owner.put(ORDER_TOPICS, "T".into(), "broker-a:4;broker-b:4".into()).unwrap();
        let text = r#"{"configTable":{"ORDER_TOPIC_CONFIG":{"T":"broker-a:4;broker-b:4"}}}"#;
        assert_eq!(owner.text(), text.as_bytes());
        let read = KeyValueOwner::read(text.as_bytes()).unwrap();
        assert_eq!(read.bytes, owner.bytes);
        assert_eq!(read.published().get(ORDER_TOPICS, "T").as_deref(), Some("broker-a:4;broker-b:4"));
        assert!(KeyValueOwner::read(b"{\"configTable\":{\"a\"").is_err());
        assert_eq!(KeyValueOwner::read(b"{}").unwrap().text(), br#"{"configTable":{}}"#);
    }

    #[test]
    fn a_namespace_outlives_its_last_entry() {
        let mut owner = KeyValueOwner::default();
        owner.put("n", "k".into(), "v".into()).unwrap();
        assert!(owner.delete("n", "k"));
        assert!(!owner.delete("n", "k"));
        assert!(!owner.delete("unknown", "k"));
        assert_eq!(owner.published().namespace("n").map(|space| space.len()), Some(0));
        assert_eq!(owner.published().namespace("unknown"), None);
    }

    #[test]
    fn texts_and_their_sum_are_bounded() {
        let mut owner = KeyValueOwner::default();
        let long = "x".repeat(KEY_BYTES_MAX + 1);
        assert_eq!(owner.put(&long, "k".into(), String::new()), Err(KeyValueError::KeyTooLong(1025)));
        assert_eq!(owner.put("n", long, String::new()), Err(KeyValueError::KeyTooLong(1025)));
        let value = "x".repeat(VALUE_BYTES_MAX);
        assert!(matches!(owner.put("n", "k".into(), value.clone() + "x"), Err(KeyValueError::ValueTooLong(_))));
        let full = (0..).find_map(|i| owner.put("n", i.to_string(), value.clone()).err().map(|error| (i, error)));
        let (count, error) = full.unwrap();
        assert_eq!((count, error), (TOTAL_BYTES_MAX / (VALUE_BYTES_MAX + ENTRY_BYTES), KeyValueError::Full));
        owner.put("n", "0".into(), "shorter".into()).unwrap();
        owner.put("n", "new".into(), value).unwrap();
    }
}
