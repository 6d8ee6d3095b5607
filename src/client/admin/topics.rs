//! Topics: made, changed, deleted, listed, and what is in them.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde::Serialize;

use super::{Admin, BrokerPlace, Place, Placed, TopicConfig, body, unless_absent};
use crate::client::error::ClientError;
use crate::client::route::MASTER;
use crate::protocol::body::lists::{GroupList, TopicList};
use crate::protocol::body::route::TopicRouteData;
use crate::protocol::body::stats::TopicStatsTable;
use crate::protocol::body::topics::MappedTopicConfig;
use crate::protocol::code::{RequestCode, ResponseCode};
use crate::protocol::header::namesrv::{DeleteTopicFromNamesrvRequest, GetRouteInfoRequest};
use crate::protocol::header::topics::{
    CreateTopicRequest, DeleteTopicRequest, GetTopicConfigRequest, GetTopicStatsInfoRequest,
    QueryTopicConsumeByWhoRequest,
};
use crate::protocol::names::{
    AUTO_CREATE_TOPIC, DEAD_LETTER_PREFIX, REPLY_TOPIC_SUFFIX, RETRY_PREFIX, TOPIC_BYTES_MAX, check_name,
    is_system_topic,
};

/// How the names of topics begin that Apache's newer brokers make for themselves.
const OWN_PREFIX: &str = "RMQ_SYS_";
/// What brokers say of a topic that they do not have.
const ABSENT: &[ResponseCode] = &[ResponseCode::TopicNotExist];

/// A change of one attribute of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttributeChange {
    Set { name: String, value: String },
    Remove { name: String },
}

impl AttributeChange {
    /// `+name=value` or `-name`, as brokers read it.
    fn text(&self) -> String {
        match self {
            Self::Set { name, value } => format!("+{name}={value}"),
            Self::Remove { name } => format!("-{name}"),
        }
    }
}

/// What a topic is for, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum TopicKind {
    Normal,
    /// Messages that a group has to consume again.
    Retry,
    /// Messages that a group failed to consume for good.
    DeadLetters,
    /// The brokers' own.
    System,
}

impl TopicKind {
    /// The kind of the topic `name`. Topics named as a cluster or a broker are system topics too, which a name alone
    /// does not tell.
    #[must_use]
    pub fn of(name: &str) -> Self {
        match name {
            _ if name.starts_with(RETRY_PREFIX) => Self::Retry,
            _ if name.starts_with(DEAD_LETTER_PREFIX) => Self::DeadLetters,
            _ if is_system_topic(name) || name.starts_with(OWN_PREFIX) || name.ends_with(REPLY_TOPIC_SUFFIX) => {
                Self::System
            }
            _ => Self::Normal,
        }
    }
}

/// A topic's queues on the brokers of one name, as name servers tell it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RoutePart {
    pub cluster: String,
    pub broker: String,
    /// Of the master; of another broker where there is none.
    pub address: String,
    pub read_queues: i32,
    pub write_queues: i32,
    /// Bits: 2 write, 4 read.
    pub perm: i32,
}

/// One queue and what it holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueStatus {
    pub broker: String,
    pub queue: i32,
    /// The first offset that is there.
    pub min_offset: i64,
    /// One past the last.
    pub max_offset: i64,
    /// Store time of the last message, ms since 1970.
    pub last_stored_ms: Option<i64>,
}

/// What a topic holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicStatus {
    pub queues: Vec<QueueStatus>,
    /// Messages stored a second over the last minute; 0 where a broker does not tell.
    pub put_rate: f64,
}

impl TopicStatus {
    /// Messages that are there.
    #[must_use]
    pub fn messages(&self) -> i64 {
        self.queues.iter().map(|queue| queue.max_offset.saturating_sub(queue.min_offset).max(0)).sum()
    }
}

impl Admin {
    /// The names of all topics, sorted.
    ///
    /// # Errors
    /// When no name server answers.
    pub async fn topics(&self) -> Result<Vec<String>, ClientError> {
        let reply = self.ask_name_server(RequestCode::GetAllTopicListFromNameserver, ()).await?;
        let list: TopicList = body("the name server", &reply)?;
        let names: BTreeSet<String> = list.topic_list.into_iter().collect();
        Ok(names.into_iter().collect())
    }

