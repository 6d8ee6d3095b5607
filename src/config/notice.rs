//! What is wrong with settings, and what is only worth a line in the log.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why settings cannot be used. Each says where the setting was made, what is wrong and what is allowed.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{origin}: unknown key {key:?}{}", nearest_words(*nearest))]
    UnknownKey { origin: String, key: String, nearest: Option<&'static str> },
    #[error("{origin}: {key}={text:?} is not allowed: it must be {allowed}")]
    BadValue { origin: String, key: &'static str, text: String, allowed: String },
    #[error("{flag} {text:?} is not allowed: it must be {allowed}")]
    BadFlag { flag: &'static str, text: String, allowed: String },
    #[error("{key} is set twice: to {first_text:?} by {first}, to {second_text:?} by {second}; keep one of them")]
    SetTwice { key: &'static str, first: String, first_text: String, second: String, second_text: String },
    #[error("{what}")]
    Contradiction { what: String },
    #[error("{}: cannot be read: {source}; name an existing file with -c", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{}: is longer than {bytes_max} bytes, too long for a configuration file", path.display())]
    TooLong { path: PathBuf, bytes_max: u64 },
    #[error("{origin}: {what}")]
    Syntax { origin: String, what: String },
    #[error("{}: cannot be written: {source}; the settings hold until the next start only", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    #[error("{}: a change cannot be written into a file like this: {what}; make it there by hand", path.display())]
    NotRewritable { path: PathBuf, what: String },
    #[error("{key} is in the black list: it can only be set before the start")]
    BlackListed { key: String },
    #[error("{count} settings in one update are too many: at most {count_max}")]
    TooMany { count: usize, count_max: usize },
}

/// Something about the settings that does not stop the start. One line of the log each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Keys of RocketMQ that were set and that mean nothing here.
    WithoutMeaning { keys: Vec<&'static str> },
    /// A key that neither RocketMQ nor ActorMQ knows.
    UnknownKey { origin: String, key: String, nearest: Option<&'static str> },
    /// More unknown keys than are worth a line each.
    MoreUnknownKeys { count: usize },
    /// A key that stands twice in one properties file: the last one counts, as in Java.
    SetTwice { key: &'static str, first: String, last: String },
    /// A value other than the one that was set, as RocketMQ has it, or one to look at again.
    Changed { what: String },
}

impl Notice {
    /// Worth a warning; otherwise for information.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        !matches!(self, Self::WithoutMeaning { .. })
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WithoutMeaning { keys } => {
                write!(f, "accepted, without meaning here: {}", keys.join(", "))
            }
            Self::UnknownKey { origin, key, nearest } => {
                write!(f, "{origin}: unknown key {key:?} is ignored{}", nearest_words(*nearest))
            }
            Self::MoreUnknownKeys { count } => write!(f, "{count} more unknown keys are ignored"),
            Self::SetTwice { key, first, last } => {
                write!(f, "{last}: {key} replaces the value of {first}")
            }
            Self::Changed { what } => f.write_str(what),
        }
    }
}

/// `FILE:LINE`.
pub(super) fn at(path: &Path, line: Option<usize>) -> String {
    line.map_or_else(|| path.display().to_string(), |line| format!("{}:{line}", path.display()))
}

fn nearest_words(nearest: Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |key| format!("; the nearest known key is {key}"))
}
