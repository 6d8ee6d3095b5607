//! Topics: made, changed, deleted, listed (17, 18, 21, 215, 305, 351).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::names::{free_topic, is_system};
use super::{Answer, Refusal, Request, Response};
use crate::actors::catalog::offsets::ViewOffsets;
use crate::actors::catalog::topics::{
    DeleteTopic, ListTopics, TOPIC_QUEUES_MAX, TopicConfig, TopicEntry, TopicList as Topics, UpdateTopics,
    parse_changes,
};
use crate::config::BrokerConfig;
use crate::protocol::body::Body;
use crate::protocol::body::lists::TopicList;
use crate::protocol::body::topics::{
    CreateTopicList, MappedTopicConfig, MappedTopicTable, TopicConfig as TopicBody, TopicFilterType,
};
use crate::protocol::body::version::DataVersion;
use crate::protocol::code::ResponseCode;
use crate::protocol::header::topics::{
    CreateTopicRequest, DeleteTopicRequest, GetAllTopicConfigRequest, GetAllTopicConfigResponse, GetTopicConfigRequest,
};
use crate::protocol::names::{Group, Topic};
use crate::server::doors::BrokerDoors;

/// Most topics or groups in one part of a list, for those who ask for parts.
pub(super) const PART_MAX: usize = 2_000;
/// Remark of answers of which RocketMQ sets nothing but the code.
pub(super) const NOTHING_SET: &str = "not set any response code";
/// Sets a topic's message type.
const MESSAGE_TYPE_CHANGE: &str = "+message.type";

/// 17
pub async fn update(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: CreateTopicRequest = request.header()?;
    let filter = TopicFilterType::from_name(&header.topic_filter_type).ok_or_else(|| {
        Refusal::new(
            ResponseCode::SystemError,
            format!("topicFilterType = [{}] value invalid", header.topic_filter_type),
        )
    })?;
    let changes = parse_changes(header.attributes.as_deref().unwrap_or_default())
        .map_err(|remark| Refusal::new(ResponseCode::SystemError, remark))?;
    let body = TopicBody {
        attributes: changes,
        order: header.order,
        perm: header.perm,
        read_queue_nums: header.read_queue_nums,
        topic_filter_type: filter,
        topic_name: header.topic,
        topic_sys_flag: header.topic_sys_flag.unwrap_or_default(),
        write_queue_nums: header.write_queue_nums,
    };
    let topics = vec![checked(body, &doors.settings.now())?];
    doors.topics.owner.ask(UpdateTopics { topics }).await??;
    Ok(Response::ok().with_remark(NOTHING_SET))
}

/// 18
pub async fn update_list(doors: &BrokerDoors, request: &Request) -> Answer {
    let body = CreateTopicList::decode(&request.body)?;
    let config = doors.settings.now();
    let topics: Result<Vec<_>, _> = body.topic_config_list.into_iter().map(|topic| checked(topic, &config)).collect();
    doors.topics.owner.ask(UpdateTopics { topics: topics? }).await??;
    Ok(Response::ok().with_remark(NOTHING_SET))
}

/// The configuration that an administrator may ask for; its attributes are changes.
fn checked(body: TopicBody, config: &BrokerConfig) -> Result<TopicConfig, Refusal> {
    let topic = free_topic(&body.topic_name, config)?;
    let invalid = |remark: String| Refusal::new(ResponseCode::InvalidParameter, remark);
    if !config.topics.mixed_message_type && body.attributes.get(MESSAGE_TYPE_CHANGE).is_some_and(|v| v == "MIXED") {
        return Err(invalid("MIXED message type is not supported.".into()));
    }
    let queues = |count: i32| {
        u32::try_from(count).ok().filter(|count| *count <= TOPIC_QUEUES_MAX).ok_or_else(|| {
            invalid(format!("the topic[{topic}] cannot have {count} queues, 0 to {TOPIC_QUEUES_MAX} are allowed"))
        })
    };
    Ok(TopicConfig {
        read_queues: queues(body.read_queue_nums)?,
        write_queues: queues(body.write_queue_nums)?,
        perm: body.perm.cast_unsigned(),
        filter: body.topic_filter_type,
        sys_flag: body.topic_sys_flag,
        order: body.order,
        attributes: body.attributes,
        topic,
    })
}

