//! `actormq consume`: messages to standard output, as a member of a consumer group.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};

use super::connect::{self, Failure, ServerAddresses};
use super::printed::{Line, readable};
use super::times;
use crate::client::{
    Client, ClientError, Filter, Outcome, PushConsumer, PushOptions, ReceivedMessage, StartFrom, YoungTopics,
};

/// Without a message for so long, it is time to ask whether there are more.
const QUIET: Duration = Duration::from_millis(500);
/// How long a topic may take to appear.
const ROUTE_WITHIN: Duration = Duration::from_secs(2);

/// Flags of `actormq consume`.
#[derive(Debug, Args)]
pub struct ConsumeArgs {
    #[command(flatten)]
    servers: ServerAddresses,
    /// Topic to receive from
    #[arg(long)]
    topic: String,
    /// Consumer group: its members share the messages, and the next call goes on where this one ended
    #[arg(long)]
    group: String,
    /// Only messages with one of these tags: A || B
    #[arg(long, value_name = "EXPR", default_value = "*")]
    tag: String,
    /// Only messages of whose properties this SQL92 expression is true, such as "a > 5 AND region = 'north'"; or, with
    /// --filter-type, an expression of that filter
    #[arg(long, value_name = "SQL", conflicts_with = "tag")]
    filter: Option<String>,
    /// A filter that was added to the broker under this name, instead of SQL92
    #[arg(long, value_name = "NAME", requires = "filter")]
    filter_type: Option<String>,
    /// Where a group begins that has consumed nothing yet: first, last, or a time such as 2026-01-31T12:00:00 or
    /// milliseconds since 1970
    #[arg(long, value_name = "first|last|TIME", default_value = "first", value_parser = start_from)]
    from: StartFrom,
    /// End after so many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after so many seconds; with status 3 when that was too early
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    /// Wait for new messages when there are no more
    #[arg(long)]
    follow: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// Bodies as bytes in hexadecimal
    #[arg(long, conflicts_with = "json")]
    hex: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| "a number of seconds such as 10 or 0.5 is wanted".to_owned())
}

fn start_from(text: &str) -> Result<StartFrom, String> {
    match text {
        "first" => Ok(StartFrom::First),
        "last" => Ok(StartFrom::Last),
        time => times::moment(time).map(StartFrom::Time).map_err(|wanted| format!("first, last, or {wanted}")),
    }
}

/// Consumes as `args` says.
#[must_use]
pub fn run(args: &ConsumeArgs) -> ExitCode {
    connect::run(consume(args))
}

/// A message on its way to the output, and the way to say that it is there.
type Handed = (ReceivedMessage, oneshot::Sender<()>);

async fn consume(args: &ConsumeArgs) -> Result<(), Failure> {
    let client = args.servers.connect().await?;
    let (handed, mut messages) = mpsc::channel::<Handed>(1);
    let consumer = start(args, &client, handed).await?;
    let printed = print_all(args, &consumer, &mut messages).await;
    // Whoever waits to print gives up, and so its message is not committed.
    drop(messages);
    let ended = consumer.shutdown().await;
    client.shutdown().await;
    printed.and(ended.map_err(Failure::from))
}

async fn start(args: &ConsumeArgs, client: &Client, handed: mpsc::Sender<Handed>) -> Result<PushConsumer, Failure> {
    if args.timeout.is_none() && !args.follow && args.count.is_none() {
        // Nothing will be waited for, so there has to be something.
        wait_for_route(&args.topic, client).await?;
    }
    // Of a topic that is not there yet, everything comes after now.
    let young_topics = match client.queues(&args.topic).await {
        Err(ClientError::TopicNotFound { .. }) => YoungTopics::FromTheirStart,
        _ => YoungTopics::AsAsked,
    };
    // One message at a time: what was not printed is not committed.
    let options = PushOptions { start_from: args.from, young_topics, concurrency: 1, ..PushOptions::new(&args.group) };
    let listener = move |batch: Vec<ReceivedMessage>| {
        let handed = handed.clone();
        async move {
            for message in batch {
                let (done, is_done) = oneshot::channel();
                if handed.send((message, done)).await.is_err() || is_done.await.is_err() {
                    return Outcome::Later;
                }
            }
            Outcome::Consumed
        }
    };
    Ok(client.push_consumer(options).subscribe(&args.topic, wanted(args)).start(listener).await?)
}

fn wanted(args: &ConsumeArgs) -> Filter {
    match (&args.filter, &args.filter_type) {
        (Some(expression), Some(name)) => Filter::custom(name, expression),
        (Some(expression), None) => Filter::sql(expression),
        (None, _) => Filter::from(args.tag.as_str()),
    }
}

