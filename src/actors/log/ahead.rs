//! How many ConsumeQueue entries are in memory, between the CommitLog writer and the queues' files.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the entries of all queues that are on their way to the files. Shared by whoever adds or takes.
#[derive(Debug, Clone)]
pub struct Ahead(Arc<Count>);

#[derive(Debug)]
struct Count {
    entries: AtomicUsize,
    max: usize,
}

impl Ahead {
    /// A count with a bound, in entries.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self(Arc::new(Count { entries: AtomicUsize::new(0), max }))
    }

    /// So many entries were told to the queues. Each of them is to end in a [`Share`], or in [`Ahead::less`].
    pub fn more(&self, entries: usize) {
        self.0.entries.fetch_add(entries, Ordering::Relaxed);
    }

    /// So many entries are in their files, or nobody's.
    pub fn less(&self, entries: usize) {
        self.0.entries.fetch_sub(entries, Ordering::Relaxed);
    }

    /// Nobody may tell the queues more now.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.entries.load(Ordering::Relaxed) >= self.0.max
    }

    /// There is room again, well below the bound.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.0.entries.load(Ordering::Relaxed) < self.0.max.div_ceil(2)
    }

    /// The bound, entries.
    #[must_use]
    pub fn max(&self) -> usize {
        self.0.max
    }
}

/// Entries that were counted and that somebody holds: the count goes down when they are let go.
#[derive(Debug)]
pub struct Share {
    ahead: Ahead,
    entries: usize,
}

impl Share {
    /// Takes over `entries` that [`Ahead::more`] counted.
    #[must_use]
    pub fn of(ahead: &Ahead, entries: usize) -> Self {
        Self { ahead: ahead.clone(), entries }
    }

    /// A share of the same count that holds nothing yet.
    #[must_use]
    pub fn none(&self) -> Self {
        Self::of(&self.ahead, 0)
    }

    /// One more entry that was counted is held with these.
    pub fn grow(&mut self) {
        self.entries += 1;
    }

    /// The other's entries are held with these.
    pub fn absorb(&mut self, mut other: Share) {
        self.entries += std::mem::take(&mut other.entries);
    }

    /// So many of them are not held any more.
    pub fn release(&mut self, entries: usize) {
        let gone = entries.min(self.entries);
        self.entries -= gone;
        self.ahead.less(gone);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.ahead.less(self.entries);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_let_go_makes_room() {
        let ahead = Ahead::new(10);
        ahead.more(10);
        let (mut held, other) = (Share::of(&ahead, 4), Share::of(&ahead, 5));
        held.grow();
        assert!(ahead.is_full());
        held.absorb(other);
        held.release(5);
        assert!(!ahead.is_full() && !ahead.has_room());
        held.release(1);
        assert!(ahead.has_room());
        drop(held);
        assert_eq!(ahead.0.entries.load(Ordering::Relaxed), 0);
    }
}
