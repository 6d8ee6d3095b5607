//! Shares the queues of a consumer group out, on the consumer's side: every member computes its own part.
//!
//! Owns the group's topics and this member's share of each. Hears what is subscribed, that members changed, and the
//! clock (every 20 s). Tells the consumer a share when it differs from the last. Knows no network: what queues and
//! members there are it asks of a [`Survey`] taker.
//!
//! Invariants: one survey at a time; a topic of which the survey brought nothing keeps its share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

use crate::rules::assignment::{MessageQueue, Strategy};

/// How often shares are computed when nothing happens.
pub const INTERVAL: Duration = Duration::from_secs(20);
/// How soon again when a survey brought no view of some topic, or we are not among its members yet. Doubles each time,
/// up to [`UNSETTLED_INTERVAL_MAX`].
pub const UNSETTLED_INTERVAL: Duration = Duration::from_secs(1);
pub const UNSETTLED_INTERVAL_MAX: Duration = Duration::from_secs(4);

/// From the consumer: share this topic too.
#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
pub struct Subscribe {
    pub topic: Arc<str>,
}

/// From the consumer: this topic no longer. Its share becomes empty.
#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
pub struct Unsubscribe {
    pub topic: Arc<str>,
}

/// From whoever hears of it (a broker's notice): members came or went, share out now.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub struct MembersChanged;

/// From the consumer: no more shares.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub struct Retire;

/// To the survey taker: what is there now? Topics of which nothing can be learned are left out of the answer.
#[derive(Message, Debug, Clone)]
#[rtype(result = "Vec<View>")]
pub struct Survey {
    pub topics: Vec<Arc<str>>,
}

/// All queues of a topic and all members of the group, in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    pub topic: Arc<str>,
    pub queues: Vec<MessageQueue>,
    /// Client ids.
    pub members: Vec<String>,
}

/// To the consumer: these queues of `topic` are yours, and no others.
#[derive(Message, Debug, Clone, PartialEq, Eq)]
#[rtype(result = "()")]
pub struct Assigned {
    pub topic: Arc<str>,
    pub queues: Vec<MessageQueue>,
    /// Of the group, we among them. With others, a queue that is new to us may just be leaving one of them.
    pub members: usize,
}

/// Who shares, how, and whom it asks and tells.
#[derive(Debug)]
pub struct Sharing {
    /// Our client id.
    pub me: String,
    pub strategy: Strategy,
    pub interval: Duration,
    pub survey: Recipient<Survey>,
    pub consumer: Recipient<Assigned>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asking {
    No,
    Once,
    /// Something changed while a survey was under way: take another.
    Twice,
}

/// The actor.
#[derive(Debug)]
pub struct Rebalance {
    sharing: Sharing,
    /// `None` until a first share was computed.
    shares: BTreeMap<Arc<str>, Option<Vec<MessageQueue>>>,
    asking: Asking,
    /// Surveys in a row that left something open.
    unsettled: u32,
}

impl Rebalance {
    #[must_use]
    pub fn new(sharing: Sharing) -> Self {
        Self { sharing, shares: BTreeMap::new(), asking: Asking::No, unsettled: 0 }
    }

    fn survey(&mut self, ctx: &mut Context<Self>) {
        if self.shares.is_empty() {
            return;
        }
        if self.asking != Asking::No {
            self.asking = Asking::Twice;
            return;
        }
        self.asking = Asking::Once;
        let topics = self.shares.keys().cloned().collect();
        let question = self.sharing.survey.send(Survey { topics });
        ctx.spawn(question.into_actor(self).map(|views, rebalance, ctx| {
            // A survey taker that is gone leaves everything as it was.
            rebalance.settle(views.unwrap_or_default(), ctx);
        }));
    }

    fn settle(&mut self, views: Vec<View>, ctx: &mut Context<Self>) {
        let mut settled = 0;
        for view in views {
            settled += usize::from(self.share(view));
        }
        match std::mem::replace(&mut self.asking, Asking::No) {
            Asking::Twice => self.survey(ctx),
            _ if settled < self.shares.len() => {
                let wait = UNSETTLED_INTERVAL.saturating_mul(1 << self.unsettled.min(16)).min(UNSETTLED_INTERVAL_MAX);
                self.unsettled += 1;
                // Later than that the clock comes anyway.
                if wait < self.sharing.interval {
                    ctx.run_later(wait, Self::survey);
                }
            }
            _ => self.unsettled = 0,
        }
    }

    /// True when the view includes us, so that the share is one that other members count on.
    fn share(&mut self, mut view: View) -> bool {
        // Unsubscribed while the survey was under way.
        let Some(last) = self.shares.get_mut(&view.topic) else {
            return true;
        };
        view.queues.sort();
        view.queues.dedup();
        view.members.sort();
        view.members.dedup();
        let share = match self.sharing.strategy.share(&self.sharing.me, &view.queues, &view.members) {
            Ok(share) => share,
            Err(error) => {
                tracing::warn!(topic = %view.topic, %error, "queues cannot be shared out");
                return false;
            }
        };
        if last.as_ref() != Some(&share) {
            tracing::info!(topic = %view.topic, mine = share.len(), all = view.queues.len(), members = view.members.len(), "queues shared out");
            *last = Some(share.clone());
            self.sharing.consumer.do_send(Assigned {
                topic: Arc::clone(&view.topic),
                queues: share,
                members: view.members.len(),
            });
        }
        view.members.contains(&self.sharing.me)
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        self.survey(ctx);
        ctx.run_later(self.sharing.interval, Self::tick);
    }
}

impl Actor for Rebalance {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_later(self.sharing.interval, Self::tick);
    }
}

impl Handler<Subscribe> for Rebalance {
    type Result = ();

    fn handle(&mut self, subscribe: Subscribe, ctx: &mut Context<Self>) {
        self.shares.entry(subscribe.topic).or_default();
        self.unsettled = 0;
        self.survey(ctx);
    }
}

impl Handler<Unsubscribe> for Rebalance {
    type Result = ();

    fn handle(&mut self, unsubscribe: Unsubscribe, _: &mut Context<Self>) {
        if self.shares.remove(&unsubscribe.topic).is_some() {
            self.sharing.consumer.do_send(Assigned { topic: unsubscribe.topic, queues: Vec::new(), members: 0 });
        }
    }
}

impl Handler<MembersChanged> for Rebalance {
    type Result = ();

    fn handle(&mut self, _: MembersChanged, ctx: &mut Context<Self>) {
        self.unsettled = 0;
        self.survey(ctx);
    }
}

impl Handler<Retire> for Rebalance {
    type Result = ();

    fn handle(&mut self, _: Retire, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

#[cfg(test)]
mod tests;
