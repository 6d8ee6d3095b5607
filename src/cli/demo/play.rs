//! What happens in the demo: one producer, a consumer, a second one that comes and leaves, and what each did.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval};

use super::stage::{Stage, TOPIC};
use crate::cli::connect::Failure;
use crate::client::{
    Client, ClientError, Message, Outcome, Producer, PushConsumer, PushOptions, ReceivedMessage, StartFrom,
};

/// Between two sends.
const SEND_EVERY: Duration = Duration::from_millis(60);
/// What nobody looked at yet; far more than comes between two frames.
const NEWS_MAX: usize = 10_000;
/// News that the screen keeps.
const SHOWN_MAX: usize = 6;
/// How long the last messages may take to arrive.
const LAST_WITHIN: Duration = Duration::from_secs(10);
const NAMES: [&str; 2] = ["consumer-1", "consumer-2"];

/// From producer and listeners.
enum Event {
    Sent,
    Received { consumer: usize, number: u64 },
    Failed(ClientError),
}

/// One consumer as the audience sees it.
#[derive(Debug, Default)]
pub struct Performer {
    pub name: &'static str,
    /// Whether it is a member now.
    pub present: bool,
    pub queues: Vec<u32>,
    pub received: u64,
    /// Number of the last message.
    pub last: Option<u64>,
}

/// What is to be seen.
#[derive(Debug)]
pub struct Scene {
    begun: Instant,
    pub length: Duration,
    pub sent: u64,
    pub performers: [Performer; 2],
    /// What happened, oldest first.
    pub news: Vec<String>,
}

impl Scene {
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    fn tell(&mut self, what: &str) {
        self.news.push(format!("{:>4.1} s  {what}", self.elapsed().as_secs_f64()));
        if self.news.len() > SHOWN_MAX {
            self.news.remove(0);
        }
    }

    /// How far it is, in a line.
    pub fn line(&self) -> String {
        let present = self.performers.iter().filter(|performer| performer.present || performer.received > 0);
        let performers: Vec<String> = present
            .map(|performer| {
                format!("{} received {:>3} {}", performer.name, performer.received, queue_list(&performer.queues))
            })
            .collect();
        format!("{:>4.1} s  sent {:>3}, {}", self.elapsed().as_secs_f64(), self.sent, performers.join(", "))
    }
}

/// Queues as text.
pub fn queue_list(queues: &[u32]) -> String {
    if queues.is_empty() {
        return "(no queue)".to_owned();
    }
    let numbers: Vec<String> = queues.iter().map(u32::to_string).collect();
    format!("(queues {})", numbers.join(" "))
}

/// The run of the demo.
pub struct Play {
    pub scene: Scene,
    events: mpsc::Receiver<Event>,
    teller: mpsc::Sender<Event>,
    producer: Option<JoinHandle<()>>,
    consumers: [Option<(Client, PushConsumer)>; 2],
    received: BTreeSet<u64>,
    repeated: u64,
    second_came: bool,
    second_left: bool,
}

impl Play {
    /// A producer and a first consumer begin.
    ///
    /// # Errors
    /// When they cannot.
    pub async fn begin(stage: &Stage, length: Duration) -> Result<Self, Failure> {
        let (teller, events) = mpsc::channel(NEWS_MAX);
        let performers = NAMES.map(|name| Performer { name, ..Performer::default() });
        let scene = Scene { begun: Instant::now(), length, sent: 0, performers, news: Vec::new() };
        let mut play = Self {
            scene,
            events,
            teller,
            producer: None,
            consumers: [None, None],
            received: BTreeSet::new(),
            repeated: 0,
            second_came: false,
            second_left: false,
        };
        play.enter(stage, 0).await?;
        let client = stage.client().await?;
        let producer = client.producer("demo-producers").await?;
        let end = play.scene.begun + length.mul_f64(0.85);
        play.producer = Some(tokio::spawn(produce(client, producer, play.teller.clone(), end)));
        Ok(play)
    }

    async fn enter(&mut self, stage: &Stage, at: usize) -> Result<(), Failure> {
        let client = stage.client().await?;
        let teller = self.teller.clone();
        let listener = move |batch: Vec<ReceivedMessage>| {
            let teller = teller.clone();
            async move {
                for message in &batch {
                    let text = String::from_utf8_lossy(&message.body);
                    let number = text.rsplit(' ').next().and_then(|word| word.parse().ok()).unwrap_or_default();
                    // Nobody listens any more when the demo is over.
                    let _ = teller.send(Event::Received { consumer: at, number }).await;
                }
                Outcome::Consumed
            }
        };
        let options = PushOptions { start_from: StartFrom::First, ..PushOptions::new("demo-consumers") };
        let consumer = client.push_consumer(options).subscribe(TOPIC, "*").start(listener).await?;
        if let (Some(place), Some(performer)) = (self.consumers.get_mut(at), self.scene.performers.get_mut(at)) {
            *place = Some((client, consumer));
            performer.present = true;
            let name = performer.name;
            self.scene.tell(&format!("{name} joins the group"));
        }
        Ok(())
    }

