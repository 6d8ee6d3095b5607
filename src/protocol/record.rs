//! The stored form of a message, which is also its delivered form. All integers big-endian.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 4 | size of the whole record |
//! | 4 | 4 | magic: version 1 or 2 |
//! | 8 | 4 | CRC32 of the body, highest bit cleared |
//! | 12 | 4 | queue id |
//! | 16 | 4 | flag of the user |
//! | 20 | 8 | queue offset |
//! | 28 | 8 | physical offset |
//! | 36 | 4 | sysFlag |
//! | 40 | 8 | born timestamp, ms |
//! | 48 | 8 or 20 | born host: address, int32 port |
//! | 56 or 68 | 8 | store timestamp, ms |
//! | … | 8 or 20 | store host |
//! | … | 4 | reconsume times |
//! | … | 8 | offset of the prepared transaction |
//! | … | 4 + n | body |
//! | … | 1 or 2, + n | topic; the length has one byte in version 1, two in version 2 |
//! | … | 2 + n | properties |
//!
//! Source: RocketMQ's `CommitLog` and `MessageDecoder`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub const MAGIC_V1: u32 = 0xDAA3_20A7;
pub const MAGIC_V2: u32 = 0xDAA3_20AB;
/// Marks the unused rest of a CommitLog segment.
pub const MAGIC_BLANK: u32 = 0xCBD4_3194;
/// int32 length of the rest, int32 magic.
pub const BLANK_BYTES: usize = 8;
/// Topics up to this many bytes are written in version 1.
pub const TOPIC_BYTES_V1: usize = 127;

pub const QUEUE_OFFSET_AT: usize = 20;
pub const PHYSICAL_OFFSET_AT: usize = 28;
const SYS_FLAG_AT: usize = 36;
pub const QUEUE_AT: usize = 12;
pub const BORN_TIMESTAMP_AT: usize = 40;
const BORN_HOST_AT: usize = 48;
/// Bytes before the body when both hosts are IPv6.
const HEAD_BYTES_MAX: usize = 112;
/// Where the length of the body lies when both hosts are IPv4.
const BODY_LENGTH_AT: usize = 84;
/// Size of a record with IPv4 hosts and nothing in body, topic and properties.
pub const RECORD_BYTES_MIN: usize = 91;

pub const FLAG_COMPRESSED: i32 = 0x1;
/// Mask of the transaction bits: 4 prepared, 8 commit, 12 rollback.
pub const FLAG_TRANSACTION: i32 = 0xC;
/// The transaction bits of a message that was committed.
pub const FLAG_COMMITTED: i32 = 8;
pub const FLAG_PREPARED: i32 = 0x4;
pub const FLAG_ROLLBACK: i32 = 0xC;
pub const FLAG_BORN_HOST_V6: i32 = 0x10;
pub const FLAG_STORE_HOST_V6: i32 = 0x20;

/// Where the writer puts the store timestamp of a record with this sysFlag.
#[must_use]
pub const fn store_timestamp_at(sys_flag: i32) -> usize {
    if sys_flag & FLAG_BORN_HOST_V6 == 0 { 56 } else { 68 }
}

/// What a new record is made of. Queue offset, physical offset and store timestamp are left for the writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewRecord<'a> {
    pub topic: &'a str,
    pub queue: u32,
    pub flag: i32,
    /// The host bits are set from the addresses, whatever they are here.
    pub sys_flag: i32,
    pub born_timestamp_ms: i64,
    pub born_host: SocketAddr,
    pub store_host: SocketAddr,
    pub reconsume_times: i32,
    pub prepared_transaction_offset: i64,
    pub body: &'a [u8],
    /// Properties text in pieces that are stored one after the other; at most `PROPERTIES_BYTES_MAX` in all.
    pub properties: &'a [&'a [u8]],
}

