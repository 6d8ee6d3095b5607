//! Headers of sends: 10, 310, 320, the hand-back of a failed message (36), and their answers.
//!
//! Text is borrowed from the frame where the codec allows it, since these are read for every message.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// Request of SEND_MESSAGE (10) and SEND_REPLY_MESSAGE (324): fields by their long names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SendMessageRequest<'a> {
    #[serde(borrow)]
    pub producer_group: Cow<'a, str>,
    #[serde(borrow)]
    pub topic: Cow<'a, str>,
    /// The topic whose settings a new topic takes.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub default_topic: Cow<'a, str>,
    /// Queues that a new topic asks for.
    #[serde(default)]
    pub default_topic_queue_nums: i32,
    /// Negative: the broker chooses.
    pub queue_id: i32,
    #[serde(default)]
    pub sys_flag: i32,
    /// Milliseconds since 1970, by the client's clock.
    #[serde(default)]
    pub born_timestamp: i64,
    /// The user's own flag, not looked at.
    #[serde(default)]
    pub flag: i32,
    /// `name 0x01 value 0x02` pairs.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub properties: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconsume_times: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit_mode: Option<bool>,
    /// The body is a sequence of batch entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_reconsume_times: Option<i32>,
}

/// Request of SEND_MESSAGE_V2 (310), SEND_BATCH_MESSAGE (320) and SEND_REPLY_MESSAGE_V2 (325): the same
/// fields under the letters `a` to `n`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SendMessageRequestV2<'a> {
    #[serde(rename = "a", borrow)]
    pub producer_group: Cow<'a, str>,
    #[serde(rename = "b", borrow)]
    pub topic: Cow<'a, str>,
    /// The topic whose settings a new topic takes.
    #[serde(rename = "c", borrow, default, skip_serializing_if = "str::is_empty")]
    pub default_topic: Cow<'a, str>,
    /// Queues that a new topic asks for.
    #[serde(rename = "d", default)]
    pub default_topic_queue_nums: i32,
    /// Negative: the broker chooses.
    #[serde(rename = "e")]
    pub queue_id: i32,
    #[serde(rename = "f", default)]
    pub sys_flag: i32,
    /// Milliseconds since 1970, by the client's clock.
    #[serde(rename = "g", default)]
    pub born_timestamp: i64,
    /// The user's own flag, not looked at.
    #[serde(rename = "h", default)]
    pub flag: i32,
    /// `name 0x01 value 0x02` pairs.
    #[serde(rename = "i", borrow, default, skip_serializing_if = "str::is_empty")]
    pub properties: Cow<'a, str>,
    #[serde(rename = "j", skip_serializing_if = "Option::is_none")]
    pub reconsume_times: Option<i32>,
    #[serde(rename = "k", skip_serializing_if = "Option::is_none")]
    pub unit_mode: Option<bool>,
    #[serde(rename = "l", skip_serializing_if = "Option::is_none")]
    pub max_reconsume_times: Option<i32>,
    /// The body is a sequence of batch entries.
    #[serde(rename = "m", skip_serializing_if = "Option::is_none")]
    pub batch: Option<bool>,
    /// The broker meant, which proxies need.
    #[serde(rename = "n", borrow, default, skip_serializing_if = "str::is_empty")]
    pub broker_name: Cow<'a, str>,
}

/// Answer to every send. Java unboxes the first three without looking, so they are always there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SendMessageResponse {
    /// The offset message id; for a batch one per message, joined by commas.
    pub msg_id: String,
    pub queue_id: i32,
    /// Of the first message of a batch.
    pub queue_offset: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_uniq_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recall_handle: Option<String>,
}

/// What a sender reads of [`SendMessageResponse`] and of the field that the broker adds to it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SendAnswer<'a> {
    pub msg_id: &'a str,
    pub queue_id: i32,
    pub queue_offset: i64,
    #[serde(default)]
    pub transaction_id: Option<&'a str>,
    /// The broker's region.
    #[serde(rename = "MSG_REGION", default)]
    pub region: Option<&'a str>,
    /// `false` where the broker wants no traces.
    #[serde(rename = "TRACE_ON", default)]
    pub trace_on: Option<&'a str>,
}

/// Request of PUSH_REPLY_MESSAGE_TO_CLIENT (326): the reply of another client, in the body, for the one that asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplyMessageRequest {
    pub producer_group: String,
    pub topic: String,
    pub queue_id: i32,
    #[serde(default)]
    pub sys_flag: i32,
    /// Milliseconds since 1970, by the clock of the client that replies.
    #[serde(default)]
    pub born_timestamp: i64,
    #[serde(default)]
    pub flag: i32,
    #[serde(default)]
    pub properties: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconsume_times: Option<i32>,
    /// `ip:port` of the client that replies.
    #[serde(default)]
    pub born_host: String,
    /// `ip:port` of the broker.
    #[serde(default)]
    pub store_host: String,
    #[serde(default)]
    pub store_timestamp: i64,
}

/// Request of CONSUMER_SEND_MSG_BACK (36): a consumer hands a failed message back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerSendMsgBackRequest {
    /// Position of the message in the commit log.
    pub offset: i64,
    pub group: String,
    /// Below 0: dead letter queue at once; 0: the broker decides; above: that delay level.
    pub delay_level: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin_msg_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin_topic: Option<String>,
    #[serde(default)]
    pub unit_mode: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_reconsume_times: Option<i32>,
}
