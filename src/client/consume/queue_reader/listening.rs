//! To listeners and back: what is handed out, what becomes of it, and what goes back to a broker.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

use super::QueueReader;
use crate::client::consume::desk::returns::Returned;
use crate::client::consume::handing_back::GivenBack;
use crate::client::consume::received::ReceivedMessage;

/// How long a reader that does not pull waits for listeners before it wants to hear of each.
const LOOKS_WITHIN: Duration = Duration::from_millis(20);

/// From the task that gave messages back.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Back {
    pub(super) given: GivenBack,
    /// When they were read.
    pub(super) epoch: u64,
}

impl QueueReader {
    pub(super) fn hand_out(&mut self, messages: Vec<ReceivedMessage>, ctx: &mut Context<Self>) {
        if messages.is_empty() {
            return;
        }
        if self.in_order.is_some() || !self.closing.is_empty() {
            self.returns.wait();
        } else {
            self.returns.wait_no_more();
            self.look_later(ctx);
        }
        self.reading.listening.desk.put(messages, self.reading.listening.options.consume_batch, &self.returns);
    }

    fn look_later(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.will_look, true) {
            return;
        }
        ctx.run_later(LOOKS_WITHIN, |reader, ctx| {
            reader.will_look = false;
            reader.collect(ctx);
            // What listeners still have may take them long.
            if reader.returns.wait() {
                ctx.notify(Returned);
            }
        });
    }

    pub(super) fn finish(&mut self, batch: &[ReceivedMessage]) {
        if let Some(backlog) = &mut self.backlog {
            batch.iter().for_each(|message| backlog.finish(message.queue_offset));
        }
    }

    pub(super) fn collect(&mut self, ctx: &mut Context<Self>) {
        self.look(ctx);
        self.go_on(ctx);
    }

    /// Looks into what listeners did.
    pub(super) fn look(&mut self, ctx: &mut Context<Self>) {
        let (calls, time) = self.returns.took();
        self.figures.took(calls, time);
        for (batch, outcome) in self.returns.take() {
            self.figures.finished(batch.len(), outcome.level().is_none());
            if self.in_order.as_ref().is_some_and(|in_order| !in_order.counts(self.epoch)) {
                self.listener_is_free();
                continue;
            }
            match outcome.level() {
                None => self.finish(&batch),
                Some(_) if self.in_order.is_some() => {
                    self.put_off(batch, outcome, ctx);
                    continue;
                }
                Some(_) if self.reading.listening.options.broadcasts() => {
                    // There is no group that could take them over: RocketMQ's rule.
                    tracing::warn!(queue = %self.reading.queue, messages = batch.len(), "given back while broadcasting: dropped");
                    self.finish(&batch);
                }
                Some(level) => self.give_back(batch, level, ctx),
            }
            self.listener_is_free();
        }
    }

    fn give_back(&mut self, batch: Vec<ReceivedMessage>, level: i32, ctx: &Context<Self>) {
        self.giving_back += 1;
        let (way_back, me, epoch) = (Arc::clone(&self.reading.listening.way_back), ctx.address(), self.epoch);
        // Not a future of the actor: a wake would poll all that are under way.
        drop(actix::spawn(async move { me.do_send(Back { given: way_back.hand_back(batch, level).await, epoch }) }));
    }

    fn given_back(&mut self, Back { given: GivenBack { taken, left }, epoch }: Back, ctx: &mut Context<Self>) {
        self.giving_back -= 1;
        if self.epoch != epoch {
            // The same offsets may have been read again: these are not those.
            self.listener_is_free();
            return self.go_on(ctx);
        }
        self.finish(&taken);
        if self.in_order.is_some() {
            self.rest(left, ctx);
        } else if !left.is_empty() {
            let wait = self.reading.listening.options.retry.delay;
            ctx.run_later(wait, move |reader, ctx| {
                if reader.epoch == epoch {
                    reader.hand_out(again(left), ctx);
                }
            });
        }
        self.go_on(ctx);
    }
}

pub(super) fn again(mut batch: Vec<ReceivedMessage>) -> Vec<ReceivedMessage> {
    batch.iter_mut().for_each(|message| message.reconsume_times = message.reconsume_times.saturating_add(1));
    batch
}

impl Handler<Back> for QueueReader {
    type Result = ();

    fn handle(&mut self, back: Back, ctx: &mut Context<Self>) {
        self.given_back(back, ctx);
    }
}

impl Handler<Returned> for QueueReader {
    type Result = ();

    fn handle(&mut self, _: Returned, ctx: &mut Context<Self>) {
        self.collect(ctx);
    }
}
