//! Which brokers there are, and their settings.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Admin, body, unreadable};
use crate::client::error::ClientError;
use crate::protocol::body::properties_text;
use crate::protocol::body::route::ClusterInfo;
use crate::protocol::code::RequestCode;

/// One broker process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BrokerPlace {
    pub cluster: String,
    /// A master and its slaves share it.
    pub broker: String,
    /// 0 for a master.
    pub broker_id: i64,
    pub address: String,
}

/// All brokers that the name servers know, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Cluster {
    pub brokers: Vec<BrokerPlace>,
}

/// On which brokers something is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Every master that the name servers know.
    Everywhere,
    /// Every master of a cluster.
    Cluster(String),
    /// One broker, by its name or its address.
    Broker(String),
}

impl Cluster {
    fn of(info: ClusterInfo) -> Self {
        let mut brokers: Vec<_> = info
            .broker_addr_table
            .into_iter()
            .flat_map(|(broker, data)| {
                let cluster = data.cluster;
                data.broker_addrs.into_iter().map(move |(broker_id, address)| BrokerPlace {
                    cluster: cluster.clone(),
                    broker: broker.clone(),
                    broker_id,
                    address,
                })
            })
            .collect();
        brokers.sort();
        Self { brokers }
    }

    /// The masters; of a name without one, the broker that stands in for it.
    #[must_use]
    pub fn masters(&self) -> Vec<BrokerPlace> {
        let mut masters: BTreeMap<(&str, &str), &BrokerPlace> = BTreeMap::new();
        for broker in &self.brokers {
            // Sorted: the least id of a name comes first.
            masters.entry((&broker.cluster, &broker.broker)).or_insert(broker);
        }
        masters.into_values().cloned().collect()
    }

    /// The masters at `place`.
    ///
    /// # Errors
    /// When there is none.
    pub fn at(&self, place: &Place) -> Result<Vec<BrokerPlace>, ClientError> {
        let masters = self.masters();
        let (found, name): (Vec<_>, _) = match place {
            Place::Everywhere => (masters, "of any name"),
            Place::Cluster(name) => (masters.into_iter().filter(|broker| broker.cluster == *name).collect(), name),
            Place::Broker(name) => {
                let by_address = self.brokers.iter().filter(|broker| broker.address == *name).cloned();
                (masters.into_iter().filter(|broker| broker.broker == *name).chain(by_address).collect(), name)
            }
        };
        if found.is_empty() { Err(ClientError::NoBroker { broker: name.to_owned() }) } else { Ok(found) }
    }
}

impl Admin {
    /// The brokers that are registered now.
    ///
    /// # Errors
    /// When no name server answers.
    pub async fn cluster(&self) -> Result<Cluster, ClientError> {
        let reply = self.ask_name_server(RequestCode::GetBrokerClusterInfo, ()).await?;
        Ok(Cluster::of(body("the name server", &reply)?))
    }

    /// The masters at `place`.
    ///
    /// # Errors
    /// [`ClientError::NoBroker`] when there is none, or no name server answers.
    pub async fn brokers(&self, place: &Place) -> Result<Vec<BrokerPlace>, ClientError> {
        self.cluster().await?.at(place)
    }

    /// All settings of the broker at `address`, by RocketMQ's keys.
    ///
    /// # Errors
    /// When the broker refuses or is not reached.
    pub async fn broker_settings(&self, address: &str) -> Result<BTreeMap<String, String>, ClientError> {
        let reply = self.ask_broker(address, RequestCode::GetBrokerConfig, &(), b"").await?;
        let settings = properties_text::decode(&reply.body).into_iter();
        Ok(settings.map(|setting| (setting.name, setting.value)).collect())
    }

    /// Changes settings of the broker at `address`; it takes all of them or none.
    ///
    /// # Errors
    /// When the broker refuses or is not reached, or a value cannot be written as a line.
    pub async fn update_broker_settings(
        &self,
        address: &str,
        settings: &BTreeMap<String, String>,
    ) -> Result<(), ClientError> {
        let text = properties_text::encode(settings.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        let read: BTreeMap<_, _> =
            properties_text::decode(&text).into_iter().map(|setting| (setting.name, setting.value)).collect();
        if read != *settings {
            let reason = "a key or value holds a line break or a backslash".to_owned();
            return Err(ClientError::Option { option: "settings", reason });
        }
        self.ask_broker(address, RequestCode::UpdateBrokerConfig, &(), &text).await.map(drop)
    }

    /// What the broker at `address` says of itself.
    ///
    /// # Errors
    /// When the broker refuses or is not reached.
    pub async fn broker_status(&self, address: &str) -> Result<super::BrokerStatus, ClientError> {
        let reply = self.ask_broker(address, RequestCode::GetBrokerRuntimeInfo, &(), b"").await?;
        super::BrokerStatus::of(&reply.body).map_err(|error| unreadable(address, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::route::MASTER;
    use crate::protocol::body::route::BrokerData;

    fn cluster() -> Cluster {
        let data = |cluster: &str, addresses: &[(i64, &str)]| BrokerData {
            cluster: cluster.into(),
            broker_addrs: addresses.iter().map(|(id, address)| (*id, (*address).to_owned())).collect(),
            ..BrokerData::default()
        };
        let brokers = [
            ("a", data("C", &[(MASTER, "a:1"), (1, "a:2")])),
            ("b", data("D", &[(MASTER, "b:1")])),
            ("c", data("D", &[(2, "c:2"), (1, "c:1")])),
        ];
        let broker_addr_table = brokers.into_iter().map(|(name, data)| (name.to_owned(), data)).collect();
        Cluster::of(ClusterInfo { broker_addr_table, ..ClusterInfo::default() })
    }

    fn addresses(place: &Place) -> Vec<String> {
        cluster().at(place).unwrap().into_iter().map(|broker| broker.address).collect()
    }

    #[test]
    fn a_place_is_its_masters() {
        assert_eq!(addresses(&Place::Everywhere), ["a:1", "b:1", "c:1"]);
        assert_eq!(addresses(&Place::Cluster("D".into())), ["b:1", "c:1"]);
        assert_eq!(addresses(&Place::Broker("a".into())), ["a:1"]);
        assert_eq!(addresses(&Place::Broker("a:2".into())), ["a:2"]);
        let nowhere = cluster().at(&Place::Broker("x".into())).unwrap_err();
        assert_eq!(nowhere, ClientError::NoBroker { broker: "x".into() });
    }
}
