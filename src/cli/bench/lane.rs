//! Requests under way on one connection.

use super::frame::OPAQUE_FIRST;

/// Low bits of an opaque that name the slot; the 14 above tell one use of a slot from the next.
const SLOT_BITS: u32 = 16;
const SERIAL_MASK: u32 = (1 << 14) - 1;

/// One connection's slots. An opaque leads to its slot without a search.
#[derive(Debug)]
pub struct Lane {
    slots: Vec<Slot>,
    free: Vec<u16>,
    serial: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// 0 while the slot is free.
    opaque: u32,
    since: u64,
}

/// A request that has been answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    pub slot: usize,
    /// What was given to [`Lane::take`].
    pub since: u64,
}

impl Lane {
    /// A lane of `in_flight` slots, which is from 1 to 65,536.
    pub fn new(in_flight: usize) -> Lane {
        assert!((1..=1 << SLOT_BITS).contains(&in_flight));
        Lane {
            slots: vec![Slot::default(); in_flight],
            // The last one is taken first: reversed, so that slots are used in order.
            free: (0..in_flight).rev().map(|slot| slot as u16).collect(),
            serial: 0,
        }
    }

    /// An opaque for a request that counts from `since` on; nothing while all slots are taken.
    #[inline]
    pub fn take(&mut self, since: u64) -> Option<u32> {
        let slot = self.free.pop()?;
        let serial = self.serial & SERIAL_MASK;
        self.serial = self.serial.wrapping_add(1);
        let opaque = OPAQUE_FIRST + (serial << SLOT_BITS | u32::from(slot));
        self.slots[usize::from(slot)] = Slot { opaque, since };
        Some(opaque)
    }

    /// The slot that the next [`Lane::take`] takes.
    pub fn next_slot(&self) -> Option<usize> {
        self.free.last().map(|slot| usize::from(*slot))
    }

    /// Frees the slot of `opaque`; nothing if no request under way has it.
    #[inline]
    pub fn settle(&mut self, opaque: u32) -> Option<Settled> {
        let number = opaque.wrapping_sub(OPAQUE_FIRST) & ((1 << SLOT_BITS) - 1);
        let slot = self.slots.get_mut(number as usize)?;
        if slot.opaque != opaque || opaque == 0 {
            return None;
        }
        slot.opaque = 0;
        self.free.push(number as u16);
        Some(Settled { slot: number as usize, since: slot.since })
    }

    /// Requests that wait for an answer.
    pub fn under_way(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opaque_is_settled_once() {
        let mut lane = Lane::new(2);
        let first = lane.take(10).unwrap();
        let second = lane.take(20).unwrap();
        assert_eq!(lane.take(30), None);
        assert_eq!(lane.settle(second), Some(Settled { slot: 1, since: 20 }));
        assert_eq!(lane.settle(second), None);
        assert_eq!(lane.settle(0), None);
        assert_eq!(lane.under_way(), 1);
        let third = lane.take(40).unwrap();
        assert_ne!(third, second);
        assert_eq!(lane.settle(first), Some(Settled { slot: 0, since: 10 }));
    }

    #[test]
    fn opaques_keep_ten_digits() {
        let mut lane = Lane::new(1 << 16);
        for _ in 0..200_000 {
            let opaque = lane.take(0).unwrap();
            assert!((1_000_000_000..2_147_483_648).contains(&opaque));
            lane.settle(opaque).unwrap();
        }
    }
}
