//! What was done lately to half messages: nobody ends one twice, or while it is being moved. Pure, and bounded: what was
//! done long ago the op messages tell.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use super::messages::{EndError, Verdict};
use crate::protocol::names::{QueueId, QueueOffset};

/// Half messages of which it is known what was done to them.
const CLAIMS_MAX: usize = 200_000;
/// Copies of copies that are followed.
const HOPS_MAX: usize = 32;

/// A half message.
pub(super) type Half = (QueueId, QueueOffset);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// Its message is being committed.
    Ending,
    Ended(Verdict),
    Moving,
    /// Its place is taken by a copy.
    Moved(QueueOffset),
}

/// What became of the wish to end a half message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Granted {
    /// Now it, or this copy of it, ends.
    Now(Half),
    /// It ended so before.
    Before,
}

/// What became of the wish to move a half message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moving {
    Begun,
    /// It ended, or a copy is there.
    Needless,
    /// It may end, or not: ask again.
    UnderWay,
}

/// Has half messages that follow each other lie beside each other in a table, since they end about in their order. Offsets
/// are the broker's own: nobody can choose them so that many share a place.
#[derive(Debug, Default)]
struct InOrder(u64);

impl Hasher for InOrder {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u32(&mut self, queue: u32) {
        self.0 = self.0.wrapping_add(u64::from(queue) << 32);
    }

    fn write_u64(&mut self, offset: u64) {
        self.0 = self.0.wrapping_add(offset);
    }

    /// The low bits choose the place, the highest tell those of neighbouring places apart.
    fn finish(&self) -> u64 {
        self.0 ^ self.0 << 57
    }
}

/// By half message, the newest [`CLAIMS_MAX`].
#[derive(Debug, Default)]
pub(super) struct Claims {
    claims: HashMap<Half, Claim, BuildHasherDefault<InOrder>>,
    in_order: VecDeque<Half>,
}

impl Claims {
    /// Ends `half`, or the newest copy of it.
    pub(super) fn end(&mut self, half: Half, verdict: Verdict) -> Result<Granted, EndError> {
        let mut half = half;
        for _ in 0..HOPS_MAX {
            let claim = match self.claims.entry(half) {
                Entry::Vacant(place) => {
                    place.insert(if verdict == Verdict::Commit { Claim::Ending } else { Claim::Ended(verdict) });
                    self.came(half);
                    return Ok(Granted::Now(half));
                }
                Entry::Occupied(place) => *place.get(),
            };
            match claim {
                Claim::Ended(before) if before == verdict => return Ok(Granted::Before),
                Claim::Ended(before) => return Err(EndError::EndedOtherwise(before)),
                Claim::Moving | Claim::Ending => return Err(EndError::UnderWay),
                Claim::Moved(to) => half.1 = to,
            }
        }
        Err(EndError::UnderWay)
    }

    /// Its message is committed.
    pub(super) fn committed(&mut self, half: Half) {
        if let Some(claim) = self.claims.get_mut(&half) {
            *claim = Claim::Ended(Verdict::Commit);
        }
    }

    /// Nothing came of an end or of a move.
    pub(super) fn release(&mut self, half: Half) {
        self.claims.remove(&half);
    }

    /// Where `half` may be moved, nobody ends it from now on.
    pub(super) fn begin_move(&mut self, half: Half) -> Moving {
        match self.claims.get(&half) {
            None => {
                self.claims.insert(half, Claim::Moving);
                self.came(half);
                Moving::Begun
            }
            Some(Claim::Ended(_) | Claim::Moved(_)) => Moving::Needless,
            Some(Claim::Ending | Claim::Moving) => Moving::UnderWay,
        }
    }

    pub(super) fn moved(&mut self, half: Half, to: QueueOffset) {
        if let Some(claim) = self.claims.get_mut(&half) {
            *claim = Claim::Moved(to);
        }
    }

    /// Lets the oldest go where there are too many now.
    fn came(&mut self, half: Half) {
        self.in_order.push_back(half);
        while self.in_order.len() > CLAIMS_MAX {
            if let Some(oldest) = self.in_order.pop_front() {
                self.claims.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_message_ends_once() {
        let mut claims = Claims::default();
        assert_eq!(claims.end((0, 5), Verdict::Commit), Ok(Granted::Now((0, 5))));
        assert_eq!(claims.end((0, 5), Verdict::Commit), Err(EndError::UnderWay));
        assert_eq!(claims.begin_move((0, 5)), Moving::UnderWay);
        claims.committed((0, 5));
        assert_eq!(claims.end((0, 5), Verdict::Commit), Ok(Granted::Before));
        assert_eq!(claims.end((0, 5), Verdict::Rollback), Err(EndError::EndedOtherwise(Verdict::Commit)));
        assert_eq!(claims.begin_move((0, 5)), Moving::Needless, "what ended is not asked about");
        claims.release((0, 5));
        assert_eq!(claims.end((0, 5), Verdict::Rollback), Ok(Granted::Now((0, 5))));
    }

    #[test]
    fn a_late_end_reaches_the_newest_copy() {
        let mut claims = Claims::default();
        assert_eq!(claims.begin_move((0, 5)), Moving::Begun);
        assert_eq!(claims.end((0, 5), Verdict::Commit), Err(EndError::UnderWay));
        claims.moved((0, 5), 50);
        assert_eq!(claims.begin_move((0, 5)), Moving::Needless);
        assert_eq!(claims.begin_move((0, 50)), Moving::Begun);
        claims.moved((0, 50), 500);
        assert_eq!(claims.end((0, 5), Verdict::Commit), Ok(Granted::Now((0, 500))));
        claims.committed((0, 500));
        assert_eq!(claims.end((0, 50), Verdict::Commit), Ok(Granted::Before));
        assert_eq!(claims.begin_move((0, 500)), Moving::Needless);
    }

    #[test]
    fn only_the_newest_are_kept() {
        let mut claims = Claims::default();
        for round in 0..2 {
            for offset in 0..CLAIMS_MAX as u64 {
                let offset = offset + round * CLAIMS_MAX as u64;
                claims.end((0, offset), Verdict::Rollback).unwrap();
                if offset.is_multiple_of(3) {
                    claims.release((0, offset));
                }
            }
        }
        assert!(claims.claims.len() <= CLAIMS_MAX && claims.in_order.len() <= CLAIMS_MAX);
        assert_eq!(claims.end((0, 1), Verdict::Commit), Ok(Granted::Now((0, 1))), "forgotten");
    }
}
