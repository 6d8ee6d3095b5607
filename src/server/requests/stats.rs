//! Figures about queues, topics and groups (202, 208, 303, 315, 317).

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::offsets::signed;
use super::topics::existing;
use super::{Answer, Refusal, Request, Response};
use crate::actors::catalog::data_version::now_ms;
use crate::actors::catalog::offsets::{OffsetsView, Progress, ViewOffsets};
use crate::actors::catalog::statistics::{Figure, ReadFigure, TopicFigure};
use crate::actors::catalog::topics::TopicEntry;
use crate::protocol::body::Body;
use crate::protocol::body::queue::MessageQueue;
use crate::protocol::body::stats::{
    BrokerStatsData, BrokerStatsItem, ConsumeProgress, ConsumeStats, ConsumeStatsList, ConsumeTimeSpans, QueueEnds,
    QueueTimeSpan, TopicStatsTable,
};
use crate::protocol::code::ResponseCode;
use crate::protocol::header::admin::ViewBrokerStatsDataRequest;
use crate::protocol::header::groups::{
    GetConsumeStatsInBrokerRequest, GetConsumeStatsRequest, QueryConsumeTimeSpanRequest,
};
use crate::protocol::header::topics::GetTopicStatsInfoRequest;
use crate::protocol::names::{Group, QueueId, QueueKey, Topic};
use crate::server::doors::BrokerDoors;

/// Queues that are asked at once for one request.
const QUEUES_AT_ONCE: usize = 32;
/// Topics that one request may name.
const TOPICS_MAX: usize = 10_000;

fn message_queue(doors: &BrokerDoors, key: &QueueKey) -> MessageQueue {
    MessageQueue {
        topic: key.topic.to_string(),
        broker_name: doors.settings.now().identity.broker_name.clone(),
        queue_id: i32::try_from(key.queue).unwrap_or(i32::MAX),
    }
}

/// Asks `of` about the first `queues` queues of a topic, some at once; the answers are in the order of the queues.
async fn each_queue<T, F>(entry: &TopicEntry, queues: u32, of: impl Fn(QueueKey) -> F) -> Result<Vec<T>, Refusal>
where
    F: Future<Output = Result<T, Refusal>>,
{
    let keys = (0..queues).map(|queue| QueueKey { topic: entry.config.topic.clone(), queue });
    stream::iter(keys).map(of).buffered(QUEUES_AT_ONCE).try_collect().await
}

/// 202
pub async fn topic(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: GetTopicStatsInfoRequest = request.header()?;
    let entry = existing(doors, &header.topic)?;
    let ends = async |key: QueueKey| {
        let range = doors.log.range(&key).await?;
        let last = match range.max.checked_sub(1) {
            Some(last) => doors.log.store_time(&key, last).await?.unwrap_or_default(),
            None => 0,
        };
        let ends =
            QueueEnds { last_update_timestamp: last, max_offset: signed(range.max), min_offset: signed(range.min) };
        Ok((message_queue(doors, &key), ends))
    };
    let offset_table = each_queue(&entry, entry.config.queues(), ends).await?.into_iter().collect();
    let figure = ReadFigure { topic: entry.config.topic.clone(), figure: TopicFigure::Messages };
    let spans = doors.statistics.ask(figure).await?.unwrap_or_default();
    Ok(Response::body(TopicStatsTable { offset_table, topic_put_tps: spans.minute.rate }.encode()))
}

/// A group that subscribes to anything now subscribes to `topic`; one that subscribes to nothing might.
pub(super) fn subscribes(doors: &BrokerDoors, group: &str, topic: &str) -> bool {
    let subscriptions = doors.members.subscriptions.group(group);
    subscriptions.is_none_or(|group| group.topics.is_empty() || group.topics.contains_key(topic))
}

/// 208
pub async fn consumption(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: GetConsumeStatsRequest = request.header()?;
    let mut stats = ConsumeStats::default();
    if let Ok(group) = Group::new(&header.consumer_group) {
        let view = doors.offsets.owner.ask(ViewOffsets { group: Some(group.clone()), topic: None }).await?;
        for name in wanted_topics(doors, &header, &group, &view) {
            if let Some(entry) = doors.topics.table.get(&name) {
                let progress = progress(doors, &entry, entry.config.read_queues, (&group, &view)).await?;
                stats.offset_table.extend(progress);
            }
        }
    }
    Ok(Response::body(stats.encode()))
}

/// Topics that are named in a list go as they are; others only while the group subscribes to them.
fn wanted_topics(
    doors: &BrokerDoors,
    header: &GetConsumeStatsRequest,
    group: &Group,
    view: &OffsetsView,
) -> BTreeSet<String> {
    let listed = header.topic_list.as_deref().unwrap_or_default().split(';').map(str::trim);
    let listed: BTreeSet<String> = listed.filter(|name| !name.is_empty()).take(TOPICS_MAX).map(String::from).collect();
    if !listed.is_empty() {
        return listed;
    }
    let one = header.topic.as_deref().filter(|name| !name.trim().is_empty());
    let all = match one {
        Some(name) => BTreeSet::from([name.to_owned()]),
        None => view.topics_of(group).into_iter().map(String::from).collect(),
    };
    all.into_iter().filter(|name| subscribes(doors, group, name)).collect()
}