/// 215
pub async fn delete(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: DeleteTopicRequest = request.header()?;
    let config = doors.settings.now();
    let topic = free_topic(&header.topic, &config)?;
    let mut topics = vec![topic.clone()];
    if config.topics.delete_retry_topics {
        let view = ViewOffsets { topic: Some(topic.clone()), group: None };
        let groups = doors.offsets.owner.ask(view).await?.groups_of(&topic);
        let retries = groups.iter().flat_map(|group| pop_retry_topics(&topic, group));
        topics.extend(retries.filter(|retry| doors.topics.table.contains(retry)));
    }
    for topic in topics {
        doors.topics.owner.ask(DeleteTopic { topic }).await??;
    }
    Ok(Response::ok())
}

/// Where pop keeps what a group has to consume again of one topic: the newer name and the older one.
fn pop_retry_topics(topic: &Topic, group: &Group) -> impl Iterator<Item = Topic> {
    let names = [format!("%RETRY%{group}+{topic}"), format!("%RETRY%{group}_{topic}")];
    names.into_iter().filter_map(|name| Topic::new(&name).ok())
}

/// 21
pub async fn list(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: GetAllTopicConfigRequest = request.header()?;
    let Topics { version, topics } = doors.topics.owner.ask(ListTopics).await?;
    let total = topics.len();
    let all = header.topic_seq.is_none() && header.data_version.is_none() && header.max_topic_num.is_none();
    let part = if all {
        0..total
    } else {
        part(total, (header.topic_seq, header.max_topic_num), header.data_version.as_deref(), version)
    };
    let encode = move || {
        let wanted = topics.get(part).unwrap_or_default();
        let table = wanted.iter().map(|entry| (entry.config.topic.to_string(), TopicBody::from(&entry.config)));
        let body =
            MappedTopicTable { data_version: version, topic_config_table: table.collect(), ..Default::default() };
        body.encode()
    };
    let body = elsewhere(encode).await?;
    let total_topic_num = i32::try_from(total).unwrap_or(i32::MAX);
    Ok(Response { body: body.into(), ..Response::header(GetAllTopicConfigResponse { total_topic_num }) })
}

/// The part of a list that is asked for: its first entry and how many, counted anew when the list has changed since.
pub(super) fn part(
    total: usize,
    (first, count): (Option<i32>, Option<i32>),
    known: Option<&str>,
    version: DataVersion,
) -> std::ops::Range<usize> {
    let known: Option<DataVersion> = known.and_then(|text| DataVersion::decode(text.as_bytes()).ok());
    let number = |number: Option<i32>| usize::try_from(number.unwrap_or_default()).unwrap_or_default();
    let first = if known == Some(version) { number(first).min(total) } else { 0 };
    let count = if count.is_none() { PART_MAX } else { number(count).min(PART_MAX) };
    first..(first + count).min(total)
}

/// Makes a large body on a thread that may take its time.
pub(super) async fn elsewhere<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Refusal::new(ResponseCode::SystemError, error.to_string()))
}

/// 351
pub fn get(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: GetTopicConfigRequest = request.header()?;
    let Some(entry) = doors.topics.table.get(&header.topic) else {
        let remark = format!("No topic in this broker. topic: {}", header.topic);
        return Err(Refusal::new(ResponseCode::TopicNotExist, remark));
    };
    Ok(Response::body(MappedTopicConfig::new(TopicBody::from(&entry.config), None).encode()))
}

/// 305
pub fn list_system(doors: &BrokerDoors) -> Answer {
    let config = doors.settings.now();
    let all = doors.topics.table.all();
    let system = all.iter().filter(|entry| is_system(&entry.config.topic, &config));
    let names: BTreeSet<String> = system.map(|entry| entry.config.topic.to_string()).collect();
    let body = TopicList { broker_addr: None, topic_list: names.into_iter().collect() };
    Ok(Response::body(body.encode()))
}

/// The broker's topic of that name.
pub(super) fn existing(doors: &BrokerDoors, name: &str) -> Result<Arc<TopicEntry>, Refusal> {
    let missing = || Refusal::new(ResponseCode::TopicNotExist, format!("topic[{name}] not exist"));
    doors.topics.table.get(name).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_begins_anew_when_the_list_changed() {
        let version = DataVersion { counter: 3, state_version: 0, timestamp: 5 };
        let known = String::from_utf8(version.encode()).unwrap();
        assert_eq!(part(10, (Some(4), Some(3)), Some(&known), version), 4..7);
        assert_eq!(part(10, (Some(4), Some(30)), Some(&known), version), 4..10);
        assert_eq!(part(10, (Some(4), Some(3)), Some("{\"counter\":2}"), version), 0..3);
        assert_eq!(part(10, (Some(40), Some(3)), Some(&known), version), 10..10);
        assert_eq!(part(10, (Some(-1), Some(-1)), Some(&known), version), 0..0);
        assert_eq!(part(5_000, (None, None), Some("nonsense"), version), 0..2_000);
    }
}
