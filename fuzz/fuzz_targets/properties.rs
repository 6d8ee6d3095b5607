#![no_main]
//! Any text is read as properties.

use actormq::protocol::properties;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let seen = properties::scan(text);
    if let Some(tags) = seen.tags {
        assert!(text.contains(tags));
    }
});
