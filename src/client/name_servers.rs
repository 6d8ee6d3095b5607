//! The name servers: one is asked, the next when it does not answer. Who they are is looked up again from time to time.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::error::ClientError;
use super::heartbeat::{SPEAKS_MESSAGE_PACK, is_true};
use super::options::ClientOptions;
use crate::protocol::frame::Codec;
use crate::remoting::channel::{Channel, ChannelOptions, Reply};
use crate::remoting::error::ChannelError;
use crate::remoting::lookup::{ADDRESS_SERVER_SUBGROUP, address_server_url, ask_address_server, resolve};
use crate::remoting::tls::Dialer;

/// How often names are resolved and the address server is asked again: RocketMQ's two minutes.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(120);

/// Where the name servers' addresses come from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// `host:port` each.
    Named(Vec<String>),
    /// The URL of an address server.
    AddressServer(String),
}

impl Source {
    pub(super) fn of(options: &ClientOptions) -> Self {
        match &options.address_server {
            Some(url) if url.contains("://") => Self::AddressServer(url.clone()),
            Some(domain) => Self::AddressServer(address_server_url(domain.trim(), ADDRESS_SERVER_SUBGROUP)),
            None => Self::Named(options.name_servers.clone()),
        }
    }

    /// `host:port`s, of which a host name stands for all of its addresses; over TLS it stays a name, which the server's
    /// certificate is compared with.
    async fn look_up(&self, is_tls: bool) -> Result<Vec<String>, ClientError> {
        let named = match self {
            Self::Named(named) => named.clone(),
            Self::AddressServer(url) => ask_address_server(url.clone()).await.map_err(ClientError::Lookup)?,
        };
        let (mut found, mut trouble) = (Vec::new(), None);
        for address in named {
            if is_tls || address.parse::<SocketAddr>().is_ok() {
                found.push(address);
                continue;
            }
            match resolve(&address).await {
                Ok(addresses) => found.extend(addresses),
                Err(error) => trouble = Some(error),
            }
        }
        match trouble {
            Some(error) if found.is_empty() => Err(ClientError::Lookup(error)),
            Some(error) => {
                tracing::warn!(%error, "a name server is left out");
                Ok(found)
            }
            None => Ok(found),
        }
    }
}

/// The list and the connection to the one that answered last.
#[derive(Debug)]
pub(super) struct NameServers {
    source: Source,
    wait: Duration,
    tls: Option<Dialer>,
    chosen: Mutex<Chosen>,
}

#[derive(Debug, Default)]
struct Chosen {
    addresses: Vec<String>,
    /// `None` when they are to be looked up before the next question.
    looked_up: Option<Instant>,
    /// Index into the addresses.
    at: usize,
    channel: Option<Channel>,
}

impl NameServers {
    pub(super) fn new(source: Source, wait: Duration, tls: Option<Dialer>) -> Self {
        Self { source, wait, tls, chosen: Mutex::default() }
    }

    /// Asks until one answers, each at most once. Call it on the thread that drives the client's sockets.
    pub(super) async fn ask<T: Serialize + ?Sized>(&self, code: i32, header: &T) -> Result<Reply, ClientError> {
        let mut last = None;
        let mut left = self.count().await?;
        while left > 0 {
            left -= 1;
            let (address, channel) = self.channel().await;
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
            self.turn_from(&address).await;
        }
        if let Some(error @ ChannelError::Tls { .. }) = last {
            return Err(error.into());
        }
        let mut chosen = self.chosen.lock().await;
        // They may have moved.
        chosen.looked_up = None;
        let addresses = chosen.addresses.join(";");
        let reason = last.unwrap_or_else(|| ChannelError::Closed { address: addresses.clone() });
        Err(ClientError::NoNameServer { addresses, reason })
    }

