//! What the server itself asks of a client: oneway requests, and questions that somebody waits for.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use actix::prelude::*;
use bytes::Bytes;
use tokio::sync::oneshot;

use super::{OUTBOX_BYTES_PAUSE, REPLY_LANGUAGE, REPLY_VERSION, Session};
use crate::actors::crash::CrashSession;
use crate::actors::{ClientAnswer, Push};
use crate::protocol::code::RequestCode;
use crate::protocol::frame::{self, Codec, FLAG_ONEWAY, Head, NewHead};

/// Questions to one client that wait at once, at most.
const ASKED_MAX: usize = 1024;

/// What the server says by itself.
#[derive(Debug)]
pub(super) struct Asking {
    /// Of the client's last request.
    pub(super) codec: Codec,
    /// Questions to the client by their number. Who asks keeps the time, and forgets the answer when it is over.
    asked: HashMap<i32, oneshot::Sender<ClientAnswer>>,
}

impl Default for Asking {
    fn default() -> Self {
        Self { codec: Codec::Json, asked: HashMap::new() }
    }
}

impl Asking {
    /// Whether there is room for one more.
    fn add(&mut self, opaque: i32, reply: oneshot::Sender<ClientAnswer>) -> bool {
        if self.asked.len() >= ASKED_MAX {
            self.asked.retain(|_, waiting| !waiting.is_closed());
        }
        let room = self.asked.len() < ASKED_MAX;
        if room {
            self.asked.insert(opaque, reply);
        }
        room
    }
}

impl Session {
    /// Hands on what the client answers. An answer that nobody waits for is passed over.
    pub(super) fn client_answered(&mut self, head: &Head<'_>, body: &[u8]) {
        let Some(reply) = self.asking.asked.remove(&head.opaque) else { return };
        let remark = head.remark.as_deref().map(str::to_owned);
        // Who asked may have given up.
        let _ = reply.send(ClientAnswer { code: head.code, remark, body: Bytes::copy_from_slice(body) });
    }
}

impl Handler<Push> for Session {
    type Result = ();

    fn handle(&mut self, mut push: Push, _: &mut Self::Context) {
        if push.code == RequestCode::CheckTransactionState.number() && self.outbox.waiting_bytes() >= OUTBOX_BYTES_PAUSE
        {
            tracing::debug!(peer = %self.ends.peer, "a producer that does not read is not asked");
            return;
        }
        // Codes of the pop family do not fit into a binary header's sixteen bits, and the fields of a push are texts,
        // which MessagePack tells from numbers.
        let is_text = self.asking.codec != Codec::MessagePack && push.code <= i32::from(i16::MAX);
        let codec = if is_text { self.asking.codec } else { Codec::Json };
        let opaque = self.desk.next_opaque();
        let flag = if push.reply.is_some() { 0 } else { FLAG_ONEWAY };
        if push.reply.take().is_some_and(|reply| !self.asking.add(opaque, reply)) {
            tracing::debug!(peer = %self.ends.peer, code = push.code, "a client that answers nothing is not asked");
            return;
        }
        let head =
            NewHead { code: push.code, language: REPLY_LANGUAGE, version: REPLY_VERSION, opaque, flag, remark: None };
        let fields: BTreeMap<&str, &str> = push.fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut out = Vec::with_capacity(256);
        match frame::encode(&mut out, codec, &head, &fields, push.body.len()) {
            Ok(()) => self.send(&out, std::slice::from_ref(&push.body), Instant::now()),
            Err(error) => tracing::error!(%error, code = push.code, "a push has no wire form"),
        }
    }
}

impl Handler<CrashSession> for Session {
    type Result = ();

    fn handle(&mut self, crash: CrashSession, _: &mut Self::Context) {
        assert_ne!(crash.peer, self.ends.peer, "a crash was asked for");
    }
}
