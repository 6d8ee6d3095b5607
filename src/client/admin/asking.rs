//! What brokers ask of a consumer for an administrator.

use super::{Admin, body};
use crate::client::error::ClientError;
use crate::protocol::code::RequestCode;
use crate::protocol::header::clients::{ConsumeMessageDirectlyResultRequest, GetConsumerRunningInfoRequest};
use crate::protocol::uniq_key::decode_offset_id;

pub use crate::protocol::body::running::{ConsumeStatus, ConsumedDirectly, ConsumerRunningInfo, ProcessQueueInfo};

impl Admin {
    /// How a consumer runs, as it tells itself: its queues, what waits in each, its rates.
    ///
    /// # Errors
    /// When no broker knows such a member of the group, or it does not answer.
    pub async fn running_info(&self, group: &str, client_id: &str) -> Result<ConsumerRunningInfo, ClientError> {
        let header = GetConsumerRunningInfoRequest {
            consumer_group: group.to_owned(),
            client_id: client_id.to_owned(),
            jstack_enable: false,
        };
        let mut last = ClientError::NoBroker { broker: "of any name".to_owned() };
        for broker in self.cluster().await?.masters() {
            match self.ask_broker(&broker.address, RequestCode::GetConsumerRunningInfo, &header, b"").await {
                Ok(reply) => return body(&broker.address, &reply),
                // Another broker may know it.
                Err(error @ ClientError::Refused { .. }) => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// Has one consumer of a group consume a stored message now, whatever its offsets are. `id` is the message's offset
    /// id, the one that tells where it is kept.
    ///
    /// # Errors
    /// When the id is none, no broker has the message or knows the consumer, or it does not answer.
    pub async fn consume_directly(
        &self,
        group: &str,
        client_id: &str,
        id: &str,
    ) -> Result<ConsumedDirectly, ClientError> {
        let bad = |error: &dyn ToString| ClientError::MessageId { id: id.to_owned(), reason: error.to_string() };
        let (address, _) = decode_offset_id(id).map_err(|error| bad(&error))?;
        let header = ConsumeMessageDirectlyResultRequest {
            consumer_group: group.to_owned(),
            client_id: Some(client_id.to_owned()),
            msg_id: Some(id.to_owned()),
            broker_name: None,
            topic: None,
            topic_sys_flag: None,
            group_sys_flag: None,
        };
        let address = address.to_string();
        let reply = self.ask_broker(&address, RequestCode::ConsumeMessageDirectly, &header, b"").await?;
        body(&address, &reply)
    }
}
