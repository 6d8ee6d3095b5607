//! Request and reply: a message goes out, whoever consumes it answers, and the asker waits for the answer.
//!
//!     cargo run --example request_reply

use std::sync::Arc;
use std::time::Duration;

use actormq::client::{Message, Outcome, PushOptions, ReceivedMessage, StartFrom};
use actormq::embed::Cluster;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cluster = Cluster::start().await?;
    let (shop, customer) = (cluster.client().await?, cluster.client().await?);

    // The shop consumes questions, and replies with a producer of its own.
    let replies = Arc::new(shop.producer("shop").await?);
    let listener = move |batch: Vec<ReceivedMessage>| {
        let replies = Arc::clone(&replies);
        async move {
            for question in &batch {
                let price = match &question.body[..] {
                    b"tea" => "3",
                    b"coffee" => "4",
                    // Who asks hears nothing, and waits no longer than it wants to.
                    _ => continue,
                };
                let Ok(reply) = question.reply_with(price) else { continue };
                if replies.send(reply).await.is_err() {
                    // The asker is gone; it would not hear a second try either.
                    break;
                }
            }
            Outcome::Consumed
        }
    };
    let options = PushOptions { start_from: StartFrom::First, ..PushOptions::new("shop") };
    let consumer = shop.push_consumer(options).subscribe("prices", "*").start(listener).await?;

    let asks = customer.producer("customers").await?;
    for goods in ["tea", "coffee"] {
        let reply = asks.request(Message::new("prices", goods), Duration::from_secs(30)).await?;
        println!("{goods} costs {}", String::from_utf8_lossy(&reply.body));
    }
    let silence = asks.request(Message::new("prices", "water"), Duration::from_millis(500)).await;
    println!("nobody sells water: {}", silence.expect_err("the shop does not answer that"));

    consumer.shutdown().await?;
    shop.shutdown().await;
    customer.shutdown().await;
    cluster.shutdown().await;
    Ok(())
}
