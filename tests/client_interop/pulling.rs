//! Consumers that ask.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use actormq::client::{ClientError, Message, PullConsumer, PullOptions, ReceivedMessage, StartFrom, YoungTopics};
use futures_util::{StreamExt, TryStreamExt};

use crate::cases::Cases;
use crate::{LIMIT, World, name, numbered, text, until};

pub fn add(cases: &mut Cases) {
    cases.add("pull: assigned queues, seeks by offset and time, commits", assigned);
    cases.add("pull: pause and resume", paused);
    cases.add("pull: subscribed, as a stream, with a filter", streamed);
    cases.add("pull: two members share, and hand over with their commits", shared);
    cases.add("pull: begins at the first, at the last, at a time", begins);
}

fn from_first(group: &str) -> PullOptions {
    PullOptions { start_from: StartFrom::First, hold: Duration::from_secs(2), ..PullOptions::new(group) }
}

async fn polled(consumer: &mut PullConsumer, count: usize) -> Vec<ReceivedMessage> {
    let mut all = Vec::new();
    let mut empty = 0;
    while all.len() < count {
        let more = consumer.poll(Duration::from_secs(5)).await.unwrap();
        empty += usize::from(more.is_empty());
        assert!(empty < 8, "{} of {count} messages came", all.len());
        all.extend(more);
    }
    assert_eq!(all.len(), count);
    all
}

async fn assigned(world: Arc<World>) {
    let topic = world.topic("assigned", 1).await;
    world.send(&topic, numbered(0..50)).await;
    until("all is stored", async || world.admin.topic_status(&topic).await.unwrap().messages() == 50).await;
    let between = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64 + 1;
    until("time goes on", async || std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64 > between).await;
    world.send(&topic, numbered(50..60)).await;
    let mut consumer = world.client.pull_consumer_with(from_first(&name("assigned"))).await.unwrap();
    let queues = world.client.queues(&topic).await.unwrap();
    let queue = &queues[0];
    consumer.assign(&queues, "*".into()).await.unwrap();
    assert_eq!(polled(&mut consumer, 60).await.iter().map(text).collect::<BTreeSet<_>>(), numbered(0..60).collect());
    assert_eq!((consumer.position(queue), consumer.committed(queue).await.unwrap()), (Some(60), None));
    consumer.commit().await.unwrap();
    assert_eq!(consumer.committed(queue).await.unwrap(), Some(60));
    assert_eq!((consumer.min_offset(queue).await.unwrap(), consumer.max_offset(queue).await.unwrap()), (0, 60));

    consumer.seek(queue, 17).unwrap();
    assert_eq!(consumer.next().await.unwrap().queue_offset, 17);
    consumer.seek_to_time(queue, between).await.unwrap();
    assert_eq!(consumer.next().await.unwrap().queue_offset, 50, "the first that was stored then or later");
    consumer.seek(queue, 999).unwrap();
    assert!(consumer.poll(Duration::from_millis(300)).await.unwrap().is_empty());
    until("the broker says where the queue ends", async || {
        consumer.poll(Duration::from_millis(50)).await.unwrap();
        consumer.position(queue) == Some(60)
    })
    .await;
    world.send(&topic, numbered(60..61)).await;
    assert_eq!(consumer.next().await.unwrap().queue_offset, 60);
    consumer.assign(&[], "*".into()).await.unwrap();
    assert!(matches!(consumer.seek(queue, 0), Err(ClientError::NotAssigned { .. })));
    consumer.shutdown().await.unwrap();
}

async fn paused(world: Arc<World>) {
    let topic = world.topic("paused", 2).await;
    let mut consumer = world.client.pull_consumer_with(from_first(&name("paused"))).await.unwrap();
    let queues = world.client.queues(&topic).await.unwrap();
    consumer.assign(&queues, "*".into()).await.unwrap();
    consumer.pause(&queues[0]).unwrap();
    world.send(&topic, numbered(0..20)).await;
    let of_one = polled(&mut consumer, 10).await;
    assert!(of_one.iter().all(|message| message.queue.queue == 1));
    assert!(consumer.poll(Duration::from_millis(300)).await.unwrap().is_empty());
    consumer.resume(&queues[0]).unwrap();
    assert!(polled(&mut consumer, 10).await.iter().all(|message| message.queue.queue == 0));
    consumer.shutdown().await.unwrap();
}

