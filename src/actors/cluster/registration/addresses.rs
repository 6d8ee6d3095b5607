//! Where the addresses of the name servers come from: the settings, DNS, or an address server.

use std::time::Duration;

use actix::prelude::*;

use super::link::Wanted;
use super::{Namesrv, Registration};
use crate::config::Registration as Settings;
use crate::remoting::lookup::{
    ADDRESS_SERVER_DOMAIN, ADDRESS_SERVER_SUBGROUP, LookupError, address_server_url, ask_address_server, resolve,
};

/// How soon a change of the settings that says where to look is noticed.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Addresses that are not set but found.
#[derive(Debug, Default)]
pub(super) struct Found {
    source: Option<Source>,
    addresses: Vec<String>,
    /// Of the last question, when it failed: each failure is logged once.
    failure: Option<LookupError>,
}

/// A source that is asked again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    /// These names, each with all its addresses.
    Dns(Vec<String>),
    /// The answer of this URL.
    AddressServer(String),
}

impl Source {
    /// `None` where the settings say the addresses themselves. A name server that is set goes before an address server, as
    /// in RocketMQ.
    fn of(config: &Settings) -> Option<Self> {
        let lookup = &config.lookup;
        if !config.namesrv_addresses.is_empty() {
            let names = config.namesrv_addresses.iter().map(|address| address.as_str().to_owned());
            return lookup.dns_enabled.then(|| Self::Dns(names.collect()));
        }
        let domain = lookup.address_server_domain.as_deref().unwrap_or(ADDRESS_SERVER_DOMAIN);
        let subgroup = lookup.address_server_subgroup.as_deref().unwrap_or(ADDRESS_SERVER_SUBGROUP);
        lookup.address_server_enabled.then(|| Self::AddressServer(address_server_url(domain, subgroup)))
    }

    /// Between two questions.
    fn interval(&self, config: &Settings) -> Duration {
        Duration::from_millis(match self {
            Self::Dns(_) => config.lookup.dns_interval_ms.into(),
            Self::AddressServer(_) => config.lookup.address_server_interval_ms,
        })
    }

    /// # Errors
    /// When not all names can be resolved, or the address server names nobody: whoever asks keeps what it knew.
    async fn ask(&self) -> Result<Vec<String>, LookupError> {
        match self {
            Self::AddressServer(url) => ask_address_server(url.clone()).await,
            Self::Dns(names) => {
                let mut all = Vec::new();
                for name in names {
                    all.extend(
                        resolve(name).await?.into_iter().filter(|address| !all.contains(address)).collect::<Vec<_>>(),
                    );
                }
                Ok(all)
            }
        }
    }
}

impl Registration {
    /// Looks for the addresses where that is wanted, now and each period.
    pub(super) fn look(&mut self, context: &mut Context<Self>) {
        let config = self.config.load_full();
        let source = Source::of(&config.registration);
        if self.found.source != source {
            self.found = Found { source: source.clone(), ..Found::default() };
        }
        let Some(source) = source else {
            context.run_later(LOOK_AGAIN, Self::look);
            return;
        };
        let interval = source.interval(&config.registration);
        let asked = async move { source.ask().await };
        context.spawn(asked.into_actor(self).map(move |result, registration, context| {
            registration.looked(result, context);
            context.run_later(interval, Self::look);
        }));
    }

    fn looked(&mut self, result: Result<Vec<String>, LookupError>, context: &mut Context<Self>) {
        match result {
            Ok(addresses) => {
                self.found.failure = None;
                if self.found.addresses != addresses {
                    tracing::info!(?addresses, "found the name servers");
                    self.found.addresses = addresses;
                    self.meet(context);
                    self.want(Wanted::WholeIfOthers, context);
                }
            }
            Err(error) => {
                if self.found.failure.as_ref() != Some(&error) {
                    tracing::warn!(%error, "the name servers were not found; those found before are kept");
                }
                self.found.failure = Some(error);
            }
        }
    }

    /// Takes leave of the name servers that are no more and gets to know the new ones.
    pub(super) fn meet(&mut self, context: &mut Context<Self>) {
        if self.is_stopping {
            return;
        }
        let config = self.config.load_full();
        let set = config.registration.namesrv_addresses.iter().map(|address| address.as_str().to_owned());
        let is_found = Source::of(&config.registration).is_some();
        let addresses: Vec<String> = if is_found { self.found.addresses.clone() } else { set.collect() };
        let (kept, gone) =
            std::mem::take(&mut self.namesrvs).into_iter().partition(|namesrv| addresses.contains(&namesrv.address));
        self.namesrvs = kept;
        self.leave(gone, context);
        for address in addresses {
            if self.find(&address).is_none() {
                self.namesrvs.push(Namesrv::new(&address, self.dialer.clone()));
            }
        }
    }
}
