//! Transactions whose producers and brokers are killed at each step. A producer runs in a process of its own; what its
//! listener did is a file for each message, as a database would have it: a message comes if, and only if, the file is there.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use actormq::client::{
    Client, ClientOptions, HalfMessage, Message, ReceivedMessage, Resolution, TransactionListener,
    TransactionalProducer,
};
use futures_util::future::join_all;
use tokio::sync::watch;

use crate::server::Server;

/// What a process of a producer is told: the step at which it stops, the name server, the directory of its database.
const STEP: &str = "PRODUCER_STEP";
const NAME_SERVER: &str = "PRODUCER_NAME_SERVER";
const DATABASE: &str = "PRODUCER_DATABASE";
/// Transactions of each process.
const EACH: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a producer stops: its half message was sent and nothing is done; all is done but nobody told; the end is told; the
/// broker was told that it is not known, and asks.
const STEPS: [&str; 4] = ["sent", "done", "told", "asked"];

struct Database(PathBuf);

impl Database {
    fn put(&self, id: &str) {
        std::fs::write(self.0.join(id), "").unwrap();
    }

    fn has(&self, id: &str) -> bool {
        self.0.join(id).exists()
    }

    fn all(&self) -> BTreeSet<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

/// Stops at its step until it is told to go on.
struct Halting {
    step: String,
    database: Database,
    go_on: watch::Receiver<bool>,
}

impl Halting {
    async fn stop_at(&self, step: &str) {
        if self.step == step {
            println!("\nat {step}");
            self.go_on.clone().wait_for(|go_on| *go_on).await.unwrap();
        }
    }
}

impl TransactionListener for Halting {
    async fn execute(&self, half: &HalfMessage) -> Resolution {
        self.stop_at("sent").await;
        self.database.put(&half.receipt.message_id);
        self.stop_at("done").await;
        if self.step == "asked" { Resolution::Unknown } else { Resolution::Commit }
    }

