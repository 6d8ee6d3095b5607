//! Handing a user's own actors to a broker: filters, interceptors, listeners.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use actix_rt::Arbiter;

use super::broker::{Broker, StartError};
use super::doors::Extensions;
use super::filters::FilterDoor;
use super::tree::small_runtime;
pub use crate::actors::extension::{
    Bits, BrokerEvent, FilterAnswer, FilterBatch, FilterError, Incoming, InterceptAnswer, InterceptBatch,
    InterceptError, MessageView, Messages, Verdict,
};
use crate::actors::extension::{CustomFilter, Filters, Interceptors, Listeners};
use crate::actors::log::flusher::Fatal;
use crate::actors::supervision::{self, End, Seat};
use crate::config::BrokerConfig;

/// First pause before a filter that ended is built again; doubled each time.
const BACK_OFF_MIN: Duration = Duration::from_millis(20);
const BACK_OFF_MAX: Duration = Duration::from_secs(10);
/// A filter that lived so long begins with the first pause again.
const LIVED_WELL: Duration = Duration::from_secs(60);

/// The actors that are added to a broker. Names are checked when it starts.
#[derive(Default)]
pub struct Additions {
    filters: Vec<Added>,
    interceptors: Vec<Recipient<InterceptBatch>>,
    listeners: Vec<Recipient<BrokerEvent>>,
}

/// A filter that is still to be named at a broker.
struct Added {
    name: String,
    /// Where the actor is: it runs already, or, with a thread of its own, once the filter has its name.
    actor: Recipient<FilterBatch>,
    begin: Option<Box<dyn FnOnce(Arc<CustomFilter>) -> Arbiter + Send>>,
}

impl Additions {
    /// A filter that runs already, by a name. Who starts it watches it.
    pub fn filter(&mut self, name: impl Into<String>, actor: Recipient<FilterBatch>) {
        self.filters.push(Added { name: name.into(), actor, begin: None });
    }

    /// A filter that the broker starts by `recipe` on a thread of its own, and again whenever it ends.
    pub fn filter_kept<A>(&mut self, name: impl Into<String>, recipe: impl Fn() -> A + Send + Sync + 'static)
    where
        A: Actor<Context = Context<A>> + Handler<FilterBatch>,
    {
        // Until the actor is there, whoever asks it hears that it is not.
        let actor = Seat::<A>::new().addr.recipient();
        let begin = move |filter: Arc<CustomFilter>| {
            let arbiter = Arbiter::with_tokio_rt(small_runtime);
            let kept = Arc::new(Kept { filter, recipe });
            arbiter.spawn_fn(move || begin(&kept, 0));
            arbiter
        };
        self.filters.push(Added { name: name.into(), actor, begin: Some(Box::new(begin)) });
    }

    /// An actor that sees messages before they are stored; several are asked in the order in which they were added.
    pub fn interceptor(&mut self, actor: Recipient<InterceptBatch>) {
        self.interceptors.push(actor);
    }

    /// An actor that hears of what happens.
    pub fn listener(&mut self, actor: Recipient<BrokerEvent>) {
        self.listeners.push(actor);
    }

    /// Names the filters and starts those that the broker keeps.
    pub(super) fn begin(self) -> Result<(Extensions, Vec<Arbiter>), StartError> {
        let (mut filters, mut begun) = (Filters::default(), Vec::new());
        for added in self.filters {
            let filter = Arc::new(CustomFilter::new(&added.name, added.actor).map_err(StartError::Extension)?);
            filters.add(filter.clone()).map_err(StartError::Extension)?;
            begun.extend(added.begin.map(|begin| (begin, filter)));
        }
        let arbiters = begun.into_iter().map(|(begin, filter)| begin(filter)).collect();
        let extensions = Extensions {
            filters: FilterDoor::new(filters),
            interceptors: Interceptors::new(self.interceptors),
            listeners: Listeners::new(self.listeners),
        };
        Ok((extensions, arbiters))
    }
}

impl fmt::Debug for Additions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.filters.iter().map(|added| added.name.as_str()).collect();
        let (interceptors, listeners) = (self.interceptors.len(), self.listeners.len());
        write!(f, "Additions({names:?}, {interceptors} interceptors, {listeners} listeners)")
    }
}

/// A filter that is built again whenever it ends.
struct Kept<F> {
    filter: Arc<CustomFilter>,
    recipe: F,
}

