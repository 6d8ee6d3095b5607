//! Telling the brokers of a group that its lowest id changed: oneway requests over connections of their own.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::Name;
use super::registration::LowestIdChange;
use crate::protocol::code::RequestCode;
use crate::protocol::header::admin::NotifyMinBrokerIdChangeRequest;
use crate::remoting::channel::{Channel, ChannelOptions};
use crate::remoting::tls::Dialer;

/// Notices under way at once; what comes beyond is left out, for brokers also ask by themselves.
const NOTICES_MAX: usize = 64;
/// How long one notice may take to be sent.
const NOTICE_TIMEOUT: Duration = Duration::from_millis(300);

/// The notices under way.
#[derive(Debug)]
pub(super) struct Notices {
    room: Arc<Semaphore>,
    /// `None`: plain text.
    pub(super) dialer: Option<Dialer>,
}

impl Default for Notices {
    fn default() -> Self {
        Self { room: Arc::new(Semaphore::new(NOTICES_MAX)), dialer: None }
    }
}

impl Notices {
    /// Tells those of the group whom it concerns; returns at once.
    pub(super) fn tell(&self, change: &LowestIdChange) {
        let Some((&id, lowest)) = change.group.addresses.first_key_value() else {
            return;
        };
        let header = Arc::new(NotifyMinBrokerIdChangeRequest {
            min_broker_id: Some(id),
            broker_name: None,
            min_broker_addr: Some(lowest.to_string()),
            offline_broker_addr: change.left.as_ref().map(ToString::to_string),
            ha_broker_addr: change.ha_address.as_ref().map(ToString::to_string),
        });
        for address in concerned(change) {
            let Ok(place) = Arc::clone(&self.room).try_acquire_owned() else {
                tracing::warn!(%address, "too many notices under way, a broker is not told of its group's lowest id");
                continue;
            };
            let (header, dialer) = (Arc::clone(&header), self.dialer.clone());
            // The task ends by its timeouts; nobody waits for it.
            drop(tokio::spawn(async move {
                let _place = place;
                send(&address, dialer, &header).await;
            }));
        }
    }
}

/// All that are left when one left; those that were there before when one came.
fn concerned(change: &LowestIdChange) -> Vec<Name> {
    let addresses = change.group.addresses.values().cloned();
    if change.left.is_some() || change.group.addresses.len() == 1 {
        // A group that enabled no acting master does not care for its lowest id.
        return if change.left.is_none() || change.group.acting_master { addresses.collect() } else { Vec::new() };
    }
    addresses.skip(1).collect()
}

async fn send(address: &str, tls: Option<Dialer>, header: &NotifyMinBrokerIdChangeRequest) {
    let options = ChannelOptions { connect_timeout: NOTICE_TIMEOUT, tls, ..ChannelOptions::default() };
    let sent = async {
        let channel = Channel::connect(address, options).await?;
        let code = RequestCode::NotifyMinBrokerIdChange.number();
        channel.oneway(code, header, &[], NOTICE_TIMEOUT).await?;
        channel.close().await;
        Ok::<(), crate::remoting::error::ChannelError>(())
    };
    if let Err(error) = sent.await {
        tracing::warn!(%address, %error, "a broker was not told of its group's lowest id");
    }
}
