//! What the handles of a channel and its task share: the waiting requests and the outbound bytes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;

use super::askers::{Askers, Told};
use super::outbound::Outbound;
use crate::protocol::code::{Language, RequestCode, version};
use crate::protocol::fields::FieldError;
use crate::protocol::frame::{self, Codec, Ext, FLAG_ONEWAY, FLAG_RESPONSE, FRAME_BYTES_MAX, NewHead};
use crate::remoting::error::ChannelError;

/// Answers that are handed out under one lock: whoever is woken by the first of them asks again, and should not find it taken.
const SETTLED_AT_ONCE: usize = 16;

/// An answer, whatever its code.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// Response code; 0 is success.
    pub code: i32,
    /// Ordinal of the peer's version.
    pub version: i32,
    pub remark: Option<String>,
    pub ext: Ext<'static>,
    pub body: Bytes,
}

impl Reply {
    /// Reads the typed header.
    ///
    /// # Errors
    /// [`FieldError`] names the field that is missing or wrong.
    pub fn header<'a, T: Deserialize<'a>>(&'a self) -> Result<T, FieldError> {
        self.ext.decode()
    }
}

/// What the peer asks of us over a connection that we made.
#[derive(Debug)]
pub struct PeerRequest {
    pub code: i32,
    pub ext: Ext<'static>,
    pub body: Bytes,
    pub(super) opaque: i32,
    pub(super) oneway: bool,
    pub(super) codec: Codec,
    pub(super) link: Weak<Shared>,
}

impl PeerRequest {
    /// Queues an answer; nothing happens for a oneway request, when the connection is gone, or when the peer reads so
    /// slowly that the outbound buffer is full.
    ///
    /// # Errors
    /// [`ChannelError`] when the answer is too long or cannot be written.
    pub fn answer<T: Serialize + ?Sized>(
        &self,
        code: i32,
        remark: Option<&str>,
        header: &T,
        body: &[u8],
    ) -> Result<(), ChannelError> {
        let Some(link) = self.link.upgrade() else {
            return Ok(());
        };
        if self.oneway || link.ended().is_some() {
            return Ok(());
        }
        let head = NewHead {
            code,
            language: Language::Rust.ordinal(),
            version: version::CURRENT,
            opaque: self.opaque,
            flag: FLAG_RESPONSE,
            remark,
        };
        let mut state = link.state();
        if state.outbound.bytes() >= link.outbound_bytes_max {
            return Ok(());
        }
        append(state.outbound.queue(), self.codec, &head, header, body)?;
        drop(state);
        link.work.notify_one();
        Ok(())
    }
}

impl PeerRequest {
    /// Queues a request of ours on the connection that this one came by, which nobody answers; nothing happens when the
    /// connection is gone.
    ///
    /// # Errors
    /// [`ChannelError`] when the connection just ends, or the request is too long or cannot be written.
    pub fn tell<T: Serialize + ?Sized>(&self, code: i32, header: &T, body: &[u8]) -> Result<(), ChannelError> {
        self.link.upgrade().map_or(Ok(()), |link| link.tell(code, FLAG_ONEWAY, header, body))
    }
}

/// What handles and task share. The lock is held for copying bytes and map entries only, never across an await.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) address: String,
    state: Mutex<State>,
    /// The state's `closing`, for those who only look.
    closing: AtomicBool,
    pub(super) turns: Semaphore,
    pub(super) outbound_bytes_max: usize,
    /// There is something to write that nobody else writes, or closing began: for the task.
    pub(super) work: Notify,
    /// Somebody leads and nobody watches: for the task.
    pub(super) led: Notify,
    /// The outbound buffer was taken: for those who wait for room.
    pub(super) space: Notify,
    /// A request gives up sooner than all before it: for the task.
    pub(super) sooner: Notify,
    ended: watch::Sender<Option<ChannelError>>,
    born: Instant,
    /// Milliseconds from `born` to when bytes last went either way.
    traffic_ms: AtomicU64,
}

/// How much may wait at once.
pub(super) struct Bounds {
    pub(super) requests_max: usize,
    pub(super) outbound_bytes_max: usize,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) outbound: Outbound,
    pub(super) askers: Askers,
    /// When the first of those who wait gives up, or earlier.
    pub(super) first_gives_up: Option<Instant>,
    codec: Codec,
    pub(super) closing: bool,
    /// How many answers the last read brought.
    pub(super) came_together: usize,
}

impl Shared {
    pub(super) fn new(address: &str, codec: Codec, bounds: Bounds, socket: Option<Arc<OwnedWriteHalf>>) -> Self {
        let state = State {
            outbound: Outbound::new(socket),
            askers: Askers::default(),
            first_gives_up: None,
            codec,
            closing: false,
            came_together: 0,
        };
        Self {
            address: address.to_owned(),
            state: Mutex::new(state),
            closing: AtomicBool::new(false),
            turns: Semaphore::new(bounds.requests_max.clamp(1, Semaphore::MAX_PERMITS)),
            outbound_bytes_max: bounds.outbound_bytes_max,
            work: Notify::new(),
            led: Notify::new(),
            space: Notify::new(),
            sooner: Notify::new(),
            ended: watch::Sender::new(None),
            born: Instant::now(),
            traffic_ms: AtomicU64::new(0),
        }
    }

