//! `actormq bench` against a hand-made responder over real sockets: what it counts has to be what the responder saw. What
//! needs more than sends and pulls runs against a broker.

mod support;

use actormq::cli::bench::{BenchArgs, BenchError, Report, measure};
use clap::Parser;
use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use support::process::Process;

/// How the responder behaves.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    /// Stores and answers everything.
    Willing,
    /// Knows sends and pulls only; all else is answered with 3.
    Bare,
    /// Refuses sends with 2.
    Busy,
    /// Closes a connection at its first send.
    Rude,
    /// Takes sends and never answers them.
    Silent,
}

#[derive(Default)]
struct Stored {
    queues: HashMap<(String, String), Vec<Vec<u8>>>,
    keys: HashSet<String>,
    codes: HashMap<u16, u64>,
}

struct Responder {
    manner: Manner,
    stored: Mutex<Stored>,
    arrived: Condvar,
}

struct Request {
    code: u16,
    opaque: u32,
    is_json: bool,
    fields: HashMap<String, String>,
    body: Vec<u8>,
}

struct Answer {
    code: u16,
    fields: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Responder {
    /// Listens on a free port; returns itself and its address.
    fn start(manner: Manner) -> (Arc<Responder>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let responder = Arc::new(Responder { manner, stored: Mutex::default(), arrived: Condvar::new() });
        let accepting = responder.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let serving = accepting.clone();
                std::thread::spawn(move || serving.serve(stream.unwrap()));
            }
        });
        (responder, address)
    }

    fn serve(self: Arc<Responder>, mut stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        while let Some(request) = read_request(&mut stream) {
            *self.stored.lock().unwrap().codes.entry(request.code).or_default() += 1;
            let send = matches!(request.code, 310 | 320);
            if send && self.manner == Manner::Rude {
                return;
            }
            if send && self.manner == Manner::Silent {
                continue;
            }
            if request.code == 11 {
                // Pulls may wait, and several wait on one connection.
                let (waiting, mut stream) = (self.clone(), stream.try_clone().unwrap());
                std::thread::spawn(move || {
                    let answer = waiting.pull(&request);
                    let _ = stream.write_all(&encode(&request, &answer));
                });
                continue;
            }
            let answer = self.answer(&request);
            if stream.write_all(&encode(&request, &answer)).is_err() {
                return;
            }
        }
    }

    fn answer(&self, request: &Request) -> Answer {
        let mut stored = self.stored.lock().unwrap();
        let queue = (field(request, "topic"), field(request, "queueId"));
        let end = stored.queues.get(&queue).map_or(0, Vec::len);
        match request.code {
            310 | 320 if self.manner == Manner::Busy => answer(2, &[], b""),
            310 | 320 => {
                let queue = (field(request, "b"), field(request, "e"));
                for (body, properties) in messages(request) {
                    let key = properties.split(['\u{1}', '\u{2}']).nth(1).unwrap().to_owned();
                    assert!(stored.keys.insert(key), "a key came twice");
                    stored.queues.entry(queue.clone()).or_default().push(record(&body));
                }
                self.arrived.notify_all();
                answer(0, &[("queueOffset", "0")], b"")
            }
            30 => answer(0, &[("offset", &end.to_string())], b""),
            31 => answer(0, &[("offset", "0")], b""),
            _ if self.manner == Manner::Bare => answer(3, &[], b""),
            17 | 34 => answer(0, &[], b""),
            12 if stored.keys.contains(&request.fields["key"]) => {
                assert_eq!(request.fields["_UNIQUE_KEY_QUERY"], "true");
                answer(0, &[], request.fields["key"].as_bytes())
            }
            12 => answer(22, &[], b""),
            _ => answer(3, &[], b""),
        }
    }

    fn pull(&self, request: &Request) -> Answer {
        let key = (field(request, "topic"), field(request, "queueId"));
        let number = |name: &str| request.fields[name].parse::<usize>().unwrap();
        let (from, flags) = (number("queueOffset"), number("sysFlag"));
        let is_empty = |stored: &mut Stored| {
            let end = stored.queues.get(&key).map_or(0, Vec::len);
            flags & 2 != 0 && end <= from
        };
        let hold = Duration::from_millis(number("suspendTimeoutMillis") as u64);
        let stored = self.stored.lock().unwrap();
        let (stored, _) = self.arrived.wait_timeout_while(stored, hold, is_empty).unwrap();
        let records = stored.queues.get(&key).map_or(&[][..], Vec::as_slice);
        let to = records.len().min(from + number("maxMsgNums"));
        if to <= from {
            return answer(19, &[("nextBeginOffset", &from.to_string())], b"");
        }
        answer(0, &[("nextBeginOffset", &to.to_string())], &records[from..to].concat())
    }
}

