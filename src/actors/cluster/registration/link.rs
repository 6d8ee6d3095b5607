//! One name server: the connection to it, and what is said over it. Whatever fails, the next announcement is a whole one
//! over a new connection.

use std::sync::Arc;
use std::time::Duration;

use super::parts::{self, Rules};
use super::{Changes, Registrar};
use crate::actors::catalog::topics::{ListTopics, TopicList, Topics};
use crate::actors::door::Door;
use crate::config::BrokerConfig;
use crate::protocol::body::lists::KvTable;
use crate::protocol::body::registration::body_crc;
use crate::protocol::body::version::DataVersion;
use crate::protocol::body::{Body, DecodeError};
use crate::protocol::code::{RequestCode, ResponseCode};
use crate::protocol::fields::FieldError;
use crate::protocol::header::namesrv::{
    QueryDataVersionRequest, QueryDataVersionResponse, RegisterBrokerRequest, RegisterTopicRequest,
    UnregisterBrokerRequest,
};
use crate::remoting::channel::{Channel, ChannelOptions, Reply};
use crate::remoting::error::ChannelError;
use crate::remoting::tls::Dialer;

/// How long a name server may take to say goodbye.
const UNREGISTER_TIMEOUT: Duration = Duration::from_secs(3);
/// Topics up to this number are written where the caller is; more on a thread that may block.
const TOPICS_WRITTEN_AT_ONCE: usize = 200;

/// Why a name server does not know what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum LinkError {
    #[error(transparent)]
    Channel(#[from] ChannelError),
    #[error("request {request} was answered with {code}: {remark}")]
    Refused { request: RequestCode, code: ResponseCode, remark: String },
    #[error("an answer's header cannot be read: {}", .0.0)]
    Header(#[from] FieldError),
    #[error(transparent)]
    Body(#[from] DecodeError),
    #[error("the topics are not available now")]
    Topics,
}

/// Which announcement is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wanted {
    /// What changed, where the name server knows the rest.
    Changes,
    /// All topics, if the name server says that it knows others.
    WholeIfOthers,
    Whole,
}

/// What is to be said.
#[derive(Debug)]
pub(super) struct Announcement {
    pub(super) broker: Arc<Registrar>,
    pub(super) config: Arc<BrokerConfig>,
    pub(super) topics: Door<Topics>,
    pub(super) wanted: Wanted,
    pub(super) changes: Changes,
}

/// What a name server said.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// A connection that was not there before.
    pub(super) channel: Option<Channel>,
    /// Topics whose messages are in order; `None` when it did not say.
    pub(super) ordered: Option<Vec<String>>,
    pub(super) is_first: bool,
}

/// The connection to one name server.
#[derive(Debug)]
pub(super) struct Link {
    address: String,
    /// `None`: plain text.
    dialer: Option<Dialer>,
    channel: Option<Channel>,
    /// What was told last over this connection; `None`: not everything yet.
    version: Option<DataVersion>,
}

impl Link {
    pub(super) fn new(address: &str, dialer: Option<Dialer>) -> Self {
        Self { address: address.to_owned(), dialer, channel: None, version: None }
    }

    /// Says what is to be said.
    ///
    /// # Errors
    /// [`LinkError`]; the connection is given up, and with it the name server forgets this broker.
    pub(super) async fn announce(&mut self, announcement: &Announcement) -> Result<Told, LinkError> {
        let result = self.try_announce(announcement).await;
        if result.is_err() {
            self.version = None;
            if let Some(channel) = self.channel.take() {
                // Others may hold it, too.
                channel.close().await;
            }
        }
        result
    }

    /// Says goodbye, where there was a hello, and closes the connection.
    pub(super) async fn unregister(&mut self, broker: &Registrar) -> Result<(), LinkError> {
        let Some(channel) = self.channel.take() else {
            return Ok(());
        };
        self.version = None;
        let header = UnregisterBrokerRequest {
            broker_name: broker.name.clone(),
            broker_addr: broker.address.clone(),
            cluster_name: broker.cluster.clone(),
            broker_id: broker.id,
        };
        let request = RequestCode::UnregisterBroker;
        let reply = channel.request(request.number(), &header, &[], UNREGISTER_TIMEOUT).await;
        channel.close().await;
        accepted(request, reply?).map(|_| ())
    }

    async fn try_announce(&mut self, announcement: &Announcement) -> Result<Told, LinkError> {
        let new_channel = self.connect().await?;
        let is_first = self.version.is_none();
        let ordered = self.say(announcement).await?;
        Ok(Told { channel: new_channel, ordered, is_first })
    }

    async fn connect(&mut self) -> Result<Option<Channel>, LinkError> {
        if self.channel.as_ref().is_some_and(|channel| channel.is_open()) {
            return Ok(None);
        }
        self.version = None;
        let options = ChannelOptions { tls: self.dialer.clone(), ..ChannelOptions::default() };
        let channel = Channel::connect(&self.address, options).await?;
        Ok(self.channel.insert(channel).clone().into())
    }

