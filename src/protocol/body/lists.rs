//! Lists and tables of names: topics (206, 224, 304, 305, 343), groups (300), keys and values (28, 103, 219), and the
//! name server's own key-value file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ConfigFile, bodies};

/// Topic names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicList {
    /// One of the brokers asked about; only with GET_SYSTEM_TOPIC_LIST_FROM_NS (304).
    pub broker_addr: Option<String>,
    pub topic_list: Vec<String>,
}

/// Consumer group names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GroupList {
    pub group_list: Vec<String>,
}

/// Keys and values: runtime information, one namespace of the name server's settings, the order settings that a
/// registration is answered with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KvTable {
    pub table: BTreeMap<String, String>,
}

/// The file `kvConfig.json` of a name server: namespace, key, value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KvConfig {
    pub config_table: BTreeMap<String, BTreeMap<String, String>>,
}

bodies! {
    TopicList = "topic list";
    GroupList = "group list";
    KvTable = "key-value table";
    KvConfig = "key-value file";
}

impl ConfigFile for KvConfig {}
