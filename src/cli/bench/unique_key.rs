//! UNIQ_KEY as Java clients make it: upper-case hex of IPv4 address, low half of the pid, a number per class loader
//! (here: per generator thread), milliseconds since the month began, and a counter.

use jiff::Zoned;

use crate::protocol::uniq_key::HEX;

/// Characters of a key.
pub const KEY_LENGTH: usize = 32;
/// Characters that stay the same from one key to the next.
const FIXED_LENGTH: usize = 20;
/// Digits of a wall time in milliseconds, until the year 2286.
pub const MILLIS_DIGITS: usize = 13;

/// Gives one key after the other: unique as long as fewer than 65,536 are taken in a millisecond.
#[derive(Debug)]
pub struct UniqueKeys {
    fixed: [u8; FIXED_LENGTH],
    /// Wall time at which the month began.
    month_millis: u64,
    now_millis: u64,
    since_month: [u8; 8],
    born: [u8; MILLIS_DIGITS],
    counter: u16,
}

impl UniqueKeys {
    /// Keys of the generator thread `thread`; different from those of any other thread and process of this machine.
    pub fn new(thread: u32) -> UniqueKeys {
        let mut fixed = [0; FIXED_LENGTH];
        let pid = std::process::id() as u16;
        hex_into(&mut fixed[..8], &[127, 0, 0, 1]);
        hex_into(&mut fixed[8..12], &pid.to_be_bytes());
        hex_into(&mut fixed[12..], &(0x4C53_0000 + thread).to_be_bytes());
        UniqueKeys {
            fixed,
            month_millis: month_began(),
            now_millis: 0,
            since_month: [b'0'; 8],
            born: [b'0'; MILLIS_DIGITS],
            counter: 0,
        }
    }

    /// Keys and born timestamps from here on say `millis`.
    #[inline]
    pub fn tell_time(&mut self, millis: u64) {
        if millis == self.now_millis {
            return;
        }
        self.now_millis = millis;
        let since = millis.saturating_sub(self.month_millis) as u32;
        hex_into(&mut self.since_month, &since.to_be_bytes());
        super::frame::write_digits(&mut self.born, millis);
    }

    /// The time last told, in decimal.
    #[inline]
    pub fn born(&self) -> &[u8; MILLIS_DIGITS] {
        &self.born
    }

    /// Writes the next key into `place`, which is [`KEY_LENGTH`] long.
    #[inline]
    pub fn write_next(&mut self, place: &mut [u8]) {
        let [high, low] = self.counter.to_be_bytes();
        self.counter = self.counter.wrapping_add(1);
        place[..20].copy_from_slice(&self.fixed);
        place[20..28].copy_from_slice(&self.since_month);
        place[28..30].copy_from_slice(&HEX[usize::from(high)]);
        place[30..32].copy_from_slice(&HEX[usize::from(low)]);
    }
}

/// Local midnight of the first of this month; 1970 where the time zone is not known, which still gives unique keys.
fn month_began() -> u64 {
    Zoned::now()
        .first_of_month()
        .and_then(|first| first.start_of_day())
        .map_or(0, |first| first.timestamp().as_millisecond().max(0) as u64)
}

fn hex_into(place: &mut [u8], bytes: &[u8]) {
    for (pair, byte) in place.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&HEX[usize::from(*byte)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn keys_are_unique_and_carry_the_time() {
        let mut keys = UniqueKeys::new(3);
        keys.month_millis = 1_000;
        keys.tell_time(1_000 + 0xABCDEF);
        let mut seen = HashSet::new();
        for counter in 0..65_536u32 {
            let mut key = [0; KEY_LENGTH];
            keys.write_next(&mut key);
            let text = String::from_utf8(key.to_vec()).unwrap();
            let pid = std::process::id() as u16;
            assert_eq!(text, format!("7F000001{pid:04X}4C53000300ABCDEF{counter:04X}"));
            seen.insert(text);
        }
        assert_eq!(seen.len(), 65_536);
    }

    #[test]
    fn the_month_began_in_the_last_31_days() {
        let now = Zoned::now().timestamp().as_millisecond() as u64;
        let age_days = (now - month_began()) / 86_400_000;
        assert!(age_days <= 31, "{age_days} days");
    }
}
