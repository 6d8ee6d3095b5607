//! Every way to send, read back by our client, and by Java's where bytes are made of bodies.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use actormq::client::{ClientError, Compression, Gather, Message, MessageQueue, ProducerOptions, SendStatus, Target};
use futures_util::future::try_join_all;

use crate::cases::Cases;
use crate::java::Java;
use crate::ledger::Ledger;
use crate::{World, name, numbered, patient, text, until};

pub fn add(cases: &mut Cases) {
    cases.add("send: what a message carries comes back, and where the receipt says", one);
    cases.add("send: many at once go round all queues", many);
    cases.add("send: oneway", oneway);
    cases.add("send: a batch, and one that is split at the size limit", batch);
    cases.add("send: to a queue, by selector, by key", chosen);
    cases.add("send: gathered, each with its own receipt", gathered);
    cases.add("send: zlib, LZ4 and zstd, read by our client and by Java's", compressed);
    cases.add("send: refusals are typed", refused);
}

async fn one(world: Arc<World>) {
    let topic = world.topic("one", 1).await;
    let message = Message::new(&topic, "héllo").tag("t").key("k1").key("k2").property("region", "north").flag(7);
    let receipt = world.producer.send(message).await.unwrap();
    assert_eq!((receipt.status, receipt.queue_offset), (SendStatus::Stored, 0));
    let message = &world.read(&topic, 1).await[0];
    assert_eq!((text(message).as_str(), message.tags(), message.keys()), ("héllo", Some("t"), Some("k1 k2")));
    assert_eq!((message.property("region"), message.flag), (Some("north"), 7));
    assert_eq!(
        (message.message_id(), message.offset_message_id()),
        (receipt.message_id.to_string(), receipt.offset_message_id.to_string())
    );
    assert_eq!((&*message.queue, message.queue_offset), (&receipt.queue, receipt.queue_offset));
}

async fn many(world: Arc<World>) {
    let topic = world.topic("many", 4).await;
    world.send(&topic, numbered(0..512)).await;
    let messages = world.read(&topic, 512).await;
    let mut of_queue = BTreeMap::<u32, usize>::new();
    messages.iter().for_each(|message| *of_queue.entry(message.queue.queue).or_default() += 1);
    assert_eq!(of_queue, (0..4).map(|queue| (queue, 128)).collect());
    assert_eq!(messages.iter().map(text).collect::<BTreeSet<_>>(), numbered(0..512).collect());
}

async fn oneway(world: Arc<World>) {
    let topic = world.topic("oneway", 2).await;
    for body in numbered(0..20) {
        world.producer.send_oneway(Message::new(&topic, body)).await.unwrap();
    }
    let queue = world.client.queues(&topic).await.unwrap().remove(1);
    world.producer.send_oneway_to(Message::new(&topic, "m20"), Target::Queue(&queue)).await.unwrap();
    let bodies: BTreeSet<_> = world.read(&topic, 21).await.iter().map(text).collect();
    assert_eq!(bodies, numbered(0..21).collect());
}

async fn batch(world: Arc<World>) {
    let topic = world.topic("batch", 2).await;
    let small: Vec<_> = numbered(0..100).map(|body| Message::new(&topic, body).key("k").tag("t")).collect();
    let receipts = world.producer.send_batch(&small).await.unwrap();
    assert_eq!(receipts.len(), 1, "they fit one request");
    assert_eq!(receipts[0].message_id.split(',').count(), 100);
    let messages = world.read(&topic, 100).await;
    let in_order: Vec<_> = messages.iter().map(text).collect();
    assert_eq!(in_order, numbered(0..100).collect::<Vec<_>>(), "one queue, in the order of the batch");
    let ids: Vec<_> = messages.iter().map(actormq::client::ReceivedMessage::message_id).collect();
    assert_eq!(ids.join(","), receipts[0].message_id);

    let long = world.topic("split", 1).await;
    let queue = world.client.queues(&long).await.unwrap().remove(0);
    let bodies: Vec<_> = (0..9u8).map(|n| Message::new(&long, vec![n; 1024 * 1024])).collect();
    let receipts = world.producer.send_batch_to(&bodies, Target::Queue(&queue)).await.unwrap();
    assert!(receipts.len() >= 3, "9 MiB took {} requests", receipts.len());
    for (n, message) in world.read(&long, 9).await.iter().enumerate() {
        assert_eq!((message.body.len(), usize::from(message.body[0])), (1024 * 1024, n));
    }
}

