//! Giving a message that was not consumed back to its group: through the broker that has it, else by sending it to the
//! group's retry topic.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::received::ReceivedMessage;
use crate::client::error::ClientError;
use crate::client::hub::{Hub, ask};
use crate::client::produce::delivery::Courier;
use crate::client::produce::parcel::{self, Retried};
use crate::client::produce::producer_options::{ProducerOptions, Target};
use crate::protocol::code::RequestCode;
use crate::protocol::header::send::ConsumerSendMsgBackRequest;
use crate::protocol::names::RETRY_PREFIX;
use crate::protocol::properties::{self, Properties};

/// The group under which RocketMQ's consumers send.
const PRODUCER_GROUP: &str = "CLIENT_INNER_PRODUCER";
/// Longest wait for a broker that takes a message back.
const WAIT: Duration = Duration::from_secs(5);
/// The level of a first retry that the client itself chooses; each later one is a level higher.
const FIRST_LEVEL: i32 = 3;
/// The level of a message that shall not come again.
const NEVER: i32 = -1;

/// The way back of one consumer's messages.
#[derive(Debug)]
pub(in crate::client) struct WayBack {
    core: Arc<Hub>,
    group: String,
    times_max: Option<i32>,
    courier: Courier,
}

/// What became of messages that were to be given back.
#[derive(Debug, Default)]
pub(in crate::client) struct GivenBack {
    pub(in crate::client) taken: Vec<ReceivedMessage>,
    /// No broker took these.
    pub(in crate::client) left: Vec<ReceivedMessage>,
}

impl WayBack {
    pub(in crate::client) fn new(core: &Arc<Hub>, group: &str, times_max: Option<u16>) -> Self {
        let options = ProducerOptions { send_timeout: WAIT, ..ProducerOptions::new(PRODUCER_GROUP) };
        let courier = Courier::new(Arc::clone(core), options);
        Self { core: Arc::clone(core), group: group.to_owned(), times_max: times_max.map(i32::from), courier }
    }

    /// Hands messages back to their broker. `level` 0 leaves it to the broker when they come again; below 0 they never do.
    pub(in crate::client) async fn hand_back(&self, batch: Vec<ReceivedMessage>, level: i32) -> GivenBack {
        let each = batch.into_iter().map(|message| async move {
            let Err(error) = self.to_broker(&message, level).await else {
                return (message, true);
            };
            tracing::warn!(queue = %message.queue, offset = message.queue_offset, %error, "not taken back; it is sent instead");
            let times = message.reconsume_times;
            let retried = match level {
                // The broker makes a dead letter of what was consumed more often than is allowed.
                NEVER => Retried { times, times_max: Some(times.saturating_sub(1)) },
                _ => Retried { times: times.saturating_add(1), times_max: self.times_max },
            };
            self.sent(message, level, retried).await
        });
        sorted(join_all(each).await)
    }

    /// Gives up messages that are consumed in order. Of a group that holds locks, the broker makes dead letters of them.
    pub(in crate::client) async fn give_up(&self, batch: Vec<ReceivedMessage>) -> GivenBack {
        let each = batch.into_iter().map(|message| async move {
            let retried = Retried { times: message.reconsume_times, times_max: self.times_max };
            self.sent(message, 0, retried).await
        });
        sorted(join_all(each).await)
    }

    async fn to_broker(&self, message: &ReceivedMessage, level: i32) -> Result<(), ClientError> {
        let channel = self.core.master(&message.queue.broker).await?;
        let header = ConsumerSendMsgBackRequest {
            offset: i64::try_from(message.physical_offset).unwrap_or(i64::MAX),
            group: self.group.clone(),
            delay_level: level,
            origin_msg_id: Some(message.message_id()),
            origin_topic: Some(message.topic().to_owned()),
            unit_mode: false,
            max_reconsume_times: self.times_max,
        };
        ask(&channel, RequestCode::ConsumerSendMsgBack, &header, b"", WAIT).await.map(drop)
    }

    async fn sent(&self, message: ReceivedMessage, level: i32, retried: Retried) -> (ReceivedMessage, bool) {
        let topic = format!("{RETRY_PREFIX}{}", self.group);
        let text = (properties_text(&message, level), retried);
        let parcel = parcel::again(topic, &message, text, &self.courier.options).await;
        let sent = self.courier.deliver(&parcel, Target::Any, self.courier.deadline()).await;
        if let Err(error) = &sent {
            tracing::warn!(queue = %message.queue, offset = message.queue_offset, %error, "not sent to the retry topic");
        }
        (message, sent.is_ok())
    }
}

fn sorted(each: Vec<(ReceivedMessage, bool)>) -> GivenBack {
    let mut given = GivenBack::default();
    for (message, taken) in each {
        let list = if taken { &mut given.taken } else { &mut given.left };
        list.push(message);
    }
    given
}

/// What the message had, and where it came from.
fn properties_text(message: &ReceivedMessage, level: i32) -> String {
    let text = message.properties_text();
    let mut all = Properties::read(text);
    let level = if level > 0 { level } else { message.reconsume_times.saturating_add(FIRST_LEVEL) };
    all.remove(properties::TRAN_MSG);
    all.set(properties::RETRY_TOPIC, message.topic());
    if all.get(properties::ORIGIN_MESSAGE_ID).is_none() {
        all.set(properties::ORIGIN_MESSAGE_ID, message.message_id());
    }
    all.set(properties::DELAY, level.to_string());
    all.text()
}
