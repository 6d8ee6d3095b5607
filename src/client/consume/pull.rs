//! One pull: a question for messages of a queue, which the broker may hold until some come.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument;

use super::offsets::number;
use super::received::{self, ReceivedMessage};
use super::subscription::Subscription;
use crate::client::error::ClientError;
use crate::client::hub::{Hub, refused, unreadable};
use crate::client::route::MASTER;
use crate::protocol::code::{RequestCode, ResponseCode};
use crate::protocol::header::pull::{PullMessageRequest, PullMessageResponse};
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
    pub(in crate::client) async fn ask(&self, core: &Hub) -> Result<Pulled, ClientError> {
        let span = tracing::debug_span!("pull", group = %self.group, queue = %self.queue, offset = self.offset);
        self.question(core).instrument(span).await
    }

    async fn question(&self, core: &Hub) -> Result<Pulled, ClientError> {
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
        let mut messages = Vec::new();
        if code == ResponseCode::Success {
            messages = received::read(&self.queue, &reply.body).map_err(|error| unreadable(&channel, error))?;
            // A batch that was stored as one record may begin before the offset.
            messages.retain(|message| message.queue_offset >= self.offset && self.subscription.wants(message));
        }
        Ok(Pulled {
            messages,
            next: header.next_begin_offset,
            moved: code == ResponseCode::PullOffsetMoved,
            broker_id: header.suggest_which_broker_id,
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
