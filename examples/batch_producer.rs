//! A producer of batches: messages of one topic travel in as few requests as fit.
//!
//!     cargo run --example batch_producer

use actormq::client::{Compression, Message, ProducerOptions};
use actormq::embed::Cluster;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cluster = Cluster::start().await?;
    let client = cluster.client().await?;
    let producer = client.producer("importer").await?;

    let lines: Vec<_> =
        (0..1000).map(|n| Message::new("lines", format!("line {n}")).key(format!("line-{n}"))).collect();
    for receipt in producer.send_batch(&lines).await? {
        let count = receipt.message_id.split(',').count();
        println!("{count} messages from {} on in {}", receipt.queue_offset, receipt.queue);
    }

    // More than a broker takes at once is split.
    let pictures: Vec<_> = (0..9).map(|n| Message::new("pictures", vec![n; 1024 * 1024])).collect();
    println!("9 MiB took {} requests", producer.send_batch(&pictures).await?.len());
    producer.shutdown().await?;

    // Single long messages are compressed; batches are not.
    let compression = Compression::Zstd;
    let options = ProducerOptions { compression, compress_from_bytes: 1024, ..ProducerOptions::new("archive") };
    let archive = client.producer_with(options).await?;
    let receipt = archive.send(Message::new("texts", "to be or not to be ".repeat(1000))).await?;
    println!("a long text is in {}", receipt.queue);
    archive.shutdown().await?;

    client.shutdown().await;
    cluster.shutdown().await;
    Ok(())
}
