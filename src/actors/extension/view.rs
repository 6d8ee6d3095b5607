//! Stored messages as a filter sees them: where their records lie in parts of the log, nothing copied, nothing counted for
//! each.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::protocol::compression::{self, Compression};
use crate::protocol::names::{LogOffset, QueueOffset};
use crate::protocol::properties;
use crate::protocol::record::{
    BORN_TIMESTAMP_AT, FLAG_COMPRESSED, Parts, QUEUE_AT, parts_in, store_timestamp_at, sys_flag_of,
};

/// A body is unpacked up to this size.
const PLAIN_BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Messages of one queue, in its order. Cheap to clone; keeps their parts of the log in memory for as long as it lives.
#[derive(Clone, Default)]
pub struct Messages(Arc<Found>);

impl Messages {
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.places.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.places.is_empty()
    }

    /// `None` beyond the end.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<MessageView<'_>> {
        self.place(index).map(|place| MessageView { found: &self.0, place })
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = MessageView<'_>> {
        self.0.places.iter().map(|place| MessageView { found: &self.0, place })
    }

    /// Where a message lies; `None` beyond the end.
    #[must_use]
    pub(in crate::actors) fn place(&self, index: usize) -> Option<&Place> {
        self.0.places.get(index)
    }
}

impl From<Found> for Messages {
    fn from(found: Found) -> Self {
        Self(Arc::new(found))
    }
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Messages({})", self.len())
    }
}

/// Where records were found that a filter is to see.
#[derive(Default)]
pub struct Found {
    /// With where in the log they begin.
    parts: Vec<(LogOffset, Bytes)>,
    places: Vec<Place>,
}

/// A message's place in its queue and in the log, there in the part of that number.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub offset: QueueOffset,
    pub at: LogOffset,
    pub size: u32,
    pub part: u32,
}

impl Found {
    /// Adds a part of the log in which records lie, which begins at `from`; returns its number.
    pub fn add_part(&mut self, from: LogOffset, part: Bytes) -> u32 {
        self.parts.push((from, part));
        self.parts.len() as u32 - 1
    }

    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    #[inline]
    pub fn push(&mut self, place: Place) {
        self.places.push(place);
    }

    pub fn reserve(&mut self, messages: usize) {
        self.places.reserve(messages);
    }

    /// Empty where the part does not reach so far.
    #[inline]
    #[must_use]
    pub fn record(&self, place: &Place) -> &[u8] {
        let Some((from, part)) = self.parts.get(place.part as usize) else { return &[] };
        let rest = part.get(place.at.wrapping_sub(*from) as usize..);
        rest.and_then(|rest| rest.get(..place.size as usize)).unwrap_or_default()
    }

    /// The same bytes, free of this.
    fn slice(&self, place: &Place) -> Option<Bytes> {
        let (_, part) = self.parts.get(place.part as usize)?;
        let bytes = self.record(place);
        (!bytes.is_empty()).then(|| part.slice_ref(bytes))
    }
}

impl Messages {
    /// The records of the messages of these numbers, which ascend; neighbours are joined.
    #[must_use]
    pub fn records(&self, chosen: &[usize]) -> Vec<Bytes> {
        let mut runs: Vec<Place> = Vec::new();
        for place in chosen.iter().filter_map(|index| self.place(*index)) {
            match runs.last_mut() {
                Some(run) if run.part == place.part && run.at + u64::from(run.size) == place.at => {
                    run.size += place.size
                }
                _ => runs.push(*place),
            }
        }
        runs.iter().filter_map(|run| self.0.slice(run)).collect()
    }
}

/// A message. Nothing of it is read before somebody asks: most filters look at one part of most messages.
#[derive(Clone, Copy)]
pub struct MessageView<'a> {
    found: &'a Found,
    place: &'a Place,
}

impl fmt::Debug for MessageView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageView({:?})", self.place)
    }
}