async fn chosen(world: Arc<World>) {
    let topic = world.topic("chosen", 4).await;
    let queues = world.client.queues(&topic).await.unwrap();
    for queue in &queues {
        let receipt = world.producer.send_to(Message::new(&topic, "by queue"), Target::Queue(queue)).await.unwrap();
        assert_eq!(&receipt.queue, queue);
    }
    let last = Target::Select(&|queues: &[Arc<MessageQueue>]| queues.len() - 1);
    let receipt = world.producer.send_to(Message::new(&topic, "by selector"), last).await.unwrap();
    assert_eq!(receipt.queue, queues[3]);
    let mut of_keys = BTreeMap::<String, BTreeSet<MessageQueue>>::new();
    for n in 0..40 {
        let key = format!("order-{}", n % 8);
        let receipt = world.producer.send_to(Message::new(&topic, "by key"), Target::Key(&key)).await.unwrap();
        of_keys.entry(key).or_default().insert(receipt.queue);
    }
    assert!(of_keys.values().all(|queues| queues.len() == 1), "{of_keys:?}");
    assert!(of_keys.values().flatten().collect::<BTreeSet<_>>().len() > 1, "keys are spread");
    assert_eq!(world.read(&topic, 45).await.len(), 45);
}

async fn gathered(world: Arc<World>) {
    let topic = world.topic("gathered", 4).await;
    let options = ProducerOptions { gather: Some(Gather::default()), ..patient("gatherers") };
    let producer = world.client.producer_with(options).await.unwrap();
    let sends = numbered(0..1000).map(|body| producer.send(Message::new(&topic, body)));
    let receipts = try_join_all(sends).await.unwrap();
    producer.shutdown().await.unwrap();
    let messages = world.read(&topic, 1000).await;
    let stored: BTreeMap<_, _> = messages
        .iter()
        .map(|message| ((message.queue.queue, message.queue_offset), (message.message_id(), text(message))))
        .collect();
    for (body, receipt) in numbered(0..1000).zip(&receipts) {
        let at = (receipt.queue.queue, receipt.queue_offset);
        assert_eq!(stored.get(&at), Some(&(receipt.message_id.to_string(), body)), "{receipt:?}");
    }
}

async fn compressed(world: Arc<World>) {
    let topic = world.topic("compressed", 1).await;
    let body = |kind: Compression| format!("{kind:?} or not {kind:?} ").repeat(2000);
    let kinds = [Compression::Zlib, Compression::Lz4, Compression::Zstd];
    for compression in kinds {
        let options = ProducerOptions { compression, ..patient("compressors") };
        let client = world.another().await;
        let producer = client.producer_with(options).await.unwrap();
        producer.send(Message::new(&topic, body(compression))).await.unwrap();
        producer.shutdown().await.unwrap();
        client.shutdown().await;
    }
    let status = world.admin.topic_status(&topic).await.unwrap();
    assert_eq!(status.messages(), 3);
    let expected: BTreeSet<_> = kinds.into_iter().map(body).collect();
    let ours: BTreeSet<_> = world.read(&topic, 3).await.iter().map(text).collect();
    assert!(ours == expected, "our client reads what was sent");
    let ledger = Arc::<Ledger>::default();
    let java = Java::member(&world, &name("java"), &topic, Arc::clone(&ledger)).await;
    until("Java has all three", async || ledger.bodies().len() == 3).await;
    assert!(ledger.bodies() == expected, "Java reads what was sent");
    java.stop().await;
}

async fn refused(world: Arc<World>) {
    let topic = name("closed");
    world.put_topic(&topic, 1, 4).await;
    let error = world.producer.send(Message::new(&topic, "x")).await.unwrap_err();
    assert!(error.is_refusal(), "{error:?}");
    let error = world.producer.send(Message::new(&topic, vec![0; 5 * 1024 * 1024])).await.unwrap_err();
    assert!(matches!(error, ClientError::Message(_)), "{error:?}");
    let error = world.client.queues(&name("nowhere")).await.unwrap_err();
    assert!(matches!(error, ClientError::TopicNotFound { .. }), "{error:?}");
    // Shorter than any broker's answer.
    let hasty = ProducerOptions { send_timeout: Duration::from_nanos(1), ..ProducerOptions::new("hasty") };
    let hasty = world.client.producer_with(hasty).await.unwrap();
    let error = hasty.send(Message::new(&topic, "x")).await.unwrap_err();
    assert!(matches!(error, ClientError::Timeout { .. }), "{error:?}");
}