/// A topic that a first message just made takes a moment to reach the name servers.
async fn wait_for_route(topic: &str, client: &Client) -> Result<(), Failure> {
    let deadline = Instant::now() + ROUTE_WITHIN;
    loop {
        match client.queues(topic).await {
            Err(ClientError::TopicNotFound { .. }) if Instant::now() < deadline => sleep(QUIET / 5).await,
            Ok(_) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

async fn print_all(
    args: &ConsumeArgs,
    consumer: &PushConsumer,
    messages: &mut mpsc::Receiver<Handed>,
) -> Result<(), Failure> {
    let begun = Instant::now();
    // One for the whole way: a signal that comes while a message is printed must not be missed.
    let mut stopped = std::pin::pin!(connect::told_to_stop());
    let mut seen = 0;
    loop {
        let out_of_time = async {
            match args.timeout {
                Some(timeout) => sleep_until(begun + timeout).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            handed = messages.recv() => {
                let Some((message, done)) = handed else {
                    return Err(Failure::Client(ClientError::ShutDown));
                };
                print(args, &message)?;
                // The worker waits for this; it cannot be gone.
                let _ = done.send(());
                seen += 1;
                if args.count == Some(seen) {
                    return Ok(());
                }
            }
            () = out_of_time => return too_late(args, seen),
            () = &mut stopped => return Ok(()),
            () = sleep(QUIET), if !args.follow && args.count.is_none() => {
                let waits = args.timeout.is_some() && seen == 0;
                if !waits && consumer.lag().await? == Some(0) {
                    return Ok(());
                }
            }
        }
    }
}

fn too_late(args: &ConsumeArgs, seen: u64) -> Result<(), Failure> {
    let after = args.timeout.unwrap_or_default();
    match args.count {
        Some(count) => Err(Failure::NoAnswer(format!("{seen} of {count} messages came within {after:?}"))),
        None if seen == 0 && !args.follow => {
            let (topic, group) = (&args.topic, &args.group);
            Err(Failure::NoAnswer(format!(
                "no message for group {group} came from topic {topic} within {after:?}: send one with `actormq send`"
            )))
        }
        None => Ok(()),
    }
}

fn print(args: &ConsumeArgs, message: &ReceivedMessage) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer(&mut out, &Line::of(message)).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{}", readable(message, args.hex))?;
    }
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Call {
        #[command(flatten)]
        args: ConsumeArgs,
    }

    fn parse(words: &[&str]) -> Result<ConsumeArgs, clap::Error> {
        Call::try_parse_from([&["consume", "--topic", "T", "--group", "G"], words].concat()).map(|call| call.args)
    }

    #[test]
    fn a_start_is_a_word_or_a_time() {
        let from = |text: &str| parse(&["--from", text]).map(|args| args.from);
        assert_eq!(parse(&[]).unwrap().from, StartFrom::First);
        assert_eq!(from("last").unwrap(), StartFrom::Last);
        assert_eq!(from("1700000000123").unwrap(), StartFrom::Time(1_700_000_000_123));
        assert_eq!(from("2023-11-14T22:13:20Z").unwrap(), StartFrom::Time(1_700_000_000_000));
        assert!(matches!(from("20231114221320").unwrap(), StartFrom::Time(_)));
        assert!(matches!(from("2023-11-14T22:13:20").unwrap(), StartFrom::Time(_)));
        assert!(from("yesterday").is_err());
    }

    #[test]
    fn one_filter_is_named() {
        assert_eq!(wanted(&parse(&["--tag", "a || b"]).unwrap()), Filter::from("a || b"));
        assert_eq!(wanted(&parse(&["--filter", "a > 1"]).unwrap()), Filter::sql("a > 1"));
        let geo = parse(&["--filter", "52 13 5", "--filter-type", "GEO"]).unwrap();
        assert_eq!(wanted(&geo), Filter::custom("GEO", "52 13 5"));
        assert!(parse(&["--tag", "a", "--filter", "a > 1"]).is_err());
        assert!(parse(&["--filter-type", "GEO"]).is_err());
    }

    #[test]
    fn numbers_have_their_range() {
        assert!(parse(&["--count", "0"]).is_err());
        assert!(parse(&["--timeout", "-1"]).is_err());
        assert_eq!(parse(&["--timeout", "0.5"]).unwrap().timeout, Some(Duration::from_millis(500)));
    }
}
