//! Which half messages of a queue have ended, as its op messages tell: a bit for each half message from where the check
//! begins. Pure.

use std::collections::{HashSet, VecDeque};

use crate::protocol::names::QueueOffset;

/// Half messages behind the first that are known at most: 8 MiB of bits.
const WINDOW_MAX: u64 = 64 * 1024 * 1024;
/// Ended half messages before the first that are remembered at most.
const LATE_MAX: usize = 1_000_000;
const WORD_BITS: u64 = 64;

/// One op message.
#[derive(Debug)]
struct Op {
    /// The last half message that it ends, of those that the check comes to.
    last: Option<QueueOffset>,
    /// It ends some that the check has passed.
    late: bool,
}

/// What the op messages that were read say.
#[derive(Debug)]
pub(super) struct Ended {
    from: QueueOffset,
    bits: Vec<u64>,
    /// Ended, and passed by an earlier check: their copies say so by the offset that they first had.
    late: HashSet<QueueOffset>,
    /// In the order of their queue, without gaps.
    ops: VecDeque<Op>,
    /// Offset of the first of `ops`.
    first_op: QueueOffset,
}

impl Ended {
    /// Nothing is known yet: half messages are looked at from `from` on, op messages are read from `first_op` on.
    pub(super) fn new(from: QueueOffset, first_op: QueueOffset) -> Self {
        Self { from, bits: Vec::new(), late: HashSet::new(), ops: VecDeque::new(), first_op }
    }

    /// The op message that is to be noted next.
    pub(super) fn next_op(&self) -> QueueOffset {
        self.first_op + self.ops.len() as u64
    }

    /// Notes the op message at [`Ended::next_op`]: offsets in a list with commas, as 5.1 and later write it, or a single
    /// one. What is no number is passed over; `None` is an op message that cannot be read.
    pub(super) fn note(&mut self, body: Option<&[u8]>) {
        let mut op = Op { last: None, late: false };
        let text = body.and_then(|body| std::str::from_utf8(body).ok()).unwrap_or_default();
        for offset in text.split(',').filter_map(|number| number.trim().parse::<u64>().ok()) {
            if offset < self.from {
                op.late |= self.late.len() < LATE_MAX && self.late.insert(offset);
            } else if offset - self.from < WINDOW_MAX {
                let (word, bit) = self.place(offset);
                if self.bits.len() <= word {
                    self.bits.resize(word + 1, 0);
                }
                self.bits[word] |= bit;
                op.last = op.last.max(Some(offset));
            }
        }
        self.ops.push_back(op);
    }

    fn place(&self, offset: QueueOffset) -> (usize, u64) {
        let at = offset - self.from;
        ((at / WORD_BITS) as usize, 1 << (at % WORD_BITS))
    }

    pub(super) fn contains(&self, offset: QueueOffset) -> bool {
        if offset < self.from {
            return self.late.contains(&offset);
        }
        let (word, bit) = self.place(offset);
        self.bits.get(word).is_some_and(|bits| bits & bit != 0)
    }

    /// The first op message that a later check needs, when this one came to `half`; `whole` when it saw all half messages
    /// that are old enough, and so all copies of late ones.
    pub(super) fn done_ops(&self, half: QueueOffset, whole: bool) -> QueueOffset {
        let done = |op: &&Op| op.last.is_none_or(|last| last < half) && (whole || !op.late);
        self.first_op + self.ops.iter().take_while(done).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_single_numbers_of_both_generations_are_read() {
        let mut ended = Ended::new(100, 7);
        for body in [&b"100,102,163,"[..], b"228", b"", b"x,,-1,99999999999999999999,101", b"\xff\xfe"] {
            ended.note(Some(body));
        }
        ended.note(None);
        let known: Vec<u64> = (100..300).filter(|offset| ended.contains(*offset)).collect();
        assert_eq!(known, [100, 101, 102, 163, 228]);
        assert_eq!(ended.next_op(), 13);
    }

    #[test]
    fn an_op_message_is_done_when_all_that_it_ends_is_passed_by() {
        let mut ended = Ended::new(100, 7);
        for body in ["100,101,", "105,", "102,", "3,", "400,"] {
            ended.note(Some(body.as_bytes()));
        }
        assert_eq!(ended.done_ops(100, true), 7);
        assert_eq!(ended.done_ops(103, true), 8, "105 is still to come");
        assert_eq!(ended.done_ops(106, true), 11, "3 was passed by an earlier check");
        assert_eq!(ended.done_ops(106, false), 10, "a copy of 3 may be further on");
        assert!(ended.contains(3) && !ended.contains(4));
    }

    #[test]
    fn no_number_makes_it_grow_without_bound() {
        let mut ended = Ended::new(5, 0);
        ended.note(Some(format!("{},{},{}", u64::MAX, 5 + WINDOW_MAX, 5 + 1_000_000).as_bytes()));
        assert!(ended.bits.len() * 8 < 200_000);
        assert!(ended.contains(1_000_005) && !ended.contains(u64::MAX));
        let million: String = (0..1_000_000).map(|offset| format!("{offset},")).collect();
        let mut ended = Ended::new(0, 0);
        ended.note(Some(million.as_bytes()));
        assert!(ended.bits.len() * 8 <= 125_008, "a bit for each");
    }
}
