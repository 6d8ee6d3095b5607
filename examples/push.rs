//! Push consumers: two members of a group share the messages, a broadcasting one gets all of them.
//!
//!     cargo run --example push

use std::collections::BTreeSet;
use std::time::Duration;

use actormq::client::{
    Client, ClientError, Message, MessageModel, Outcome, PushConsumer, PushOptions, ReceivedMessage, StartFrom,
};
use actormq::embed::Cluster;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

type Seen = mpsc::UnboundedSender<(&'static str, String)>;

/// Consumes `orders` and tells `seen` about it.
async fn listen(
    client: &Client,
    name: &'static str,
    options: PushOptions,
    seen: &Seen,
) -> Result<PushConsumer, ClientError> {
    let seen = seen.clone();
    let listener = move |batch: Vec<ReceivedMessage>| {
        let seen = seen.clone();
        async move {
            for message in &batch {
                let text = String::from_utf8_lossy(&message.body).into_owned();
                if seen.send((name, text)).is_err() {
                    // Nobody is there to take it: it comes again, here or elsewhere.
                    return Outcome::Later;
                }
            }
            Outcome::Consumed
        }
    };
    client.push_consumer(options).subscribe("orders", "new || changed").start(listener).await
}

/// How many queues of `orders` a consumer reads; there are those of its group's retry topic, too.
async fn share(consumer: &PushConsumer) -> Result<usize, ClientError> {
    Ok(consumer.queues().await?.iter().filter(|queue| &*queue.topic == "orders").count())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cluster = Cluster::start().await?;
    // Brokers tell members of a group apart by their clients.
    let (one, two) = (cluster.client().await?, cluster.client().await?);
    let (seen, mut heard) = mpsc::unbounded_channel();

    let billing = || PushOptions { start_from: StartFrom::First, consume_batch: 16, ..PushOptions::new("billing") };
    let first = listen(&one, "first", billing(), &seen).await?;
    let second = listen(&two, "second", billing(), &seen).await?;
    let directory = Some(cluster.directory().join("offsets"));
    let model = MessageModel::Broadcasting { directory };
    let cache = PushOptions { model, start_from: StartFrom::First, ..PushOptions::new("caches") };
    let everything = listen(&one, "everything", cache, &seen).await?;

    let producer = one.producer("shop").await?;
    for n in 0..100 {
        producer.send(Message::new("orders", format!("order {n}")).tag("new")).await?;
    }
    producer.send(Message::new("orders", "not for us").tag("gone")).await?;

    // A message may come twice when queues change hands, never not at all.
    let (mut shared, mut broadcast) = (BTreeSet::new(), BTreeSet::new());
    while shared.len() < 100 || broadcast.len() < 100 {
        let next = timeout(Duration::from_secs(30), heard.recv()).await?;
        match next.ok_or("all consumers are gone")? {
            ("everything", text) => broadcast.insert(text),
            (_, text) => shared.insert(text),
        };
    }
    println!("shared {} and broadcast {}", shared.len(), broadcast.len());

    // The topic came after the consumers, and each finds it when it looks for it: the shares stand a moment later.
    let mut shares = (0, 0);
    while shares.0 + shares.1 != 4 || shares.1 == 0 {
        sleep(Duration::from_millis(20)).await;
        shares = (share(&first).await?, share(&second).await?);
    }
    println!("the first has {} queues, the second {}", shares.0, shares.1);

    // Each waits for its listeners and commits.
    for consumer in [first, second, everything] {
        consumer.shutdown().await?;
    }
    one.shutdown().await;
    two.shutdown().await;
    cluster.shutdown().await;
    Ok(())
}
