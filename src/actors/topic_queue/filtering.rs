//! Pulls that a custom filter decides on. The queue goes on meanwhile.

use std::time::Instant;

use actix::prelude::*;

use super::TopicQueue;
use super::messages::{PullAsk, PullStatus, Pulled};
use super::pull::Candidates;
use crate::actors::extension::{FilterAnswer, FilterBatch, FilterError};

/// A pull that is away. Whatever becomes of it, it is answered.
struct Away(Option<PullAsk>);

impl Away {
    fn back(mut self) -> Option<PullAsk> {
        self.0.take()
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        if let Some(pull) = self.0.take() {
            pull.unavailable();
        }
    }
}

impl TopicQueue {
    /// Asks the pull's filter about the candidates.
    pub(super) fn ask_filter(
        &mut self,
        pull: PullAsk,
        mut candidates: Candidates,
        deadline: Option<Instant>,
        ctx: &mut Context<Self>,
    ) {
        let Some(used) = pull.wish.custom.clone() else {
            pull.fail("a pull without a filter was filtered");
            return;
        };
        let (group, expression) = (used.group.clone(), used.expression.clone());
        let batch = FilterBatch { group, expression, messages: std::mem::take(&mut candidates.views) };
        self.filtering += 1;
        let away = Away(Some(pull));
        let asked = async move {
            let answer = used.filter.clone().ask(batch).await;
            (away, candidates, answer)
        };
        ctx.spawn(actix::fut::wrap_future::<_, Self>(asked).map(move |(away, candidates, answer), queue, ctx| {
            queue.filtering -= 1;
            if let Some(pull) = away.back() {
                queue.filtered((pull, deadline), candidates, answer, ctx);
            }
            queue.tell_if_unwatched();
        }));
    }

    fn filtered(
        &mut self,
        (mut pull, deadline): (PullAsk, Option<Instant>),
        candidates: Candidates,
        answer: FilterAnswer,
        ctx: &mut Context<Self>,
    ) {
        let (range, next) = (candidates.range, candidates.next);
        let bits = match answer {
            Ok(bits) => bits,
            Err(error) => {
                let status = match error {
                    FilterError::Expression(reason) => PullStatus::Expression(reason),
                    FilterError::Failed(reason) => PullStatus::Failed(reason),
                };
                let again = u64::try_from(pull.from).unwrap_or(range.min);
                pull.reply.do_send(Pulled::without(&pull, status, again, range));
                return;
            }
        };
        let limits = self.roots.limits;
        if let Some(pulled) = candidates.answer(&pull, |index| bits.get(index), &limits) {
            pull.reply.do_send(pulled);
            return;
        }
        match deadline {
            Some(deadline) if deadline > Instant::now() => {
                pull.from = next as i64;
                self.look(pull, Some(deadline), ctx);
            }
            _ => pull.reply.do_send(Pulled::without(&pull, PullStatus::NoMatched, next, range)),
        }
    }
}
