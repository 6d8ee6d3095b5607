//! TLS over real sockets: what is let in at which server in which mode, who trusts whom, certificates that change, and peers
//! that break off.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actormq::client::{Client, ClientError, ClientOptions, Identity, Message, ServerCheck, TlsOptions};
use actormq::config::{ClientAuth, NamesrvConfig, TlsMode, TlsRules};
use actormq::protocol::frame::{self, Codec, Frame, NewHead};
use actormq::protocol::header::pull::PullMessageRequest;
use actormq::protocol::record::Record;
use actormq::remoting::channel::{Channel, ChannelOptions};
use actormq::remoting::error::ChannelError;
use actormq::server::namesrv::NameServer;
use rustls::pki_types::{CertificateDer, ServerName};
use support::{PATIENCE, Server, name_server, until};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

#[path = "tls/papers.rs"]
mod papers;
#[path = "tls/starting.rs"]
mod starting;
mod support;
use papers::Papers;

/// A request that a broker, and one that a name server answers to anybody: its own configuration.
const BROKER_CONFIG: i32 = 26;
const NAMESRV_CONFIG: i32 = 319;
const SEND: i32 = 10;
const PULL: i32 = 11;

/// A name server in this process.
struct Names {
    server: NameServer,
    _directory: TempDir,
}

impl Names {
    fn start(tls: TlsRules) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = NamesrvConfig::default();
        config.network.bind_address = [127, 0, 0, 1].into();
        config.network.listen_port = 0;
        config.network.tls = tls;
        config.files.data_dir = directory.path().to_owned();
        let fatal: actormq::server::Fatal = Arc::new(|reason| panic!("{reason}"));
        Self { server: NameServer::start(config, &fatal).unwrap(), _directory: directory }
    }
}

async fn broker(tls: TlsRules) -> Server {
    Server::start_with(|config| config.network.tls = tls).await
}

fn in_mode(mode: TlsMode) -> TlsRules {
    TlsRules { mode, ..TlsRules::default() }
}

/// Permissive, with this certificate and key.
fn showing((certificates, key): (PathBuf, PathBuf)) -> TlsRules {
    let mut rules = TlsRules::default();
    rules.identity.certificates = Some(certificates);
    rules.identity.key = Some(key);
    rules
}

/// What a server answers to a frame that is written by hand.
async fn asked(mut socket: impl AsyncRead + AsyncWrite + Unpin, code: i32) -> std::io::Result<i32> {
    let head = NewHead { code, language: 0, version: 513, opaque: 7, flag: 0, remark: None };
    let mut bytes = Vec::new();
    frame::encode(&mut bytes, Codec::Json, &head, &support::fields(&[]), 0).unwrap();
    socket.write_all(&bytes).await?;
    socket.flush().await?;
    let mut answer = Vec::new();
    loop {
        if socket.read_buf(&mut answer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if let Ok(Some(length)) = frame::length(&answer)
            && length <= answer.len()
        {
            return Ok(Frame::cut(&answer[..length]).unwrap().head().unwrap().code);
        }
    }
}

async fn plain(address: SocketAddr, code: i32) -> std::io::Result<i32> {
    tokio::time::timeout(PATIENCE, asked(TcpStream::connect(address).await?, code)).await.expect("an answer or an end")
}

/// A connection by rustls alone, to any server.
async fn sealed(address: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
    shaken(TcpStream::connect(address).await?).await
}

async fn shaken(socket: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(starting::Anybody(provider)))
        .with_no_client_auth();
    let name = ServerName::from(socket.peer_addr()?.ip());
    let shaken = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, socket);
    tokio::time::timeout(PATIENCE, shaken).await.expect("a handshake or an end")
}

async fn over_tls(address: SocketAddr, code: i32) -> std::io::Result<i32> {
    let socket = sealed(address).await?;
    tokio::time::timeout(PATIENCE, asked(socket, code)).await.expect("an answer or an end")
}

