//! Requests that have a handler, an async function each.

use std::pin::pin;
use std::task::{Context as Wakeful, Poll, Waker};

use actix::prelude::*;
use bytes::Bytes;

use super::{Call, Session};
use crate::protocol::frame::Head;
use crate::server::requests::{Request, Response};

impl Session {
    /// Gives a request to its handler, which answers when it is done. It begins at once, so that what the requests of one
    /// connection ask of an owner comes there in the order of the socket.
    pub(super) fn hand_over(&mut self, call: Call, head: Head<'_>, body: &[u8], ctx: &mut Context<Self>) {
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
        self.credit.handled += 1;
        ctx.spawn(actix::fut::wrap_future::<_, Self>(served).map(move |answer, session, ctx| {
            session.credit.handled -= 1;
            session.answer(call, &answer.unwrap_or_else(Response::from));
            session.resume_reading();
            session.end_if_drained(ctx);
        }));
    }
}
