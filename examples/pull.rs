//! A pull consumer: polls, streams, goes back in time, and reads queues of its own choice.
//!
//!     cargo run --example pull

use std::time::Duration;

use actormq::client::{Message, PullOptions, StartFrom};
use actormq::embed::Cluster;
use futures_util::{StreamExt, TryStreamExt};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cluster = Cluster::start().await?;
    let client = cluster.client().await?;
    let producer = client.producer("shop").await?;
    for n in 0..100 {
        producer.send(Message::new("orders", format!("order {n}"))).await?;
    }

    // Our share of a topic; alone in the group, that is all of it.
    let options = PullOptions { start_from: StartFrom::First, ..PullOptions::new("audit") };
    let mut audit = client.pull_consumer_with(options).await?;
    audit.subscribe("orders", "*").await?;
    let mut count = 0;
    while count < 90 {
        count += audit.poll(Duration::from_secs(10)).await?.len();
    }
    println!("{count} polled");
    if count < 100 {
        let rest: Vec<_> = audit.stream().take(100 - count).try_collect().await?;
        println!("{} more from the stream", rest.len());
    }
    audit.commit().await?;
    audit.shutdown().await?;

    // Chosen queues, from a chosen place. Nothing is committed by itself.
    let options = PullOptions { auto_commit: None, ..PullOptions::new("search") };
    let mut search = client.pull_consumer_with(options).await?;
    let queues = client.queues("orders").await?;
    search.assign(&queues, "*".into()).await?;
    let queue = &queues[0];
    search.seek(queue, 3)?;
    for other in &queues[1..] {
        search.pause(other)?;
    }
    let found = search.next().await?;
    println!("at 3 of {queue} is {}", String::from_utf8_lossy(&found.body));
    search.seek_to_time(queue, found.store_timestamp_ms).await?;
    println!("{} of {} left there", search.max_offset(queue).await? - search.position(queue).unwrap_or(0), queue);
    search.shutdown().await?;

    producer.shutdown().await?;
    client.shutdown().await;
    cluster.shutdown().await;
    Ok(())
}