/// The certificate that a new connection is shown.
async fn shown(address: SocketAddr) -> CertificateDer<'static> {
    let socket = sealed(address).await.unwrap();
    socket.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

async fn dialled(address: SocketAddr, options: &TlsOptions) -> Result<i32, ChannelError> {
    let tls = Some(options.dialer().unwrap());
    let channel = Channel::connect(&address.to_string(), ChannelOptions { tls, ..ChannelOptions::default() }).await?;
    let answer = channel.request(BROKER_CONFIG, &support::fields(&[]), b"", PATIENCE).await;
    channel.close().await;
    answer.map(|reply| reply.code)
}

#[actix::test]
async fn each_mode_lets_in_what_it_says_at_both_servers() {
    let cases =
        [(TlsMode::Disabled, true, false), (TlsMode::Permissive, true, true), (TlsMode::Enforcing, false, true)];
    for (mode, takes_plain, takes_tls) in cases {
        let (names, server) = (Names::start(in_mode(mode)), broker(in_mode(mode)).await);
        let fast = server.broker.fast_address.unwrap();
        let doors =
            [(names.server.address, NAMESRV_CONFIG), (server.broker.address, BROKER_CONFIG), (fast, BROKER_CONFIG)];
        for (address, code) in doors {
            let (plain, tls) = (plain(address, code).await, over_tls(address, code).await);
            assert_eq!((plain.is_ok(), tls.is_ok()), (takes_plain, takes_tls), "{mode:?} {code}: {plain:?} {tls:?}");
            assert_eq!(plain.unwrap_or(0) + tls.unwrap_or(0), 0, "{mode:?} {code}");
        }
        server.stop().await;
        names.server.stop().await;
    }
}

#[actix::test]
async fn messages_travel_over_tls_from_end_to_end() {
    let papers = Papers::new();
    let mut rules = TlsRules { mode: TlsMode::Enforcing, ..showing(papers.issue("server", "127.0.0.1")) };
    let names = Names::start(rules.clone());
    rules.outbound.enabled = true;
    rules.outbound.server_roots = Some(papers.ca());
    let address = names.server.address;
    let server = Server::start_with(|config| {
        config.network.tls = rules;
        config.registration.namesrv_addresses = vec![name_server(address)];
    })
    .await;
    let options = ClientOptions::new(&address.to_string()).tls(TlsOptions::with_ca_file(papers.ca()));
    let client = Client::connect(options).await.unwrap();
    let producer = client.producer("p").await.unwrap();
    // The broker tells the name server by itself.
    until("a route", async || producer.send(Message::new("T", "first")).await.ok()).await;
    let tls = Some(TlsOptions::with_ca_file(papers.ca()).dialer().unwrap());
    let options = ChannelOptions { tls, ..ChannelOptions::default() };
    let channel = Channel::connect(&server.broker.address.to_string(), options).await.unwrap();
    let body = |n: u32| (0..300_000).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 13 ^ n) as u8).collect::<Vec<u8>>();
    let mut places = Vec::new();
    for n in 0..30 {
        let reply = channel.request(SEND, &support::long_send("T", 0, ""), &body(n), PATIENCE).await.unwrap();
        assert_eq!(reply.code, 0, "{reply:?}");
        places.push(reply.ext.field("queueOffset").unwrap().parse::<i64>().unwrap());
    }
    // All at once: more than a session keeps for a peer before it stops reading.
    let pulls = places.iter().map(|place| {
        let header = PullMessageRequest { max_msg_nums: 1, ..support::pull("T", 0, *place) };
        let channel = channel.clone();
        async move { channel.request(PULL, &header, b"", PATIENCE).await.unwrap() }
    });
    for (n, reply) in (0..30).zip(futures_util::future::join_all(pulls).await) {
        assert_eq!(reply.code, 0, "{:?}", reply.remark);
        assert!(Record::read(&reply.body).unwrap().body == body(n), "message {n}");
    }
    client.shutdown().await;
    server.stop().await;
    names.server.stop().await;
}

