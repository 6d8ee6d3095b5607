//! Owns the connections to brokers and, since brokers know group members by connection, what this client is a member of.
//!
//! Hears who needs a connection, who joins and leaves, what brokers ask of us, and the clock (every 30 s). Tells brokers
//! by heartbeat; tells rebalancing of a broker's notice.
//!
//! Invariants: one connection per broker address; a connection is handed out only after its first heartbeat, so that
//! the broker knows us before our first pull.

mod inbound;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use arc_swap::ArcSwap;
use rustc_hash::FxHashMap;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use self::inbound::{Asked, Questions};
pub(super) use self::inbound::{AwaitReply, ForgetReply, Serve};
use super::heartbeat::{Beat, Known};
use super::link::{BACK_OFF_MAX, BACK_OFF_MIN, Link, Waiter};
use super::membership::{Join, Leave, Membership};
use super::route::{MASTER, RouteTable};
use crate::protocol::body::clients::ConsumerData;
use crate::protocol::code::RequestCode;
use crate::remoting::channel::{Channel, ChannelOptions, PeerRequest};
use crate::remoting::error::ChannelError;
use crate::remoting::tls::Dialer;

/// Requests of brokers that wait for us, of all connections together; more are dropped.
const INBOUND_MAX: usize = 1024;
/// Open connections by address, for everyone to read.
pub(super) type Channels = ArcSwap<FxHashMap<String, Channel>>;

/// From whoever found no connection in [`Channels`]: make one.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Connect {
    pub(super) address: String,
    pub(super) reply: oneshot::Sender<Result<Channel, ChannelError>>,
}

/// From a consumer: what it subscribes to changed.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Resubscribe(pub(super) ConsumerData);

/// From a consumer that wants to be known now; answered when all brokers in the routes heard us or failed.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct BeatNow;

/// The owner.
pub(super) struct Brokers {
    routes: Arc<ArcSwap<RouteTable>>,
    channels: Arc<Channels>,
    beat_interval: Duration,
    request_timeout: Duration,
    tls: Option<Dialer>,
    links: FxHashMap<String, Link>,
    membership: Membership,
    /// What each broker knows of us since our last heartbeat.
    known: FxHashMap<String, Known>,
    inbound: Option<mpsc::Sender<PeerRequest>>,
    /// What this client asked of others.
    questions: Questions,
}

/// How this client presents itself to brokers, and how patiently.
pub(super) struct Presence {
    pub(super) client_id: String,
    pub(super) beat_interval: Duration,
    pub(super) request_timeout: Duration,
    /// `None`: plain text.
    pub(super) tls: Option<Dialer>,
}

/// From the task that connected: what came of it.
#[derive(Message)]
#[rtype(result = "()")]
struct Connected {
    address: String,
    result: Result<Channel, ChannelError>,
    known: Known,
}

/// From the watch of a connection: it is no more.
#[derive(Message)]
#[rtype(result = "()")]
struct Ended(String);

/// From the heartbeat's task.
#[derive(Message)]
#[rtype(result = "()")]
struct Beaten(String, Known);

impl Brokers {
    pub(super) fn new(presence: Presence, routes: Arc<ArcSwap<RouteTable>>, channels: Arc<Channels>) -> Self {
        Self {
            routes,
            channels,
            beat_interval: presence.beat_interval,
            request_timeout: presence.request_timeout,
            tls: presence.tls,
            links: FxHashMap::default(),
            membership: Membership::new(presence.client_id),
            known: FxHashMap::default(),
            inbound: None,
            questions: Questions::default(),
        }
    }

