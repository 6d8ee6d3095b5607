//! The broker itself: its settings (25, 26), its runtime information (28), its replicas (907).

use serde::Serialize;

use super::offsets::signed;
use super::runtime_info::runtime_info;
use super::{Answer, Refusal, Request, Response};
use crate::actors::catalog::settings::UpdateSettings;
use crate::actors::catalog::topics::Renew;
use crate::config::{BrokerConfig, BrokerRole, ConfigError, UpdateReport};
use crate::protocol::body::lists::KvTable;
use crate::protocol::body::{Body, properties_text};
use crate::protocol::code::ResponseCode;
use crate::protocol::header::admin::GetBrokerConfigResponse;
use crate::protocol::json::{self, Style};
use crate::server::doors::BrokerDoors;

/// The setting that every topic's route shows.
const PERMISSION_KEY: &str = "brokerPermission";

/// 25
pub async fn update_settings(doors: &BrokerDoors, request: &Request) -> Answer {
    let pairs = properties_text::decode(&request.body).into_iter().map(|property| (property.name, property.value));
    let report = doors.settings.owner.ask(UpdateSettings(pairs.collect())).await?.map_err(refusal)?;
    log_update(&report, &request.peer.address);
    if report.has_changed(PERMISSION_KEY) {
        doors.topics.owner.ask(Renew).await?;
    }
    Ok(Response::ok())
}

fn refusal(error: ConfigError) -> Refusal {
    match error {
        ConfigError::BlackListed { .. } => {
            Refusal::new(ResponseCode::NoPermission, "Can not update config in black list.")
        }
        other => Refusal::new(ResponseCode::SystemError, other.to_string()),
    }
}

fn log_update(report: &UpdateReport, from: &std::net::SocketAddr) {
    for change in &report.changed {
        tracing::info!(%from, key = change.key, old = change.old, new = change.new, effect = ?change.effect,
            "a setting was changed");
    }
    if !report.unknown.is_empty() {
        tracing::warn!(%from, keys = ?report.unknown, "an update of the settings names keys that nobody knows");
    }
}

/// 26
pub fn settings(doors: &BrokerDoors) -> Answer {
    let version = String::from_utf8_lossy(&doors.settings.version.load().encode()).into_owned();
    let body = BrokerConfig::to_properties(&doors.settings.now());
    Ok(Response { body: body.into(), ..Response::header(GetBrokerConfigResponse { version }) })
}

/// 28
pub async fn runtime(doors: &BrokerDoors) -> Answer {
    Ok(Response::body(KvTable { table: runtime_info(doors).await? }.encode()))
}

/// Body of the answer to GET_BROKER_HA_STATUS (907), of a broker without replicas.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReplicaStatus {
    ha_client_runtime_info: ReplicaClient,
    ha_connection_info: &'static [i64],
    in_sync_slave_nums: i32,
    master: bool,
    master_commit_log_max_offset: i64,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct ReplicaClient {
    activated: bool,
    last_read_timestamp: i64,
    last_write_timestamp: i64,
    master_flush_offset: i64,
    max_offset: i64,
    transferred_byte_in_second: i64,
}

/// 907
pub fn replicas(doors: &BrokerDoors) -> Answer {
    let status = ReplicaStatus {
        ha_client_runtime_info: ReplicaClient::default(),
        ha_connection_info: &[],
        in_sync_slave_nums: 0,
        master: doors.settings.now().identity.role != BrokerRole::Slave,
        master_commit_log_max_offset: signed(doors.log.log_range().1),
    };
    let body = json::encode(&status, Style::Compact);
    Ok(Response::body(body.map_err(|error| Refusal::new(ResponseCode::SystemError, error.to_string()))?))
}