/// Starts the filter on the calling thread's arbiter.
fn begin<A, F>(kept: &Arc<Kept<F>>, failures: u32)
where
    A: Actor<Context = Context<A>> + Handler<FilterBatch>,
    F: Fn() -> A + Send + Sync + 'static,
{
    let began = Instant::now();
    let Ok(actor) = catch_unwind(AssertUnwindSafe(|| (kept.recipe)())) else {
        begin_again(kept.clone(), failures, "its recipe panicked");
        return;
    };
    let again = kept.clone();
    let addr = supervision::start_here(actor, move |end| {
        let failures = if began.elapsed() > LIVED_WELL { 0 } else { failures };
        match end {
            End::Stopped => begin_again(again, failures, "it stopped"),
            End::Panicked(reason) => begin_again(again, failures, &reason),
        }
    });
    kept.filter.lead_to(addr.recipient());
}

fn begin_again<A, F>(kept: Arc<Kept<F>>, failures: u32, reason: &str)
where
    A: Actor<Context = Context<A>> + Handler<FilterBatch>,
    F: Fn() -> A + Send + Sync + 'static,
{
    tracing::error!(filter = kept.filter.name(), reason, "a custom filter ended; it is built again");
    let pause = BACK_OFF_MIN.saturating_mul(1 << failures.min(16)).min(BACK_OFF_MAX);
    actix::spawn(async move {
        tokio::time::sleep(pause).await;
        begin(&kept, failures.saturating_add(1));
    });
}

/// A broker that is still to be started, with what it is to have beside its settings.
#[must_use = "nothing is started until start is called"]
pub struct BrokerBuilder {
    config: BrokerConfig,
    io_threads: usize,
    fatal: Fatal,
    additions: Additions,
}

impl Broker {
    /// A broker with these settings, to which a program adds actors of its own. Ends the process, with status 70, where a
    /// broker cannot go on; see [`BrokerBuilder::fatal`].
    pub fn builder(config: BrokerConfig) -> BrokerBuilder {
        let fatal: Fatal = Arc::new(|reason| {
            tracing::error!(reason, "the broker cannot go on");
            std::process::exit(FATAL_STATUS)
        });
        BrokerBuilder { config, io_threads: 0, fatal, additions: Additions::default() }
    }
}

/// Status of a process whose broker could not go on, as the binary has it.
const FATAL_STATUS: i32 = 70;

impl BrokerBuilder {
    /// Threads for connections and queues; 0, the default, for as many as fit the cores.
    pub fn io_threads(self, io_threads: usize) -> Self {
        Self { io_threads, ..self }
    }

    /// What is done when the broker cannot go on, in place of ending the process.
    pub fn fatal(self, fatal: Fatal) -> Self {
        Self { fatal, ..self }
    }

    /// Everything that was gathered elsewhere, in place of what was added here.
    pub(crate) fn with(self, additions: Additions) -> Self {
        Self { additions, ..self }
    }

    /// A filter that runs already. Consumers give `name` as their expression type, or write `FILTER('name', '…')` as SQL92.
    pub fn filter(mut self, name: impl Into<String>, actor: impl Into<Recipient<FilterBatch>>) -> Self {
        self.additions.filter(name, actor.into());
        self
    }

    /// The same of a filter that the broker starts by `recipe` on a thread of its own, and again whenever it ends.
    pub fn filter_kept<A>(mut self, name: impl Into<String>, recipe: impl Fn() -> A + Send + Sync + 'static) -> Self
    where
        A: Actor<Context = Context<A>> + Handler<FilterBatch>,
    {
        self.additions.filter_kept(name, recipe);
        self
    }

    /// An actor that sees messages before they are stored.
    pub fn interceptor(mut self, actor: impl Into<Recipient<InterceptBatch>>) -> Self {
        self.additions.interceptor(actor.into());
        self
    }

    /// An actor that hears of appends, deliveries and changes of groups.
    pub fn listener(mut self, actor: impl Into<Recipient<BrokerEvent>>) -> Self {
        self.additions.listener(actor.into());
        self
    }

    /// Starts the broker on the calling thread's arbiter and others.
    ///
    /// # Errors
    /// As [`Broker::start`], and where a filter's name is taken or cannot be used.
    pub async fn start(self) -> Result<Broker, StartError> {
        let io = (self.io_threads, self.additions);
        Broker::start_on(Default::default(), self.config, io, &self.fatal).await
    }
}
