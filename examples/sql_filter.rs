//! Messages chosen by their properties, at the broker.
//!
//!     cargo run --example sql_filter

use std::time::Duration;

use actormq::client::{Filter, Message, PullOptions, StartFrom};
use actormq::embed::ClusterOptions;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // As in RocketMQ a broker filters by properties only where enablePropertyFilter allows it.
    let cluster = ClusterOptions::new().broker(|config| config.pull.sql_filter = true).start().await?;
    let client = cluster.client().await?;
    let producer = client.producer("shop").await?;
    for (region, amount) in [("north", 3), ("north", 30), ("south", 300)] {
        let message = Message::new("orders", format!("{amount} from the {region}"));
        producer.send(message.property("region", region).property("amount", amount.to_string())).await?;
    }
    let options = PullOptions { start_from: StartFrom::First, ..PullOptions::new("large-orders") };
    let mut consumer = client.pull_consumer_with(options).await?;
    let error = consumer.subscribe("orders", Filter::sql("amount > 10 AND region ==")).await;
    println!("a bad expression: {}", error.expect_err("it is one"));
    consumer.subscribe("orders", Filter::sql("amount > 10 OR region = 'west'")).await?;
    let mut count = 0;
    while count < 2 {
        for message in consumer.poll(Duration::from_secs(10)).await? {
            println!("{}", String::from_utf8_lossy(&message.body));
            count += 1;
        }
    }
    consumer.shutdown().await?;
    client.shutdown().await;
    cluster.shutdown().await;
    Ok(())
}
