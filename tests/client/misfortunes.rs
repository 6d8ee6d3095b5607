//! More bad days: name servers that talk nonsense, brokers that are slow to give messages or never answer a pull, brokers
//! that come and go, listeners that fall behind by bytes or by one message.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actormq::client::{
    Client, ClientError, ClientOptions, FlowLimits, Message, MessageQueue, Outcome, PullOptions, PushConsumer,
    PushOptions, ReceivedMessage, StartFrom,
};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::cluster::{Cluster, Fault, PULL, ROUTE};
use crate::{Inbox, SOON, bodies, client, from_first};

/// Longer than a pull is waited for (15 s beyond what the broker may hold it), or shares stand unquestioned (20 s).
const AT_LEISURE: Duration = Duration::from_secs(60);

fn hasty(name_servers: &str) -> ClientOptions {
    ClientOptions { request_timeout: Duration::from_millis(200), ..ClientOptions::new(name_servers) }
}

#[tokio::test]
async fn a_name_server_that_talks_nonsense_is_an_error_and_the_next_is_asked() {
    let (mad, sane) = (Cluster::start(&["a"], &[("T", 1)]).await, Cluster::start(&["a"], &[("T", 3)]).await);
    for fault in [Fault::Garbage, Fault::Oversized, Fault::Close, Fault::Silence, Fault::Headless, Fault::Refuse(1)] {
        mad.fault("namesrv", ROUTE, Some(fault));
        let client = Client::connect(hasty(&mad.name_server)).await.unwrap();
        let error = timeout(SOON, client.queues("T")).await.unwrap().unwrap_err();
        let typed = match fault {
            Fault::Headless => matches!(error, ClientError::Answer { .. }),
            Fault::Refuse(_) => matches!(error, ClientError::Refused { .. }),
            _ => matches!(error, ClientError::NoNameServer { .. }),
        };
        assert!(typed, "{fault:?}: {error:?}");
        client.shutdown().await;
    }
    for fault in [Fault::Garbage, Fault::Oversized, Fault::Close, Fault::Silence] {
        mad.fault("namesrv", ROUTE, Some(fault));
        // Which of the two is asked first is left to chance.
        for _ in 0..4 {
            let both = format!("{};{}", mad.name_server, sane.name_server);
            let client = Client::connect(hasty(&both)).await.unwrap();
            assert_eq!(timeout(SOON, client.queues("T")).await.unwrap().unwrap().len(), 3, "{fault:?}");
            client.shutdown().await;
        }
    }
}

#[tokio::test]
async fn a_broker_that_is_slow_to_give_messages_gives_all_of_them_in_order() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    (0..100).for_each(|n| _ = cluster.store("a", "T", 0, &format!("m{n}"), ""));
    cluster.fault("a", PULL, Some(Fault::Slow(100)));
    let client = client(&cluster).await;
    let mut consumer =
        client.pull_consumer_with(PullOptions { start_from: StartFrom::First, ..PullOptions::new("g") }).await.unwrap();
    consumer.assign(&client.queues("T").await.unwrap(), "*".into()).await.unwrap();
    for n in 0..100 {
        let message = timeout(SOON, consumer.next()).await.unwrap().unwrap();
        assert_eq!(message.queue_offset, n);
    }
    consumer.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_pull_that_is_never_answered_is_given_up_and_asked_again() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    cluster.store("a", "T", 0, "m0", "");
    cluster.fault("a", PULL, Some(Fault::Silence));
    let client = client(&cluster).await;
    let hold = Duration::from_millis(50);
    let options = PullOptions { hold, start_from: StartFrom::First, ..PullOptions::new("g") };
    let mut consumer = client.pull_consumer_with(options).await.unwrap();
    consumer.assign(&[MessageQueue::new("T", "a", 0)], "*".into()).await.unwrap();
    assert!(consumer.poll(Duration::from_millis(200)).await.unwrap().is_empty());
    cluster.fault("a", PULL, None);
    let error = timeout(AT_LEISURE, consumer.next()).await.unwrap().unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    assert_eq!(&timeout(SOON, consumer.next()).await.unwrap().unwrap().body[..], b"m0");
    consumer.shutdown().await.unwrap();
}