impl NewRecord<'_> {
    /// sysFlag as it is stored.
    #[must_use]
    pub fn stored_sys_flag(&self) -> i32 {
        let mut flag = self.sys_flag & !(FLAG_BORN_HOST_V6 | FLAG_STORE_HOST_V6);
        if is_v6(self.born_host.ip()) {
            flag |= FLAG_BORN_HOST_V6;
        }
        if is_v6(self.store_host.ip()) {
            flag |= FLAG_STORE_HOST_V6;
        }
        flag
    }

    /// Bytes of the properties.
    #[must_use]
    pub fn properties_length(&self) -> usize {
        self.properties.iter().map(|piece| piece.len()).sum()
    }

    /// Where in the record the properties begin, behind their length.
    #[must_use]
    pub fn properties_at(&self) -> usize {
        let hosts = [self.born_host, self.store_host].iter().filter(|host| is_v6(host.ip())).count() * 12;
        let long_topic = usize::from(self.topic.len() > TOPIC_BYTES_V1);
        RECORD_BYTES_MIN + hosts + long_topic + self.body.len() + self.topic.len()
    }

    /// Bytes that [`NewRecord::encode`] appends.
    #[must_use]
    pub fn size(&self) -> usize {
        self.properties_at() + self.properties_length()
    }

    /// Appends the record and returns its size in bytes.
    pub fn encode(&self, out: &mut Vec<u8>) -> usize {
        let properties = self.properties_length();
        let size = self.properties_at() + properties;
        let v2 = self.topic.len() > TOPIC_BYTES_V1;
        let mut head = [0u8; HEAD_BYTES_MAX];
        head[0..4].copy_from_slice(&(size as u32).to_be_bytes());
        head[4..8].copy_from_slice(&(if v2 { MAGIC_V2 } else { MAGIC_V1 }).to_be_bytes());
        head[8..12].copy_from_slice(&body_crc(self.body).to_be_bytes());
        head[12..16].copy_from_slice(&self.queue.to_be_bytes());
        head[16..20].copy_from_slice(&self.flag.to_be_bytes());
        head[36..40].copy_from_slice(&self.stored_sys_flag().to_be_bytes());
        head[40..48].copy_from_slice(&self.born_timestamp_ms.to_be_bytes());
        let store_timestamp_at = put_host(&mut head, BORN_HOST_AT, self.born_host);
        let at = put_host(&mut head, store_timestamp_at + 8, self.store_host);
        head[at..at + 4].copy_from_slice(&self.reconsume_times.to_be_bytes());
        head[at + 4..at + 12].copy_from_slice(&self.prepared_transaction_offset.to_be_bytes());
        head[at + 12..at + 16].copy_from_slice(&(self.body.len() as u32).to_be_bytes());
        out.reserve(size);
        out.extend_from_slice(&head[..at + 16]);
        out.extend_from_slice(self.body);
        if v2 {
            out.extend_from_slice(&(self.topic.len() as u16).to_be_bytes());
        } else {
            out.push(self.topic.len() as u8);
        }
        out.extend_from_slice(self.topic.as_bytes());
        out.extend_from_slice(&(properties as u16).to_be_bytes());
        for piece in self.properties {
            out.extend_from_slice(piece);
        }
        size
    }
}

/// CRC of a body as records carry it.
#[must_use]
pub fn body_crc(body: &[u8]) -> u32 {
    crc32fast::hash(body) & 0x7FFF_FFFF
}

/// An IPv4 address written as IPv6 (`::ffff:1.2.3.4`) is an IPv4 address.
fn canonical(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

fn is_v6(ip: IpAddr) -> bool {
    canonical(ip).is_ipv6()
}

/// Writes the host at `at`; where it ends.
fn put_host(head: &mut [u8; HEAD_BYTES_MAX], at: usize, host: SocketAddr) -> usize {
    let port_at = match canonical(host.ip()) {
        IpAddr::V4(ip) => {
            head[at..at + 4].copy_from_slice(&ip.octets());
            at + 4
        }
        IpAddr::V6(ip) => {
            head[at..at + 16].copy_from_slice(&ip.octets());
            at + 16
        }
    };
    head[port_at..port_at + 4].copy_from_slice(&u32::from(host.port()).to_be_bytes());
    port_at + 4
}

/// Why bytes are not a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("only {0} bytes are left")]
    Torn(usize),
    #[error("the magic is {0:#010x}")]
    Magic(u32),
    #[error("the size field says {said}, the parts add up to {found}")]
    Size { said: usize, found: usize },
    #[error("a length field points beyond the record")]
    Length,
    #[error("the CRC of the body is {said:#010x}, computed {found:#010x}")]
    Crc { said: u32, found: u32 },
    #[error("the {0} is not UTF-8")]
    Text(&'static str),
}

/// A stored record, read in place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Record<'a> {
    /// Size of the whole record in bytes.
    pub size: usize,
    pub body_crc: u32,
    pub queue: u32,
    pub flag: i32,
    pub queue_offset: u64,
    pub physical_offset: u64,
    pub sys_flag: i32,
    pub born_timestamp_ms: i64,
    pub born_host: SocketAddr,
    pub store_timestamp_ms: i64,
    pub store_host: SocketAddr,
    pub reconsume_times: i32,
    pub prepared_transaction_offset: i64,
    pub body: &'a [u8],
    pub topic: &'a str,
    pub properties: &'a str,
}

