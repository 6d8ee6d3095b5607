//! How the counters grew: the figures that operators look at.
//!
//! Owns: samples of the shared counters, and of what topics take.
//! Hears: [`ReadRates`], [`ReadFigure`], `Stop`.
//! Tells: nobody.
//!
//! Invariant: memory is bounded: so many samples a counter, and figures only of topics that are there.

mod series;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::time::Instant;

use self::series::Series;
pub use self::series::{Figure, Spans};
use super::data_version::now_ms;
use super::topics::TopicTable;
use crate::actors::Stop;
use crate::metrics::Metrics;
use crate::protocol::names::Topic;

/// Between two samples of the broker's counters.
const RATE_INTERVAL: Duration = Duration::from_secs(1);
/// Samples of the broker's counters that are kept: enough for ten minutes.
const RATE_SAMPLES: usize = 601;
/// Samples of the broker's counters between two of the topics'.
const SAMPLES_PER_FIGURE: u64 = 10;
const DAY_MS: i64 = 24 * 3_600 * 1_000;

/// The broker's counters at one moment.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    counts: [u64; 4],
}

/// Asks for the broker's rates.
#[derive(Message, Debug)]
#[rtype(result = "Rates")]
pub struct ReadRates;

/// Each a second: over the last 10, 60 and 600 seconds, or since the start where that is less.
#[derive(Debug, Clone, Copy, Default, PartialEq, MessageResponse)]
pub struct Rates {
    pub put: [f64; 3],
    pub found: [f64; 3],
    pub missed: [f64; 3],
    pub transferred: [f64; 3],
    /// Messages stored, and given to consumers, until this midnight and until the one before.
    pub put_until: Midnights,
    pub got_until: Midnights,
}

/// A counter at the last two midnights (UTC); 0 for those before the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Midnights {
    pub today: u64,
    pub yesterday: u64,
}

/// What is counted of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TopicFigure {
    /// Messages stored.
    Messages,
    /// Bytes of their bodies and properties.
    Bytes,
}

/// Asks how a topic's figure grew; `None` where nothing was counted yet.
#[derive(Message, Debug)]
#[rtype(result = "Option<Spans>")]
pub struct ReadFigure {
    pub topic: Topic,
    pub figure: TopicFigure,
}

/// The owner.
pub struct Statistics {
    metrics: Arc<Metrics>,
    topics: Arc<TopicTable>,
    /// Oldest first, at least one.
    samples: std::collections::VecDeque<Sample>,
    taken: u64,
    figures: HashMap<(Topic, TopicFigure), Series>,
    day: i64,
    put_until: Midnights,
    got_until: Midnights,
}

impl Statistics {
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, topics: Arc<TopicTable>) -> Self {
        let first = sample(&metrics);
        Self {
            metrics,
            topics,
            samples: [first].into(),
            taken: 0,
            figures: HashMap::new(),
            day: now_ms() / DAY_MS,
            put_until: Midnights::default(),
            got_until: Midnights::default(),
        }
    }

    fn take_samples(&mut self, context: &mut Context<Self>) {
        self.samples.push_back(sample(&self.metrics));
        if self.samples.len() > RATE_SAMPLES {
            self.samples.pop_front();
        }
        self.note_midnight(now_ms() / DAY_MS);
        if self.taken.is_multiple_of(SAMPLES_PER_FIGURE) {
            self.take_figures();
        }
        self.taken += 1;
        context.run_later(RATE_INTERVAL, Self::take_samples);
    }

    fn note_midnight(&mut self, day: i64) {
        if day == self.day {
            return;
        }
        self.day = day;
        let next = |of: Midnights, now| Midnights { yesterday: of.today, today: now };
        self.put_until = next(self.put_until, self.metrics.messages_put.value());
        self.got_until = next(self.got_until, self.metrics.messages_got.value());
    }

    fn take_figures(&mut self) {
        let now = Instant::now();
        self.figures.retain(|(topic, _), _| self.topics.contains(topic));
        for entry in self.topics.active() {
            let topic = &entry.config.topic;
            let messages = entry.counters.messages.value();
            let values = [(TopicFigure::Messages, messages), (TopicFigure::Bytes, entry.counters.bytes.value())];
            for (figure, value) in values {
                self.figures.entry((topic.clone(), figure)).or_default().take(now, value, messages);
            }
        }
    }

    fn rates(&self) -> Rates {
        let of = |counter: usize| [10, 60, 600].map(|seconds| self.rate(counter, seconds));
        Rates {
            put: of(0),
            found: of(1),
            missed: of(2),
            transferred: of(3),
            put_until: self.put_until,
            got_until: self.got_until,
        }
    }

    fn rate(&self, counter: usize, samples: usize) -> f64 {
        let newest = self.samples.back();
        let oldest = self.samples.get(self.samples.len().saturating_sub(samples + 1));
        let (Some(newest), Some(oldest)) = (newest, oldest) else {
            return 0.0;
        };
        let seconds = newest.at.duration_since(oldest.at).as_secs_f64();
        let count = |sample: &Sample| sample.counts.get(counter).copied().unwrap_or_default();
        if seconds > 0.0 { count(newest).saturating_sub(count(oldest)) as f64 / seconds } else { 0.0 }
    }
}

