//! Requests of a broker that are not on the hot path.

use crate::protocol::code::ResponseCode;
use crate::server::doors::BrokerDoors;
use crate::server::requests::{Answer, Refusal, Request};

/// Serves one request.
///
/// # Errors
/// The refusal that is sent instead of an answer.
pub async fn serve(_doors: &BrokerDoors, request: Request) -> Answer {
    let remark = format!(" request type {} not supported", request.code);
    Err(Refusal::new(ResponseCode::RequestCodeNotSupported.number(), remark))
}
