use std::collections::BTreeMap;

use super::*;
use crate::protocol::header::transactions::CheckTransactionStateRequest;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    topic: String,
    queue_id: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    committed: Option<bool>,
}

fn probe() -> Probe {
    Probe { topic: "a \"quoted\" ü\n".into(), queue_id: -3, committed: Some(true) }
}

fn head() -> NewHead<'static> {
    NewHead { code: 310, language: 12, version: 513, opaque: 77, flag: 2, remark: Some("so") }
}

#[test]
fn packed_fields_may_all_be_text() {
    let asked = CheckTransactionStateRequest {
        topic: None,
        tran_state_table_offset: 7,
        commit_log_offset: 8,
        msg_id: Some("U".into()),
        transaction_id: None,
        offset_msg_id: None,
        broker_name: None,
    };
    let texts = BTreeMap::from([("tranStateTableOffset", "7"), ("commitLogOffset", "8"), ("msgId", "U")]);
    for packed in [rmp_serde::to_vec_named(&texts).unwrap(), rmp_serde::to_vec_named(&asked).unwrap()] {
        let read: CheckTransactionStateRequest = Ext::MessagePack(packed.into()).decode().unwrap();
        assert_eq!(read, asked);
    }
    let wrong = rmp_serde::to_vec_named(&BTreeMap::from([("tranStateTableOffset", "x")])).unwrap();
    assert!(Ext::MessagePack(wrong.into()).decode::<CheckTransactionStateRequest>().is_err());
}

#[test]
fn each_codec_reads_what_it_wrote() {
    for codec in [Codec::Json, Codec::Binary, Codec::MessagePack] {
        let mut out = vec![9; 3];
        encode(&mut out, codec, &head(), &probe(), 4).unwrap();
        out.extend_from_slice(b"body");
        let bytes = &out[3..];
        assert_eq!(length(bytes), Ok(Some(bytes.len())));
        let frame = Frame::cut(bytes).unwrap();
        assert_eq!((frame.codec, frame.body), (codec, &b"body"[..]));
        let read = frame.head().unwrap();
        assert_eq!((read.code, read.language, read.version), (310, 12, 513));
        assert_eq!((read.opaque, read.flag, read.remark.as_deref()), (77, 2, Some("so")));
        assert!(read.is_oneway() && !read.is_response());
        assert_eq!(read.ext.decode::<Probe>().unwrap(), probe());
        assert_eq!(read.ext.field("queueId").as_deref(), Some("-3"), "{codec:?}");
        assert_eq!(read.ext.field("none"), None);
    }
}

#[test]
fn a_header_without_fields_has_none() {
    for codec in [Codec::Json, Codec::Binary, Codec::MessagePack] {
        let mut out = Vec::new();
        encode(&mut out, codec, &NewHead { remark: None, ..head() }, &(), 0).unwrap();
        let read = Frame::cut(&out).unwrap().head().unwrap();
        assert_eq!(read.remark, None);
        assert_eq!(read.ext.field("topic"), None, "{codec:?}");
    }
}

#[test]
fn sloppy_json_is_understood() {
    let text = br#"{"Code":"105","ext_fields":{"a":1,"b":true,"c":null,"topic":"T"},"flag":0,"language":"go","opaque":7.0,"x":[]}"#;
    let read = frame_json::read(text).unwrap();
    assert_eq!((read.code, read.language, read.opaque, read.version), (105, 9, 7, 0));
    assert_eq!(read.ext.field("a").as_deref(), Some("1"));
    assert_eq!(read.ext.field("b").as_deref(), Some("true"));
    assert_eq!(read.ext.field("c"), None);
    let escaped = frame_json::read(br#"{"code":1,"extFields":{"k":"a\u0001\"b"},"opaque":2}"#).unwrap();
    assert_eq!(escaped.ext.field("k").as_deref(), Some("a\u{1}\"b"));
}

#[test]
fn lengths_that_lie_are_errors() {
    assert_eq!(length(&[0, 0]), Ok(None));
    assert_eq!(length(&[0, 0, 0, 3]), Err(FrameError::TooShort(3)));
    assert!(matches!(length(&[0xff; 4]), Err(FrameError::TooLong { .. })));
    assert!(matches!(Frame::cut(&[0, 0, 0, 4, 0, 0, 0, 9]), Err(FrameError::HeaderTooLong { .. })));
    assert!(matches!(Frame::cut(&[0, 0, 0, 4, 7, 0, 0, 0]), Err(FrameError::Codec(7))));
    assert!(Frame::cut(&[0, 0, 0, 4, 1, 0, 0, 0]).unwrap().head().is_err());
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_a_value_or_an_error(bytes: Vec<u8>, codec in 0u8..4) {
        let mut framed = ((bytes.len() + 4) as u32).to_be_bytes().to_vec();
        framed.extend_from_slice(&(u32::from(codec) << 24 | bytes.len() as u32).to_be_bytes());
        framed.extend_from_slice(&bytes);
        if let Ok(head) = Frame::cut(&framed).and_then(|frame| frame.head()) {
            let _ = head.ext.decode::<Probe>();
            let _ = head.ext.field("topic");
        }
    }
}
