//! The flags of `actormq bench`.

use super::frame::Codec;
use clap::{Args, Subcommand};

/// Measure a broker over the remoting protocol.
#[derive(Args, Clone, Debug)]
pub struct BenchArgs {
    #[command(subcommand)]
    pub case: Case,
}

/// What is measured.
#[derive(Subcommand, Clone, Debug)]
pub enum Case {
    /// Send messages and time the answers
    Send(SendArgs),
    /// Read a backlog again and again
    Pull(PullArgs),
    /// Send at a fixed rate, receive by parked pulls, and time the whole way
    E2e(E2eArgs),
    /// Store messages that come due together, and see how late they are delivered
    Delay(DelayArgs),
    /// Send half messages and commit them
    Transactions(TransactionArgs),
    /// Renew the queue locks of many orderly consumers
    Locks(LockArgs),
    /// See what a newcomer who reads a backlog does to the others' latency
    Backlog(BacklogArgs),
}

/// Whom to drive, and in which words.
#[derive(Args, Clone, Debug)]
pub struct TargetArgs {
    /// Address of the broker, HOST:PORT; no name server is asked
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:10911")]
    pub broker: String,
    /// Topic to use; made first unless --no-create [default: one per case]
    #[arg(long, value_name = "NAME")]
    pub topic: Option<String>,
    /// Queues of the topic, taken in turn
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub queues: u32,
    /// Do not ask the broker to make the topic
    #[arg(long)]
    pub no_create: bool,
    /// Header codec of the requests
    #[arg(long, value_enum, default_value_t = Codec::Binary)]
    pub codec: Codec,
    /// Broker name that the requests carry, as a client has it from the route
    #[arg(long, value_name = "NAME", default_value = "broker-a")]
    pub broker_name: String,
}

/// How hard, and for how long.
#[derive(Args, Clone, Debug)]
pub struct LoadArgs {
    /// Connections that carry the load
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub connections: u32,
    /// Requests under way on each connection [default: 64; pull: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub in_flight: Option<u32>,
    /// Bytes of each message body
    #[arg(long, value_name = "BYTES", default_value_t = 128, value_parser = clap::value_parser!(u32).range(0..=4_194_304))]
    pub body: u32,
    /// Seconds that are measured
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = seconds)]
    pub duration: f64,
    /// Seconds of the same load before them
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    pub warmup: f64,
    /// Threads of the generator; more than 1 only where cores are to spare
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub threads: u32,
}

/// What is reported, and how.
#[derive(Args, Clone, Debug)]
pub struct OutputArgs {
    /// Process id of the server, to report its CPU time and memory
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
    /// Print one JSON object in place of the table
    #[arg(long)]
    pub json: bool,
}

/// Flags of `bench send`.
#[derive(Args, Clone, Debug)]
pub struct SendArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub load: LoadArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    /// Messages per request; above 1 they travel as batches
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4_096))]
    pub batch: u32,
    /// Messages a second in all; 0: as fast as answers come
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub rate: u64,
    /// Unique keys to remember and query afterwards; 0: none
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub keys_check: u32,
    /// Extra connections with one parked pull each, opened before the load
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=50_000))]
    pub parked: u32,
}

/// Flags of `bench pull`.
#[derive(Args, Clone, Debug)]
pub struct PullArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub load: LoadArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    /// Messages asked for in one pull
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    pub max_num: u32,
    /// Messages sent first; 0: read what is there
    #[arg(long, value_name = "N", default_value_t = 200_000)]
    pub prefill: u64,
}

/// Flags of `bench e2e`.
#[derive(Args, Clone, Debug)]
pub struct E2eArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub load: LoadArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    /// Messages a second in all
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: u64,
    /// Connections that consume; the queues are shared out among them
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    pub consumers: u32,
}

/// Flags of `bench delay`.
#[derive(Args, Clone, Debug)]
pub struct DelayArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub load: LoadArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    /// Delayed messages; they are stored as fast as answers come, so they come due as fast
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub messages: u64,
    /// Delay level; long enough for all to be stored before the first is due
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub level: u32,
    /// Hold the server's process (--pid, SIGSTOP) until all are due, so that they come at once
    #[arg(long, requires = "pid")]
    pub all_at_once: bool,
    /// Send plain messages while the delayed ones are delivered
    #[arg(long)]
    pub while_sending: bool,
}

/// Flags of `bench transactions`.
#[derive(Args, Clone, Debug)]
pub struct TransactionArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub load: LoadArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    /// Half messages that are sent first and left open; with --pid, what they cost the server in memory is reported
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub uncommitted: u64,
}

/// Flags of `bench locks`.
#[derive(Args, Clone, Debug)]
pub struct LockArgs {
    #[command(flatten)]
    pub target: LockTarget,
    #[command(flatten)]
    pub output: OutputArgs,
    /// Orderly consumers, each with a connection of its own
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub clients: u32,
    /// Queues that each of them holds; all are of one topic
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub queues_each: u32,
    /// Seconds between two renewals of a consumer, as RocketMQ's clients have it
    #[arg(long, value_name = "SECONDS", default_value_t = 20.0, value_parser = seconds)]
    pub interval: f64,
    /// Seconds that are measured
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, value_parser = seconds)]
    pub duration: f64,
    /// Seconds before them in which nothing is renewed, to see what the server takes by itself
    #[arg(long, value_name = "SECONDS", default_value_t = 20.0, value_parser = seconds)]
    pub idle: f64,
}

/// Whom `bench locks` drives.
#[derive(Args, Clone, Debug)]
pub struct LockTarget {
    /// Address of the broker, HOST:PORT
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:10911")]
    pub broker: String,
    /// Broker name in the locks
    #[arg(long, value_name = "NAME", default_value = "broker-a")]
    pub broker_name: String,
    /// Topic whose queues are locked; made first
    #[arg(long, value_name = "NAME", default_value = "ActormqBenchLocks")]
    pub topic: String,
}

/// Flags of `bench backlog`.
#[derive(Args, Clone, Debug)]
pub struct BacklogArgs {
    /// The others: the load of `bench e2e`
    #[command(flatten)]
    pub live: E2eArgs,
    /// Messages that wait for the newcomer, of 128 B, in a topic of their own
    #[arg(long, value_name = "N", default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub messages: u64,
    /// Connections that the newcomer reads with; the queues are shared out among them
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    pub newcomers: u32,
}

impl BenchArgs {
    /// Whether the report is to be JSON.
    pub fn wants_json(&self) -> bool {
        match &self.case {
            Case::Send(args) => args.output.json,
            Case::Pull(args) => args.output.json,
            Case::E2e(args) => args.output.json,
            Case::Delay(args) => args.output.json,
            Case::Transactions(args) => args.output.json,
            Case::Locks(args) => args.output.json,
            Case::Backlog(args) => args.live.output.json,
        }
    }
}

/// A day is more than any sensible run, and keeps nanoseconds far from their limit.
const SECONDS_MAX: f64 = 86_400.0;

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=SECONDS_MAX).contains(&value) => Ok(value),
        _ => Err(format!("expected seconds from 0 to {SECONDS_MAX}")),
    }
}
