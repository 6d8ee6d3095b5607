//! What the server itself asks of a client: oneway requests.

use std::time::Instant;

use std::collections::BTreeMap;

use actix::prelude::*;

use super::{OUTBOX_BYTES_PAUSE, REPLY_LANGUAGE, REPLY_VERSION, Session};
use crate::actors::Push;
use crate::actors::crash::CrashSession;
use crate::protocol::code::RequestCode;
use crate::protocol::frame::{self, Codec, FLAG_ONEWAY, NewHead};

impl Handler<Push> for Session {
    type Result = ();

    fn handle(&mut self, push: Push, _: &mut Self::Context) {
        if push.code == RequestCode::CheckTransactionState.number() && self.outbox.waiting_bytes() >= OUTBOX_BYTES_PAUSE
        {
            tracing::debug!(peer = %self.ends.peer, "a producer that does not read is not asked");
            return;
        }
        // Codes of the pop family do not fit into a binary header's sixteen bits.
        let codec = if push.code > i32::from(i16::MAX) { Codec::Json } else { self.codec };
        let head = NewHead {
            code: push.code,
            language: REPLY_LANGUAGE,
            version: REPLY_VERSION,
            opaque: self.desk.next_opaque(),
            flag: FLAG_ONEWAY,
            remark: None,
        };
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
