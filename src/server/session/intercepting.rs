//! Sends that interceptors see before they are stored. One batch is away at a time, so their order stays; what comes
//! meanwhile makes the next batch. Nothing here runs where there is no interceptor.

use actix::prelude::*;
use bytes::Bytes;

use super::{Call, Desk, Session};
use crate::actors::extension::{Incoming, InterceptAnswer, Verdict};
use crate::protocol::batch::{self, BatchEntry};
use crate::protocol::code::ResponseCode;
use crate::protocol::frame::Frame;
use crate::protocol::properties::{self, NAME_END, PAIR_END};
use crate::server::requests::Refusal;
use crate::server::requests::send::Send;

/// Bytes of one connection's sends before interceptors at most; past them the socket is not read.
const INTERCEPTED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A send before interceptors.
#[derive(Debug)]
struct Waiting {
    call: Call,
    frame: Bytes,
    /// One, or those of a batch.
    messages: Vec<Incoming>,
}

/// The sends of a connection that are before interceptors, in order.
#[derive(Debug, Default)]
pub(super) struct Intercepted {
    gathered: Vec<Waiting>,
    bytes: usize,
    away: bool,
}

impl Intercepted {
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= INTERCEPTED_BYTES_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.gathered.is_empty() && !self.away
    }

    pub(super) fn gather(&mut self, (call, send): (Call, &Send<'_>), body: &[u8], frame: &[u8]) {
        let incoming = |text: &str, body: &[u8]| Incoming {
            topic: send.topic.as_ref().into(),
            properties: properties::pairs(text).map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            body: Bytes::copy_from_slice(body),
        };
        let messages = if send.batch {
            batch::entries(body).filter_map(Result::ok).map(|entry| incoming(entry.properties, entry.body)).collect()
        } else {
            vec![incoming(&send.properties, body)]
        };
        self.bytes += frame.len();
        self.gathered.push(Waiting { call, frame: Bytes::copy_from_slice(frame), messages });
    }
}

impl Session {
    /// Hands what was gathered to the interceptors, unless they have something already.
    pub(super) fn ask_interceptors(&mut self, ctx: &mut Context<Self>) {
        if self.credit.intercepted.gathered.is_empty() || self.credit.intercepted.away {
            return;
        }
        let Desk::Broker(desk) = &self.desk else { return };
        let interceptors = desk.doors.extensions.interceptors.clone();
        let waiting = std::mem::take(&mut self.credit.intercepted.gathered);
        let messages = waiting.iter().flat_map(|waiting| waiting.messages.iter().cloned()).collect();
        self.credit.intercepted.away = true;
        let asked = async move { (interceptors.ask(messages).await, waiting) };
        ctx.spawn(actix::fut::wrap_future::<_, Self>(asked).map(|(answer, waiting), session, ctx| {
            session.credit.intercepted.away = false;
            session.intercepted(answer, waiting);
            session.flush_batch();
            session.ask_interceptors(ctx);
            session.resume_reading();
            session.end_if_drained(ctx);
        }));
    }

    fn intercepted(&mut self, answer: InterceptAnswer, waiting: Vec<Waiting>) {
        let mut verdicts = match answer {
            Ok(verdicts) => Ok(verdicts.into_iter()),
            Err(error) => Err(Refusal::new(ResponseCode::ServiceNotAvailable.number(), error.to_string())),
        };
        for Waiting { call, frame, messages } in waiting {
            self.credit.intercepted.bytes = self.credit.intercepted.bytes.saturating_sub(frame.len());
            let put = match &mut verdicts {
                Ok(verdicts) => {
                    let own: Vec<Verdict> = verdicts.take(messages.len()).collect();
                    self.put_as_told(call, &frame, &own)
                }
                Err(refusal) => Err(refusal.clone()),
            };
            if let Err(refusal) = put {
                self.answer(call, &refusal.into());
            }
        }
    }

    fn put_as_told(&mut self, call: Call, frame: &[u8], verdicts: &[Verdict]) -> Result<(), Refusal> {
        let Desk::Broker(desk) = self.desk.clone() else { return Ok(()) };
        let unreadable = |error: &dyn std::fmt::Display| Refusal::new(ResponseCode::SystemError, error.to_string());
        let frame = Frame::cut(frame).map_err(|error| unreadable(&error))?;
        let head = frame.head().map_err(|error| unreadable(&error))?;
        let mut send = Send::read(&head)?;
        let changed;
        let body = if send.batch {
            changed = batch_as_told(frame.body, verdicts)?;
            changed.as_deref().unwrap_or(frame.body)
        } else {
            single_as_told(&mut send, verdicts)?;
            frame.body
        };
        let Some(entry) = desk.doors.topics.table.get(&send.topic) else {
            let remark = format!("topic[{}] not exist, apply first please!", send.topic);
            return Err(Refusal::new(ResponseCode::TopicNotExist.number(), remark));
        };
        send.put(body, &entry, (&desk.send_rules, self.ends.peer), call.token(), &mut self.batch)
    }
}

fn rejected(reason: &str) -> Refusal {
    Refusal::new(ResponseCode::MessageIllegal.number(), format!("an interceptor of the broker rejects it: {reason}"))
}

fn single_as_told(send: &mut Send<'_>, verdicts: &[Verdict]) -> Result<(), Refusal> {
    match verdicts.first() {
        None | Some(Verdict::Pass) => {}
        Some(Verdict::Reject { reason }) => return Err(rejected(reason)),
        Some(Verdict::Change { properties }) => send.properties = text(properties)?.into(),
        Some(Verdict::Redirect { topic, properties }) => {
            send.properties = text(properties)?.into();
            send.redirect(topic);
        }
    }
    Ok(())
}

/// The batch after changes of its messages; `None` where there are none. A batch is stored or rejected as a whole.
fn batch_as_told(body: &[u8], verdicts: &[Verdict]) -> Result<Option<Vec<u8>>, Refusal> {
    if verdicts.iter().all(|verdict| *verdict == Verdict::Pass) {
        return Ok(None);
    }
    let mut out = Vec::with_capacity(body.len());
    for (entry, verdict) in batch::entries(body).filter_map(Result::ok).zip(verdicts) {
        let changed = match verdict {
            Verdict::Pass => None,
            Verdict::Change { properties } => Some(text(properties)?),
            Verdict::Reject { reason } => return Err(rejected(reason)),
            Verdict::Redirect { .. } => return Err(rejected("a message of a batch cannot be redirected alone")),
        };
        batch::push(&mut out, &BatchEntry { properties: changed.as_deref().unwrap_or(entry.properties), ..entry });
    }
    Ok(Some(out))
}

fn text(list: &[(String, String)]) -> Result<String, Refusal> {
    let mut out = Vec::new();
    for (name, value) in list {
        let whole = |text: &str| !text.is_empty() && !text.bytes().any(|byte| matches!(byte, NAME_END | PAIR_END));
        if !whole(name) || !whole(value) {
            return Err(rejected("it gave the message a property that cannot be stored"));
        }
        properties::push(&mut out, name, value);
    }
    String::from_utf8(out).map_err(|_| rejected("it gave the message properties that are no text"))
}
