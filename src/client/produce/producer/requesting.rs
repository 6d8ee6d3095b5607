//! Asking other clients: a message goes out, and one that answers it comes back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, timeout_at};

use super::Producer;
use crate::client::consume::received::ReceivedMessage;
use crate::client::error::ClientError;
use crate::client::hub::Hub;
use crate::client::message::Message;
use crate::client::produce::parcel::{self, now_ms};
use crate::client::produce::producer_options::Target;
use crate::client::routes::Purpose;
use crate::protocol::properties::{CORRELATION_ID, REPLY_TO_CLIENT, TTL};

/// A question that is forgotten when nobody waits for its reply any more.
struct Question {
    core: Arc<Hub>,
    correlation: String,
    _room: OwnedSemaphorePermit,
}

impl Drop for Question {
    fn drop(&mut self) {
        self.core.forget_reply(std::mem::take(&mut self.correlation));
    }
}

impl Producer {
    /// Sends a message to any queue of its topic and waits for the reply of whoever consumes it, `wait` at most for both.
    /// A consumer replies with [`ReceivedMessage::reply_with`]. Dropping the future gives up waiting; the message may arrive.
    ///
    /// ```no_run
    /// # async fn example(producer: &actormq::client::Producer) -> Result<(), actormq::client::ClientError> {
    /// use std::time::Duration;
    /// use actormq::client::Message;
    /// let reply = producer.request(Message::new("prices", "tea"), Duration::from_secs(3)).await?;
    /// println!("{:?}", reply.body);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Self::send`]; [`ClientError::Timeout`] when no reply came in time.
    pub async fn request(&self, message: Message, wait: Duration) -> Result<ReceivedMessage, ClientError> {
        self.request_to(message, Target::Any, wait).await
    }

    /// The same with a message that goes where `target` says.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub async fn request_to(
        &self,
        message: Message,
        target: Target<'_>,
        wait: Duration,
    ) -> Result<ReceivedMessage, ClientError> {
        let deadline = Instant::now() + wait;
        let core = &self.courier.core;
        let late =
            |trouble: &str| ClientError::Timeout { what: "the request", after: wait, trouble: trouble.to_owned() };
        let sent = async {
            core.route(message.topic(), Purpose::Publish).await?;
            if !self.known.load(Ordering::Relaxed) {
                core.beat_now().await?;
                self.known.store(true, Ordering::Relaxed);
            }
            let correlation = core.unique_keys.next(now_ms()).to_string();
            let message = message
                .property(CORRELATION_ID, &correlation)
                .property(REPLY_TO_CLIENT, &core.client_id)
                .property(TTL, wait.as_millis().to_string());
            let begun = self.tracer.as_ref().and_then(|tracer| tracer.begin(&message));
            let mut parcel = parcel::single(message, &core.unique_keys)?;
            parcel.compress(&self.courier.options).await;
            let room = core.room_for_question().await?;
            let (reply, replied) = oneshot::channel();
            core.await_reply(correlation.clone(), reply);
            let question = Question { core: Arc::clone(core), correlation, _room: room };
            let sent = self.courier.deliver(&parcel, target, deadline.min(self.courier.deadline())).await;
            if let Some(begun) = begun {
                begun.end(sent.as_ref());
            }
            sent?;
            Ok::<_, ClientError>((question, replied))
        };
        let (question, replied) = timeout_at(deadline, sent).await.map_err(|_| late("it was not sent in time"))??;
        let reply = timeout_at(deadline, replied).await.map_err(|_| late("it was sent, and nobody replied"));
        drop(question);
        reply?.map_err(|_| ClientError::ShutDown)
    }
}
