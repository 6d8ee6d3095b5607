//! What a broker serves beside sends and pulls: every request code in one table.

use super::{
    Answer, Refusal, Request, Response, admin, clients, consumers, groups, locks, offsets, query, replies, retry,
    stats, topics, transactions,
};
use crate::protocol::code::{RequestCode, ResponseCode};
use crate::server::doors::BrokerDoors;

/// Serves one request. Sends and pulls have their own way through the session, and so have commits, heartbeats and
/// farewells where their order matters; those of the latter that come here are served all the same. Ends of transactions
/// come here where the half message is not in memory. Nothing is to be cleaned: queues of topics that are gone, or older than
/// the log, go by themselves.
pub async fn serve(doors: &BrokerDoors, request: &Request) -> Answer {
    match RequestCode::from_number(request.code) {
        RequestCode::QueryMessage => query::by_key(doors, request).await,
        RequestCode::QueryConsumerOffset => offsets::query(doors, request).await,
        RequestCode::UpdateConsumerOffset => offsets::update(doors, request),
        RequestCode::UpdateAndCreateTopic => topics::update(doors, request).await,
        RequestCode::UpdateAndCreateTopicList => topics::update_list(doors, request).await,
        RequestCode::GetAllTopicConfig => topics::list(doors, request).await,
        RequestCode::UpdateBrokerConfig => admin::update_settings(doors, request).await,
        RequestCode::GetBrokerConfig => admin::settings(doors),
        RequestCode::GetBrokerRuntimeInfo => admin::runtime(doors).await,
        RequestCode::SearchOffsetByTimestamp => offsets::search(doors, request).await,
        RequestCode::GetMaxOffset => offsets::max(doors, request).await,
        RequestCode::GetMinOffset => offsets::min(doors, request).await,
        RequestCode::GetEarliestMsgStoretime => offsets::earliest_store_time(doors, request).await,
        RequestCode::ViewMessageById => query::by_id(doors, request).await,
        RequestCode::HeartBeat => clients::heartbeat(doors, request).await,
        RequestCode::UnregisterClient => clients::unregister(doors, request),
        RequestCode::EndTransaction => transactions::end(doors, request).await,
        RequestCode::ResumeCheckHalfMessage => transactions::resume(doors, request).await,
        RequestCode::GetConsumerListByGroup => clients::consumer_ids(doors, request).await,
        RequestCode::LockBatchMq => locks::lock(doors, request).await,
        RequestCode::UnlockBatchMq => locks::unlock(doors, request).await,
        RequestCode::GetAllConsumerOffset => offsets::list(doors).await,
        RequestCode::ConsumerSendMsgBack => retry::send_back(doors, request).await,
        RequestCode::GetAllDelayOffset => offsets::list_delayed(doors).await,
        RequestCode::CheckClientConfig => clients::check(doors, request),
        RequestCode::UpdateAndCreateSubscriptiongroup => groups::update(doors, request).await,
        RequestCode::GetAllSubscriptiongroupConfig => groups::list(doors, request).await,
        RequestCode::GetTopicStatsInfo => stats::topic(doors, request).await,
        RequestCode::GetConsumerConnectionList => clients::consumers(doors, request).await,
        RequestCode::GetProducerConnectionList => clients::producers(doors, request).await,
        RequestCode::DeleteSubscriptiongroup => groups::delete(doors, request).await,
        RequestCode::GetConsumeStats => stats::consumption(doors, request).await,
        RequestCode::DeleteTopicInBroker => topics::delete(doors, request).await,
        RequestCode::InvokeBrokerToResetOffset => offsets::reset(doors, request).await,
        RequestCode::InvokeBrokerToGetConsumerStatus => consumers::status(doors, request).await,
        RequestCode::UpdateAndCreateSubscriptiongroupList => groups::update_list(doors, request).await,
        RequestCode::QueryTopicConsumeByWho => groups::of_topic(doors, request).await,
        RequestCode::QueryConsumeTimeSpan => stats::time_span(doors, request).await,
        RequestCode::GetSystemTopicListFromBroker => topics::list_system(doors),
        RequestCode::CleanExpiredConsumequeue | RequestCode::CleanUnusedTopic => Ok(Response::ok()),
        RequestCode::GetConsumerRunningInfo => consumers::running_info(doors, request).await,
        RequestCode::QueryCorrectionOffset => offsets::correction(doors, request).await,
        RequestCode::ConsumeMessageDirectly => consumers::consume_directly(doors, request).await,
        RequestCode::CloneGroupOffset => offsets::clone(doors, request).await,
        RequestCode::ViewBrokerStatsData => stats::figure(doors, request).await,
        RequestCode::GetBrokerConsumeStats => stats::all_consumption(doors, request).await,
        RequestCode::QueryConsumeQueue => query::queue_entries(doors, request).await,
        RequestCode::SendReplyMessage | RequestCode::SendReplyMessageV2 => replies::send(doors, request).await,
        RequestCode::GetAllProducerInfo => clients::all_producers(doors).await,
        RequestCode::QueryTopicsByConsumer => groups::topics_of(doors, request).await,
        RequestCode::QuerySubscriptionByConsumer => groups::subscription(doors, request),
        RequestCode::GetTopicConfig => topics::get(doors, request),
        RequestCode::GetSubscriptiongroupConfig => groups::get(doors, request).await,
        RequestCode::UpdateAndGetGroupForbidden => groups::forbid(doors, request).await,
        RequestCode::GetBrokerHaStatus => admin::replicas(doors),
        other => Err(not_supported(doors, other, request)),
    }
}

fn not_supported(doors: &BrokerDoors, code: RequestCode, request: &Request) -> Refusal {
    doors.metrics.requests_refused.add(1);
    tracing::warn!(code = request.code, name = code.name(), from = %request.peer.address, "a request that is not served");
    Refusal::new(ResponseCode::RequestCodeNotSupported, format!(" request type {} not supported", request.code))
}
