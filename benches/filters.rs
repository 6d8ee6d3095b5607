//! How fast messages are examined: `cargo bench --bench filters`, or `cargo bench --bench filters -- SECONDS MESSAGES` for
//! other lengths than 3 seconds a figure and a million messages.
//!
//! The first figure is the evaluation of an SQL92 expression alone. The others are pulls over loopback, of a broker on
//! threads of its own, as push consumers write them: 32 messages at most, the next when an answer came, a connection for each
//! of four queues, or a lone one. They are counted in messages that the broker examined, by the next offset of its answers.

#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use actix::prelude::*;
use actormq::embed::ClusterOptions;
use actormq::protocol::frame::Codec;
use actormq::protocol::header::pull::PullMessageRequest;
use actormq::protocol::header::send::SendMessageRequestV2;
use actormq::rules::sql::{Expression, Scratch};
use actormq::server::extending::{Bits, FilterAnswer, FilterBatch};
use futures_util::future::join_all;
use support::{Client, batch_body, pull, short_send};

const QUEUES: i32 = 4;
const BATCH: i64 = 1_000;
const TWO_TERMS: &str = "amount > 98 AND region = 'north'";
/// Of which one message in a hundred is the first, and the others are the second.
const BOTH_TAGS: &str = "wanted || other";

/// Looks at nothing but each message's place: wants one in a hundred, or all.
struct Idle {
    all: bool,
}

impl Actor for Idle {
    type Context = Context<Self>;
}

impl Handler<FilterBatch> for Idle {
    type Result = FilterAnswer;

    fn handle(&mut self, batch: FilterBatch, _: &mut Context<Self>) -> FilterAnswer {
        Ok(batch.messages.iter().map(|message| self.all || message.queue_offset() % 100 == 99).collect::<Bits>())
    }
}

/// What is measured how long.
#[derive(Clone, Copy)]
struct Run {
    address: SocketAddr,
    /// Messages of each queue.
    messages: i64,
    measured: Duration,
}

fn properties(n: i64) -> String {
    let (amount, tag) = (n % 100, if n % 100 == 99 { "wanted" } else { "other" });
    format!(
        "UNIQ_KEY\u{1}7F00000100002A139A6D{n:012X}\u{2}amount\u{1}{amount}\u{2}region\u{1}north\u{2}TAGS\u{1}{tag}\u{2}"
    )
}

/// Prints messages a second, and what share they are of the figure of tags.
fn report(what: &str, rate: f64, of_tags: Option<f64>) {
    let share = of_tags.map_or(String::new(), |tags| format!(", {:.2} of tags", rate / tags));
    println!("{what:<52} {:8.2} million messages a second{share}", rate / 1e6);
}

fn evaluation(measured: Duration) {
    let texts: Vec<String> = (0..1_000).map(properties).collect();
    let expression = Expression::compile(TWO_TERMS).expect("it is good");
    let (mut scratch, mut examined, begun) = (Scratch::default(), 0, Instant::now());
    while begun.elapsed() < measured {
        for text in &texts {
            black_box(expression.matches(black_box(text), &mut scratch));
        }
        examined += texts.len();
    }
    report("SQL92, two terms, the evaluation alone", examined as f64 / begun.elapsed().as_secs_f64(), None);
}

/// Reads one queue again and again; how many messages were examined for it.
async fn reader(run: Run, queue: i32, (kind, expression): (&str, &str)) -> i64 {
    let mut client = Client::connect(run.address).await.with_codec(Codec::Binary);
    let (mut examined, mut from, begun) = (0, 0, Instant::now());
    while begun.elapsed() < run.measured {
        let ask = PullMessageRequest {
            expression_type: kind.into(),
            subscription: expression.into(),
            ..pull("T", queue, from)
        };
        let answer = client.ask(11, &ask, b"").await;
        let next = answer.number("nextBeginOffset");
        assert!(next > from, "{answer:?}");
        examined += next - from;
        from = if next == run.messages { 0 } else { next };
    }
    examined
}

/// Messages examined a second by `connections` readers, each of a queue of its own.
async fn pulls(run: Run, connections: i32, filter: (&str, &str)) -> f64 {
    let begun = Instant::now();
    let examined: i64 = join_all((0..connections).map(|queue| reader(run, queue, filter))).await.iter().sum();
    examined as f64 / begun.elapsed().as_secs_f64()
}

async fn fill(run: Run) {
    let mut client = Client::connect(run.address).await;
    client.make_topic("T", &QUEUES.to_string()).await;
    for queue in 0..QUEUES {
        let batch = SendMessageRequestV2 { batch: Some(true), ..short_send("T", queue, "") };
        for first in (0..run.messages).step_by(BATCH as usize) {
            let texts: Vec<String> = (first..run.messages.min(first + BATCH)).map(properties).collect();
            let messages: Vec<(&str, &str)> = texts.iter().map(|text| ("0123456789abcdef", text.as_str())).collect();
            assert_eq!(client.ask(320, &batch, &batch_body(&messages)).await.code, 0);
        }
    }
    for queue in 0..QUEUES {
        support::until("all can be read", async || {
            (client.max_offset("T", &queue.to_string()).await == run.messages).then_some(())
        })
        .await;
    }
}

#[actix::main]
async fn main() {
    // Cargo itself adds flags.
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<f64>().ok());
    let measured = Duration::from_secs_f64(numbers.next().unwrap_or(3.0));
    let messages = numbers.next().unwrap_or(1e6) as i64 / i64::from(QUEUES);
    evaluation(measured);
    let cluster = ClusterOptions::new()
        .broker(|config| {
            config.pull.sql_filter = true;
            config.store.commit_log_segment_bytes = 1024 * 1024 * 1024;
        })
        .filter_kept("HUNDREDTH", || Idle { all: false })
        .filter_kept("ALL", || Idle { all: true })
        .start()
        .await
        .expect("the broker starts");
    let run = Run { address: cluster.broker(), messages, measured };
    fill(run).await;
    for (connections, name) in [(1, "1 connection"), (QUEUES, "4 connections")] {
        let tag = pulls(run, connections, ("TAG", "wanted")).await;
        report(&format!("tags, one in a hundred, {name}"), tag, None);
        let sql = pulls(run, connections, ("SQL92", TWO_TERMS)).await;
        report(&format!("SQL92, two terms, one in a hundred, {name}"), sql, None);
        let custom = pulls(run, connections, ("HUNDREDTH", "")).await;
        report(&format!("a custom filter, one in a hundred, {name}"), custom, Some(tag));
        let tag = pulls(run, connections, ("TAG", BOTH_TAGS)).await;
        report(&format!("tags, all, {name}"), tag, None);
        let custom = pulls(run, connections, ("ALL", "")).await;
        report(&format!("a custom filter, all, {name}"), custom, Some(tag));
    }
    cluster.shutdown().await;
}
