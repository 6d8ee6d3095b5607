//! Authorities, certificates and keys in files, made for one test.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

/// Two authorities of one name would be told apart by their signatures only.
static NEXT_AUTHORITY: AtomicU32 = AtomicU32::new(1);

/// A directory with the certificate of an authority in `ca.pem`, and what that authority signed.
pub struct Papers {
    directory: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Papers {
    pub fn new() -> Self {
        let mut wanted = CertificateParams::new(Vec::new()).unwrap();
        wanted.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let number = NEXT_AUTHORITY.fetch_add(1, Ordering::Relaxed);
        wanted.distinguished_name.push(DnType::CommonName, format!("Authority {number}"));
        let authority = CertifiedIssuer::self_signed(wanted, KeyPair::generate().unwrap()).unwrap();
        let papers = Self { directory: tempfile::tempdir().unwrap(), authority };
        papers.write("ca.pem", &papers.authority.pem());
        papers
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap().replace("\r\n", "\n")
    }

    pub fn ca(&self) -> PathBuf {
        self.path("ca.pem")
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A certificate for `host` in `NAME.crt`, its key in `NAME.key`.
    pub fn issue(&self, name: &str, host: &str) -> (PathBuf, PathBuf) {
        let (certificate, key) = self.signed(host);
        (self.write(&format!("{name}.crt"), &certificate), self.write(&format!("{name}.key"), &key))
    }

    /// The texts of a certificate and its key.
    pub fn signed(&self, host: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let wanted = CertificateParams::new(vec![host.to_owned()]).unwrap();
        (wanted.signed_by(&key, &self.authority).unwrap().pem(), key.serialize_pem())
    }
}
