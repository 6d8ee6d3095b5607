//! The usual way of one message: its topic's route is known, its broker's connection is open, the first try succeeds.
//!
//! It makes the request from the message as it is. Only when something is not as usual a parcel is made, which can be tried
//! again.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::Instrument;

use super::delivery::{Courier, Past, Way};
use super::parcel::{self, Label, Stamp, now_ms};
use super::producer_options::Target;
use crate::client::error::ClientError;
use crate::client::message::{Message, SendReceipt};
use crate::remoting::channel::UnderWay;
use crate::remoting::error::ChannelError;

impl Courier {
    /// Sends one message, on its own.
    pub(in crate::client) async fn send(
        &self,
        message: &Message,
        target: Target<'_>,
    ) -> Result<SendReceipt, ClientError> {
        message.check()?;
        let now = now_ms();
        let stamp = Stamp { id: self.core.unique_keys.next(now), born_timestamp_ms: now };
        let span = tracing::debug_span!("send", topic = message.topic(), id = %stamp.id);
        self.try_first((message, &stamp), target).instrument(span).await
    }

    async fn try_first(
        &self,
        (message, stamp): (&Message, &Stamp),
        target: Target<'_>,
    ) -> Result<SendReceipt, ClientError> {
        let deadline = self.deadline();
        let lone = message.body().len() < self.options.compress_from_bytes;
        let way = if lone { self.known_way(message.topic(), &target, deadline)? } else { (None, None) };
        let (past, error) = match way {
            (Some(queue), Some(channel)) => {
                let way = Way { queue, channel };
                let begun = self.begun();
                let reply = match self.begin(&way, (message, stamp), (deadline, &target)) {
                    Ok(Some(under_way)) => Some(under_way.await),
                    Ok(None) => None,
                    Err(Begin::Message(error)) => return Err(error),
                    Err(Begin::Channel(error)) => Some(Err(error)),
                };
                let broker = Some(Arc::clone(&way.queue.broker));
                match reply {
                    Some(reply) => match self.received(&way, (reply, &stamp.id.into()), begun) {
                        Ok(receipt) => return Ok(receipt),
                        Err(error) => (Past { broker, ..Past::default() }, Some(error)),
                    },
                    None => (Past { broker, chosen: Some(way.queue), trouble: None }, None),
                }
            }
            (queue, _) => {
                let broker = queue.as_ref().map(|queue| Arc::clone(&queue.broker));
                (Past { broker, chosen: queue, trouble: None }, None)
            }
        };
        Box::pin(self.go_on((message, stamp), target, deadline, (past, error))).await
    }

    /// Hands the request to the network; `None` where it has to wait for its turn or for room.
    fn begin<'a>(
        &self,
        way: &'a Way,
        (message, stamp): (&Message, &Stamp),
        (deadline, target): (Instant, &Target<'_>),
    ) -> Result<Option<UnderWay<'a>>, Begin> {
        let properties = message.properties_text(&stamp.id).map_err(Begin::Message)?;
        let label = Label {
            topic: message.topic(),
            properties: &properties,
            sys_flag: 0,
            flag: message.user_flag(),
            born_timestamp_ms: stamp.born_timestamp_ms,
            batch: false,
            reply: message.is_reply(),
            retried: None,
        };
        let patience = self.patience(deadline, self.further_tries(target));
        let header = self.header(&label, &way.queue);
        way.channel.begin(label.code(), &header, message.body(), patience).map_err(Begin::Channel)
    }

    /// Further tries, and all that takes more than one step.
    async fn go_on(
        &self,
        (message, stamp): (&Message, &Stamp),
        target: Target<'_>,
        deadline: Instant,
        so_far: (Past, Option<ClientError>),
    ) -> Result<SendReceipt, ClientError> {
        let mut parcel = parcel::stamped(message.clone(), stamp)?;
        parcel.compress(&self.options).await;
        let left = self.further_tries(&target);
        self.try_on(&parcel, target, (deadline, left), so_far).await
    }
}

/// Why a request did not begin.
enum Begin {
    Message(ClientError),
    Channel(ChannelError),
}
