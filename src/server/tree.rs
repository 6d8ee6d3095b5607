//! The supervision tree of a broker: who runs on which thread, who is built again when it ends, and who ends the process.
//!
//! | actor | thread | when it ends by a panic |
//! |---|---|---|
//! | sessions | an I/O arbiter each, in turn | its connection is closed |
//! | topic queues | the I/O arbiter of their parent | built again from disk and log |
//! | settings, topics, groups, offsets, members, queue locks, transactions, statistics | first I/O arbiter | built again from disk and what they published |
//! | delay scheduler | first I/O arbiter | built again; goes on from what it published |
//! | CommitLog writer | first I/O arbiter; with more than two cores its own | the process ends |
//! | custom filters that are kept | one each, see `extending` | built again |
//! | listener, registration | first I/O arbiter | the process ends |
//! | flusher, segments, key index, queue files | one each: they wait for the disk | the process ends |

mod log;

use std::ffi::CStr;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use actix_rt::{Arbiter, ArbiterHandle};

pub use self::log::{LogTree, ends, log_settings};
use crate::actors::door::Door;
use crate::actors::log::flusher::Fatal;
use crate::actors::supervision::{End, Seat};

/// First pause before an actor that ended by a panic is built again; doubled each time.
const BACK_OFF_MIN: Duration = Duration::from_millis(20);
/// Ends by a panic that are forgiven one actor; after the next the process ends.
const REBUILDS_MAX: u32 = 10;

/// The threads of a broker.
pub struct Threads {
    /// Sessions and topic queues.
    pub io: Vec<ArbiterHandle>,
    /// The writer, which shares the first I/O thread where there are few cores.
    pub writer: ArbiterHandle,
    pub flusher: ArbiterHandle,
    pub segments: ArbiterHandle,
    pub index: ArbiterHandle,
    pub files: ArbiterHandle,
    pub dispatch_reader: ArbiterHandle,
    own: Vec<Arbiter>,
}

impl Threads {
    /// Threads for this many I/O arbiters, of which the calling thread's is the first; 0 for as many as fit the cores.
    #[must_use]
    pub fn start(io_threads: usize) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let io_threads = match io_threads {
            0 if cores <= 2 => 1,
            0 => cores - 1,
            wished => wished,
        };
        let mut own = Vec::new();
        let mut start = |name: &'static CStr, rank: Rank| {
            let arbiter = Arbiter::with_tokio_rt(small_runtime);
            let handle = arbiter.handle();
            handle.spawn_fn(move || {
                name_thread(name);
                rank.take();
            });
            own.push(arbiter);
            handle
        };
        let mut io = vec![Arbiter::current()];
        io.extend((1..io_threads).map(|_| start(c"io", Rank::Front)));
        Self {
            io,
            writer: if cores > 2 { start(c"writer", Rank::Front) } else { Arbiter::current() },
            flusher: start(c"flusher", Rank::Front),
            segments: start(c"segments", Rank::Back),
            index: start(c"index", Rank::Back),
            files: start(c"queue files", Rank::Back),
            dispatch_reader: start(c"dispatch reader", Rank::Back),
            own,
        }
    }

    /// Ends the threads; their actors are gone already.
    pub fn stop(self) {
        for arbiter in self.own {
            arbiter.stop();
            // A thread that panicked has said so.
            let _ = arbiter.join();
        }
    }
}

/// Whom the kernel serves first where there are fewer cores than threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rank {
    /// Somebody waits for the answer.
    Front,
    /// Work ahead of need, or after the answer.
    Back,
}

impl Rank {
    /// Gives the calling thread its rank. Failing only costs time.
    fn take(self) {
        const NICENESS: libc::c_int = 10;
        if self == Rank::Back {
            // SAFETY: no memory is handed over; 0 is the calling thread.
            unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
        }
    }
}

/// Names the calling thread for whoever looks at the process, by at most 15 bytes.
fn name_thread(name: &'static CStr) {
    // SAFETY: `name` ends with a zero byte and lives for ever; the kernel copies it.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

/// A runtime for one arbiter: few threads for blocking work, which is short or rare.
#[must_use]
pub fn small_runtime() -> tokio::runtime::Runtime {
    const BLOCKING_THREADS_MAX: usize = 4;
    let built = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_name("blocking")
        .thread_keep_alive(Duration::from_secs(2))
        .build();
    match built {
        Ok(runtime) => runtime,
        // Nothing can run without one; the operating system refused a thread or a descriptor.
        Err(error) => panic!("cannot start an event loop: {error}"),
    }
}

/// How an actor is made, the first time and after each panic.
pub type Recipe<A> = Arc<dyn Fn() -> Result<A, String> + Send + Sync>;

/// Starts an actor that is built again, by the same recipe, when it ends by a panic.
///
/// # Errors
/// When the recipe fails the first time.
pub fn keep<A>(arbiter: &ArbiterHandle, name: &'static str, recipe: Recipe<A>, fatal: Fatal) -> Result<Door<A>, String>
where
    A: Actor<Context = Context<A>> + Send,
{
    let actor = recipe()?;
    let seat = Seat::new();
    let door = Door::new(seat.addr.clone());
    let kept = Kept { arbiter: arbiter.clone(), name, recipe, fatal, door: door.clone(), rebuilds: 0 };
    seat.start(arbiter, move || actor, move |end| kept.ended(end));
    Ok(door)
}

struct Kept<A: Actor> {
    arbiter: ArbiterHandle,
    name: &'static str,
    recipe: Recipe<A>,
    fatal: Fatal,
    door: Door<A>,
    rebuilds: u32,
}

impl<A: Actor<Context = Context<A>> + Send> Kept<A> {
    fn ended(mut self, end: End) {
        let End::Panicked(reason) = end else { return };
        tracing::error!(actor = self.name, reason, "an actor ended by a panic; it is built again");
        self.rebuilds += 1;
        if self.rebuilds > REBUILDS_MAX {
            (self.fatal)(format!("{} ended by a panic {} times: {reason}", self.name, self.rebuilds));
            return;
        }
        let pause = BACK_OFF_MIN * 2u32.pow(self.rebuilds - 1);
        actix::spawn(async move {
            tokio::time::sleep(pause).await;
            match (self.recipe)() {
                Ok(actor) => self.restart(actor),
                Err(error) => (self.fatal)(format!("{} cannot be built again: {error}", self.name)),
            }
        });
    }

    fn restart(self, actor: A) {
        let seat = Seat::new();
        self.door.lead_to(seat.addr.clone());
        let arbiter = self.arbiter.clone();
        seat.start(&arbiter, move || actor, move |end| self.ended(end));
    }
}
