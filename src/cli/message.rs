//! `actormq message`: single messages, by id, key or place.

mod trace;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use self::trace::TraceArgs;
use super::connect::{self, Failure, ServerAddresses, with_admin};
use super::printed::{Line, full};
use super::shown;
use super::times;
use crate::client::admin::{Admin, KeyQuery};
use crate::client::{MessageQueue, ReceivedMessage};

/// Which messages.
#[derive(Debug, Args)]
pub struct MessageArgs {
    #[command(subcommand)]
    command: MessageCommand,
}

#[derive(Debug, Subcommand)]
enum MessageCommand {
    /// The message of an id: the producer's (with --topic) or the broker's
    Id(IdArgs),
    /// The messages that carry a key
    Key(KeyArgs),
    /// The message at an offset of a queue
    Offset(OffsetArgs),
    /// The story of a message: who sent and consumed it, as far as they write traces
    Trace(TraceArgs),
}

#[derive(Debug, Args)]
struct IdArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// As `send` and `consume --json` print it
    id: String,
    /// Its topic; needed for an id that a producer made
    #[arg(long)]
    topic: Option<String>,
}

#[derive(Debug, Args)]
struct KeyArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// One of the keys that it was sent with
    key: String,
    /// Its topic
    #[arg(long)]
    topic: String,
    /// Most messages of each broker
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    max: u32,
    /// Only messages stored at this time or later
    #[arg(long, value_name = "TIME", value_parser = times::moment)]
    from: Option<i64>,
    /// Only messages stored at this time or earlier
    #[arg(long, value_name = "TIME", value_parser = times::moment)]
    to: Option<i64>,
}

#[derive(Debug, Args)]
struct OffsetArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// Its offset in its queue
    #[arg(value_parser = clap::value_parser!(i64).range(0..))]
    offset: i64,
    /// Its topic
    #[arg(long)]
    topic: String,
    /// Number of its queue
    #[arg(long, value_name = "QUEUE")]
    queue: u32,
    /// Its broker; needed where several have the topic
    #[arg(long, value_name = "NAME")]
    broker: Option<String>,
}

#[derive(Debug, Args)]
struct CommonArgs {
    #[command(flatten)]
    servers: ServerAddresses,
    /// One JSON object a line, for scripts
    #[arg(long)]
    json: bool,
    /// The body as bytes in hexadecimal
    #[arg(long, conflicts_with = "json")]
    hex: bool,
}

/// Shows the messages that `args` names; none is status 1.
#[must_use]
pub fn run(args: &MessageArgs) -> ExitCode {
    let common = match &args.command {
        MessageCommand::Trace(args) => {
            return connect::run(with_admin(args.servers(), async |admin| trace::story(args, admin).await));
        }
        MessageCommand::Id(args) => &args.common,
        MessageCommand::Key(args) => &args.common,
        MessageCommand::Offset(args) => &args.common,
    };
    connect::run(with_admin(&common.servers, async |admin| {
        let messages = match &args.command {
            MessageCommand::Id(args) => by_id(args, admin).await?,
            MessageCommand::Key(args) => by_key(args, admin).await?,
            MessageCommand::Offset(args) => by_offset(args, admin).await?,
            MessageCommand::Trace(_) => Vec::new(),
        };
        print(common, &messages)
    }))
}

fn print(args: &CommonArgs, messages: &[ReceivedMessage]) -> Result<(), Failure> {
    for (at, message) in messages.iter().enumerate() {
        if args.json {
            shown::json(&Line::of(message))?;
            continue;
        }
        if at > 0 {
            shown::say("")?;
        }
        shown::say(&full(message, args.hex))?;
    }
    Ok(())
}

async fn by_id(args: &IdArgs, admin: &Admin) -> Result<Vec<ReceivedMessage>, Failure> {
    let id = &args.id;
    let Some(topic) = &args.topic else {
        let found = admin.message_by_offset_id(id).await;
        let advise = |error| {
            tracing::debug!(%error, "no message by the broker's id");
            let advice = format!("if a producer made the id, say its topic: actormq message id {id} --topic T");
            Failure::Refused(format!("{error}; {advice}"))
        };
        return Ok(vec![found.map_err(advise)?]);
    };
    let found = admin.messages_by_unique_key(topic, id).await?;
    if !found.is_empty() {
        return Ok(found);
    }
    let absent = || Failure::Refused(format!("topic {topic} has no message of the id {id}"));
    // It may be a broker's id of a message in that topic.
    let found = admin.message_by_offset_id(id).await.map_err(|_| absent())?;
    if found.topic() == topic { Ok(vec![found]) } else { Err(absent()) }
}

async fn by_key(args: &KeyArgs, admin: &Admin) -> Result<Vec<ReceivedMessage>, Failure> {
    let mut query = KeyQuery { max: args.max, ..KeyQuery::new(&args.topic, &args.key) };
    query.from_ms = args.from.unwrap_or(query.from_ms);
    query.to_ms = args.to.unwrap_or(query.to_ms);
    let found = admin.messages_by_key(&query).await?;
    if found.is_empty() {
        let text = format!("topic {} has no message with the key {} in that time", args.topic, args.key);
        return Err(Failure::Refused(text));
    }
    Ok(found)
}

async fn by_offset(args: &OffsetArgs, admin: &Admin) -> Result<Vec<ReceivedMessage>, Failure> {
    let (topic, number, offset) = (&args.topic, args.queue, args.offset);
    let parts = admin.topic_route(topic).await?;
    let named: Vec<&str> = match &args.broker {
        Some(broker) => vec![broker],
        None => parts.iter().map(|part| part.broker.as_str()).collect(),
    };
    let broker = match named.as_slice() {
        [broker] => *broker,
        several => {
            let names = shown::list(several);
            return Err(Failure::WrongCall(format!("topic {topic} is on the brokers {names}: say --broker NAME")));
        }
    };
    let found = admin.message_at(&MessageQueue::new(topic.as_str(), broker, number), offset).await?;
    let absent = || {
        let text = format!("queue {broker}/{number} of topic {topic} has no message at offset {offset}");
        Failure::Refused(format!("{text}: see `actormq topic show {topic}`"))
    };
    Ok(vec![found.ok_or_else(absent)?])
}
