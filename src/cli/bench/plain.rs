//! Plain sends as other cases need them: for comparison, and beside something else.

use super::args::{LoadArgs, TargetArgs};
use super::call::links;
use super::engine::Engine;
use super::error::BenchError;
use super::sending::{SendPlan, SendWork};
use super::setup;
use super::timing::{Clock, Window};
use super::wire::{Waiting, Wire};

/// Requests under way on each connection, unless the flags say otherwise.
pub const IN_FLIGHT: u32 = 64;

/// Sends to `topic` as fast as answers come; `thread` tells their keys from those of another load at the same time.
///
/// # Errors
/// When the broker takes no connections.
pub fn engine(
    (target, load): (&TargetArgs, &LoadArgs),
    topic: &str,
    thread: u32,
    (clock, window): (Clock, Window),
) -> Result<Engine<SendWork>, BenchError> {
    let plan = SendPlan {
        spec: setup::send_spec(target, topic, load.body, 1),
        queues: target.queues,
        connections: load.connections as usize,
        in_flight: load.in_flight.unwrap_or(IN_FLIGHT) as usize,
        pace: None,
        limit: u64::MAX,
        keys_wanted: 0,
        run: None,
        thread,
    };
    Ok(Engine {
        wire: Wire::new(&target.broker, links(target, load.connections)?, clock, Waiting::Answers)?,
        work: SendWork::new(plan, clock, window),
    })
}

/// Messages a second of plain sends alone, over the warm-up and the duration of `load`.
///
/// # Errors
/// When the broker refuses them, or falls silent.
pub fn rate(target: &TargetArgs, load: &LoadArgs, topic: &str) -> Result<f64, BenchError> {
    let clock = Clock::start();
    let window = Window::after(clock.now(), load.warmup, load.duration);
    let tally = engine((target, load), topic, 0, (clock, window))?.run(window)?.tally;
    match (tally.refused.keys().next(), tally.first_refusal) {
        (Some(&code), Some(first)) => {
            Err(BenchError::Refused { action: "take plain sends", code, remark: format!("; the first with {first}") })
        }
        _ => Ok(tally.messages as f64 / window.seconds()),
    }
}

/// # Errors
/// When more than one thread is asked for: these cases run theirs side by side.
pub fn check_one_thread(case: &str, load: &LoadArgs) -> Result<(), BenchError> {
    match load.threads {
        1 => Ok(()),
        _ => Err(BenchError::WrongCall(format!("{case} runs on one thread: leave out --threads"))),
    }
}
