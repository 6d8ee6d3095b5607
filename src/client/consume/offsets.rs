//! Questions and orders about offsets: of groups, and of queues themselves.

use std::time::Duration;

use crate::client::error::ClientError;
use crate::client::hub::{Hub, ask, refused, unreadable};
use crate::protocol::code::{RequestCode, ResponseCode};
use crate::protocol::header::offsets::{
    GetMaxOffsetRequest, GetMaxOffsetResponse, GetMinOffsetRequest, GetMinOffsetResponse, QueryConsumerOffsetRequest,
    QueryConsumerOffsetResponse, SearchOffsetRequest, SearchOffsetResponse, UpdateConsumerOffsetRequest,
};
use crate::rules::assignment::MessageQueue;

/// What a broker answers for a group that never committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::client) enum Uncommitted {
    /// 0 while the queue still has its first message, so that a young topic is read from its start: RocketMQ's rule.
    MayBeZero,
    /// Nothing.
    IsNone,
}

impl Hub {
    fn wait(&self) -> Duration {
        self.options.request_timeout
    }

    /// The offset that `group` committed.
    pub(in crate::client) async fn committed(
        &self,
        group: &str,
        queue: &MessageQueue,
        uncommitted: Uncommitted,
    ) -> Result<Option<i64>, ClientError> {
        let channel = self.master(&queue.broker).await?;
        let header = QueryConsumerOffsetRequest {
            consumer_group: group.to_owned(),
            topic: queue.topic.to_string(),
            queue_id: number(queue),
            set_zero_if_not_found: (uncommitted == Uncommitted::IsNone).then_some(false),
        };
        let code = RequestCode::QueryConsumerOffset.number();
        let reply = channel.request(code, &header, b"", self.wait()).await?;
        match ResponseCode::from_number(reply.code) {
            ResponseCode::Success => {
                let answer: QueryConsumerOffsetResponse = reply.header().map_err(|e| unreadable(&channel, e))?;
                Ok((answer.offset >= 0).then_some(answer.offset))
            }
            ResponseCode::QueryNotFound => Ok(None),
            _ => Err(refused(&channel, &reply)),
        }
    }

    pub(in crate::client) async fn commit(
        &self,
        group: &str,
        queue: &MessageQueue,
        offset: i64,
    ) -> Result<(), ClientError> {
        let channel = self.master(&queue.broker).await?;
        let header = UpdateConsumerOffsetRequest {
            consumer_group: group.to_owned(),
            topic: queue.topic.to_string(),
            queue_id: number(queue),
            commit_offset: offset,
        };
        ask(&channel, RequestCode::UpdateConsumerOffset, &header, b"", self.wait()).await.map(drop)
    }

    /// The first offset that the queue still holds.
    pub(in crate::client) async fn min_offset(&self, queue: &MessageQueue) -> Result<i64, ClientError> {
        let channel = self.master(&queue.broker).await?;
        let header = GetMinOffsetRequest { topic: queue.topic.to_string(), queue_id: number(queue) };
        let reply = ask(&channel, RequestCode::GetMinOffset, &header, b"", self.wait()).await?;
        let answer: GetMinOffsetResponse = reply.header().map_err(|e| unreadable(&channel, e))?;
        Ok(answer.offset)
    }

    /// One past the last offset that consumers may read.
    pub(in crate::client) async fn max_offset(&self, queue: &MessageQueue) -> Result<i64, ClientError> {
        let channel = self.master(&queue.broker).await?;
        let topic = queue.topic.to_string();
        let header = GetMaxOffsetRequest { topic, queue_id: number(queue), committed: Some(true) };
        let reply = ask(&channel, RequestCode::GetMaxOffset, &header, b"", self.wait()).await?;
        let answer: GetMaxOffsetResponse = reply.header().map_err(|e| unreadable(&channel, e))?;
        Ok(answer.offset)
    }

    /// The offset of the first message stored at `timestamp_ms` or later.
    pub(in crate::client) async fn offset_at(
        &self,
        queue: &MessageQueue,
        timestamp_ms: i64,
    ) -> Result<i64, ClientError> {
        let channel = self.master(&queue.broker).await?;
        let header = SearchOffsetRequest {
            topic: queue.topic.to_string(),
            queue_id: number(queue),
            timestamp: timestamp_ms,
            boundary_type: None,
        };
        let reply = ask(&channel, RequestCode::SearchOffsetByTimestamp, &header, b"", self.wait()).await?;
        let answer: SearchOffsetResponse = reply.header().map_err(|e| unreadable(&channel, e))?;
        Ok(answer.offset)
    }
}

/// The queue's number as headers carry it.
pub(in crate::client) fn number(queue: &MessageQueue) -> i32 {
    i32::try_from(queue.queue).unwrap_or(i32::MAX)
}
