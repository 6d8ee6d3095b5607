//! Consuming queues in order, while members come and go, brokers crash and messages are not consumed at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actormq::client::{
    Client, ClientOptions, Message, Outcome, Producer, PushConsumer, PushOptions, ReceivedMessage, Retry, Target,
};
use tokio::time::sleep;

use crate::cluster::{self, Cluster, Fault};
use crate::server::Server;
use crate::{SOON, bodies, from_first};

const QUEUES: usize = 4;

/// What is known of one queue's messages.
#[derive(Default)]
struct Line {
    /// Which member is at it.
    under_way: Option<&'static str>,
    /// Every message below is consumed.
    consumed: u32,
    /// Deliveries of what was consumed already.
    repeated: usize,
}

/// Checks each delivery when it begins.
#[derive(Clone, Default)]
struct Referee(Arc<Mutex<BTreeMap<u32, Line>>>);

impl Referee {
    /// The number of the message in its queue, if it may be consumed now.
    fn begins(&self, who: &'static str, message: &ReceivedMessage) -> u32 {
        let number = String::from_utf8_lossy(&message.body).parse().unwrap();
        let mut lines = self.0.lock().unwrap();
        let line = lines.entry(message.queue.queue).or_default();
        assert_eq!(line.under_way, None, "{who} got {number} of {} meanwhile", message.queue);
        assert!(number <= line.consumed, "{who} got {number} of {} before {}", message.queue, line.consumed);
        line.under_way = Some(who);
        line.repeated += usize::from(number < line.consumed);
        number
    }

    fn ends(&self, queue: u32, number: u32, outcome: Outcome) {
        let mut lines = self.0.lock().unwrap();
        let line = lines.get_mut(&queue).unwrap();
        line.under_way = None;
        if outcome == Outcome::Consumed {
            line.consumed = line.consumed.max(number + 1);
        }
    }

    fn consumed(&self) -> u32 {
        self.0.lock().unwrap().values().map(|line| line.consumed).sum()
    }

    fn repeated(&self) -> usize {
        self.0.lock().unwrap().values().map(|line| line.repeated).sum()
    }
}

/// Each message of such a number is given back once.
const GIVEN_BACK: u32 = 25;

async fn join(client: &Client, who: &'static str, referee: &Referee) -> PushConsumer {
    let (referee, refused) = (referee.clone(), Arc::new(Mutex::new(BTreeSet::new())));
    let listener = move |batch: Vec<ReceivedMessage>| {
        let (referee, refused) = (referee.clone(), Arc::clone(&refused));
        async move {
            let [message] = &batch[..] else { panic!("one at a time") };
            let queue = message.queue.queue;
            let number = referee.begins(who, message);
            sleep(Duration::from_millis(2)).await;
            let first = refused.lock().unwrap().insert((queue, number));
            let give_back = number % GIVEN_BACK == 0 && message.reconsume_times == 0 && first;
            let outcome = if give_back { Outcome::Later } else { Outcome::Consumed };
            referee.ends(queue, number, outcome);
            outcome
        }
    };
    let options =
        PushOptions { retry: Retry { suspend: Duration::from_millis(20), ..Retry::default() }, ..from_first("g") };
    client.push_consumer(options).subscribe("T", "*").start_in_order(listener).await.unwrap()
}