    /// Where a topic's queues are.
    ///
    /// # Errors
    /// [`ClientError::TopicNotFound`], or no name server answers.
    pub async fn topic_route(&self, topic: &str) -> Result<Vec<RoutePart>, ClientError> {
        let header = GetRouteInfoRequest { topic: topic.to_owned(), accept_standard_json_only: Some(true) };
        let reply = self.ask_name_server(RequestCode::GetRouteinfoByTopic, header).await;
        let Some(reply) = unless_absent(reply, ABSENT)? else {
            return Err(ClientError::TopicNotFound { topic: topic.to_owned() });
        };
        let data: TopicRouteData = body("the name server", &reply)?;
        let mut parts = Vec::new();
        for queues in data.queue_datas {
            let broker = data.broker_datas.iter().find(|broker| broker.broker_name == queues.broker_name);
            let Some((broker, address)) = broker.and_then(|broker| {
                let master = broker.broker_addrs.get(&MASTER);
                Some((broker, master.or_else(|| broker.broker_addrs.values().next())?))
            }) else {
                continue;
            };
            parts.push(RoutePart {
                cluster: broker.cluster.clone(),
                broker: broker.broker_name.clone(),
                address: address.clone(),
                read_queues: queues.read_queue_nums,
                write_queues: queues.write_queue_nums,
                perm: queues.perm,
            });
        }
        parts.sort_by(|one, other| one.broker.cmp(&other.broker));
        Ok(parts)
    }

    /// The brokers of a topic.
    pub(super) async fn brokers_of(&self, topic: &str) -> Result<Vec<BrokerPlace>, ClientError> {
        let parts = self.topic_route(topic).await?.into_iter();
        let place = |part: RoutePart| BrokerPlace {
            cluster: part.cluster,
            broker: part.broker,
            broker_id: MASTER,
            address: part.address,
        };
        Ok(parts.map(place).collect())
    }

    /// A topic's settings on each of its brokers.
    ///
    /// # Errors
    /// [`ClientError::TopicNotFound`], or a broker refuses or is not reached.
    pub async fn topic(&self, topic: &str) -> Result<Vec<Placed<TopicConfig>>, ClientError> {
        let brokers = self.brokers_of(topic).await?;
        let header = GetTopicConfigRequest { topic: topic.to_owned(), lo: None };
        self.ask_each(&brokers, RequestCode::GetTopicConfig, &header, |broker, reply| {
            let found: MappedTopicConfig = body(&broker.address, reply)?;
            let config = TopicConfig {
                attributes: found.attributes,
                order: found.order,
                perm: found.perm,
                read_queue_nums: found.read_queue_nums,
                topic_filter_type: found.topic_filter_type,
                topic_name: found.topic_name,
                topic_sys_flag: found.topic_sys_flag,
                write_queue_nums: found.write_queue_nums,
            };
            Ok(Placed { broker: broker.broker.clone(), config })
        })
        .await
    }

    /// Makes a topic, or changes it where it is. Its attributes change as `changes` say; those in `config` are not
    /// looked at. Returns the brokers that have it now.
    ///
    /// # Errors
    /// [`ClientError::Name`], or a broker refuses or is not reached; others may have it then.
    pub async fn put_topic(
        &self,
        config: &TopicConfig,
        changes: &[AttributeChange],
        place: &Place,
    ) -> Result<Vec<BrokerPlace>, ClientError> {
        let named = check_name(&config.topic_name, TOPIC_BYTES_MAX);
        named.map_err(|reason| ClientError::Name { kind: "topic", name: config.topic_name.clone(), reason })?;
        let brokers = self.brokers(place).await?;
        let attributes: Vec<String> = changes.iter().map(AttributeChange::text).collect();
        let header = CreateTopicRequest {
            topic: config.topic_name.clone(),
            default_topic: Some(AUTO_CREATE_TOPIC.to_owned()),
            read_queue_nums: config.read_queue_nums,
            write_queue_nums: config.write_queue_nums,
            perm: config.perm,
            topic_filter_type: config.topic_filter_type.name().to_owned(),
            topic_sys_flag: Some(config.topic_sys_flag),
            order: config.order,
            attributes: Some(attributes.join(",")),
            force: None,
        };
        self.ask_each(&brokers, RequestCode::UpdateAndCreateTopic, &header, |_, _| Ok(())).await?;
        Ok(brokers)
    }

