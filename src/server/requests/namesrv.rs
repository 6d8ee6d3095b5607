//! What a name server answers: routes, brokers, the key-value store, its settings.

mod brokers;
mod key_values;
mod routes;
mod settings;
mod topics;

use std::sync::Arc;

use actix::prelude::*;
use arc_swap::ArcSwap;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::{Answer, Refusal, Request};
use crate::actors::namesrv::Namesrv;
use crate::actors::namesrv::key_values::KeyValues;
use crate::actors::namesrv::published::Published;
use crate::config::NamesrvConfig;
use crate::protocol::code::{RequestCode, ResponseCode};

/// Registrations that are being decoded at once, each of which may take some hundred MiB.
const DECODED_AT_ONCE_MAX: usize = 4;

/// The way to a name server's actor and to what it publishes; cheap to clone.
#[derive(Clone, Debug)]
pub struct NamesrvDoors {
    pub actor: Addr<Namesrv>,
    pub routes: Arc<Published>,
    pub key_values: Arc<KeyValues>,
    pub config: Arc<ArcSwap<NamesrvConfig>>,
    started: Instant,
    decoding: Arc<Semaphore>,
}

impl NamesrvDoors {
    /// Doors to a name server that starts now.
    #[must_use]
    pub fn new(
        actor: Addr<Namesrv>,
        routes: Arc<Published>,
        key_values: Arc<KeyValues>,
        config: Arc<ArcSwap<NamesrvConfig>>,
    ) -> Self {
        let decoding = Arc::new(Semaphore::new(DECODED_AT_ONCE_MAX));
        Self { actor, routes, key_values, config, started: Instant::now(), decoding }
    }

    /// Asks the actor.
    ///
    /// # Errors
    /// A refusal that clients take for a reason to ask again, while the name server is stopping.
    async fn ask<M>(&self, message: M) -> Result<M::Result, Refusal>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        Namesrv: Handler<M>,
    {
        let stopping = |_| Refusal::new(ResponseCode::ServiceNotAvailable, "the name server is stopping");
        self.actor.send(message).await.map_err(stopping)
    }
}

/// Answers a request.
///
/// # Errors
/// The refusal that is sent instead of an answer.
pub async fn serve(doors: &NamesrvDoors, request: Request) -> Answer {
    match RequestCode::from_number(request.code) {
        RequestCode::GetRouteinfoByTopic => routes::route(doors, &request),
        RequestCode::GetBrokerClusterInfo => routes::cluster_info(doors),
        RequestCode::GetBrokerMemberGroup => routes::member_group(doors, &request),
        RequestCode::RegisterBroker => brokers::register(doors, &request).await,
        RequestCode::UnregisterBroker => brokers::unregister(doors, &request).await,
        RequestCode::BrokerHeartbeat => brokers::heartbeat(doors, &request).await,
        RequestCode::QueryDataVersion => brokers::compare_version(doors, &request).await,
        RequestCode::WipeWritePermOfBroker => brokers::wipe_write_permission(doors, &request).await,
        RequestCode::AddWritePermOfBroker => brokers::add_write_permission(doors, &request).await,
        RequestCode::GetAllTopicListFromNameserver => topics::all(doors),
        RequestCode::GetSystemTopicListFromNs => topics::of_system(doors),
        RequestCode::GetTopicsByCluster => topics::of_cluster(doors, &request),
        RequestCode::GetUnitTopicList => topics::of_unit(doors),
        RequestCode::GetHasUnitSubTopicList => topics::with_unit_subscribers(doors),
        RequestCode::GetHasUnitSubUnunitTopicList => topics::with_unit_subscribers_only(doors),
        RequestCode::RegisterTopicInNamesrv => topics::register(doors, &request).await,
        RequestCode::DeleteTopicInNamesrv => topics::delete(doors, &request).await,
        RequestCode::PutKvConfig => key_values::put(doors, &request).await,
        RequestCode::GetKvConfig => key_values::get(doors, &request),
        RequestCode::DeleteKvConfig => key_values::delete(doors, &request).await,
        RequestCode::GetKvlistByNamespace => key_values::list(doors, &request),
        RequestCode::UpdateNamesrvConfig => settings::update(doors, &request).await,
        RequestCode::GetNamesrvConfig => settings::list(doors),
        other => {
            let remark = format!(" request type {} not supported", other.number());
            Err(Refusal::new(ResponseCode::RequestCodeNotSupported, remark))
        }
    }
}

/// A refusal for what RocketMQ answers with its general code.
fn system_error(remark: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::new(ResponseCode::SystemError, remark)
}
