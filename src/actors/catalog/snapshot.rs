//! When a table goes to its file: soon after a change, at most once each interval, and before its owner stops.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::store::table::{TableError, TableFile};

/// Pause after a write that failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// Makes the text of a table; called on a thread that may block.
pub(in crate::actors) type Encode = Box<dyn FnOnce() -> Vec<u8> + Send>;

/// An owner of a table with a file.
pub(in crate::actors) trait Persistent: Actor<Context = Context<Self>> {
    fn snapshot(&mut self) -> &mut Snapshot;

    /// Takes what has to be written; cheap, for it runs on the owner's thread.
    fn encode(&self) -> Encode;
}

/// The file of a table and how far it is behind.
#[derive(Debug)]
pub(in crate::actors) struct Snapshot {
    /// Locked while a write is under way, so that two never meet.
    file: Arc<Mutex<TableFile>>,
    name: String,
    interval: Duration,
    /// The next write does not begin before.
    not_before: Instant,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Clean,
    /// Changed; a timer is set.
    Due,
    Writing,
    /// Changed again while being written.
    WritingStale,
}

impl Snapshot {
    /// The first write does not begin before `first`.
    pub(in crate::actors) fn new(file: TableFile, interval: Duration, first: Duration) -> Self {
        Self {
            name: file.path().display().to_string(),
            file: Arc::new(Mutex::new(file)),
            interval,
            not_before: Instant::now() + first,
            state: State::Clean,
        }
    }
}

/// Notes that the table of `owner` changed.
pub(in crate::actors) fn changed<A: Persistent>(owner: &mut A, context: &mut Context<A>) {
    let snapshot = owner.snapshot();
    match snapshot.state {
        State::Due | State::WritingStale => {}
        State::Writing => snapshot.state = State::WritingStale,
        State::Clean => {
            snapshot.state = State::Due;
            let wait = snapshot.not_before.saturating_duration_since(Instant::now());
            context.run_later(wait, begin);
        }
    }
}

fn begin<A: Persistent>(owner: &mut A, context: &mut Context<A>) {
    let encode = owner.encode();
    let snapshot = owner.snapshot();
    snapshot.state = State::Writing;
    let write = write(Arc::clone(&snapshot.file), encode).into_actor(owner).map(finished);
    context.spawn(write);
}

fn finished<A: Persistent>(result: Result<(), TableError>, owner: &mut A, context: &mut Context<A>) {
    let snapshot = owner.snapshot();
    let again = snapshot.state == State::WritingStale || result.is_err();
    let pause = match result {
        Ok(()) => snapshot.interval,
        Err(error) => {
            tracing::error!(%error, "a table was not saved; trying again");
            RETRY_INTERVAL.max(snapshot.interval)
        }
    };
    snapshot.not_before = Instant::now() + pause;
    snapshot.state = State::Clean;
    if again {
        changed(owner, context);
    }
}

/// Writes what is not written yet; when the future ends the file holds the table as it was at the call.
pub(in crate::actors) fn finish<A: Persistent>(owner: &mut A) -> ResponseFuture<()> {
    let snapshot = owner.snapshot();
    if snapshot.state == State::Clean {
        return Box::pin(async {});
    }
    let table = snapshot.name.clone();
    let saved = save_now(owner);
    Box::pin(async move {
        if let Err(error) = saved.await {
            tracing::error!(%error, table, "a table was not saved before the stop; its last changes are lost");
        }
    })
}

/// Writes the table as it is now, whatever the interval.
pub(in crate::actors) fn save_now<A: Persistent>(owner: &mut A) -> ResponseFuture<Result<(), TableError>> {
    let encode = owner.encode();
    Box::pin(write(Arc::clone(&owner.snapshot().file), encode))
}

async fn write(file: Arc<Mutex<TableFile>>, encode: Encode) -> Result<(), TableError> {
    let file = file.lock_owned().await;
    let path = file.path().to_owned();
    let failed = |error| TableError::Disk { action: "encoding", path, source: std::io::Error::other(error) };
    tokio::task::spawn_blocking(move || file.save(&encode())).await.unwrap_or_else(|error| Err(failed(error)))
}