#[actix::test]
async fn peers_that_read_late_get_all_to_the_last_byte() {
    let server = broker(TlsRules::default()).await;
    let mut plain = server.client().await;
    let body: Vec<u8> = (0..60_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let sent = plain.ask(SEND, &support::long_send("T", 0, ""), &body).await;
    assert_eq!(sent.code, 0, "{sent:?}");
    // One of them asks for just so much that the last answer is what the sockets do not hold and TLS keeps.
    let mut peers = Vec::new();
    for count in 1..=100 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 * 1024).unwrap();
        let mut late = shaken(socket.connect(server.broker.address).await.unwrap()).await.unwrap();
        let mut asked = Vec::new();
        for opaque in 0..count {
            let head = NewHead { code: PULL, language: 0, version: 513, opaque, flag: 0, remark: None };
            frame::encode(&mut asked, Codec::Json, &head, &support::pull("T", 0, 0), 0).unwrap();
        }
        late.write_all(&asked).await.unwrap();
        late.flush().await.unwrap();
        peers.push((count, late));
    }
    // An answer to who asked later: all are written as far as the sockets take them.
    assert_eq!(plain.ask(PULL, &support::pull("T", 0, 0), b"").await.code, 0);
    for (count, mut late) in peers {
        let mut answers = Vec::new();
        for number in 0..count {
            let mut length = frame::length(&answers).unwrap();
            while length.is_none_or(|length| answers.len() < length) {
                let read = tokio::time::timeout(PATIENCE, late.read_buf(&mut answers)).await;
                assert!(read.expect("the rest comes").unwrap() > 0, "it hung up");
                length = frame::length(&answers).unwrap();
            }
            let rest = answers.split_off(length.unwrap());
            let answer = Frame::cut(&answers).unwrap();
            assert!(Record::read(answer.body).unwrap().body == body, "answer {number} of {count}");
            answers = rest;
        }
        assert!(answers.is_empty());
    }
    server.stop().await;
}

#[actix::test]
async fn a_client_trusts_nobody_without_a_reason() {
    let (papers, others) = (Papers::new(), Papers::new());
    let self_signed = broker(TlsRules::default()).await;
    let signed = broker(showing(papers.issue("server", "127.0.0.1"))).await;
    let elsewhere = broker(showing(papers.issue("elsewhere", "mq.example.com"))).await;
    let (ca, other_ca) = (TlsOptions::with_ca_file(papers.ca()), TlsOptions::with_ca_file(others.ca()));
    let any_name = TlsOptions { server_check: ServerCheck::CaFileAnyName(papers.ca()), identity: None };
    let itself = TlsOptions::with_ca_file(papers.path("server.crt"));
    let [self_signed_at, signed_at, elsewhere_at] = [&self_signed, &signed, &elsewhere].map(|it| it.broker.address);
    let cases = [
        (self_signed_at, TlsOptions::default(), "unknown authority"),
        (self_signed_at, ca.clone(), "unknown authority"),
        (self_signed_at, TlsOptions::accepting_any_certificate(), ""),
        (signed_at, ca.clone(), ""),
        (signed_at, itself, ""),
        (signed_at, any_name.clone(), ""),
        (signed_at, other_ca, "unknown authority"),
        (signed_at, TlsOptions::default(), "unknown authority"),
        (elsewhere_at, ca, "not valid for name"),
        (elsewhere_at, any_name, ""),
    ];
    for (number, (address, options, reason)) in cases.into_iter().enumerate() {
        match dialled(address, &options).await {
            Ok(code) => assert!(reason.is_empty() && code == 0, "case {number}"),
            Err(ChannelError::Tls { reason: found, .. }) => {
                assert!(!reason.is_empty() && found.contains(reason), "case {number}: {found}");
            }
            Err(error) => panic!("case {number}: {error}"),
        }
    }
    let options = ClientOptions::new(&self_signed_at.to_string()).tls(TlsOptions::default());
    let error = Client::connect(options).await.unwrap().queues("T").await.unwrap_err();
    assert!(matches!(error, ClientError::Channel(ChannelError::Tls { .. })), "{error}");
    for server in [self_signed, signed, elsewhere] {
        server.stop().await;
    }
}