#[tokio::test]
async fn brokers_that_come_and_go_are_followed() {
    let cluster = Cluster::start(&["a", "b"], &[("T", 2)]).await;
    let b = cluster.hide("b");
    let options =
        ClientOptions { route_interval: Duration::from_millis(20), ..ClientOptions::new(&cluster.name_server) };
    let client = Client::connect(options).await.unwrap();
    let producer = client.producer("p").await.unwrap();
    let inbox = Inbox::default();
    let consumer = inbox.start(&client, from_first("g")).await;
    let mut sent = 0;
    let mut send_until = async |brokers: &[&str]| {
        let begun = Instant::now();
        loop {
            let mut seen = std::collections::BTreeSet::new();
            for _ in 0..8 {
                let receipt = producer.send(Message::new("T", format!("m{sent}"))).await.unwrap();
                seen.insert(receipt.queue.broker.to_string());
                sent += 1;
            }
            if seen.iter().eq(brokers.iter()) {
                return sent;
            }
            assert!(begun.elapsed() < SOON, "messages go to {seen:?} and not to {brokers:?}");
        }
    };
    send_until(&["a"]).await;
    cluster.show("b", b);
    let all = send_until(&["a", "b"]).await;
    let begun = Instant::now();
    while inbox.set() != bodies(0..all) {
        assert!(begun.elapsed() < AT_LEISURE, "{} of {all} messages came", inbox.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    cluster.hide("a");
    let all = send_until(&["b"]).await;
    cluster.until("what the other has", |_| inbox.set() == bodies(0..all)).await;
    consumer.shutdown().await.unwrap();
}

/// A consumer whose listener waits at a gate: all messages do, or only the first.
async fn gated(
    client: &Client,
    flow: FlowLimits,
    only: Option<&'static [u8]>,
) -> (PushConsumer, Inbox, Arc<Semaphore>) {
    let (gate, inbox) = (Arc::new(Semaphore::new(0)), Inbox::default());
    let (opens, seen) = (Arc::clone(&gate), inbox.clone());
    let listener = move |batch: Vec<ReceivedMessage>| {
        let (inbox, gate) = (seen.clone(), Arc::clone(&opens));
        async move {
            if only.is_none_or(|body| batch[0].body == body) {
                gate.acquire().await.unwrap().forget();
            }
            inbox.put(&batch);
            Outcome::Consumed
        }
    };
    let options = PushOptions { flow, pull_batch: 8, ..from_first("g") };
    let consumer = client.push_consumer(options).subscribe("T", "*").start(listener).await.unwrap();
    (consumer, inbox, gate)
}

#[tokio::test]
async fn a_local_queue_that_is_full_of_bytes_is_not_filled_further() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    let long = "x".repeat(1000);
    (0..200).for_each(|n| _ = cluster.store("a", "T", 0, &format!("{n}{long}"), ""));
    let client = client(&cluster).await;
    let flow = FlowLimits { bytes: 20_000, ..FlowLimits::default() };
    let (consumer, inbox, gate) = gated(&client, flow, None).await;
    let pulled = |cluster: &Cluster| cluster.with(|state| state.pulled_messages);
    cluster.until("it is full", |cluster| pulled(cluster) >= 20).await;
    gate.add_permits(5);
    cluster.until("five went through", |_| inbox.len() == 5).await;
    assert!(pulled(&cluster) <= 20 + 5 + 8, "{} messages were pulled", pulled(&cluster));
    gate.add_permits(1000);
    cluster.until("all went through", |_| inbox.len() == 200).await;
    consumer.shutdown().await.unwrap();
}

#[tokio::test]
async fn one_message_that_is_stuck_lets_others_pass_up_to_the_span() {
    let cluster = Cluster::start(&["a"], &[("T", 1)]).await;
    (0..400).for_each(|n| _ = cluster.store("a", "T", 0, &format!("m{n}"), ""));
    let client = client(&cluster).await;
    let flow = FlowLimits { span: 50, ..FlowLimits::default() };
    let (consumer, inbox, gate) = gated(&client, flow, Some(b"m0")).await;
    cluster.until("the others pass", |_| inbox.len() >= 50).await;
    let pulled = cluster.with(|state| state.pulled_messages);
    assert!(pulled <= 50 + 8 && !inbox.set().contains("m0"), "{pulled} messages were pulled");
    gate.add_permits(1);
    cluster.until("all went through", |_| inbox.set() == bodies(0..400)).await;
    consumer.shutdown().await.unwrap();
}
