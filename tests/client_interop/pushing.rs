//! Consumers to which messages come.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::prelude::*;
use actormq::client::{
    ClientOptions, Delivery, Message, MessageModel, Outcome, PushOptions, ReceivedMessage, Retry, StartFrom, ToActor,
    YoungTopics,
};
use tokio::sync::oneshot;

use crate::cases::Cases;
use crate::ledger::{Ledger, listen};
use crate::{World, name, numbered, queues_of, text, until};

pub fn add(cases: &mut Cases) {
    cases.add("push: each message once, and a shutdown commits", once);
    cases.add("push: broadcasting reaches every member, and a file keeps the offsets", broadcast);
    cases.add("push: an actor listens", to_an_actor);
    cases.add("push: suspend and resume", suspended);
    cases.add("push: begins at the first, at the last, at a time", begins);
    cases.add("push: what a listener gives back comes again", given_back);
    cases.add("push: topics and filters change while it runs", changed);
}

fn from_first(group: &str) -> PushOptions {
    PushOptions { start_from: StartFrom::First, ..PushOptions::new(group) }
}

/// How far a group is in each queue of a topic, as its brokers say.
async fn committed(world: &World, group: &str, topic: &str) -> BTreeMap<i32, i64> {
    let progress = world.admin.progress(group, Some(topic)).await.unwrap_or_default();
    progress.into_iter().map(|queue| (queue.queue, queue.committed_offset)).collect()
}

async fn once(world: Arc<World>) {
    let topic = world.topic("once", 4).await;
    let group = name("once");
    let (client, ledger) = (world.another().await, Arc::<Ledger>::default());
    let consumer = listen(&client, from_first(&group), &topic, "a", &ledger).await;
    world.send(&topic, numbered(0..200)).await;
    until("all messages", async || ledger.len() == 200).await;
    assert!(ledger.repeated().is_empty(), "{:?}", ledger.repeated());
    assert_eq!(queues_of(&topic, &consumer.queues().await.unwrap()).len(), 4);
    until("nothing is left", async || consumer.lag().await.unwrap() == Some(0)).await;
    consumer.check_agreement().await.unwrap();
    consumer.shutdown().await.unwrap();
    assert_eq!(committed(&world, &group, &topic).await, (0..4).map(|queue| (queue, 50)).collect());
    let again = listen(&client, from_first(&group), &topic, "b", &ledger).await;
    world.send(&topic, numbered(200..204)).await;
    until("the new ones", async || ledger.len() == 204).await;
    assert_eq!((ledger.of("b"), ledger.repeated().len()), (4, 0), "who comes next goes on there");
    again.shutdown().await.unwrap();
    client.shutdown().await;
}

async fn broadcast(world: Arc<World>) {
    let topic = world.topic("broadcast", 2).await;
    let group = name("broadcast");
    let directory = tempfile::tempdir().unwrap();
    let start = async |instance: &str, ledger: &Arc<Ledger>| {
        let options = ClientOptions { instance: Some(instance.into()), ..ClientOptions::new(&world.name_server) };
        let client = actormq::client::Client::connect(options).await.unwrap();
        let model = MessageModel::Broadcasting { directory: Some(directory.path().to_owned()) };
        let options = PushOptions { model, ..from_first(&group) };
        (listen(&client, options, &topic, instance, ledger).await, client)
    };
    world.send(&topic, numbered(0..20)).await;
    let (one, two) = (Arc::<Ledger>::default(), Arc::<Ledger>::default());
    let ((first, first_client), (second, second_client)) = (start("one", &one).await, start("two", &two).await);
    until("both have all", async || one.len() == 20 && two.len() == 20).await;
    first.shutdown().await.unwrap();
    first_client.shutdown().await;
    world.send(&topic, numbered(20..30)).await;
    let again = Arc::<Ledger>::default();
    let (first, first_client) = start("one", &again).await;
    until("what came since", async || again.len() == 10 && two.len() == 30).await;
    assert!(two.repeated().is_empty() && again.repeated().is_empty());
    assert_eq!(again.bodies(), numbered(20..30).collect());
    for (consumer, client) in [(first, first_client), (second, second_client)] {
        consumer.shutdown().await.unwrap();
        client.shutdown().await;
    }
    assert!(committed(&world, &group, &topic).await.values().all(|offset| *offset <= 0), "brokers are told nothing");
}

struct Ears {
    ledger: Arc<Ledger>,
}

impl Actor for Ears {
    type Context = Context<Self>;
}

impl Handler<Delivery> for Ears {
    type Result = Outcome;

    fn handle(&mut self, Delivery(batch): Delivery, _: &mut Context<Self>) -> Outcome {
        batch.iter().for_each(|message| self.ledger.write("actor", text(message)));
        Outcome::Consumed
    }
}

async fn to_an_actor(world: Arc<World>) {
    let topic = world.topic("actor", 4).await;
    world.send(&topic, numbered(0..60)).await;
    let ledger = Arc::<Ledger>::default();
    let (client, heard) = (world.another().await, Arc::clone(&ledger));
    let (tell, told) = oneshot::channel();
    let (end, ended) = oneshot::channel::<()>();
    // Actors want an actix System, which is a thread of the program's own here.
    let system = std::thread::spawn(move || {
        actix::System::new().block_on(async move {
            tell.send(Ears { ledger: heard }.start().recipient()).unwrap();
            ended.await.unwrap();
        });
    });
    let options = PushOptions { consume_batch: 8, ..from_first(&name("actor")) };
    let builder = client.push_consumer(options).subscribe(&topic, "*");
    let consumer = builder.start(ToActor(told.await.unwrap())).await.unwrap();
    until("the actor has all", async || ledger.bodies() == numbered(0..60).collect()).await;
    consumer.shutdown().await.unwrap();
    end.send(()).unwrap();
    tokio::task::spawn_blocking(move || system.join().unwrap()).await.unwrap();
    client.shutdown().await;
}

