//! The first of a turn, who acts for all who come after it in the same turn.

use std::task::Context;

/// Whether a future leads: it yields once, in which others of the same turn join, and acts when it is polled again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lead {
    No,
    /// Once it has yielded.
    Yields,
    Acts,
}

impl Lead {
    /// To be called at each poll: whether to act now.
    pub fn is_due(&mut self, cx: &Context<'_>) -> bool {
        match self {
            Lead::No => false,
            Lead::Yields => {
                *self = Lead::Acts;
                cx.waker().wake_by_ref();
                false
            }
            Lead::Acts => {
                *self = Lead::No;
                true
            }
        }
    }

    /// It was due, but more are still joining: it yields once more.
    pub fn again(&mut self, cx: &Context<'_>) {
        *self = Lead::Acts;
        cx.waker().wake_by_ref();
    }

    /// Whether it has not acted yet: for whoever is dropped.
    #[must_use]
    pub fn is_left(self) -> bool {
        self != Lead::No
    }
}
