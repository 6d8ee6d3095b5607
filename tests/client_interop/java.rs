//! A push consumer or a producer of RocketMQ's Java client, in a process of its own.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
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
        Self::start(&["interop.Member", &world.name_server, group, topic, &name("java")], pace(world), ledger).await
    }

    /// The same, and it gives back all that it gets.
    pub async fn refusing_member(world: &World, group: &str, topic: &str, ledger: Arc<Ledger>) -> Self {
        let words = ["interop.Member", &world.name_server, group, topic, &name("java")];
        Self::start(&words, &["1000", "refuse"], ledger).await
    }

    /// Starts a producer of `group` for `topic`. What it is asked about is in the ledger; it commits what ends with `yes`.
    pub async fn sender(world: &World, group: &str, topic: &str, ledger: Arc<Ledger>) -> Self {
        Self::start(&["interop.Sender", &world.name_server, group, topic, &name("java")], &[], ledger).await
    }

    /// Starts one that does what it is told; see [`Self::order`].
    pub async fn partner(world: &World, ledger: Arc<Ledger>) -> Self {
        Self::start(&["interop.Partner", &world.name_server, &name("java")], pace(world), ledger).await
    }

    /// The last of `class` is the name of the member in the ledger.
    async fn start(class: &[&str], more: &[&str], ledger: Arc<Ledger>) -> Self {
        let words = java_words();
        let mut words = words.split_whitespace();
        let mut command = Command::new(words.next().expect("INTEROP_JAVA names a program"));
        let member = (*class.last().unwrap()).to_owned();
        command.args(words).args(class).args(more);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Java starts");
        let orders = process.stdin.take().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (answer, answers) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if line.starts_with("got ") {
                    ledger.write(&member, Self::decoded(&line, "got "));
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

    /// A body as it stands in an order.
    pub fn encoded(body: &str) -> String {
        BASE64_STANDARD.encode(body)
    }

    /// The body in an answer that begins like this.
    #[track_caller]
    pub fn decoded(answer: &str, beginning: &str) -> String {
        let body = answer.strip_prefix(beginning).unwrap_or_else(|| panic!("Java says {answer}"));
        String::from_utf8_lossy(&BASE64_STANDARD.decode(body).expect("Java prints Base64")).into_owned()
    }

    /// The directory in which it keeps what it keeps for its user.
    pub fn home() -> PathBuf {
        let words = java_words();
        let home = words.split_whitespace().find_map(|word| word.strip_prefix("-Duser.home="));
        home.expect("INTEROP_JAVA says where the user is at home").into()
    }

    /// What it answers to an order.
    pub async fn order(&mut self, order: &str) -> String {
        writeln!(self.orders, "{order}").unwrap();
        self.answer().await
    }

    async fn answer(&mut self) -> String {
        timeout(LIMIT, self.answers.recv()).await.expect("Java answers in time").expect("Java runs")
    }

    /// The numbers of the queues that it pulls from now.
    pub async fn queues(&mut self) -> BTreeSet<u32> {
        let answer = self.order("queues").await;
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

/// The words that start Java.
fn java_words() -> String {
    std::env::var("INTEROP_JAVA").expect("INTEROP_JAVA holds the words that start Java")
}

impl Drop for Java {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Apache's broker refuses Java's pulls after a rebalance until a heartbeat has told it; Java sends one in 30 s.
fn pace(world: &World) -> &'static [&'static str] {
    if world.is_apache { &["1000"] } else { &[] }
}
