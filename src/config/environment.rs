//! Settings from the environment: `ACTORMQ_` and the key in upper snake case (`ACTORMQ_BROKER_NAME` is brokerName), our own
//! keys without their prefix (`ACTORMQ_LOG_LEVEL` is actormqLogLevel), and RocketMQ's `NAMESRV_ADDR`. Empty is unset.

use std::collections::HashMap;

use config::{Environment, Source};

use super::layer::{Given, Role, Scope};
use super::notice::ConfigError;

const PREFIX: &str = "ACTORMQ";

/// What the variables say, in the order of their names.
pub(super) fn given(variables: &[(String, String)], role: Role) -> Result<Vec<Given>, ConfigError> {
    let own: HashMap<String, String> =
        variables.iter().filter(|(name, value)| !is_service_link(name, value)).cloned().collect();
    let source = Environment::with_prefix(PREFIX).prefix_separator("_").ignore_empty(true).source(Some(own));
    let failed =
        |error: config::ConfigError| ConfigError::Syntax { origin: "environment".into(), what: error.to_string() };
    let mut found = Vec::new();
    for (name, value) in source.collect().map_err(failed)? {
        let origin = format!("environment {PREFIX}_{}", name.to_ascii_uppercase());
        let text = value.into_string().map_err(failed)?;
        found.push(Given { scope: Scope::Any, key: name, text, origin });
    }
    found.sort_by(|left, right| left.key.cmp(&right.key));
    // A shell that exports NAMESRV_ADDR for clients does not mean the broker that has a name server in its own process.
    let has_own = found.iter().any(|given| given.key == "namesrv_addr");
    if role == Role::Broker && !has_own {
        let plain = variables.iter().find(|(name, value)| name == "NAMESRV_ADDR" && !value.trim().is_empty());
        found.extend(plain.map(|(name, value)| Given {
            scope: Scope::Any,
            key: "namesrvAddr".into(),
            text: value.clone(),
            origin: format!("environment {name}"),
        }));
    }
    Ok(found)
}

/// Kubernetes tells each pod of each service by variables such as `ACTORMQ_SERVICE_HOST`, `ACTORMQ_PORT` and
/// `ACTORMQ_PORT_9876_TCP_ADDR`: where the service is called actormq, these are no settings.
fn is_service_link(name: &str, value: &str) -> bool {
    let is_port = |(_, rest): (&str, &str)| {
        let (port, after) = rest.split_once('_').unwrap_or((rest, ""));
        port.parse::<u16>().is_ok() && ["TCP", "UDP", "SCTP"].iter().any(|protocol| after.starts_with(protocol))
    };
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || (name.ends_with("_PORT") && value.contains("://"))
        || name.rsplit_once("_PORT_").is_some_and(is_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)], role: Role) -> Vec<(String, String)> {
        let variables: Vec<(String, String)> =
            variables.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        given(&variables, role).unwrap().into_iter().map(|given| (given.key, given.text)).collect()
    }

    #[test]
    fn only_our_variables_count_and_empty_ones_do_not() {
        let variables =
            [("ACTORMQ_BROKER_NAME", "a"), ("ACTORMQ_BROKER_ID", ""), ("PATH", "/bin"), ("NAMESRV_ADDR", "n:1")];
        assert_eq!(read(&variables, Role::Standalone), [("broker_name".into(), "a".into())]);
        let with_address = [("broker_name".into(), "a".into()), ("namesrvAddr".into(), "n:1".into())];
        assert_eq!(read(&variables, Role::Broker), with_address);
        let both = [("NAMESRV_ADDR", "n:1"), ("ACTORMQ_NAMESRV_ADDR", "m:1")];
        assert_eq!(read(&both, Role::Broker), [("namesrv_addr".into(), "m:1".into())]);
    }

    #[test]
    fn service_links_are_no_settings() {
        let links = [
            ("ACTORMQ_SERVICE_HOST", "10.0.0.1"),
            ("ACTORMQ_SERVICE_PORT", "9876"),
            ("ACTORMQ_SERVICE_PORT_REMOTING", "9876"),
            ("ACTORMQ_PORT", "tcp://10.0.0.1:9876"),
            ("ACTORMQ_PORT_9876_TCP", "tcp://10.0.0.1:9876"),
            ("ACTORMQ_BROKER_PORT_10911_TCP_ADDR", "10.0.0.1"),
        ];
        assert_eq!(read(&links, Role::Broker), []);
        assert_eq!(read(&[("ACTORMQ_LISTEN_PORT", "1")], Role::Broker).len(), 1);
    }
}
