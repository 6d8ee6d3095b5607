//! Messages that a consumer could not take: it hands them back (36), or sends them to its retry topic itself.

use std::sync::Arc;

use super::names::group;
use super::send::{NO_SCHEDULE, Send};
use super::{Answer, Refusal, Request, Response};
use crate::actors::catalog::groups::{EnsureGroup, GroupConfig, GroupError, may_make_itself};
use crate::actors::catalog::topics::{EnsureTopic, TopicConfig, TopicEntry};
use crate::actors::commitlog_writer::{Batch, Outcome};
use crate::actors::delay::Waiting;
use crate::actors::log::draft::{DraftError, QueueCode};
use crate::actors::log::own_appends::StoredRecord;
use crate::config::BrokerRole;
use crate::protocol::code::ResponseCode;
use crate::protocol::header::send::ConsumerSendMsgBackRequest;
use crate::protocol::names::{Group, HALF_TOPIC, LogOffset, OP_HALF_TOPIC, RETRY_PREFIX, SCHEDULE_TOPIC, Topic};
use crate::protocol::properties::{self, Properties};
use crate::protocol::record::{NewRecord, Record};
use crate::protocol::uniq_key;
use crate::rules::retry::{self, Way};
use crate::server::doors::BrokerDoors;

/// Bit of a topic's system flag: its subscribers are a unit's.
const UNIT_SUBSCRIBERS: i32 = 2;

/// A send to a retry topic: has it go to the group's dead letters when the consumer gave the message up. Some group when
/// that has to be made first.
///
/// # Errors
/// 26 for a group that is not there and does not make itself, 13 for a batch.
pub fn redirect(send: &mut Send<'_>, version: i32, doors: &BrokerDoors) -> Result<Option<Group>, Refusal> {
    if send.batch {
        let remark = format!("batch request does not support retry group {}", send.topic);
        return Err(Refusal::new(ResponseCode::MessageIllegal, remark));
    }
    let name = send.topic.strip_prefix(RETRY_PREFIX).unwrap_or_default();
    let group = Group::new(name).map_err(|_| no_group(name))?;
    let Some(config) = doors.groups.table.get(&group) else {
        return if may_make_itself(&doors.settings.now(), &group) { Ok(Some(group)) } else { Err(no_group(&group)) };
    };
    let times_max = retry::times_max(send.max_reconsume_times, version, config.retry_max_times);
    if retry::is_given_up(send.reconsume_times, times_max, holds_locks(doors, &group)) {
        send.give_up(&Topic::dead_letters_of(&group));
    }
    Ok(None)
}

/// Whether a consumer of the group holds a queue, to consume it in order.
fn holds_locks(doors: &BrokerDoors, group: &Group) -> bool {
    doors.members.locks.table.holds_any(group)
}

fn no_group(group: &str) -> Refusal {
    Refusal::new(ResponseCode::SubscriptionGroupNotExist, format!("subscription group not exist, {group}"))
}

fn failed(remark: impl Into<String>) -> Refusal {
    Refusal::new(ResponseCode::SystemError, remark.into())
}

/// 36
pub async fn send_back(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: ConsumerSendMsgBackRequest = request.header()?;
    let settings = doors.settings.now();
    if settings.identity.role == BrokerRole::Slave {
        return Err(failed(format!("no master available along with {}", doors.identity.address)));
    }
    let group = group(&header.group)?;
    let config = group_of(doors, &group).await?;
    if settings.identity.permission & 2 == 0 {
        let remark = format!("the broker[{}] sending message is forbidden", doors.identity.address);
        return Err(Refusal::new(ResponseCode::NoPermission, remark));
    }
    let queues = u32::try_from(config.retry_queue_nums).unwrap_or(0);
    if queues == 0 {
        return Ok(Response::ok());
    }
    let sys_flag = if header.unit_mode { UNIT_SUBSCRIBERS } else { 0 };
    let retry_topic = TopicConfig { sys_flag, ..TopicConfig::new(Topic::retry_of(&group), queues) };
    let entry = derived(doors, retry_topic).await?;
    let stored = stored(doors, header.offset).await?;
    let record = stored.parts().map_err(|error| failed(error.to_string()))?;
    if matches!(record.topic, SCHEDULE_TOPIC | HALF_TOPIC | OP_HALF_TOPIC) {
        return Err(failed(format!(
            "look message by offset failed, {}: it lies in {}, from which nobody consumes",
            header.offset, record.topic
        )));
    }
    let times_max = retry::times_max(header.max_reconsume_times, request.version, config.retry_max_times);
    match retry::handed_back(header.delay_level, record.reconsume_times, times_max) {
        Way::Again { level } => {
            let queues = queues.min(entry.config.write_queues.max(1));
            let queue = (record.queue_offset % u64::from(queues)) as u32;
            put(doors, &record, (&entry, queue), level).await
        }
        Way::DeadLetters => {
            let entry = derived(doors, TopicConfig::new(Topic::dead_letters_of(&group), 1)).await?;
            tracing::info!(%group, origin = record.topic, "a message went to the dead letters");
            put(doors, &record, (&entry, 0), 0).await
        }
    }
}

