//! Headers of a broker's administration: 26, 315, 905. Runtime information (28) and settings (25) have only bodies.

use serde::{Deserialize, Serialize};

/// Answer to GET_BROKER_CONFIG (26).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetBrokerConfigResponse {
    /// DataVersion JSON of the settings.
    pub version: String,
}

/// Request of VIEW_BROKER_STATS_DATA (315).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ViewBrokerStatsDataRequest {
    pub stats_name: String,
    pub stats_key: String,
}

/// Notice NOTIFY_MIN_BROKER_ID_CHANGE (905), name server to broker, oneway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NotifyMinBrokerIdChangeRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_broker_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_broker_addr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offline_broker_addr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ha_broker_addr: Option<String>,
}
