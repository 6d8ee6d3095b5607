//! The way of queued bytes to the socket.
//!
//! To wake the channel's task for each request would cost more than the request, so whoever queues writes, too. Where many
//! answers come together, many requests follow: then the first that finds nothing queued leads. Its future yields once, in
//! which others of the same turn queue theirs, and writes for all when no more come. Where many are under way, whoever
//! completes half of them writes what is there, so that the peer works on one half while the other is made. The task writes
//! what the socket did not take at once, what travels over TLS, and what a leader left that nobody polls any more, for which it
//! watches.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::tcp::OwnedWriteHalf;
use tokio::time::sleep;

use super::shared::Shared;

/// Answers that came together, or wait to be fetched, from which on a request waits for its like.
const TOGETHER_MIN: usize = 4;
/// From so many requests on, half of those under way leave before the rest.
const HALF_MIN: usize = 32;
/// How often one that does not own the socket writes what others queued meanwhile, before the task goes on.
const ROUNDS_MAX: usize = 4;
/// How long bytes may wait for a leader, at least; at most twice as long.
const WATCH: Duration = Duration::from_millis(1);
/// A larger empty buffer gives its memory back.
const KEPT_BYTES: usize = 1024 * 1024;

/// Bytes that are to leave.
#[derive(Debug)]
pub(super) struct Outbound {
    queued: Vec<u8>,
    /// Those of a leader, among them.
    group: Group,
    /// What the socket did not take at once; the task writes it before anything else leaves.
    rest: Vec<u8>,
    /// Empty, with room.
    spare: Vec<u8>,
    /// Somebody writes, and goes on with what is queued meanwhile.
    writing: bool,
    /// For who does not own it; `None` when only the task writes.
    socket: Option<Arc<OwnedWriteHalf>>,
    /// There was a leader since the watch last looked.
    led: bool,
    watched: bool,
}

/// Requests that leave together: a leader's and those that were queued behind it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Group {
    number: u64,
    /// 0 where nobody leads.
    requests: usize,
}

/// What became of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joined {
    /// It has grown.
    Still,
    NoMore,
    /// Somebody else has written it.
    Left,
}

impl Group {
    fn leaves(&mut self) {
        *self = Group { number: self.number + 1, requests: 0 };
    }
}

/// What is to be done by whoever queued bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Duty {
    /// Somebody else writes them.
    Nothing,
    /// Wake the task.
    Tell,
    /// Write.
    Flush,
    /// Yield, then write; where `watch` is set, nobody watches yet.
    Lead { watch: bool, group: Group },
}

/// What the task is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    Write,
    Wait,
    Close,
}

impl Outbound {
    pub(super) fn new(socket: Option<Arc<OwnedWriteHalf>>) -> Self {
        let (queued, rest, spare) = (Vec::new(), Vec::new(), Vec::new());
        Self { queued, group: Group::default(), rest, spare, writing: false, socket, led: false, watched: false }
    }

    /// To append to.
    pub(super) fn queue(&mut self) -> &mut Vec<u8> {
        &mut self.queued
    }

    pub(super) fn bytes(&self) -> usize {
        self.queued.len() + self.rest.len()
    }

    /// Whether whoever queues next has to see to it that it leaves.
    pub(super) fn is_idle(&self) -> bool {
        !self.writing && self.queued.is_empty() && self.rest.is_empty()
    }

    /// For who found it idle and queued a request, while so many answers come together.
    pub(super) fn duty(&mut self, together: usize) -> Duty {
        if self.socket.is_none() {
            return Duty::Tell;
        }
        if together < TOGETHER_MIN {
            return Duty::Flush;
        }
        self.led = true;
        self.group.requests = 1;
        Duty::Lead { watch: !std::mem::replace(&mut self.watched, true), group: self.group }
    }

