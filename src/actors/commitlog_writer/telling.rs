//! Who tells the queues what was written: the writer as it writes, or, while they are too far behind, the reader of the log.

use actix::prelude::*;

use super::messages::Notice;
use crate::actors::log::QueueSlot;
use crate::actors::log::ahead::Ahead;
use crate::actors::log::dispatch_reader::{Reached, ReadOn};
use crate::actors::log::queues::{Dispatch, OpenQueue, Queues};
use crate::protocol::names::{LogOffset, QueueKey};

/// The reader is so close to the end that the writer keeps its notices for the moment when it gets there, bytes.
const MEETING_BYTES: u64 = 4 * 1024 * 1024;
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

impl Teller {
    /// Queues that know of everything below `told`.
    #[must_use]
    pub fn new(queues: Vec<Addr<Queues>>, reader: Recipient<ReadOn>, ahead: Ahead, told: LogOffset) -> Self {
        Self { queues, reader, ahead, who: Who::default(), told, marked: told }
    }

    /// Asks where a queue goes on.
    pub(super) fn open(&self, slot: QueueSlot, key: Option<QueueKey>) {
        self.queues[slot.0 as usize % self.queues.len()].do_send(OpenQueue { slot, key });
    }

    /// Records became readable, all of them below `upto`.
    pub(super) fn dispatch(&mut self, notices: Vec<Notice>, upto: LogOffset) {
        match &mut self.who {
            Who::Writer if self.ahead.is_full() => {
                tracing::warn!(
                    entries = self.ahead.max(),
                    "the ConsumeQueues cannot be written as fast as messages come; consumers hear of them late"
                );
                self.who = Who::Reader;
                self.reader.do_send(ReadOn { from: Some(self.told), upto });
            }
            Who::Writer => self.tell(notices, upto),
            Who::Reader => {}
            Who::Meeting(kept) => {
                kept.extend_from_slice(&notices);
                if kept.len() > KEPT_MAX {
                    self.who = Who::Reader;
                }
            }
        }
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
                tracing::info!("the ConsumeQueues are up to date again");
                self.tell(kept, readable);
                self.mark(readable);
            }
        }
    }
}
