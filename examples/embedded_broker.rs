//! A broker inside this process that keeps its messages in a directory, and finds them again.
//!
//!     cargo run --example embedded_broker

use std::time::{Duration, Instant};

use actormq::client::{Message, PullOptions, StartFrom};
use actormq::embed::ClusterOptions;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let begun = Instant::now();
    let cluster = ClusterOptions::new().directory(directory.path()).start().await?;
    println!("servers within {:?}; other programs find them at {}", begun.elapsed(), cluster.name_server());
    let client = cluster.client().await?;
    client.producer("p").await?.send(Message::new("notes", "remember this")).await?;
    client.shutdown().await;
    cluster.shutdown().await;

    // As after a restart of the program; and this time topics have to be made by hand.
    let options = ClusterOptions::new().directory(directory.path());
    let cluster = options.broker(|config| config.topics.auto_create = false).start().await?;
    let client = cluster.client().await?;
    let options = PullOptions { start_from: StartFrom::First, ..PullOptions::new("reader") };
    let mut reader = client.pull_consumer_with(options).await?;
    reader.subscribe("notes", "*").await?;
    for message in reader.poll(Duration::from_secs(10)).await? {
        println!("{} says {}", message.message_id(), String::from_utf8_lossy(&message.body));
    }
    let refused = client.producer("p").await?.send(Message::new("unheard-of", "x")).await;
    println!("and {}", refused.expect_err("the topic is not there"));
    reader.shutdown().await?;
    client.shutdown().await;
    cluster.shutdown().await;
    Ok(())
}
