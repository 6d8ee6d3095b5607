//! Half messages: sends that nobody gets before their producer commits them.

use super::{Message, illegal, level, refuse_what_is_not_there};
use crate::actors::commitlog_writer::{Batch, Token};
use crate::actors::log::draft::{Draft, QueueCode};
use crate::actors::log::wall_clock_ms;
use crate::actors::transactions::records::{CHECK_TIMES, PREPARED_QUEUE_OFFSET, TRANSACTION_ID};
use crate::protocol::code::ResponseCode;
use crate::protocol::names::HALF_TOPIC;
use crate::protocol::properties::{self, PAIR_END, PROPERTIES_BYTES_MAX, Seen};
use crate::protocol::record::{FLAG_TRANSACTION, NewRecord};
use crate::server::requests::Refusal;

/// What copies of a half message add to its properties, in bytes, at most.
const COPIES_ADD_BYTES: usize = 128;
/// The queue of half messages that all are stored in.
const HALF_QUEUE: u32 = 0;
/// Properties that the broker gives half messages and their copies. Who sends one again that it received does not send what
/// became of it before.
const OWN: [&str; 5] =
    [TRANSACTION_ID, properties::REAL_TOPIC, properties::REAL_QUEUE_ID, CHECK_TIMES, PREPARED_QUEUE_OFFSET];

impl Message<'_> {
    /// Puts the message among the half messages, with the place that it is for in its properties.
    pub(super) fn put_half(
        &self,
        (flag, body): (i32, &[u8]),
        (text, seen): (&str, &Seen<'_>),
        out: &mut Batch,
    ) -> Result<(), Refusal> {
        self.check_half(seen)?;
        let missing = || Refusal::new(ResponseCode::ServiceNotAvailable, "there is no topic for half messages");
        let entry = self.rules.waiting_rooms.topics.get(HALF_TOPIC).ok_or_else(missing)?;
        // Of what is taken out the broker looks at nothing.
        let text = without_own(text);
        let end: &[u8] = if text.is_empty() || text.ends_with(PAIR_END as char) { &[] } else { &[PAIR_END] };
        let made = seen.unique_key.is_none().then(|| self.rules.unique_keys.next(wall_clock_ms()));
        let key = seen.unique_key.or(made.as_deref()).unwrap_or_default();
        let mut own = Vec::with_capacity(256);
        if made.is_some() {
            properties::push(&mut own, properties::UNIQ_KEY, key);
        }
        let key_in_own = own.len() + TRANSACTION_ID.len() + 1;
        properties::push(&mut own, TRANSACTION_ID, key);
        properties::push(&mut own, properties::REAL_TOPIC, &self.entry.config.topic);
        properties::push(&mut own, properties::REAL_QUEUE_ID, &self.queue.to_string());
        let pieces: [&[u8]; 4] = [text.as_bytes(), end, &own, &self.rules.suffix];
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        if length > PROPERTIES_BYTES_MAX - COPIES_ADD_BYTES {
            let limit = PROPERTIES_BYTES_MAX - COPIES_ADD_BYTES;
            return Err(illegal(format!("the properties are {length} bytes long, at most {limit} are allowed")));
        }
        let record = NewRecord {
            topic: &entry.config.topic,
            queue: HALF_QUEUE,
            sys_flag: self.send.sys_flag & !FLAG_TRANSACTION,
            ..self.record(flag, body, &pieces)
        };
        let key_at = record.properties_at() + text.len() + end.len() + key_in_own;
        let draft = Draft {
            entry: &entry,
            record,
            seen: Seen { unique_key: Some(key), ..*seen },
            code: QueueCode::Tag,
            token: Token { call: self.call, queue: self.queue, part: (key_at as u32, key.len() as u32) },
        };
        let size = draft.put(self.rules.record_bytes_max, out).map_err(|error| illegal(error.to_string()))?;
        entry.counters.count(1, size);
        out.durable |= seen.wait;
        Ok(())
    }

    fn check_half(&self, seen: &Seen<'_>) -> Result<(), Refusal> {
        if self.rules.waiting_rooms.settings.load().send.transactions.rejected {
            let remark = format!("the broker[{}] sending transaction message is forbidden", self.rules.store_host);
            return Err(Refusal::new(ResponseCode::NoPermission, remark));
        }
        if self.send.batch {
            return Err(illegal("a batch cannot hold messages of transactions".into()));
        }
        if level(seen)? > 0 {
            return Err(illegal("a message of a transaction cannot be delayed".into()));
        }
        refuse_what_is_not_there(seen)
    }
}

/// The properties without those that the broker gives.
fn without_own(text: &str) -> std::borrow::Cow<'_, str> {
    let is_own = |name: &str| OWN.contains(&name) || name == properties::POP_CK;
    if !properties::pairs(text).any(|(name, _)| is_own(name)) {
        return text.into();
    }
    let mut out = Vec::with_capacity(text.len());
    properties::pairs(text).filter(|(name, _)| !is_own(name)).for_each(|(n, v)| properties::push(&mut out, n, v));
    String::from_utf8(out).unwrap_or_default().into()
}
