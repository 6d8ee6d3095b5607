//! Lists of topics, and topics told or taken one by one: 206, 216, 217, 224, 304, 311, 312, 313.

use std::collections::BTreeSet;

use super::super::{Answer, Request, Response};
use super::{NamesrvDoors, system_error};
use crate::actors::namesrv::published::{Share, TopicKind};
use crate::actors::namesrv::{DeleteTopic, Name, RegisterTopic};
use crate::protocol::body::Body;
use crate::protocol::body::lists::TopicList;
use crate::protocol::body::route::{QueueData, TopicRouteData};
use crate::protocol::header::namesrv::{
    DeleteTopicFromNamesrvRequest, GetTopicsByClusterRequest, RegisterTopicRequest,
};

pub(super) fn all(doors: &NamesrvDoors) -> Answer {
    if !doors.config.load().routes.all_topic_list {
        return Err(system_error("disable"));
    }
    Ok(list(doors.routes.topic_names(TopicKind::All), None))
}

/// The topics that RocketMQ names after clusters and brokers.
pub(super) fn of_system(doors: &NamesrvDoors) -> Answer {
    let brokers = doors.routes.brokers();
    let names = brokers.clusters.iter().flat_map(|(cluster, groups)| std::iter::once(cluster).chain(groups)).cloned();
    let address = brokers.groups.values().find_map(|group| group.addresses.values().next());
    Ok(list(names.collect(), address))
}

pub(super) fn of_cluster(doors: &NamesrvDoors, request: &Request) -> Answer {
    let header: GetTopicsByClusterRequest = request.header()?;
    when_listed(doors, |doors| doors.routes.topic_names_in(&header.cluster))
}

pub(super) fn of_unit(doors: &NamesrvDoors) -> Answer {
    when_listed(doors, |doors| doors.routes.topic_names(TopicKind::Unit))
}

pub(super) fn with_unit_subscribers(doors: &NamesrvDoors) -> Answer {
    when_listed(doors, |doors| doors.routes.topic_names(TopicKind::UnitSubscribers))
}

pub(super) fn with_unit_subscribers_only(doors: &NamesrvDoors) -> Answer {
    when_listed(doors, |doors| doors.routes.topic_names(TopicKind::UnitSubscribersOnly))
}

/// One topic of a broker, told by itself. A body without queues says nothing and is no error.
pub(super) async fn register(doors: &NamesrvDoors, request: &Request) -> Answer {
    let header: RegisterTopicRequest = request.header()?;
    if request.body.is_empty() {
        return Ok(Response::ok());
    }
    let route = TopicRouteData::decode(&request.body).map_err(|error| system_error(error.to_string()))?;
    let shares: Vec<_> = route.queue_datas.iter().map(share).collect();
    if !shares.is_empty() {
        let registered = doors.ask(RegisterTopic { topic: header.topic.into(), shares }).await?;
        registered.map_err(|error| system_error(error.to_string()))?;
    }
    Ok(Response::ok())
}

pub(super) async fn delete(doors: &NamesrvDoors, request: &Request) -> Answer {
    let header: DeleteTopicFromNamesrvRequest = request.header()?;
    let cluster = header.cluster_name.filter(|cluster| !cluster.is_empty()).map(Name::from);
    doors.ask(DeleteTopic { topic: header.topic.into(), cluster }).await?;
    Ok(Response::ok())
}

fn when_listed(doors: &NamesrvDoors, names: impl FnOnce(&NamesrvDoors) -> BTreeSet<Name>) -> Answer {
    if !doors.config.load().routes.topic_lists {
        return Err(system_error("disable"));
    }
    Ok(list(names(doors), None))
}

fn list(names: BTreeSet<Name>, broker: Option<&Name>) -> Response {
    let list = TopicList {
        broker_addr: broker.map(ToString::to_string),
        topic_list: names.iter().map(ToString::to_string).collect(),
    };
    Response::body(list.encode())
}

fn share(queues: &QueueData) -> (Name, Share) {
    let share = Share {
        read_queues: queues.read_queue_nums,
        write_queues: queues.write_queue_nums,
        perm: queues.perm,
        sys_flag: queues.topic_sys_flag,
    };
    (queues.broker_name.as_str().into(), share)
}
