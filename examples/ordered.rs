//! What happens to one order stays in order, also when a step fails and when consumers come and go.
//!
//!     cargo run --example ordered

use std::collections::BTreeMap;
use std::time::Duration;

use actormq::client::{
    Client, ClientError, Message, Outcome, PushConsumer, PushOptions, ReceivedMessage, Retry, StartFrom, Target,
};
use actormq::embed::Cluster;
use tokio::sync::mpsc;
use tokio::time::timeout;

const STEPS: [&str; 3] = ["created", "paid", "shipped"];

type Seen = mpsc::UnboundedSender<(String, String)>;

async fn listen(client: &Client, seen: &Seen) -> Result<PushConsumer, ClientError> {
    let seen = seen.clone();
    let listener = move |batch: Vec<ReceivedMessage>| {
        let seen = seen.clone();
        async move {
            for message in batch {
                let (order, step) = (message.keys().unwrap_or_default(), String::from_utf8_lossy(&message.body));
                // The first try of a payment fails. It is tried again in place; the shipping waits behind it.
                if step == "paid" && message.reconsume_times == 0 {
                    return Outcome::Later;
                }
                // Nobody listens any more when the program ends.
                let _ = seen.send((order.to_owned(), step.into_owned()));
            }
            Outcome::Consumed
        }
    };
    let suspend = Duration::from_millis(50);
    let options = PushOptions {
        start_from: StartFrom::First,
        retry: Retry { suspend, ..Retry::default() },
        ..PushOptions::new("shipping")
    };
    client.push_consumer(options).subscribe("orders", "*").start_in_order(listener).await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cluster = Cluster::start().await?;
    let (one, two) = (cluster.client().await?, cluster.client().await?);
    let (seen, mut heard) = mpsc::unbounded_channel();
    let first = listen(&one, &seen).await?;

    let producer = one.producer("shop").await?;
    for step in STEPS {
        for order in 0..8 {
            // The same key goes to the same queue.
            let key = format!("order-{order}");
            producer.send_to(Message::new("orders", step).key(&key), Target::Key(&key)).await?;
        }
    }
    // The second takes over some queues in the middle of it, each between two messages.
    let second = listen(&two, &seen).await?;

    let mut orders: BTreeMap<String, Vec<String>> = BTreeMap::new();
    while orders.len() < 8 || orders.values().any(|steps| steps.len() < STEPS.len()) {
        let next = timeout(Duration::from_secs(30), heard.recv()).await?;
        let (order, step) = next.ok_or("all consumers are gone")?;
        let steps = orders.entry(order).or_default();
        // A message may come twice when a queue changes hands, but never before the one that it follows.
        if !steps.contains(&step) {
            steps.push(step);
        }
    }
    for (order, steps) in orders {
        println!("{order}: {}", steps.join(", "));
    }
    // Each commits and gives its locks back.
    first.shutdown().await?;
    second.shutdown().await?;
    one.shutdown().await;
    two.shutdown().await;
    cluster.shutdown().await;
    Ok(())
}
