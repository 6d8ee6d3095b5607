//! A message that is delivered if, and only if, an order is written to a database.
//!
//!     cargo run --example transaction

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actormq::client::{HalfMessage, Message, PullOptions, ReceivedMessage, Resolution, StartFrom, TransactionListener};
use actormq::embed::ClusterOptions;

/// What stands for the database of orders: message ids and how it went.
#[derive(Clone, Default)]
struct Orders(Arc<Mutex<BTreeMap<String, bool>>>);

impl Orders {
    fn write(&self, id: &str, is_good: bool) {
        self.0.lock().expect("no writer panics").insert(id.to_owned(), is_good);
    }

    fn find(&self, id: &str) -> Option<bool> {
        self.0.lock().expect("no writer panics").get(id).copied()
    }
}

impl TransactionListener for Orders {
    /// The broker has the message, and nobody gets it yet.
    async fn execute(&self, half: &HalfMessage) -> Resolution {
        let is_good = half.message.body() != b"an order that cannot be paid";
        self.write(&half.receipt.message_id, is_good);
        match half.message.body() {
            // As if this program had lost its way just after it wrote.
            b"an order in the dark" => Resolution::Unknown,
            _ if is_good => Resolution::Commit,
            _ => Resolution::Rollback,
        }
    }

    /// The broker heard no end, so it asks whichever producer of the group is there.
    async fn check(&self, message: ReceivedMessage) -> Resolution {
        println!("the broker asks about {}", String::from_utf8_lossy(&message.body));
        match self.find(&message.message_id()) {
            Some(true) => Resolution::Commit,
            Some(false) => Resolution::Rollback,
            None => Resolution::Unknown,
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A broker asks about what is older than 6 s, every 30 s. This one is less patient.
    let impatient = ClusterOptions::new().broker(|config| {
        let rules = &mut config.send.transactions;
        (rules.check_interval_ms, rules.timeout_ms) = (100, 500);
    });
    let cluster = impatient.start().await?;
    let client = cluster.client().await?;
    let producer = client.transactional_producer("shop", Orders::default()).await?;
    for body in ["an order", "an order that cannot be paid", "an order in the dark"] {
        let sent = producer.send(Message::new("orders", body)).await?;
        println!("{body}: {:?}", sent.resolution);
    }

    let options = PullOptions { start_from: StartFrom::First, ..PullOptions::new("shipping") };
    let mut consumer = client.pull_consumer_with(options).await?;
    consumer.subscribe("orders", "*").await?;
    let mut delivered = Vec::new();
    while delivered.len() < 2 {
        for message in consumer.poll(Duration::from_secs(10)).await? {
            delivered.push(String::from_utf8_lossy(&message.body).into_owned());
        }
    }
    println!("delivered: {}", delivered.join(", "));
    consumer.shutdown().await?;
    producer.shutdown().await?;
    client.shutdown().await;
    cluster.shutdown().await;
    Ok(())
}
