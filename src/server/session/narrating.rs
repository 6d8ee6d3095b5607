//! What a session tells listeners. Called only where there are some.

use super::{Desk, Session};
use crate::actors::commitlog_writer::Batch;
use crate::actors::extension::{BrokerEvent, Listeners};
use crate::actors::topic_queue::Pulled;
use crate::protocol::names::{QueueKey, Topic};
use crate::protocol::record::Record;

impl Session {
    fn listeners(&self) -> Option<Listeners> {
        let Desk::Broker(desk) = &self.desk else { return None };
        let listeners = &desk.doors.extensions.listeners;
        (!listeners.is_empty()).then(|| listeners.clone())
    }

    /// Tells of the messages of a batch that was stored.
    pub(super) fn tell_appended(&self, batch: &Batch) {
        let Some(listeners) = self.listeners() else { return };
        for put in &batch.puts {
            let read = Record::read(batch.bytes.get(put.start as usize..).unwrap_or_default());
            let Ok(record) = read else { continue };
            let Ok(topic) = Topic::new(record.topic) else { continue };
            let queue = QueueKey { topic, queue: record.queue };
            listeners.tell(&BrokerEvent::Appended { queue, offset: put.queue_offset });
        }
    }

    /// Tells of what a consumer is given.
    pub(super) fn tell_delivered(&mut self, pulled: &Pulled) {
        let Some((group, queue)) = self.credit.deliveries.remove(&pulled.token) else { return };
        let Some(listeners) = self.listeners().filter(|_| pulled.messages > 0) else { return };
        let (messages, next) = (pulled.messages, pulled.next);
        listeners.tell(&BrokerEvent::Delivered { group, queue, messages, next });
    }
}
