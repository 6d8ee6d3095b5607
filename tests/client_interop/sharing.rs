//! Clients of one process in one group: each is a member of its own, and no queue is without an owner.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use actormq::client::{Client, Message, PushConsumer, PushOptions, StartFrom};

use crate::cases::Cases;
use crate::ledger::{Ledger, listen};
use crate::{World, name, numbered, queues_of, until};

const QUEUES: u32 = 8;

pub fn add(cases: &mut Cases) {
    cases.add("sharing: two clients of one process, no queue without owner", two);
}

/// Sends numbered messages until it is stopped.
pub struct Sending {
    goes_on: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Sending {
    pub fn start(world: &Arc<World>, topic: &str, pause: Duration) -> Self {
        let (goes_on, sent) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
        let (world, topic) = (Arc::clone(world), topic.to_owned());
        let (going, counted) = (Arc::clone(&goes_on), Arc::clone(&sent));
        let task = tokio::spawn(async move {
            while going.load(Ordering::Relaxed) {
                let body = format!("m{}", counted.load(Ordering::Relaxed));
                world.producer.send(Message::new(&topic, body)).await.unwrap();
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(pause).await;
            }
        });
        Self { goes_on, sent, task }
    }

    pub fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// How many were acknowledged.
    pub async fn stop(self) -> usize {
        self.goes_on.store(false, Ordering::Relaxed);
        self.task.await.unwrap();
        self.sent.load(Ordering::Relaxed)
    }
}

/// A member and its queues.
struct Member {
    client: Client,
    consumer: PushConsumer,
}

impl Member {
    async fn join(world: &World, group: &str, topic: &str, ledger: &Arc<Ledger>) -> Self {
        let client = world.another().await;
        let options = PushOptions { start_from: StartFrom::First, ..PushOptions::new(group) };
        let member = client.id().to_owned();
        let consumer = listen(&client, options, topic, &member, ledger).await;
        Self { client, consumer }
    }

    async fn queues(&self, topic: &str) -> BTreeSet<u32> {
        queues_of(topic, &self.consumer.queues().await.unwrap()).iter().map(|queue| queue.queue).collect()
    }

    async fn leave(self) {
        self.consumer.shutdown().await.unwrap();
        self.client.shutdown().await;
    }
}

async fn two(world: Arc<World>) {
    let topic = world.topic("sharing", QUEUES as i32).await;
    let (group, ledger) = (name("sharing"), Arc::<Ledger>::default());
    let sending = Sending::start(&world, &topic, Duration::from_millis(5));
    let stays = Member::join(&world, &group, &topic, &ledger).await;
    for _ in 0..3 {
        let comes = Member::join(&world, &group, &topic, &ledger).await;
        assert_ne!(stays.client.id(), comes.client.id());
        until("each has half of the queues", async || {
            let (here, there) = (stays.queues(&topic).await, comes.queues(&topic).await);
            here.len() == 4 && there.len() == 4 && here.union(&there).copied().eq(0..QUEUES)
        })
        .await;
        let (of_stays, of_comes) = (ledger.of(stays.client.id()), ledger.of(comes.client.id()));
        until("both consume", async || {
            ledger.of(stays.client.id()) > of_stays && ledger.of(comes.client.id()) > of_comes
        })
        .await;
        comes.leave().await;
        until("who stays has all", async || stays.queues(&topic).await.len() == QUEUES as usize).await;
    }
    let sent = sending.stop().await;
    until("every message came", async || ledger.bodies() == numbered(0..sent).collect()).await;
    stays.leave().await;
}
