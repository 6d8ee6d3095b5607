//! TLS for both ends of a connection, by rustls: certificates and keys from PEM files, what each end asks of the other.

mod checks;
mod pem;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::ServerName;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Why TLS cannot be spoken as it was asked for. Each names the file and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    #[error("{}: cannot be read: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("{}: is longer than {bytes_max} bytes, too long for a PEM file", path.display())]
    TooLong { path: PathBuf, bytes_max: u64 },
    #[error("{}: holds no {what} in PEM form", path.display())]
    Nothing { path: PathBuf, what: &'static str },
    #[error("{}: {reason}", path.display())]
    Broken { path: PathBuf, reason: String },
    #[error("{}: is not the key of the certificate in {}", key.display(), certificates.display())]
    Mismatch { key: PathBuf, certificates: PathBuf },
    #[error("a certificate cannot be made: {reason}")]
    SelfSigned { reason: String },
    #[error("TLS cannot be set up: {reason}")]
    Setup { reason: String },
}

/// A certificate with its key, in PEM files.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The chain, the own certificate first.
    pub certificates: PathBuf,
    pub key: PathBuf,
    /// Where the key is encrypted.
    pub key_password: Option<String>,
}

impl fmt::Debug for Identity {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (certificates, key) = (&self.certificates, &self.key);
        f.debug_struct("Identity").field("certificates", certificates).field("key", key).finish_non_exhaustive()
    }
}

/// What a server's certificate must be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ServerCheck {
    /// From a public authority, for the name or address that was dialled.
    #[default]
    PublicRoots,
    /// From an authority in this PEM file, or itself in it, for the name or address that was dialled.
    CaFile(PathBuf),
    /// The same for any name, which is what RocketMQ's `tls.client.authServer` asks for.
    CaFileAnyName(PathBuf),
    /// Anything: whoever sits between can read and change all that is said. Only for trying things out.
    Nothing,
}

/// How connections that this side makes speak TLS. The default trusts public authorities.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsOptions {
    pub server_check: ServerCheck,
    /// Shown to servers that ask who the client is.
    pub identity: Option<Identity>,
}

impl TlsOptions {
    /// Trusts the authorities, or the certificates themselves, in a PEM file.
    #[must_use]
    pub fn with_ca_file(path: impl Into<PathBuf>) -> Self {
        Self { server_check: ServerCheck::CaFile(path.into()), identity: None }
    }

    /// Takes any certificate: the connection is encrypted, but to whom nobody knows.
    #[must_use]
    pub fn accepting_any_certificate() -> Self {
        Self { server_check: ServerCheck::Nothing, identity: None }
    }

    /// Reads the files; blocks on them.
    ///
    /// # Errors
    /// [`TlsError`] names the file that cannot be used.
    pub fn dialer(&self) -> Result<Dialer, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = match &self.server_check {
            ServerCheck::PublicRoots => checks::public_roots(&provider)?,
            ServerCheck::CaFile(path) => checks::known_servers(path, false, &provider)?,
            ServerCheck::CaFileAnyName(path) => checks::known_servers(path, true, &provider)?,
            ServerCheck::Nothing => Arc::new(checks::AnyServer::new(&provider)),
        };
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| setup(&error))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let config = match &self.identity {
            None => config.with_no_client_auth(),
            Some(identity) => config.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(
                certified(identity, &provider)?,
            ))),
        };
        Ok(Dialer { config: Arc::new(config) })
    }
}

/// Makes TLS out of connections that were made. Clones share what it knows of earlier connections.
#[derive(Debug, Clone)]
pub struct Dialer {
    config: Arc<ClientConfig>,
}

impl Dialer {
    /// Shakes hands with the server at `address` (`host:port`).
    pub(super) async fn shake_hands(
        &self,
        address: &str,
        stream: TcpStream,
    ) -> Result<Box<TlsStream<TcpStream>>, String> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
        let shaken = TlsConnector::from(Arc::clone(&self.config)).connect(name, stream).await;
        shaken.map(Box::new).map_err(|error| trouble(&error))
    }
}

/// Why a handshake failed, and what to do about it.
fn trouble(error: &std::io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "its certificate is from an unknown authority: name the authority's file, or the certificate itself".into()
        }
        Some(rustls::Error::InvalidCertificate(reason)) => format!("its certificate is not trusted: {reason}"),
        Some(rustls::Error::InvalidMessage(_)) => "it answered with something else; does it speak TLS?".into(),
        _ if error.kind() == std::io::ErrorKind::UnexpectedEof => "it hung up; does it speak TLS?".into(),
        _ => error.to_string(),
    }
}

/// What a server asks of those who connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCheck {
    /// A client without certificate is refused.
    pub is_required: bool,
    /// PEM file with the authorities of clients' certificates; `None`: any certificate will do.
    pub roots: Option<PathBuf>,
}

/// How a server speaks TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerTls {
    /// `None`: a certificate made now, signed by itself.
    pub identity: Option<Identity>,
    /// `None`: clients are not asked who they are.
    pub clients: Option<ClientCheck>,
}

impl ServerTls {
    /// Reads the files, or makes a certificate; blocks on them.
    ///
    /// # Errors
    /// [`TlsError`] names the file that cannot be used.
    pub fn open(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let own = match &self.identity {
            Some(identity) => certified(identity, &provider)?,
            None => pem::self_signed(&provider)?,
        };
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| setup(&error))?;
        let config = match &self.clients {
            None => config.with_no_client_auth(),
            Some(ClientCheck { is_required, roots: None }) => {
                config.with_client_cert_verifier(Arc::new(checks::AnyClient::new(*is_required, &provider)))
            }
            Some(ClientCheck { is_required, roots: Some(path) }) => {
                let (roots, _) = checks::roots(path)?;
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider));
                let verifier = if *is_required { verifier } else { verifier.allow_unauthenticated() };
                config.with_client_cert_verifier(verifier.build().map_err(|error| setup(&error))?)
            }
        };
        Ok(Arc::new(config.with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(own)))))
    }

    /// The files that it is made of.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let own = self.identity.iter().flat_map(|identity| [&identity.certificates, &identity.key]);
        let roots = self.clients.iter().filter_map(|clients| clients.roots.as_ref());
        own.chain(roots).cloned().collect()
    }
}

/// The certificate and its key, which belong together.
fn certified(identity: &Identity, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let chain = pem::certificates(&identity.certificates)?;
    let key = pem::private_key(&identity.key, identity.key_password.as_deref())?;
    let broken = |path: &PathBuf, reason: String| TlsError::Broken { path: path.clone(), reason };
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|error| broken(&identity.key, format!("holds a private key that cannot be used: {error}")))?;
    let own = CertifiedKey::new(chain, key);
    match own.keys_match() {
        // A key that cannot tell its public half shows in the first handshake whether it fits.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(own),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(TlsError::Mismatch { key: identity.key.clone(), certificates: identity.certificates.clone() })
        }
        Err(error) => Err(broken(&identity.certificates, format!("holds a certificate that cannot be used: {error}"))),
    }
}

fn setup(error: &dyn fmt::Display) -> TlsError {
    TlsError::Setup { reason: error.to_string() }
}

/// The authorities that browsers trust.
fn browser_roots() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

#[cfg(test)]
mod tests;