    fn connect(&mut self, address: String, reply: Option<Waiter>, ctx: &mut Context<Self>) {
        let failures = match self.links.get_mut(&address) {
            Some(Link::Connecting { waiters, .. }) => return waiters.extend(reply),
            Some(Link::Up(channel)) if channel.is_open() => {
                answer(reply, Ok(channel.clone()));
                return;
            }
            Some(Link::Down { until, reason, .. }) if Instant::now() < *until => {
                answer(reply, Err(reason.clone()));
                return;
            }
            Some(Link::Down { failures, .. }) => *failures,
            _ => 0,
        };
        self.known.remove(&address);
        self.links.insert(address.clone(), Link::Connecting { waiters: reply.into_iter().collect(), failures });
        let options = ChannelOptions {
            connect_timeout: self.request_timeout,
            inbound: self.inbound.clone(),
            tls: self.tls.clone(),
            ..ChannelOptions::default()
        };
        let (beat, wait, me) = (self.membership.beat(), self.request_timeout, ctx.address());
        drop(actix::spawn(async move {
            let result = Channel::connect(&address, options).await;
            let mut known = Known::default();
            if let (Ok(channel), Some(beat)) = (&result, beat) {
                known = beat.send(channel, known, wait).await;
            }
            me.do_send(Connected { address, result, known });
        }));
    }

    fn connected(&mut self, connected: Connected, ctx: &mut Context<Self>) {
        let Connected { address, result, known } = connected;
        let Some(Link::Connecting { waiters, failures }) = self.links.remove(&address) else {
            return;
        };
        for waiter in waiters {
            answer(Some(waiter), result.clone());
        }
        match result {
            Ok(channel) => {
                self.watch(&channel, ctx);
                self.known.insert(address.clone(), known);
                self.links.insert(address, Link::Up(channel));
                self.publish();
            }
            Err(reason) => {
                tracing::debug!(%address, %reason, "broker not reached");
                self.links.insert(address, Link::down(failures, reason));
            }
        }
    }

    fn watch(&self, channel: &Channel, ctx: &Context<Self>) {
        let (channel, me) = (channel.clone(), ctx.address());
        drop(actix::spawn(async move {
            channel.wait_until_ended().await;
            me.do_send(Ended(channel.address().to_owned()));
        }));
    }

    /// A broker forgets us with the connection; who consumes or answers must not stay away until the next heartbeat.
    fn ended(&mut self, address: String, ctx: &mut Context<Self>) {
        if !matches!(self.links.get(&address), Some(Link::Up(channel)) if channel.ended().is_some()) {
            return;
        }
        self.links.remove(&address);
        self.known.remove(&address);
        self.publish();
        if self.membership.is_asked() && self.in_routes(&address) {
            ctx.run_later(BACK_OFF_MIN, move |brokers, ctx| brokers.connect(address, None, ctx));
        }
    }

    fn in_routes(&self, address: &str) -> bool {
        self.routes.load().brokers.values().any(|addresses| addresses.values().any(|known| known == address))
    }

    fn publish(&self) {
        let up = self.links.iter().filter_map(|(address, link)| match link {
            Link::Up(channel) => Some((address.clone(), channel.clone())),
            _ => None,
        });
        self.channels.store(Arc::new(up.collect()));
    }

    /// Consumers are known to slaves too, producers only to masters.
    fn audience(&self) -> Vec<String> {
        let table = self.routes.load();
        let all = table.brokers.values().flatten();
        all.filter(|(id, _)| **id == MASTER || self.membership.consumes()).map(|(_, address)| address.clone()).collect()
    }

    /// Tells every broker in the routes; done when each heard or failed.
    fn beat_all(&mut self, ctx: &mut Context<Self>) -> impl Future<Output = ()> + use<> {
        let mut beats = Vec::new();
        if let Some(beat) = self.membership.beat() {
            let beat = Arc::new(beat);
            for address in self.audience() {
                match self.links.get(&address) {
                    Some(Link::Up(channel)) if channel.is_open() => {
                        let known = self.known.get(&address).copied().unwrap_or_default();
                        beats.push(self.beat_one(channel.clone(), Arc::clone(&beat), known, ctx));
                    }
                    _ => beats.push(self.greet(address, Arc::clone(&beat), ctx)),
                }
            }
        }
        async move {
            for done in beats {
                // An error means that the client is shutting down.
                let _ = done.await;
            }
        }
    }

