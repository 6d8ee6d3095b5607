//! The process: what the settings' sources say about TLS, files that stop the start, what is logged.

use std::process::Output;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};

use crate::papers::Papers;
use crate::support::process::{Process, actormq};
use crate::{BROKER_CONFIG, asked, first_line, over_tls, plain, sealed, shown, until};

/// A store that is made quickly.
const SMALL: [&str; 6] =
    ["--set", "mappedFileSizeCommitLog=8388608", "--set", "maxHashSlotNum=1000", "--set", "maxIndexNum=4000"];

/// Takes any server, and what it signs must be signed by it.
#[derive(Debug)]
pub struct Anybody(pub Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, shown, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, shown, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn namesrv(papers: &Papers, settings: &[String]) -> Output {
    let data = papers.path("data");
    let mut words = vec!["namesrv", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    words.extend(settings.iter().flat_map(|setting| ["--set", setting]));
    actormq(&words).output().unwrap()
}

#[test]
fn files_that_cannot_be_used_stop_the_start() {
    let papers = Papers::new();
    let (_, others_key) = papers.issue("other", "a");
    let (certificate, key) = papers.issue("server", "a");
    let nonsense = papers.write("nonsense", "no PEM at all");
    let torn = papers.write("torn", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    let wrong = papers.write("wrong", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let locked = papers.write(
        "locked",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIBvTBXBgkqhkiG9w0BBQ0wSjAp\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let path = |name: &str| papers.path(name);
    let cases = [
        (path("missing"), key.clone(), "missing: cannot be read: No such file"),
        (certificate.clone(), path("missing"), "missing: cannot be read: No such file"),
        (nonsense.clone(), key.clone(), "nonsense: holds no certificate in PEM form"),
        (certificate.clone(), nonsense, "nonsense: holds no private key in PEM form"),
        (torn, key.clone(), "torn: is no PEM"),
        (wrong, key.clone(), "wrong: holds a certificate that cannot be used"),
        (certificate.clone(), others_key, "other.key: is not the key of the certificate in"),
        (certificate.clone(), locked, "locked: holds an encrypted key, and no password was given"),
    ];
    for (certificate, key, reason) in cases {
        let settings =
            [format!("tls.server.certPath={}", certificate.display()), format!("tls.server.keyPath={}", key.display())];
        let output = namesrv(&papers, &settings);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{reason}: {error}");
        assert!(error.starts_with("actormq: ") && error.lines().count() == 1 && error.contains(reason), "{error}");
    }
    let half = namesrv(&papers, &[format!("tls.server.certPath={}", certificate.display())]);
    let error = String::from_utf8(half.stderr).unwrap();
    assert!(half.status.code() == Some(2) && error.contains("needs tls.server.keyPath"), "{error}");
    let named = namesrv(&papers, &["tls.config.file=/nowhere/tls.properties".into()]);
    let error = String::from_utf8(named.stderr).unwrap();
    assert!(named.status.code() == Some(2) && error.contains("/nowhere/tls.properties: cannot be read"), "{error}");
}

#[actix::test]
async fn rocketmqs_file_of_tls_settings_is_read_and_refusals_take_one_line_each() {
    let papers = Papers::new();
    let (certificate, key) = papers.issue("server", "127.0.0.1");
    let text = format!(
        "tls.test.mode.enable=false\ntls.server.certPath={}\ntls.server.keyPath={}\n",
        certificate.display(),
        key.display()
    );
    let file = format!("tls.config.file={}", papers.write("tls.properties", &text).display());
    let data = papers.path("data");
    let common = ["standalone", "--listen", "127.0.0.1:0", "--namesrv-listen", "127.0.0.1:0", "--data"];
    for (mode, reason) in [("disabled", "it speaks TLS, and"), ("enforcing", "it speaks plain text, and")] {
        let mode = format!("tls.server.mode={mode}");
        let mut words = common.to_vec();
        words.extend([data.to_str().unwrap(), "--set", &file, "--set", &mode]);
        words.extend(SMALL);
        let process = Process::start(&words);
        let address = process.address("broker");
        let (plainly, tls) = (plain(address, BROKER_CONFIG).await, over_tls(address, BROKER_CONFIG).await);
        assert!(plainly.is_ok() != tls.is_ok(), "{mode}: {plainly:?} {tls:?}");
        if let Ok(code) = tls {
            assert_eq!(code, 0);
            assert!(
                papers.text("server.crt").contains(&first_line(&shown(address).await)),
                "it is the one in the file"
            );
        }
        let (status, log) = process.terminate();
        assert!(status.success(), "{log}");
        let lines: Vec<_> = log.lines().filter(|line| line.contains("closing the connection")).collect();
        assert!(lines.len() == 1 && lines[0].contains(reason), "{log}");
    }
}

#[actix::test]
async fn another_certificate_is_shown_when_the_files_change() {
    let papers = Papers::new();
    let (certificate, key) = papers.issue("server", "127.0.0.1");
    let (data, log) = (papers.path("data"), papers.path("log"));
    let certificate = format!("tls.server.certPath={}", certificate.display());
    let key = format!("tls.server.keyPath={}", key.display());
    let words = ["standalone", "--listen", "127.0.0.1:0", "--namesrv-listen", "127.0.0.1:0", "--data"];
    let mut words = words.to_vec();
    words.extend([data.to_str().unwrap(), "--log-file", log.to_str().unwrap(), "--set", &certificate, "--set", &key]);
    words.extend(SMALL);
    let process = Process::start(&words);
    let doors = [process.address("name server"), process.address("broker")];
    let said = |what: &str| {
        let files = std::fs::read_dir(&log).unwrap().map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
        files.map(|text| text.lines().filter(|line| line.contains(what)).count()).sum::<usize>()
    };
    let first = shown(doors[0]).await;
    let mut old = sealed(doors[1]).await.unwrap();
    papers.write("server.crt", "half of a certif");
    let refused = "the new certificate cannot be used; the old one stays";
    until("both servers say so", async || (said(refused) == 2).then_some(())).await;
    for door in doors {
        assert_eq!(shown(door).await, first);
    }
    papers.issue("server", "127.0.0.1");
    for door in doors {
        let second = until("the new certificate", async || Some(shown(door).await).filter(|now| *now != first)).await;
        assert!(papers.text("server.crt").contains(&first_line(&second)), "it is the one in the file");
    }
    assert_eq!(asked(&mut old, BROKER_CONFIG).await.unwrap(), 0, "who was there stays");
    assert_eq!((said(refused), said("the certificate was read anew")), (2, 2));
}
