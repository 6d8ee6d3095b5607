//! Drives the client library as a program would, and prints figures as one line of JSON. `benches/compare-client` runs it
//! beside RocketMQ's Java client; alone:
//!
//!     cargo bench --bench client -- sync 127.0.0.1:9876 TOPIC SECONDS

use std::cell::Cell;
use std::error::Error;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::FromRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use actormq::client::{
    Client, ClientOptions, Gather, Message, Outcome, Producer, ProducerOptions, PushConsumer, PushOptions,
    ReceivedMessage, StartFrom,
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::try_join_all;
use futures_util::stream::FuturesUnordered;
use hdrhistogram::Histogram;
use tokio::io::unix::AsyncFd;
use tokio::time::sleep;

type Outcomes = Result<(), Box<dyn Error>>;

const BODY_BYTES: usize = 128;
const UNDER_WAY: usize = 256;
/// Messages of a loop between two looks at the clock, which costs as much as a part of a send.
const BETWEEN_LOOKS: u64 = 8;
/// Load before anything is counted.
const WARM_UP: Duration = Duration::from_secs(2);
/// A second of `end-to-end`.
const RATE: u32 = 10_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcomes {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [case, servers, topic, amount] = arguments.as_slice() else {
        // `cargo bench` runs every bench without arguments.
        eprintln!("client: CASE NAMESRV TOPIC AMOUNT; CASE is sync, async, gather, push, end-to-end or memory");
        return Ok(());
    };
    let amount: u64 = amount.parse()?;
    let client = Client::connect(ClientOptions::new(servers)).await?;
    match case.as_str() {
        "sync" => send_one_at_a_time(&client, topic, amount).await?,
        "async" => send_many_at_once(&client, topic, amount, None).await?,
        "gather" => send_many_at_once(&client, topic, amount, Some(Gather::default())).await?,
        "push" => consume(&client, topic, amount).await?,
        "end-to-end" => end_to_end(&client, topic, amount).await?,
        "memory" => memory(&client, topic, amount).await?,
        other => return Err(format!("no case is named {other}").into()),
    }
    client.shutdown().await;
    Ok(())
}

fn message(topic: &str, body: &Bytes) -> Message {
    Message::new(topic, body.clone()).tag("bench")
}

async fn send_one_at_a_time(client: &Client, topic: &str, seconds: u64) -> Outcomes {
    let producer = client.producer("bench-producer").await?;
    let body = Bytes::from(vec![b'x'; BODY_BYTES]);
    let (mut sent, mut counted_from) = (0, Instant::now() + WARM_UP);
    let end = counted_from + Duration::from_secs(seconds);
    while Instant::now() < end {
        producer.send(message(topic, &body)).await?;
        if Instant::now() > counted_from {
            if sent == 0 {
                counted_from = Instant::now();
            }
            sent += 1;
        }
    }
    rate(sent, counted_from.elapsed());
    Ok(())
}

/// So many loops, each of which sends one message after the other.
async fn send_many_at_once(client: &Client, topic: &str, seconds: u64, gather: Option<Gather>) -> Outcomes {
    let producer = client.producer_with(ProducerOptions { gather, ..ProducerOptions::new("bench-producer") }).await?;
    let body = Bytes::from(vec![b'x'; BODY_BYTES]);
    let counted_from = Instant::now() + WARM_UP;
    let end = counted_from + Duration::from_secs(seconds);
    let sent = Cell::new(0_u64);
    let one_by_one = async || -> Outcomes {
        loop {
            for _ in 0..BETWEEN_LOOKS {
                producer.send(message(topic, &body)).await?;
            }
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            sent.set(sent.get() + if now >= counted_from { BETWEEN_LOOKS } else { 0 });
        }
    };
    try_join_all((0..UNDER_WAY).map(|_| one_by_one())).await?;
    rate(sent.get(), end - counted_from);
    Ok(())
}

/// Counts messages from the first that comes on.
async fn consume(client: &Client, topic: &str, messages: u64) -> Outcomes {
    let count = Arc::new(AtomicU64::new(0));
    let listener = {
        let count = Arc::clone(&count);
        move |batch: Vec<ReceivedMessage>| {
            count.fetch_add(batch.len() as u64, Ordering::Relaxed);
            async { Outcome::Consumed }
        }
    };
    let consumer = start(client, topic, "first", listener).await?;
    let mut began = None;
    while count.load(Ordering::Relaxed) < messages {
        if began.is_none() && count.load(Ordering::Relaxed) > 0 {
            began = Some((Instant::now(), count.load(Ordering::Relaxed)));
        }
        sleep(Duration::from_millis(1)).await;
    }
    let (began, before) = began.ok_or("everything came within a millisecond")?;
    rate(count.load(Ordering::Relaxed) - before, began.elapsed());
    consumer.shutdown().await?;
    Ok(())
}

async fn start<F, R>(client: &Client, topic: &str, from: &str, listener: F) -> Result<PushConsumer, Box<dyn Error>>
where
    F: Fn(Vec<ReceivedMessage>) -> R + Send + Sync + 'static,
    R: Future<Output = Outcome> + Send + 'static,
{
    let start_from = if from == "first" { StartFrom::First } else { StartFrom::Last };
    let group = format!("bench-{}-{}", std::process::id(), since_epoch_us());
    // As many at once as the Java side's pullBatchSize and consumeMessageBatchMaxSize say.
    let options = PushOptions { start_from, consume_batch: 32, ..PushOptions::new(group) };
    Ok(client.push_consumer(options).subscribe(topic, "*").start(listener).await?)
}

/// Times each message from when it was due to when the listener has it.
async fn end_to_end(client: &Client, topic: &str, seconds: u64) -> Outcomes {
    let (times, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let listener = move |batch: Vec<ReceivedMessage>| {
        let now = since_epoch_us();
        for message in &batch {
            let due = message.body.first_chunk::<8>().map_or(0, |due| u64::from_le_bytes(*due));
            // The other end is open until the program ends.
            let _ = times.send(now.saturating_sub(due));
        }
        async { Outcome::Consumed }
    };
    let consumer = start(client, topic, "last", listener).await?;
    let producer = client.producer("bench-producer").await?;
    // A first message makes the route known, and shows that the consumer has its queues.
    while heard.is_empty() {
        producer.send(due_now(topic, since_epoch_us())).await?;
        sleep(Duration::from_millis(100)).await;
    }
    send_at_rate(&producer, topic, WARM_UP).await?;
    while heard.try_recv().is_ok() {}
    send_at_rate(&producer, topic, Duration::from_secs(seconds)).await?;
    sleep(Duration::from_millis(200)).await;
    let mut histogram = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3)?;
    while let Ok(us) = heard.try_recv() {
        histogram.saturating_record(us);
    }
    let at = |quantile| histogram.value_at_quantile(quantile);
    println!("{{\"p50_us\":{},\"p99_us\":{},\"messages\":{}}}", at(0.5), at(0.99), histogram.len());
    consumer.shutdown().await?;
    Ok(())
}

fn due_now(topic: &str, due_us: u64) -> Message {
    let mut body = vec![b'x'; BODY_BYTES];
    body[..8].copy_from_slice(&due_us.to_le_bytes());
    Message::new(topic, body).tag("bench")
}

/// By the kernel's timer among the runtime's sockets, as `actormq bench` does it: a runtime's own timers count milliseconds.
async fn send_at_rate(producer: &Producer, topic: &str, how_long: Duration) -> Outcomes {
    let messages = how_long.as_secs() as u32 * RATE;
    let interval = Duration::from_secs(1) / RATE;
    // SAFETY: the file keeps its descriptor open as long as the runtime watches it.
    let timer = unsafe { AsyncFd::register(ticking(interval)?)? };
    let (began, began_us) = (Instant::now(), since_epoch_us());
    let (mut under_way, mut sent) = (FuturesUnordered::new(), 0);
    while sent < messages {
        tokio::select! {
            ticked = timer.readable() => {
                ticked?.clear_ready();
                // The count of ticks is of no interest: the clock says what is due.
                let _ = timer.get_ref().read(&mut [0; 8]);
                while sent < messages && interval * sent <= began.elapsed() {
                    let due_us = began_us + (interval * sent).as_micros() as u64;
                    under_way.push(producer.send(due_now(topic, due_us)));
                    sent += 1;
                }
            }
            Some(done) = under_way.next() => drop(done?),
        }
    }
    while let Some(done) = under_way.next().await {
        done?;
    }
    Ok(())
}

fn ticking(interval: Duration) -> std::io::Result<File> {
    let every = libc::timespec { tv_sec: 0, tv_nsec: interval.subsec_nanos().into() };
    let timer = libc::itimerspec { it_interval: every, it_value: every };
    // SAFETY: a plain system call without pointers; its result is checked below.
    let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC) };
    if fd < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave it and nobody else has it.
    let file = unsafe { File::from_raw_fd(fd) };
    // SAFETY: `fd` is open, `timer` outlives the call, and a null pointer for the old value is allowed.
    match unsafe { libc::timerfd_settime(fd, 0, &raw const timer, std::ptr::null_mut()) } {
        0 => Ok(file),
        _ => Err(std::io::Error::last_os_error()),
    }
}

/// The most memory that a process takes which sends, and whose listeners hang while a backlog waits.
async fn memory(client: &Client, topic: &str, seconds: u64) -> Outcomes {
    let consumer = start(client, topic, "first", |_| async { std::future::pending().await }).await?;
    let producer = client.producer("bench-producer").await?;
    let body = Bytes::from(vec![b'x'; BODY_BYTES]);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut most = 0;
    while Instant::now() < end {
        producer.send(message("BenchOther", &body)).await?;
        most = most.max(anonymous_kib());
        sleep(Duration::from_millis(2)).await;
    }
    println!("{{\"most_mib\":{:.1}}}", most as f64 / 1024.0);
    drop(consumer);
    std::process::exit(0)
}

fn anonymous_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of =
        |name| status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix("kB")?.trim().parse().ok());
    ["RssAnon:", "RssShmem:", "VmPTE:"].iter().map(|name| of(name).unwrap_or(0_u64)).sum()
}

fn rate(messages: u64, took: Duration) {
    println!("{{\"rate\":{:.0}}}", messages as f64 / took.as_secs_f64());
}

fn since_epoch_us() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_micros() as u64
}
