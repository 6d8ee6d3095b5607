//! Who set what: beside the typed fields, every key that somebody set, with its text and its origin.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// What was set of one role's keys, and by whom.
#[derive(Clone, Debug, Default)]
pub(crate) struct Provenance {
    /// By RocketMQ's name of the key. What is absent has its default.
    pub(super) entries: BTreeMap<&'static str, Entry>,
    /// The `-c` file.
    pub(super) file: Option<PathBuf>,
    /// Unknown keys are errors everywhere.
    pub(super) strict: bool,
}

/// One key that somebody set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) text: String,
    pub(super) origin: String,
    pub(super) state: State,
}

/// What became of a key that somebody set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The typed field holds it.
    Applied,
    /// Set while running; the typed field keeps the old value until the next start.
    Pending,
    /// Known to RocketMQ, without meaning here.
    WithoutMeaning,
}

impl Provenance {
    /// Where the key's value came from: `--name`, `broker.conf:3`, …, `default`.
    pub(super) fn origin(&self, key: &str) -> &str {
        self.entries.get(key).map_or("default", |entry| entry.origin.as_str())
    }

    /// Notes that the key's field has another value than the one that was set.
    pub(super) fn force(&mut self, key: &str) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.origin.push_str(", forced");
        }
    }
}
