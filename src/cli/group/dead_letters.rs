//! Messages that a group gave up: listed, looked at, sent again.

use clap::{ArgGroup, Args, Subcommand};
use serde::Serialize;

use super::existing;
use crate::cli::connect::{Failure, ServerAddresses, with_admin};
use crate::cli::printed::{Line, full};
use crate::cli::shown::{self, OutputArgs};
use crate::cli::times;
use crate::client::admin::{Admin, QueueSpan, Resend};
use crate::client::{ReceivedMessage, SendReceipt};

/// Dead letters that are looked at for one that the index does not know.
const LOOKED_AT: usize = 1_000;

/// What to do with dead letters.
#[derive(Debug, Args)]
pub struct DeadLettersArgs {
    #[command(subcommand)]
    command: DeadLettersCommand,
}

#[derive(Debug, Subcommand)]
enum DeadLettersCommand {
    /// List the latest of them
    List(ListArgs),
    /// Show one with all that is known of it
    Show(ShowArgs),
    /// Send some or all again; they also stay where they are
    Resend(ResendArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    servers: ServerAddresses,
    /// The group that could not consume them
    group: String,
    /// So many at most
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    max: u32,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
struct ShowArgs {
    #[command(flatten)]
    servers: ServerAddresses,
    /// The group that could not consume it
    group: String,
    /// Its id, as the list shows it
    id: String,
    /// The body as bytes in hexadecimal
    #[arg(long, conflicts_with = "json")]
    hex: bool,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["ids", "all"])))]
struct ResendArgs {
    #[command(flatten)]
    servers: ServerAddresses,
    /// The group that could not consume them
    group: String,
    /// Their ids, as the list shows them
    ids: Vec<String>,
    /// All that there are now
    #[arg(long)]
    all: bool,
    /// To everybody who consumes the topic that they came from, not to the group alone; needed where the group consumes in order
    #[arg(long)]
    to_topic: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Does with dead letters what `args` says.
///
/// # Errors
/// When there is no such group or message, or a server refuses or does not answer.
pub async fn run(args: &DeadLettersArgs) -> Result<(), Failure> {
    match &args.command {
        DeadLettersCommand::List(args) => with_admin(&args.servers, async |admin| list(args, admin).await).await,
        DeadLettersCommand::Show(args) => with_admin(&args.servers, async |admin| show(args, admin).await).await,
        DeadLettersCommand::Resend(args) => with_admin(&args.servers, async |admin| resend(args, admin).await).await,
    }
}

async fn list(args: &ListArgs, admin: &Admin) -> Result<(), Failure> {
    existing(admin, &args.group).await?;
    let found = admin.dead_letters(&args.group, usize::try_from(args.max).unwrap_or(usize::MAX)).await?;
    if args.output.json {
        return Ok(found.iter().try_for_each(|message| shown::json(&Line::of(message)))?);
    }
    let columns = ["id", "from topic", "keys", "given up", "bytes"];
    let cells = |message: &&ReceivedMessage| {
        vec![
            message.message_id(),
            message.property("RETRY_TOPIC").unwrap_or("-").to_owned(),
            message.keys().unwrap_or("-").to_owned(),
            times::shown(message.store_timestamp_ms),
            message.body.len().to_string(),
        ]
    };
    if found.is_empty() {
        let rows: [&str; 0] = [];
        let nothing = format!("group {} has no dead letters", args.group);
        return Ok(args.output.rows(&rows, &columns, |_| Vec::new(), &nothing)?);
    }
    Ok(shown::say(&shown::table(&columns, found.iter().map(|message| cells(&message)).collect()))?)
}

/// The latest of a group's dead letters under an id: one that was sent again may be there twice.
async fn find(admin: &Admin, group: &str, id: &str) -> Result<ReceivedMessage, Failure> {
    let topic = Admin::dead_letter_topic(group);
    let absent = || {
        let advice = format!("see `actormq group dead-letters list {group}`");
        Failure::Refused(format!("group {group} has no dead letter of the id {id}: {advice}"))
    };
    if admin.dead_letter_queues(group).await?.is_empty() {
        return Err(absent());
    }
    if let Some(found) = admin.messages_by_unique_key(&topic, id).await?.pop() {
        return Ok(found);
    }
    // It may be too young for the index, or be listed under its broker's id.
    let latest = admin.dead_letters(group, LOOKED_AT).await?;
    latest.into_iter().rev().find(|message| message.message_id() == id).ok_or_else(absent)
}

async fn show(args: &ShowArgs, admin: &Admin) -> Result<(), Failure> {
    let message = find(admin, &args.group, &args.id).await?;
    if args.output.json {
        return Ok(shown::json(&Line::of(&message))?);
    }
    Ok(shown::say(&full(&message, args.hex))?)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Resent<'a> {
    msg_id: &'a str,
    topic: &'a str,
    broker_name: &'a str,
    queue_id: u32,
    queue_offset: i64,
}

async fn resend(args: &ResendArgs, admin: &Admin) -> Result<(), Failure> {
    if !args.all {
        for id in &args.ids {
            let message = find(admin, &args.group, id).await?;
            resend_one(args, admin, &message).await?;
        }
        return Ok(());
    }
    existing(admin, &args.group).await?;
    // The ends are those of now, so what fails once more is not sent in a circle.
    for QueueSpan { queue, first, end } in admin.dead_letter_queues(&args.group).await? {
        let mut offset = first;
        while offset < end {
            let (messages, next) = admin.messages_from(&queue, offset).await?;
            for message in messages.iter().filter(|message| message.queue_offset < end) {
                resend_one(args, admin, message).await?;
            }
            offset = next.max(offset + 1);
        }
    }
    Ok(())
}

async fn resend_one(args: &ResendArgs, admin: &Admin, message: &ReceivedMessage) -> Result<(), Failure> {
    let whom = if args.to_topic { Resend::ToTopic } else { Resend::ToGroup };
    let SendReceipt { message_id, queue, queue_offset, .. } = admin.resend(&args.group, message, whom).await?;
    let resent = Resent {
        msg_id: &message_id,
        topic: &queue.topic,
        broker_name: &queue.broker,
        queue_id: queue.queue,
        queue_offset,
    };
    let text = format!("{message_id}  {}  {}/{} offset {queue_offset}", queue.topic, queue.broker, queue.queue);
    Ok(args.output.done(&resent, &text)?)
}
