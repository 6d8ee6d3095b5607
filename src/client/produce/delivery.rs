//! The way of one parcel to a broker: which queue, which try, and what came back.

use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::Instrument;

use super::faults::{Ended, Faults, is_no_answer, is_worth_another_try, verdict};
use super::parcel::{Label, Parcel};
use super::producer_options::{ProducerOptions, Target};
use crate::client::error::{Access, ClientError};
use crate::client::hub::{Hub, refused, unreadable};
use crate::client::link::BACK_OFF_MIN;
use crate::client::message::{SendReceipt, SendStatus};
use crate::client::message_id::MessageId;
use crate::client::route::{NEW_TOPIC_QUEUES, Route};
use crate::client::routes::Purpose;
use crate::protocol::code::ResponseCode;
use crate::protocol::hash::hash;
use crate::protocol::header::send::{SendAnswer, SendMessageRequestV2};
use crate::protocol::names::AUTO_CREATE_TOPIC;
use crate::remoting::channel::{Channel, Patience, Reply};
use crate::remoting::error::ChannelError;
use crate::rules::assignment::MessageQueue;

/// What all sends of a producer share.
#[derive(Debug)]
pub(in crate::client) struct Courier {
    pub(in crate::client) core: Arc<Hub>,
    pub(in crate::client) options: ProducerOptions,
    turn: AtomicUsize,
    faults: Faults,
    /// The one that the first broker named; most name the same.
    region: OnceLock<Arc<str>>,
}

/// What tries before this one met.
#[derive(Default)]
pub(super) struct Past {
    /// Not tried yet: its broker's connection has to be made first.
    pub(super) chosen: Option<Arc<MessageQueue>>,
    pub(super) broker: Option<Arc<str>>,
    pub(super) trouble: Option<ClientError>,
}

/// Where a parcel goes.
pub(super) struct Way {
    pub(super) queue: Arc<MessageQueue>,
    pub(super) channel: Channel,
}

impl Courier {
    pub(in crate::client) fn new(core: Arc<Hub>, options: ProducerOptions) -> Self {
        // By chance, so that many producers do not begin with the same queue.
        let turn = AtomicUsize::new(RandomState::new().hash_one(&core.client_id) as usize >> 1);
        let faults = Faults::new(options.avoid_slow_brokers);
        Self { core, options, turn, faults, region: OnceLock::new() }
    }

    pub(in crate::client) fn deadline(&self) -> Instant {
        Instant::now() + self.options.send_timeout
    }

