//! Starts that cannot be, and stops: one clear line, a status, and nothing touched.

mod support;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use support::process::{Process, broker_arguments, run};
use support::{Client, PATIENCE};

/// Every file below `dir`: length and time of the last change.
fn files(dir: &Path) -> BTreeMap<PathBuf, (u64, SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let about = entry.metadata().unwrap();
        if about.is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.insert(entry.path(), (about.len(), about.modified().unwrap()));
        }
    }
    found
}

/// Starts a broker that must not start; the line that says why.
fn refused(arguments: &[String]) -> String {
    let (status, stdout, stderr) = run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(status.code(), Some(1), "{stdout}{stderr}");
    assert_eq!(stdout, "");
    let lines: Vec<&str> = stderr.lines().filter(|line| line.starts_with("actormq: ")).collect();
    assert_eq!(lines.len(), 1, "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    lines[0].to_owned()
}

/// The arguments of a broker on this port.
fn on_port(dir: &Path, port: u16) -> Vec<String> {
    let mut arguments = broker_arguments(dir);
    arguments[2] = format!("127.0.0.1:{port}");
    arguments
}

/// A directory that a broker used, with one message.
async fn used_directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let server = Process::broker(dir.path());
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    client.send("T", 0, "", "hello").await;
    assert!(server.terminate().0.success());
    dir
}

#[actix::test]
async fn a_port_in_use_is_named_and_the_directory_is_left_alone() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let dir = used_directory().await;
    let before = files(dir.path());
    let line = refused(&on_port(dir.path(), port));
    assert!(line.contains(&format!("127.0.0.1:{port}")) && line.contains("in use"), "{line}");
    assert_eq!(files(dir.path()), before);
    let fresh = dir.path().join("fresh");
    refused(&on_port(&fresh, port));
    assert!(!fresh.exists());
}

#[actix::test]
async fn a_name_server_says_that_its_port_is_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let line = refused(&["namesrv", "--listen", &address, "--data", dir.path().to_str().unwrap()].map(String::from));
    assert!(line.contains(&address), "{line}");
    assert!(files(dir.path()).is_empty());
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "mine").unwrap();
    let line = refused(&broker_arguments(&file.join("data")));
    assert!(line.contains(file.to_str().unwrap()), "{line}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    assert_eq!(files(dir.path()).len(), 1);
}

#[actix::test]
async fn a_directory_held_by_another_broker_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let first = Process::broker(dir.path());
    let mut client = first.client().await;
    client.make_topic("T", "1").await;
    client.send("T", 0, "", "hello").await;
    let commit_log = files(&dir.path().join("commitlog"));
    let line = refused(&broker_arguments(dir.path()));
    assert!(line.contains(dir.path().to_str().unwrap()) && line.contains("another broker"), "{line}");
    // The holder may have taken more space meanwhile.
    let after = files(&dir.path().join("commitlog"));
    assert!(commit_log.keys().all(|path| after.contains_key(path)));
    assert!(dir.path().join("abort").exists());
    // The holder does not notice.
    assert_eq!(client.send("T", 0, "", "again").await, 1);
    assert_eq!(client.read_all("T", 0).await.len(), 2);
    assert!(first.terminate().0.success());
}

#[test]
fn a_directory_of_an_unknown_format_is_left_alone() {
    let garbage = vec![0xAB; 1024 * 1024];
    let short = vec![0; 1000];
    let cases: [(&str, &[u8], &str); 3] = [
        ("commitlog/00000000000000000000", &garbage, "begin with a record"),
        ("commitlog/00000000000000000000", &short, "1000 bytes long"),
        ("consumequeue_rocksdb/CURRENT", b"MANIFEST", "another kind"),
    ];
    for (name, bytes, reason) in cases {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        let before = files(dir.path());
        let line = refused(&broker_arguments(dir.path()));
        assert!(line.contains(reason), "{line}");
        assert!(line.contains(name.split('/').next().unwrap()), "{line}");
        assert!(std::fs::read(&path).unwrap() == bytes);
        let mut after = files(dir.path());
        // Taking the lock is how a start finds out whether it may look.
        after.retain(|path, _| !path.ends_with("lock"));
        assert_eq!(after, before, "{reason}");
    }
}

