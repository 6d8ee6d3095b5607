//! What one send request carries: a message or a batch, made ready for the wire.

use bytes::Bytes;

use super::producer_options::ProducerOptions;
use crate::client::consume::received::ReceivedMessage;
use crate::client::error::{ClientError, MessageError};
use crate::client::message::{BODY_BYTES_MAX, Message};
use crate::client::message_id::MessageId;
use crate::protocol::batch::{self, BatchEntry};
use crate::protocol::code::RequestCode;
use crate::protocol::compression::{SYS_FLAG_COMPRESSED, compress};
use crate::protocol::properties::{self, WAIT};
use crate::protocol::uniq_key::{IdText, UniqueKeys};

/// From here on compressing would hold a runtime's thread for milliseconds.
const ASIDE_FROM_BYTES: usize = 128 * 1024;

/// How often a group has failed to consume a message that is sent to its retry topic.
#[derive(Debug, Clone, Copy)]
pub(in crate::client) struct Retried {
    pub(in crate::client) times: i32,
    /// `None`: as the broker has it for the group.
    pub(in crate::client) times_max: Option<i32>,
}

#[derive(Debug)]
pub(in crate::client) struct Parcel {
    pub(in crate::client) topic: String,
    pub(in crate::client) properties: String,
    pub(in crate::client) body: Bytes,
    pub(in crate::client) sys_flag: i32,
    pub(in crate::client) flag: i32,
    pub(in crate::client) born_timestamp_ms: i64,
    pub(in crate::client) batch: bool,
    /// It answers a request of another client.
    pub(in crate::client) reply: bool,
    /// Unique keys, joined by commas.
    pub(in crate::client) message_id: MessageId,
    pub(in crate::client) retried: Option<Retried>,
}

pub(in crate::client) fn now_ms() -> i64 {
    i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}

/// The message as it is; compress it where it is long.
///
/// # Errors
/// When no broker would take the message.
pub(in crate::client) fn single(message: Message, keys: &UniqueKeys) -> Result<Parcel, ClientError> {
    message.check()?;
    let now = now_ms();
    stamped(message, &Stamp { id: keys.next(now), born_timestamp_ms: now })
}

/// The same of a message that was checked, and that has its id.
///
/// # Errors
/// When no broker would take the message.
pub(in crate::client) fn stamped(message: Message, stamp: &Stamp) -> Result<Parcel, ClientError> {
    let properties = message.properties_text(&stamp.id)?;
    let (flag, reply) = (message.user_flag(), message.is_reply());
    let (topic, body) = message.into_topic_and_body();
    Ok(Parcel {
        topic,
        properties,
        body,
        sys_flag: 0,
        flag,
        reply,
        born_timestamp_ms: stamp.born_timestamp_ms,
        batch: false,
        message_id: stamp.id.into(),
        retried: None,
    })
}

/// A message that its group could not consume, as it was received but with these properties.
pub(in crate::client) async fn again(
    topic: String,
    message: &ReceivedMessage,
    (properties, retried): (String, Retried),
    options: &ProducerOptions,
) -> Parcel {
    let mut parcel = Parcel {
        topic,
        properties,
        body: message.body.clone(),
        sys_flag: 0,
        flag: message.flag,
        born_timestamp_ms: now_ms(),
        batch: false,
        message_id: message.message_id().into(),
        reply: false,
        retried: Some(retried),
    };
    parcel.compress(options).await;
    parcel
}

/// What a message gets when it is sent.
#[derive(Debug, Clone, Copy)]
pub(in crate::client) struct Stamp {
    pub(in crate::client) id: IdText,
    pub(in crate::client) born_timestamp_ms: i64,
}

/// What a request says of what it carries.
#[derive(Debug, Clone, Copy)]
pub(in crate::client) struct Label<'a> {
    pub(in crate::client) topic: &'a str,
    pub(in crate::client) properties: &'a str,
    pub(in crate::client) sys_flag: i32,
    pub(in crate::client) flag: i32,
    pub(in crate::client) born_timestamp_ms: i64,
    pub(in crate::client) batch: bool,
    pub(in crate::client) reply: bool,
    pub(in crate::client) retried: Option<Retried>,
}

