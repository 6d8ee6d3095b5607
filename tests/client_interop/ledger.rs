//! Who got which message when.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actormq::client::{Client, Outcome, PushConsumer, PushOptions, ReceivedMessage};

use crate::{World, numbered, text, until};

#[derive(Debug, Default)]
pub struct Ledger(Mutex<BTreeMap<String, Vec<Entry>>>);

/// A message came to a member.
#[derive(Debug, Clone)]
pub struct Entry {
    pub member: String,
    pub at: Instant,
}

impl Ledger {
    pub fn write(&self, member: &str, body: String) {
        let entry = Entry { member: member.to_owned(), at: Instant::now() };
        self.0.lock().unwrap().entry(body).or_default().push(entry);
    }

    pub fn bodies(&self) -> BTreeSet<String> {
        self.0.lock().unwrap().keys().cloned().collect()
    }

    /// Different ones.
    pub fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Whether `m0` to before `m{count}` came.
    pub fn has(&self, count: usize) -> bool {
        let all = self.0.lock().unwrap();
        (0..count).all(|n| all.contains_key(&format!("m{n}")))
    }

    pub fn of(&self, member: &str) -> usize {
        let of_member = |entries: &&Vec<Entry>| entries.iter().any(|entry| entry.member == member);
        self.0.lock().unwrap().values().filter(of_member).count()
    }

    /// What came more than once, with each time.
    pub fn repeated(&self) -> BTreeMap<String, Vec<Entry>> {
        let mut all = self.0.lock().unwrap().clone();
        all.retain(|_, entries| entries.len() > 1);
        all
    }

    /// Sends one message more to `topic` until none comes any more, since a pull that the broker holds may still bring what
    /// comes first; how many were sent in all, `sent` before.
    pub async fn until_silent(&self, world: &World, topic: &str, mut sent: usize) -> usize {
        until("nothing comes any more", async || {
            let before = self.len();
            world.send(topic, numbered(sent..sent + 1)).await;
            sent += 1;
            tokio::time::sleep(Duration::from_millis(300)).await;
            self.len() == before
        })
        .await;
        sent
    }
}

/// A push consumer of ours that writes what it gets into a ledger.
pub async fn listen(
    client: &Client,
    options: PushOptions,
    topic: &str,
    member: &str,
    ledger: &Arc<Ledger>,
) -> PushConsumer {
    let (member, ledger) = (member.to_owned(), Arc::clone(ledger));
    let listener = move |batch: Vec<ReceivedMessage>| {
        batch.iter().for_each(|message| ledger.write(&member, text(message)));
        async { Outcome::Consumed }
    };
    client.push_consumer(options).subscribe(topic, "*").start(listener).await.unwrap()
}
