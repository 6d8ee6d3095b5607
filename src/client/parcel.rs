//! What one send request carries: a message or a batch, made ready for the wire.

use bytes::Bytes;

use super::error::{ClientError, MessageError};
use super::message::{BODY_BYTES_MAX, Message};
use crate::protocol::batch::{self, BatchEntry};
use crate::protocol::compression::{Compression, SYS_FLAG_COMPRESSED, compress};
use crate::protocol::uniq_key::UniqueKeys;

/// RocketMQ's zlib level.
const LEVEL: i32 = 5;
/// From here on compressing would hold a runtime's thread for milliseconds.
const ASIDE_FROM_BYTES: usize = 128 * 1024;
/// Bytes of a batch entry beside body and properties.
const ENTRY_BYTES: usize = 22;

pub(super) struct Parcel {
    pub(super) topic: String,
    pub(super) properties: String,
    pub(super) body: Bytes,
    pub(super) sys_flag: i32,
    pub(super) flag: i32,
    pub(super) born_timestamp_ms: i64,
    pub(super) batch: bool,
    /// Unique keys, joined by commas.
    pub(super) message_id: String,
}

pub(super) fn now_ms() -> i64 {
    i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}

/// # Errors
/// When no broker would take the message.
pub(super) async fn single(
    message: &Message,
    keys: &UniqueKeys,
    compress_from_bytes: usize,
) -> Result<Parcel, ClientError> {
    message.check()?;
    let now = now_ms();
    let message_id = keys.next(now).to_string();
    let properties = message.properties_text(&message_id)?;
    let plain = message.shared_body();
    let (body, sys_flag) = if plain.len() >= compress_from_bytes { smaller(plain).await } else { (plain, 0) };
    Ok(Parcel {
        topic: message.topic().to_owned(),
        properties,
        body,
        sys_flag,
        flag: message.user_flag(),
        born_timestamp_ms: now,
        batch: false,
        message_id,
    })
}

/// The body compressed, unless that makes it no shorter.
async fn smaller(plain: Bytes) -> (Bytes, i32) {
    let zipped = if plain.len() < ASIDE_FROM_BYTES {
        compress(Compression::Zlib, &plain, LEVEL)
    } else {
        let body = plain.clone();
        let aside = tokio::task::spawn_blocking(move || compress(Compression::Zlib, &body, LEVEL));
        // A runtime that is shutting down compresses nothing; the plain body does as well.
        aside.await.unwrap_or_else(|_| plain.to_vec())
    };
    if zipped.len() < plain.len() {
        (Bytes::from(zipped), SYS_FLAG_COMPRESSED | Compression::Zlib.sys_flag())
    } else {
        (plain, 0)
    }
}

/// As few batches as fit the size that brokers take.
///
/// # Errors
/// When the messages are none, not of one topic, or no broker would take one of them.
pub(super) fn batches(messages: &[Message], keys: &UniqueKeys) -> Result<Vec<Parcel>, ClientError> {
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
        message.check()?;
        let id = keys.next(now).to_string();
        let properties = message.properties_text(&id)?;
        let bytes = ENTRY_BYTES + message.body().len() + properties.len();
        if !body.is_empty() && body.len() + bytes > BODY_BYTES_MAX {
            parcels.push(batch_of(first, std::mem::take(&mut body), &std::mem::take(&mut ids), now));
        }
        let entry = BatchEntry { flag: message.user_flag(), body: message.body(), properties: &properties };
        batch::push(&mut body, &entry);
        ids.push(id);
    }
    parcels.push(batch_of(first, body, &ids, now));
    Ok(parcels)
}

fn batch_of(first: &Message, body: Vec<u8>, ids: &[String], now: i64) -> Parcel {
    let wait = if first.waits_for_store() { "true" } else { "false" };
    let mut properties = Vec::new();
    crate::protocol::properties::push(&mut properties, crate::protocol::properties::WAIT, wait);
    Parcel {
        topic: first.topic().to_owned(),
        properties: String::from_utf8(properties).unwrap_or_default(),
        body: Bytes::from(body),
        sys_flag: 0,
        flag: 0,
        born_timestamp_ms: now,
        batch: true,
        message_id: ids.join(","),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::protocol::compression::decompress;
    use crate::protocol::uniq_key::Origin;

    fn keys() -> UniqueKeys {
        UniqueKeys::new(Origin { address: IpAddr::V4(Ipv4Addr::LOCALHOST), process_id: 1, generator: 2 }, 0)
    }

    #[tokio::test]
    async fn long_bodies_travel_compressed_when_it_helps() {
        for (length, aside) in [(5000, false), (200_000, true)] {
            let parcel = single(&Message::new("T", vec![b'a'; length]), &keys(), 4096).await.unwrap();
            assert!(parcel.body.len() < length && parcel.sys_flag == 0x301, "{aside}");
            assert_eq!(decompress(Compression::Zlib, &parcel.body, length).unwrap().len(), length);
        }
        let short = single(&Message::new("T", vec![b'a'; 4095]), &keys(), 4096).await.unwrap();
        assert_eq!((short.body.len(), short.sys_flag), (4095, 0));
        let noise: Vec<u8> = (0..5000u32).map(|n| md5::compute(n.to_be_bytes()).0[0]).collect();
        let noisy = single(&Message::new("T", noise.clone()), &keys(), 4096).await.unwrap();
        assert_eq!((&noisy.body[..], noisy.sys_flag), (&noise[..], 0));
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
