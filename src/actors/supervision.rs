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

/// Starts an actor on `arbiter`, made there from its own context; `on_end` is called there when it ended.
pub fn start_in<A: Actor<Context = Context<A>>>(
    arbiter: &ArbiterHandle,
    make: impl FnOnce(&mut Context<A>) -> A + Send + 'static,
    on_end: impl FnOnce(End) + Send + 'static,
) -> Addr<A> {
    let (sender, receiver) = channel::channel(MAILBOX);
    arbiter.spawn_fn(move || {
        let mut ctx = Context::with_receiver(receiver);
        let actor = make(&mut ctx);
        run(ctx, actor, on_end);
    });
    Addr::new(sender)
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