    /// Tries until a broker took the parcel, one refused for good, tries are used up or the time is.
    pub(in crate::client) fn deliver<'a>(
        &'a self,
        parcel: &'a Parcel,
        target: Target<'a>,
        deadline: Instant,
    ) -> impl Future<Output = Result<SendReceipt, ClientError>> + Send + 'a {
        let span = tracing::debug_span!("send", topic = parcel.topic, batch = parcel.batch, id = %parcel.message_id);
        self.try_all(parcel, target, deadline).instrument(span)
    }

    /// The first try needs neither a pause nor room for what only later ones keep.
    async fn try_all(
        &self,
        parcel: &Parcel,
        target: Target<'_>,
        deadline: Instant,
    ) -> Result<SendReceipt, ClientError> {
        let left = self.further_tries(&target);
        let (queue, channel) = self.known_way(&parcel.topic, &target, deadline)?;
        let broker = queue.as_ref().map(|queue| Arc::clone(&queue.broker));
        let (chosen, error) = match (queue, channel) {
            (Some(queue), Some(channel)) => {
                match self.attempt(parcel, &Way { queue, channel }, (deadline, left)).await {
                    Ok(receipt) => return Ok(receipt),
                    Err(error) => (None, Some(error)),
                }
            }
            (queue, _) => (queue, None),
        };
        let past = Past { chosen, broker, trouble: None };
        Box::pin(self.try_on(parcel, target, (deadline, left), (past, error))).await
    }

    /// So many tries may follow the first.
    pub(super) fn further_tries(&self, target: &Target<'_>) -> usize {
        match target {
            Target::Any => self.options.retries,
            _ => self.options.retries_in_place,
        }
    }

    /// Goes on after `error`, or begins by asking where the topic is.
    pub(super) async fn try_on(
        &self,
        parcel: &Parcel,
        target: Target<'_>,
        (deadline, mut left): (Instant, usize),
        (mut past, mut error): (Past, Option<ClientError>),
    ) -> Result<SendReceipt, ClientError> {
        loop {
            if let Some(error) = error.take() {
                if Instant::now() >= deadline {
                    return Err(self.late(Some(past.trouble.take().unwrap_or(error))));
                }
                let worth = match target {
                    Target::Any => is_worth_another_try(&error),
                    _ => is_no_answer(&error),
                };
                if !worth || left == 0 {
                    return Err(error);
                }
                left -= 1;
                tracing::debug!(topic = %parcel.topic, %error, "send failed, it is tried again");
                past.trouble = Some(error);
            }
            let tried = match self.way(parcel, &target, &mut past, deadline).await {
                Ok(way) => self.attempt(parcel, &way, (deadline, left)).await,
                Err(no_way) => Err(no_way),
            };
            match tried {
                Ok(receipt) => return Ok(receipt),
                Err(failed) => error = Some(failed),
            }
        }
    }

    /// Hands a parcel to the network.
    pub(in crate::client) async fn hand_over(
        &self,
        parcel: &Parcel,
        target: Target<'_>,
        deadline: Instant,
    ) -> Result<(), ClientError> {
        let sending = async {
            let route = self.core.route(&parcel.topic, Purpose::Publish).await?;
            let queue = self.choose(&route, &parcel.topic, &target, None)?;
            let channel = self.core.master(&queue.broker).await?;
            let label = parcel.label();
            let header = self.header(&label, &queue);
            channel.oneway(label.code(), &header, &parcel.body, self.options.send_timeout).await?;
            Ok(())
        };
        timeout_at(deadline, sending).await.unwrap_or_else(|_| Err(self.late(None)))
    }

    pub(in crate::client) fn late(&self, trouble: Option<ClientError>) -> ClientError {
        let trouble = trouble.map_or_else(|| "no answer came".to_owned(), |error| error.to_string());
        ClientError::Timeout { what: "sending", after: self.options.send_timeout, trouble }
    }

    /// One try, of which so many are left after this one.
    async fn attempt(
        &self,
        parcel: &Parcel,
        way: &Way,
        (deadline, left): (Instant, usize),
    ) -> Result<SendReceipt, ClientError> {
        let Way { queue, channel } = way;
        let begun = self.begun();
        let patience = self.patience(deadline, left);
        let asked = channel.begin(parcel.label().code(), &self.header(&parcel.label(), queue), &parcel.body, patience);
        let reply = match asked {
            Ok(Some(under_way)) => under_way.await,
            Ok(None) => Box::pin(self.request(way, parcel, patience)).await,
            Err(error) => Err(error),
        };
        self.received(way, (reply, &parcel.message_id), begun)
    }

    /// The clock is read only for those who want to know.
    pub(super) fn begun(&self) -> Option<Instant> {
        self.faults.enabled().then(Instant::now)
    }

    /// How long a try may take that so many may follow.
    pub(super) fn patience(&self, deadline: Instant, left: usize) -> Patience {
        let limit = self.options.try_timeout.filter(|_| left > 0);
        limit.map_or(Patience { until: deadline, whole: self.options.send_timeout }, |limit| {
            let limited = Patience::of(limit);
            Patience { until: limited.until.min(deadline), ..limited }
        })
    }

    /// What came back of a try that began at `begun`.
    pub(super) fn received(
        &self,
        Way { queue, channel }: &Way,
        (reply, id): (Result<Reply, ChannelError>, &MessageId),
        begun: Option<Instant>,
    ) -> Result<SendReceipt, ClientError> {
        let received = reply.map_err(ClientError::from).and_then(|reply| self.receipt(channel, &reply, (id, queue)));
        if let Some(begun) = begun {
            self.faults.note(&queue.broker, verdict(&received, begun.elapsed()));
        }
        received
    }

    /// The request that has to wait for its turn or for room.
    async fn request(
        &self,
        Way { queue, channel }: &Way,
        parcel: &Parcel,
        patience: Patience,
    ) -> Result<Reply, ChannelError> {
        let wait = patience.until.saturating_duration_since(Instant::now());
        let label = parcel.label();
        channel.request(label.code(), &self.header(&label, queue), &parcel.body, wait).await
    }

    /// The queue to begin with, where the route is known, and the connection to its broker, where that is open.
    pub(super) fn known_way(
        &self,
        topic: &str,
        target: &Target<'_>,
        deadline: Instant,
    ) -> Result<(Option<Arc<MessageQueue>>, Option<Channel>), ClientError> {
        let routes = self.core.known_routes();
        let Some(route) = routes.topics.get(topic) else {
            return Ok((None, None));
        };
        let queue = self.choose(route, topic, target, None).map_err(|refused| {
            // Who gave no time hears so, whatever else there is to say.
            if Instant::now() >= deadline { self.late(Some(refused)) } else { refused }
        })?;
        let channel = self.core.open_master_of(&routes, &queue.broker);
        Ok((Some(queue), channel))
    }

    /// Queue and connection, found or made.
    async fn way(
        &self,
        parcel: &Parcel,
        target: &Target<'_>,
        past: &mut Past,
        deadline: Instant,
    ) -> Result<Way, ClientError> {
        let search = async {
            if let Some(chosen) = past.chosen.take() {
                return self.reach(chosen).await;
            }
            let route = match past.trouble {
                // The broker may have gone and the name servers know it already.
                Some(_) => self.core.fresh_route(&parcel.topic, Purpose::Publish).await?,
                None => self.core.route(&parcel.topic, Purpose::Publish).await?,
            };
            let queue = self.choose(&route, &parcel.topic, target, past.broker.as_deref())?;
            if past.broker.replace(Arc::clone(&queue.broker)).is_some_and(|last| last == queue.broker) {
                // There is no other: give it the time that a new connection is given.
                sleep_until(Instant::now() + BACK_OFF_MIN).await;
            }
            self.reach(queue).await
        };
        timeout_at(deadline, search).await.unwrap_or_else(|_| Err(self.late(None)))
    }

    async fn reach(&self, queue: Arc<MessageQueue>) -> Result<Way, ClientError> {
        match self.core.master(&queue.broker).await {
            Ok(channel) => Ok(Way { queue, channel }),
            Err(error) => {
                self.faults.note(&queue.broker, Ended::Failed);
                Err(error)
            }
        }
    }

    /// The queue of a message whose target is not any queue.
    pub(in crate::client) fn choose(
        &self,
        route: &Route,
        topic: &str,
        target: &Target<'_>,
        avoid: Option<&str>,
    ) -> Result<Arc<MessageQueue>, ClientError> {
        let queues = &route.writable;
        let index = match target {
            Target::Queue(queue) => return Ok(Arc::new((*queue).clone())),
            Target::Key(key) => {
                (hash(key) % i32::try_from(queues.len().max(1)).unwrap_or(i32::MAX)).unsigned_abs() as usize
            }
            Target::Select(select) => select(queues),
            Target::Any => self.next_of(queues, avoid),
        };
        let queue = index.checked_rem(queues.len()).and_then(|index| queues.get(index));
        queue.cloned().ok_or_else(|| ClientError::NoQueue { topic: topic.to_owned(), access: Access::Write })
    }

    /// The next in turn whose broker is neither the one to avoid nor, where that is asked for, slow or failing.
    fn next_of(&self, queues: &[Arc<MessageQueue>], avoid: Option<&str>) -> usize {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let other = |queue: &MessageQueue| avoid != Some(queue.broker.as_ref());
        let available = |queue: &MessageQueue| other(queue) && self.faults.is_available(&queue.broker);
        let reachable = |queue: &MessageQueue| other(queue) && self.faults.is_reachable(&queue.broker);
        let first = |fits: &dyn Fn(&MessageQueue) -> bool| {
            (0..queues.len())
                .find(|ahead| queues.get(turn.wrapping_add(*ahead) % queues.len()).is_some_and(|q| fits(q)))
        };
        let ahead = match (self.faults.enabled(), avoid) {
            (false, None) => return turn,
            (false, Some(_)) => first(&other),
            (true, _) => first(&available).or_else(|| first(&reachable)).or_else(|| first(&other)),
        };
        let ahead = ahead.unwrap_or(0);
        // What was passed over is behind us, or the queue after a gap would get all of the gap's turns.
        self.turn.fetch_add(ahead, Ordering::Relaxed);
        turn.wrapping_add(ahead)
    }

    pub(super) fn header<'a>(&'a self, label: &Label<'a>, queue: &'a MessageQueue) -> SendMessageRequestV2<'a> {
        SendMessageRequestV2 {
            producer_group: Cow::Borrowed(&self.options.group),
            topic: Cow::Borrowed(label.topic),
            default_topic: Cow::Borrowed(AUTO_CREATE_TOPIC),
            default_topic_queue_nums: NEW_TOPIC_QUEUES,
            queue_id: i32::try_from(queue.queue).unwrap_or(i32::MAX),
            sys_flag: label.sys_flag,
            born_timestamp: label.born_timestamp_ms,
            flag: label.flag,
            properties: Cow::Borrowed(label.properties),
            reconsume_times: Some(label.retried.map_or(0, |retried| retried.times)),
            unit_mode: Some(false),
            max_reconsume_times: label.retried.and_then(|retried| retried.times_max),
            batch: Some(label.batch),
            broker_name: Cow::Borrowed(&queue.broker),
        }
    }

    fn receipt(
        &self,
        channel: &Channel,
        reply: &Reply,
        (id, queue): (&MessageId, &MessageQueue),
    ) -> Result<SendReceipt, ClientError> {
        let status = match ResponseCode::from_number(reply.code) {
            ResponseCode::Success => SendStatus::Stored,
            ResponseCode::FlushDiskTimeout => SendStatus::FlushDiskTimeout,
            ResponseCode::FlushSlaveTimeout => SendStatus::FlushSlaveTimeout,
            ResponseCode::SlaveNotAvailable => SendStatus::SlaveNotAvailable,
            _ => return Err(refused(channel, reply)),
        };
        let header = SendAnswer::of(&reply.ext).map_err(|error| unreadable(channel, error))?;
        let queue_id = u32::try_from(header.queue_id).map_err(|_| unreadable(channel, "a negative queue id"))?;
        Ok(SendReceipt {
            status,
            message_id: id.clone(),
            offset_message_id: header.msg_id.into(),
            queue: MessageQueue { queue: queue_id, ..queue.clone() },
            queue_offset: header.queue_offset,
            transaction_id: header.transaction_id.map(MessageId::from),
            region: header.region.map(|name| self.region(name)),
            traced: header.trace_on.is_none_or(|on| on != "false"),
        })
    }

    fn region(&self, name: &str) -> Arc<str> {
        let known = self.region.get_or_init(|| name.into());
        if **known == *name { Arc::clone(known) } else { name.into() }
    }
}