impl<'a> MessageView<'a> {
    #[inline]
    fn record(&self) -> &'a [u8] {
        self.found.record(self.place)
    }

    /// Empty where lengths in the record point beyond it.
    fn parts(&self) -> Parts<'a> {
        parts_in(self.record()).unwrap_or_default()
    }

    fn number<const N: usize>(&self, at: usize) -> [u8; N] {
        self.record().get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
    }

    fn sys_flag(&self) -> i32 {
        sys_flag_of(self.record()).unwrap_or_default()
    }

    fn properties_text(&self) -> &'a str {
        text(self.parts().properties)
    }

    #[must_use]
    pub fn topic(&self) -> &'a str {
        text(self.parts().topic)
    }

    #[must_use]
    pub fn queue(&self) -> u32 {
        u32::from_be_bytes(self.number(QUEUE_AT))
    }

    /// Known without a look at the message.
    #[inline]
    #[must_use]
    pub fn queue_offset(&self) -> u64 {
        self.place.offset
    }

    /// The message's tag, of which there is one.
    #[must_use]
    pub fn tags(&self) -> Option<&'a str> {
        self.property(properties::TAGS)
    }

    /// Names and values as they are stored, the producer's and the broker's.
    pub fn properties(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        properties::pairs(self.properties_text())
    }

    #[must_use]
    pub fn property(&self, name: &str) -> Option<&'a str> {
        properties::value(self.properties_text(), name)
    }

    /// The body as it is stored, which may be compressed: see [`Self::plain_body`].
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.parts().body
    }

    /// The body as its producer wrote it; `None` where it was compressed and cannot be unpacked.
    #[must_use]
    pub fn plain_body(&self) -> Option<Cow<'a, [u8]>> {
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
    use crate::protocol::record::{NewRecord, Record};

    /// The one message of `bytes`, which lie in the middle of the log.
    fn alone(bytes: Vec<u8>) -> Messages {
        let (mut found, size) = (Found::default(), bytes.len() as u32);
        let part = found.add_part(1_000, Bytes::from(bytes));
        found.push(Place { offset: 77, at: 1_000, size, part });
        found.into()
    }

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
                let stored = store_timestamp_at(new.stored_sys_flag());
                bytes[stored..stored + 8].copy_from_slice(&1_700_000_000_456i64.to_be_bytes());
                let record = Record::read(&bytes).unwrap();
                let messages = alone(bytes.clone());
                let view = messages.get(0).unwrap();
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
    fn what_is_torn_is_empty() {
        for bytes in [vec![0xFF; 100], vec![0; 200], Vec::new()] {
            let messages = alone(bytes);
            let torn = messages.get(0).unwrap();
            assert_eq!((torn.topic(), torn.body(), torn.tags(), torn.properties().count()), ("", &[][..], None, 0));
        }
    }

    #[test]
    fn records_are_joined_where_they_are_neighbours_in_a_part() {
        let mut found = Found::default();
        let one = found.add_part(100, Bytes::from_static(b"aabbbc-dd"));
        let other = found.add_part(109, Bytes::from_static(b"ee"));
        for (part, at, size) in [(one, 100, 2), (one, 102, 3), (one, 105, 1), (one, 107, 2), (other, 109, 2)] {
            found.push(Place { offset: at, part, at, size });
        }
        let messages = Messages::from(found);
        assert_eq!((messages.len(), messages.iter().len(), messages.get(1).unwrap().record()), (5, 5, &b"bbb"[..]));
        assert!(messages.get(5).is_none());
        for (at, size) in [(99, 1), (108, 2), (u64::MAX, 1), (0, u32::MAX)] {
            assert_eq!(messages.0.record(&Place { offset: 0, part: one, at, size }), b"", "beyond its part");
        }
        assert_eq!(messages.records(&[0, 1, 2, 3, 4]), ["aabbbc", "dd", "ee"]);
        assert_eq!(messages.records(&[0, 2]), ["aa", "c"]);
        assert!(messages.records(&[]).is_empty());
    }
}
