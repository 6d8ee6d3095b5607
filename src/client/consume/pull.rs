//! One pull: a question for messages of a queue, which the broker may hold until some come.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tracing::Instrument;

use super::offsets::number;
use super::received::{self, ReceivedMessage};
use super::subscription::Subscription;
use crate::client::error::ClientError;
use crate::client::hub::{Hub, refused, unreadable};
use crate::client::route::MASTER;
use crate::protocol::code::{RequestCode, ResponseCode};
use crate::protocol::header::pull::{PullMessageRequest, PullMessageResponse};
use crate::remoting::channel::Channel;
use crate::rules::assignment::MessageQueue;

const SYS_FLAG_COMMIT: i32 = 1;
const SYS_FLAG_MAY_WAIT: i32 = 2;
const SYS_FLAG_SUBSCRIPTION: i32 = 4;
/// Beyond the time that the broker may hold a pull, for the way there and back.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// What is asked.
#[derive(Debug, Clone)]
pub(in crate::client) struct Pull {
    pub(in crate::client) group: Arc<str>,
    pub(in crate::client) subscription: Arc<Subscription>,
    pub(in crate::client) queue: Arc<MessageQueue>,
    pub(in crate::client) offset: i64,
    /// Committed on the way, when it is more than 0 and the broker is a master.
    pub(in crate::client) commit: i64,
    /// Most messages, as far as the broker gives so many.
    pub(in crate::client) count: i32,
    /// How long the broker may hold the question; zero for an answer at once.
    pub(in crate::client) hold: Duration,
    /// Which broker of the name to ask.
    pub(in crate::client) broker_id: i64,
}

/// What came, its messages not read yet.
#[derive(Debug)]
pub(in crate::client) struct Answered {
    pull: Pull,
    channel: Channel,
    /// Records; empty when there are none.
    records: Bytes,
    /// Where to go on.
    pub(in crate::client) next: i64,
    /// The asked offset was outside the queue.
    pub(in crate::client) moved: bool,
    /// Which broker of the name to ask next.
    pub(in crate::client) broker_id: i64,
}

/// What came.
#[derive(Debug)]
pub(in crate::client) struct Pulled {
    /// Only what the subscription wants.
    pub(in crate::client) messages: Vec<ReceivedMessage>,
    /// Where to go on.
    pub(in crate::client) next: i64,
    /// The asked offset was outside the queue.
    pub(in crate::client) moved: bool,
    /// Which broker of the name to ask next.
    pub(in crate::client) broker_id: i64,
}

impl Pull {
    /// Asks, and reads the messages of the answer.
    pub(in crate::client) async fn ask(self, core: &Hub) -> Result<Pulled, ClientError> {
        self.ask_first(core).await?.read()
    }

    /// Asks; what came is to be read.
    pub(in crate::client) async fn ask_first(self, core: &Hub) -> Result<Answered, ClientError> {
        let span = tracing::debug_span!("pull", group = %self.group, queue = %self.queue, offset = self.offset);
        self.question(core).instrument(span).await
    }

    async fn question(self, core: &Hub) -> Result<Answered, ClientError> {
        let (channel, broker_id) = core.broker(&self.queue.broker, self.broker_id).await?;
        let code = RequestCode::PullMessage.number();
        let reply = channel.request(code, &self.header(broker_id), b"", self.hold + ANSWER_WITHIN).await?;
        let code = ResponseCode::from_number(reply.code);
        let known = [
            ResponseCode::Success,
            ResponseCode::PullNotFound,
            ResponseCode::PullRetryImmediately,
            ResponseCode::PullOffsetMoved,
        ];
        if !known.contains(&code) {
            return Err(refused(&channel, &reply));
        }
        let header: PullMessageResponse = reply.header().map_err(|error| unreadable(&channel, error))?;
        Ok(Answered {
            records: if code == ResponseCode::Success { reply.body } else { Bytes::new() },
            next: header.next_begin_offset,
            moved: code == ResponseCode::PullOffsetMoved,
            broker_id: header.suggest_which_broker_id,
            pull: self,
            channel,
        })
    }

    fn header(&self, broker_id: i64) -> PullMessageRequest<'_> {
        let mut sys_flag = SYS_FLAG_SUBSCRIPTION;
        if !self.hold.is_zero() {
            sys_flag |= SYS_FLAG_MAY_WAIT;
        }
        if self.commit > 0 && broker_id == MASTER {
            sys_flag |= SYS_FLAG_COMMIT;
        }
        PullMessageRequest {
            consumer_group: Cow::Borrowed(&self.group),
            topic: Cow::Borrowed(&self.queue.topic),
            queue_id: number(&self.queue),
            queue_offset: self.offset,
            max_msg_nums: self.count,
            sys_flag,
            commit_offset: self.commit.max(0),
            suspend_timeout_millis: i64::try_from(self.hold.as_millis()).unwrap_or(i64::MAX),
            subscription: Cow::Borrowed(&self.subscription.expression),
            sub_version: self.subscription.version,
            expression_type: Cow::Borrowed(&self.subscription.expression_type),
            max_msg_bytes: None,
            request_source: None,
            proxy_froward_client_id: Cow::Borrowed(""),
        }
    }
}

impl Answered {
    /// How many messages it may hold, and bytes of their bodies: at most so many.
    pub(in crate::client) fn most(&self) -> (usize, usize) {
        (usize::try_from(self.covers()).unwrap_or(usize::MAX), self.records.len())
    }

    /// Whether the broker gave as many as were asked for, and has more.
    pub(in crate::client) fn is_whole(&self) -> bool {
        !self.records.is_empty() && !self.moved && self.covers() >= i64::from(self.pull.count)
    }

    /// Offsets from the one that was asked for to where to go on, which a broker may put anywhere.
    fn covers(&self) -> i64 {
        self.next.saturating_sub(self.pull.offset)
    }

    /// Reads the messages.
    ///
    /// # Errors
    /// When they are malformed.
    pub(in crate::client) fn read(self) -> Result<Pulled, ClientError> {
        let Self { pull, channel, records, next, moved, broker_id } = self;
        let mut messages = received::read(&pull.queue, &records).map_err(|error| unreadable(&channel, error))?;
        // A batch that was stored as one record may begin before the offset.
        messages.retain(|message| message.queue_offset >= pull.offset && pull.subscription.wants(message));
        Ok(Pulled { messages, next, moved, broker_id })
    }
}
