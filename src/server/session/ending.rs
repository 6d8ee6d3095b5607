//! Ends of transactions. Those of one read go to their owner together, and what it says of them leaves in one write.

use actix::prelude::*;
use bytes::Bytes;
use tokio::sync::oneshot;

use super::replies::BATCH_BYTES_MAX;
use super::{Call, Desk, Session};
use crate::actors::door::Closed;
use crate::actors::transactions::{End, EndHalves, Endings};
use crate::protocol::frame::Head;
use crate::server::requests::transactions::{self, Ending};
use crate::server::requests::{Refusal, Response};

/// Bytes that the answer to a successful end takes, about.
const ANSWER_BYTES: usize = 64;

/// Ends that were read and are to be handed over.
#[derive(Debug, Default)]
pub(super) struct EndBatch {
    calls: Vec<Call>,
    /// As many as there are calls.
    ends: Vec<End>,
    /// Of their half messages.
    bytes: usize,
}

impl Session {
    /// Takes an end whose half message is in memory, and whatever is wrong; false when it is one for the handler.
    pub(super) fn take_end(&mut self, call: Call, head: &Head<'_>, ctx: &mut Context<Self>) -> Result<bool, Refusal> {
        let Desk::Broker(desk) = &self.desk else { return Ok(false) };
        match transactions::ending(&desk.doors, &head.ext)? {
            Ending::Cold => return Ok(false),
            Ending::Open => self.answer(call, &transactions::stays_open()),
            Ending::Known(end) => {
                self.credit.handled += 1;
                self.credit.ends.bytes += end.half.size();
                self.credit.ends.calls.push(call);
                self.credit.ends.ends.push(end);
                if self.credit.ends.bytes >= BATCH_BYTES_MAX {
                    self.flush_ends(ctx);
                }
            }
        }
        Ok(true)
    }

    /// Hands all ends that were gathered to their owner.
    pub(super) fn flush_ends(&mut self, ctx: &mut Context<Self>) {
        if self.credit.ends.calls.is_empty() {
            return;
        }
        let Desk::Broker(desk) = &self.desk else { return };
        let EndBatch { calls, ends, .. } = std::mem::take(&mut self.credit.ends);
        let (reply, endings) = oneshot::channel();
        desk.doors.transactions.tell(EndHalves { ends, reply });
        ctx.spawn(actix::fut::wrap_future::<_, Self>(endings).map(move |endings, session, ctx| {
            session.credit.handled -= calls.len() as u32;
            session.ended(&calls, endings.unwrap_or_default());
            session.resume_reading();
            session.end_if_drained(ctx);
        }));
    }

    /// Answers ends. Those of which nothing is said had an owner that ended before it could.
    fn ended(&mut self, calls: &[Call], endings: Endings) {
        let mut out = Vec::with_capacity(calls.len() * ANSWER_BYTES);
        let mut endings = endings.into_iter();
        for call in calls {
            let ending = endings.next().map_or_else(|| Err(Closed.into()), |ending| ending.map_err(Refusal::from));
            Self::write(*call, &ending.map_or_else(Response::from, |()| Response::ok()), &mut out);
        }
        if !out.is_empty() {
            self.outbox.put([Bytes::from(out)]);
            self.check_outbox();
        }
    }
}
