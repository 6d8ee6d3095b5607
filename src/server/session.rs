//! One connection.
//!
//! Owns: its socket, with TLS where the peer speaks it, the bytes of an unfinished frame, what is still to be sent, its
//! credit, the questions to the client that it has not answered.
//! Hears: [`Appended`] from the writer, [`Pulled`] from topic queues, `Answered` from request handlers, `Push` from
//! whoever wants something of the client, `Resume`, `Stop`.
//! Tells: one `Append` for all sends of a socket read to the writer, one `EndHalves` for all its ends of transactions to
//! their owner, pulls to their queues, everything else to a handler.
//!
//! Invariants: a frame is looked at only when it is whole; what a peer can make this process hold is bounded: bytes on
//! their way to the log, pulls that wait, bytes that the peer does not read.

mod credit;
mod desk;
mod ending;
mod handing;
mod held;
mod intercepting;
mod making;
mod narrating;
mod outbox;
mod pushes;
mod reading;
mod replies;
mod socket;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use bytes::Bytes;
use tokio::net::TcpStream;

use self::credit::Credit;
pub use self::desk::{BrokerDesk, Desk};
use self::outbox::Outbox;
use self::pushes::Asking;
pub use self::socket::Arrival;
use self::socket::Socket;
use crate::actors::commitlog_writer::{Appended, Batch, Reply};
use crate::actors::topic_queue::{Pulled, PulledTo};
use crate::actors::{ConnectionId, Peer, Stop};
use crate::protocol::code::ResponseCode;
use crate::protocol::frame::{Codec, FLAG_RESPONSE, Frame, FrameError, Head, NewHead};
use crate::server::requests::{Refusal, Response};

/// Clients look at the language of an answer nowhere; RocketMQ's brokers say this.
const REPLY_LANGUAGE: u8 = 0;
/// The release whose features the broker has: clients switch theirs on by it.
const REPLY_VERSION: i32 = crate::protocol::code::version::CURRENT;
/// Bytes of one connection on their way to the log at most; past them its sends wait, and what else it asks is served.
const APPENDING_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Pulls of one connection that wait at most.
const PULLS_MAX: u32 = 20_000;
/// Requests of one connection with handlers at most; past them the socket is not read.
const HANDLED_MAX: u32 = 1024;
/// Bytes that wait for a peer to read; past them its requests are not read either.
const OUTBOX_BYTES_PAUSE: usize = 4 * 1024 * 1024;
/// Bytes that wait for a peer to read; past them the connection is closed.
const OUTBOX_BYTES_MAX: usize = 64 * 1024 * 1024;
/// A peer that reads nothing of what waits for it is given up after this time.
const OUTBOX_PATIENCE: Duration = Duration::from_secs(60);

/// To the session: a handler's answer.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Answered {
    pub(crate) call: Call,
    pub(crate) response: Response,
}

/// To the session: what was missing for this frame is there now; take it again.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Resume {
    pub(crate) frame: Bytes,
}

/// What is needed of a request to answer it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) opaque: i32,
    pub(crate) codec: Codec,
    pub(crate) oneway: bool,
}

impl Call {
    fn of(head: &Head<'_>, codec: Codec) -> Self {
        Self { opaque: head.opaque, codec, oneway: head.is_oneway() }
    }

    /// As a number that the writer and the queues carry.
    pub(crate) fn token(self) -> u64 {
        let codec = match self.codec {
            Codec::Json => 0,
            Codec::Binary => 1,
            Codec::MessagePack => 2,
        };
        u64::from(self.opaque as u32) | codec << 32 | u64::from(self.oneway) << 40
    }

    pub(crate) fn from_token(token: u64) -> Self {
        let codec = match token >> 32 & 0xFF {
            0 => Codec::Json,
            1 => Codec::Binary,
            _ => Codec::MessagePack,
        };
        Self { opaque: token as u32 as i32, codec, oneway: token >> 40 & 1 == 1 }
    }
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy)]
pub struct Ends {
    pub connection: ConnectionId,
    pub peer: SocketAddr,
}