fn field(request: &Request, name: &str) -> String {
    request.fields.get(name).cloned().unwrap_or_default()
}

fn answer(code: u16, fields: &[(&'static str, &str)], body: &[u8]) -> Answer {
    Answer {
        code,
        fields: fields.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
        body: body.to_vec(),
    }
}

/// Bodies and properties of a send.
fn messages(request: &Request) -> Vec<(Vec<u8>, String)> {
    if request.code == 310 {
        return vec![(request.body.clone(), request.fields["i"].clone())];
    }
    let mut entries = request.body.as_slice();
    let mut found = Vec::new();
    while !entries.is_empty() {
        let total = number(&entries[..4]);
        let properties_at = 22 + number(&entries[16..20]);
        let properties = String::from_utf8(entries[properties_at..total].to_vec()).unwrap();
        found.push((entries[20..properties_at - 2].to_vec(), properties));
        entries = &entries[total..];
    }
    found
}

/// A stored record with nothing in it but sizes and body.
fn record(body: &[u8]) -> Vec<u8> {
    let total = 84 + 4 + body.len() + 2 + 2;
    let mut record = (total as u32).to_be_bytes().to_vec();
    record.resize(84, 0);
    record.extend((body.len() as u32).to_be_bytes());
    record.extend(body);
    record.extend(b"\x01T\x00\x00");
    record
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

fn read_request(stream: &mut TcpStream) -> Option<Request> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut frame = vec![0; number(&length)];
    stream.read_exact(&mut frame).ok()?;
    let body_at = 4 + number(&frame[1..4]);
    let body = frame[body_at..].to_vec();
    let header = &frame[4..body_at];
    if frame[0] == 0 {
        let header: serde_json::Value = serde_json::from_slice(header).unwrap();
        let fields = header["extFields"].as_object().into_iter().flatten();
        return Some(Request {
            code: header["code"].as_u64().unwrap() as u16,
            opaque: header["opaque"].as_u64().unwrap() as u32,
            is_json: true,
            fields: fields.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect(),
            body,
        });
    }
    let mut fields = HashMap::new();
    let mut rest = &header[21..];
    while !rest.is_empty() {
        let name_end = 2 + number(&rest[..2]);
        let value_end = name_end + 4 + number(&rest[name_end..name_end + 4]);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        fields.insert(text(&rest[2..name_end]), text(&rest[name_end + 4..value_end]));
        rest = &rest[value_end..];
    }
    Some(Request {
        code: number(&header[..2]) as u16,
        opaque: number(&header[5..9]) as u32,
        is_json: false,
        fields,
        body,
    })
}

fn encode(request: &Request, answer: &Answer) -> Vec<u8> {
    let header = if request.is_json {
        let fields: HashMap<&str, &String> = answer.fields.iter().map(|(name, value)| (*name, value)).collect();
        let header = serde_json::json!({
            "code": answer.code, "extFields": fields, "flag": 1, "language": "JAVA",
            "opaque": request.opaque, "version": 513,
        });
        header.to_string().into_bytes()
    } else {
        let mut map = Vec::new();
        for (name, value) in &answer.fields {
            map.extend((name.len() as u16).to_be_bytes());
            map.extend(name.as_bytes());
            map.extend((value.len() as u32).to_be_bytes());
            map.extend(value.as_bytes());
        }
        let mut header = answer.code.to_be_bytes().to_vec();
        header.extend([0, 2, 1]);
        header.extend(request.opaque.to_be_bytes());
        header.extend([0, 0, 0, 1, 0, 0, 0, 0]);
        header.extend((map.len() as u32).to_be_bytes());
        header.extend(map);
        header
    };
    let length = 4 + header.len() + answer.body.len();
    let mut frame = (length as u32).to_be_bytes().to_vec();
    let codec = u32::from(!request.is_json);
    frame.extend((codec << 24 | header.len() as u32).to_be_bytes());
    frame.extend(header);
    frame.extend(&answer.body);
    frame
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: BenchArgs,
}

/// Runs `bench` with the flags in `line` against `address`.
fn bench(line: &str, address: &str) -> Result<Report, BenchError> {
    let words = format!("bench {line} --broker {address}");
    measure(&Line::try_parse_from(words.split(' ')).unwrap().args)
}

#[test]
fn sends_are_counted_timed_and_found_by_key() {
    for codec in ["binary", "json"] {
        for shape in ["--connections 1 --in-flight 1", "--connections 3 --in-flight 4 --threads 2"] {
            let (responder, address) = Responder::start(Manner::Willing);
            let line = format!(
                "send --codec {codec} {shape} --queues 12 --duration 0.3 --warmup 0.1 --pid {}",
                std::process::id()
            );
            let report = bench(&line, &address).unwrap();
            let stored = responder.stored.lock().unwrap();
            let seen = stored.keys.len() as u64;
            assert!(report.outcome.messages > 0 && report.outcome.messages <= seen);
            assert!(report.outcome.latency_us.p50 > 0.0);
            assert_eq!(report.outcome.requests, report.outcome.messages);
            assert!(report.complaint().is_none());
            let keys = report.keys.as_ref().unwrap();
            assert_eq!((keys.asked, keys.found), (seen.min(100) as usize, keys.asked));
            assert!(report.server.unwrap().memory_peak_kib > 0);
            assert!(seen < 12 || stored.queues.len() == 12);
            assert!(report.table().to_string().contains("keys found"));
            assert!(serde_json::to_value(&report).unwrap()["latency_us"]["p999"].is_f64());
        }
    }
}

#[test]
fn a_batch_counts_as_its_messages() {
    let (responder, address) = Responder::start(Manner::Bare);
    let line = "send --batch 5 --connections 2 --in-flight 2 --duration 0.3 --warmup 0";
    let report = bench(line, &address).unwrap();
    assert_eq!(report.outcome.messages, report.outcome.requests * 5);
    let stored = responder.stored.lock().unwrap();
    assert_eq!(stored.keys.len() as u64, stored.codes[&320] * 5);
    let keys = report.keys.unwrap();
    assert_eq!(keys.asked, 0);
    assert!(keys.note.unwrap().contains("code 3"));
}

#[test]
fn a_fixed_rate_is_kept() {
    let (_, address) = Responder::start(Manner::Willing);
    let report = bench("send --rate 1000 --duration 1 --warmup 0.2", &address).unwrap();
    assert!((500..=1_500).contains(&report.outcome.messages), "{report:?}");
}

#[test]
fn a_backlog_is_pulled_again_and_again() {
    let (responder, address) = Responder::start(Manner::Willing);
    let line = "pull --prefill 300 --queues 3 --connections 2 --in-flight 2 --body 40 --duration 0.5 --warmup 0.1";
    let report = bench(line, &address).unwrap();
    let stored = responder.stored.lock().unwrap();
    let backlog: usize = stored.queues.values().map(Vec::len).sum();
    assert!((300..332).contains(&backlog));
    assert!(report.outcome.messages > backlog as u64, "read more than once");
    assert!(report.outcome.requests >= report.outcome.messages / 32);
    assert_eq!(stored.codes[&34], 2, "each consuming connection announces itself");
    assert!(report.complaint().is_none());
}

#[test]
fn messages_go_both_ways() {
    let (responder, address) = Responder::start(Manner::Willing);
    let line = "e2e --rate 500 --queues 3 --consumers 2 --connections 2 --duration 1 --warmup 0.2";
    let report = bench(line, &address).unwrap();
    assert_eq!(report.outcome.unanswered, 0, "every message came back");
    assert!((250..=750).contains(&report.outcome.messages), "{report:?}");
    let whole = report.outcome.latency_us;
    assert!(whole.p50 > 0.0 && report.outcome.send_latency_us.unwrap().p50 > 0.0);
    assert!(responder.stored.lock().unwrap().codes[&11] > 3);
}

#[test]
fn parked_pulls_wait_beside_the_load() {
    let (responder, address) = Responder::start(Manner::Willing);
    let report = bench("send --parked 7 --duration 0.2 --warmup 0", &address).unwrap();
    let parked = report.parked.unwrap();
    assert_eq!((parked.connections, parked.not_held), (7, 0));
    assert_eq!(responder.stored.lock().unwrap().codes[&11], 7);
}

#[test]
fn refusals_are_reported_and_end_a_hopeless_run() {
    let (_, address) = Responder::start(Manner::Busy);
    let report = bench("send --duration 60 --warmup 0", &address).unwrap();
    assert_eq!(report.outcome.messages, 0);
    assert!(report.outcome.refused[&2] >= 1_000);
    assert!(report.complaint().unwrap().contains("code 2"));
}

#[test]
fn failures_have_exit_codes() {
    let (_, rude) = Responder::start(Manner::Rude);
    let error = bench("send --duration 60", &rude).unwrap_err();
    assert_eq!(error.exit_code(), 3, "{error}");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = bench("send", &closed.to_string()).unwrap_err();
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().contains("is the broker running"), "{error}");
    let (_, willing) = Responder::start(Manner::Willing);
    for line in ["e2e --body 8", "send --threads 9", "send --batch 4096 --body 4096"] {
        assert_eq!(bench(line, &willing).unwrap_err().exit_code(), 2, "{line}");
    }
}

#[test]
fn a_silent_broker_ends_the_run() {
    let (_, address) = Responder::start(Manner::Silent);
    let error = bench("send --duration 600", &address).unwrap_err();
    assert!(matches!(error, BenchError::Silent { .. }), "{error}");
    assert_eq!(error.exit_code(), 3);
}

/// A broker of its own, and what `bench` says of it.
fn bench_a_broker(line: &str) -> Report {
    let directory = tempfile::tempdir().unwrap();
    let broker = Process::broker(directory.path());
    let report = bench(&line.replace("PID", &broker.id().to_string()), &broker.address("broker").to_string());
    report.unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn figure(report: &Report, name: &str) -> f64 {
    report.figures.value(name).unwrap_or_else(|| panic!("no {name} in {:?}", report.figures))
}

#[test]
fn delayed_messages_are_all_delivered_and_none_early() {
    let shape =
        "--messages 700 --level 1 --queues 3 --connections 2 --in-flight 8 --duration 0.3 --warmup 0.1 --pid PID";
    for more in ["--while-sending", "--all-at-once"] {
        let report = bench_a_broker(&format!("delay {shape} {more}"));
        assert_eq!((report.outcome.messages, report.outcome.unanswered), (700, 0), "{report:?}");
        assert_eq!((figure(&report, "early"), figure(&report, "repeated")), (0.0, 0.0));
        assert!(report.complaint().is_none(), "{report:?}");
        assert!(figure(&report, "plain_per_s") > 0.0 && figure(&report, "share_of_plain") > 0.0);
        assert_eq!(report.figures.value("plain_meanwhile_per_s").is_some(), more == "--while-sending");
        assert!(report.table().to_string().contains("last delivered after last due"));
    }
}

#[test]
fn half_messages_are_committed_or_left_open() {
    for codec in ["binary", "json"] {
        let shape = "--connections 2 --in-flight 4 --duration 0.5 --warmup 0.1 --uncommitted 50 --pid PID";
        let report = bench_a_broker(&format!("transactions --codec {codec} {shape}"));
        assert!(report.outcome.messages > 0 && report.complaint().is_none(), "{report:?}");
        assert!(report.outcome.latency_us.p50 > 0.0 && report.outcome.send_latency_us.unwrap().p50 > 0.0);
        assert_eq!(figure(&report, "uncommitted"), 50.0);
        assert!(figure(&report, "share_of_plain") > 0.0 && report.figures.value("memory_bytes_each").is_some());
    }
}

#[test]
fn locks_are_renewed_and_kept() {
    let report = bench_a_broker("locks --clients 5 --queues-each 3 --interval 0.2 --duration 1 --idle 0.1 --pid PID");
    assert!(report.outcome.messages > 5 && report.complaint().is_none(), "{report:?}");
    assert_eq!((figure(&report, "locked_queues"), figure(&report, "locks_lost")), (15.0, 0.0));
    assert!(figure(&report, "renewal_percent") >= 0.0);
    let (_, address) = Responder::start(Manner::Willing);
    for line in ["locks --clients 20000 --queues-each 1000", "locks --interval 0"] {
        assert_eq!(bench(line, &address).unwrap_err().exit_code(), 2, "{line}");
    }
}

#[test]
fn a_newcomer_reads_its_backlog_beside_the_others() {
    let line = "backlog --messages 3000 --queues 3 --newcomers 2 --rate 300 --duration 0.5 --warmup 0.2 --pid PID";
    let report = bench_a_broker(line);
    assert!(figure(&report, "newcomer_messages") >= 3_000.0, "{report:?}");
    assert_eq!(report.outcome.unanswered, 0, "every message of the others came back: {report:?}");
    assert!(figure(&report, "alone_p99_us") > 0.0 && figure(&report, "p99_ratio") > 0.0);
    assert!(serde_json::to_value(&report).unwrap()["figures"]["alone_p50_us"].is_f64());
}
