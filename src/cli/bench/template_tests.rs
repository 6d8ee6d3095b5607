//! The templates' frames, read back by a decoder that shares nothing with the encoder.

use super::*;
use std::collections::{BTreeMap, HashSet};

struct Decoded {
    code: i64,
    opaque: i64,
    flag: i64,
    version: i64,
    fields: BTreeMap<String, String>,
    body: Vec<u8>,
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, left) = self.0.split_at(count);
        self.0 = left;
        taken
    }

    fn number(&mut self, bytes: usize) -> i64 {
        self.take(bytes).iter().fold(0, |number, byte| number << 8 | i64::from(*byte))
    }

    fn text(&mut self, length_bytes: usize) -> String {
        let length = self.number(length_bytes) as usize;
        String::from_utf8(self.take(length).to_vec()).unwrap()
    }
}

fn decode(frame: &[u8]) -> Decoded {
    let mut cursor = Cursor(frame);
    assert_eq!(cursor.number(4) as usize, frame.len() - 4);
    let codec = cursor.number(1);
    let header_length = cursor.number(3) as usize;
    let mut header = Cursor(cursor.take(header_length));
    let body = cursor.0.to_vec();
    if codec == 0 {
        return decode_json(header.0, body);
    }
    assert_eq!(codec, 1);
    let code = header.number(2);
    assert_eq!(header.number(1), 0, "language is JAVA");
    let version = header.number(2);
    let opaque = header.number(4);
    let flag = header.number(4);
    assert_eq!(header.text(4), "", "no remark");
    assert_eq!(header.number(4) as usize, header.0.len());
    let mut fields = BTreeMap::new();
    while !header.0.is_empty() {
        let name = header.text(2);
        fields.insert(name, header.text(4));
    }
    Decoded { code, opaque, flag, version, fields, body }
}

fn decode_json(header: &[u8], body: Vec<u8>) -> Decoded {
    let header: serde_json::Value = serde_json::from_slice(header).unwrap();
    assert_eq!(header["language"], "JAVA");
    assert_eq!(header["serializeTypeCurrentRPC"], "JSON");
    let number = |name: &str| header[name].as_i64().unwrap();
    let fields = header["extFields"].as_object().unwrap().iter();
    Decoded {
        code: number("code"),
        opaque: number("opaque"),
        flag: number("flag"),
        version: number("version"),
        fields: fields.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect(),
        body,
    }
}

fn properties(text: &str) -> Vec<(String, String)> {
    text.strip_suffix('\u{2}')
        .unwrap()
        .split('\u{2}')
        .map(|pair| {
            let (name, value) = pair.split_once('\u{1}').unwrap();
            (name.to_owned(), value.to_owned())
        })
        .collect()
}

fn spec(codec: Codec, body_length: usize, batch: usize) -> SendSpec {
    SendSpec {
        codec,
        topic: "Orders".into(),
        broker_name: "broker-a".into(),
        body_length,
        batch,
        properties: String::new(),
        sys_flag: 0,
    }
}

fn stamp(opaque: u32, queue: u32) -> SendStamp {
    SendStamp { opaque, queue, timing: None }
}

fn keys() -> UniqueKeys {
    let mut keys = UniqueKeys::new(0);
    keys.tell_time(1_700_000_000_123);
    keys
}