#[actix::test]
async fn a_broker_can_ask_clients_who_they_are() {
    let (papers, others) = (Papers::new(), Papers::new());
    let asking = |client_auth, client_roots| {
        let rules = showing(papers.issue("server", "127.0.0.1"));
        TlsRules { client_auth, client_roots, ..rules }
    };
    let strict = broker(asking(ClientAuth::Require, Some(papers.ca()))).await;
    let curious = broker(asking(ClientAuth::Optional, Some(papers.ca()))).await;
    let any = broker(asking(ClientAuth::Require, None)).await;
    let known = |(certificates, key): (PathBuf, PathBuf)| Identity { certificates, key, key_password: None };
    let ours = known(papers.issue("client", "client"));
    let theirs = known(others.issue("client", "client"));
    // Server, and whether it takes: nobody, a client of its authority, one of another.
    for (server, takes) in [(strict, [false, true, false]), (curious, [true, true, false]), (any, [false, true, true])]
    {
        for (identity, is_taken) in [None, Some(ours.clone()), Some(theirs.clone())].into_iter().zip(takes) {
            let options = TlsOptions { server_check: ServerCheck::CaFile(papers.ca()), identity: identity.clone() };
            let answer = dialled(server.broker.address, &options).await;
            assert_eq!(answer.is_ok(), is_taken, "{identity:?}: {answer:?}");
        }
        server.stop().await;
    }
}

/// How a certificate begins in a PEM file.
fn first_line(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    text.chars().take(64).collect()
}

#[actix::test]
async fn peers_that_break_off_disturb_nobody() {
    let server = broker(TlsRules::default()).await;
    let address = server.broker.address;
    let mut steady = sealed(address).await.unwrap();
    let mut hello = rustls_hello(address);
    for length in [1, 5, hello.len() / 2, hello.len()] {
        let mut broken = TcpStream::connect(address).await.unwrap();
        broken.write_all(&hello[..length]).await.unwrap();
        if length < hello.len() {
            socket2::SockRef::from(&broken).set_linger(Some(Duration::ZERO)).unwrap();
        }
        drop(broken);
        assert_eq!(asked(&mut steady, BROKER_CONFIG).await.unwrap(), 0);
    }
    hello[10..].fill(0xAA);
    let mut garbage = TcpStream::connect(address).await.unwrap();
    garbage.write_all(&hello).await.unwrap();
    let mut alert = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, garbage.read_to_end(&mut alert)).await.expect("it is closed");
    assert_eq!(alert.first(), Some(&0x15), "and told why");
    let mut torn = sealed(address).await.unwrap();
    torn.write_all(b"half a fra").await.unwrap();
    torn.flush().await.unwrap();
    socket2::SockRef::from(torn.get_ref().0).set_linger(Some(Duration::ZERO)).unwrap();
    drop(torn);
    assert_eq!(asked(&mut steady, BROKER_CONFIG).await.unwrap(), 0);
    assert_eq!(over_tls(address, BROKER_CONFIG).await.unwrap(), 0);
    server.stop().await;
}

#[actix::test]
async fn a_handshake_has_its_time() {
    let server = broker(TlsRules::default()).await;
    let hello = rustls_hello(server.broker.address);
    let mut slow = TcpStream::connect(server.broker.address).await.unwrap();
    let slowly = async {
        // Never silent for long, and never done.
        for byte in &hello[..hello.len() - 1] {
            if slow.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{} bytes, a tenth of a second each, were waited for", hello.len());
    };
    tokio::time::timeout(PATIENCE, slowly).await.expect("it is closed");
    server.stop().await;
}

/// How a client begins.
fn rustls_hello(address: SocketAddr) -> Vec<u8> {
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let mut connection = rustls::ClientConnection::new(Arc::new(config), ServerName::from(address.ip())).unwrap();
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    assert_eq!(hello[0], 0x16);
    hello
}
