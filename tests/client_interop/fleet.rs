//! Mixed fleets: our consumers and Java's in one group, which come and go while messages are sent.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actormq::client::{Client, PushConsumer, PushOptions, StartFrom};

use crate::cases::Cases;
use crate::java::Java;
use crate::ledger::{Ledger, listen};
use crate::sharing::Sending;
use crate::{LIMIT, LOOK_AGAIN, World, name, numbered, queues_of, until};

const QUEUES: u32 = 8;
const ROUNDS: usize = 2;
/// Shares that stand so long are not on their way to others.
const STANDS: Duration = Duration::from_secs(1);
/// How long nothing may change then, and nothing come again.
const QUIET: Duration = Duration::from_secs(2);
/// Between a listener of Java's and our ledger.
const ON_ITS_WAY: Duration = Duration::from_millis(500);

pub fn add(cases: &mut Cases) {
    cases.add("fleet: our members and Java's share without gap or overlap while they come and go", story);
}

enum Member {
    Ours(Client, PushConsumer),
    Java(Java),
}

impl Member {
    async fn queues(&mut self, topic: &str) -> BTreeSet<u32> {
        match self {
            Self::Ours(_, consumer) => {
                queues_of(topic, &consumer.queues().await.unwrap()).iter().map(|queue| queue.queue).collect()
            }
            Self::Java(java) => java.queues().await,
        }
    }
}

struct Fleet {
    world: Arc<World>,
    topic: String,
    group: String,
    ledger: Arc<Ledger>,
    sending: Sending,
    members: Vec<Member>,
    /// When members came or went, and when those that were left had caught up.
    changes: Vec<(Instant, Instant)>,
}

impl Fleet {
    async fn ours_joins(&mut self) {
        let begun = Instant::now();
        let client = self.world.another().await;
        let options = PushOptions { start_from: StartFrom::First, ..PushOptions::new(&self.group) };
        let consumer = listen(&client, options, &self.topic, &name("ours"), &self.ledger).await;
        self.members.push(Member::Ours(client, consumer));
        self.settle(begun).await;
    }

    async fn java_joins(&mut self) {
        let begun = Instant::now();
        let java = Java::member(&self.world, &self.group, &self.topic, Arc::clone(&self.ledger)).await;
        self.members.push(Member::Java(java));
        self.settle(begun).await;
    }

    async fn leaves(&mut self, at: usize) {
        let begun = Instant::now();
        match self.members.remove(at) {
            Member::Ours(client, consumer) => {
                consumer.shutdown().await.unwrap();
                client.shutdown().await;
            }
            Member::Java(java) => java.stop().await,
        }
        self.settle(begun).await;
    }

    /// Without a word: a killed process, a client whose thread ends.
    async fn dies(&mut self, at: usize) {
        let begun = Instant::now();
        match self.members.remove(at) {
            Member::Ours(client, consumer) => {
                client.shutdown().await;
                drop(consumer);
            }
            Member::Java(java) => java.kill(),
        }
        self.settle(begun).await;
    }

    /// From one member of ours to another that is alone.
    async fn goes_round(&mut self) {
        self.java_joins().await;
        self.ours_joins().await;
        self.java_joins().await;
        // Ours, Java, ours, Java.
        self.leaves(1).await;
        self.leaves(0).await;
        self.java_joins().await;
        // Ours, Java, Java.
        self.dies(1).await;
        self.ours_joins().await;
        // Ours, Java, ours.
        self.dies(0).await;
        self.leaves(0).await;
    }

    async fn shares(&mut self) -> Vec<BTreeSet<u32>> {
        let mut shares = Vec::new();
        for member in &mut self.members {
            shares.push(member.queues(&self.topic).await);
        }
        shares
    }

    /// Waits until each queue has exactly one owner and what was sent has come; then it stays so.
    async fn settle(&mut self, begun: Instant) {
        let (mut shares, mut since) = (self.shares().await, Instant::now());
        while !is_fair(&shares) || since.elapsed() < STANDS {
            assert!(begun.elapsed() < LIMIT, "shares do not settle: {shares:?}");
            tokio::time::sleep(LOOK_AGAIN).await;
            let now = self.shares().await;
            if now != shares {
                (shares, since) = (now, Instant::now());
            }
        }
        let sent = self.sending.sent();
        until("what was sent has come", async || self.ledger.has(sent)).await;
        self.changes.push((begun, Instant::now()));
        let caught_up = Instant::now();
        while caught_up.elapsed() < QUIET {
            assert_eq!(self.shares().await, shares, "nobody came or went");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// The last member has everything by the end.
    async fn end(mut self) {
        let sent = self.sending.stop().await;
        until("every message came", async || self.ledger.bodies() == numbered(0..sent).collect()).await;
        for member in self.members.drain(..) {
            match member {
                Member::Ours(client, consumer) => {
                    consumer.shutdown().await.unwrap();
                    client.shutdown().await;
                }
                Member::Java(java) => java.stop().await,
            }
        }
    }

    /// Whether a change can have made a message come again at that time.
    fn excuses(&self, again: Instant) -> bool {
        self.changes.iter().any(|(begun, caught_up)| (*begun..*caught_up + ON_ITS_WAY).contains(&again))
    }
}

/// Each queue has one owner, and members have as many, or one more or less.
fn is_fair(shares: &[BTreeSet<u32>]) -> bool {
    let all: Vec<u32> = shares.iter().flatten().copied().collect();
    let (least, most) = (shares.iter().map(BTreeSet::len).min(), shares.iter().map(BTreeSet::len).max());
    all.len() == QUEUES as usize
        && all.iter().copied().collect::<BTreeSet<_>>() == (0..QUEUES).collect()
        && most.unwrap_or(0) - least.unwrap_or(0) <= 1
}

async fn story(world: Arc<World>) {
    let topic = world.topic("fleet", QUEUES as i32).await;
    let mut fleet = Fleet {
        sending: Sending::start(&world, &topic, Duration::from_millis(5)),
        world,
        topic,
        group: name("fleet"),
        ledger: Arc::default(),
        members: Vec::new(),
        changes: Vec::new(),
    };
    fleet.ours_joins().await;
    for _ in 0..ROUNDS {
        fleet.goes_round().await;
    }

    let Fleet { sending, ledger, changes, .. } = &fleet;
    let changed = changes.len();
    let sent = sending.sent();
    assert!(changed == 1 + 10 * ROUNDS && sent > 1000, "{sent} messages were sent while there were {changed} changes");
    let repeated = ledger.repeated();
    for (body, entries) in &repeated {
        let unexcused = entries.iter().skip(1).find(|entry| !fleet.excuses(entry.at));
        assert!(unexcused.is_none(), "{body} came again while nobody came or went: {entries:?}");
    }
    eprintln!("fleet: {sent} messages, {} of them more than once, {changed} changes", repeated.len());
    fleet.end().await;
}