    /// Bytes went either way.
    pub(super) fn note_traffic(&self) {
        let ms = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.traffic_ms.store(ms, Ordering::Relaxed);
    }

    pub(super) fn last_traffic(&self) -> Instant {
        self.born + Duration::from_millis(self.traffic_ms.load(Ordering::Relaxed))
    }

    /// Hands answers to their askers, if those still wait.
    pub(super) fn settle(&self, replies: &mut Vec<(i32, Reply)>) {
        let came_together = replies.len();
        let mut told = Vec::with_capacity(came_together.min(SETTLED_AT_ONCE));
        let mut replies = replies.drain(..);
        while replies.len() > 0 {
            let mut state = self.state();
            state.came_together = came_together;
            let some = replies.by_ref().take(SETTLED_AT_ONCE);
            told.extend(some.filter_map(|(opaque, reply)| state.askers.settle(opaque, reply)));
            // Who is woken may want the lock.
            drop(state);
            told.drain(..).for_each(Told::go);
        }
    }

    /// Sends away those who waited long enough; when the next has.
    pub(super) fn send_away(&self) -> Option<Instant> {
        let mut state = self.state();
        let (late, next) = state.askers.give_up(Instant::now());
        state.first_gives_up = next;
        drop(state);
        late.into_iter().for_each(Told::go);
        next
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock leaves the state half changed, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tell<T: Serialize + ?Sized>(
        &self,
        code: i32,
        flag: i32,
        header: &T,
        body: &[u8],
    ) -> Result<(), ChannelError> {
        let mut state = self.state();
        if state.closing {
            drop(state);
            return Err(self.reason());
        }
        let opaque = state.askers.free_opaque();
        state.append(code, (opaque, flag), header, body)?;
        drop(state);
        self.work.notify_one();
        Ok(())
    }

    pub(super) fn speak(&self, codec: Codec) {
        self.state().codec = codec;
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    pub(super) fn ended(&self) -> Option<ChannelError> {
        if self.is_closing() { Some(self.reason()) } else { None }
    }

    pub(super) fn reason(&self) -> ChannelError {
        let reason = self.ended.borrow().clone();
        reason.unwrap_or_else(|| ChannelError::Closed { address: self.address.clone() })
    }

    pub(super) async fn wait_until_ended(&self) {
        // The sender lives in `self`, so this cannot fail before a reason is there.
        let _ = self.ended.subscribe().wait_for(Option::is_some).await;
    }

    pub(super) fn start_closing(&self) {
        self.state().closing = true;
        self.closing.store(true, Ordering::Release);
        self.work.notify_one();
    }

    /// Ends it for all who wait; the first reason stays.
    pub(super) fn end(&self, reason: ChannelError) {
        self.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            ended.get_or_insert(reason);
            first
        });
        let mut state = self.state();
        state.closing = true;
        self.closing.store(true, Ordering::Release);
        state.outbound = Outbound::new(None);
        let unheard = state.askers.end();
        drop(state);
        unheard.into_iter().for_each(Told::go);
        self.turns.close();
        self.space.notify_waiters();
        self.work.notify_one();
    }
}

impl State {
    pub(super) fn append<T: Serialize + ?Sized>(
        &mut self,
        code: i32,
        (opaque, flag): (i32, i32),
        header: &T,
        body: &[u8],
    ) -> Result<(), ChannelError> {
        let too_large = !RequestCode::from_number(code).fits_binary_header();
        let codec = if self.codec == Codec::Binary && too_large { Codec::Json } else { self.codec };
        let head =
            NewHead { code, language: Language::Rust.ordinal(), version: version::CURRENT, opaque, flag, remark: None };
        append(self.outbound.queue(), codec, &head, header, body)
    }
}

/// Appends a whole frame, or leaves `out` as it was.
fn append<T: Serialize + ?Sized>(
    out: &mut Vec<u8>,
    codec: Codec,
    head: &NewHead<'_>,
    header: &T,
    body: &[u8],
) -> Result<(), ChannelError> {
    let start = out.len();
    let written = frame::encode(out, codec, head, header, body.len());
    let bytes = out.len() - start + body.len();
    if let Err(reason) = written {
        out.truncate(start);
        return Err(ChannelError::Header { code: head.code, reason });
    }
    if bytes > FRAME_BYTES_MAX {
        out.truncate(start);
        return Err(ChannelError::TooLong { bytes });
    }
    out.extend_from_slice(body);
    Ok(())
}
