#![no_main]
//! Any bytes are the entries of a batch, up to the first that is broken.

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    assert!(actormq::protocol::batch::entries(bytes).count() <= bytes.len() + 1);
});
