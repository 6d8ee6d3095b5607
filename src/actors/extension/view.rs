//! A stored message as a filter sees it: slices of its record, nothing copied.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use crate::protocol::compression::{self, Compression};
use crate::protocol::properties;
use crate::protocol::record::{FLAG_COMPRESSED, Record};

/// A body is unpacked up to this size.
const PLAIN_BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A message. Cheap to clone; keeps its part of the log in memory for as long as it lives.
#[derive(Debug, Clone)]
pub struct MessageView {
    record: Bytes,
    topic: Range<usize>,
    properties: Range<usize>,
    body: Range<usize>,
    queue: u32,
    queue_offset: u64,
    sys_flag: i32,
    born_timestamp_ms: i64,
    store_timestamp_ms: i64,
}

impl MessageView {
    /// The message in `record`; `None` where that is none.
    #[must_use]
    pub fn read(record: Bytes) -> Option<Self> {
        let read = Record::read(&record).ok()?;
        let range = |part: &[u8]| {
            let start = (part.as_ptr() as usize).saturating_sub(record.as_ptr() as usize);
            start..start + part.len()
        };
        let (topic, properties) = (range(read.topic.as_bytes()), range(read.properties.as_bytes()));
        let body = range(read.body);
        let Record { queue, queue_offset, sys_flag, born_timestamp_ms, store_timestamp_ms, .. } = read;
        Some(Self {
            topic,
            properties,
            body,
            queue,
            queue_offset,
            sys_flag,
            born_timestamp_ms,
            store_timestamp_ms,
            record,
        })
    }

    fn text(&self, range: &Range<usize>) -> &str {
        let bytes = self.record.get(range.clone()).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    #[must_use]
    pub fn topic(&self) -> &str {
        self.text(&self.topic)
    }

    #[must_use]
    pub fn queue(&self) -> u32 {
        self.queue
    }

    #[must_use]
    pub fn queue_offset(&self) -> u64 {
        self.queue_offset
    }

    /// The message's tag, of which there is one.
    #[must_use]
    pub fn tags(&self) -> Option<&str> {
        self.property(properties::TAGS)
    }

    /// Names and values as they are stored, the producer's and the broker's.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &str)> {
        properties::pairs(self.text(&self.properties))
    }

    #[must_use]
    pub fn property(&self, name: &str) -> Option<&str> {
        properties::value(self.text(&self.properties), name)
    }

    /// The body as it is stored, which may be compressed: see [`Self::plain_body`].
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.record.get(self.body.clone()).unwrap_or_default()
    }

    /// The body as its producer wrote it; `None` where it was compressed and cannot be unpacked.
    #[must_use]
    pub fn plain_body(&self) -> Option<Cow<'_, [u8]>> {
        if self.sys_flag & FLAG_COMPRESSED == 0 {
            return Some(Cow::Borrowed(self.body()));
        }
        let kind = Compression::of_sys_flag(self.sys_flag)?;
        compression::decompress(kind, self.body(), PLAIN_BODY_BYTES_MAX).ok().map(Cow::Owned)
    }

    /// The producer's clock, in milliseconds since 1970.
    #[must_use]
    pub fn born_timestamp_ms(&self) -> i64 {
        self.born_timestamp_ms
    }

    /// The broker's clock, in milliseconds since 1970.
    #[must_use]
    pub fn store_timestamp_ms(&self) -> i64 {
        self.store_timestamp_ms
    }
}
