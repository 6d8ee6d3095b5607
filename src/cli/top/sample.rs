//! One look at everything.

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use std::collections::BTreeSet;
use tokio::time::Instant;

use crate::cli::connect::Failure;
use crate::client::ClientError;
use crate::client::admin::{
    Admin, BrokerPlace, BrokerStatus, Cluster, ConsumerGroup, QueueProgress, TopicKind, TopicStatus, is_system_group,
};

/// Topics and groups that are asked about at once.
const AT_ONCE: usize = 16;

/// What was there at one moment.
pub struct Sample {
    pub at: Instant,
    /// `None` for one that did not answer.
    pub brokers: Vec<(BrokerPlace, Option<BrokerStatus>)>,
    pub topics: Vec<(String, TopicStatus)>,
    pub groups: Vec<Group>,
    /// Clients that are connected as producers.
    pub producers: usize,
}

/// A group at that moment.
pub struct Group {
    pub name: String,
    pub consumers: Option<ConsumerGroup>,
    pub progress: Vec<QueueProgress>,
}

impl Sample {
    /// Looks now.
    ///
    /// # Errors
    /// When no name server answers, or a broker does not tell of its topics and groups.
    pub async fn take(admin: &Admin, all: bool) -> Result<Self, Failure> {
        let cluster = admin.cluster().await?;
        let asked = cluster.brokers.iter().map(|place| admin.broker_status(&place.address));
        let statuses = join_all(asked).await.into_iter();
        let brokers = cluster.brokers.iter().cloned().zip(statuses.map(Result::ok)).collect();
        let topics = topics(admin, &cluster, all).await?;
        let wanted = admin.groups().await?.into_iter().filter(|group| all || !is_system_group(group));
        let groups = stream::iter(wanted)
            .map(|name| async move {
                let consumers = admin.consumers(&name).await?;
                let progress = admin.progress(&name, None).await?;
                Ok::<_, Failure>(Group { name, consumers, progress })
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        let clients: BTreeSet<String> = admin.producers().await?.into_iter().map(|of| of.member.client_id).collect();
        Ok(Self { at: Instant::now(), brokers, topics, groups, producers: clients.len() })
    }
}

async fn topics(admin: &Admin, cluster: &Cluster, all: bool) -> Result<Vec<(String, TopicStatus)>, Failure> {
    let own = |name: &str| cluster.brokers.iter().any(|broker| broker.broker == name || broker.cluster == name);
    let normal = |name: &str| TopicKind::of(name) == TopicKind::Normal && !own(name);
    let wanted = admin.topics().await?.into_iter().filter(|name| all || normal(name));
    stream::iter(wanted)
        .map(|name| async move {
            match admin.topic_status(&name).await {
                Ok(status) => Ok(Some((name, status))),
                // Deleted a moment ago, or a topic that brokers only name.
                Err(ClientError::TopicNotFound { .. } | ClientError::Refused { .. }) => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
        .buffered(AT_ONCE)
        .try_filter_map(|found| async { Ok(found) })
        .try_collect()
        .await
}
