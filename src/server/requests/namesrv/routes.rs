//! Where a topic is, and which brokers there are: 105, 106, 901. Answered from what the actor publishes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::{Answer, Refusal, Request, Response};
use super::{NamesrvDoors, system_error};
use crate::actors::namesrv::key_values::ORDER_TOPICS;
use crate::actors::namesrv::published::{Group, Route};
use crate::protocol::body::Body;
use crate::protocol::body::route::{
    BrokerData, BrokerMemberGroup, ClusterInfo, GetBrokerMemberGroupResponse, QueueData, RouteForm, TopicRouteData,
};
use crate::protocol::code::ResponseCode;
use crate::protocol::header::namesrv::{GetBrokerMemberGroupRequest, GetRouteInfoRequest, GetRouteInfoResponse};

/// Field of a client that wants its zone's brokers only.
const ZONE_MODE: &str = "__ZONE_MODE";
/// Field with the zone of a client or a broker.
pub(super) const ZONE_NAME: &str = "__ZONE_NAME";
/// What RocketMQ adds to the remark of a missing route.
const NO_ROUTE_ADVICE: &str = "\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details.";

pub(super) fn route(doors: &NamesrvDoors, request: &Request) -> Answer {
    let header: GetRouteInfoRequest = request.header()?;
    let config = doors.config.load();
    let rules = &config.routes;
    if rules.wait_for_brokers && doors.started.elapsed() < Duration::from_secs(rules.wait_seconds.into()) {
        return Err(system_error("name server not ready"));
    }
    let mut route = doors.routes.route(&header.topic).ok_or_else(|| no_route(&header.topic))?;
    if rules.acting_master {
        route.show_acting_masters(&header.topic);
    }
    if let Some(zone) = zone(request) {
        route.keep_zone(&zone);
    }
    let order = if rules.order_messages { doors.key_values.get(ORDER_TOPICS, &header.topic) } else { None };
    let form = RouteForm::for_client(request.version, header.accept_standard_json_only);
    let body = route_data(&route, order).encode_for(form).into();
    Ok(Response { body, ..Response::header(GetRouteInfoResponse { message_pack: true }) })
}

pub(super) fn cluster_info(doors: &NamesrvDoors) -> Answer {
    let brokers = doors.routes.brokers();
    let groups = brokers.groups.iter().map(|(name, group)| (name.to_string(), broker_data(group)));
    let clusters = brokers
        .clusters
        .iter()
        .map(|(cluster, names)| (cluster.to_string(), names.iter().map(ToString::to_string).collect()));
    let info = ClusterInfo { broker_addr_table: groups.collect(), cluster_addr_table: clusters.collect() };
    Ok(Response::body(info.encode()))
}

pub(super) fn member_group(doors: &NamesrvDoors, request: &Request) -> Answer {
    let header: GetBrokerMemberGroupRequest = request.header()?;
    let brokers = doors.routes.brokers();
    let group = brokers.groups.get(header.broker_name.as_str());
    let members = BrokerMemberGroup {
        broker_addrs: group.map_or_else(BTreeMap::new, |group| addresses(group)),
        broker_name: header.broker_name,
        cluster: header.cluster_name,
    };
    Ok(Response::body(GetBrokerMemberGroupResponse { broker_member_group: Some(members) }.encode()))
}

fn no_route(topic: &str) -> Refusal {
    let remark = format!("No topic route info in name server for the topic: {topic}{NO_ROUTE_ADVICE}");
    Refusal::new(ResponseCode::TopicNotExist, remark)
}

/// The zone that the client wants to keep to.
fn zone(request: &Request) -> Option<String> {
    let is_on = request.ext.field(ZONE_MODE)?.eq_ignore_ascii_case("true");
    let zone = request.ext.field(ZONE_NAME).filter(|zone| is_on && !zone.trim().is_empty())?;
    Some(zone.into_owned())
}

fn route_data(route: &Route, order_topic_conf: Option<String>) -> TopicRouteData {
    let queues = route.topic.shares.iter().map(|(group, share)| QueueData {
        broker_name: group.to_string(),
        perm: share.perm,
        read_queue_nums: share.read_queues,
        topic_sys_flag: share.sys_flag,
        write_queue_nums: share.write_queues,
    });
    let filter_servers = route
        .filter_servers
        .iter()
        .map(|(address, servers)| (address.to_string(), servers.iter().map(ToString::to_string).collect()));
    let mappings = route.topic.mappings.iter().map(|(group, mapping)| (group.to_string(), (**mapping).clone()));
    TopicRouteData {
        broker_datas: route.groups.iter().map(|group| broker_data(group)).collect(),
        filter_server_table: filter_servers.collect(),
        order_topic_conf,
        queue_datas: queues.collect(),
        topic_queue_mapping_by_broker: (!route.topic.mappings.is_empty()).then(|| mappings.collect()),
    }
}

fn broker_data(group: &Group) -> BrokerData {
    BrokerData {
        broker_addrs: addresses(group),
        broker_name: group.name.to_string(),
        cluster: group.cluster.to_string(),
        enable_acting_master: group.acting_master,
        zone_name: group.zone.as_ref().map(ToString::to_string),
    }
}

fn addresses(group: &Group) -> BTreeMap<i64, String> {
    group.addresses.iter().map(|(id, address)| (*id, address.to_string())).collect()
}
