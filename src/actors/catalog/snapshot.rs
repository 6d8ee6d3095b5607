//! When a table goes to its file: soon after a change, at most once each interval; at once where somebody waits for it; and
//! before its owner stops.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::{Mutex, oneshot};
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

/// The table was not saved; the log says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the table could not be saved")]
pub(in crate::actors) struct Unsaved;

/// The file of a table and how far it is behind.
#[derive(Debug)]
pub(in crate::actors) struct Snapshot {
    /// Locked while a write is under way, so that two never meet.
    file: Arc<Mutex<Written>>,
    name: String,
    interval: Duration,
    /// The next write does not begin before, unless somebody waits for it.
    not_before: Instant,
    state: State,
    /// Set while the next write is due.
    timer: Option<SpawnHandle>,
    /// Of those who wait for the next write.
    waiting: Vec<oneshot::Sender<()>>,
    /// How often the table was taken to be written.
    taken: u64,
}

/// The file and which taking of the table it holds. What was taken earlier but comes later is not written.
#[derive(Debug)]
struct Written {
    file: TableFile,
    taken: u64,
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
            file: Arc::new(Mutex::new(Written { file, taken: 0 })),
            interval,
            not_before: Instant::now() + first,
            state: State::Clean,
            timer: None,
            waiting: Vec::new(),
            taken: 0,
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
            snapshot.timer = Some(context.run_later(wait, begin));
        }
    }
}

/// Has the table written whatever the interval; the future ends when the file holds it as it was at the call. Those who ask
/// while a write is under way share the next one.
pub(in crate::actors) fn saved<A: Persistent>(
    owner: &mut A,
    context: &mut Context<A>,
) -> impl Future<Output = Result<(), Unsaved>> + use<A> {
    let (done, is_done) = oneshot::channel();
    let snapshot = owner.snapshot();
    snapshot.waiting.push(done);
    match snapshot.state {
        State::Writing | State::WritingStale => snapshot.state = State::WritingStale,
        // The first who waits has it begin; by then the others of the mailbox are there, too.
        State::Clean | State::Due if snapshot.waiting.len() == 1 => begin_soon(owner, context),
        State::Clean | State::Due => {}
    }
    async move { is_done.await.map_err(|_| Unsaved) }
}

/// Whether the file holds the table as it is.
pub(in crate::actors) fn is_saved<A: Persistent>(owner: &mut A) -> bool {
    owner.snapshot().state == State::Clean
}

fn begin_soon<A: Persistent>(owner: &mut A, context: &mut Context<A>) {
    let snapshot = owner.snapshot();
    snapshot.state = State::Due;
    if let Some(timer) = snapshot.timer.take() {
        context.cancel_future(timer);
    }
    context.spawn(async {}.into_actor(owner).map(|(), owner, context| begin(owner, context)));
}

fn begin<A: Persistent>(owner: &mut A, context: &mut Context<A>) {
    let write = write(owner);
    let snapshot = owner.snapshot();
    snapshot.state = State::Writing;
    snapshot.timer = None;
    let waiting = std::mem::take(&mut snapshot.waiting);
    let finished = |result, owner: &mut A, context: &mut Context<A>| finished(result, waiting, owner, context);
    context.spawn(write.into_actor(owner).map(finished));
}

fn finished<A: Persistent>(
    result: Result<(), TableError>,
    waiting: Vec<oneshot::Sender<()>>,
    owner: &mut A,
    context: &mut Context<A>,
) {
    let snapshot = owner.snapshot();
    let again = snapshot.state == State::WritingStale || result.is_err();
    let pause = match result {
        Ok(()) => {
            for done in waiting {
                // One who does not wait any more need not know.
                let _ = done.send(());
            }
            snapshot.interval
        }
        Err(error) => {
            tracing::error!(%error, "a table was not saved; trying again");
            RETRY_INTERVAL.max(snapshot.interval)
        }
    };
    snapshot.not_before = Instant::now() + pause;
    snapshot.state = State::Clean;
    if !snapshot.waiting.is_empty() {
        begin_soon(owner, context);
    } else if again {
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
    Box::pin(write(owner))
}

/// Takes the table now; the future writes it.
fn write<A: Persistent>(owner: &mut A) -> impl Future<Output = Result<(), TableError>> + use<A> {
    let encode = owner.encode();
    let snapshot = owner.snapshot();
    snapshot.taken += 1;
    let (taken, file) = (snapshot.taken, Arc::clone(&snapshot.file));
    async move {
        let mut written = file.lock_owned().await;
        if written.taken > taken {
            return Ok(());
        }
        let path = written.file.path().to_owned();
        let save = move || {
            let saved = written.file.save(&encode());
            if saved.is_ok() {
                written.taken = taken;
            }
            saved
        };
        let failed = |error| TableError::Disk { action: "encoding", path, source: std::io::Error::other(error) };
        tokio::task::spawn_blocking(save).await.unwrap_or_else(|error| Err(failed(error)))
    }
}
