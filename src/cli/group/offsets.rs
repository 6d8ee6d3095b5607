//! How far a group is, and setting that.

use std::collections::BTreeMap;

use clap::{ArgGroup, Args};
use serde::Serialize;

use super::existing;
use crate::cli::connect::{Failure, ServerAddresses};
use crate::cli::shown::OutputArgs;
use crate::cli::times;
use crate::client::admin::{Admin, QueueProgress, Reset, ResetQueue, ResetTo};

/// Which offsets.
#[derive(Debug, Args)]
pub struct OffsetsArgs {
    #[command(flatten)]
    pub servers: ServerAddresses,
    /// Its name
    group: String,
    /// Only this topic
    #[arg(long)]
    topic: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Which offsets, and what they shall be.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("where").required(true).args(["to", "to_offset"])))]
pub struct ResetArgs {
    #[command(flatten)]
    pub servers: ServerAddresses,
    /// Its name
    group: String,
    /// Topic whose offsets are set
    #[arg(long)]
    topic: String,
    /// The first message, after the last one, or the first one stored at a time
    #[arg(long, value_name = "first|last|TIME", value_parser = reset_to)]
    to: Option<ResetTo>,
    /// This offset of each queue
    #[arg(long, value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..))]
    to_offset: Option<i64>,
    /// Only the queues of this broker
    #[arg(long, value_name = "NAME")]
    broker: Option<String>,
    /// Only the queue of this number
    #[arg(long, value_name = "QUEUE")]
    queue: Option<u32>,
    #[command(flatten)]
    output: OutputArgs,
}

fn reset_to(text: &str) -> Result<ResetTo, String> {
    match text {
        "first" => Ok(ResetTo::First),
        "last" => Ok(ResetTo::Last),
        time => times::moment(time).map(ResetTo::Time).map_err(|wanted| format!("first, last, or {wanted}")),
    }
}

/// Heads of a table of [`progress_cells`].
pub const PROGRESS_COLUMNS: &[&str] = &["topic", "queue", "committed", "end", "lag", "in flight", "consumed until"];

/// A queue's row.
pub fn progress_cells(at: &QueueProgress) -> Vec<String> {
    vec![
        at.topic.clone(),
        format!("{}/{}", at.broker, at.queue),
        at.committed_offset.to_string(),
        at.max_offset.to_string(),
        at.lag.to_string(),
        at.in_flight.to_string(),
        times::shown_if(at.consumed_until_ms),
    ]
}

/// How far a group is that must be there.
async fn progress(args: &OffsetsArgs, admin: &Admin) -> Result<Vec<QueueProgress>, Failure> {
    existing(admin, &args.group).await?;
    Ok(admin.progress(&args.group, args.topic.as_deref()).await?)
}

fn no_offsets(group: &str) -> String {
    format!("group {group} has consumed nothing yet: `actormq consume --group {group} --topic T` does")
}

/// How far a group is, queue by queue.
///
/// # Errors
/// When there is no such group, or a server refuses or does not answer.
pub async fn offsets(args: &OffsetsArgs, admin: &Admin) -> Result<(), Failure> {
    let queues = progress(args, admin).await?;
    Ok(args.output.rows(&queues, PROGRESS_COLUMNS, progress_cells, &no_offsets(&args.group))?)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TopicLag {
    topic: String,
    queues: usize,
    lag: i64,
    in_flight: i64,
    consumed_until_ms: Option<i64>,
}

/// How far a group is, topic by topic.
///
/// # Errors
/// When there is no such group, or a server refuses or does not answer.
pub async fn lag(args: &OffsetsArgs, admin: &Admin) -> Result<(), Failure> {
    let mut topics: BTreeMap<String, TopicLag> = BTreeMap::new();
    for at in progress(args, admin).await? {
        let of = topics.entry(at.topic.clone()).or_insert_with(|| TopicLag {
            topic: at.topic.clone(),
            queues: 0,
            lag: 0,
            in_flight: 0,
            consumed_until_ms: None,
        });
        of.queues += 1;
        of.lag += at.lag;
        of.in_flight += at.in_flight;
        of.consumed_until_ms = of.consumed_until_ms.max(at.consumed_until_ms);
    }
    let topics: Vec<TopicLag> = topics.into_values().collect();
    let columns = ["topic", "queues", "lag", "in flight", "consumed until"];
    let cells = |of: &TopicLag| {
        let (queues, lag) = (of.queues.to_string(), of.lag.to_string());
        vec![of.topic.clone(), queues, lag, of.in_flight.to_string(), times::shown_if(of.consumed_until_ms)]
    };
    Ok(args.output.rows(&topics, &columns, cells, &no_offsets(&args.group))?)
}

/// Lets a group go on elsewhere.
///
/// # Errors
/// When there is no such group, or a server refuses or does not answer.
pub async fn reset(args: &ResetArgs, admin: &Admin) -> Result<(), Failure> {
    let to = args.to.or(args.to_offset.map(ResetTo::Offset)).unwrap_or(ResetTo::First);
    let (group, topic) = (args.group.clone(), args.topic.clone());
    let reset = Reset { group, topic, to, broker: args.broker.clone(), queue: args.queue };
    let queues = admin.reset(&reset).await?;
    let cells = |at: &ResetQueue| vec![at.topic.clone(), format!("{}/{}", at.broker, at.queue), at.offset.to_string()];
    Ok(args.output.rows(&queues, &["topic", "queue", "goes on at"], cells, "no queue was reset")?)
}
