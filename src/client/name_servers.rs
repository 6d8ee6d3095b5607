//! The name servers: one is asked, the next when it does not answer.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Mutex;

use super::error::ClientError;
use super::heartbeat::{SPEAKS_MESSAGE_PACK, is_true};
use crate::protocol::frame::Codec;
use crate::remoting::channel::{Channel, ChannelOptions, Reply};
use crate::remoting::error::ChannelError;
use crate::remoting::tls::Dialer;

/// The list and the connection to the one that answered last.
#[derive(Debug)]
pub(super) struct NameServers {
    addresses: Vec<String>,
    wait: Duration,
    tls: Option<Dialer>,
    chosen: Mutex<Chosen>,
}

#[derive(Debug)]
struct Chosen {
    /// Index into the addresses.
    at: usize,
    channel: Option<Channel>,
}

impl NameServers {
    /// Begins with one by chance, so that many clients spread over all of them.
    pub(super) fn new(addresses: Vec<String>, wait: Duration, tls: Option<Dialer>) -> Self {
        let chance = RandomState::new().hash_one(std::process::id()) as usize;
        let at = chance.checked_rem(addresses.len()).unwrap_or(0);
        Self { addresses, wait, tls, chosen: Mutex::new(Chosen { at, channel: None }) }
    }

    /// Asks until one answers, each at most once. Call it on the thread that drives the client's sockets.
    pub(super) async fn ask<T: Serialize + ?Sized>(&self, code: i32, header: &T) -> Result<Reply, ClientError> {
        let mut last = None;
        for _ in 0..self.addresses.len() {
            let (at, channel) = self.channel().await;
            let trouble = match channel {
                Ok(channel) => match channel.request(code, header, b"", self.wait).await {
                    Ok(reply) => {
                        if is_true(&reply, SPEAKS_MESSAGE_PACK) {
                            channel.speak(Codec::MessagePack);
                        }
                        return Ok(reply);
                    }
                    Err(error) => error,
                },
                Err(error) => error,
            };
            tracing::debug!(%trouble, "the next name server is tried");
            last = Some(trouble);
            self.turn_from(at).await;
        }
        if let Some(error @ ChannelError::Tls { .. }) = last {
            return Err(error.into());
        }
        let addresses = self.addresses.join(";");
        let reason = last.unwrap_or_else(|| ChannelError::Closed { address: addresses.clone() });
        Err(ClientError::NoNameServer { addresses, reason })
    }

    /// The one that is asked now, by its index, connected.
    async fn channel(&self) -> (usize, Result<Channel, ChannelError>) {
        let mut chosen = self.chosen.lock().await;
        let at = chosen.at;
        if let Some(channel) = chosen.channel.as_ref().filter(|channel| channel.ended().is_none()) {
            return (at, Ok(channel.clone()));
        }
        let address = self.addresses.get(at).cloned().unwrap_or_default();
        let tls = self.tls.clone();
        let options = ChannelOptions { connect_timeout: self.wait, tls, ..ChannelOptions::default() };
        let channel = Channel::connect(&address, options).await;
        chosen.channel = channel.as_ref().ok().cloned();
        (at, channel)
    }

    /// Several questions may fail together; the first turns.
    async fn turn_from(&self, at: usize) {
        let mut chosen = self.chosen.lock().await;
        if chosen.at == at {
            chosen.at = (at + 1).checked_rem(self.addresses.len()).unwrap_or(0);
            chosen.channel = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[tokio::test]
    async fn the_first_one_asked_is_chosen_by_chance() {
        let mut chosen = BTreeSet::new();
        for _ in 0..200 {
            let servers = NameServers::new(vec!["a:1".into(), "b:1".into()], Duration::from_secs(1), None);
            chosen.insert(servers.chosen.lock().await.at);
        }
        assert_eq!(chosen, BTreeSet::from([0, 1]));
    }
}
