//! What there is to be shared out: the queues of topics, as the name servers know them, and the members of a group, as
//! one of the topic's brokers does.

use std::sync::Arc;

use futures_util::future::join_all;

use crate::actors::rebalance::{Survey, View};
use crate::client::error::{Access, ClientError};
use crate::client::hub::{Hub, ask, unreadable};
use crate::client::routes::Purpose;
use crate::protocol::body::Body;
use crate::protocol::body::clients::ConsumerList;
use crate::protocol::code::RequestCode;
use crate::protocol::header::clients::GetConsumerListByGroupRequest;
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
    let mut known = Vec::new();
    for (topic, view) in asked.topics.iter().zip(join_all(views).await) {
        match view {
            Ok(view) => known.push(view),
            Err(error) => tracing::debug!(%topic, %error, "queues and members are not known"),
        }
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
