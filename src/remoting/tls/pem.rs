//! Certificates and keys: out of PEM files, or made here.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use super::TlsError;

/// Longest PEM file in bytes: a bundle of all public authorities has a quarter of it.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// What the owner of a key can do about one that nobody here can decrypt.
const ENCRYPT_ANEW: &str = "`openssl pkcs8 -topk8 -v2 aes-256-cbc` writes one that can be";

/// All certificates of a file, of which there is one at least.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| broken(path, format!("is no PEM: {error}")))?;
    if found.is_empty() {
        return Err(TlsError::Nothing { path: path.into(), what: "certificate" });
    }
    Ok(found)
}

/// The first private key of a file.
pub(super) fn private_key(path: &Path, password: Option<&str>) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(path)?;
    if let Some(encrypted) = encrypted_key(&text) {
        let encrypted = encrypted.map_err(|error| broken(path, format!("is no PEM: {error}")))?;
        return decrypted(path, &encrypted, password);
    }
    if has_line(&text, "Proc-Type: 4,ENCRYPTED") {
        return Err(unknown_cipher(path));
    }
    match PrivateKeyDer::from_pem_slice(&text) {
        Ok(key) => Ok(key),
        Err(PemError::NoItemsFound) => Err(TlsError::Nothing { path: path.into(), what: "private key" }),
        Err(error) => Err(broken(path, format!("is no PEM: {error}"))),
    }
}

/// A key and a certificate for this machine's names, for nobody to trust.
pub(super) fn self_signed(provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let failed = |error: &dyn std::fmt::Display| TlsError::SelfSigned { reason: error.to_string() };
    let names = ["localhost", "127.0.0.1", "::1"].map(String::from).to_vec();
    let mut wanted = rcgen::CertificateParams::new(names).map_err(|error| failed(&error))?;
    wanted.distinguished_name.push(rcgen::DnType::CommonName, "ActorMQ, made at the start");
    let pair = rcgen::KeyPair::generate().map_err(|error| failed(&error))?;
    let certificate = wanted.self_signed(&pair).map_err(|error| failed(&error))?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialize_der()));
    let key = provider.key_provider.load_private_key(key).map_err(|error| failed(&error))?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}

fn decrypted(path: &Path, encrypted: &[u8], password: Option<&str>) -> Result<PrivateKeyDer<'static>, TlsError> {
    let Some(password) = password.filter(|password| !password.is_empty()) else {
        return Err(broken(path, "holds an encrypted key, and no password was given".into()));
    };
    let key = pkcs8::EncryptedPrivateKeyInfo::try_from(encrypted).map_err(|_| unknown_cipher(path))?;
    let key = key.decrypt(password);
    let key = key.map_err(|error| broken(path, format!("the password does not open the key in it: {error}")))?;
    Ok(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec())))
}

/// What the first encrypted key of a file holds; `None`: there is none.
fn encrypted_key(text: &[u8]) -> Option<Result<Vec<u8>, base64::DecodeError>> {
    let text = String::from_utf8_lossy(text);
    let (_, rest) = text.split_once("-----BEGIN ENCRYPTED PRIVATE KEY-----")?;
    let (inside, _) = rest.split_once("-----END")?;
    let inside: String = inside.split_ascii_whitespace().collect();
    Some(base64::engine::general_purpose::STANDARD.decode(inside))
}

fn has_line(text: &[u8], line: &str) -> bool {
    text.split(|byte| *byte == b'\n').any(|found| found.trim_ascii() == line.as_bytes())
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |error: std::io::Error| TlsError::Unreadable { path: path.into(), reason: error.to_string() };
    let mut text = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text).map_err(unreadable)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(TlsError::TooLong { path: path.into(), bytes_max: FILE_BYTES_MAX });
    }
    Ok(text)
}

fn unknown_cipher(path: &Path) -> TlsError {
    broken(path, format!("holds a key that is encrypted in a way not known here; {ENCRYPT_ANEW}"))
}

fn broken(path: &Path, reason: String) -> TlsError {
    TlsError::Broken { path: path.into(), reason }
}
