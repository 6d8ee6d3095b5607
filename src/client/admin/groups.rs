//! Consumer groups: made, changed, deleted, listed.

use std::collections::BTreeSet;

use super::{Admin, BrokerPlace, GroupConfig, Place, Placed, body};
use crate::client::error::ClientError;
use crate::protocol::body::Body;
use crate::protocol::body::groups::SubscriptionGroupTable;
use crate::protocol::code::RequestCode;
use crate::protocol::header::groups::{DeleteSubscriptionGroupRequest, GetAllSubscriptionGroupRequest};
use crate::protocol::names::{DEFAULT_CONSUMER_GROUP, Group, SYSTEM_GROUP_PREFIX, SYSTEM_GROUPS, Topic};

/// Whether brokers made the group for themselves.
#[must_use]
pub fn is_system_group(group: &str) -> bool {
    SYSTEM_GROUPS.contains(&group) || group == DEFAULT_CONSUMER_GROUP || group.starts_with(SYSTEM_GROUP_PREFIX)
}

impl Admin {
    /// All groups of all brokers, sorted by name and broker.
    ///
    /// # Errors
    /// When no name server answers, or a broker refuses or is not reached.
    pub async fn all_groups(&self) -> Result<Vec<Placed<GroupConfig>>, ClientError> {
        let masters = self.cluster().await?.masters();
        // Without any field: all of them, however many.
        let header = GetAllSubscriptionGroupRequest { group_seq: None, data_version: None, max_group_num: None };
        let read = |broker: &BrokerPlace, reply: &_| {
            let table: SubscriptionGroupTable = body(&broker.address, reply)?;
            let placed = |config| Placed { broker: broker.broker.clone(), config };
            Ok(table.subscription_group_table.into_values().map(placed).collect::<Vec<_>>())
        };
        let lists = self.ask_each(&masters, RequestCode::GetAllSubscriptiongroupConfig, &header, read).await?;
        let mut groups: Vec<_> = lists.into_iter().flatten().collect();
        groups.sort_by(|one, other| {
            (&one.config.group_name, &one.broker).cmp(&(&other.config.group_name, &other.broker))
        });
        Ok(groups)
    }

    /// The names of all groups, sorted.
    ///
    /// # Errors
    /// As [`Self::all_groups`].
    pub async fn groups(&self) -> Result<Vec<String>, ClientError> {
        let names: BTreeSet<String> =
            self.all_groups().await?.into_iter().map(|group| group.config.group_name).collect();
        Ok(names.into_iter().collect())
    }

    /// A group's settings on each broker that has it; none when there is no such group. Unlike RocketMQ's own question
    /// for one group, this makes no group.
    ///
    /// # Errors
    /// As [`Self::all_groups`].
    pub async fn group(&self, group: &str) -> Result<Vec<Placed<GroupConfig>>, ClientError> {
        let mut all = self.all_groups().await?;
        all.retain(|placed| placed.config.group_name == group);
        Ok(all)
    }

    /// Makes a group, or changes it where it is. Returns the brokers that have it now.
    ///
    /// # Errors
    /// [`ClientError::Name`], or a broker refuses or is not reached; others may have it then.
    pub async fn put_group(&self, config: &GroupConfig, place: &Place) -> Result<Vec<BrokerPlace>, ClientError> {
        checked(&config.group_name)?;
        let brokers = self.brokers(place).await?;
        let text = config.encode();
        let code = RequestCode::UpdateAndCreateSubscriptiongroup;
        let asked = brokers.iter().map(|broker| self.ask_broker(&broker.address, code, &(), &text));
        for answer in futures_util::future::join_all(asked).await {
            answer?;
        }
        Ok(brokers)
    }

    /// Deletes a group everywhere, with what it has to consume again and what it failed to consume, and, unless
    /// `keep_offsets`, how far it came.
    ///
    /// # Errors
    /// When a server refuses or is not reached; others may have deleted it then.
    pub async fn delete_group(&self, group: &str, keep_offsets: bool) -> Result<(), ClientError> {
        let name = checked(group)?;
        let masters = self.cluster().await?.masters();
        let header = DeleteSubscriptionGroupRequest { group_name: group.to_owned(), clean_offset: !keep_offsets };
        self.ask_each(&masters, RequestCode::DeleteSubscriptiongroup, &header, |_, _| Ok(())).await?;
        self.forget_topic(&Topic::retry_of(&name)).await?;
        self.forget_topic(&Topic::dead_letters_of(&name)).await
    }
}

fn checked(group: &str) -> Result<Group, ClientError> {
    Group::new(group).map_err(|reason| ClientError::Name { kind: "group", name: group.to_owned(), reason })
}
