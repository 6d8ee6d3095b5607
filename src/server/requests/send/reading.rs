//! The header of a send, in either form.

use super::Send;
use crate::protocol::code::RequestCode;
use crate::protocol::frame::Head;
use crate::protocol::header::send::{SendMessageRequest, SendMessageRequestV2};
use crate::server::requests::Refusal;

impl<'a> Send<'a> {
    /// Reads the header of a send.
    ///
    /// # Errors
    /// A refusal that names the field that is missing or wrong.
    pub fn read(head: &'a Head<'_>) -> Result<Self, Refusal> {
        if head.code == RequestCode::SendMessage.number() {
            let long: SendMessageRequest<'a> = head.ext.decode()?;
            return Ok(Self {
                topic: long.topic,
                default_topic: long.default_topic,
                default_topic_queues: long.default_topic_queue_nums,
                queue: long.queue_id,
                sys_flag: long.sys_flag,
                born_timestamp_ms: long.born_timestamp,
                flag: long.flag,
                properties: long.properties,
                reconsume_times: long.reconsume_times.unwrap_or(0),
                max_reconsume_times: long.max_reconsume_times,
                unit_mode: long.unit_mode.unwrap_or(false),
                batch: long.batch.unwrap_or(false),
            });
        }
        let short = SendMessageRequestV2::of(&head.ext)?;
        Ok(Self {
            topic: short.topic,
            default_topic: short.default_topic,
            default_topic_queues: short.default_topic_queue_nums,
            queue: short.queue_id,
            sys_flag: short.sys_flag,
            born_timestamp_ms: short.born_timestamp,
            flag: short.flag,
            properties: short.properties,
            reconsume_times: short.reconsume_times.unwrap_or(0),
            max_reconsume_times: short.max_reconsume_times,
            unit_mode: short.unit_mode.unwrap_or(false),
            batch: short.batch.unwrap_or(false) || head.code == RequestCode::SendBatchMessage.number(),
        })
    }
}