impl<'a> Record<'a> {
    /// Reads the record at the front of `bytes`; what follows it is not looked at.
    ///
    /// # Errors
    /// When no whole record is there. The CRC of the body is not checked; see [`Record::check_crc`].
    pub fn read(bytes: &'a [u8]) -> Result<Record<'a>, RecordError> {
        let mut cut = Cut { bytes, at: 0 };
        let torn = RecordError::Torn(bytes.len());
        let size = cut.u32().ok_or(torn.clone())? as usize;
        let magic = cut.u32().ok_or(torn.clone())?;
        let v2 = match magic {
            MAGIC_V1 => false,
            MAGIC_V2 => true,
            other => return Err(RecordError::Magic(other)),
        };
        cut.bytes = bytes.get(..size).ok_or(torn)?;
        let record = cut.parts(size, v2)?;
        if cut.at == size { Ok(record) } else { Err(RecordError::Size { said: size, found: cut.at }) }
    }

    /// The same message as a new record: with its topic, its queue and its hosts, but without properties, which go in
    /// by their text, and without what its place in the log says.
    #[must_use]
    pub fn again(&self) -> NewRecord<'a> {
        NewRecord {
            topic: self.topic,
            queue: self.queue,
            flag: self.flag,
            sys_flag: self.sys_flag,
            born_timestamp_ms: self.born_timestamp_ms,
            born_host: self.born_host,
            store_host: self.store_host,
            reconsume_times: self.reconsume_times,
            prepared_transaction_offset: 0,
            body: self.body,
            properties: &[],
        }
    }

    /// # Errors
    /// [`RecordError::Crc`] when the body is not the one that was stored.
    pub fn check_crc(&self) -> Result<(), RecordError> {
        let found = body_crc(self.body);
        if found == self.body_crc { Ok(()) } else { Err(RecordError::Crc { said: self.body_crc, found }) }
    }
}

struct Cut<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cut<'a> {
    #[inline]
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    #[inline]
    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    #[inline]
    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    #[inline]
    fn host(&mut self, v6: bool) -> Option<SocketAddr> {
        let ip = if v6 {
            IpAddr::V6(Ipv6Addr::from(self.array::<16>()?))
        } else {
            IpAddr::V4(Ipv4Addr::from(self.array::<4>()?))
        };
        Some(SocketAddr::new(ip, self.u32()? as u16))
    }

    fn parts(&mut self, size: usize, v2: bool) -> Result<Record<'a>, RecordError> {
        self.all(size, v2).ok_or(RecordError::Length)?
    }

    fn all(&mut self, size: usize, v2: bool) -> Option<Result<Record<'a>, RecordError>> {
        let body_crc = self.u32()?;
        let queue = self.u32()?;
        let flag = self.u32()? as i32;
        let queue_offset = self.u64()?;
        let physical_offset = self.u64()?;
        let sys_flag = self.u32()? as i32;
        let born_timestamp_ms = self.u64()? as i64;
        let born_host = self.host(sys_flag & FLAG_BORN_HOST_V6 != 0)?;
        let store_timestamp_ms = self.u64()? as i64;
        let store_host = self.host(sys_flag & FLAG_STORE_HOST_V6 != 0)?;
        let reconsume_times = self.u32()? as i32;
        let prepared_transaction_offset = self.u64()? as i64;
        let body_length = self.u32()? as usize;
        let body = self.take(body_length)?;
        let topic_length =
            if v2 { usize::from(u16::from_be_bytes(self.array()?)) } else { usize::from(self.take(1)?[0]) };
        let topic = self.take(topic_length)?;
        let properties_length = usize::from(u16::from_be_bytes(self.array()?));
        let properties = self.take(properties_length)?;
        let Ok(topic) = std::str::from_utf8(topic) else { return Some(Err(RecordError::Text("topic"))) };
        let Ok(properties) = std::str::from_utf8(properties) else { return Some(Err(RecordError::Text("properties"))) };
        Some(Ok(Record {
            size,
            body_crc,
            queue,
            flag,
            queue_offset,
            physical_offset,
            sys_flag,
            born_timestamp_ms,
            born_host,
            store_timestamp_ms,
            store_host,
            reconsume_times,
            prepared_transaction_offset,
            body,
            topic,
            properties,
        }))
    }
}

/// The parts of different lengths of a record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Parts<'a> {
    pub body: &'a [u8],
    pub topic: &'a [u8],
    pub properties: &'a [u8],
}

