//! Where topics and brokers are: routes (105, 217), clusters (106), members of a broker's group (901).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::bodies;
use super::static_topics::TopicQueueMappingInfo;
use crate::protocol::code::version;
use crate::protocol::json::Style;

/// The queues of one topic on one broker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueueData {
    pub broker_name: String,
    /// Bits: 1 inherit, 2 write, 4 read, 8 priority.
    pub perm: i32,
    pub read_queue_nums: i32,
    pub topic_sys_flag: i32,
    pub write_queue_nums: i32,
}

/// A broker name with the addresses of its master (id 0) and slaves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerData {
    pub broker_addrs: BTreeMap<i64, String>,
    pub broker_name: String,
    pub cluster: String,
    pub enable_acting_master: bool,
    pub zone_name: Option<String>,
}

/// Answer to GET_ROUTEINFO_BY_TOPIC (105), request of REGISTER_TOPIC_IN_NAMESRV (217).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopicRouteData {
    pub broker_datas: Vec<BrokerData>,
    pub filter_server_table: BTreeMap<String, Vec<String>>,
    /// `broker:queues;…` for topics whose order must survive a broker's absence.
    pub order_topic_conf: Option<String>,
    pub queue_datas: Vec<QueueData>,
    /// Static topics only, by broker name.
    pub topic_queue_mapping_by_broker: Option<BTreeMap<String, TopicQueueMappingInfo>>,
}

/// Answer to GET_BROKER_CLUSTER_INFO (106).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterInfo {
    /// By broker name.
    pub broker_addr_table: BTreeMap<String, BrokerData>,
    /// Broker names by cluster.
    pub cluster_addr_table: BTreeMap<String, Vec<String>>,
}

/// The brokers that share a name, by id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerMemberGroup {
    pub broker_addrs: BTreeMap<i64, String>,
    pub broker_name: String,
    pub cluster: String,
}

/// Answer to GET_BROKER_MEMBER_GROUP (901).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GetBrokerMemberGroupResponse {
    pub broker_member_group: Option<BrokerMemberGroup>,
}

bodies! {
    TopicRouteData = "route";
    ClusterInfo = "cluster info";
    BrokerMemberGroup = "broker member group";
    GetBrokerMemberGroupResponse = "broker member group";
}

/// Whose reader a route is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteForm {
    /// Broker ids in quotes, as every JSON reader wants them.
    Standard,
    /// Broker ids bare, as RocketMQ's clients before 4.9.4 want them.
    Legacy,
}

impl RouteForm {
    /// The form for a client of `version` that sent `accept_standard_json_only`.
    #[must_use]
    pub fn for_client(version: i32, accept_standard_json_only: Option<bool>) -> Self {
        if version >= version::V4_9_4 || accept_standard_json_only == Some(true) {
            RouteForm::Standard
        } else {
            RouteForm::Legacy
        }
    }
}

impl TopicRouteData {
    /// The answer's bytes in one of the two forms.
    #[must_use]
    pub fn encode_for(&self, form: RouteForm) -> Vec<u8> {
        super::text(
            self,
            match form {
                RouteForm::Standard => Style::Standard,
                RouteForm::Legacy => Style::Compact,
            },
        )
    }
}
