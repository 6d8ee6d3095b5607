//! Clients that are there: heartbeats and farewells (34, 35), who is there (38, 203, 204, 328), expressions (46).
//!
//! [`heartbeat`] and [`unregister`] queue everything at the call, so that a session that calls them in the order of its
//! socket, and sends its end last, is heard in that order; only their answers take time.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::oneshot;

use super::{Answer, Refusal, Request, Response};
use crate::actors::catalog::groups::{EnsureGroup, may_make_itself};
use crate::actors::catalog::members::{
    Client, ConsumeType, Consumer, Heartbeat, HeartbeatReply, ListConsumerIds, ListConsumers, ListProducers, Producer,
    Subscription, Unregister,
};
use crate::actors::catalog::topics::{EnsureTopic, TopicConfig};
use crate::actors::door::Closed;
use crate::config::BrokerConfig;
use crate::protocol::body::Body;
use crate::protocol::body::clients::{
    CheckClientRequest, Connection, ConsumerConnection, ConsumerData, ConsumerList, HeartbeatData, ProducerConnection,
    ProducerInfo, ProducerTableInfo, SubscriptionData,
};
use crate::protocol::code::{Language, ResponseCode};
use crate::protocol::header::clients::{
    GetConsumerConnectionListRequest, GetConsumerListByGroupRequest, GetProducerConnectionListRequest,
    UnregisterClientRequest,
};
use crate::protocol::names::{GROUP_BYTES_MAX, Group, Topic};
use crate::server::doors::BrokerDoors;
use crate::server::filters::{Unusable, is_by_tag};

/// Longest client id, in bytes.
pub const CLIENT_ID_BYTES_MAX: usize = 1_024;
/// Bit of a topic's flag: subscribed to from another unit.
const UNIT_SUBSCRIBERS: i32 = 2;

/// Ext fields of the answer to a heartbeat.
#[derive(Serialize)]
struct HeartbeatAnswer {
    #[serde(rename = "IS_SUPPORT_HEART_BEAT_V2")]
    fingerprints_understood: bool,
    #[serde(rename = "IS_SUB_CHANGE")]
    send_subscriptions: bool,
    /// Ours: headers may be MessagePack. Other clients pass over what they do not know.
    #[serde(rename = "MESSAGE_PACK")]
    message_pack: bool,
}

/// 34. Everything is queued at the call; the future only waits for the answers.
pub fn heartbeat(doors: &BrokerDoors, request: &Request) -> impl Future<Output = Answer> + use<> {
    let queued = queue_heartbeat(doors, request);
    async move {
        let (made, reply) = queued?;
        for work in made {
            work.await;
        }
        let reply = reply.await.map_err(|_| Closed)?;
        let send_subscriptions = reply.send_subscriptions;
        Ok(Response::header(HeartbeatAnswer { fingerprints_understood: true, send_subscriptions, message_pack: true }))
    }
}

type Making = std::pin::Pin<Box<dyn Future<Output = ()>>>;

fn queue_heartbeat(
    doors: &BrokerDoors,
    request: &Request,
) -> Result<(Vec<Making>, oneshot::Receiver<HeartbeatReply>), Refusal> {
    let body = HeartbeatData::decode(&request.body)?;
    let client = client(request, &body.client_id)?;
    let config = doors.settings.now();
    let served = body.consumer_data_set.iter().filter(|consumer| {
        !(config.clients.reject_pull_consumers && consumer.consume_type == Some(ConsumeType::ConsumeActively))
    });
    let mut making = Vec::new();
    let mut consumers = Vec::new();
    for data in served {
        let known = Group::new(&data.group_name).ok().filter(|group| prepare(doors, &config, group, data, &mut making));
        let Some(group) = known else {
            tracing::debug!(group = data.group_name, client = body.client_id, "a heartbeat of an unknown group");
            continue;
        };
        consumers.push(consumer(group, data));
    }
    let producers = body.producer_data_set.iter().map(|producer| producer.group_name.as_str());
    let producers = producers.filter(|name| !name.is_empty() && name.len() <= GROUP_BYTES_MAX);
    let (reply, answer) = oneshot::channel();
    doors.members.owner.tell(Heartbeat {
        client,
        fingerprint: body.heartbeat_fingerprint,
        without_subscriptions: body.without_sub,
        consumers,
        producers: producers.map(Arc::from).collect(),
        reply,
    });
    Ok((making, answer))
}

