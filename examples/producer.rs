//! A producer: one message, many at once, by key, to a chosen queue, and gathered into batches.
//!
//!     cargo run --example producer
//!
//! It brings its own servers; give `ClientOptions::new("host:9876")` to `Client::connect` for yours.

use actormq::client::{Gather, Message, ProducerOptions, Target};
use actormq::embed::Cluster;
use futures_util::future::try_join_all;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cluster = Cluster::start().await?;
    let client = cluster.client().await?;
    let producer = client.producer("shop").await?;

    let receipt = producer.send(Message::new("orders", "the first").tag("new").key("order-1")).await?;
    println!("{} is at {} of {}", receipt.message_id, receipt.queue_offset, receipt.queue);

    // Each send is a future that waits for its answer; none of them needs a task.
    let sends = (2..=256).map(|n| producer.send(Message::new("orders", format!("order {n}"))));
    println!("{} at once", try_join_all(sends).await?.len());

    // The same key goes to the same queue, so what happens to one order stays in order.
    for step in ["created", "paid", "shipped"] {
        let receipt = producer.send_to(Message::new("orders", step).key("order-7"), Target::Key("order-7")).await?;
        println!("order-7 {step}: {} of {}", receipt.queue_offset, receipt.queue);
    }

    let last = Target::Select(&|queues| queues.len() - 1);
    println!("the last queue is {}", producer.send_to(Message::new("orders", "to the last"), last).await?.queue);
    producer.send_oneway(Message::new("orders", "nobody waits for this one")).await?;
    producer.shutdown().await?;

    // Where many sends are under way, gathering them costs a fraction. Each still has its own receipt.
    let options = ProducerOptions { gather: Some(Gather::default()), ..ProducerOptions::new("busy-shop") };
    let busy = client.producer_with(options).await?;
    let sends = (0..1000).map(|n| busy.send(Message::new("orders", format!("gathered {n}"))));
    println!("{} gathered", try_join_all(sends).await?.len());
    busy.shutdown().await?;

    client.shutdown().await;
    cluster.shutdown().await;
    Ok(())
}
