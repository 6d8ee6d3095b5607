//! Headers of transactions: 37, 39, 323.

use serde::{Deserialize, Serialize};

/// Request of END_TRANSACTION (37), sent oneway by clients; the answer has no fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndTransactionRequest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<&'a str>,
    pub producer_group: &'a str,
    /// The half message's offset in its queue.
    pub tran_state_table_offset: i64,
    /// Where the half message lies in the log.
    pub commit_log_offset: i64,
    /// 0 not known yet, 8 commit, 12 rollback.
    pub commit_or_rollback: i32,
    /// The producer was asked.
    #[serde(default)]
    pub from_transaction_check: bool,
    pub msg_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<&'a str>,
}

/// Request of CHECK_TRANSACTION_STATE (39), broker to producer, oneway; its body is the message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckTransactionStateRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    pub tran_state_table_offset: i64,
    pub commit_log_offset: i64,
    /// The unique key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub msg_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset_msg_id: Option<String>,
    #[serde(rename = "bname", skip_serializing_if = "Option::is_none")]
    pub broker_name: Option<String>,
}

/// Request of RESUME_CHECK_HALF_MESSAGE (323); the answer has no fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResumeCheckHalfMessageRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// The offset id of a message in TRANS_CHECK_MAX_TIME_TOPIC.
    pub msg_id: String,
}
