#![no_main]
//! Any bytes are a stored record, or an error.

use actormq::protocol::record::Record;
use actormq::store::recovery::DispatchRules;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(record) = Record::read(bytes) {
        let _ = record.check_crc();
        let _ = DispatchRules { delay_levels_ms: vec![1000, 5000] }.entry(&record);
    }
});