    async fn say(&mut self, announcement: &Announcement) -> Result<Option<Vec<String>>, LinkError> {
        let rules = Rules::of(&announcement.config);
        let Some(known) = self.version else {
            return self.say_all(announcement).await;
        };
        match announcement.wanted {
            Wanted::Whole => self.say_all(announcement).await,
            Wanted::WholeIfOthers if rules.is_split => self.say_all(announcement).await,
            Wanted::WholeIfOthers => {
                let list = list(announcement).await?;
                if self.has_others(announcement, &list).await? {
                    return self.say_list(announcement, list).await;
                }
                Ok(None)
            }
            Wanted::Changes if announcement.changes.version.counter <= known.counter => Ok(None),
            Wanted::Changes if announcement.config.registration.single_topic => {
                self.say_one_by_one(announcement).await.map(|()| None)
            }
            Wanted::Changes => {
                let topics: Vec<_> = announcement.changes.topics.values().cloned().collect();
                self.say_list(announcement, TopicList { version: announcement.changes.version, topics }).await
            }
        }
    }

    async fn say_all(&mut self, announcement: &Announcement) -> Result<Option<Vec<String>>, LinkError> {
        let list = list(announcement).await?;
        self.say_list(announcement, list).await
    }

    async fn say_list(
        &mut self,
        announcement: &Announcement,
        list: TopicList,
    ) -> Result<Option<Vec<String>>, LinkError> {
        let rules = Rules::of(&announcement.config);
        let version = list.version;
        let count = list.topics.len();
        let write = move || {
            let topics: Vec<_> = list.topics.iter().map(|entry| &entry.config).collect();
            parts::bodies(version, &topics, rules)
        };
        let bodies = if count <= TOPICS_WRITTEN_AT_ONCE {
            write()
        } else {
            let written = tokio::task::spawn_blocking(write);
            written.await.map_err(|_| LinkError::Topics)?
        };
        let broker = &announcement.broker;
        let mut header = RegisterBrokerRequest {
            broker_name: broker.name.clone(),
            broker_addr: broker.address.clone(),
            cluster_name: broker.cluster.clone(),
            ha_server_addr: Some(broker.ha_address.clone()),
            broker_id: broker.id,
            heartbeat_timeout_millis: None,
            enable_acting_master: Some(false),
            compressed: rules.is_compressed,
            body_crc32: 0,
        };
        let mut ordered = None;
        for body in bodies {
            header.body_crc32 = body_crc(&body);
            let reply = self.ask(RequestCode::RegisterBroker, &header, &body, announcement).await?;
            if !reply.body.is_empty() {
                ordered = Some(KvTable::decode(&reply.body)?.table.into_keys().collect());
            }
        }
        self.version = Some(version);
        Ok(ordered)
    }

    /// The name server takes these without their version, so that it asks for all at the next turn.
    async fn say_one_by_one(&mut self, announcement: &Announcement) -> Result<(), LinkError> {
        let rules = Rules::of(&announcement.config);
        for (topic, entry) in &announcement.changes.topics {
            let header = RegisterTopicRequest { topic: topic.to_string() };
            let body = parts::single(&announcement.broker.name, &entry.config, rules);
            self.ask(RequestCode::RegisterTopicInNamesrv, &header, &body, announcement).await?;
        }
        Ok(())
    }

    async fn has_others(&self, announcement: &Announcement, list: &TopicList) -> Result<bool, LinkError> {
        let broker = &announcement.broker;
        let header = QueryDataVersionRequest {
            broker_name: broker.name.clone(),
            broker_addr: broker.address.clone(),
            cluster_name: broker.cluster.clone(),
            broker_id: Some(broker.id),
        };
        let body = list.version.encode();
        let reply = self.ask(RequestCode::QueryDataVersion, &header, &body, announcement).await?;
        Ok(reply.header::<QueryDataVersionResponse>()?.changed)
    }

    async fn ask<T: serde::Serialize>(
        &self,
        request: RequestCode,
        header: &T,
        body: &[u8],
        announcement: &Announcement,
    ) -> Result<Reply, LinkError> {
        let closed = || ChannelError::Closed { address: self.address.clone() };
        let channel = self.channel.as_ref().ok_or_else(closed)?;
        let wait = Duration::from_millis(announcement.config.registration.timeout_ms.into());
        accepted(request, channel.request(request.number(), header, body, wait).await?)
    }
}

async fn list(announcement: &Announcement) -> Result<TopicList, LinkError> {
    announcement.topics.ask(ListTopics).await.map_err(|_| LinkError::Topics)
}

fn accepted(request: RequestCode, reply: Reply) -> Result<Reply, LinkError> {
    let code = ResponseCode::from_number(reply.code);
    if code == ResponseCode::Success {
        return Ok(reply);
    }
    Err(LinkError::Refused { request, code, remark: reply.remark.unwrap_or_default() })
}