impl Label<'_> {
    pub(in crate::client) fn code(&self) -> i32 {
        let code = match (self.batch, self.reply) {
            (true, _) => RequestCode::SendBatchMessage,
            (false, true) => RequestCode::SendReplyMessageV2,
            (false, false) => RequestCode::SendMessageV2,
        };
        code.number()
    }
}

impl Parcel {
    pub(in crate::client) fn label(&self) -> Label<'_> {
        Label {
            topic: &self.topic,
            properties: &self.properties,
            sys_flag: self.sys_flag,
            flag: self.flag,
            born_timestamp_ms: self.born_timestamp_ms,
            batch: self.batch,
            reply: self.reply,
            retried: self.retried,
        }
    }

    /// Compresses a body that is as long as `options` say, unless that makes it no shorter.
    pub(in crate::client) async fn compress(&mut self, options: &ProducerOptions) {
        if self.body.len() >= options.compress_from_bytes {
            // Few bodies are long, and every send would have to carry the room for it.
            let (body, flag) = Box::pin(smaller(self.body.clone(), options)).await;
            self.body = body;
            self.sys_flag |= flag;
        }
    }
}

/// The body compressed, unless that makes it no shorter.
async fn smaller(plain: Bytes, options: &ProducerOptions) -> (Bytes, i32) {
    let (kind, level) = (options.compression, options.compression_level);
    let zipped = if plain.len() < ASIDE_FROM_BYTES {
        compress(kind, &plain, level)
    } else {
        let body = plain.clone();
        let aside = tokio::task::spawn_blocking(move || compress(kind, &body, level));
        // A runtime that is shutting down compresses nothing; the plain body does as well.
        aside.await.unwrap_or_else(|_| plain.to_vec())
    };
    if zipped.len() < plain.len() { (Bytes::from(zipped), SYS_FLAG_COMPRESSED | kind.sys_flag()) } else { (plain, 0) }
}

/// A message as a batch holds it: its key and its properties.
///
/// # Errors
/// When no broker would take the message.
pub(in crate::client) fn entry(
    message: &Message,
    keys: &UniqueKeys,
    now: i64,
) -> Result<(IdText, String), ClientError> {
    message.check()?;
    let id = keys.next(now);
    let properties = message.properties_text(&id)?;
    Ok((id, properties))
}

/// Bytes that a message takes in a batch.
pub(in crate::client) fn entry_bytes(message: &Message, properties: &str) -> usize {
    batch::ENTRY_BYTES + message.body().len() + properties.len()
}

