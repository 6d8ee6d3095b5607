//! Messages that a listener does not consume: they come again through the broker, and end as dead letters.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use actormq::client::{
    Client, Message, MessageModel, Outcome, PullOptions, PushOptions, ReceivedMessage, Retry, StartFrom,
};
use actormq::config::DelayLevels;
use actormq::embed::{Cluster, ClusterOptions};
use tokio::sync::mpsc;

use crate::cluster::{self, Fault};
use crate::{Inbox, SOON, bodies, from_first};

/// Retries come at once, but those of the levels from 18 on, which come never.
async fn start() -> Cluster {
    let levels = "0s 0s 0s 0s 0s 0s 0s 0s 0s 0s 0s 0s 0s 0s 0s 0s 0s 1d";
    ClusterOptions::new()
        .broker(|config| config.delay.levels = DelayLevels::parse(levels).unwrap())
        .start()
        .await
        .unwrap()
}

async fn send(client: &Client, messages: impl IntoIterator<Item = Message>) {
    let producer = client.producer("p").await.unwrap();
    for message in messages {
        producer.send(message).await.unwrap();
    }
    producer.shutdown().await.unwrap();
}

/// The next that `heard` brings.
async fn next(heard: &mut mpsc::UnboundedReceiver<ReceivedMessage>) -> ReceivedMessage {
    tokio::time::timeout(SOON, heard.recv()).await.expect("a message comes").unwrap()
}

/// A listener that tells of each message and says what `outcome` says of it.
fn telling(
    outcome: impl Fn(&ReceivedMessage) -> Outcome + Send + Sync + 'static,
) -> (impl actormq::client::Listener, mpsc::UnboundedReceiver<ReceivedMessage>) {
    let (tell, heard) = mpsc::unbounded_channel();
    let listener = move |batch: Vec<ReceivedMessage>| {
        let said = outcome(&batch[0]);
        batch.into_iter().for_each(|message| tell.send(message).unwrap());
        async move { said }
    };
    (listener, heard)
}

