//! What has to be there before the load: topic, connections, backlog.

use super::args::{LoadArgs, TargetArgs};
use super::call::{Caller, links};
use super::engine::Engine;
use super::error::BenchError;
use super::frame::Codec;
use super::pulling::{Backlog, Cursor};
use super::report::Setting;
use super::sending::{SendPlan, SendWork};
use super::tally::Tally;
use super::template::{PullSpec, SendSpec};
use super::timing::{Clock, Window};
use super::wire::{Link, Waiting, Wire};
use std::time::{Duration, Instant};

pub const CONSUMER_GROUP: &str = "actormq_bench_consumer";
/// A broker refuses requests whose body is longer than this.
const REQUEST_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Lengths and properties around one body of a batch.
const ENTRY_BYTES: u64 = 96;
/// A backlog is made of batches of so many messages, or so many bytes if that is less.
const PREFILL_BATCH_MAX: u64 = 32;
const PREFILL_BATCH_BYTES: u64 = 256 * 1024;
const PREFILL_CONNECTIONS: u32 = 4;
const PREFILL_IN_FLIGHT: u32 = 8;
/// So often what a busy broker refused is sent again.
const PREFILL_ROUNDS: usize = 10;
/// How long a backlog that was acknowledged may take to become readable.
const BACKLOG_PATIENCE: Duration = Duration::from_secs(60);
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// The topic asked for, or `otherwise`.
pub fn topic_name(target: &TargetArgs, otherwise: &str) -> String {
    target.topic.clone().unwrap_or_else(|| otherwise.to_owned())
}

/// Makes the topic, unless that is not wanted.
pub fn prepare(target: &TargetArgs, topic: &str) -> Result<Caller, BenchError> {
    let mut caller = Caller::connect(&target.broker, target.codec)?;
    if !target.no_create {
        caller.create_topic(topic, target.queues)?;
    }
    Ok(caller)
}

/// # Errors
/// When a batch of `batch` bodies is too long for a request.
pub fn check_batch(batch: u32, body: u32) -> Result<(), BenchError> {
    let bytes = u64::from(batch) * (u64::from(body) + ENTRY_BYTES);
    if batch > 1 && bytes > REQUEST_BYTES_MAX {
        return Err(BenchError::WrongCall(format!(
            "--batch {batch} of --body {body} makes requests of {bytes} bytes; at most {REQUEST_BYTES_MAX} are allowed"
        )));
    }
    Ok(())
}

/// # Errors
/// When there are more threads than connections.
pub fn check_threads(load: &LoadArgs) -> Result<(), BenchError> {
    if load.threads > load.connections {
        return Err(BenchError::WrongCall(format!(
            "--threads {} needs as many connections; --connections is {}",
            load.threads, load.connections
        )));
    }
    Ok(())
}

/// `links` in as many parts as there are threads.
pub fn share_out(links: Vec<Link>, threads: u32) -> Vec<Vec<Link>> {
    let threads = threads as usize;
    let mut parts: Vec<Vec<Link>> = (0..threads).map(|_| Vec::new()).collect();
    for (index, link) in links.into_iter().enumerate() {
        parts[index % threads].push(link);
    }
    parts
}

/// `count` connections of consumers of `group` that have announced themselves.
pub fn consumers(target: &TargetArgs, group: &str, topic: &str, count: u32) -> Result<Vec<Link>, BenchError> {
    let pid = std::process::id();
    (0..count)
        .map(|number| {
            let mut caller = Caller::connect(&target.broker, target.codec)?;
            caller.heartbeat(&format!("127.0.0.1@{pid}#{number}"), group, topic)?;
            Ok(caller.into_link())
        })
        .collect()
}

pub fn send_spec(target: &TargetArgs, topic: &str, body: u32, batch: u32) -> SendSpec {
    SendSpec {
        codec: target.codec,
        topic: topic.to_owned(),
        broker_name: target.broker_name.clone(),
        body_length: body as usize,
        batch: batch as usize,
        properties: String::new(),
        sys_flag: 0,
    }
}

pub fn pull_spec(target: &TargetArgs, topic: &str, max_num: u32, suspend_ms: Option<u64>) -> PullSpec {
    PullSpec {
        codec: target.codec,
        topic: topic.to_owned(),
        broker_name: target.broker_name.clone(),
        group: CONSUMER_GROUP.to_owned(),
        max_num,
        suspend_ms,
    }
}

/// How a thread waits whose load is `per_second` requests (none: as fast as possible) on `slots` slots in all.
pub fn waiting(per_second: Option<f64>, slots: u32) -> Waiting {
    match (per_second, slots) {
        (Some(per_second), _) => Waiting::Ticks(per_second),
        (None, 1) => Waiting::OneAnswer,
        (None, _) => Waiting::Answers,
    }
}

