//! What servers are told about TLS: RocketMQ's system properties, for name server and broker alike. What nobody said follows
//! from the files that were named.

use std::path::{Path, PathBuf};

use super::binding::Keyed;
use super::notice::{ConfigError, Notice};
use super::values::{Read, Shown, one_of, switch};

/// Where RocketMQ looks for the TLS keys when nobody says otherwise.
pub(super) const CONFIG_FILE: &str = "/etc/rocketmq/tls.properties";

/// How a server speaks TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsRules {
    pub mode: TlsMode,
    /// A certificate made at the start, whatever files are named. Ask [`TlsRules::is_self_signed`].
    pub test_mode: Option<bool>,
    /// Where the keys beside those of this process were read from; unset: `CONFIG_FILE`, if it is there.
    pub config_file: Option<PathBuf>,
    /// What the server shows to those who connect.
    pub identity: TlsIdentity,
    pub client_auth: ClientAuth,
    /// Clients' certificates are checked. Ask [`TlsRules::checks_clients`].
    pub auth_client: Option<bool>,
    pub client_roots: Option<PathBuf>,
    pub outbound: OutboundTls,
}

/// `tls.server.mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    /// Plain text only.
    Disabled,
    /// TLS and plain text on the same port.
    #[default]
    Permissive,
    /// TLS only.
    Enforcing,
}

/// `tls.server.need.client.auth`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// Clients are not asked for a certificate.
    #[default]
    None,
    Optional,
    Require,
}

/// A certificate with its key, in PEM files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsIdentity {
    /// The chain, the server's own certificate first.
    pub certificates: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// Of an encrypted key; empty: none.
    pub key_password: Secret,
}

/// How a server speaks to other servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboundTls {
    pub enabled: bool,
    pub identity: TlsIdentity,
    /// Other servers' certificates are checked. Ask [`OutboundTls::checks_servers`].
    pub auth_server: Option<bool>,
    /// Unset: the public authorities.
    pub server_roots: Option<PathBuf>,
}

/// A text that nobody is shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_empty() { "none" } else { "not shown" })
    }
}

impl TlsRules {
    /// The certificate is made at the start: that was asked for, or no file was named.
    #[must_use]
    pub fn is_self_signed(&self) -> bool {
        self.test_mode.unwrap_or(self.identity.certificates.is_none() && self.identity.key.is_none())
    }

    /// A client that shows a certificate is refused unless its authority is among `client_roots`.
    #[must_use]
    pub fn checks_clients(&self) -> bool {
        self.auth_client.unwrap_or(self.client_roots.is_some())
    }
}

impl OutboundTls {
    /// A server is refused unless its certificate's authority is known.
    #[must_use]
    pub fn checks_servers(&self) -> bool {
        self.auth_server.unwrap_or(self.server_roots.is_some())
    }
}

impl Shown for TlsMode {
    fn shown(&self) -> Option<String> {
        let text = match self {
            Self::Disabled => "disabled",
            Self::Permissive => "permissive",
            Self::Enforcing => "enforcing",
        };
        Some(text.into())
    }
}

impl Shown for ClientAuth {
    fn shown(&self) -> Option<String> {
        let text = match self {
            Self::None => "none",
            Self::Optional => "optional",
            Self::Require => "require",
        };
        Some(text.into())
    }
}

impl Shown for Secret {
    fn shown(&self) -> Option<String> {
        None
    }
}

pub(super) fn mode(text: &str) -> Read<TlsMode> {
    one_of(&text.to_ascii_lowercase(), &[TlsMode::Disabled, TlsMode::Permissive, TlsMode::Enforcing])
}

pub(super) fn client_auth(text: &str) -> Read<ClientAuth> {
    one_of(&text.to_ascii_lowercase(), &[ClientAuth::None, ClientAuth::Optional, ClientAuth::Require])
}

pub(super) fn optional_switch(text: &str) -> Read<Option<bool>> {
    switch(text).map(Some)
}

/// One file; empty is unset.
pub(super) fn file(text: &str) -> Read<Option<PathBuf>> {
    Ok(Some(text).filter(|text| !text.is_empty()).map(PathBuf::from))
}

