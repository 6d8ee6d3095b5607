//! Consumer groups of this broker, whether or not they have consumers now.
//!
//! Owns: the configuration of every group, what groups are forbidden to read, `config/subscriptionGroup.json`.
//! Hears: [`EnsureGroup`], [`UpdateGroups`], [`DeleteGroup`], [`Forbid`], [`ListGroups`], `Stop`.
//! Tells: nobody.
//! Publishes: [`GroupTable`].
//!
//! Invariant: the file follows a change within a second.

mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use arc_swap::ArcSwap;

pub use self::table::{FILTER_ATTRIBUTE, FILTER_EXPRESSION_ATTRIBUTE, FORBIDDEN_READ, GroupConfig, GroupTable};
use super::CatalogError;
use super::data_version;
use super::snapshot::{self, Encode, Persistent, Snapshot};
use crate::actors::Stop;
use crate::config::BrokerConfig;
use crate::protocol::body::ConfigFile;
use crate::protocol::body::groups::{SubscriptionGroupConfig, SubscriptionGroupTable};
use crate::protocol::body::version::DataVersion;
use crate::protocol::names::{Group, SYSTEM_GROUP_PREFIX, SYSTEM_GROUPS, Topic};
use crate::store::table::TableFile;

/// Most groups of one broker.
pub const GROUPS_MAX: usize = 200_000;
/// Most pairs of group and topic that are forbidden.
pub const FORBIDDEN_MAX: usize = 200_000;
/// Longest value of a group's attribute.
const ATTRIBUTE_BYTES_MAX: usize = 4_096;
/// Pause between two writes of the file.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);
/// Why a group was not made or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// Groups are not made on first use here.
    #[error("subscription group [{group}] does not exist, apply first please!")]
    Unknown { group: Group },
    #[error("this broker has {groups} groups, at most {GROUPS_MAX} are allowed")]
    TooManyGroups { groups: usize },
    #[error("this broker forbids {pairs} pairs of group and topic, at most {FORBIDDEN_MAX} are allowed")]
    TooManyForbidden { pairs: usize },
    /// RocketMQ's remark; its groups have no attributes that this broker knows.
    #[error("unsupported key: {name}")]
    Attribute { name: String },
    #[error("attribute {name} is too long: {ATTRIBUTE_BYTES_MAX} bytes are allowed")]
    LongAttribute { name: String },
}

/// From whoever meets a group on its first use: make it if that is allowed and it is not there.
#[derive(Message, Debug)]
#[rtype(result = "Result<Arc<GroupConfig>, GroupError>")]
pub struct EnsureGroup {
    pub group: Group,
}

/// From an administrator: make these groups, or give those that are there these settings. All or none.
#[derive(Message, Debug)]
#[rtype(result = "Result<(), GroupError>")]
pub struct UpdateGroups {
    pub groups: Vec<(Group, SubscriptionGroupConfig)>,
}

/// From an administrator. Whether the group was there.
#[derive(Message, Debug)]
#[rtype(result = "bool")]
pub struct DeleteGroup {
    pub group: Group,
}

/// From an administrator: the group may, or may not, read the topic.
#[derive(Message, Debug)]
#[rtype(result = "Result<(), GroupError>")]
pub struct Forbid {
    pub group: Group,
    pub topic: Topic,
    pub readable: bool,
}

/// Asks for all groups, as the file has them.
#[derive(Message, Debug)]
#[rtype(result = "SubscriptionGroupTable")]
pub struct ListGroups;

/// The owner.
pub struct Groups {
    config: Arc<ArcSwap<BrokerConfig>>,
    table: Arc<GroupTable>,
    version: DataVersion,
    snapshot: Snapshot,
}

impl Groups {
    /// Reads `config/subscriptionGroup.json` below the data directory and publishes what it and the system groups say
    /// into `table`. Where `table` is not empty, its owner is being rebuilt: what was published goes before what is on
    /// disk.
    ///
    /// # Errors
    /// When the file cannot be read, or holds more than a broker can have.
    pub fn open(config: Arc<ArcSwap<BrokerConfig>>, table: Arc<GroupTable>) -> Result<Self, CatalogError> {
        let path = config.load().store.data_dir.join("config").join("subscriptionGroup.json");
        let file = TableFile::new(&path);
        let decode = |text: &str| SubscriptionGroupTable::decode_file(text.as_bytes());
        let stored = file.load(decode)?.unwrap_or_default();
        let version = stored.data_version;
        if table.is_empty() {
            let pairs: usize = stored.forbidden_table.values().map(BTreeMap::len).sum();
            if stored.subscription_group_table.len() > GROUPS_MAX || pairs > FORBIDDEN_MAX {
                let groups = stored.subscription_group_table.len();
                let reason = format!(
                    "{groups} groups and {pairs} forbidden pairs, at most {GROUPS_MAX} and {FORBIDDEN_MAX} are allowed"
                );
                return Err(CatalogError::TooMuch { path, reason });
            }
            fill(&table, stored);
        }
        Ok(Self { config, table, version, snapshot: Snapshot::new(file, SAVE_INTERVAL, Duration::ZERO) })
    }

    fn ensure(&mut self, group: Group, context: &mut Context<Self>) -> Result<Arc<GroupConfig>, GroupError> {
        if let Some(config) = self.table.get(&group) {
            return Ok(config);
        }
        if !may_make_itself(&self.config.load(), &group) {
            return Err(GroupError::Unknown { group });
        }
        self.check_room(1)?;
        tracing::info!(%group, "made a consumer group on its first use");
        let config = self.table.publish(group, SubscriptionGroupConfig::default());
        self.renew(context);
        Ok(config)
    }

