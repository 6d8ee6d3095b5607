use std::path::Path;

use pkcs8::pkcs5::pbes2;

use super::*;

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

/// A certificate, its key, and the key locked with `secret`.
fn papers(files: &Files) -> [PathBuf; 3] {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let open = made.signing_key.serialize_der();
    let parameters = pbes2::Parameters::pbkdf2_sha256_aes256cbc(1_000, b"salt of 8", &[7; 16]).unwrap();
    let key = pkcs8::PrivateKeyInfo::try_from(open.as_slice()).unwrap();
    let locked = key.encrypt_with_params(parameters, "secret").unwrap();
    use base64::Engine as _;
    let locked = base64::engine::general_purpose::STANDARD.encode(locked.as_bytes());
    let lines: Vec<&str> = locked.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let label = "ENCRYPTED PRIVATE KEY";
    let locked = format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"));
    [
        files.write("certificate", &made.cert.pem()),
        files.write("key", &made.signing_key.serialize_pem()),
        files.write("locked", &locked),
    ]
}

fn opened(certificates: &Path, key: &Path, password: Option<&str>) -> Result<(), String> {
    let (certificates, key) = (certificates.to_owned(), key.to_owned());
    let identity = Identity { certificates, key, key_password: password.map(str::to_owned) };
    let tls = ServerTls { identity: Some(identity), clients: None };
    tls.open().map(|_| ()).map_err(|error| error.to_string())
}

#[test]
fn a_locked_key_needs_its_password() {
    let files = Files::new();
    let [certificate, key, locked] = papers(&files);
    assert_eq!(opened(&certificate, &key, None), Ok(()));
    assert_eq!(opened(&certificate, &locked, Some("secret")), Ok(()));
    let wrong = opened(&certificate, &locked, Some("wrong")).unwrap_err();
    assert!(wrong.contains("locked: the password does not open the key in it"), "{wrong}");
    let none = opened(&certificate, &locked, None).unwrap_err();
    assert!(none.contains("locked: holds an encrypted key, and no password was given"), "{none}");
}

#[test]
fn keys_locked_in_old_ways_are_refused_with_advice() {
    let files = Files::new();
    let [certificate, ..] = papers(&files);
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: DES-EDE3-CBC,0123456789ABCDEF\n\n\
               AAAA\n-----END RSA PRIVATE KEY-----\n";
    let refused = opened(&certificate, &files.write("old", old), Some("secret")).unwrap_err();
    assert!(refused.contains("encrypted in a way not known here") && refused.contains("openssl pkcs8"), "{refused}");
}

#[test]
fn a_file_that_is_no_pem_is_not_read_to_its_end() {
    let files = Files::new();
    let [_, key, _] = papers(&files);
    let long = files.write("long", &"x".repeat(1024 * 1024 + 1));
    assert!(opened(&long, &key, None).unwrap_err().contains("long: is longer than 1048576 bytes"));
}

#[test]
fn each_start_makes_a_certificate_of_its_own() {
    let provider = ring::default_provider();
    let made = || pem::self_signed(&provider).unwrap().cert[0].clone();
    assert_ne!(made(), made());
    assert!(ServerTls::default().open().is_ok() && ServerTls::default().files().is_empty());
}
