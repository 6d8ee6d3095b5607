//! How a client finds its servers and how patient it is.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::error::ClientError;
use crate::remoting::tls::{Dialer, TlsOptions};

/// Where a name server listens when nothing is said.
pub const NAME_SERVER: &str = "127.0.0.1:9876";

/// Options of a [`Client`](super::Client). The defaults are RocketMQ's.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// `host:port` of each name server; a host name stands for all of its addresses. One is chosen by chance; when it
    /// does not answer the next is tried.
    pub name_servers: Vec<String>,
    /// RocketMQ's HTTP address server, as `host`, `host:port` or a whole URL: it is asked for the name servers at the
    /// start and every two minutes. [`Self::name_servers`] is to be empty then.
    pub address_server: Option<String>,
    /// Distinguishes clients of one machine; without it, one is made of process id and a count.
    pub instance: Option<String>,
    /// For one request and its answer, where nothing else is said.
    pub request_timeout: Duration,
    /// How often routes in use are asked for again.
    pub route_interval: Duration,
    /// How often brokers hear who we are. They forget us after 120 s.
    pub heartbeat_interval: Duration,
    /// Speaks TLS with name servers and brokers; `None`: plain text.
    pub tls: Option<TlsOptions>,
}

impl ClientOptions {
    /// Options for the name servers in `addresses`, separated by `;`, as `NAMESRV_ADDR` holds them.
    ///
    /// ```
    /// let options = actormq::client::ClientOptions::new("10.0.0.1:9876;10.0.0.2:9876");
    /// assert_eq!(options.name_servers.len(), 2);
    /// ```
    #[must_use]
    pub fn new(addresses: &str) -> Self {
        let named = addresses.split([';', ',']).map(str::trim).filter(|address| !address.is_empty());
        Self {
            name_servers: named.map(str::to_owned).collect(),
            address_server: None,
            instance: None,
            request_timeout: Duration::from_secs(3),
            route_interval: Duration::from_secs(30),
            heartbeat_interval: Duration::from_secs(30),
            tls: None,
        }
    }

    /// Options for the name servers that an HTTP address server names.
    ///
    /// ```
    /// let options = actormq::client::ClientOptions::from_address_server("jmenv.tbsite.net");
    /// assert!(options.name_servers.is_empty());
    /// ```
    #[must_use]
    pub fn from_address_server(server: impl Into<String>) -> Self {
        Self { address_server: Some(server.into()), ..Self::new("") }
    }

    /// The same over TLS. Servers' certificates are checked unless the options say otherwise.
    ///
    /// ```
    /// use actormq::client::{ClientOptions, TlsOptions};
    ///
    /// let options = ClientOptions::new("mq.example.com:9876").tls(TlsOptions::with_ca_file("ca.pem"));
    /// assert!(options.tls.is_some());
    /// ```
    #[must_use]
    pub fn tls(mut self, tls: TlsOptions) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Reads the files that TLS needs, off the caller's thread.
    pub(super) async fn dialer(&self) -> Result<Option<Dialer>, ClientError> {
        let Some(tls) = self.tls.clone() else {
            return Ok(None);
        };
        let unusable = |reason: String| ClientError::Option { option: "tls", reason };
        let read = tokio::task::spawn_blocking(move || tls.dialer()).await;
        read.map_err(|error| unusable(error.to_string()))?.map(Some).map_err(|error| unusable(error.to_string()))
    }

    pub(super) fn check(&self) -> Result<(), ClientError> {
        let wrong = |option, reason: &str| Err(ClientError::Option { option, reason: reason.to_owned() });
        match (&self.address_server, self.name_servers.is_empty()) {
            (Some(server), true) if !server.trim().is_empty() => {}
            (Some(_), true) => return wrong("address_server", "it is empty"),
            (Some(_), false) => return wrong("address_server", "name_servers are given too: use one of the two"),
            (None, false) => {}
            (None, true) => return wrong("name_servers", "at least one address is needed, such as 127.0.0.1:9876"),
        }
        let without_port = |a: &&String| a.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_err());
        if let Some(address) = self.name_servers.iter().find(without_port) {
            return wrong("name_servers", &format!("`{address}` is not of the form host:port"));
        }
        let intervals = [self.request_timeout, self.route_interval, self.heartbeat_interval];
        if intervals.iter().any(Duration::is_zero) {
            return wrong("request_timeout, route_interval or heartbeat_interval", "it is zero");
        }
        Ok(())
    }

    /// As RocketMQ names a client that is not told otherwise.
    pub(super) fn lasting_id(&self, address: IpAddr) -> String {
        format!("{address}@{}", self.instance.as_deref().unwrap_or("DEFAULT"))
    }

    /// `address@instance`, as brokers show it.
    pub(super) fn client_id(&self, address: IpAddr) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        match &self.instance {
            Some(instance) => format!("{address}@{instance}"),
            None => {
                let started = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_micros();
                // Two clients of a process may start within a microsecond.
                let count = COUNT.fetch_add(1, Ordering::Relaxed);
                format!("{address}@{}#{started}.{count}", std::process::id())
            }
        }
    }
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self::new(NAME_SERVER)
    }
}

/// The address that others most likely see us at: IPv4 before IPv6, loopback last.
pub(super) fn local_address() -> IpAddr {
    let all = if_addrs::get_if_addrs().unwrap_or_default();
    let rank = |ip: &IpAddr| match ip {
        IpAddr::V4(v4) if v4.is_loopback() => 4,
        IpAddr::V4(v4) if v4.is_link_local() => 2,
        IpAddr::V4(_) => 0,
        IpAddr::V6(v6) if v6.is_loopback() => 5,
        IpAddr::V6(v6) if v6.is_unicast_link_local() => 3,
        IpAddr::V6(_) => 1,
    };
    all.iter().map(if_addrs::Interface::ip).min_by_key(rank).unwrap_or(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_cannot_work_are_named() {
        assert!(ClientOptions::default().check().is_ok());
        let message = |addresses: &str| ClientOptions::new(addresses).check().unwrap_err().to_string();
        assert!(message("").contains("at least one address"), "{}", message(""));
        assert!(message("a:1;b").contains("`b` is not of the form host:port"));
        assert!(ClientOptions::from_address_server("a").check().is_ok());
        assert!(ClientOptions::from_address_server(" ").check().is_err());
        let both = ClientOptions { address_server: Some("a".into()), ..ClientOptions::default() };
        assert!(both.check().unwrap_err().to_string().contains("one of the two"));
        let zero = ClientOptions { request_timeout: Duration::ZERO, ..ClientOptions::default() };
        assert!(zero.check().is_err());
    }

    #[test]
    fn client_ids_differ() {
        let options = ClientOptions::default();
        assert_ne!(options.client_id(local_address()), options.client_id(local_address()));
    }
}