/// Sends so many to each queue, each until it is taken.
async fn send(producer: &Producer, numbers: std::ops::Range<u32>) {
    for number in numbers {
        for queue in 0..QUEUES {
            let message = || Message::new("T", number.to_string());
            while producer.send_to(message(), Target::Select(&|_| queue)).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

async fn until(what: &str, mut ready: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !ready().await {
        assert!(begun.elapsed() < Duration::from_secs(90), "never: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

async fn shares(consumer: &PushConsumer) -> usize {
    consumer.queues().await.unwrap().iter().filter(|queue| &*queue.topic == "T").count()
}

async fn connect(server: &Server) -> Client {
    Client::connect(ClientOptions::new(&server.name_server)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sequence_is_kept_while_members_come_and_go_and_the_broker_crashes() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let (one, two, three) = (connect(&server).await, connect(&server).await, connect(&server).await);
    let referee = Referee::default();
    let producer = one.producer("p").await.unwrap();
    send(&producer, 0..1).await;
    let first = join(&one, "first", &referee).await;
    let sending = tokio::spawn(async move {
        send(&producer, 1..600).await;
        producer
    });
    let consumed = async |count: u32| until("more is consumed", async || referee.consumed() >= count).await;
    consumed(100).await;
    let second = join(&two, "second", &referee).await;
    until("two share", async || shares(&first).await == 2 && shares(&second).await == 2).await;
    let before = referee.consumed();
    consumed(before + 200).await;
    let third = join(&three, "third", &referee).await;
    until("three share", async || shares(&third).await == 1).await;
    let before = referee.consumed();
    consumed(before + 200).await;
    first.shutdown().await.unwrap();
    until("two have all", async || shares(&second).await + shares(&third).await == QUEUES).await;
    let before = referee.consumed();
    consumed(before + 100).await;
    assert_eq!(referee.repeated(), 0, "so far everything changed hands in order");
    let server = server.crash_and_restart();
    let before = referee.consumed();
    consumed(before + 200).await;
    second.shutdown().await.unwrap();
    consumed(600 * QUEUES as u32).await;
    third.shutdown().await.unwrap();
    sending.await.unwrap().shutdown().await.unwrap();
    let lag: i64 = three.admin().progress("g", Some("T")).await.unwrap().iter().map(|queue| queue.lag).sum();
    assert_eq!(lag, 0);
    drop(server);
}

#[tokio::test]
async fn what_is_never_consumed_is_a_dead_letter_and_what_is_behind_it_goes_on() {
    let cluster = actormq::embed::Cluster::start().await.unwrap();
    let client = cluster.client().await.unwrap();
    let producer = client.producer("p").await.unwrap();
    for body in ["bad", "worse", "good"] {
        producer.send_to(Message::new("T", body), Target::Key("k")).await.unwrap();
    }
    let seen = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&seen);
    let listener = move |batch: Vec<ReceivedMessage>| {
        let message = &batch[0];
        let body = String::from_utf8_lossy(&message.body).into_owned();
        let outcome = match &*body {
            "bad" => Outcome::Later,
            "worse" => Outcome::GiveUp,
            _ => Outcome::Consumed,
        };
        all.lock().unwrap().push((body, message.reconsume_times));
        async move { outcome }
    };
    let suspend = Duration::from_millis(5);
    let options =
        PushOptions { retry: Retry { max_reconsume_times: Some(2), suspend, ..Retry::default() }, ..from_first("g") };
    let consumer = client.push_consumer(options).subscribe("T", "*").start_in_order(listener).await.unwrap();
    until("the last", async || seen.lock().unwrap().len() == 5).await;
    let expected = [("bad", 0), ("bad", 1), ("bad", 2), ("worse", 0), ("good", 0)];
    assert_eq!(*seen.lock().unwrap(), expected.map(|(body, times)| (body.to_owned(), times)));
    consumer.shutdown().await.unwrap();
    let queue = &client.queues("%DLQ%g").await.unwrap()[0];
    for (offset, body) in [(0, "bad"), (1, "worse")] {
        let dead = client.admin().message_at(queue, offset).await.unwrap().unwrap();
        assert_eq!((&dead.body[..], dead.property("RETRY_TOPIC")), (body.as_bytes(), Some("T")));
    }
    cluster.shutdown().await;
}

#[tokio::test]
async fn without_the_lock_nothing_is_consumed_and_at_the_end_it_is_given_back() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    (0..3).for_each(|n| _ = cluster.store("a", "T", 0, &format!("m{n}"), ""));
    cluster.fault("a", cluster::LOCK, Some(Fault::Refuse(1)));
    let client = crate::client(&cluster).await;
    let inbox = crate::Inbox::default();
    let seen = inbox.clone();
    let listener = move |batch: Vec<ReceivedMessage>| {
        seen.put(&batch);
        async { Outcome::Consumed }
    };
    let consumer = client.push_consumer(from_first("g")).subscribe("T", "*").start_in_order(listener).await.unwrap();
    cluster.until("it was asked for twice", |cluster| cluster.count("a", cluster::LOCK) > 1).await;
    assert_eq!((inbox.len(), cluster.count("a", cluster::PULL)), (0, 0));
    cluster.fault("a", cluster::LOCK, None);
    cluster.until("all messages", |_| inbox.set() == bodies(0..3)).await;
    // A broker that starts again knows no locks.
    let asked = cluster.count("a", cluster::LOCK);
    cluster.cut("a");
    cluster.store("a", "T", 0, "m3", "");
    cluster.until("the next one", |_| inbox.set() == bodies(0..4)).await;
    assert!(cluster.count("a", cluster::LOCK) > asked);
    assert_eq!(cluster.count("a", cluster::UNLOCK), 0);
    tokio::time::timeout(SOON, consumer.shutdown()).await.unwrap().unwrap();
    assert_eq!((cluster.count("a", cluster::UNLOCK), cluster.committed("g", "a", "T", 0)), (1, Some(4)));
}

/// Has one message at a time wait for a permit.
async fn in_order_with_permits(
    client: &Client,
    permits: &Arc<tokio::sync::Semaphore>,
    inbox: &crate::Inbox,
) -> PushConsumer {
    let (permits, seen) = (Arc::clone(permits), inbox.clone());
    let listener = move |batch: Vec<ReceivedMessage>| {
        seen.put(&batch);
        let permits = Arc::clone(&permits);
        async move {
            permits.acquire().await.unwrap().forget();
            Outcome::Consumed
        }
    };
    client.push_consumer(from_first("g")).subscribe("T", "*").start_in_order(listener).await.unwrap()
}

#[tokio::test]
async fn a_queue_that_somebody_else_took_is_left_and_taken_up_again_where_he_came_to() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    (0..6).for_each(|n| _ = cluster.store("a", "T", 0, &format!("m{n}"), ""));
    let client = crate::client(&cluster).await;
    let (permits, inbox) = (Arc::new(tokio::sync::Semaphore::new(1)), crate::Inbox::default());
    let consumer = in_order_with_permits(&client, &permits, &inbox).await;
    cluster.until("the second is under way", |_| inbox.len() == 2).await;
    // The broker starts again, and another member asks before this one does.
    cluster.with(|state| state.locked_by_another = true);
    let asked = cluster.count("a", cluster::LOCK);
    let said = |cluster: &Cluster| cluster.count("a", cluster::LOCK) + cluster.count("a", cluster::PULL);
    let before = said(&cluster);
    cluster.cut("a");
    cluster.until("it knows that the broker was away", |cluster| said(cluster) > before).await;
    permits.add_permits(10);
    cluster.until("it asks again", |cluster| cluster.count("a", cluster::LOCK) > asked + 1).await;
    assert_eq!(inbox.len(), 2, "nothing begins without the lock");
    // The other consumes two more, says so and leaves.
    cluster.commit("g", "a", "T", 0, 4);
    cluster.with(|state| state.locked_by_another = false);
    cluster.until("the rest", |_| inbox.len() == 4).await;
    tokio::time::timeout(SOON, consumer.shutdown()).await.unwrap().unwrap();
    assert_eq!(inbox.all(), ["m0", "m1", "m4", "m5"].map(str::to_owned));
    assert_eq!(cluster.committed("g", "a", "T", 0), Some(6));
}

#[tokio::test]
async fn a_lock_that_is_not_renewed_is_lost() {
    let cluster = Cluster::start(&["a"], &[("T", 1), ("Other", 1)]).await;
    (0..3).for_each(|n| _ = cluster.store("a", "T", 0, &format!("m{n}"), ""));
    let client = crate::client(&cluster).await;
    let (permits, inbox) = (Arc::new(tokio::sync::Semaphore::new(0)), crate::Inbox::default());
    let consumer = in_order_with_permits(&client, &permits, &inbox).await;
    cluster.until("the first is under way", |_| inbox.len() == 1).await;
    cluster.with(|state| state.locked_by_another = true);
    let asked = cluster.count("a", cluster::LOCK);
    // Locks are renewed every twenty seconds.
    until("it is renewed in vain", async || cluster.count("a", cluster::LOCK) > asked).await;
    // What comes back over the same connection later shows that the refusal was heard.
    let producer = client.producer("p").await.unwrap();
    for _ in 0..3 {
        producer.send(Message::new("Other", "x")).await.unwrap();
    }
    permits.add_permits(10);
    let asked = cluster.count("a", cluster::LOCK);
    cluster.until("it asks again", |cluster| cluster.count("a", cluster::LOCK) > asked + 1).await;
    assert_eq!(inbox.len(), 1, "nothing begins without the lock");
    cluster.with(|state| state.locked_by_another = false);
    cluster.until("all", |_| inbox.set() == bodies(0..3)).await;
    tokio::time::timeout(SOON, consumer.shutdown()).await.unwrap().unwrap();
}