    /// Another process's work may be under way.
    async fn check(&self, message: ReceivedMessage) -> Resolution {
        self.stop_at("asked").await;
        if *self.go_on.borrow() && self.database.has(&message.message_id()) {
            Resolution::Commit
        } else {
            Resolution::Unknown
        }
    }
}

/// Not a test of its own: what a process of a producer runs.
#[tokio::test]
async fn a_process_of_a_producer() {
    let Ok(step) = std::env::var(STEP) else { return };
    let (go, go_on) = watch::channel(false);
    std::thread::spawn(move || {
        // A word or the end of the one who leads.
        let _ = std::io::stdin().read_line(&mut String::new());
        go.send_replace(true);
        std::thread::park();
    });
    let database = Database(std::env::var(DATABASE).unwrap().into());
    let listener = Halting { step: step.clone(), database, go_on: go_on.clone() };
    let producer = producer(&std::env::var(NAME_SERVER).unwrap(), listener).await;
    let send = async |number: usize| {
        let sent = producer.send(Message::new("T", format!("{step}-{number}"))).await.unwrap();
        if step == "told" {
            assert_eq!(sent.resolution, Resolution::Commit);
            println!("\nat told");
        }
    };
    join_all((0..EACH).map(send)).await;
    std::future::pending::<()>().await;
}

async fn producer<L: TransactionListener>(name_server: &str, listener: L) -> TransactionalProducer<L> {
    let client = Client::connect(ClientOptions::new(name_server)).await.unwrap();
    client.transactional_producer("p", listener).await.unwrap()
}

/// A producer's process.
struct Process {
    child: Child,
    go: ChildStdin,
    said: Receiver<String>,
}

impl Process {
    fn start(step: &str, server: &Server, database: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["killed_producers::a_process_of_a_producer", "--exact", "--nocapture"]);
        command.env(STEP, step).env(NAME_SERVER, &server.name_server).env(DATABASE, database);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (go, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (say, said) = channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            // Reads on when nobody listens any more: the process must not be held up by a full pipe.
            lines.filter(|line| line.starts_with("at ")).for_each(|line| _ = say.send(line));
        });
        Self { child, go, said }
    }

    /// Waits until all its transactions stand at the step.
    fn is_at(&self, step: &str) {
        for _ in 0..EACH {
            assert_eq!(self.said.recv_timeout(PATIENCE).unwrap(), format!("at {step}"));
        }
    }

    fn go_on(&mut self) {
        std::io::Write::write_all(&mut self.go, b"go\n").unwrap();
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Answers when all whose work may be under way are dead.
struct Heir(Database);

impl TransactionListener for Heir {
    async fn execute(&self, _: &HalfMessage) -> Resolution {
        Resolution::Commit
    }

    async fn check(&self, message: ReceivedMessage) -> Resolution {
        if self.0.has(&message.message_id()) { Resolution::Commit } else { Resolution::Rollback }
    }
}

async fn until(what: &str, mut ready: impl AsyncFnMut() -> bool) {
    let found = async {
        while !ready().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// How often each message, by its id, is stored where consumers get it; nothing while a broker cannot say.
async fn stored(client: &Client) -> Option<BTreeMap<String, usize>> {
    let mut counts = BTreeMap::new();
    for queue in client.queues("T").await.ok()? {
        let mut offset = 0;
        while let Some(message) = client.admin().message_at(&queue, offset).await.ok()? {
            *counts.entry(message.message_id()).or_default() += 1;
            offset += 1;
        }
    }
    Some(counts)
}

/// Waits until the check has come to the end of the half messages: nobody is asked any more.
async fn settled(client: &Client) {
    until("an end of all questions", async || {
        let progress = client.admin().progress("CID_RMQ_SYS_TRANS", Some("RMQ_SYS_TRANS_HALF_TOPIC")).await;
        progress.is_ok_and(|queues| !queues.is_empty() && queues.iter().all(|queue| queue.lag == 0))
    })
    .await;
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Victim {
    Producers,
    Broker,
    Both,
}

async fn killed(victim: Victim) {
    let (data, database) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let eager = ["transactionTimeOut=300", "transactionCheckInterval=100", "transactionCheckMax=100000"];
    let flags: Vec<&str> = eager.iter().flat_map(|setting| ["--set", setting]).collect();
    let mut server = Server::start_with(data.path(), &flags);
    let mut processes: Vec<_> = STEPS.iter().map(|step| Process::start(step, &server, database.path())).collect();
    for (process, step) in processes.iter().zip(STEPS) {
        process.is_at(step);
    }
    if victim != Victim::Broker {
        processes.iter_mut().for_each(Process::kill);
    }
    if victim != Victim::Producers {
        server = server.crash_and_restart();
    }
    let client = Client::connect(ClientOptions::new(&server.name_server)).await.unwrap();
    let (heir, wanted) = if victim == Victim::Broker {
        processes.iter_mut().for_each(Process::go_on);
        (None, STEPS.len() * EACH)
    } else {
        let heir = producer(&server.name_server, Heir(Database(database.path().into()))).await;
        until("a way to the heir", async || heir.answer_for("T").await.is_ok()).await;
        (Some(heir), (STEPS.len() - 1) * EACH)
    };
    let database = Database(database.path().into());
    until("what was done", async || {
        let done = database.all();
        done.len() == wanted
            && stored(&client).await.is_some_and(|counts| counts.into_keys().collect::<BTreeSet<_>>() == done)
    })
    .await;
    settled(&client).await;
    let counts = stored(&client).await.unwrap();
    assert_eq!(counts.keys().cloned().collect::<BTreeSet<_>>(), database.all(), "{victim:?}");
    if victim == Victim::Producers {
        // A broker that is killed before it noted an end asks again, and commits again.
        assert!(counts.values().all(|count| *count == 1), "{counts:?}");
    }
    drop((heir, server));
}

#[tokio::test]
async fn another_producer_ends_what_killed_ones_left_at_any_step() {
    killed(Victim::Producers).await;
}

#[tokio::test]
async fn producers_go_on_when_their_broker_was_killed_at_any_step() {
    killed(Victim::Broker).await;
}

#[tokio::test]
async fn what_was_done_is_told_when_both_were_killed_at_any_step() {
    killed(Victim::Both).await;
}
