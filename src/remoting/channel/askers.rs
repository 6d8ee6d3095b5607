//! Those who wait for answers, each at the place that its request's opaque names.
//!
//! Opaques are given in order, so in a ring twice as long as those who wait are many nearly every one finds its place free,
//! and those of one turn lie side by side. An answer lies at its asker's place until that one fetches it.

use std::fmt;
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use super::shared::Reply;

/// Places of the shortest ring; a power of two.
const PLACES_MIN: usize = 16;

/// What is done with an answer where nobody waits for it; `None` when there will be none.
pub(super) type Word = Box<dyn FnOnce(Option<Reply>) + Send>;

/// All who wait.
#[derive(Debug, Default)]
pub(super) struct Askers {
    /// As long as a power of two, or empty; an opaque's place is its low bits.
    ring: Vec<Option<Asker>>,
    count: usize,
    /// Of these, those whose answers lie here.
    unfetched: usize,
    next_opaque: i32,
}

#[derive(Debug)]
struct Asker {
    opaque: i32,
    gives_up: Instant,
    ear: Ear,
}

/// How an asker hears of its answer.
pub(super) enum Ear {
    /// It has not looked yet.
    None,
    Waker(Waker),
    Word(Word),
    /// It has heard, and will fetch it.
    Answer(Reply),
}

impl fmt::Debug for Ear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ear::None => "None",
            Ear::Waker(_) => "Waker",
            Ear::Word(_) => "Word",
            Ear::Answer(_) => "Answer",
        })
    }
}

/// What is left to do for an asker once the lock is released.
pub(super) enum Told {
    Wake(Waker),
    Tell(Word, Option<Reply>),
}

impl Askers {
    /// How many wait, or have not fetched their answers.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// How many have heard and will fetch their answers.
    pub(super) fn unfetched(&self) -> usize {
        self.unfetched
    }

    /// An opaque that nobody who waits has.
    pub(super) fn free_opaque(&mut self) -> i32 {
        if self.count * 2 >= self.ring.len() {
            self.grow();
        }
        loop {
            let opaque = self.next_opaque;
            self.next_opaque = self.next_opaque.wrapping_add(1) & i32::MAX;
            if matches!(self.place(opaque), Some(None)) {
                return opaque;
            }
        }
    }

    /// Somebody waits for the answer to `opaque`, which was free just now.
    pub(super) fn add(&mut self, opaque: i32, gives_up: Instant, ear: Ear) {
        if let Some(place) = self.place(opaque) {
            debug_assert!(place.is_none(), "an opaque that is not free");
            *place = Some(Asker { opaque, gives_up, ear });
            self.count += 1;
        }
    }

    /// The answer to `opaque` if it is there, `None` if there will be none any more; else whoever polls is woken later. What
    /// is in `old` then is to be dropped without the lock, which the drop may want.
    pub(super) fn fetch(&mut self, opaque: i32, cx: &Context<'_>, old: &mut Ear) -> Poll<Option<Reply>> {
        let Some(asker) = self.asker(opaque) else {
            return Poll::Ready(None);
        };
        match &asker.ear {
            Ear::Answer(_) => match self.forget(opaque) {
                Some(Ear::Answer(reply)) => Poll::Ready(Some(reply)),
                _ => Poll::Ready(None),
            },
            Ear::Waker(waker) if waker.will_wake(cx.waker()) => Poll::Pending,
            _ => {
                *old = std::mem::replace(&mut asker.ear, Ear::Waker(cx.waker().clone()));
                Poll::Pending
            }
        }
    }

    /// Nobody waits for the answer to `opaque` any more. What comes back is to be dropped without the lock.
    pub(super) fn forget(&mut self, opaque: i32) -> Option<Ear> {
        self.asker(opaque)?;
        Some(self.take(opaque)?.ear)
    }

    /// An answer came. Nothing is done where nobody waits for it.
    pub(super) fn settle(&mut self, opaque: i32, reply: Reply) -> Option<Told> {
        let asker = self.asker(opaque)?;
        match std::mem::replace(&mut asker.ear, Ear::None) {
            Ear::None => {
                asker.ear = Ear::Answer(reply);
                self.unfetched += 1;
                None
            }
            Ear::Waker(waker) => {
                asker.ear = Ear::Answer(reply);
                self.unfetched += 1;
                Some(Told::Wake(waker))
            }
            Ear::Word(word) => {
                drop(self.take(opaque));
                Some(Told::Tell(word, Some(reply)))
            }
            // Whoever answers twice is heard once.
            first @ Ear::Answer(_) => {
                asker.ear = first;
                None
            }
        }
    }

    /// Those who gave up by `now` wait no more; when the next will.
    pub(super) fn give_up(&mut self, now: Instant) -> (Vec<Told>, Option<Instant>) {
        let (mut told, mut next) = (Vec::new(), None::<Instant>);
        for place in &mut self.ring {
            match place {
                Some(Asker { ear: Ear::Answer(_), .. }) | None => {}
                Some(asker) if asker.gives_up > now => {
                    next = Some(next.map_or(asker.gives_up, |first| first.min(asker.gives_up)));
                }
                late => {
                    self.count -= 1;
                    told.extend(late.take().and_then(Asker::unheard));
                }
            }
        }
        (told, next)
    }

    /// No more answers come. Those that are there can still be fetched.
    pub(super) fn end(&mut self) -> Vec<Told> {
        let unheard = self.ring.iter_mut().filter_map(|place| {
            let waits = |asker: &mut Asker| !matches!(asker.ear, Ear::Answer(_));
            place.take_if(waits)
        });
        let told: Vec<_> = unheard.map(Asker::unheard).collect();
        self.count -= told.len();
        told.into_iter().flatten().collect()
    }

