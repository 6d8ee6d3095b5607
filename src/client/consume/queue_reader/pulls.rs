//! Pulls of one queue, one after the other, each begun before what the last one brought is read.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::time::Instant;

use super::QueueReader;
use crate::client::consume::backlog::Backlog;
use crate::client::consume::desk::returns::Returned;
use crate::client::consume::pull::{Answered, Pull};
use crate::client::route::MASTER;

/// How long a broker holds a pull.
const HOLD: Duration = Duration::from_secs(15);

/// How pulling stands.
pub(super) struct Pulls {
    pub(super) under_way: bool,
    /// Which of the name's brokers is asked.
    pub(super) broker_id: i64,
    /// Of the last pull, so that an answer that is wanted no more is told apart.
    number: u64,
    /// What the last pull brought and how long it took, while the next one begins.
    unread: Option<(Answered, Duration)>,
}

impl Default for Pulls {
    fn default() -> Self {
        Self { under_way: false, broker_id: MASTER, number: 0, unread: None }
    }
}

impl Pulls {
    /// What was asked for and what came is wanted no more.
    pub(super) fn forget(&mut self) {
        self.number += 1;
        self.under_way = false;
        self.unread = None;
    }
}

impl QueueReader {
    pub(super) fn pull(&mut self, ctx: &mut Context<Self>) {
        let Some(backlog) = &self.backlog else {
            return;
        };
        if self.pulls.under_way || self.suspended {
            return;
        }
        if backlog.is_full(&self.reading.listening.options.flow) {
            if self.returns.wait() {
                ctx.notify(Returned);
            }
            return;
        }
        self.pull_from(backlog.next(), backlog.committable(), ctx);
    }

    fn pull_from(&mut self, offset: i64, committable: i64, ctx: &mut Context<Self>) {
        self.pulls.under_way = true;
        let pull = Pull {
            group: self.reading.listening.options.group.as_str().into(),
            subscription: Arc::clone(&self.reading.subscription),
            queue: Arc::clone(&self.reading.queue),
            offset,
            commit: if self.reading.listening.options.broadcasts() { 0 } else { committable },
            count: i32::from(self.reading.listening.options.pull_batch),
            hold: HOLD,
            broker_id: self.pulls.broker_id,
        };
        let core = Arc::clone(&self.reading.core);
        let began = Instant::now();
        self.figures.pulls();
        self.pulls.number += 1;
        let question = async move { pull.ask_first(&core).await };
        let this = (self.epoch, self.pulls.number);
        ctx.spawn(question.into_actor(self).map(move |answer, reader, ctx| {
            if (reader.epoch, reader.pulls.number) == this {
                reader.read(ctx);
            }
            if (reader.epoch, reader.pulls.number) != this {
                return;
            }
            reader.pulls.under_way = false;
            match answer {
                Ok(answered) => reader.came(answered, began.elapsed(), ctx),
                Err(error) => reader.failed(&error, ctx),
            }
        }));
    }

    fn came(&mut self, answered: Answered, took: Duration, ctx: &mut Context<Self>) {
        self.pulls.broker_id = answered.broker_id;
        let limits = &self.reading.listening.options.flow;
        let has_room = |backlog: &&Backlog| !backlog.will_be_full(limits, answered.most(), answered.next);
        let goes_on = answered.is_whole() && !self.suspended;
        let ahead = self.backlog.as_ref().filter(|_| goes_on).filter(has_room);
        let ahead = ahead.map(|backlog| (answered.next, backlog.committable()));
        self.pulls.unread = Some((answered, took));
        let Some((next, committable)) = ahead else {
            return self.read(ctx);
        };
        // The broker looks for the next while these are read. Readers that were answered together ask together first.
        self.pull_from(next, committable, ctx);
        ctx.spawn(tokio::task::yield_now().into_actor(self).map(|(), reader, ctx| reader.read(ctx)));
    }

    /// Reads what the last pull brought, if it is not read yet.
    fn read(&mut self, ctx: &mut Context<Self>) {
        let Some((answered, took)) = self.pulls.unread.take() else {
            return;
        };
        match answered.read() {
            Ok(pulled) => {
                self.figures.pulled(pulled.messages.len(), took);
                self.take(pulled, ctx);
            }
            Err(error) => {
                // What is asked for meanwhile lies behind it.
                self.pulls.forget();
                self.failed(&error, ctx);
            }
        }
    }
}
