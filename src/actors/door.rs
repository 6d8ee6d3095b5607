//! The way to an actor that may be rebuilt: a place that holds its newest address.

use std::fmt;
use std::sync::Arc;

use actix::dev::ToEnvelope;
use actix::prelude::*;
use arc_swap::ArcSwap;

/// The actor behind a door is being rebuilt or stopping; the client may ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the actor is not available now")]
pub struct Closed;

/// The way to one actor, whichever incarnation of it lives. Cheap to clone; clones lead to the same place.
pub struct Door<A: Actor>(Arc<ArcSwap<Addr<A>>>);

impl<A: Actor> Door<A> {
    #[must_use]
    pub fn new(actor: Addr<A>) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(actor)))
    }

    /// From now on the door leads to `actor`: its parent has rebuilt it.
    pub fn lead_to(&self, actor: Addr<A>) {
        self.0.store(Arc::new(actor));
    }

    /// Asks. The message is queued at the call, in order with what was told and asked before from the same thread; a full
    /// mailbox does not hold it up, so the caller bounds how many questions it has under way.
    ///
    /// # Errors
    /// [`Closed`] when the actor ends before it answers.
    pub fn ask<M>(&self, message: M) -> impl Future<Output = Result<M::Result, Closed>> + use<A, M>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        // A clone is never parked: its message is queued now and not when the future is first polled.
        let address = Addr::clone(&self.0.load());
        let answer = address.send(message);
        async move { answer.await.map_err(|_| Closed) }
    }

    /// Tells, without an answer. Lost when the actor is being rebuilt.
    pub fn tell<M>(&self, message: M)
    where
        M: Message + Send + 'static,
        M::Result: Send,
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
    {
        self.0.load().do_send(message);
    }
}

impl<A: Actor> Clone for Door<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A: Actor> fmt::Debug for Door<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Door")
    }
}
