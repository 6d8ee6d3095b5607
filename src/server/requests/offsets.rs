//! Consumer offsets (14, 15, 43, 222, 308, 314) and the ends of queues (29 to 32).

use std::collections::BTreeMap;

use super::consumers;
use super::names::{group, topic};
use super::stats::subscribes;
use super::{Answer, Refusal, Request, Response};
use crate::actors::catalog::offsets::{
    CloneOffsets, Commit, CommitKind, Commits, EncodeOffsets, QueryProgress, ResetOffsets, ViewOffsets,
};
use crate::actors::catalog::topics::TopicEntry;
use crate::actors::delay::EncodeDelayOffsets;
use crate::actors::log::doors::{Boundary, QueueRange};
use crate::config::BrokerRole;
use crate::protocol::body::Body;
use crate::protocol::body::offsets::{CorrectionOffsets, ResetOffsets as ResetBody};
use crate::protocol::body::queue::MessageQueue;
use crate::protocol::code::ResponseCode;
use crate::protocol::header::groups::{CloneGroupOffsetRequest, QueryCorrectionOffsetRequest, ResetOffsetRequest};
use crate::protocol::header::offsets::{
    GetEarliestMsgStoretimeRequest, GetEarliestMsgStoretimeResponse, GetMaxOffsetRequest, GetMaxOffsetResponse,
    GetMinOffsetRequest, GetMinOffsetResponse, QueryConsumerOffsetRequest, QueryConsumerOffsetResponse,
    SearchOffsetRequest, SearchOffsetResponse, UpdateConsumerOffsetRequest,
};
use crate::protocol::names::{Group, QueueId, QueueKey, QueueOffset, Topic};
use crate::server::doors::BrokerDoors;

/// Remark of a commit that was passed over.
const RESET_PENDING: &str = "Offset has been previously reset";

/// 15, for a session that gathers the commits of one socket read into one `Commits`: what is to be committed. `None`: the
/// answer is success all the same, for a reset goes before the commit.
///
/// # Errors
/// 26 and 17 for a group or topic that is not there, 29 for a queue that no topic has.
pub fn commit(doors: &BrokerDoors, header: &UpdateConsumerOffsetRequest) -> Result<Option<Commit>, Refusal> {
    let (group, topic) = (&header.consumer_group, &header.topic);
    let no_group = || Refusal::new(ResponseCode::SubscriptionGroupNotExist, format!("Group {group} not exist!"));
    let no_topic = || Refusal::new(ResponseCode::TopicNotExist, format!("Topic {topic} not exist!"));
    let known_group = Group::new(group).ok().filter(|group| doors.groups.table.contains(group)).ok_or_else(no_group)?;
    let entry = doors.topics.table.get(topic).ok_or_else(no_topic)?;
    let queue = QueueId::try_from(header.queue_id).ok().filter(|queue| entry.slot(*queue).is_some());
    let queue = queue.ok_or_else(|| no_queue(header.queue_id, &entry))?;
    // A negative offset is none for RocketMQ too.
    let Ok(offset) = QueueOffset::try_from(header.commit_offset) else {
        return Ok(None);
    };
    let topic = entry.config.topic.clone();
    if !doors.offsets.resets.is_empty() && doors.settings.now().clients.server_side_reset {
        let key = QueueKey { topic: topic.clone(), queue };
        if doors.offsets.resets.pending(&known_group, &key).is_some() {
            return Ok(None);
        }
    }
    Ok(Some(Commit { group: known_group, topic, queue, offset, kind: CommitKind::Consumed }))
}

fn no_queue(queue: i32, entry: &TopicEntry) -> Refusal {
    let remark = format!("queueId[{queue}] is illegal, topic[{}] has {}", entry.config.topic, entry.config.queues());
    Refusal::new(ResponseCode::InvalidParameter, remark)
}

/// 15, alone.
pub fn update(doors: &BrokerDoors, request: &Request) -> Answer {
    match commit(doors, &request.header()?)? {
        Some(commit) => {
            doors.offsets.owner.tell(Commits(vec![commit]));
            Ok(Response::ok())
        }
        None => Ok(Response::ok().with_remark(RESET_PENDING)),
    }
}

