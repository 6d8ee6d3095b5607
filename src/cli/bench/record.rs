//! Just enough of the stored record to count messages and find their bodies in a pull's answer.

use super::frame::word;

/// Total size, magic, CRC, queue, flag, both offsets, then the system flag.
const SYS_FLAG_AT: usize = 36;
/// Where the body's length lies when both hosts are IPv4.
const BODY_LENGTH_AT: usize = 84;
/// An IPv6 host takes so many bytes more.
const IPV6_EXTRA: usize = 12;
const BORN_HOST_IPV6: u32 = 0x10;
const STORE_HOST_IPV6: u32 = 0x20;

/// The bodies of the records in `bytes`, up to the first that is torn.
pub fn bodies(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let size = word(bytes, 0)? as usize;
        let record = bytes.get(..size)?;
        let flags = word(record, SYS_FLAG_AT)?;
        let wide_hosts = [BORN_HOST_IPV6, STORE_HOST_IPV6].iter().filter(|flag| flags & **flag != 0).count();
        let at = BODY_LENGTH_AT + wide_hosts * IPV6_EXTRA;
        let length = word(record, at)? as usize;
        let body = record.get(at + 4..at + 4 + length)?;
        bytes = &bytes[size..];
        Some(body)
    })
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
