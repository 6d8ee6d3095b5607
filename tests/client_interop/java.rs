//! A push consumer or a producer of RocketMQ's Java client, in a process of its own.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::ledger::Ledger;
use crate::{LIMIT, World, name};

pub struct Java {
    process: Child,
    orders: ChildStdin,
    /// What it says but messages.
    answers: mpsc::UnboundedReceiver<String>,
}

impl Java {
    /// Starts a member of `group` that consumes `topic` from its first message on, and waits until it has joined. What
    /// it gets is in the ledger.
    pub async fn member(world: &World, group: &str, topic: &str, ledger: Arc<Ledger>) -> Self {
        // Apache's broker refuses Java's pulls after a rebalance until a heartbeat has told it; Java sends one in 30 s.
        let more: &[&str] = if world.is_apache { &["1000"] } else { &[] };
        Self::start(world, "interop.Member", (group, topic), more, ledger).await
    }

    /// The same, and it gives back all that it gets.
    pub async fn refusing_member(world: &World, group: &str, topic: &str, ledger: Arc<Ledger>) -> Self {
        Self::start(world, "interop.Member", (group, topic), &["1000", "refuse"], ledger).await
    }

    /// Starts a producer of `group` for `topic`. What it is asked about is in the ledger; it commits what ends with `yes`.
    pub async fn sender(world: &World, group: &str, topic: &str, ledger: Arc<Ledger>) -> Self {
        Self::start(world, "interop.Sender", (group, topic), &[], ledger).await
    }

    async fn start(
        world: &World,
        class: &str,
        (group, topic): (&str, &str),
        more: &[&str],
        ledger: Arc<Ledger>,
    ) -> Self {
        let words = std::env::var("INTEROP_JAVA").expect("INTEROP_JAVA holds the words that start Java");
        let mut words = words.split_whitespace();
        let mut command = Command::new(words.next().expect("INTEROP_JAVA names a program"));
        let member = name("java");
        command.args(words).args([class, &world.name_server, group, topic, &member]).args(more);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Java starts");
        let orders = process.stdin.take().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (answer, answers) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some(body) = line.strip_prefix("got ") {
                    let body = BASE64_STANDARD.decode(body).expect("Java prints Base64");
                    ledger.write(&member, String::from_utf8_lossy(&body).into_owned());
                } else if let Some(body) = line.strip_prefix("asked ") {
                    ledger.write(&member, body.to_owned());
                } else if answer.send(line).is_err() {
                    return;
                }
            }
        });
        let mut java = Self { process, orders, answers };
        assert_eq!(java.answer().await, "ready");
        java
    }

    /// Has a producer send this, `plain` or `half`.
    pub async fn send(&mut self, kind: &str, body: &str) {
        self.orders.write_all(format!("{kind} {body}\n").as_bytes()).unwrap();
        assert_eq!(self.answer().await, "sent");
    }

    async fn answer(&mut self) -> String {
        timeout(LIMIT, self.answers.recv()).await.expect("Java answers in time").expect("Java runs")
    }

    /// The numbers of the queues that it pulls from now.
    pub async fn queues(&mut self) -> BTreeSet<u32> {
        self.orders.write_all(b"queues\n").unwrap();
        let answer = self.answer().await;
        let numbers = answer.strip_prefix("queues").unwrap_or_else(|| panic!("Java says {answer}"));
        numbers.split_whitespace().map(|number| number.parse().unwrap()).collect()
    }

    /// Leaves the group in order.
    pub async fn stop(mut self) {
        self.orders.write_all(b"stop\n").unwrap();
        assert_eq!(self.answer().await, "ended");
    }

    /// As `kill -9` does.
    pub fn kill(mut self) {
        self.process.kill().unwrap();
    }
}

impl Drop for Java {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
