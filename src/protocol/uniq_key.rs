//! The two ids of a message, both upper-case hexadecimal and of equal length.
//!
//! The unique key, which its producer makes (property `UNIQ_KEY`):
//!
//! | size | field |
//! |---|---|
//! | 4 or 16 | the producer's address |
//! | 2 | low bits of its process id |
//! | 4 | what tells two generators of one process apart |
//! | 4 | milliseconds since the local month began |
//! | 2 | counter |
//!
//! The offset id, which tells where a broker keeps the message: 4 or 16 bytes of the broker's address, 4 of its port,
//! 8 of the message's position in the CommitLog.
//!
//! Source: RocketMQ's `MessageClientIDSetter` and `MessageDecoder`.

use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::sync::atomic::{AtomicI64, AtomicU16, Ordering};

/// Bytes of the longest id, before they become text.
const ID_BYTES_MAX: usize = 28;
const MS_PER_DAY: i64 = 86_400_000;
/// Bytes of a unique key behind the address.
const KEY_TAIL_BYTES: usize = 12;
/// Bytes of an offset id behind the address.
const OFFSET_TAIL_BYTES: usize = 12;

/// Each byte as an id has it: two upper-case hexadecimal digits.
pub const HEX: [[u8; 2]; 256] = {
    let digits = b"0123456789ABCDEF";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    pairs
};

/// An id as text, without an allocation.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct IdText {
    text: [u8; ID_BYTES_MAX * 2],
    length: u8,
}

impl IdText {
    fn of(bytes: &[u8]) -> Self {
        IdText { text: [0; ID_BYTES_MAX * 2], length: 0 }.and(bytes)
    }

    /// With more bytes behind those it has.
    fn and(mut self, bytes: &[u8]) -> Self {
        let behind = self.text.get_mut(usize::from(self.length)..).unwrap_or_default();
        for (pair, byte) in behind.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
            *pair = HEX[usize::from(*byte)];
            self.length += 2;
        }
        self
    }

    /// The text, if it is as short as an id.
    #[must_use]
    pub fn copied(text: &str) -> Option<Self> {
        let mut copy = [0; ID_BYTES_MAX * 2];
        copy.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(IdText { text: copy, length: text.len() as u8 })
    }
}

impl Deref for IdText {
    type Target = str;

    fn deref(&self) -> &str {
        let text = self.text.get(..usize::from(self.length)).unwrap_or_default();
        std::str::from_utf8(text).unwrap_or_default()
    }
}

impl std::fmt::Display for IdText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self)
    }
}

impl std::fmt::Debug for IdText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self)
    }
}

/// Where unique keys come from. Two generators that differ in any field never make the same key within a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    pub address: IpAddr,
    pub process_id: u32,
    /// Different for each generator of a process.
    pub generator: u32,
}

/// Makes unique keys; up to 65,536 a millisecond differ. Shared by reference between threads.
#[derive(Debug)]
pub struct UniqueKeys {
    /// The fixed front of every key.
    front: IdText,
    utc_offset_ms: i64,
    month_start_ms: AtomicI64,
    month_end_ms: AtomicI64,
    counter: AtomicU16,
}

impl UniqueKeys {
    /// A generator whose months begin at midnight `utc_offset_s` seconds east of Greenwich.
    #[must_use]
    pub fn new(origin: Origin, utc_offset_s: i32) -> Self {
        let mut bytes = address_bytes(origin.address);
        bytes.extend_from_slice(&(origin.process_id as u16).to_be_bytes());
        bytes.extend_from_slice(&origin.generator.to_be_bytes());
        UniqueKeys {
            front: IdText::of(&bytes),
            utc_offset_ms: i64::from(utc_offset_s) * 1000,
            month_start_ms: AtomicI64::new(0),
            month_end_ms: AtomicI64::new(0),
            counter: AtomicU16::new(0),
        }
    }

