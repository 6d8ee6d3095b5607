//! Heartbeats: who we are, in full or, where a broker offers it, as a digest of what it heard before.

use std::time::Duration;

use crate::protocol::body::Body;
use crate::protocol::body::clients::HeartbeatData;
use crate::protocol::code::{RequestCode, ResponseCode};
use crate::protocol::frame::Codec;
use crate::protocol::hash::hash;
use crate::remoting::channel::{Channel, Reply};

/// Ext field of the answer: the broker understands a digest.
const SUPPORTS_DIGEST: &str = "IS_SUPPORT_HEART_BEAT_V2";
/// Ext field of the answer: the digest is not the one that the broker knows.
const CHANGED: &str = "IS_SUB_CHANGE";
/// Ext field of answers to heartbeats and questions for routes: who answers understands MessagePack headers. Ours alone
/// say so.
pub(super) const SPEAKS_MESSAGE_PACK: &str = "MESSAGE_PACK";

/// What a broker knows of us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Known {
    /// The digest that it heard in full; `None` when it wants the whole again.
    digest: Option<i32>,
}

/// A heartbeat in both forms.
#[derive(Debug, Clone)]
pub(super) struct Beat {
    full: Vec<u8>,
    brief: Vec<u8>,
    digest: i32,
}

impl Beat {
    pub(super) fn new(mut data: HeartbeatData) -> Self {
        data.heartbeat_fingerprint = digest(&data);
        let full = data.encode();
        let mut brief = data;
        brief.without_sub = true;
        for consumer in &mut brief.consumer_data_set {
            consumer.subscription_data_set.clear();
        }
        Self { full, digest: brief.heartbeat_fingerprint, brief: brief.encode() }
    }

    /// Sends it and says what the broker knows then.
    pub(super) async fn send(&self, channel: &Channel, known: Known, wait: Duration) -> Known {
        if known.digest == Some(self.digest) {
            match request(channel, &self.brief, wait).await {
                Some(reply) if is_true(&reply, CHANGED) => {}
                Some(_) => return known,
                None => return Known::default(),
            }
        }
        let Some(reply) = request(channel, &self.full, wait).await else {
            return Known::default();
        };
        if is_true(&reply, SPEAKS_MESSAGE_PACK) {
            channel.speak(Codec::MessagePack);
        }
        let digest = (is_true(&reply, SUPPORTS_DIGEST) && !is_true(&reply, CHANGED)).then_some(self.digest);
        Known { digest }
    }
}

/// Never 0, which stands for a client that sends no digests.
fn digest(data: &HeartbeatData) -> i32 {
    let mut data = data.clone();
    data.client_id.clear();
    for consumer in &mut data.consumer_data_set {
        consumer.subscription_data_set.iter_mut().for_each(|subscription| subscription.sub_version = 0);
    }
    match hash(&String::from_utf8_lossy(&data.encode())) {
        0 => 1,
        digest => digest,
    }
}

async fn request(channel: &Channel, body: &[u8], wait: Duration) -> Option<Reply> {
    match channel.request(RequestCode::HeartBeat.number(), &(), body, wait).await {
        Ok(reply) if reply.code == ResponseCode::Success.number() => Some(reply),
        Ok(reply) => {
            tracing::warn!(broker = channel.address(), code = reply.code, remark = reply.remark, "heartbeat refused");
            None
        }
        Err(error) => {
            tracing::debug!(broker = channel.address(), %error, "heartbeat failed");
            None
        }
    }
}

pub(super) fn is_true(reply: &Reply, name: &str) -> bool {
    reply.ext.field(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}
