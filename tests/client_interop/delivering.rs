//! Retries, delays, order and transactions; also with Java's consumers at the other end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actormq::client::{
    Client, HalfMessage, Message, Outcome, PushConsumer, PushOptions, ReceivedMessage, Resolution, Retry, StartFrom,
    Target, TransactionListener,
};

use crate::cases::Cases;
use crate::java::Java;
use crate::ledger::{Ledger, listen};
use crate::{World, name, numbered, patient, queues_of, text, until};

pub fn add(cases: &mut Cases) {
    cases.add("delivering: what is given back comes again until it is a dead letter, and can be sent again", given_up);
    cases.add("delivering: a delayed message comes after its time", delayed);
    cases.add("delivering: queues in order, while a member comes and goes", in_order);
    cases.add("delivering: in order, what is given up is a dead letter and the queue goes on", in_order_given_up);
    cases.add("delivering: transactions that are committed, rolled back and asked about", transactions);
    cases.add("delivering: failed by ours, consumed by Java", retried_by_java);
    cases.add("delivering: a transaction of ours, received by Java", committed_for_java);
    cases.add("delivering: sent by Java, given back by ours, then by Java, consumed by ours", given_back_by_both);
    cases.add("delivering: a transaction of ours, asked about at Java's producer", asked_at_java);
    cases.add("delivering: a transaction of Java's, asked about at our producer", asked_at_ours);
}

fn from_first(group: &str) -> PushOptions {
    PushOptions { start_from: StartFrom::First, ..PushOptions::new(group) }
}

async fn given_up(world: Arc<World>) {
    let (topic, group) = (world.topic("givenup", 1).await, name("givenup"));
    let (client, seen) = (world.another().await, Arc::<Mutex<Vec<ReceivedMessage>>>::default());
    let all = Arc::clone(&seen);
    let listener = move |batch: Vec<ReceivedMessage>| {
        let outcome = match &batch[0].body[..] {
            b"never" => Outcome::GiveUp,
            // Level 2 is two seconds, and those that a broker chooses are one.
            b"slow" if batch[0].reconsume_times == 0 => Outcome::LaterAt(2),
            b"slow" => Outcome::Consumed,
            _ => Outcome::Later,
        };
        all.lock().unwrap().extend(batch);
        async move { outcome }
    };
    let options =
        PushOptions { retry: Retry { max_reconsume_times: Some(1), ..Retry::default() }, ..from_first(&group) };
    let consumer = client.push_consumer(options).subscribe(&topic, "*").start(listener).await.unwrap();
    world.send(&topic, ["never", "slow", "again"].map(str::to_owned)).await;
    let calls = || {
        let seen = seen.lock().unwrap();
        let mut calls: Vec<_> = seen.iter().map(|of| (text(of), of.reconsume_times, of.topic().to_owned())).collect();
        calls.sort();
        calls
    };
    let expected = [("again", 0), ("again", 1), ("never", 0), ("slow", 0), ("slow", 1)];
    let expected: Vec<_> = expected.iter().map(|(body, times)| ((*body).to_owned(), *times, topic.clone())).collect();
    until("all calls", async || calls().len() >= expected.len()).await;
    assert_eq!(calls(), expected);
    let dead = async || world.admin.dead_letters(&group, 10).await.unwrap_or_default();
    until("two dead letters", async || dead().await.len() == 2).await;
    let dead = dead().await;
    assert_eq!(dead.iter().map(text).collect::<BTreeSet<_>>(), ["again", "never"].map(str::to_owned).into());
    let id = seen.lock().unwrap().iter().find(|message| text(message) == "never").unwrap().message_id();
    let never = dead.iter().find(|message| text(message) == "never").unwrap();
    assert_eq!((never.property("RETRY_TOPIC"), never.message_id()), (Some(topic.as_str()), id));
    world.admin.resend(&group, never, actormq::client::admin::Resend::ToGroup).await.unwrap();
    until("it came again", async || calls().len() > expected.len()).await;
    consumer.shutdown().await.unwrap();
    client.shutdown().await;
}

async fn delayed(world: Arc<World>) {
    let topic = world.topic("delayed", 1).await;
    let (client, ledger) = (world.another().await, Arc::<Ledger>::default());
    let consumer = listen(&client, from_first(&name("delayed")), &topic, "a", &ledger).await;
    let begun = Instant::now();
    world.producer.send(Message::new(&topic, "m1").delay_level(2)).await.unwrap();
    world.producer.send(Message::new(&topic, "m0")).await.unwrap();
    until("both", async || ledger.has(2)).await;
    assert!(begun.elapsed() >= Duration::from_secs(2) && ledger.repeated().is_empty());
    consumer.shutdown().await.unwrap();
    client.shutdown().await;
}

