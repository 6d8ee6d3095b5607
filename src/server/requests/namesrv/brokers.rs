//! Brokers that come, stay and leave: 103, 104, 205, 322, 327, 904.

use std::time::Duration;

use bytes::Bytes;

use super::super::{Answer, Refusal, Request, Response};
use super::routes::ZONE_NAME;
use super::{NamesrvDoors, key_values, system_error};
use crate::actors::namesrv::key_values::ORDER_TOPICS;
use crate::actors::namesrv::liveness::HEARTBEAT_TIMEOUT;
use crate::actors::namesrv::published::{BrokerKey, Share};
use crate::actors::namesrv::registration::{FILTER_SERVERS_MAX, Identity, Registered, Registration};
use crate::actors::namesrv::{CompareVersion, Heartbeat, Name, Register, SwitchWriting, Unregister, Writing};
use crate::protocol::body::registration::{RegisterBrokerBody, body_crc};
use crate::protocol::body::topics::{MappedTopicTable, TopicConfig};
use crate::protocol::body::version::DataVersion;
use crate::protocol::body::{Body, DecodeError};
use crate::protocol::header::namesrv::{
    AddWritePermOfBrokerRequest, AddWritePermOfBrokerResponse, BrokerHeartbeatRequest, QueryDataVersionRequest,
    QueryDataVersionResponse, RegisterBrokerRequest, RegisterBrokerResponse, UnregisterBrokerRequest,
    WipeWritePermOfBrokerRequest, WipeWritePermOfBrokerResponse,
};

/// Brokers before this release, 3.0.11, register with their topics alone.
const VERSION_WITH_FILTER_SERVERS: i32 = 37;
/// Plain bodies up to this length, in bytes, are decoded where they arrive; longer ones on a thread that may block.
const DECODED_AT_ONCE_BYTES: usize = 32 * 1024;

pub(super) async fn register(doors: &NamesrvDoors, request: &Request) -> Answer {
    let header: RegisterBrokerRequest = request.header()?;
    if header.body_crc32 != 0 && header.body_crc32 != body_crc(&request.body) {
        tracing::warn!(address = %request.peer.address, broker = header.broker_addr, "crc32 not match");
        return Err(system_error("crc32 not match"));
    }
    let body = decode(doors, request, header.compressed).await?;
    let registration = registration(header, body, request);
    let told = doors.ask(Register(registration)).await?.map_err(|error| system_error(error.to_string()))?;
    let mut response = Response::header(response_header(told));
    if doors.config.load().routes.return_order_config
        && let Some(space) = doors.key_values.namespace(ORDER_TOPICS)
    {
        response.body = key_values::table(&space).into();
    }
    Ok(response)
}

pub(super) async fn unregister(doors: &NamesrvDoors, request: &Request) -> Answer {
    let header: UnregisterBrokerRequest = request.header()?;
    let broker = Identity {
        cluster: header.cluster_name.into(),
        group: header.broker_name.into(),
        address: header.broker_addr.into(),
        id: header.broker_id,
    };
    doors.ask(Unregister(broker)).await?;
    Ok(Response::ok())
}

pub(super) async fn heartbeat(doors: &NamesrvDoors, request: &Request) -> Answer {
    let header: BrokerHeartbeatRequest = request.header()?;
    doors.ask(Heartbeat(key(header.cluster_name, header.broker_addr))).await?;
    Ok(Response::ok())
}

pub(super) async fn compare_version(doors: &NamesrvDoors, request: &Request) -> Answer {
    let header: QueryDataVersionRequest = request.header()?;
    let version = DataVersion::decode(&request.body).map_err(refused)?;
    let compared = doors.ask(CompareVersion { broker: key(header.cluster_name, header.broker_addr), version }).await?;
    let mut response = Response::header(QueryDataVersionResponse { changed: compared.is_changed });
    if let Some(held) = compared.held {
        response.body = held.encode().into();
    }
    Ok(response)
}

