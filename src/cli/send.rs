//! `actormq send`: messages from the command line, a file or standard input.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgGroup, Args};
use futures_util::stream::{self, StreamExt as _};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use super::connect::{self, Failure, ServerAddresses};
use super::shown;
use crate::client::{ClientError, Message, MessageQueue, Producer, SendReceipt, SendStatus, Target};

/// Group of the producer that the command is.
const GROUP: &str = "actormq-cli";
/// Sends under way at once.
const UNDER_WAY: usize = 64;

/// More messages than this are a bar and not lines, where a person looks on.
const LINES_MAX: u64 = 20;

/// Flags of `actormq send`.
#[derive(Debug, Args)]
pub struct SendArgs {
    #[command(flatten)]
    servers: ServerAddresses,
    /// Topic to send to; most brokers make a new one by themselves
    #[arg(long)]
    topic: String,
    #[command(flatten)]
    content: ContentArgs,
    /// Send each message so many times
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Number of the queue to send to [default: each in turn]
    #[arg(long, value_name = "QUEUE")]
    queue: Option<u32>,
    /// Consumers get it after the delay of this level: 1 is 1 s, 18 is 2 h unless the broker is told otherwise
    #[arg(long, value_name = "LEVEL")]
    delay_level: Option<u8>,
    /// Most messages a second [default: as fast as they go]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// One JSON object a message, for scripts
    #[arg(long)]
    json: bool,
    /// Say nothing of messages that were sent
    #[arg(long, short, conflicts_with = "json")]
    quiet: bool,
}

/// What the messages are made of.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("source").required(true).args(["body", "file", "stdin"])))]
struct ContentArgs {
    /// The body as text
    #[arg(long, value_name = "TEXT")]
    body: Option<String>,
    /// A file whose content is the body
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Each line of the file is a message
    #[arg(long, conflicts_with_all = ["body", "stdin"])]
    lines: bool,
    /// Read standard input: each line is a message
    #[arg(value_name = "-", value_parser = ["-"], allow_hyphen_values = true)]
    stdin: Option<String>,
    /// A key to find the message by; may be repeated
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<String>,
    /// The tag that consumers filter by
    #[arg(long)]
    tag: Option<String>,
    /// A property; may be repeated
    #[arg(long = "property", value_name = "KEY=VALUE", value_parser = connect::pair)]
    properties: Vec<(String, String)>,
}

/// Sends what `args` says.
#[must_use]
pub fn run(args: &SendArgs) -> ExitCode {
    connect::run(send(args))
}

async fn send(args: &SendArgs) -> Result<(), Failure> {
    let client = args.servers.connect().await?;
    let producer = client.producer(GROUP).await?;
    let sent = send_all(args, &producer).await;
    // A message that was sent stays sent whatever saying good-bye brings.
    let _ = producer.shutdown().await;
    client.shutdown().await;
    sent
}

async fn send_all(args: &SendArgs, producer: &Producer) -> Result<(), Failure> {
    let mut messages = messages(args)?;
    // The first alone: it brings the route, so that the others leave in order.
    let Some(first) = messages.next().transpose()? else {
        return Err(Failure::WrongCall("there is no line: there is nothing to send".into()));
    };
    let queue = match args.queue {
        Some(number) => Some(queue(producer, &args.topic, number).await?),
        None => None,
    };
    let queue = queue.as_ref();
    let mut told = Told::new(args);
    told.sent(&one(producer, first, queue).await?)?;
    let (begun, interval) = (Instant::now(), args.rate.map(|rate| Duration::from_secs(1) / rate));
    let paced = stream::iter(messages.zip(1_u32..)).then(|(message, number)| async move {
        if let Some(interval) = interval {
            sleep_until(begun + interval * number).await;
        }
        message
    });
    let sending = paced.map(|message| async move { Ok::<_, Failure>(one(producer, message?, queue).await?) });
    let mut sending = std::pin::pin!(sending.buffered(UNDER_WAY));
    while let Some(receipt) = sending.next().await {
        told.sent(&receipt?)?;
    }
    told.all_sent()
}

async fn one(producer: &Producer, message: Message, queue: Option<&MessageQueue>) -> Result<SendReceipt, ClientError> {
    match queue {
        Some(queue) => producer.send_to(message, Target::Queue(queue)).await,
        None => producer.send(message).await,
    }
}

