//! What there is to be shared out: the queues of topics, as the name servers know them, and the members of a group, as
//! one of the topic's brokers does.

use std::sync::Arc;

use futures_util::future::join_all;

use crate::actors::rebalance::{Survey, View};
use crate::client::error::{Access, ClientError};
use crate::client::hub::{Hub, ask, unreadable};
use crate::client::routes::Purpose;
use crate::protocol::body::Body;
use crate::protocol::body::clients::{ConsumerConnection, ConsumerList, SubscriptionData};
use crate::protocol::code::{RequestCode, ResponseCode};
use crate::protocol::header::clients::{GetConsumerConnectionListRequest, GetConsumerListByGroupRequest};
use crate::rules::assignment::MessageQueue;

/// With whom a consumer shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::client) enum Company {
    Group,
    /// It broadcasts.
    Alone,
}

/// Topics of which something is not known are left out.
pub(in crate::client) async fn survey(core: Arc<Hub>, group: String, company: Company, asked: Survey) -> Vec<View> {
    let views = asked.topics.iter().map(|topic| view(&core, &group, company, topic));
    let (mut known, mut unheard) = (Vec::new(), false);
    for (topic, view) in asked.topics.iter().zip(join_all(views).await) {
        match view {
            Ok(view) => {
                unheard |= !view.members.contains(&core.client_id);
                known.push(view);
            }
            Err(error) => {
                unheard |= matches!(error, ClientError::Refused { .. });
                tracing::debug!(%topic, %error, "queues and members are not known");
            }
        }
    }
    if unheard {
        // The broker missed our last heartbeat; the next would be due in half a minute.
        core.beat_later();
    }
    known
}

/// All queues and members, as name servers and one of the topic's brokers know them.
async fn view(core: &Hub, group: &str, company: Company, topic: &Arc<str>) -> Result<View, ClientError> {
    let route = core.route(topic, Purpose::Existing).await?;
    let queues: Vec<_> = route.readable.iter().map(|queue| MessageQueue::clone(queue)).collect();
    let Some(queue) = route.readable.first() else {
        return Err(ClientError::NoQueue { topic: topic.to_string(), access: Access::Read });
    };
    if company == Company::Alone {
        return Ok(View { topic: Arc::clone(topic), queues, members: vec![core.client_id.clone()] });
    }
    let mut members = members(core, group, &queue.broker).await;
    // Every broker of the topic knows all members; one of them may be down.
    for broker in route.brokers.keys().filter(|broker| ***broker != *queue.broker) {
        if members.is_err() {
            members = self::members(core, group, broker).await;
        }
    }
    Ok(View { topic: Arc::clone(topic), queues, members: members? })
}

async fn members(core: &Hub, group: &str, broker: &str) -> Result<Vec<String>, ClientError> {
    let channel = core.master(broker).await?;
    let header = GetConsumerListByGroupRequest { consumer_group: group.to_owned() };
    let code = RequestCode::GetConsumerListByGroup;
    let reply = ask(&channel, code, &header, b"", core.options.request_timeout).await?;
    let list = ConsumerList::decode(&reply.body).map_err(|error| unreadable(&channel, error))?;
    Ok(list.consumer_id_list)
}

/// Whether the group's subscriptions, as a broker heard them last, are `ours`. A group that is not there agrees.
///
/// # Errors
/// [`ClientError::Disagreement`], or when that broker did not answer.
pub(in crate::client) async fn agree(core: &Hub, group: &str, ours: &[SubscriptionData]) -> Result<(), ClientError> {
    let Some(route) = ours.iter().find_map(|wanted| core.known_route(&wanted.topic)) else {
        return Ok(());
    };
    let Some(broker) = route.brokers.keys().next() else {
        return Ok(());
    };
    let channel = core.master(broker).await?;
    let header = GetConsumerConnectionListRequest { consumer_group: group.to_owned() };
    let code = RequestCode::GetConsumerConnectionList;
    let reply = match ask(&channel, code, &header, b"", core.options.request_timeout).await {
        Err(ClientError::Refused { code, .. }) if code == ResponseCode::ConsumerNotOnline.number() => return Ok(()),
        reply => reply?,
    };
    let known = ConsumerConnection::decode(&reply.body).map_err(|error| unreadable(&channel, error))?;
    let differs = |wanted: &&SubscriptionData| {
        known.subscription_table.get(&wanted.topic).is_none_or(|theirs| theirs.sub_string != wanted.sub_string)
    };
    let extra = known.subscription_table.keys().find(|topic| ours.iter().all(|wanted| wanted.topic != **topic));
    let topic = ours.iter().find(differs).map(|wanted| &wanted.topic).or(extra);
    match topic {
        Some(topic) if !known.subscription_table.is_empty() => {
            let theirs = known.subscription_table.get(topic).map(|theirs| theirs.sub_string.clone());
            let ours = ours.iter().find(|wanted| wanted.topic == *topic).map(|wanted| wanted.sub_string.clone());
            let none = || "nothing".to_owned();
            let (ours, theirs) = (ours.unwrap_or_else(none), theirs.unwrap_or_else(none));
            Err(ClientError::Disagreement { group: group.to_owned(), topic: topic.clone(), ours, theirs })
        }
        _ => Ok(()),
    }
}
