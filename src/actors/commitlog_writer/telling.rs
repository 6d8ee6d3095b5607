//! Who tells the queues what was written: the writer as it writes, or, while they are too far behind, the reader of the log.

use std::pin::Pin;
use std::task::{Context as Wakeful, Poll};

use actix::prelude::*;

use super::CommitlogWriter;
use super::messages::Notice;
use crate::actors::log::QueueSlot;
use crate::actors::log::ahead::Ahead;
use crate::actors::log::dispatch_reader::{Reached, ReadOn};
use crate::actors::log::queues::{Dispatch, OpenQueue, Queues};
use crate::protocol::names::{LogOffset, QueueKey};

/// The reader is so close to the end that the writer keeps its notices for the moment when it gets there, bytes.
const MEETING_BYTES: u64 = 4 * 1024 * 1024;
/// Notices that wait for the end of the writer's turn at most.
const GATHERED_MAX: usize = 1024;
/// Notices that are kept for that moment at most.
const KEPT_MAX: usize = 128 * 1024;

/// The writer's way to the queues.
#[derive(Debug)]
pub struct Teller {
    /// One for each arbiter; a queue belongs to the one at its slot's number modulo their count.
    pub queues: Vec<Addr<Queues>>,
    pub reader: Recipient<ReadOn>,
    pub ahead: Ahead,
    who: Who,
    /// What the queues are to hear when everything that came was written, all of it below `readable`.
    gathered: Vec<Notice>,
    readable: LogOffset,
    /// End of what the writer told the queues itself.
    told: LogOffset,
    /// End of the log when everybody was told last, also those for which there was nothing in it.
    pub(super) marked: LogOffset,
}

/// Who tells the queues.
#[derive(Debug, Default)]
enum Who {
    /// The writer, as it writes.
    #[default]
    Writer,
    /// The reader. The writer notes nothing.
    Reader,
    /// The reader, up to a point of the log; what was written behind that point is kept here.
    Meeting(Vec<Notice>),
}

/// Ends each turn of the writer: it is polled when the mailbox is empty. Lives as long as the writer.
pub(super) struct EndOfTurn;

impl ActorFuture<CommitlogWriter> for EndOfTurn {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        writer: &mut CommitlogWriter,
        _: &mut Context<CommitlogWriter>,
        _: &mut Wakeful<'_>,
    ) -> Poll<()> {
        writer.teller.tell_gathered();
        Poll::Pending
    }
}

impl Teller {
    /// Queues that know of everything below `told`.
    #[must_use]
    pub fn new(queues: Vec<Addr<Queues>>, reader: Recipient<ReadOn>, ahead: Ahead, told: LogOffset) -> Self {
        Self { queues, reader, ahead, who: Who::default(), gathered: Vec::new(), readable: told, told, marked: told }
    }

    /// Asks where a queue goes on.
    pub(super) fn open(&self, slot: QueueSlot, key: Option<QueueKey>) {
        self.queues[slot.0 as usize % self.queues.len()].do_send(OpenQueue { slot, key });
    }

    /// Records became readable, all of them below `upto`. The queues hear of it with [`Teller::tell_gathered`].
    pub(super) fn dispatch(&mut self, notices: impl Iterator<Item = Notice>, upto: LogOffset) {
        self.readable = upto;
        match &mut self.who {
            Who::Writer => self.gathered.extend(notices),
            Who::Reader => {}
            Who::Meeting(kept) => {
                kept.extend(notices);
                if kept.len() > KEPT_MAX {
                    self.who = Who::Reader;
                }
            }
        }
        // Senders on other threads may keep a turn from ending.
        if self.gathered.len() >= GATHERED_MAX {
            self.tell_gathered();
        }
    }

    /// One message for all that was gathered.
    pub(super) fn tell_gathered(&mut self) {
        if self.gathered.is_empty() {
            return;
        }
        if self.ahead.is_full() {
            tracing::warn!(
                entries = self.ahead.max(),
                "the ConsumeQueues cannot be written as fast as messages come; consumers hear of them late"
            );
            self.gathered = Vec::new();
            self.who = Who::Reader;
            self.reader.do_send(ReadOn { from: Some(self.told), upto: self.readable });
            return;
        }
        let capacity = self.gathered.len();
        let notices = std::mem::replace(&mut self.gathered, Vec::with_capacity(capacity));
        self.tell(notices, self.readable);
    }

    fn tell(&mut self, mut notices: Vec<Notice>, upto: LogOffset) {
        self.told = upto;
        self.ahead.more(notices.len());
        if let [queues] = self.queues.as_slice() {
            queues.do_send(Dispatch { notices, upto });
            return;
        }
        let count = self.queues.len();
        for (number, queues) in self.queues.iter().enumerate() {
            let own: Vec<Notice> = notices.extract_if(.., |n| n.slot.0 as usize % count == number).collect();
            if !own.is_empty() {
                queues.do_send(Dispatch { notices: own, upto });
            }
        }
    }

    /// Tells all arbiters that the log is readable up to `upto`, also those for which there was nothing in it.
    pub(super) fn mark(&mut self, upto: LogOffset) {
        self.tell_gathered();
        if matches!(self.who, Who::Writer) {
            self.told = upto;
            for queues in &self.queues {
                queues.do_send(Dispatch { notices: Vec::new(), upto });
            }
        }
    }

    /// The reader told the queues everything that it was asked to.
    pub(super) fn reached(&mut self, reached: Reached, readable: LogOffset) {
        match std::mem::take(&mut self.who) {
            Who::Writer => {}
            Who::Reader => {
                let near = readable - reached.upto <= MEETING_BYTES;
                self.who = if near { Who::Meeting(Vec::new()) } else { Who::Reader };
                self.reader.do_send(ReadOn { from: None, upto: readable });
            }
            Who::Meeting(kept) => {
                self.readable = readable;
                tracing::info!("the ConsumeQueues are up to date again");
                self.tell(kept, readable);
                self.mark(readable);
            }
        }
    }
}
