//! From workers to a queue's reader: what was done with its messages.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::prelude::*;

use crate::client::consume::received::ReceivedMessage;

/// What became of messages that a listener got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, MessageResponse)]
pub enum Outcome {
    /// Done; the group does not see them again.
    Consumed,
    /// Not now: the broker delivers them to the group again, later each time, and makes dead letters of them in the end. In
    /// order, they come again in place after [`Retry::suspend`](crate::client::Retry::suspend).
    Later,
    /// The same after the delay of this level, whichever time it is; 0 is as [`Outcome::Later`]. In order, the level is not
    /// looked at.
    LaterAt(u8),
    /// Never: they are dead letters of the group at once.
    GiveUp,
}

impl Outcome {
    /// The delay level to hand messages back with; `None` when they are consumed.
    pub(in crate::client) fn level(self) -> Option<i32> {
        match self {
            Self::Consumed => None,
            Self::Later => Some(0),
            Self::LaterAt(level) => Some(i32::from(level)),
            Self::GiveUp => Some(-1),
        }
    }
}

/// To a queue's reader: look into its [`Returns`], for something there cannot wait.
#[derive(Message)]
#[rtype(result = "()")]
pub(in crate::client) struct Returned;

/// Where workers put what was done with one queue's messages. One notice tells of many, and there is none as long as the reader
/// looks by itself: to wake its thread for each message that was consumed would cost more than to consume it.
pub(in crate::client) struct Returns {
    /// The queue went to another member: nobody needs to consume what still waits.
    closed: AtomicBool,
    finished: Mutex<Finished>,
    /// The reader waits, and wants to hear of anything.
    awaited: AtomicBool,
    reader: Recipient<Returned>,
    /// Calls of the listener, and how long they took, in µs, since somebody asked.
    calls: AtomicU64,
    calls_us: AtomicU64,
}

#[derive(Default)]
struct Finished {
    batches: Vec<(Vec<ReceivedMessage>, Outcome)>,
    /// The reader was told, and has not looked since.
    told: bool,
}

impl Returns {
    pub(in crate::client) fn new(reader: Recipient<Returned>) -> Self {
        let (calls, calls_us) = (AtomicU64::new(0), AtomicU64::new(0));
        let (closed, awaited) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { closed, finished: Mutex::default(), awaited, reader, calls, calls_us }
    }

    /// From now on the reader is told of whatever comes; whether something is there already.
    pub(in crate::client) fn wait(&self) -> bool {
        self.awaited.store(true, Ordering::SeqCst);
        // Who puts something there after this lock sees that it is awaited.
        !self.finished().batches.is_empty()
    }

    /// From now on the reader looks by itself, and is told only of what was not consumed.
    pub(in crate::client) fn wait_no_more(&self) {
        self.awaited.store(false, Ordering::SeqCst);
    }

    /// Calls of the listener since this was last asked, and how long they took together.
    pub(in crate::client) fn took(&self) -> (u64, Duration) {
        let micros = self.calls_us.swap(0, Ordering::Relaxed);
        (self.calls.swap(0, Ordering::Relaxed), Duration::from_micros(micros))
    }

    pub(in crate::client) fn note_call(&self, took: Duration) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.calls_us.fetch_add(took.as_micros() as u64, Ordering::Relaxed);
    }

    pub(in crate::client) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(in crate::client) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(in crate::client) fn take(&self) -> Vec<(Vec<ReceivedMessage>, Outcome)> {
        std::mem::take(&mut *self.finished()).batches
    }

    pub(in crate::client) fn put(&self, mut batches: Vec<(Vec<ReceivedMessage>, Outcome)>) {
        let failed = batches.iter().any(|(_, outcome)| outcome.level().is_some());
        let mut finished = self.finished();
        finished.batches.append(&mut batches);
        let tell = !finished.told && (failed || self.awaited.load(Ordering::SeqCst));
        finished.told |= tell;
        drop(finished);
        if tell {
            self.reader.do_send(Returned);
        }
    }

    fn finished(&self) -> MutexGuard<'_, Finished> {
        // No panic can happen while the lock is held.
        self.finished.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts the notices that it gets.
    struct Reader(usize);

    impl Actor for Reader {
        type Context = Context<Self>;
    }

    impl Handler<Returned> for Reader {
        type Result = ();

        fn handle(&mut self, _: Returned, _: &mut Context<Self>) {
            self.0 += 1;
        }
    }

    #[derive(Message)]
    #[rtype(result = "usize")]
    struct Notices;

    impl Handler<Notices> for Reader {
        type Result = usize;

        fn handle(&mut self, _: Notices, _: &mut Context<Self>) -> usize {
            self.0
        }
    }

    #[actix::test]
    async fn a_reader_is_told_once_and_only_of_what_cannot_wait() {
        let reader = Reader(0).start();
        let returns = Returns::new(reader.clone().recipient());
        let put = |outcome| returns.put(vec![(Vec::new(), outcome)]);
        put(Outcome::Consumed);
        assert_eq!(reader.send(Notices).await.unwrap(), 0, "it looks by itself");
        put(Outcome::Later);
        put(Outcome::GiveUp);
        assert_eq!(reader.send(Notices).await.unwrap(), 1, "what was not consumed cannot wait");
        assert_eq!(returns.take().len(), 3);
        assert!(!returns.wait(), "nothing is there yet");
        put(Outcome::Consumed);
        put(Outcome::Consumed);
        assert_eq!(reader.send(Notices).await.unwrap(), 2);
        assert!(returns.wait(), "something is there already");
        assert_eq!(returns.take().len(), 2);
        returns.wait_no_more();
        put(Outcome::Consumed);
        assert_eq!(reader.send(Notices).await.unwrap(), 2);
    }
}
