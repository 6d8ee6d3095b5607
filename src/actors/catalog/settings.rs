//! The broker's settings while running.
//!
//! Owns: the order of their updates, the file that keeps them.
//! Hears: [`UpdateSettings`].
//! Tells: nobody.
//! Publishes: the settings, and the version that counts their updates.
//!
//! Invariant: each update is made of the one before and written before the next begins, so that none is lost.

use std::sync::Arc;

use actix::prelude::*;
use arc_swap::ArcSwap;

use super::data_version;
use crate::actors::Stop;
use crate::config::{BrokerConfig, ConfigError, UpdateReport};
use crate::protocol::body::version::DataVersion;

/// The settings, for everyone to read.
pub type Current = Arc<ArcSwap<BrokerConfig>>;
/// How often they were changed, for everyone to read.
pub type SettingsVersion = Arc<ArcSwap<DataVersion>>;

/// From an administrator: names of settings and their new values. All or none. What cannot be kept in the file holds all
/// the same, until the end of the process.
#[derive(Message, Debug)]
#[rtype(result = "Result<UpdateReport, ConfigError>")]
pub struct UpdateSettings(pub Vec<(String, String)>);

/// The owner.
pub struct Settings {
    current: Current,
    version: SettingsVersion,
}

impl Settings {
    #[must_use]
    pub fn new(current: Current, version: SettingsVersion) -> Self {
        Self { current, version }
    }

    fn update(&self, pairs: &[(String, String)]) -> Result<(BrokerConfig, UpdateReport), ConfigError> {
        let (config, report) = self.current.load().apply_update(pairs)?;
        self.current.store(Arc::new(config.clone()));
        self.version.store(Arc::new(data_version::next(**self.version.load())));
        Ok((config, report))
    }
}

impl Actor for Settings {
    type Context = Context<Self>;
}

impl Handler<UpdateSettings> for Settings {
    type Result = AtomicResponse<Self, Result<UpdateReport, ConfigError>>;

    fn handle(&mut self, UpdateSettings(pairs): UpdateSettings, _: &mut Context<Self>) -> Self::Result {
        let updated = self.update(&pairs);
        let kept = async move {
            let (config, report) = updated?;
            let told = report.clone();
            match tokio::task::spawn_blocking(move || config.save(&report)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "an update of the settings holds, but was not kept"),
                Err(error) => tracing::error!(%error, "the writing of an update of the settings ended by a panic"),
            }
            Ok(told)
        };
        AtomicResponse::new(Box::pin(kept.into_actor(self)))
    }
}

impl Handler<Stop> for Settings {
    type Result = ();

    /// An update under way was waited for: it holds the mailbox up.
    fn handle(&mut self, _: Stop, context: &mut Context<Self>) {
        context.stop();
    }
}
