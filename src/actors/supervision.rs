//! Starting actors so that their parent hears how they end: actix's own supervisor does not see a panic.

use actix::dev::channel;
use actix::prelude::*;
use actix_rt::ArbiterHandle;

/// How an actor ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Stopped,
    Panicked(String),
}

/// Messages that actix lets wait before `try_send` says so; nothing here relies on it, credits bound what is under way.
const MAILBOX: usize = 16;

/// Starts `actor` on this thread's arbiter; `on_end` is called there when it ended.
pub fn start_here<A: Actor<Context = Context<A>>>(actor: A, on_end: impl FnOnce(End) + 'static) -> Addr<A> {
    run(Context::new(), actor, on_end)
}

/// The mailbox of an actor that is still to be started: others can be given its address before.
pub struct Seat<A: Actor> {
    pub addr: Addr<A>,
    receiver: channel::AddressReceiver<A>,
}

impl<A: Actor<Context = Context<A>>> Seat<A> {
    #[must_use]
    pub fn new() -> Self {
        let (sender, receiver) = channel::channel(MAILBOX);
        Self { addr: Addr::new(sender), receiver }
    }

    /// Starts the actor on `arbiter`, made there; `on_end` is called there when it ended.
    pub fn start(
        self,
        arbiter: &ArbiterHandle,
        make: impl FnOnce() -> A + Send + 'static,
        on_end: impl FnOnce(End) + Send + 'static,
    ) -> Addr<A> {
        let Seat { addr, receiver } = self;
        arbiter.spawn_fn(move || {
            run(Context::with_receiver(receiver), make(), on_end);
        });
        addr
    }
}

impl<A: Actor<Context = Context<A>>> Default for Seat<A> {
    fn default() -> Self {
        Self::new()
    }
}

fn run<A: Actor<Context = Context<A>>>(ctx: Context<A>, actor: A, on_end: impl FnOnce(End) + 'static) -> Addr<A> {
    let addr = ctx.address();
    let running = actix::spawn(ctx.into_future(actor));
    actix::spawn(async move {
        on_end(match running.await {
            Ok(()) => End::Stopped,
            Err(error) => End::Panicked(reason(error)),
        });
    });
    addr
}

fn reason(error: tokio::task::JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else { return "it was cancelled".into() };
    let text =
        panic.downcast_ref::<&str>().map(ToString::to_string).or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without a message".into())
}
