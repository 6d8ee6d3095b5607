//! Replies of request-reply (324, 325): handed to the client that asked (326), and stored for whoever looks for them
//! later.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use super::consumers::ask;
use super::send::refusal_of;
use super::{Answer, Refusal, Request, Response};
use crate::actors::catalog::members::FindProducer;
use crate::actors::catalog::topics::TopicEntry;
use crate::actors::commitlog_writer::Batch;
use crate::actors::log::draft::QueueCode;
use crate::actors::log::wall_clock_ms;
use crate::config::{BrokerConfig, BrokerRole};
use crate::protocol::code::{RequestCode, ResponseCode};
use crate::protocol::header::send::{SendMessageRequest, SendMessageRequestV2};
use crate::protocol::names::{TOPIC_BYTES_MAX, check_name, is_closed_to_clients};
use crate::protocol::properties::{self, Properties};
use crate::protocol::record::{FLAG_TRANSACTION, NewRecord};
use crate::protocol::uniq_key::encode_offset_id;
use crate::server::doors::BrokerDoors;

/// How long the client that asked has to say that it got the reply.
const HEARD_WITHIN: Duration = Duration::from_secs(10);

/// What a reply is answered with.
#[derive(Serialize)]
struct ReplyAnswer {
    #[serde(rename = "MSG_REGION")]
    region: String,
    #[serde(rename = "TRACE_ON")]
    trace_on: &'static str,
    #[serde(rename = "msgId")]
    id: String,
    #[serde(rename = "queueId")]
    queue: u32,
    #[serde(rename = "queueOffset")]
    queue_offset: u64,
}

/// A reply, and where it is stored.
struct Reply<'a> {
    header: SendMessageRequest<'a>,
    queue: u32,
    body: &'a Bytes,
}

/// 324 and 325: that the client got it decides the answer; that it is stored does not.
pub async fn send(doors: &BrokerDoors, request: &Request) -> Answer {
    let header = header(request)?;
    let config = doors.settings.now();
    let entry = check(doors, &config, &header, request.body.len())?;
    let queue = u32::try_from(header.queue_id).unwrap_or(0);
    let reply = Reply { header, queue, body: &request.body };
    let heard = push(doors, request, &reply).await?;
    let mut answer = ReplyAnswer {
        region: config.identity.region_id.clone(),
        trace_on: if config.clients.trace_on { "true" } else { "false" },
        id: "0".into(),
        queue,
        queue_offset: 0,
    };
    if config.send.store_replies {
        match store(doors, request, (&reply, &entry)).await {
            Ok((id, queue_offset)) => (answer.id, answer.queue_offset) = (id, queue_offset),
            Err(refusal) => tracing::warn!(remark = %refusal.remark, "a reply was not stored"),
        }
    }
    let mut response = Response::header(answer);
    if let Err(remark) = heard {
        (response.code, response.remark) = (ResponseCode::SystemError.number(), Some(remark.into()));
    }
    Ok(response)
}

fn header(request: &Request) -> Result<SendMessageRequest<'_>, Refusal> {
    if request.code == RequestCode::SendReplyMessage.number() {
        return request.header();
    }
    let short: SendMessageRequestV2<'_> = request.header()?;
    Ok(SendMessageRequest {
        producer_group: short.producer_group,
        topic: short.topic,
        default_topic: short.default_topic,
        default_topic_queue_nums: short.default_topic_queue_nums,
        queue_id: short.queue_id,
        sys_flag: short.sys_flag,
        born_timestamp: short.born_timestamp,
        flag: short.flag,
        properties: short.properties,
        reconsume_times: short.reconsume_times,
        unit_mode: short.unit_mode,
        batch: short.batch,
        max_reconsume_times: short.max_reconsume_times,
    })
}

/// What is wrong with the reply whoever it is for.
fn check(
    doors: &BrokerDoors,
    config: &BrokerConfig,
    header: &SendMessageRequest<'_>,
    body_bytes: usize,
) -> Result<std::sync::Arc<TopicEntry>, Refusal> {
    let topic = &header.topic;
    if config.identity.role == BrokerRole::Slave {
        let remark = "the broker is a slave: replies are sent to its master";
        return Err(Refusal::new(ResponseCode::ServiceNotAvailable, remark));
    }
    if (wall_clock_ms() as u64) < config.send.accept_from_epoch_ms {
        let remark = format!("broker unable to service, until {}", config.send.accept_from_epoch_ms);
        return Err(Refusal::new(ResponseCode::SystemError, remark));
    }
    if let Err(error) = check_name(topic, TOPIC_BYTES_MAX) {
        let remark = format!("The specified topic is illegal: {error}");
        return Err(Refusal::new(ResponseCode::InvalidParameter, remark));
    }
    let no_topic =
        || Refusal::new(ResponseCode::TopicNotExist, format!("topic[{topic}] not exist, apply first please!"));
    let entry = doors.topics.table.get(topic).ok_or_else(no_topic)?;
    let closed = config.identity.permission & 2 == 0 && entry.config.order;
    if closed || is_closed_to_clients(topic) || !entry.config.is_writable() {
        let remark = format!("Sending message to topic[{topic}] is forbidden.");
        return Err(Refusal::new(ResponseCode::NoPermission, remark));
    }
    let beyond = u32::try_from(header.queue_id).is_ok_and(|queue| entry.slot(queue).is_none());
    if beyond {
        let remark = format!("request queueId[{}] is illegal, topic[{topic}] has fewer queues", header.queue_id);
        return Err(Refusal::new(ResponseCode::InvalidParameter, remark));
    }
    if header.batch == Some(true) || body_bytes > config.send.max_body_bytes as usize {
        let remark = format!("a reply is one message of at most {} bytes", config.send.max_body_bytes);
        return Err(Refusal::new(ResponseCode::MessageIllegal, remark));
    }
    Ok(entry)
}

