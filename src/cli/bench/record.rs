//! Just enough of the stored record to count messages, find their bodies and times in a pull's answer.

use super::frame::word;

/// Total size, magic, CRC, queue, flag, both offsets, then the system flag.
const SYS_FLAG_AT: usize = 36;
const BORN_TIME_AT: usize = 40;
/// Where the store time lies when the host that the message was born on is IPv4.
const STORE_TIME_AT: usize = 56;
/// Where the body's length lies when both hosts are IPv4.
const BODY_LENGTH_AT: usize = 84;
/// An IPv6 host takes so many bytes more.
const IPV6_EXTRA: usize = 12;
const BORN_HOST_IPV6: u32 = 0x10;
const STORE_HOST_IPV6: u32 = 0x20;

/// What a record says of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored<'a> {
    /// When its producer made it, in milliseconds since 1970.
    pub born_ms: u64,
    /// When the broker stored it.
    pub stored_ms: u64,
    pub body: &'a [u8],
}

/// The bodies of the records in `bytes`, up to the first that is torn.
pub fn bodies(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    records(bytes).map(|record| record.body)
}

/// The records in `bytes`, up to the first that is torn.
pub fn records(mut bytes: &[u8]) -> impl Iterator<Item = Stored<'_>> {
    std::iter::from_fn(move || {
        let size = word(bytes, 0)? as usize;
        let record = bytes.get(..size)?;
        let flags = word(record, SYS_FLAG_AT)?;
        let extra = |flag: u32| if flags & flag == 0 { 0 } else { IPV6_EXTRA };
        let stored_at = STORE_TIME_AT + extra(BORN_HOST_IPV6);
        let at = BODY_LENGTH_AT + extra(BORN_HOST_IPV6) + extra(STORE_HOST_IPV6);
        let length = word(record, at)? as usize;
        let body = record.get(at + 4..at + 4 + length)?;
        bytes = &bytes[size..];
        Some(Stored { born_ms: long(record, BORN_TIME_AT)?, stored_ms: long(record, stored_at)?, body })
    })
}

fn long(record: &[u8], at: usize) -> Option<u64> {
    Some(u64::from(word(record, at)?) << 32 | u64::from(word(record, at + 4)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(flags: u32, body: &[u8]) -> Vec<u8> {
        let hosts = match flags {
            0 => 0,
            0x10 | 0x20 => 12,
            _ => 24,
        };
        let mut record = vec![0; BODY_LENGTH_AT + hosts];
        record[SYS_FLAG_AT..SYS_FLAG_AT + 4].copy_from_slice(&flags.to_be_bytes());
        record[BORN_TIME_AT..BORN_TIME_AT + 8].copy_from_slice(&1_700_000_000_000u64.to_be_bytes());
        let stored_at = if flags & BORN_HOST_IPV6 == 0 { STORE_TIME_AT } else { STORE_TIME_AT + IPV6_EXTRA };
        record[stored_at..stored_at + 8].copy_from_slice(&1_700_000_000_007u64.to_be_bytes());
        record.extend_from_slice(&(body.len() as u32).to_be_bytes());
        record.extend_from_slice(body);
        record.extend_from_slice(b"\x01T\x00\x00");
        let size = record.len() as u32;
        record[..4].copy_from_slice(&size.to_be_bytes());
        record
    }

    #[test]
    fn bodies_of_all_host_kinds() {
        let mut bytes = record(0, b"one");
        bytes.extend(record(0x10, b"two"));
        bytes.extend(record(0x30, b""));
        bytes.extend(record(0x20, b"four"));
        let found: Vec<&[u8]> = bodies(&bytes).collect();
        assert_eq!(found, [b"one".as_slice(), b"two", b"", b"four"]);
        let times = records(&bytes).map(|record| (record.born_ms, record.stored_ms));
        assert!(times.eq([(1_700_000_000_000, 1_700_000_000_007); 4]));
    }

    #[test]
    fn torn_records_end_the_walk() {
        let mut bytes = record(0, b"one");
        bytes.extend(&record(0, b"two")[..50]);
        assert_eq!(bodies(&bytes).count(), 1);
        assert_eq!(bodies(&[0; 64]).count(), 0);
        assert_eq!(bodies(&[0xFF; 64]).count(), 0);
    }
}
