//! Sends that wait for their topic to be made, in the order in which they came. Sends to other topics pass them.

use std::collections::HashMap;

use actix::prelude::*;
use bytes::Bytes;

use super::{Answered, Call, Desk, Resume, Session};
use crate::actors::catalog::groups::EnsureGroup;
use crate::actors::catalog::topics::{CreateAtSend, EnsureTopic, TopicConfig, TopicError};
use crate::protocol::code::ResponseCode;
use crate::protocol::names::{Group, Topic};
use crate::server::requests::Refusal;
use crate::server::requests::send::Send;

/// Bytes of one connection's sends whose topics are being made at most; past them the socket is not read.
const MAKING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The topics that are being made for a connection.
#[derive(Debug, Default)]
pub(super) struct Making {
    sends: HashMap<Topic, Vec<(Call, Bytes)>>,
    bytes: usize,
}

impl Making {
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= MAKING_BYTES_MAX
    }

    /// Has the send wait, where its topic is being made.
    pub(super) fn take(&mut self, topic: &str, call: Call, frame: &[u8]) -> bool {
        if self.sends.is_empty() {
            return false;
        }
        let Some(sends) = self.sends.get_mut(topic) else { return false };
        sends.push((call, Bytes::copy_from_slice(frame)));
        self.bytes += frame.len();
        true
    }

    fn begin(&mut self, topic: Topic, call: Call, frame: &[u8]) {
        self.sends.insert(topic, vec![(call, Bytes::copy_from_slice(frame))]);
        self.bytes += frame.len();
    }

    fn end(&mut self, topic: &Topic) -> Vec<(Call, Bytes)> {
        let sends = self.sends.remove(topic).unwrap_or_default();
        self.bytes -= sends.iter().map(|(_, frame)| frame.len()).sum::<usize>();
        sends
    }
}

impl Session {
    /// Has the topic made by the rule of the default topic, and announced, then takes the frame again.
    pub(super) fn make_topic(
        &mut self,
        call: Call,
        send: &Send<'_>,
        frame: &[u8],
        ctx: &mut Context<Self>,
    ) -> Result<(), Refusal> {
        let Desk::Broker(desk) = &self.desk else { return Ok(()) };
        let illegal = |error| Refusal::new(ResponseCode::InvalidParameter.number(), format!("{error}"));
        let topic = Topic::new(&send.topic).map_err(illegal)?;
        let owner = desk.doors.topics.owner.clone();
        let wish = CreateAtSend {
            topic: topic.clone(),
            default_topic: send.default_topic.to_string(),
            queues: send.default_topic_queues,
            sys_flag: i32::from(send.unit_mode),
            client: self.ends.peer,
        };
        self.credit.handled += 1;
        self.credit.making.begin(topic.clone(), call, frame);
        let name = topic.clone();
        let made = async move {
            let made = if topic.is_retry() || topic.is_dead_letters() {
                owner.ask(EnsureTopic { config: TopicConfig::new(topic, 1) }).await
            } else {
                owner.ask(wish).await
            };
            match made {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error @ TopicError::Unsaved)) => Err(error.into()),
                Ok(Err(error)) => Err(Refusal::new(ResponseCode::TopicNotExist.number(), error.to_string())),
                Err(error) => Err(Refusal::new(ResponseCode::ServiceNotAvailable.number(), error.to_string())),
            }
        };
        ctx.spawn(actix::fut::wrap_future::<_, Self>(made).map(move |made, session, ctx| {
            session.credit.handled -= 1;
            session.made(&name, made, ctx);
            session.resume_reading();
            session.end_if_drained(ctx);
        }));
        Ok(())
    }

    /// Has the group made, then takes the frame again.
    pub(super) fn make_group(&mut self, call: Call, group: Group, frame: &[u8], ctx: &mut Context<Self>) {
        let Desk::Broker(desk) = &self.desk else { return };
        let (here, frame) = (ctx.address(), Bytes::copy_from_slice(frame));
        let made = desk.doors.groups.owner.ask(EnsureGroup { group });
        ctx.spawn(actix::fut::wrap_future::<_, Self>(async move {
            let failed = match made.await {
                Ok(Ok(_)) => return here.do_send(Resume { frame }),
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            let refusal = Refusal::new(ResponseCode::ServiceNotAvailable.number(), failed);
            here.do_send(Answered { call, response: refusal.into() });
        }));
    }

    fn made(&mut self, topic: &Topic, made: Result<(), Refusal>, ctx: &mut Context<Self>) {
        for (call, frame) in self.credit.making.end(topic) {
            match &made {
                Ok(()) => self.take_again(&frame, ctx),
                Err(refusal) => self.answer(call, &refusal.clone().into()),
            }
        }
        self.flush_batch();
        self.ask_interceptors(ctx);
    }
}