/// Hands the reply to the client that asked; what went wrong where it did not get it.
async fn push(doors: &BrokerDoors, request: &Request, reply: &Reply<'_>) -> Result<Result<(), String>, Refusal> {
    let mut all = Properties::read(&reply.header.properties);
    let Some(asker) = all.get(properties::REPLY_TO_CLIENT).map(str::to_owned) else {
        return Ok(Err(format!("reply message properties[{}] is null", properties::REPLY_TO_CLIENT)));
    };
    let Some(client) = doors.members.owner.ask(FindProducer { client_id: asker.clone() }).await? else {
        return Ok(Err(format!("push reply message fail, channel of <{asker}> not found.")));
    };
    let now = wall_clock_ms();
    all.set(properties::PUSH_REPLY_TIME, now.to_string());
    let header = &reply.header;
    let fields = vec![
        ("producerGroup", header.producer_group.to_string()),
        ("topic", header.topic.to_string()),
        ("defaultTopic", header.default_topic.to_string()),
        ("defaultTopicQueueNums", header.default_topic_queue_nums.to_string()),
        ("queueId", header.queue_id.to_string()),
        ("sysFlag", header.sys_flag.to_string()),
        ("bornTimestamp", header.born_timestamp.to_string()),
        ("flag", header.flag.to_string()),
        ("properties", all.text()),
        ("reconsumeTimes", header.reconsume_times.unwrap_or(0).to_string()),
        ("unitMode", header.unit_mode.unwrap_or(false).to_string()),
        ("bornHost", request.peer.address.to_string()),
        ("storeHost", doors.log.own.store_host.to_string()),
        ("storeTimestamp", now.to_string()),
    ];
    let code = RequestCode::PushReplyMessageToClient;
    let heard = ask(&client, code, (fields, reply.body.clone()), HEARD_WITHIN).await;
    let reason = match heard {
        Ok(answer) if answer.code == ResponseCode::Success.number() => return Ok(Ok(())),
        Ok(answer) => answer.remark.unwrap_or_default(),
        Err(silence) => silence.to_string(),
    };
    tracing::debug!(asker, reason, "a reply was not taken");
    Ok(Err(format!("push reply message to {asker} fail: {reason}")))
}

/// The id and the offset of the stored reply.
async fn store(
    doors: &BrokerDoors,
    request: &Request,
    (reply, entry): (&Reply<'_>, &TopicEntry),
) -> Result<(String, u64), Refusal> {
    let illegal = |error: String| Refusal::new(ResponseCode::MessageIllegal, error);
    let store_host = doors.log.own.store_host;
    let text = Properties::read(&reply.header.properties).text();
    let pieces: [&[u8]; 1] = [text.as_bytes()];
    let seen = properties::scan(&text);
    let record = NewRecord {
        topic: &entry.config.topic,
        queue: reply.queue,
        flag: reply.header.flag,
        sys_flag: reply.header.sys_flag & !FLAG_TRANSACTION,
        born_timestamp_ms: reply.header.born_timestamp,
        born_host: request.peer.address,
        store_host,
        reconsume_times: reply.header.reconsume_times.unwrap_or(0),
        prepared_transaction_offset: 0,
        body: reply.body,
        properties: &pieces,
    };
    let mut batch = Batch { durable: seen.wait, ..Batch::default() };
    let added = doors.log.own.add(&mut batch, entry, (record, seen), QueueCode::Tag);
    added.map_err(|error| illegal(error.to_string()))?;
    let bytes = batch.bytes.len() as u64;
    let placed = doors.log.own.append(batch).await.first().copied().unwrap_or_default();
    if !placed.is_stored() {
        let unknown = || illegal("the reply was perhaps not stored".into());
        return Err(refusal_of(placed.outcome).unwrap_or_else(unknown));
    }
    doors.metrics.messages_put.add(1);
    doors.metrics.bytes_put.add(bytes);
    Ok((encode_offset_id(store_host, placed.at).to_string(), placed.queue_offset))
}
