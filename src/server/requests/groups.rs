//! Consumer groups: made, changed, deleted, listed, forbidden (200, 201, 207, 225, 352, 353), and which group has to do
//! with which topic (300, 343, 345).

use super::names::group;
use super::topics::{elsewhere, part};
use super::{Answer, Refusal, Request, Response};
use crate::actors::catalog::groups::{
    DeleteGroup, EnsureGroup, Forbid, GroupError, ListGroups, UpdateGroups, may_make_itself,
};
use crate::actors::catalog::offsets::{ForgetGroup, ViewOffsets};
use crate::protocol::body::Body;
use crate::protocol::body::clients::QuerySubscriptionResponse;
use crate::protocol::body::groups::{GroupForbidden, SubscriptionGroupConfig, SubscriptionGroupList};
use crate::protocol::body::lists::{GroupList, TopicList};
use crate::protocol::code::ResponseCode;
use crate::protocol::header::groups::{
    DeleteSubscriptionGroupRequest, GetAllSubscriptionGroupRequest, GetAllSubscriptionGroupResponse,
    GetSubscriptionGroupConfigRequest, QuerySubscriptionByConsumerRequest, QueryTopicsByConsumerRequest,
    UpdateGroupForbiddenRequest,
};
use crate::protocol::header::topics::QueryTopicConsumeByWhoRequest;
use crate::protocol::names::{Group, Topic};
use crate::server::doors::BrokerDoors;

/// 200
pub async fn update(doors: &BrokerDoors, request: &Request) -> Answer {
    if request.body.is_empty() {
        return Ok(Response::ok());
    }
    let config = SubscriptionGroupConfig::decode(&request.body)?;
    let groups = vec![(group(&config.group_name)?, config)];
    doors.groups.owner.ask(UpdateGroups { groups }).await??;
    Ok(Response::ok())
}

/// 225
pub async fn update_list(doors: &BrokerDoors, request: &Request) -> Answer {
    let body = SubscriptionGroupList::decode(&request.body)?;
    let named = body.group_config_list.into_iter().map(|config| Ok((group(&config.group_name)?, config)));
    let groups: Result<Vec<_>, Refusal> = named.collect();
    doors.groups.owner.ask(UpdateGroups { groups: groups? }).await??;
    Ok(Response::ok())
}

/// 201
pub async fn list(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: GetAllSubscriptionGroupRequest = request.header()?;
    let mut all = doors.groups.owner.ask(ListGroups).await?;
    let total = all.subscription_group_table.len();
    if header.group_seq.is_some() || header.data_version.is_some() || header.max_group_num.is_some() {
        let asked = (header.group_seq, header.max_group_num);
        let part = part(total, asked, header.data_version.as_deref(), all.data_version);
        let groups = std::mem::take(&mut all.subscription_group_table).into_iter();
        all.subscription_group_table = groups.skip(part.start).take(part.len()).collect();
        all.forbidden_table.retain(|group, _| all.subscription_group_table.contains_key(group));
    }
    let body = elsewhere(move || all.encode()).await?;
    let total_group_num = i32::try_from(total).unwrap_or(i32::MAX);
    Ok(Response { body: body.into(), ..Response::header(GetAllSubscriptionGroupResponse { total_group_num }) })
}

/// 352: asking for a group makes it, where groups make themselves.
pub async fn get(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: GetSubscriptionGroupConfigRequest = request.header()?;
    let missing = || Refusal::new(ResponseCode::SubscriptionGroupNotExist, "No group in this broker");
    let group = Group::new(&header.group).map_err(|_| missing())?;
    match doors.groups.owner.ask(EnsureGroup { group }).await? {
        Ok(config) => Ok(Response::body(config.encode())),
        Err(GroupError::Unknown { .. }) => Err(missing()),
        Err(other) => Err(other.into()),
    }
}

/// 207
pub async fn delete(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: DeleteSubscriptionGroupRequest = request.header()?;
    let Ok(group) = Group::new(&header.group_name) else {
        return Ok(Response::ok());
    };
    doors.groups.owner.ask(DeleteGroup { group: group.clone() }).await?;
    if header.clean_offset {
        doors.offsets.owner.ask(ForgetGroup { group: group.clone() }).await?;
    }
    // Where groups make themselves, tools expect a deleted one back at once, with the settings of a new group.
    if may_make_itself(&doors.settings.now(), &group) {
        doors.groups.owner.ask(EnsureGroup { group }).await??;
    }
    Ok(Response::ok())
}

/// 353
pub async fn forbid(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: UpdateGroupForbiddenRequest = request.header()?;
    let group = group(&header.group)?;
    let topic = super::names::topic(&header.topic)?;
    if let Some(readable) = header.readable {
        doors.groups.owner.ask(Forbid { group: group.clone(), topic: topic.clone(), readable }).await??;
    }
    let readable = Some(doors.groups.table.may_read(&group, &topic));
    let body = GroupForbidden { group: header.group, readable, topic: header.topic };
    Ok(Response::body(body.encode()).with_remark(""))
}

/// 300: the groups that subscribe to a topic now, and those that have offsets in it.
pub async fn of_topic(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: QueryTopicConsumeByWhoRequest = request.header()?;
    let mut groups = doors.members.subscriptions.groups_of(&header.topic);
    if let Ok(topic) = Topic::new(&header.topic) {
        let view = ViewOffsets { topic: Some(topic.clone()), group: None };
        groups.append(&mut doors.offsets.owner.ask(view).await?.groups_of(&topic));
    }
    let body = GroupList { group_list: groups.into_iter().map(String::from).collect() };
    Ok(Response::body(body.encode()))
}

/// 343: the topics in which a group has offsets.
pub async fn topics_of(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: QueryTopicsByConsumerRequest = request.header()?;
    let mut topic_list = Vec::new();
    if let Ok(group) = Group::new(&header.group) {
        let view = ViewOffsets { group: Some(group.clone()), topic: None };
        let topics = doors.offsets.owner.ask(view).await?.topics_of(&group);
        topic_list = topics.into_iter().map(String::from).collect();
    }
    let body = TopicList { broker_addr: Some(doors.identity.address.to_string()), topic_list };
    Ok(Response::body(body.encode()))
}

/// 345
pub fn subscription(doors: &BrokerDoors, request: &Request) -> Answer {
    let header: QuerySubscriptionByConsumerRequest = request.header()?;
    let topic = header.topic.as_deref().unwrap_or_default();
    let subscription = doors.members.subscriptions.lookup(&header.group, topic);
    let body = QuerySubscriptionResponse {
        subscription_data: subscription.map(|subscription| super::clients::subscription_body(&subscription)),
        group: header.group,
        topic: header.topic,
    };
    Ok(Response::body(body.encode()))
}
