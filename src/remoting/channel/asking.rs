//! Asking over a channel: a turn, room in the outbound buffer, the question, the wait for its answer.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{SemaphorePermit, TryAcquireError};
use tokio::time::{Instant, timeout_at};

use super::askers::{Ear, Word};
use super::outbound::{Duty, Group, Joined};
use super::shared::{Reply, Shared};
use crate::remoting::error::ChannelError;
use crate::remoting::lead::Lead;

/// For a wait that no clock can count.
const WAIT_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// A request as it is to leave.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a, T: ?Sized> {
    pub(super) code: i32,
    pub(super) header: &'a T,
    pub(super) body: &'a [u8],
    pub(super) patience: Patience,
}

/// How long an asker waits for everything: a turn, room in the outbound buffer, the way there and back.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    pub until: Instant,
    /// What the wait was meant to be, for whoever hears that it was in vain.
    pub whole: Duration,
}

impl Patience {
    /// So long from now.
    #[must_use]
    pub fn of(whole: Duration) -> Self {
        let now = Instant::now();
        Self { until: now.checked_add(whole).unwrap_or(now + WAIT_MAX), whole }
    }
}

/// A request that is under way: the future of its answer, which is [`ChannelError`] when none came in time or the
/// connection ended. Forgotten when dropped.
#[must_use = "nobody hears the answer unless it is waited for"]
#[derive(Debug)]
pub struct UnderWay<'a> {
    shared: &'a Shared,
    code: i32,
    opaque: i32,
    wait: Duration,
    settled: bool,
    /// Whether it writes for all who queue after it.
    lead: Lead,
    /// Those for whom it writes.
    group: Group,
    /// Given back when the answer is there.
    _turn: SemaphorePermit<'a>,
}

impl Future for UnderWay<'_> {
    type Output = Result<Reply, ChannelError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.lead.is_due(cx) {
            match self.shared.look_at(&mut self.group) {
                Joined::Still => self.lead.again(cx),
                Joined::NoMore => self.shared.flush(),
                Joined::Left => {}
            }
        }
        let mut old = Ear::None;
        let fetched = self.shared.state().askers.fetch(self.opaque, cx, &mut old);
        drop(old);
        let reply = ready!(fetched);
        self.settled = true;
        Poll::Ready(reply.ok_or_else(|| self.shared.unheard(self.code, self.wait)))
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if self.lead.is_left() {
            self.shared.flush();
        }
        if !self.settled {
            let ear = self.shared.state().askers.forget(self.opaque);
            drop(ear);
        }
    }
}

impl Shared {
    /// Waits until the outbound buffer is below its bound.
    pub(super) async fn room(&self) -> Result<(), ChannelError> {
        loop {
            if self.has_room()? {
                return Ok(());
            }
            let space = self.space.notified();
            tokio::pin!(space);
            space.as_mut().enable();
            // Asked again now that a notice cannot be missed.
            if self.has_room()? {
                return Ok(());
            }
            space.await;
        }
    }

    fn has_room(&self) -> Result<bool, ChannelError> {
        let state = self.state();
        if state.closing {
            drop(state);
            return Err(self.reason());
        }
        Ok(state.outbound.bytes() < self.outbound_bytes_max)
    }

    fn late(&self, code: i32, wait: Duration) -> ChannelError {
        ChannelError::Timeout { address: self.address.clone(), code, after: wait }
    }

    /// Why a question has no answer.
    pub(super) fn unheard(&self, code: i32, wait: Duration) -> ChannelError {
        if self.is_closing() { self.reason() } else { self.late(code, wait) }
    }