    /// The next key, at `now_ms` milliseconds since 1970.
    #[must_use]
    pub fn next(&self, now_ms: i64) -> IdText {
        // Threads that meet here at a month's end store the same values; a key of that moment may carry a time from
        // the month before, which nothing depends on.
        if now_ms >= self.month_end_ms.load(Ordering::Relaxed) {
            let (start, end) = month_of(now_ms, self.utc_offset_ms);
            self.month_start_ms.store(start, Ordering::Relaxed);
            self.month_end_ms.store(end, Ordering::Relaxed);
        }
        // A clock that was set back to before the month counts as its start.
        let since = now_ms.saturating_sub(self.month_start_ms.load(Ordering::Relaxed)).max(0) as u32;
        let count = self.counter.fetch_add(1, Ordering::Relaxed);
        let ([s0, s1, s2, s3], [c0, c1]) = (since.to_be_bytes(), count.to_be_bytes());
        self.front.and(&[s0, s1, s2, s3, c0, c1])
    }
}

/// What a unique key tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UniqueKeyParts {
    pub origin: Origin,
    /// Milliseconds since the producer's local month began.
    pub since_month_ms: u32,
    pub counter: u16,
}

impl UniqueKeyParts {
    /// When the key was made, in milliseconds since 1970, for a reader `utc_offset_s` seconds east of Greenwich at
    /// `now_ms`: the newest time in this month or the one before that is not in the future.
    #[must_use]
    pub fn made_at_ms(&self, now_ms: i64, utc_offset_s: i32) -> i64 {
        let offset_ms = i64::from(utc_offset_s) * 1000;
        let (start, _) = month_of(now_ms, offset_ms);
        let since = i64::from(self.since_month_ms);
        if start.saturating_add(since) < now_ms {
            return start.saturating_add(since);
        }
        month_of(start.saturating_sub(1), offset_ms).0.saturating_add(since)
    }
}

/// Why a text is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("a message id of {0} characters, 32 or 56 are wanted")]
    Length(usize),
    #[error("a message id with a character that is no hexadecimal digit")]
    Digit,
    #[error("a message id with port {0}")]
    Port(u32),
}

/// Takes a unique key apart.
///
/// # Errors
/// [`IdError`] when the text has another length or other characters than a unique key. Whether it is an offset id
/// cannot be seen.
pub fn decode_unique_key(text: &str) -> Result<UniqueKeyParts, IdError> {
    let bytes = decode_hex(text)?;
    let (address, tail) = split_address::<KEY_TAIL_BYTES>(&bytes, text)?;
    let [p0, p1, g0, g1, g2, g3, s0, s1, s2, s3, c0, c1] = tail;
    Ok(UniqueKeyParts {
        origin: Origin {
            address,
            process_id: u16::from_be_bytes([p0, p1]).into(),
            generator: u32::from_be_bytes([g0, g1, g2, g3]),
        },
        since_month_ms: u32::from_be_bytes([s0, s1, s2, s3]),
        counter: u16::from_be_bytes([c0, c1]),
    })
}

/// The offset id of the message that the broker at `store_host` keeps at `log_offset`.
#[must_use]
pub fn encode_offset_id(store_host: SocketAddr, log_offset: u64) -> IdText {
    let mut bytes = [0; ID_BYTES_MAX];
    let port_at = match store_host.ip() {
        IpAddr::V4(ip) => {
            bytes[..4].copy_from_slice(&ip.octets());
            4
        }
        IpAddr::V6(ip) => {
            bytes[..16].copy_from_slice(&ip.octets());
            16
        }
    };
    bytes[port_at..port_at + 4].copy_from_slice(&u32::from(store_host.port()).to_be_bytes());
    bytes[port_at + 4..port_at + 12].copy_from_slice(&log_offset.to_be_bytes());
    IdText::of(&bytes[..port_at + OFFSET_TAIL_BYTES])
}

