//! How far groups are, and setting them elsewhere.

use futures_util::future::{join_all, try_join_all};
use serde::Serialize;

use super::{Admin, BrokerPlace, body, unless_absent};
use crate::client::error::ClientError;
use crate::client::routes::Purpose;
use crate::protocol::body::offsets::ResetOffsets;
use crate::protocol::body::stats::ConsumeStats;
use crate::protocol::code::{RequestCode, ResponseCode};
use crate::protocol::header::groups::{CloneGroupOffsetRequest, GetConsumeStatsRequest, ResetOffsetRequest};
use crate::rules::assignment::MessageQueue;

/// How far a group is in one queue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueProgress {
    pub topic: String,
    pub broker: String,
    pub queue: i32,
    /// One past the queue's last message.
    pub max_offset: i64,
    /// Of the next message to be consumed; 0 also where the group never committed.
    pub committed_offset: i64,
    /// Messages between the two.
    pub lag: i64,
    /// Messages given to the group and not committed yet.
    pub in_flight: i64,
    /// Store time of the last consumed message, ms since 1970.
    pub consumed_until_ms: Option<i64>,
}

/// Where a group shall go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetTo {
    /// At the first message that is there.
    First,
    /// After the last one.
    Last,
    /// At the first one stored at that time or later, ms since 1970.
    Time(i64),
    /// At that offset of each queue.
    Offset(i64),
}

/// Which group goes on where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reset {
    pub group: String,
    pub topic: String,
    pub to: ResetTo,
    /// Only this broker's queues.
    pub broker: Option<String>,
    /// Only the queue of that number.
    pub queue: Option<u32>,
}

/// A queue whose offset was reset.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResetQueue {
    pub topic: String,
    pub broker: String,
    pub queue: u32,
    /// Where the group goes on now.
    pub offset: i64,
}

impl Admin {
    /// How far a group is, queue by queue, sorted: in one topic, or in all in which it has offsets.
    ///
    /// # Errors
    /// When a server refuses or is not reached.
    pub async fn progress(&self, group: &str, topic: Option<&str>) -> Result<Vec<QueueProgress>, ClientError> {
        let brokers = match topic {
            Some(topic) => self.brokers_of(topic).await?,
            None => self.cluster().await?.masters(),
        };
        let header = GetConsumeStatsRequest {
            consumer_group: group.to_owned(),
            topic: topic.map(str::to_owned),
            topic_list: None,
        };
        let asked =
            brokers.iter().map(|broker| self.ask_broker(&broker.address, RequestCode::GetConsumeStats, &header, b""));
        let mut queues = Vec::new();
        for (broker, answer) in brokers.iter().zip(join_all(asked).await) {
            let absent = [ResponseCode::TopicNotExist, ResponseCode::SubscriptionGroupNotExist];
            let Some(reply) = unless_absent(answer, &absent)? else {
                continue;
            };
            let stats: ConsumeStats = body(&broker.address, &reply)?;
            queues.extend(stats.offset_table.into_iter().map(|(queue, at)| QueueProgress {
                topic: queue.topic,
                broker: queue.broker_name,
                queue: queue.queue_id,
                max_offset: at.broker_offset,
                committed_offset: at.consumer_offset,
                lag: at.broker_offset.saturating_sub(at.consumer_offset).max(0),
                in_flight: at.pull_offset.saturating_sub(at.consumer_offset).max(0),
                consumed_until_ms: (at.last_timestamp > 0).then_some(at.last_timestamp),
            }));
        }
        queues.sort();
        Ok(queues)
    }

    /// Sets how far a group is. The brokers do it themselves; where one does not, it is done by commits, for which the
    /// group must have no consumer running.
    ///
    /// # Errors
    /// When there is no such topic, group or queue, an offset is outside its queue, consumers run that a broker does
    /// not tell, or a server is not reached; other queues may be reset then.
    pub async fn reset(&self, reset: &Reset) -> Result<Vec<ResetQueue>, ClientError> {
        // Commits and searches go by the topic's route.
        let route = self.hub.fresh_route(&reset.topic, Purpose::Existing).await?;
        let wanted = |queue: &&MessageQueue| {
            reset.broker.as_deref().is_none_or(|broker| *queue.broker == *broker)
                && reset.queue.is_none_or(|number| queue.queue == number)
        };
        let readable = route.readable.iter().map(std::convert::AsRef::as_ref);
        let queues: Vec<MessageQueue> = readable.filter(wanted).cloned().collect();
        if queues.is_empty() {
            let broker = reset.broker.clone().unwrap_or_else(|| "of any name".to_owned());
            let queue = reset.queue.map_or_else(String::new, |queue| format!("/{queue}"));
            return Err(ClientError::NoBroker { broker: format!("{broker}{queue} of topic {}", reset.topic) });
        }
        let mut done = Vec::new();
        for broker in self.brokers_of(&reset.topic).await? {
            let of_broker: Vec<_> = queues.iter().filter(|queue| *queue.broker == *broker.broker).collect();
            if !of_broker.is_empty() {
                done.extend(self.reset_at(&broker, &of_broker, reset).await?);
            }
        }
        done.sort();
        Ok(done)
    }

