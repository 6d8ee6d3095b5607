//! Pulls that a custom filter decides on. The queue goes on meanwhile.
//!
//! A pull goes on, batch by batch, until it has what it wants, comes to the queue's end, or took what one pull may take.

use std::time::Instant;

use actix::prelude::*;

use super::TopicQueue;
use super::messages::{PullAsk, PullStatus, Pulled};
use super::pace::UNKNOWN;
use super::pull::Source;
use super::sifting::{Candidates, Sifted};
use crate::actors::extension::{Bits, FilterAnswer, FilterBatch, FilterError};
use crate::protocol::names::QueueOffset;
use crate::rules::sql;
use crate::store::StoreError;

/// A pull, and what it has come to.
struct Sifting {
    pull: PullAsk,
    deadline: Option<Instant>,
    sifted: Sifted,
}

/// A pull that is away. Whatever becomes of it, it is answered.
struct Away(Option<Sifting>);

impl Away {
    fn back(mut self) -> Option<Sifting> {
        self.0.take()
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        if let Some(sifting) = self.0.take() {
            sifting.pull.unavailable();
        }
    }
}

impl TopicQueue {
    /// Has the pull's filter decide on what there is from `from` on.
    pub(super) fn sift(
        &mut self,
        pull: PullAsk,
        from: QueueOffset,
        deadline: Option<Instant>,
        ctx: &mut Context<Self>,
    ) {
        self.sift_on(Sifting { pull, deadline, sifted: Sifted::new(from) }, ctx);
    }

    /// Looks for the next batch.
    fn sift_on(&mut self, sifting: Sifting, ctx: &mut Context<Self>) {
        let Sifting { pull, sifted, .. } = &sifting;
        let Some(used) = &pull.wish.custom else {
            pull.fail("a pull without a filter was filtered");
            return;
        };
        let (pace, limits) = (self.paces.of(used), self.roots.limits);
        match self.source().candidates((pull, sifted), (pace, &limits), false) {
            Ok(Some(candidates)) => self.ask_filter(sifting, candidates, ctx),
            // What was found so far is a good answer; what is cold comes with the next pull.
            Ok(None) if sifted.has_found() => self.answer(sifting, ctx),
            Ok(None) => self.sift_cold(sifting, ctx),
            Err(error) => pull.fail(&error),
        }
    }

    /// The same on a thread where waiting for the disk is allowed.
    fn sift_cold(&mut self, sifting: Sifting, ctx: &mut Context<Self>) {
        let (view, limits) = (self.roots.view.clone(), self.roots.limits);
        let (mut queue, tail) = (self.queue.another(), self.tail.copy());
        let pace = sifting.pull.wish.custom.as_ref().map_or(UNKNOWN, |used| self.paces.of(used));
        self.filtering += 1;
        let away = Away(Some(sifting));
        let read = tokio::task::spawn_blocking(move || {
            let mut scratch = sql::Scratch::default();
            let mut source = Source { view: &view, queue: &mut queue, tail: &tail, scratch: &mut scratch };
            let found = match &away.0 {
                Some(Sifting { pull, sifted, .. }) => source.candidates((pull, sifted), (pace, &limits), true),
                None => Ok(None),
            };
            (away, found)
        });
        ctx.spawn(actix::fut::wrap_future::<_, Self>(read).map(|read, queue, ctx| {
            queue.filtering -= 1;
            match read {
                Ok((away, found)) => queue.read_cold(away, found, ctx),
                Err(error) => tracing::error!(%error, "a cold read ended by a panic"),
            }
            queue.tell_if_unwatched();
        }));
    }

    fn read_cold(&mut self, away: Away, found: Result<Option<Candidates>, StoreError>, ctx: &mut Context<Self>) {
        let Some(sifting) = away.back() else { return };
        match found {
            Ok(Some(candidates)) => self.ask_filter(sifting, candidates, ctx),
            Ok(None) => sifting.pull.fail("a read that may wait said that it would"),
            Err(error) => sifting.pull.fail(&error),
        }
    }

    /// Asks the pull's filter about the candidates.
    fn ask_filter(&mut self, sifting: Sifting, candidates: Candidates, ctx: &mut Context<Self>) {
        let Some(used) = sifting.pull.wish.custom.clone().filter(|_| candidates.len() > 0) else {
            self.filtered(sifting, candidates, Ok(Bits::default()), ctx);
            return;
        };
        let (group, expression) = (used.group.clone(), used.expression.clone());
        let batch = FilterBatch { group, expression, messages: candidates.messages() };
        self.filtering += 1;
        let away = Away(Some(sifting));
        let asked = async move {
            let answer = used.filter.clone().ask(batch).await;
            (away, candidates, answer)
        };
        ctx.spawn(actix::fut::wrap_future::<_, Self>(asked).map(|(away, candidates, answer), queue, ctx| {
            queue.filtering -= 1;
            if let Some(sifting) = away.back() {
                queue.filtered(sifting, candidates, answer, ctx);
            }
            queue.tell_if_unwatched();
        }));
    }

    fn filtered(
        &mut self,
        mut sifting: Sifting,
        candidates: Candidates,
        answer: FilterAnswer,
        ctx: &mut Context<Self>,
    ) {
        let bits = match answer {
            Ok(bits) => bits,
            // The next pull begins with what this batch was about, and hears of the error if it is still one.
            Err(_) if sifting.sifted.has_found() => return self.answer(sifting, ctx),
            Err(error) => return self.refuse(&sifting.pull, error),
        };
        let (asked, limits) = (candidates.len(), self.roots.limits);
        let wanted = sifting.sifted.take(&candidates, &bits, (&sifting.pull, &limits));
        if let Some(used) = sifting.pull.wish.custom.as_ref().filter(|_| asked > 0) {
            self.paces.learn(used, asked, wanted);
        }
        if sifting.sifted.is_over() || sifting.sifted.next() >= self.tail.end() {
            self.answer(sifting, ctx);
        } else {
            self.sift_on(sifting, ctx);
        }
    }

    fn refuse(&self, pull: &PullAsk, error: FilterError) {
        let status = match error {
            FilterError::Expression(reason) => PullStatus::Expression(reason),
            FilterError::Failed(reason) => PullStatus::Failed(reason),
        };
        let range = self.range();
        let again = u64::try_from(pull.from).unwrap_or(range.min);
        pull.reply.do_send(Pulled::without(pull, status, again, range));
    }

    /// Answers the pull, or makes it wait at the queue's end where it found nothing.
    fn answer(&mut self, sifting: Sifting, ctx: &mut Context<Self>) {
        let Sifting { mut pull, deadline, sifted } = sifting;
        match deadline {
            Some(deadline) if !sifted.has_found() && sifted.next() >= self.tail.end() && deadline > Instant::now() => {
                pull.from = sifted.next() as i64;
                self.look(pull, Some(deadline), ctx);
            }
            _ => pull.reply.do_send(sifted.answer(&pull, self.range())),
        }
    }
}
