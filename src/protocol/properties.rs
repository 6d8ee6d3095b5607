//! Properties of a message as text: `name 0x01 value 0x02`, repeated. Releases 4.9.1 to 5.1.4 leave the last 0x02 out;
//! both forms are read, the longer one is written. Source: RocketMQ's `MessageDecoder`.

use std::borrow::Cow;
use std::collections::HashMap;

/// Between a name and its value.
pub const NAME_END: u8 = 1;
/// After a value.
pub const PAIR_END: u8 = 2;
/// Longest properties text of a stored message, in bytes.
pub const PROPERTIES_BYTES_MAX: usize = i16::MAX as usize;

pub const KEYS: &str = "KEYS";
pub const TAGS: &str = "TAGS";
pub const UNIQ_KEY: &str = "UNIQ_KEY";
pub const WAIT: &str = "WAIT";
pub const DELAY: &str = "DELAY";
pub const TRAN_MSG: &str = "TRAN_MSG";
/// Whose transaction a half message is.
pub const PRODUCER_GROUP: &str = "PGROUP";
pub const POP_CK: &str = "POP_CK";
pub const REAL_TOPIC: &str = "REAL_TOPIC";
pub const REAL_QUEUE_ID: &str = "REAL_QID";
pub const RETRY_TOPIC: &str = "RETRY_TOPIC";
pub const ORIGIN_MESSAGE_ID: &str = "ORIGIN_MESSAGE_ID";
pub const MSG_REGION: &str = "MSG_REGION";
pub const TRACE_ON: &str = "TRACE_ON";
pub const CLUSTER: &str = "CLUSTER";
pub const MSG_TYPE: &str = "MSG_TYPE";
/// Of a reply: the id of the client that asked.
pub const REPLY_TO_CLIENT: &str = "REPLY_TO_CLIENT";
/// Of a request and its reply: what tells them apart from others.
pub const CORRELATION_ID: &str = "CORRELATION_ID";
/// Of a request: how long its sender waits, in ms.
pub const TTL: &str = "TTL";
/// Of a reply: when the broker handed it to the client that asked, ms since 1970.
pub const PUSH_REPLY_TIME: &str = "PUSH_REPLY_TIME";
/// Of a reply: when it came to the client that asked, ms since 1970.
pub const ARRIVE_TIME: &str = "ARRIVE_TIME";
/// Value of [`MSG_TYPE`] of a reply.
pub const REPLY: &str = "reply";
pub const INNER_NUM: &str = "INNER_NUM";
pub const TIMER_PREFIX: &str = "TIMER_";
/// Each of these asks for a timer.
pub const TIMERS: [&str; 3] = ["TIMER_DELAY_SEC", "TIMER_DELAY_MS", "TIMER_DELIVER_MS"];

/// The pairs of `text` in order. A pair without a name, a value or a separator is passed over, as RocketMQ does.
pub fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let bytes = text.as_bytes();
    let mut start = 0;
    std::iter::from_fn(move || {
        while start < bytes.len() {
            let name_start = start;
            let name_end = next_of([NAME_END, PAIR_END], bytes, name_start);
            if bytes.get(name_end) != Some(&NAME_END) {
                start = name_end + 1;
                continue;
            }
            let end = next_of([PAIR_END; 2], bytes, name_end + 1);
            start = end + 1;
            if name_end > name_start && end > name_end + 1 {
                return text.get(name_start..name_end).zip(text.get(name_end + 1..end));
            }
        }
        None
    })
}

/// Where the next of two bytes lies from `start` on, or the end. Names and values are a few characters long: a search that
/// has to be set up costs more than these steps of eight.
#[inline]
fn next_of(wanted: [u8; 2], bytes: &[u8], start: usize) -> usize {
    const ONES: u64 = u64::MAX / 255;
    let [a, b] = wanted.map(|byte| u64::from(byte) * ONES);
    let (eights, rest) = bytes.get(start..).unwrap_or_default().as_chunks::<8>();
    let mut at = start;
    for eight in eights {
        let text = u64::from_le_bytes(*eight);
        let (a, b) = (text ^ a, text ^ b);
        // The lowest bit that is set belongs to the first byte that became zero; those above it may be wrong.
        let found = ((a.wrapping_sub(ONES) & !a) | (b.wrapping_sub(ONES) & !b)) & (ONES << 7);
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at + rest.iter().position(|byte| wanted.contains(byte)).unwrap_or(rest.len())
}

/// The value of one property.
#[must_use]
pub fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    pairs(text).find(|(n, _)| *n == name).map(|(_, v)| v)
}

/// Appends one pair.
pub fn push(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.push(NAME_END);
    out.extend_from_slice(value.as_bytes());
    out.push(PAIR_END);
}

