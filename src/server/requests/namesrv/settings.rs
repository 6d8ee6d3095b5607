//! The name server's own settings: 318, 319.

use super::super::{Answer, Refusal, Request, Response};
use super::{NamesrvDoors, system_error};
use crate::actors::namesrv::UpdateSettings;
use crate::config::ConfigError;
use crate::protocol::body::properties_text;
use crate::protocol::code::ResponseCode;

pub(super) async fn update(doors: &NamesrvDoors, request: &Request) -> Answer {
    let settings = properties_text::decode(&request.body);
    let pairs: Vec<_> = settings.into_iter().map(|setting| (setting.name, setting.value)).collect();
    if pairs.is_empty() {
        return Ok(Response::ok());
    }
    tracing::info!(client = %request.peer.address, settings = pairs.len(), "settings are to be changed");
    match doors.ask(UpdateSettings(pairs)).await? {
        Ok(()) => Ok(Response::ok()),
        Err(ConfigError::BlackListed { .. }) => {
            Err(Refusal::new(ResponseCode::NoPermission, "Can not update config in black list."))
        }
        Err(error) => Err(system_error(error.to_string())),
    }
}

pub(super) fn list(doors: &NamesrvDoors) -> Answer {
    Ok(Response::body(doors.config.load().to_properties()))
}