/// As few batches as fit the size that brokers take.
///
/// # Errors
/// When the messages are none, not of one topic, or no broker would take one of them.
pub(in crate::client) fn batches(messages: &[Message], keys: &UniqueKeys) -> Result<Vec<Parcel>, ClientError> {
    let first = messages.first().ok_or(ClientError::Message(MessageError::Batch))?;
    let like_first = |message: &Message| {
        message.topic() == first.topic() && message.waits_for_store() == first.waits_for_store() && message.fits_batch()
    };
    if !messages.iter().all(like_first) {
        return Err(ClientError::Message(MessageError::Batch));
    }
    let now = now_ms();
    let (mut parcels, mut body, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    for message in messages {
        let (id, properties) = entry(message, keys, now)?;
        let bytes = entry_bytes(message, &properties);
        if !body.is_empty() && body.len() + bytes > BODY_BYTES_MAX {
            let (body, ids) = (std::mem::take(&mut body), std::mem::take(&mut ids));
            parcels.push(batch_of(first.topic(), first.waits_for_store(), body, (&ids, now)));
        }
        let entry = BatchEntry { flag: message.user_flag(), body: message.body(), properties: &properties };
        batch::push(&mut body, &entry);
        ids.push(id);
    }
    parcels.push(batch_of(first.topic(), first.waits_for_store(), body, (&ids, now)));
    Ok(parcels)
}

/// A batch of entries with these keys, made at `now`. Without keys, its receipt has none either.
pub(in crate::client) fn batch_of(topic: &str, wait: bool, body: Vec<u8>, (ids, now): (&[IdText], i64)) -> Parcel {
    let mut text = String::new();
    properties::push_text(&mut text, WAIT, if wait { "true" } else { "false" });
    let mut message_id = String::with_capacity(ids.iter().map(|id| id.len() + 1).sum());
    for id in ids {
        if !message_id.is_empty() {
            message_id.push(',');
        }
        message_id.push_str(id);
    }
    Parcel {
        topic: topic.to_owned(),
        properties: text,
        body: Bytes::from(body),
        sys_flag: 0,
        flag: 0,
        born_timestamp_ms: now,
        batch: true,
        reply: false,
        message_id: message_id.into(),
        retried: None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::protocol::compression::{Compression, decompress};
    use crate::protocol::uniq_key::Origin;

    fn keys() -> UniqueKeys {
        UniqueKeys::new(Origin { address: IpAddr::V4(Ipv4Addr::LOCALHOST), process_id: 1, generator: 2 }, 0)
    }

    async fn compressed(body: Vec<u8>, options: &ProducerOptions) -> Parcel {
        let mut parcel = single(Message::new("T", body), &keys()).unwrap();
        parcel.compress(options).await;
        parcel
    }

    #[tokio::test]
    async fn long_bodies_travel_compressed_when_it_helps() {
        let mut options = ProducerOptions::new("p");
        let kinds = [(Compression::Zlib, 0x301), (Compression::Lz4, 0x101), (Compression::Zstd, 0x201)];
        for (kind, sys_flag) in kinds {
            options.compression = kind;
            for length in [5000, 200_000] {
                let parcel = compressed(vec![b'a'; length], &options).await;
                assert!(parcel.body.len() < length && parcel.sys_flag == sys_flag, "{kind:?}");
                assert_eq!(decompress(kind, &parcel.body, length).unwrap().len(), length);
            }
        }
        let short = compressed(vec![b'a'; 4095], &options).await;
        assert_eq!((short.body.len(), short.sys_flag), (4095, 0));
        let noise: Vec<u8> = (0..5000u32).map(|n| md5::compute(n.to_be_bytes()).0[0]).collect();
        let noisy = compressed(noise.clone(), &options).await;
        assert_eq!((&noisy.body[..], noisy.sys_flag), (&noise[..], 0));
    }

    #[tokio::test]
    async fn the_level_is_the_one_that_was_asked_for() {
        let text: Vec<u8> = (0..20_000u32).flat_map(|n| (n * n % 1013).to_string().into_bytes()).collect();
        let mut sizes = Vec::new();
        for compression_level in [1, 9] {
            let options = ProducerOptions { compression_level, ..ProducerOptions::new("p") };
            sizes.push(compressed(text.clone(), &options).await.body.len());
        }
        assert!(sizes[1] < sizes[0], "{sizes:?}");
    }

    #[test]
    fn batches_are_cut_where_brokers_would_refuse_them() {
        let messages: Vec<_> = (0..9).map(|_| Message::new("T", vec![1; 1024 * 1024])).collect();
        let parcels = batches(&messages, &keys()).unwrap();
        assert_eq!(parcels.len(), 3);
        assert!(parcels.iter().all(|parcel| parcel.body.len() <= BODY_BYTES_MAX && parcel.batch));
        let ids: Vec<_> = parcels.iter().flat_map(|parcel| parcel.message_id.split(',')).collect();
        assert_eq!(ids.len(), 9);
        assert!(batches(&[], &keys()).is_err());
        assert!(batches(&[Message::new("T", "a"), Message::new("U", "a")], &keys()).is_err());
        assert!(batches(&[Message::new("T", "a").property("DELAY", "1")], &keys()).is_err());
    }
}
