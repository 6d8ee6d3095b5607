//! A sample of the unique keys that were sent, to be queried afterwards.

use super::call::{Caller, KeyQuery};
use super::error::BenchError;
use super::unique_key::KEY_LENGTH;
use serde::Serialize;
use std::time::{Duration, Instant};

/// How long keys may take to become findable.
const PATIENCE: Duration = Duration::from_secs(5);
const BETWEEN_TRIES: Duration = Duration::from_millis(100);

/// Keys spread evenly over all that were sent, however many these become: whenever the sample is twice as large as
/// wanted, every other key goes and the stride doubles.
#[derive(Debug)]
pub struct KeySample {
    wanted: usize,
    stride: u64,
    until_next: u64,
    kept: Vec<Kept>,
}

#[derive(Debug)]
struct Kept {
    key: [u8; KEY_LENGTH],
    link: usize,
    opaque: u32,
}

impl KeySample {
    /// A sample of `wanted` keys; 0 keeps none.
    pub fn new(wanted: usize) -> KeySample {
        KeySample {
            wanted,
            stride: 1,
            until_next: if wanted == 0 { u64::MAX } else { 1 },
            kept: Vec::with_capacity(wanted * 2),
        }
    }

    /// Counts a request; true if its key is to be kept.
    #[inline]
    pub fn is_due(&mut self) -> bool {
        self.until_next -= 1;
        self.until_next == 0
    }

    /// Keeps the key of a request on `link`, after [`KeySample::is_due`] said so.
    pub fn keep(&mut self, key: &[u8], link: usize, opaque: u32) {
        let Ok(key) = key.try_into() else { return };
        self.kept.push(Kept { key, link, opaque });
        if self.kept.len() == self.wanted * 2 {
            let mut position = 0;
            self.kept.retain(|_| {
                position += 1;
                position % 2 == 1
            });
            self.stride *= 2;
        }
        self.until_next = self.stride;
    }

    /// The request was refused: its key need not be found.
    pub fn forget(&mut self, link: usize, opaque: u32) {
        let last = self.kept.iter().rposition(|kept| kept.link == link && kept.opaque == opaque);
        if let Some(position) = last {
            self.kept.remove(position);
        }
    }

    /// At most the wanted number of keys, from the whole run.
    pub fn into_keys(self) -> Vec<String> {
        let count = self.kept.len();
        let wanted = self.wanted.min(count);
        (0..wanted)
            .filter_map(|position| self.kept.get(position * count / wanted))
            .map(|kept| String::from_utf8_lossy(&kept.key).into_owned())
            .collect()
    }
}

/// How many of the sampled keys were found.
#[derive(Clone, Debug, Serialize)]
pub struct KeysFound {
    pub asked: usize,
    pub found: usize,
    /// Why fewer were found than asked for, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'static str>,
}

/// Queries every key, again and again for up to five seconds.
///
/// # Errors
/// When the connection ends.
pub fn check(caller: &mut Caller, topic: &str, keys: &[String]) -> Result<KeysFound, BenchError> {
    let mut missing: Vec<&String> = keys.iter().collect();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut still_missing = Vec::new();
        for key in missing {
            match caller.query_key(topic, key)? {
                KeyQuery::Found => {}
                KeyQuery::NotFound => still_missing.push(key),
                KeyQuery::NotSupported => {
                    return Ok(KeysFound {
                        asked: 0,
                        found: 0,
                        note: Some("skipped: the server has no key query (code 3)"),
                    });
                }
            }
        }
        missing = still_missing;
        if missing.is_empty() || Instant::now() >= deadline {
            return Ok(KeysFound {
                asked: keys.len(),
                found: keys.len() - missing.len(),
                note: (!missing.is_empty()).then_some("not found within 5 s"),
            });
        }
        std::thread::sleep(BETWEEN_TRIES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_spans_the_whole_run() {
        let mut sample = KeySample::new(100);
        for number in 0..1_000_000u32 {
            if sample.is_due() {
                sample.keep(format!("{number:032}").as_bytes(), 0, number);
            }
        }
        let keys = sample.into_keys();
        assert_eq!(keys.len(), 100);
        let numbers: Vec<u32> = keys.iter().map(|key| key.parse().unwrap()).collect();
        assert!(numbers.iter().any(|number| *number < 20_000));
        assert!(numbers.iter().any(|number| *number > 950_000));
    }

    #[test]
    fn refused_keys_are_forgotten() {
        let mut sample = KeySample::new(10);
        for opaque in 0..5 {
            assert!(sample.is_due());
            sample.keep(format!("{opaque:032}").as_bytes(), 1, opaque);
        }
        sample.forget(1, 3);
        sample.forget(2, 1);
        assert_eq!(sample.into_keys().len(), 4);
    }
}
