#![no_main]
//! Any bytes are a frame with a head, or an error.

use actormq::protocol::frame::{self, Frame};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(Some(length)) = frame::length(bytes)
        && let Some(whole) = bytes.get(..length)
        && let Ok(cut) = Frame::cut(whole)
    {
        let _ = cut.head();
    }
});
