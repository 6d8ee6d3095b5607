//! Sends that came while too much of their connection was on its way to the log. They wait here, in order, so that what
//! comes behind them on the socket, heartbeats above all, is served all the same.

use std::collections::VecDeque;

use actix::prelude::*;
use bytes::Bytes;

use super::{APPENDING_BYTES_MAX, Session};

/// Bytes of sends of one connection that wait for their turn at most; past them the socket is not read.
const HELD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Whole frames.
#[derive(Debug, Default)]
pub(super) struct Held {
    sends: VecDeque<Bytes>,
    bytes: usize,
}

impl Held {
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= HELD_BYTES_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sends.is_empty()
    }

    pub(super) fn push(&mut self, frame: &[u8]) {
        self.sends.push_back(Bytes::copy_from_slice(frame));
        self.bytes += frame.len();
    }
}

impl Session {
    /// Takes the sends that waited, as many as there is credit for.
    pub(super) fn take_held(&mut self, ctx: &mut Context<Self>) {
        if self.credit.held.is_empty() {
            return;
        }
        // Out of the session, for a send that finds others waiting goes behind them.
        let mut held = std::mem::take(&mut self.credit.held);
        while self.credit.appending_bytes < APPENDING_BYTES_MAX
            && let Some(frame) = held.sends.pop_front()
        {
            held.bytes -= frame.len();
            self.take_again(&frame, ctx);
        }
        self.credit.held = held;
        self.flush_batch();
        self.ask_interceptors(ctx);
    }
}