async fn queue(producer: &Producer, topic: &str, number: u32) -> Result<MessageQueue, Failure> {
    let queues = producer.queues(topic).await?;
    let found = queues.iter().find(|queue| queue.queue == number);
    found.map(|queue| MessageQueue::clone(queue)).ok_or_else(|| {
        let most = queues.iter().map(|queue| queue.queue).max().unwrap_or(0);
        Failure::Refused(format!("topic {topic} has no queue {number}: its queues are 0 to {most}"))
    })
}

type Messages<'a> = Box<dyn Iterator<Item = Result<Message, Failure>> + 'a>;

/// Each body, as often as it is to be sent.
fn messages(args: &SendArgs) -> Result<Messages<'_>, Failure> {
    let body = match (&args.content.body, &args.content.file) {
        (Some(text), _) => text.clone().into_bytes(),
        (None, Some(file)) if args.content.lines => {
            let opened = File::open(file).map_err(|error| unreadable(&file.display().to_string(), &error))?;
            return Ok(of_lines(args, BufReader::new(opened), file));
        }
        (None, Some(file)) => std::fs::read(file).map_err(|error| unreadable(&file.display().to_string(), &error))?,
        (None, None) => return Ok(of_lines(args, io::stdin().lock(), Path::new("standard input"))),
    };
    Ok(Box::new(repeated(args, body)))
}

fn repeated(args: &SendArgs, body: Vec<u8>) -> impl Iterator<Item = Result<Message, Failure>> + use<> {
    let message = message(args, body);
    (0..args.count).map(move |_| Ok(message.clone()))
}

/// A message a line; empty lines are none.
fn of_lines<'a>(args: &'a SendArgs, source: impl BufRead + 'a, name: &'a Path) -> Messages<'a> {
    let lines = source.split(b'\n').filter(|line| line.as_ref().map_or(true, |line| !line.is_empty()));
    Box::new(lines.flat_map(move |line| -> Messages<'a> {
        match line {
            Ok(line) => Box::new(repeated(args, line.strip_suffix(b"\r").map(<[u8]>::to_vec).unwrap_or(line))),
            Err(error) => Box::new(std::iter::once(Err(unreadable(&name.display().to_string(), &error)))),
        }
    }))
}

fn unreadable(what: &str, error: &io::Error) -> Failure {
    Failure::WrongCall(format!("cannot read {what}: {error}"))
}

fn message(args: &SendArgs, body: Vec<u8>) -> Message {
    let mut message = Message::new(&args.topic, body).delay_level(args.delay_level.unwrap_or(0));
    for key in &args.content.keys {
        message = message.key(key);
    }
    for (name, value) in &args.content.properties {
        message = message.property(name, value);
    }
    match &args.content.tag {
        Some(tag) => message.tag(tag),
        None => message,
    }
}

/// What is said of messages that were sent: lines, or a bar where many would run over a person's screen.
struct Told {
    form: Form,
    bar: Option<ProgressBar>,
    begun: Instant,
    sent: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Lines,
    Json,
    /// A sum at the end.
    Bar,
    Nothing,
}

impl Told {
    fn new(args: &SendArgs) -> Self {
        let total = (args.content.stdin.is_none() && !args.content.lines).then_some(args.count);
        let many = total.is_none_or(|total| total > LINES_MAX);
        let watched = many && io::stderr().is_terminal();
        let form = match (args.json, args.quiet) {
            (true, _) => Form::Json,
            (_, true) => Form::Nothing,
            _ if watched && total.is_some() && io::stdout().is_terminal() => Form::Bar,
            _ => Form::Lines,
        };
        // Lines and a bar on one screen would overwrite each other.
        let shows_bar = watched && (form == Form::Bar || form == Form::Nothing || !io::stdout().is_terminal());
        Self { form, bar: shows_bar.then(|| bar(total)), begun: Instant::now(), sent: 0 }
    }

    fn sent(&mut self, receipt: &SendReceipt) -> Result<(), Failure> {
        self.sent += 1;
        if let Some(bar) = &self.bar {
            bar.set_position(self.sent);
        }
        match self.form {
            Form::Lines => Ok(shown::say(&readable(receipt))?),
            Form::Json => Ok(shown::json(&Line::of(receipt))?),
            Form::Bar | Form::Nothing => Ok(()),
        }
    }

