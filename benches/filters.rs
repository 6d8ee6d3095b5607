//! How fast messages are examined: `cargo bench --bench filters`.
//!
//! The first figure is the evaluation of an SQL92 expression alone; the others are pulls over loopback, of which one message in a
//! hundred is wanted, counted in messages that the broker examined.

#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::time::{Duration, Instant};

use actix::prelude::*;
use actormq::protocol::frame::Codec;
use actormq::protocol::header::pull::PullMessageRequest;
use actormq::protocol::header::send::SendMessageRequestV2;
use actormq::rules::sql::{Expression, Scratch};
use actormq::server::extending::{Additions, Bits, FilterAnswer, FilterBatch};
use support::{Server, batch_body, pull, short_send};

const MESSAGES: i64 = 400_000;
const BATCH: i64 = 1_000;
/// Each figure is measured at least so long.
const MEASURED: Duration = Duration::from_secs(3);
const TWO_TERMS: &str = "amount > 98 AND region = 'north'";

/// Wants one message in a hundred.
struct Hundredth;

impl Actor for Hundredth {
    type Context = Context<Self>;
}

impl Handler<FilterBatch> for Hundredth {
    type Result = FilterAnswer;

    fn handle(&mut self, batch: FilterBatch, _: &mut Context<Self>) -> FilterAnswer {
        Ok(batch.messages.iter().map(|message| message.queue_offset() % 100 == 99).collect::<Bits>())
    }
}

fn properties(n: i64) -> String {
    let (amount, tag) = (n % 100, if n % 100 == 99 { "wanted" } else { "other" });
    format!(
        "UNIQ_KEY\u{1}7F00000100002A139A6D{n:012X}\u{2}amount\u{1}{amount}\u{2}region\u{1}north\u{2}TAGS\u{1}{tag}\u{2}"
    )
}

fn report(what: &str, examined: i64, begun: Instant) {
    let rate = examined as f64 / begun.elapsed().as_secs_f64() / 1e6;
    println!("{what:<44} {rate:8.2} million messages a second");
}

fn evaluation() {
    let texts: Vec<String> = (0..1_000).map(properties).collect();
    let expression = Expression::compile(TWO_TERMS).expect("it is good");
    let (mut scratch, mut examined, begun) = (Scratch::default(), 0, Instant::now());
    while begun.elapsed() < MEASURED {
        for text in &texts {
            black_box(expression.matches(black_box(text), &mut scratch));
        }
        examined += texts.len() as i64;
    }
    report("SQL92, two terms, the evaluation alone", examined, begun);
}

async fn pulls(server: &Server, what: &str, (kind, expression): (&str, &str)) {
    let mut client = server.client().await.with_codec(Codec::Binary);
    let (mut examined, mut from, begun) = (0, 0, Instant::now());
    while begun.elapsed() < MEASURED {
        let ask =
            PullMessageRequest { expression_type: kind.into(), subscription: expression.into(), ..pull("T", 0, from) };
        let answer = client.ask(11, &ask, b"").await;
        let next = answer.number("nextBeginOffset");
        assert!(next > from, "{answer:?}");
        examined += next - from;
        from = if next == MESSAGES { 0 } else { next };
    }
    report(what, examined, begun);
}

#[actix::main]
async fn main() {
    evaluation();
    let mut additions = Additions::default();
    additions.filter_kept("HUNDREDTH", || Hundredth);
    let server = Server::start_with_additions(additions, |config| config.pull.sql_filter = true).await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    let batch = SendMessageRequestV2 { batch: Some(true), ..short_send("T", 0, "") };
    for first in (0..MESSAGES).step_by(BATCH as usize) {
        let texts: Vec<String> = (first..first + BATCH).map(properties).collect();
        let messages: Vec<(&str, &str)> = texts.iter().map(|text| ("0123456789abcdef", text.as_str())).collect();
        assert_eq!(client.ask(320, &batch, &batch_body(&messages)).await.code, 0);
    }
    pulls(&server, "tags, one in a hundred", ("TAG", "wanted")).await;
    pulls(&server, "SQL92, two terms, one in a hundred", ("SQL92", TWO_TERMS)).await;
    pulls(&server, "a custom filter, one in a hundred", ("HUNDREDTH", "")).await;
    server.stop().await;
}