/// The next number of each queue, and what went wrong.
#[derive(Default)]
struct Lines {
    next: BTreeMap<u32, u32>,
    under_way: BTreeSet<u32>,
    wrong: Vec<String>,
}

async fn join(client: &Client, group: &str, topic: &str, lines: &Arc<Mutex<Lines>>) -> PushConsumer {
    let lines = Arc::clone(lines);
    let listener = move |batch: Vec<ReceivedMessage>| {
        let lines = Arc::clone(&lines);
        async move {
            let (queue, number): (u32, u32) = (batch[0].queue.queue, text(&batch[0]).parse().unwrap());
            {
                let mut lines = lines.lock().unwrap();
                let next = lines.next.get(&queue).copied().unwrap_or(0);
                if !lines.under_way.insert(queue) || number > next {
                    lines.wrong.push(format!("{number} of queue {queue} came at {next}"));
                }
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
            let mut lines = lines.lock().unwrap();
            lines.under_way.remove(&queue);
            if number % 20 == 7 && batch[0].reconsume_times == 0 {
                return Outcome::Later;
            }
            let next = lines.next.entry(queue).or_default();
            *next = (*next).max(number + 1);
            Outcome::Consumed
        }
    };
    let options =
        PushOptions { retry: Retry { suspend: Duration::from_millis(20), ..Retry::default() }, ..from_first(group) };
    client.push_consumer(options).subscribe(topic, "*").start_in_order(listener).await.unwrap()
}

async fn in_order(world: Arc<World>) {
    const EACH: u32 = 150;
    let (topic, group) = (world.topic("inorder", 4).await, name("inorder"));
    let (one, two, lines) = (world.another().await, world.another().await, Arc::<Mutex<Lines>>::default());
    let first = join(&one, &group, &topic, &lines).await;
    let sending = {
        let (world, topic) = (Arc::clone(&world), topic.clone());
        tokio::spawn(async move {
            for number in 0..EACH {
                for queue in 0..4 {
                    let message = Message::new(&topic, number.to_string());
                    world.producer.send_to(message, Target::Select(&|_| queue)).await.unwrap();
                }
            }
        })
    };
    let consumed = |lines: &Arc<Mutex<Lines>>| lines.lock().unwrap().next.values().sum::<u32>();
    until("some", async || consumed(&lines) > 50).await;
    let second = join(&two, &group, &topic, &lines).await;
    let share = async |consumer: &PushConsumer| queues_of(&topic, &consumer.queues().await.unwrap()).len();
    until("both share", async || share(&first).await == 2 && share(&second).await == 2).await;
    let before = consumed(&lines);
    until("more", async || consumed(&lines) > before + 50).await;
    first.shutdown().await.unwrap();
    sending.await.unwrap();
    until("all", async || consumed(&lines) == 4 * EACH).await;
    second.shutdown().await.unwrap();
    assert_eq!(lines.lock().unwrap().wrong, Vec::<String>::new());
    let lag: i64 = world.admin.progress(&group, Some(&topic)).await.unwrap().iter().map(|queue| queue.lag).sum();
    assert_eq!(lag, 0);
    one.shutdown().await;
    two.shutdown().await;
}

async fn in_order_given_up(world: Arc<World>) {
    let (topic, group) = (world.topic("orderdead", 1).await, name("orderdead"));
    let (client, seen) = (world.another().await, Arc::<Mutex<Vec<String>>>::default());
    let all = Arc::clone(&seen);
    let listener = move |batch: Vec<ReceivedMessage>| {
        all.lock().unwrap().push(text(&batch[0]));
        let outcome = if text(&batch[0]) == "m1" { Outcome::Later } else { Outcome::Consumed };
        async move { outcome }
    };
    let suspend = Duration::from_millis(20);
    let options = PushOptions {
        retry: Retry { max_reconsume_times: Some(2), suspend, ..Retry::default() },
        ..from_first(&group)
    };
    let consumer = client.push_consumer(options).subscribe(&topic, "*").start_in_order(listener).await.unwrap();
    for body in numbered(0..3) {
        world.producer.send(Message::new(&topic, body)).await.unwrap();
    }
    until("the last", async || seen.lock().unwrap().last().is_some_and(|last| last == "m2")).await;
    assert_eq!(*seen.lock().unwrap(), ["m0", "m1", "m1", "m1", "m2"]);
    let dead = async || world.admin.dead_letters(&group, 10).await.unwrap_or_default();
    until("a dead letter", async || dead().await.iter().map(text).eq(["m1"])).await;
    consumer.shutdown().await.unwrap();
    client.shutdown().await;
}

/// Does what a body's first word says, and answers what its second says.
#[derive(Clone, Default)]
struct Obedient(Arc<Ledger>);

fn resolution(body: &str, word: usize) -> Resolution {
    match body.split(' ').nth(word) {
        Some("commit") => Resolution::Commit,
        Some("rollback") => Resolution::Rollback,
        _ => Resolution::Unknown,
    }
}

impl TransactionListener for Obedient {
    async fn execute(&self, half: &HalfMessage) -> Resolution {
        resolution(std::str::from_utf8(half.message.body()).unwrap(), 0)
    }

    async fn check(&self, message: ReceivedMessage) -> Resolution {
        let body = text(&message);
        assert!(!message.topic().contains("TRANS") && message.property("UNIQ_KEY").is_some(), "{message:?}");
        self.0.write("asked", body.clone());
        resolution(&body, 1)
    }
}

async fn transactions(world: Arc<World>) {
    let (topic, group) = (world.topic("half", 1).await, name("half"));
    let (client, ledger, listener) = (world.another().await, Arc::<Ledger>::default(), Obedient::default());
    let consumer = listen(&client, from_first(&name("half")), &topic, "a", &ledger).await;
    let producer = client.transactional_producer_with(patient(&group), listener.clone()).await.unwrap();
    let bodies = ["commit", "rollback", "unknown commit", "unknown rollback"];
    for body in bodies {
        let sent = producer.send(Message::new(&topic, body)).await.unwrap();
        assert_eq!(sent.resolution, resolution(body, 0));
    }
    until("the committed one", async || ledger.len() == 1).await;
    let asked: BTreeSet<_> = bodies[2..].iter().map(|body| (*body).to_owned()).collect();
    // The broker asks about what is older than six seconds, when it looks: every 30 seconds.
    until("both questions", async || listener.0.bodies() == asked).await;
    until("what is committed when it is asked about", async || ledger.len() == 2).await;
    assert_eq!(ledger.bodies(), ["commit", "unknown commit"].map(str::to_owned).into());
    producer.shutdown().await.unwrap();
    consumer.shutdown().await.unwrap();
    client.shutdown().await;
}

async fn retried_by_java(world: Arc<World>) {
    let (topic, group) = (world.topic("tojava", 1).await, name("tojava"));
    let (client, refused) = (world.another().await, Arc::<Ledger>::default());
    let heard = Arc::clone(&refused);
    let listener = move |batch: Vec<ReceivedMessage>| {
        batch.iter().for_each(|message| heard.write("ours", text(message)));
        async { Outcome::LaterAt(2) }
    };
    let consumer = client.push_consumer(from_first(&group)).subscribe(&topic, "*").start(listener).await.unwrap();
    world.send(&topic, numbered(0..5)).await;
    until("all are given back", async || refused.len() == 5).await;
    consumer.shutdown().await.unwrap();
    client.shutdown().await;
    let ledger = Arc::<Ledger>::default();
    let java = Java::member(&world, &group, &topic, Arc::clone(&ledger)).await;
    until("Java has them", async || ledger.has(5)).await;
    java.stop().await;
}

async fn committed_for_java(world: Arc<World>) {
    let (topic, group) = (world.topic("halfjava", 1).await, name("halfjava"));
    let ledger = Arc::<Ledger>::default();
    let java = Java::member(&world, &group, &topic, Arc::clone(&ledger)).await;
    let client = world.another().await;
    let producer = client.transactional_producer_with(patient(&group), Obedient::default()).await.unwrap();
    for body in ["rollback", "commit", "commit last"] {
        producer.send(Message::new(&topic, body)).await.unwrap();
    }
    until("Java has what is committed", async || ledger.len() == 2).await;
    assert_eq!(ledger.bodies(), ["commit", "commit last"].map(str::to_owned).into());
    java.stop().await;
    producer.shutdown().await.unwrap();
    client.shutdown().await;
}

/// Bodies, and how often each had come before.
type Seen = Arc<Mutex<Vec<(String, i32)>>>;

/// A consumer of ours that gives back what came less often before.
async fn giving_back(world: &World, group: &str, topic: &str, until_times: i32) -> (Client, PushConsumer, Seen) {
    let (client, seen) = (world.another().await, Seen::default());
    let (all, of_topic) = (Arc::clone(&seen), topic.to_owned());
    let listener = move |batch: Vec<ReceivedMessage>| {
        let [message] = &batch[..] else { panic!("one at a time") };
        assert_eq!(message.topic(), of_topic);
        all.lock().unwrap().push((text(message), message.reconsume_times));
        let outcome = if message.reconsume_times < until_times { Outcome::LaterAt(2) } else { Outcome::Consumed };
        async move { outcome }
    };
    let consumer = client.push_consumer(from_first(group)).subscribe(topic, "*").start(listener).await.unwrap();
    (client, consumer, seen)
}

async fn given_back_by_both(world: Arc<World>) {
    const COUNT: usize = 5;
    let (topic, group) = (world.topic("byboth", 1).await, name("byboth"));
    let retry_topic = format!("%RETRY%{group}");
    let in_retry_topic = async |count: usize| {
        let status = async || world.admin.topic_status(&retry_topic).await;
        let enough = async || status().await.is_ok_and(|status| status.messages() >= count as i64);
        until("all came to the retry topic", enough).await;
    };
    let came = |seen: &Seen, times: i32| {
        let seen = seen.lock().unwrap();
        let bodies = seen.iter().filter(|(_, of)| *of >= times).map(|(body, _)| body.clone());
        bodies.collect::<BTreeSet<_>>() == numbered(0..COUNT).collect()
    };
    let mut sender = Java::sender(&world, &name("sender"), &topic, Arc::default()).await;
    for body in numbered(0..COUNT) {
        sender.send("plain", &body).await;
    }
    sender.stop().await;
    let (client, consumer, seen) = giving_back(&world, &group, &topic, i32::MAX).await;
    until("all came to us", async || came(&seen, 0)).await;
    consumer.shutdown().await.unwrap();
    client.shutdown().await;
    let by_us = seen.lock().unwrap().len();
    in_retry_topic(by_us).await;
    let ledger = Arc::<Ledger>::default();
    let java = Java::refusing_member(&world, &group, &topic, Arc::clone(&ledger)).await;
    until("all came to Java", async || ledger.has(COUNT)).await;
    in_retry_topic(by_us + COUNT).await;
    java.kill();
    let (client, consumer, seen) = giving_back(&world, &group, &topic, 2).await;
    until("all came to us again", async || came(&seen, 2)).await;
    consumer.shutdown().await.unwrap();
    client.shutdown().await;
}

/// The broker asks about what is older than six seconds, when it looks: every 30 seconds.
const ASKED_WITHIN: Duration = Duration::from_secs(100);

async fn asked_about(ledger: &Ledger, bodies: [&str; 2]) {
    let begun = Instant::now();
    while !bodies.iter().all(|body| ledger.bodies().contains(*body)) {
        assert!(begun.elapsed() < ASKED_WITHIN, "nobody asks: {:?}", ledger.bodies());
        tokio::time::sleep(crate::LOOK_AGAIN).await;
    }
}

async fn asked_at_java(world: Arc<World>) {
    let (topic, group) = (world.topic("atjava", 1).await, name("atjava"));
    let (client, asked) = (world.another().await, Arc::<Ledger>::default());
    let ours = client.transactional_producer_with(patient(&group), Obedient::default()).await.unwrap();
    for body in ["unknown - yes", "unknown - no"] {
        ours.send(Message::new(&topic, body)).await.unwrap();
    }
    ours.shutdown().await.unwrap();
    client.shutdown().await;
    let mut java = Java::sender(&world, &group, &topic, Arc::clone(&asked)).await;
    // A client tells brokers of a producer once it knows one from a route.
    java.send("plain", "hello").await;
    asked_about(&asked, ["unknown - yes", "unknown - no"]).await;
    let all: BTreeSet<_> = world.read(&topic, 2).await.iter().map(text).collect();
    assert_eq!(all, ["hello", "unknown - yes"].map(str::to_owned).into());
    java.stop().await;
}

async fn asked_at_ours(world: Arc<World>) {
    let (topic, group) = (world.topic("atours", 1).await, name("atours"));
    let mut java = Java::sender(&world, &group, &topic, Arc::default()).await;
    for body in ["unknown commit", "unknown rollback"] {
        java.send("half", body).await;
    }
    java.stop().await;
    let (client, listener) = (world.another().await, Obedient::default());
    let heir = client.transactional_producer_with(patient(&group), listener.clone()).await.unwrap();
    heir.answer_for(&topic).await.unwrap();
    asked_about(&listener.0, ["unknown commit", "unknown rollback"]).await;
    let all: BTreeSet<_> = world.read(&topic, 1).await.iter().map(text).collect();
    assert_eq!(all, ["unknown commit".to_owned()].into());
    heir.shutdown().await.unwrap();
    client.shutdown().await;
}