/// The offset ids of several messages that the broker at `store_host` keeps, joined by commas.
#[must_use]
pub fn encode_offset_ids(store_host: SocketAddr, log_offsets: impl ExactSizeIterator<Item = u64>) -> String {
    let first = encode_offset_id(store_host, 0);
    let front = &first.as_bytes()[..first.len() - 16];
    let mut all = Vec::with_capacity(log_offsets.len() * (first.len() + 1));
    for log_offset in log_offsets {
        if !all.is_empty() {
            all.push(b',');
        }
        all.extend_from_slice(front);
        all.extend_from_slice(log_offset.to_be_bytes().map(|byte| HEX[usize::from(byte)]).as_flattened());
    }
    String::from_utf8(all).unwrap_or_default()
}

/// Takes an offset id apart: the broker that stored the message, and the message's position in its CommitLog.
///
/// # Errors
/// [`IdError`] when the text has another length or other characters than an offset id, or no broker could listen on
/// its port.
pub fn decode_offset_id(text: &str) -> Result<(SocketAddr, u64), IdError> {
    let bytes = decode_hex(text)?;
    let (address, tail) = split_address::<OFFSET_TAIL_BYTES>(&bytes, text)?;
    let [p0, p1, p2, p3, offset @ ..] = tail;
    let port = u32::from_be_bytes([p0, p1, p2, p3]);
    let port = u16::try_from(port).map_err(|_| IdError::Port(port))?;
    Ok((SocketAddr::new(address, port), u64::from_be_bytes(offset)))
}

