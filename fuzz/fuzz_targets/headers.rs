#![no_main]
//! Any header bytes, in each codec, are the typed headers of the hot requests, or an error.

use actormq::protocol::frame::{Codec, Frame};
use actormq::protocol::header::pull::PullMessageRequest;
use actormq::protocol::header::send::{SendMessageRequest, SendMessageRequestV2};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for codec in [Codec::Json, Codec::Binary, Codec::MessagePack] {
        if let Ok(head) = (Frame { codec, header: bytes, body: &[] }).head() {
            let _ = head.ext.decode::<SendMessageRequestV2>();
            let _ = head.ext.decode::<SendMessageRequest>();
            let _ = head.ext.decode::<PullMessageRequest>();
            let _ = head.ext.field("topic");
        }
    }
});