async fn progress(
    doors: &BrokerDoors,
    entry: &TopicEntry,
    queues: u32,
    (group, view): (&Group, &OffsetsView),
) -> Result<BTreeMap<MessageQueue, ConsumeProgress>, Refusal> {
    let of = async |key: QueueKey| {
        let Progress { committed, pulled } = view.progress(group, &key.topic, key.queue);
        let committed = committed.unwrap_or_default();
        let last_timestamp = match committed.checked_sub(1) {
            Some(last) => doors.log.store_time(&key, last).await?.unwrap_or_default(),
            None => 0,
        };
        let progress = ConsumeProgress {
            broker_offset: signed(doors.log.range(&key).await?.max),
            consumer_offset: signed(committed),
            last_timestamp,
            pull_offset: signed(pulled.unwrap_or_default().max(committed)),
        };
        Ok((message_queue(doors, &key), progress))
    };
    Ok(each_queue(entry, queues, of).await?.into_iter().collect())
}

/// 317
pub async fn all_consumption(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: GetConsumeStatsInBrokerRequest = request.header()?;
    let view = doors.offsets.owner.ask(ViewOffsets::default()).await?;
    let mut list = ConsumeStatsList { broker_addr: doors.identity.address.to_string(), ..ConsumeStatsList::default() };
    for group in doors.groups.table.names() {
        let mut of_group = Vec::new();
        for topic in view.topics_of(&group).iter().filter(|topic| subscribes(doors, &group, topic)) {
            let entry = doors.topics.table.get(topic).filter(|entry| !header.is_order || entry.config.order);
            let Some(entry) = entry else {
                continue;
            };
            let offset_table = progress(doors, &entry, entry.config.write_queues, (&group, &view)).await?;
            for at in offset_table.values() {
                list.total_diff += at.broker_offset.saturating_sub(at.consumer_offset);
                list.total_inflight_diff += at.pull_offset.saturating_sub(at.consumer_offset);
            }
            of_group.push(ConsumeStats { consume_tps: 0.0, offset_table });
        }
        list.consume_stats_list.push(BTreeMap::from([(group.to_string(), of_group)]));
    }
    Ok(Response::body(list.encode()))
}

/// 303
pub async fn time_span(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: QueryConsumeTimeSpanRequest = request.header()?;
    let entry = existing(doors, &header.topic)?;
    let topic = entry.config.topic.clone();
    let view = doors.offsets.owner.ask(ViewOffsets { topic: Some(topic.clone()), group: None }).await?;
    let group = Group::new(&header.group).ok();
    let committed = |queue: QueueId| group.as_ref().and_then(|group| view.committed(group, &topic, queue));
    let span = async |key: QueueKey| queue_span(doors, &key, committed(key.queue).unwrap_or_default()).await;
    let consume_time_span_set = each_queue(&entry, entry.config.write_queues, span).await?;
    Ok(Response::body(ConsumeTimeSpans { consume_time_span_set }.encode()))
}

async fn queue_span(doors: &BrokerDoors, key: &QueueKey, committed: u64) -> Result<QueueTimeSpan, Refusal> {
    let range = doors.log.range(key).await?;
    let at = async |offset: Option<u64>| {
        Ok::<_, Refusal>(match offset.filter(|offset| (range.min..range.max).contains(offset)) {
            Some(offset) => doors.log.store_time(key, offset).await?.unwrap_or(-1),
            None => -1,
        })
    };
    let min = at(Some(range.min)).await?;
    let consumed = if committed > 0 { at(Some(committed - 1)).await? } else { min };
    let next = at(Some(committed)).await?;
    let delay_time = if next >= 0 { now_ms() - next } else { 0 };
    Ok(QueueTimeSpan {
        consume_time_stamp: consumed,
        delay_time,
        max_time_stamp: at(range.max.checked_sub(1)).await?,
        message_queue: message_queue(doors, key),
        min_time_stamp: min,
        ..QueueTimeSpan::default()
    })
}

/// 315: how a topic's figures grew. Other statistics are not kept.
pub async fn figure(doors: &BrokerDoors, request: &Request) -> Answer {
    let ViewBrokerStatsDataRequest { stats_name, stats_key } = request.header()?;
    let missing = || {
        let remark = format!("The stats <{stats_name}> <{stats_key}> not exist");
        Refusal::new(ResponseCode::SystemError, remark)
    };
    let figure = match stats_name.as_str() {
        "TOPIC_PUT_NUMS" => TopicFigure::Messages,
        "TOPIC_PUT_SIZE" => TopicFigure::Bytes,
        _ => return Err(missing()),
    };
    let topic = Topic::new(&stats_key).map_err(|_| missing())?;
    let spans = doors.statistics.ask(ReadFigure { topic, figure }).await?.ok_or_else(missing)?;
    let item = |figure: Figure| BrokerStatsItem {
        avgpt: figure.average,
        sum: i64::try_from(figure.sum).unwrap_or(i64::MAX),
        tps: figure.rate,
    };
    let body =
        BrokerStatsData { stats_day: item(spans.day), stats_hour: item(spans.hour), stats_minute: item(spans.minute) };
    Ok(Response::body(body.encode()))
}
