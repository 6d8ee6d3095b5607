//! `actormq send`: messages from the command line, a file or standard input.

use std::io::{self, BufRead as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgGroup, Args};
use futures_util::stream::{self, StreamExt as _};

use super::connect::{self, Failure, ServerAddresses};
use crate::client::{ClientError, Message, MessageQueue, Producer, SendReceipt, SendStatus, Target};

/// Group of the producer that the command is.
const GROUP: &str = "actormq-cli";
/// Sends under way at once.
const UNDER_WAY: usize = 64;

/// Flags of `actormq send`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("source").required(true).args(["body", "file", "stdin"])))]
pub struct SendArgs {
    #[command(flatten)]
    servers: ServerAddresses,
    /// Topic to send to; most brokers make a new one by themselves
    #[arg(long)]
    topic: String,
    /// The body as text
    #[arg(long, value_name = "TEXT")]
    body: Option<String>,
    /// A file whose content is the body
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
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
    #[arg(long = "property", value_name = "KEY=VALUE", value_parser = pair)]
    properties: Vec<(String, String)>,
    /// Send each message so many times
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Number of the queue to send to [default: each in turn]
    #[arg(long, value_name = "QUEUE")]
    queue: Option<u32>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it has no `=`: write --property NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
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
        return Err(Failure::WrongCall("standard input holds no line: there is nothing to send".into()));
    };
    let queue = match args.queue {
        Some(number) => Some(queue(producer, &args.topic, number).await?),
        None => None,
    };
    let queue = queue.as_ref();
    report(&one(producer, first, queue).await?)?;
    let sending =
        stream::iter(messages).map(|message| async move { Ok::<_, Failure>(one(producer, message?, queue).await?) });
    let mut sending = std::pin::pin!(sending.buffered(UNDER_WAY));
    while let Some(receipt) = sending.next().await {
        report(&receipt?)?;
    }
    Ok(())
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

/// Each body, as often as it is to be sent.
fn messages(args: &SendArgs) -> Result<Box<dyn Iterator<Item = Result<Message, Failure>> + '_>, Failure> {
    let repeated = move |body: Vec<u8>| {
        let message = message(args, body);
        (0..args.count).map(move |_| Ok(message.clone()))
    };
    if args.stdin.is_some() {
        let lines = io::stdin().lock().split(b'\n').filter(|line| line.as_ref().map_or(true, |line| !line.is_empty()));
        return Ok(Box::new(lines.flat_map(move |line| -> Box<dyn Iterator<Item = _>> {
            match line {
                Ok(line) => Box::new(repeated(line.strip_suffix(b"\r").map(<[u8]>::to_vec).unwrap_or(line))),
                Err(error) => Box::new(std::iter::once(Err(unreadable("standard input", &error)))),
            }
        })));
    }
    let body = match (&args.body, &args.file) {
        (Some(text), _) => text.clone().into_bytes(),
        (None, Some(file)) => std::fs::read(file).map_err(|error| unreadable(&file.display().to_string(), &error))?,
        (None, None) => Vec::new(),
    };
    Ok(Box::new(repeated(body)))
}

fn unreadable(what: &str, error: &io::Error) -> Failure {
    Failure::WrongCall(format!("cannot read {what}: {error}"))
}

fn message(args: &SendArgs, body: Vec<u8>) -> Message {
    let mut message = Message::new(&args.topic, body);
    for key in &args.keys {
        message = message.key(key);
    }
    for (name, value) in &args.properties {
        message = message.property(name, value);
    }
    match &args.tag {
        Some(tag) => message.tag(tag),
        None => message,
    }
}

fn report(receipt: &SendReceipt) -> Result<(), Failure> {
    let queue = &receipt.queue;
    let doubt = match receipt.status {
        SendStatus::Stored => "",
        SendStatus::FlushDiskTimeout => "  (in memory only: the disk was not reached in time)",
        SendStatus::FlushSlaveTimeout => "  (at the master only: no slave had it in time)",
        SendStatus::SlaveNotAvailable => "  (at the master only: there is no slave)",
    };
    let id = &receipt.message_id;
    let (topic, broker, number, offset) = (&queue.topic, &queue.broker, queue.queue, receipt.queue_offset);
    Ok(writeln!(io::stdout(), "{id}  {topic} {broker}/{number} offset {offset}{doubt}")?)
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
