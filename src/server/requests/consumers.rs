//! Consumers that are asked by way of the broker how they run (307), where they are (223), or to consume a message (309),
//! and told where to go on (220).

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::offsets::signed;
use super::{Answer, Refusal, Request, Response};
use crate::actors::catalog::members::{Client, FindConsumer, ListConsumers};
use crate::actors::catalog::offsets::QueryProgress;
use crate::actors::catalog::topics::TopicEntry;
use crate::actors::log::doors::Boundary;
use crate::actors::{ClientAnswer, Push};
use crate::protocol::body::Body;
use crate::protocol::body::offsets::{ConsumerStatus, ResetOffsets, ResetOffsetsAsList};
use crate::protocol::body::queue::MessageQueue;
use crate::protocol::code::{Language, RequestCode, ResponseCode, version};
use crate::protocol::header::clients::{ConsumeMessageDirectlyResultRequest, GetConsumerRunningInfoRequest};
use crate::protocol::header::groups::{GetConsumerStatusRequest, ResetOffsetRequest};
use crate::protocol::names::{Group, QueueKey};
use crate::protocol::uniq_key;
use crate::server::doors::BrokerDoors;

/// How long a client has to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long each of a group's consumers has to say where it is.
const STATUS_WITHIN: Duration = Duration::from_secs(5);

type Fields = Vec<(&'static str, String)>;

/// Why a client did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Silence {
    #[error("no answer within {0:?}")]
    Late(Duration),
    #[error("the connection was closed, or too much was asked of it already")]
    Gone,
}

/// Asks a client and waits for its answer.
pub(super) async fn ask(
    client: &Client,
    code: RequestCode,
    (fields, body): (Fields, Bytes),
    wait: Duration,
) -> Result<ClientAnswer, Silence> {
    let (reply, answer) = oneshot::channel();
    client.peer.push.do_send(Push { code: code.number(), fields, body, reply: Some(reply) });
    timeout(wait, answer).await.map_err(|_| Silence::Late(wait))?.map_err(|_| Silence::Gone)
}

fn failed(remark: String) -> Refusal {
    Refusal::new(ResponseCode::SystemError, remark)
}

/// 307
pub async fn running_info(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: GetConsumerRunningInfoRequest = request.header()?;
    let fields = vec![
        ("consumerGroup", header.consumer_group.clone()),
        ("clientId", header.client_id.clone()),
        ("jstackEnable", header.jstack_enable.to_string()),
    ];
    let wanted = (header.consumer_group.as_str(), header.client_id.as_str());
    relay(doors, RequestCode::GetConsumerRunningInfo, wanted, (fields, Bytes::new())).await
}

/// 309: the message is read here, so that any consumer of the group can be given it.
pub async fn consume_directly(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: ConsumeMessageDirectlyResultRequest = request.header()?;
    let id = header.msg_id.clone().unwrap_or_default();
    let missing =
        || failed(format!("there is no message {id} here; a message is named by the id that holds its place"));
    let (_, at) = uniq_key::decode_offset_id(&id).map_err(|_| missing())?;
    let stored = doors.log.stored_at(at).await?.ok_or_else(missing)?;
    let client_id = header.client_id.clone().unwrap_or_default();
    let mut fields = vec![
        ("consumerGroup", header.consumer_group.clone()),
        ("clientId", client_id.clone()),
        ("msgId", id.clone()),
        ("brokerName", doors.settings.now().identity.broker_name.clone()),
    ];
    if let Some(topic) = &header.topic {
        let entry = doors.topics.table.get(topic);
        fields.extend(entry.map(|entry| ("topicSysFlag", entry.config.sys_flag.to_string())));
        fields.push(("topic", topic.clone()));
    }
    let group = Group::new(&header.consumer_group).ok();
    let config = group.and_then(|group| doors.groups.table.get(&group));
    fields.extend(config.map(|config| ("groupSysFlag", config.group_sys_flag.to_string())));
    let wanted = (header.consumer_group.as_str(), client_id.as_str());
    relay(doors, RequestCode::ConsumeMessageDirectly, wanted, (fields, stored.bytes())).await
}

/// Asks one consumer, and answers what it answers.
async fn relay(
    doors: &BrokerDoors,
    code: RequestCode,
    (group, client_id): (&str, &str),
    question: (Fields, Bytes),
) -> Answer {
    let mut found = None;
    if let Ok(group) = Group::new(group) {
        found = doors.members.owner.ask(FindConsumer { group, client_id: client_id.to_owned() }).await?;
    }
    let Some(client) = found else {
        return Err(failed(format!("The Consumer <{group}> <{client_id}> not online")));
    };
    if client.version < version::V3_1_8_SNAPSHOT {
        return Err(failed(format!(
            "The Consumer <{client_id}> Version <{}> too low to finish, please upgrade it to V3_1_8_SNAPSHOT",
            client.version
        )));
    }
    match ask(&client, code, question, ANSWER_WITHIN).await {
        Ok(answer) => Ok(Response {
            code: answer.code,
            remark: answer.remark.map(Into::into),
            header: Box::new(()),
            body: answer.body,
        }),
        Err(silence @ Silence::Late(_)) => {
            let remark = format!("consumer <{group}> <{client_id}> Timeout: {silence}");
            Err(Refusal::new(ResponseCode::ConsumeMsgTimeout, remark))
        }
        Err(silence) => Err(failed(format!("invoke consumer <{group}> <{client_id}> Exception: {silence}"))),
    }
}