/// Has the group and its retry topic made where they are not there. Whether the group may have members.
fn prepare(
    doors: &BrokerDoors,
    config: &BrokerConfig,
    group: &Group,
    data: &ConsumerData,
    making: &mut Vec<Making>,
) -> bool {
    let known = doors.groups.table.get(group);
    if known.is_none() && !may_make_itself(config, group) {
        return false;
    }
    if known.is_none() {
        let made = doors.groups.owner.ask(EnsureGroup { group: group.clone() });
        making.push(Box::pin(async move {
            if let Ok(Err(error)) = made.await {
                tracing::warn!(%error, "a consumer group was not made");
            }
        }));
    }
    let orders = |topic: &str| doors.topics.table.get(topic).is_some_and(|entry| entry.config.order);
    let order = data.subscription_data_set.iter().any(|subscription| orders(&subscription.topic));
    let topic = Topic::retry_of(group);
    if doors.topics.table.get(&topic).is_none_or(|entry| order && !entry.config.order) {
        let queues = known.map_or(1, |config| u32::try_from(config.retry_queue_nums).unwrap_or_default());
        let sys_flag = if data.unit_mode { UNIT_SUBSCRIBERS } else { 0 };
        let config = TopicConfig { order, sys_flag, ..TopicConfig::new(topic, queues) };
        let made = doors.topics.owner.ask(EnsureTopic { config });
        making.push(Box::pin(async move {
            if let Ok(Err(error)) = made.await {
                tracing::warn!(%error, "a retry topic was not made");
            }
        }));
    }
    true
}

fn client(request: &Request, id: &str) -> Result<Client, Refusal> {
    if id.is_empty() || id.len() > CLIENT_ID_BYTES_MAX {
        let remark = format!("a client id of {} bytes, 1 to {CLIENT_ID_BYTES_MAX} are allowed", id.len());
        return Err(Refusal::new(ResponseCode::SystemError, remark));
    }
    Ok(Client { peer: request.peer.clone(), id: id.into(), language: request.language, version: request.version })
}

fn consumer(group: Group, data: &ConsumerData) -> Consumer {
    let subscriptions = data.subscription_data_set.iter().filter_map(subscription);
    Consumer {
        group,
        consume_type: data.consume_type,
        model: data.message_model,
        from: data.consume_from_where,
        subscriptions: subscriptions.collect(),
    }
}

/// What a client wants of a topic; `None` when the topic can have no such name.
pub fn subscription(data: &SubscriptionData) -> Option<Subscription> {
    let topic = Topic::new(&data.topic).ok()?;
    let tags = data.tags_set.iter().cloned().collect();
    let mut subscription = Subscription::new(topic, data.expression_type.clone(), Some(data.sub_string.clone()), tags);
    subscription.version = data.sub_version;
    subscription.class_filter = data.class_filter_mode;
    Some(subscription)
}

/// A subscription as bodies show it.
pub(super) fn subscription_body(subscription: &Subscription) -> SubscriptionData {
    SubscriptionData {
        class_filter_mode: subscription.class_filter,
        code_set: subscription.codes().to_vec(),
        expression_type: Some(subscription.expression_type.clone()),
        sub_string: subscription.expression.clone(),
        sub_version: subscription.version,
        tags_set: subscription.tags.iter().cloned().collect(),
        topic: subscription.topic.to_string(),
    }
}

/// 35. Queued at the call.
pub fn unregister(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: UnregisterClientRequest = request.header()?;
    doors.members.owner.tell(Unregister {
        connection: request.peer.connection,
        client_id: header.client_id,
        producer_group: header.producer_group,
        consumer_group: header.consumer_group,
    });
    Ok(Response::ok())
}