    fn place(&mut self, opaque: i32) -> Option<&mut Option<Asker>> {
        let mask = self.ring.len().wrapping_sub(1);
        self.ring.get_mut(opaque as usize & mask)
    }

    fn asker(&mut self, opaque: i32) -> Option<&mut Asker> {
        self.place(opaque)?.as_mut().filter(|asker| asker.opaque == opaque)
    }

    fn take(&mut self, opaque: i32) -> Option<Asker> {
        let asker = self.place(opaque)?.take()?;
        self.count -= 1;
        self.unfetched -= usize::from(matches!(asker.ear, Ear::Answer(_)));
        Some(asker)
    }

    /// Places that differ in a shorter ring differ in a longer one.
    fn grow(&mut self) {
        let places = (self.ring.len() * 2).max(PLACES_MIN);
        let old = std::mem::take(&mut self.ring);
        self.ring.resize_with(places, || None);
        for asker in old.into_iter().flatten() {
            if let Some(place) = self.place(asker.opaque) {
                *place = Some(asker);
            }
        }
    }
}

impl Asker {
    fn unheard(self) -> Option<Told> {
        match self.ear {
            Ear::Waker(waker) => Some(Told::Wake(waker)),
            Ear::Word(word) => Some(Told::Tell(word, None)),
            Ear::None | Ear::Answer(_) => None,
        }
    }
}

impl Told {
    /// Wakes or tells the asker. To be called without the lock, which it may want.
    pub(super) fn go(self) {
        match self {
            Told::Wake(waker) => waker.wake(),
            Told::Tell(word, reply) => word(reply),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::protocol::frame::Ext;

    fn reply(code: i32) -> Reply {
        Reply { code, version: 0, remark: None, ext: Ext::NONE, body: Bytes::new() }
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn fetch(askers: &mut Askers, opaque: i32) -> Poll<Option<i32>> {
        let answer = askers.fetch(opaque, &Context::from_waker(Waker::noop()), &mut Ear::None);
        answer.map(|reply| reply.map(|reply| reply.code))
    }

    #[test]
    fn each_gets_its_own_answer_however_many_wait_and_whatever_the_order() {
        let mut askers = Askers { next_opaque: i32::MAX - 500, ..Askers::default() };
        let mut waiting = Vec::new();
        for _ in 0..1000 {
            let opaque = askers.free_opaque();
            assert!(opaque >= 0 && !waiting.contains(&opaque));
            askers.add(opaque, later(), Ear::None);
            waiting.push(opaque);
        }
        assert_eq!(fetch(&mut askers, waiting[0]), Poll::Pending);
        for opaque in waiting.iter().rev() {
            let told = askers.settle(*opaque, reply(*opaque));
            assert_eq!(told.is_some(), *opaque == waiting[0], "only who looked has to be woken");
            assert!(askers.settle(*opaque, reply(-1)).is_none(), "a second answer");
        }
        assert_eq!(askers.unfetched(), 1000);
        for opaque in &waiting {
            assert_eq!(fetch(&mut askers, *opaque), Poll::Ready(Some(*opaque)));
            assert_eq!(fetch(&mut askers, *opaque), Poll::Ready(None));
        }
        assert_eq!((askers.count(), askers.unfetched()), (0, 0));
        assert!(askers.ring.len() <= 2048);
    }

    #[test]
    fn places_that_are_taken_are_passed_over() {
        let mut askers = Askers::default();
        let first = askers.free_opaque();
        askers.add(first, later(), Ear::None);
        let places = askers.ring.len() as i32;
        let others: Vec<_> = (1..places).map(|_| askers.free_opaque()).collect();
        assert_eq!(others.last(), Some(&(places - 1)));
        assert_eq!(askers.free_opaque(), places + 1);
        assert!(askers.settle(first + places, reply(0)).is_none(), "an opaque of the same place that nobody waits for");
        assert_eq!(fetch(&mut askers, first), Poll::Pending);
    }

    #[test]
    fn who_waited_long_enough_waits_no_more() {
        let mut askers = Askers::default();
        let (now, next) = (Instant::now(), later());
        for gives_up in [now, next, now] {
            let opaque = askers.free_opaque();
            askers.add(opaque, gives_up, Ear::None);
            assert_eq!(fetch(&mut askers, opaque), Poll::Pending);
        }
        assert!(askers.settle(2, reply(7)).is_some(), "it came just in time");
        let (told, first) = askers.give_up(now);
        assert_eq!((told.len(), first), (1, Some(next)));
        assert_eq!(fetch(&mut askers, 0), Poll::Ready(None));
        assert_eq!((askers.end().len(), askers.count()), (1, 1));
        assert_eq!(fetch(&mut askers, 1), Poll::Ready(None));
        assert_eq!(fetch(&mut askers, 2), Poll::Ready(Some(7)), "what came before the end is there after it");
        assert_eq!((fetch(&mut askers, 2), askers.count(), askers.unfetched()), (Poll::Ready(None), 0, 0));
    }

    #[test]
    fn a_word_is_told_once_whatever_comes() {
        let (tell, told) = std::sync::mpsc::channel();
        let mut askers = Askers::default();
        for gives_up in [later(), Instant::now(), later()] {
            let (opaque, tell) = (askers.free_opaque(), tell.clone());
            let word = move |reply: Option<Reply>| tell.send((opaque, reply.map(|reply| reply.code))).unwrap();
            askers.add(opaque, gives_up, Ear::Word(Box::new(word)));
        }
        askers.settle(0, reply(5)).unwrap().go();
        assert!(askers.settle(0, reply(6)).is_none());
        askers.give_up(Instant::now()).0.into_iter().for_each(Told::go);
        askers.end().into_iter().for_each(Told::go);
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [(0, Some(5)), (1, None), (2, None)]);
    }
}
