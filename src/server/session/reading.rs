//! From the socket to whole frames: all that a read brought, before anything is sent on.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context as Wakeful, Poll};
use std::time::{Duration, Instant};

use actix::prelude::*;
use rustls::ServerConnection;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;

use super::socket::Opened;
use super::{Session, Stage};
use crate::protocol::frame::{self, FrameError};
use crate::server::tls::{Entry, Guard};

/// Bytes that one read takes at most.
const READ_BYTES: usize = 256 * 1024;
/// Reads of one connection before others have their turn.
const READS_AT_ONCE: usize = 4;
/// How long a peer may take from its first byte to the end of TLS's handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

thread_local! {
    /// All sessions of a thread read here, one after the other: an idle connection holds no buffer.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
    /// What was read there, decrypted; made when somebody first speaks TLS.
    static DECRYPTED: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// Reads whenever the socket has something and the session has credit; lives as long as the session.
pub(super) struct Reading {
    socket: OwnedReadHalf,
    layer: Layer,
}

/// How what is read is to be understood.
enum Layer {
    /// The first byte will tell.
    Unknown(Guard),
    Plain,
    Tls,
}

impl Reading {
    pub(super) fn new(socket: OwnedReadHalf, guard: Guard) -> Self {
        Self { socket, layer: Layer::Unknown(guard) }
    }

    /// One read, whose frames the session takes at once; pending when there is nothing.
    fn read(&mut self, session: &mut Session, ctx: &mut Context<Session>, task: &mut Wakeful<'_>) -> Poll<()> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            let read = std::task::ready!(Pin::new(&mut self.socket).poll_read(task, &mut buffer));
            match read {
                Ok(()) if buffer.filled().is_empty() => session.hung_up(),
                Ok(()) => self.arrived(session, buffer.filled(), ctx),
                Err(error) => {
                    tracing::debug!(peer = %session.ends.peer, %error, "the connection broke");
                    session.stage = Stage::Closing;
                }
            }
            Poll::Ready(())
        })
    }

    fn arrived(&mut self, session: &mut Session, bytes: &[u8], ctx: &mut Context<Session>) {
        if let Layer::Unknown(guard) = &self.layer {
            match guard.entry(bytes) {
                Ok(Entry::Plain) => self.layer = Layer::Plain,
                Ok(Entry::Tls(connection)) => {
                    session.encrypt(connection, ctx);
                    self.layer = Layer::Tls;
                }
                Err(reason) => return session.close(&reason),
            }
        }
        if let Layer::Tls = self.layer {
            session.received_sealed(bytes, ctx);
        } else if let Err(error) = session.received(bytes, ctx) {
            session.close(&error.to_string());
        }
    }
}

impl ActorFuture<Session> for Reading {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        session: &mut Session,
        ctx: &mut Context<Session>,
        task: &mut Wakeful<'_>,
    ) -> Poll<()> {
        for _ in 0..READS_AT_ONCE {
            if session.credit.is_spent(&session.outbox) {
                session.credit.paused = Some(task.waker().clone());
                return Poll::Pending;
            }
            std::task::ready!(self.read(session, ctx, task));
            if session.stage == Stage::Closing {
                ctx.stop();
                return Poll::Ready(());
            }
        }
        task.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Session {
    fn hung_up(&mut self) {
        if !self.inbox.is_empty() {
            tracing::debug!(peer = %self.ends.peer, "the peer hung up in the middle of a frame");
        }
        self.stage = Stage::Closing;
    }

    /// From now on the connection speaks TLS, if the peer is quick with the handshake.
    fn encrypt(&mut self, connection: Box<ServerConnection>, ctx: &mut Context<Self>) {
        if let Some(socket) = &self.writing {
            socket.encrypt(connection);
        }
        ctx.run_later(HANDSHAKE_MAX, |session, ctx| {
            if session.writing.as_ref().is_some_and(|socket| socket.is_shaking_hands()) {
                session.close("its TLS handshake takes too long");
                ctx.stop();
            }
        });
    }

    /// Takes what a peer encrypted.
    fn received_sealed(&mut self, mut sealed: &[u8], ctx: &mut Context<Self>) {
        let Some(socket) = self.writing.clone() else { return };
        DECRYPTED.with_borrow_mut(|plain| {
            while self.stage != Stage::Closing {
                let mut filled = 0;
                let opened = socket.open(&mut sealed, plain, &mut filled);
                if filled > 0
                    && let Err(error) = self.received(plain.get(..filled).unwrap_or_default(), ctx)
                {
                    self.close(&error.to_string());
                }
                match opened {
                    Ok(Opened::Full) => {}
                    Ok(Opened::All) => break,
                    Ok(Opened::End) => self.hung_up(),
                    Err(error) => self.close(&format!("TLS: {error}")),
                }
            }
        });
        // The handshake's answers may not all have left.
        self.outbox.wake_if(socket.holds_back());
    }

    /// Takes all whole frames of what was read and keeps the rest.
    fn received(&mut self, bytes: &[u8], ctx: &mut Context<Self>) -> Result<(), FrameError> {
        self.heard_at = Instant::now();
        let taken = if self.inbox.is_empty() {
            let taken = self.frames(bytes, ctx);
            if let Ok(taken) = taken {
                self.inbox.extend_from_slice(&bytes[taken..]);
            }
            taken.map(|_| ())
        } else {
            let mut inbox = std::mem::take(&mut self.inbox);
            inbox.extend_from_slice(bytes);
            let taken = self.frames(&inbox, ctx);
            if let Ok(taken) = taken {
                if taken == inbox.len() {
                    inbox = Vec::new();
                } else {
                    inbox.drain(..taken);
                }
                self.inbox = inbox;
            }
            taken.map(|_| ())
        };
        self.flush_batch();
        self.flush_ends(ctx);
        self.ask_interceptors(ctx);
        taken
    }

    /// Takes whole frames from the front of `bytes`; returns how many bytes they were.
    fn frames(&mut self, bytes: &[u8], ctx: &mut Context<Self>) -> Result<usize, FrameError> {
        let (mut at, bytes_max) = (0, self.desk.frame_bytes_max());
        while let Some(length) = frame::length_within(&bytes[at..], bytes_max)? {
            let Some(one) = bytes.get(at..at + length) else {
                break;
            };
            self.frame(one, ctx)?;
            at += length;
        }
        Ok(at)
    }
}
