//! Who is connected.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde::Serialize;

use super::{Admin, BrokerPlace, body, unless_absent};
use crate::client::error::ClientError;
use crate::protocol::body::clients::{ConsumerConnection, ProducerTableInfo};
use crate::protocol::code::{Language, RequestCode, ResponseCode};
use crate::protocol::header::clients::GetConsumerConnectionListRequest;

/// A client as one broker sees it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    pub client_id: String,
    /// Where it connects from.
    pub address: String,
    /// Such as `JAVA`; empty where it is not known.
    pub language: String,
    /// Such as `5.5.0`.
    pub version: String,
    /// The broker that it is connected to.
    pub broker: String,
}

/// What a group subscribes to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscribed {
    pub topic: String,
    /// Tags joined by `||`, or an SQL92 expression.
    pub expression: String,
    /// `TAG` or `SQL92`.
    pub expression_type: String,
}

/// A consumer group with members.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerGroup {
    pub group: String,
    /// `CONSUME_PASSIVELY` for push, `CONSUME_ACTIVELY` for pull, `CONSUME_POP`.
    pub consume_type: Option<String>,
    /// `CLUSTERING` or `BROADCASTING`.
    pub message_model: Option<String>,
    pub subscriptions: Vec<Subscribed>,
    /// Sorted; a client that is connected to several brokers is there once for each.
    pub members: Vec<Member>,
}

impl ConsumerGroup {
    /// Clients, each counted once.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.members.iter().map(|member| &member.client_id).collect::<BTreeSet<_>>().len()
    }

    fn add(&mut self, broker: &BrokerPlace, found: ConsumerConnection) {
        self.consume_type = self.consume_type.take().or_else(|| found.consume_type.as_ref().and_then(name));
        self.message_model = self.message_model.take().or_else(|| found.message_model.as_ref().and_then(name));
        for data in found.subscription_table.into_values() {
            let expression_type = data.expression_type.unwrap_or_else(|| "TAG".to_owned());
            let subscribed = Subscribed { topic: data.topic, expression: data.sub_string, expression_type };
            if !self.subscriptions.contains(&subscribed) {
                self.subscriptions.push(subscribed);
            }
        }
        self.members.extend(found.connection_set.into_iter().map(|connection| Member {
            client_id: connection.client_id,
            address: connection.client_addr,
            language: language(connection.language),
            version: super::release(connection.version),
            broker: broker.broker.clone(),
        }));
        self.subscriptions.sort();
        self.members.sort();
    }
}

/// A producer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProducerMember {
    pub group: String,
    #[serde(flatten)]
    pub member: Member,
    /// Of its last heartbeat, ms since 1970.
    pub heard_ms: i64,
}

impl Admin {
    /// A consumer group's members at all brokers; `None` when nobody of it is connected.
    ///
    /// # Errors
    /// When a server refuses or is not reached.
    pub async fn consumers(&self, group: &str) -> Result<Option<ConsumerGroup>, ClientError> {
        let masters = self.cluster().await?.masters();
        self.consumers_at(&masters, group).await
    }

    /// As [`Self::consumers`], of all groups that have members.
    ///
    /// # Errors
    /// When a server refuses or is not reached.
    pub async fn all_consumers(&self) -> Result<Vec<ConsumerGroup>, ClientError> {
        let (masters, groups) = (self.cluster().await?.masters(), self.groups().await?);
        let mut found = Vec::new();
        for group in groups {
            found.extend(self.consumers_at(&masters, &group).await?);
        }
        Ok(found)
    }

    async fn consumers_at(&self, brokers: &[BrokerPlace], group: &str) -> Result<Option<ConsumerGroup>, ClientError> {
        let header = GetConsumerConnectionListRequest { consumer_group: group.to_owned() };
        let code = RequestCode::GetConsumerConnectionList;
        let asked = brokers.iter().map(|broker| self.ask_broker(&broker.address, code, &header, b""));
        let mut all = ConsumerGroup { group: group.to_owned(), ..ConsumerGroup::default() };
        for (broker, answer) in brokers.iter().zip(join_all(asked).await) {
            let absent = [ResponseCode::ConsumerNotOnline, ResponseCode::SubscriptionGroupNotExist];
            if let Some(reply) = unless_absent(answer, &absent)? {
                all.add(broker, body(&broker.address, &reply)?);
            }
        }
        Ok((!all.members.is_empty()).then_some(all))
    }

    /// All producers at all brokers, sorted.
    ///
    /// # Errors
    /// When a server refuses or is not reached.
    pub async fn producers(&self) -> Result<Vec<ProducerMember>, ClientError> {
        let masters = self.cluster().await?.masters();
        let read = |broker: &BrokerPlace, reply: &_| {
            let table: ProducerTableInfo = body(&broker.address, reply)?;
            Ok(table
                .data
                .into_iter()
                .map(|(group, clients)| (broker.broker.clone(), group, clients))
                .collect::<Vec<_>>())
        };
        let lists = self.ask_each(&masters, RequestCode::GetAllProducerInfo, &(), read).await?;
        let mut found = Vec::new();
        for (broker, group, clients) in lists.into_iter().flatten() {
            found.extend(clients.into_iter().map(|client| ProducerMember {
                group: group.clone(),
                member: Member {
                    client_id: client.client_id,
                    address: client.remote_ip.trim_start_matches('/').to_owned(),
                    language: language(client.language),
                    version: super::release(client.version),
                    broker: broker.clone(),
                },
                heard_ms: client.last_update_timestamp,
            }));
        }
        found.sort();
        Ok(found)
    }
}

fn language(language: Option<Language>) -> String {
    language.map_or_else(String::new, |language| language.name().to_owned())
}

/// The name of a value as it is on the wire.
fn name(value: &impl Serialize) -> Option<String> {
    Some(serde_json::to_value(value).ok()?.as_str()?.to_owned())
}
