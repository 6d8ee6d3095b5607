//! Broadcasting: every member of a group gets every message, and keeps in a file how far it is.
//!
//!     cargo run --example broadcasting

use std::path::Path;
use std::time::Duration;

use actormq::client::{
    Client, ClientError, Message, MessageModel, Outcome, PushConsumer, PushOptions, ReceivedMessage, StartFrom,
};
use actormq::embed::Cluster;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

/// A cache that hears of every change; two on one machine keep their offsets in directories of their own.
async fn cache(client: &Client, directory: &Path) -> Result<(PushConsumer, UnboundedReceiver<String>), ClientError> {
    let (changed, changes) = unbounded_channel();
    let listener = move |batch: Vec<ReceivedMessage>| {
        let changed = changed.clone();
        async move {
            for message in &batch {
                // Nobody reads the cache any more.
                drop(changed.send(String::from_utf8_lossy(&message.body).into_owned()));
            }
            Outcome::Consumed
        }
    };
    let model = MessageModel::Broadcasting { directory: Some(directory.to_owned()) };
    let options = PushOptions { model, start_from: StartFrom::First, ..PushOptions::new("caches") };
    let consumer = client.push_consumer(options).subscribe("changes", "*").start(listener).await?;
    Ok((consumer, changes))
}

async fn next(changes: &mut UnboundedReceiver<String>) -> Result<String, Box<dyn std::error::Error>> {
    Ok(timeout(Duration::from_secs(30), changes.recv()).await?.ok_or("the cache is gone")?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cluster = Cluster::start().await?;
    let offsets = tempfile::tempdir()?;
    let (first, second) = (offsets.path().join("first"), offsets.path().join("second"));
    let (one, two) = (cluster.client().await?, cluster.client().await?);
    let producer = one.producer("editor").await?;
    for n in 1..=10 {
        producer.send(Message::new("changes", format!("change {n}"))).await?;
    }
    let (first_cache, mut of_first) = cache(&one, &first).await?;
    let (second_cache, mut of_second) = cache(&two, &second).await?;
    for _ in 1..=10 {
        next(&mut of_first).await?;
        next(&mut of_second).await?;
    }
    println!("both caches have 10 entries");

    // What one has heard is in its file; it goes on from there when it comes back.
    first_cache.shutdown().await?;
    producer.send(Message::new("changes", "the 11th")).await?;
    let (first_cache, mut of_first) = cache(&one, &first).await?;
    println!("the first goes on at {}", next(&mut of_first).await?);

    first_cache.shutdown().await?;
    second_cache.shutdown().await?;
    one.shutdown().await;
    two.shutdown().await;
    cluster.shutdown().await;
    Ok(())
}
