//! The key-value store: 100, 101, 102, 219.

use super::super::{Answer, Refusal, Request, Response};
use super::{NamesrvDoors, system_error};
use crate::actors::namesrv::key_values::Namespace;
use crate::actors::namesrv::{DeleteKeyValue, PutKeyValue};
use crate::protocol::body::Body;
use crate::protocol::body::lists::KvTable;
use crate::protocol::code::ResponseCode;
use crate::protocol::header::namesrv::{
    DeleteKvConfigRequest, GetKvConfigRequest, GetKvConfigResponse, GetKvListByNamespaceRequest, PutKvConfigRequest,
};

pub(super) async fn put(doors: &NamesrvDoors, request: &Request) -> Answer {
    let PutKvConfigRequest { namespace, key, value } = request.header()?;
    let put = doors.ask(PutKeyValue { namespace, key, value }).await?;
    put.map_err(|error| system_error(error.to_string()))?;
    Ok(Response::ok())
}

pub(super) fn get(doors: &NamesrvDoors, request: &Request) -> Answer {
    let header: GetKvConfigRequest = request.header()?;
    match doors.key_values.get(&header.namespace, &header.key) {
        Some(value) => Ok(Response::header(GetKvConfigResponse { value: Some(value) })),
        None => {
            let remark = format!("No config item, Namespace: {} Key: {}", header.namespace, header.key);
            Err(Refusal::new(ResponseCode::QueryNotFound, remark))
        }
    }
}

pub(super) async fn delete(doors: &NamesrvDoors, request: &Request) -> Answer {
    let DeleteKvConfigRequest { namespace, key } = request.header()?;
    let deleted = doors.ask(DeleteKeyValue { namespace, key }).await?;
    deleted.map_err(|error| system_error(error.to_string()))?;
    Ok(Response::ok())
}

pub(super) fn list(doors: &NamesrvDoors, request: &Request) -> Answer {
    let header: GetKvListByNamespaceRequest = request.header()?;
    match doors.key_values.namespace(&header.namespace) {
        Some(space) => Ok(Response::body(table(&space))),
        None => {
            let remark = format!("No config item, Namespace: {}", header.namespace);
            Err(Refusal::new(ResponseCode::QueryNotFound, remark))
        }
    }
}

/// A namespace as a body.
pub(super) fn table(space: &Namespace) -> Vec<u8> {
    KvTable { table: space.clone() }.encode()
}
