//! A stored message as a filter sees it: slices of its record, nothing copied.

use std::borrow::Cow;

use bytes::Bytes;

use crate::protocol::compression::{self, Compression};
use crate::protocol::properties;
use crate::protocol::record::{
    BORN_TIMESTAMP_AT, FLAG_COMPRESSED, Parts, QUEUE_AT, QUEUE_OFFSET_AT, begins_as_record, parts_in,
    store_timestamp_at, sys_flag_of,
};

/// A body is unpacked up to this size.
const PLAIN_BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A message. Cheap to clone; keeps its part of the log in memory for as long as it lives.
///
/// Nothing of it is read before somebody asks: most filters look at one part of most messages.
#[derive(Debug, Clone)]
pub struct MessageView {
    record: Bytes,
}

impl MessageView {
    /// The message in `record`; `None` where that is none.
    #[inline]
    #[must_use]
    pub fn read(record: Bytes) -> Option<Self> {
        begins_as_record(&record).then_some(Self { record })
    }

    /// Empty where lengths in the record point beyond it.
    fn parts(&self) -> Parts<'_> {
        parts_in(&self.record).unwrap_or_default()
    }

    fn number<const N: usize>(&self, at: usize) -> [u8; N] {
        self.record.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
    }

    fn sys_flag(&self) -> i32 {
        sys_flag_of(&self.record).unwrap_or_default()
    }

    fn properties_text(&self) -> &str {
        text(self.parts().properties)
    }

    #[must_use]
    pub fn topic(&self) -> &str {
        text(self.parts().topic)
    }

    #[must_use]
    pub fn queue(&self) -> u32 {
        u32::from_be_bytes(self.number(QUEUE_AT))
    }

    #[must_use]
    pub fn queue_offset(&self) -> u64 {
        u64::from_be_bytes(self.number(QUEUE_OFFSET_AT))
    }

    /// The message's tag, of which there is one.
    #[must_use]
    pub fn tags(&self) -> Option<&str> {
        self.property(properties::TAGS)
    }

    /// Names and values as they are stored, the producer's and the broker's.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &str)> {
        properties::pairs(self.properties_text())
    }

    #[must_use]
    pub fn property(&self, name: &str) -> Option<&str> {
        properties::value(self.properties_text(), name)
    }

    /// The body as it is stored, which may be compressed: see [`Self::plain_body`].
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.parts().body
    }

    /// The body as its producer wrote it; `None` where it was compressed and cannot be unpacked.
    #[must_use]
    pub fn plain_body(&self) -> Option<Cow<'_, [u8]>> {
        let sys_flag = self.sys_flag();
        if sys_flag & FLAG_COMPRESSED == 0 {
            return Some(Cow::Borrowed(self.body()));
        }
        let kind = Compression::of_sys_flag(sys_flag)?;
        compression::decompress(kind, self.body(), PLAIN_BODY_BYTES_MAX).ok().map(Cow::Owned)
    }

    /// The producer's clock, in milliseconds since 1970.
    #[must_use]
    pub fn born_timestamp_ms(&self) -> i64 {
        i64::from_be_bytes(self.number(BORN_TIMESTAMP_AT))
    }

    /// The broker's clock, in milliseconds since 1970.
    #[must_use]
    pub fn store_timestamp_ms(&self) -> i64 {
        i64::from_be_bytes(self.number(store_timestamp_at(self.sys_flag())))
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::record::{NewRecord, QUEUE_OFFSET_AT, Record};

    #[test]
    fn a_view_says_what_the_record_says() {
        for host in ["10.0.0.1:7", "[2001:db8::1]:7"] {
            for topic in ["T", "T".repeat(200).as_str()] {
                let new = NewRecord {
                    topic,
                    queue: 3,
                    flag: 0,
                    sys_flag: 0,
                    born_timestamp_ms: 1_700_000_000_123,
                    born_host: host.parse().unwrap(),
                    store_host: host.parse().unwrap(),
                    reconsume_times: 0,
                    prepared_transaction_offset: 0,
                    body: b"body",
                    properties: &[b"a\x011\x02TAGS\x01t\x02"],
                };
                let mut bytes = Vec::new();
                new.encode(&mut bytes);
                bytes[QUEUE_OFFSET_AT..QUEUE_OFFSET_AT + 8].copy_from_slice(&77u64.to_be_bytes());
                let stored = store_timestamp_at(new.stored_sys_flag());
                bytes[stored..stored + 8].copy_from_slice(&1_700_000_000_456i64.to_be_bytes());
                let record = Record::read(&bytes).unwrap();
                let view = MessageView::read(bytes.clone().into()).unwrap();
                assert_eq!((view.topic(), view.body(), view.queue()), (record.topic, record.body, record.queue));
                assert_eq!((view.queue_offset(), view.tags(), view.property("a")), (77, Some("t"), Some("1")));
                assert_eq!(view.born_timestamp_ms(), record.born_timestamp_ms);
                assert_eq!(view.store_timestamp_ms(), record.store_timestamp_ms);
                assert_eq!(view.plain_body().as_deref(), Some(&b"body"[..]));
                assert_eq!(view.properties().count(), 2);
            }
        }
    }

    #[test]
    fn what_is_no_record_is_no_message_and_what_is_torn_is_empty() {
        assert!(MessageView::read(Bytes::from_static(&[0; 200])).is_none());
        let mut bytes = vec![0xFF; 100];
        bytes[..4].copy_from_slice(&100u32.to_be_bytes());
        assert!(MessageView::read(bytes.clone().into()).is_none());
        bytes[4..8].copy_from_slice(&crate::protocol::record::MAGIC_V1.to_be_bytes());
        let torn = MessageView::read(bytes.clone().into()).unwrap();
        assert_eq!((torn.topic(), torn.body(), torn.tags(), torn.properties().count()), ("", &[][..], None, 0));
        bytes.pop();
        assert!(MessageView::read(bytes.into()).is_none());
    }
}
