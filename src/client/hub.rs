//! What a client's producers and consumers share: the doors to its actors and the tables that these publish.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use arc_swap::{ArcSwap, Guard};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::brokers::{AwaitReply, BeatNow, Brokers, Channels, Connect, ForgetReply, Presence, Resubscribe, Serve};
use super::consume::push_consumer::inquiries::Inquiry;
use super::consume::received::ReceivedMessage;
use super::error::ClientError;
use super::home::Home;
use super::membership::{Join, Leave};
use super::name_servers::{NameServers, Source};
use super::options::{ClientOptions, local_address};
use super::route::{MASTER, Route, RouteTable};
use super::routes::{Lookup, Purpose, Routes};
use crate::protocol::body::clients::ConsumerData;
use crate::protocol::code::{RequestCode, ResponseCode};
use crate::protocol::hash::hash;
use crate::protocol::uniq_key::{Origin, UniqueKeys};
use crate::remoting::channel::{Channel, Reply};
use crate::remoting::tls::Dialer;

pub(super) struct Hub {
    pub(super) options: ClientOptions,
    pub(super) client_id: String,
    /// The same in a process that starts again: for what is kept on the disk.
    pub(super) lasting_id: String,
    pub(super) unique_keys: UniqueKeys,
    table: Arc<ArcSwap<RouteTable>>,
    channels: Arc<Channels>,
    routes: Addr<Routes>,
    brokers: Addr<Brokers>,
    home: Home,
    dialer: Option<Dialer>,
    /// Room for requests to other clients that wait for a reply.
    questions: Arc<Semaphore>,
}

/// Requests to other clients that wait for a reply at once; more wait until there is room.
const QUESTIONS_MAX: usize = 65_536;

impl Hub {
    pub(super) async fn start(options: ClientOptions) -> Result<Self, ClientError> {
        options.check()?;
        let dialer = options.dialer().await?;
        let address = local_address();
        let client_id = options.client_id(address);
        let (table, channels) = (Arc::<ArcSwap<RouteTable>>::default(), Arc::<Channels>::default());
        let name_servers = NameServers::new(Source::of(&options), options.request_timeout, dialer.clone());
        let routes = Routes::new(name_servers, Arc::clone(&table), options.route_interval);
        let presence = Presence {
            client_id: client_id.clone(),
            beat_interval: options.heartbeat_interval,
            request_timeout: options.request_timeout,
            tls: dialer.clone(),
        };
        let brokers = Brokers::new(presence, Arc::clone(&table), Arc::clone(&channels));
        let (home, (routes, brokers)) = Home::start(move || (routes.start(), brokers.start())).await?;
        let utc_offset_s = jiff::Zoned::now().offset().seconds();
        let generator = hash(&client_id) as u32;
        let unique_keys = UniqueKeys::new(Origin { address, process_id: std::process::id(), generator }, utc_offset_s);
        let lasting_id = options.lasting_id(address);
        let questions = Arc::new(Semaphore::new(QUESTIONS_MAX));
        Ok(Self {
            options,
            client_id,
            lasting_id,
            unique_keys,
            table,
            channels,
            routes,
            brokers,
            home,
            dialer,
            questions,
        })
    }

    /// The name servers once more, for questions beside those about routes.
    pub(super) fn name_servers(&self) -> NameServers {
        NameServers::new(Source::of(&self.options), self.options.request_timeout, self.dialer.clone())
    }

    /// The route as it is known, or asked for when it is not.
    pub(super) async fn route(&self, topic: &str, purpose: Purpose) -> Result<Arc<Route>, ClientError> {
        match self.known_route(topic) {
            Some(route) if purpose == Purpose::Publish || !route.provisional => Ok(route),
            _ => self.fresh_route(topic, purpose).await,
        }
    }

    /// The route as it is known, also of a topic that brokers will make.
    pub(super) fn known_route(&self, topic: &str) -> Option<Arc<Route>> {
        self.known_routes().topics.get(topic).map(Arc::clone)
    }

    /// All routes as they are known. Not to be kept.
    pub(super) fn known_routes(&self) -> Guard<Arc<RouteTable>> {
        self.table.load()
    }

    /// The route as the name servers know it now.
    pub(super) async fn fresh_route(&self, topic: &str, purpose: Purpose) -> Result<Arc<Route>, ClientError> {
        let (reply, found) = oneshot::channel();
        self.routes.do_send(Lookup { topic: topic.into(), purpose, reply });
        found.await.map_err(|_| ClientError::ShutDown)?
    }

    /// The connection to a broker by name, and the id of the one connected to: `id` where it is there, else its master.
    pub(super) async fn broker(&self, name: &str, id: i64) -> Result<(Channel, i64), ClientError> {
        let found = self.table.load().address(name, id).map(|(address, id)| (address.to_owned(), id));
        let (address, id) = found.ok_or_else(|| ClientError::NoBroker { broker: name.to_owned() })?;
        Ok((self.channel(&address).await?, id))
    }

