//! The names of the properties that an expression asks for.

use super::node::Slot;

/// Names by slot, and a way from a name to its slot.
#[derive(Debug, Default, PartialEq)]
pub struct Names {
    list: Vec<Box<str>>,
    /// Slots by rising name.
    sorted: Vec<Slot>,
}

impl Names {
    /// Up to as many names one after the other is faster than halving.
    const FEW: usize = 8;

    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// The slot of `name`, a new one where it has none yet. The bound on terms keeps the number small.
    pub fn slot(&mut self, name: &str) -> Slot {
        let place = self.sorted.binary_search_by(|slot| (*self.list[usize::from(*slot)]).cmp(name));
        match place {
            Ok(place) => self.sorted[place],
            Err(place) => {
                let slot = self.list.len() as Slot;
                self.list.push(name.into());
                self.sorted.insert(place, slot);
                slot
            }
        }
    }

    #[inline]
    pub fn find(&self, name: &str) -> Option<usize> {
        if self.list.len() <= Self::FEW {
            return self.list.iter().position(|known| **known == *name);
        }
        let place = self.sorted.binary_search_by(|slot| (*self.list[usize::from(*slot)]).cmp(name)).ok()?;
        Some(usize::from(self.sorted[place]))
    }
}
