//! Messages that are looked for: by key (12), by id (33), by place in a queue (321).

use bytes::{Bytes, BytesMut};

use super::clients::subscription_body;
use super::offsets::signed;
use super::topics::NOTHING_SET;
use super::{Answer, Refusal, Request, Response};
use crate::protocol::body::Body;
use crate::protocol::body::stats::{ConsumeQueueData, ConsumeQueueEntries};
use crate::protocol::code::ResponseCode;
use crate::protocol::frame::FRAME_BYTES_MAX;
use crate::protocol::header::query::{
    QueryConsumeQueueRequest, QueryMessageRequest, QueryMessageResponse, ViewMessageRequest,
};
use crate::protocol::names::{LogOffset, QueueId, QueueKey};
use crate::server::doors::BrokerDoors;

/// Messages of an answer to a query by unique key, whatever was asked for.
const UNIQUE_KEY_MESSAGES: usize = 32;
/// Ext field of such a query.
const UNIQUE_KEY_QUERY: &str = "_UNIQUE_KEY_QUERY";
/// Bytes of records in one answer: what a frame holds beside its header.
const RECORD_BYTES_MAX: usize = FRAME_BYTES_MAX - 64 * 1024;
/// Most entries of a ConsumeQueue in one answer.
const ENTRIES_MAX: usize = 10_000;

/// 12
pub async fn by_key(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: QueryMessageRequest = request.header()?;
    let unique = request.ext.field(UNIQUE_KEY_QUERY).is_some_and(|text| text == "true");
    let asked = usize::try_from(header.max_num).unwrap_or_default();
    let limit = usize::try_from(doors.settings.now().store.key_query_max).unwrap_or(usize::MAX);
    let count = if unique { UNIQUE_KEY_MESSAGES } else { asked }.min(limit);
    let span = (header.begin_timestamp, header.end_timestamp);
    let matches = doors.log.by_key(&header.topic, &header.key, count, span.0, span.1).await?;
    if matches.records.is_empty() {
        let remark = "can not find message, maybe time range not correct";
        return Err(Refusal::new(ResponseCode::QueryNotFound, remark));
    }
    let found = QueryMessageResponse {
        index_last_update_timestamp: matches.indexed_until_ms,
        index_last_update_phyoffset: signed(matches.indexed_until),
    };
    Ok(Response { body: joined(&matches.records), ..Response::header(found) })
}

/// The records one after the other, as many as a frame holds.
fn joined(records: &[Bytes]) -> Bytes {
    let mut body = BytesMut::new();
    for record in records {
        if body.len() + record.len() > RECORD_BYTES_MAX {
            break;
        }
        body.extend_from_slice(record);
    }
    body.freeze()
}

/// 33
pub async fn by_id(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: ViewMessageRequest = request.header()?;
    let at = LogOffset::try_from(header.offset).ok();
    let record = match at {
        Some(at) => doors.log.record_at(at).await?,
        None => None,
    };
    let missing = || {
        let remark = format!("can not find message by the offset, {}", header.offset);
        Refusal::new(ResponseCode::SystemError, remark)
    };
    Ok(Response::body(record.ok_or_else(missing)?))
}

/// 321
pub async fn queue_entries(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: QueryConsumeQueueRequest = request.header()?;
    let missing = || {
        let remark = format!("{}@{} is not exist!", header.queue_id, header.topic);
        Refusal::new(ResponseCode::SystemError, remark)
    };
    let entry = doors.topics.table.get(&header.topic).ok_or_else(missing)?;
    let queue = QueueId::try_from(header.queue_id).ok().filter(|queue| entry.slot(*queue).is_some());
    let key = QueueKey { topic: entry.config.topic.clone(), queue: queue.ok_or_else(missing)? };
    let range = doors.log.range(&key).await?;
    let from = u64::try_from(header.index).ok().filter(|from| (range.min..range.max).contains(from));
    let Some(from) = from else {
        let remark = format!("Index {} of {}@{} is not exist!", header.index, header.queue_id, header.topic);
        return Ok(Response::ok().with_remark(remark));
    };
    let count = usize::try_from(header.count).unwrap_or_default().min(ENTRIES_MAX);
    let entries = doors.log.entries(&key, from, count).await?;
    let group = header.consumer_group.as_deref();
    let subscription = group.and_then(|group| doors.members.subscriptions.lookup(group, &header.topic));
    let absent = group.filter(|_| subscription.is_none());
    let data = entries.iter().map(|entry| ConsumeQueueData {
        physic_offset: signed(entry.at),
        physic_size: i32::try_from(entry.size).unwrap_or(i32::MAX),
        tags_code: entry.tag_code,
        ..ConsumeQueueData::default()
    });
    let body = ConsumeQueueEntries {
        filter_data: absent.map(|group| format!("{group}@{} is not online!", header.topic)),
        max_queue_index: signed(range.max),
        min_queue_index: signed(range.min),
        queue_data: data.collect(),
        subscription_data: subscription.map(|subscription| subscription_body(&subscription)),
    };
    Ok(Response::body(body.encode()).with_remark(NOTHING_SET))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_holds_no_more_records_than_a_frame() {
        let record = Bytes::from(vec![1; 5 * 1024 * 1024]);
        let body = joined(&[record.clone(), record.clone(), record.clone(), record.clone()]);
        assert_eq!(body.len(), 3 * record.len());
    }
}
