//! The client library and the commands that are made of it, over real sockets: against a cluster made by hand that
//! misbehaves when told to, and against our own servers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actormq::client::{Client, ClientOptions, Outcome, PushConsumer, PushOptions, ReceivedMessage, StartFrom};

#[path = "client/asking.rs"]
mod asking;
#[path = "client/assignments.rs"]
mod assignments;
#[path = "client/bad_days.rs"]
mod bad_days;
#[path = "client/cluster.rs"]
mod cluster;
#[path = "client/consumers.rs"]
mod consumers;
#[path = "client/embedded.rs"]
mod embedded;
#[path = "client/examples.rs"]
mod examples;
#[path = "client/gathering.rs"]
mod gathering;
#[path = "client/killed_producers.rs"]
mod killed_producers;
#[path = "client/members.rs"]
mod members;
#[path = "client/misfortunes.rs"]
mod misfortunes;
#[path = "client/ordered.rs"]
mod ordered;
#[path = "client/our_servers.rs"]
mod our_servers;
#[path = "client/producers.rs"]
mod producers;
#[path = "client/retries.rs"]
mod retries;
#[path = "client/server.rs"]
mod server;
#[path = "client/shell.rs"]
mod shell;
#[path = "client/transactional.rs"]
mod transactional;
use cluster::Cluster;

/// Longer than anything takes that a test waits for.
const SOON: Duration = Duration::from_secs(20);

pub async fn client(cluster: &Cluster) -> Client {
    Client::connect(ClientOptions::new(&cluster.name_server)).await.unwrap()
}

/// Bodies in the order in which a listener got them.
#[derive(Clone, Default)]
struct Inbox(Arc<Mutex<Vec<String>>>);

impl Inbox {
    fn put(&self, batch: &[ReceivedMessage]) {
        let bodies = batch.iter().map(|message| String::from_utf8_lossy(&message.body).into_owned());
        self.0.lock().unwrap().extend(bodies);
    }

    fn set(&self) -> BTreeSet<String> {
        self.0.lock().unwrap().iter().cloned().collect()
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    async fn start(&self, client: &Client, options: PushOptions) -> PushConsumer {
        let inbox = self.clone();
        let listener = move |batch: Vec<ReceivedMessage>| {
            inbox.put(&batch);
            async { Outcome::Consumed }
        };
        client.push_consumer(options).subscribe("T", "*").start(listener).await.unwrap()
    }
}

pub fn from_first(group: &str) -> PushOptions {
    PushOptions { start_from: StartFrom::First, ..PushOptions::new(group) }
}

pub fn bodies(range: std::ops::Range<u32>) -> BTreeSet<String> {
    range.map(|n| format!("m{n}")).collect()
}
