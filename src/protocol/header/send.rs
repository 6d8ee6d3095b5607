//! Headers of sends: 10, 310, 320, the hand-back of a failed message (36), and their answers.
//!
//! Text is borrowed from the frame where the codec allows it, since these are read for every message.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::protocol::fields::FieldError;
use crate::protocol::fields::packed::PackedMap;
use crate::protocol::frame::Ext;

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

impl<'a> SendMessageRequestV2<'a> {
    /// Reads the request.
    ///
    /// # Errors
    /// [`FieldError`] names the field that is missing or wrong.
    pub fn of(ext: &'a Ext<'_>) -> Result<Self, FieldError> {
        match ext {
            Ext::MessagePack(bytes) => Self::packed(bytes).map_or_else(|| ext.decode(), Ok),
            _ => ext.decode(),
        }
    }

    /// As clients of ours write it; `None` where something is unusual.
    fn packed(bytes: &'a [u8]) -> Option<Self> {
        let none = || Cow::Borrowed("");
        let (mut producer_group, mut topic, mut queue_id) = (None, None, None);
        let mut rest = Self {
            producer_group: none(),
            topic: none(),
            default_topic: none(),
            default_topic_queue_nums: 0,
            queue_id: 0,
            sys_flag: 0,
            born_timestamp: 0,
            flag: 0,
            properties: none(),
            reconsume_times: None,
            unit_mode: None,
            max_reconsume_times: None,
            batch: None,
            broker_name: none(),
        };
        for pair in PackedMap::of(bytes)? {
            let ([name], value) = pair? else { continue };
            match name {
                b'a' => producer_group = Some(value.as_text()?),
                b'b' => topic = Some(value.as_text()?),
                b'c' => rest.default_topic = value.as_text()?.into(),
                b'd' => rest.default_topic_queue_nums = value.as_number()?,
                b'e' => queue_id = Some(value.as_number()?),
                b'f' => rest.sys_flag = value.as_number()?,
                b'g' => rest.born_timestamp = value.as_number()?,
                b'h' => rest.flag = value.as_number()?,
                b'i' => rest.properties = value.as_text()?.into(),
                b'j' => rest.reconsume_times = Some(value.as_number()?),
                b'k' => rest.unit_mode = Some(value.as_flag()?),
                b'l' => rest.max_reconsume_times = Some(value.as_number()?),
                b'm' => rest.batch = Some(value.as_flag()?),
                b'n' => rest.broker_name = value.as_text()?.into(),
                _ => {}
            }
        }
        let (producer_group, topic, queue_id) = (producer_group?.into(), topic?.into(), queue_id?);
        Some(Self { producer_group, topic, queue_id, ..rest })
    }
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

impl<'a> SendAnswer<'a> {
    /// Reads the answer.
    ///
    /// # Errors
    /// [`FieldError`] names the field that is missing or wrong.
    pub fn of(ext: &'a Ext<'_>) -> Result<Self, FieldError> {
        match ext {
            Ext::MessagePack(bytes) => Self::packed(bytes).map_or_else(|| ext.decode(), Ok),
            _ => ext.decode(),
        }
    }

    /// As brokers of ours write it; `None` where something is unusual.
    fn packed(bytes: &'a [u8]) -> Option<Self> {
        let (mut msg_id, mut queue_id, mut queue_offset) = (None, None, None);
        let (mut transaction_id, mut region, mut trace_on) = (None, None, None);
        for pair in PackedMap::of(bytes)? {
            let (name, value) = pair?;
            match name {
                b"msgId" => msg_id = Some(value.as_text()?),
                b"queueId" => queue_id = Some(value.as_number()?),
                b"queueOffset" => queue_offset = Some(value.as_number()?),
                b"transactionId" => transaction_id = Some(value.as_text()?),
                b"MSG_REGION" => region = Some(value.as_text()?),
                b"TRACE_ON" => trace_on = Some(value.as_text()?),
                _ => {}
            }
        }
        let (msg_id, queue_id, queue_offset) = (msg_id?, queue_id?, queue_offset?);
        Some(Self { msg_id, queue_id, queue_offset, transaction_id, region, trace_on })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_request_is_read_as_any_other() {
        let full = serde_json::json!({
            "a": "G", "b": "T", "c": "TBW102", "d": 4, "e": 3, "f": 1, "g": 1_700_000_000_000_i64, "h": -7, "i": "p\u{1}v\u{2}",
            "j": 2, "k": true, "l": 16, "m": false, "n": "broker-a", "z": "new", "longer": 1,
        });
        let short = serde_json::json!({ "a": "", "b": "", "e": -1 });
        for request in [full, short] {
            let ext = Ext::MessagePack(rmp_serde::to_vec_named(&request).unwrap().into());
            let Ext::MessagePack(bytes) = &ext else { unreachable!("it was made so") };
            assert_eq!(SendMessageRequestV2::packed(bytes), Some(ext.decode().unwrap()));
            assert_eq!(SendMessageRequestV2::of(&ext), ext.decode());
        }
        for unusual in
            [serde_json::json!({ "a": "G", "b": "T", "e": "1", "m": "true" }), serde_json::json!({ "a": "G" })]
        {
            let ext = Ext::MessagePack(rmp_serde::to_vec_named(&unusual).unwrap().into());
            assert_eq!(SendMessageRequestV2::of(&ext), ext.decode());
        }
    }

    #[test]
    fn a_packed_answer_is_read_as_any_other() {
        let full = serde_json::json!({
            "msgId": "7F00000100002A9F0000000000000000", "queueId": 3, "queueOffset": 5_000_000_000_i64,
            "transactionId": "U", "MSG_REGION": "DefaultRegion", "TRACE_ON": "true", "recallHandle": "x",
        });
        let short = serde_json::json!({ "msgId": "", "queueId": -1, "queueOffset": -1 });
        for answer in [full, short] {
            let ext = Ext::MessagePack(rmp_serde::to_vec_named(&answer).unwrap().into());
            let Ext::MessagePack(bytes) = &ext else { unreachable!("it was made so") };
            assert_eq!(SendAnswer::packed(bytes), Some(ext.decode().unwrap()));
            assert_eq!(SendAnswer::of(&ext), ext.decode());
        }
        let texts = std::collections::BTreeMap::from([("msgId", "A"), ("queueId", "1"), ("queueOffset", "2")]);
        let ext = Ext::MessagePack(rmp_serde::to_vec_named(&texts).unwrap().into());
        assert_eq!(SendAnswer::of(&ext).unwrap().queue_offset, 2, "numbers as text, as some peers write them");
        let ext = Ext::MessagePack(vec![0x81, 0xA1].into());
        assert!(SendAnswer::of(&ext).is_err());
    }
}
