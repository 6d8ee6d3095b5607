//! The thread on which a client's actors and sockets live.

use std::thread;

use actix::prelude::*;
use tokio::sync::{oneshot, watch};

use super::error::ClientError;

/// Ends the thread when dropped.
#[derive(Debug)]
pub(super) struct Home {
    system: System,
    ended: watch::Receiver<()>,
}

impl Home {
    /// Starts a thread with an actix System, runs `build` there and brings back what it made.
    pub(super) async fn start<T, B>(build: B) -> Result<(Self, T), ClientError>
    where
        T: Send + 'static,
        B: FnOnce() -> T + Send + 'static,
    {
        let (made, is_made) = oneshot::channel();
        let (end, ended) = watch::channel(());
        let run = move || {
            let system = System::new();
            let built = system.block_on(async { build() });
            if made.send((System::current(), built)).is_ok()
                && let Err(error) = system.run()
            {
                tracing::error!(%error, "a client's thread ended");
            }
            drop(end);
        };
        thread::Builder::new()
            .name("actormq-client".into())
            .spawn(run)
            .map_err(|error| ClientError::Option { option: "thread", reason: error.to_string() })?;
        let (system, built) = is_made.await.map_err(|_| ClientError::ShutDown)?;
        Ok((Self { system, ended }, built))
    }

    /// Runs `what` on the thread.
    pub(super) fn run(&self, what: impl FnOnce() + Send + 'static) {
        self.system.arbiter().spawn_fn(what);
    }

    /// Runs `task` on the thread.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.system.arbiter().spawn(task);
    }

    /// Ends the thread and waits until it has ended.
    pub(super) async fn end(&self) {
        self.system.stop();
        let mut ended = self.ended.clone();
        while ended.changed().await.is_ok() {}
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.system.stop();
    }
}