    /// For who queued a request behind others, of so many that are under way.
    pub(super) fn duty_of_next(&mut self, under_way: usize) -> Duty {
        if self.group.requests == 0 {
            return Duty::Nothing;
        }
        self.group.requests += 1;
        let half = self.group.requests >= HALF_MIN && self.group.requests * 2 >= under_way;
        if half { Duty::Flush } else { Duty::Nothing }
    }

    /// Takes what is queued, if there is and nobody writes.
    fn take(&mut self) -> Option<(Arc<OwnedWriteHalf>, Vec<u8>)> {
        if self.writing || self.queued.is_empty() || !self.rest.is_empty() {
            return None;
        }
        let socket = self.socket.clone()?;
        self.writing = true;
        self.group.leaves();
        let spare = std::mem::take(&mut self.spare);
        Some((socket, std::mem::replace(&mut self.queued, spare)))
    }
}

impl Shared {
    /// Writes what is queued as far as the socket takes it at once. What it does not take is for the task, which also hears
    /// of trouble when it tries.
    pub(super) fn flush(&self) {
        let Some((socket, mut leaving)) = self.state().outbound.take() else {
            return;
        };
        for round in 1.. {
            let taken = write_at_once(&socket, &leaving);
            leaving.drain(..taken);
            let mut state = self.state();
            let closing = state.closing;
            let out = &mut state.outbound;
            if !leaving.is_empty() {
                (out.rest, out.writing) = (leaving, false);
                break;
            }
            leaving.shrink_to(KEPT_BYTES);
            if out.queued.is_empty() || round == ROUNDS_MAX {
                (out.spare, out.writing) = (leaving, false);
                if out.queued.is_empty() && !closing {
                    drop(state);
                    return self.wrote();
                }
                break;
            }
            std::mem::swap(&mut out.queued, &mut leaving);
            out.group.leaves();
        }
        self.wrote();
        self.work.notify_one();
    }

    /// For a leader: what became of its group since it last looked.
    pub(super) fn look_at(&self, known: &mut Group) -> Joined {
        let now = self.state().outbound.group;
        let before = std::mem::replace(known, now);
        match () {
            () if now.number != before.number => Joined::Left,
            () if now.requests > before.requests => Joined::Still,
            () => Joined::NoMore,
        }
    }

    fn wrote(&self) {
        self.note_traffic();
        self.space.notify_waiters();
    }

    /// For the task: what there is to do, and with which bytes.
    pub(super) fn next_task(&self, leaving: &mut Vec<u8>) -> Task {
        let mut state = self.state();
        let closing = state.closing;
        let out = &mut state.outbound;
        if out.writing {
            return Task::Wait;
        }
        let next = if out.rest.is_empty() { &mut out.queued } else { &mut out.rest };
        if next.is_empty() {
            return if closing { Task::Close } else { Task::Wait };
        }
        std::mem::swap(next, leaving);
        out.writing = true;
        out.group.leaves();
        Task::Write
    }

    /// From the task: the bytes are gone.
    pub(super) fn task_wrote(&self, leaving: &mut Vec<u8>) {
        leaving.clear();
        leaving.shrink_to(KEPT_BYTES);
        self.state().outbound.writing = false;
        self.wrote();
    }

    /// Sees to what leaders leave; never done.
    pub(super) async fn watch(&self) -> ! {
        loop {
            self.led.notified().await;
            loop {
                sleep(WATCH).await;
                let mut state = self.state();
                let out = &mut state.outbound;
                if std::mem::take(&mut out.led) {
                    continue;
                }
                out.watched = false;
                let left = !out.queued.is_empty() && !out.writing;
                drop(state);
                if left {
                    self.work.notify_one();
                }
                break;
            }
        }
    }
}

/// How much the socket took; nothing when it is full, or broken.
fn write_at_once(socket: &OwnedWriteHalf, bytes: &[u8]) -> usize {
    loop {
        match socket.try_write(bytes) {
            Ok(taken) => return taken,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return 0,
        }
    }
}
