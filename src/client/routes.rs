//! Owns the routes of all topics in use. Hears who needs a route; asks the name servers, every 30 s again; publishes a
//! table that everyone reads without asking. A topic is asked for by one question at a time, however many wait for it.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use arc_swap::ArcSwap;
use rustc_hash::FxHashMap;
use tokio::sync::oneshot;

use super::error::ClientError;
use super::name_servers::NameServers;
use super::route::{Route, RouteTable};
use crate::protocol::body::Body;
use crate::protocol::body::route::TopicRouteData;
use crate::protocol::code::{RequestCode, ResponseCode};
use crate::protocol::header::namesrv::GetRouteInfoRequest;
use crate::protocol::names::AUTO_CREATE_TOPIC;

/// Topics whose routes are kept fresh at once; more are an error of the program, not of this one.
const TOPICS_MAX: usize = 100_000;

/// What a route is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    /// Only a topic that exists will do.
    Existing,
    /// A topic that brokers will make when the first message comes will do too.
    Publish,
}

/// From producers and consumers: ask the name servers now.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Lookup {
    pub(super) topic: Arc<str>,
    pub(super) purpose: Purpose,
    pub(super) reply: oneshot::Sender<Result<Arc<Route>, ClientError>>,
}

/// From the question: what came of it.
#[derive(Message)]
#[rtype(result = "()")]
struct Found {
    topic: Arc<str>,
    purpose: Purpose,
    found: Result<Route, ClientError>,
}

type Waiter = oneshot::Sender<Result<Arc<Route>, ClientError>>;
type Waiters = Vec<Waiter>;

/// The owner.
pub(super) struct Routes {
    name_servers: Arc<NameServers>,
    table: Arc<ArcSwap<RouteTable>>,
    interval: Duration,
    asking: FxHashMap<(Arc<str>, Purpose), Waiters>,
}

impl Routes {
    pub(super) fn new(name_servers: NameServers, table: Arc<ArcSwap<RouteTable>>, interval: Duration) -> Self {
        Self { name_servers: Arc::new(name_servers), table, interval, asking: FxHashMap::default() }
    }

    fn ask(&mut self, topic: Arc<str>, purpose: Purpose, reply: Option<Waiter>, ctx: &mut Context<Self>) {
        let key = (Arc::clone(&topic), purpose);
        if let Some(waiters) = self.asking.get_mut(&key) {
            waiters.extend(reply);
            return;
        }
        self.asking.insert(key, reply.into_iter().collect());
        let (name_servers, routes) = (Arc::clone(&self.name_servers), ctx.address());
        // Not a future of the actor: a wake would poll every question under way.
        drop(actix::spawn(async move {
            let found = find(&name_servers, &topic, purpose).await;
            routes.do_send(Found { topic, purpose, found });
        }));
    }

    fn answer(&mut self, Found { topic, purpose, found }: Found) {
        let found = found.map(Arc::new);
        self.publish(&topic, &found);
        for waiter in self.asking.remove(&(topic, purpose)).unwrap_or_default() {
            // Who asked may have given up.
            let _ = waiter.send(found.clone());
        }
    }

    fn publish(&self, topic: &Arc<str>, found: &Result<Arc<Route>, ClientError>) {
        let table = self.table.load();
        let known = table.topics.get(topic);
        match found {
            Ok(route) if known.is_some_and(|known| known == route) => {}
            Ok(route) if known.is_some() || table.topics.len() < TOPICS_MAX => {
                tracing::debug!(%topic, ?route, "route");
                self.table.store(Arc::new(table.with(topic, Some(Arc::clone(route)))));
            }
            Err(ClientError::TopicNotFound { .. }) if known.is_some_and(|known| !known.provisional) => {
                tracing::info!(%topic, "the topic is gone");
                self.table.store(Arc::new(table.with(topic, None)));
            }
            // Without an answer the old route is better than none.
            _ => {}
        }
    }

    fn refresh(&mut self, ctx: &mut Context<Self>) {
        let table = self.table.load_full();
        for (topic, route) in &table.topics {
            let purpose = if route.provisional { Purpose::Publish } else { Purpose::Existing };
            self.ask(Arc::clone(topic), purpose, None, ctx);
        }
        ctx.run_later(self.interval, Self::refresh);
    }
}

impl Actor for Routes {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_later(self.interval, Self::refresh);
    }
}

impl Handler<Lookup> for Routes {
    type Result = ();

    fn handle(&mut self, lookup: Lookup, ctx: &mut Context<Self>) {
        self.ask(lookup.topic, lookup.purpose, Some(lookup.reply), ctx);
    }
}

impl Handler<Found> for Routes {
    type Result = ();

    fn handle(&mut self, found: Found, _: &mut Context<Self>) {
        self.answer(found);
    }
}

async fn find(name_servers: &NameServers, topic: &str, purpose: Purpose) -> Result<Route, ClientError> {
    match ask(name_servers, topic).await {
        Ok(data) => Ok(Route::of(topic, &data)),
        Err(ClientError::TopicNotFound { .. }) if purpose == Purpose::Publish => {
            let template = ask(name_servers, AUTO_CREATE_TOPIC).await;
            template.map(|template| Route::of_new_topic(topic, &template)).map_err(|error| match error {
                ClientError::TopicNotFound { .. } => ClientError::TopicNotFound { topic: topic.to_owned() },
                other => other,
            })
        }
        Err(error) => Err(error),
    }
}

async fn ask(name_servers: &NameServers, topic: &str) -> Result<TopicRouteData, ClientError> {
    let header = GetRouteInfoRequest { topic: topic.to_owned(), accept_standard_json_only: Some(true) };
    let reply = name_servers.ask(RequestCode::GetRouteinfoByTopic.number(), &header).await?;
    let address = || "the name server".to_owned();
    match ResponseCode::from_number(reply.code) {
        ResponseCode::Success => TopicRouteData::decode(&reply.body)
            .map_err(|error| ClientError::Answer { address: address(), reason: error.to_string() }),
        ResponseCode::TopicNotExist => Err(ClientError::TopicNotFound { topic: topic.to_owned() }),
        other => Err(ClientError::Refused {
            address: address(),
            code: other.number(),
            remark: reply.remark.unwrap_or_default(),
        }),
    }
}