#[test]
fn a_send_carries_what_a_java_producer_sends() {
    for codec in [Codec::Binary, Codec::Json] {
        let template = SendTemplate::new(&spec(codec, 100, 1));
        let mut out = b"before".to_vec();
        let key_at = template.append(&mut out, stamp(1_234_567_890, 3), &mut keys());
        let sent = decode(&out[6..]);
        assert_eq!((sent.code, sent.opaque, sent.flag), (310, 1_234_567_890, 0));
        assert_eq!(sent.version, 513);
        let mut fields = sent.fields;
        let written = properties(&fields.remove("i").unwrap());
        let expected = [
            ("a", "actormq_bench"),
            ("b", "Orders"),
            ("c", "TBW102"),
            ("d", "4"),
            ("e", "3"),
            ("f", "0"),
            ("g", "1700000000123"),
            ("h", "0"),
            ("j", "0"),
            ("k", "false"),
            ("m", "false"),
            ("n", "broker-a"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(fields, BTreeMap::from(expected));
        let names: Vec<&str> = written.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["UNIQ_KEY", "WAIT", "TAGS"]);
        assert_eq!((written[1].1.as_str(), written[2].1.as_str()), ("true", "TagA"));
        assert_eq!(written[0].1.as_bytes(), &out[key_at..key_at + KEY_LENGTH]);
        assert_eq!(sent.body, [FILL; 100]);
    }
}

#[test]
fn each_send_has_its_own_key_and_queue() {
    for codec in [Codec::Binary, Codec::Json] {
        let template = SendTemplate::new(&spec(codec, 0, 1));
        let mut keys = keys();
        let mut seen = HashSet::new();
        for queue in [0, 9, 10, 99, 100, 4_095, 65_535] {
            let mut out = Vec::new();
            template.append(&mut out, stamp(1_000_000_000 + queue, queue), &mut keys);
            let sent = decode(&out);
            assert_eq!(sent.fields["e"], queue.to_string());
            assert_eq!(sent.opaque, i64::from(1_000_000_000 + queue));
            assert!(seen.insert(properties(&sent.fields["i"])[0].1.clone()));
        }
    }
}

#[test]
fn a_timed_body_carries_run_and_due_time() {
    let template = SendTemplate::new(&spec(Codec::Binary, 20, 1));
    let mut out = Vec::new();
    let timed = SendStamp { timing: Some((7, 0x0102_0304_0506_0708)), ..stamp(1_000_000_000, 0) };
    template.append(&mut out, timed, &mut keys());
    let body = decode(&out).body;
    assert_eq!(body[..8], 7u64.to_be_bytes());
    assert_eq!(body[8..16], [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(body[16..], [FILL; 4]);
}

#[test]
fn a_batch_holds_entries_with_keys_of_their_own() {
    for codec in [Codec::Binary, Codec::Json] {
        let template = SendTemplate::new(&spec(codec, 50, 32));
        let mut out = Vec::new();
        template.append(&mut out, stamp(1_000_000_000, 12), &mut keys());
        let sent = decode(&out);
        assert_eq!(sent.code, 320);
        assert_eq!(sent.fields["m"], "true");
        let own = properties(&sent.fields["i"]);
        assert_eq!(own.len(), 2, "a batch as a whole has no tag");
        let mut seen = HashSet::from([own[0].1.clone()]);
        let mut entries = Cursor(&sent.body);
        for _ in 0..32 {
            let total = entries.0.len();
            let length = entries.number(4) as usize;
            assert_eq!(entries.take(12), [0; 12], "magic, CRC and flag");
            assert_eq!(entries.number(4), 50);
            assert_eq!(entries.take(50), [FILL; 50]);
            let written = properties(&entries.text(2));
            assert_eq!(total - entries.0.len(), length);
            assert_eq!(written[1..], properties("WAIT\u{1}true\u{2}TAGS\u{1}TagA\u{2}"));
            assert!(seen.insert(written[0].1.clone()));
        }
        assert!(entries.0.is_empty());
    }
}

#[test]
fn a_pull_carries_what_a_java_push_consumer_sends() {
    for (suspend_ms, flags) in [(None, "5"), (Some(15_000), "7")] {
        for codec in [Codec::Binary, Codec::Json] {
            let mut template = PullTemplate::new(PullSpec {
                codec,
                topic: "Orders".into(),
                broker_name: "broker-a".into(),
                group: "readers".into(),
                max_num: 32,
                suspend_ms,
            });
            for (queue, offset) in [(0, 0), (7, 12_345), (65_535, u64::from(u32::MAX)), (1, 9)] {
                let mut out = Vec::new();
                let stamp = PullStamp { opaque: 2_000_000_000, queue, offset };
                template.append(&mut out, stamp);
                let pull = decode(&out);
                assert_eq!((pull.code, pull.opaque), (11, 2_000_000_000));
                let expected = [
                    ("consumerGroup", "readers".to_owned()),
                    ("topic", "Orders".to_owned()),
                    ("queueId", queue.to_string()),
                    ("queueOffset", offset.to_string()),
                    ("maxMsgNums", "32".to_owned()),
                    ("sysFlag", flags.to_owned()),
                    ("commitOffset", offset.to_string()),
                    ("suspendTimeoutMillis", suspend_ms.unwrap_or(0).to_string()),
                    ("subscription", "*".to_owned()),
                    ("subVersion", "1".to_owned()),
                    ("expressionType", "TAG".to_owned()),
                    ("maxMsgBytes", "262144".to_owned()),
                    ("bname", "broker-a".to_owned()),
                ];
                let expected = expected.map(|(name, value)| (name.to_owned(), value));
                assert_eq!(pull.fields, BTreeMap::from(expected));
                assert!(pull.body.is_empty());
            }
        }
    }
}
