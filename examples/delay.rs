//! Messages that come later, and messages that come again because they were not consumed.
//!
//!     cargo run --example delay

use std::time::{Duration, Instant};

use actormq::client::{Message, Outcome, PushOptions, ReceivedMessage, StartFrom};
use actormq::config::DelayLevels;
use actormq::embed::ClusterOptions;
use tokio::sync::mpsc;
use tokio::time::timeout;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // RocketMQ's levels are 1s 5s 10s 30s 1m and so on. Shorter ones let this end sooner.
    let levels = DelayLevels::parse("1s 2s 1s 1s")?;
    let cluster = ClusterOptions::new().broker(|config| config.delay.levels = levels).start().await?;
    let client = cluster.client().await?;
    let (tell, mut heard) = mpsc::unbounded_channel();
    let listener = move |batch: Vec<ReceivedMessage>| {
        let mut outcome = Outcome::Consumed;
        for message in batch {
            outcome = match (&message.body[..], message.reconsume_times) {
                // The broker keeps it, and delivers it to the group again: later each time.
                (b"a bill that fails once", 0) => Outcome::Later,
                (b"a bill that waits for level 2", 0) => Outcome::LaterAt(2),
                // Nobody will ever want it: it is a dead letter of the group.
                (b"no bill at all", _) => Outcome::GiveUp,
                _ => Outcome::Consumed,
            };
            // Nobody listens any more when the program ends.
            let _ = tell.send((String::from_utf8_lossy(&message.body).into_owned(), message.reconsume_times));
        }
        async move { outcome }
    };
    let options = PushOptions { start_from: StartFrom::First, ..PushOptions::new("billing") };
    let consumer = client.push_consumer(options).subscribe("bills", "*").start(listener).await?;

    let producer = client.producer("shop").await?;
    let begun = Instant::now();
    producer.send(Message::new("bills", "a reminder").delay_level(2)).await?;
    for body in ["a bill that fails once", "a bill that waits for level 2", "no bill at all"] {
        producer.send(Message::new("bills", body)).await?;
    }
    let mut seen = Vec::new();
    while seen.len() < 6 {
        let (text, times) = timeout(Duration::from_secs(30), heard.recv()).await?.ok_or("the consumer is gone")?;
        seen.push((text, times, begun.elapsed().as_secs()));
    }
    seen.sort();
    for (text, times, seconds) in seen {
        println!("{text}: given back {times} times, after {seconds} s");
    }

    let admin = client.admin();
    while admin.dead_letters("billing", 10).await?.is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for dead in admin.dead_letters("billing", 10).await? {
        println!("a dead letter: {}", String::from_utf8_lossy(&dead.body));
    }
    consumer.shutdown().await?;
    client.shutdown().await;
    cluster.shutdown().await;
    Ok(())
}
