//! What a connection has under way, and where it ends.

use std::collections::HashMap;

use super::ending::EndBatch;
use super::held::Held;
use super::intercepting::Intercepted;
use super::making::Making;
use super::outbox::Outbox;
use super::{APPENDING_BYTES_MAX, HANDLED_MAX, OUTBOX_BYTES_PAUSE};
use crate::protocol::names::{Group, QueueKey};

/// What this connection has under way.
#[derive(Debug, Default)]
pub(super) struct Credit {
    pub(super) appending_bytes: usize,
    pub(super) pulls: u32,
    pub(super) handled: u32,
    /// Of requests that wait for what other clients answer.
    pub(super) asking_bytes: usize,
    pub(super) making: Making,
    pub(super) held: Held,
    pub(super) ends: EndBatch,
    pub(super) intercepted: Intercepted,
    /// Whose pulls are under way, for listeners; empty where there is none.
    pub(super) deliveries: HashMap<u64, (Group, QueueKey)>,
    pub(super) paused: Option<std::task::Waker>,
}

impl Credit {
    /// Whether the next send has to wait.
    pub(super) fn holds_sends(&self) -> bool {
        self.appending_bytes >= APPENDING_BYTES_MAX || !self.held.is_empty()
    }

    /// Whether nothing more is to be read.
    pub(super) fn is_spent(&self, outbox: &Outbox) -> bool {
        self.held.is_full()
            || self.making.is_full()
            || self.intercepted.is_full()
            || self.handled >= HANDLED_MAX
            || outbox.waiting_bytes() >= OUTBOX_BYTES_PAUSE
    }
}