/// Appends one pair to a text.
pub fn push_text(out: &mut String, name: &str, value: &str) {
    out.push_str(name);
    out.push(char::from(NAME_END));
    out.push_str(value);
    out.push(char::from(PAIR_END));
}

/// Properties that are being changed: each name once, in the order in which they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Properties<'a> {
    /// Of a name that stands there twice the last value counts, as for RocketMQ.
    #[must_use]
    pub fn read(text: &'a str) -> Self {
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut all: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::new();
        for (name, value) in pairs(text) {
            match places.get(name) {
                Some(place) => all[*place].1 = value.into(),
                None => {
                    places.insert(name, all.len());
                    all.push((name.into(), value.into()));
                }
            }
        }
        Self(all)
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_ref())
    }

    /// Gives a property this value in place of what it had.
    pub fn set(&mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(n, _)| *n == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(n, _)| n != name);
    }

    /// As they are stored. Their number is bounded by the length of the text that they were read from.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = Vec::new();
        self.0.iter().for_each(|(name, value)| push(&mut out, name, value));
        String::from_utf8(out).unwrap_or_default()
    }
}

/// What a broker has to know of a message's properties, found in one pass.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Seen<'a> {
    pub unique_key: Option<&'a str>,
    pub keys: Option<&'a str>,
    pub tags: Option<&'a str>,
    /// False when the sender does not wait for the disk.
    pub wait: bool,
    /// The delay level as text, whatever it says.
    pub level: Option<&'a str>,
    /// The sender asks for a timer.
    pub timer: bool,
    /// The sender asks for a transaction.
    pub half: bool,
    /// The text holds a receipt of another broker that must not be stored.
    pub pop_receipt: bool,
}

impl<'a> Seen<'a> {
    /// Of a message without properties.
    #[must_use]
    pub fn nothing() -> Self {
        Self { wait: true, ..Self::default() }
    }

    /// Takes one pair into account. Inlined, for it is called for each property of each message.
    #[inline(always)]
    pub fn see(&mut self, name: &str, value: &'a str) {
        match name {
            UNIQ_KEY => self.unique_key = Some(value),
            KEYS => self.keys = Some(value),
            TAGS => self.tags = Some(value),
            WAIT => self.wait = !value.eq_ignore_ascii_case("false"),
            DELAY => self.level = Some(value),
            TRAN_MSG => self.half = value.eq_ignore_ascii_case("true"),
            POP_CK => self.pop_receipt = true,
            _ => self.timer |= TIMERS.contains(&name),
        }
    }
}

/// Reads what matters out of `text`.
#[must_use]
pub fn scan(text: &str) -> Seen<'_> {
    let mut seen = Seen::nothing();
    for (name, value) in pairs(text) {
        seen.see(name, value);
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_endings_and_torn_pairs() {
        let list: Vec<_> = pairs("a\u{1}1\u{2}b\u{1}\u{2}\u{1}x\u{2}junk\u{2}c\u{1}3").collect();
        assert_eq!(list, [("a", "1"), ("c", "3")]);
        assert_eq!(value("a\u{1}1\u{2}", "a"), Some("1"));
    }

    #[test]
    fn changed_properties_keep_their_order_and_each_name_once() {
        let mut all = Properties::read("a\u{1}1\u{2}b\u{1}2\u{2}a\u{1}3\u{2}");
        assert_eq!((all.get("a"), all.get("c")), (Some("3"), None));
        all.set("c", 4.to_string());
        all.set("b", "5");
        all.remove("a");
        assert_eq!(all.text(), "b\u{1}5\u{2}c\u{1}4\u{2}");
    }

    #[test]
    fn one_pass_finds_what_matters() {
        let seen = scan("TAGS\u{1}t\u{2}WAIT\u{1}false\u{2}UNIQ_KEY\u{1}u\u{2}KEYS\u{1}a b\u{2}DELAY\u{1}0");
        let (unique_key, keys, tags) = (Some("u"), Some("a b"), Some("t"));
        assert_eq!(seen, Seen { unique_key, keys, tags, level: Some("0"), ..Seen::default() });
        assert!(scan("TIMER_DELAY_MS\u{1}5").timer && scan("TRAN_MSG\u{1}true").half);
        assert!(!scan("TIMER_OUT_MS\u{1}5\u{2}DELAY\u{1}3").timer);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text: String) {
            let _ = scan(&text);
        }

        #[test]
        fn pairs_are_what_lies_between_the_ends(text in "[ab\u{1}\u{2}é]{0,60}") {
            let split = text.split('\u{2}').filter_map(|pair| pair.split_once('\u{1}'));
            let whole = split.filter(|(name, value)| !name.is_empty() && !value.is_empty());
            proptest::prop_assert_eq!(pairs(&text).collect::<Vec<_>>(), whole.collect::<Vec<_>>());
        }
    }
}