async fn streamed(world: Arc<World>) {
    let topic = world.topic("streamed", 4).await;
    for n in 0..40 {
        let tag = ["a", "b", "c", "d"][n % 4];
        // Each tag is in each queue.
        world.producer.send(Message::new(&topic, format!("m{n}")).tag(tag)).await.unwrap();
        world.producer.send(Message::new(&topic, format!("x{n}")).tag("x")).await.unwrap();
        world.producer.send(Message::new(&topic, format!("y{n}")).tag("x")).await.unwrap();
    }
    let group = name("streamed");
    let mut consumer = world.client.pull_consumer_with(from_first(&group)).await.unwrap();
    consumer.subscribe(&topic, "a || c").await.unwrap();
    let messages: Vec<_> = consumer.stream().take(20).try_collect().await.unwrap();
    assert!(messages.iter().all(|message| matches!(message.tags(), Some("a" | "c"))), "only what was wanted");
    assert_eq!(messages.iter().map(text).collect::<BTreeSet<_>>().len(), 20);
    assert!(consumer.poll(Duration::from_millis(500)).await.unwrap().is_empty());
    consumer.shutdown().await.unwrap();
    until("all is committed", async || {
        world.admin.progress(&group, Some(&topic)).await.is_ok_and(|all| all.iter().all(|queue| queue.lag == 0))
    })
    .await;
}

async fn shared(world: Arc<World>) {
    let topic = world.topic("shared", 4).await;
    let group = name("shared");
    let (one, two) = (world.another().await, world.another().await);
    let mut first = one.pull_consumer_with(from_first(&group)).await.unwrap();
    first.subscribe(&topic, "*").await.unwrap();
    world.send(&topic, numbered(0..40)).await;
    polled(&mut first, 40).await;
    first.commit().await.unwrap();
    let mut second = two.pull_consumer_with(from_first(&group)).await.unwrap();
    second.subscribe(&topic, "*").await.unwrap();
    until("each has two queues", async || {
        first.poll(Duration::ZERO).await.unwrap();
        second.poll(Duration::ZERO).await.unwrap();
        (first.queues().len(), second.queues().len()) == (2, 2)
    })
    .await;
    world.send(&topic, numbered(40..80)).await;
    let both = [polled(&mut first, 20).await, polled(&mut second, 20).await].concat();
    assert_eq!(both.iter().map(text).collect::<BTreeSet<_>>(), numbered(40..80).collect());
    first.shutdown().await.unwrap();
    until("the other has all four", async || {
        assert!(second.poll(Duration::ZERO).await.unwrap().is_empty(), "what was given was committed");
        second.queues().len() == 4
    })
    .await;
    world.send(&topic, numbered(80..90)).await;
    polled(&mut second, 10).await;
    second.shutdown().await.unwrap();
}

async fn begins(world: Arc<World>) {
    let topic = world.topic("begins", 1).await;
    world.send(&topic, numbered(0..10)).await;
    until("all is stored", async || world.admin.topic_status(&topic).await.unwrap().messages() == 10).await;
    let between = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64 + 1;
    until("time goes on", async || std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64 > between).await;
    world.send(&topic, numbered(10..15)).await;
    for (start_from, offset) in [(StartFrom::First, 0), (StartFrom::Time(between), 10), (StartFrom::Last, 15)] {
        let client = world.another().await;
        let young_topics = YoungTopics::AsAsked;
        let options = PullOptions { start_from, young_topics, ..from_first(&name("begins")) };
        let mut consumer = client.pull_consumer_with(options).await.unwrap();
        consumer.subscribe(&topic, "*").await.unwrap();
        if start_from == StartFrom::Last {
            until("the queue's end is found", async || {
                assert!(consumer.poll(Duration::from_millis(20)).await.unwrap().is_empty());
                consumer.queues().first().and_then(|queue| consumer.position(queue)) == Some(15)
            })
            .await;
            world.send(&topic, numbered(15..16)).await;
        }
        let message = tokio::time::timeout(LIMIT, consumer.next()).await.unwrap().unwrap();
        assert_eq!(message.queue_offset, offset, "{start_from:?}");
        consumer.shutdown().await.unwrap();
        client.shutdown().await;
    }
}
