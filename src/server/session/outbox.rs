//! What is still to be sent to the peer.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as Wakeful, Poll, Waker};
use std::time::{Duration, Instant};

use actix::prelude::*;
use bytes::{Buf, Bytes};

use super::socket::Socket;
use super::{Session, Stage};

/// Turns of a session in which others can answer it: the writer's news goes to the queues' host, from there to a queue, and comes
/// back as the answer to a pull that waited.
const COMPANY_TURNS: u8 = 3;
/// Pieces that one system call takes.
const SLICES_MAX: usize = 64;

/// Bytes in order, of which the socket has not taken the first yet.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Bytes>,
    waiting_bytes: usize,
    sent_at: Option<Instant>,
    /// So many turns pass before what waits is sent.
    turns: u8,
    /// Of the task that sends when the socket takes more.
    waker: Option<Waker>,
}

impl Outbox {
    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// How long nothing was sent.
    pub(super) fn idle_for(&self) -> Duration {
        self.sent_at.map_or(Duration::MAX, |at| at.elapsed())
    }

    /// Whether something waits, and the peer took nothing of it for so long.
    pub(super) fn is_stuck(&self, patience: Duration) -> bool {
        self.waiting_bytes > 0 && self.sent_at.is_none_or(|at| at.elapsed() > patience)
    }

    /// Sends what the socket takes now and keeps the rest; copies `head` only where it has to be kept.
    pub(super) fn send(&mut self, socket: &Socket, (head, body): (&[u8], &[Bytes]), now: Instant) -> io::Result<()> {
        let mut sent = 0;
        if self.waiting.is_empty() {
            self.sent_at = Some(now);
            sent = match try_send(socket, head, body) {
                Ok(sent) => sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error),
            };
            let total = head.len() + body.iter().map(Bytes::len).sum::<usize>();
            if sent == total {
                self.wake_if(socket.holds_back());
                return Ok(());
            }
        }
        if sent < head.len() {
            self.keep(Bytes::copy_from_slice(&head[sent..]));
        }
        sent = sent.saturating_sub(head.len());
        for piece in body {
            let skip = sent.min(piece.len());
            sent -= skip;
            if skip < piece.len() {
                self.keep(piece.slice(skip..));
            }
        }
        self.wake_if(true);
        Ok(())
    }

    /// Keeps what the task is to send at the end of this turn.
    pub(super) fn put(&mut self, pieces: impl IntoIterator<Item = Bytes>) {
        if self.waiting.is_empty() {
            // The peer had no chance yet to take it.
            self.sent_at = Some(Instant::now());
        }
        pieces.into_iter().filter(|piece| !piece.is_empty()).for_each(|piece| self.keep(piece));
        self.wake_if(true);
    }

    /// The same, but what follows within the next turns leaves with it.
    pub(super) fn put_for_company(&mut self, piece: Bytes) {
        if self.waiting.is_empty() {
            self.turns = COMPANY_TURNS;
        }
        self.put([piece]);
    }

    /// Whether this turn is one that passes before anything is sent.
    fn lets_pass(&mut self) -> bool {
        self.turns = self.turns.saturating_sub(1);
        self.turns > 0
    }

    /// Wakes the task that sends, if there is something to send.
    pub(super) fn wake_if(&mut self, is_needed: bool) {
        if is_needed && let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn keep(&mut self, piece: Bytes) {
        self.waiting_bytes += piece.len();
        self.waiting.push_back(piece);
    }

    /// Sends what waits, as far as the socket takes it; true when nothing is left.
    fn drain(&mut self, socket: &Socket) -> io::Result<bool> {
        while !self.waiting.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = self.waiting.len().min(SLICES_MAX);
            for (slice, piece) in slices.iter_mut().zip(&self.waiting) {
                *slice = IoSlice::new(piece);
            }
            match socket.try_write_vectored(&slices[..count]) {
                Ok(sent) => self.sent(sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        socket.flush()?;
        Ok(!socket.holds_back())
    }

    fn sent(&mut self, mut count: usize) {
        self.sent_at = Some(Instant::now());
        self.waiting_bytes -= count;
        while count > 0
            && let Some(first) = self.waiting.front_mut()
        {
            let step = count.min(first.len());
            first.advance(step);
            count -= step;
            if first.is_empty() {
                self.waiting.pop_front();
            }
        }
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
    }
}

/// One system call; the one for a single piece is the cheaper.
fn try_send(socket: &Socket, head: &[u8], body: &[Bytes]) -> io::Result<usize> {
    if body.iter().all(Bytes::is_empty) {
        return socket.try_write(head);
    }
    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
    slices[0] = IoSlice::new(head);
    let count = 1 + body.len().min(SLICES_MAX - 1);
    for (slice, piece) in slices[1..].iter_mut().zip(body) {
        *slice = IoSlice::new(piece);
    }
    socket.try_write_vectored(&slices[..count])
}

/// Sends what waits whenever the socket takes more; lives as long as the session.
pub(super) struct Draining {
    socket: Rc<Socket>,
}

impl Draining {
    pub(super) fn new(socket: Rc<Socket>) -> Self {
        Self { socket }
    }
}

impl ActorFuture<Session> for Draining {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        session: &mut Session,
        ctx: &mut Context<Session>,
        task: &mut Wakeful<'_>,
    ) -> Poll<()> {
        if session.outbox.lets_pass() && session.stage != Stage::Closing {
            task.waker().wake_by_ref();
            return Poll::Pending;
        }
        while (session.outbox.waiting_bytes > 0 || self.socket.holds_back()) && session.stage != Stage::Closing {
            match self.socket.poll_write_ready(task) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => session.close(&error.to_string()),
                Poll::Ready(Ok(())) => {
                    if let Err(error) = session.outbox.drain(&self.socket) {
                        session.close(&error.to_string());
                    }
                }
            }
        }
        if session.stage == Stage::Closing {
            ctx.stop();
            return Poll::Ready(());
        }
        session.resume_reading();
        session.end_if_drained(ctx);
        session.outbox.waker = Some(task.waker().clone());
        Poll::Pending
    }
}