/// 14: what a group that has no offset begins with is 0 while the queue's first message is there or still to come.
pub async fn query(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: QueryConsumerOffsetRequest = request.header()?;
    let missing = |remark: &'static str| Refusal::new(ResponseCode::QueryNotFound, remark);
    let boots = || missing("Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first");
    let queue = known_queue(doors, &header.topic, header.queue_id);
    let (Ok(group), Some(key)) = (Group::new(&header.consumer_group), queue) else {
        return Err(boots());
    };
    let query = QueryProgress { group, topic: key.topic.clone(), queue: key.queue };
    let found = doors.offsets.owner.ask(query).await?.committed;
    let offset = match found {
        Some(offset) => offset,
        None if header.set_zero_if_not_found == Some(false) => {
            return Err(missing("Not found, do not set to zero, maybe this group boot first"));
        }
        None if doors.log.range(&key).await?.min == 0 => 0,
        None => return Err(boots()),
    };
    Ok(Response::header(QueryConsumerOffsetResponse { offset: signed(offset) }))
}

/// A queue of a topic that is there.
fn known_queue(doors: &BrokerDoors, topic: &str, queue: i32) -> Option<QueueKey> {
    let entry = doors.topics.table.get(topic)?;
    let queue = QueueId::try_from(queue).ok()?;
    entry.slot(queue)?;
    Some(QueueKey { topic: entry.config.topic.clone(), queue })
}

pub(super) fn signed(offset: QueueOffset) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

/// What a queue holds; one that is not there holds nothing.
async fn range(doors: &BrokerDoors, topic: &str, queue: i32) -> Result<QueueRange, Refusal> {
    match known_queue(doors, topic, queue) {
        Some(key) => Ok(doors.log.range(&key).await?),
        None => Ok(QueueRange::default()),
    }
}

/// 29
pub async fn search(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: SearchOffsetRequest = request.header()?;
    let upper = header.boundary_type.is_some_and(|boundary| boundary.eq_ignore_ascii_case("upper"));
    let boundary = if upper { Boundary::Upper } else { Boundary::Lower };
    let offset = match known_queue(doors, &header.topic, header.queue_id) {
        Some(key) => doors.log.offset_by_time(&key, header.timestamp, boundary).await?,
        None => 0,
    };
    Ok(Response::header(SearchOffsetResponse { offset: signed(offset) }))
}

/// 30
pub async fn max(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: GetMaxOffsetRequest = request.header()?;
    let range = range(doors, &header.topic, header.queue_id).await?;
    Ok(Response::header(GetMaxOffsetResponse { offset: signed(range.max) }))
}

/// 31
pub async fn min(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: GetMinOffsetRequest = request.header()?;
    let range = range(doors, &header.topic, header.queue_id).await?;
    Ok(Response::header(GetMinOffsetResponse { offset: signed(range.min) }))
}

/// 32
pub async fn earliest_store_time(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: GetEarliestMsgStoretimeRequest = request.header()?;
    let mut timestamp = -1;
    if let Some(key) = known_queue(doors, &header.topic, header.queue_id) {
        let range = doors.log.range(&key).await?;
        if range.min < range.max {
            timestamp = doors.log.store_time(&key, range.min).await?.unwrap_or(-1);
        }
    }
    Ok(Response::header(GetEarliestMsgStoretimeResponse { timestamp }))
}

/// 43
pub async fn list(doors: &BrokerDoors) -> Answer {
    Ok(Response::body(doors.offsets.owner.ask(EncodeOffsets).await?))
}

/// 45
pub async fn list_delayed(doors: &BrokerDoors) -> Answer {
    Ok(Response::body(doors.delay.owner.ask(EncodeDelayOffsets).await?))
}

/// 222, done by the broker itself, or by the group's consumers.
pub async fn reset(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: ResetOffsetRequest = request.header()?;
    let failed = |remark: String| Refusal::new(ResponseCode::SystemError, remark);
    let config = doors.settings.now();
    if !config.clients.server_side_reset {
        return consumers::notify_reset(doors, request).await;
    }
    if config.identity.role == BrokerRole::Slave {
        return Err(failed("Can not reset offset in slave broker".into()));
    }
    let no_topic = || Refusal::new(ResponseCode::TopicNotExist, format!("Topic {} does not exist", header.topic));
    let entry = doors.topics.table.get(&header.topic).ok_or_else(no_topic)?;
    let group = Group::new(&header.group).ok().filter(|group| doors.groups.table.contains(group));
    let group = group.ok_or_else(|| {
        Refusal::new(ResponseCode::SubscriptionGroupNotExist, format!("Group {} does not exist", header.group))
    })?;
    let offsets = reset_targets(doors, &entry, &header).await?;
    if offsets.is_empty() {
        return Err(failed("No queues to reset.".into()));
    }
    let topic = entry.config.topic.clone();
    doors.offsets.owner.ask(ResetOffsets { group, topic, offsets: offsets.clone() }).await?;
    let queue = |(queue, offset): (QueueId, QueueOffset)| {
        let broker_name = config.identity.broker_name.clone();
        let queue_id = i32::try_from(queue).unwrap_or(i32::MAX);
        (MessageQueue { topic: header.topic.clone(), broker_name, queue_id }, signed(offset))
    };
    Ok(Response::body(ResetBody { offset_table: offsets.into_iter().map(queue).collect() }.encode()))
}