async fn group_of(doors: &BrokerDoors, group: &Group) -> Result<Arc<GroupConfig>, Refusal> {
    if let Some(config) = doors.groups.table.get(group) {
        return Ok(config);
    }
    match doors.groups.owner.ask(EnsureGroup { group: group.clone() }).await? {
        Ok(config) => Ok(config),
        Err(GroupError::Unknown { .. }) => Err(no_group(group)),
        Err(error) => Err(error.into()),
    }
}

/// A retry topic or one of dead letters, made where it is not there yet.
async fn derived(doors: &BrokerDoors, config: TopicConfig) -> Result<Arc<TopicEntry>, Refusal> {
    let topic = config.topic.clone();
    let entry = match doors.topics.table.get(&topic) {
        Some(entry) => entry,
        None => doors.topics.owner.ask(EnsureTopic { config }).await??,
    };
    if entry.config.is_writable() {
        return Ok(entry);
    }
    let remark = format!("the topic[{topic}] sending message is forbidden");
    Err(Refusal::new(ResponseCode::NoPermission, remark))
}

async fn stored(doors: &BrokerDoors, offset: i64) -> Result<StoredRecord, Refusal> {
    let stored = match LogOffset::try_from(offset) {
        Ok(at) => doors.log.stored_at(at).await?,
        Err(_) => None,
    };
    stored.ok_or_else(|| failed(format!("look message by offset failed, {offset}")))
}

/// Stores the message of `record` once more, for this queue, after the delay of `level`.
async fn put(doors: &BrokerDoors, record: &Record<'_>, (entry, queue): (&TopicEntry, u32), level: i32) -> Answer {
    let mut all = Properties::read(record.properties);
    if all.get(properties::RETRY_TOPIC).is_none() {
        all.set(properties::RETRY_TOPIC, record.topic);
    }
    if all.get(properties::ORIGIN_MESSAGE_ID).is_none_or(|id| id.trim().is_empty()) {
        let id = uniq_key::encode_offset_id(record.store_host, record.physical_offset);
        all.set(properties::ORIGIN_MESSAGE_ID, id.to_string());
    }
    all.set(properties::WAIT, "false");
    all.set(properties::DELAY, level.to_string());
    let topic = &entry.config.topic;
    let waiting = doors.delay.schedule.place(level, (topic, queue), &mut all);
    if level > 0 && waiting.is_none() {
        return Err(failed(NO_SCHEDULE));
    }
    let (entry, queue, code) = match &waiting {
        Some(Waiting { entry, queue, code }) => (&**entry, *queue, *code),
        None => (entry, queue, QueueCode::Tag),
    };
    let text = all.text();
    let pieces: [&[u8]; 1] = [text.as_bytes()];
    let again = NewRecord {
        topic: &entry.config.topic,
        queue,
        store_host: doors.log.own.store_host,
        reconsume_times: record.reconsume_times.saturating_add(1),
        properties: &pieces,
        ..record.again()
    };
    // The consumer commits its offset after the answer: until then the message must be as safe as any.
    let mut batch = Batch { durable: true, ..Batch::default() };
    let added = doors.log.own.add(&mut batch, entry, (again, properties::scan(&text)), code);
    added.map_err(|error| failed(format!("{}: {error}", status_of(&error))))?;
    let bytes = batch.bytes.len() as u64;
    let placed = doors.log.own.append(batch).await;
    match placed.first() {
        Some(placed) if placed.is_stored() => {
            doors.metrics.messages_put.add(1);
            doors.metrics.bytes_put.add(bytes);
            Ok(Response::ok())
        }
        placed => Err(failed(match placed.map(|placed| placed.outcome) {
            Some(Outcome::TopicGone) => "UNKNOWN_ERROR: the topic was deleted",
            _ => "SERVICE_NOT_AVAILABLE",
        })),
    }
}

/// RocketMQ's name for what went wrong.
fn status_of(error: &DraftError) -> &'static str {
    match error {
        DraftError::Properties { .. } => "PROPERTIES_SIZE_EXCEEDED",
        DraftError::Size { .. } => "MESSAGE_ILLEGAL",
        DraftError::Queue { .. } => "UNKNOWN_ERROR",
    }
}
