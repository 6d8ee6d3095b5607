//! TLS at the doors: who is let in, by what a connection begins with, and the certificate that they are shown.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection};

use crate::config::{ClientAuth, TlsIdentity, TlsMode, TlsRules};
use crate::remoting::tls::{ClientCheck, Dialer, Identity, ServerCheck, ServerTls, TlsError, TlsOptions};

/// The first byte of a TLS handshake. No frame begins with it: it would be 369 MB long.
const HANDSHAKE: u8 = 0x16;
/// How often the files of the certificate are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Who is let in. Cheap to clone.
#[derive(Clone)]
pub struct Guard {
    mode: TlsMode,
    tls: Option<Arc<ServerConfig>>,
}

/// How a connection's bytes are to be understood.
pub(super) enum Entry {
    Plain,
    Tls(Box<ServerConnection>),
}

impl Guard {
    /// How a connection that begins with these bytes is to be understood.
    ///
    /// # Errors
    /// Why it is to be closed.
    pub(super) fn entry(&self, beginning: &[u8]) -> Result<Entry, String> {
        let is_tls = beginning.first() == Some(&HANDSHAKE);
        match (&self.tls, self.mode) {
            (Some(config), TlsMode::Permissive | TlsMode::Enforcing) if is_tls => {
                let connection = ServerConnection::new(Arc::clone(config));
                Ok(Entry::Tls(Box::new(connection.map_err(|error| error.to_string())?)))
            }
            (_, _) if is_tls => Err("it speaks TLS, and tls.server.mode is disabled".into()),
            (_, TlsMode::Enforcing) => Err("it speaks plain text, and tls.server.mode is enforcing".into()),
            (_, TlsMode::Permissive | TlsMode::Disabled) => Ok(Entry::Plain),
        }
    }
}

/// Reads the certificate that the rules name, or makes one. The watch tells of others in its place, where it has files.
///
/// # Errors
/// When a file cannot be used.
pub fn open(rules: &TlsRules) -> Result<(Guard, Option<Watch>), TlsError> {
    let mode = rules.mode;
    if mode == TlsMode::Disabled {
        return Ok((Guard { mode, tls: None }, None));
    }
    let source = ServerTls { identity: identity(rules), clients: clients(rules) };
    let seen = stamps(&source.files());
    let tls = Some(source.open()?);
    tracing::info!(?mode, self_signed = source.identity.is_none(), "TLS is spoken");
    let watch = (!source.files().is_empty()).then(|| Watch { mode, source, tried: seen.clone(), seen });
    Ok((Guard { mode, tls }, watch))
}

/// What connections that a server makes itself speak: `None` is plain text. Reads files.
///
/// # Errors
/// When a file cannot be used.
pub fn dialer(rules: &TlsRules) -> Result<Option<Dialer>, TlsError> {
    let outbound = &rules.outbound;
    if !outbound.enabled {
        return Ok(None);
    }
    let server_check = match &outbound.server_roots {
        _ if !outbound.checks_servers() => ServerCheck::Nothing,
        Some(path) => ServerCheck::CaFileAnyName(path.clone()),
        None => ServerCheck::PublicRoots,
    };
    if server_check == ServerCheck::Nothing {
        tracing::info!("the certificates of other servers are not checked: tls.client.authServer is not set");
    }
    TlsOptions { server_check, identity: files(&outbound.identity) }.dialer().map(Some)
}

fn identity(rules: &TlsRules) -> Option<Identity> {
    if rules.is_self_signed() { None } else { files(&rules.identity) }
}

fn files(identity: &TlsIdentity) -> Option<Identity> {
    Some(Identity {
        certificates: identity.certificates.clone()?,
        key: identity.key.clone()?,
        key_password: Some(identity.key_password.0.clone()).filter(|password| !password.is_empty()),
    })
}

fn clients(rules: &TlsRules) -> Option<ClientCheck> {
    let is_required = match rules.client_auth {
        ClientAuth::None => return None,
        ClientAuth::Optional => false,
        ClientAuth::Require => true,
    };
    Some(ClientCheck { is_required, roots: rules.client_roots.clone().filter(|_| rules.checks_clients()) })
}

/// Looks at the files of the certificate and reads them anew when they changed. New connections are shown the new one.
pub struct Watch {
    mode: TlsMode,
    source: ServerTls,
    /// At the last look.
    seen: Vec<Option<Stamp>>,
    /// When they were read last.
    tried: Vec<Option<Stamp>>,
}

/// What tells one state of a file from another; links are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Watch {
    /// Returns when another certificate is to be shown. One that cannot be used is said once, and the old one stays.
    pub(super) async fn changed(&mut self) -> Guard {
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let files = self.source.files();
            let Ok(found) = tokio::task::spawn_blocking(move || stamps(&files)).await else {
                continue;
            };
            // Somebody may be about to write the second of two files that belong together.
            let settled = found == self.seen;
            self.seen = found;
            if !settled || self.seen == self.tried {
                continue;
            }
            self.tried.clone_from(&self.seen);
            let source = self.source.clone();
            match tokio::task::spawn_blocking(move || source.open()).await {
                Ok(Ok(config)) => {
                    tracing::info!(files = ?self.source.files(), "the certificate was read anew");
                    return Guard { mode: self.mode, tls: Some(config) };
                }
                Ok(Err(error)) => tracing::warn!(%error, "the new certificate cannot be used; the old one stays"),
                Err(error) => tracing::error!(%error, "the reading of the certificate ended by a panic"),
            }
        }
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    let stamp = |path: &PathBuf| {
        let found = std::fs::metadata(path).ok()?;
        Some(Stamp {
            file: (found.dev(), found.ino()),
            length: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    };
    files.iter().map(stamp).collect()
}
