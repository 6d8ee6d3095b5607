//! What the handles of a channel and its task share: the waiting requests and the outbound bytes.

use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, Semaphore, SemaphorePermit, oneshot, watch};

use crate::protocol::code::{Language, RequestCode, version};
use crate::protocol::fields::FieldError;
use crate::protocol::frame::{self, Codec, Ext, FLAG_ONEWAY, FLAG_RESPONSE, FRAME_BYTES_MAX, NewHead};
use crate::remoting::error::ChannelError;

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
        if state.outbound.len() >= link.outbound_bytes_max {
            return Ok(());
        }
        append(&mut state.outbound, self.codec, &head, header, body)?;
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
    turns: Semaphore,
    outbound_bytes_max: usize,
    /// Bytes are queued, or closing began: for the task.
    pub(super) work: Notify,
    /// The outbound buffer was taken: for those who wait for room.
    pub(super) space: Notify,
    ended: watch::Sender<Option<ChannelError>>,
}

/// How much may wait at once.
pub(super) struct Bounds {
    pub(super) requests_max: usize,
    pub(super) outbound_bytes_max: usize,
}

#[derive(Debug)]
struct State {
    outbound: Vec<u8>,
    waiting: FxHashMap<i32, oneshot::Sender<Reply>>,
    next_opaque: i32,
    codec: Codec,
    closing: bool,
}

/// One request that waits; forgotten when dropped.
pub(super) struct Waiting<'a> {
    shared: &'a Shared,
    opaque: i32,
    reply: oneshot::Receiver<Reply>,
}

impl Waiting<'_> {
    pub(super) async fn reply(mut self) -> Result<Reply, ChannelError> {
        match (&mut self.reply).await {
            Ok(reply) => Ok(reply),
            Err(_) => Err(self.shared.reason()),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shared.state().waiting.remove(&self.opaque);
    }
}

impl Shared {
    pub(super) fn new(address: &str, codec: Codec, bounds: Bounds) -> Self {
        let state =
            State { outbound: Vec::new(), waiting: FxHashMap::default(), next_opaque: 0, codec, closing: false };
        Self {
            address: address.to_owned(),
            state: Mutex::new(state),
            turns: Semaphore::new(bounds.requests_max.clamp(1, Semaphore::MAX_PERMITS)),
            outbound_bytes_max: bounds.outbound_bytes_max,
            work: Notify::new(),
            space: Notify::new(),
            ended: watch::Sender::new(None),
        }
    }

    /// Gives what is queued for `empty`; true when closing began.
    pub(super) fn swap_outbound(&self, empty: &mut Vec<u8>) -> bool {
        let mut state = self.state();
        std::mem::swap(empty, &mut state.outbound);
        state.closing
    }

    /// Hands an answer to its asker, if that still waits.
    pub(super) fn settle(&self, opaque: i32, reply: Reply) {
        if let Some(asker) = self.state().waiting.remove(&opaque) {
            // The asker may have been dropped a moment ago.
            let _ = asker.send(reply);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock leaves the state half changed, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn turn(&self) -> Result<SemaphorePermit<'_>, ChannelError> {
        self.turns.acquire().await.map_err(|_| self.reason())
    }

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
        Ok(state.outbound.len() < self.outbound_bytes_max)
    }

    pub(super) fn ask<T: Serialize + ?Sized>(
        &self,
        code: i32,
        header: &T,
        body: &[u8],
    ) -> Result<Waiting<'_>, ChannelError> {
        let (sender, reply) = oneshot::channel();
        let mut state = self.state();
        if state.closing {
            drop(state);
            return Err(self.reason());
        }
        let opaque = state.free_opaque();
        state.append(code, (opaque, 0), header, body)?;
        state.waiting.insert(opaque, sender);
        drop(state);
        self.work.notify_one();
        Ok(Waiting { shared: self, opaque, reply })
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
        let opaque = state.free_opaque();
        state.append(code, (opaque, flag), header, body)?;
        drop(state);
        self.work.notify_one();
        Ok(())
    }

    pub(super) fn speak(&self, codec: Codec) {
        self.state().codec = codec;
    }

    pub(super) fn ended(&self) -> Option<ChannelError> {
        if self.state().closing { Some(self.reason()) } else { None }
    }

    fn reason(&self) -> ChannelError {
        let reason = self.ended.borrow().clone();
        reason.unwrap_or_else(|| ChannelError::Closed { address: self.address.clone() })
    }

    pub(super) async fn wait_until_ended(&self) {
        // The sender lives in `self`, so this cannot fail before a reason is there.
        let _ = self.ended.subscribe().wait_for(Option::is_some).await;
    }

    pub(super) fn start_closing(&self) {
        self.state().closing = true;
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
        state.outbound = Vec::new();
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        drop(waiting);
        self.turns.close();
        self.space.notify_waiters();
        self.work.notify_one();
    }
}

impl State {
    fn free_opaque(&mut self) -> i32 {
        loop {
            let opaque = self.next_opaque;
            self.next_opaque = self.next_opaque.wrapping_add(1) & i32::MAX;
            if let Entry::Vacant(_) = self.waiting.entry(opaque) {
                return opaque;
            }
        }
    }

    fn append<T: Serialize + ?Sized>(
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
        append(&mut self.outbound, codec, &head, header, body)
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