/// The dead letters of `g`, once there are so many.
async fn dead_letters(client: &Client, count: usize) -> Vec<ReceivedMessage> {
    let begun = Instant::now();
    let options = PullOptions { start_from: StartFrom::First, auto_commit: None, ..PullOptions::new("reader") };
    let mut reader = client.pull_consumer_with(options).await.unwrap();
    let queues = loop {
        if let Ok(queues) = client.queues("%DLQ%g").await {
            break queues;
        }
        assert!(begun.elapsed() < SOON, "no dead letters");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    reader.assign(&queues, "*".into()).await.unwrap();
    let mut all = Vec::new();
    while all.len() < count {
        assert!(begun.elapsed() < SOON, "{} of {count} dead letters", all.len());
        all.extend(reader.poll(Duration::from_millis(100)).await.unwrap());
    }
    reader.shutdown().await.unwrap();
    all
}

#[tokio::test]
async fn what_is_not_consumed_comes_again_through_the_broker_until_it_is_a_dead_letter() {
    let cluster = start().await;
    let client = cluster.client().await.unwrap();
    let (listener, mut heard) = telling(|_| Outcome::Later);
    let options = PushOptions { retry: Retry { max_reconsume_times: Some(2), ..Retry::default() }, ..from_first("g") };
    let consumer = client.push_consumer(options).subscribe("T", "*").start(listener).await.unwrap();
    send(&client, [Message::new("T", "m").tag("t").key("k").property("a", "b")]).await;
    for times in 0..=2 {
        let message = next(&mut heard).await;
        assert_eq!((message.topic(), message.reconsume_times, &message.body[..]), ("T", times, &b"m"[..]));
        assert_eq!((message.tags(), message.keys(), message.property("a")), (Some("t"), Some("k"), Some("b")));
        assert_eq!(&*message.queue.topic, if times == 0 { "T" } else { "%RETRY%g" });
    }
    let dead = dead_letters(&client, 1).await;
    assert_eq!((dead[0].property("RETRY_TOPIC"), &dead[0].body[..]), (Some("T"), &b"m"[..]));
    assert!(heard.try_recv().is_err(), "nobody gets it again");
    consumer.shutdown().await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test]
async fn the_group_says_how_often_where_the_consumer_does_not() {
    let cluster = start().await;
    let client = cluster.client().await.unwrap();
    let config = actormq::client::admin::GroupConfig {
        group_name: "g".into(),
        retry_max_times: 1,
        ..actormq::client::admin::GroupConfig::default()
    };
    client.admin().put_group(&config, &actormq::client::admin::Place::Everywhere).await.unwrap();
    let (listener, mut heard) = telling(|_| Outcome::Later);
    let consumer = client.push_consumer(from_first("g")).subscribe("T", "*").start(listener).await.unwrap();
    send(&client, [Message::new("T", "m")]).await;
    assert_eq!((next(&mut heard).await.reconsume_times, next(&mut heard).await.reconsume_times), (0, 1));
    dead_letters(&client, 1).await;
    consumer.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_listener_chooses_the_delay_or_gives_up() {
    let cluster = start().await;
    let client = cluster.client().await.unwrap();
    let (listener, mut heard) = telling(|message| match (&message.body[..], message.reconsume_times) {
        (b"give up", _) => Outcome::GiveUp,
        (b"tomorrow", _) => Outcome::LaterAt(18),
        (_, 0) => Outcome::LaterAt(1),
        _ => Outcome::Consumed,
    });
    let consumer = client.push_consumer(from_first("g")).subscribe("T", "*").start(listener).await.unwrap();
    send(&client, ["give up", "tomorrow", "soon"].map(|body| Message::new("T", body))).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        let message = next(&mut heard).await;
        seen.push((String::from_utf8_lossy(&message.body).into_owned(), message.reconsume_times));
    }
    seen.sort();
    let expected = [("give up", 0), ("soon", 0), ("soon", 1), ("tomorrow", 0)];
    assert_eq!(seen, expected.map(|(body, times)| (body.to_owned(), times)));
    assert_eq!(&dead_letters(&client, 1).await[0].body[..], b"give up");
    consumer.shutdown().await.unwrap();
    assert!(heard.recv().await.is_none(), "tomorrow is not today");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_listener_does_not_end_with_in_time_comes_again() {
    let cluster = start().await;
    let client = cluster.client().await.unwrap();
    let (tell, mut heard) = mpsc::unbounded_channel();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let listener = move |batch: Vec<ReceivedMessage>| {
        let (tell, call) = (tell.clone(), counted.fetch_add(1, Ordering::Relaxed));
        async move {
            batch.into_iter().for_each(|message| tell.send(message).unwrap());
            match call {
                // One that waits, then one that lets nothing else run on its thread.
                0 => std::future::pending().await,
                1 => std::thread::sleep(Duration::from_millis(600)),
                _ => {}
            }
            Outcome::Later
        }
    };
    let options = PushOptions {
        retry: Retry { consume_timeout: Duration::from_millis(200), max_reconsume_times: Some(2), ..Retry::default() },
        patience: Duration::from_millis(50),
        ..from_first("g")
    };
    let consumer = client.push_consumer(options).subscribe("T", "*").start(listener).await.unwrap();
    send(&client, [Message::new("T", "m")]).await;
    for times in 0..=2 {
        assert_eq!(next(&mut heard).await.reconsume_times, times);
    }
    let dead = dead_letters(&client, 1).await;
    assert_eq!(dead[0].property("RETRY_TOPIC"), Some("T"));
    consumer.shutdown().await.unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 3, "what the late listeners said is not looked at");
    let lag: i64 = client.admin().progress("g", None).await.unwrap().iter().map(|queue| queue.lag).sum();
    assert_eq!(lag, 0, "all of it is given back and so committed");
}

#[tokio::test]
async fn what_the_broker_does_not_take_back_is_sent_to_the_retry_topic() {
    let cluster = cluster::Cluster::start(&["a"], &[("T", 1), ("%RETRY%g", 1)]).await;
    cluster.store("a", "T", 0, "m0", "UNIQ_KEY\u{1}U\u{2}TRAN_MSG\u{1}true\u{2}");
    let client = crate::client(&cluster).await;
    let (listener, mut heard) = telling(|message| match message.reconsume_times {
        0 => Outcome::Later,
        _ => Outcome::Consumed,
    });
    let consumer = client.push_consumer(from_first("g")).subscribe("T", "*").start(listener).await.unwrap();
    assert_eq!(next(&mut heard).await.property("RETRY_TOPIC"), None);
    let again = next(&mut heard).await;
    assert_eq!((again.topic(), again.reconsume_times, again.message_id().as_str()), ("T", 1, "U"));
    assert_eq!((again.property("DELAY"), again.property("TRAN_MSG")), (Some("3"), None));
    assert_eq!(again.property("ORIGIN_MESSAGE_ID"), Some("U"));
    consumer.shutdown().await.unwrap();
    assert_eq!(cluster.committed("g", "a", "T", 0), Some(1));
}

#[tokio::test]
async fn without_a_broker_that_takes_it_back_it_comes_again_here() {
    let cluster = cluster::Cluster::start(&["a"], &[("T", 1), ("%RETRY%g", 1)]).await;
    cluster.fault("a", cluster::SEND, Some(Fault::Refuse(13)));
    cluster.store("a", "T", 0, "m0", "");
    let client = crate::client(&cluster).await;
    let (listener, mut heard) = telling(|message| match message.reconsume_times {
        0 => Outcome::Later,
        _ => Outcome::Consumed,
    });
    let options =
        PushOptions { retry: Retry { delay: Duration::from_millis(20), ..Retry::default() }, ..from_first("g") };
    let consumer = client.push_consumer(options).subscribe("T", "*").start(listener).await.unwrap();
    assert_eq!(next(&mut heard).await.reconsume_times, 0);
    let again = next(&mut heard).await;
    assert_eq!((&*again.queue.topic, again.reconsume_times), ("T", 1));
    consumer.shutdown().await.unwrap();
    assert_eq!(cluster.committed("g", "a", "T", 0), Some(1));
}

#[tokio::test]
async fn while_broadcasting_nothing_comes_again() {
    let cluster = start().await;
    let client = cluster.client().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let model = MessageModel::Broadcasting { directory: Some(directory.path().to_owned()) };
    let (listener, mut heard) = telling(|_| Outcome::Later);
    let options = PushOptions { model, ..from_first("g") };
    let consumer = client.push_consumer(options).subscribe("T", "*").start(listener).await.unwrap();
    send(&client, [Message::new("T", "m0"), Message::new("T", "m1")]).await;
    next(&mut heard).await;
    next(&mut heard).await;
    consumer.shutdown().await.unwrap();
    assert!(heard.recv().await.is_none() && client.queues("%DLQ%g").await.is_err());
}

#[tokio::test]
async fn a_delayed_message_comes_after_its_time_and_not_before() {
    let levels = DelayLevels::parse("1s 1d").unwrap();
    let cluster = ClusterOptions::new().broker(|config| config.delay.levels = levels).start().await.unwrap();
    let client = cluster.client().await.unwrap();
    let inbox = Inbox::default();
    let consumer = inbox.start(&client, from_first("g")).await;
    let producer = client.producer("p").await.unwrap();
    let begun = Instant::now();
    producer.send(Message::new("T", "m1").delay_level(1)).await.unwrap();
    producer.send(Message::new("T", "never").delay_level(2)).await.unwrap();
    producer.send(Message::new("T", "m0")).await.unwrap();
    while inbox.set() != bodies(0..2) {
        assert!(begun.elapsed() < SOON && !inbox.set().contains("never"), "{:?}", inbox.set());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    consumer.shutdown().await.unwrap();
}
