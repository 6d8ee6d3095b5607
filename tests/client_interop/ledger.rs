//! Who got which message when.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use actormq::client::{Client, Outcome, PushConsumer, PushOptions, ReceivedMessage};

use crate::text;

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