/// One connection. See the module.
pub struct Session {
    /// Until the session starts on its thread.
    arrival: Option<Arrival>,
    writing: Option<Rc<Socket>>,
    ends: Ends,
    desk: Desk,
    /// The bytes of a frame that is not whole yet.
    inbox: Vec<u8>,
    outbox: Outbox,
    batch: Box<Batch>,
    ways: Option<Ways>,
    credit: Credit,
    heard_at: Instant,
    stage: Stage,
    asking: Asking,
}

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// The server stops: what is under way is finished, what comes is refused.
    Draining,
    /// Nothing more is read or sent.
    Closing,
}

/// Where the others answer to.
struct Ways {
    append: Reply,
    pulled: PulledTo,
    peer: Peer,
}

impl Session {
    #[must_use]
    pub fn new(arrival: Arrival, ends: Ends, desk: Desk) -> Self {
        Self {
            arrival: Some(arrival),
            writing: None,
            ends,
            desk,
            inbox: Vec::new(),
            outbox: Outbox::default(),
            batch: Box::default(),
            ways: None,
            credit: Credit::default(),
            heard_at: Instant::now(),
            stage: Stage::Open,
            asking: Asking::default(),
        }
    }

    /// Takes one whole frame.
    fn frame(&mut self, bytes: &[u8], ctx: &mut Context<Self>) -> Result<(), FrameError> {
        let frame = Frame::cut(bytes)?;
        let head = frame.head()?;
        if head.is_response() {
            self.client_answered(&head, frame.body);
            return Ok(());
        }
        let call = Call::of(&head, frame.codec);
        self.asking.codec = frame.codec;
        if self.stage == Stage::Draining {
            let remark = "the server is shutting down; another one serves";
            self.answer(call, &Refusal::new(stopping_code(head.version), remark).into());
            return Ok(());
        }
        if !self.take_hot(call, &head, &frame, bytes, ctx) {
            self.hand_over(call, head, frame.body, ctx);
        }
        Ok(())
    }

    /// Takes a frame that waited for something.
    fn take_again(&mut self, frame: &[u8], ctx: &mut Context<Self>) {
        if let Err(error) = self.frame(frame, ctx) {
            self.close(&error.to_string());
        }
    }

    fn answer(&mut self, call: Call, response: &Response) {
        if let Some(out) = Self::written(call, response) {
            self.send(&out, std::slice::from_ref(&response.body), Instant::now());
        }
    }

    /// Answers at the end of this turn, with whatever else is answered in it: one system call for all.
    fn answer_soon(&mut self, call: Call, response: &Response) {
        if let Some(out) = Self::written(call, response) {
            self.outbox.put([Bytes::from(out), response.body.clone()]);
            self.check_outbox();
        }
    }

    /// The answer up to its body; `None` when none is wanted.
    fn written(call: Call, response: &Response) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(256);
        Self::write(call, response, &mut out);
        (!out.is_empty()).then_some(out)
    }

    /// Appends the answer up to its body, if one is wanted.
    fn write(call: Call, response: &Response, out: &mut Vec<u8>) {
        if call.oneway {
            return;
        }
        let head = NewHead {
            code: response.code,
            language: REPLY_LANGUAGE,
            version: REPLY_VERSION,
            opaque: call.opaque,
            flag: FLAG_RESPONSE,
            remark: response.remark.as_deref(),
        };
        let before = out.len();
        if let Err(error) = response.header.write(out, call.codec, &head, response.body.len()) {
            out.truncate(before);
            tracing::error!(%error, code = response.code, "an answer has no wire form");
        }
    }

    /// Sends bytes now as far as the socket takes them; the rest follows when it does.
    fn send(&mut self, head: &[u8], body: &[Bytes], now: Instant) {
        let Some(socket) = self.writing.as_ref().filter(|_| self.stage != Stage::Closing) else { return };
        if let Err(error) = self.outbox.send(socket, (head, body), now) {
            self.close(&error.to_string());
        } else {
            self.check_outbox();
        }
    }

    fn check_outbox(&mut self) {
        if self.outbox.waiting_bytes() > OUTBOX_BYTES_MAX {
            self.close("the peer does not read what it asked for");
        }
    }

    /// Ends the connection: one line for the log where the reason is of interest.
    fn close(&mut self, reason: &str) {
        if std::mem::replace(&mut self.stage, Stage::Closing) != Stage::Closing {
            tracing::info!(peer = %self.ends.peer, reason, "closing the connection");
        }
    }

    fn resume_reading(&mut self) {
        if self.credit.paused.is_some()
            && !self.credit.is_spent(&self.outbox)
            && let Some(waker) = self.credit.paused.take()
        {
            waker.wake();
        }
    }

    /// While the server stops: ends the connection once everything that was asked of it is answered. Pulls that wait for
    /// messages are not waited for.
    fn end_if_drained(&mut self, ctx: &mut Context<Self>) {
        let is_sending = self.outbox.waiting_bytes() > 0 || self.writing.as_ref().is_some_and(|to| to.holds_back());
        let under_way = self.credit.appending_bytes > 0
            || !self.credit.intercepted.is_empty()
            || self.credit.handled > 0
            || self.credit.asking_bytes > 0
            || is_sending;
        if self.stage == Stage::Draining && !under_way {
            ctx.stop();
        }
    }

    /// Closes connections on which nothing happens, and those whose peers do not read.
    fn look_after(&mut self, ctx: &mut Context<Self>) {
        let idle_max = self.desk.idle_max();
        if self.outbox.is_stuck(OUTBOX_PATIENCE) {
            self.close("the peer reads nothing");
        } else if self.heard_at.elapsed() > idle_max && self.credit.held.is_full() {
            self.close("its sends wait for the log in vain");
        } else if self.credit.handled == 0 && self.heard_at.elapsed() > idle_max && self.outbox.idle_for() > idle_max {
            // One that waits for an answer is not idle.
            self.close("idle");
        }
        if self.stage == Stage::Closing {
            ctx.stop();
        } else {
            ctx.run_later(idle_max / 4, Self::look_after);
        }
    }
}

