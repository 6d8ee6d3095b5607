//! What the writer does when its neighbours tell it something.

use actix::prelude::*;

use super::messages::{CloseQueue, Forget, Outcome, QueueOpened};
use super::{CLOSED, CommitlogWriter, GONE, OPENING};
use crate::actors::Stop;
use crate::actors::log::dispatch_reader::Reached;
use crate::actors::log::flusher::Flushed;
use crate::actors::log::segments::{Prepared, SpaceFailed};
use crate::protocol::names::LogOffset;

impl Handler<QueueOpened> for CommitlogWriter {
    type Result = ();

    fn handle(&mut self, opened: QueueOpened, ctx: &mut Self::Context) {
        if self.next(opened.slot) != OPENING {
            return;
        }
        let held = self.waiting.queues.remove(&opened.slot).unwrap_or_default();
        match opened.next {
            Ok(next) => {
                self.set_next(opened.slot, next);
                held.into_iter().for_each(|append| self.take(append, ctx));
            }
            Err(_) => {
                self.set_next(opened.slot, CLOSED);
                held.into_iter().for_each(|append| self.answer(append, Outcome::QueueUnavailable));
            }
        }
    }
}

impl Handler<CloseQueue> for CommitlogWriter {
    type Result = bool;

    fn handle(&mut self, close: CloseQueue, _: &mut Self::Context) -> bool {
        let next = self.next(close.slot);
        if next == close.end {
            self.set_next(close.slot, CLOSED);
        }
        // A queue that was never opened here has nothing to close.
        next == close.end || next == CLOSED
    }
}

impl Handler<Forget> for CommitlogWriter {
    type Result = LogOffset;

    fn handle(&mut self, forget: Forget, _: &mut Self::Context) -> LogOffset {
        for slot in forget.slots {
            self.set_next(slot, GONE);
            for append in self.waiting.queues.remove(&slot).unwrap_or_default() {
                self.answer(append, Outcome::TopicGone);
            }
        }
        self.log.end()
    }
}

impl Handler<Prepared> for CommitlogWriter {
    type Result = ();

    fn handle(&mut self, prepared: Prepared, ctx: &mut Self::Context) {
        self.log.prepared(prepared.upto, prepared.segment);
        self.waiting.space_error = None;
        for append in std::mem::take(&mut self.waiting.space) {
            self.take(append, ctx);
        }
    }
}

impl Handler<SpaceFailed> for CommitlogWriter {
    type Result = ();

    fn handle(&mut self, failed: SpaceFailed, _: &mut Self::Context) {
        self.waiting.space_error = Some(failed.error);
        for append in std::mem::take(&mut self.waiting.space) {
            self.answer(append, Outcome::NoSpace);
        }
    }
}

impl Handler<Flushed> for CommitlogWriter {
    type Result = ();

    fn handle(&mut self, flushed: Flushed, _: &mut Self::Context) {
        self.flushed(flushed.upto);
    }
}

impl Handler<Reached> for CommitlogWriter {
    type Result = ();

    fn handle(&mut self, reached: Reached, _: &mut Self::Context) {
        self.teller.reached(reached, self.log.view().readable());
    }
}

impl Handler<Stop> for CommitlogWriter {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Stop, _: &mut Self::Context) -> Self::Result {
        let (stopped, done) = tokio::sync::oneshot::channel();
        self.stopping = Some(stopped);
        self.mark();
        for append in std::mem::take(&mut self.waiting.space) {
            self.answer(append, Outcome::Stopping);
        }
        self.flush();
        Box::pin(async move {
            let _ = done.await;
        })
    }
}