fn sample(metrics: &Metrics) -> Sample {
    let counters = [&metrics.messages_put, &metrics.pulls_found, &metrics.pulls_missed, &metrics.messages_got];
    Sample { at: Instant::now(), counts: counters.map(|counter| counter.value()) }
}

impl Actor for Statistics {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.run_later(RATE_INTERVAL, Self::take_samples);
    }
}

impl Handler<ReadRates> for Statistics {
    type Result = Rates;

    fn handle(&mut self, _: ReadRates, _: &mut Context<Self>) -> Rates {
        self.rates()
    }
}

impl Handler<ReadFigure> for Statistics {
    type Result = Option<Spans>;

    fn handle(&mut self, wish: ReadFigure, _: &mut Context<Self>) -> Self::Result {
        self.figures.get(&(wish.topic, wish.figure)).map(Series::spans)
    }
}

impl Handler<Stop> for Statistics {
    type Result = ();

    fn handle(&mut self, _: Stop, _: &mut Context<Self>) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::catalog::topics::TopicConfig;

    #[actix::test]
    async fn rates_are_of_the_last_seconds() {
        tokio::time::pause();
        let metrics = Arc::new(Metrics::default());
        let statistics = Statistics::new(Arc::clone(&metrics), Arc::default()).start();
        for _ in 0..20 {
            metrics.messages_put.add(50);
            tokio::time::sleep(RATE_INTERVAL).await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let rates = statistics.send(ReadRates).await.unwrap();
        assert!((rates.put[0] - 50.0).abs() < 6.0, "{rates:?}");
        assert!((rates.put[2] - 50.0).abs() < 6.0, "{rates:?}");
        assert_eq!(rates.missed, [0.0; 3]);
    }

    #[actix::test]
    async fn a_topic_that_takes_messages_has_figures_and_another_has_none() {
        tokio::time::pause();
        let topics = Arc::new(TopicTable::default());
        let names = ["busy", "idle"].map(|name| Topic::new(name).unwrap());
        let [busy, _] = names.clone().map(|name| topics.publish_for_tests(TopicConfig::new(name, 1)));
        let statistics = Statistics::new(Arc::default(), topics).start();
        for _ in 0..4 {
            busy.counters.messages.add(10);
            busy.counters.bytes.add(1_000);
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
        let [busy, idle] = names;
        let bytes = statistics.send(ReadFigure { topic: busy, figure: TopicFigure::Bytes }).await.unwrap().unwrap();
        assert!(bytes.minute.sum >= 2_000, "{bytes:?}");
        assert!((bytes.minute.average - 100.0).abs() < 1.0, "{bytes:?}");
        assert_eq!(statistics.send(ReadFigure { topic: idle, figure: TopicFigure::Messages }).await.unwrap(), None);
    }

    #[test]
    fn midnights_follow_each_other() {
        let metrics = Arc::new(Metrics::default());
        let mut statistics = Statistics::new(Arc::clone(&metrics), Arc::default());
        metrics.messages_put.add(5);
        statistics.note_midnight(statistics.day + 1);
        metrics.messages_put.add(3);
        statistics.note_midnight(statistics.day + 1);
        assert_eq!(statistics.put_until, Midnights { today: 8, yesterday: 5 });
    }
}
