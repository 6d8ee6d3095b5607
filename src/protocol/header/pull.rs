//! Headers of pulls: PULL_MESSAGE (11) and LITE_PULL_MESSAGE (361).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// Request of PULL_MESSAGE (11) and LITE_PULL_MESSAGE (361).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PullMessageRequest<'a> {
    #[serde(borrow)]
    pub consumer_group: Cow<'a, str>,
    #[serde(borrow)]
    pub topic: Cow<'a, str>,
    pub queue_id: i32,
    pub queue_offset: i64,
    pub max_msg_nums: i32,
    /// Bits: 1 commit `commit_offset`, 2 may wait, 4 `subscription` is given, 8 class filter, 16 lite pull.
    #[serde(default)]
    pub sys_flag: i32,
    #[serde(default)]
    pub commit_offset: i64,
    /// How long the answer may wait for a message, in milliseconds.
    #[serde(default)]
    pub suspend_timeout_millis: i64,
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub subscription: Cow<'a, str>,
    #[serde(default)]
    pub sub_version: i64,
    /// `TAG` (also when empty) or `SQL92`.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub expression_type: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_msg_bytes: Option<i32>,
    /// -1 client, 0 proxy orderly, 1 proxy broadcast, 2 proxy stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_source: Option<i32>,
    /// Spelled as on the wire.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub proxy_froward_client_id: Cow<'a, str>,
}

/// Answer to a pull. Java needs the first four for every code, 19 to 21 too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PullMessageResponse {
    pub suggest_which_broker_id: i64,
    pub next_begin_offset: i64,
    pub min_offset: i64,
    pub max_offset: i64,
    /// Static topics only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset_delta: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_sys_flag: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_sys_flag: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forbidden_type: Option<i32>,
}