pub(super) fn secret(text: &str) -> Read<Secret> {
    Ok(Secret(text.into()))
}

/// The bindings of a server: its own and those of TLS.
macro_rules! server_bindings {
    ($config:ty; $($own:tt)*) => {
        $crate::config::binding::bindings![
            $($own)*
            "tls.server.mode" => NextStart, network.tls.mode, $crate::config::tls::mode;
            "tls.test.mode.enable" => NextStart, network.tls.test_mode, $crate::config::tls::optional_switch, shown as |config: &$config| config.network.tls.is_self_signed();
            "tls.config.file" => NextStart, network.tls.config_file, $crate::config::tls::file;
            "tls.server.certPath" => NextStart, network.tls.identity.certificates, $crate::config::tls::file;
            "tls.server.keyPath" => NextStart, network.tls.identity.key, $crate::config::tls::file;
            "tls.server.keyPassword" => NextStart, network.tls.identity.key_password, $crate::config::tls::secret;
            "tls.server.need.client.auth" => NextStart, network.tls.client_auth, $crate::config::tls::client_auth;
            "tls.server.authClient" => NextStart, network.tls.auth_client, $crate::config::tls::optional_switch, shown as |config: &$config| config.network.tls.checks_clients();
            "tls.server.trustCertPath" => NextStart, network.tls.client_roots, $crate::config::tls::file;
            "tls.enable" => NextStart, network.tls.outbound.enabled, $crate::config::values::switch;
            "tls.client.certPath" => NextStart, network.tls.outbound.identity.certificates, $crate::config::tls::file;
            "tls.client.keyPath" => NextStart, network.tls.outbound.identity.key, $crate::config::tls::file;
            "tls.client.keyPassword" => NextStart, network.tls.outbound.identity.key_password, $crate::config::tls::secret;
            "tls.client.authServer" => NextStart, network.tls.outbound.auth_server, $crate::config::tls::optional_switch, shown as |config: &$config| config.network.tls.outbound.checks_servers();
            "tls.client.trustCertPath" => NextStart, network.tls.outbound.server_roots, $crate::config::tls::file;
        ]
    };
}
pub(in crate::config) use server_bindings;

/// Files that belong together are both there, and what is to be checked can be.
pub(super) fn check<C: Keyed>(config: &C, rules: &TlsRules) -> Result<Vec<Notice>, ConfigError> {
    let pairs = [
        (&rules.identity, ["tls.server.certPath", "tls.server.keyPath"]),
        (&rules.outbound.identity, ["tls.client.certPath", "tls.client.keyPath"]),
    ];
    for (identity, [certificates, key]) in pairs {
        match (&identity.certificates, &identity.key) {
            (Some(_), None) => return contradiction(format!("{} needs {key}", config.said(certificates))),
            (None, Some(_)) => return contradiction(format!("{} needs {certificates}", config.said(key))),
            _ => {}
        }
    }
    let has_files = rules.identity.certificates.is_some();
    if !rules.is_self_signed() && !has_files && rules.mode != TlsMode::Disabled {
        let said = config.said("tls.test.mode.enable");
        return contradiction(format!("{said} needs tls.server.certPath and tls.server.keyPath"));
    }
    if rules.client_auth != ClientAuth::None && rules.checks_clients() && rules.client_roots.is_none() {
        return contradiction(format!("{} needs tls.server.trustCertPath", config.said("tls.server.authClient")));
    }
    let mut notices = Vec::new();
    if rules.is_self_signed() && has_files {
        let (test, files) = (config.said("tls.test.mode.enable"), config.said("tls.server.certPath"));
        notices.push(Notice::Changed { what: format!("{files} is not used, for {test} asks for a self-signed one") });
    }
    Ok(notices)
}

fn contradiction(what: String) -> Result<Vec<Notice>, ConfigError> {
    Err(ConfigError::Contradiction { what })
}

/// The file of the TLS keys, and whether somebody named it: then it must be there.
pub(super) fn config_file(named: Option<&str>) -> (&Path, bool) {
    match named.filter(|text| !text.is_empty()) {
        Some(text) => (Path::new(text), true),
        None => (Path::new(CONFIG_FILE), false),
    }
}