    /// The connection to a broker's master.
    pub(super) async fn master(&self, name: &str) -> Result<Channel, ClientError> {
        Ok(self.broker(name, MASTER).await?.0)
    }

    /// The same, where it is open already.
    pub(super) fn open_master(&self, name: &str) -> Option<Channel> {
        self.open_master_of(&self.known_routes(), name)
    }

    /// The same for who has the routes at hand.
    pub(super) fn open_master_of(&self, routes: &RouteTable, name: &str) -> Option<Channel> {
        let (address, _) = routes.address(name, MASTER)?;
        self.open_channel(address)
    }

    fn open_channel(&self, address: &str) -> Option<Channel> {
        self.channels.load().get(address).filter(|channel| channel.is_open()).cloned()
    }

    pub(super) async fn channel(&self, address: &str) -> Result<Channel, ClientError> {
        if let Some(channel) = self.open_channel(address) {
            return Ok(channel);
        }
        let (reply, connected) = oneshot::channel();
        self.brokers.do_send(Connect { address: address.to_owned(), reply });
        Ok(connected.await.map_err(|_| ClientError::ShutDown)??)
    }

    pub(super) async fn join(&self, join: Join) -> Result<bool, ClientError> {
        self.brokers.send(join).await.map_err(|_| ClientError::ShutDown)
    }

    pub(super) async fn resubscribe(&self, data: ConsumerData) -> Result<(), ClientError> {
        self.brokers.send(Resubscribe(data)).await.map_err(|_| ClientError::ShutDown)
    }

    pub(super) async fn leave(&self, leave: Leave) -> Result<(), ClientError> {
        self.brokers.send(leave).await.map_err(|_| ClientError::ShutDown)
    }

    /// A consumer that joined answers for its group from now on.
    pub(super) fn serve(&self, group: String, inquiries: Recipient<Inquiry>) {
        self.brokers.do_send(Serve { group, inquiries });
    }

    /// Room for one more request to another client.
    pub(super) async fn room_for_question(&self) -> Result<OwnedSemaphorePermit, ClientError> {
        Arc::clone(&self.questions).acquire_owned().await.map_err(|_| ClientError::ShutDown)
    }

    /// Whoever replies to `correlation` is heard at `reply`, until that is forgotten.
    pub(super) fn await_reply(&self, correlation: String, reply: oneshot::Sender<ReceivedMessage>) {
        self.brokers.do_send(AwaitReply { correlation, reply });
    }

    pub(super) fn forget_reply(&self, correlation: String) {
        self.brokers.do_send(ForgetReply(correlation));
    }

    /// A group that nobody waits for is left behind its owner's back.
    pub(super) fn leave_later(&self, leave: Leave) {
        self.brokers.do_send(leave);
    }

    /// Lets all brokers in the routes know of us; done when each heard or failed.
    pub(super) async fn beat_now(&self) -> Result<(), ClientError> {
        self.brokers.send(BeatNow).await.map_err(|_| ClientError::ShutDown)
    }

    /// As [`Self::beat_now`], but nobody waits.
    pub(super) fn beat_later(&self) {
        self.brokers.do_send(BeatNow);
    }

    /// Runs `build` on the client's thread.
    pub(super) async fn at_home<T, B>(&self, build: B) -> Result<T, ClientError>
    where
        T: Send + 'static,
        B: FnOnce() -> T + Send + 'static,
    {
        let (made, is_made) = oneshot::channel();
        let run = move || {
            // Who asked may have given up.
            let _ = made.send(build());
        };
        self.home.run(run);
        is_made.await.map_err(|_| ClientError::ShutDown)
    }

    /// Runs `task` on the client's thread.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.home.spawn(task);
    }

    pub(super) async fn end(&self) {
        self.home.end().await;
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

/// Sends a request and takes only success for an answer.
pub(super) async fn ask<T: Serialize + ?Sized>(
    channel: &Channel,
    code: RequestCode,
    header: &T,
    body: &[u8],
    wait: Duration,
) -> Result<Reply, ClientError> {
    let reply = channel.request(code.number(), header, body, wait).await?;
    if reply.code == ResponseCode::Success.number() { Ok(reply) } else { Err(refused(channel, &reply)) }
}

pub(super) fn refused(channel: &Channel, reply: &Reply) -> ClientError {
    let remark = reply.remark.clone().unwrap_or_default();
    ClientError::Refused { address: channel.address().to_owned(), code: reply.code, remark }
}

/// What to say of an answer that cannot be read.
pub(super) fn unreadable(channel: &Channel, reason: impl ToString) -> ClientError {
    ClientError::Answer { address: channel.address().to_owned(), reason: reason.to_string() }
}