    fn update(
        &mut self,
        groups: Vec<(Group, SubscriptionGroupConfig)>,
        context: &mut Context<Self>,
    ) -> Result<(), GroupError> {
        self.check_room(groups.iter().filter(|(group, _)| !self.table.contains(group)).count())?;
        let mut changed = Vec::with_capacity(groups.len());
        for (group, config) in groups {
            let old = self.table.get(&group).map(|old| old.attributes.clone()).unwrap_or_default();
            let attributes = attributes(old, &config.attributes)?;
            changed.push((group, config, attributes));
        }
        for (group, config, attributes) in changed {
            tracing::info!(%group, ?config, "made or changed a consumer group");
            self.table.publish(group, SubscriptionGroupConfig { attributes, ..config });
        }
        self.renew(context);
        Ok(())
    }

    fn check_room(&self, fresh: usize) -> Result<(), GroupError> {
        let groups = self.table.len();
        if groups + fresh > GROUPS_MAX { Err(GroupError::TooManyGroups { groups }) } else { Ok(()) }
    }

    fn forbid(&mut self, wish: &Forbid, context: &mut Context<Self>) -> Result<(), GroupError> {
        let pairs = self.table.forbidden_pairs();
        if !wish.readable && pairs >= FORBIDDEN_MAX {
            return Err(GroupError::TooManyForbidden { pairs });
        }
        let old = self.table.forbidden(&wish.group, &wish.topic);
        let new = if wish.readable { old & !FORBIDDEN_READ } else { old | FORBIDDEN_READ };
        if old != new {
            self.table.forbid(&wish.group, &wish.topic, new);
            self.renew(context);
        }
        Ok(())
    }

    /// Counts a change and has it written.
    fn renew(&mut self, context: &mut Context<Self>) {
        self.version = data_version::next(self.version);
        snapshot::changed(self, context);
    }

    fn list(&self) -> SubscriptionGroupTable {
        self.table.to_body(self.version)
    }
}

/// `old` after changes of RocketMQ's form: `+name` adds or changes, `-name` takes away.
fn attributes(
    mut old: BTreeMap<String, String>,
    changes: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, GroupError> {
    for (change, value) in changes {
        let name = change.trim_start_matches(['+', '-']);
        if ![FILTER_ATTRIBUTE, FILTER_EXPRESSION_ATTRIBUTE].contains(&name) {
            return Err(GroupError::Attribute { name: name.to_owned() });
        }
        if value.len() > ATTRIBUTE_BYTES_MAX {
            return Err(GroupError::LongAttribute { name: name.to_owned() });
        }
        if change.starts_with('-') {
            old.remove(name);
        } else {
            old.insert(name.to_owned(), value.clone());
        }
    }
    Ok(old)
}

/// `group` may come into being on its first use.
#[must_use]
pub fn may_make_itself(config: &BrokerConfig, group: &Group) -> bool {
    config.clients.auto_create_group || group.starts_with(SYSTEM_GROUP_PREFIX)
}

fn fill(table: &GroupTable, stored: SubscriptionGroupTable) {
    for group in SYSTEM_GROUPS.iter().filter_map(|name| Group::new(name).ok()) {
        table.publish(group, SubscriptionGroupConfig::default());
    }
    for (name, config) in stored.subscription_group_table {
        match Group::new(&name) {
            Ok(group) => drop(table.publish(group, config)),
            Err(error) => tracing::warn!(name, %error, "a consumer group in the file was left out"),
        }
    }
    for (group, topics) in stored.forbidden_table {
        for (topic, bits) in topics {
            if let (Ok(group), Ok(topic)) = (Group::new(&group), Topic::new(&topic)) {
                table.forbid(&group, &topic, bits.max(0));
            }
        }
    }
}

impl Actor for Groups {
    type Context = Context<Self>;
}

impl Persistent for Groups {
    fn snapshot(&mut self) -> &mut Snapshot {
        &mut self.snapshot
    }

    fn encode(&self) -> Encode {
        let list = self.list();
        Box::new(move || list.encode_file())
    }
}

impl Handler<EnsureGroup> for Groups {
    type Result = Result<Arc<GroupConfig>, GroupError>;

    fn handle(&mut self, wish: EnsureGroup, context: &mut Context<Self>) -> Self::Result {
        self.ensure(wish.group, context)
    }
}

impl Handler<UpdateGroups> for Groups {
    type Result = Result<(), GroupError>;

    fn handle(&mut self, wish: UpdateGroups, context: &mut Context<Self>) -> Self::Result {
        self.update(wish.groups, context)
    }
}

impl Handler<DeleteGroup> for Groups {
    type Result = bool;

    fn handle(&mut self, wish: DeleteGroup, context: &mut Context<Self>) -> bool {
        let was_there = self.table.remove(&wish.group);
        if was_there {
            tracing::info!(group = %wish.group, "deleted a consumer group");
            self.renew(context);
        }
        was_there
    }
}

impl Handler<Forbid> for Groups {
    type Result = Result<(), GroupError>;

    fn handle(&mut self, wish: Forbid, context: &mut Context<Self>) -> Self::Result {
        self.forbid(&wish, context)
    }
}

impl Handler<ListGroups> for Groups {
    type Result = MessageResult<ListGroups>;

    fn handle(&mut self, _: ListGroups, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.list())
    }
}

impl Handler<Stop> for Groups {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Stop, _: &mut Context<Self>) -> Self::Result {
        snapshot::finish(self)
    }
}