/// Offsets of every queue.
pub fn backlogs(caller: &mut Caller, topic: &str, queues: u32) -> Result<Vec<Backlog>, BenchError> {
    (0..queues).map(|queue| caller.offsets(topic, queue)).collect()
}

/// Sends `messages` messages and waits until all can be read; returns where they lie.
///
/// # Errors
/// When the broker refuses some of them, or the topic is empty.
pub fn fill_backlog(
    caller: &mut Caller,
    target: &TargetArgs,
    spec: SendSpec,
    messages: u64,
) -> Result<Vec<Backlog>, BenchError> {
    let topic = spec.topic.clone();
    let before = total(&backlogs(caller, &topic, target.queues)?);
    let sent = match messages {
        0 => 0,
        _ => prefill(target, spec, messages)?,
    };
    let deadline = Instant::now() + BACKLOG_PATIENCE;
    loop {
        let now = backlogs(caller, &topic, target.queues)?;
        if total(&now) >= before + sent && now.iter().any(|backlog| backlog.0 < backlog.1) {
            return Ok(now);
        }
        if Instant::now() >= deadline {
            return Err(BenchError::WrongCall(format!(
                "topic {topic} holds {} messages where {} were expected; give --prefill, or a topic with a backlog",
                total(&now),
                before + sent,
            )));
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
}

/// How many messages the queues have seen.
pub fn total(backlogs: &[Backlog]) -> u64 {
    backlogs.iter().map(|backlog| backlog.1).sum()
}

/// Returns how many messages were acknowledged. A cold broker may be too busy for some of them: these are made up for.
fn prefill(target: &TargetArgs, mut spec: SendSpec, messages: u64) -> Result<u64, BenchError> {
    let per_batch = PREFILL_BATCH_BYTES / (spec.body_length as u64 + ENTRY_BYTES);
    spec.batch = per_batch.clamp(1, PREFILL_BATCH_MAX) as usize;
    store(target, &spec, messages, (PREFILL_CONNECTIONS, PREFILL_IN_FLIGHT))
}

/// Sends `messages` messages as fast as answers come, over connections with requests under way on each as `shape`
/// says; returns how many were acknowledged. What a busy broker refuses is made up for.
///
/// # Errors
/// When the broker goes on refusing them.
pub fn store(target: &TargetArgs, spec: &SendSpec, messages: u64, shape: (u32, u32)) -> Result<u64, BenchError> {
    let mut stored = 0;
    let mut refusal = None;
    for _ in 0..PREFILL_ROUNDS {
        let tally = store_round(target, spec, messages - stored, shape)?;
        stored += tally.messages_in_all;
        refusal = tally.refused.keys().next().copied().zip(tally.first_refusal);
        if stored >= messages || tally.messages_in_all == 0 {
            break;
        }
    }
    match refusal {
        Some((code, first)) if stored < messages => {
            Err(BenchError::Refused { action: "store the backlog", code, remark: format!("; the first with {first}") })
        }
        _ => Ok(stored),
    }
}

fn store_round(target: &TargetArgs, spec: &SendSpec, messages: u64, shape: (u32, u32)) -> Result<Tally, BenchError> {
    let clock = Clock::start();
    let plan = SendPlan {
        spec: spec.clone(),
        queues: target.queues,
        connections: shape.0 as usize,
        in_flight: shape.1 as usize,
        pace: None,
        limit: messages.div_ceil(spec.batch as u64),
        keys_wanted: 0,
        run: None,
        thread: 0,
    };
    let for_ever = Window { start: 0, end: u64::MAX };
    let links = links(target, shape.0)?;
    let engine = Engine {
        wire: Wire::new(&target.broker, links, clock, Waiting::Answers)?,
        work: SendWork::new(plan, clock, for_ever),
    };
    Ok(engine.run(for_ever)?.tally)
}

/// The queues of each of `consumers` consumers, from their ends on: queue after queue in turn.
pub fn cursors_at_end(backlogs: &[Backlog], consumers: u32) -> Vec<Vec<Cursor>> {
    let mut cursors: Vec<Vec<Cursor>> = (0..consumers).map(|_| Vec::new()).collect();
    for (queue, backlog) in (0..).zip(backlogs) {
        cursors[(queue % consumers) as usize].push(Cursor { queue, offset: backlog.1 });
    }
    cursors
}

/// The flags of a run as the report repeats them. `shape`: requests under way per connection, messages per request.
pub fn setting(target: &TargetArgs, load: &LoadArgs, topic: &str, shape: (u32, u32), rate: u64) -> Setting {
    let codec = match target.codec {
        Codec::Binary => "binary",
        Codec::Json => "json",
    };
    Setting {
        broker: target.broker.clone(),
        topic: topic.to_owned(),
        codec: codec.to_owned(),
        queues: target.queues,
        connections: load.connections,
        in_flight: shape.0,
        body: load.body,
        batch: shape.1,
        rate,
        threads: load.threads,
        warmup_s: load.warmup,
        duration_s: load.duration,
    }
}