    /// Deletes a topic and its messages at its brokers, and its route at every name server.
    ///
    /// # Errors
    /// [`ClientError::TopicNotFound`], or a server refuses or is not reached; others may have deleted it then.
    pub async fn delete_topic(&self, topic: &str) -> Result<(), ClientError> {
        self.topic_route(topic).await?;
        self.forget_topic(topic).await
    }

    /// As [`Self::delete_topic`], of a topic that need not be there.
    pub(super) async fn forget_topic(&self, topic: &str) -> Result<(), ClientError> {
        let masters = self.cluster().await?.masters();
        let header = DeleteTopicRequest { topic: topic.to_owned() };
        let asked = masters
            .iter()
            .map(|broker| self.ask_broker(&broker.address, RequestCode::DeleteTopicInBroker, &header, b""));
        for answer in join_all(asked).await {
            unless_absent(answer, ABSENT)?;
        }
        let header = DeleteTopicFromNamesrvRequest { topic: topic.to_owned(), cluster_name: None };
        self.tell_name_servers(RequestCode::DeleteTopicInNamesrv, header).await
    }

    /// What a topic holds, queue by queue, sorted.
    ///
    /// # Errors
    /// [`ClientError::TopicNotFound`], or a broker refuses or is not reached.
    pub async fn topic_status(&self, topic: &str) -> Result<TopicStatus, ClientError> {
        let brokers = self.brokers_of(topic).await?;
        let header = GetTopicStatsInfoRequest { topic: topic.to_owned() };
        let read = |broker: &BrokerPlace, reply: &_| body::<TopicStatsTable>(&broker.address, reply);
        let tables = self.ask_each(&brokers, RequestCode::GetTopicStatsInfo, &header, read).await?;
        let mut status = TopicStatus::default();
        for table in tables {
            status.put_rate += table.topic_put_tps;
            status.queues.extend(table.offset_table.into_iter().map(|(queue, ends)| QueueStatus {
                broker: queue.broker_name,
                queue: queue.queue_id,
                min_offset: ends.min_offset,
                max_offset: ends.max_offset,
                last_stored_ms: (ends.last_update_timestamp > 0).then_some(ends.last_update_timestamp),
            }));
        }
        status.queues.sort();
        Ok(status)
    }

    /// The groups that subscribe to a topic now or have offsets in it, sorted.
    ///
    /// # Errors
    /// As [`Self::topic_status`].
    pub async fn groups_of_topic(&self, topic: &str) -> Result<Vec<String>, ClientError> {
        let brokers = self.brokers_of(topic).await?;
        let header = QueryTopicConsumeByWhoRequest { topic: topic.to_owned() };
        let read = |broker: &BrokerPlace, reply: &_| Ok(body::<GroupList>(&broker.address, reply)?.group_list);
        let lists = self.ask_each(&brokers, RequestCode::QueryTopicConsumeByWho, &header, read).await?;
        let groups: BTreeSet<String> = lists.into_iter().flatten().collect();
        Ok(groups.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_for_what_its_name_says() {
        let kinds = [
            ("orders", TopicKind::Normal),
            ("%RETRY%g", TopicKind::Retry),
            ("%DLQ%g", TopicKind::DeadLetters),
            ("TBW102", TopicKind::System),
            ("rmq_sys_wheel_timer", TopicKind::System),
            ("RMQ_SYS_ROCKSDB_TRANS_HALF_TOPIC", TopicKind::System),
            ("DefaultCluster_REPLY_TOPIC", TopicKind::System),
        ];
        for (name, kind) in kinds {
            assert_eq!(TopicKind::of(name), kind, "{name}");
        }
    }

    #[test]
    fn attributes_change_by_sign() {
        let set = AttributeChange::Set { name: "message.type".into(), value: "FIFO".into() };
        assert_eq!(set.text(), "+message.type=FIFO");
        assert_eq!(AttributeChange::Remove { name: "x".into() }.text(), "-x");
    }
}
