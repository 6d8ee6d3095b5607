//! How many messages a custom filter is asked about at a time: about as many as hold what its pull wants.
//!
//! Where all are let through, each is asked about once; where one in a thousand is, batches are as large as they may be.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::actors::extension::FilterUse;

/// Messages in one batch to a custom filter at most.
pub(super) const BATCH_MESSAGES_MAX: usize = 4_096;
/// Bytes of messages in one batch; the first always fits.
pub(super) const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Users of filters whose pace a queue remembers.
const REMEMBERED_MAX: usize = 16;

/// So many messages, and bytes of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Portion {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

/// How much of what it was asked about a filter let through lately.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    asked: f64,
    wanted: f64,
}

/// One in two, until more is known.
pub(super) const UNKNOWN: Pace = Pace { asked: 64.0, wanted: 32.0 };

impl Pace {
    fn learn(&mut self, asked: usize, wanted: usize) {
        // What is older counts half as much with each batch.
        self.asked = self.asked / 2.0 + asked as f64;
        self.wanted = self.wanted / 2.0 + wanted as f64;
    }

    /// What to ask about for a pull that has room for `room`.
    pub(super) fn portion(&self, room: Portion) -> Portion {
        let room_messages = room.messages.max(1) as f64;
        let each = (self.asked / self.wanted.max(0.5)).max(1.0);
        // Half a standard deviation more than the mean, for one batch more costs about what these cost.
        let messages = room_messages * each + (room_messages * each * (each - 1.0)).sqrt() / 2.0;
        let bytes = room.bytes as f64 * messages / room_messages;
        Portion {
            messages: (messages.ceil() as usize).min(BATCH_MESSAGES_MAX),
            bytes: (bytes.ceil() as usize).min(BATCH_BYTES_MAX),
        }
    }
}

/// The paces of those who pull from one queue by a filter, by hashes of who they are.
#[derive(Debug, Default)]
pub(super) struct Paces(Vec<(u64, Pace)>);

impl Paces {
    pub(super) fn of(&self, used: &FilterUse) -> Pace {
        let key = key(used);
        self.0.iter().find(|(known, _)| *known == key).map_or(UNKNOWN, |(_, pace)| *pace)
    }

    pub(super) fn learn(&mut self, used: &FilterUse, asked: usize, wanted: usize) {
        let key = key(used);
        let at = self.0.iter().position(|(known, _)| *known == key);
        let mut pace = at.map_or(UNKNOWN, |at| self.0.remove(at).1);
        pace.learn(asked, wanted);
        if self.0.len() >= REMEMBERED_MAX {
            self.0.remove(0);
        }
        self.0.push((key, pace));
    }
}

/// Two of the same key would only ask for too much or too little.
fn key(used: &FilterUse) -> u64 {
    let mut hasher = DefaultHasher::new();
    (used.filter.name(), &used.group, &used.expression).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Portion = Portion { messages: 32, bytes: 256 * 1024 };

    fn after(batches: impl IntoIterator<Item = (usize, usize)>) -> Pace {
        let mut pace = UNKNOWN;
        batches.into_iter().for_each(|(asked, wanted)| pace.learn(asked, wanted));
        pace
    }

    #[test]
    fn batches_begin_small_and_fit_what_the_filter_lets_through() {
        assert!((64..80).contains(&UNKNOWN.portion(ROOM).messages));
        let all = after([(68, 68), (36, 36), (34, 34), (33, 33), (32, 32), (32, 32)]);
        assert!((32..34).contains(&all.portion(ROOM).messages), "{:?}", all.portion(ROOM));
        assert!(all.portion(ROOM).bytes < 270 * 1024);
        let tenth = after([(320, 32); 10]);
        assert!((320..360).contains(&tenth.portion(ROOM).messages), "{:?}", tenth.portion(ROOM));
        // The last few of a pull.
        assert!((20..35).contains(&tenth.portion(Portion { messages: 2, bytes: 100_000 }).messages));
    }

    #[test]
    fn batches_grow_where_nothing_matches_and_are_bounded() {
        let (mut pace, mut sizes) = (UNKNOWN, Vec::new());
        for _ in 0..8 {
            let portion = pace.portion(ROOM);
            sizes.push(portion.messages);
            pace.learn(portion.messages, 0);
        }
        assert!(sizes.is_sorted() && sizes[1] < 512, "{sizes:?}");
        let most = Portion { messages: BATCH_MESSAGES_MAX, bytes: BATCH_BYTES_MAX };
        assert_eq!(pace.portion(ROOM), most);
        // And shrink as soon as there is something.
        pace.learn(BATCH_MESSAGES_MAX, BATCH_MESSAGES_MAX);
        assert!(pace.portion(ROOM).messages < 100);
        assert_eq!(after([(0, 0); 100]).portion(Portion { messages: 0, bytes: 0 }).bytes, 0);
    }
}