async fn reset_targets(
    doors: &BrokerDoors,
    entry: &TopicEntry,
    header: &ResetOffsetRequest,
) -> Result<Vec<(QueueId, QueueOffset)>, Refusal> {
    let key = |queue| QueueKey { topic: entry.config.topic.clone(), queue };
    let by_time = async |queue| {
        Ok::<_, Refusal>(match header.timestamp {
            ..0 => doors.log.range(&key(queue)).await?.max,
            time => doors.log.offset_by_time(&key(queue), time, Boundary::Lower).await?,
        })
    };
    let wanted = header.queue_id.unwrap_or(-1);
    let Ok(queue) = QueueId::try_from(wanted) else {
        let mut targets = Vec::new();
        for queue in 0..entry.config.read_queues {
            targets.push((queue, by_time(queue).await?));
        }
        return Ok(targets);
    };
    entry.slot(queue).ok_or_else(|| no_queue(wanted, entry))?;
    let Some(offset) = header.offset.filter(|offset| *offset != -1) else {
        return Ok(vec![(queue, by_time(queue).await?)]);
    };
    let QueueRange { min, max } = doors.log.range(&key(queue)).await?;
    let allowed = QueueOffset::try_from(offset).ok().filter(|offset| (min..=max + 1).contains(offset));
    let refusal = || {
        let remark = format!("Target offset {offset} not in consume queue range [{min}-{max}]");
        Refusal::new(ResponseCode::SystemError, remark)
    };
    Ok(vec![(queue, allowed.ok_or_else(refusal)?)])
}

/// 308: by queue, the least offset over all groups but those that are filtered out; no limit where the group that is
/// compared has not come so far.
pub async fn correction(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: QueryCorrectionOffsetRequest = request.header()?;
    let topic = topic(&header.topic)?;
    let view = doors.offsets.owner.ask(ViewOffsets { topic: Some(topic.clone()), group: None }).await?;
    let filtered: Vec<&str> = header.filter_groups.as_deref().unwrap_or_default().split(',').collect();
    let mut least: BTreeMap<i32, i64> = BTreeMap::new();
    for ((group, _), queues) in view.with_commits().filter(|((group, _), _)| !filtered.contains(&group.as_str())) {
        for (queue, offset) in queues.iter().filter_map(|(queue, progress)| Some((*queue, progress.committed?))) {
            let key = QueueKey { topic: topic.clone(), queue };
            if offset >= doors.log.range(&key).await?.min {
                let least = least.entry(i32::try_from(queue).unwrap_or(i32::MAX)).or_insert(i64::MAX);
                *least = signed(offset).min(*least);
            }
        }
        tracing::trace!(%group, "looked at a group's offsets");
    }
    let compared = Group::new(&header.compare_group).ok();
    for (queue, progress) in compared.iter().filter_map(|group| view.of(group, &topic)).flatten() {
        let place = i32::try_from(*queue).ok().and_then(|queue| least.get_mut(&queue));
        if let (Some(least), Some(committed)) = (place, progress.committed)
            && *least > signed(committed)
        {
            *least = i64::MAX;
        }
    }
    Ok(Response::body(CorrectionOffsets { correction_offsets: least }.encode()))
}

/// 314
pub async fn clone(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: CloneGroupOffsetRequest = request.header()?;
    let (from, to) = (group(&header.src_group)?, group(&header.dest_group)?);
    let topics: Vec<Topic> = match header.topic.filter(|name| !name.trim().is_empty()) {
        Some(name) => vec![topic(&name)?],
        None => {
            let view = ViewOffsets { group: Some(from.clone()), topic: None };
            doors.offsets.owner.ask(view).await?.topics_of(&from).into_iter().collect()
        }
    };
    let there = topics.into_iter().filter(|topic| doors.topics.table.contains(topic));
    let topics = there.filter(|topic| header.offline || subscribes(doors, &from, topic)).collect();
    doors.offsets.owner.ask(CloneOffsets { from, to, topics }).await?;
    Ok(Response::ok())
}
