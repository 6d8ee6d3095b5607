//! Locks for consumption in order: 41 gets them or keeps them, 42 gives them back.
//!
//! A broker that has slaves would ask them too where `lockInStrictMode` says so and `onlyThisBroker` does not; this one is
//! alone.

use std::sync::Arc;

use super::clients::CLIENT_ID_BYTES_MAX;
use super::{Answer, Refusal, Request, Response};
use crate::actors::queue_locks::{Lock, Unlock};
use crate::protocol::body::Body;
use crate::protocol::body::locks::{LockBatchRequest, LockBatchResponse};
use crate::protocol::body::queue::MessageQueue;
use crate::protocol::code::ResponseCode;
use crate::protocol::names::Group;
use crate::server::doors::BrokerDoors;

/// 41
pub async fn lock(doors: &BrokerDoors, request: &Request) -> Answer {
    let (group, client_id, queues) = read(request)?;
    let locked = doors.members.locks.owner.ask(Lock { group, client_id, queues }).await?;
    Ok(Response::body(LockBatchResponse { locked }.encode()))
}

/// 42
pub async fn unlock(doors: &BrokerDoors, request: &Request) -> Answer {
    let (group, client_id, queues) = read(request)?;
    doors.members.locks.owner.ask(Unlock { group, client_id, queues }).await?;
    Ok(Response::ok())
}

fn read(request: &Request) -> Result<(Group, Arc<str>, Vec<MessageQueue>), Refusal> {
    let illegal = |remark: String| Refusal::new(ResponseCode::SystemError, remark);
    let body = LockBatchRequest::decode(&request.body)?;
    let group = Group::new(&body.consumer_group).map_err(|e| illegal(format!("the consumer group is illegal: {e}")))?;
    let length = body.client_id.len();
    if length == 0 || length > CLIENT_ID_BYTES_MAX {
        return Err(illegal(format!("a client id of {length} bytes, 1 to {CLIENT_ID_BYTES_MAX} are allowed")));
    }
    Ok((group, body.client_id.into(), body.mq_set))
}
