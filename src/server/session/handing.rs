//! Requests that have a handler, an async function each.

use std::pin::pin;
use std::task::{Context as Wakeful, Poll, Waker};

use actix::prelude::*;
use bytes::Bytes;

use super::{Call, Session};
use crate::protocol::code::{RequestCode, ResponseCode};
use crate::protocol::frame::Head;
use crate::server::requests::{Refusal, Request, Response};

/// Bytes of a connection's requests that wait for what another client says, at most; further ones are refused.
const ASKING_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What such a request costs beside its body.
const ASKING_BYTES_EACH: usize = 1024;

/// Whether another client has to answer first. Such requests never hold up the reading of their connection, since that may
/// be where the answer comes from: two clients that reply to each other would wait for each other.
fn asks_a_client(code: i32) -> bool {
    matches!(
        RequestCode::from_number(code),
        RequestCode::SendReplyMessage
            | RequestCode::SendReplyMessageV2
            | RequestCode::GetConsumerRunningInfo
            | RequestCode::ConsumeMessageDirectly
            | RequestCode::InvokeBrokerToGetConsumerStatus
    )
}

impl Session {
    /// Gives a request to its handler, which answers when it is done. It begins at once, so that what the requests of one
    /// connection ask of an owner comes there in the order of the socket.
    pub(super) fn hand_over(&mut self, call: Call, head: Head<'_>, body: &[u8], ctx: &mut Context<Self>) {
        let asking = if asks_a_client(head.code) { body.len() + ASKING_BYTES_EACH } else { 0 };
        if asking > 0 && self.credit.asking_bytes >= ASKING_BYTES_MAX {
            let remark = "too much waits for the answers of other clients already";
            self.answer(call, &Refusal::new(ResponseCode::SystemBusy.number(), remark).into());
            return;
        }
        let Some(ways) = &self.ways else { return };
        let request = Request {
            code: head.code,
            version: head.version,
            language: head.language,
            ext: head.ext.into_owned(),
            body: Bytes::copy_from_slice(body),
            peer: ways.peer.clone(),
        };
        let desk = self.desk.clone();
        let mut served = Box::pin(async move { desk.serve(request).await });
        // Whoever wakes this is not missed: what is spawned is polled again in the same turn.
        if let Poll::Ready(answer) = pin!(&mut served).poll(&mut Wakeful::from_waker(Waker::noop())) {
            self.answer(call, &answer.unwrap_or_else(Response::from));
            return;
        }
        let handled = u32::from(asking == 0);
        self.credit.handled += handled;
        self.credit.asking_bytes += asking;
        ctx.spawn(actix::fut::wrap_future::<_, Self>(served).map(move |answer, session, ctx| {
            session.credit.handled -= handled;
            session.credit.asking_bytes -= asking;
            session.answer_soon(call, &answer.unwrap_or_else(Response::from));
            session.resume_reading();
            session.end_if_drained(ctx);
        }));
    }
}