    async fn reset_at(
        &self,
        broker: &BrokerPlace,
        queues: &[&MessageQueue],
        reset: &Reset,
    ) -> Result<Vec<ResetQueue>, ClientError> {
        let one_by_one = reset.queue.is_some() || matches!(reset.to, ResetTo::Offset(_));
        let numbers: Vec<Option<u32>> =
            if one_by_one { queues.iter().map(|queue| Some(queue.queue)).collect() } else { vec![None] };
        let mut done = Vec::new();
        for number in numbers {
            let header = reset_header(reset, number);
            let code = RequestCode::InvokeBrokerToResetOffset;
            match self.ask_broker(&broker.address, code, &header, b"").await {
                Ok(reply) => {
                    let table: ResetOffsets = body(&broker.address, &reply)?;
                    done.extend(table.offset_table.into_iter().map(|(queue, offset)| ResetQueue {
                        topic: queue.topic,
                        broker: queue.broker_name,
                        queue: u32::try_from(queue.queue_id).unwrap_or_default(),
                        offset,
                    }));
                }
                Err(error) if leaves_it_to_consumers(&error) => {
                    return self.reset_by_commits(queues, reset, error).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// What a running consumer holds in memory would be committed over it.
    async fn reset_by_commits(
        &self,
        queues: &[&MessageQueue],
        reset: &Reset,
        refusal: ClientError,
    ) -> Result<Vec<ResetQueue>, ClientError> {
        if self.consumers(&reset.group).await?.is_some() {
            return Err(refusal);
        }
        try_join_all(queues.iter().map(|queue| async {
            let offset = match reset.to {
                ResetTo::First => self.hub.min_offset(queue).await?,
                ResetTo::Last => self.hub.max_offset(queue).await?,
                ResetTo::Time(time) => self.hub.offset_at(queue, time).await?,
                ResetTo::Offset(offset) => offset,
            };
            self.hub.commit(&reset.group, queue, offset).await?;
            let (topic, broker) = (queue.topic.to_string(), queue.broker.to_string());
            Ok(ResetQueue { topic, broker, queue: queue.queue, offset })
        }))
        .await
    }

    /// Gives `to` the offsets that `from` has, in one topic or in all.
    ///
    /// # Errors
    /// When a server refuses or is not reached.
    pub async fn clone_offsets(&self, from: &str, to: &str, topic: Option<&str>) -> Result<(), ClientError> {
        let masters = self.cluster().await?.masters();
        let header = CloneGroupOffsetRequest {
            src_group: from.to_owned(),
            dest_group: to.to_owned(),
            topic: topic.map(str::to_owned),
            offline: true,
        };
        self.ask_each(&masters, RequestCode::CloneGroupOffset, &header, |_, _| Ok(())).await.map(drop)
    }
}

fn reset_header(reset: &Reset, queue: Option<u32>) -> ResetOffsetRequest {
    let (timestamp, offset) = match reset.to {
        ResetTo::First => (0, None),
        ResetTo::Last => (-1, None),
        ResetTo::Time(time) => (time.max(0), None),
        ResetTo::Offset(offset) => (0, Some(offset)),
    };
    ResetOffsetRequest {
        group: reset.group.clone(),
        topic: reset.topic.clone(),
        queue_id: Some(queue.and_then(|queue| i32::try_from(queue).ok()).unwrap_or(-1)),
        offset,
        timestamp,
        is_force: true,
    }
}

/// A broker that does not reset by itself asks the group's consumers to, and refuses where none is connected.
fn leaves_it_to_consumers(error: &ClientError) -> bool {
    let ClientError::Refused { code, remark, .. } = error else {
        return false;
    };
    let code = ResponseCode::from_number(*code);
    matches!(code, ResponseCode::ConsumerNotOnline | ResponseCode::RequestCodeNotSupported)
        || remark.contains("useServerSideResetOffset")
        || remark.contains("consumer not online")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_is_asked_for_as_brokers_understand_it() {
        let asked = |to, queue| {
            let reset = Reset { group: "g".into(), topic: "T".into(), to, broker: None, queue: None };
            let header = reset_header(&reset, queue);
            (header.queue_id, header.offset, header.timestamp)
        };
        assert_eq!(asked(ResetTo::First, None), (Some(-1), None, 0));
        assert_eq!(asked(ResetTo::Last, Some(2)), (Some(2), None, -1));
        assert_eq!(asked(ResetTo::Time(77), None), (Some(-1), None, 77));
        assert_eq!(asked(ResetTo::Offset(5), Some(0)), (Some(0), Some(5), 0));
    }
}