    async fn leave(&mut self, at: usize) -> Result<(), Failure> {
        let Some((client, consumer)) = self.consumers.get_mut(at).and_then(Option::take) else {
            return Ok(());
        };
        let left = consumer.shutdown().await;
        client.shutdown().await;
        if let Some(performer) = self.scene.performers.get_mut(at) {
            (performer.present, performer.queues) = (false, Vec::new());
            let name = performer.name;
            self.scene.tell(&format!("{name} leaves the group"));
        }
        Ok(left?)
    }

    /// What is due by now, and what came.
    ///
    /// # Errors
    /// When a client fails.
    pub async fn go_on(&mut self, stage: &Stage) -> Result<(), Failure> {
        self.hear()?;
        let elapsed = self.scene.elapsed();
        if !self.second_came && elapsed >= self.scene.length.mul_f64(0.25) {
            self.second_came = true;
            self.enter(stage, 1).await?;
        }
        if !self.second_left && elapsed >= self.scene.length.mul_f64(0.6) {
            self.second_left = true;
            self.leave(1).await?;
        }
        for at in 0..self.consumers.len() {
            self.look_at(at).await?;
        }
        Ok(())
    }

    /// Which queues a consumer has now.
    async fn look_at(&mut self, at: usize) -> Result<(), Failure> {
        let (Some(Some((_, consumer))), Some(performer)) = (self.consumers.get(at), self.scene.performers.get_mut(at))
        else {
            return Ok(());
        };
        let held = consumer.queues().await?;
        let queues: Vec<u32> = held.iter().filter(|queue| &*queue.topic == TOPIC).map(|queue| queue.queue).collect();
        if queues == performer.queues {
            return Ok(());
        }
        performer.queues = queues;
        let text = format!("rebalanced: {} reads {}", performer.name, queue_list(&performer.queues));
        self.scene.tell(&text);
        Ok(())
    }

    fn hear(&mut self) -> Result<(), Failure> {
        while let Ok(event) = self.events.try_recv() {
            match event {
                Event::Sent => self.scene.sent += 1,
                Event::Received { consumer, number } => {
                    if !self.received.insert(number) {
                        self.repeated += 1;
                    }
                    if let Some(performer) = self.scene.performers.get_mut(consumer) {
                        performer.received += 1;
                        performer.last = Some(number);
                    }
                }
                Event::Failed(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Whether the time is up.
    pub fn is_over(&self) -> bool {
        self.scene.elapsed() >= self.scene.length
    }

    /// Waits for the last messages, ends the clients and sums up.
    ///
    /// # Errors
    /// When a message is missing, or a client fails.
    pub async fn end(mut self) -> Result<String, Failure> {
        if let Some(producer) = self.producer.take() {
            // It ends by itself, well before the time is up.
            let _ = producer.await;
        }
        let deadline = Instant::now() + LAST_WITHIN;
        loop {
            self.hear()?;
            if self.received.len() as u64 >= self.scene.sent || Instant::now() >= deadline {
                break;
            }
            tokio::time::sleep(SEND_EVERY).await;
        }
        self.leave(0).await?;
        self.leave(1).await?;
        let (sent, received, repeated) = (self.scene.sent, self.received.len() as u64, self.repeated);
        if received < sent {
            return Err(Failure::Refused(format!("{} of {sent} messages did not arrive", sent - received)));
        }
        let twice = if repeated == 0 { "none twice".to_owned() } else { format!("{repeated} of them twice") };
        Ok(format!("{sent} messages were sent, all of them received, {twice}, while a consumer came and left."))
    }
}

async fn produce(client: Client, producer: Producer, teller: mpsc::Sender<Event>, end: Instant) {
    let mut ticks = interval(SEND_EVERY);
    let mut number: u64 = 0;
    while Instant::now() < end {
        ticks.tick().await;
        number += 1;
        let event = match producer.send(Message::new(TOPIC, format!("message {number}"))).await {
            Ok(_) => Event::Sent,
            Err(error) => Event::Failed(error),
        };
        if teller.send(event).await.is_err() {
            return;
        }
    }
    // All were sent; whatever saying good-bye brings.
    let _ = producer.shutdown().await;
    client.shutdown().await;
}

#[cfg(test)]
impl Scene {
    pub(super) fn of_a_test() -> Self {
        let first = Performer { name: NAMES[0], present: true, queues: vec![0, 1], received: 5, last: Some(6) };
        let second = Performer { name: NAMES[1], ..Performer::default() };
        let length = Duration::from_secs(10);
        let mut scene = Scene { begun: Instant::now(), length, sent: 7, performers: [first, second], news: Vec::new() };
        scene.tell("consumer-1 joins the group");
        scene
    }
}