#[actix::test]
async fn other_segments_than_the_settings_say_are_refused() {
    let dir = used_directory().await;
    let before = files(dir.path());
    let mut arguments = broker_arguments(dir.path());
    let size = arguments.iter().position(|argument| argument.starts_with("mappedFileSizeCommitLog")).unwrap();
    arguments[size] = "mappedFileSizeCommitLog=2097152".into();
    let line = refused(&arguments);
    assert!(line.contains("mappedFileSizeCommitLog") && line.contains("1048576"), "{line}");
    let mut after = files(dir.path());
    after.insert(dir.path().join("lock"), before[&dir.path().join("lock")]);
    assert_eq!(after, before);
    assert!(Process::broker(dir.path()).terminate().0.success());
}

#[actix::test]
async fn any_free_port_is_said_and_served() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let arguments = ["standalone", "--namesrv-listen", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--data", data];
    let server = Process::start(&arguments);
    let (names, broker) = (server.address("name server"), server.address("broker"));
    assert!(names.port() != 0 && broker.port() != 0 && names != broker);
    let mut client = Client::connect(broker).await;
    client.make_topic("T", "1").await;
    assert_eq!(client.send("T", 0, "", "hello").await, 0);
    let mut asking = Client::connect(names).await;
    let route = support::until("the route", async || {
        let answer = asking.ask(105, &support::fields(&[("topic", "T")]), b"").await;
        (answer.code == 0).then(|| String::from_utf8(answer.body.to_vec()).unwrap())
    })
    .await;
    assert!(route.contains(&broker.to_string()), "{route}");
    let (status, stderr) = server.terminate();
    assert!(status.success(), "{stderr}");
}

#[test]
fn settings_are_shown_with_their_origin_and_nothing_starts() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut arguments = broker_arguments(&data);
    arguments.push("--print-config".into());
    let (status, stdout, stderr) = run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(status.success(), "{stderr}");
    let line =
        |key: &str| stdout.lines().find(|line| line.contains(key)).unwrap_or_else(|| panic!("no {key}: {stdout}"));
    assert!(line("brokerName").contains("broker-a") && line("brokerName").contains("--set"), "{stdout}");
    assert!(line("flushDiskType").contains("ASYNC_FLUSH") && line("flushDiskType").contains("default"), "{stdout}");
    assert!(!data.exists());
}

#[test]
fn wrong_settings_end_with_status_two_and_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    for wrong in ["mappedFileSizeCommitLog=much", "noSuchKey=1"] {
        let mut arguments = broker_arguments(&data);
        arguments.extend(["--set".into(), wrong.into()]);
        let (status, _, stderr) = run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!((status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
        assert!(stderr.contains(wrong.split('=').next().unwrap()), "{stderr}");
        assert!(!data.exists());
    }
}

#[actix::test]
async fn both_signals_stop_in_order_while_connections_are_open() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let dir = tempfile::tempdir().unwrap();
        let server = Process::broker(dir.path());
        let mut client = server.client().await;
        client.make_topic("T", "1").await;
        client.send("T", 0, "", "hello").await;
        let waiting = client.submit(11, &support::patient_pull("T", 0, 1, 600_000), b"").await;
        // Half a frame is under way on another.
        let mut half = server.client().await;
        tokio::io::AsyncWriteExt::write_all(&mut half.socket, &[0, 0, 1]).await.unwrap();
        server.signal(signal);
        assert!(client.try_answer(waiting).await.is_none_or(|answer| answer.code != 0));
        let began = std::time::Instant::now();
        let (status, stderr) = server.ended();
        assert!(status.success(), "{status} {stderr}");
        assert!(began.elapsed() < Duration::from_secs(10).min(PATIENCE));
        assert!(!dir.path().join("abort").exists());
        assert!(stderr.contains("stopped in order"), "{stderr}");
    }
}
