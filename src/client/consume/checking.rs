//! Asking a broker whether it can filter as a consumer wishes, before the consumer starts.

use super::subscription::Subscription;
use crate::client::error::ClientError;
use crate::client::hub::{Hub, ask};
use crate::client::route::MASTER;
use crate::protocol::body::Body;
use crate::protocol::body::clients::CheckClientRequest;
use crate::protocol::code::RequestCode;

/// Has the brokers of the topic check what is more than tags. A topic that is not there yet has none.
///
/// # Errors
/// What a broker has against the expression.
pub(in crate::client) async fn check(core: &Hub, group: &str, wanted: &Subscription) -> Result<(), ClientError> {
    if wanted.is_by_tag() {
        return Ok(());
    }
    let Some(route) = core.known_route(&wanted.topic).filter(|route| !route.provisional) else { return Ok(()) };
    let body = CheckClientRequest {
        client_id: core.client_id.to_string(),
        group: group.to_owned(),
        namespace: None,
        subscription_data: Some(wanted.data()),
    };
    let body = body.encode();
    for addresses in route.brokers.values() {
        let Some(address) = addresses.get(&MASTER) else { continue };
        let channel = core.channel(address).await?;
        ask(&channel, RequestCode::CheckClientConfig, &(), &body, core.options.request_timeout).await?;
    }
    Ok(())
}