/// The parts of the whole record in `bytes`, found without reading the rest of it.
#[must_use]
pub fn parts_in(bytes: &[u8]) -> Option<Parts<'_>> {
    let sys_flag = sys_flag_of(bytes)?;
    let hosts = [FLAG_BORN_HOST_V6, FLAG_STORE_HOST_V6].iter().filter(|flag| sys_flag & **flag != 0).count();
    let mut cut = Cut { bytes, at: BODY_LENGTH_AT + hosts * 12 };
    let length = cut.u32()? as usize;
    let body = cut.take(length)?;
    let v2 = bytes.get(4..8)? == MAGIC_V2.to_be_bytes();
    let length = if v2 { usize::from(u16::from_be_bytes(cut.array()?)) } else { usize::from(cut.array::<1>()?[0]) };
    let topic = cut.take(length)?;
    let length = usize::from(u16::from_be_bytes(cut.array()?));
    Some(Parts { body, topic, properties: cut.take(length)? })
}

/// The properties text of the whole record in `bytes`, found without reading the rest of it.
#[must_use]
pub fn properties_in(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(parts_in(bytes)?.properties).ok()
}

/// Whether `bytes` begin as a record of just their length does. What follows its first eight bytes is not looked at.
#[must_use]
pub fn begins_as_record(bytes: &[u8]) -> bool {
    let mut cut = Cut { bytes, at: 0 };
    let whole = cut.u32().is_some_and(|size| size as usize == bytes.len());
    whole && bytes.len() >= RECORD_BYTES_MIN && matches!(cut.u32(), Some(MAGIC_V1 | MAGIC_V2))
}

/// sysFlag of an encoded record, wherever the record came from.
#[must_use]
pub fn sys_flag_of(record: &[u8]) -> Option<i32> {
    record.get(SYS_FLAG_AT..)?.first_chunk::<4>().map(|bytes| i32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn new<'a>(topic: &'a str, body: &'a [u8], properties: &'a [&'a [u8]], born: &str, store: &str) -> NewRecord<'a> {
        NewRecord {
            topic,
            queue: 3,
            flag: 7,
            sys_flag: 0x31,
            born_timestamp_ms: 1_700_000_000_123,
            born_host: born.parse().unwrap(),
            store_host: store.parse().unwrap(),
            reconsume_times: 2,
            prepared_transaction_offset: -1,
            body,
            properties,
        }
    }

    fn check(new: &NewRecord<'_>) {
        let mut out = Vec::new();
        assert_eq!(new.encode(&mut out), out.len());
        assert_eq!(new.size(), out.len());
        out.extend_from_slice(b"what follows");
        let record = Record::read(&out).unwrap();
        record.check_crc().unwrap();
        assert_eq!((record.topic, record.body), (new.topic, new.body));
        assert_eq!(record.properties.as_bytes(), new.properties.concat());
        assert_eq!((record.born_host, record.store_host), (new.born_host, new.store_host));
        assert_eq!((record.queue, record.flag, record.reconsume_times), (3, 7, 2));
        assert_eq!((record.born_timestamp_ms, record.prepared_transaction_offset), (1_700_000_000_123, -1));
        assert_eq!(record.sys_flag & 0xF, 1);
    }

    #[test]
    fn records_of_every_shape() {
        let long = "t".repeat(200);
        for topic in ["T", &long] {
            for (born, store) in
                [("1.2.3.4:5", "6.7.8.9:65535"), ("[2001:db8::1]:5", "6.7.8.9:1"), ("1.1.1.1:1", "[::1]:2")]
            {
                check(&new(topic, b"hello", &[b"a\x01b\x02", b"c\x01d\x02"], born, store));
            }
        }
        check(&new("T", b"", &[], "1.2.3.4:5", "1.2.3.4:5"));
    }

    #[test]
    fn torn_and_foreign_bytes_are_errors() {
        let mut out = Vec::new();
        new("T", b"hello", &[], "1.2.3.4:5", "1.2.3.4:5").encode(&mut out);
        for length in 0..out.len() {
            assert!(Record::read(&out[..length]).is_err());
        }
        out[4] = 0;
        assert!(matches!(Record::read(&out), Err(RecordError::Magic(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_record_or_an_error(mut bytes: Vec<u8>, magic: bool) {
            if magic && bytes.len() > 8 {
                bytes[4..8].copy_from_slice(&MAGIC_V1.to_be_bytes());
                let size = bytes.len() as u32;
                bytes[0..4].copy_from_slice(&size.to_be_bytes());
            }
            if let Ok(record) = Record::read(&bytes) {
                let _ = record.check_crc();
            }
        }

        #[test]
        fn what_is_written_is_read(body: Vec<u8>, topic in "[a-zA-Z0-9_-]{1,255}", properties in "[a-z\u{1}\u{2}]{0,300}") {
            check(&new(&topic, &body, &[properties.as_bytes()], "1.2.3.4:5", "[::1]:6"));
        }
    }
}