/// 223: a consumer that does not answer is left out.
pub async fn status(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: GetConsumerStatusRequest = request.header()?;
    let clients = consumers(doors, &header.group).await?;
    if clients.is_empty() {
        return Err(failed(format!("No Any Consumer online in the consumer group: [{}]", header.group)));
    }
    if let Some(old) = clients.iter().find(|client| client.version < version::V3_0_7_SNAPSHOT) {
        return Err(too_old(old));
    }
    let wanted = header.client_addr.as_deref().map(str::trim).filter(|id| !id.is_empty());
    let asked = clients.iter().filter(|client| wanted.is_none_or(|id| *client.id == *id)).map(|client| {
        let fields = vec![("topic", header.topic.clone()), ("group", header.group.clone())];
        ask(client, RequestCode::GetConsumerStatusFromClient, (fields, Bytes::new()), STATUS_WITHIN)
    });
    let answers = futures_util::future::join_all(asked).await;
    let asked = clients.iter().filter(|client| wanted.is_none_or(|id| *client.id == *id));
    let mut consumer_table = BTreeMap::new();
    for (client, answer) in asked.zip(answers) {
        let answer = answer.map_err(|silence| silence.to_string());
        match answer.and_then(|answer| ConsumerStatus::decode(&answer.body).map_err(|error| error.to_string())) {
            Ok(status) => _ = consumer_table.insert(client.id.to_string(), status.message_queue_table),
            Err(reason) => tracing::warn!(client = %client.id, reason, "a consumer did not say where it is"),
        }
    }
    Ok(Response::body(ConsumerStatus { consumer_table, ..ConsumerStatus::default() }.encode()))
}

async fn consumers(doors: &BrokerDoors, group: &str) -> Result<Vec<Client>, Refusal> {
    let Ok(group) = Group::new(group) else { return Ok(Vec::new()) };
    let found = doors.members.owner.ask(ListConsumers { group }).await?;
    Ok(found.map(|found| found.clients).unwrap_or_default())
}

fn too_old(client: &Client) -> Refusal {
    failed(format!("the client does not support this feature. version={}", client.version))
}

/// 222 where the broker leaves resets to consumers: those that are there are told where to go on, and commit it
/// themselves.
pub async fn notify_reset(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: ResetOffsetRequest = request.header()?;
    let entry = doors.topics.table.get(&header.topic).ok_or_else(|| {
        let remark = format!("[reset-offset] reset offset failed, no topic in this broker. topic={}", header.topic);
        Refusal::new(ResponseCode::TopicNotExist, remark)
    })?;
    let offset_table = reset_table(doors, &entry, &header).await?;
    let clients = consumers(doors, &header.group).await?;
    if clients.is_empty() {
        let remark = format!(
            "Consumer not online, so can not reset offset, Group: {} Topic: {} Timestamp: {}",
            header.group, header.topic, header.timestamp
        );
        return Err(Refusal::new(ResponseCode::ConsumerNotOnline, remark));
    }
    if let Some(old) = clients.iter().find(|client| client.version < version::V3_0_7_SNAPSHOT) {
        return Err(too_old(old));
    }
    let body = ResetOffsets { offset_table };
    // An administrator in C++ speaks for consumers in C++, which read no maps whose keys are objects.
    let notice = match Language::from_ordinal(request.language) {
        Some(Language::Cpp) => ResetOffsetsAsList::from(&body).encode(),
        _ => body.encode(),
    };
    let notice = Bytes::from(notice);
    for client in clients {
        let fields = vec![
            ("topic", header.topic.clone()),
            ("group", header.group.clone()),
            ("timestamp", header.timestamp.to_string()),
            ("isForce", header.is_force.to_string()),
        ];
        let code = RequestCode::ResetConsumerClientOffset.number();
        client.peer.push.do_send(Push { code, fields, body: notice.clone(), reply: None });
    }
    Ok(Response::body(body.encode()))
}

async fn reset_table(
    doors: &BrokerDoors,
    entry: &TopicEntry,
    header: &ResetOffsetRequest,
) -> Result<BTreeMap<MessageQueue, i64>, Refusal> {
    let no_group = || failed(format!("THe consumer group <{}> not exist", header.group));
    let group = Group::new(&header.group).map_err(|_| no_group())?;
    let topic = &entry.config.topic;
    let broker_name = doors.settings.now().identity.broker_name.clone();
    let mut table = BTreeMap::new();
    for queue in 0..entry.config.write_queues {
        let query = QueryProgress { group: group.clone(), topic: topic.clone(), queue };
        let committed = doors.offsets.owner.ask(query).await?.committed.ok_or_else(no_group)?;
        let key = QueueKey { topic: topic.clone(), queue };
        let wanted = match header.timestamp {
            ..0 => doors.log.range(&key).await?.max,
            time => doors.log.offset_by_time(&key, time, Boundary::Lower).await?,
        };
        let offset = if header.is_force { wanted } else { wanted.min(committed) };
        let queue_id = i32::try_from(queue).unwrap_or(i32::MAX);
        table.insert(
            MessageQueue { topic: topic.to_string(), broker_name: broker_name.clone(), queue_id },
            signed(offset),
        );
    }
    Ok(table)
}