    /// Each alone, for what all of them are to hear.
    ///
    /// # Errors
    /// When not one of them can be looked up.
    pub(super) async fn each(&self) -> Result<Vec<Self>, ClientError> {
        self.count().await?;
        let addresses = self.chosen.lock().await.addresses.clone();
        let alone = |address| Self::new(Source::Named(vec![address]), self.wait, self.tls.clone());
        Ok(addresses.into_iter().map(alone).collect())
    }

    /// How many there are, looked up when it is time.
    async fn count(&self) -> Result<usize, ClientError> {
        let mut chosen = self.chosen.lock().await;
        if chosen.looked_up.is_none_or(|at| at.elapsed() >= LOOKUP_INTERVAL) {
            match self.source.look_up(self.tls.is_some()).await {
                Ok(addresses) => {
                    chosen.take(addresses);
                    chosen.looked_up = Some(Instant::now());
                }
                Err(error) if chosen.addresses.is_empty() => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "the name servers are taken to be the same as before");
                    chosen.looked_up = Some(Instant::now());
                }
            }
        }
        Ok(chosen.addresses.len())
    }

    /// The one that is asked now, connected.
    async fn channel(&self) -> (String, Result<Channel, ChannelError>) {
        let mut chosen = self.chosen.lock().await;
        let address = chosen.addresses.get(chosen.at).cloned().unwrap_or_default();
        if let Some(channel) = chosen.channel.as_ref().filter(|channel| channel.is_open()) {
            return (address, Ok(channel.clone()));
        }
        let options = ChannelOptions { connect_timeout: self.wait, tls: self.tls.clone(), ..ChannelOptions::default() };
        let channel = Channel::connect(&address, options).await;
        chosen.channel = channel.as_ref().ok().cloned();
        (address, channel)
    }

    /// Several questions may fail together; the first turns.
    async fn turn_from(&self, address: &str) {
        let mut chosen = self.chosen.lock().await;
        if chosen.addresses.get(chosen.at).is_some_and(|at| at == address) {
            chosen.at = (chosen.at + 1).checked_rem(chosen.addresses.len()).unwrap_or(0);
            chosen.channel = None;
        }
    }
}

impl Chosen {
    /// Goes on with the one that answers while it is among the new ones; else with one by chance, so that many clients
    /// spread over all of them.
    fn take(&mut self, addresses: Vec<String>) {
        if self.addresses == addresses {
            return;
        }
        let known = self.addresses.get(self.at).and_then(|known| addresses.iter().position(|address| address == known));
        self.at = known.unwrap_or_else(|| {
            self.channel = None;
            let chance = RandomState::new().hash_one(std::process::id()) as usize;
            chance.checked_rem(addresses.len()).unwrap_or(0)
        });
        self.addresses = addresses;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn list(addresses: &[&str]) -> Vec<String> {
        addresses.iter().map(|address| (*address).to_owned()).collect()
    }

    #[test]
    fn the_first_one_asked_is_chosen_by_chance_and_kept_while_it_is_there() {
        let mut seen = BTreeSet::new();
        for _ in 0..200 {
            let mut chosen = Chosen::default();
            chosen.take(list(&["a:1", "b:1"]));
            seen.insert(chosen.at);
            let at = chosen.addresses[chosen.at].clone();
            chosen.take(list(&["c:1", "b:1", "a:1"]));
            assert_eq!(chosen.addresses[chosen.at], at);
        }
        assert_eq!(seen, BTreeSet::from([0, 1]));
    }

    #[tokio::test]
    async fn a_host_name_stands_for_its_addresses_and_an_unknown_one_is_named() {
        let found =
            Source::Named(list(&["localhost:9876", "10.0.0.1:9876", "no.invalid:9876"])).look_up(false).await.unwrap();
        assert!(
            found.contains(&"10.0.0.1:9876".to_owned()) && found.iter().all(|a| !a.contains("invalid")),
            "{found:?}"
        );
        let unknown = Source::Named(list(&["no.invalid:9876"])).look_up(false).await.unwrap_err();
        assert!(unknown.to_string().contains("no.invalid:9876"), "{unknown}");
    }
}
