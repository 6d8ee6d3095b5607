//! Why an expression is refused, and where.

use std::fmt;

/// Characters of the expression that an error shows.
const SHOWN_CHARS: usize = 30;

/// Why an expression is refused. Points into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    /// Number of the first character that is wrong, from 1.
    pub position: usize,
    /// What stands there, shortened.
    pub near: String,
    pub reason: String,
}

impl SqlError {
    /// An error at byte `at` of `text`.
    pub(super) fn new(text: &str, at: usize, reason: impl Into<String>) -> Self {
        let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
        let (before, rest) = text.split_at(at);
        let near: String = rest.chars().take(SHOWN_CHARS).collect();
        Self { position: before.chars().count() + 1, near, reason: reason.into() }
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { position, near, reason } = self;
        if near.is_empty() {
            write!(f, "at character {position}, the end: {reason}")
        } else {
            write!(f, "at character {position}, near `{near}`: {reason}")
        }
    }
}

impl std::error::Error for SqlError {}
