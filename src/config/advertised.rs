//! The address that a broker tells to others. Clients and slaves dial what stands in the route, so a wrong guess here is a
//! broker that nobody reaches: the choice is always said, with its reason.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::broker::BrokerConfig;

/// What a broker tells others to dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    /// An IP address, or the host name that `brokerIP1` holds.
    pub host: String,
    pub why: Why,
}

/// Why this address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// `brokerIP1` says so.
    Set,
    /// The broker listens on this address only.
    Listening,
    /// The first address of an interface of this host.
    Interface,
    /// No address but link-local ones was found beside loopback.
    LinkLocal,
    /// No other address was found.
    LoopbackOnly,
}

impl Advertised {
    /// The address, unless a host name is advertised; that must be resolved before it can be a message's store host.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Set => "brokerIP1 is set to it",
            Self::Listening => "the broker listens on this address only",
            Self::Interface => "it is the first address of this host; set brokerIP1 if clients must dial another",
            Self::LinkLocal => "this host has only link-local addresses; set brokerIP1 to one that clients reach",
            Self::LoopbackOnly => "this host has no other address; only clients on this host can reach it",
        })
    }
}

/// The address to advertise: `brokerIP1` where set, else the address listened on where it is one, else the best of this
/// host's: IPv4, then global IPv6, then link-local IPv4, each in the order of `interfaces`; loopback only when there is
/// nothing else.
#[must_use]
pub fn advertised_address(config: &BrokerConfig, bound: SocketAddr, interfaces: &[IpAddr]) -> Advertised {
    if let Some(host) = &config.network.advertised_host {
        return Advertised { host: host.clone(), why: Why::Set };
    }
    if !bound.ip().is_unspecified() {
        return Advertised { host: bound.ip().to_string(), why: Why::Listening };
    }
    let best = interfaces.iter().filter_map(|ip| Some((rank(*ip, bound)?, *ip))).min_by_key(|(rank, _)| *rank);
    let (why, ip) = match best {
        Some((Rank::LinkLocal, ip)) => (Why::LinkLocal, ip),
        Some((_, ip)) => (Why::Interface, ip),
        None if bound.is_ipv4() => (Why::LoopbackOnly, IpAddr::V4(Ipv4Addr::LOCALHOST)),
        None => (Why::LoopbackOnly, IpAddr::V6(Ipv6Addr::LOCALHOST)),
    };
    Advertised { host: ip.to_string(), why }
}

/// This host's addresses, those of interfaces for containers and virtual machines last. None when the system does not tell.
#[must_use]
pub fn local_addresses() -> Vec<IpAddr> {
    const VIRTUAL: [&str; 6] = ["docker", "br-", "veth", "virbr", "cni", "podman"];
    let mut interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    interfaces.retain(if_addrs::Interface::is_oper_up);
    interfaces.sort_by_key(|interface| VIRTUAL.iter().any(|prefix| interface.name.starts_with(prefix)));
    interfaces.iter().map(if_addrs::Interface::ip).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    V4,
    GlobalV6,
    LinkLocal,
}

/// How good an address is to advertise; `None` for those that nobody else can dial.
fn rank(ip: IpAddr, bound: SocketAddr) -> Option<Rank> {
    match ip {
        IpAddr::V4(v4) if v4.is_loopback() || v4.is_unspecified() || v4.is_multicast() => None,
        IpAddr::V4(v4) if v4.is_link_local() => Some(Rank::LinkLocal),
        IpAddr::V4(_) => Some(Rank::V4),
        // An IPv4 socket takes no IPv6 connection, and a link-local IPv6 address means nothing without its interface.
        IpAddr::V6(_) if bound.is_ipv4() => None,
        IpAddr::V6(v6) if v6.is_loopback() || v6.is_unspecified() || v6.is_multicast() => None,
        IpAddr::V6(v6) if v6.is_unicast_link_local() => None,
        IpAddr::V6(_) => Some(Rank::GlobalV6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(set: Option<&str>, bound: &str, interfaces: &[&str]) -> (String, Why) {
        let mut config = BrokerConfig::default();
        config.network.advertised_host = set.map(String::from);
        let interfaces: Vec<IpAddr> = interfaces.iter().map(|ip| ip.parse().unwrap()).collect();
        let advertised = advertised_address(&config, bound.parse().unwrap(), &interfaces);
        (advertised.host, advertised.why)
    }

    #[test]
    fn what_is_set_wins_then_what_is_listened_on() {
        let any = "0.0.0.0:10911";
        let local = ["127.0.0.1", "10.0.0.5"];
        assert_eq!(choose(Some("1.2.3.4"), any, &local), ("1.2.3.4".into(), Why::Set));
        assert_eq!(choose(Some("broker-0.example"), any, &local), ("broker-0.example".into(), Why::Set));
        assert_eq!(choose(None, "127.0.0.1:1", &local), ("127.0.0.1".into(), Why::Listening));
        assert_eq!(choose(None, "[2001:db8::1]:1", &local), ("2001:db8::1".into(), Why::Listening));
    }

    #[test]
    fn else_the_best_local_address() {
        let any = "0.0.0.0:10911";
        let first = ["127.0.0.1", "169.254.0.9", "192.168.1.7", "10.0.0.5"];
        assert_eq!(choose(None, any, &first), ("192.168.1.7".into(), Why::Interface));
        assert_eq!(choose(None, any, &["127.0.0.1", "8.8.4.4"]), ("8.8.4.4".into(), Why::Interface));
        let v6 = ["::1", "fe80::1", "169.254.0.9", "2001:db8::2"];
        assert_eq!(choose(None, "[::]:10911", &v6), ("2001:db8::2".into(), Why::Interface));
        assert_eq!(choose(None, any, &v6), ("169.254.0.9".into(), Why::LinkLocal));
        assert_eq!(choose(None, "[::]:1", &["fd00::1", "10.0.0.5"]), ("10.0.0.5".into(), Why::Interface));
    }

    #[test]
    fn loopback_only_when_there_is_no_other() {
        assert_eq!(choose(None, "0.0.0.0:1", &["127.0.0.1", "::1"]), ("127.0.0.1".into(), Why::LoopbackOnly));
        assert_eq!(choose(None, "[::]:1", &["fe80::1"]), ("::1".into(), Why::LoopbackOnly));
    }

    #[test]
    fn this_host_has_a_loopback_address_at_least() {
        assert!(local_addresses().iter().any(IpAddr::is_loopback));
    }
}