    fn beat_one(&self, channel: Channel, beat: Arc<Beat>, known: Known, ctx: &Context<Self>) -> oneshot::Receiver<()> {
        let (wait, me) = (self.request_timeout, ctx.address());
        let (done, is_done) = oneshot::channel();
        drop(actix::spawn(async move {
            let known = beat.send(&channel, known, wait).await;
            me.do_send(Beaten(channel.address().to_owned(), known));
            // Nobody may wait.
            let _ = done.send(());
        }));
        is_done
    }

    /// Connecting includes a heartbeat, but one that may have begun before the latest member joined.
    fn greet(&mut self, address: String, beat: Arc<Beat>, ctx: &mut Context<Self>) -> oneshot::Receiver<()> {
        let (done, is_done) = oneshot::channel();
        let (reply, connected) = oneshot::channel();
        self.connect(address, Some(reply), ctx);
        let (wait, me) = (self.request_timeout, ctx.address());
        drop(actix::spawn(async move {
            if let Ok(Ok(channel)) = connected.await {
                let known = beat.send(&channel, Known::default(), wait).await;
                me.do_send(Beaten(channel.address().to_owned(), known));
            }
            // Nobody may wait.
            let _ = done.send(());
        }));
        is_done
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        self.links
            .retain(|_, link| !matches!(link, Link::Down { until, .. } if *until + BACK_OFF_MAX < Instant::now()));
        drop(self.beat_all(ctx));
        ctx.run_later(self.beat_interval, Self::tick);
    }
}

fn answer(reply: Option<Waiter>, result: Result<Channel, ChannelError>) {
    if let Some(reply) = reply {
        // Who asked may have given up.
        let _ = reply.send(result);
    }
}

impl Actor for Brokers {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let (inbound, mut requests) = mpsc::channel(INBOUND_MAX);
        self.inbound = Some(inbound);
        let me = ctx.address();
        drop(actix::spawn(async move {
            while let Some(request) = requests.recv().await {
                // Awaited, so that a broker that asks without end fills its own queue and not our mailbox.
                if me.send(Asked(request)).await.is_err() {
                    return;
                }
            }
        }));
        ctx.run_later(self.beat_interval, Self::tick);
    }
}

impl Handler<Connect> for Brokers {
    type Result = ();

    fn handle(&mut self, connect: Connect, ctx: &mut Context<Self>) {
        self.connect(connect.address, Some(connect.reply), ctx);
    }
}

impl Handler<Connected> for Brokers {
    type Result = ();

    fn handle(&mut self, connected: Connected, ctx: &mut Context<Self>) {
        self.connected(connected, ctx);
    }
}

impl Handler<Ended> for Brokers {
    type Result = ();

    fn handle(&mut self, Ended(address): Ended, ctx: &mut Context<Self>) {
        self.ended(address, ctx);
    }
}

impl Handler<Beaten> for Brokers {
    type Result = ();

    fn handle(&mut self, Beaten(address, known): Beaten, _: &mut Context<Self>) {
        self.known.insert(address, known);
    }
}

impl Handler<Join> for Brokers {
    type Result = bool;

    fn handle(&mut self, join: Join, _: &mut Context<Self>) -> bool {
        self.membership.join(join)
    }
}

impl Handler<Resubscribe> for Brokers {
    type Result = ();

    fn handle(&mut self, Resubscribe(data): Resubscribe, _: &mut Context<Self>) {
        self.membership.resubscribe(data);
    }
}

impl Handler<BeatNow> for Brokers {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: BeatNow, ctx: &mut Context<Self>) -> ResponseFuture<()> {
        Box::pin(self.beat_all(ctx))
    }
}

impl Handler<Leave> for Brokers {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, leave: Leave, _: &mut Context<Self>) -> ResponseFuture<()> {
        let Some(header) = self.membership.leave(leave) else {
            return Box::pin(std::future::ready(()));
        };
        let channels = self.channels.load_full();
        let wait = self.request_timeout;
        Box::pin(async move {
            let code = RequestCode::UnregisterClient.number();
            let farewell = channels.values().map(|channel| channel.request(code, &header, b"", wait));
            for outcome in futures_util::future::join_all(farewell).await {
                if let Err(error) = outcome {
                    tracing::debug!(%error, "a broker did not hear that we leave; it forgets us by itself");
                }
            }
        })
    }
}
