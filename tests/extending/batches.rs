//! How a pull asks its filter: in how many batches, about how many messages, and that none is lost on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use actix::prelude::*;
use actormq::protocol::header::pull::PullMessageRequest;
use actormq::protocol::header::send::SendMessageRequestV2;
use actormq::server::extending::{Additions, Bits, FilterAnswer, FilterBatch, FilterError};

use super::AGAIN;
use super::support::{Answered, Client, Server, batch_body, pull, short_send};

/// What the filter was asked.
#[derive(Clone, Default)]
struct Ledger {
    messages: Arc<AtomicUsize>,
    batches: Arc<AtomicUsize>,
    /// The filter fails where a batch has a message from offset 1,000 on.
    fails: Arc<AtomicBool>,
}

impl Ledger {
    fn messages(&self) -> usize {
        self.messages.load(Ordering::Relaxed)
    }

    fn additions(&self) -> Additions {
        let (mut additions, ledger) = (Additions::default(), self.clone());
        additions.filter_kept("PLACE", move || Place(ledger.clone()));
        additions
    }
}

/// Wants messages by their place in the queue, and keeps count of what it is asked.
struct Place(Ledger);

impl Actor for Place {
    type Context = Context<Self>;
}

impl Handler<FilterBatch> for Place {
    type Result = FilterAnswer;

    fn handle(&mut self, batch: FilterBatch, _: &mut Context<Self>) -> FilterAnswer {
        self.0.messages.fetch_add(batch.messages.len(), Ordering::Relaxed);
        self.0.batches.fetch_add(1, Ordering::Relaxed);
        let places = || batch.messages.iter().map(|message| message.queue_offset());
        assert!(places().is_sorted(), "a batch in disorder");
        if self.0.fails.load(Ordering::Relaxed) && places().any(|place| place >= 1_000) {
            return Err(FilterError::Failed("beyond its map".into()));
        }
        Ok(places().map(|place| is_wanted(&batch.expression, place)).collect::<Bits>())
    }
}

fn is_wanted(expression: &str, place: u64) -> bool {
    let (kind, number) = expression.split_once(' ').unwrap();
    let number: u64 = number.parse().unwrap();
    match kind {
        "every" => place % number == number - 1,
        // Stretches of all, many, few and none.
        _ => {
            let share = [0, 0, 1, 5, 50, 100, 100][(scattered(number ^ (place / 150)) % 7) as usize];
            scattered(number ^ (place << 20)) % 100 < share
        }
    }
}

/// The number's bits, thrown about.
fn scattered(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_add(0x9E37_79B9_7F4A_7C15).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB) >> 31
}

async fn fill(client: &mut Client, messages: u64, body: &str) {
    client.make_topic("T", "1").await;
    let batch = SendMessageRequestV2 { batch: Some(true), ..short_send("T", 0, "") };
    for first in (0..messages).step_by(400) {
        let entries: Vec<(&str, &str)> = (first..messages.min(first + 400)).map(|_| (body, "")).collect();
        assert_eq!(client.ask(320, &batch, &batch_body(&entries)).await.code, 0);
    }
}

async fn ask(client: &mut Client, from: i64, expression: &str, count: i32) -> Answered {
    let ask = PullMessageRequest {
        subscription: expression.into(),
        expression_type: "PLACE".into(),
        max_msg_nums: count,
        ..pull("T", 0, from)
    };
    client.ask(11, &ask, b"").await
}

fn places(answer: &Answered) -> Vec<u64> {
    answer.records().iter().map(|record| record.queue_offset).collect()
}

/// Reads all from `from` on, so many at a time; what came, and in how many pulls.
async fn read(client: &mut Client, end: i64, expression: &str, counts: impl Fn(usize) -> i32) -> (Vec<u64>, usize) {
    let (mut found, mut from, mut pulls) = (Vec::new(), 0, 0);
    while from < end {
        let answer = ask(client, from, expression, counts(pulls)).await;
        let next = answer.number("nextBeginOffset");
        assert!([0, 20].contains(&answer.code) && next > from, "{expression} from {from}: {answer:?}");
        let some = places(&answer);
        assert!(some.len() <= counts(pulls) as usize, "{expression}: {} messages", some.len());
        found.extend(some);
        from = next;
        pulls += 1;
    }
    (found, pulls)
}

fn wanted(expression: &str, end: i64) -> Vec<u64> {
    (0..end as u64).filter(|place| is_wanted(expression, *place)).collect()
}