pub(super) async fn wipe_write_permission(doors: &NamesrvDoors, request: &Request) -> Answer {
    let header: WipeWritePermOfBrokerRequest = request.header()?;
    let wipe_topic_count = switch(doors, header.broker_name, Writing::Wiped).await?;
    Ok(Response::header(WipeWritePermOfBrokerResponse { wipe_topic_count }))
}

pub(super) async fn add_write_permission(doors: &NamesrvDoors, request: &Request) -> Answer {
    let header: AddWritePermOfBrokerRequest = request.header()?;
    let add_topic_count = switch(doors, header.broker_name, Writing::Added).await?;
    Ok(Response::header(AddWritePermOfBrokerResponse { add_topic_count }))
}

async fn switch(doors: &NamesrvDoors, group: String, writing: Writing) -> Result<i32, Refusal> {
    let topics = doors.ask(SwitchWriting { group: group.into(), writing }).await?;
    Ok(i32::try_from(topics).unwrap_or(i32::MAX))
}

async fn decode(doors: &NamesrvDoors, request: &Request, compressed: bool) -> Result<RegisterBrokerBody, Refusal> {
    let version = request.version;
    if !compressed && request.body.len() <= DECODED_AT_ONCE_BYTES {
        return decode_plain(&request.body, version).map_err(refused);
    }
    let stopping = || system_error("the name server is stopping");
    let _turn = doors.decoding.acquire().await.map_err(|_| stopping())?;
    let body: Bytes = request.body.clone();
    let decoded = tokio::task::spawn_blocking(move || match compressed {
        true if !body.is_empty() && version >= VERSION_WITH_FILTER_SERVERS => {
            RegisterBrokerBody::decode_compressed(&body, version)
        }
        _ => decode_plain(&body, version),
    });
    decoded.await.map_err(|_| stopping())?.map_err(refused)
}

fn decode_plain(body: &[u8], version: i32) -> Result<RegisterBrokerBody, DecodeError> {
    if body.is_empty() {
        Ok(RegisterBrokerBody::default())
    } else if version >= VERSION_WITH_FILTER_SERVERS {
        RegisterBrokerBody::decode(body)
    } else {
        let topics = MappedTopicTable::decode(body)?;
        Ok(RegisterBrokerBody { topics, ..RegisterBrokerBody::default() })
    }
}

fn registration(header: RegisterBrokerRequest, body: RegisterBrokerBody, request: &Request) -> Registration {
    let timeout = header.heartbeat_timeout_millis.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0)));
    let zone = request.ext.field(ZONE_NAME).map(|zone| Name::from(&*zone));
    let tells_filter_servers = request.version >= VERSION_WITH_FILTER_SERVERS;
    let filter_servers = body.filter_server_list.into_iter().take(FILTER_SERVERS_MAX).map(Name::from);
    Registration {
        broker: Identity {
            cluster: header.cluster_name.into(),
            group: header.broker_name.into(),
            address: header.broker_addr.into(),
            id: header.broker_id,
        },
        ha_address: header.ha_server_addr.map(Name::from),
        zone,
        heartbeat_timeout: timeout.unwrap_or(HEARTBEAT_TIMEOUT),
        acting_master: header.enable_acting_master,
        version: body.topics.data_version,
        topics: body.topics.topic_config_table.into_values().map(share).collect(),
        mappings: body.topics.topic_queue_mapping_info_map,
        filter_servers: tells_filter_servers.then(|| filter_servers.collect()),
        connection: request.peer.connection,
    }
}

fn share(topic: TopicConfig) -> (Name, Share) {
    let share = Share {
        read_queues: topic.read_queue_nums,
        write_queues: topic.write_queue_nums,
        perm: topic.perm,
        sys_flag: topic.topic_sys_flag,
    };
    (topic.topic_name.into(), share)
}

fn response_header(told: Registered) -> RegisterBrokerResponse {
    RegisterBrokerResponse {
        ha_server_addr: told.ha_address.map(|address| address.to_string()),
        master_addr: told.master_address.map(|address| address.to_string()),
    }
}

fn key(cluster: String, address: String) -> BrokerKey {
    BrokerKey { cluster: cluster.into(), address: address.into() }
}

fn refused(error: DecodeError) -> Refusal {
    system_error(error.to_string())
}
