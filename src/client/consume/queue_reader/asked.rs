//! How the queue stands, and going on elsewhere.

use std::sync::Arc;

use actix::prelude::*;

use super::QueueReader;
use crate::client::consume::backlog::Backlog;
use crate::client::consume::desk::returns::Returns;
use crate::client::consume::queue_reader::figures::Figures;
use crate::protocol::body::running::ProcessQueueInfo;

const MIB: usize = 1024 * 1024;

/// From the consumer: how does the queue stand?
#[derive(Message)]
#[rtype(result = "(ProcessQueueInfo, Figures)")]
pub(in crate::client) struct Look;

/// From the consumer: go on at this offset. What waits for the listener is dropped.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::client) struct Seek(pub(in crate::client) i64);

impl Handler<Look> for QueueReader {
    type Result = MessageResult<Look>;

    fn handle(&mut self, _: Look, ctx: &mut Context<Self>) -> Self::Result {
        self.look(ctx);
        self.publish();
        let mut info = ProcessQueueInfo {
            last_pull_timestamp: self.figures.last_pull_ms,
            last_consume_timestamp: self.figures.last_consume_ms,
            ..ProcessQueueInfo::default()
        };
        if let Some(backlog) = &self.backlog {
            let (first, last) = backlog.ends().unwrap_or_default();
            (info.cached_msg_min_offset, info.cached_msg_max_offset) = (first, last);
            info.cached_msg_count = i32::try_from(backlog.count()).unwrap_or(i32::MAX);
            info.cached_msg_size_mib = i32::try_from(backlog.bytes() / MIB).unwrap_or(i32::MAX);
        }
        self.figures.roll();
        MessageResult((info, self.figures.clone()))
    }
}

impl QueueReader {
    /// Goes on at `offset`. What was read and is not consumed yet is dropped, and what listeners and brokers have of it
    /// counts no longer.
    pub(super) fn seek(&mut self, offset: i64, ctx: &mut Context<Self>) {
        self.start_over();
        match &self.in_order {
            None => {
                self.returns.close();
                self.returns = Arc::new(Returns::new(ctx.address().recipient()));
            }
            Some(in_order) if in_order.needs_lock() => {
                // Whoever has the lock goes on there and commits it, and we begin where that leads.
                self.backlog = None;
                self.reading.progress.forget();
                return self.lock(ctx);
            }
            Some(_) => {}
        }
        self.backlog = Some(Backlog::new(offset));
        self.publish();
        self.pull(ctx);
    }
}

impl Handler<Seek> for QueueReader {
    type Result = ();

    fn handle(&mut self, Seek(offset): Seek, ctx: &mut Context<Self>) {
        self.seek(offset, ctx);
    }
}