async fn suspended(world: Arc<World>) {
    let topic = world.topic("suspended", 1).await;
    let (client, ledger) = (world.another().await, Arc::<Ledger>::default());
    let consumer = listen(&client, from_first(&name("suspended")), &topic, "a", &ledger).await;
    world.send(&topic, numbered(0..1)).await;
    until("it consumes", async || ledger.len() == 1).await;
    consumer.suspend();
    world.send(&topic, numbered(1..2)).await;
    let sent = ledger.until_silent(&world, &topic, 2).await;
    assert!(ledger.len() < sent);
    consumer.resume();
    until("the rest", async || ledger.bodies() == numbered(0..sent).collect()).await;
    assert!(ledger.repeated().is_empty());
    consumer.shutdown().await.unwrap();
    client.shutdown().await;
}

async fn begins(world: Arc<World>) {
    let topic = world.topic("begins", 1).await;
    world.send(&topic, numbered(0..10)).await;
    until("all is stored", async || world.admin.topic_status(&topic).await.unwrap().messages() == 10).await;
    let between = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64 + 1;
    until("time goes on", async || std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64 > between).await;
    world.send(&topic, numbered(10..15)).await;
    until("all is stored", async || world.admin.topic_status(&topic).await.unwrap().messages() == 15).await;
    let mut ends = Vec::new();
    for start_from in [StartFrom::First, StartFrom::Time(between), StartFrom::Last] {
        let (client, ledger) = (world.another().await, Arc::<Ledger>::default());
        let young_topics = YoungTopics::AsAsked;
        let options = PushOptions { start_from, young_topics, ..from_first(&name("begins")) };
        let consumer = listen(&client, options, &topic, "a", &ledger).await;
        until("it knows where it is", async || consumer.lag().await.unwrap().is_some()).await;
        ends.push((client, consumer, ledger));
    }
    // Only now, so that the one that starts at the last has something to get.
    world.send(&topic, numbered(15..16)).await;
    for ((client, consumer, ledger), first) in ends.into_iter().zip([0, 10, 15]) {
        until("the last message", async || ledger.bodies().contains("m15")).await;
        assert_eq!(ledger.bodies(), numbered(first..16).collect());
        consumer.shutdown().await.unwrap();
        client.shutdown().await;
    }
}

async fn given_back(world: Arc<World>) {
    let topic = world.topic("back", 1).await;
    world.send(&topic, numbered(0..6)).await;
    let (calls, ledger) = (Arc::new(AtomicUsize::new(0)), Arc::<Ledger>::default());
    let (counted, heard) = (Arc::clone(&calls), Arc::clone(&ledger));
    let listener = move |batch: Vec<ReceivedMessage>| {
        let call = counted.fetch_add(1, Ordering::Relaxed);
        let heard = Arc::clone(&heard);
        async move {
            assert!(call != 1, "the second call panics");
            if call == 0 {
                return Outcome::Later;
            }
            batch.iter().for_each(|message| heard.write("a", text(message)));
            Outcome::Consumed
        }
    };
    let group = name("back");
    let options =
        PushOptions { retry: Retry { delay: Duration::from_millis(50), ..Retry::default() }, ..from_first(&group) };
    let client = world.another().await;
    let consumer = client.push_consumer(options).subscribe(&topic, "*").start(listener).await.unwrap();
    until("all were consumed", async || ledger.bodies() == numbered(0..6).collect()).await;
    consumer.shutdown().await.unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 8);
    assert_eq!(committed(&world, &group, &topic).await, BTreeMap::from([(0, 6)]));
    client.shutdown().await;
}

async fn changed(world: Arc<World>) {
    let (one, two) = (world.topic("before", 1).await, world.topic("after", 1).await);
    let (client, ledger) = (world.another().await, Arc::<Ledger>::default());
    let consumer = listen(&client, from_first(&name("changed")), &one, "a", &ledger).await;
    world.send(&one, ["first".to_owned()]).await;
    until("the first topic", async || ledger.len() == 1).await;
    for tag in ["yes", "no"] {
        world.producer.send(Message::new(&two, tag).tag(tag)).await.unwrap();
    }
    consumer.subscribe(&two, "yes").await.unwrap();
    until("the second topic", async || ledger.bodies().contains("yes")).await;
    consumer.unsubscribe(&one).await.unwrap();
    until("the first is gone", async || queues_of(&one, &consumer.queues().await.unwrap()).is_empty()).await;
    consumer.subscribe(&two, "no || last").await.unwrap();
    until("the second is read anew", async || queues_of(&two, &consumer.queues().await.unwrap()).len() == 1).await;
    world.producer.send(Message::new(&two, "last").tag("last")).await.unwrap();
    world.producer.send(Message::new(&two, "never").tag("yes")).await.unwrap();
    until("by the new filter", async || ledger.bodies().contains("last")).await;
    assert!(!ledger.bodies().contains("never"));
    consumer.shutdown().await.unwrap();
    client.shutdown().await;
}
