//! The only counters that actors share, in one list with what they count. Whoever does the thing counts it; nobody decides
//! anything by them.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    #[inline]
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Makes it at least `value`.
    #[inline]
    pub fn raise_to(&self, value: u64) {
        self.0.fetch_max(value, Ordering::Relaxed);
    }
}

/// What a counter counts, for whoever shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Described {
    pub name: &'static str,
    pub unit: &'static str,
    pub help: &'static str,
    pub value: u64,
}

macro_rules! counters {
    ($($name:ident, $unit:literal, $help:literal;)*) => {
        /// A broker's counters, from its start on.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $(#[doc = concat!($help, " (", $unit, ")")] pub $name: Counter,)*
            /// From a send's arrival to its answer, in microseconds.
            pub put_latency: Latency,
        }

        impl Metrics {
            /// All counters and what they are at now.
            #[must_use]
            pub fn all(&self) -> Vec<Described> {
                vec![$(Described {
                    name: stringify!($name),
                    unit: $unit,
                    help: $help,
                    value: self.$name.value(),
                },)*]
            }
        }
    };
}

counters! {
    messages_put, "messages", "Messages stored";
    bytes_put, "bytes", "Bytes of the records stored";
    puts_failed, "requests", "Sends that were refused or failed";
    put_time_max_us, "microseconds", "The longest that a send waited for its answer";
    messages_got, "messages", "Messages given to consumers";
    bytes_got, "bytes", "Bytes of the records given to consumers";
    pulls_found, "requests", "Pulls that found messages";
    pulls_missed, "requests", "Pulls that found none";
    get_time_max_us, "microseconds", "The longest that a pull took which was not held";
    connections_accepted, "connections", "Connections accepted";
    requests_refused, "requests", "Requests of codes that are not served";
}

/// Buckets of [`Latency`]: powers of two of microseconds; the last holds all that is longer than 35 minutes.
const LATENCY_BUCKETS: usize = 32;

/// How long things took, in buckets of powers of two of a microsecond.
#[derive(Debug, Default)]
pub struct Latency([AtomicU64; LATENCY_BUCKETS]);

impl Latency {
    /// `count` things took `microseconds` each.
    #[inline]
    pub fn record(&self, microseconds: u64, count: u64) {
        let bucket = (u64::BITS - microseconds.leading_zeros()) as usize;
        if let Some(bucket) = self.0.get(bucket.min(LATENCY_BUCKETS - 1)) {
            bucket.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Microseconds within which `share` (0 to 1) of all things were done, rounded up to the next power of two; 0 when
    /// nothing was recorded.
    #[must_use]
    pub fn percentile(&self, share: f64) -> u64 {
        let counts: Vec<u64> = self.0.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        let wanted = counts.iter().sum::<u64>() as f64 * share;
        let mut seen = 0;
        for (bucket, count) in counts.iter().enumerate() {
            seen += count;
            if seen > 0 && seen as f64 >= wanted {
                return 1 << bucket;
            }
        }
        0
    }

    /// How many things took less than `2^bucket` microseconds and not less than half of that, by bucket.
    #[must_use]
    pub fn buckets(&self) -> Vec<u64> {
        self.0.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_bounds_of_buckets() {
        let latency = Latency::default();
        assert_eq!(latency.percentile(0.99), 0);
        latency.record(0, 1);
        latency.record(100, 98);
        latency.record(5_000, 1);
        latency.record(u64::MAX, 0);
        assert_eq!(latency.percentile(0.5), 128);
        assert_eq!(latency.percentile(0.99), 128);
        assert_eq!(latency.percentile(0.999), 8_192);
    }

    #[test]
    fn counters_are_listed_with_what_they_count() {
        let metrics = Metrics::default();
        metrics.messages_put.add(2);
        metrics.put_time_max_us.raise_to(7);
        metrics.put_time_max_us.raise_to(3);
        let all = metrics.all();
        assert!(all.iter().any(|counter| counter.name == "messages_put" && counter.value == 2));
        assert!(all.iter().any(|counter| counter.name == "put_time_max_us" && counter.value == 7));
    }
}