    /// Queues the question, unless there is no turn or no room. The task keeps the time: a timer for each request
    /// would cost more than the request.
    pub(super) fn ask_at_once<T: Serialize + ?Sized>(
        &self,
        question: &Question<'_, T>,
    ) -> Result<Option<UnderWay<'_>>, ChannelError> {
        match self.turns.try_acquire() {
            Ok(turn) => self.ask(question, turn),
            Err(TryAcquireError::NoPermits) => Ok(None),
            Err(TryAcquireError::Closed) => Err(self.reason()),
        }
    }

    /// Queues the question when there are a turn and room.
    pub(super) async fn ask_in_turn<T: Serialize + ?Sized>(
        &self,
        question: &Question<'_, T>,
    ) -> Result<UnderWay<'_>, ChannelError> {
        let asking = async {
            loop {
                let turn = self.turns.acquire().await.map_err(|_| self.reason())?;
                self.room().await?;
                // Others may have taken the room.
                if let Some(under_way) = self.ask(question, turn)? {
                    return Ok(under_way);
                }
            }
        };
        timeout_at(question.patience.until, asking)
            .await
            .map_err(|_| self.late(question.code, question.patience.whole))?
    }

    /// Queues the question; `None` when there is no room.
    fn ask<'a, T: Serialize + ?Sized>(
        &'a self,
        question: &Question<'_, T>,
        turn: SemaphorePermit<'a>,
    ) -> Result<Option<UnderWay<'a>>, ChannelError> {
        let Some((opaque, duty)) = self.queue(question, Ear::None)? else {
            return Ok(None);
        };
        let (code, wait) = (question.code, question.patience.whole);
        let group = if let Duty::Lead { group, .. } = duty { group } else { Group::default() };
        let lead = self.take_up(duty);
        Ok(Some(UnderWay { shared: self, code, opaque, wait, settled: false, lead, group, _turn: turn }))
    }

    /// Queues the question, unless there is no turn or no room, and leaves `word` for its answer; whether it did.
    pub(super) fn ask_and_leave_word<T: Serialize + ?Sized>(
        &self,
        question: &Question<'_, T>,
        word: Word,
    ) -> Result<bool, ChannelError> {
        let turn = match self.turns.try_acquire() {
            Ok(turn) => turn,
            Err(TryAcquireError::NoPermits) => return Ok(false),
            Err(TryAcquireError::Closed) => return Err(self.reason()),
        };
        let Some((_, duty)) = self.queue(question, Ear::Word(word))? else {
            return Ok(false);
        };
        // Given back when the word is told.
        turn.forget();
        // Nobody is left here who could yield.
        if self.take_up(duty).is_left() {
            self.flush();
        }
        Ok(true)
    }

    /// Appends the question to what is to leave; its opaque, and what is to be done that it leaves. `None` when there is no
    /// room.
    fn queue<T: Serialize + ?Sized>(
        &self,
        question: &Question<'_, T>,
        ear: Ear,
    ) -> Result<Option<(i32, Duty)>, ChannelError> {
        let mut state = self.state();
        if state.closing {
            drop(state);
            return Err(self.reason());
        }
        if state.outbound.bytes() >= self.outbound_bytes_max {
            return Ok(None);
        }
        let (opaque, gives_up) = (state.askers.free_opaque(), question.patience.until);
        let idle = state.outbound.is_idle();
        state.append(question.code, (opaque, 0), question.header, question.body)?;
        state.askers.add(opaque, gives_up, ear);
        // Whoever fetches an answer is likely to ask again. The last read alone does not tell: it may have brought one answer
        // behind a hundred.
        let together = state.came_together.max(state.askers.unfetched());
        let waiting = state.askers.count();
        let duty = if idle { state.outbound.duty(together) } else { state.outbound.duty_of_next(waiting) };
        let sooner = state.first_gives_up.is_none_or(|first| gives_up < first);
        if sooner {
            state.first_gives_up = Some(gives_up);
        }
        drop(state);
        if sooner {
            self.sooner.notify_one();
        }
        Ok(Some((opaque, duty)))
    }

    fn take_up(&self, duty: Duty) -> Lead {
        match duty {
            Duty::Nothing => Lead::No,
            Duty::Tell => {
                self.work.notify_one();
                Lead::No
            }
            Duty::Flush => {
                self.flush();
                Lead::No
            }
            Duty::Lead { watch, .. } => {
                if watch {
                    self.led.notify_one();
                }
                Lead::Yields
            }
        }
    }
}
