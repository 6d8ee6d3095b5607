//! Sending in transactions: nobody gets a message before its producer's own work is done.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use actormq::client::{
    Client, ClientError, HalfMessage, Message, MessageError, ReceivedMessage, Resolution, TransactionListener,
};
use actormq::embed::{Cluster, ClusterOptions};

use crate::server::Server;
use crate::{Inbox, SOON, from_first};

/// Does what the body's first word says, and answers what the second says.
#[derive(Clone, Default)]
struct Obedient {
    executed: Arc<Mutex<Vec<String>>>,
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

fn resolution(word: &str) -> Resolution {
    match word {
        "commit" => Resolution::Commit,
        "rollback" => Resolution::Rollback,
        "unknown" => Resolution::Unknown,
        other => panic!("a listener that panics: {other}"),
    }
}

impl TransactionListener for Obedient {
    async fn execute(&self, half: &HalfMessage) -> Resolution {
        let body = String::from_utf8_lossy(half.message.body()).into_owned();
        self.executed.lock().unwrap().push(half.receipt.message_id.to_string());
        resolution(body.split(' ').next().unwrap())
    }

    async fn check(&self, message: ReceivedMessage) -> Resolution {
        let body = String::from_utf8_lossy(&message.body).into_owned();
        let first = {
            let mut asked = self.asked.lock().unwrap();
            asked.push((message.message_id(), message.topic().to_owned()));
            asked.iter().filter(|(id, _)| *id == message.message_id()).count() == 1
        };
        match body.split(' ').nth(1).unwrap() {
            "panic" if !first => Resolution::Commit,
            word => resolution(word),
        }
    }
}

/// Asks soon, and often.
async fn eager() -> Cluster {
    let eager = ClusterOptions::new().broker(|config| {
        let rules = &mut config.send.transactions;
        (rules.check_interval_ms, rules.timeout_ms, rules.op_interval_ms) = (20, 300, 10);
    });
    eager.start().await.unwrap()
}

async fn until(what: &str, ready: impl Fn() -> bool) {
    let begun = Instant::now();
    while !ready() {
        assert!(begun.elapsed() < SOON, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_message_comes_when_it_is_committed_and_never_when_it_is_rolled_back() {
    let cluster = eager().await;
    let client = cluster.client().await.unwrap();
    let inbox = Inbox::default();
    let consumer = inbox.start(&client, from_first("g")).await;
    let listener = Obedient::default();
    let producer = client.transactional_producer("p", listener.clone()).await.unwrap();
    let mut ids = Vec::new();
    for (body, expected) in [("commit -", Resolution::Commit), ("rollback -", Resolution::Rollback)] {
        let sent = producer.send(Message::new("T", body).tag("t").key("k")).await.unwrap();
        assert_eq!(sent.resolution, expected);
        ids.push(sent.receipt.message_id);
    }
    assert_eq!(*listener.executed.lock().unwrap(), ids);
    // Sent last, so that what was to come before it has come.
    producer.send(Message::new("T", "commit last")).await.unwrap();
    until("what was committed", || inbox.len() == 2).await;
    assert_eq!(inbox.set(), ["commit -", "commit last"].map(str::to_owned).into());
    assert!(listener.asked.lock().unwrap().is_empty(), "nobody has to ask");
    producer.shutdown().await.unwrap();
    consumer.shutdown().await.unwrap();
}

#[tokio::test]
async fn the_broker_asks_about_what_is_not_known() {
    let cluster = eager().await;
    let client = cluster.client().await.unwrap();
    let inbox = Inbox::default();
    let consumer = inbox.start(&client, from_first("g")).await;
    let listener = Obedient::default();
    let producer = client.transactional_producer("p", listener.clone()).await.unwrap();
    for body in ["unknown commit", "unknown rollback", "panic commit", "unknown panic", "unknown commit 2"] {
        let sent = producer.send(Message::new("T", body)).await.unwrap();
        assert_eq!(sent.resolution, Resolution::Unknown, "{body}");
    }
    let expected = ["unknown commit", "panic commit", "unknown panic", "unknown commit 2"].map(str::to_owned);
    until("what its producer commits when it is asked", || inbox.set() == expected.clone().into()).await;
    let executed = listener.executed.lock().unwrap().clone();
    let asked = listener.asked.lock().unwrap().clone();
    assert!(asked.iter().all(|(id, topic)| executed.contains(id) && topic == "T"), "{asked:?}");
    assert!(executed.iter().all(|id| asked.iter().any(|(of, _)| of == id)), "{asked:?}");
    producer.shutdown().await.unwrap();
    consumer.shutdown().await.unwrap();
}

#[tokio::test]
async fn another_producer_of_the_group_answers_for_one_that_is_gone() {
    let cluster = eager().await;
    let (one, two) = (cluster.client().await.unwrap(), cluster.client().await.unwrap());
    let inbox = Inbox::default();
    let consumer = inbox.start(&two, from_first("g")).await;
    let producer = one.transactional_producer("p", Obedient::default()).await.unwrap();
    producer.send(Message::new("T", "unknown commit")).await.unwrap();
    producer.shutdown().await.unwrap();
    one.shutdown().await;
    let stranger = Obedient::default();
    let of_others = two.transactional_producer("q", stranger.clone()).await.unwrap();
    let listener = Obedient::default();
    let heir = two.transactional_producer("p", listener.clone()).await.unwrap();
    heir.answer_for("T").await.unwrap();
    until("the message", || inbox.len() == 1).await;
    assert!(listener.executed.lock().unwrap().is_empty() && stranger.asked.lock().unwrap().is_empty());
    of_others.shutdown().await.unwrap();
    heir.shutdown().await.unwrap();
    consumer.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_transaction_cannot_wait_for_a_delay() {
    let cluster = eager().await;
    let client = cluster.client().await.unwrap();
    let listener = Obedient::default();
    let producer = client.transactional_producer("p", listener.clone()).await.unwrap();
    let sent = producer.send(Message::new("T", "commit -").delay_level(1)).await;
    assert_eq!(sent.unwrap_err(), ClientError::Message(MessageError::DelayedTransaction));
    assert!(listener.executed.lock().unwrap().is_empty());
}

#[tokio::test]
async fn open_transactions_outlive_a_crash_of_the_broker() {
    let data = tempfile::tempdir().unwrap();
    let eager = ["--set", "transactionTimeOut=300", "--set", "transactionCheckInterval=100"];
    let server = Server::start_with(data.path(), &eager);
    let client = Client::connect(actormq::client::ClientOptions::new(&server.name_server)).await.unwrap();
    let listener = Obedient::default();
    let producer = client.transactional_producer("p", listener.clone()).await.unwrap();
    let inbox = Inbox::default();
    let consumer = inbox.start(&client, from_first("g")).await;
    producer.send(Message::new("T", "commit -")).await.unwrap();
    until("the first message", || inbox.len() == 1).await;
    let sent = producer.send(Message::new("T", "unknown commit")).await.unwrap();
    let server = server.crash_and_restart();
    until("the message", || inbox.set().contains("unknown commit")).await;
    assert!(listener.asked.lock().unwrap().contains(&(sent.receipt.message_id.to_string(), "T".to_owned())));
    producer.shutdown().await.unwrap();
    consumer.shutdown().await.unwrap();
    drop(server);
}