impl Actor for Session {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let here = ctx.address();
        let peer = Peer { connection: self.ends.connection, address: self.ends.peer, push: here.clone().recipient() };
        self.ways =
            Some(Ways { append: Reply::to(here.clone().recipient()), pulled: Arc::new(here.recipient()), peer });
        let Some(Arrival { socket, guard }) = self.arrival.take() else { return };
        let (reading, writing) = match TcpStream::from_std(socket) {
            Ok(socket) => socket.into_split(),
            Err(error) => {
                self.close(&error.to_string());
                ctx.stop();
                return;
            }
        };
        let writing = Rc::new(Socket::new(writing));
        self.writing = Some(writing.clone());
        ctx.spawn(reading::Reading::new(reading, guard));
        ctx.spawn(outbox::Draining::new(writing));
        ctx.run_later(self.desk.idle_max() / 4, Self::look_after);
    }

    fn stopping(&mut self, _: &mut Self::Context) -> Running {
        // What the connection asked for is answered to nobody; only its owners have to know that it is gone.
        self.desk.disconnected(self.ends.connection);
        Running::Stop
    }
}

impl Handler<Appended> for Session {
    type Result = ();

    fn handle(&mut self, appended: Appended, ctx: &mut Self::Context) {
        self.appended(&appended.batch);
        self.recycle(appended.batch);
        self.take_held(ctx);
        self.resume_reading();
        self.end_if_drained(ctx);
    }
}

impl Handler<Pulled> for Session {
    type Result = ();

    fn handle(&mut self, pulled: Pulled, _: &mut Self::Context) {
        self.credit.pulls = self.credit.pulls.saturating_sub(1);
        self.pulled(&pulled);
    }
}

impl Handler<Answered> for Session {
    type Result = ();

    fn handle(&mut self, answered: Answered, _: &mut Self::Context) {
        self.answer(answered.call, &answered.response);
    }
}

impl Handler<Resume> for Session {
    type Result = ();

    fn handle(&mut self, resume: Resume, ctx: &mut Self::Context) {
        self.take_again(&resume.frame, ctx);
    }
}

impl Handler<Stop> for Session {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        self.stage = Stage::Draining;
        self.end_if_drained(ctx);
    }
}

/// Refused for good: RocketMQ's code for a broker that stops, which clients retry elsewhere.
fn stopping_code(version: i32) -> i32 {
    /// Clients from this version on know GO_AWAY.
    const GO_AWAY_VERSION: i32 = 475;
    if version > GO_AWAY_VERSION { ResponseCode::GoAway.number() } else { ResponseCode::ServiceNotAvailable.number() }
}