    fn all_sent(&self) -> Result<(), Failure> {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if self.form == Form::Bar {
            let (sent, took) = (self.sent, self.begun.elapsed());
            let rate = shown::rate(sent as f64 / took.as_secs_f64().max(f64::EPSILON));
            shown::say(&format!("{sent} messages sent in {:.1} s, {rate}/s", took.as_secs_f64()))?;
        }
        Ok(())
    }
}

fn bar(total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (ProgressBar::new(total), "{bar:30} {pos} of {len} sent, {eta} to go"),
        None => (ProgressBar::new_spinner(), "{spinner} {pos} sent"),
    };
    // The templates are ours and right.
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// A message that was sent, as one JSON object.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    status: &'static str,
    topic: &'a str,
    broker_name: &'a str,
    queue_id: u32,
    queue_offset: i64,
    msg_id: &'a str,
    offset_msg_id: &'a str,
}

impl<'a> Line<'a> {
    fn of(receipt: &'a SendReceipt) -> Self {
        Self {
            status: match receipt.status {
                SendStatus::Stored => "SEND_OK",
                SendStatus::FlushDiskTimeout => "FLUSH_DISK_TIMEOUT",
                SendStatus::FlushSlaveTimeout => "FLUSH_SLAVE_TIMEOUT",
                SendStatus::SlaveNotAvailable => "SLAVE_NOT_AVAILABLE",
            },
            topic: &receipt.queue.topic,
            broker_name: &receipt.queue.broker,
            queue_id: receipt.queue.queue,
            queue_offset: receipt.queue_offset,
            msg_id: &receipt.message_id,
            offset_msg_id: &receipt.offset_message_id,
        }
    }
}

fn readable(receipt: &SendReceipt) -> String {
    let queue = &receipt.queue;
    let doubt = match receipt.status {
        SendStatus::Stored => "",
        SendStatus::FlushDiskTimeout => "  (in memory only: the disk was not reached in time)",
        SendStatus::FlushSlaveTimeout => "  (at the master only: no slave had it in time)",
        SendStatus::SlaveNotAvailable => "  (at the master only: there is no slave)",
    };
    let id = &receipt.message_id;
    let (topic, broker, number, offset) = (&queue.topic, &queue.broker, queue.queue, receipt.queue_offset);
    format!("{id}  {topic} {broker}/{number} offset {offset}{doubt}")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Call {
        #[command(flatten)]
        args: SendArgs,
    }

    fn parse(words: &[&str]) -> Result<SendArgs, clap::Error> {
        Call::try_parse_from([&["send"], words].concat()).map(|call| call.args)
    }

    #[test]
    fn a_body_comes_from_one_place() {
        assert!(parse(&["--topic", "T", "--body", "x"]).is_ok());
        assert!(parse(&["--topic", "T", "-"]).is_ok());
        assert!(parse(&["--topic", "T", "--file", "f", "-n", "a:1;b:2"]).is_ok());
        assert!(parse(&["--topic", "T", "--file", "f", "--lines"]).is_ok());
        assert!(parse(&["--topic", "T", "--body", "x", "--lines"]).is_err());
        assert!(parse(&["--topic", "T", "--body", "x", "--rate", "0"]).is_err());
        assert!(parse(&["--topic", "T"]).is_err());
        assert!(parse(&["--topic", "T", "--body", "x", "-"]).is_err());
        assert!(parse(&["--topic", "T", "--body", "x", "--count", "0"]).is_err());
        assert!(parse(&["--topic", "T", "--body", "x", "--property", "a"]).is_err());
    }

    #[test]
    fn flags_make_the_message() {
        let words = ["--topic", "T", "--body", "x", "--key", "a", "--key", "b", "--tag", "t", "--property", "p=1=2"];
        let args = parse(&[&words[..], &["--count", "3"]].concat()).unwrap();
        let made: Vec<_> = messages(&args).unwrap().map(Result::unwrap).collect();
        let expected = Message::new("T", "x").key("a").key("b").property("p", "1=2").tag("t");
        assert_eq!(made, [expected.clone(), expected.clone(), expected]);
    }
}
