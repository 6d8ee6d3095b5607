//! Where name servers are: by DNS, or by RocketMQ's address server, which answers an HTTP GET with `host:port;host:port`.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

/// How long an address server or the resolver may take.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);
/// RocketMQ's own, for whoever has it in the hosts file.
pub const ADDRESS_SERVER_DOMAIN: &str = "jmenv.tbsite.net";
/// RocketMQ's name for the list of name servers.
pub const ADDRESS_SERVER_SUBGROUP: &str = "nsaddr";
/// Where the domain says no port.
const ADDRESS_SERVER_PORT: u16 = 8080;
/// Longest answer of an address server, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
/// Addresses of name servers beyond which the rest is not looked at.
const ADDRESSES_MAX: usize = 256;

/// Why there are no addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    #[error("the name in {address} cannot be resolved: {reason}")]
    Resolve { address: String, reason: String },
    #[error("the address server {url} cannot be asked: {reason}")]
    Ask { url: String, reason: String },
    #[error("the address server {url} names no name server, its answer begins with {beginning:?}")]
    Nothing { url: String, beginning: String },
}

/// The address server's URL. `domain` is a host or `host:port`.
#[must_use]
pub fn address_server_url(domain: &str, subgroup: &str) -> String {
    let port = match domain.parse::<IpAddr>() {
        Ok(IpAddr::V6(v6)) => return format!("http://[{v6}]:{ADDRESS_SERVER_PORT}/rocketmq/{subgroup}"),
        Ok(IpAddr::V4(_)) => true,
        Err(_) => !domain.contains(':'),
    };
    let domain = if port { format!("{domain}:{ADDRESS_SERVER_PORT}") } else { domain.to_owned() };
    format!("http://{domain}/rocketmq/{subgroup}")
}

/// Asks an address server, on a thread that may block. What it names may be names of hosts.
///
/// # Errors
/// [`LookupError`], also when the answer is an empty one: no name server is never what is meant.
pub async fn ask_address_server(url: String) -> Result<Vec<String>, LookupError> {
    let failed = |url: &str, reason: String| LookupError::Ask { url: url.to_owned(), reason };
    let name = url.clone();
    let text = tokio::task::spawn_blocking(move || get(&name)).await;
    let text =
        text.map_err(|error| failed(&url, error.to_string()))?.map_err(|error| failed(&url, error.to_string()))?;
    let addresses = addresses_of(&text);
    if addresses.is_empty() {
        let beginning = text.chars().take(80).collect();
        return Err(LookupError::Nothing { url, beginning });
    }
    Ok(addresses)
}

/// All addresses of `host:port`, which may be an address itself, in order.
///
/// # Errors
/// When the name has none, or the resolver does not answer in time.
pub async fn resolve(address: &str) -> Result<Vec<String>, LookupError> {
    let failed = |reason: String| LookupError::Resolve { address: address.to_owned(), reason };
    let looked_up = tokio::time::timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host(address)).await;
    let found = looked_up.map_err(|_| failed("no answer in time".into()))?;
    let mut found: Vec<_> = found.map_err(|error: io::Error| failed(error.to_string()))?.take(ADDRESSES_MAX).collect();
    found.sort_unstable();
    found.dedup();
    Ok(found.into_iter().map(|address| address.to_string()).collect())
}

fn get(url: &str) -> Result<String, ureq::Error> {
    let config = ureq::Agent::config_builder().timeout_global(Some(LOOKUP_TIMEOUT)).build();
    let mut answer = ureq::Agent::new_with_config(config).get(url).call()?;
    answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string()
}

/// The first line's `host:port`s.
fn addresses_of(text: &str) -> Vec<String> {
    let line = text.trim().lines().next().unwrap_or_default();
    let has_port = |part: &str| part.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && is_port(port));
    let parts = line.split(';').map(str::trim).filter(|part| has_port(part));
    parts.take(ADDRESSES_MAX).map(String::from).collect()
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_rocketmqs() {
        let url = |domain| address_server_url(domain, ADDRESS_SERVER_SUBGROUP);
        assert_eq!(url(ADDRESS_SERVER_DOMAIN), "http://jmenv.tbsite.net:8080/rocketmq/nsaddr");
        assert_eq!(url("10.0.0.1:80"), "http://10.0.0.1:80/rocketmq/nsaddr");
        assert_eq!(url("10.0.0.1"), "http://10.0.0.1:8080/rocketmq/nsaddr");
        assert_eq!(url("::1"), "http://[::1]:8080/rocketmq/nsaddr");
    }

    #[test]
    fn only_addresses_of_the_first_line_count() {
        assert_eq!(addresses_of(" a:9876; 10.0.0.1:9877;\r\nb:1\n"), ["a:9876", "10.0.0.1:9877"]);
        assert_eq!(addresses_of("<html>no;page:0;:1;x:99999"), [""; 0]);
    }

    #[tokio::test]
    async fn a_name_becomes_all_its_addresses() {
        let found = resolve("localhost:9876").await.unwrap();
        assert!(found.iter().all(|address| address == "127.0.0.1:9876" || address == "[::1]:9876"), "{found:?}");
        assert!(!found.is_empty());
        assert_eq!(resolve("10.0.0.1:9876").await.unwrap(), ["10.0.0.1:9876"]);
        assert!(matches!(resolve("no-such-host.invalid:9876").await, Err(LookupError::Resolve { .. })));
    }
}