fn address_bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn decode_hex(text: &str) -> Result<Vec<u8>, IdError> {
    if text.len() != 32 && text.len() != 56 {
        return Err(IdError::Length(text.len()));
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8).ok_or(IdError::Digit);
    text.as_bytes().chunks_exact(2).map(|pair| Ok(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

fn split_address<const TAIL: usize>(bytes: &[u8], text: &str) -> Result<(IpAddr, [u8; TAIL]), IdError> {
    let (address, tail) = bytes.split_last_chunk::<TAIL>().ok_or(IdError::Length(text.len()))?;
    let address = match (<[u8; 4]>::try_from(address), <[u8; 16]>::try_from(address)) {
        (Ok(v4), _) => IpAddr::from(v4),
        (_, Ok(v6)) => IpAddr::from(v6),
        _ => return Err(IdError::Length(text.len())),
    };
    Ok((address, *tail))
}

/// Start and end of the month that `now_ms` is in, at a fixed distance from Greenwich.
fn month_of(now_ms: i64, utc_offset_ms: i64) -> (i64, i64) {
    let day = now_ms.saturating_add(utc_offset_ms).div_euclid(MS_PER_DAY);
    let (year, month, _) = civil_of_day(day);
    let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    let start_of = |year, month| day_of_civil(year, month).saturating_mul(MS_PER_DAY).saturating_sub(utc_offset_ms);
    (start_of(year, month), start_of(next_year, next_month))
}

/// Year, month from 1 and day of the month from 1 of a day counted from 1970-01-01. Gregorian, in eras of 400 years
/// that begin in March, so that the leap day comes last.
fn civil_of_day(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, of_month)
}

/// The first day of a month, counted from 1970-01-01.
fn day_of_civil(year: i64, month: i64) -> i64 {
    let march_year = year - i64::from(month <= 2);
    let era = march_year.div_euclid(400);
    let year_of_era = march_year.rem_euclid(400);
    let march_month = (month + 9) % 12;
    let of_year = (153 * march_month + 2) / 5;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    era * 146_097 + of_era - 719_468
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    /// 2023-11-14T22:13:20Z.
    const NOW: i64 = 1_700_000_000_000;
    /// 2023-11-01T00:00:00Z.
    const NOVEMBER: i64 = 1_698_796_800_000;

    fn origin(address: impl Into<IpAddr>) -> Origin {
        Origin { address: address.into(), process_id: 0x1_2345, generator: 0xdead_beef }
    }

    #[test]
    fn months_begin_where_the_calendar_says() {
        assert_eq!(month_of(NOW, 0), (NOVEMBER, NOVEMBER + 30 * MS_PER_DAY));
        assert_eq!(month_of(NOVEMBER - 1, 0).1, NOVEMBER);
        assert_eq!(month_of(NOVEMBER - 1, 3_600_000), (NOVEMBER - 3_600_000, NOVEMBER - 3_600_000 + 30 * MS_PER_DAY));
        // 2024-02-29, 2000-12-31, 1969-12-31.
        assert_eq!(month_of(1_709_164_800_000, 0), (1_706_745_600_000, 1_709_251_200_000));
        assert_eq!(month_of(978_220_800_000, 0), (975_628_800_000, 978_307_200_000));
        assert_eq!(month_of(-1, 0), (-31 * MS_PER_DAY, 0));
    }

    #[test]
    fn a_key_tells_where_and_when_it_was_made() {
        for address in [IpAddr::from(Ipv4Addr::new(10, 0, 0, 7)), IpAddr::from(Ipv6Addr::LOCALHOST)] {
            let keys = UniqueKeys::new(origin(address), 7_200);
            let key = keys.next(NOW);
            assert_eq!(key.len(), if address.is_ipv4() { 32 } else { 56 });
            let parts = decode_unique_key(&key).unwrap();
            assert_eq!(parts.origin, Origin { process_id: 0x2345, ..origin(address) });
            assert_eq!(parts.made_at_ms(NOW + 5, 7_200), NOW);
            assert_eq!(parts.counter, 0);
            assert_eq!(decode_unique_key(&keys.next(NOW)).unwrap().counter, 1);
        }
    }

    #[test]
    fn a_key_of_last_month_is_placed_there() {
        let keys = UniqueKeys::new(origin(Ipv4Addr::LOCALHOST), 0);
        let made = NOVEMBER - 1_000;
        let parts = decode_unique_key(&keys.next(made)).unwrap();
        assert_eq!(parts.made_at_ms(NOVEMBER + 1_000, 0), made);
    }

    #[test]
    fn keys_differ_and_follow_the_month() {
        let keys = UniqueKeys::new(origin(Ipv4Addr::LOCALHOST), 0);
        let distinct: HashSet<String> = (0..65_536).map(|_| keys.next(NOW).to_string()).collect();
        assert_eq!(distinct.len(), 65_536);
        let december = NOVEMBER + 30 * MS_PER_DAY;
        assert_eq!(decode_unique_key(&keys.next(december + 3)).unwrap().since_month_ms, 3);
        assert_eq!(decode_unique_key(&keys.next(NOW)).unwrap().since_month_ms, 0);
    }

    #[test]
    fn what_is_no_id_is_refused() {
        assert_eq!(decode_offset_id("AB"), Err(IdError::Length(2)));
        assert_eq!(decode_offset_id(&"g".repeat(32)), Err(IdError::Digit));
        assert_eq!(decode_offset_id(&"é".repeat(16)), Err(IdError::Digit));
        assert_eq!(decode_offset_id(&"F".repeat(32)), Err(IdError::Port(u32::MAX)));
    }

    proptest! {
        #[test]
        fn offset_ids_come_back(address: IpAddr, port: u16, offset: u64) {
            let host = SocketAddr::new(address, port);
            prop_assert_eq!(decode_offset_id(&encode_offset_id(host, offset)), Ok((host, offset)));
        }

        #[test]
        fn several_offset_ids_are_each_and_a_comma(address: IpAddr, port: u16, offsets: Vec<u64>) {
            let host = SocketAddr::new(address, port);
            let each: Vec<_> = offsets.iter().map(|offset| encode_offset_id(host, *offset).to_string()).collect();
            prop_assert_eq!(encode_offset_ids(host, offsets.into_iter()), each.join(","));
        }

        #[test]
        fn any_time_has_a_key(now: i64, later: i64, offset in -50_000..50_000_i32) {
            let keys = UniqueKeys::new(origin(Ipv4Addr::LOCALHOST), offset);
            let parts = decode_unique_key(&keys.next(now)).unwrap();
            let _ = parts.made_at_ms(later, offset);
            prop_assert_eq!(keys.next(later).len(), 32);
        }

        #[test]
        fn any_text_is_an_id_or_an_error(text in ".{0,60}") {
            let _ = (decode_unique_key(&text), decode_offset_id(&text));
        }
    }
}