#[actix::test]
async fn sparse_matches_come_in_few_pulls_and_nothing_is_asked_twice() {
    let ledger = Ledger::default();
    let server = Server::start_with_additions(ledger.additions(), |_| {}).await;
    let mut client = server.client().await;
    fill(&mut client, 12_800, "b").await;
    let (found, pulls) = read(&mut client, 12_800, "every 100", |_| 32).await;
    assert_eq!(found, wanted("every 100", 12_800));
    // 128 messages, 32 at a time; a few more where the machine is slow.
    assert!(pulls <= 8, "{pulls} pulls");
    assert!(ledger.messages() < 16_000, "asked about {} of 12,800 messages", ledger.messages());
    let batches = ledger.batches.load(Ordering::Relaxed);
    assert!(batches <= 30, "{batches} batches");
    // Where nothing matches, a pull ends too.
    let answer = ask(&mut client, 0, "every 100000", 32).await;
    let next = answer.number("nextBeginOffset");
    assert_eq!((answer.code, answer.records().len()), (20, 0));
    assert!((800..=12_800).contains(&next), "{next}");
    server.stop().await;
}

#[actix::test]
async fn where_all_match_each_is_asked_about_once() {
    let ledger = Ledger::default();
    let server = Server::start_with_additions(ledger.additions(), |_| {}).await;
    let mut client = server.client().await;
    fill(&mut client, 3_200, "b").await;
    let (found, pulls) = read(&mut client, 3_200, "every 1", |_| 32).await;
    assert_eq!((found, pulls), (wanted("every 1", 3_200), 100));
    assert!(ledger.messages() < 3_200 * 5 / 4, "asked about {} of 3,200 messages", ledger.messages());
    server.stop().await;
}

#[actix::test]
async fn where_few_fit_an_answer_few_are_asked_about() {
    let ledger = Ledger::default();
    let server = Server::start_with_additions(ledger.additions(), |_| {}).await;
    let mut client = server.client().await;
    client.make_topic("T", "1").await;
    let large = "b".repeat(100_000);
    for _ in 0..40 {
        client.send("T", 0, "", &large).await;
    }
    let (found, pulls) = read(&mut client, 40, "every 1", |_| 32).await;
    assert_eq!(found, wanted("every 1", 40));
    assert!(pulls >= 20, "256 KiB have room for two: {pulls} pulls");
    assert!(ledger.messages() <= 80, "asked about {} of 40 messages", ledger.messages());
    server.stop().await;
}

#[actix::test]
async fn whatever_the_pattern_all_that_is_wanted_comes_once_and_in_order() {
    let ledger = Ledger::default();
    let server = Server::start_with_additions(ledger.additions(), |_| {}).await;
    let mut client = server.client().await;
    fill(&mut client, 6_000, "b").await;
    for seed in 1..12u64 {
        let (expression, before) = (format!("stretches {seed}"), ledger.messages());
        let counts = |pull: usize| if seed % 2 == 0 { 32 } else { 1 + (scattered(seed ^ pull as u64) % 32) as i32 };
        let (found, _) = read(&mut client, 6_000, &expression, counts).await;
        assert_eq!(found, wanted(&expression, 6_000), "{expression}");
        let asked = ledger.messages() - before;
        assert!(asked < 3 * 6_000, "{expression}: asked about {asked} of 6,000 messages");
    }
    server.stop().await;
}

#[actix::test]
async fn what_is_read_from_the_disk_is_sifted_too() {
    let (ledger, directory) = (Ledger::default(), tempfile::tempdir().unwrap());
    let data = directory.path().join("data");
    let server =
        Server::start_with_additions(Additions::default(), |config| config.store.data_dir = data.clone()).await;
    fill(&mut server.client().await, 3_000, "b").await;
    server.stop().await;
    let server = Server::start_with_additions(ledger.additions(), |config| config.store.data_dir = data.clone()).await;
    let mut client = server.client().await;
    // Some of them only in memory.
    fill(&mut client, 1_000, "b").await;
    for expression in ["every 1", "every 100", "stretches 7"] {
        let (found, _) = read(&mut client, 4_000, expression, |_| 32).await;
        assert_eq!(found, wanted(expression, 4_000), "{expression}");
    }
    server.stop().await;
}

#[actix::test]
async fn a_filter_that_fails_in_the_middle_costs_no_message() {
    let ledger = Ledger::default();
    let server = Server::start_with_additions(ledger.additions(), |_| {}).await;
    let mut client = server.client().await;
    fill(&mut client, 4_000, "b").await;
    ledger.fails.store(true, Ordering::Relaxed);
    // What was found before comes; then the error does, and the offset stays.
    let found = ask(&mut client, 0, "every 100", 32).await;
    let next = found.number("nextBeginOffset");
    let before = places(&found);
    assert!(found.code == 0 && next <= 1_000, "{found:?}");
    assert_eq!(before, wanted("every 100", next));
    for _ in 0..2 {
        let failed = ask(&mut client, next, "every 100", 32).await;
        assert_eq!((failed.code, failed.number("nextBeginOffset")), (AGAIN, next), "{failed:?}");
        assert!(failed.remark().contains("beyond its map"), "{failed:?}");
    }
    ledger.fails.store(false, Ordering::Relaxed);
    let after = ask(&mut client, next, "every 100", 40).await;
    let both = [before, places(&after)].concat();
    assert_eq!(both, wanted("every 100", after.number("nextBeginOffset")));
    server.stop().await;
}