/// 38
pub async fn consumer_ids(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: GetConsumerListByGroupRequest = request.header()?;
    let mut ids = Vec::new();
    if let Ok(group) = Group::new(&header.consumer_group) {
        ids = doors.members.owner.ask(ListConsumerIds { group }).await?;
    }
    if ids.is_empty() {
        let remark = format!("no consumer for this group, {}", header.consumer_group);
        return Err(Refusal::new(ResponseCode::SystemError, remark));
    }
    let body = ConsumerList { consumer_id_list: ids.iter().map(|id| id.to_string()).collect() };
    Ok(Response::body(body.encode()))
}

/// 203
pub async fn consumers(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: GetConsumerConnectionListRequest = request.header()?;
    let mut found = None;
    if let Ok(group) = Group::new(&header.consumer_group) {
        found = doors.members.owner.ask(ListConsumers { group }).await?;
    }
    let Some(found) = found else {
        let remark = format!("the consumer group[{}] not online", header.consumer_group);
        return Err(Refusal::new(ResponseCode::ConsumerNotOnline, remark));
    };
    let subscriptions = found.subscriptions.topics.iter();
    let body = ConsumerConnection {
        connection_set: found.clients.iter().map(connection).collect(),
        consume_from_where: found.subscriptions.from,
        consume_type: found.subscriptions.consume_type,
        message_model: found.subscriptions.model,
        subscription_table: subscriptions.map(|(topic, of)| (topic.to_string(), subscription_body(of))).collect(),
    };
    Ok(Response::body(body.encode()))
}

fn connection(client: &Client) -> Connection {
    Connection {
        client_addr: client.peer.address.to_string(),
        client_id: client.id.to_string(),
        language: Language::from_ordinal(client.language),
        version: client.version,
    }
}

/// 204
pub async fn producers(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: GetProducerConnectionListRequest = request.header()?;
    let wanted = ListProducers { group: Some(header.producer_group.clone()) };
    let found = doors.members.owner.ask(wanted).await?;
    let Some(producers) = found.get(header.producer_group.as_str()) else {
        let remark = format!("the producer group[{}] not exist", header.producer_group);
        return Err(Refusal::new(ResponseCode::SystemError, remark));
    };
    let connection_set = producers.iter().map(|producer| connection(&producer.client)).collect();
    Ok(Response::body(ProducerConnection { connection_set }.encode()))
}

/// 328
pub async fn all_producers(doors: &BrokerDoors) -> Answer {
    let found = doors.members.owner.ask(ListProducers { group: None }).await?;
    let info = |producer: &Producer| ProducerInfo {
        client_id: producer.client.id.to_string(),
        language: Language::from_ordinal(producer.client.language),
        last_update_timestamp: producer.seen_ms,
        remote_ip: format!("/{}", producer.client.peer.address),
        version: producer.client.version,
    };
    let data = found.iter().map(|(group, producers)| (group.to_string(), producers.iter().map(info).collect()));
    Ok(Response::body(ProducerTableInfo { data: data.collect() }.encode()))
}

/// 46: whether an expression can be used here.
pub fn check(doors: &BrokerDoors, request: &Request) -> Answer {
    if request.body.is_empty() {
        return Ok(Response::ok());
    }
    let body = CheckClientRequest::decode(&request.body)?;
    let Some(subscription) = body.subscription_data else { return Ok(Response::ok()) };
    let kind = subscription.expression_type.as_deref().unwrap_or_default();
    if is_by_tag(kind) {
        return Ok(Response::ok());
    }
    let (filters, allowed) = (&doors.extensions.filters, doors.settings.now().pull.sql_filter);
    let resolved = filters.resolve(kind, &subscription.sub_string, "", allowed);
    resolved.map(|_| Response::ok()).map_err(|error| {
        let code = match error {
            Unusable::NotAllowed(_) => ResponseCode::SystemError,
            _ => ResponseCode::SubscriptionParseFailed,
        };
        Refusal::new(code, error.to_string())
    })
}
